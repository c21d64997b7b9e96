//! Schedules at hosts: each host is given those that it can do by itself while the hub is away, and they are taken back
//! when it should not do them any more. What hosts have done so becomes runs in `alone`.
//!
//! That a host may have a schedule is on disk before it is told of it, and stays there until the host has said that it
//! does not have it any more: so whoever asks which hosts may do something on their own gets all of them.

use super::records::{Author, ScheduleRecord};
use super::{Runs, busy, calendar};
use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use crate::who::Who;
use cmdr_link::{Client, Link, clock, codec};
use cmdr_protocol::orders::{self, MAX_SCHEDULES, MAX_TIMES};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, HostId, RunId, exec, methods};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often it is looked whether hosts should have others, while there are any.
const LOOK: Duration = Duration::from_secs(2);
/// To work out what many hosts should have takes its time: so many times as long nothing is looked at after it.
const REST: u32 = 20;
/// How long a host may take to put its schedules on disk.
const KEEP: Duration = Duration::from_secs(30);
/// Hosts that are told at once.
const AT_ONCE: usize = 64;
/// A host whose clock differs by more than this does nothing by itself.
const SKEW_MS: u64 = 30_000;
/// A host does nothing by itself any more so long after it has heard of its schedules last.
const UNTIL_MS: u64 = 14 * DAY_MS;
/// When half of that is over it is told anew.
const RENEW_MS: u64 = UNTIL_MS / 2;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// All schedules of one host together, in bytes.
const BYTES: usize = 512 * 1024;
/// Schedules that were deleted or replaced and are remembered, because hosts may have done them.
const GONE: usize = 1000;

/// The schedules that a host has, or may have, for when the hub is away: on disk before it has them, and until it
/// has said that it does not any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HandedRecord {
    /// By the names that hosts know them by.
    pub schedules: BTreeSet<String>,
}

fn handed_key(host: HostId) -> String {
    format!("{}{host}", prefix::RUN_HANDED)
}

fn gone_key(moment: &str) -> String {
    format!("{}{moment}", prefix::RUN_SCHEDULE_GONE)
}

/// What hosts have, and what is known of those that listen.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// What each host may have.
    pub(super) hosts: HashMap<HostId, BTreeSet<String>>,
    /// Those that were deleted or replaced.
    pub(super) gone: HashMap<String, ScheduleRecord>,
    /// What each was told over the link that it has now.
    told: HashMap<HostId, Vec<Arc<orders::Schedule>>>,
    /// Those that are being told now, and whether they should be looked at once more after that.
    telling: HashMap<HostId, bool>,
    /// Some have to be told again.
    undone: bool,
    /// Those that hold, as hosts are told them, and from when on they are made anew.
    made: HashMap<String, (Arc<orders::Schedule>, u64)>,
    /// Hosts that have told over their link all that they had.
    pub(super) listening: HashSet<HostId>,
    /// When each has done so last, while the hub lives.
    pub(super) heard: HashMap<HostId, u64>,
    /// Which targets the orders are that hosts began by themselves.
    pub(super) aliases: HashMap<HostId, HashMap<String, (RunId, u32)>>,
    /// Runs that were made because one host said so.
    pub(super) strays: HashMap<HostId, u32>,
}

/// What everything that decides about it looked like.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stamp {
    rights: [u64; 4],
    hosts: (usize, u64),
    /// Hosts whose clocks are off: how many, and which.
    off: (usize, u128),
}

impl Stamp {
    fn of(hub: &Hub) -> Self {
        let rights = [
            hub.keyring.version(),
            hub.rights.version(),
            hub.groups.version(),
            hub.approvals.version(),
        ];
        let mut stamp = Self { rights, ..Self::default() };
        hub.fleet.each(|host, entry| stamp.add(host, entry.changed, entry.skew_ms()));
        stamp
    }

