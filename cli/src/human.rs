//! Figures and times as people read them in tables. Used by every verb that prints a table.

use std::time::Duration;

/// Bytes in binary units, three digits at most: `0`, `512`, `1.5K`, `23G`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if n < 1024 {
        return n.to_string();
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1}{}", UNITS[unit])
    } else {
        format!("{value:.0}{}", UNITS[unit])
    }
}

/// Permille as percent with one digit.
pub fn percent(permille: u32) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
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

/// How long ago `then_ms` was at `now_ms`; a dash when it never was.
pub fn ago(then_ms: Option<u64>, now_ms: u64) -> String {
    then_ms.map_or_else(|| "-".to_owned(), |then| span(now_ms.saturating_sub(then) / 1000))
}

/// A round trip in milliseconds: `0.21ms`, `3.4ms`, `120ms`.
pub fn round_trip(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    if ms < 1.0 {
        format!("{ms:.2}ms")
    } else if ms < 100.0 {
        format!("{ms:.1}ms")
    } else {
        format!("{ms:.0}ms")
    }
}

/// Milliseconds with microsecond digits, for JSON.
pub fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1000.0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_three_digits() {
        let cases = [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (10 * 1024, "10K"),
            (1023 * 1024, "1.0M"),
            (16 << 30, "16G"),
            (u64::MAX, "16E"),
        ];
        for (n, text) in cases {
            assert_eq!(bytes(n), text);
        }
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
    fn moments_are_rfc_3339() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(951_782_399_000), "2000-02-28T23:59:59Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(moment(1_795_202_927_000), "2026-11-20T19:28:47Z");
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        assert_eq!(ago(Some(5_000), 1_000), "0s");
        assert_eq!(ago(None, 1_000), "-");
    }
}
