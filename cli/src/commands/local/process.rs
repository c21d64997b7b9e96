//! Programs in the background: started with a log and a pid file, found again, and ended. A number
//! alone names no process for good, so a pid file also holds boot, start time and program, and signals
//! go through a descriptor of the process that was checked.

use crate::exit::{Exit, Failure};
use cmdr_link::files;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that shall run in the background.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    pub(super) program: &'static str,
    pub(super) pid_file: PathBuf,
    pub(super) log: PathBuf,
}

/// What a pid file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    pid: u32,
    /// Clock ticks from boot to its start.
    start: u64,
    boot: String,
    exe: PathBuf,
}

/// A process that is the one meant, whatever becomes of its number.
#[derive(Debug)]
pub(super) struct Running {
    mark: Mark,
    descriptor: OwnedFd,
}

/// How long between two looks for its end, at most.
const SELDOM: Duration = Duration::from_millis(250);

/// One that we have just started ourselves.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) running: Running,
    child: Child,
}

impl Started {
    /// Whether it has ended already.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// The program beside our own, else in `$PATH`.
pub(super) fn find(program: &str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(program)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path).map(|dir| dir.join(program)))
        .find(|file| {
            rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
        })
        .ok_or_else(|| {
            Failure::new(Exit::Fault, format!("{program} is neither beside cmdr nor in PATH"))
        })
}

/// Start time and state letter from `/proc/PID/stat`. The name in parentheses may hold anything.
fn stat(text: &str) -> Option<(u64, char)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Start is field 22 of the line, state field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some((start, state))
}

/// What runs under this number now; `None` for nothing and for a zombie.
fn look(pid: u32) -> Option<Mark> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let (start, state) = stat(&fs::read_to_string(dir.join("stat")).ok()?)?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let exe = fs::read_link(dir.join("exe")).ok()?;
    // The kernel marks a program whose file was replaced, as an upgrade does.
    let text = exe.to_string_lossy();
    let exe = text.strip_suffix(" (deleted)").map_or_else(|| exe.clone(), PathBuf::from);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    Some(Mark { pid, start, boot, exe })
}

