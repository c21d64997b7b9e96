//! Live figures of the hosts that were looked at: the newest sample whole, and an hour of the lines
//! that charts draw. The overview pane reads it.

use super::{Store, Stored};
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::metrics::{Metrics as Sample, Watch};
use std::collections::VecDeque;

/// How much is remembered of one host.
const REMEMBERED: usize = 3600;
/// Seconds between the remembered samples that are asked for over a thin line.
pub const THIN_STEP_S: u32 = 15;
/// How many hosts are remembered; the one that was silent longest is forgotten first.
const HOSTS: usize = 16;

/// What a chart can draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Busy permille of all processors.
    Cpu,
    /// Bytes of memory that programs hold.
    Memory,
    /// One-minute load in hundredths.
    Load,
    /// Bytes received a second, all interfaces.
    Received,
    /// Bytes sent a second, all interfaces.
    Sent,
    /// Bytes read from disks a second.
    Read,
    /// Bytes written to disks a second.
    Written,
}

const LINES: usize = 7;

/// One sample, only the lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Wall clock of the host, milliseconds since 1970.
    pub at_ms: u64,
    values: [f32; LINES],
}

impl Point {
    /// The value of a line.
    pub fn get(&self, line: Line) -> f32 {
        self.values[line as usize]
    }
}

/// What is known of one host.
#[derive(Default)]
pub struct Metrics {
    /// The newest sample, its texts made harmless.
    pub last: Sample,
    /// When it came.
    pub came_ms: u64,
    /// Lines, oldest first.
    pub points: VecDeque<Point>,
}

impl Metrics {
    fn take(&mut self, now_ms: u64, mut sample: Sample) {
        let names = sample.disks.iter_mut().map(|d| &mut d.name);
        let names = names.chain(sample.mounts.iter_mut().map(|m| &mut m.mount));
        let names = names.chain(sample.networks.iter_mut().map(|n| &mut n.name));
        for name in names.chain(sample.temperatures.iter_mut().map(|t| &mut t.name)) {
            if let std::borrow::Cow::Owned(harmless) = clean(name) {
                *name = harmless;
            }
        }
        // A resumed feed repeats what the agent remembers; only what is newer is news.
        if self.points.back().is_none_or(|last| last.at_ms < sample.at_ms) {
            let sum = |f: fn(&Sample) -> f32| f(&sample);
            let values = [
                f32::from(sample.cpu.busy()),
                sample.memory.used() as f32,
                sample.load[0] as f32,
                sum(|s| s.networks.iter().map(|n| n.received as f32).sum()),
                sum(|s| s.networks.iter().map(|n| n.sent as f32).sum()),
                sum(|s| s.disks.iter().map(|d| d.read as f32).sum()),
                sum(|s| s.disks.iter().map(|d| d.written as f32).sum()),
            ];
            if self.points.len() >= REMEMBERED {
                self.points.pop_front();
            }
            self.points.push_back(Point { at_ms: sample.at_ms, values });
            self.last = sample;
            self.came_ms = now_ms;
        } else if self.points.back().is_some_and(|last| last.at_ms > sample.at_ms + 5000) {
            // The host's clock was set back: what we remember lies in its future.
            self.points.clear();
            self.take(now_ms, sample);
        }
    }
}

impl Stored for Watch {
    fn apply(store: &mut Store, host: Option<HostId>, item: Sample) {
        let Some(host) = host else { return };
        let now_ms = store.now_ms;
        if !store.metrics.contains_key(&host) && store.metrics.len() >= HOSTS {
            let oldest = store.metrics.iter().min_by_key(|(_, m)| m.came_ms).map(|(id, _)| *id);
            oldest.and_then(|id| store.metrics.remove(&id));
        }
        store.metrics.entry(host).or_default().take(now_ms, item);
    }

    /// Asks only for the samples that are missing since the last one.
    fn resumed(&self, store: &Store, host: Option<HostId>) -> Self {
        let missing = host
            .and_then(|id| store.metrics.get(&id))
            .map_or(u64::from(self.history), |m| store.now_ms.saturating_sub(m.came_ms) / 1000 + 2);
        let history = (missing as u32).min(self.history);
        let asked = Self { history, interval_ms: store.interval_ms(self.interval_ms), ..*self };
        if !store.thin {
            return asked;
        }
        // The same time, with fewer samples: all of them would keep the line busy for half a minute.
        Self {
            history: history.div_ceil(THIN_STEP_S),
            step_ms: u64::from(THIN_STEP_S) * 1000,
            ..asked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64) -> Sample {
        Sample { at_ms, ..Sample::default() }
    }

    #[test]
    fn samples_that_come_twice_are_kept_once() {
        let mut metrics = Metrics::default();
        for at in [10_000, 11_000, 10_000, 11_000, 12_000] {
            metrics.take(0, sample(at));
        }
        let times: Vec<_> = metrics.points.iter().map(|p| p.at_ms).collect();
        assert_eq!(times, [10_000, 11_000, 12_000]);
    }

    #[test]
    fn a_clock_set_back_begins_the_lines_anew() {
        let mut metrics = Metrics::default();
        metrics.take(0, sample(100_000));
        metrics.take(0, sample(50_000));
        let times: Vec<_> = metrics.points.iter().map(|p| p.at_ms).collect();
        assert_eq!(times, [50_000]);
    }

    #[test]
    fn on_a_thin_line_samples_come_less_often_and_fewer_of_the_past() {
        let mut store = Store::new(10_000, 0, false);
        store.thin = true;
        let watch = Watch { interval_ms: 1000, history: 900, ..Watch::default() };
        let asked = watch.resumed(&store, Some(HostId([1; 16])));
        assert_eq!(asked, Watch { interval_ms: 3000, history: 60, step_ms: 15_000 });
    }

    #[test]
    fn a_resumed_feed_asks_only_for_what_is_missing() {
        let mut store = Store::new(10_000, 0, false);
        let host = Some(HostId([1; 16]));
        Watch::apply(&mut store, host, sample(9_000));
        store.now_ms = 30_000;
        let watch = Watch { interval_ms: 1000, history: 900, ..Watch::default() };
        assert_eq!(watch.resumed(&store, host).history, 22);
        assert_eq!(watch.resumed(&store, Some(HostId([2; 16]))).history, 900);
    }
}
