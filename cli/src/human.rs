//! Figures and times as people read them in tables. Used by every verb that prints a table.

use cmdr_protocol::display::clean;
pub use cmdr_protocol::human::{count, moment, span};
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

/// Lines of somebody else's, harmless for a terminal, each with its end.
pub fn clean_lines(text: &str) -> String {
    text.lines().map(|line| clean(line).into_owned() + "\n").collect()
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
    fn a_time_in_the_future_is_now() {
        assert_eq!(ago(Some(5_000), 1_000), "0s");
        assert_eq!(ago(None, 1_000), "-");
    }
}
