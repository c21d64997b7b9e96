//! Runs that begin by the clock. Each moment begins one run at most, whatever happens to the hub meanwhile:
//! the run's idempotency key is the schedule and the moment. What was due while the hub was away is not made
//! up for, and said.

use super::records::{Author, ScheduleRecord, schedule_key};
use super::start::{Origin, check};
use super::{Runs, busy, environment};
use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use crate::who::Who;
use cmdr_link::clock;
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{PutSchedule, Schedule, ScheduleListing, Start, When};
use cmdr_protocol::{CallError, ErrorKind, KeyId, Revoked, selector};
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Schedules at once.
const MOST: usize = 1000;
/// The shortest time between two runs of one.
const SHORTEST_MS: u64 = 10_000;
/// The clock is looked at again after so long at most: it may be set.
const LOOK: Duration = Duration::from_secs(5);
/// What was due longer ago than this is not begun any more.
const LATE_MS: u64 = 60_000;

pub(super) type Schedules = BTreeMap<String, ScheduleRecord>;

/// Reads all of them; a damaged one is logged and left out.
pub(super) fn load(store: &Store) -> Result<Schedules, StoreError> {
    let mut schedules = Schedules::new();
    for record in store.scan::<ScheduleRecord>(prefix::RUN_SCHEDULE)? {
        match record {
            Ok((_, record)) => {
                schedules.insert(record.schedule.name.clone(), record);
            }
            Err(e) => tracing::error!("left out: {e}"),
        }
    }
    Ok(schedules)
}

