//! A holder at work: the terminal is read and written, agents are served, and the end is waited for.

use super::clients::Next;
use super::remote::Remote;
use super::state::{State, Terminal};
use super::wire::{Ask, Attach, OLDEST, VERSION};
use cmdr_link::files;
use cmdr_link::local::{self, Reader, Writer};
use cmdr_protocol::exec::{Exit, Outcome};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// From the polite signal to the final one.
const MERCY: Duration = Duration::from_secs(2);
/// How a session ended is told for so long.
const REMEMBERED: Duration = Duration::from_mins(5);
/// What was written before the end is here after so long without more.
const DRAINED: Duration = Duration::from_millis(50);
/// A terminal that takes nothing now is tried again so much later. To wait for its word is not enough: once it was seen
/// without a program at its other end it is called ready for ever.
const FULL: Duration = Duration::from_millis(5);
/// The most that a terminal holds; more comes from programs that are not waited for.
const HELD: usize = 128 * 1024;
/// An agent must say what it wants within so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The socket is looked at so often: a session that nobody can find any more must not stay.
const LOOK: Duration = Duration::from_secs(5);
/// A list is told of keys and output so often.
const NEWS: Duration = Duration::from_secs(1);
/// Output is looked at when it has paused for so long,
const PAUSE: Duration = Duration::from_millis(10);
/// and when the oldest has waited for so long.
const LATEST: Duration = Duration::from_millis(250);
/// Agents' connections at once.
const CONNECTIONS: usize = 64;

/// A path to `name` in an open folder, short enough for a socket whatever the folder's is.
pub(crate) fn short(dir: &OwnedFd, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).into()
}

/// Opens the folder of the sockets.
pub(crate) fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::empty())?)
}

/// The socket by which agents find a session.
#[derive(Debug)]
pub(super) struct Door {
    path: PathBuf,
    listener: UnixListener,
}

impl Door {
    pub(super) fn open(dir: &Path, id: &str) -> io::Result<Self> {
        files::private_dir(dir)?;
        let folder = open_dir(dir)?;
        let listener = UnixListener::bind(short(&folder, id))?;
        let path = dir.join(id);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { path, listener })
    }

    fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    pub(super) fn close(self) {
        // When it is gone already, that is as well.
        std::fs::remove_file(&self.path).ok();
    }
}

/// Serves a session to its end, and tells the end for a while.
pub(super) async fn run(state: &Arc<State>, door: Door, mut program: Program) {
    let Some(terminal) = state.terminal() else { return };
    let begun = Instant::now();
    let accepting = async {
        let free = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        loop {
            let Ok((socket, _)) = door.listener.accept().await else {
                // No descriptor is free; they come back.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            if let Ok(permit) = free.clone().try_acquire_owned() {
                let state = state.clone();
                tokio::spawn(async move {
                    answer(&state, socket).await;
                    drop(permit);
                });
            }
        }
    };
    let living = async {
        let (outcome, code) = tokio::select! {
            ended = wait(state, &mut program, &door) => ended,
            never = read(state, &terminal) => match never {},
            never = write(state, &terminal) => match never {},
            never = follow(state) => match never {},
        };
        drain(state, &terminal).await;
        drop(terminal);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        state.ended(Exit { outcome, code, took_ms });
        let forgotten = Instant::now() + REMEMBERED;
        while Instant::now() < forgotten && door.is_there() || !state.is_left() {
            sleep(LOOK.min(forgotten.saturating_duration_since(Instant::now()).max(NEWS))).await;
        }
    };
    tokio::select! {
        () = living => {}
        () = accepting => {}
    }
    door.close();
}

/// What runs at the terminal's other end.
#[derive(Debug)]
pub(super) enum Program {
    /// The first program of this host's.
    Here(Child),
    /// One on another machine.
    Far(Remote),
}

impl Program {
    async fn wait(&mut self) -> (Outcome, i32) {
        match self {
            Self::Here(child) => describe(child.wait().await),
            Self::Far(remote) => remote.wait().await,
        }
    }

    /// Ends it for good.
    fn kill(&self, leader: i32) {
        match self {
            Self::Here(_) => kill_session(leader),
            Self::Far(remote) => remote.hang_up(),
        }
    }
}

/// Waits until the first program has ended, by itself or because it shall.
async fn wait(state: &State, program: &mut Program, door: &Door) -> (Outcome, i32) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Then only its own end is one.
        return program.wait().await;
    };
    let mut look = tokio::time::interval(LOOK);
    let why = loop {
        let idle = state.idle_at();
        tokio::select! {
            ended = program.wait() => return ended,
            () = state.end.notified() => break Outcome::Closed,
            _ = terminate.recv() => break Outcome::Closed,
            _ = look.tick() => if !door.is_there() { break Outcome::Closed },
            () = at(idle) => if state.idle_at().is_some_and(|at| at <= Instant::now()) {
                break Outcome::TimedOut;
            },
        }
    };
    state.signal(Signal::HUP);
    state.signal(Signal::CONT);
    if timeout(MERCY, program.wait()).await.is_err() {
        program.kill(state.session().pid.cast_signed());
        program.wait().await;
        return (why, Signal::KILL.as_raw());
    }
    (why, Signal::HUP.as_raw())
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Ends all who belong to the terminal's session.
fn kill_session(leader: i32) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| session_of(*pid) == Some(leader)).and_then(Pid::from_raw)
        else {
            continue;
        };
        // It may have ended meanwhile.
        kill_process(pid, Signal::KILL).ok();
    }
}

