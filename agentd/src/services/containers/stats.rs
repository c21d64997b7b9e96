//! What containers use: read from the kernel's own files, which cost a small part of what the engine takes to tell it, for
//! all who watch at once; the engine is asked about those whose files the agent does not find.

mod files;
mod told;

use super::live;
use crate::engine::Engine;
use crate::live::Live;
use crate::{Agent, Config, items};
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::containers::stats::{Figures, Stats};
use cmdr_protocol::containers::{Container, State};
use files::{Files, Taken};
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// The shortest and longest interval that a watcher may have.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// From the first look at a container, which yields no rate, to the second.
const WARM_UP: Duration = Duration::from_millis(250);
/// A sample may be so much early.
const EARLY: Duration = Duration::from_millis(200);
/// Questions to the engine at once.
const AT_ONCE: usize = 8;

/// What containers of this host use, while somebody watches.
#[derive(Debug, Default)]
pub struct Sampled {
    live: Live<Vec<Figures>>,
    wanted: Arc<Mutex<BTreeMap<u64, Duration>>>,
}

/// How often somebody wants to know, as long as they do.
struct Wanting {
    wanted: Arc<Mutex<BTreeMap<u64, Duration>>>,
    number: u64,
}

impl Sampled {
    fn want(&self, interval: Duration) -> Wanting {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let number = wanted.last_key_value().map_or(0, |(number, _)| number + 1);
        wanted.insert(number, interval);
        Wanting { wanted: self.wanted.clone(), number }
    }

    /// Whether anything is sampled now.
    pub fn is_running(&self) -> bool {
        self.live.is_running()
    }
}

impl Drop for Wanting {
    fn drop(&mut self) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

pub(super) async fn stats(
    agent: Arc<Agent>,
    _: Asked,
    call: Stats,
    feeding: Feeding<Stats>,
) -> Result<(), CallError> {
    let interval = Duration::from_millis(call.interval_ms).clamp(BOUNDS.0, BOUNDS.1);
    let sampled = agent.container_stats();
    let _wanting = sampled.want(interval);
    let (following, wanted) = (Agent::clone(&agent), sampled.wanted.clone());
    let mut watcher = sampled.live.watch(|teller| async move {
        let mut sampling = Sampling::new(following.config());
        let error = loop {
            match sampling.take(&following).await {
                Ok(figures) => teller.tell(figures),
                Err(error) => break error,
            }
            let shortest = || {
                let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
                wanted.values().min().copied().unwrap_or(BOUNDS.1)
            };
            if let Err(error) = sampling.wait(&shortest).await {
                break error;
            }
        };
        (teller, error)
    });
    let mut sent: Option<Arc<Vec<Figures>>> = None;
    loop {
        let newest = watcher.next().await?;
        for change in items::changes(sent.as_ref().map(|rows| rows.as_slice()), &newest) {
            feeding.send(&change).await?;
        }
        sent = Some(newest);
        sleep(interval.saturating_sub(EARLY)).await;
    }
}

/// One container that runs, and where its figures come from.
struct Source {
    container: Container,
    /// Its files; none when the engine is asked.
    files: Option<Files>,
    /// Processor time at the sample before, and when that was.
    last: Option<(u64, Instant)>,
}

/// Samples one after the other.
struct Sampling {
    config: Config,
    watcher: Option<crate::live::Watcher<Vec<Container>>>,
    running: BTreeMap<String, Container>,
    sources: BTreeMap<String, Source>,
    taken: Instant,
    /// Some were looked at for the first time.
    fresh: bool,
}

impl Sampling {
    fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            watcher: None,
            running: BTreeMap::new(),
            sources: BTreeMap::new(),
            taken: Instant::now(),
            fresh: false,
        }
    }

    /// Waits until the next sample is due. Containers that begin meanwhile are looked at soon.
    async fn wait(&mut self, interval: &impl Fn() -> Duration) -> Result<(), CallError> {
        loop {
            let pause = if self.fresh { WARM_UP } else { interval() };
            let Some(watcher) = self.watcher.as_mut() else { return Ok(()) };
            // Somebody with a shorter interval may have come: that is looked at each second.
            let due = self.taken + pause;
            let look = due.min(Instant::now() + BOUNDS.0);
            tokio::select! {
                rows = watcher.next() => {
                    let rows = rows?;
                    self.set(&rows);
                    if self.running.keys().any(|id| !self.sources.contains_key(id)) {
                        return Ok(());
                    }
                }
                () = sleep_until(look) => if look == due { return Ok(()) },
            }
        }
    }

    fn set(&mut self, rows: &[Container]) {
        let runs = |row: &&Container| matches!(row.state, State::Running | State::Paused);
        self.running = rows.iter().filter(runs).map(|row| (row.id.clone(), row.clone())).collect();
    }

    async fn take(&mut self, agent: &Agent) -> Result<Vec<Figures>, CallError> {
        let engine = agent.engine().await?;
        if self.watcher.is_none() {
            let watcher = self.watcher.insert(live::watch(agent));
            let rows = watcher.next().await?;
            self.set(&rows);
        }
        self.find(&engine).await;
        let mut sources = std::mem::take(&mut self.sources);
        // Small files of the kernel; a host that is short of memory may make one wait for them all the same.
        let reading = tokio::task::spawn_blocking(move || {
            let taken: Vec<_> = sources
                .values_mut()
                .map(|source| source.files.as_mut().map(|files| (files.take(), Instant::now())))
                .collect();
            (sources, taken)
        });
        let (sources, taken) =
            reading.await.map_err(|e| CallError::failed(format!("reading figures: {e}")))?;
        self.sources = sources;
        self.taken = Instant::now();
        let asked: Vec<String> = self
            .sources
            .values()
            .filter(|source| source.files.is_none())
            .map(|source| source.container.id.clone())
            .collect();
        let ask = async |id: &String| (id.clone(), told::ask(&engine, id).await, Instant::now());
        let answers: Vec<_> =
            futures::stream::iter(&asked).map(ask).buffer_unordered(AT_ONCE).collect().await;
        let mut told: BTreeMap<_, _> =
            answers.into_iter().map(|(id, taken, at)| (id, (taken, at))).collect();
        let (mut figures, mut gone) = (Vec::new(), Vec::new());
        self.fresh = false;
        for (source, taken) in self.sources.values_mut().zip(taken) {
            match taken.or_else(|| told.remove(&source.container.id)) {
                Some((Some(taken), at)) => {
                    self.fresh |= source.last.is_none();
                    figures.push(source.figures(&taken, at));
                }
                // It ended, or began anew: it is looked for again.
                _ => gone.push(source.container.id.clone()),
            }
        }
        for id in gone {
            self.sources.remove(&id);
        }
        Ok(figures)
    }

    /// Brings the sources to what runs now.
    async fn find(&mut self, engine: &Engine) {
        let Self { running, sources, .. } = self;
        sources.retain(|id, _| running.contains_key(id));
        let new: Vec<&Container> =
            running.values().filter(|row| !sources.contains_key(&row.id)).collect();
        let pids = async |row: &Container| {
            let inspected = engine.inspect_container(&row.id, None).await.ok();
            let pid = inspected.and_then(|inspected| inspected.state?.pid);
            (row.clone(), pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0))
        };
        let found: Vec<_> =
            futures::stream::iter(new).map(pids).buffer_unordered(AT_ONCE).collect().await;
        for (container, pid) in found {
            let Some(pid) = pid else { continue };
            let files = Files::open(&self.config, pid, &container);
            self.sources.insert(container.id.clone(), Source { container, files, last: None });
        }
        for (id, source) in &mut self.sources {
            if let Some(now) = self.running.get(id) {
                now.name.clone_into(&mut source.container.name);
            }
        }
    }
}

