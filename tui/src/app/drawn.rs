//! When the screen is drawn: at once for what is waited for, soon for a key, calmly for figures.

use std::time::Duration;
use tokio::time::Instant;

/// Between two drawings after a key: 30 a second at most.
const QUICK: Duration = Duration::from_millis(33);
/// Between two drawings when only figures changed: they come once a second, from several feeds, and
/// one drawing shows them all.
const CALM: Duration = Duration::from_millis(900);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dirty {
    No,
    Calm,
    Quick,
    /// What was waited for is here: the first rows of a feed.
    Now,
}

/// When the screen was drawn last.
#[derive(Default)]
pub(super) struct Drawn {
    ever: Option<Instant>,
    /// For a key, or soon after something new. A drawing of mere figures does not delay one for a key.
    quick: Option<Instant>,
}

impl Drawn {
    pub(super) fn due(&self, dirty: Dirty) -> Option<Instant> {
        let after = |last: Option<Instant>, pause| last.map_or_else(Instant::now, |at| at + pause);
        match dirty {
            Dirty::No => None,
            Dirty::Calm => Some(after(self.ever, CALM)),
            Dirty::Quick => Some(after(self.quick, QUICK)),
            Dirty::Now => Some(Instant::now()),
        }
    }

    pub(super) fn now(&mut self, dirty: Dirty) {
        let now = Some(Instant::now());
        self.ever = now;
        if dirty != Dirty::Calm {
            self.quick = now;
        }
    }
}
