//! The agent's folder: who may use it, and that only one agent does.

use cmdr_link::files;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why a program of ours ends early: one line for people, a code for scripts.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// The line.
    pub message: String,
}

impl Failure {
    /// Something on this machine does not work.
    pub fn local(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
    /// It was asked for wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
}

/// The folder when none is named: with `$CMDR_HOME`, else the system's for root and the user's own
/// for everyone else.
pub fn default_dir() -> PathBuf {
    let home_set = std::env::var_os("CMDR_HOME").is_some_and(|home| !home.is_empty());
    if !home_set && rustix::process::geteuid().is_root() {
        return "/var/lib/cmdr-agentd".into();
    }
    files::home().join("agent")
}

/// Holds the folder for one process; the system lets go of it however the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Makes the folder if needed and takes it.
pub fn take(dir: &Path) -> Result<Lock, Failure> {
    files::private_dir(dir)
        .map_err(|e| Failure::local(format!("making the state folder {}: {e}", dir.display())))?;
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Failure::local(format!("opening {}: {e}", path.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::local(format!(
            "another agent uses the state folder {}; stop it first, or name another with --state",
            dir.display()
        ))),
        Err(e) => Err(Failure::local(format!("locking {}: {e}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_on_the_same_folder_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path()).unwrap();
        let refusal = take(dir.path()).unwrap_err();
        assert!(refusal.message.contains("another agent"), "{refusal}");
        drop(first);
        take(dir.path()).unwrap();
    }
}
