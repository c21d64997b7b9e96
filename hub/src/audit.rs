//! The audit log: append-only segment files that prove themselves.
//!
//! Every record is chained to the one before by a hash keyed with the hub's key ([`chain`]), so that
//! nobody without that key can change, drop or reorder one unnoticed; the newest hash also stands in
//! the store, so that a cut end is noticed too ([`verify`]). One thread writes (`writer`): it takes
//! all that wait, commits them with one `fsync`, and only then are they acknowledged. What is asked
//! is recorded before it is done and answered after it is recorded ([`trail`], called by the router,
//! by admission and by `cmdr-hub` itself). [`read`] finds and follows records, [`retention`] removes old
//! ones, [`forward`] sends them on.

pub mod body;
pub mod chain;
pub mod forward;
pub mod read;
pub mod retention;
pub mod trail;
mod unanswered;
pub mod verify;
mod writer;

use crate::records::{AUDIT_HEAD, AuditHead};
use crate::store::{Batch, Store};
use chain::{ChainKey, Point};
use cmdr_link::{SecretKey, files};
use cmdr_protocol::audit::{Event, Record};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};

/// Records that may wait for the writer.
const QUEUE: usize = 1024;

/// Why a record was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// The disk is full, or broken.
    #[error("{0}")]
    Unwritable(String),
    /// The log is closed.
    #[error("the audit log is closed")]
    Closed,
}

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment that has reached so many bytes is followed by a new one; so is one of yesterday.
    pub segment: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment: 8 << 20 }
    }
}

/// What waits for the writer.
struct Job {
    record: Record,
    /// Something is about to be done: it needs room for its outcome as well.
    opens: bool,
    done: Option<oneshot::Sender<Result<u64, AuditError>>>,
}

/// What the writer and everybody else share.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    key: ChainKey,
    writable: AtomicBool,
    /// Records that were not waited for and found no room.
    dropped: AtomicU64,
    /// What is on disk.
    point: watch::Sender<Point>,
    told: Arc<Told>,
}

/// How far it was said of all requests that a crash has left without an end.
#[derive(Debug, Default)]
struct Told {
    /// Up to this record.
    until: AtomicU64,
    /// The hub of now has done so.
    done: AtomicBool,
}

/// The open log. Clones share it; it is closed when the last is gone.
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    refusals: Arc<trail::Refusals>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

/// The folder of the log in a hub's data folder.
pub fn folder(data: &Path) -> PathBuf {
    data.join("audit")
}

/// What the store says of the log's end; `None` when it says nothing that the hub has sealed.
pub fn head(store: &Store, key: &ChainKey) -> Option<Point> {
    kept(store, key).map(|(point, _)| point)
}

/// The same, and until where it was told of what a crash has left without an end.
fn kept(store: &Store, key: &ChainKey) -> Option<(Point, u64)> {
    let head = match store.get::<AuditHead>(AUDIT_HEAD) {
        Ok(head) => head?,
        Err(e) => {
            tracing::error!("the end of the audit log cannot be read from the store: {e}");
            return None;
        }
    };
    let point = Point {
        segment: head.segment,
        len: 0,
        seq: head.seq,
        hash: head.hash.as_slice().try_into().ok()?,
    };
    if key.seal(&point).as_slice() != head.seal {
        tracing::error!("the end of the audit log in the store was not written by this hub");
        return None;
    }
    Some((point, head.told))
}

