//! How a run begins, and how it is tried again.

use super::guard::{Picked, halt_at};
use super::keeper::HeadChange;
use super::live::{Live, wave_of};
use super::records::{self, Author, KeyRecord, RunRecord};
use super::seat::Seat;
use super::{Runs, busy, environment, signed};
use crate::keyring::Standing;
use crate::server::Hub;
use crate::store::{Batch, StoreError};
use crate::who::Who;
use cmdr_link::{clock, codec};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::What;
use cmdr_protocol::runs::{Retry, RunState, Start, Started, TargetState};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, RunId, exec, methods};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::Instant;

/// The longest idempotency key, in bytes.
pub(super) const MAX_KEY: usize = 128;
/// The longest selector, and the most hosts that are named by their ids.
const MAX_HOSTS: usize = 16 * 1024;
const MAX_ONLY: usize = 16 * 1024;
/// The longest note.
const MAX_NOTE: usize = 1024;
/// The longest name of whom to tell.
const MAX_URL: usize = 2048;
/// The longest time a run may be for.
const MAX_MS: u64 = 366 * 24 * 3600 * 1000;

/// Where a run comes from, beside whoever asked.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The schedule that begins it; empty for none.
    pub schedule: String,
    /// When that was due, milliseconds since 1970.
    pub due_ms: Option<u64>,
    /// What hosts call the schedule, when they have it too; empty for none.
    pub moment: String,
    /// The run of which it is a step.
    pub parent: Option<RunId>,
}

impl Author {
    /// Who asks now.
    pub fn of(caller: &Caller, who: &Who) -> Self {
        Self {
            operator: caller.operator.clone(),
            account_ms: who.since_ms,
            key: Some(caller.key),
            program: who.program.is_some(),
            device: caller.name.clone(),
            role: caller.role,
            address: caller.address.clone(),
        }
    }
}

/// What is wrong with a request, whatever hosts there are.
pub(super) fn check(start: &Start) -> Result<(), CallError> {
    let wrong = |what: String| Err(CallError::malformed(what));
    start.order.check().map_err(CallError::malformed)?;
    if start.key.len() > MAX_KEY {
        return wrong(format!("the idempotency key is longer than {MAX_KEY} bytes"));
    }
    if start.hosts.len() > MAX_HOSTS || start.only.len() > MAX_ONLY {
        return wrong(format!(
            "the hosts take more than {MAX_HOSTS} bytes or are more than {MAX_ONLY} ids; pick them by labels"
        ));
    }
    if start.note.len() > MAX_NOTE {
        return wrong(format!("the note is longer than {MAX_NOTE} bytes"));
    }
    if let Some(callback) = &start.callback
        && (callback.url.len() > MAX_URL || callback.id.len() > MAX_URL)
    {
        return wrong(format!("the callback is longer than {MAX_URL} bytes"));
    }
    let times = [start.deadline_ms, start.expires_ms, start.patience_ms];
    if times.iter().flatten().any(|ms| *ms > MAX_MS) {
        return wrong("a time of more than a year".to_owned());
    }
    if start.deadline_ms == Some(0) {
        return wrong("a deadline of 0 is over before anything begins".to_owned());
    }
    if start.expires_ms.is_some() && !start.when_online {
        return wrong("a run expires only when it waits for hosts to be online".to_owned());
    }
    Ok(())
}

impl Runs {
    /// Who a run acts for now; none for the hub itself, which may everything.
    pub(super) fn who(hub: &Hub, author: &Author) -> Option<Arc<Who>> {
        match author.key {
            None => None,
            // Whoever has the name now is somebody else.
            Some(_) if Self::is_another(hub, author) => Some(Arc::default()),
            Some(key) if author.program => {
                // A program's key that was revoked is nobody's.
                let caller = Caller {
                    key,
                    name: String::new(),
                    operator: String::new(),
                    role: author.role,
                    address: String::new(),
                };
                Some(hub.who(&caller))
            }
            Some(key) if key == cmdr_link::keys::key_id(&hub.keys.public()) => {
                Some(Arc::new(Who::local()))
            }
            // A login that has ended took nothing back; a device that was taken away did.
            Some(key) => match hub.keyring.standing(key) {
                Standing::Active(device, _) | Standing::Expired(device)
                    if device.operator == author.operator =>
                {
                    Some(Arc::new(hub.who_is(&author.operator)))
                }
                _ => Some(Arc::default()),
            },
        }
    }

