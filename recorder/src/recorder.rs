//! The thread that takes samples and keeps them. The agent starts one and asks it.

use crate::budget;
use crate::collector::{Collector, Figures, Roots};
use crate::ring::Ring;
use crate::sample::Kind;
use crate::{Error, SHARE_PPM};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Tells the time of day, in milliseconds since 1970.
pub type Clock = fn() -> u64;

/// Names of containers by their ids, as far as whoever runs the recorder knows them.
pub type Titles = Arc<Mutex<HashMap<String, String>>>;

/// Figures are made so often.
const FIGURES: Duration = Duration::from_secs(10);
/// What it costs is told over so long.
const COST: Duration = Duration::from_mins(1);

/// What to record and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the ring.
    pub dir: PathBuf,
    /// Where the kernel tells.
    pub roots: Roots,
    /// From one sample to the next.
    pub interval: Duration,
    /// Bytes on disk at most.
    pub keep: u64,
    /// Whether command lines are kept.
    pub commands: bool,
    /// Names of containers.
    pub titles: Titles,
}

/// What a recorder does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Samples taken.
    pub taken: u64,
    /// Samples left out, because those before them had cost as much as was allowed.
    pub skipped: u64,
    /// What it costs, in millionths of one processor, over the last minute.
    pub cost_ppm: u64,
    /// Processes that are known, and how many of them were looked at for the newest sample.
    pub processes: u32,
    /// See `processes`.
    pub looked: u32,
    /// The newest figures and their number, which grows.
    pub figures: (u64, Arc<Figures>),
}

/// A recorder that runs. Dropping it ends it, with what it has on disk.
#[derive(Debug)]
pub struct Recorder {
    ring: Arc<Ring>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<(State, bool)>,
    ends: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (State, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Opens the ring and begins.
    pub fn start(settings: Settings, clock: Clock) -> Result<Self, Error> {
        let ring = Arc::new(Ring::open(&settings.dir, settings.keep)?);
        let shared = Arc::new(Shared::default());
        let (of_thread, into) = (shared.clone(), ring.clone());
        let dir = settings.dir.clone();
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || run(&settings, clock, &into, &of_thread))
            .map_err(Error::io("starting a thread for", &dir))?;
        Ok(Self { ring, shared, thread: Some(thread) })
    }

    /// What is kept.
    pub const fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// What it does.
    pub fn state(&self) -> State {
        self.shared.lock().0.clone()
    }

    /// The newest figures and their number, which grows.
    pub fn figures(&self) -> (u64, Arc<Figures>) {
        self.shared.lock().0.figures.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.lock().1 = true;
        self.shared.ends.notify_all();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(settings: &Settings, clock: Clock, ring: &Ring, shared: &Shared) {
    let mut collector = Collector::new(settings.roots.clone(), SHARE_PPM, settings.commands);
    let begin = Instant::now();
    let (mut due, mut figures_due) = (begin, begin + FIGURES);
    let mut cost = (begin, budget::clock());
    loop {
        let now = Instant::now();
        let mut sample = collector.sample(now, clock(), settings.interval);
        if let Some(sample) = &mut sample {
            let titles = settings.titles.lock().unwrap_or_else(PoisonError::into_inner);
            for group in sample.groups.iter_mut().filter(|g| g.kind == Kind::Container) {
                group.title = titles.get(&group.name).cloned().unwrap_or_default();
            }
            drop(titles);
            ring.append(sample);
        }
        let figures = (now >= figures_due).then(|| {
            figures_due = now + FIGURES;
            Arc::new(collector.figures())
        });
        let passed = now.saturating_duration_since(cost.0);
        let cost_ppm = (passed >= COST).then(|| {
            let used = u128::from(budget::clock().abs_diff(cost.1)) * 1_000_000;
            cost = (now, budget::clock());
            u64::try_from(used / passed.as_nanos().max(1)).unwrap_or(u64::MAX)
        });
        let mut locked = shared.lock();
        let state = &mut locked.0;
        state.cost_ppm = cost_ppm.unwrap_or(state.cost_ppm);
        if let Some(figures) = figures {
            state.figures = (state.figures.0 + 1, figures);
        }
        match &sample {
            Some(sample) => {
                state.taken += 1;
                (state.processes, state.looked) = (sample.host.processes, sample.host.looked);
            }
            None => state.skipped += 1,
        }
        due += settings.interval;
        let now = Instant::now();
        // A host that slept is not sampled for each second it slept.
        due = due.max(now);
        while !locked.1 {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            let waited = shared.ends.wait_timeout(locked, wait);
            locked = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if locked.1 {
            drop(locked);
            return ring.flush();
        }
    }
}
