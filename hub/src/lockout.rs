//! Wrong tries to get in: counted for each address and for each name that was tried, and after a few of
//! them it has to wait, longer each time. Only those who offer a token or a password are counted and
//! made to wait; peers whose key is known come and go as before. Asked by [`crate::server`] and the
//! logins, shown and lifted by administrators.

use cmdr_link::clock;
use serde::Deserialize;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Addresses or names remembered; beyond it the one that was wrong longest ago is forgotten.
const REMEMBERED: usize = 10_000;
/// What was not wrong for so long begins anew.
const FORGIVEN_MS: u64 = 24 * 3600 * 1000;

/// How many wrong tries, and what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Wrong tries that cost nothing yet.
    pub tries: u32,
    /// Seconds of the first wait; each wrong try after it doubles it.
    pub wait_s: u64,
    /// Seconds of the longest wait.
    pub longest_wait_s: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { tries: 5, wait_s: 30, longest_wait_s: 3600 }
    }
}

/// Wrong tries from an address, or with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Since it was last right, forgiven or lifted.
    pub tries: u32,
    /// Milliseconds since 1970.
    pub last_ms: u64,
    /// Until when it waits, milliseconds since 1970; 0 when it does not.
    pub until_ms: u64,
}

/// All addresses with wrong tries, or all names. Addresses are given as `gate::source` has them.
#[derive(Debug)]
pub struct Lockout<K> {
    rules: Rules,
    wrong: Mutex<HashMap<K, Wrong>>,
}

impl<K: Clone + Eq + Hash + Ord> Lockout<K> {
    /// Nobody was wrong yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, wrong: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Wrong>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many seconds more it has to wait, if it has to.
    pub fn waits(&self, what: &K) -> Option<u64> {
        self.waits_at(what, clock::now_ms())
    }

    fn waits_at(&self, what: &K, now_ms: u64) -> Option<u64> {
        let until = self.lock().get(what)?.until_ms;
        (until > now_ms).then(|| (until - now_ms).div_ceil(1000))
    }

    /// A wrong try. The seconds that it has to wait now, if any.
    pub fn wrong(&self, what: &K) -> Option<u64> {
        self.wrong_at(what, clock::now_ms())
    }

    fn wrong_at(&self, what: &K, now_ms: u64) -> Option<u64> {
        let mut wrong = self.lock();
        if wrong.len() >= REMEMBERED && !wrong.contains_key(what) {
            let oldest = wrong.iter().min_by_key(|(_, w)| w.last_ms).map(|(what, _)| what.clone());
            oldest.map(|oldest| wrong.remove(&oldest));
        }
        let entry =
            wrong.entry(what.clone()).or_insert(Wrong { tries: 0, last_ms: now_ms, until_ms: 0 });
        if now_ms.saturating_sub(entry.last_ms) > FORGIVEN_MS {
            *entry = Wrong { tries: 0, last_ms: now_ms, until_ms: 0 };
        }
        entry.tries = entry.tries.saturating_add(1);
        entry.last_ms = now_ms;
        let beyond = entry.tries.checked_sub(self.rules.tries.max(1))?;
        let wait_s = self
            .rules
            .wait_s
            .saturating_mul(1u64.checked_shl(beyond).unwrap_or(u64::MAX))
            .min(self.rules.longest_wait_s);
        entry.until_ms = now_ms.saturating_add(wait_s.saturating_mul(1000));
        Some(wait_s)
    }

    /// Takes back one try: it was not wrong after all, nor right. A wait that others have earned stays.
    pub fn undo(&self, what: &K) {
        if let Some(wrong) = self.lock().get_mut(what) {
            wrong.tries = wrong.tries.saturating_sub(1);
            if wrong.tries < self.rules.tries.max(1) {
                wrong.until_ms = 0;
            }
        }
    }

    /// A right try: it begins anew.
    pub fn right(&self, what: &K) {
        self.lock().remove(what);
    }

    /// Lets one try again, or all of them; how many had been wrong.
    pub fn lift(&self, what: Option<&K>) -> usize {
        let mut wrong = self.lock();
        match what {
            Some(what) => usize::from(wrong.remove(what).is_some()),
            None => std::mem::take(&mut *wrong).len(),
        }
    }

    /// All with wrong tries, those that wait longest first.
    pub fn all(&self) -> Vec<(K, Wrong)> {
        let mut all: Vec<_> =
            self.lock().iter().map(|(what, wrong)| (what.clone(), *wrong)).collect();
        all.sort_by(|(a, one), (b, other)| {
            (other.until_ms, other.last_ms, a).cmp(&(one.until_ms, one.last_ms, b))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_wrong_try_locks_and_each_one_after_it_for_twice_as_long() {
        let lockout = Lockout::new(Rules::default());
        let waits: Vec<_> = (0..8).map(|_| lockout.wrong_at(&1, 1000)).collect();
        assert_eq!(waits, [None, None, None, None, Some(30), Some(60), Some(120), Some(240)]);
        assert_eq!(lockout.waits_at(&1, 1000), Some(240));
        assert_eq!(lockout.waits_at(&1, 240_999), Some(1));
        assert_eq!(lockout.waits_at(&1, 241_000), None);
        assert_eq!(lockout.waits_at(&2, 1000), None, "others are not concerned");
        for _ in 0..200 {
            assert!(lockout.wrong_at(&1, 1000).unwrap() <= 3600);
        }
    }

    #[test]
    fn a_right_try_a_lift_and_a_day_without_one_each_begin_anew() {
        let lockout = Lockout::new(Rules::default());
        let wrong = |n, at| (0..5).filter_map(|_| lockout.wrong_at(&n, at)).next_back();
        assert_eq!(wrong(1, 0), Some(30));
        lockout.right(&1);
        assert_eq!(lockout.waits_at(&1, 0), None);
        assert_eq!(wrong(1, 0), Some(30));
        assert_eq!((lockout.lift(Some(&1)), lockout.lift(Some(&1))), (1, 0));
        assert_eq!(wrong(1, 0), Some(30));
        assert_eq!(wrong(1, FORGIVEN_MS + 1), Some(30));
        assert_eq!(lockout.lift(None), 1);
        assert!(lockout.all().is_empty());
    }

    #[test]
    fn a_try_that_is_taken_back_lifts_only_the_wait_that_it_brought() {
        let lockout = Lockout::new(Rules::default());
        let wrong = |times| (0..times).map(|_| lockout.wrong_at(&1, 0)).collect::<Vec<_>>();
        assert_eq!(wrong(5), [None, None, None, None, Some(30)]);
        lockout.undo(&1);
        assert_eq!(lockout.waits_at(&1, 0), None, "four are wrong");
        assert_eq!(wrong(2), [Some(30), Some(60)]);
        lockout.undo(&1);
        assert_eq!(lockout.waits_at(&1, 0), Some(60), "five are wrong: they wait");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let lockout = Lockout::new(Rules::default());
        for n in 0..REMEMBERED as u32 + 10 {
            lockout.wrong_at(&n, u64::from(n));
        }
        assert_eq!(lockout.all().len(), REMEMBERED);
        assert!(lockout.all().iter().all(|(a, _)| *a != 0));
    }
}
