//! Thinning: what many samples become when one point stands for all of them. Used when a tier ages
//! into the next one, and by queries for each of their steps, so both mean the same.
//!
//! A thinned gauge keeps how many samples there were, their sum, smallest, largest, 95th percentile
//! and last; a thinned counter how many, how much it grew since the sample before, and the last. The
//! percentile of a point made of samples is exact (nearest rank). That of a point made of points is the
//! nearest rank over theirs, each counting as often as it has samples: it is never below the smallest nor
//! above the largest of them, but no longer exact.

use crate::names::Kind;
use crate::rows::Points;

/// Columns of a thinned gauge.
pub(crate) const COUNT: usize = 0;
pub(crate) const SUM: usize = 1;
pub(crate) const MIN: usize = 2;
pub(crate) const MAX: usize = 3;
pub(crate) const P95: usize = 4;
pub(crate) const LAST: usize = 5;
/// Columns of a thinned counter; its first is `COUNT` too.
pub(crate) const GROWN: usize = 1;
pub(crate) const COUNTED: usize = 2;

/// What one point stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) count: i64,
    pub(crate) sum: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) p95: i64,
    pub(crate) last: i64,
    pub(crate) grown: i64,
}

const NOTHING: Bucket =
    Bucket { count: 0, sum: 0, min: i64::MAX, max: i64::MIN, p95: 0, last: 0, grown: 0 };

/// The nearest rank of 95 in 100 of values that each count so often.
pub(crate) fn p95(values: &mut [(i64, i64)]) -> i64 {
    values.sort_unstable();
    let all: i64 = values.iter().map(|v| v.1).sum();
    let mut rank = (i128::from(all) * 95).div_euclid(100) as i64;
    if i128::from(rank) * 100 < i128::from(all) * 95 {
        rank += 1;
    }
    let mut seen = 0;
    for (v, n) in values.iter() {
        seen += n;
        if seen >= rank {
            return *v;
        }
    }
    values.last().map(|v| v.0).unwrap_or_default()
}

/// How much a counter grew from one value to the next. One that is smaller than before began anew.
pub(crate) fn growth(before: i64, now: i64) -> i64 {
    if now >= before { now.saturating_sub(before) } else { now.max(0) }
}

/// Goes through points in order and tells `each` of every step of time that has some. Growth of a counter
/// begins at its first point, or after `before`, the value that it had earlier. The percentile is right only
/// if `ranked`, because it needs all values in order.
pub(crate) fn buckets(
    points: &Points,
    raw: bool,
    kind: Kind,
    step: i64,
    before: Option<i64>,
    ranked: bool,
    mut each: impl FnMut(i64, Bucket),
) {
    if raw {
        return raw_buckets(points, step, before, ranked, each);
    }
    let column = |i: usize| points.columns.get(i).map_or(&[][..], |c| &c[..]);
    let value = |i: usize, at: usize| column(i).get(at).copied();
    let gauge = kind == Kind::Gauge;
    let mut ranks: Vec<(i64, i64)> = Vec::new();
    let mut at = 0;
    while at < points.times.len() {
        let start = points.times[at].div_euclid(step) * step;
        let mut b = NOTHING;
        ranks.clear();
        while at < points.times.len() && points.times[at] < start + step {
            // Columns that were not asked for are empty; nothing that uses them is told.
            let count = value(COUNT, at).unwrap_or(1).max(1);
            b.count += count;
            b.last = value(if gauge { LAST } else { COUNTED }, at).unwrap_or_default();
            if gauge {
                b.sum = b.sum.saturating_add(value(SUM, at).unwrap_or_default());
                b.min = b.min.min(value(MIN, at).unwrap_or(i64::MAX));
                b.max = b.max.max(value(MAX, at).unwrap_or(i64::MIN));
                if let Some(v) = value(P95, at).filter(|_| ranked) {
                    ranks.push((v, count));
                }
            } else {
                b.grown = b.grown.saturating_add(value(GROWN, at).unwrap_or_default());
            }
            at += 1;
        }
        if ranked {
            b.p95 = p95(&mut ranks);
        }
        each(start, b);
    }
}

