//! Runs that begin by the clock. Each moment begins one run at most, whatever happens to the hub meanwhile:
//! the run's idempotency key is the schedule and the moment. What was due while the hub was away is not made
//! up for, and said.

use super::alone::SHOWN;
use super::calendar::next;
use super::handed::{hub_only, moment};
use super::records::{Author, ScheduleRecord, schedule_key};
use super::start::{MAX_KEY, Origin, check};
use super::{Runs, busy, environment};
use crate::audit::trail::Trail;
use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, MAX_VALUE, Store, StoreError};
use crate::who::Who;
use cmdr_link::relay::Ended;
use cmdr_link::{clock, codec};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{PutSchedule, Schedule, ScheduleListing, Start, Started, UNTOLD};
use cmdr_protocol::{Call as _, CallError, ErrorKind, KeyId, Revoked, selector};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Schedules at once.
const MOST: usize = 1000;
/// The clock is looked at again after so long at most: it may be set.
const LOOK: Duration = Duration::from_secs(5);
/// The largest one: what is written into it later, such as what was wrong, has to fit besides.
const LARGEST: usize = MAX_VALUE - 4096;
/// Times without the hub that are remembered of each: hosts may tell late of what they did then.
const MISSED: usize = 16;
/// How far back the newest moments are looked for, one after the other, in milliseconds.
const SPANS_MS: [u64; 4] = [60_000, 3_600_000, 3 * 24 * 3_600_000, 500 * 24 * 3_600_000];
/// Bytes of a run's id behind the key of a moment, with what is between.
const BEHIND: usize = 17;
/// Columns of what was wrong.
const TROUBLE: usize = 300;

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    pub(super) all: BTreeMap<String, ScheduleRecord>,
    /// Held by who changes something, until it is on disk: taken before the vault's [`sealing`].
    ///
    /// [`sealing`]: crate::vault::Vault::sealing
    changing: Arc<tokio::sync::Mutex<()>>,
}

/// Reads all of them; a damaged one is logged and left out.
pub(super) fn load(store: &Store) -> Result<Schedules, StoreError> {
    let mut schedules = Schedules::default();
    for record in store.scan::<ScheduleRecord>(prefix::RUN_SCHEDULE)? {
        match record {
            Ok((_, record)) => {
                schedules.all.insert(record.schedule.name.clone(), record);
            }
            Err(e) => tracing::error!("left out: {e}"),
        }
    }
    Ok(schedules)
}

impl ScheduleRecord {
    /// Whether it may be written, now and with what is added to it later.
    fn fits(&self) -> Result<(), CallError> {
        let size = codec::encode(self).map_err(|e| CallError::failed(e.to_string()))?.len();
        if size > LARGEST {
            return Err(CallError::malformed(format!(
                "the schedule has {} KiB, and one has at most {}; have a larger script pushed as a file and run by 'then', or put it into a runbook",
                size.div_ceil(1024),
                LARGEST / 1024
            )));
        }
        Ok(())
    }

    /// Notes that the hub was away from one moment to another.
    fn miss(&mut self, from: u64, to: u64) {
        self.missed.push((from, to));
        let over = self.missed.len().saturating_sub(MISSED);
        self.missed.drain(..over);
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.schedule.next_ms.is_some_and(|next| next <= now_ms)
    }

    /// Works out anew when it is due, after the clock was set back: what was worked out by a clock that was ahead
    /// would come too late. What is begun twice by that has the same key, and is one run.
    fn set_back(&mut self, now_ms: u64) {
        // By the clock as it is now nothing of these was missed.
        self.missed.retain_mut(|(from, to)| {
            *to = now_ms.min(*to);
            from <= to
        });
        let Some(known) = self.schedule.next_ms else { return };
        let made_ms = self.schedule.made_ms.min(now_ms);
        if let Ok(Some(anew)) = next(&self.schedule.when, made_ms, now_ms)
            && anew < known
        {
            self.schedule.next_ms = Some(anew);
        }
    }
}

