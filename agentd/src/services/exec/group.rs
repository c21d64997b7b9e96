//! A process group: begun, watched and ended as one.
//!
//! The head is not reaped before the group is dealt with: its number stands for the group, and
//! nothing else can get that number meanwhile.

use super::order::Order;
use super::output::Output;
use cmdr_protocol::CallError;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

/// How often a kernel that cannot tell is asked whether a program has ended.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A running group. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Group {
    /// Taken out when it is reaped.
    head: Option<Child>,
    pid: Pid,
    /// Becomes readable when the head ends; absent where the kernel has no such thing.
    end: Option<AsyncFd<OwnedFd>>,
}

/// A group and the pipes to it.
pub(super) struct Spawned {
    pub(super) group: Group,
    pub(super) stdin: Option<pipe::Sender>,
    pub(super) output: Output,
}

/// Begins a program.
pub(super) fn spawn(order: &Order) -> Result<Spawned, CallError> {
    let mut command = Command::new(&order.program);
    command
        .arg0(&order.arg0)
        .args(&order.args)
        .env_clear()
        .envs(&order.env)
        .current_dir(&order.cwd)
        .process_group(0)
        .stdin(if order.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if order.switch {
        // The standard library drops the agent's other groups with this.
        command.uid(order.user.uid).gid(order.user.gid);
    }
    let mut head = command.spawn().map_err(|e| refused(order, &e))?;
    let (stdin, stdout, stderr) = (head.stdin.take(), head.stdout.take(), head.stderr.take());
    let pid = Pid::from_child(&head);
    // From here on every way out goes through the guard.
    let mut group = Group { head: Some(head), pid, end: None };
    let fault = |e: io::Error| CallError::failed(format!("watching the program: {e}"));
    if let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) {
        #[expect(
            deprecated,
            reason = "its replacement is unsafe; an owned descriptor keeps its rule"
        )]
        let end = AsyncFd::with_interest(fd, Interest::READABLE);
        group.end = Some(end.map_err(fault)?);
    }
    let stdin =
        stdin.map(|pipe| pipe::Sender::from_owned_fd(pipe.into())).transpose().map_err(fault)?;
    let reader =
        |fd: Option<OwnedFd>| fd.map(pipe::Receiver::from_owned_fd).transpose().map_err(fault);
    let output = Output::new(reader(stdout.map(Into::into))?, reader(stderr.map(Into::into))?);
    Ok(Spawned { group, stdin, output })
}

fn refused(order: &Order, error: &io::Error) -> CallError {
    let program = cmdr_protocol::display::clean_to_width(&order.arg0, 200);
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
    /// The number of the head and of the group.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the head has ended. It is not reaped yet.
    pub(super) async fn exited(&self) {
        if let Some(end) = &self.end
            && end.readable().await.is_ok()
        {
            return;
        }
        while !self.has_ended() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), look), Ok(None))
    }

    /// Signals everyone in the group.
    pub(super) fn signal(&self, signal: Signal) {
        if self.head.is_some() {
            // Everyone may have ended already.
            kill_process_group(self.pid, signal).ok();
        }
    }

    /// Ends what is left of the group and reaps the head, which has ended.
    pub(super) fn finish(&mut self) -> Result<ExitStatus, CallError> {
        self.signal(Signal::KILL);
        let head = self.head.take();
        let status = head.map(|mut head| head.wait());
        status
            .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
            .map_err(|e| CallError::failed(format!("asking how the program ended: {e}")))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let Some(mut head) = self.head.take() else { return };
        if self.has_ended() {
            reap(&mut head);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // A moment from now, unless the kernel keeps it; nobody waits for that.
            let group = Self { head: None, pid: self.pid, end: self.end.take() };
            runtime.spawn(async move {
                group.exited().await;
                reap(&mut head);
            });
        }
    }
}

fn reap(head: &mut Child) {
    if let Err(e) = head.wait() {
        tracing::warn!("reaping a program: {e}");
    }
}