    fn is_another(hub: &Hub, author: &Author) -> bool {
        hub.keyring
            .account(&author.operator)
            .is_some_and(|account| account.created_ms != author.account_ms)
    }

    /// Begins a run for whoever asks; it is on disk when this returns.
    pub async fn start(
        self: &Arc<Self>,
        hub: &Hub,
        who: &Who,
        author: Author,
        start: Start,
        origin: Origin,
    ) -> Result<Started, CallError> {
        check(&start)?;
        let request = request_hash(&start)?;
        let once = records::once_key(&author, &origin.schedule, &start.key);
        if let Some(known) = self.known(&once, &start, &request)? {
            return Ok(known);
        }
        let mut start = start;
        if let Some(push) = &start.order.push {
            hub.blobs.may_use(hub, who, &push.file).await?;
            hub.blobs.open(&push.file).await?;
        }
        if let Some(callback) = &start.callback {
            hub.outbox.check(hub, callback, &author)?;
        }
        let plan = self.plan_pinned(hub, who, &mut start)?;
        if let Some(refused) = plan.refused.first() {
            let all = plan.refused.len();
            let more = if all > 1 { format!(", and {} more", all - 1) } else { String::new() };
            return Err(CallError::denied(format!(
                "nothing was begun: this is not allowed on {}{more}: {}",
                refused.name, refused.why
            )));
        }
        let count = plan.hosts.len() as u32;
        // What begins by the clock was confirmed when it was put there.
        if origin.schedule.is_empty() {
            Self::check_confirmed(&plan.guard, count, start.confirm)?;
        }
        Self::take_limits(hub, who, &start, &plan.hosts)?;
        let (keep, now) = (self.settings.keep_output, clock::now_ms());
        let patience = self.settings.patience.as_millis() as u64;
        let mut record = RunRecord {
            author,
            schedule: origin.schedule,
            due_ms: origin.due_ms,
            moment: origin.moment,
            parent: origin.parent,
            created_ms: now,
            from_ms: now,
            halt_at: halt_at(&start, count),
            first_of_one: plan.guard.first_of_one,
            keep_output: start.keep_output.unwrap_or(keep).min(keep),
            patience_ms: start.patience_ms.unwrap_or(patience),
            targets: count,
            waves: plan.waves,
            state: RunState::Running,
            start,
            ..RunRecord::default()
        };
        let seats: Vec<_> = plan
            .hosts
            .iter()
            .enumerate()
            .map(|(at, host)| Seat::new(host.id, &host.name, wave_of(&record.waves, at as u32)))
            .collect();
        record.sent = Self::sent_with(hub, &record, &seats);
        let key = (!record.start.key.is_empty()).then(|| (once.clone(), request.clone()));
        let Some(id) = self.put_run(hub, &mut record, &seats, key).await? else {
            // Somebody asked the same at the same time.
            return self.known(&once, &record.start, &request)?.ok_or_else(|| {
                CallError::new(ErrorKind::Busy, "another run got the same id; try again")
            });
        };
        self.begin(id, record, seats);
        Ok(Started { run: Some(id), targets: count, already: false })
    }