/// Whether a time is one of the moments of a schedule.
pub(super) fn is_moment(schedule: &Schedule, at_ms: u64) -> bool {
    let before = at_ms.checked_sub(1);
    // A line as in a crontab has its moments whenever it was put: the clock may have been ahead then.
    (schedule.when.every_ms.is_none() || at_ms > schedule.made_ms)
        && before
            .is_some_and(|before| next(&schedule.when, schedule.made_ms, before) == Ok(Some(at_ms)))
}

/// The idempotency key of the run of one moment, short enough for what may stand behind it as well. No name has a '#'.
pub(super) fn moment_key(schedule: &str, due_ms: u64) -> String {
    let plain = format!("schedule {schedule} {due_ms}");
    if plain.len() + BEHIND <= MAX_KEY {
        return plain;
    }
    format!("schedule #{} {due_ms}", &blake3::hash(schedule.as_bytes()).to_hex()[..32])
}

impl Runs {
    /// Makes a schedule or replaces one.
    pub(crate) async fn put_schedule(
        &self,
        hub: &Hub,
        who: &Who,
        author: Author,
        put: PutSchedule,
    ) -> Result<Schedule, CallError> {
        let Schedule { name, when, start, paused, .. } = put.schedule;
        selector::check_name(&name).map_err(CallError::malformed)?;
        check(&start)?;
        if !start.key.is_empty() {
            return Err(CallError::malformed("the runs of a schedule get their keys from the hub"));
        }
        // Somebody puts back what the hub has told.
        if let Some((name, _)) = start.order.env.iter().find(|(_, value)| *value == UNTOLD) {
            return Err(CallError::malformed(format!(
                "the value of the variable {} was not told and is not known here: give it again",
                clean_to_width(name, 80)
            )));
        }
        let now = clock::now_ms();
        let next_ms = next(&when, now, now).map_err(CallError::malformed)?;
        let next_ms = next_ms.ok_or_else(|| {
            CallError::malformed("this never comes; look at the day and the month again")
        })?;
        if let Some(push) = &start.order.push {
            hub.blobs.may_use(hub, who, &push.file).await?;
        }
        if let Some(callback) = &start.callback {
            hub.outbox.check(hub, callback, &author)?;
        }
        // What it would come to now has to be allowed, and confirmed where that is asked for. Of a runbook each run
        // takes the text that is the newest then; the parameters have to be right for the one of now.
        let mut now_it_is = start.clone();
        Self::pin(hub, &mut now_it_is)?;
        let plan = self.plan(hub, who, &now_it_is)?;
        if let Some(refused) = plan.refused.first() {
            return Err(CallError::denied(format!(
                "this is not allowed on {}: {}",
                refused.name, refused.why
            )));
        }
        Self::check_confirmed(&plan.guard, plan.hosts.len() as u32, start.confirm)?;
        let _changing = self.changing().await;
        let _sealing = hub.vault.sealing().await;
        let known = self.schedules().all.get(&name).cloned();
        {
            let schedules = self.schedules();
            if let Some(known) = &known {
                may(who, author.key, known)?;
            } else if schedules.all.len() >= MOST {
                return Err(CallError::new(
                    ErrorKind::Busy,
                    format!("there are {MOST} schedules already; delete one first"),
                ));
            }
        }
        let schedule = Schedule {
            name: name.clone(),
            when,
            start: Start { confirm: None, ..start },
            paused,
            operator: author.operator.clone(),
            made_ms: now,
            next_ms: (!paused).then_some(next_ms),
            last: None,
            ..Schedule::default()
        };
        let mut record = ScheduleRecord { schedule, author, ..ScheduleRecord::default() };
        let order = &mut record.schedule.start.order;
        let (whose, batch) = (environment::of_schedule(&name), Batch::new());
        let batch = if order.env.is_empty() {
            batch.delete(environment::key(&whose))
        } else {
            environment::seal(&hub.vault, batch, &whose, order)?
        };
        record.fits()?;
        let (batch, gone) = match &known {
            Some(known) => self.put_gone(batch, known),
            None => (batch, None),
        };
        self.store.apply(batch.put(schedule_key(&name), &record)).await.map_err(busy)?;
        self.schedules().all.insert(name, record.clone());
        self.is_gone(gone);
        self.schedule.notify_one();
        Ok(shown(&record, 0))
    }

