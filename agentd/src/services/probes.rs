//! Probes: looks at far ends, as the hub asks for them. What a look is, is cmdr-probes' business; here is when each is due,
//! where this host may go and how programs are run.

use super::exec::{Order, Running, Sink};
use crate::Agent;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_probes::{Means, Prober, Ran};
use cmdr_protocol::CallError;
use cmdr_protocol::exec::{Item, Outcome, Start};
use cmdr_protocol::probes::{Due, MAX_ON_AGENT, Measured, Probe, Run, Script, Told, Watch};
use futures::future::BoxFuture;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Looks that go on at once.
const TOGETHER: usize = 16;
/// Results that wait until the hub takes them.
const WAITING: usize = 64;
/// First looks that are wanted at once are taken within so long, not all together.
const SOON_MS: u64 = 2000;
/// The most often that anything is looked at.
const LEAST_MS: u64 = 1000;
/// Bytes of a program's output that are kept.
const OUTPUT: usize = 4096;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(run).feed(watch)
}

/// When probes are due on this host: each at a moment of its own within its interval, which stays the same when the hub
/// hands another set.
#[derive(Debug)]
pub(crate) struct Turns {
    begun: Instant,
    spread: RandomState,
    free: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let free = Arc::new(Semaphore::new(TOGETHER));
        Self { begun: Instant::now(), spread: RandomState::new(), free }
    }
}

impl Turns {
    /// When it is due next, after now.
    fn next(&self, name: &str, every_ms: u64) -> Instant {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.begun + Duration::from_millis(turn(self.spread.hash_one(name), every_ms, passed))
    }

    /// When the first look is taken that is wanted at once.
    fn soon(&self, name: &str, every_ms: u64) -> Instant {
        let after = self.spread.hash_one(name) % SOON_MS.min(every_ms);
        Instant::now() + Duration::from_millis(after)
    }
}

/// The first moment after `passed` that lies `spread` into an interval.
const fn turn(spread: u64, every_ms: u64, passed: u64) -> u64 {
    let phase = spread % every_ms;
    let whole = passed.saturating_sub(phase) / every_ms;
    let at = whole.saturating_mul(every_ms).saturating_add(phase);
    if at > passed { at } else { at.saturating_add(every_ms) }
}

/// What this host lends to a look.
struct Here {
    agent: Agent,
}

impl Means for Here {
    fn allows(&self, address: IpAddr) -> Result<(), String> {
        self.agent.policy().allows_probe(address.to_canonical())
    }

    fn run<'a>(&'a self, script: &'a Script, _: Duration) -> BoxFuture<'a, Result<Ran, String>> {
        // The look drops this when its time is over, which ends the program and all that it has started.
        Box::pin(async move { program(&self.agent, script).await.map_err(|e| e.message) })
    }

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }
}

/// The beginning of what a program says.
#[derive(Default)]
struct Heard(Mutex<[Vec<u8>; 2]>);

impl Sink for Heard {
    async fn take(&self, item: &Item) -> Result<(), CallError> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (kept, said) in heard.iter_mut().zip([&item.stdout, &item.stderr]) {
            let room = OUTPUT.saturating_sub(kept.len());
            kept.extend(said.iter().take(room));
        }
        Ok(())
    }
}

/// Runs a probe's program under all that this host's owner says of programs.
async fn program(agent: &Agent, script: &Script) -> Result<Ran, CallError> {
    agent.policy().allows_method("exec.start")?;
    let _running = agent.programs().clone().try_acquire_owned().map_err(|_| {
        CallError::failed("this host runs as many programs already as its policy allows")
    })?;
    let (argv, user) = (script.command.clone(), script.user.clone());
    let order = Order::check(agent, Start { argv, user, ..Start::default() }, &[])?;
    let running = Running::start(agent, &order).await?;
    if let Some(pid) = Pid::from_raw(running.pid().cast_signed()) {
        let most = Some(script.memory);
        let limit = Rlimit { current: most, maximum: most };
        // One that has ended already needs none.
        if let Err(e) = prlimit(Some(pid), Resource::As, limit)
            && e != rustix::io::Errno::SRCH
        {
            return Err(CallError::failed(format!("limiting the program's memory: {e}")));
        }
    }
    let heard = Heard::default();
    let never = std::future::pending::<()>();
    let exit = running.follow(&heard, |_, _| std::future::pending(), never).await?;
    let [stdout, stderr] = heard.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Ran {
        code: (exit.outcome == Outcome::Exited).then_some(exit.code),
        timed_out: exit.outcome == Outcome::TimedOut,
        output: if stdout.is_empty() { stderr } else { stdout },
    })
}