    fn add(&mut self, host: HostId, changed: u64, skew_ms: Option<i64>) {
        self.hosts = (self.hosts.0 + 1, changed.max(self.hosts.1));
        if skew_ms.is_some_and(|skew| !is_near(skew)) {
            self.off = (self.off.0 + 1, self.off.1 ^ u128::from_be_bytes(host.0));
        }
    }
}

/// Reads what hosts may have.
pub(super) fn load(store: &Store) -> Result<Handed, StoreError> {
    let mut handed = Handed::default();
    for record in store.scan::<HandedRecord>(prefix::RUN_HANDED)? {
        match record {
            Ok((key, record)) => match key[prefix::RUN_HANDED.len()..].parse() {
                Ok(host) => {
                    handed.hosts.insert(host, record.schedules);
                }
                Err(e) => tracing::error!("left out: {key}: {e}"),
            },
            Err(e) => tracing::error!("left out: {e}"),
        }
    }
    for record in store.scan::<ScheduleRecord>(prefix::RUN_SCHEDULE_GONE)? {
        match record {
            Ok((key, record)) => {
                handed.gone.insert(key[prefix::RUN_SCHEDULE_GONE.len()..].to_owned(), record);
            }
            Err(e) => tracing::error!("left out: {e}"),
        }
    }
    Ok(handed)
}

/// What hosts call a schedule. Another one of the same name, or the same one put anew, is called otherwise.
pub(super) fn moment(record: &ScheduleRecord) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [&record.schedule.name, &record.author.operator] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    hasher.update(&record.schedule.made_ms.to_be_bytes());
    hasher.finalize().to_hex()[..24].to_owned()
}

/// Why hosts do not do a schedule by themselves; empty when they do.
pub(super) fn hub_only(record: &ScheduleRecord) -> &'static str {
    let start = &record.schedule.start;
    let order = &start.order;
    if order.runbook.is_some() {
        "the hub sends the steps of a runbook one after the other"
    } else if order.push.is_some() {
        "the hub has the content of the file"
    } else if !order.env.is_empty() {
        "the values of its variables stay at the hub"
    } else if start.waves.is_some() || start.parallel > 0 || start.halt.is_some() {
        "a host on its own knows nothing of waves, and of how it goes on others"
    } else {
        ""
    }
}

impl Handed {
    /// Hosts that may have a schedule.
    pub(super) fn hosts_of(&self, moment: &str) -> BTreeSet<HostId> {
        let have = self.hosts.iter().filter(|(_, has)| has.contains(moment));
        have.map(|(host, _)| *host).collect()
    }

    /// How many these are of each.
    pub(super) fn counts(&self) -> HashMap<&str, u32> {
        let mut counts = HashMap::new();
        for moment in self.hosts.values().flatten() {
            *counts.entry(moment.as_str()).or_default() += 1;
        }
        counts
    }

    pub(super) fn has(&self, host: HostId, moment: &str) -> bool {
        self.hosts.get(&host).is_some_and(|has| has.contains(moment))
    }

    /// Whether a host has told since a moment all that it had done: what it did then it has told. A clock that was set
    /// back says nothing.
    pub(super) fn has_told(&self, host: HostId, due: u64, now: u64) -> bool {
        self.heard.get(&host).is_some_and(|at| due <= *at && *at <= now)
    }

    /// A link begins or ends: nothing is known of the host any more.
    pub(super) fn forget_link(&mut self, host: HostId) {
        self.told.remove(&host);
        self.listening.remove(&host);
        self.aliases.remove(&host);
    }