    /// Lets one begin nothing, or begin runs again: all else of it stays, also whose it is.
    pub(crate) async fn pause_schedule(
        &self,
        who: &Who,
        key: KeyId,
        name: &str,
        paused: bool,
    ) -> Result<Schedule, CallError> {
        let _changing = self.changing().await;
        let known = self.schedules().all.get(name).cloned();
        let mut record = known.ok_or_else(|| {
            CallError::not_found(format!(
                "there is no schedule '{}'; cmdr run schedule lists them",
                clean_to_width(name, 80)
            ))
        })?;
        may(who, Some(key), &record)?;
        let schedule = &mut record.schedule;
        if schedule.paused != paused {
            schedule.paused = paused;
            schedule.next_ms = if paused {
                None
            } else {
                let next = next(&schedule.when, schedule.made_ms, clock::now_ms());
                next.map_err(CallError::malformed)?
            };
            self.store.apply(Batch::new().put(schedule_key(name), &record)).await.map_err(busy)?;
            self.schedules().all.insert(name.to_owned(), record.clone());
            self.schedule.notify_one();
            self.hand.notify_one();
            self.tell_lists();
        }
        let at_hosts = self.handed().counts().get(moment(&record).as_str()).copied();
        Ok(shown(&record, at_hosts.unwrap_or(0)))
    }

    /// Waits for its turn to change one.
    pub(super) async fn changing(&self) -> tokio::sync::OwnedMutexGuard<()> {
        let changing = self.schedules().changing.clone();
        changing.lock_owned().await
    }

    /// Whether one puts the content of a file on hosts.
    pub(super) fn schedules_need(&self, hash: &str) -> bool {
        let needs = |record: &ScheduleRecord| {
            record.schedule.start.order.push.as_ref().is_some_and(|push| push.file == hash)
        };
        self.schedules().all.values().any(needs)
    }

    /// Those that somebody may know of.
    pub(crate) fn list_schedules(&self, who: &Who, key: KeyId) -> ScheduleListing {
        let handed = self.handed();
        let counts = handed.counts();
        let at = |record| counts.get(moment(record).as_str()).copied().unwrap_or(0);
        let gone = handed.gone.values().filter(|record| at(record) > 0);
        let schedules = self.schedules();
        let all = schedules.all.values().chain(gone);
        let own = all.filter(|record| may(who, Some(key), record).is_ok());
        let mut schedules: Vec<_> = own.map(|record| shown(record, at(record))).collect();
        schedules.sort_by(|a, b| (&a.name, a.gone).cmp(&(&b.name, b.gone)));
        ScheduleListing { schedules }
    }

    /// Takes one away.
    pub(crate) async fn delete_schedule(
        &self,
        who: &Who,
        key: KeyId,
        name: &str,
    ) -> Result<Revoked, CallError> {
        let _changing = self.changing().await;
        let known = self.schedules().all.get(name).cloned();
        let Some(known) = known else { return Ok(Revoked { already: true }) };
        may(who, Some(key), &known)?;
        let env = environment::key(&environment::of_schedule(name));
        let batch = Batch::new().delete(schedule_key(name)).delete(env);
        let (batch, gone) = self.put_gone(batch, &known);
        self.store.apply(batch).await.map_err(busy)?;
        self.schedules().all.remove(name);
        self.is_gone(gone);
        Ok(Revoked { already: false })
    }

    /// Begins runs by the clock, for good.
    pub(super) async fn scheduling(self: &Arc<Self>) {
        // The clock may have been set back while the hub was away.
        let mut looked = u64::MAX;
        loop {
            let now = clock::now_ms();
            if now < looked {
                self.schedules().all.values_mut().for_each(|record| record.set_back(now));
            }
            looked = now;
            let due: Vec<_> = {
                let schedules = self.schedules();
                let due = schedules.all.iter().filter(|(_, record)| record.is_due(now));
                due.map(|(name, _)| name.clone()).collect()
            };
            for name in due {
                self.begin_due(&name, now).await;
            }
            let wait =
                self.schedules().all.values().filter_map(|record| record.schedule.next_ms).min();
            match wait {
                Some(next) => {
                    let wait = Duration::from_millis(next.saturating_sub(clock::now_ms()).max(1));
                    tokio::select! {
                        () = tokio::time::sleep(wait.min(LOOK)) => {}
                        () = self.schedule.notified() => {}
                    }
                }
                None => self.schedule.notified().await,
            }
        }
    }

