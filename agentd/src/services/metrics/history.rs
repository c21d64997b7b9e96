//! The last samples, kept as bytes in rings of bounded size, for those who begin to watch later: each
//! one of the last minutes, and one in ten seconds of the last hours, from which the hub fills in what it has missed
//! while the link was away.

use cmdr_link::codec;
use cmdr_protocol::metrics::Metrics;
use std::collections::VecDeque;

/// Samples are forgotten after so long.
const AGE_MS: u64 = 15 * 60 * 1000;
/// All samples together take at most so many bytes. A small host's quarter of an hour at one a
/// second fits; a large host remembers less.
const BYTES: usize = 320 * 1024;
/// Of older ones one in so long is remembered.
pub(super) const SPARSE_MS: u64 = 10_000;
const SPARSE_AGE_MS: u64 = 6 * 60 * 60 * 1000;
/// About three hours of a small host.
const SPARSE_BYTES: usize = 384 * 1024;

/// What is remembered. It takes no memory before the first sample.
#[derive(Debug)]
pub(super) struct History {
    newest: Ring,
    sparse: Ring,
}

impl Default for History {
    fn default() -> Self {
        Self { newest: Ring::new(AGE_MS, BYTES), sparse: Ring::new(SPARSE_AGE_MS, SPARSE_BYTES) }
    }
}

#[derive(Debug)]
struct Ring {
    age_ms: u64,
    most: usize,
    bytes: VecDeque<u8>,
    /// When each sample was taken and how many bytes it has, oldest first.
    samples: VecDeque<(u64, u16)>,
}

impl Ring {
    const fn new(age_ms: u64, most: usize) -> Self {
        Self { age_ms, most, bytes: VecDeque::new(), samples: VecDeque::new() }
    }

    fn push(&mut self, at_ms: u64, bytes: &[u8], len: u16) {
        let oldest = at_ms.saturating_sub(self.age_ms);
        while let Some(&(at_ms, first)) = self.samples.front() {
            if at_ms >= oldest && self.bytes.len() + bytes.len() <= self.most {
                break;
            }
            self.samples.pop_front();
            self.bytes.drain(..usize::from(first));
        }
        self.bytes.extend(bytes.iter());
        self.samples.push_back((at_ms, len));
    }

    /// Adds to those that were chosen what is older than the last of them, newest first.
    fn choose(&self, chosen: &mut Vec<Vec<u8>>, later: &mut Option<u64>, count: u32, step_ms: u64) {
        let mut end = self.bytes.len();
        for (at_ms, len) in self.samples.iter().rev() {
            let begin = end.saturating_sub(usize::from(*len));
            if chosen.len() >= count as usize {
                break;
            }
            if later.is_none_or(|later| later.saturating_sub(*at_ms) >= step_ms.max(1)) {
                chosen.push(self.bytes.range(begin..end).copied().collect());
                *later = Some(*at_ms);
            }
            end = begin;
        }
    }
}

impl History {
    /// Remembers a sample.
    pub(super) fn push(&mut self, metrics: &Metrics) {
        let Ok(bytes) = codec::encode(metrics) else { return };
        let Ok(len) = u16::try_from(bytes.len()) else { return };
        self.newest.push(metrics.at_ms, &bytes, len);
        let last = self.sparse.samples.back().map(|(at_ms, _)| *at_ms);
        // A little earlier will do: samples are not taken to the millisecond.
        let due = |last: u64| metrics.at_ms.abs_diff(last) + 500 >= SPARSE_MS;
        if last.is_none_or(due) {
            self.sparse.push(metrics.at_ms, &bytes, len);
        }
    }

    /// The newest `count` of those that are this far apart, oldest first, each as it would be sent.
    pub(super) fn newest(&self, count: u32, step_ms: u64) -> Vec<Vec<u8>> {
        let (mut chosen, mut later) = (Vec::new(), None::<u64>);
        self.newest.choose(&mut chosen, &mut later, count, step_ms);
        self.sparse.choose(&mut chosen, &mut later, count, step_ms);
        chosen.reverse();
        chosen
    }
}

/// A remembered sample.
pub(super) fn read(bytes: &[u8]) -> Option<Metrics> {
    codec::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: u64) -> Metrics {
        Metrics { at_ms, cores: vec![500; 200], ..Metrics::default() }
    }

    #[test]
    fn the_newest_samples_come_back_oldest_first() {
        let mut history = History::default();
        for second in 1..=5 {
            history.push(&at(second * 1000));
        }
        let times = |count| -> Vec<u64> {
            history.newest(count, 0).iter().map(|b| read(b).unwrap().at_ms).collect()
        };
        assert_eq!(times(2), [4000, 5000]);
        assert_eq!(times(900), [1000, 2000, 3000, 4000, 5000]);
        assert_eq!(read(&history.newest(1, 0)[0]).unwrap(), at(5000));
    }

    #[test]
    fn of_many_samples_those_a_step_apart_are_given_up_to_the_newest() {
        let mut history = History::default();
        for second in 1..=60 {
            history.push(&at(second * 1000));
        }
        let times = |count, step_ms| -> Vec<u64> {
            let chosen = history.newest(count, step_ms);
            chosen.iter().map(|b| read(b).unwrap().at_ms / 1000).collect()
        };
        assert_eq!(times(900, 15_000), [15, 30, 45, 60]);
        assert_eq!(times(2, 15_000), [45, 60]);
        assert_eq!(times(0, 1000), [0; 0]);
    }

    #[test]
    fn memory_and_age_are_bounded() {
        let mut history = History::default();
        for second in 1..=5000 {
            history.push(&at(second * 1000));
            assert!(history.newest.bytes.len() <= BYTES);
            assert!(history.sparse.bytes.len() <= SPARSE_BYTES);
        }
        assert!(history.newest.samples[0].0 >= 5_000_000 - AGE_MS);
        assert!(history.newest.bytes.capacity() <= 2 * BYTES);
    }

    #[test]
    fn of_what_is_older_than_the_newest_one_in_ten_seconds_is_there_for_hours() {
        let mut history = History::default();
        let small = |at_ms| Metrics { at_ms, ..Metrics::default() };
        for second in 1..=8000 {
            history.push(&small(second * 1000));
        }
        let chosen = history.newest(u32::MAX, 10_000);
        let times: Vec<u64> = chosen.iter().map(|b| read(b).unwrap().at_ms).collect();
        assert!(times[0] <= 20_000, "{}", times[0]);
        assert!(times.windows(2).all(|w| (10_000..20_000).contains(&(w[1] - w[0]))), "{times:?}");
        for second in 8000..40_000 {
            history.push(&small(second * 1000));
        }
        assert!(history.sparse.samples[0].0 >= 40_000_000 - SPARSE_AGE_MS - SPARSE_MS);
        assert!(history.sparse.bytes.capacity() <= 2 * SPARSE_BYTES);
    }
}
