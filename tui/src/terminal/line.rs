//! How fast the line to the terminal is, from how long answers take behind how many bytes.

use std::time::{Duration, Instant};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(3);
/// So many bytes tell something about a line.
const TELLING: u64 = 1500;
/// After so long no answer comes any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers differ by so much without any reason.
const NOISE: Duration = Duration::from_millis(40);
/// The longest pause between two frames, whatever the line seems to be.
const LONGEST: Duration = Duration::from_millis(1500);
/// A line that takes this many bytes a second does not hold frames up.
const FAST: f64 = 400_000.0;

/// What is known of the line.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Bytes sent so far.
    pub(super) sent: u64,
    /// The shortest time an answer took.
    base: Option<Duration>,
    /// Bytes a second, when that is so few that it matters.
    rate: Option<f64>,
    /// When what was sent will have gone.
    clear_at: Option<Instant>,
    /// A question on its way, and the bytes right before it.
    question: Option<(Instant, u64)>,
    /// Bytes since the line was last known to be clear.
    burst: u64,
    last_frame: Option<Instant>,
    last_question: Option<Instant>,
    /// Whether what the system itself took tells the same.
    slow_writes: bool,
}

impl Line {
    /// A question goes out by itself.
    pub(super) fn asked(&mut self, now: Instant) {
        self.question = Some((now, 0));
        self.last_question = Some(now);
    }

    pub(super) fn is_asked(&self, now: Instant) -> bool {
        self.question.is_some_and(|(at, _)| now.saturating_duration_since(at) < PATIENCE)
    }

    /// A frame goes out. True when a question should go behind it.
    pub(super) fn frame(&mut self, bytes: usize, now: Instant) -> bool {
        let quiet = self.last_frame.is_none_or(|at| now.saturating_duration_since(at) > PAUSE / 3);
        if self.clear_at.map_or(quiet, |at| at <= now) {
            self.burst = 0;
        }
        self.last_frame = Some(now);
        self.burst += bytes as u64;
        if let Some(rate) = self.rate {
            let from = self.clear_at.map_or(now, |at| at.max(now));
            self.clear_at = Some(from + Duration::from_secs_f64(bytes as f64 / rate));
        }
        // Who never answered is not asked again.
        let due = self.base.is_some()
            && self.burst >= TELLING
            && !self.is_asked(now)
            && self.last_question.is_none_or(|at| {
                let first = self.rate.is_none() && !self.slow_writes && self.sent < 64 * 1024;
                now.saturating_duration_since(at) >= if first { PAUSE / 10 } else { PAUSE }
            });
        if due {
            self.question = Some((now, self.burst));
            self.last_question = Some(now);
        }
        due
    }

    pub(super) fn answered(&mut self, now: Instant) {
        let Some((at, bytes)) = self.question.take() else { return };
        let took = now.saturating_duration_since(at);
        let base = self.base.map_or(took, |base| base.min(took));
        self.base = Some(base);
        if bytes < TELLING {
            return;
        }
        let behind = took.saturating_sub(base);
        self.burst = self.burst.saturating_sub(bytes);
        if behind > NOISE {
            self.learn(bytes as f64 / behind.as_secs_f64());
        } else if let Some(rate) = self.rate {
            self.learn(rate * 2.0);
        }
        // All before the question has gone.
        let rest = self.rate.map(|rate| Duration::from_secs_f64(self.burst as f64 / rate));
        self.clear_at = rest.map(|rest| now + rest);
    }

    /// The system took so long for a piece: a line that slow is slow for certain.
    pub(super) fn wrote(&mut self, bytes: usize, took: Duration) {
        if bytes as u64 >= TELLING && took > NOISE * 2 {
            self.slow_writes = true;
            self.learn(bytes as f64 / took.as_secs_f64());
        }
    }

    fn learn(&mut self, seen: f64) {
        // A line that grows faster is trusted slowly, one that grows slower at once.
        let rate = match self.rate {
            Some(rate) if seen > rate => (rate * 2.0).min(seen),
            _ => seen,
        };
        self.rate = (rate < FAST).then_some(rate.max(100.0));
        if self.rate.is_none() {
            self.clear_at = None;
        }
    }