/// The first moment after a time, in milliseconds since 1970; absent when there is none any more.
fn next(when: &When, made_ms: u64, after_ms: u64) -> Result<Option<u64>, String> {
    match (when.every_ms, when.cron.trim()) {
        (Some(every), "") if every >= SHORTEST_MS => {
            let gone = after_ms.saturating_sub(made_ms) / every;
            Ok(made_ms.checked_add((gone + 1).saturating_mul(every)))
        }
        (Some(_), "") => {
            Err(format!("a schedule begins a run each {} s at most", SHORTEST_MS / 1000))
        }
        (None, cron) if !cron.is_empty() => {
            let parsed: Cron = cron.parse().map_err(|e| {
                format!(
                    "'{}' is no schedule as in a crontab (minute hour day month weekday): {e}",
                    cmdr_protocol::display::clean_to_width(cron, 80)
                )
            })?;
            let zone = match when.zone.as_str() {
                "" => TimeZone::UTC,
                name => TimeZone::get(name).map_err(|_| {
                    format!(
                        "this hub knows no time zone '{}'; one is Europe/Berlin",
                        cmdr_protocol::display::clean_to_width(name, 40)
                    )
                })?,
            };
            let after =
                i64::try_from(after_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
            let after = after.ok_or_else(|| "the clock is beyond all calendars".to_owned())?;
            let after: Zoned = after.to_zoned(zone);
            // A pattern that never comes again is none; nothing else goes wrong here.
            let found = parsed.find_next_occurrence(&after, false).ok();
            Ok(found.and_then(|at| u64::try_from(at.timestamp().as_millisecond()).ok()))
        }
        _ => Err("a schedule says either how often or when, as in a crontab".to_owned()),
    }
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
        let now = clock::now_ms();
        let next_ms = next(&when, now, now).map_err(CallError::malformed)?;
        let next_ms = next_ms.ok_or_else(|| {
            CallError::malformed("this never comes; look at the day and the month again")
        })?;
        // What it would come to now has to be allowed, and confirmed where that is asked for.
        let plan = self.plan(hub, who, &start)?;
        if let Some(refused) = plan.refused.first() {
            return Err(CallError::denied(format!(
                "this is not allowed on {}: {}",
                refused.name, refused.why
            )));
        }
        Self::check_confirmed(&plan.guard, plan.hosts.len() as u32, start.confirm)?;
        let (_sealing, mut batch) = (hub.vault.sealing().await, Batch::new());
        let record = {
            let mut schedules = self.schedules();
            if let Some(known) = schedules.get(&name) {
                may(who, author.key, known)?;
            } else if schedules.len() >= MOST {
                return Err(CallError::new(
                    ErrorKind::Busy,
                    format!("there are {MOST} schedules already; delete one first"),
                ));
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
                trouble: String::new(),
            };
            let mut record = ScheduleRecord { schedule, author };
            let order = &mut record.schedule.start.order;
            let whose = environment::of_schedule(&name);
            batch = if order.env.is_empty() {
                batch.delete(environment::key(&whose))
            } else {
                environment::seal(&hub.vault, batch, &whose, order)?
            };
            schedules.insert(name.clone(), record.clone());
            record
        };
        self.store.apply(batch.put(schedule_key(&name), &record)).await.map_err(busy)?;
        self.schedule.notify_one();
        Ok(shown(&record))
    }

    /// Those that somebody may know of.
    pub(crate) fn list_schedules(&self, who: &Who, key: KeyId) -> ScheduleListing {
        let schedules = self.schedules();
        let own = schedules.values().filter(|record| may(who, Some(key), record).is_ok());
        ScheduleListing { schedules: own.map(shown).collect() }
    }

    /// Takes one away.
    pub(crate) async fn delete_schedule(
        &self,
        who: &Who,
        key: KeyId,
        name: &str,
    ) -> Result<Revoked, CallError> {
        {
            let schedules = self.schedules();
            let Some(known) = schedules.get(name) else { return Ok(Revoked { already: true }) };
            may(who, Some(key), known)?;
        }
        let env = environment::key(&environment::of_schedule(name));
        let batch = Batch::new().delete(schedule_key(name)).delete(env);
        self.store.apply(batch).await.map_err(busy)?;
        self.schedules().remove(name);
        Ok(Revoked { already: false })
    }

    /// Begins runs by the clock, for good.
    pub(super) async fn scheduling(self: &Arc<Self>) {
        loop {
            let now = clock::now_ms();
            let due: Vec<_> = {
                let schedules = self.schedules();
                let is_due = |record: &&ScheduleRecord| {
                    record.schedule.next_ms.is_some_and(|next| next <= now)
                };
                schedules.values().filter(is_due).cloned().collect()
            };
            for record in due {
                self.begin_due(record, now).await;
            }
            let wait = self.schedules().values().filter_map(|record| record.schedule.next_ms).min();
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

    async fn begin_due(self: &Arc<Self>, mut record: ScheduleRecord, now: u64) {
        let Some(hub) = self.hub() else { return };
        let (name, due) = (record.schedule.name.clone(), record.schedule.next_ms.unwrap_or(now));
        if now.saturating_sub(due) > LATE_MS {
            "the hub was away when it was due, so it was not begun"
                .clone_into(&mut record.schedule.trouble);
        } else {
            let mut start =
                Start { key: format!("schedule {name} {due}"), ..record.schedule.start.clone() };
            let whose = environment::of_schedule(&name);
            let opened = environment::open(&self.store, &hub.vault, &whose, &mut start.order);
            let origin = Origin { schedule: name.clone(), due_ms: Some(due), parent: None };
            let who = Self::who(&hub, &record.author);
            let who = who.unwrap_or_else(|| Arc::new(Who::local()));
            let started = match opened {
                Ok(()) => self.start(&hub, &who, record.author.clone(), start, origin).await,
                Err(what) => Err(CallError::failed(what)),
            };
            match started {
                Ok(started) => {
                    record.schedule.last = started.run;
                    record.schedule.trouble.clear();
                }
                Err(e) => {
                    tracing::warn!(schedule = name, "a run that was due could not begin: {e}");
                    record.schedule.trouble = e.message;
                }
            }
        }
        let next = next(&record.schedule.when, record.schedule.made_ms, now.max(due));
        record.schedule.next_ms = next.ok().flatten();
        {
            let mut schedules = self.schedules();
            let Some(known) = schedules.get_mut(&name) else { return };
            if known.schedule.made_ms != record.schedule.made_ms {
                // Replaced meanwhile.
                return;
            }
            *known = record.clone();
        }
        // Not on disk it is decided again, and the key makes that the same run.
        if let Err(e) = self.store.apply(Batch::new().put(schedule_key(&name), &record)).await {
            tracing::warn!(schedule = name, "when it is due next could not be written: {e}");
        }
    }
}

fn shown(record: &ScheduleRecord) -> Schedule {
    let mut schedule = record.schedule.clone();
    for value in schedule.start.order.env.values_mut() {
        "\u{2039}secret\u{203a}".clone_into(value);
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
    if who.role == Role::ADMINISTRATOR || author.operator == who.operator {
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

    fn cron(text: &str, zone: &str, after: &str) -> Result<Option<String>, String> {
        let when = When { cron: text.into(), zone: zone.into(), every_ms: None };
        let after: Timestamp = after.parse().unwrap();
        let next = next(&when, 0, after.as_millisecond() as u64)?;
        Ok(next.map(|ms| Timestamp::from_millisecond(ms as i64).unwrap().to_string()))
    }

    #[test]
    fn a_crontab_line_is_read_in_its_zone() {
        let at = |text, zone, after| cron(text, zone, after).unwrap().unwrap();
        assert_eq!(at("30 3 * * *", "", "2026-01-01T03:30:00Z"), "2026-01-02T03:30:00Z");
        assert_eq!(at("30 3 * * *", "", "2026-01-01T03:29:59Z"), "2026-01-01T03:30:00Z");
        assert_eq!(
            at("0 12 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z"),
            "2026-01-01T11:00:00Z"
        );
        assert_eq!(
            at("0 12 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z"),
            "2026-07-01T10:00:00Z"
        );
        assert_eq!(at("*/15 * * * MON", "", "2026-01-01T00:00:00Z"), "2026-01-05T00:00:00Z");
        for bad in ["", "x", "61 * * * *", "* * * *"] {
            assert!(cron(bad, "", "2026-01-01T00:00:00Z").is_err(), "{bad}");
        }
        assert!(cron("* * * * *", "Mars/Olympus", "2026-01-01T00:00:00Z").is_err());
        assert_eq!(cron("0 0 30 2 *", "", "2026-01-01T00:00:00Z"), Ok(None));
    }

    #[test]
    fn every_so_often_is_counted_from_the_beginning_and_never_twice() {
        let when = When { every_ms: Some(60_000), ..When::default() };
        assert_eq!(next(&when, 1000, 1000), Ok(Some(61_000)));
        assert_eq!(next(&when, 1000, 61_000), Ok(Some(121_000)));
        // However long the hub was away.
        assert_eq!(next(&when, 1000, 1_000_000_000), Ok(Some(1_000_021_000)));
        assert!(next(&When { every_ms: Some(1), ..When::default() }, 0, 0).is_err());
        assert!(next(&When::default(), 0, 0).is_err());
    }
}
