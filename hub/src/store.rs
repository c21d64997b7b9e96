//! Everything durable: a small set of named records, changed only in atomic batches.
//!
//! An acknowledged batch is on disk. One thread writes: it takes all batches that wait, commits them
//! together and acknowledges them together, so many writers share one `fsync`. Every record carries
//! its own checksum, because no engine notices a flipped bit in a value. Only files in `store/` name
//! an engine.

mod envelope;
mod sled_engine;

use cmdr_link::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// The largest value. Larger things belong into files of their own.
pub const MAX_VALUE: usize = 64 * 1024;
/// Batches that may wait for the writer.
const QUEUE: usize = 1024;
/// Batches committed together.
const GROUP: usize = 512;
/// While the disk is full, the engine is opened anew this often.
const RETRY: Duration = Duration::from_secs(2);

/// Why the store did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or broken. Nothing was written.
    #[error("the hub's store cannot write: {0}; the hub only reads until that is mended")]
    Unwritable(String),
    /// A condition of the batch did not hold. Nothing was written.
    #[error("the record '{0}' was changed by someone else meanwhile")]
    Conflict(String),
    /// A record is damaged.
    #[error("the record '{key}' is damaged: {what}")]
    Damaged {
        /// Which.
        key: String,
        /// How.
        what: String,
    },
    /// A record is too large.
    #[error("the record '{0}' is larger than 64 KiB")]
    TooLarge(String),
    /// The store is closed.
    #[error("the hub's store is closed")]
    Closed,
    /// The store cannot be opened.
    #[error("opening the store in {path}: {what}")]
    Open {
        /// Where.
        path: PathBuf,
        /// Why, and what to do.
        what: String,
    },
}

/// A record with its key, or why it cannot be read.
pub type Scanned<T> = Result<(String, T), StoreError>;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put(String, Vec<u8>),
    Delete(String),
}

/// What a storage engine must do. Keys and values are bytes to it.
pub(crate) trait Engine: Send + Sync {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Every record whose key begins so, in the order of keys.
    fn scan(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, String>;
    /// Writes all of it or nothing; on disk when this returns.
    fn write(&self, ops: &[Op]) -> Result<(), String>;
}

/// Changes that happen together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    ops: Vec<Op>,
    absent: Vec<String>,
    same: Vec<(String, Vec<u8>)>,
    error: Option<StoreError>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record.
    #[must_use]
    pub fn put<T: Serialize>(mut self, key: impl Into<String>, value: &T) -> Self {
        let key = key.into();
        match codec::encode(value) {
            Ok(bytes) if bytes.len() <= MAX_VALUE => self.ops.push(Op::Put(key, bytes.to_vec())),
            Ok(_) => self.error = Some(StoreError::TooLarge(key)),
            Err(e) => self.error = Some(StoreError::Unwritable(e.to_string())),
        }
        self
    }

    /// Writes a record's bytes as an export has them.
    #[must_use]
    pub(crate) fn put_raw(mut self, key: String, value: Vec<u8>) -> Self {
        self.ops.push(Op::Put(key, value));
        self
    }

    /// Removes a record; one that is not there is no error.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.ops.push(Op::Delete(key.into()));
        self
    }

    /// Only if there is no such record.
    #[must_use]
    pub fn if_absent(mut self, key: impl Into<String>) -> Self {
        self.absent.push(key.into());
        self
    }

    /// Only if this record still has these bytes, as [`Store::get_raw`] gave them.
    #[must_use]
    pub fn if_same(mut self, key: impl Into<String>, value: Vec<u8>) -> Self {
        self.same.push((key.into(), value));
        self
    }
}

struct Job {
    batch: Batch,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

struct Shared {
    dir: PathBuf,
    /// Absent while the engine is being opened anew after an error.
    engine: RwLock<Option<Box<dyn Engine>>>,
    writable: AtomicBool,
}

impl Store {
    /// Opens or makes the store in `dir`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let engine =
            open_engine(dir).map_err(|what| StoreError::Open { path: dir.to_owned(), what })?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            engine: RwLock::new(Some(engine)),
            writable: AtomicBool::new(true),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = shared.clone();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || Writer { shared: writer, seq: 0 }.run(queue))
            .map_err(|e| StoreError::Open {
                path: dir.to_owned(),
                what: format!("starting its thread: {e}"),
            })?;
        Ok(Self { shared, jobs })
    }

    /// Applies a batch; it is on disk when this returns.
    pub async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if let Some(error) = batch.error {
            return Err(error);
        }
        let (done, result) = oneshot::channel();
        self.jobs.send(Job { batch, done }).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads a record.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let engine = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = engine.as_ref().ok_or_else(reopening)?;
        let damaged = |what| StoreError::Damaged { key: key.to_owned(), what };
        match engine.get(key).map_err(damaged)? {
            Some(sealed) => decode(key, &sealed).map(Some),
            None => Ok(None),
        }
    }

    /// A record's checked bytes, for [`Batch::if_same`].
    pub fn get_raw(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let engine = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = engine.as_ref().ok_or_else(reopening)?;
        let damaged = |what| StoreError::Damaged { key: key.to_owned(), what };
        let Some(sealed) = engine.get(key).map_err(damaged)? else { return Ok(None) };
        match envelope::open(key, &sealed) {
            Ok(value) => Ok(Some(value.to_vec())),
            Err(what) => Err(damaged(what.to_owned())),
        }
    }

    /// Reads every record whose key begins with `prefix`, by key. Damaged ones come as errors among
    /// the others: one bad record must not hide the good ones.
    pub fn scan<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<Scanned<T>>, StoreError> {
        Ok(self
            .scan_sealed(prefix)?
            .into_iter()
            .map(|(key, sealed)| decode(&key, &sealed).map(|value| (key, value)))
            .collect())
    }

    /// Every record's key and checked bytes, by key.
    pub(crate) fn scan_raw(&self, prefix: &str) -> Result<Vec<Scanned<Vec<u8>>>, StoreError> {
        Ok(self
            .scan_sealed(prefix)?
            .into_iter()
            .map(|(key, sealed)| match envelope::open(&key, &sealed) {
                Ok(value) => Ok((key, value.to_vec())),
                Err(what) => Err(StoreError::Damaged { key, what: what.to_owned() }),
            })
            .collect())
    }

    fn scan_sealed(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let engine = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let engine = engine.as_ref().ok_or_else(reopening)?;
        engine.scan(prefix).map_err(StoreError::Unwritable)
    }

    /// False while the disk is full or broken.
    pub fn is_writable(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed)
    }
}

