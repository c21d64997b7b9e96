//! What is heard of one host's orders over its link, and what it is told in return.

use super::Runs;
use super::alone::did_not;
use super::keeper::{End, News};
use cmdr_link::{Client, Link};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::orders::{Confirm, Have, Told, Watch};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// After the feed of an agent has ended and its link has not, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(1);
/// Names in one input.
const NAMES: usize = 1000;

/// Ends of orders that wait to be confirmed to one host: an agent keeps no more than half as many.
const OVER: usize = 20_000;
/// A host tells within so long what it has; what it has told by then is not told again by its next feed.
const ALL: Duration = Duration::from_mins(2);

/// What is on disk here and not told to the host yet: no more than it has orders, and bounded where it makes them up.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    due: Mutex<Due>,
    some: Notify,
    /// It was said that the host tells of orders which are none of its own.
    foreign: AtomicBool,
}

#[derive(Debug, Default)]
struct Due {
    have: HashMap<String, u64>,
    over: HashSet<String>,
    /// There were more than a host can have: its feed is cut.
    beyond: bool,
}

impl Confirms {
    /// An order's output, up to here.
    pub(super) fn have(&self, id: String, bytes: u64) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if !due.over.contains(&id) {
            let known = due.have.entry(id).or_default();
            *known = bytes.max(*known);
        }
        drop(due);
        self.some.notify_one();
    }

    /// An order's end and all its output.
    pub(super) fn over(&self, id: String) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.have.remove(&id);
        if due.over.len() < OVER {
            due.over.insert(id);
        } else {
            due.beyond = true;
        }
        drop(due);
        self.some.notify_one();
    }

    /// The host has told the end of an order that is none of its own. Said once a feed: it may tell thousands.
    pub(super) fn is_foreign(&self, host: HostId, id: &str) {
        if !self.foreign.swap(true, Ordering::Relaxed) {
            let id = clean_to_width(id, 80);
            tracing::warn!(%host, id, "a host told the end of an order that is none of its own");
        }
    }

    pub(super) async fn next(&self) -> Result<Confirm, CallError> {
        loop {
            {
                let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                if due.beyond {
                    return Err(CallError::new(
                        ErrorKind::Busy,
                        format!("the host told the ends of more than {OVER} orders at once"),
                    ));
                }
                let over: Vec<_> = due.over.iter().take(NAMES).cloned().collect();
                for id in &over {
                    due.over.remove(id);
                }
                let have: Vec<_> = due.have.keys().take(NAMES).cloned().collect();
                let have = have.into_iter().filter_map(|id| {
                    let bytes = due.have.remove(&id)?;
                    Some(Have { id, bytes })
                });
                let confirm = Confirm { have: have.collect(), over };
                if confirm != Confirm::default() {
                    return Ok(confirm);
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
        self.handed().forget_link(host);
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
        let mut hears = self.hearing(host, &confirms);
        let confirming = async {
            loop {
                inputs.send(&confirms.next().await?).await?;
            }
        };
        let hearing = async {
            // Only names that are asked about are collected, whatever a host tells.
            let (mut own, mut names, mut began) = (self.names(host), HashSet::new(), false);
            let until = at + ALL;
            let mut again: Option<Instant> = None;
            loop {
                let item = if began {
                    match again {
                        // The moment of what came too early is there: all is told anew.
                        Some(again) => match tokio::time::timeout_at(again, items.next()).await {
                            Ok(item) => item,
                            Err(_) => break,
                        },
                        None => items.next().await,
                    }
                } else {
                    tokio::time::timeout_at(until, items.next()).await.map_err(|_| {
                        let what = format!("not all orders were told within {} s", ALL.as_secs());
                        CallError::new(ErrorKind::TimedOut, what)
                    })?
                };
                let Some(item) = item else { break };
                let mut told: Told = item?;
                let adopted = self.adopt(host, &mut told).await?;
                if let Some(wait) = adopted.again {
                    let at = Instant::now() + wait;
                    again = Some(again.map_or(at, |again| again.min(at)));
                }
                if !began {
                    names.extend(adopted.ids);
                    let reports = told.reports.iter().map(|report| &report.id);
                    let pieces = told.pieces.iter().map(|piece| &piece.id);
                    names.extend(reports.chain(pieces).filter_map(|id| own.take(id)));
                }
                let all = told.all;
                self.hear(&mut hears, told).await?;
                if all && !began {
                    began = true;
                    self.take_up_host(host, &names, at);
                    (own, names) = (HashSet::new(), HashSet::new());
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

    /// The names of orders that may be at a host.
    fn names(&self, host: HostId) -> HashSet<String> {
        let mut names = HashSet::new();
        for (live, index) in self.by_host().of(host) {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            if seat.is_out() {
                names.insert(seat.name_there(live.id, index));
            }
        }
        names
    }

    /// How far the output of a host's orders is here.
    fn have(&self, host: HostId) -> Vec<Have> {
        let mut have = Vec::new();
        for (live, index) in self.by_host().of(host) {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            if seat.is_out() && seat.kept_to > 0 && !seat.here {
                let id = seat.name_there(live.id, index);
                have.push(Have { id, bytes: seat.kept_to });
            }
        }
        have
    }

    /// A host is back and has told which orders it had at a time: sends it what it has not, and what waits for it.
    fn take_up_host(self: &Arc<Self>, host: HostId, told: &HashSet<String>, at_time: Instant) {
        let mut cancels = Vec::new();
        self.listens(host);
        for (live, index) in self.by_host().of(host) {
            let mut inner = live.lock();
            let at = index as usize;
            let seat = &inner.seats[at];
            if seat.ending {
                continue;
            }
            if seat.here {
                // What the hub does itself it knows itself.
                inner.is_back(at);
                drop(inner);
                live.tell();
                continue;
            }
            let id = seat.name_there(live.id, index);
            let (marked, acked, attempt) = (seat.marked, seat.acked, seat.attempt);
            let heard = seat.by_itself.is_some();
            let hears = inner.hears(attempt);
            let stopping = inner.record.state == RunState::Stopping || inner.overdue.is_some();
            inner.is_back(at);
            if !marked {
                // It waited for its host. Its turn comes as that of any other, if it has not begun yet.
                if inner.seats[at].is_between() {
                    inner.ready.push(index);
                } else {
                    inner.next = inner.next.min(at);
                }
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
            } else if hears && !heard {
                let (runs, live) = (self.clone(), live.clone());
                tokio::spawn(async move {
                    drop(runs.queue.send(News::End { live, ends: vec![did_not(index)] }).await);
                });
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
        self.handed().forget_link(host);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_makes_up_orders_is_cut_off_and_not_remembered() {
        let confirms = Confirms::default();
        for number in 0..OVER {
            confirms.over(format!("made-up.{number}"));
        }
        assert_eq!(confirms.next().await.unwrap().over.len(), NAMES);
        for number in OVER..3 * OVER {
            confirms.over(format!("made-up.{number}"));
        }
        assert!(confirms.due.lock().unwrap().over.len() <= OVER);
        assert_eq!(confirms.next().await.unwrap_err().kind, ErrorKind::Busy);
    }

    #[tokio::test]
    async fn all_that_is_due_is_confirmed_once() {
        let confirms = Confirms::default();
        for number in 0..2500 {
            confirms.have(format!("r.{number}.0"), 7);
            confirms.over(format!("r.{number}.0"));
        }
        confirms.have("s.0.0".to_owned(), 5);
        confirms.have("s.0.0".to_owned(), 3);
        let (mut over, mut have) = (HashSet::new(), Vec::new());
        while over.len() < 2500 {
            let confirm = confirms.next().await.unwrap();
            assert!(confirm.over.len() <= NAMES);
            for id in confirm.over {
                assert!(over.insert(id));
            }
            have.extend(confirm.have);
        }
        assert_eq!(have, [Have { id: "s.0.0".to_owned(), bytes: 5 }]);
    }
}
