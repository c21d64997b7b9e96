//! Decides what is to be sent next, and sends it.

use super::keeper::{End, News};
use super::live::Live;
use super::{Author, Runs, order_id};
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_protocol::orders::{Cancel, Take};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, HostId, exec, methods};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a host may take to put an order on its disk.
const TAKE: Duration = Duration::from_secs(30);
/// How long it is waited before a host is asked again that was busy, or whose answer was lost on the way.
const AGAIN: Duration = Duration::from_millis(250);
/// A host that is busy is asked so often.
const TRIES: u32 = 240;
/// What was decided longer ago is decided anew before it is sent: rights are taken away meanwhile.
const STALE_MS: u64 = 5000;
/// Orders that one call ends.
const CANCELS: usize = 500;

impl Runs {
    /// Has a run looked at for what is to be sent.
    pub(super) fn pump_soon(&self, live: &Arc<Live>) {
        self.pumps.lock().unwrap_or_else(PoisonError::into_inner).insert(live.id);
        self.pump.notify_one();
    }

    pub(super) async fn pumping(self: &Arc<Self>) {
        loop {
            self.pump.notified().await;
            let runs: Vec<_> =
                self.pumps.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
            for id in runs {
                if let Some(live) = self.open(id) {
                    self.pump(&live).await;
                }
            }
        }
    }

    /// Picks what is to be sent now, and has it put on disk that it may have been.
    async fn pump(self: &Arc<Self>, live: &Arc<Live>) {
        let Some(hub) = self.hub() else { return };
        let (marks, ends) = self.pick(&hub, live);
        // Without a keeper the hub is stopping.
        if !marks.is_empty() {
            drop(self.queue.send(News::Mark { live: live.clone(), targets: marks }).await);
        }
        if !ends.is_empty() {
            drop(self.queue.send(News::End { live: live.clone(), ends }).await);
        }
    }