async fn look(agent: &Agent, prober: &Prober<Here>, probe: &Probe) -> Result<Measured, CallError> {
    let closed = |_| CallError::failed("this agent takes no more looks");
    let _one = agent.probing().free.clone().acquire_owned().await.map_err(closed)?;
    Ok(prober.run(probe).await)
}

async fn run(agent: Arc<Agent>, _: Asked, run: Run) -> Result<Measured, CallError> {
    let prober = Prober::new(Here { agent: (*agent).clone() });
    look(&agent, &prober, &run.probe).await
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    if watch.probes.len() > MAX_ON_AGENT {
        let count = watch.probes.len();
        return Err(CallError::malformed(format!(
            "{count} probes are more than the {MAX_ON_AGENT} that one agent runs"
        )));
    }
    let prober = Arc::new(Prober::new(Here { agent: (*agent).clone() }));
    let (tell, mut told) = mpsc::channel(WAITING);
    let mut going = JoinSet::new();
    for due in watch.probes {
        going.spawn(again((*agent).clone(), prober.clone(), due, tell.clone()));
    }
    // Held, so that a feed without probes goes on until the hub hands others.
    let _tell = tell;
    while let Some(item) = told.recv().await {
        feeding.send(&item).await?;
    }
    Ok(())
}

/// Takes looks at one far end, one after the other, until nobody wants to know.
async fn again(agent: Agent, prober: Arc<Prober<Here>>, due: Due, tell: mpsc::Sender<Told>) {
    let Due { version, soon, probe } = due;
    let every_ms = probe.every_ms.max(LEAST_MS);
    let turns = agent.probing();
    let mut next =
        if soon { turns.soon(&probe.name, every_ms) } else { turns.next(&probe.name, every_ms) };
    loop {
        sleep_until(next).await;
        let Ok(measured) = look(&agent, &prober, &probe).await else { return };
        let told = Told { name: probe.name.clone(), version, measured };
        if tell.send(told).await.is_err() {
            return;
        }
        // What it took too long for is left out.
        next = turns.next(&probe.name, every_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use cmdr_protocol::probes::Verdict;
    use proptest::prelude::*;

    async fn looked(policy: &str, command: &[&str]) -> Measured {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().to_owned());
        config.policy =
            crate::policy::Policy::parse(std::path::Path::new("/etc/cmdr/agent.toml"), policy)
                .unwrap();
        let agent = Agent::new(config);
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let script = Some(Script { command, user: None, memory: 256 << 20 });
        let probe = Probe { timeout_ms: 5000, script, ..Probe::default() };
        let prober = Prober::new(Here { agent: agent.clone() });
        look(&agent, &prober, &probe).await.unwrap()
    }

    #[tokio::test]
    async fn a_program_runs_only_where_the_policy_lets_it() {
        for policy in ["[services]\nexec = false\n", "[exec]\ndenied_programs = [\"/bin/true\"]\n"]
        {
            let seen = looked(policy, &["/bin/true"]).await;
            assert_eq!(seen.verdict, Verdict::Unknown, "{policy}: {}", seen.why);
            assert!(seen.why.contains("/etc/cmdr/agent.toml"), "{}", seen.why);
        }
    }

    proptest! {
        #[test]
        fn the_next_turn_is_within_one_interval_and_always_at_the_same_place_of_it(
            spread: u64, every in 1000_u64..86_400_000, passed in 0_u64..1 << 50,
        ) {
            let next = turn(spread, every, passed);
            prop_assert!(next > passed && next - passed <= every);
            prop_assert_eq!(next % every, spread % every);
            prop_assert_eq!(turn(spread, every, next), next + every);
        }
    }
}
