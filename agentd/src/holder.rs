//! `cmdr-agentd hold`: keeps one session, so that it outlives the agent that began it.
//!
//! A holder is a process of its own, in a session of its own, for each terminal. It has the terminal's
//! other end, the picture of what it shows (`screen`), and a socket in the agent's folder by which
//! agents, this one and those after it, look at the session and attach to it (`wire`, `serve`).
//! `services/sessions` begins holders and talks to them.

mod begin;
mod clients;
mod inside;
mod output;
mod remote;
mod screen;
mod serve;
mod state;
pub(crate) mod wire;

pub use begin::{WORD as BEGIN_WORD, main as begin_main};
pub(crate) use inside::{At, Inside};
pub(crate) use remote::{Far, Said};
pub(crate) use serve::{open_dir, short};

use crate::supervise::{Job, Told, receive_job};
use cmdr_protocol::CallError;
use cmdr_protocol::sessions::{Session, Size};
use remote::Talk;
use serde::{Deserialize, Serialize};
use serve::Program;
use state::{State, Terminal};
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

/// The word on the command line that makes the agent's program a holder.
pub const WORD: &str = "hold";

/// What runs in a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// A program of this host.
    Here(Job),
    /// One on another machine, over SSH.
    Far(Far),
    /// One in a container of this host.
    Inside(Inside),
}

/// What to hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// What to run.
    pub(crate) what: What,
    /// The session as it begins; its number and its times come later.
    pub(crate) session: Session,
    /// So many seconds without a key and without anybody attached end it.
    pub(crate) idle_s: u64,
    /// Whether somebody attaches at once.
    pub(crate) awaited: bool,
    /// The folder of the sockets.
    pub(crate) dir: PathBuf,
}

/// Holds one session to its end, and its end for a while.
pub fn main() -> io::Result<()> {
    rustix::process::setsid()?;
    // A copy that no program inherits.
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let mut socket = UnixStream::from(socket);
    let hold: Hold = receive_job(&mut socket)?;
    let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    drop(nothing);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Hold { what, session, idle_s, awaited, dir } = hold;
    let rest = Rest { session, idle_s, awaited, dir };
    runtime.block_on(async {
        match what {
            What::Here(job) => here(&job, rest, socket).await,
            What::Far(far) => {
                let begin = async |size, talk| remote::begin(&far, size, talk).await;
                elsewhere(rest, socket, begin).await
            }
            What::Inside(inside) => {
                elsewhere(rest, socket, async |size, _| inside::begin(inside, size).await).await
            }
        }
    })
}

/// What is the same for all sessions.
struct Rest {
    session: Session,
    idle_s: u64,
    awaited: bool,
    dir: PathBuf,
}

impl Rest {
    /// The session, which begins now.
    fn state(self, terminal: Terminal, pid: u32) -> Arc<State> {
        let mut session = self.session;
        session.pid = pid;
        session.started_ms = cmdr_link::clock::now_ms();
        session.active_ms = session.started_ms;
        Arc::new(State::new(session, terminal, self.idle_s, self.awaited))
    }
}

async fn here(job: &Job, rest: Rest, mut socket: UnixStream) -> io::Result<()> {
    match begun(job, rest).await {
        Ok((state, door, child)) => {
            let pid = state.session().pid.cast_signed();
            socket.write_all(&Told::Started(pid).to_bytes()).ok();
            drop(socket);
            serve::run(&state, door, Program::Here(child)).await;
            Ok(())
        }
        Err(e) => {
            let errno = e.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error());
            socket.write_all(&Told::Refused(errno).to_bytes())
        }
    }
}

/// As [`here`], but that the terminal's other end leads elsewhere, and that there may be much to talk about before.
async fn elsewhere(
    rest: Rest,
    socket: UnixStream,
    begin: impl AsyncFnOnce(Size, Arc<Talk>) -> Result<remote::Begun, CallError>,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixStream::from_std(socket)?;
    let talk = Arc::new(Talk::new(cmdr_link::local::split(socket)));
    let begun = async {
        let begun = begin(rest.session.size, talk.clone()).await?;
        let door = serve::Door::open(&rest.dir, &rest.session.id)
            .map_err(|e| CallError::failed(format!("the session's own socket: {e}")))?;
        Ok((begun, door))
    };
    match begun.await {
        Ok(((terminal, program), door)) => {
            let state = rest.state(terminal, 0);
            talk.tell(&Ok(())).await;
            drop(talk);
            serve::run(&state, door, Program::Far(program)).await;
        }
        Err(e) => talk.tell(&Err(e)).await,
    }
    Ok(())
}

type Begun = (Arc<State>, serve::Door, tokio::process::Child);

async fn begun(job: &Job, rest: Rest) -> io::Result<Begun> {
    // First the door: a session that nobody can find again must not begin.
    let door = serve::Door::open(&rest.dir, &rest.session.id)?;
    let started = async {
        let (terminal, tty) = begin::terminal(rest.session.size)?;
        let child = begin::start(job, &tty).await?;
        Ok((Terminal::here(terminal)?, child))
    };
    let (terminal, child) = match started.await {
        Ok(started) => started,
        Err(e) => {
            door.close();
            return Err(e);
        }
    };
    let pid = child.id().unwrap_or_default();
    Ok((rest.state(terminal, pid), door, child))
}

/// Reads bytes as a holder reads those of its socket and of its terminal. For tests.
pub fn untrusted(data: &[u8]) {
    use cmdr_link::local;
    use cmdr_protocol::sessions::{Input, Size};
    if let Some((tag, payload)) = data.split_first() {
        let tag = match tag % 4 {
            0 => cmdr_link::frame::Tag::Body,
            1 => cmdr_link::frame::Tag::End,
            2 => cmdr_link::frame::Tag::Error,
            _ => cmdr_link::frame::Tag::Header,
        };
        drop(local::read::<wire::Ask>(tag, payload));
        drop(local::read::<wire::News>(tag, payload));
        drop(local::read::<Input>(tag, payload));
    }
    let mut screen = screen::Screen::new(Size { columns: 20, rows: 5 });
    screen.feed(data);
    let drawn = screen.redraw(screen::LINES);
    assert!(drawn.len() < 4 << 20, "{} bytes draw a small screen", drawn.len());
}
