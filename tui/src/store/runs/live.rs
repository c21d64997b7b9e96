//! Which runs go on, for the counter in the top line. The hub tells which begin and end; all of them are asked for
//! when it begins to tell.

use crate::link::is_passing;
use crate::store::{Store, Update};
use cmdr_protocol::runs::{ListNews, Listing};
use cmdr_protocol::{CallError, RunId};
use std::collections::{HashMap, HashSet};

/// Runs that are counted at most.
const MOST: usize = 5000;
/// How long to wait before they are asked for again, milliseconds.
const AGAIN_MS: u64 = 10_000;

/// The runs that go on.
#[derive(Default)]
pub struct Live {
    open: HashSet<RunId>,
    /// From when on they are to be asked for.
    due_ms: Option<u64>,
    /// What was told since they were asked for, until the answer is there: it may be older.
    told: Option<HashMap<RunId, bool>>,
}

impl Live {
    /// How many there are, as far as is known.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Whether they are to be asked for now.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms.is_some_and(|due| due <= now_ms)
    }

    fn put(&mut self, run: RunId, goes_on: bool) {
        if !goes_on {
            self.open.remove(&run);
        } else if self.open.len() < MOST {
            self.open.insert(run);
        }
    }
}

/// They are being asked for.
pub fn asking() -> Update {
    Update::new(|store| {
        let live = &mut store.runs.live;
        (live.due_ms, live.told) = (None, Some(HashMap::new()));
    })
}

/// They came, or why they did not.
pub fn came(listing: Result<Listing, CallError>) -> Update {
    Update::new(move |store| {
        let again = store.now_ms + AGAIN_MS;
        let live = &mut store.runs.live;
        let told = live.told.take().unwrap_or_default();
        match listing {
            Ok(listing) => {
                live.open.clear();
                let open = listing.runs.into_iter().filter(|run| !run.state.is_over());
                let open = open.filter_map(|run| Some((run.id?, true)));
                open.chain(told).for_each(|(run, goes_on)| live.put(run, goes_on));
            }
            Err(error) if is_passing(&error) => live.due_ms = Some(again),
            Err(_) => live.open.clear(),
        }
    })
}

/// Something has changed, as the hub tells it.
pub fn news(store: &mut Store, item: ListNews) {
    let live = &mut store.runs.live;
    if item.begins {
        live.due_ms = Some(0);
    }
    let runs = item.runs.into_iter().filter_map(|run| Some((run.id?, !run.state.is_over())));
    let gone = item.gone.into_iter().map(|run| (run, false));
    for (run, goes_on) in runs.chain(gone) {
        live.put(run, goes_on);
        if let Some(told) = live.told.as_mut().filter(|told| told.len() < MOST) {
            told.insert(run, goes_on);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::runs::{Run, RunState};

    fn run(n: u8, state: RunState) -> Run {
        Run { id: Some(RunId([n; 8])), state, ..Run::default() }
    }

    fn listing(runs: Vec<Run>) -> Listing {
        Listing { runs, ..Listing::default() }
    }

    fn told(runs: Vec<Run>) -> ListNews {
        ListNews { runs, ..ListNews::default() }
    }

    #[test]
    fn an_answer_that_is_older_than_what_was_told_does_not_bring_back_what_has_ended() {
        let mut store = Store::new(0, 0, false);
        news(&mut store, ListNews { begins: true, ..ListNews::default() });
        assert!(store.runs.live.is_due(0));
        store.apply(asking());
        assert!(!store.runs.live.is_due(u64::MAX));
        news(&mut store, told(vec![run(1, RunState::Done), run(3, RunState::Running)]));
        let older = vec![run(1, RunState::Running), run(2, RunState::Paused)];
        store.apply(came(Ok(listing(older))));
        assert_eq!(store.runs.live.count(), 2);
        let gone = vec![RunId([2; 8])];
        news(&mut store, ListNews { gone, ..told(vec![run(3, RunState::Stopped)]) });
        assert_eq!(store.runs.live.count(), 0);
    }

    #[test]
    fn what_was_not_answered_is_asked_again_after_a_while_and_what_is_denied_is_not() {
        let mut store = Store::new(1000, 0, false);
        store.apply(asking());
        store.apply(came(Err(CallError::lost("the link broke"))));
        assert!(!store.runs.live.is_due(1000));
        assert!(store.runs.live.is_due(1000 + AGAIN_MS));
        store.apply(asking());
        store.apply(came(Err(CallError::denied("no"))));
        assert!(!store.runs.live.is_due(u64::MAX));
    }
}
