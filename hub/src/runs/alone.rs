//! Runs of moments at which the hub was away: made from what hosts did by themselves (`handed`) and tell of it when they
//! are back. Such a run has the name that the hub's own would have had, so a moment has one run, whoever began it.
//!
//! A host names what it did after the schedule and the moment (`own.SCHEDULE.MOMENT`); here is looked up which target
//! that is. What came before its moment by the hub's clock waits until that is there.

use super::handed::{hub_only, moment};
use super::keeper::{End, News};
use super::live::Live;
use super::records::{KeyRecord, RunRecord, ScheduleRecord, once_key};
use super::schedules::{self, moment_key};
use super::seat::Seat;
use super::start::request_hash;
use super::{Runs, busy};
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::relay::Ended;
use cmdr_protocol::events::What;
use cmdr_protocol::orders::Told;
use cmdr_protocol::runs::{RunState, Start, TargetState};
use cmdr_protocol::{CallError, ErrorKind, HostId, RunId};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How the names of orders begin that hosts have made themselves.
const OWN: &str = "own.";
/// Names of one host that are known at a time.
const NAMES: usize = 20_000;
/// Runs that are made because one host says so, while the hub lives: it may make up what it has done.
const STRAYS: u32 = 1000;
/// What came before its moment is asked for again after so long at most.
const EARLY: Duration = Duration::from_mins(10);
/// Moments that were missed at once and of which runs are made before any host tells of them.
pub(super) const SHOWN: usize = 3;

/// Why a target of such a run was not done.
const NOT_DONE: &str = "the hub was away, and the host did not do it by itself: it was down then, or had lost its clock";
const NOT_THERE: &str = "the hub was away, and the host did not have the schedule";

/// Which target an order is that a host began by itself.
enum Own {
    Target(RunId, u32),
    /// Its moment comes in so many milliseconds.
    Early(u64),
    Unknown,
}

/// What was found of the orders in an item.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// The names of those of which it is known what they are.
    pub(super) ids: Vec<String>,
    /// There are some whose moment comes: everything is to be asked for again then.
    pub(super) again: Option<Duration>,
}

/// The schedule and the moment in the name of an order.
fn parse(id: &str) -> Option<(&str, u64)> {
    let (schedule, due) = id.strip_prefix(OWN)?.rsplit_once('.')?;
    Some((schedule, due.parse().ok()?))
}

impl Runs {
    /// The target that an order is which a host began by itself.
    pub(super) fn alias(&self, host: HostId, id: &str) -> Option<(RunId, u32)> {
        self.handed().aliases.get(&host)?.get(id).copied()
    }

    /// Notes it.
    pub(super) fn note_alias(&self, host: HostId, id: &str, live: &Live, index: u32) {
        {
            let mut handed = self.handed();
            let aliases = handed.aliases.entry(host).or_default();
            if aliases.len() >= NAMES {
                // They are looked up again.
                aliases.clear();
            }
            aliases.insert(id.to_owned(), (live.id, index));
        }
        let mut inner = live.lock();
        let Some(seat) = inner.seats.get_mut(index as usize) else { return };
        if seat.attempt == 0 && !seat.ending {
            seat.by_itself = Some(id.into());
            seat.acked.get_or_insert_with(Instant::now);
        }
    }

