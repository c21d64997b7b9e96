//! The last samples, kept as bytes in one ring of bounded size, for those who begin to watch later.

use cmdr_link::codec;
use cmdr_protocol::metrics::Metrics;
use std::collections::VecDeque;

/// Samples are forgotten after so long.
const AGE_MS: u64 = 15 * 60 * 1000;
/// All samples together take at most so many bytes. A small host's quarter of an hour at one a
/// second fits; a large host remembers less.
const BYTES: usize = 320 * 1024;

/// The ring. It takes no memory before the first sample.
#[derive(Debug, Default)]
pub(super) struct History {
    bytes: VecDeque<u8>,
    /// When each sample was taken and how many bytes it has, oldest first.
    samples: VecDeque<(u64, u16)>,
}

impl History {
    /// Remembers a sample.
    pub(super) fn push(&mut self, metrics: &Metrics) {
        let Ok(bytes) = codec::encode(metrics) else { return };
        let Ok(len) = u16::try_from(bytes.len()) else { return };
        let oldest = metrics.at_ms.saturating_sub(AGE_MS);
        while let Some(&(at_ms, first)) = self.samples.front() {
            if at_ms >= oldest && self.bytes.len() + bytes.len() <= BYTES {
                break;
            }
            self.samples.pop_front();
            self.bytes.drain(..usize::from(first));
        }
        self.bytes.extend(bytes.iter());
        self.samples.push_back((metrics.at_ms, len));
    }

    /// The newest `count` of those that are this far apart, oldest first, each as it would be sent.
    pub(super) fn newest(&self, count: u32, step_ms: u64) -> Vec<Vec<u8>> {
        let mut chosen = Vec::new();
        let (mut end, mut later) = (self.bytes.len(), None::<u64>);
        for (at_ms, len) in self.samples.iter().rev() {
            let begin = end.saturating_sub(usize::from(*len));
            if chosen.len() >= count as usize {
                break;
            }
            if later.is_none_or(|later| later.saturating_sub(*at_ms) >= step_ms) {
                chosen.push(self.bytes.range(begin..end).copied().collect());
                later = Some(*at_ms);
            }
            end = begin;
        }
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
            assert!(history.bytes.len() <= BYTES);
        }
        let oldest = read(&history.newest(u32::MAX, 0)[0]).unwrap().at_ms;
        assert!(oldest >= 5_000_000 - AGE_MS);
        assert!(history.bytes.capacity() <= 2 * BYTES);
    }
}