    /// The schedule as hosts are told it, made anew when its moments or its time run out.
    fn made(&mut self, record: &ScheduleRecord, ends_ms: Option<u64>) -> Arc<orders::Schedule> {
        let (id, now) = (moment(record), clock::now_ms());
        let until = (now + UNTIL_MS).min(ends_ms.unwrap_or(u64::MAX));
        if let Some((made, renew)) = self.made.get(&id)
            && now < *renew
            && made.until_ms.is_some_and(|known| known <= ends_ms.unwrap_or(u64::MAX))
        {
            return made.clone();
        }
        let schedule = &record.schedule;
        let times = calendar::moments(&schedule.when, now, until, MAX_TIMES);
        let half = times.get(MAX_TIMES / 2).copied().unwrap_or(u64::MAX);
        let renew = if Some(until) == ends_ms { half } else { half.min(now + RENEW_MS) };
        let made = Arc::new(orders::Schedule {
            id: id.clone(),
            order: schedule.start.order.clone(),
            output: schedule.start.keep_output,
            deadline_ms: schedule.start.deadline_ms,
            times,
            every_ms: schedule.when.every_ms,
            from_ms: schedule.made_ms,
            until_ms: Some(until),
            by: format!("{} (the schedule {})", record.author.operator, schedule.name),
        });
        self.made.insert(id, (made.clone(), renew));
        made
    }
}

/// Who a schedule is done for now; nobody when they may nothing any more.
pub(super) fn who(hub: &Hub, author: &Author) -> Option<Arc<Who>> {
    let who = Runs::who(hub, author).unwrap_or_else(|| Arc::new(Who::local()));
    (!who.operator.is_empty()).then_some(who)
}

/// Whether a host's clock is near enough for it to do something by itself.
const fn is_near(skew_ms: i64) -> bool {
    skew_ms.unsigned_abs() <= SKEW_MS
}

type Wanted = HashMap<HostId, Vec<Arc<orders::Schedule>>>;

impl Runs {
    pub(super) fn handed(&self) -> MutexGuard<'_, Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host has told over its link all that it had.
    pub(super) fn listens(&self, host: HostId) {
        let mut handed = self.handed();
        handed.listening.insert(host);
        handed.heard.insert(host, clock::now_ms());
        drop(handed);
        self.hand.notify_one();
    }

    /// Keeps what hosts have as it should be, for good.
    pub(super) async fn handing(self: &Arc<Self>) {
        let (mut seen, mut rest) = (Stamp::default(), Instant::now());
        let (mut telling, places) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        loop {
            // One lock after the other: who lists schedules takes both.
            let schedules = !self.schedules().all.is_empty();
            let hosts = {
                let handed = self.handed();
                handed.undone || !(handed.hosts.is_empty() && handed.gone.is_empty())
            };
            let some = schedules || hosts;
            let asked = tokio::select! {
                () = self.hand.notified() => true,
                () = tokio::time::sleep(LOOK), if some => false,
            };
            let Some(hub) = self.hub() else { return };
            let (stamp, now) = (Stamp::of(&hub), clock::now_ms());
            let (renew, undone) = {
                let handed = self.handed();
                (handed.made.values().any(|(_, renew)| *renew <= now), handed.undone)
            };
            while telling.try_join_next().is_some() {}
            if !(asked || undone || renew || stamp != seen) {
                continue;
            }
            tokio::time::sleep_until(rest).await;
            seen = stamp;
            let began = Instant::now();
            let due = self.due_there(&hub);
            rest = Instant::now() + began.elapsed() * REST;
            // No host waits for another one's answer.
            for (host, link, list) in due {
                let (runs, places) = (self.clone(), places.clone());
                telling.spawn(async move { runs.tell_there(&places, host, link, list).await });
            }
            self.forget_gone(&hub).await;
        }
    }

