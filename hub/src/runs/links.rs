//! What is heard of one host's orders over its link, and what it is told in return.

use super::keeper::{End, News};
use super::{Runs, order_id};
use cmdr_link::{Client, Link};
use cmdr_protocol::orders::{Confirm, Have, Told, Watch};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// After the feed of an agent has ended and its link has not, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(1);
/// Names in one input.
const NAMES: usize = 1000;

/// What is on disk here and not told to the host yet: no more than it has orders.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    due: Mutex<(HashMap<String, u64>, HashSet<String>)>,
    some: Notify,
}

impl Confirms {
    /// An order's output, up to here.
    pub(super) fn have(&self, id: String, bytes: u64) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if !due.1.contains(&id) {
            let known = due.0.entry(id).or_default();
            *known = bytes.max(*known);
        }
        drop(due);
        self.some.notify_one();
    }

    /// An order's end and all its output.
    pub(super) fn over(&self, id: String) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.0.remove(&id);
        due.1.insert(id);
        drop(due);
        self.some.notify_one();
    }

    async fn next(&self) -> Confirm {
        loop {
            {
                let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                let over: Vec<_> = due.1.iter().take(NAMES).cloned().collect();
                let have: Vec<_> = due.0.keys().take(NAMES).cloned().collect();
                due.1.retain(|id| !over.contains(id));
                let have = have.into_iter().filter_map(|id| {
                    let bytes = due.0.remove(&id)?;
                    Some(Have { id, bytes })
                });
                let confirm = Confirm { have: have.collect(), over };
                if confirm != Confirm::default() {
                    return confirm;
                }
            }
            self.some.notified().await;
        }
    }
}

impl Runs {
    /// Hears what becomes of a host's orders, while its link is up.
    pub async fn attend(self: &Arc<Self>, host: HostId, link: &Link) {
        self.state().dropped.remove(&host);
        let client = Client::new(link.clone());
        loop {
            match self.follow(&client, host).await {
                Ok(()) => tracing::debug!(%host, "the feed of orders ended"),
                Err(e) if e.kind == ErrorKind::UnknownMethod => {
                    // Whatever is sent to it is refused with words.
                    tracing::debug!(%host, "its agent takes no orders: {e}");
                    self.take_up_host(host, &HashSet::new(), Instant::now());
                    return std::future::pending().await;
                }
                Err(e) => tracing::debug!(%host, "the feed of orders ended: {e}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(self: &Arc<Self>, client: &Client, host: HostId) -> Result<(), CallError> {
        let (watch, at) = (Watch { have: self.have(host) }, Instant::now());
        let (mut items, mut inputs) = client.feed(Some(host), &watch).await?.split();
        let confirms = Arc::new(Confirms::default());
        let confirming = async {
            loop {
                inputs.send(&confirms.next().await).await?;
            }
        };
        let hearing = async {
            let (mut names, mut began) = (HashSet::new(), false);
            while let Some(item) = items.next().await {
                let told: Told = item?;
                if !began {
                    names.extend(told.reports.iter().map(|report| report.id.clone()));
                    names.extend(told.pieces.iter().map(|piece| piece.id.clone()));
                }
                let all = told.all;
                if !(told.pieces.is_empty() && told.reports.is_empty()) {
                    let news = News::Told { host, told, confirms: confirms.clone() };
                    // Without a keeper the hub is stopping.
                    self.queue
                        .send(news)
                        .await
                        .map_err(|_| CallError::new(ErrorKind::Cancelled, "the hub is stopping"))?;
                }
                if all && !began {
                    began = true;
                    self.take_up_host(host, &names, at);
                    names = HashSet::new();
                }
            }
            Ok(())
        };
        tokio::select! {
            biased;
            ended = hearing => ended,
            ended = confirming => ended,
        }
    }

    /// How far the output of a host's orders is here.
    fn have(&self, host: HostId) -> Vec<Have> {
        let mut have = Vec::new();
        for (live, index) in self.by_host().of(host) {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            if seat.is_out() && seat.kept_to > 0 {
                let id = order_id(live.id, index, seat.attempt);
                have.push(Have { id, bytes: seat.kept_to });
            }
        }
        have
    }

    /// A host is back and has told which orders it had at a time: sends it what it has not, and what waits for it.
    fn take_up_host(self: &Arc<Self>, host: HostId, told: &HashSet<String>, at_time: Instant) {
        let mut cancels = Vec::new();
        for (live, index) in self.by_host().of(host) {
            let mut inner = live.lock();
            let at = index as usize;
            let seat = &inner.seats[at];
            if seat.ending {
                continue;
            }
            let id = order_id(live.id, index, seat.attempt);
            let (marked, acked, attempt) = (seat.marked, seat.acked, seat.attempt);
            let stopping = inner.record.state == RunState::Stopping || inner.overdue.is_some();
            inner.is_back(at);
            if !marked {
                // It waited for its host. Its turn comes as that of any other.
                inner.next = inner.next.min(at);
                drop(inner);
                live.tell();
                self.pump_soon(&live);
                continue;
            }
            drop(inner);
            live.tell();
            if stopping {
                cancels.push(id);
            } else if told.contains(&id) {
                // It has it.
            } else if acked.is_some_and(|acked| acked < at_time) {
                let why = "the host had it and does not know of it any more".to_owned();
                let end = End { target: index, attempt, state: TargetState::Lost, why };
                let (runs, live) = (self.clone(), live.clone());
                tokio::spawn(async move {
                    drop(runs.queue.send(News::End { live, ends: vec![end] }).await);
                });
            } else {
                self.send_soon(&live, index);
            }
        }
        if !cancels.is_empty() {
            self.cancel(host, cancels, "the run was stopped");
        }
    }

    /// A host's link is down, and no other has taken its place.
    pub fn link_down(&self, host: HostId) {
        {
            let mut state = self.state();
            let rejoin = self.settings.rejoin;
            state.dropped.retain(|_, at| at.elapsed() < rejoin);
            state.dropped.insert(host, Instant::now());
        }
        for (live, index) in self.by_host().of(host) {
            let mut inner = live.lock();
            if inner.seats[index as usize].is_out() {
                inner.is_away(index as usize);
            }
            drop(inner);
            live.tell();
        }
        self.tick.notify_one();
    }
}