impl Running {
    /// Takes hold of the process and then checks that it is the one meant.
    fn hold(meant: impl Fn(&Mark) -> bool, pid: u32) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
        let mark = look(pid).filter(meant)?;
        Some(Self { mark, descriptor })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.mark.pid
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        let mut pause = Duration::from_millis(5);
        while look(self.mark.pid).is_some_and(|now| now.start == self.mark.start) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
        }
    }

    /// Asks it to end, and makes it end after `patience`.
    pub(super) async fn end(&self, patience: Duration) -> Result<(), Failure> {
        for signal in [Signal::TERM, Signal::KILL] {
            match pidfd_send_signal(&self.descriptor, signal) {
                Ok(()) => {}
                Err(rustix::io::Errno::SRCH) => return Ok(()),
                Err(e) => {
                    let what = format!("ending process {}: {e}", self.mark.pid);
                    return Err(Failure::new(Exit::Fault, what));
                }
            }
            if tokio::time::timeout(patience, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(Failure::failed(format!("process {} does not end", self.mark.pid)))
    }
}

impl Daemon {
    /// The process of the pid file, if it still is that one.
    pub(super) fn running(&self) -> Option<Running> {
        let content = files::read_private(&self.pid_file, 64 * 1024).ok()?;
        let meant: Mark = serde_json::from_slice(&content).ok()?;
        Running::hold(|mark| *mark == meant, meant.pid)
    }

    /// The process of this number, if it is this program at work in `dir`.
    pub(super) fn adopt(&self, pid: u32, dir: &Path) -> Option<Running> {
        let running = Running::hold(
            |mark| mark.exe.file_name().is_some_and(|name| name == self.program),
            pid,
        )?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let dir = dir.as_os_str().as_encoded_bytes();
        arguments.split(|b| *b == 0).any(|argument| argument == dir).then_some(running)
    }

    /// Starts it: its own process group, no input, output at the end of its log.
    pub(super) fn start(&self, arguments: &[OsString]) -> Result<Started, Failure> {
        let wrong = |what: &str, e: io::Error| {
            Failure::new(Exit::Fault, format!("{what} {}: {e}", self.program))
        };
        let program = find(self.program)?;
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(|e| wrong("opening the log of", e))?;
        let again = log.try_clone().map_err(|e| wrong("opening the log of", e))?;
        let mut child = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            // Ctrl-C of our terminal is for us: we end them in order.
            .process_group(0)
            .spawn()
            .map_err(|e| wrong("starting", e))?;
        // It is our child: its number is not given to another before we have waited for it.
        let mark = look(child.id());
        let held = Running::hold(|_| true, child.id());
        let (Some(mark), Some(running)) = (mark, held) else {
            drop(child.kill());
            drop(child.wait());
            return Err(Failure::failed(format!(
                "{} ended at once: {}",
                self.program,
                self.last_words()
            )));
        };
        let text = crate::output::json_line(&mark)?;
        if let Err(e) = files::write_private(&self.pid_file, text.as_bytes()) {
            drop(child.kill());
            drop(child.wait());
            return Err(wrong("writing the pid file of", e));
        }
        Ok(Started { running, child })
    }

    /// The end of its log, for error messages.
    pub(super) fn last_words(&self) -> String {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let read = || {
            let mut file = fs::File::open(&self.log)?;
            let from = file.metadata()?.len().saturating_sub(4096);
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            file.take(4096).read_to_end(&mut tail)?;
            io::Result::Ok(String::from_utf8_lossy(&tail).trim().to_owned())
        };
        match read() {
            Ok(tail) if !tail.is_empty() => tail.lines().last().unwrap_or_default().to_owned(),
            _ => format!("its log {} is empty", self.log.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(dir: &Path) -> Daemon {
        Daemon { program: "sleep", pid_file: dir.join("x.pid"), log: dir.join("x.log") }
    }

    fn write(daemon: &Daemon, mark: &Mark) {
        files::write_private(&daemon.pid_file, &serde_json::to_vec(mark).unwrap()).unwrap();
    }

    #[test]
    fn the_start_time_is_found_behind_any_process_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(stat(&format!("7 (sh) {rest}")), Some((4711, 'S')));
        assert_eq!(stat(&format!("7 (a) Z) (b) {rest}")), Some((4711, 'S')));
        assert_eq!(stat("7 (sh"), None);
    }

    #[tokio::test]
    async fn a_started_program_is_found_again_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = daemon(dir.path());
        let mut started = daemon.start(&["600".into()]).unwrap();
        let pid = started.running.pid();
        let found = daemon.running().expect("it runs");
        assert_eq!(found.pid(), pid);
        found.end(Duration::from_secs(10)).await.unwrap();
        assert!(daemon.running().is_none(), "a zombie does not run");
        started.child.wait().unwrap();
        assert!(daemon.running().is_none());
    }

    #[tokio::test]
    async fn a_reused_number_is_never_hit() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = daemon(dir.path());
        let own = look(std::process::id()).unwrap();
        write(&daemon, &own);
        assert!(daemon.running().is_some(), "this very process is the one meant");
        let wrong = [
            Mark { start: own.start + 1, ..own.clone() },
            Mark { boot: "another".into(), ..own.clone() },
            Mark { exe: "/usr/bin/other".into(), ..own.clone() },
        ];
        for mark in wrong {
            write(&daemon, &mark);
            assert!(daemon.running().is_none(), "{mark:?}");
        }
        files::write_private(&daemon.pid_file, b"no json").unwrap();
        assert!(daemon.running().is_none());
        assert!(daemon.adopt(std::process::id(), dir.path()).is_none(), "another program");
    }
}
