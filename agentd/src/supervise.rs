//! `cmdr-agentd supervise`: stands between the agent and one program that it runs for somebody.
//!
//! Whatever a program starts is a descendant of its supervisor for good, because the supervisor asks
//! the kernel to be given orphans (`PR_SET_CHILD_SUBREAPER`): a new session, a double fork or a closed
//! terminal change nothing about that. So ending everything is ending all descendants until none is
//! left. It happens when the agent says so, and when the agent is gone, however it went: both are the
//! end of one socket. `services/exec/group.rs` is the other end of that socket.
//!
//! A process of its own for each program, because only that tells whose an orphan is.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Uid};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, set_child_subreaper, wait,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

/// The word on the command line that makes the agent's program a supervisor.
pub const WORD: &str = "supervise";
/// The order to end everything. Other bytes are numbers of signals for the program's group.
pub(crate) const END: u8 = 0;
/// The longest job that is read.
const LONGEST: usize = 8 << 20;
/// Orphans that have ended are looked for so often.
const REAP_EVERY: Duration = Duration::from_secs(5);
/// The same where the kernel cannot tell that the program has ended.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) program: OsString,
    pub(crate) arg0: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: OsString,
    /// As whom, if not as the agent's own user.
    pub(crate) rights: Option<Rights>,
}

/// Another user's rights.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rights {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// All groups, the first one included.
    pub(crate) groups: Vec<u32>,
}

impl Rights {
    /// Gives this thread these rights and no others, for good.
    pub(crate) fn take_on(&self) -> io::Result<()> {
        let groups: Vec<_> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::thread::set_thread_groups(&groups)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
    }
}

/// What the supervisor tells the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It runs and has this number.
    Started(i32),
    /// It could not be started, for this reason of the system's.
    Refused(i32),
    /// It has ended with this status; whether nothing else of it is left.
    Ended { status: i32, alone: bool },
}

impl Told {
    /// Bytes of one.
    pub(crate) const LEN: usize = 6;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let (kind, value, alone) = match self {
            Self::Started(pid) => (1, pid, false),
            Self::Refused(errno) => (2, errno, false),
            Self::Ended { status, alone } => (3, status, alone),
        };
        let [a, b, c, d] = value.to_le_bytes();
        [kind, a, b, c, d, u8::from(alone)]
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [kind, a, b, c, d, alone] = bytes;
        let value = i32::from_le_bytes([a, b, c, d]);
        Some(match kind {
            1 => Self::Started(value),
            2 => Self::Refused(value),
            3 => Self::Ended { status: value, alone: alone != 0 },
            _ => return None,
        })
    }
}

/// Sends the beginning of a job: its length, and the program's input and outputs.
pub(crate) fn send_head(
    socket: &UnixStream,
    length: u32,
    stdio: [BorrowedFd<'_>; 3],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&stdio));
    sendmsg(socket, &[IoSlice::new(&length.to_le_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

pub(crate) fn receive(socket: &mut UnixStream) -> io::Result<(Job, [OwnedFd; 3])> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(
        &*socket,
        &mut [IoSliceMut::new(&mut length)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
    )?;
    let mut stdio = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            stdio.extend(fds);
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if got.bytes != 4 || length > LONGEST {
        return Err(bad("no job came"));
    }
    let mut text = vec![0; length];
    socket.read_exact(&mut text)?;
    let stdio = stdio.try_into().map_err(|_| bad("the job came without its input and outputs"))?;
    Ok((serde_json::from_slice(&text)?, stdio))
}

/// A job as it is sent to a program that gets nothing beside it.
pub(crate) fn job_text(job: &impl Serialize) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(job)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes(), &text[..]].concat())
}

/// Receives what [`job_text`] made.
pub(crate) fn receive_job<T: DeserializeOwned>(socket: &mut UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the job is too long"));
    }
    let mut text = vec![0; length];
    socket.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Runs one job to the end of all that it starts.
pub fn main() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    // A copy that no program inherits.
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let mut socket = UnixStream::from(socket);
    let (job, stdio) = receive(&mut socket)?;
    let head = match start(job, stdio) {
        Ok(head) => head,
        Err(e) => {
            let errno = e.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error());
            return socket.write_all(&Told::Refused(errno).to_bytes());
        }
    };
    let mut watch = Watch { socket, head, ended: false };
    watch.tell(Told::Started(head.as_raw_nonzero().get()));
    if watch.follow() {
        watch.end_all();
    }
    Ok(())
}

fn start(job: Job, [stdin, stdout, stderr]: [OwnedFd; 3]) -> io::Result<Pid> {
    crate::signals::by_default();
    let mut command = Command::new(&job.program);
    command
        .arg0(&job.arg0)
        .args(&job.args)
        .env_clear()
        .envs(&job.env)
        .current_dir(&job.cwd)
        .process_group(0)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    let mut spawn = || command.spawn().map(|child| Pid::from_child(&child));
    let Some(rights) = job.rights else { return spawn() };
    // The kernel keeps rights for each thread, and a program gets those of the thread that starts it.
    // The standard library could set user and group alone, and would drop all other groups.
    let as_user = move || {
        rights.take_on()?;
        spawn()
    };
    let panicked = |_| Err(io::Error::other("a fault while starting"));
    std::thread::scope(|scope| scope.spawn(as_user).join().unwrap_or_else(panicked))
}