    fn pick(&self, hub: &Hub, live: &Arc<Live>) -> (Vec<u32>, Vec<End>) {
        let (mut marks, mut ends, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        let mut inner = live.lock();
        if !inner.sends() {
            return (marks, ends);
        }
        let parallel = match inner.record.start.parallel {
            0 => u32::MAX,
            parallel => parallel,
        };
        let when_online = inner.record.start.when_online;
        let mut out = inner.out;
        let mut index = inner.next;
        while index < inner.seats.len() && inner.seats[index].wave <= inner.wave && out < parallel {
            let seat = &inner.seats[index];
            if seat.marked || seat.taken || seat.ending || seat.waits {
                index += 1;
                continue;
            }
            let (host, attempt) = (seat.host, seat.attempt);
            match hub.fleet.link(host) {
                Ok(_) => {
                    inner.seats[index].taken = true;
                    marks.push(index as u32);
                    out += 1;
                }
                Err(e) if e.kind == ErrorKind::Unreachable => {
                    if when_online || self.may_come_back(host) {
                        inner.is_away(index);
                        inner.seats[index].waits = true;
                        waits.push((host, index as u32));
                    } else {
                        inner.seats[index].taken = true;
                        let state = TargetState::Unreachable;
                        ends.push(End { target: index as u32, attempt, state, why: e.message });
                    }
                }
                Err(e) => {
                    inner.seats[index].taken = true;
                    let why = format!("{}: it left the fleet meanwhile", e.message);
                    let state = TargetState::Unreachable;
                    ends.push(End { target: index as u32, attempt, state, why });
                }
            }
            index += 1;
        }
        inner.next = index;
        drop(inner);
        if !waits.is_empty() {
            let mut by_host = self.by_host();
            for (host, index) in waits {
                by_host.add(host, live, index);
            }
            drop(by_host);
            self.tick.notify_one();
            live.tell();
        }
        (marks, ends)
    }

    /// Whether a host that is away was there a moment ago, or the hub itself was not.
    pub(super) fn may_come_back(&self, host: HostId) -> bool {
        let rejoin = self.settings.rejoin;
        self.began.elapsed() < rejoin
            || self.state().dropped.get(&host).is_some_and(|at| at.elapsed() < rejoin)
    }

    /// Sends a target of which it is on disk that it may have been.
    pub(super) fn send_soon(self: &Arc<Self>, live: &Arc<Live>, index: u32) {
        {
            let mut inner = live.lock();
            let seat = &mut inner.seats[index as usize];
            if seat.ending || seat.sending {
                return;
            }
            seat.sending = true;
        }
        let (runs, live) = (self.clone(), live.clone());
        tokio::spawn(async move {
            let end = runs.send(&live, index).await;
            let attempt = {
                let mut inner = live.lock();
                let seat = &mut inner.seats[index as usize];
                seat.sending = false;
                seat.attempt
            };
            if let Some((state, why)) = end {
                let end = End { target: index, attempt, state, why };
                drop(runs.queue.send(News::End { live, ends: vec![end] }).await);
            }
        });
    }

    /// Asks the host to take it, as often as it takes. An end when it is known that it never will.
    async fn send(self: &Arc<Self>, live: &Arc<Live>, index: u32) -> Option<(TargetState, String)> {
        let (host, take, author, created_ms) = {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            let left = inner
                .deadline
                .map(|at| at.saturating_duration_since(Instant::now()).as_millis() as u64);
            let take = Take {
                id: order_id(live.id, index, seat.attempt),
                order: inner.record.start.order.clone(),
                output: Some(inner.record.keep_output),
                deadline_ms: left.map(|left| left.max(1)),
                ..Take::default()
            };
            (seat.host, take, inner.record.author.clone(), inner.record.created_ms)
        };
        let (mut first, mut busy) = (true, 0);
        loop {
            let hub = self.hub()?;
            {
                let inner = live.lock();
                let seat = &inner.seats[index as usize];
                if seat.ending {
                    return None;
                }
                if first && seat.acked.is_none() && inner.record.state == RunState::Stopping {
                    // It is not known here whether an earlier hub has sent it.
                    drop(inner);
                    self.cancel_out(live, "the run was stopped");
                    return None;
                }
            }
            first = false;
            let Ok(link) = hub.fleet.link(host) else {
                // When it is back, this is taken up again.
                self.note_away(live, index);
                return None;
            };
            let stale = cmdr_link::clock::now_ms().saturating_sub(created_ms) > STALE_MS;
            if stale && let Err(e) = may(&hub, &author, &take, host) {
                return Some((TargetState::Refused, e));
            }
            let client = Client::new(link);
            let asked = match author.caller() {
                Some(caller) => client.call_for(&caller, Some(host), &take, TAKE).await,
                None => client.call(Some(host), &take, TAKE).await,
            };
            let error = match asked {
                Ok(taken) => {
                    self.has(live, index, taken.state);
                    return None;
                }
                Err(error) => error,
            };
            match error.kind {
                ErrorKind::Busy if busy < TRIES => {
                    busy += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                // It may have it, so nothing is known until it says so.
                ErrorKind::Unreachable
                | ErrorKind::Lost
                | ErrorKind::TimedOut
                | ErrorKind::Cancelled => tokio::time::sleep(AGAIN).await,
                ErrorKind::UnknownMethod => {
                    return Some((
                        TargetState::Refused,
                        "its agent is too old to take orders of runs; upgrade it".to_owned(),
                    ));
                }
                ErrorKind::Denied | ErrorKind::OnRequest => {
                    return Some((TargetState::Refused, error.message));
                }
                _ => return Some((TargetState::Failed, error.message)),
            }
        }
    }

    /// The host has an order.
    fn has(&self, live: &Arc<Live>, index: u32, state: TargetState) {
        let mut inner = live.lock();
        let at = index as usize;
        let seat = &mut inner.seats[at];
        if seat.ending {
            return;
        }
        seat.acked.get_or_insert_with(Instant::now);
        seat.sent_ms.get_or_insert_with(cmdr_link::clock::now_ms);
        if state == TargetState::Running && seat.state == TargetState::Sent {
            inner.set(at, state);
        } else {
            inner.touch(at);
        }
        let stopping = inner.record.state == RunState::Stopping;
        drop(inner);
        live.tell();
        if stopping {
            self.cancel_out(live, "the run was stopped");
        }
    }

    /// A target's host is not there now.
    pub(super) fn note_away(&self, live: &Arc<Live>, index: u32) {
        live.lock().is_away(index as usize);
        live.tell();
        self.tick.notify_one();
    }

    /// Ends what is at hosts, wherever there is a link.
    pub(super) fn cancel_out(&self, live: &Arc<Live>, why: &str) {
        let mut orders: BTreeMap<HostId, Vec<String>> = BTreeMap::new();
        {
            let inner = live.lock();
            for (index, seat) in inner.seats.iter().enumerate() {
                if seat.is_out() {
                    let id = order_id(live.id, index as u32, seat.attempt);
                    orders.entry(seat.host).or_default().push(id);
                }
            }
        }
        for (host, ids) in orders {
            self.cancel(host, ids, why);
        }
    }

    /// Has a host end orders. Where that does not arrive, it is asked again when the link is back.
    pub(super) fn cancel(&self, host: HostId, ids: Vec<String>, why: &str) {
        let Some(hub) = self.hub() else { return };
        let Ok(link) = hub.fleet.link(host) else { return };
        let why = why.to_owned();
        tokio::spawn(async move {
            for ids in ids.chunks(CANCELS) {
                let cancel = Cancel { ids: ids.to_vec(), why: why.clone() };
                if let Err(e) = Client::new(link.clone()).call(Some(host), &cancel, TAKE).await {
                    let e: CallError = e;
                    tracing::debug!(%host, "ending orders: {e}");
                }
            }
        });
    }
}

/// Whether who began a run still may do this there.
fn may(hub: &Hub, author: &Author, take: &Take, host: HostId) -> Result<(), String> {
    let Some(who) = Runs::who(hub, author) else { return Ok(()) };
    let Some(method) = methods::index(exec::Start::METHOD) else {
        return Err("orders are not in the table of methods".to_owned());
    };
    let resource = take.order.resource();
    hub.decide(&who, method, Some(&resource), Some(host)).map(drop).map_err(|missing| {
        let why = missing.told(&who, exec::Start::METHOD, &resource);
        format!("{} may not do this there any more: {why}", author.operator)
    })
}