    /// Looks up what a host did by itself, and makes the runs of it that are not there yet.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        host: HostId,
        told: &mut Told,
    ) -> Result<Adopted, CallError> {
        let mut adopted = Adopted::default();
        let pieces = told.pieces.iter().map(|piece| &piece.id);
        let all = pieces.chain(told.reports.iter().map(|report| &report.id));
        let own: BTreeSet<String> = all.filter(|id| id.starts_with(OWN)).cloned().collect();
        for id in own {
            if self.alias(host, &id).is_none() {
                let found = match parse(&id) {
                    // Boxed: every host's task would be larger by it all the time.
                    Some((schedule, due)) => Box::pin(self.of_moment(host, schedule, due)).await?,
                    None => Own::Unknown,
                };
                match found {
                    Own::Target(run, index) => {
                        let Some(live) = self.look_for(run).await? else { continue };
                        self.note_alias(host, &id, &live, index);
                    }
                    Own::Early(ms) => {
                        told.pieces.retain(|piece| piece.id != id);
                        told.reports.retain(|report| report.id != id);
                        let wait = Duration::from_millis(ms.max(1)).min(EARLY);
                        adopted.again = Some(adopted.again.map_or(wait, |again| again.min(wait)));
                        continue;
                    }
                    // It is confirmed as what it is: an order of none of the hub's schedules.
                    Own::Unknown => continue,
                }
            }
            adopted.ids.push(id);
        }
        Ok(adopted)
    }

    async fn of_moment(
        self: &Arc<Self>,
        host: HostId,
        id: &str,
        due: u64,
    ) -> Result<Own, CallError> {
        let stopping = || CallError::new(ErrorKind::Cancelled, "the hub is stopping");
        let hub = self.hub().ok_or_else(stopping)?;
        let holds = |runs: &Self| {
            let schedules = runs.schedules();
            schedules.all.values().find(|record| moment(record) == id).cloned()
        };
        let now = clock::now_ms();
        if let Some(record) = holds(self)
            && due <= now
        {
            // It may be its turn this moment: then it is begun everywhere.
            self.begin_due(&record.schedule.name, now).await;
        }
        // What was missed is noted by whoever changes the schedule.
        let _changing = self.changing().await;
        let record = holds(self).or_else(|| self.handed().gone.get(id).cloned());
        let Some(record) = record.filter(|record| schedules::is_moment(&record.schedule, due))
        else {
            return Ok(Own::Unknown);
        };
        if due > now {
            return Ok(Own::Early(due - now));
        }
        let mut key = self.key_of_moment(&record, due)?;
        if let Some(found) = self.target_of_key(&record, &key, host).await? {
            return Ok(found);
        }
        let other = match self.run_of_key(&record, &key)? {
            Some(run) => self.is_of_another(&record, run).await?,
            None => record.gone_ms.is_some(),
        };
        if other {
            // The name is that of the schedule which took this one's place, or which this one took the place of.
            key = format!("{key} {id}");
            if let Some(found) = self.target_of_key(&record, &key, host).await? {
                return Ok(found);
            }
        }
        let missed = record.missed.iter().any(|(from, to)| (*from..=*to).contains(&due));
        let known = self.run_of_key(&record, &key)?.is_some();
        let mut hosts = if known || !(missed || record.gone_ms.is_some()) {
            BTreeMap::new()
        } else {
            self.hosts_then(&hub, &record)
        };
        let alone = hosts.is_empty();
        hosts.insert(host, true);
        // One of its own, when there is one of which it is no target.
        let key = if alone { format!("{key} {host}") } else { key };
        if alone && let Some(found) = self.target_of_key(&record, &key, host).await? {
            return Ok(found);
        }
        if alone || !missed {
            let mut handed = self.handed();
            if record.gone_ms.is_some() && handed.has_told(host, due, now) {
                return Ok(Own::Unknown);
            }
            let strays = handed.strays.entry(host).or_default();
            if *strays >= STRAYS {
                return Ok(Own::Unknown);
            }
            *strays += 1;
        }
        self.make_alone(&hub, &record, due, key.clone(), hosts, Some(host)).await?;
        Ok(self.target_of_key(&record, &key, host).await?.unwrap_or(Own::Unknown))
    }

    fn run_of_key(&self, record: &ScheduleRecord, key: &str) -> Result<Option<RunId>, CallError> {
        let once = once_key(&record.author, &record.schedule.name, key);
        Ok(self.store.get::<KeyRecord>(&once).map_err(busy)?.map(|known| known.run))
    }

    /// The idempotency key of a moment. A run that was made before its time, when a clock that was ahead had the hub
    /// believe that it missed the moment, is not that of the moment: it has the name, and nobody has done it.
    pub(super) fn key_of_moment(
        &self,
        record: &ScheduleRecord,
        due: u64,
    ) -> Result<String, CallError> {
        let plain = moment_key(&record.schedule.name, due);
        let mut key = plain.clone();
        while let Some(run) = self.run_of_key(record, &key)? {
            let after = format!("{plain} {run}");
            if self.run_of_key(record, &after)?.is_none() {
                let early = |run: &RunRecord| run.alone && run.created_ms > clock::now_ms();
                let open = self.open(run).is_some_and(|live| early(&live.lock().record));
                if !(open || self.ended(run).is_some_and(|run| early(&run))) {
                    break;
                }
            }
            key = after;
        }
        Ok(key)
    }

    /// Whether a run was begun by another schedule of the same name.
    async fn is_of_another(
        self: &Arc<Self>,
        record: &ScheduleRecord,
        run: RunId,
    ) -> Result<bool, CallError> {
        let live = self.look_for(run).await?;
        Ok(live.is_some_and(|live| live.lock().record.moment != moment(record)))
    }

    /// The target that a host is of the run with this key, if there is that run, it is of this schedule and the host is
    /// one of its targets.
    async fn target_of_key(
        self: &Arc<Self>,
        record: &ScheduleRecord,
        key: &str,
        host: HostId,
    ) -> Result<Option<Own>, CallError> {
        let Some(run) = self.run_of_key(record, key)? else { return Ok(None) };
        // One that cannot be read is not there: its hosts are needed for others.
        let Some(live) = self.look_for(run).await? else { return Ok(None) };
        let inner = live.lock();
        if inner.record.moment != moment(record) {
            // What a host did of the schedule as it was is no result of what it is now.
            return Ok(None);
        }
        let index = inner.seats.iter().position(|seat| seat.host == host);
        Ok(index.map(|index| Own::Target(run, index as u32)))
    }

    /// The hosts that a run of a moment would have been for, and which of them had the schedule.
    fn hosts_then(&self, hub: &Hub, record: &ScheduleRecord) -> BTreeMap<HostId, bool> {
        let mut hosts = BTreeMap::new();
        if record.gone_ms.is_none()
            && let Some(who) = super::handed::who(hub, &record.author)
            && let Ok(plan) = self.plan(hub, &who, &record.schedule.start)
        {
            hosts.extend(plan.hosts.into_iter().map(|host| (host.id, false)));
        }
        let handed = self.handed().hosts_of(&moment(record));
        hosts.extend(handed.into_iter().map(|host| (host, true)));
        hosts
    }

    /// Makes the runs of the newest of the moments that were missed, whether or not a host tells of them. The last one.
    pub(super) async fn make_missed(
        self: &Arc<Self>,
        hub: &Hub,
        record: &ScheduleRecord,
        moments: &[u64],
    ) -> Option<RunId> {
        let mut last = None;
        if !hub_only(record).is_empty() || self.handed().hosts_of(&moment(record)).is_empty() {
            return None;
        }
        for due in moments {
            let hosts = self.hosts_then(hub, record);
            let made = match self.key_of_moment(record, *due) {
                Ok(key) => self.make_alone(hub, record, *due, key, hosts, None).await,
                Err(e) => Err(e),
            };
            match made {
                Ok(run) => last = run.or(last),
                Err(e) => {
                    let schedule = &record.schedule.name;
                    tracing::warn!(schedule, "the run of a moment that was missed: {e}");
                }
            }
        }
        last
    }

    /// Makes a run of what these hosts did by themselves, or did not do. Which of them had the schedule is said; `now`
    /// is telling of it.
    async fn make_alone(
        self: &Arc<Self>,
        hub: &Hub,
        record: &ScheduleRecord,
        due: u64,
        key: String,
        hosts: BTreeMap<HostId, bool>,
        now: Option<HostId>,
    ) -> Result<Option<RunId>, CallError> {
        let (name, author) = (&record.schedule.name, &record.author);
        let once = once_key(author, name, &key);
        let start = Start { key, ..record.schedule.start.clone() };
        let why = format!(
            "by the schedule {name} of {}, on hosts that did it by themselves while the hub was away",
            author.operator
        );
        let mut seats: Vec<_> = hosts
            .keys()
            .map(|host| {
                let known = hub.fleet.name(*host);
                Seat::new(*host, &known.unwrap_or_else(|| host.to_string()), 0)
            })
            .collect();
        seats.sort_by(|a, b| a.name.cmp(&b.name));
        let count = seats.len() as u32;
        let now_ms = clock::now_ms();
        let keep = self.settings.keep_output;
        let mut run = RunRecord {
            author: author.clone(),
            schedule: name.clone(),
            due_ms: Some(due),
            moment: moment(record),
            alone: true,
            created_ms: now_ms,
            from_ms: now_ms,
            keep_output: start.keep_output.unwrap_or(keep).min(keep),
            patience_ms: start.patience_ms.unwrap_or(self.settings.patience.as_millis() as u64),
            targets: count,
            waves: vec![count],
            // All of them may be doing it.
            sent: vec![(0, count.saturating_sub(1))],
            state: RunState::Running,
            ..RunRecord::default()
        };
        let request = request_hash(&start)?;
        let asked = Self::asked_by_clock(hub, author, &why, &start).await?;
        run.start = start;
        let made = self.put_run(hub, &mut run, &seats, Some((once, request))).await;
        if let Some(asked) = asked {
            let result = made.as_ref().map(drop).map_err(CallError::clone);
            if let Err(e) = asked.end(Ended { result, last: None }).await {
                tracing::error!(schedule = name, "{e}");
            }
        }
        let id = made?;
        if let Some(id) = id {
            tracing::info!(schedule = name, due, run = %id, "what hosts did by themselves is a run");
            self.begin_alone(hub, id, run, seats, &hosts, now).await;
        }
        Ok(id)
    }

    /// Such a run is on disk: whoever can tell of it is waited for.
    async fn begin_alone(
        self: &Arc<Self>,
        hub: &Hub,
        id: RunId,
        record: RunRecord,
        seats: Vec<Seat>,
        hosts: &BTreeMap<HostId, bool>,
        telling: Option<HostId>,
    ) {
        let live = Arc::new(Live::new(id, record, seats, &[], 0));
        Self::set_times(&mut live.lock());
        self.state().open.insert(id, live.clone());
        {
            let (mut by_host, inner) = (self.by_host(), live.lock());
            for (index, seat) in inner.seats.iter().enumerate() {
                by_host.add(seat.host, &live, index as u32);
            }
        }
        // Those that begin to listen after this look find it by their host.
        let listening: HashSet<_> = self.handed().listening.iter().copied().collect();
        let mut ends = Vec::new();
        {
            let mut inner = live.lock();
            for index in 0..inner.seats.len() {
                let host = inner.seats[index].host;
                let why = if hosts.get(&host) != Some(&true) {
                    NOT_THERE
                } else if hub.fleet.link(host).is_err() {
                    inner.is_away(index);
                    continue;
                } else if listening.contains(&host) && telling != Some(host) {
                    NOT_DONE
                } else {
                    continue;
                };
                ends.push(not_done(index as u32, why));
            }
        }
        if !ends.is_empty() {
            drop(self.queue.send(News::End { live: live.clone(), ends }).await);
        }
        live.tell();
        self.happened(What::RunBegun, &live);
        self.tell_lists();
        self.tick.notify_one();
    }
}

