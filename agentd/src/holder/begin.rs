//! `cmdr-agentd begin`: becomes a session's program. Between it and its holder, because a terminal becomes
//! a program's own only when the program itself, leading a session, takes it.

use crate::supervise::{self, Job};
use cmdr_protocol::sessions::Size;
use rustix::fs::{Gid, OFlags, Uid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The word on the command line that makes the agent's program begin a session's.
pub const WORD: &str = "begin";

/// A new terminal: our end, which does not block, and the program's.
pub(super) fn terminal(size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let tty = ioctl_tiocgptpeer(&ours, flags)?;
    let mut modes = tcgetattr(&tty)?;
    // So that the kernel erases whole characters.
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&tty, OptionalActions::Now, &modes)?;
    resize(&ours, size)?;
    let flags = rustix::fs::fcntl_getfl(&ours)?;
    rustix::fs::fcntl_setfl(&ours, flags | OFlags::NONBLOCK)?;
    Ok((ours, tty))
}

/// Tells the terminal its size, and its programs that it has changed.
pub(super) fn resize(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Starts the program on its terminal. The error is that of the system.
pub(super) async fn start(job: &Job, tty: &OwnedFd) -> io::Result<tokio::process::Child> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = tokio::process::Command::new("/proc/self/exe")
        .arg0(crate::PROGRAM)
        .arg(WORD)
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let text = serde_json::to_vec(job)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    supervise::send_head(&ours, length, [tty.as_fd(); 3])?;
    ours.set_nonblocking(true)?;
    let mut socket = tokio::net::UnixStream::from_std(ours)?;
    socket.write_all(&text).await?;
    // The program takes the socket's place by closing it.
    let mut told = Vec::new();
    socket.read_to_end(&mut told).await?;
    match told.try_into() {
        Ok(errno) => Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno))),
        Err(told) if told.is_empty() => Ok(child),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Becomes the program; comes back only with an error.
pub fn main() -> io::Result<()> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let mut socket = UnixStream::from(socket);
    let (job, [tty, ..]) = supervise::receive(&mut socket)?;
    let error = become_it(&job, tty);
    let errno = error.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error());
    socket.write_all(&errno.to_le_bytes())
}

fn become_it(job: &Job, tty: OwnedFd) -> io::Error {
    let made_ready = || -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(&tty)?;
        if let Some(rights) = &job.rights {
            // As after a login: who runs in a terminal may open it by its name.
            rustix::fs::fchown(&tty, Some(Uid::from_raw(rights.uid)), None::<Gid>)?;
            rights.take_on()?;
        }
        rustix::stdio::dup2_stdin(&tty)?;
        rustix::stdio::dup2_stdout(&tty)?;
        rustix::stdio::dup2_stderr(&tty)?;
        Ok(())
    };
    if let Err(e) = made_ready() {
        return e;
    }
    drop(tty);
    crate::signals::by_default();
    let mut command = Command::new(&job.program);
    command.arg0(&job.arg0).args(&job.args).env_clear().envs(&job.env).current_dir(&job.cwd);
    command.exec()
}