    pub(super) async fn begin_due(self: &Arc<Self>, name: &str, now: u64) {
        let Some(hub) = self.hub() else { return };
        // Nobody replaces or deletes it half-way.
        let _changing = self.changing().await;
        let known = self.schedules().all.get(name).filter(|record| record.is_due(now)).cloned();
        let Some(mut record) = known else { return };
        let due = record.schedule.next_ms.unwrap_or(now);
        let mut from = now.max(due);
        if now.saturating_sub(due) > self.settings.late_ms {
            // What is due since then is begun as ever.
            from = now.saturating_sub(self.settings.late_ms);
            record.miss(due, from);
            let newest = newest(&record.schedule, due, from);
            if let Some(last) = self.make_missed(&hub, &record, &newest).await {
                record.schedule.last = Some(last);
                "the hub was away when it was due: its hosts do it by themselves, and it is listed with what they tell"
            } else {
                "the hub was away when it was due, so it was not begun"
            }
            .clone_into(&mut record.schedule.trouble);
        } else {
            match self.begin_by_clock(&hub, &record, due).await {
                Ok(started) => {
                    record.schedule.last = started.run;
                    record.schedule.trouble.clear();
                    self.miss_since(&hub, &mut record, due, now).await;
                }
                Err(e) => {
                    tracing::warn!(schedule = name, "a run that was due could not begin: {e}");
                    record.schedule.trouble = clean_to_width(&e.message, TROUBLE);
                    if record.fits().is_err() {
                        "it could not begin; the hub's log says why"
                            .clone_into(&mut record.schedule.trouble);
                    }
                }
            }
        }
        let next = next(&record.schedule.when, record.schedule.made_ms, from);
        record.schedule.next_ms = next.ok().flatten();
        self.schedules().all.insert(name.to_owned(), record.clone());
        // Not on disk it is decided again, and the key makes that the same run.
        if let Err(e) = self.store.apply(Batch::new().put(schedule_key(name), &record)).await {
            tracing::warn!(schedule = name, "when it is due next could not be written: {e}");
        }
        self.tell_lists();
    }

    /// Notes the moments that came between one that is begun late and now: hosts may have done them.
    async fn miss_since(
        self: &Arc<Self>,
        hub: &Hub,
        record: &mut ScheduleRecord,
        due: u64,
        now: u64,
    ) {
        let Schedule { when, made_ms, .. } = &record.schedule;
        let Ok(Some(after)) = next(when, *made_ms, due) else { return };
        if after > now {
            return;
        }
        record.miss(after, now);
        let newest = newest(&record.schedule, after, now);
        if let Some(last) = self.make_missed(hub, record, &newest).await {
            record.schedule.last = Some(last);
        }
        "the hub was away at several moments: the first was begun late, the others are what its hosts did by themselves"
            .clone_into(&mut record.schedule.trouble);
    }

    /// Begins the run of one moment: in the audit log before anything is done.
    async fn begin_by_clock(
        self: &Arc<Self>,
        hub: &Hub,
        record: &ScheduleRecord,
        due: u64,
    ) -> Result<Started, CallError> {
        let (name, author) = (&record.schedule.name, &record.author);
        let key = self.key_of_moment(record, due)?;
        let mut start = Start { key, ..record.schedule.start.clone() };
        let why = format!("by the schedule {name} of {}", author.operator);
        let asked = Self::asked_by_clock(hub, author, &why, &start).await?;
        let begun = async {
            let who = Self::who(hub, author).unwrap_or_else(|| Arc::new(Who::local()));
            if who.operator.is_empty() {
                return Err(CallError::denied(format!(
                    "{} may begin it no more: the device or key '{}' was taken away, or the operator was; put the schedule again, or delete it",
                    author.operator, author.device
                )));
            }
            let whose = environment::of_schedule(name);
            environment::open(&self.store, &hub.vault, &whose, &mut start.order)
                .map_err(CallError::failed)?;
            let moment = if hub_only(record).is_empty() { moment(record) } else { String::new() };
            let origin = Origin { schedule: name.clone(), due_ms: Some(due), moment, parent: None };
            self.start(hub, &who, author.clone(), start, origin).await
        };
        let begun = begun.await;
        if let Some(asked) = asked {
            let last = begun.as_ref().ok().and_then(|started| codec::encode(started).ok());
            let result = begun.as_ref().map(drop).map_err(CallError::clone);
            if let Err(e) = asked.end(Ended { result, last }).await
                && begun.is_ok()
            {
                tracing::error!(schedule = name, "{e}");
            }
        }
        begun
    }