    /// What each host should have.
    fn wanted(&self, hub: &Hub) -> Wanted {
        let (mut wanted, mut sizes) = (Wanted::new(), HashMap::new());
        let holds =
            |record: &&ScheduleRecord| !record.schedule.paused && hub_only(record).is_empty();
        let records: Vec<_> = self.schedules().all.values().filter(holds).cloned().collect();
        let names: HashSet<_> = records.iter().map(moment).collect();
        self.handed().made.retain(|id, _| names.contains(id));
        let method = methods::index(exec::Start::METHOD);
        for record in &records {
            let (Some(method), Some(who)) = (method, who(hub, &record.author)) else { continue };
            let start = &record.schedule.start;
            // What the hub itself would not begin, or not on all at once, hosts do not either.
            let Ok(plan) = self.plan(hub, &who, start) else { continue };
            if !plan.refused.is_empty() || plan.guard.first_of_one {
                continue;
            }
            let made = self.handed().made(record, who.expires_ms);
            let size = codec::encode(&*made).map_or(BYTES, |bytes| bytes.len());
            let resource = start.order.resource();
            for host in plan.hosts {
                let allowed = hub.decide(&who, method, Some(&resource), Some(host.id));
                if !allowed.is_ok_and(|allowed| hub.rights.is_lasting(&who, &allowed)) {
                    continue;
                }
                let list = wanted.entry(host.id).or_default();
                let taken = sizes.entry(host.id).or_insert(0_usize);
                if list.len() < MAX_SCHEDULES && *taken + size <= BYTES {
                    *taken += size;
                    list.push(made.clone());
                } else {
                    tracing::debug!(host = %host.id, schedule = %record.schedule.name, "no room at the host");
                }
            }
        }
        wanted
    }

    /// Which hosts that listen have to be told what they should have.
    fn due_there(&self, hub: &Hub) -> Vec<(HostId, Link, Vec<Arc<orders::Schedule>>)> {
        let mut wanted = self.wanted(hub);
        let (mut due, mut undone) = (Vec::new(), false);
        let listening: Vec<_> = self.handed().listening.iter().copied().collect();
        for host in listening {
            let Ok(link) = hub.fleet.link(host) else { continue };
            let mut list = wanted.remove(&host).unwrap_or_default();
            if !list.is_empty() {
                match link.health().skew_ms {
                    Some(skew) if is_near(skew) => {}
                    Some(_) => list.clear(),
                    // It is known in a moment.
                    None => {
                        undone = true;
                        continue;
                    }
                }
            }
            let mut handed = self.handed();
            let none = list.is_empty() && handed.hosts.get(&host).is_none_or(BTreeSet::is_empty);
            let same = handed.told.get(&host).is_some_and(|told| {
                told.len() == list.len() && told.iter().zip(&list).all(|(a, b)| Arc::ptr_eq(a, b))
            });
            if let Some(again) = handed.telling.get_mut(&host) {
                *again = true;
            } else if !(none || same) {
                handed.telling.insert(host, false);
                due.push((host, link, list));
            }
        }
        self.handed().undone = undone;
        due
    }

    /// Tells one host, when it is its turn.
    async fn tell_there(
        &self,
        places: &Semaphore,
        host: HostId,
        link: Link,
        list: Vec<Arc<orders::Schedule>>,
    ) {
        let place = places.acquire().await;
        let told = self.hand(host, link, list).await;
        drop(place);
        if let Err(e) = &told {
            tracing::debug!(%host, "handing out schedules: {e}");
        }
        let mut handed = self.handed();
        handed.undone |= told.is_err();
        if handed.telling.remove(&host) == Some(true) {
            self.hand.notify_one();
        }
    }