fn not_done(target: u32, why: &str) -> End {
    End { target, attempt: 0, state: TargetState::Unreachable, why: why.to_owned() }
}

/// The end of a target whose host has told all it has, and nothing of this.
pub(super) fn did_not(target: u32) -> End {
    not_done(target, NOT_DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::lab::{Lab, until};

    #[test]
    fn the_name_of_what_a_host_did_has_the_schedule_and_the_moment() {
        assert_eq!(parse("own.ab12.1700000000000"), Some(("ab12", 1_700_000_000_000)));
        assert_eq!(parse("own.a.b.7"), Some(("a.b", 7)));
        for id in ["0102030405060708.0.0", "own.", "own.x", "own.x.y", "own.x.-1"] {
            assert_eq!(parse(id), None, "{id}");
        }
    }
    impl Own {
        fn run(&self) -> RunId {
            match self {
                Self::Target(run, _) => *run,
                Self::Early(ms) => panic!("in {ms} ms"),
                Self::Unknown => panic!("unknown"),
            }
        }
    }

    #[tokio::test]
    async fn a_moment_that_a_clock_which_was_ahead_had_missed_is_begun_when_it_comes() {
        let lab = Lab::new();
        let runs = &lab.hub.runs;
        let record = Lab::schedule(clock::now_ms() - 21_000, 2);
        let due = record.schedule.next_ms.unwrap();
        lab.holds(&record);
        let made = runs.make_missed(&lab.hub, &record, &[due]).await.unwrap();
        // As it is after the clock was set back.
        let ahead = runs.find(made).unwrap().unwrap();
        ahead.lock().record.created_ms += 24 * 3600 * 1000;
        for _ in 0..2 {
            // Decided again after a crash it is the same run.
            lab.holds(&record);
            runs.begin_due("tick", clock::now_ms()).await;
        }
        let all = lab.of_moment(due);
        let begun: Vec<_> = all.iter().filter(|live| !live.lock().record.alone).collect();
        assert!(all.len() == 2 && begun.len() == 1, "{}", all.len());
        let own = runs.of_moment(lab.hosts[0], &moment(&record), due).await.unwrap();
        assert_eq!(own.run(), begun[0].id);
    }

    #[tokio::test]
    async fn moments_between_one_that_is_begun_late_and_now_are_missed_and_have_one_run_each() {
        let lab = Lab::new();
        let runs = &lab.hub.runs;
        let record = Lab::schedule(clock::now_ms() - 45_000, 1);
        let made = record.schedule.made_ms;
        lab.holds(&record);
        lab.also_on(1, &record);
        runs.begin_due("tick", made + 45_000).await;
        let next = runs.schedules().all["tick"].schedule.next_ms;
        assert_eq!(next, Some(made + 50_000));
        let first = lab.of_moment(made + 10_000);
        assert!(first.len() == 1 && !first[0].lock().record.alone);
        for number in 2..5 {
            let due = made + number * 10_000;
            let all = lab.of_moment(due);
            let [live] = &all[..] else { panic!("one run of moment {number}") };
            assert!(live.lock().record.alone && live.lock().seats.len() == 2);
            for host in &lab.hosts {
                let own = runs.of_moment(*host, &moment(&record), due).await.unwrap();
                assert_eq!(own.run(), live.id);
            }
        }
    }

    #[tokio::test]
    async fn a_host_that_makes_up_what_it_did_of_a_schedule_that_is_gone_makes_few_runs() {
        let lab = Lab::new();
        let runs = &lab.hub.runs;
        let record = Lab::schedule(clock::now_ms() - 1_000_000_000, 1);
        let made = record.schedule.made_ms;
        lab.is_gone(&record);
        let of = async |number: u64| {
            let due = made + number * 10_000;
            runs.of_moment(lab.hosts[0], &moment(&record), due).await.unwrap()
        };
        runs.handed().strays.insert(lab.hosts[0], STRAYS - 3);
        for number in [1, 2, 3, 1, 2, 3] {
            assert!(matches!(of(number).await, Own::Target(..)), "{number}");
        }
        assert!(matches!(of(4).await, Own::Unknown));
        // Nor does it tell of what was before it told all that it had.
        runs.handed().strays.clear();
        runs.listens(lab.hosts[0]);
        assert!(matches!(of(4).await, Own::Unknown));
        assert!(matches!(of(1).await, Own::Target(..)), "what is known stays so");
    }

    #[tokio::test]
    async fn a_damaged_run_does_not_keep_its_host_from_being_heard() {
        let lab = Lab::new();
        let runs = &lab.hub.runs;
        let record = Lab::schedule(clock::now_ms() - 21_000, 2);
        let due = record.schedule.next_ms.unwrap();
        lab.holds(&record);
        let run = runs.make_missed(&lab.hub, &record, &[due]).await.unwrap();
        let live = runs.find(run).unwrap().unwrap();
        let stops = runs.stop(&live, "").await;
        assert!(stops.is_ok(), "{stops:?}");
        let end = End { target: 0, attempt: 0, state: TargetState::Lost, why: String::new() };
        lab.news(News::End { live: live.clone(), ends: vec![end] }).await;
        until(&live, super::super::live::Inner::is_over).await;
        drop(live);
        {
            let mut state = runs.state();
            state.looked.clear();
            state.held.clear();
        }
        let broken = crate::store::Batch::new().put(super::super::records::head_key(run), &"?");
        lab.hub.store.apply(broken).await.unwrap();
        let id = format!("{OWN}{}.{due}", moment(&record));
        let piece = cmdr_protocol::orders::Piece { id, ..Default::default() };
        let mut told = Told { pieces: vec![piece], ..Told::default() };
        for _ in 0..2 {
            runs.adopt(lab.hosts[0], &mut told).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_host_did_of_a_schedule_as_it_was_is_no_result_of_what_it_is_now() {
        let lab = Lab::new();
        let runs = &lab.hub.runs;
        let now = clock::now_ms();
        let (was, is) = (Lab::schedule(now - 41_000, 4), Lab::schedule(now - 21_000, 2));
        let due = is.schedule.next_ms.unwrap();
        assert_eq!(was.schedule.next_ms, Some(due));
        lab.is_gone(&was);
        lab.holds(&is);
        runs.begin_due("tick", clock::now_ms()).await;
        let all = lab.of_moment(due);
        let [now] = &all[..] else { panic!("one run") };
        let own = runs.of_moment(lab.hosts[0], &moment(&was), due).await.unwrap();
        assert_ne!(own.run(), now.id);
        let then = runs.find(own.run()).unwrap().unwrap();
        assert!(then.lock().record.alone && then.lock().record.moment == moment(&was));
        // Told again it is the same, and of what it is now the hub's own run.
        let again = runs.of_moment(lab.hosts[0], &moment(&was), due).await.unwrap();
        assert_eq!(again.run(), own.run());
        let own = runs.of_moment(lab.hosts[0], &moment(&is), due).await.unwrap();
        assert_eq!(own.run(), now.id);
    }
}
