//! Bytes a second both ways over the last minutes, as answers came: what the live charts of gateways and forwards are drawn from.

use std::collections::VecDeque;

/// Moments that are kept: ten minutes of an answer each two seconds.
const MOMENTS: usize = 300;

/// A moment, milliseconds since 1970, and bytes a second then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When.
    pub at_ms: u64,
    /// From those who connect.
    pub to: f32,
    /// To them.
    pub from: f32,
}

/// The last of them.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// By time.
    pub moments: VecDeque<Moment>,
}

impl Traffic {
    /// Takes what went in the time up to a moment.
    pub fn push(&mut self, at_ms: u64, to: u64, from: u64) {
        // A clock that was put back begins anew.
        if self.moments.back().is_some_and(|last| last.at_ms >= at_ms) {
            self.moments.clear();
        }
        if self.moments.len() == MOMENTS {
            self.moments.pop_front();
        }
        self.moments.push_back(Moment { at_ms, to: to as f32, from: from as f32 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_bounded_and_in_order() {
        let mut traffic = Traffic::default();
        for at in 1..=(MOMENTS as u64 + 5) {
            traffic.push(at, at, 0);
        }
        assert_eq!(traffic.moments.len(), MOMENTS);
        assert_eq!(traffic.moments.front().map(|moment| moment.at_ms), Some(6));
        traffic.push(3, 1, 1);
        assert_eq!(traffic.moments.len(), 1);
    }
}
