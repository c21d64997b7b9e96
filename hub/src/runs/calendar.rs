//! When schedules are due: each so often, or by a line as in a crontab, read in its zone.

use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::runs::When;
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The shortest time between two runs of one.
const SHORTEST_MS: u64 = 10_000;

/// The first moment after a time, in milliseconds since 1970; absent when there is none any more.
pub(super) fn next(when: &When, made_ms: u64, after_ms: u64) -> Result<Option<u64>, String> {
    match (when.every_ms, when.cron.trim()) {
        (Some(every), "") if every >= SHORTEST_MS => {
            let gone = after_ms.saturating_sub(made_ms) / every;
            Ok(made_ms.checked_add((gone + 1).saturating_mul(every)))
        }
        (Some(_), "") => {
            Err(format!("a schedule begins a run each {} s at most", SHORTEST_MS / 1000))
        }
        (None, cron) if !cron.is_empty() => Calendar::of(when)?.after(after_ms),
        _ => Err("a schedule says either how often or when, as in a crontab".to_owned()),
    }
}

/// A line as in a crontab, and where it is read.
struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

impl Calendar {
    fn of(when: &When) -> Result<Self, String> {
        let cron = when.cron.trim().parse().map_err(|e| {
            format!(
                "'{}' is no schedule as in a crontab (minute hour day month weekday): {e}",
                clean_to_width(when.cron.trim(), 80)
            )
        })?;
        let zone = match when.zone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| {
                format!(
                    "this hub knows no time zone '{}'; one is Europe/Berlin",
                    clean_to_width(name, 40)
                )
            })?,
        };
        Ok(Self { cron, zone })
    }

    fn after(&self, after_ms: u64) -> Result<Option<u64>, String> {
        let after =
            i64::try_from(after_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let after = after.ok_or_else(|| "the clock is beyond all calendars".to_owned())?;
        let after: Zoned = after.to_zoned(self.zone.clone());
        // A pattern that never comes again is none; nothing else goes wrong here.
        let found = self.cron.find_next_occurrence(&after, false).ok();
        Ok(found.and_then(|at| u64::try_from(at.timestamp().as_millisecond()).ok()))
    }
}

/// The moments of a crontab line after one time and up to another, at most so many.
pub(super) fn moments(when: &When, after_ms: u64, until_ms: u64, most: usize) -> Vec<u64> {
    let mut moments = Vec::new();
    if when.every_ms.is_some() {
        return moments;
    }
    let Ok(calendar) = Calendar::of(when) else { return moments };
    let mut at = after_ms;
    while let (true, Ok(Some(next))) = (moments.len() < most, calendar.after(at)) {
        if next <= at || next > until_ms {
            break;
        }
        moments.push(next);
        at = next;
    }
    moments
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
