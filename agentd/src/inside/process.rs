//! The process of a program in a container, on this host. The engine ends no program that it has begun in a container:
//! only its process can be told to.
//!
//! A number that the engine tells is believed only when that process belongs to the container: the engine may count
//! processes from elsewhere, and numbers are given away again.

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::Path;

/// Files of a process that name the container it is in.
const TELLING: [&str; 2] = ["cgroup", "mountinfo"];
/// Descendants that are ended.
const MOST: usize = 4096;

/// Sends a signal to a program of a container; whether it could be. What runs in the foreground of its terminal gets it too.
pub(crate) fn signal(proc_root: &Path, pid: i32, container: &str, signal: Signal) -> bool {
    let Some((pid, fd)) = open(proc_root, pid, container) else { return false };
    let group = foreground(proc_root, pid);
    if let Some(group) = group {
        // It may have ended meanwhile.
        kill_process_group(group, signal).ok();
    }
    group == Some(pid) || pidfd_send_signal(fd, signal).is_ok()
}

/// Ends a program of a container and what it has started there.
pub(crate) fn kill(proc_root: &Path, pid: i32, container: &str) {
    let Some((pid, fd)) = open(proc_root, pid, container) else { return };
    let mut all = vec![pid.as_raw_nonzero().get()];
    let mut next = 0;
    while next < all.len() && all.len() < MOST {
        all.extend(children(proc_root, all[next]));
        next += 1;
    }
    // What was there is gone when it has ended.
    pidfd_send_signal(fd, Signal::KILL).ok();
    for child in &all[1..] {
        if let Some((_, fd)) = open(proc_root, *child, container) {
            pidfd_send_signal(fd, Signal::KILL).ok();
        }
    }
}

/// A process that belongs to a container: held first and looked at then, so that it is the one.
fn open(proc_root: &Path, pid: i32, container: &str) -> Option<(Pid, std::os::fd::OwnedFd)> {
    let wanted = pid > 1 && container.len() == 64;
    let held = wanted.then(|| Pid::from_raw(pid)).flatten()?;
    let fd = pidfd_open(held, PidfdFlags::empty()).ok()?;
    let tells = |file: &str| {
        let path = proc_root.join(pid.to_string()).join(file);
        fs::read_to_string(path).is_ok_and(|text| text.contains(container))
    };
    TELLING.iter().any(|file| tells(file)).then_some((held, fd))
}

/// The group that has the terminal, if there is one.
fn foreground(proc_root: &Path, pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(proc_root.join(pid.to_string()).join("stat")).ok()?;
    // Behind the name, which may be anything: state, parent, group, session, terminal, foreground.
    let group: i32 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(5)?.parse().ok()?;
    (group > 1).then(|| Pid::from_raw(group)).flatten()
}

fn children(proc_root: &Path, pid: i32) -> Vec<i32> {
    let own = pid.to_string();
    let path = proc_root.join(&own).join("task").join(&own).join("children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_of_the_container_is_left_alone() {
        let own = std::process::id().cast_signed();
        let container = "f".repeat(64);
        assert!(!signal(Path::new("/proc"), own, &container, Signal::KILL));
        assert!(!signal(Path::new("/proc"), own, "", Signal::KILL));
        assert!(!signal(Path::new("/proc"), 1, &container, Signal::KILL));
        kill(Path::new("/proc"), own, &container);
    }
}
