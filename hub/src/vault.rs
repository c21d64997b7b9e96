//! Secrets at rest: what must be read again but by nobody else is sealed here before it is stored.
//!
//! Data keys seal values (`blob`); they are drawn at random, numbered and kept in the store, wrapped by the
//! master key, which never is (`master`). The newest data key seals, the older ones still open. A
//! sealed value opens only with the context that it was sealed with, so it cannot be moved to another
//! place. Used by every part of the hub that keeps a secret: under a name (`named`) or in records of its
//! own ([`keepers`], which [`rotate`] seals anew).

mod blob;
pub mod environment;
pub mod keepers;
pub mod master;
mod named;
pub mod rotate;

use crate::records::{DataKeyRecord, SecretUse, data_key, prefix};
use crate::store::{Batch, Store, StoreError};
use blob::Key;
use cmdr_link::clock;
use master::{Master, Source};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::RwLockReadGuard;
use zeroize::Zeroizing;

/// Why something was not sealed or opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VaultError {
    /// The master key cannot be had.
    #[error("{0}")]
    Source(String),
    /// The master key is missing, or another than the one that the store was sealed with.
    #[error("{0}")]
    Master(String),
    /// This program has opened the store without the master key.
    #[error("the vault is locked: this program has not read the secrets' master key")]
    Locked,
    /// Not sealed here, or for another place, or changed since.
    #[error(
        "the sealed value for {0} does not open: it is damaged, or was sealed for another place"
    )]
    Damaged(String),
    /// Its data key is gone.
    #[error(
        "the sealed value for {context} needs the data key {number}, which is not in the store"
    )]
    NoDataKey {
        /// What was to be opened.
        context: String,
        /// The data key.
        number: u32,
    },
    /// More than can be sealed at once.
    #[error("the value is too large to be sealed")]
    TooLarge,
    /// Others kept changing what was to be sealed anew.
    #[error(
        "values were sealed with the old data key again and again; nothing is lost, rotate again"
    )]
    Busy,
    /// The system gave no random numbers.
    #[error("the system has no random numbers")]
    Random,
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals and opens. Clones share the keys.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
}

struct Shared {
    /// These are absent when this program does without.
    store: Option<Store>,
    master: RwLock<Option<Master>>,
    keys: RwLock<Option<Keys>>,
    /// The last use of each secret that has a name, and when one was last written down.
    uses: Mutex<BTreeMap<String, (u64, SecretUse)>>,
    /// Held for reading between sealing a value and having it on disk.
    sealing: tokio::sync::RwLock<()>,
    /// Held by the one rotation.
    rotating: tokio::sync::Mutex<()>,
    /// Held while a data key is added.
    adding: tokio::sync::Mutex<()>,
}

/// The data keys by their numbers.
#[derive(Clone)]
struct Keys {
    newest: u32,
    all: BTreeMap<u32, Key>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Reads the data keys with the master key. The first time it makes one, and the hub's own file of
    /// the master key where that is the source; a master key is never made when something is sealed.
    pub async fn unlock(store: &Store, source: &Source) -> Result<Self, VaultError> {
        let records = read_records(store)?;
        let master = match source.read().await? {
            Some(master) => match records.first() {
                Some(record) => source.newer(master, &record.master)?,
                None => master,
            },
            None if records.is_empty() => source.make()?,
            None => return Err(VaultError::missing(source)),
        };
        let keys = if records.is_empty() {
            let first = blob::random::<32>()?;
            let record = wrap(&master, 1, &first)?;
            store.apply(Batch::new().if_absent(data_key(1)).put(data_key(1), &record)).await?;
            Keys { newest: 1, all: BTreeMap::from([(1, first)]) }
        } else {
            unwrap(&master, source, &records)?
        };
        if keys.all.len() > 1 {
            tracing::warn!(
                "a rotation of the secrets' data keys was not finished; to finish it: cmdr secrets rotate"
            );
        }
        Ok(Self::new(Some(store.clone()), Some(master), Some(keys)))
    }

