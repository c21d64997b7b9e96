//! How much of a session's output may be under way to us: about what the line carries in a tenth of a
//! second, so that what is typed in a flood is felt at once, on thin lines and thick ones.

use cmdr_protocol::sessions::{Input, WINDOW};
use std::time::{Duration, Instant};

/// The least that may be under way.
const LEAST: u32 = 4 * 1024;
/// At first, before anything was measured.
const FIRST: u32 = 16 * 1024;
/// Measured over at least so long.
const SPELL: Duration = Duration::from_millis(100);
/// A pause after which what was measured before means nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// What was taken in, and what the far end knows of it.
#[derive(Debug)]
pub struct Flow {
    taken: u64,
    credited: u64,
    window: u32,
    /// When the present spell began, and what was taken in since.
    since: Option<Instant>,
    last: Option<Instant>,
    bytes: u64,
    /// The shortest round trip seen.
    rtt_us: Option<u64>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            taken: 0,
            credited: 0,
            window: FIRST,
            since: None,
            last: None,
            bytes: 0,
            rtt_us: None,
        }
    }
}

impl Flow {
    /// Bytes that may be under way.
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// Bytes were taken in. What is to be said to the far end, when it is time to.
    pub fn took(&mut self, bytes: usize, now: Instant, rtt_us: Option<u64>) -> Option<Input> {
        self.taken += bytes as u64;
        self.rtt_us = match (self.rtt_us, rtt_us) {
            (Some(least), Some(now)) => Some(least.min(now)),
            (known, now) => known.or(now),
        };
        let paused = self.last.is_none_or(|last| now.duration_since(last) > PAUSE);
        self.last = Some(now);
        let since = *self.since.get_or_insert(now);
        if paused {
            // The first piece stands for the time before it, which was not busy.
            (self.since, self.bytes) = (Some(now), 0);
        } else {
            self.bytes += bytes as u64;
        }
        let took = now.duration_since(since);
        let mut changed = None;
        if !paused && took >= SPELL {
            let window = self.fitting(took);
            (self.since, self.bytes) = (Some(now), 0);
            // Small changes are not worth a word.
            if window.abs_diff(self.window) > self.window / 4 {
                self.window = window;
                changed = Some(window);
            }
        }
        let due = self.taken - self.credited >= u64::from(self.window / 4);
        if !due && changed.is_none() {
            return None;
        }
        self.credited = self.taken;
        Some(Input { taken: Some(self.taken), window: changed, ..Input::default() })
    }

    /// What the line carried, for a tenth of a second beside the time that the word takes to get there.
    fn fitting(&self, took: Duration) -> u32 {
        let rate = self.bytes as f64 / took.as_secs_f64();
        let ahead = 0.1 + self.rtt_us.unwrap_or(0) as f64 / 1e6;
        ((rate * ahead) as u32).clamp(LEAST, WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a line of so many bytes a second carry for a while; the window in the end.
    fn after(rate: u64, rtt_us: u64, seconds: u64) -> u32 {
        let begin = Instant::now();
        let mut flow = Flow::default();
        let (mut at_us, mut told) = (0u64, flow.window());
        while at_us < seconds * 1_000_000 {
            // A window goes over in the time of a round trip, or as long as the line needs for it.
            let piece = u64::from(told / 4).min(16 * 1024);
            at_us += (piece * 1_000_000 / rate).max(rtt_us * piece / u64::from(told));
            let now = begin + Duration::from_micros(at_us);
            let said = flow.took(piece as usize, now, Some(rtt_us));
            told = said.and_then(|input| input.window).unwrap_or(told);
        }
        assert_eq!(told, flow.window());
        told
    }

    #[test]
    fn a_thin_line_has_little_under_way_and_a_thick_one_is_filled() {
        assert_eq!(after(10_000, 150_000, 20), LEAST);
        let window = after(1_000_000, 20_000, 5);
        assert!((90_000..160_000).contains(&window), "{window}");
        assert!(after(100_000_000, 1000, 5) >= WINDOW / 4 * 3);
        // Far away, too: a window that is too small for the distance grows.
        assert!(after(50_000_000, 150_000, 20) >= WINDOW / 4 * 3);
    }

    #[test]
    fn the_far_end_is_never_left_waiting() {
        let mut flow = Flow::default();
        let (mut credited, mut taken) = (0, 0);
        for n in 0..2000u64 {
            let now = Instant::now() + Duration::from_millis(n);
            taken += 700;
            if let Some(input) = flow.took(700, now, None) {
                credited = input.taken.expect("taken");
            }
            assert!(taken - credited < u64::from(flow.window() / 2), "{n}");
        }
    }

    #[test]
    fn a_quiet_session_says_nothing() {
        let mut flow = Flow::default();
        assert_eq!(flow.took(20, Instant::now(), None), None);
    }
}
