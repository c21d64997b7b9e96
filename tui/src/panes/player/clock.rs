//! Where one is in a recording, and how one gets on: speed, pauses left out, stops.

use crate::store::recordings::tape::Tape;
use std::time::Duration;

/// Speeds, in halves.
const SPEEDS: [u64; 6] = [1, 2, 4, 8, 16, 32];
/// No pause is longer than this, unless one wants them as they were.
const PAUSE_US: u64 = 2_000_000;
/// After the client was stopped it goes on where it was.
const STEP_MS: u64 = 5000;
/// Between two pictures.
const LEAST: Duration = Duration::from_millis(33);

/// The place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// Microseconds after the beginning.
    pub(super) at_us: u64,
    pub(super) playing: bool,
    /// Pauses are cut short.
    pub(super) short: bool,
    speed: usize,
    /// The wall clock when it got on last.
    seen_ms: Option<u64>,
}

impl Clock {
    pub(super) const fn at(at_us: u64, playing: bool) -> Self {
        Self { at_us, playing, short: true, speed: 1, seen_ms: None }
    }

    /// `0.5`, `1`, `16`.
    pub(super) const fn speed(&self) -> &'static str {
        ["0.5", "1", "2", "4", "8", "16"][self.speed]
    }

    pub(super) fn faster(&mut self) {
        self.speed = (self.speed + 1).min(SPEEDS.len() - 1);
    }

    pub(super) const fn slower(&mut self) {
        self.speed = self.speed.saturating_sub(1);
    }

    /// Gets on as far as the time that went by allows. Stops at the end, waits for what is not here yet.
    pub(super) fn advance(&mut self, now_ms: u64, tape: &Tape) {
        let went = self.seen_ms.map_or(0, |seen| now_ms.saturating_sub(seen)).min(STEP_MS);
        self.seen_ms = Some(now_ms);
        if !self.playing {
            return;
        }
        let mut left = went * 1000 * SPEEDS[self.speed] / 2;
        loop {
            let Some(next) = tape.next_us(self.at_us).or_else(|| self.end(tape)) else { return };
            if next <= self.at_us {
                self.playing = false;
                return;
            }
            let quiet = tape.last_us(self.at_us).saturating_add(PAUSE_US);
            if self.short && self.at_us >= quiet {
                self.at_us = next;
                continue;
            }
            if left == 0 {
                return;
            }
            let to = if self.short { next.min(quiet) } else { next };
            let step = left.min(to - self.at_us);
            self.at_us += step;
            left -= step;
        }
    }

    /// When it is over, as far as that is known.
    fn end(&self, tape: &Tape) -> Option<u64> {
        tape.is_whole.then(|| tape.total_us().max(self.at_us))
    }

    /// After how long it looks different.
    pub(super) fn wakes(&self, tape: &Tape) -> Option<Duration> {
        if !self.playing {
            return None;
        }
        let next = tape.next_us(self.at_us).or_else(|| self.end(tape))?;
        // The place is shown to the second.
        let second = (self.at_us / 1_000_000 + 1) * 1_000_000;
        let after = (next.min(second) - self.at_us) * 2 / SPEEDS[self.speed];
        Some(Duration::from_micros(after).max(LEAST))
    }
}
