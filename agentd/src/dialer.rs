//! Dials the hub with the agent's key, or with the one that shall follow it.
//!
//! The next key is tried first: once the hub has welcomed it, it takes the place of the present one, on
//! disk. A hub that does not know it has never heard of it; then the present key goes on, and the next
//! one is thrown away as soon as that one is welcome.

use cmdr_link::link::{DialError, Link};
use cmdr_link::mux::Stream;
use cmdr_link::session::{Dialer, Redial};
use cmdr_link::{SecretKey, context, files};
use cmdr_protocol::version::{RefusalKind, Welcome};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// An agent's way to its hub.
#[derive(Debug)]
pub struct Keyed {
    dialer: Dialer,
    dir: PathBuf,
    /// What is proved at present.
    key: Mutex<SecretKey>,
}

type Dialed = Result<(Link, Welcome, mpsc::Receiver<Stream>), DialError>;

impl Keyed {
    /// One whose keys are in the folder `dir`, beginning with the dialer's.
    pub fn new(mut dialer: Dialer, dir: PathBuf) -> Self {
        dialer.dir = Some(dir.clone());
        let key = Mutex::new(dialer.key.clone());
        Self { dialer, dir, key }
    }

    /// What it proves now.
    pub fn key(&self) -> SecretKey {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn with(&self, key: &SecretKey) -> Dialed {
        let dialer = Dialer { key: key.clone(), ..self.dialer.clone() };
        let dialed = dialer.dial().await?;
        if let Err(e) = context::keep_host_id(&self.dir, key, dialed.1.host) {
            tracing::warn!("the host's id was not kept: {}", files::reason(&e));
        }
        Ok(dialed)
    }

    /// The next key, if one was made.
    fn next(&self) -> Option<SecretKey> {
        let path = context::next_key_file(&self.dir);
        path.exists().then(|| SecretKey::load(&path)).and_then(|loaded| {
            loaded.map_err(|e| tracing::warn!("the next key is not tried: {e}")).ok()
        })
    }

    fn take(&self, key: SecretKey) {
        let (from, to) = (context::next_key_file(&self.dir), context::key_file(&self.dir));
        match std::fs::rename(&from, &to).and_then(|()| files::sync_dir(&self.dir)) {
            Ok(()) => {
                tracing::info!(key = %key.public(), "the hub knows the new key; the old one is gone");
            }
            // Both are there still, and the next start tries the new one first.
            Err(e) => tracing::error!("the new key is not in its place: {}", files::reason(&e)),
        }
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }
}

impl Redial for Keyed {
    fn patience(&self) -> Duration {
        self.dialer.patience
    }

    async fn redial(&self) -> Dialed {
        let mut unknown = false;
        if let Some(next) = self.next() {
            match self.with(&next).await {
                Ok(dialed) => {
                    self.take(next);
                    return Ok(dialed);
                }
                Err(DialError::Refused { refusal, .. })
                    if refusal.kind == RefusalKind::UnknownKey =>
                {
                    unknown = true;
                }
                Err(e) => return Err(e),
            }
        }
        let key = self.key();
        let dialed = self.with(&key).await?;
        if unknown {
            std::fs::remove_file(context::next_key_file(&self.dir)).ok();
            tracing::warn!("the hub does not know the new key; the old one stays");
        }
        Ok(dialed)
    }
}
