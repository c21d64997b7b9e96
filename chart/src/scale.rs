//! Scales: from where to where values go, where an axis has its marks, and how much time a point stands for.

use crate::Line;
use cmdr_protocol::history::Unit;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Distances between marks of time that people count by, milliseconds.
const DISTANCES: [u64; 22] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    56 * DAY,
    112 * DAY,
];

/// The smallest and largest of what is shown; an axis from zero where the values are not far from it.
pub fn range(lines: &[Line]) -> (f64, f64) {
    range_of(lines.iter().flat_map(|l| &l.points).flatten().copied())
}

/// The same of values.
pub fn range_of(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let low = if low >= 0.0 && low < high * 0.6 { 0.0 } else { low };
    if high - low > f64::EPSILON * high.abs() {
        (low, high)
    } else {
        // A flat line is drawn in the middle of something.
        (if low > 0.0 { low * 0.5 } else { low - 1.0 }, high + high.abs().max(1.0) * 0.5)
    }
}

/// Round ends for an axis of these values: steps of 1, 2 or 5 times a power of ten, of bytes powers of two.
/// Percentages that are not above 100 end there at most.
pub fn round(low: f64, high: f64, unit: Unit) -> (f64, f64) {
    let is_bytes = matches!(unit, Unit::Bytes | Unit::BytesPerSecond);
    let step = nice((high - low) / 4.0, is_bytes);
    let (down, up) = ((low / step).floor() * step, (high / step).ceil() * step);
    let down = if low >= 0.0 { down.max(0.0) } else { down };
    if unit == Unit::Percent && high <= 100.0 { (down, up.min(100.0)) } else { (down, up) }
}

fn nice(step: f64, is_bytes: bool) -> f64 {
    let step = step.max(1e-6);
    if is_bytes {
        return step.log2().ceil().exp2();
    }
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|n| *n >= step).unwrap_or(10.0 * power)
}

/// How far marks of time stand from each other when there may be so many of them, milliseconds.
pub fn distance(span_ms: u64, most: u64) -> u64 {
    let most = most.max(1);
    let last = DISTANCES[DISTANCES.len() - 1];
    let fits = |distance: &u64| span_ms / distance <= most;
    DISTANCES.into_iter().find(fits).unwrap_or_else(|| span_ms.div_ceil(most).max(last))
}

/// Where marks of time stand, by the clock of this place: each so far from the one before.
pub fn times(
    from_ms: u64,
    to_ms: u64,
    distance_ms: u64,
    utc_offset_s: i32,
) -> impl Iterator<Item = u64> {
    let distance = distance_ms.max(1);
    let offset = i64::from(utc_offset_s) * 1000;
    let local = from_ms.saturating_add_signed(offset);
    let first = local.div_ceil(distance).saturating_mul(distance).saturating_add_signed(-offset);
    let next = move |at: &u64| at.checked_add(distance);
    std::iter::successors(Some(first), next).take_while(move |at| *at < to_ms).take(1000)
}

/// How much time a point stands for when about so many are to be drawn: a span that people count by, not
/// below ten seconds, milliseconds.
pub fn step(span_ms: u64, points: u64) -> u64 {
    const STEPS: [u64; 16] = [
        10 * SECOND,
        20 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        20 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        7 * DAY,
    ];
    let wanted = span_ms / points.max(1);
    STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(7 * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_line_and_no_line_at_all_have_a_range() {
        assert_eq!(range(&[]), (0.0, 1.0));
        for v in [0.0, 5.0, -3.0] {
            let line = Line { points: vec![Some(v)], ..Line::default() };
            let (low, high) = range(&[line]);
            assert!(low < v && v < high, "{low} {v} {high}");
        }
    }

    #[test]
    fn ends_are_round_and_percentages_end_at_a_hundred() {
        assert_eq!(round(0.0, 37.0, Unit::Percent), (0.0, 40.0));
        assert_eq!(round(0.0, 93.0, Unit::Percent), (0.0, 100.0));
        assert_eq!(round(61.0, 64.0, Unit::Celsius), (61.0, 64.0));
        assert_eq!(round(0.0, 3000.0, Unit::Bytes), (0.0, 3072.0));
    }

    #[test]
    fn marks_of_time_stand_at_full_hours_of_the_place() {
        let at: Vec<_> = times(0, 3 * HOUR, HOUR, 1800).collect();
        assert_eq!(at, [30 * MINUTE, 90 * MINUTE, 150 * MINUTE]);
        assert_eq!(distance(6 * HOUR, 8), HOUR);
        assert_eq!(distance(3650 * DAY, 8).cmp(&(456 * DAY)), std::cmp::Ordering::Greater);
    }

    #[test]
    fn a_step_is_never_finer_than_what_is_kept() {
        assert_eq!(step(15 * MINUTE, 300), 10 * SECOND);
        assert_eq!(step(DAY, 300), 5 * MINUTE);
        assert_eq!(step(u64::MAX, 1), 7 * DAY);
    }
}