fn session_of(pid: i32) -> Option<i32> {
    rustix::process::getsid(Pid::from_raw(pid)).ok().map(|leader| leader.as_raw_nonzero().get())
}

/// Reads what the terminal is sent for as long as it runs.
async fn read(state: &State, terminal: &Terminal) -> Infallible {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let room = state.room().min(buffer.len());
        if room == 0 {
            state.read_on.notified().await;
            continue;
        }
        match take(terminal, &mut buffer[..room]).await {
            Ok(n) => state.output(&buffer[..n]),
            // Nobody has it open at the moment, or ever again: the end of the program tells.
            Err(_) => sleep(DRAINED).await,
        }
        // Before more is read, those who are attached get what there is.
        tokio::task::yield_now().await;
    }
}

/// Reads all there is, as far as it fits.
async fn take(terminal: &Terminal, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        terminal.output.readable().await?;
        let mut got = 0;
        while got < buffer.len() {
            match terminal.output.try_read(&mut buffer[got..]) {
                // A terminal has no end, a socket whose other end is closed does.
                Ok(0) if got == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && got == 0 => {
                    sleep(FULL).await;
                    break;
                }
                Err(e) if got == 0 => return Err(e),
                Err(_) => break,
            }
        }
        if got > 0 {
            return Ok(got);
        }
    }
}

/// Types what clients have sent.
async fn write(state: &State, terminal: &Terminal) -> Infallible {
    loop {
        let keys = state.keys();
        if keys.is_empty() {
            state.has_keys.notified().await;
            continue;
        }
        let written = match terminal.keys.writable().await {
            Ok(()) => terminal.keys.try_write(&keys),
            Err(e) => Err(e),
        };
        match written {
            Ok(n) => state.typed(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => sleep(FULL).await,
            Err(_) => sleep(DRAINED).await,
        }
    }
}

/// Looks at output that those who are attached have before it: so that they need not wait for that.
async fn follow(state: &State) -> Infallible {
    loop {
        state.behind.notified().await;
        let latest = Instant::now() + LATEST;
        loop {
            let written = state.written();
            sleep(PAUSE).await;
            if state.written() == written || Instant::now() >= latest {
                break;
            }
        }
        state.catch_up();
    }
}

/// Takes in what was written before the end.
async fn drain(state: &State, terminal: &Terminal) {
    let mut buffer = vec![0; 16 * 1024];
    let mut got = 0;
    while got < HELD {
        match timeout(DRAINED, take(terminal, &mut buffer)).await {
            Ok(Ok(n)) => {
                got += n;
                state.output(&buffer[..n]);
            }
            _ => return,
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> (Outcome, i32) {
    let status = status.unwrap_or_else(|_| ExitStatus::from_raw(0xff00));
    match (status.code(), status.signal()) {
        (Some(code), _) => (Outcome::Exited, code),
        (None, signal) => (Outcome::Signalled, signal.unwrap_or(0)),
    }
}

/// Serves one connection of an agent's.
async fn answer(state: &Arc<State>, socket: UnixStream) {
    let own = rustix::process::geteuid().as_raw();
    if !socket.peer_cred().is_ok_and(|peer| peer.uid() == own) {
        return;
    }
    let (mut reader, mut writer) = local::split(socket);
    let asked = timeout(PATIENCE, reader.next::<Ask>()).await;
    let Ok(Ok(Some(ask))) = asked else { return };
    let result = if ask.version < OLDEST {
        Err(CallError::new(
            ErrorKind::Conflict,
            format!(
                "this session speaks {VERSION}, the agent {}: they are too far apart",
                ask.version
            ),
        ))
    } else if ask.end {
        state.end.notify_one();
        Ok(())
    } else if let Some(who) = &ask.attach {
        attached(state, who, &mut reader, &mut writer).await
    } else {
        look(state, &mut reader, &mut writer).await
    };
    // An agent that has gone need not be told.
    writer.end(&result).await.ok();
}

/// Tells how the session stands, again and again.
async fn look(state: &State, reader: &mut Reader, writer: &mut Writer) -> Result<(), CallError> {
    let mut looks = state.looks();
    let mut told = None;
    loop {
        looks.mark_unchanged();
        let news = state.news();
        if told.as_ref() != Some(&news) {
            writer.send(&news).await?;
            told = Some(news);
        }
        tokio::select! {
            changed = looks.changed() => if changed.is_err() { return Ok(()) },
            () = sleep(NEWS) => {}
            // Nothing is expected: it hangs up.
            gone = reader.next::<Ask>() => return gone.map(drop),
        }
    }
}

/// Who is attached leaves with this.
struct Seat<'a> {
    state: &'a State,
    id: u32,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.state.detach(self.id);
    }
}

async fn attached(
    state: &State,
    who: &Attach,
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<(), CallError> {
    let mut changes = state.changes();
    let seat = Seat { state, id: state.attach(who)? };
    let sending = async {
        loop {
            changes.mark_unchanged();
            match state.next(seat.id) {
                Next::Item(item) => writer.send(&*item).await?,
                Next::Wait => {
                    if changes.changed().await.is_err() {
                        return Ok(());
                    }
                }
                Next::Over => return Ok(()),
            }
        }
    };
    let receiving = async {
        loop {
            loop {
                let took = state.took_keys.notified();
                if !state.stalls(seat.id) {
                    break;
                }
                took.await;
            }
            match reader.next().await {
                Ok(Some(input)) => state.input(seat.id, input)?,
                Ok(None) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    };
    tokio::select! {
        result = sending => result,
        result = receiving => result,
    }
}