fn reopening() -> StoreError {
    StoreError::Unwritable("it is being opened anew after an error".to_owned())
}

fn decode<T: DeserializeOwned>(key: &str, sealed: &[u8]) -> Result<T, StoreError> {
    let damaged = |what: String| StoreError::Damaged { key: key.to_owned(), what };
    let value = envelope::open(key, sealed).map_err(|what| damaged(what.to_owned()))?;
    codec::decode(value).map_err(|e| damaged(e.to_string()))
}

fn open_engine(dir: &Path) -> Result<Box<dyn Engine>, String> {
    cmdr_link::files::private_dir(dir).map_err(|e| e.to_string())?;
    sled_engine::open(dir).map(|engine| Box::new(engine) as Box<dyn Engine>)
}

/// The one thread that writes.
struct Writer {
    shared: Arc<Shared>,
    seq: u64,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut broken_at: Option<Instant> = None;
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP {
                match queue.try_recv() {
                    Ok(job) => group.push(job),
                    Err(_) => break,
                }
            }
            if broken_at.is_some_and(|at| at.elapsed() >= RETRY) {
                broken_at = if self.reopen() { None } else { Some(Instant::now()) };
            }
            if broken_at.is_some() {
                for job in group {
                    drop(job.done.send(Err(reopening())));
                }
            } else if !self.commit(group) {
                broken_at = Some(Instant::now());
            }
        }
    }

    /// After an error the engine may be in any state: close it and open it anew.
    fn reopen(&self) -> bool {
        let mut slot = self.shared.engine.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        match open_engine(&self.shared.dir) {
            Ok(engine) => {
                *slot = Some(engine);
                self.shared.writable.store(true, Ordering::Relaxed);
                tracing::info!("the store writes again");
                true
            }
            Err(what) => {
                tracing::warn!("the store still cannot be opened: {what}");
                false
            }
        }
    }

    /// False when the engine failed.
    fn commit(&mut self, group: Vec<Job>) -> bool {
        let slot = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = slot.as_ref() else {
            for job in group {
                drop(job.done.send(Err(reopening())));
            }
            return false;
        };
        // Which keys the batches before have made or removed, so that conditions see them.
        let mut changed: BTreeMap<String, bool> = BTreeMap::new();
        let (mut ops, mut waiting) = (Vec::new(), Vec::new());
        for job in group {
            let taken = job.batch.absent.iter().find(|key| match changed.get(*key) {
                Some(there) => *there,
                None => !matches!(engine.get(key), Ok(None)),
            });
            let other = |(key, value): &&(String, Vec<u8>)| {
                changed.contains_key(key)
                    || !matches!(engine.get(key), Ok(Some(sealed)) if envelope::open(key, &sealed) == Ok(value))
            };
            let taken = taken.or_else(|| job.batch.same.iter().find(other).map(|(key, _)| key));
            if let Some(key) = taken {
                drop(job.done.send(Err(StoreError::Conflict(key.clone()))));
                continue;
            }
            for op in job.batch.ops {
                ops.push(match op {
                    Op::Put(key, value) => {
                        self.seq += 1;
                        changed.insert(key.clone(), true);
                        let sealed = envelope::seal(&key, self.seq, &value);
                        Op::Put(key, sealed)
                    }
                    Op::Delete(key) => {
                        changed.insert(key.clone(), false);
                        Op::Delete(key)
                    }
                });
            }
            waiting.push(job.done);
        }
        let result = if ops.is_empty() { Ok(()) } else { engine.write(&ops) };
        drop(slot);
        if let Err(what) = &result {
            tracing::error!("the store cannot write, so the hub only reads now: {what}");
            self.shared.writable.store(false, Ordering::Relaxed);
        }
        for done in waiting {
            // A caller that gave up meanwhile does not want to know.
            drop(done.send(result.clone().map_err(StoreError::Unwritable)));
        }
        result.is_ok()
    }
}

#[cfg(test)]
mod tests;
