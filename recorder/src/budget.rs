//! How much processor time the recorder may use: a bucket that fills with the time that passes. Each look is paid out
//! of it, so that the bound holds however many processes there are; what gives way is how often each is looked at.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Millionths of one processor that a recorder uses at most, so that a minute costs less than 0.2 %, savings
/// included.
pub const SHARE_PPM: u64 = 1800;
/// What can be saved for a moment at which much happens, in nanoseconds.
const SAVINGS: i64 = 10_000_000;
/// The first looks at all there is may cost so much more.
const START: i64 = 60_000_000;

/// The bucket. It is of the thread that made it.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Nanoseconds that may be used.
    balance: i64,
    /// The thread's clock when the balance was last right.
    clock: i64,
    /// Nanoseconds that a second of time allows.
    per_s: i64,
}

impl Budget {
    pub(crate) fn new(share_ppm: u64) -> Self {
        let per_s = i64::try_from(share_ppm.saturating_mul(1000)).unwrap_or(i64::MAX / 1_000_000);
        Self { balance: START, clock: clock(), per_s }
    }

    /// So much time has passed.
    pub(crate) fn fill(&mut self, elapsed: Duration) {
        self.pay();
        let ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX).min(3_600_000);
        let more = self.per_s.saturating_mul(ms) / 1000;
        // What was given for the start is not taken away yet, but not filled up either.
        let most = SAVINGS.max(self.balance);
        self.balance = self.balance.saturating_add(more).min(most);
    }

    /// All was looked at once: what is left of what that might have cost is not spent on anything else.
    pub(crate) fn settle(&mut self) {
        self.balance = self.balance.min(self.per_s / 1000);
    }

    /// Nanoseconds that are left now.
    pub(crate) fn left(&mut self) -> i64 {
        self.pay();
        self.balance
    }

    /// Nanoseconds that a sample may use without touching what is saved.
    pub(crate) fn allowance(&self, interval: Duration) -> i64 {
        self.per_s.saturating_mul(interval.as_millis() as i64) / 1000
    }

    /// What the thread did until now was not the recorder's work.
    #[cfg(test)]
    pub(crate) fn forgive(&mut self) {
        self.clock = clock();
    }

    fn pay(&mut self) {
        let now = clock();
        self.balance -= now.saturating_sub(self.clock).max(0);
        self.clock = now;
    }
}

/// Nanoseconds of processor time that this thread has used.
pub(crate) fn clock() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_paid_and_what_is_not_is_saved_up_to_a_bound() {
        let mut budget = Budget::new(1_000_000);
        budget.balance = 0;
        let from = clock();
        let mut sum = 0u64;
        while clock() - from < 3_000_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(budget.left() <= -3_000_000);
        budget.fill(Duration::from_hours(1));
        assert!((1..=SAVINGS).contains(&budget.left()));
    }
}
