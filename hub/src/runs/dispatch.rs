//! Decides what is to be sent next, and sends it.

use super::keeper::{End, News};
use super::live::{Inner, Live};
use super::seat::Seat;
use super::steps::Sends;
use super::{Author, Runs, order_id, parse_id, playbooks, signed};
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_protocol::orders::{Cancel, Cancelled, Occurrence, Take};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, HostId, exec, methods};
use std::collections::{BTreeMap, HashSet};
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
const STALE: Duration = Duration::from_secs(5);
/// Orders that one call ends.
const CANCELS: usize = 500;
/// A host that did not answer that is asked again so often, and so much later.
const CANCEL_TRIES: u32 = 10;
const CANCEL_AGAIN: Duration = Duration::from_secs(1);

/// What becomes of targets whose turn it is.
#[derive(Default)]
struct Picks {
    marks: Vec<u32>,
    /// So many of these for the first time.
    first: u32,
    ends: Vec<End>,
    waits: Vec<(HostId, u32)>,
}

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
        let Picks { marks, first, ends, .. } = self.pick(&hub, live);
        // Without a keeper the hub is stopping.
        if !marks.is_empty() {
            let news = News::Mark { live: live.clone(), targets: marks, first };
            drop(self.queue.send(news).await);
        }
        if !ends.is_empty() {
            drop(self.queue.send(News::End { live: live.clone(), ends }).await);
        }
    }

    fn pick(&self, hub: &Hub, live: &Arc<Live>) -> Picks {
        let mut picks = Picks::default();
        let mut inner = live.lock();
        if !inner.sends() {
            return picks;
        }
        let parallel = match inner.record.start.parallel {
            0 => u32::MAX,
            parallel => parallel,
        };
        // What has begun goes on, however many there are; the others wait for that.
        for index in std::mem::take(&mut inner.ready) {
            if inner.seats.get(index as usize).is_some_and(Seat::is_between) {
                self.pick_one(hub, &mut inner, index, &mut picks);
            }
        }
        let mut index = inner.next;
        while index < inner.seats.len()
            && inner.seats[index].wave <= inner.wave
            && inner.under_way() < parallel
        {
            if !inner.seats[index].between
                && self.pick_one(hub, &mut inner, index as u32, &mut picks)
            {
                // Counted from here on: what the keeper is told it has not written yet.
                inner.picked += 1;
                picks.first += 1;
            }
            index += 1;
        }
        inner.next = index;
        drop(inner);
        if !picks.waits.is_empty() {
            let mut by_host = self.by_host();
            for &(host, index) in &picks.waits {
                by_host.add(host, live, index);
            }
            drop(by_host);
            self.tick.notify_one();
            live.tell();
        }
        picks
    }

    /// Picks a target, unless it is picked; whether it is to be sent.
    fn pick_one(&self, hub: &Hub, inner: &mut Inner, index: u32, picks: &mut Picks) -> bool {
        let at = index as usize;
        let seat = &inner.seats[at];
        if seat.marked || seat.taken || seat.ending || seat.waits {
            return false;
        }
        let (host, attempt) = (seat.host, seat.attempt);
        let why = match hub.fleet.link(host) {
            Ok(_) => {
                inner.seats[at].taken = true;
                picks.marks.push(index);
                return true;
            }
            Err(e) if e.kind != ErrorKind::Unreachable => {
                format!("{}: it left the fleet meanwhile", e.message)
            }
            Err(_)
                if inner.record.start.when_online
                    || self.may_come_back(host)
                    || attempt == 0 && self.may_do_alone(inner, host) =>
            {
                inner.is_away(at);
                inner.seats[at].waits = true;
                picks.waits.push((host, index));
                return false;
            }
            Err(e) => e.message,
        };
        inner.seats[at].taken = true;
        picks.ends.push(End { target: index, attempt, state: TargetState::Unreachable, why });
        false
    }

    /// Whether a host that is away was there a moment ago, or the hub itself was not.
    pub(super) fn may_come_back(&self, host: HostId) -> bool {
        let rejoin = self.settings.rejoin;
        self.began.elapsed() < rejoin
            || self.state().dropped.get(&host).is_some_and(|at| at.elapsed() < rejoin)
    }

    /// Sends a target of which it is on disk that it may have been.
    pub(super) fn send_soon(self: &Arc<Self>, live: &Arc<Live>, index: u32) {
        let attempt = {
            let mut inner = live.lock();
            let seat = &mut inner.seats[index as usize];
            if seat.ending || seat.sending {
                return;
            }
            seat.sending = true;
            seat.attempt
        };
        let (runs, live) = (self.clone(), live.clone());
        tokio::spawn(async move {
            let end = runs.send(&live, index, attempt).await;
            {
                let mut inner = live.lock();
                let seat = &mut inner.seats[index as usize];
                // The host may have been quicker with the end than with the answer, and be a step further.
                seat.sending &= seat.attempt != attempt;
            }
            if let Some((state, why)) = end {
                let end = End { target: index, attempt, state, why };
                drop(runs.queue.send(News::End { live, ends: vec![end] }).await);
            }
        });
    }

    /// Asks the host to take it, as often as it takes. An end when it is known that it never will.
    async fn send(
        self: &Arc<Self>,
        live: &Arc<Live>,
        index: u32,
        attempt: u32,
    ) -> Option<(TargetState, String)> {
        let hub = self.hub()?;
        let order = match self.sends(&hub, live, index, attempt).await {
            Sends::Order(order) => *order,
            Sends::Play(play) => return self.play(&hub, live, index, attempt, *play),
            Sends::Nothing => return None,
            Sends::End(state, why) => {
                return self.ended_unsent(live, index, attempt, (state, why)).await;
            }
        };
        drop(hub);
        let (host, mut take, author, resource) = {
            let inner = live.lock();
            let take = Take {
                id: order_id(live.id, index, attempt),
                order,
                output: Some(inner.record.keep_output),
                ..Take::default()
            };
            // The host may have done it by itself for the same moment.
            let moment =
                inner.record.due_ms.filter(|_| attempt == 0 && !inner.record.moment.is_empty());
            let occurrence =
                moment.map(|due_ms| Occurrence { schedule: inner.record.moment.clone(), due_ms });
            let take = Take { occurrence, ..take };
            let resource = inner.record.start.order.resource();
            (inner.seats[index as usize].host, take, inner.record.author.clone(), resource)
        };
        let (mut first, mut busy) = (true, 0);
        loop {
            let hub = self.hub()?;
            let (asked, decided) = {
                let inner = live.lock();
                let seat = &inner.seats[index as usize];
                if seat.ending || seat.attempt != attempt || inner.hears(attempt) {
                    return None;
                }
                if first && seat.acked.is_none() && inner.record.state == RunState::Stopping {
                    // It is not known here whether an earlier hub has sent it.
                    drop(inner);
                    self.cancel_out(live, "the run was stopped");
                    return None;
                }
                (seat.asked, inner.decided)
            };
            first = false;
            let Ok(link) = hub.fleet.link(host) else {
                // When it is back, this is taken up again.
                self.note_away(live, index);
                return None;
            };
            let fresh = || !asked && decided.is_some_and(|at| at.elapsed() < STALE);
            if !fresh()
                && let Err(why) = may(&hub, live, &author, &resource, host)
            {
                return self.refused(live, index, attempt, why);
            }
            let client = Client::new(link);
            let delivered = match &take.order.push {
                // Nobody waits for what has ended meanwhile: the next look says what became of it.
                Some(push) => tokio::select! {
                    delivered = hub.blobs.deliver(client.link(), host, push) => delivered.map(drop),
                    () = Self::until_ended(live, index, attempt) => Ok(()),
                },
                None => Ok(()),
            };
            // That may have taken its time: it is decided again, and again with what is left of it.
            if take.order.push.is_some()
                && !fresh()
                && let Err(why) = may(&hub, live, &author, &resource, host)
            {
                return self.refused(live, index, attempt, why);
            }
            drop(hub);
            let sent = if let Err(e) = delivered {
                Err(e)
            } else {
                {
                    let mut inner = live.lock();
                    let left = inner
                        .deadline
                        .map(|at| at.saturating_duration_since(Instant::now()).as_millis() as u64);
                    take.deadline_ms = left.map(|left| left.max(1));
                    let stopping = inner.record.state == RunState::Stopping;
                    let seat = &mut inner.seats[index as usize];
                    if seat.ending || seat.attempt != attempt {
                        return None;
                    }
                    if stopping {
                        drop(inner);
                        self.cancel_out(live, "the run was stopped");
                        return None;
                    }
                    seat.asked = true;
                }
                match author.caller() {
                    Some(caller) => client.call_for(&caller, Some(host), &take, TAKE).await,
                    None => client.call(Some(host), &take, TAKE).await,
                }
            };
            let error = match sent {
                Ok(taken) => {
                    if let Some(own) = &taken.instead {
                        self.note_alias(host, own, live, index);
                    }
                    self.has(live, index, attempt, taken.state);
                    // How any other ended is told.
                    if taken.confirmed && taken.state.is_end() {
                        if taken.instead.is_some() {
                            let why = "the host did it by itself before, which another run has";
                            return Some((taken.state, why.to_owned()));
                        }
                        return Some(gone(live, index, taken.state));
                    }
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
                // An order that is not taken has not been begun, and never will be.
                _ => return Some((TargetState::Refused, error.message)),
            }
        }
    }

    /// The end of an attempt that this hub cannot send. Where an earlier one may have sent it, the host is asked what
    /// became of it, and whatever it is not done yet is not done any more.
    async fn ended_unsent(
        self: &Arc<Self>,
        live: &Arc<Live>,
        index: u32,
        attempt: u32,
        (state, why): (TargetState, String),
    ) -> Option<(TargetState, String)> {
        let (asked, host, id) = {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            if seat.ending || seat.attempt != attempt {
                return None;
            }
            (seat.asked, seat.host, seat.name_there(live.id, index))
        };
        if !asked {
            return Some((state, why));
        }
        let may = format!("it may have been done, and this hub cannot go on: {why}");
        for _ in 0..CANCEL_TRIES {
            match self.ask_to_end(host, std::slice::from_ref(&id), &why).await {
                Ok(answer) => {
                    let found = answer.gone.iter().find(|one| one.id == id)?;
                    return Some(match found.state {
                        // It never came there.
                        TargetState::Cancelled => (state, why),
                        _ => (TargetState::Lost, may),
                    });
                }
                Err(e) if e.kind == ErrorKind::Unreachable => {
                    // When it is back, this is taken up again.
                    self.note_away(live, index);
                    return None;
                }
                Err(e) => tracing::debug!(%host, "what became of an order: {e}"),
            }
            tokio::time::sleep(CANCEL_AGAIN).await;
        }
        Some((TargetState::Lost, may))
    }

    /// Waits until an attempt is not wanted any more.
    async fn until_ended(live: &Arc<Live>, index: u32, attempt: u32) {
        let mut news = live.news.subscribe();
        loop {
            {
                let inner = live.lock();
                let seat = &inner.seats[index as usize];
                if seat.ending
                    || seat.attempt != attempt
                    || inner.record.state == RunState::Stopping
                {
                    return;
                }
            }
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// It may not be done there any more. What was never asked of the host is refused; what may have arrived is
    /// ended there, and how that went is told by the host.
    fn refused(
        self: &Arc<Self>,
        live: &Arc<Live>,
        index: u32,
        attempt: u32,
        why: String,
    ) -> Option<(TargetState, String)> {
        let (asked, host, id) = {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            let id = if seat.attempt == attempt {
                seat.name_there(live.id, index)
            } else {
                order_id(live.id, index, attempt)
            };
            (seat.asked, seat.host, id)
        };
        if !asked {
            return Some((TargetState::Refused, why));
        }
        self.cancel(host, vec![id], &why);
        None
    }

    /// The host has an order.
    fn has(self: &Arc<Self>, live: &Arc<Live>, index: u32, attempt: u32, state: TargetState) {
        let mut inner = live.lock();
        let at = index as usize;
        let seat = &mut inner.seats[at];
        if seat.ending || seat.attempt != attempt {
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
    pub(super) fn cancel_out(self: &Arc<Self>, live: &Arc<Live>, why: &str) {
        let mut orders: BTreeMap<HostId, Vec<String>> = BTreeMap::new();
        {
            let inner = live.lock();
            for (index, seat) in inner.seats.iter().enumerate() {
                if seat.is_out() {
                    let id = seat.name_there(live.id, index as u32);
                    orders.entry(seat.host).or_default().push(id);
                }
            }
        }
        for (host, ids) in orders {
            self.cancel(host, ids, why);
        }
    }

    /// Has a host end orders. Where that does not arrive, it is asked again when the link is back.
    pub(super) fn cancel(self: &Arc<Self>, host: HostId, ids: Vec<String>, why: &str) {
        let ids = self.end_playbooks(ids, why);
        if ids.is_empty() {
            return;
        }
        let (runs, why) = (self.clone(), why.to_owned());
        tokio::spawn(async move {
            for ids in ids.chunks(CANCELS) {
                for _ in 0..CANCEL_TRIES {
                    match runs.ask_to_end(host, ids, &why).await {
                        Ok(cancelled) => {
                            runs.ended_there(host, ids, &cancelled, &why).await;
                            break;
                        }
                        Err(e) if e.kind == ErrorKind::Unreachable => return,
                        Err(e) => tracing::debug!(%host, "ending orders: {e}"),
                    }
                    tokio::time::sleep(CANCEL_AGAIN).await;
                }
            }
        });
    }

    async fn ask_to_end(
        &self,
        host: HostId,
        ids: &[String],
        why: &str,
    ) -> Result<Cancelled, CallError> {
        let gone = || CallError::new(ErrorKind::Unreachable, "the hub is stopping");
        let link = self.hub().ok_or_else(gone)?.fleet.link(host)?;
        let cancel = Cancel { ids: ids.to_vec(), why: why.to_owned() };
        Client::new(link).call(Some(host), &cancel, TAKE).await
    }

    /// Gives an end to those orders of which a host has nothing more to tell.
    async fn ended_there(&self, host: HostId, ids: &[String], answer: &Cancelled, why: &str) {
        let asked: HashSet<&String> = ids.iter().collect();
        for one in answer.gone.iter().filter(|one| asked.contains(&one.id)) {
            let own = || self.alias(host, &one.id).map(|(run, target)| (run, target, 0));
            let Some((run, target, attempt)) = parse_id(&one.id).or_else(own) else { continue };
            let Some(live) = self.open(run) else { continue };
            let own = live.lock().seats.get(target as usize).is_some_and(|seat| seat.host == host);
            if !own || !one.state.is_end() {
                continue;
            }
            let (state, why) = match one.state {
                // An agent never had it.
                TargetState::Cancelled if self.may_have_played(&live, target) => {
                    (TargetState::Lost, playbooks::UNKNOWN.to_owned())
                }
                TargetState::Cancelled => (TargetState::Cancelled, why.to_owned()),
                state => gone(&live, target, state),
            };
            let ends = vec![End { target, attempt, state, why }];
            drop(self.queue.send(News::End { live, ends }).await);
        }
    }
}

/// The end of a target whose order the host has only the name of.
fn gone(live: &Live, index: u32, state: TargetState) -> (TargetState, String) {
    if state == TargetState::Cancelled {
        return (state, "it was cancelled before it came".to_owned());
    }
    let book = live.lock().seats.get(index as usize).is_some_and(|seat| seat.stand.is_some());
    if book {
        // The state is that of a step. Whether the steps after it may be done hangs on what it printed.
        let why = "the step ended before the hub was restored from a backup; what it printed is not known";
        return (TargetState::Lost, why.to_owned());
    }
    (state, "it ended before the hub was restored from a backup".to_owned())
}

/// Whether who began a run still may do this there.
pub(super) fn may(
    hub: &Hub,
    live: &Live,
    author: &Author,
    resource: &str,
    host: HostId,
) -> Result<(), String> {
    let Some(who) = Runs::who(hub, author) else { return Ok(()) };
    let Some(method) = methods::index(exec::Start::METHOD) else {
        return Err("orders are not in the table of methods".to_owned());
    };
    let decided = match signed::decide(hub, &who, method, resource, host) {
        Ok(by) if by.signature => signed::still(hub, live),
        Ok(_) => Ok(()),
        Err(missing) => Err(missing.told(&who, exec::Start::METHOD, resource)),
    };
    decided.map_err(|why| format!("{} may not do this there any more: {why}", author.operator))
}
