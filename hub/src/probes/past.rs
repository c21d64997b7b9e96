//! How probes stood: each one's changes, kept in the store, so that a hub that starts again knows since when each stands as
//! it does, and shares of time are told by what was judged and not by single looks.

use super::{Known, Probes};
use crate::records::{ProbeChange, ProbePast, prefix};
use crate::store::{Batch, Store, StoreError};
use cmdr_probes::Standing;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::probes::{Happening, NOT_KNOWN, State};

/// Changes of one probe that are kept.
const CHANGES: usize = 200;
/// Cells of why it stood so.
const WHY: usize = 120;
/// So often it is written down that the hub runs.
pub(super) const ALIVE_MS: u64 = 60_000;
/// What is said of the time in which the hub did not run.
const AWAY: &str = "the hub did not run";

/// The store's key of how a probe stood.
fn key(name: &str) -> String {
    format!("{}{name}", prefix::PROBE_PAST)
}

/// What is known of how a probe stood before the hub began.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) state: State,
    pub(super) since_ms: u64,
    pub(super) why: String,
}

impl Before {
    /// Whether it may stand so still, by what agents say since: too few have looked, or it was down and they fail, and have
    /// not failed often enough yet to say that it is down.
    pub(super) fn holds(&self, now: &Standing) -> bool {
        let fails = now.votes.failing + now.votes.against > 0;
        now.state == State::Unknown
            || (self.state == State::Down && now.state != State::Down && fails)
    }
}

impl ProbePast {
    /// It stands so from now on. `false` when it did already.
    pub(super) fn note(&mut self, at_ms: u64, state: State, why: &str) -> bool {
        if self.changes.last().map_or(State::Unknown, |last| last.state) == state {
            return false;
        }
        // A clock that went back does not turn the order of things round.
        let at_ms = self.changes.last().map_or(at_ms, |last| at_ms.max(last.at_ms));
        self.changes.push(ProbeChange { at_ms, state, why: clean_to_width(why, WHY) });
        let over = self.changes.len().saturating_sub(CHANGES);
        self.changes.drain(..over);
        true
    }

    /// How it stood last, and since when, not counting the time in which the hub did not run.
    fn last(&self) -> Option<Before> {
        let told = || self.changes.iter().rev().filter(|change| change.why != AWAY);
        let last = told().next().filter(|last| last.state != State::Unknown)?;
        let same = told().take_while(|change| change.state == last.state).last()?;
        let (state, since_ms) = (last.state, same.at_ms);
        Some(Before { state, since_ms, why: same.why.clone() })
    }

    /// Of a stretch of time the parts that were judged: how long it was up, and how long it is known.
    fn up(&self, from_ms: u64, to_ms: u64) -> (u64, u64) {
        let ends = self.changes.iter().skip(1).map(|change| change.at_ms).chain([to_ms]);
        let mut sum = (0, 0);
        for (change, end) in self.changes.iter().zip(ends) {
            let (begin, end) = (change.at_ms.max(from_ms), end.min(to_ms));
            let long = end.saturating_sub(begin);
            match change.state {
                State::Unknown => {}
                State::Down => sum.1 += long,
                State::Up | State::Degraded => sum = (sum.0 + long, sum.1 + long),
            }
        }
        sum
    }

    /// The share of time in which it was up, in tenths of a percent; nothing where none of it is known. It is 100 only
    /// where it never was down.
    pub(super) fn share(&self, from_ms: u64, to_ms: u64) -> Option<u16> {
        let (up, known) = self.up(from_ms, to_ms);
        let share = u128::from(up) * 1000 / u128::from(known).max(1);
        (known > 0).then_some(share as u16)
    }

    /// The same of each of so many parts of a stretch of time.
    pub(super) fn blocks(&self, from_ms: u64, to_ms: u64, count: u32) -> Vec<u16> {
        let long = u128::from(to_ms.saturating_sub(from_ms));
        let edge = |n: u32| from_ms + (long * u128::from(n) / u128::from(count.max(1))) as u64;
        (0..count).map(|n| self.share(edge(n), edge(n + 1)).unwrap_or(NOT_KNOWN)).collect()
    }

    /// What happened, the newest first.
    pub(super) fn happened(&self, most: usize) -> Vec<Happening> {
        let told = |change: &ProbeChange| Happening {
            at_ms: change.at_ms,
            state: change.state,
            why: change.why.clone(),
        };
        self.changes.iter().rev().take(most).map(told).collect()
    }
}

/// Reads how a probe stood. The time in which the hub did not run is known as such from then on.
pub(super) fn read(
    store: &Store,
    name: &str,
    now_ms: u64,
) -> Result<(ProbePast, Option<Before>), StoreError> {
    let mut past: ProbePast = store.get(&key(name))?.unwrap_or_default();
    let before = past.last();
    let alive: u64 = store.get(prefix::PROBES_ALIVE)?.unwrap_or(now_ms);
    if now_ms.saturating_sub(alive) > 2 * ALIVE_MS {
        past.note(alive, State::Unknown, AWAY);
    }
    Ok((past, before))
}

