//! The hub's data folder: its lock, its key, and where the hub that runs in it can be reached.

use crate::hubkey::Keys;
use anyhow::{Context as _, bail};
use cmdr_link::files;
use std::fs::File;
use std::path::{Path, PathBuf};

/// An open data folder. Nobody else has it open while this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Somebody else has the folder open.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the data folder {0} is in use by another cmdr-hub; stop it first, or choose another folder with --data"
)]
pub struct InUse(PathBuf);

impl DataDir {
    /// Opens or makes the folder.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        files::private_dir(path)
            .with_context(|| format!("making the data folder {}", path.display()))?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("opening {}", lock_path.display()))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(InUse(path.to_owned())),
            Err(e) => Err(e).with_context(|| format!("locking {}", lock_path.display())),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hub's keys; one is made when there is none.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        Ok(Keys::open(&key_path(&self.path))?)
    }

    /// The folder of the store.
    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Tells programs on this machine where the hub listens.
    pub fn announce(&self, address: &str) -> anyhow::Result<()> {
        let path = address_path(&self.path);
        files::write_private(&path, address.as_bytes())
            .with_context(|| format!("writing {}", path.display()))
    }
}

/// The file of the hub's keys.
pub fn key_path(dir: &Path) -> PathBuf {
    dir.join("hub.key")
}

/// The file that says where the hub of this folder listens.
pub fn address_path(dir: &Path) -> PathBuf {
    dir.join("address")
}

/// Where the hub keeps its data unless told: `$CMDR_HOME/hub`, the system's folder for root, the
/// user's state folder for others.
pub fn default_dir() -> PathBuf {
    let chosen = std::env::var_os("CMDR_HOME").is_some_and(|v| !v.is_empty());
    if !chosen && rustix::process::geteuid().is_root() {
        PathBuf::from("/var/lib/cmdr-hub")
    } else {
        files::home().join("hub")
    }
}
