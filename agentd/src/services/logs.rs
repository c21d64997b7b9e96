//! Logs of this host: which there are, and the lines of one, sifted here, so that only what is wanted
//! goes over the wire.
//!
//! Nothing is read before somebody asks, and no faster than they take it: files and the journal are the
//! buffer. What is bounded: a line (`lines`), what a filter holds (`sieve`), one step of reading
//! (`file`), how far back is looked (`back`).

mod access;
mod back;
mod container;
mod file;
mod journal;
mod levels;
mod lines;
mod sieve;
mod sources;
mod tell;
mod times;
mod wake;

pub use levels::level_of;
pub use times::Times;

use crate::Agent;
use access::Access;
use back::Back;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::zone::Zone;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::logs::{
    At, Follow, Input, Kind, Listing, MAX_LAST, MAX_PATTERNS, Older, Sift, Sources, parts,
};
use file::{Next, Out, Reading, Start};
use sieve::{Sieve, Wanted};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tell::Teller;
use tokio::sync::Semaphore;
use wake::Wake;

/// Threads that may read logs at once; others stay free for what else may block.
const READERS: usize = 2;
/// A file that was rotated is looked at so often until the old one is quiet.
const WAITING: Duration = Duration::from_millis(250);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).feed(follow)
}

/// What the readers of one agent share.
pub fn readers() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(READERS))
}

/// Reads an entry of the journal; whether it is one. For those who try it with any bytes.
pub fn is_entry(json: &[u8]) -> bool {
    journal::entry_of(json).is_some()
}

async fn list(agent: Arc<Agent>, _: Asked, asked: Sources) -> Result<Listing, CallError> {
    if asked.paths.len() > MAX_PATTERNS || asked.paths.iter().any(|path| path.len() > 4096) {
        return Err(CallError::malformed(format!("at most {MAX_PATTERNS} patterns of paths")));
    }
    Ok(sources::list(&agent, asked.paths).await)
}

async fn follow(
    agent: Arc<Agent>,
    asked: Asked,
    follow: Follow,
    feeding: Feeding<Follow>,
) -> Result<(), CallError> {
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let (caller, source) = (clean_to_width(caller, 64), clean_to_width(&follow.source, 200));
    tracing::info!(caller, trace = asked.trace, source, "log read");
    match parts(&follow.source) {
        (Kind::File, name) => {
            let path = access::checked(name)?;
            files(&agent, path, follow, feeding).await
        }
        (Kind::Unit | Kind::Journal, _) => journal::follow(&agent, follow, feeding).await,
        (Kind::Container, name) => {
            container::follow(&agent, name.to_owned(), follow, feeding).await
        }
        (Kind::Unknown, _) => Err(CallError::not_found(format!(
            "this host has no source like '{source}'; cmdr logs HOST --sources lists what it has"
        ))),
    }
}

/// Does work that may block, on one of few threads.
async fn blocking<T: Send + 'static>(
    agent: &Agent,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallError> {
    let fault = |e: &dyn std::fmt::Display| CallError::failed(format!("reading a log: {e}"));
    let permit = agent.log_readers().clone().acquire_owned().await.map_err(|e| fault(&e))?;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    done.await.map_err(|e| fault(&e))
}

/// One log and how it is asked for.
struct Log {
    access: Access,
    path: PathBuf,
    wanted: Wanted,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    follow: bool,
}

impl Log {
    fn sieve(&self) -> Sieve {
        let times = Times::new(Zone::local(), clock::now_ms());
        Sieve::new(self.wanted.clone(), times, self.since_ms, self.until_ms)
    }

    /// Looks back for so many lines.
    async fn back(&self, agent: &Agent, need: u32, before: Option<At>) -> Result<Start, CallError> {
        let (access, path, sieve) = (self.access.clone(), self.path.clone(), self.sieve());
        let need = need.min(MAX_LAST) as usize;
        let begin = move || Back::new(access, &path, sieve, need, before.as_ref());
        let mut back = blocking(agent, begin).await??;
        loop {
            let step = move || {
                let start = back.step();
                (back, start)
            };
            let start;
            (back, start) = blocking(agent, step).await?;
            if let Some(start) = start {
                return Ok(start);
            }
        }
    }

    async fn start(&self, agent: &Agent, asked: &Follow) -> Result<Start, CallError> {
        let (access, path) = (self.access.clone(), self.path.clone());
        if let Some(place) = asked.from.clone() {
            return blocking(agent, move || back::resume(&access, &path, &place)).await?;
        }
        if let Some(last) = asked.last {
            return self.back(agent, last, None).await;
        }
        if let Some(since_ms) = self.since_ms {
            let mut sieve = self.sieve();
            return blocking(agent, move || back::since(&access, &path, &mut sieve, since_ms))
                .await?;
        }
        self.back(agent, 0, None).await
    }

