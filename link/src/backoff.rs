//! How long to wait before the next try: full jitter, so that a fleet does not return as one wave.

use std::time::Duration;

/// Each wait is drawn evenly from zero to a bound. Most interruptions are a restart, so for the first
/// few seconds the bound is half a second; then it doubles from one second up to a cap.
#[derive(Clone, Debug)]
pub struct Backoff {
    attempt: u32,
    cap: Duration,
}

impl Backoff {
    const QUICK: Duration = Duration::from_millis(500);
    /// Waits with that bound: three seconds of them on average.
    const QUICK_WAITS: u32 = 12;

    /// A backoff whose bound grows to `cap`.
    pub const fn new(cap: Duration) -> Self {
        Self { attempt: 0, cap }
    }

    /// Tries since the last success.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The most that the next wait can be.
    pub fn bound(&self) -> Duration {
        match self.attempt {
            n if n < Self::QUICK_WAITS => Self::QUICK.min(self.cap),
            n => Duration::from_secs(1)
                .saturating_mul(1 << (n - Self::QUICK_WAITS).min(16))
                .min(self.cap),
        }
    }

    /// The next wait; counts as a try.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.attempt = self.attempt.saturating_add(1);
        bound.mul_f64(fraction())
    }

    /// Begin anew after a success.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// Evenly from 0 to 1. A half when the system has no random numbers: waiting goes on regardless.
fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_short_at_first_and_then_stay_under_a_doubling_bound_and_the_cap() {
        let mut backoff = Backoff::new(Duration::from_mins(1));
        let mut bounds = Vec::new();
        for _ in 0..20 {
            bounds.push(backoff.bound().as_millis());
            let bound = backoff.bound();
            assert!(backoff.next_wait() <= bound);
        }
        assert_eq!(bounds[..12], [500; 12]);
        assert_eq!(bounds[12..], [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        backoff.reset();
        assert_eq!(backoff.bound(), Duration::from_millis(500));
    }

    #[test]
    fn waits_are_spread_over_the_whole_bound() {
        let waits: Vec<_> = (0..400)
            .map(|_| Backoff::new(Duration::from_millis(400)).next_wait().as_millis())
            .collect();
        for quarter in 0..4u128 {
            let hits = waits.iter().filter(|&&w| w / 100 == quarter).count();
            assert!(hits > 40, "quarter {quarter} was hit {hits} times of 400");
        }
    }
}
