//! `cmdr-hub keep-playbook FOLDER`: stands between the hub and one playbook. It ends everything that the playbook has
//! started, whatever that has done to get away, when the playbook is over and when the hub is gone, however it went:
//! that is the end of a socket. It ends it as well when its folder takes too much of the disk. Then it removes the folder. As `cage-playbook` it goes into the cage and becomes the
//! playbook.
//!
//! Like the agent's supervisor: orphans come to it (`PR_SET_CHILD_SUBREAPER`), so what descends from the playbook
//! descends from its keeper for good.

use super::folder::Job;
use super::room::{self, Room};
use super::{REFUSED, cage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, wait,
};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The words on the command line that make the hub's program a keeper, and what it keeps.
pub(super) const WORD: &str = "keep-playbook";
const CAGED: &str = "cage-playbook";
/// Orphans that have ended are looked for so often, and at the room that it takes.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// Does what the command line says, if it is for us; the first thing in the hub's program.
pub fn main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let (word, folder) = (args.next()?, args.next()?);
    let folder = Path::new(&folder);
    let code = match word.to_str() {
        Some(WORD) => {
            let kept = keep(folder);
            // What stays is tried again when the hub starts.
            room::remove(folder).ok();
            kept
        }
        Some(CAGED) => enter(folder).map(|never| match never {}),
        _ => return None,
    };
    Some(match code {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(e) => {
            drop(writeln!(io::stderr(), "{e}"));
            ExitCode::from(u8::try_from(REFUSED).unwrap_or(u8::MAX))
        }
    })
}

/// Goes into the cage and becomes the playbook.
fn enter(folder: &Path) -> Result<std::convert::Infallible, String> {
    let job = Job::read(folder).map_err(|e| format!("reading what is to be run: {e}"))?;
    // The socket goes where nobody takes it for an input.
    let socket = rustix::io::dup(rustix::stdio::stdin()).map_err(|e| format!("a socket: {e}"))?;
    let null = std::fs::File::open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| format!("/dev/null: {e}"))?;
    drop(null);
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let mut command = Command::new(&job.program);
    command.args(&job.args).env_clear().envs(&job.env).current_dir(folder.join("tmp"));
    command.env("CMDR_SOCKET", number.to_string());
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    cage::enter(folder, &job.reads)?;
    // The descriptor stays open for the program.
    let error = command.exec();
    Err(format!("{}: {error}", job.program.display()))
}

/// Keeps one playbook; its exit code.
fn keep(folder: &Path) -> Result<i32, String> {
    let failed = |e: io::Error| format!("keeping a playbook: {e}");
    let room = Room::new(folder);
    if let Some(why) = room.is_over() {
        return Err(format!("the playbook was not begun: {why}"));
    }
    set_child_subreaper(Some(getpid())).map_err(|e| failed(e.into()))?;
    let own = std::env::current_exe().map_err(failed)?;
    let hub = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
    let hub = hub.map_err(|e| failed(e.into()))?;
    let child = Command::new(own)
        .arg(CAGED)
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let head = Pid::from_child(&child);
    let descriptor = pidfd_open(head, PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
    let (mut code, mut looked) = (None, Instant::now());
    while code.is_none() {
        let gone = {
            let mut fds =
                [PollFd::new(&hub, PollFlags::empty()), PollFd::new(&descriptor, PollFlags::IN)];
            poll(&mut fds, Some(&span(REAP_EVERY))).ok();
            fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
        };
        if gone {
            break;
        }
        reap(head, &mut code);
        if code.is_none() && looked.elapsed() >= REAP_EVERY {
            if let Some(why) = room.is_over() {
                end_all(head, &mut code);
                drop(writeln!(io::stderr(), "\nERROR! the playbook was ended: {why}"));
                return Ok(128 + Signal::KILL.as_raw());
            }
            looked = Instant::now();
        }
    }
    end_all(head, &mut code);
    Ok(code.unwrap_or(128 + Signal::KILL.as_raw()))
}

/// Takes in who has ended; false when no child is left, and so no descendant.
fn reap(head: Pid, code: &mut Option<i32>) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == head => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                *code = status.exit_status().or(signal).or(Some(1));
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Ends all descendants until there is none: whose parent ends becomes our child, so ending our children again and
/// again reaches everything.
fn end_all(head: Pid, code: &mut Option<i32>) {
    let mut pause = Duration::from_millis(1);
    while reap(head, code) {
        for pid in children(getpid().as_raw_nonzero().get()) {
            let Some(pid) = Pid::from_raw(pid) else { continue };
            if let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) {
                // Not reaped yet, so it is still the one that was seen.
                pidfd_send_signal(&descriptor, Signal::KILL).ok();
            }
        }
        poll(&mut [], Some(&span(pause))).ok();
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

fn span(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) }
}

fn children(parent: i32) -> Vec<i32> {
    let own = |entry: std::fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        (parent_of(pid)? == parent).then_some(pid)
    };
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(own).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    // The name in the middle may hold anything, brackets too.
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name_ends = stat.iter().rposition(|b| *b == b')')?;
    std::str::from_utf8(stat.get(name_ends + 2..)?).ok()?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_and_strangers_are_not() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let (own, pid) = (getpid().as_raw_nonzero().get(), child.id().cast_signed());
        assert!(children(own).contains(&pid) && !children(pid).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
