//! Contents of files that orders put on hosts: each is sent to the hub once, and from here to every host that does
//! not have it. `services/blobs` takes them in; runs have them delivered before an order goes out.
//!
//! They are files beside the store, named by their hash, and no part of backups: who sent one has it.

use crate::config;
use cmdr_link::blobs::{Blobs as Folder, send};
use cmdr_link::{Client, Link};
use cmdr_protocol::blobs::{Have, Put};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::runs::Push;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Hosts that are sent something at once.
const AT_ONCE: usize = 32;
/// How long a host may look for what it has: it may have to read all of it.
const LOOK: Duration = Duration::from_mins(5);

/// The contents of this hub. Clones are the same.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: Folder,
    unused: Duration,
    sending: Arc<Semaphore>,
    /// How many deliveries of each are under way.
    held: Arc<Mutex<HashMap<String, usize>>>,
}

/// What a delivery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Bytes of the content.
    pub size: u64,
    /// Bytes that had to be sent.
    pub sent: u64,
}

/// The folder beside that of the audit log.
pub fn folder(audit: &Path) -> PathBuf {
    audit.with_file_name("blobs")
}

/// A content that is not taken away while this lives.
#[derive(Debug)]
struct Hold<'a> {
    blobs: &'a Blobs,
    hash: &'a str,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut held = self.blobs.held();
        if let Some(count) = held.get_mut(self.hash) {
            *count -= 1;
            if *count == 0 {
                held.remove(self.hash);
            }
        }
    }
}

impl Blobs {
    /// In this folder.
    pub fn new(folder: PathBuf, config: &config::Blobs) -> Self {
        let most = config.keep_gb.get().saturating_mul(1 << 30);
        Self {
            folder: Folder::new(folder, most, true),
            unused: Duration::from_hours(u64::from(config.unused_h.get())),
            sending: Arc::new(Semaphore::new(AT_ONCE)),
            held: Arc::default(),
        }
    }

    /// The files themselves.
    pub const fn files(&self) -> &Folder {
        &self.folder
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a delivery needs it right now.
    pub fn is_held(&self, hash: &str) -> bool {
        self.held().contains_key(hash)
    }

    fn hold<'a>(&'a self, hash: &'a str) -> Hold<'a> {
        *self.held().entry(hash.to_owned()).or_default() += 1;
        Hold { blobs: self, hash }
    }

    /// Takes away what nobody has used for its time; `needed` says what runs wait for.
    pub async fn retain(&self, needed: impl Fn(&str) -> bool + Send + 'static) {
        let blobs = self.clone();
        let sweep = move || {
            blobs.folder.sweep(blobs.unused, 0, |hash| blobs.is_held(hash) || needed(hash));
        };
        if let Err(e) = tokio::task::spawn_blocking(sweep).await {
            tracing::error!("removing unused contents of files: {e}");
        }
    }

    /// The file of a content and its size; an error that says what to do when it is not here.
    pub async fn open(&self, hash: &str) -> Result<(File, u64), CallError> {
        let (blobs, name) = (self.clone(), hash.to_owned());
        let opening = tokio::task::spawn_blocking(move || {
            let file = File::open(blobs.folder.whole(&name)?).ok()?;
            let size = file.metadata().ok()?.len();
            Some((file, size))
        });
        let opened =
            opening.await.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))?;
        opened.ok_or_else(|| {
            CallError::new(
                ErrorKind::Conflict,
                "the hub does not have the content of the file (any more): send it again, and begin a new run",
            )
        })
    }

    /// Has a file on a host before the order that puts it in its place: only what is missing there is sent.
    pub async fn deliver(
        &self,
        link: &Link,
        host: HostId,
        push: &Push,
    ) -> Result<Delivered, CallError> {
        let _hold = self.hold(&push.file);
        let (file, size) = self.open(&push.file).await?;
        let client = Client::new(link.clone());
        let path = FilePath::parse(&push.path).ok();
        let have = Have { hash: push.file.clone(), size, path };
        if client.call(Some(host), &have, LOOK).await?.whole {
            return Ok(Delivered { size, sent: 0 });
        }
        // The semaphore is never closed.
        let _turn = self.sending.acquire().await;
        let put = Put { hash: push.file.clone(), size };
        let sent = send(&client, Some(host), &put, (file, size), &|_| {}).await?;
        Ok(Delivered { size, sent })
    }
}