    /// Tells one host all it should have.
    async fn hand(
        &self,
        host: HostId,
        link: Link,
        mut list: Vec<Arc<orders::Schedule>>,
    ) -> Result<(), CallError> {
        let (had, has) = {
            // Nobody deletes one between this look at it and that its host is noted.
            let _changing = self.changing().await;
            let holds: HashSet<_> = self.schedules().all.values().map(moment).collect();
            list.retain(|one| holds.contains(&one.id));
            let has: BTreeSet<_> = list.iter().map(|one| one.id.clone()).collect();
            let had = self.handed().hosts.get(&host).cloned().unwrap_or_default();
            let may = had.union(&has).cloned().collect();
            self.note_handed(host, may).await?;
            (had, has)
        };
        let all = orders::Schedules { schedules: list.iter().map(|one| (**one).clone()).collect() };
        let has = match Client::new(link).call(Some(host), &all, KEEP).await {
            Ok(kept) => {
                for one in &kept.refused {
                    let why = cmdr_protocol::display::clean_to_width(&one.why, 200);
                    tracing::info!(%host, "a schedule is not done there by itself: {why}");
                }
                let refused: HashSet<_> = kept.refused.into_iter().map(|one| one.id).collect();
                has.into_iter().filter(|id| !refused.contains(id)).collect()
            }
            // An agent that is too old, or that has to keep none: it has what it had.
            Err(e)
                if matches!(
                    e.kind,
                    ErrorKind::UnknownMethod | ErrorKind::Denied | ErrorKind::Malformed
                ) =>
            {
                tracing::debug!(%host, "it keeps no schedules: {e}");
                had
            }
            Err(e) => return Err(e),
        };
        self.note_handed(host, has).await?;
        self.handed().told.insert(host, list);
        Ok(())
    }

    /// Puts on disk what a host may have.
    async fn note_handed(
        &self,
        host: HostId,
        schedules: BTreeSet<String>,
    ) -> Result<(), CallError> {
        if self.handed().hosts.get(&host).unwrap_or(&BTreeSet::new()) == &schedules {
            return Ok(());
        }
        let batch = if schedules.is_empty() {
            Batch::new().delete(handed_key(host))
        } else {
            let schedules = schedules.clone();
            Batch::new().put(handed_key(host), &HandedRecord { schedules })
        };
        self.store.apply(batch).await.map_err(busy)?;
        let mut handed = self.handed();
        if schedules.is_empty() {
            handed.hosts.remove(&host);
        } else {
            handed.hosts.insert(host, schedules);
        }
        drop(handed);
        self.tell_lists();
        Ok(())
    }

    /// Adds to a batch that a schedule was deleted or replaced, when hosts may have it.
    pub(super) fn put_gone(
        &self,
        batch: Batch,
        known: &ScheduleRecord,
    ) -> (Batch, Option<ScheduleRecord>) {
        let id = moment(known);
        if self.handed().hosts_of(&id).is_empty() {
            return (batch, None);
        }
        let record = ScheduleRecord { gone_ms: Some(clock::now_ms()), ..known.clone() };
        (batch.put(gone_key(&id), &record), Some(record))
    }

    /// What [`Self::put_gone`] has added is on disk.
    pub(super) fn is_gone(&self, gone: Option<ScheduleRecord>) {
        if let Some(record) = gone {
            self.handed().gone.insert(moment(&record), record);
        }
        self.tell_lists();
        self.hand.notify_one();
    }