/// Removes it.
pub(super) async fn forget(store: &Store, name: &str) -> Result<(), StoreError> {
    store.apply(Batch::new().delete(key(name))).await
}

impl Probes {
    /// Writes down how those stand that stand otherwise, and now and then that the hub runs.
    pub(super) async fn write_down(&self, now_ms: u64) {
        let mut batch = Batch::new();
        let mut names = Vec::new();
        {
            let mut inner = self.lock();
            let due = now_ms.saturating_sub(inner.alive_ms) >= ALIVE_MS && !inner.known.is_empty();
            for (name, known) in inner.known.iter_mut().filter(|(_, known)| known.changed) {
                batch = batch.put(key(name), &known.past);
                known.changed = false;
                names.push(name.clone());
            }
            if due {
                inner.alive_ms = now_ms;
                batch = batch.put(prefix::PROBES_ALIVE, &now_ms);
            } else if names.is_empty() {
                return;
            }
        }
        if let Err(e) = self.store.apply(batch).await {
            tracing::error!("how probes stand could not be written down: {e}");
            let mut inner = self.lock();
            let known = inner.known.iter_mut().filter(|(name, _)| names.contains(name));
            known.for_each(|(_, known)| known.changed = true);
        }
    }
}

impl Known {
    /// Takes up how it stood before the hub began.
    pub(super) fn resume(&mut self, past: ProbePast, before: Option<Before>) {
        self.past = past;
        if let Some(before) = before.filter(|_| self.runs()) {
            self.standing.state = before.state;
            self.standing.since_ms = before.since_ms;
            self.before = Some(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn past(changes: &[(u64, State)]) -> ProbePast {
        let mut past = ProbePast::default();
        for (at_ms, state) in changes {
            past.note(*at_ms, *state, "so");
        }
        past
    }

    #[test]
    fn uptime_is_the_share_of_known_time_and_not_of_looks() {
        let past = past(&[
            (100, State::Up),
            (200, State::Down),
            (210, State::Up),
            (300, State::Unknown),
            (900, State::Degraded),
        ]);
        // 190 of 200 until 300, nothing known until 900, then 100 of 100.
        assert_eq!(past.share(0, 1000), Some(966));
        assert_eq!(past.share(0, 100), None);
        assert_eq!(past.share(205, 207), Some(0));
        let blocks = [NOT_KNOWN, 900, 1000, NOT_KNOWN];
        assert_eq!(past.blocks(0, 400, 4), [NOT_KNOWN, 1000, 900, NOT_KNOWN], "{blocks:?}");
    }

    #[test]
    fn one_short_outage_is_never_rounded_to_all_of_the_time() {
        let past = past(&[(0, State::Up), (5000, State::Down), (5001, State::Up)]);
        assert_eq!(past.share(0, 10_000_000), Some(999));
    }

    #[test]
    fn since_when_it_stands_so_outlives_the_time_in_which_the_hub_did_not_run() {
        let mut past = past(&[(100, State::Down), (200, State::Up)]);
        past.note(500, State::Unknown, AWAY);
        past.note(600, State::Up, "so");
        let last = past.last().unwrap();
        assert_eq!((last.state, last.since_ms), (State::Up, 200));
        past.note(700, State::Unknown, "no agent");
        assert!(past.last().is_none());
    }

    #[test]
    fn what_was_known_holds_until_agents_have_looked_often_enough_to_say_otherwise() {
        let before = |state| Before { state, since_ms: 1, why: "so".into() };
        let now = |state, failing| {
            let votes = cmdr_probes::Votes { answering: 2, failing, ..Default::default() };
            Standing { state, since_ms: 9, flapping: false, votes }
        };
        assert!(before(State::Up).holds(&now(State::Unknown, 0)));
        assert!(before(State::Down).holds(&now(State::Up, 2)), "they fail, once so far");
        assert!(!before(State::Down).holds(&now(State::Up, 0)), "it came back");
        assert!(!before(State::Up).holds(&now(State::Up, 1)));
        assert!(!before(State::Down).holds(&now(State::Down, 0)));
    }

    proptest! {
        #[test]
        fn any_order_of_changes_keeps_bounds_and_shares(
            changes in proptest::collection::vec((0u64..10_000, 0u8..4), 0..400),
            from in 0u64..10_000,
            long in 0u64..10_000,
        ) {
            let states = [State::Unknown, State::Up, State::Down, State::Degraded];
            let mut past = ProbePast::default();
            for (at, state) in changes {
                past.note(at, states[usize::from(state)], "so");
            }
            prop_assert!(past.changes.len() <= CHANGES);
            prop_assert!(past.changes.is_sorted_by_key(|change| change.at_ms));
            let (up, known) = past.up(from, from + long);
            prop_assert!(up <= known && known <= long);
            prop_assert!(past.share(from, from + long).is_none_or(|share| share <= 1000));
            prop_assert_eq!(past.blocks(from, from + long, 30).len(), 30);
        }
    }
}