/// A program that runs, and all that it has started.
struct Watch {
    socket: UnixStream,
    head: Pid,
    /// It has ended and was reaped: its number means nothing any more.
    ended: bool,
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

impl Watch {
    fn tell(&mut self, told: Told) {
        // Nobody listens when the agent is gone; the socket's end says so where it matters.
        self.socket.write_all(&told.to_bytes()).ok();
    }

    /// Follows the program and takes orders. True when everything shall be ended.
    fn follow(&mut self) -> bool {
        let head = pidfd_open(self.head, PidfdFlags::empty()).ok();
        loop {
            let (orders, waiting) = {
                let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
                if let Some(head) = head.as_ref().filter(|_| !self.ended) {
                    fds.push(PollFd::new(head, PollFlags::IN));
                }
                let blind = head.is_none() && !self.ended;
                let polled =
                    poll(&mut fds, Some(&span(if blind { ASK_EVERY } else { REAP_EVERY })));
                let orders = !fds[0].revents().is_empty();
                (orders, polled.is_ok())
            };
            // Before anything is reaped: so long the group is the program's.
            if orders && waiting && self.obey() {
                return true;
            }
            if self.reap() == Left::Nothing {
                return false;
            }
        }
    }

    /// Takes orders; true when the last one has come.
    fn obey(&mut self) -> bool {
        let mut orders = [0; 64];
        let n = match self.socket.read(&mut orders) {
            Ok(0) => return true,
            Ok(n) => n,
            Err(e) => return e.kind() != io::ErrorKind::Interrupted,
        };
        for order in &orders[..n] {
            if *order == END {
                return true;
            }
            let signal = Signal::from_named_raw(i32::from(*order)).filter(|_| !self.ended);
            if let Some(signal) = signal {
                // Everyone may have ended already.
                kill_process_group(self.head, signal).ok();
            }
        }
        false
    }

    /// Takes in who has ended, and tells the program's end.
    fn reap(&mut self) -> Left {
        let mut end = None;
        let left = loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.head && !self.ended => {
                    self.ended = true;
                    end = Some(status.as_raw());
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break Left::Something,
                // No child is left, and so no descendant: orphans are our children.
                Err(_) => break Left::Nothing,
            }
        };
        if let Some(status) = end {
            self.tell(Told::Ended { status, alone: left == Left::Nothing });
        }
        left
    }

    /// Ends all descendants until there is none. One that starts others meanwhile is caught with them
    /// in a later round.
    fn end_all(&mut self) {
        let mut pause = Duration::from_millis(1);
        loop {
            for (pid, parent) in descendants(getpid().as_raw_nonzero().get()) {
                end(pid, parent);
            }
            if self.reap() == Left::Nothing {
                return;
            }
            // What the kernel keeps, or what has other rights than ours, takes its time.
            poll(&mut [], Some(&span(pause))).ok();
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

fn span(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) }
}

/// Ends a process that still has the parent it was seen with, or has become ours.
fn end(pid: i32, parent: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => {
            // Its number may have gone to another since; the descriptor is of the one we look at now.
            let now = parent_of(pid.as_raw_nonzero().get());
            if now == Some(parent) || now == Some(getpid().as_raw_nonzero().get()) {
                pidfd_send_signal(descriptor.as_fd(), Signal::KILL).ok();
            }
        }
        Err(rustix::io::Errno::NOSYS) => drop(kill_process(pid, Signal::KILL)),
        Err(_) => {}
    }
}

fn parent_of(pid: i32) -> Option<i32> {
    // The name in the middle may hold anything, brackets too.
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_ends = stat.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(stat.get(name_ends + 2..)?).ok()?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// All that descend from `root`, each with its parent, parents first.
fn descendants(root: i32) -> Vec<(i32, i32)> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((pid, parent)) = pid.and_then(|pid| Some((pid, parent_of(pid)?))) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for pid in children.remove(&parent).unwrap_or_default() {
            found.push((pid, parent));
            next.push(pid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn what_is_told_reads_back() {
        let all = [
            Told::Started(4711),
            Told::Refused(13),
            Told::Ended { status: 256, alone: true },
            Told::Ended { status: 9, alone: false },
        ];
        for told in all {
            assert_eq!(Told::from_bytes(told.to_bytes()), Some(told));
        }
        assert_eq!(Told::from_bytes([0; Told::LEN]), None);
    }

    #[test]
    fn children_are_found_and_strangers_are_not() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let own = getpid().as_raw_nonzero().get();
        let pid = child.id().cast_signed();
        assert!(descendants(own).contains(&(pid, own)));
        assert!(!descendants(pid).contains(&(pid, own)));
        assert_eq!(parent_of(pid), Some(own));
        // Seen with another parent, it is not the one meant.
        end(pid, -1);
        end(pid, own);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