    fn new(store: Option<Store>, master: Option<Master>, keys: Option<Keys>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                master: RwLock::new(master),
                keys: RwLock::new(keys),
                uses: Mutex::default(),
                sealing: tokio::sync::RwLock::default(),
                rotating: tokio::sync::Mutex::default(),
                adding: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Whether this source has the master key that the store was sealed with; makes and changes nothing.
    /// True as well when nothing is sealed.
    pub async fn fits(store: &Store, source: &Source) -> Result<(), VaultError> {
        let records = read_records(store)?;
        if records.is_empty() {
            return Ok(());
        }
        let master = source.read().await?.ok_or_else(|| VaultError::missing(source))?;
        unwrap(&master, source, &records).map(drop)
    }

    /// One without keys, for programs that look at a stopped hub's data and need none.
    pub fn locked() -> Self {
        Self::new(None, None, None)
    }

    /// Whether this is [`Vault::locked`].
    pub fn is_locked(&self) -> bool {
        self.shared.store.is_none()
    }

    fn store(&self) -> Result<&Store, VaultError> {
        self.shared.store.as_ref().ok_or(VaultError::Locked)
    }

    /// Held between sealing a value and having it on disk, so that a rotation does not pass in between.
    pub async fn sealing(&self) -> RwLockReadGuard<'_, ()> {
        self.shared.sealing.read().await
    }

    /// The numbers of all data keys; the last one seals.
    pub fn data_keys(&self) -> Result<Vec<u32>, VaultError> {
        self.with(|keys| Ok(keys.all.keys().copied().collect()))
    }

    fn with<T>(&self, what: impl FnOnce(&Keys) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        what(keys.as_ref().ok_or(VaultError::Locked)?)
    }

    /// Seals `plain` for the purpose and place that `context` names ("totp/ann"); opens only with the
    /// same context.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.with(|keys| {
            let key = keys.all.get(&keys.newest).ok_or(VaultError::Locked)?;
            blob::seal(key, keys.newest, context, plain)
        })
    }

    /// Opens what was sealed for `context`.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let damaged = || VaultError::Damaged(context.to_owned());
        let number = blob::number(sealed).ok_or_else(damaged)?;
        self.with(|keys| {
            let key = keys
                .all
                .get(&number)
                .ok_or_else(|| VaultError::NoDataKey { context: context.to_owned(), number })?;
            blob::open(key, context, sealed).ok_or_else(damaged)
        })
    }
}

impl VaultError {
    fn missing(source: &Source) -> Self {
        Self::Master(format!(
            "the secrets' master key is missing: {source} is not there, and the store holds secrets sealed with it; put it back in place, or name its place in [secrets] of the configuration; if it is lost for good: cmdr-hub secrets forget"
        ))
    }
}

fn read_records(store: &Store) -> Result<Vec<DataKeyRecord>, VaultError> {
    let records = store.scan::<DataKeyRecord>(prefix::DATA_KEY)?;
    Ok(records.into_iter().map(|r| r.map(|(_, r)| r)).collect::<Result<Vec<_>, _>>()?)
}

/// The context of a wrapped data key.
fn wrapping(number: u32) -> String {
    format!("data key {number}")
}

fn wrap(master: &Master, number: u32, key: &Key) -> Result<DataKeyRecord, VaultError> {
    Ok(DataKeyRecord {
        number,
        wrapped: blob::seal(&master.key, number, &wrapping(number), key.as_ref())?,
        master: master.mark.clone(),
        made_ms: clock::now_ms(),
    })
}

fn unwrap(master: &Master, source: &Source, records: &[DataKeyRecord]) -> Result<Keys, VaultError> {
    let mut all = BTreeMap::new();
    for record in records {
        if record.master != master.mark {
            return Err(VaultError::Master(format!(
                "the secrets' master key from {source} is not the one that the store was sealed with (it has the mark {}, the store was sealed with {}); put the right one in place; if it is lost for good: cmdr-hub secrets forget",
                master.mark, record.master
            )));
        }
        let damaged = || VaultError::Damaged(wrapping(record.number));
        let key = blob::open(&master.key, &wrapping(record.number), &record.wrapped)
            .ok_or_else(damaged)?;
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| damaged())?;
        all.insert(record.number, Zeroizing::new(key));
    }
    let newest = all.last_key_value().map_or(0, |(number, _)| *number);
    Ok(Keys { newest, all })
}

#[cfg(test)]
mod tests;