    /// Puts a new run on disk, with the hash of what was asked for under its idempotency key; nothing when that was
    /// used meanwhile.
    pub(super) async fn put_run(
        &self,
        hub: &Hub,
        record: &mut RunRecord,
        seats: &[Seat],
        key: Option<(String, Vec<u8>)>,
    ) -> Result<Option<RunId>, CallError> {
        let id = RunId(
            getrandom::u64()
                .map_err(|e| CallError::failed(format!("making a random id: {e}")))?
                .to_be_bytes(),
        );
        record.env = !record.start.order.env.is_empty();
        let _sealing = if record.env { Some(hub.vault.sealing().await) } else { None };
        let mut batch = Batch::new();
        if record.env {
            let (whose, order) = (environment::of_run(id), &mut record.start.order);
            batch = environment::seal(&hub.vault, batch, &whose, order)?;
        }
        // The targets say it.
        record.start.only.clear();
        batch = records::put_new(batch, id, record, seats).map_err(busy)?;
        records::check_head(record).map_err(CallError::malformed)?;
        if let Some((once, request)) = key {
            batch = batch
                .if_absent(once.clone())
                .put(once, &KeyRecord { run: id, request, gone_ms: None });
        }
        match self.store.apply(batch).await {
            Ok(()) => Ok(Some(id)),
            Err(StoreError::Conflict(_)) => Ok(None),
            Err(e) => Err(busy(e)),
        }
    }

    /// The run that somebody has begun with an idempotency key.
    pub(crate) fn with_key(&self, author: &Author, key: &str) -> Result<Option<RunId>, CallError> {
        let once = records::once_key(author, "", key);
        Ok(self.store.get::<KeyRecord>(&once).map_err(busy)?.map(|once| once.run))
    }