    /// Whether frames wait for it.
    pub(super) const fn is_slow(&self) -> bool {
        self.rate.is_some()
    }

    /// When the next frame may go, if not at once.
    pub(super) fn clear_at(&self, now: Instant) -> Option<Instant> {
        let mut at = self.clear_at;
        // An answer that is overdue says that the line is full, before it says how full.
        if let (Some((asked, bytes)), Some(base)) = (self.question, self.base)
            && bytes >= TELLING
            && self.is_asked(now)
        {
            let overdue = asked + base + NOISE * 2;
            if overdue <= now {
                at = at.max(Some(now + Duration::from_millis(100)));
            }
        }
        let longest = self.last_frame.map_or(now, |frame| frame + LONGEST);
        at.map(|at| at.min(longest)).filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of so many bytes a second, with a delay.
    struct Wire {
        line: Line,
        now: Instant,
        rate: f64,
        delay: Duration,
        /// When all that was sent will have come.
        free: Instant,
        answers: Vec<Instant>,
    }

    impl Wire {
        fn new(rate: f64) -> Self {
            let now = Instant::now();
            let delay = Duration::from_millis(300);
            let mut wire =
                Self { line: Line::default(), now, rate, delay, free: now, answers: Vec::new() };
            wire.line.asked(now);
            wire.answers.push(now + delay);
            wire.pass(Duration::from_secs(1));
            wire
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            let now = self.now;
            for at in self.answers.extract_if(.., |at| *at <= now) {
                self.line.answered(at);
            }
        }

        fn frame(&mut self, bytes: usize) {
            let took = Duration::from_secs_f64(bytes as f64 / self.rate);
            self.free = self.free.max(self.now) + took;
            self.line.sent += bytes as u64;
            if self.line.frame(bytes, self.now) {
                self.answers.push(self.free + self.delay);
            }
        }

        /// Frames of this size as fast as they may go; how far behind the last one is at most.
        fn busy(&mut self, bytes: usize, seconds: u64) -> Duration {
            let end = self.now + Duration::from_secs(seconds);
            let mut worst = Duration::ZERO;
            while self.now < end {
                if self.line.clear_at(self.now).is_none() {
                    worst = worst.max(self.free.saturating_duration_since(self.now));
                    self.frame(bytes);
                }
                self.pass(Duration::from_millis(33));
            }
            worst
        }
    }

    #[test]
    fn on_a_slow_line_frames_wait_until_the_one_before_has_gone() {
        let mut wire = Wire::new(10_000.0);
        wire.frame(6000);
        wire.pass(Duration::from_secs(2));
        let worst = wire.busy(2000, 30);
        assert!(worst < Duration::from_millis(450), "a frame goes behind {worst:?} of others");
    }

    #[test]
    fn a_fast_line_is_never_waited_for() {
        let mut wire = Wire::new(10_000_000.0);
        wire.busy(3000, 10);
        assert_eq!(wire.line.rate, None);
        assert_eq!(wire.line.clear_at(wire.now), None);
    }

    #[test]
    fn a_line_that_grew_fast_again_is_found_out() {
        let mut wire = Wire::new(10_000.0);
        wire.busy(3000, 20);
        assert!(wire.line.rate.is_some());
        wire.rate = 5_000_000.0;
        wire.busy(3000, 90);
        assert_eq!(wire.line.clear_at(wire.now + LONGEST), None);
        assert!(wire.line.rate.is_none_or(|rate| rate > 50_000.0), "{:?}", wire.line.rate);
    }

    #[test]
    fn who_never_answers_is_asked_once() {
        let mut line = Line::default();
        let now = Instant::now();
        line.asked(now);
        for n in 0..100 {
            assert!(!line.frame(5000, now + Duration::from_secs(n)));
        }
        assert_eq!(line.clear_at(now + Duration::from_secs(1)), None);
    }
}