    /// Forgets what no host can tell of any more: hosts that left the fleet, schedules that were deleted long ago.
    async fn forget_gone(&self, hub: &Hub) {
        let (left, old) = {
            let handed = self.handed();
            let left: Vec<_> = handed
                .hosts
                .keys()
                .filter(|host| hub.fleet.name(**host).is_none())
                .copied()
                .collect();
            let counts = handed.counts();
            let now = clock::now_ms();
            let mut unused: Vec<_> = handed
                .gone
                .iter()
                .filter(|(id, _)| !counts.contains_key(id.as_str()))
                .map(|(id, record)| (record.gone_ms.unwrap_or_default(), id.clone()))
                .collect();
            unused.sort();
            let many = handed.gone.len().saturating_sub(GONE);
            let old = |(at, (gone, _)): &(usize, (u64, String))| {
                *at < many || now.saturating_sub(*gone) > UNTIL_MS
            };
            let old: Vec<_> =
                unused.into_iter().enumerate().filter(old).map(|(_, one)| one.1).collect();
            (left, old)
        };
        if left.is_empty() && old.is_empty() {
            return;
        }
        let batch = left.iter().fold(Batch::new(), |batch, host| batch.delete(handed_key(*host)));
        let batch = old.iter().fold(batch, |batch, id| batch.delete(gone_key(id)));
        if let Err(e) = self.store.apply(batch).await {
            tracing::warn!("what hosts have of schedules is not tidied: {e}");
            return;
        }
        let mut handed = self.handed();
        for host in left {
            handed.hosts.remove(&host);
            handed.forget_link(host);
            handed.strays.remove(&host);
            handed.heard.remove(&host);
        }
        for id in old {
            handed.gone.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::runs::{Amount, Halt, Push, Runbook, Schedule, When};

    fn record(name: &str, made_ms: u64) -> ScheduleRecord {
        let when = When { cron: "* * * * *".into(), ..When::default() };
        let schedule = Schedule { name: name.into(), when, made_ms, ..Schedule::default() };
        ScheduleRecord { schedule, ..ScheduleRecord::default() }
    }

    #[test]
    fn hosts_call_a_schedule_otherwise_when_it_was_put_anew() {
        assert_eq!(moment(&record("a", 1)), moment(&record("a", 1)));
        assert_ne!(moment(&record("a", 1)), moment(&record("a", 2)));
        assert_ne!(moment(&record("a", 1)), moment(&record("b", 1)));
        assert!(orders::is_id(&moment(&record("\u{e4}/ ", 1))));
    }

    #[test]
    fn a_clock_that_goes_off_or_is_set_right_is_a_reason_to_look_again() {
        let of = |skews: [Option<i64>; 3]| {
            let mut stamp = Stamp::default();
            for (number, skew) in (1..).zip(skews) {
                stamp.add(HostId([number; 16]), 7, skew);
            }
            stamp
        };
        let near = of([None, Some(20_000), Some(-20_000)]);
        assert_eq!(near, of([Some(3), Some(10_000), None]), "nothing has to be told");
        let off = of([None, Some(40_000), Some(-20_000)]);
        assert_ne!(near, off);
        assert_ne!(off, of([None, Some(20_000), Some(-40_000)]), "another one");
    }

    #[test]
    fn what_a_host_cannot_do_on_its_own_stays_at_the_hub() {
        assert_eq!(hub_only(&record("a", 1)), "");
        let with = |change: fn(&mut ScheduleRecord)| {
            let mut record = record("a", 1);
            change(&mut record);
            hub_only(&record)
        };
        assert!(
            with(|r| r.schedule.start.order.runbook = Some(Runbook::default())).contains("steps")
        );
        assert!(with(|r| r.schedule.start.order.push = Some(Push::default())).contains("content"));
        assert!(
            with(|r| {
                r.schedule.start.order.env.insert("A".into(), String::new());
            })
            .contains("variables")
        );
        assert!(with(|r| r.schedule.start.parallel = 1).contains("waves"));
        let halt = Halt { failures: Amount::count(1) };
        let mut halting = record("a", 1);
        halting.schedule.start.halt = Some(halt);
        assert!(hub_only(&halting).contains("waves"));
    }

    #[test]
    fn moments_are_made_anew_before_they_run_out_and_never_beyond_the_end_of_a_right() {
        let mut handed = Handed::default();
        let record = record("a", 1);
        let made = handed.made(&record, None);
        let now = clock::now_ms();
        assert_eq!(made.times.len(), MAX_TIMES);
        assert!(made.times.is_sorted() && made.times[0] > now - 1000);
        assert!(made.until_ms.is_some_and(|until| until > now + RENEW_MS));
        assert!(Arc::ptr_eq(&made, &handed.made(&record, None)), "nothing is told anew before");
        let soon = handed.made(&record, Some(now + 600_000));
        assert_eq!(soon.until_ms, Some(now + 600_000));
        assert!(soon.times.len() <= 10, "{}", soon.times.len());
    }
}