impl Audit {
    /// Opens or makes the log in `dir`: cuts off what a crash has left unfinished, and says so in
    /// the log itself.
    pub fn open(dir: &Path, key: &SecretKey, store: Store, settings: Settings) -> io::Result<Self> {
        files::private_dir(dir)?;
        let key = ChainKey::new(key);
        let (head, until) = kept(&store, &key).unzip();
        let (writer, notes) = writer::Writer::open(dir, key.clone(), settings, head)?;
        let (point, seen) = watch::channel(writer.point());
        // Numbers beyond the end will be given again.
        let until = until.filter(|until| *until <= writer.point().seq).unwrap_or(0);
        let told = Arc::new(Told { until: until.into(), done: false.into() });
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            key: key.clone(),
            writable: AtomicBool::new(true),
            dropped: AtomicU64::new(0),
            point,
            told: told.clone(),
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let keeper = std::thread::Builder::new()
            .name("audit-head".to_owned())
            .spawn(move || keep_head(&store, &key, seen, &told))?;
        let writing = Arc::downgrade(&shared);
        let told = shared.point.clone();
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            writer.run(queue, &told, |writable| {
                if let Some(shared) = writing.upgrade() {
                    shared.writable.store(writable, Ordering::Relaxed);
                }
            });
            drop(told);
            // The store is let go of only when the end of the log stands in it.
            drop(keeper.join());
        })?;
        let audit = Self { shared, jobs, refusals: Arc::default() };
        for note in notes {
            audit.note(note);
        }
        Ok(audit)
    }

    /// Writes a record; it is on disk when this returns its number. `opens` says that something is
    /// about to be done, whose outcome will have to be written as well.
    async fn write(&self, record: Record, opens: bool) -> Result<u64, AuditError> {
        let (done, result) = oneshot::channel();
        let job = Job { record, opens, done: Some(done) };
        self.jobs.send(job).await.map_err(|_| AuditError::Closed)?;
        result.await.map_err(|_| AuditError::Closed)?
    }

    /// Writes a record; it is on disk when this returns its number.
    pub async fn append(&self, record: Record) -> Result<u64, AuditError> {
        self.write(record, false).await
    }

    /// As [`Audit::append`], of something that is about to be done: refused while there is no room
    /// for its outcome.
    pub async fn open_request(&self, record: Record) -> Result<u64, AuditError> {
        self.write(record, true).await
    }

    /// Writes a record without waiting for it. When the queue is full it is counted and told of in
    /// the hub's own log.
    pub fn note(&self, record: Record) {
        let event = record.event;
        if self.jobs.try_send(Job { record, opens: false, done: None }).is_err() {
            let dropped = self.shared.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(%event, dropped, "no room for an audit record that nobody waits for");
        }
    }

    /// Notes that the hub has started or stops.
    pub async fn mark(&self, event: Event, message: String) {
        let stopped = event == Event::Stopped;
        let record = Record { event, message, ..Record::default() };
        match self.append(record).await {
            // Whatever was under way has an end now.
            Ok(seq) if stopped && self.shared.told.done.load(Ordering::Relaxed) => {
                self.told_until(seq);
            }
            Ok(_) => {}
            Err(e) => {
                tracing::error!("the audit log did not take that the hub starts or stops: {e}");
            }
        }
    }

    fn told_until(&self, seq: u64) {
        self.shared.told.until.store(seq, Ordering::Relaxed);
        self.shared.point.send_modify(|_| {});
    }

    /// Says of every request that a crash has left without an end before this point that its end is not
    /// known. How far that was done is kept, so that a hub that is killed meanwhile goes on with it.
    pub async fn tell_unanswered(self, end: Point) {
        let shared = self.shared.clone();
        let after = shared.told.until.load(Ordering::Relaxed);
        let find = move || unanswered::find(&shared.dir, &shared.key, after, end);
        let found = match tokio::task::spawn_blocking(find).await {
            Ok(Ok(found)) => found,
            Ok(Err(e)) => return tracing::error!("looking for what a crash has cut short: {e}"),
            Err(e) => return tracing::error!("looking for what a crash has cut short: {e}"),
        };
        if !found.is_empty() {
            tracing::warn!(requests = found.len(), "the hub ended before these did");
        }
        for record in found {
            if let Err(e) = self.append(record).await {
                return tracing::error!(
                    "the audit log did not take what a crash has cut short: {e}"
                );
            }
        }
        self.told_until(end.seq);
        self.shared.told.done.store(true, Ordering::Relaxed);
    }

    /// False while nothing can be written.
    pub fn is_writable(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed)
    }

    /// What is on disk now.
    pub fn point(&self) -> Point {
        *self.shared.point.borrow()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }
}

/// Writes the newest end of the log into the store, again and again, until the log is closed. What
/// came meanwhile is skipped: only the newest counts.
fn keep_head(store: &Store, key: &ChainKey, mut seen: watch::Receiver<Point>, told: &Told) {
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(e) => return tracing::error!("the end of the audit log is not kept: {e}"),
    };
    runtime.block_on(async {
        let mut kept = None;
        loop {
            let closed = seen.changed().await.is_err();
            let point = *seen.borrow_and_update();
            let told = told.until.load(Ordering::Relaxed);
            if kept != Some((point.seq, told)) {
                let head = AuditHead {
                    segment: point.segment,
                    seq: point.seq,
                    hash: point.hash.to_vec(),
                    seal: key.seal(&point).to_vec(),
                    told,
                };
                match store.apply(Batch::new().put(AUDIT_HEAD, &head)).await {
                    Ok(()) => kept = Some((point.seq, told)),
                    Err(e) => tracing::debug!("the end of the audit log is not kept: {e}"),
                }
            }
            if closed {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests;