    /// The run that was begun with the same idempotency key, if the request is the same too.
    fn known(
        &self,
        once: &str,
        start: &Start,
        request: &[u8],
    ) -> Result<Option<Started>, CallError> {
        if start.key.is_empty() {
            return Ok(None);
        }
        let Some(once) = self.store.get::<KeyRecord>(once).map_err(busy)? else { return Ok(None) };
        if once.request != request {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "the idempotency key was used for another request, which made run {}; give each \
                     run that is meant a key of its own",
                    once.run
                ),
            ));
        }
        let targets = records::head(&self.store, once.run).map_err(busy)?;
        if targets.is_none() && once.gone_ms.is_some() {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "the idempotency key was used for run {}, which was deleted; give a run that is meant \
                     to be begun a key of its own",
                    once.run
                ),
            ));
        }
        let targets = targets.map_or(0, |record| record.targets);
        Ok(Some(Started { run: Some(once.run), targets, already: true }))
    }

    fn take_limits(hub: &Hub, who: &Who, start: &Start, hosts: &[Picked]) -> Result<(), CallError> {
        let Some(method) = methods::index(exec::Start::METHOD) else { return Ok(()) };
        let resource = start.order.resource();
        for host in hosts {
            let by = signed::decide(hub, who, method, &resource, host.id);
            if let Ok(by) = by
                && !hub.rights.take(who, &by.allowed, Some(host.id))
            {
                let limit = by.allowed.limit.unwrap_or_default();
                return Err(CallError::denied(format!(
                    "nothing was begun: the limit of {} hosts within {} minutes is reached for {}",
                    limit.hosts, limit.minutes, who.operator
                )));
            }
        }
        Ok(())
    }

    /// Which targets are sent at once: it is put on disk together with the run that they may have been.
    fn sent_with(hub: &Hub, record: &RunRecord, seats: &[Seat]) -> Vec<(u32, u32)> {
        let first = record.waves.first().copied().unwrap_or(0);
        let most = match record.start.parallel {
            0 => first,
            parallel => parallel.min(first),
        };
        let mut sent: Vec<(u32, u32)> = Vec::new();
        let mut count = 0;
        for (at, seat) in (0u32..first).zip(seats) {
            if count >= most || sent.len() > 1000 {
                break;
            }
            if hub.fleet.link(seat.host).is_err() {
                continue;
            }
            count += 1;
            match sent.last_mut() {
                Some((_, to)) if *to + 1 == at => *to = at,
                _ => sent.push((at, at)),
            }
        }
        sent
    }

    /// A run is on disk: goes at it.
    fn begin(self: &Arc<Self>, id: RunId, record: RunRecord, seats: Vec<Seat>) {
        let sent = record.sent.clone();
        let live = Arc::new(Live::new(id, record, seats, &[], 0));
        {
            let mut inner = live.lock();
            Self::set_times(&mut inner);
            inner.decided = Some(Instant::now());
        }
        self.state().open.insert(id, live.clone());
        {
            let (mut by_host, inner) = (self.by_host(), live.lock());
            for &(from, to) in &sent {
                for index in from..=to {
                    by_host.add(inner.seats[index as usize].host, &live, index);
                }
            }
        }
        self.happened(What::RunBegun, &live);
        self.tell_lists();
        for (from, to) in sent {
            for index in from..=to {
                self.send_soon(&live, index);
            }
        }
        self.pump_soon(&live);
        self.tick.notify_one();
    }

    /// Tries again where it went wrong.
    pub async fn retry(
        self: &Arc<Self>,
        hub: &Hub,
        who: &Who,
        live: &Arc<Live>,
        retry: &Retry,
    ) -> Result<Started, CallError> {
        let only: HashSet<u32> = retry.targets.iter().copied().collect();
        let wanted = |index: u32| only.is_empty() || only.contains(&index);
        let (targets, hosts, start) = {
            let inner = live.lock();
            if !inner.is_over() {
                return Err(CallError::new(
                    ErrorKind::Conflict,
                    format!("the run {} has not ended yet; stop it, or wait for it", live.id),
                ));
            }
            let takes = |state: TargetState| {
                state.may_retry() || retry.cancelled && state == TargetState::Cancelled
            };
            let mut targets = Vec::new();
            let mut hosts = Vec::new();
            for (index, seat) in inner.seats.iter().enumerate() {
                // What was lost and came back later is known by now.
                let late = seat.late == Some(TargetState::Ok);
                if wanted(index as u32) && takes(seat.state) && !late {
                    targets.push(index as u32);
                    hosts.push(seat.host);
                }
            }
            (targets, hosts, inner.record.start.clone())
        };
        if targets.is_empty() {
            return Err(CallError::not_found(format!(
                "there is nothing to try again in run {}: no target failed, was lost or unreachable",
                live.id
            )));
        }
        // Decided and guarded as if it were begun now.
        let again = Start { hosts: "*".to_owned(), only: hosts, ..start };
        let plan = self.plan(hub, who, &again)?;
        if let Some(refused) = plan.refused.first() {
            return Err(CallError::denied(format!(
                "nothing was begun: this is not allowed on {}: {}",
                refused.name, refused.why
            )));
        }
        let here: HashSet<_> = plan.hosts.iter().map(|host| host.id).collect();
        let targets: Vec<_> = {
            let inner = live.lock();
            let there = |index: &u32| here.contains(&inner.seats[*index as usize].host);
            targets.into_iter().filter(there).collect()
        };
        let count = targets.len() as u32;
        Self::check_confirmed(&plan.guard, count, retry.confirm)?;
        Self::take_limits(hub, who, &again, &plan.hosts)?;
        let decided = Some(Instant::now());
        // The keeper decides whether it is over, and has it go on: two who ask at once get one retry.
        self.change(live, HeadChange::Retry(targets)).await?;
        {
            let mut inner = live.lock();
            Self::set_times(&mut inner);
            inner.decided = decided;
        }
        self.pump_soon(live);
        self.tick.notify_one();
        Ok(Started { run: Some(live.id), targets: count, already: false })
    }
}

pub(super) fn request_hash(start: &Start) -> Result<Vec<u8>, CallError> {
    let bytes = codec::encode(start).map_err(|e| CallError::failed(e.to_string()))?;
    Ok(blake3::hash(&bytes).as_bytes()[..16].to_vec())
}
