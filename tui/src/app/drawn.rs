//! When the screen is drawn: at once for what is waited for, soon for a key, calmly for figures.

use crate::terminal::flow::Flow;
use std::time::Duration;
use tokio::time::Instant;

/// Between two drawings after a key: 30 a second at most.
const QUICK: Duration = Duration::from_millis(33);
/// Between two drawings when only figures changed: they come once a second, from several feeds, and
/// one drawing shows them all.
const CALM: Duration = Duration::from_millis(900);
/// The same two on a thin line: four a second at most, and figures each other second.
const THIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1900)];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dirty {
    No,
    Calm,
    Quick,
    /// What was waited for is here: the first rows of a feed.
    Now,
}

/// When the screen was drawn last.
pub(super) struct Drawn {
    flow: Option<Flow>,
    pauses: [Duration; 2],

    ever: Option<Instant>,
    /// For a key, or soon after something new. A drawing of mere figures does not delay one for a key.
    quick: Option<Instant>,
}

impl Drawn {
    pub(super) fn new(flow: Option<Flow>, thin: bool) -> Self {
        Self { flow, pauses: if thin { THIN } else { [QUICK, CALM] }, ever: None, quick: None }
    }

    /// Whether the last drawing is still on its way into the terminal. What is drawn next then shows
    /// what is when that has gone.
    pub(super) fn is_busy(&self) -> bool {
        self.flow.as_ref().is_some_and(Flow::is_busy)
    }

    pub(super) async fn free(&self) {
        if let Some(flow) = &self.flow {
            flow.free().await;
        }
    }

    pub(super) fn due(&self, dirty: Dirty) -> Option<Instant> {
        let after = |last: Option<Instant>, pause| last.map_or_else(Instant::now, |at| at + pause);
        let [quick, calm] = self.pauses;
        let due = match dirty {
            Dirty::No => return None,
            Dirty::Calm => after(self.ever, calm),
            Dirty::Quick => after(self.quick, quick),
            Dirty::Now => Instant::now(),
        };
        // No faster than the line takes it.
        let clear = self.flow.as_ref().and_then(Flow::clear_at).map(Instant::from_std);
        Some(clear.map_or(due, |clear| clear.max(due)))
    }

    pub(super) fn now(&mut self, dirty: Dirty) {
        let now = Some(Instant::now());
        self.ever = now;
        if dirty != Dirty::Calm {
            self.quick = now;
        }
    }
}
