//! A program and everything that it starts: begun, watched and ended as one, through a supervisor
//! (see [`crate::supervise`]).

use super::order::Order;
use super::output::Output;
use crate::Agent;
use crate::launch::{Launched, NotLaunched, launch};
use crate::supervise::{END, Job, Told};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::Child;

/// What is left of a program is gone so long after it was told to end, unless the kernel keeps it.
const GONE: Duration = Duration::from_secs(2);

/// A running program with all that it has started. Dropping it ends all of it.
#[derive(Debug)]
pub(super) struct Group {
    pid: u32,
    /// The way to the supervisor. Its end is the order to end everything.
    socket: UnixStream,
    /// Reaped by the runtime.
    _supervisor: Child,
    status: Option<ExitStatus>,
    /// Nothing is left that would have to be ended.
    alone: bool,
}

/// A program and the pipes to it.
pub(super) struct Spawned {
    pub(super) group: Group,
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) output: Output,
}

/// Begins a program.
pub(super) async fn spawn(agent: &Agent, order: &Order) -> Result<Spawned, CallError> {
    let fault = |e: io::Error| CallError::failed(format!("starting the program: {e}"));
    let job = Job {
        program: order.program.clone().into_os_string(),
        arg0: order.arg0.clone(),
        args: order.args.clone(),
        env: order.env.clone(),
        cwd: order.cwd.clone().into_os_string(),
        rights: order.rights(),
    };
    let (read_out, stdout) = io::pipe().map_err(fault)?;
    let (read_err, stderr) = io::pipe().map_err(fault)?;
    let (stdin, write_in) = if order.stdin {
        let (read, write) = io::pipe().map_err(fault)?;
        (OwnedFd::from(read), Some(OwnedFd::from(write)))
    } else {
        (OwnedFd::from(File::open("/dev/null").map_err(fault)?), None)
    };
    let launched = launch(agent, &job, [stdin, stdout.into(), stderr.into()]).await;
    let Launched { pid, socket, supervisor } = launched.map_err(|e| match e {
        NotLaunched::Refused(e) => refused(order, &e),
        NotLaunched::Fault(e) => fault(e),
    })?;
    let group = Group { pid, socket, _supervisor: supervisor, status: None, alone: false };
    let stdin = write_in.map(pipe::Sender::from_owned_fd).transpose().map_err(fault)?;
    let reader = |fd: io::PipeReader| pipe::Receiver::from_owned_fd(fd.into()).map_err(fault);
    let output = Output::new(Some(reader(read_out)?), Some(reader(read_err)?));
    Ok(Spawned { group, stdin, output })
}

fn refused(order: &Order, error: &io::Error) -> CallError {
    let program = clean_to_width(&order.arg0, 200);
    match error.kind() {
        // The file is there, it was looked up a moment ago. Only a denial by policy is `denied`.
        io::ErrorKind::NotFound => CallError::not_found(format!(
            "{program}: the interpreter that its first line names is missing"
        )),
        io::ErrorKind::PermissionDenied => CallError::failed(format!(
            "{program}: cannot be executed as '{}' in {}: permission denied",
            order.user.name,
            order.cwd.display()
        )),
        io::ErrorKind::ArgumentListTooLong => {
            CallError::malformed(format!("{program}: the arguments are too long for this host"))
        }
        _ => CallError::failed(format!("{program}: cannot be executed: {error}")),
    }
}

impl Group {
    /// The number of the program and of its process group.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the program has ended; what it started may live on for a while.
    pub(super) async fn exited(&mut self) -> Result<(), CallError> {
        let mut told = [0; Told::LEN];
        loop {
            // Written as one, and so read as one: nothing is lost when this is given up half way.
            let read = match self.socket.readable().await {
                Ok(()) => self.socket.try_read(&mut told),
                Err(e) => Err(e),
            };
            match read {
                Ok(Told::LEN) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                _ => {
                    // Most likely the program did it. What it has started is nobody's now, but it
                    // itself and its group can be reached.
                    let pid = Pid::from_raw(self.pid.cast_signed());
                    pid.map(|pid| kill_process_group(pid, Signal::KILL));
                    return Err(CallError::failed(
                        "the program's supervisor was ended, and nobody knows how the program ends",
                    ));
                }
            }
            if let Some(Told::Ended { status, alone }) = Told::from_bytes(told) {
                self.status = Some(ExitStatus::from_raw(status));
                self.alone = alone;
                return Ok(());
            }
        }
    }

    fn order(&self, byte: u8) {
        // A supervisor that is gone has nothing left to do; one that hangs holds no order up.
        self.socket.try_write(&[byte]).ok();
    }

    /// Signals everyone in the program's process group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Ok(number @ 1..) = u8::try_from(signal.as_raw()) {
            self.order(number);
        }
    }

    /// Ends the program and everything that it has started.
    pub(super) fn end(&self) {
        self.order(END);
    }

    /// Ends what is left, and says how the program ended.
    pub(super) async fn finish(mut self) -> Result<ExitStatus, CallError> {
        if !self.alone {
            self.end();
            let gone = async { while let Ok(1..) = self.socket.read(&mut [0; 16]).await {} };
            if tokio::time::timeout(GONE, gone).await.is_err() {
                tracing::warn!(pid = self.pid, "something of this program does not end");
            }
        }
        self.status.ok_or_else(|| CallError::failed("nobody knows how the program ended"))
    }
}
