//! Rules that this agent looks at itself: the hub gives it those of its host, and what came of them while the hub was
//! away is kept here until it is told. Meanwhile the journal and, where the host's owner named one, a program hear of it.
//!
//! Begun by `run`, asked over the link.

mod kept;
mod look;
mod programs;

use crate::Agent;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::alerts::away::{Carried, Carry, MAX_RULES, MAX_SEEN};
use kept::Kept;
use look::{Look, Outcome};
use programs::Programs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often figures are taken and rules looked at.
const CYCLE: Duration = Duration::from_secs(10);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(carry)
}

/// The rules of this host and what came of them.
#[derive(Debug)]
pub(crate) struct Lookout {
    file: PathBuf,
    inner: Mutex<Inner>,
    /// The rules are others.
    changed: Notify,
    /// One after the other.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Kept,
    look: Look,
    /// Counts what is to be written.
    version: u64,
    /// Writing failed; said once.
    failed: bool,
}

impl Lookout {
    /// One that has no rules, with its file in this folder.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            file: dir.join("alerts.json"),
            inner: Mutex::default(),
            changed: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from what was kept before.
    fn resume(&self) {
        let kept = kept::read(&self.file);
        let mut inner = self.lock();
        let problems = inner.look.resume(&kept);
        for problem in problems {
            tracing::warn!("a rule that was kept is not looked at: {problem}");
        }
        inner.kept = kept;
    }

    /// Writes what is kept when it is another than was written.
    async fn write(&self) {
        let _one = self.writing.lock().await;
        let (version, kept) = {
            let inner = self.lock();
            (inner.version, inner.kept.clone())
        };
        if version == 0 {
            return;
        }
        let file = self.file.clone();
        let done = tokio::task::spawn_blocking(move || kept::write(&file, &kept)).await;
        let mut inner = self.lock();
        match done {
            Ok(Ok(())) => {
                inner.failed = false;
                if inner.version == version {
                    inner.version = 0;
                }
            }
            Ok(Err(e)) => {
                if !std::mem::replace(&mut inner.failed, true) {
                    tracing::error!(
                        "rules and alerts are not kept: {}: {e}; after a restart of this agent they are lost",
                        self.file.display()
                    );
                }
            }
            Err(e) => tracing::error!("writing rules and alerts broke: {e}"),
        }
    }

    /// What a look gave: what happened is kept and told while the hub is away.
    fn heed(&self, outcome: Outcome, away: bool, programs: &Programs) {
        if outcome.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let mut anew = away;
        for mut seen in outcome.seen {
            anew = true;
            if !away {
                continue;
            }
            tracing::warn!(
                rule = seen.rule,
                instance = seen.instance,
                state = %seen.state,
                severity = %seen.severity,
                "while the hub is away: {}",
                seen.message
            );
            seen.number = inner.kept.next();
            programs.tell(&seen);
            inner.kept.push(seen);
        }
        if anew {
            inner.kept.writes = outcome.snapshot;
            inner.version += 1;
        }
    }
}

impl Inner {
    /// Takes what the hub says; whether the rules are others.
    fn carry(&mut self, carry: Carry) -> (Carried, bool) {
        let mut rules = carry.rules;
        rules.truncate(MAX_RULES);
        let named = (&carry.name, &carry.labels) == (&self.kept.name, &self.kept.labels);
        let other = rules != self.kept.rules || !named;
        let mut problems = Vec::new();
        if other {
            (self.kept.rules, self.kept.name, self.kept.labels) = (rules, carry.name, carry.labels);
            problems = self.look.put(&self.kept);
        }
        if self.kept.heard(carry.heard) || other {
            self.version += 1;
        }
        let seen: Vec<_> = self.kept.seen.iter().take(MAX_SEEN).cloned().collect();
        let more = self.kept.seen.len() > seen.len();
        let (lost, holds) = (self.kept.lost, self.look.holds(clock::now_ms()));
        (Carried { seen, more, lost, holds, problems }, other)
    }
}

async fn carry(agent: Arc<Agent>, _: Asked, carry: Carry) -> Result<Carried, CallError> {
    let lookout = agent.lookout();
    let (carried, other) = lookout.lock().carry(carry);
    if other {
        lookout.changed.notify_one();
    }
    lookout.write().await;
    Ok(carried)
}

/// Looks at the rules for as long as the agent runs.
pub async fn look(agent: Agent) {
    let lookout = agent.lookout();
    lookout.resume();
    let programs = Programs::new(agent.policy().alerts.program.clone());
    let mut away = agent.away();
    loop {
        if lookout.lock().look.is_idle() {
            lookout.changed.notified().await;
            continue;
        }
        // Other rules, or the hub has gone or come: states are followed or not.
        let gone = *away.borrow_and_update();
        tokio::select! {
            () = turns(&agent, gone, &programs) => {}
            () = lookout.changed.notified() => {}
            _ = away.changed() => {}
        }
    }
}