impl Source {
    fn figures(&mut self, taken: &Taken, at: Instant) -> Figures {
        let cpu = self.last.map_or(0, |(before, then)| {
            let passed = at.duration_since(then).as_nanos().max(1);
            let used = u128::from(taken.cpu_ns.saturating_sub(before));
            u32::try_from(used * 10_000 / passed).unwrap_or(u32::MAX)
        });
        self.last = Some((taken.cpu_ns, at));
        Figures {
            id: self.container.id.clone(),
            name: self.container.name.clone(),
            cpu,
            memory: taken.memory,
            limit: taken.limit,
            received: taken.received,
            sent: taken.sent,
            read: taken.read,
            written: taken.written,
            pids: taken.pids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn processor_time_becomes_a_share_of_one_processor() {
        let mut source = Source { container: Container::default(), files: None, last: None };
        let (at, taken) = (Instant::now(), |cpu_ns| Taken { cpu_ns, ..Taken::default() });
        assert_eq!(source.figures(&taken(5_000_000_000), at).cpu, 0);
        let later = at + Duration::from_secs(2);
        assert_eq!(source.figures(&taken(8_000_000_000), later).cpu, 15_000);
        // One that began anew counts from nothing.
        assert_eq!(source.figures(&taken(0), later + Duration::from_secs(1)).cpu, 0);
    }

    #[test]
    fn the_shortest_interval_counts_as_long_as_it_is_wanted() {
        let sampled = Sampled::default();
        let shortest = || sampled.wanted.lock().unwrap().values().min().copied();
        let _long = sampled.want(Duration::from_secs(10));
        let short = sampled.want(Duration::from_secs(1));
        assert_eq!(shortest(), Some(Duration::from_secs(1)));
        drop(short);
        assert_eq!(shortest(), Some(Duration::from_secs(10)));
        assert!(!sampled.is_running());
    }
}