    /// Records that a run is about to begin, for whom and why.
    pub(super) async fn asked_by_clock(
        hub: &Hub,
        author: &Author,
        why: &str,
        start: &Start,
    ) -> Result<Option<Trail>, CallError> {
        let caller = author.caller().unwrap_or_else(|| Caller {
            key: cmdr_link::keys::key_id(&hub.keys.public()),
            name: author.device.clone(),
            operator: author.operator.clone(),
            role: author.role,
            address: author.address.clone(),
        });
        let header = Header {
            to: None,
            method: Start::METHOD.to_owned(),
            kind: Kind::Call,
            resource: start.resource(),
            deadline_ms: None,
            trace: 0,
            caller: None,
        };
        let request = codec::encode(start).map_err(|e| CallError::failed(e.to_string()))?;
        Trail::by_clock(hub, &caller, &header, &request, why).await
    }
}

/// The newest moments of a schedule between two times, oldest first.
fn newest(schedule: &Schedule, from: u64, to: u64) -> Vec<u64> {
    let Schedule { when, made_ms, .. } = schedule;
    let before = from.saturating_sub(1);
    let mut found = Vec::new();
    // One that comes seldom is looked for in longer times.
    for span in SPANS_MS {
        let begin = to.saturating_sub(span).max(before);
        let mut at = begin;
        found.clear();
        while let Ok(Some(next)) = next(when, *made_ms, at)
            && next <= to
            && next > at
        {
            found.push(next);
            at = next;
        }
        if found.len() >= SHOWN || begin == before {
            break;
        }
    }
    found.split_off(found.len().saturating_sub(SHOWN))
}

fn shown(record: &ScheduleRecord, at_hosts: u32) -> Schedule {
    let mut schedule = record.schedule.clone();
    hub_only(record).clone_into(&mut schedule.hub_only);
    (schedule.at_hosts, schedule.gone) = (at_hosts, record.gone_ms.is_some());
    if schedule.gone {
        schedule.next_ms = None;
    }
    for value in schedule.start.order.env.values_mut() {
        UNTOLD.clone_into(value);
    }
    schedule
}

