//! What changes in the lists of runs and of schedules, for whoever looks at them: gathered, and only what they may know
//! of. Who begins to look asks for the lists themselves first.

use super::Runs;
use super::views::BYTES;
use crate::server::Hub;
use cmdr_link::codec;
use cmdr_protocol::RunId;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::runs::{CHUNK, ListNews, Run};
use std::collections::HashMap;
use tokio::sync::{broadcast, watch};

/// What one watcher was told.
#[derive(Debug)]
pub(crate) struct ListView {
    /// Only as [`cmdr_protocol::runs::ListWatch::brief`] says.
    brief: bool,
    /// The change of each run that goes on.
    seen: HashMap<RunId, u64>,
    ended: broadcast::Receiver<RunId>,
    gone: broadcast::Receiver<RunId>,
    /// What the schedules looked like.
    schedules: [u8; 32],
    begins: bool,
}

/// Runs in items that fit: selectors may be long, and waves many.
fn in_items(runs: impl Iterator<Item = Run>) -> Vec<ListNews> {
    let mut items: Vec<ListNews> = Vec::new();
    let mut size = 0;
    for run in runs {
        let bytes = codec::size(&run);
        let fits = |item: &&mut ListNews| item.runs.len() < CHUNK && size + bytes <= BYTES;
        if let Some(item) = items.last_mut().filter(fits) {
            item.runs.push(run);
        } else {
            size = 0;
            items.push(ListNews { runs: vec![run], ..ListNews::default() });
        }
        size += bytes;
    }
    items
}

impl Runs {
    /// Something about runs or schedules is new.
    pub(super) fn tell_lists(&self) {
        self.lists.send_modify(|change| *change += 1);
    }

    /// Wakes with each change of a list.
    pub(crate) fn list_news(&self) -> watch::Receiver<u64> {
        self.lists.subscribe()
    }

    /// A view of the lists as they are now.
    pub(crate) fn list_view(&self, brief: bool) -> ListView {
        ListView {
            brief,
            seen: HashMap::new(),
            ended: self.ends.subscribe(),
            gone: self.gone.subscribe(),
            schedules: [0; 32],
            begins: true,
        }
    }

    /// What is new for somebody, in as many items as it takes; none when nothing is.
    pub(crate) fn list_changes(
        &self,
        hub: &Hub,
        caller: &Caller,
        view: &mut ListView,
    ) -> Vec<ListNews> {
        let who = hub.who(caller);
        let open: Vec<_> = self.state().open.values().cloned().collect();
        let mut changed: Vec<RunId> = Vec::new();
        let mut now = HashMap::with_capacity(open.len());
        for live in open {
            let change = {
                let live = live.lock();
                if view.brief { live.head_change } else { live.change }
            };
            now.insert(live.id, change);
            if view.seen.get(&live.id) != Some(&change) {
                changed.push(live.id);
            }
        }
        let before = std::mem::replace(&mut view.seen, now);
        changed.extend(before.into_keys().filter(|id| !view.seen.contains_key(id)));
        loop {
            match view.ended.try_recv() {
                Ok(id) if changed.contains(&id) => {}
                Ok(id) => changed.push(id),
                // More have ended than are remembered: the list is asked for again.
                Err(broadcast::error::TryRecvError::Lagged(_)) => view.begins = true,
                Err(_) => break,
            }
        }
        let mut gone = Vec::new();
        loop {
            match view.gone.try_recv() {
                Ok(id) => gone.push(id),
                // What was missed is found by looking at a run.
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        let other = !view.brief && {
            let schedules = self.list_schedules(&who, caller.key).schedules;
            let schedules = codec::encode(&schedules).unwrap_or_default();
            let schedules = *blake3::hash(&schedules).as_bytes();
            std::mem::replace(&mut view.schedules, schedules) != schedules
        };
        if std::mem::take(&mut view.begins) {
            return vec![ListNews { begins: true, ..ListNews::default() }];
        }
        let runs = changed.into_iter().filter_map(|id| {
            let run = self.shown_in_list(id)?;
            self.in_list(hub, &who, run)
        });
        let mut items: Vec<ListNews> = gone
            .chunks(CHUNK)
            .map(|gone| ListNews { gone: gone.to_vec(), ..ListNews::default() })
            .collect();
        items.extend(in_items(runs));
        if other {
            match items.last_mut() {
                Some(last) => last.schedules = true,
                None => items.push(ListNews { schedules: true, ..ListNews::default() }),
            }
        }
        items
    }

    /// A run as lists have it, all of it, and whether its order is a line.
    pub(super) fn shown_in_list(&self, id: RunId) -> Option<(bool, Run)> {
        let state = self.state();
        if let Some(live) = state.open.get(&id).cloned() {
            drop(state);
            let is_line = live.lock().record.start.order.line.is_some();
            return Some((is_line, live.shown()));
        }
        let record = state.over.get(&id)?;
        Some((record.start.order.line.is_some(), record.shown(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::frame::MAX_FRAME;

    #[test]
    fn runs_with_long_selectors_are_told_in_items_that_fit() {
        let run = |n: u32| Run { output: n.into(), hosts: "x".repeat(16_000), ..Run::default() };
        let items = in_items((0..200).map(run));
        assert!(items.len() > 3 && items.iter().all(|item| codec::size(item) < MAX_FRAME));
        let told: Vec<_> = items.iter().flat_map(|item| &item.runs).map(|run| run.output).collect();
        assert_eq!(told, (0..200).collect::<Vec<u64>>());
        assert_eq!(in_items((0..1200).map(|_| Run::default())).len(), 3);
    }
}
