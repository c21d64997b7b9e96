//! Times and numbers as people read and write them, the same in every program.

use std::time::Duration;

/// A number with its noun: `1 host`, `2 hosts`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A span in its two largest units: `45s`, `3m20s`, `5h`, `12d`.
pub fn span(seconds: u64) -> String {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..600 => match seconds % 60 {
            0 => format!("{m}m"),
            s => format!("{m}m{s}s"),
        },
        600..3600 => format!("{m}m"),
        3600..36000 => match m % 60 {
            0 => format!("{h}h"),
            m => format!("{h}h{m}m"),
        },
        36000..172_800 => format!("{h}h"),
        _ => format!("{d}d"),
    }
}

/// Reads `500ms`, `30s`, `5m`, `2h`, `1h30m`, `7d`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is not a duration such as 500ms, 30s, 5m, 1h30m or 7d");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = match &after[..letters] {
            "ms" => 1,
            "s" => 1000,
            "" if digits == text.trim().len() => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let part = number.checked_mul(unit).ok_or_else(bad)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(bad)?;
        rest = &after[letters..];
    }
    if total.is_zero() {
        return Err(format!("'{text}' is no time at all"));
    }
    Ok(total)
}

/// A moment in UTC as RFC 3339, to the second: `2026-11-20T19:28:47Z`.
pub fn moment(ms: u64) -> String {
    let seconds = ms / 1000;
    let (day, of_day) = (seconds / 86400, seconds % 86400);
    // Days to a date of the Gregorian calendar, after Howard Hinnant's `civil_from_days`.
    let z = day + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    let y = yoe + era * 400 + u64::from(m <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{y:04}-{m:02}-{d:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a moment in UTC: `2026-11-20`, `2026-11-20T19:28`, `2026-11-20T19:28:47Z`.
pub fn moment_ms(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "00:00"),
    };
    let numbers = |text: &str, sep: char| -> Option<Vec<u64>> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        text.split(sep).map(|part| part.parse().ok().filter(|_| digits(part))).collect()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([y, m, d], (hour, minute, second)) = (
        <[u64; 3]>::try_from(date).ok()?,
        match time.as_slice() {
            [hour, minute] => (*hour, *minute, 0),
            [hour, minute, second] => (*hour, *minute, *second),
            _ => return None,
        },
    );
    if !(1970..10_000).contains(&y) || !(1..=12).contains(&m) || !(1..=31).contains(&d) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days from a date of the Gregorian calendar, after Howard Hinnant's `days_from_civil`.
    let shifted = if m <= 2 { y - 1 } else { y };
    let (era, yoe) = (shifted / 400, shifted % 400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    let day = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    let ms = (((day * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    // A day that its month does not have comes back as another one.
    let written = format!("{y:04}-{m:02}-{d:02}T");
    moment(ms).starts_with(&written).then_some(ms)
}

/// A moment as an operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long ago.
    Ago(Duration),
    /// Milliseconds since 1970.
    At(u64),
}

impl When {
    /// Milliseconds since 1970.
    pub fn ms(self, now_ms: u64) -> u64 {
        match self {
            Self::Ago(ago) => {
                now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
            }
            Self::At(ms) => ms,
        }
    }
}

/// Reads a duration that has passed (`2h`, `-2h`), or a moment in UTC.
pub fn when(text: &str) -> Result<When, String> {
    if let Some(ms) = moment_ms(text) {
        return Ok(When::At(ms));
    }
    duration(text.strip_prefix('-').unwrap_or(text)).map(When::Ago).map_err(|_| {
        format!("'{text}' is no moment such as 2h, 7d, 2026-11-20 or 2026-11-20T19:30:00Z")
    })
}

const DAY_MS: u64 = 86_400_000;

/// A time of day, milliseconds since midnight: `10:30`, `10:30:15`.
fn of_day(text: &str) -> Option<u64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<u64> = text
        .split(':')
        .map(|part| part.parse().ok().filter(|_| digits(part)))
        .collect::<Option<_>>()?;
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let known = hour < 24 && minute < 60 && second < 60;
    known.then_some(((hour * 60 + minute) * 60 + second) * 1000)
}

/// Reads a moment by somebody's own clock: how long ago it was (`2h`, `-90s`), a time of day (the last
/// such), a date with or without one; with a `Z` at its end it is UTC.
pub fn local_ms(text: &str, now_ms: u64, utc_offset_s: i32) -> Option<u64> {
    let (text, offset_ms) = (text.trim(), i64::from(utc_offset_s) * 1000);
    if let Some(of_day) = of_day(text) {
        let local = now_ms.checked_add_signed(offset_ms)?;
        let today = local - local % DAY_MS + of_day;
        let day = if today > local { today.checked_sub(DAY_MS)? } else { today };
        return day.checked_add_signed(-offset_ms);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match when(text).ok()? {
        When::At(ms) if text.ends_with('Z') => Some(ms),
        When::At(ms) => ms.checked_add_signed(-offset_ms),
        ago @ When::Ago(_) => Some(ago.ms(now_ms)),
    }
}

/// Reads a span of time by somebody's own clock, with a moment at either end or at both: `-1h`, `10:30`,
/// `2026-11-20 08:00..09:00`, `..09:00`. A time of day at its end is the first one behind its beginning.
pub fn between(text: &str, now_ms: u64, utc_offset_s: i32) -> Option<(Option<u64>, Option<u64>)> {
    let (from, until) = text.split_once("..").unwrap_or((text, ""));
    let (from, until) = (from.trim(), until.trim());
    let since = match from {
        "" => None,
        from => Some(local_ms(from, now_ms, utc_offset_s)?),
    };
    let end = match (until, since) {
        ("", _) => None,
        (until, Some(since)) if of_day(until).is_some() => {
            // The last one before a day from then.
            let next = since.checked_add(DAY_MS)?;
            Some(local_ms(until, next, utc_offset_s)?)
        }
        (until, _) => Some(local_ms(until, now_ms, utc_offset_s)?),
    };
    let ordered = since.zip(end).is_none_or(|(since, end)| since < end);
    ((since.is_some() || end.is_some()) && ordered).then_some((since, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 14:02:00 UTC.
    const NOW: u64 = 1_795_183_320_000;
    const MINUTE: u64 = 60_000;

    #[test]
    fn a_moment_by_ones_own_clock_is_a_span_ago_a_time_of_day_or_a_date() {
        let east = 8 * 3600;
        let cases = [
            ("2h", Some(NOW - 120 * MINUTE)),
            ("-2h", Some(NOW - 120 * MINUTE)),
            ("22:02", Some(NOW)),
            ("22:01:30", Some(NOW - 30_000)),
            ("22:03", Some(NOW + MINUTE - DAY_MS)),
            ("2026-11-20 22:02", Some(NOW)),
            ("2026-11-20T14:02:00Z", Some(NOW)),
        ];
        for (text, wanted) in cases {
            assert_eq!(local_ms(text, NOW, east), wanted, "{text}");
        }
        for wrong in ["", "14", "25:00", "soon", "1:2:3:4", "-1:00", "+1:00", "节"] {
            assert_eq!(local_ms(wrong, NOW, east), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_has_a_beginning_an_end_or_both() {
        let at = |text: &str| moment_ms(text);
        let cases = [
            ("-1h", Some((Some(NOW - 60 * MINUTE), None))),
            ("10:30", Some((at("2026-11-20 10:30"), None))),
            ("2026-11-20 08:00..09:00", Some((at("2026-11-20 08:00"), at("2026-11-20 09:00")))),
            ("2026-11-18 23:00 .. 01:00", Some((at("2026-11-18 23:00"), at("2026-11-19 01:00")))),
            ("2026-11-18..2026-11-19", Some((at("2026-11-18"), at("2026-11-19")))),
            ("3h..1h", Some((Some(NOW - 180 * MINUTE), Some(NOW - 60 * MINUTE)))),
            ("..09:00", Some((None, at("2026-11-20 09:00")))),
            ("09:00..", Some((at("2026-11-20 09:00"), None))),
        ];
        for (text, wanted) in cases {
            assert_eq!(between(text, NOW, 0), wanted, "{text}");
        }
        for wrong in ["", "..", "soon", "1h..3h", "10:30..soon", "a..b..c"] {
            assert_eq!(between(wrong, NOW, 0), None, "{wrong}");
        }
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(count(0, "host"), "0 hosts");
        assert_eq!(count(1, "host"), "1 host");
        assert_eq!(count(2, "time"), "2 times");
    }

    #[test]
    fn spans_show_their_largest_units() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (200, "3m20s"),
            (3599, "59m"),
            (3600, "1h"),
            (5400, "1h30m"),
            (40_000, "11h"),
            (200_000, "2d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_moment_reads_back_from_its_text() {
        for ms in [0, 951_782_399_000, 951_782_400_000, 1_795_202_927_000, 4_102_444_799_000] {
            assert_eq!(moment_ms(&moment(ms)), Some(ms));
        }
        assert_eq!(moment_ms("1970-01-02"), Some(86_400_000));
        for wrong in
            ["", "1970", "1969-12-31", "2026-02-30", "2026-1-1T24:00", "+1970-01-01", "2026-01-01T"]
        {
            assert_eq!(moment_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(951_782_399_000), "2000-02-28T23:59:59Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(moment(1_795_202_927_000), "2026-11-20T19:28:47Z");
    }
}
