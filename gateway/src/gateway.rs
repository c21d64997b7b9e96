//! The gateway as a whole: event loops on threads of their own, the sockets of all places, the plan
//! that holds, and the change from one to the next. Owned by `control`.

use crate::group::Upstream;
use crate::health;
use crate::plan::{self, Listener, Place, Plan};
use crate::shared::{Letters, Log, Mail, Question, Shared};
use crate::sys;
use crate::worker::Worker;
use anyhow::{Context as _, Result, bail};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Longest time that an event loop takes to go by a new plan.
const CHANGE: Duration = Duration::from_secs(10);
/// Open files that are not for connections: sockets, loops, the control side.
const RESERVED: usize = 96;
/// Names that may be looked up at once.
const QUESTIONS: usize = 256;

pub type Sockets = HashMap<Place, Vec<Arc<OwnedFd>>>;

pub struct Gateway {
    pub shared: Arc<Shared>,
    pub plan: Arc<Plan>,
    pub text: String,
    sockets: Sockets,
    checks: JoinSet<()>,
    loops: Vec<JoinHandle<()>>,
    limit: usize,
    /// Where the last configuration is kept.
    state: Option<PathBuf>,
}

impl Gateway {
    /// Starts event loops, which do nothing yet. `workers` 0: one for each core. `inherited`: sockets
    /// of a gateway that ends.
    pub fn new(workers: usize, state: Option<PathBuf>, inherited: Sockets) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if workers == 0 { cores.min(64) } else { workers };
        let limit = sys::open_files();
        let (questions, asked) = tokio::sync::mpsc::channel(QUESTIONS);
        let letters: Result<Vec<_>, _> = (0..workers).map(|_| Letters::new()).collect();
        let shared = Arc::new(Shared {
            start: Instant::now(),
            letters: letters.context("making the event loops")?,
            logs: (0..workers).map(|_| Log::default()).collect(),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            questions,
            said: AtomicU64::new(0),
        });
        let pipes = (limit / 16 / workers).min(512);
        let mut loops = Vec::new();
        for id in 0..workers {
            let epoll = Worker::epoll(&shared, id).context("making an event loop")?;
            let own = shared.clone();
            let thread = std::thread::Builder::new().name(format!("loop-{id}"));
            loops.push(
                thread
                    .spawn(move || Worker::new(id, own, pipes, epoll).run())
                    .context("starting an event loop")?,
            );
        }
        tokio::spawn(answer(asked, shared.clone()));
        let plan = Arc::default();
        Ok(Self {
            shared,
            plan,
            text: String::new(),
            sockets: inherited,
            checks: JoinSet::new(),
            loops,
            limit,
            state,
        })
    }

    /// Judges a configuration whole and goes by it; or names every error and changes nothing.
    pub async fn apply(&mut self, text: &str) -> Result<(), Vec<String>> {
        let plan = plan::read(text, &self.plan)?;
        let mut wrong = Vec::new();
        let mut sockets: Sockets = HashMap::new();
        for listener in &plan.listeners {
            let s = &listener.settings;
            let place = listener.place();
            let made = match self.sockets.get(&place) {
                Some(there) => Ok(there.clone()),
                None => sys::listen(s.address, s.transport, s.backlog, self.shared.letters.len()),
            };
            match made {
                Ok(made) => {
                    sockets.insert(place, made);
                }
                Err(why) => wrong.push(format!("listener \"{}\": {why}", s.name)),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.keep(text).map_err(|e| vec![format!("{e:#}; nothing was changed")])?;
        let plan = Arc::new(plan);
        let usual = self.limit.saturating_sub(RESERVED + self.limit / 8).max(2) / 2;
        let most = if plan.max_connections > 0 { plan.max_connections.min(usual) } else { usual };
        self.shared.most.store(most, Relaxed);
        let (done, all_done) = sync_channel(self.shared.letters.len());
        for (id, letters) in self.shared.letters.iter().enumerate() {
            let mut share: Vec<(Arc<Listener>, Arc<OwnedFd>)> = Vec::new();
            for listener in &plan.listeners {
                let sockets = sockets.get(&listener.place()).into_iter().flatten();
                // A gateway that was taken over may have had more loops than this one, or fewer.
                let own =
                    sockets.enumerate().filter(|(at, _)| at % self.shared.letters.len() == id);
                share.extend(own.map(|(_, socket)| (listener.clone(), socket.clone())));
            }
            letters.send(Mail::Apply(plan.clone(), share, done.clone()));
        }
        let count = self.shared.letters.len();
        wait(all_done, count).await.map_err(|e| vec![e.to_string()])?;
        (self.sockets, self.plan) = (sockets, plan);
        text.clone_into(&mut self.text);
        self.checks = health::begin(&self.plan, &self.shared);
        Ok(())
    }

    fn keep(&self, text: &str) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        let (new, kept) = (state.join("gateway.toml.new"), kept(state));
        let write = || -> std::io::Result<()> {
            use std::io::Write as _;
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &kept)?;
            std::fs::File::open(state)?.sync_all()
        };
        write().with_context(|| format!("keeping the configuration in {}", kept.display()))
    }

    /// Accepts nothing any more; connections go on. `close`: nobody has the sockets after this.
    pub async fn quiet(&mut self, close: bool) -> Result<()> {
        let (done, all_done) = sync_channel(self.shared.letters.len());
        for letters in &self.shared.letters {
            letters.send(Mail::Quiet { close, done: done.clone() });
        }
        wait(all_done, self.shared.letters.len()).await?;
        self.checks.abort_all();
        if close {
            self.sockets.clear();
        }
        Ok(())
    }

    /// The sockets of all places, for a gateway that takes over.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Where a listener really listens.
    pub fn bound(&self, listener: &Listener) -> Option<SocketAddr> {
        sys::local(self.sockets.get(&listener.place())?.first()?)
    }

    pub fn upstream(&self, group: &str, address: SocketAddr) -> Result<&Arc<Upstream>> {
        let Some(group) = self.plan.groups.iter().find(|g| g.settings.name == group) else {
            bail!("there is no group \"{group}\"");
        };
        let found = group.upstreams.iter().find(|u| u.settings.address == address);
        found
            .with_context(|| format!("group \"{}\" has no upstream {address}", group.settings.name))
    }

    pub fn everyone(&self, mail: impl Fn() -> Mail) {
        for letters in &self.shared.letters {
            letters.send(mail());
        }
    }

    /// Ends everything.
    pub fn stop(self) {
        self.everyone(|| Mail::Stop);
        for thread in self.loops {
            thread.join().ok();
        }
    }
}

/// The file that holds the last configuration.
pub fn kept(state: &std::path::Path) -> PathBuf {
    state.join("gateway.toml")
}

async fn wait(all_done: Receiver<()>, count: usize) -> Result<()> {
    let waiting = move || (0..count).all(|_| all_done.recv_timeout(CHANGE).is_ok());
    if !tokio::task::spawn_blocking(waiting).await.unwrap_or(false) {
        bail!("an event loop does not answer");
    }
    Ok(())
}

/// Looks names up by the system's resolver, some at once.
async fn answer(mut asked: tokio::sync::mpsc::Receiver<Question>, shared: Arc<Shared>) {
    let some = Arc::new(tokio::sync::Semaphore::new(32));
    while let Some(question) = asked.recv().await {
        let (shared, Ok(turn)) = (shared.clone(), some.clone().acquire_owned().await) else {
            return;
        };
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((question.name.as_str(), question.port)).await;
            let found = found.map(|all| all.take(8).collect()).unwrap_or_default();
            shared.letters[question.worker].send(Mail::Resolved(question.token, found));
            drop(turn);
        });
    }
}

/// A gateway that several tasks of the control side use in turn.
pub type Held = Arc<tokio::sync::Mutex<Gateway>>;