/// Whether somebody may look at a schedule and change it: their own, an administrator every one. A program's key
/// only what it made itself: what others made may be for more than its scope.
fn may(who: &Who, key: Option<KeyId>, record: &ScheduleRecord) -> Result<(), CallError> {
    let author = &record.author;
    if who.program.is_some() {
        if author.key == key && key.is_some() {
            return Ok(());
        }
        return Err(CallError::denied(format!(
            "the schedule {} was not made with this program's key; {} or an administrator may change it",
            record.schedule.name, author.operator
        )));
    }
    if who.role == Role::ADMINISTRATOR || author.is(who) {
        return Ok(());
    }
    Err(CallError::denied(format!(
        "the schedule {} is {}'s; an administrator may change it",
        record.schedule.name, record.author.operator
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::runs::When;

    fn record(when: When, made_ms: u64, next_ms: u64) -> ScheduleRecord {
        let schedule = Schedule { when, made_ms, next_ms: Some(next_ms), ..Schedule::default() };
        ScheduleRecord { schedule, ..ScheduleRecord::default() }
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_does_not_silence_a_schedule() {
        let every = When { every_ms: Some(60_000), ..When::default() };
        let year = 366 * 24 * 3600 * 1000;
        // Due by a clock that was a year ahead; now it is back.
        let mut ahead = record(every.clone(), 1000, year);
        ahead.set_back(90_000);
        assert_eq!(ahead.schedule.next_ms, Some(121_000));
        let mut made_ahead = record(every.clone(), year, year + 60_000);
        made_ahead.set_back(90_000);
        assert_eq!(made_ahead.schedule.next_ms, Some(150_000));
        let cron = When { cron: "* * * * *".into(), ..When::default() };
        let mut ahead = record(cron, 1000, year);
        ahead.set_back(90_000);
        assert_eq!(ahead.schedule.next_ms, Some(120_000));
        // What is due is due, and what is paused stays so.
        let mut due = record(every.clone(), 1000, 61_000);
        due.set_back(90_000);
        assert_eq!(due.schedule.next_ms, Some(61_000));
        let mut paused = record(every, 1000, 0);
        paused.schedule.next_ms = None;
        paused.set_back(90_000);
        assert_eq!(paused.schedule.next_ms, None);
        // Nor did it miss anything by that.
        let mut ahead = record(When { every_ms: Some(60_000), ..When::default() }, 1000, year);
        ahead.missed = vec![(10_000, 20_000), (61_000, year), (121_000, year)];
        ahead.set_back(90_000);
        assert_eq!(ahead.missed, [(10_000, 20_000), (61_000, 90_000)]);
    }

    #[test]
    fn a_line_as_in_a_crontab_has_its_moments_whenever_it_was_put() {
        let minutes = When { cron: "* * * * *".into(), ..When::default() };
        let put_ahead = record(minutes, 10_000_000, 0).schedule;
        assert!(is_moment(&put_ahead, 120_000) && !is_moment(&put_ahead, 120_001));
        // The others are counted from then.
        let every = When { every_ms: Some(60_000), ..When::default() };
        let put_ahead = record(every, 10_000_000, 0).schedule;
        assert!(!is_moment(&put_ahead, 10_000_000) && is_moment(&put_ahead, 10_060_000));
    }

    #[test]
    fn every_name_that_is_taken_makes_keys_that_are_taken_each_its_own() {
        let mut seen = std::collections::HashSet::new();
        let cut = |name: &str| {
            let name: String = name.repeat(253 / name.len());
            (1..=name.len())
                .filter(|end| name.is_char_boundary(*end))
                .map(|end| name[..end].to_owned())
                .collect::<Vec<_>>()
        };
        for name in [cut("a"), cut("日"), cut("ü")].concat() {
            assert_eq!(selector::check_name(&name), Ok(()));
            for due in [1, 1_700_000_000_000, u64::MAX] {
                let key = moment_key(&name, due);
                assert!(seen.insert(key.clone()), "{name}");
                let behind = format!("{key} {}", cmdr_protocol::RunId([255; 8]));
                for key in [key, behind] {
                    let start = Start { key, hosts: "*".into(), ..Start::default() };
                    let refused = check(&start).unwrap_err().message;
                    // It has no order; its key is not what is wrong with it.
                    assert!(!refused.contains("key"), "{name}: {refused}");
                }
            }
        }
        // Those of names that always began stay as they were.
        assert_eq!(moment_key("nightly", 7), "schedule nightly 7");
    }

    #[test]
    fn a_schedule_that_would_not_fit_into_the_store_is_refused_with_what_to_do() {
        let mut record = record(When::default(), 0, 0);
        let content = vec![0xff; 50 * 1024];
        let script = |content| cmdr_protocol::runs::Script { content, ..Default::default() };
        record.schedule.start.order.script = Some(script(content));
        assert!(record.fits().is_ok());
        record.schedule.start.order.script = Some(script(vec![0xff; 61 * 1024]));
        let refused = record.fits().unwrap_err();
        assert!(refused.message.contains("runbook"), "{refused}");
    }

    #[test]
    fn a_new_operator_of_an_old_name_has_none_of_the_old_ones_schedules() {
        let who = |since_ms| Who { operator: "ann".into(), since_ms, ..Who::default() };
        let mut record = record(When::default(), 0, 0);
        record.author = Author { operator: "ann".into(), account_ms: 1000, ..Author::default() };
        assert!(may(&who(1000), None, &record).is_ok());
        assert!(may(&who(2000), None, &record).is_err());
    }
}
