//! Acts on exactly one process: its number *and* its start must be those the caller saw.
//!
//! Process 1 is no exception: whoever names it, with its start, means it, and the kernel keeps
//! from it what it does not handle. The agent itself is not ended this way, because nobody could
//! undo that from afar.

use super::linux::{Stat, parse_stat};
use cmdr_protocol::processes::{Renice, Signal};
use cmdr_protocol::{CallError, ErrorKind, Nothing};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal, setpriority_process};
use std::path::Path;

/// Sends a signal. The process is held by a descriptor before its start is compared, so it cannot
/// become another one in between.
pub(super) fn signal(proc_root: &Path, call: Signal) -> Result<Nothing, CallError> {
    let signal = rustix::process::Signal::from_named_raw(call.signal)
        .ok_or_else(|| CallError::malformed(format!("there is no signal {}", call.signal)))?;
    let pid = number(call.pid)?;
    if call.pid == std::process::id() {
        return Err(CallError::denied(
            "that is the agent itself; stop it on its host, with its service manager",
        ));
    }
    let held = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| match e {
        // A thread's number is not a process's.
        Errno::SRCH | Errno::INVAL | Errno::NOENT => gone(call.pid),
        e => CallError::failed(format!("holding process {}: {e}", call.pid)),
    })?;
    compare(proc_root, call.pid, call.start)?;
    pidfd_send_signal(held, signal).map_err(|e| refused(call.pid, e))?;
    Ok(Nothing {})
}

/// Sets the niceness of all its threads. There is no way to hold a process for this, so its start
/// is compared before and after.
pub(super) fn renice(proc_root: &Path, call: Renice) -> Result<Nothing, CallError> {
    if !(-20..=19).contains(&call.nice) {
        return Err(CallError::malformed(format!(
            "niceness {} is not between -20 and 19",
            call.nice
        )));
    }
    let pid = number(call.pid)?;
    compare(proc_root, call.pid, call.start)?;
    setpriority_process(Some(pid), call.nice).map_err(|e| refused(call.pid, e))?;
    let tasks = std::fs::read_dir(proc_root.join(call.pid.to_string()).join("task"));
    for task in tasks.into_iter().flatten().filter_map(Result::ok) {
        let thread = task.file_name().to_str().and_then(|name| name.parse().ok());
        match thread.and_then(Pid::from_raw).map(|id| setpriority_process(Some(id), call.nice)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => {}
            Some(Err(e)) => return Err(refused(call.pid, e)),
        }
    }
    compare(proc_root, call.pid, call.start).map_err(|e| {
        let what = format!("{e} (it ended while its niceness was set)");
        CallError::new(ErrorKind::Conflict, what)
    })?;
    Ok(Nothing {})
}

fn number(pid: u32) -> Result<Pid, CallError> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| CallError::malformed("that is no process number"))
}

fn gone(pid: u32) -> CallError {
    CallError::not_found(format!("there is no process {pid} any more"))
}

fn compare(proc_root: &Path, pid: u32, start: u64) -> Result<(), CallError> {
    let stat =
        std::fs::read(proc_root.join(pid.to_string()).join("stat")).map_err(|_| gone(pid))?;
    match parse_stat(&stat) {
        Some(Stat { start: now, .. }) if now == start => Ok(()),
        Some(_) => Err(CallError::new(
            ErrorKind::Conflict,
            format!("pid {pid} is another process now; nothing was done to it"),
        )),
        None => Err(CallError::failed(format!("process {pid} does not tell when it started"))),
    }
}

fn refused(pid: u32, e: Errno) -> CallError {
    match e {
        Errno::SRCH => gone(pid),
        Errno::PERM | Errno::ACCESS => {
            CallError::denied(format!("the agent may not do that to process {pid}: {e}"))
        }
        e => CallError::failed(format!("process {pid}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};

    fn sleeper() -> (Child, u64) {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let stat = std::fs::read(format!("/proc/{}/stat", child.id())).unwrap();
        (child, parse_stat(&stat).unwrap().start)
    }

    fn send(pid: u32, start: u64, signal: i32) -> Result<Nothing, CallError> {
        super::signal(Path::new("/proc"), Signal { pid, start, signal })
    }

    #[test]
    fn a_signal_hits_the_process_it_names_and_no_other_with_its_number() {
        let (mut child, start) = sleeper();
        let wrong = send(child.id(), start + 1, 15).unwrap_err();
        assert_eq!(wrong.kind, ErrorKind::Conflict);
        assert!(child.try_wait().unwrap().is_none(), "it still runs");
        send(child.id(), start, 15).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert_eq!(send(child.id(), start, 15).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn wrong_signals_numbers_and_the_agent_itself_are_refused() {
        for (pid, signal, kind) in [
            (0, 15, ErrorKind::Malformed),
            (u32::MAX, 15, ErrorKind::Malformed),
            (1, 0, ErrorKind::Malformed),
            (1, 4711, ErrorKind::Malformed),
            (std::process::id(), 9, ErrorKind::Denied),
        ] {
            assert_eq!(send(pid, 0, signal).unwrap_err().kind, kind, "{pid} {signal}");
        }
    }

    #[test]
    fn niceness_is_set_only_on_the_process_that_was_seen() {
        let (mut child, start) = sleeper();
        let set = |start, nice| renice(Path::new("/proc"), Renice { pid: child.id(), start, nice });
        assert_eq!(set(start + 1, 5).unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(set(start, 20).unwrap_err().kind, ErrorKind::Malformed);
        set(start, 7).unwrap();
        let stat = std::fs::read(format!("/proc/{}/stat", child.id())).unwrap();
        assert_eq!(parse_stat(&stat).unwrap().nice, 7);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