fn raw_buckets(
    points: &Points,
    step: i64,
    mut before: Option<i64>,
    ranked: bool,
    mut each: impl FnMut(i64, Bucket),
) {
    let mut ranks: Vec<(i64, i64)> = Vec::new();
    let values = points.columns.first().map_or(&[][..], |c| &c[..]);
    let mut samples = points.times.iter().zip(values).peekable();
    let mut start = i64::MIN;
    while let Some((t, _)) = samples.peek() {
        start = match **t - start.max(0) {
            // Mostly the next step is the one after: no division.
            d if start > 0 && d >= step && d < 2 * step => start + step,
            _ => t.div_euclid(step) * step,
        };
        let mut b = NOTHING;
        ranks.clear();
        while let Some((_, v)) = samples.next_if(|(t, _)| **t < start + step) {
            b.count += 1;
            b.sum = b.sum.saturating_add(*v);
            b.min = b.min.min(*v);
            b.max = b.max.max(*v);
            b.grown = b.grown.saturating_add(before.map_or(0, |last| growth(last, *v)));
            b.last = *v;
            before = Some(*v);
            if ranked {
                ranks.push((*v, 1));
            }
        }
        if ranked {
            b.p95 = p95(&mut ranks);
        }
        each(start, b);
    }
}

/// Raw points in the shape of thinned ones, so that both can stand behind each other.
pub(crate) fn widen(points: Points, kind: Kind, mut before: Option<i64>) -> Points {
    let values = points.columns.into_iter().next().unwrap_or_default();
    let ones = vec![1; values.len()];
    let columns = match kind {
        Kind::Gauge => {
            vec![ones, values.clone(), values.clone(), values.clone(), values.clone(), values]
        }
        Kind::Counter => {
            let grown = values.iter().map(|v| before.replace(*v).map_or(0, |b| growth(b, *v)));
            vec![ones, grown.collect(), values]
        }
    };
    Points { times: points.times, columns }
}

/// Points of a coarser tier.
pub(crate) fn thin(
    points: &Points,
    raw: bool,
    kind: Kind,
    step: i64,
    before: Option<i64>,
) -> Points {
    let n = if kind == Kind::Gauge { 6 } else { 3 };
    let mut thinned = Points { times: Vec::new(), columns: vec![Vec::new(); n] };
    buckets(points, raw, kind, step, before, kind == Kind::Gauge, |start, b| {
        thinned.times.push(start);
        let gauge = [b.count, b.sum, b.min, b.max, b.p95, b.last];
        let counter = [b.count, b.grown, b.last];
        let values = if kind == Kind::Gauge { &gauge[..] } else { &counter[..] };
        for (column, v) in thinned.columns.iter_mut().zip(values) {
            column.push(*v);
        }
    });
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ninety_fifth_percentile_is_the_nearest_rank() {
        let mut hundred: Vec<(i64, i64)> = (1..=100).rev().map(|v| (v, 1)).collect();
        assert_eq!(p95(&mut hundred), 95);
        assert_eq!(p95(&mut [(7, 1)]), 7);
        assert_eq!(p95(&mut [(1, 94), (9, 6)]), 9);
        assert_eq!(p95(&mut [(1, 95), (9, 5)]), 1);
    }

    #[test]
    fn a_counter_that_began_anew_has_grown_by_what_it_shows() {
        let points = Points { times: vec![0, 10, 20, 30], columns: vec![vec![100, 150, 20, 50]] };
        let thinned = thin(&points, true, Kind::Counter, 100, Some(90));
        assert_eq!(thinned.times, [0]);
        assert_eq!(thinned.columns, [vec![4], vec![10 + 50 + 20 + 30], vec![50]]);
    }

    #[test]
    fn a_step_without_samples_is_absent() {
        let points = Points { times: vec![0, 5, 100], columns: vec![vec![1, 3, 8]] };
        let thinned = thin(&points, true, Kind::Gauge, 10, None);
        assert_eq!(thinned.times, [0, 100]);
        assert_eq!(thinned.columns[SUM], [4, 8]);
        assert_eq!(thinned.columns[P95], [3, 8]);
    }
}
