//! What charts of figures share: the lines that are drawn, units as people read them, scales, and the picture
//! ([`svg`]). The CLI and the full-screen client draw with it; it does no input or output.

pub mod scale;
pub mod svg;

use cmdr_protocol::history::Unit;
use cmdr_protocol::human;

/// A line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// What the legend calls it.
    pub label: String,
    /// What its values are counted in.
    pub unit: Unit,
    /// The values of all steps; nothing where there is none.
    pub points: Vec<Option<f64>>,
}

/// A value with its unit, as short as in a table: `12.5%`, `1.2M/s`, `3h12m`.
pub fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent => format!("{value:.1}%"),
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::Celsius => format!("{value:.1}°C"),
        Unit::Seconds => human::span(value.max(0.0) as u64),
        Unit::PerSecond => format!("{}/s", plain(value)),
        Unit::Count | Unit::Unknown => plain(value),
    }
}

/// Bytes in powers of 1024, in at most five characters.
fn bytes(n: f64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    let mut value = n.max(0.0);
    if value < 1024.0 {
        return format!("{value:.0}");
    }
    value /= 1024.0;
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

fn plain(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_carry_their_unit() {
        let all = [
            (12.34, Unit::Percent, "12.3%"),
            (1536.0, Unit::Bytes, "1.5K"),
            (3.0 * 1024.0 * 1024.0, Unit::BytesPerSecond, "3.0M/s"),
            (-1.0, Unit::Bytes, "0"),
            (90.0, Unit::Seconds, "1m30s"),
            (0.5, Unit::Count, "0.50"),
            (1e19, Unit::Bytes, "8.7E"),
        ];
        for (value, unit, text) in all {
            assert_eq!(shown(value, unit), text);
        }
    }
}
