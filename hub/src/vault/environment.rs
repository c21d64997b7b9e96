//! A master key in the environment: read once, and out of sight from then on.
//!
//! What stands in the environment of a process is shown by `/proc/PID/environ` for as long as it lives, and
//! is handed to everything that it starts. So the hub starts itself anew, without the variable, and hands the
//! text over in a piece of memory that is emptied as soon as it is read.

use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use zeroize::Zeroizing;

/// Names the descriptor of that memory.
const HANDED: &str = "CMDR_HUB_MASTER_KEY_FD";
/// The longest text that is handed over.
const LONGEST: u64 = 4096;

/// Starts this program anew without the variable `name`, when it is set. Returns only when there is
/// nothing to do, or the error.
pub fn hide(name: &str) -> io::Result<()> {
    let Some(text) = std::env::var_os(name) else { return Ok(()) };
    let text = Zeroizing::new(text.into_encoded_bytes());
    // Not closed when the program is replaced: that is how it gets there.
    let mut memory = File::from(rustix::fs::memfd_create("master key", MemfdFlags::empty())?);
    memory.write_all(&text)?;
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new("/proc/self/exe");
    if let Some(own) = arguments.next() {
        again.arg0(own);
    }
    let handed = memory.as_raw_fd().to_string();
    Err(again.args(arguments).env_remove(name).env(HANDED, handed).exec())
}

/// The text of the variable `name`, or what was handed over of it.
pub(super) fn read(name: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    let Some(handed) = std::env::var(HANDED).ok().and_then(|fd| fd.parse::<u32>().ok()) else {
        let value = std::env::var_os(name)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such variable"))?;
        text.extend_from_slice(&Zeroizing::new(value.into_encoded_bytes()));
        return Ok(text);
    };
    let memory = File::options().read(true).write(true).open(format!("/proc/self/fd/{handed}"))?;
    (&memory).take(LONGEST).read_to_end(&mut text)?;
    memory.set_len(0)?;
    Ok(text)
}
