//! An archive that lies on the host: read where it is, so that nothing of it travels.

use super::super::blocking;
use super::super::read::{MADE_UP, open_file};
use super::super::walk::Guard;
use super::{Limits, lay_out};
use crate::Agent;
use crate::policy::Want;
use cmdr_link::service::Feeding;
use cmdr_protocol::files::{FilePath, Unpack, Unpacked};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{OFlags, fstatfs};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the caller hears how far it is.
const TELL: Duration = Duration::from_millis(500);

/// What the one who reads and the one who tells have in common.
#[derive(Default)]
struct Shared {
    read: AtomicU64,
    given_up: AtomicBool,
}

/// Ends the reading when nobody waits for it any more.
struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

/// The archive.
struct Lying {
    file: File,
    shared: Arc<Shared>,
}

impl Read for Lying {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.shared.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was given up"));
        }
        let n = self.file.read(buf)?;
        self.shared.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

pub(super) async fn unpack(
    agent: Arc<Agent>,
    from: FilePath,
    path: FilePath,
    limits: Limits,
    feeding: Feeding<Unpack>,
) -> Result<(), CallError> {
    let held = Held(Arc::default());
    let shared = held.0.clone();
    let laying = blocking(move || {
        let guard = Guard::new(&agent);
        let (file, _) = open_file(&guard.to_read(&from)?, OFlags::RDONLY)?;
        if fstatfs(&file).is_ok_and(|system| MADE_UP.contains(&(system.f_type as u64))) {
            let what = format!("{from} is made up by the host's system, and no archive");
            return Err(CallError::new(ErrorKind::Conflict, what));
        }
        let root = guard.folder(Want::Write, &path)?;
        guard.allows_whole(&path)?;
        lay_out(&root, Lying { file, shared }, limits, |dir| guard.not_own(dir, &path))
    });
    let mut laying = std::pin::pin!(laying);
    loop {
        let done = tokio::select! {
            done = &mut laying => Some(done?),
            () = tokio::time::sleep(TELL) => None,
        };
        let (taken, over) = (held.0.read.load(Ordering::Relaxed), done.is_some());
        feeding.send(&Unpacked { taken, done }).await?;
        if over {
            return Ok(());
        }
    }
}
