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

#[cfg(test)]
mod tests {
    use super::*;

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
