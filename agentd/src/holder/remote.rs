//! A session whose program is on another machine, reached over SSH. In place of a terminal of this host the
//! holder has one end of a socket pair, and `carry` takes what goes through it to a channel and back.
//!
//! `talk` is the conversation with the agent that begins it, `login` lets us in. Secrets come by the one and
//! are gone with the other; nothing of them is on disk.

mod carry;
mod login;
mod talk;

use super::state::{Far as FarEnd, Terminal};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::exec::Outcome;
use cmdr_protocol::sessions::Size;
use cmdr_protocol::{CallError, ErrorKind, ssh};
use russh::client::{self, Config, Handle};
use russh::keys::Algorithm;
use russh::{Preferred, SshId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use talk::{Failure, Gatekeeper};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub(super) use carry::Line;
pub(crate) use talk::{Said, Talk};

/// What servers are told.
const NAME: &str = concat!("SSH-2.0-Commander_", env!("CARGO_PKG_VERSION"));
/// One address must take the connection within so long.
const DIALING: Duration = Duration::from_secs(10);
/// A server must show its key within so long, and answer each thing that is asked of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// A connection on which nothing comes is asked for a sign of life after so long; three that fail end it.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes of output that a server may send before it is read.
const WINDOW: u32 = 256 * 1024;
/// Signals that wait to be sent.
const SIGNALS: usize = 8;

/// Where a session goes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Far {
    /// What its name stands for, as the policy lets through.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Kinds of keys that the machine is known by: it is to show one of those.
    pub(crate) algorithms: Vec<String>,
    /// What was asked for.
    pub(crate) open: ssh::Open,
}

/// The program at the other end.
#[derive(Debug)]
pub(super) struct Remote {
    carrying: JoinHandle<(Outcome, i32)>,
    stop: Arc<Notify>,
}

impl Remote {
    pub(super) const fn new(carrying: JoinHandle<(Outcome, i32)>, stop: Arc<Notify>) -> Self {
        Self { carrying, stop }
    }

    /// How it ended. Asked once.
    pub(super) async fn wait(&mut self) -> (Outcome, i32) {
        (&mut self.carrying).await.unwrap_or((Outcome::Exited, LOST))
    }

    /// Ends the connection, whatever the other side does.
    pub(super) fn hang_up(&self) {
        self.stop.notify_one();
    }
}

/// The code of a session whose connection was lost, as `ssh` has it.
const LOST: i32 = 255;

/// Connects, lets us in and begins the session. Asks the agent whatever it has to know.
pub(super) async fn begin(far: &Far, size: Size, talk: Arc<Talk>) -> Result<Begun, CallError> {
    let mut handle = connect(far, talk.clone()).await?;
    let target = far.open.target();
    login::login(&mut handle, &far.open, &talk).await?;
    let wrong = |what: &str, e: russh::Error| {
        CallError::failed(format!("{target} let us in and then would not {what}: {e}"))
    };
    let channel = answered(handle.channel_open_session(), &target).await?;
    let channel = channel.map_err(|e| wrong("open a session", e))?;
    let asking = carry::ask(channel, &far.open, size);
    let channel = answered(asking, &target).await?.map_err(|what| {
        CallError::failed(format!("{target} let us in and then would not {what}"))
    })?;
    let failed = |e: io::Error| CallError::failed(format!("making the session's terminal: {e}"));
    let (terminal, line) = ends(size).map_err(failed)?;
    let stop = Arc::new(Notify::new());
    let carrying = tokio::spawn(carry::run(handle, channel, line, stop.clone(), target));
    Ok((terminal, Remote::new(carrying, stop)))
}

/// The holder's terminal and its other end, when that leads elsewhere.
pub(super) fn ends(size: Size) -> io::Result<(Terminal, Line)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let theirs = tokio::net::UnixStream::from_std(theirs)?;
    let (sizes, size_changes) = watch::channel(size);
    let (signals, signalled) = mpsc::channel(SIGNALS);
    let line = Line { stream: theirs, sizes: size_changes, signals: signalled };
    Ok((Terminal::far(OwnedFd::from(ours), FarEnd { sizes, signals })?, line))
}

pub(super) type Begun = (Terminal, Remote);

/// What a server answers, if it does.
async fn answered<T>(asking: impl Future<Output = T>, target: &str) -> Result<T, CallError> {
    timeout(PATIENCE, asking).await.map_err(|_| silent(target))
}

fn silent(target: &str) -> CallError {
    let s = PATIENCE.as_secs();
    CallError::new(ErrorKind::Unreachable, format!("{target} has not answered for {s} s"))
}

fn config(known: &[String]) -> Arc<Config> {
    let is_known = |algorithm: &Algorithm| known.iter().any(|known| known == algorithm.as_str());
    let mut kinds = Preferred::default().key.to_vec();
    kinds.sort_by_key(|kind| !is_known(kind));
    Arc::new(Config {
        client_id: SshId::Standard(Cow::Borrowed(NAME)),
        window_size: WINDOW,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred { key: Cow::Owned(kinds), ..Preferred::default() },
        ..Config::default()
    })
}

/// A connection to a machine whose key is the right one.
async fn connect(far: &Far, talk: Arc<Talk>) -> Result<Handle<Gatekeeper>, CallError> {
    let place = ssh::place(&far.open.host, far.open.port());
    let stream = dial(&far.addresses, &place).await?;
    let gatekeeper = Gatekeeper::new(talk, &far.open);
    let shown = gatekeeper.shown.clone();
    let late = async {
        sleep(PATIENCE).await;
        if shown.load(std::sync::atomic::Ordering::Acquire) {
            // Somebody is looking at the key; the server has its own patience.
            std::future::pending::<()>().await;
        }
    };
    let connected = tokio::select! {
        connected = client::connect_stream(config(&far.algorithms), stream, gatekeeper) => connected,
        () = late => return Err(CallError::new(
            ErrorKind::Unreachable,
            format!("{place} took the connection and has not shown a host key for {} s; is that an SSH server?", PATIENCE.as_secs()),
        )),
    };
    connected.map_err(|failure| match failure {
        Failure::Said(e) => e,
        Failure::Ssh(russh::Error::NoCommonAlgo { kind, theirs, .. }) => {
            let theirs = clean_to_width(&theirs.join(", "), 200);
            CallError::failed(format!(
                "{place} and this agent have no way in common ({kind:?}); it offers only {theirs}"
            ))
        }
        Failure::Ssh(russh::Error::Version) => {
            CallError::failed(format!("what listens at {place} does not speak SSH 2"))
        }
        Failure::Ssh(e) => {
            CallError::failed(format!("speaking SSH with {place} failed before a login: {e}"))
        }
    })
}

/// The first address that takes a connection.
async fn dial(addresses: &[SocketAddr], place: &str) -> Result<TcpStream, CallError> {
    let mut why = String::from("its name stands for no address");
    for address in addresses {
        match timeout(DIALING, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Ok(Err(e)) => {
                let what = match e.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        "the connection is refused: nothing listens there".to_owned()
                    }
                    _ => e.to_string(),
                };
                why = format!("{what} ({address})");
            }
            Err(_) => why = format!("no answer within {} s ({address})", DIALING.as_secs()),
        }
    }
    Err(CallError::new(
        ErrorKind::Unreachable,
        format!("{place} cannot be reached from this host: {why}"),
    ))
}
