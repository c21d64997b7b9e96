//! Figures as short texts: sizes, rates, shares, times. Widths are bounded so that columns are.

use unicode_width::UnicodeWidthStr;
/// Bytes in powers of 1024: `512`, `1.2K`, `38M`, `1.4T`. At most 5 cells.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1024.0)
}

/// Bytes a second: as [`bytes`], a dash for none.
pub fn rate(n: u64) -> String {
    if n == 0 { "-".into() } else { bytes(n) }
}

fn scaled(mut n: f64, step: f64) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "G", "T", "P"];
    let mut unit = 0;
    while n >= 999.5 && unit + 1 < UNITS.len() {
        n /= step;
        unit += 1;
    }
    if unit == 0 || n >= 99.95 {
        format!("{n:.0}{}", UNITS[unit])
    } else {
        format!("{n:.1}{}", UNITS[unit])
    }
}

/// Bytes with their unit spelled: `14.1 GiB`.
pub fn size(n: u64) -> String {
    let text = bytes(n);
    match text.strip_suffix(|c: char| c.is_ascii_uppercase()) {
        Some(number) => format!("{number} {}iB", &text[number.len()..]),
        None => format!("{text} B"),
    }
}

/// `83%` from permille.
pub fn percent(permille: u32) -> String {
    format!("{}%", (permille + 5) / 10)
}

/// Permille of `total` that `part` is.
pub fn permille(part: u64, total: u64) -> u32 {
    if total == 0 { 0 } else { (part as f64 / total as f64 * 1000.0).round() as u32 }
}

/// Hundredths as `0.42`.
pub fn hundredths(n: u32) -> String {
    if n >= 10_000 { format!("{}", n / 100) } else { format!("{}.{:02}", n / 100, n % 100) }
}

/// A span of time in its two largest units at most: `8s`, `4m`, `3h12m`, `41d`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago something was: as [`span`], but in steps that grow, so that an age which nobody
/// waits for is not drawn each second.
pub fn age(seconds: u64) -> String {
    const STEPS: [u64; 19] = [
        5, 10, 15, 20, 30, 40, 50, 60, 120, 180, 300, 420, 600, 900, 1200, 1800, 2700, 3600, 86_400,
    ];
    match STEPS.iter().rev().find(|step| **step <= seconds) {
        None | Some(86_400) => span(seconds),
        Some(3600) => format!("{}h", seconds / 3600),
        Some(step) => span(*step),
    }
}

/// A place in a recording, or its length: `0:05.2`, `12:34`, `1:02:03`.
pub fn length(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000, ms / 1000 % 60);
    match ms {
        0..600_000 => format!("{minutes}:{seconds:02}.{}", ms / 100 % 10),
        600_000..3_600_000 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

/// A round trip: `0.4 ms`, `12 ms`, `1.2 s`.
pub fn round_trip(us: u32) -> String {
    match us {
        0..10_000 => format!("{:.1} ms", f64::from(us) / 1000.0),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{:.1} s", f64::from(us) / 1e6),
    }
}

/// Date and time of day of a moment in seconds since 1970, in the zone of `offset_s`:
/// `14:02` today, `11-20 14:02` this year, `2024-11-20` before.
pub fn moment(at_s: u64, now_s: u64, offset_s: i32) -> String {
    let local = |s: u64| s.cast_signed() + i64::from(offset_s);
    let (day, of_day) = (local(at_s).div_euclid(86_400), local(at_s).rem_euclid(86_400));
    let (year, month, date) = civil(day);
    let today = local(now_s).div_euclid(86_400);
    let (hour, minute) = (of_day / 3600, of_day / 60 % 60);
    if day == today {
        format!("{hour:02}:{minute:02}")
    } else if year == civil(today).0 {
        format!("{month:02}-{date:02} {hour:02}:{minute:02}")
    } else {
        format!("{year}-{month:02}-{date:02}")
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's algorithm).
const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// Whole numbers with a comma each three digits.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A text, or `…` and its end where there is no room for more: of paths the end tells most.
pub fn ending(text: &str, room: usize) -> String {
    if UnicodeWidthStr::width(text) <= room {
        return text.to_owned();
    }
    let mut from = text.len();
    for (at, _) in text.char_indices().rev() {
        if UnicodeWidthStr::width(&text[at..]) + 1 > room {
            break;
        }
        from = at;
    }
    format!("…{}", &text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_never_need_more_than_five_cells() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1.0K"),
            (1_536, "1.5K"),
            (102_349, "100K"),
            (1_048_576, "1.0M"),
            (u64::MAX, "16384P"),
        ];
        for (n, text) in cases {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(size(15_139_972_792), "14.1 GiB");
        assert_eq!(size(12), "12 B");
    }

    #[test]
    fn moments_say_no_more_than_needed() {
        // 2026-11-20 14:02:00 UTC.
        let now = 1_795_183_320;
        assert_eq!(moment(now - 60, now, 0), "14:01");
        assert_eq!(moment(now - 86_400, now, 0), "11-19 14:02");
        assert_eq!(moment(951_782_400, now, 0), "2000-02-29");
        assert_eq!(moment(now, now, 8 * 3600), "22:02");
    }

    #[test]
    fn counts_have_a_comma_each_three_digits() {
        assert_eq!(count(7), "7");
        assert_eq!(count(31_002), "31,002");
        assert_eq!(count(1_000_000), "1,000,000");
    }

    #[test]
    fn ages_stand_still_the_longer_the_older_they_are() {
        let cases = [(3, "3s"), (14, "10s"), (59, "50s"), (119, "1m"), (299, "3m"), (3599, "45m")];
        for (seconds, text) in cases {
            assert_eq!(age(seconds), text);
        }
        assert_eq!([7200 + 59 * 60, 3_600_000].map(age), ["2h", "41d"]);
    }

    #[test]
    fn lengths_are_finer_the_shorter_they_are() {
        let texts = [5_240, 754_000, 3_723_900].map(length);
        assert_eq!(texts, ["0:05.2", "12:34", "1:02:03"]);
    }

    #[test]
    fn spans_are_short() {
        assert_eq!([8, 240, 11_520, 3_600_000].map(span), ["8s", "4m", "3h12m", "41d"]);
    }
}
