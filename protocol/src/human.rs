//! Times and numbers as people read them, the same in every program.

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
    fn moments_are_rfc_3339() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(951_782_399_000), "2000-02-28T23:59:59Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(moment(1_795_202_927_000), "2026-11-20T19:28:47Z");
    }
}
