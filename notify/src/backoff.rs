//! When a notice that was not taken is tried again. Knows no clock: what it needs stands in a stored queue.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A schedule: doubled from the first pause to the longest, shaken, given up after a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first pause, in milliseconds.
    pub first_ms: u64,
    /// The longest.
    pub most_ms: u64,
    /// From the first try on; then it is given up.
    pub give_up_ms: u64,
}

impl Default for Backoff {
    /// 5 s, doubled up to 15 minutes, for a day.
    fn default() -> Self {
        Self { first_ms: 5_000, most_ms: 900_000, give_up_ms: 86_400_000 }
    }
}

impl Backoff {
    /// How long to wait after `tries` tries (at least one), the first of which was `since_ms` ago; nothing when it is to
    /// be given up. `random` is any number; `asked` is what the server asked for, and is kept to.
    pub fn next(
        &self,
        tries: u32,
        since_ms: u64,
        random: u64,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        let doubled = 1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
        let pause = self.first_ms.saturating_mul(doubled).min(self.most_ms).max(1);
        // Between half of it and all of it, so that those that failed together do not come back together.
        let shaken = pause - random % (pause / 2 + 1);
        let asked = asked.map_or(0, |asked| u64::try_from(asked.as_millis()).unwrap_or(u64::MAX));
        let pause = shaken.max(asked);
        let goes_on = since_ms.saturating_add(pause) <= self.give_up_ms;
        goes_on.then(|| Duration::from_millis(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end() {
        let backoff = Backoff::default();
        let next = |tries, since| backoff.next(tries, since, 0, None).map(|d| d.as_secs());
        assert_eq!((next(1, 0), next(2, 0), next(6, 0)), (Some(5), Some(10), Some(160)));
        assert_eq!((next(30, 0), next(u32::MAX, 0)), (Some(900), Some(900)));
        assert_eq!(next(3, 86_400_000), None);
        assert_eq!(
            backoff.next(1, 0, 7, Some(Duration::from_mins(10))),
            Some(Duration::from_mins(10))
        );
        assert_eq!(backoff.next(1, 0, 7, Some(Duration::MAX)), None);
    }

    proptest! {
        #[test]
        fn a_pause_is_between_half_and_all(tries in 1..100_u32, random: u64, first in 1..10_000_u64, most in 1..100_000_u64) {
            let backoff = Backoff { first_ms: first, most_ms: most, give_up_ms: u64::MAX };
            let longest = backoff.next(tries, 0, 0, None).unwrap();
            let pause = backoff.next(tries, 0, random, None).unwrap();
            prop_assert!(pause <= longest && pause * 2 + Duration::from_millis(1) >= longest);
            prop_assert!(longest.as_millis() <= u128::from(most));
        }
    }
}