    async fn reading(&self, agent: &Agent, start: Start) -> Result<Reading, CallError> {
        let (access, path, sieve) = (self.access.clone(), self.path.clone(), self.sieve());
        let follow = self.follow;
        blocking(agent, move || Reading::new(access, path, sieve, follow, start)).await
    }
}

/// What to do after an input.
enum Then {
    GoOn,
    /// Begin anew with so many lines.
    Anew(u32),
}

async fn files(
    agent: &Agent,
    path: PathBuf,
    asked: Follow,
    mut feeding: Feeding<Follow>,
) -> Result<(), CallError> {
    let mut log = Log {
        access: Access::of(agent),
        wanted: Wanted::new(&asked.filter)?,
        since_ms: asked.since_ms,
        until_ms: asked.until_ms,
        follow: asked.follow,
        path,
    };
    let mut wake = asked.follow.then(|| Wake::new(&log.path));
    let mut teller = Teller::new(feeding.sender());
    let start = log.start(agent, &asked).await?;
    let mut reading = log.reading(agent, start).await?;
    let (mut paused, mut idle, mut caught_up) = (false, false, false);
    loop {
        let input = tokio::select! {
            biased;
            input = feeding.input() => Some(input?),
            () = std::future::ready(()), if !idle && !paused => None,
            () = news(wake.as_ref(), reading.is_waiting()), if !paused => None,
            () = teller.beat() => {
                teller.tell(Out::default(), false).await?;
                continue;
            }
        };
        idle = false;
        if let Some(input) = input {
            paused = input.pause.unwrap_or(paused);
            if let Then::Anew(last) =
                obey(agent, &mut log, &mut reading, input, &mut teller).await?
            {
                let start = log.back(agent, last, None).await?;
                reading = log.reading(agent, start).await?;
                caught_up = false;
            }
            continue;
        }
        let step = move || {
            let out = reading.step();
            (reading, out)
        };
        let out;
        (reading, out) = blocking(agent, step).await?;
        if let Some(wake) = wake.as_mut().filter(|_| out.new_file) {
            wake.file_changed();
        }
        let next = out.next;
        idle = next == Next::Idle;
        let first = idle && !caught_up;
        caught_up |= idle;
        teller.tell(out, first || next == Next::Over).await?;
        if next == Next::Over {
            return Ok(());
        }
    }
}

/// Waits until a file may have news.
async fn news(wake: Option<&Wake>, waiting: bool) {
    match wake {
        Some(wake) if waiting => {
            tokio::select! {
                () = wake.changed() => {}
                () = tokio::time::sleep(WAITING) => {}
            }
        }
        Some(wake) => wake.changed().await,
        None => std::future::pending().await,
    }
}

async fn obey(
    agent: &Agent,
    log: &mut Log,
    reading: &mut Reading,
    input: Input,
    teller: &mut Teller,
) -> Result<Then, CallError> {
    if let Some(older) = input.older {
        self::older(agent, log, &older, teller).await?;
    }
    let Some(Sift { filter, number, last }) = input.sift else { return Ok(Then::GoOn) };
    log.wanted = Wanted::new(&filter)?;
    teller.sifted(number);
    if let Some(last) = last {
        return Ok(Then::Anew(last));
    }
    reading.sieve.change(log.wanted.clone());
    // From here on, said at once: what was sent before is by the old one.
    teller.tell(Out::default(), false).await?;
    Ok(Then::GoOn)
}

/// Sends what stands before a place, also before the moment that lines were asked from.
async fn older(
    agent: &Agent,
    log: &Log,
    asked: &Older,
    teller: &mut Teller,
) -> Result<(), CallError> {
    let (access, path, wanted) = (log.access.clone(), log.path.clone(), log.wanted.clone());
    let log = &Log { access, path, wanted, since_ms: None, ..*log };
    let before = asked.before.clone();
    let (Some(file), Some(offset)) = (before.file, before.offset) else {
        return Err(CallError::malformed("the place before which to look is none of a file"));
    };
    let start = log.back(agent, asked.lines, Some(before)).await?;
    let beginning = start.beginning;
    let nothing = start.rotated.is_empty() && start.live == Some(file) && start.offset == offset;
    if nothing || asked.lines == 0 {
        return teller.older_end(beginning).await;
    }
    let (access, path, sieve) = (log.access.clone(), log.path.clone(), log.sieve());
    let begin = move || Reading::new(access, path, sieve, false, start).until(file, offset);
    let mut reading = blocking(agent, begin).await?;
    loop {
        let step = move || {
            let out = reading.step();
            (reading, out)
        };
        let out;
        (reading, out) = blocking(agent, step).await?;
        let over = out.next == Next::Over;
        teller.older(out).await?;
        if over {
            return teller.older_end(beginning).await;
        }
    }
}