/// Looks again and again, for as long as rules and link are as they are.
async fn turns(agent: &Agent, away: bool, programs: &Programs) {
    let lookout = agent.lookout();
    let states = watch::Sender::new(None);
    let wanted = lookout.lock().look.wanted().filter(|_| away);
    let follow = async {
        match wanted {
            Some(units) => super::states::stand(agent, units, &states).await,
            None => std::future::pending().await,
        }
    };
    let look = async {
        let mut samples = agent.metrics().watch(CYCLE);
        let mut news = states.subscribe();
        loop {
            let due = lookout.lock().look.due_in();
            let outcome = tokio::select! {
                collected = samples.next() => {
                    let recording = agent.recording();
                    lookout.lock().look.sample(&collected.metrics, recording, clock::now_ms())
                }
                Ok(()) = news.changed() => match news.borrow_and_update().as_ref() {
                    Some(states) => lookout.lock().look.states(states, clock::now_ms()),
                    None => continue,
                },
                () = wait(due) => lookout.lock().look.turn(clock::now_ms()),
            };
            lookout.heed(outcome, away, programs);
            lookout.write().await;
        }
    };
    tokio::join!(follow, look);
}

async fn wait(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::alerts::State;
    use cmdr_protocol::metrics::{Memory, Metrics};

    const FULL: &str = "rules:\n- name: full\n  when: memory.used / memory.total > 90%\n  message: '{host} is full'\n";

    fn carry(heard: u64) -> Carry {
        let rules = vec![FULL.to_owned(), "rules:\n- name: odd\n  when: 'never('\n".to_owned()];
        Carry { rules, name: "web1".into(), heard, ..Carry::default() }
    }

    fn sample(used: u64) -> Metrics {
        let memory = Memory { total: 100, available: 100 - used, ..Memory::default() };
        Metrics { memory, ..Metrics::default() }
    }

    fn tell(lookout: &Lookout, used: u64, away: bool, at_ms: u64) {
        let recording = super::super::recorder::Recording::default();
        let outcome = lookout.lock().look.sample(&sample(used), &recording, at_ms);
        lookout.heed(outcome, away, &Programs::new(Vec::new()));
    }

    #[tokio::test]
    async fn what_happens_while_the_hub_is_away_is_kept_until_the_hub_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let lookout = Lookout::new(dir.path());
        let (carried, other) = lookout.lock().carry(carry(0));
        assert!(other && carried.problems.len() == 1, "{carried:?}");
        tell(&lookout, 99, false, 1000);
        tell(&lookout, 10, false, 2000);
        assert!(lookout.lock().kept.seen.is_empty(), "the hub saw that itself");
        tell(&lookout, 99, true, 3000);
        lookout.write().await;

        // The agent is killed and begins anew: nothing is told twice, and nothing forgotten.
        let lookout = Lookout::new(dir.path());
        lookout.resume();
        tell(&lookout, 99, true, 4000);
        tell(&lookout, 10, true, 5000);
        let (carried, other) = lookout.lock().carry(carry(0));
        assert!(!other);
        let told: Vec<_> = carried.seen.iter().map(|s| (s.number, s.state, s.at_ms)).collect();
        assert_eq!(told, [(1, State::Firing, 3000), (2, State::Resolved, 5000)]);
        assert_eq!(carried.seen[0].message, "web1 is full");
        let (carried, _) = lookout.lock().carry(carry(1));
        assert_eq!(carried.seen.iter().map(|s| s.number).collect::<Vec<_>>(), [2]);
        let (carried, _) = lookout.lock().carry(carry(2));
        assert_eq!(carried.seen, []);
        tell(&lookout, 99, true, 6000);
        assert_eq!(lookout.lock().kept.seen[0].number, 3, "numbers go on");
    }

    #[test]
    fn what_holds_is_told_with_how_long_it_has() {
        let lookout = Lookout::new(Path::new("/nonexistent"));
        lookout.lock().carry(carry(0));
        tell(&lookout, 99, true, 1000);
        let holds = lookout.lock().look.holds(61_000);
        let told: Vec<_> = holds.iter().map(|h| (h.rule.as_str(), h.for_ms)).collect();
        assert_eq!(told, [("full", 60_000)]);
        tell(&lookout, 10, true, 70_000);
        assert_eq!(lookout.lock().look.holds(80_000), []);
        // Rules that are taken away end what they said.
        let none = Carry { name: "web1".into(), ..Carry::default() };
        assert!(lookout.lock().carry(none).1);
        assert!(lookout.lock().look.is_idle());
    }
}
