//! What several agents say of one far end, judged together: down only when enough of them say so. No clock, no I/O.
//!
//! An agent says that it is down when it has failed so often in a row, and that it is up with the first look that succeeds.
//! Agents that are away, and looks that are too old, do not count. What goes up and down all the time is called up again
//! only after it has been calm.

use cmdr_protocol::probes::{State, Terms, Verdict};
use std::collections::{BTreeMap, VecDeque};

/// So many changes within [`WINDOW`] intervals, and it goes up and down.
const CHANGES: usize = 6;
const WINDOW: u64 = 60;
/// It is calm after so many intervals without one that says it is down.
const CALM: u64 = 10;

/// What agents say of a far end. Agents have keys `K`; times are milliseconds of any clock that does not go back.
#[derive(Clone, Debug)]
pub struct Quorum<K> {
    terms: Terms,
    every_ms: u64,
    lasts_ms: u64,
    agents: BTreeMap<K, Agent>,
    state: State,
    since_ms: u64,
    /// When it went down or came back, the newest last.
    changes: VecDeque<u64>,
    /// The last time at which a quorum said it is down.
    down_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Agent {
    /// The newest look that said something; absent before the first, and after the agent went away.
    at_ms: Option<u64>,
    failures: u32,
    /// It has said that it is down, and has not succeeded since.
    down: bool,
    warning: bool,
}

/// How votes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// Agents that count.
    pub answering: u32,
    /// Those of them that say it is down.
    pub against: u32,
    /// Those of them that say it is up, with a warning.
    pub warning: u32,
    /// Those of them whose last look failed, and that do not say it is down yet.
    pub failing: u32,
    /// Agents that have to say that it is down.
    pub needed: u32,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub state: State,
    /// Since when.
    pub since_ms: u64,
    /// It goes up and down.
    pub flapping: bool,
    /// By these votes.
    pub votes: Votes,
}

impl<K: Ord + Clone> Quorum<K> {
    /// Nobody has said anything yet. Looks are taken each `every_ms` and last `timeout_ms` at most.
    pub fn new(terms: Terms, every_ms: u64, timeout_ms: u64) -> Self {
        let every_ms = every_ms.max(1);
        Self {
            terms,
            every_ms,
            // Two looks may be missed.
            lasts_ms: every_ms.saturating_mul(3).saturating_add(timeout_ms),
            agents: BTreeMap::new(),
            state: State::Unknown,
            since_ms: 0,
            changes: VecDeque::new(),
            down_ms: 0,
        }
    }

    /// Other terms for the same far end: what agents have said stays.
    pub fn change(&mut self, terms: Terms, every_ms: u64, timeout_ms: u64) {
        let fresh = Self::new(terms, every_ms, timeout_ms);
        (self.terms, self.every_ms, self.lasts_ms) = (terms, fresh.every_ms, fresh.lasts_ms);
    }

    /// An agent has taken a look.
    pub fn told(&mut self, by: K, verdict: Verdict, at_ms: u64) {
        // A look that says nothing changes nothing; what the agent said before grows old.
        let Some(up) = verdict.up() else { return };
        let agent = self.agents.entry(by).or_default();
        agent.at_ms = Some(at_ms);
        agent.warning = verdict == Verdict::Warning;
        if up {
            (agent.failures, agent.down) = (0, false);
        } else {
            agent.failures = agent.failures.saturating_add(1);
            agent.down |= agent.failures > self.terms.retries;
        }
    }

    /// An agent is away, or does not run it any more: it does not count until it says something.
    pub fn gone(&mut self, by: &K) {
        self.agents.remove(by);
    }

    /// Only these agents count from now on.
    pub fn only(&mut self, are: impl Fn(&K) -> bool) {
        self.agents.retain(|by, _| are(by));
    }

    /// How often in a row an agent has failed.
    pub fn failures(&self, by: &K) -> u32 {
        self.agents.get(by).map_or(0, |agent| agent.failures)
    }

    /// How the votes are at that time.
    pub fn votes(&self, now_ms: u64) -> Votes {
        let mut votes = Votes::default();
        let fresh = |at: u64| now_ms.saturating_sub(at) <= self.lasts_ms;
        for agent in self.agents.values().filter(|agent| agent.at_ms.is_some_and(fresh)) {
            votes.answering += 1;
            votes.against += u32::from(agent.down);
            votes.warning += u32::from(agent.warning);
            votes.failing += u32::from(!agent.down && agent.failures > 0);
        }
        votes.needed = match self.terms.quorum {
            0 => votes.answering / 2 + 1,
            quorum => quorum,
        };
        votes
    }

    /// Judges: how it stands at that time, and whether that is another state than before.
    pub fn judge(&mut self, now_ms: u64) -> (Standing, bool) {
        let before = self.state;
        // A change may be the one by which it goes up and down from now on: that is judged at once too.
        self.step(now_ms);
        let standing = self.step(now_ms);
        (standing, standing.state != before)
    }

    fn step(&mut self, now_ms: u64) -> Standing {
        let votes = self.votes(now_ms);
        let before = self.state;
        while self
            .changes
            .front()
            .is_some_and(|at| now_ms.saturating_sub(*at) > self.every_ms.saturating_mul(WINDOW))
        {
            self.changes.pop_front();
        }
        let enough = votes.answering > 0 && votes.answering >= self.terms.at_least;
        let down = enough && votes.against > 0 && votes.against >= votes.needed;
        if down {
            self.down_ms = now_ms;
        }
        let flapping = self.changes.len() >= CHANGES
            && now_ms.saturating_sub(self.down_ms) < self.every_ms.saturating_mul(CALM);
        let state = if !enough {
            State::Unknown
        } else if down || (flapping && before == State::Down) {
            State::Down
        } else if votes.against + votes.warning > 0 || flapping {
            State::Degraded
        } else {
            State::Up
        };
        if state != before {
            if (state == State::Down) != (before == State::Down) && before != State::Unknown {
                self.changes.push_back(now_ms);
                if self.changes.len() > CHANGES {
                    self.changes.pop_front();
                }
            }
            (self.state, self.since_ms) = (state, now_ms);
        }
        Standing { state, since_ms: self.since_ms, flapping, votes }
    }
}
