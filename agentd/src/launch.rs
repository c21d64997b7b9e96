//! Starts a supervisor with a job, and is its other end (see [`crate::supervise`]).

use crate::Agent;
use crate::supervise::{self, Job, Told, WORD};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// A program that runs beneath a supervisor. Dropping the socket ends it and all that it has started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: u32,
    /// The way to the supervisor.
    pub(crate) socket: UnixStream,
    /// Reaped by the runtime.
    pub(crate) supervisor: Child,
}

/// Why no program runs.
#[derive(Debug)]
pub(crate) enum NotLaunched {
    /// The program itself cannot be started.
    Refused(io::Error),
    /// Something around it failed.
    Fault(io::Error),
}

impl From<io::Error> for NotLaunched {
    fn from(error: io::Error) -> Self {
        Self::Fault(error)
    }
}

/// Begins a job with this input and these outputs.
pub(crate) async fn launch(
    agent: &Agent,
    job: &Job,
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> Result<Launched, NotLaunched> {
    let job = serde_json::to_vec(job).map_err(io::Error::from)?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let supervisor = Command::new(&agent.config().supervisor)
        .arg0(crate::PROGRAM)
        .arg(WORD)
        .env_clear()
        .current_dir("/")
        // A Ctrl-C for the agent is none for what it runs.
        .process_group(0)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    let length = u32::try_from(job.len()).map_err(io::Error::other)?;
    supervise::send_head(&ours, length, [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
    // The program's ends are its own from here on.
    drop((stdin, stdout, stderr));
    ours.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(ours)?;
    socket.write_all(&job).await?;
    let mut told = [0; Told::LEN];
    socket.read_exact(&mut told).await?;
    match Told::from_bytes(told) {
        Some(Told::Started(pid)) => Ok(Launched { pid: pid.unsigned_abs(), socket, supervisor }),
        Some(Told::Refused(errno)) => {
            Err(NotLaunched::Refused(io::Error::from_raw_os_error(errno)))
        }
        _ => Err(NotLaunched::Fault(io::ErrorKind::InvalidData.into())),
    }
}
