//! A disk so small that it is soon full: a file system in memory. Needs root, or sudo without a password.

use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// A mounted small disk that everybody may write to; gone with its value.
#[derive(Debug)]
pub struct Small(PathBuf);

impl Small {
    /// Of so many MiB, at a folder that is made.
    pub fn mount(at: &Path, mib: usize) -> Self {
        std::fs::create_dir(at).unwrap();
        let options = format!("size={mib}m,mode=0777");
        let output = run(as_root("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run(as_root("umount").arg("-l").arg(&self.0));
    }
}
