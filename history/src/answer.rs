//! Lines out of what a question reads: of each source, or of all together. Many sources are read by several threads.

use crate::query::{Asked, Line, Over, Reading, Snapshot, within};
use crate::{Error, Source};
use std::num::NonZero;

/// Threads that answer one question at most, and sources for which another is worth beginning.
const THREADS: usize = 4;
const SOURCES_A_THREAD: usize = 64;

/// Points of a line that there is room for from the beginning.
const ROOM: usize = 1024;

impl Snapshot {
    pub(crate) fn each(&self, asked: &Asked<'_>) -> Result<Vec<Line>, Error> {
        let mut lines = Vec::new();
        for some in spread(asked, |sources| self.each_of(asked, sources))? {
            lines.extend(some);
        }
        let points: usize = lines.iter().map(|line| line.points.len()).sum();
        within(points as u64, 0)?;
        lines.sort_by(|a, b| (&a.name, a.source).cmp(&(&b.name, b.source)));
        Ok(lines)
    }

    fn each_of(&self, asked: &Asked<'_>, sources: &[Source]) -> Result<Vec<Line>, Error> {
        let (mut lines, mut count, mut read) = (Vec::new(), 0, Reading::default());
        let steps = (asked.query.to_ms - asked.from) / asked.step + 1;
        let room = usize::try_from(steps).unwrap_or(ROOM).min(ROOM);
        for source in sources {
            let mut found: Vec<Vec<(i64, f64)>> = vec![Vec::new(); asked.names.len()];
            self.steps(asked, source, &mut read, |line, start, b| {
                count += 1;
                let points = &mut found[line];
                if points.is_empty() {
                    points.reserve_exact(room);
                }
                points.push((start, asked.value(line, b)));
            });
            within(count, read.samples)?;
            for ((_, name), points) in asked.names.iter().zip(found) {
                if !points.is_empty() {
                    lines.push(Line { source: Some(*source), name: name.text.clone(), points });
                }
            }
        }
        Ok(lines)
    }

    pub(crate) fn together(&self, asked: &Asked<'_>, buckets: usize) -> Result<Vec<Line>, Error> {
        within((buckets as u64).saturating_mul(asked.names.len() as u64), 0)?;
        let over = asked.query.over;
        let mut parts = spread(asked, |sources| self.sums(asked, buckets, sources))?.into_iter();
        let mut sums = parts.next().unwrap_or_default();
        for part in parts {
            for ((n, sum), (more, v)) in sums.iter_mut().flatten().zip(part.iter().flatten()) {
                if *more > 0 {
                    *sum = joined(over, *n, *sum, *v);
                    *n += more;
                }
            }
        }
        let lines = asked.names.iter().zip(sums).map(|((_, name), sums)| {
            let points = sums.into_iter().enumerate().filter(|(_, (n, _))| *n > 0);
            let points = points.map(|(i, (n, sum))| {
                let v = if over == Over::Mean { sum / f64::from(n) } else { sum };
                (asked.from + i as i64 * asked.step, v)
            });
            Line { source: None, name: name.text.clone(), points: points.collect() }
        });
        Ok(lines.filter(|line| !line.points.is_empty()).collect())
    }

    /// How many sources have each step of each name, and what their values are together.
    fn sums(&self, asked: &Asked<'_>, buckets: usize, sources: &[Source]) -> Result<Sums, Error> {
        let mut sums = vec![vec![(0u32, 0f64); buckets]; asked.names.len()];
        let mut read = Reading::default();
        for source in sources {
            let (mut at, mut next) = (0, i64::MIN);
            self.steps(asked, source, &mut read, |line, start, b| {
                // Mostly the step after the one before: no division.
                at = if start == next {
                    at + 1
                } else {
                    ((start - asked.from) / asked.step) as usize
                };
                next = start + asked.step;
                let (n, sum) = &mut sums[line][at];
                *sum = joined(asked.query.over, *n, *sum, asked.value(line, b));
                *n += 1;
            });
            within(0, read.samples)?;
        }
        Ok(sums)
    }
}

/// By name and step: of how many sources, and what they are together.
type Sums = Vec<Vec<(u32, f64)>>;

/// What `n` sources are together with another one.
fn joined(over: Over, n: u32, sum: f64, v: f64) -> f64 {
    match over {
        _ if n == 0 => v,
        Over::Min => sum.min(v),
        Over::Max => sum.max(v),
        Over::Each | Over::Mean | Over::Sum => sum + v,
    }
}

/// Does something with the sources of a question: with many of them in several threads, each with some that
/// follow each other.
fn spread<T: Send>(
    asked: &Asked<'_>,
    work: impl Fn(&[Source]) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let sources = &asked.query.sources[..];
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(sources.len() / SOURCES_A_THREAD).clamp(1, THREADS);
    if threads == 1 {
        return Ok(vec![work(sources)?]);
    }
    let mut parts = sources.chunks(sources.len().div_ceil(threads));
    let own = parts.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        let mut all = vec![work(own)?];
        for other in others {
            let done = other.join();
            all.push(done.map_err(|_| Error::Invalid("answering broke".to_owned()))??);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Aggregate, Kind, Options, Query, Store};

    #[test]
    fn many_sources_are_answered_by_several_threads_as_they_are_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let name = store.name("cpu", Kind::Gauge, 1).unwrap();
        let now = 1_800_000_000_000;
        let sources: Vec<Source> = (0..500u16)
            .map(|n| {
                let mut source = [0; 16];
                source[..2].copy_from_slice(&n.to_be_bytes());
                source
            })
            .collect();
        for (n, source) in (0i64..).zip(&sources) {
            for step in 0..20 {
                // Some have no value at some times.
                if (n + step) % 7 > 0 {
                    let at = now + step * 10_000;
                    store.append(source, at, &[name], &[n * 31 % 97 + step], at).unwrap();
                }
            }
            if n == 250 {
                store.checkpoint(now + 200_000).unwrap();
            }
        }
        let ask = |sources: &[Source], over| {
            let (from_ms, to_ms, step_ms) = (now, now + 200_000, 10_000);
            let (names, aggregate) = (vec!["cpu".to_owned()], Aggregate::Mean);
            let sources = sources.to_vec();
            let query = Query { sources, names, from_ms, to_ms, step_ms, aggregate, over };
            store.query(&query).unwrap().lines
        };
        let one_by_one: Vec<Line> =
            sources.iter().flat_map(|source| ask(&[*source], Over::Each)).collect();
        assert_eq!(ask(&sources, Over::Each), one_by_one);
        for over in [Over::Min, Over::Max, Over::Sum, Over::Mean] {
            let lines = ask(&sources, over);
            assert_eq!((lines.len(), lines[0].points.len()), (1, 20));
            for (at, v) in &lines[0].points {
                let all = one_by_one.iter().flat_map(|line| &line.points);
                let all: Vec<f64> = all.filter(|(t, _)| t == at).map(|(_, v)| *v).collect();
                // Whole numbers: sums are exact in whatever order.
                let sum: f64 = all.iter().sum();
                let expected = match over {
                    Over::Min => all.iter().copied().fold(f64::MAX, f64::min),
                    Over::Max => all.iter().copied().fold(f64::MIN, f64::max),
                    Over::Mean => sum / all.len() as f64,
                    Over::Each | Over::Sum => sum,
                };
                assert_eq!(v.to_bits(), expected.to_bits(), "{over:?} at {at}");
            }
        }
    }
}
