//! Recordings: what commands write, kept as asciicast, compressed and sealed.
//!
//! [`rules`] say what is recorded. The router's trail asks them for each request; of one that fits,
//! the relay shows the pieces that pass to a [`live`] recording's bounded queue, and one of the
//! recorder's threads (`workers`, `writing`) decodes them beside the data path and writes them
//! ([`chunks`]). `tail` reads files and running recordings, `search` looks inside, `danger` knows
//! dangerous commands, `retention` removes what is old or too much. Each recording has a key of its own,
//! which stands in the store, wrapped by the vault, with all that lists show.

mod bodies;
pub mod chunks;
mod danger;
mod eight_bit;
mod lines;
pub mod live;
mod recover;
mod retention;
pub mod rules;
pub(crate) mod search;
mod session;
pub(crate) mod tail;
mod typed;
mod workers;
mod writing;

pub(crate) use danger::regex as danger_regex;
pub(crate) use retention::retain;
pub use search::found;
pub use session::Session;

use crate::config;
use crate::records::{RecordingRecord, prefix, recording_key};
use crate::store::{Batch, Store};
use crate::vault::keepers::Sealed;
use crate::vault::{Vault, VaultError};
use anyhow::Context as _;
use bytes::Bytes;
use chunks::{Key, Sealer};
use cmdr_link::{clock, files};
use cmdr_protocol::recordings::{Filter, Level, Page, Recording, Remark, State, cast};
use cmdr_protocol::{CallError, ErrorKind};
use danger::Danger;
use live::Live;
use rules::{Rules, Wanted};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tail::Source;
use tokio::sync::{RwLock, Semaphore};
use typed::Typed;
use workers::Workers;
use writing::{Bounds, Writing};
use zeroize::Zeroizing;

/// Threads that write.
const THREADS: usize = 2;
/// Searches and proofs at once: each keeps a processor busy.
const SEARCHES: usize = 2;
/// Recordings kept at once, whatever their size.
const MOST: usize = 50_000;

/// Everything about recordings.
#[derive(Debug)]
pub struct Recorder {
    store: Store,
    vault: Vault,
    dir: PathBuf,
    settings: config::Recordings,
    danger: Arc<Danger>,
    /// What is recorded.
    pub rules: Rules,
    catalog: Mutex<BTreeMap<u64, Entry>>,
    /// Started with the first recording.
    workers: Mutex<Option<Workers>>,
    waiting: Arc<AtomicUsize>,
    watchers: AtomicU64,
    searches: Arc<Semaphore>,
    /// Held for reading while a key goes from memory to disk, for writing while all are sealed anew.
    sealing: RwLock<()>,
}

#[derive(Debug)]
struct Entry {
    record: RecordingRecord,
    live: Option<Arc<Live>>,
}

impl Entry {
    fn shown(&self) -> Recording {
        let mut shown = self.record.recording.clone();
        if let Some(live) = &self.live {
            live.show(&mut shown);
        }
        shown
    }
}

/// The folder of recordings beside that of the audit log.
pub fn folder(audit: &Path) -> PathBuf {
    audit.with_file_name("recordings")
}

fn busy(what: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Busy, what.to_string())
}

fn context(id: u64) -> String {
    format!("recording/{id}")
}

/// The sealed key of a recording's record.
pub(crate) fn sealed(record: &mut RecordingRecord) -> Sealed<'_> {
    vec![(context(record.recording.id), &mut record.key)]
}

impl Recorder {
    /// Reads rules and the list of recordings from the store; a damaged entry is logged and left out.
    pub fn open(
        store: Store,
        vault: Vault,
        dir: PathBuf,
        settings: config::Recordings,
    ) -> anyhow::Result<Self> {
        let rules = Rules::load(store.clone()).context("reading the rules of what is recorded")?;
        let mut catalog = BTreeMap::new();
        for record in store.scan::<RecordingRecord>(prefix::RECORDING)? {
            match record {
                Ok((_, record)) => {
                    catalog.insert(record.recording.id, Entry { record, live: None });
                }
                Err(e) => tracing::error!("a recording is left out of the list: {e}"),
            }
        }
        Ok(Self {
            danger: Arc::new(Danger::new(&settings.danger)?),
            rules,
            catalog: Mutex::new(catalog),
            workers: Mutex::default(),
            waiting: Arc::default(),
            watchers: AtomicU64::new(0),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            sealing: RwLock::default(),
            store,
            vault,
            dir,
            settings,
        })
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a recording's file is: by the month in which it began.
    fn path(&self, recording: &Recording) -> PathBuf {
        let month = cmdr_protocol::human::moment(recording.at_ms);
        self.dir.join(month.get(..7).unwrap_or("unknown")).join(format!("{}.rec", recording.id))
    }

    /// Looks whether the files of recordings that have ended are there and as long as they should be, which needs
    /// no key: how many there are, and what is wrong.
    pub fn files(&self) -> (u64, Vec<String>) {
        let recordings: Vec<_> = self.entries().values().map(Entry::shown).collect();
        let wrong = |recording: &Recording| {
            let (id, path) = (recording.id, self.path(recording));
            match fs::metadata(&path) {
                Ok(meta) if recording.state == State::Running || meta.len() == recording.size => {
                    None
                }
                Ok(meta) => Some(format!(
                    "recording {id}: its file has {} bytes instead of {}",
                    meta.len(),
                    recording.size
                )),
                Err(e) => {
                    Some(format!("recording {id}: {}: {}", path.display(), files::reason(&e)))
                }
            }
        };
        (recordings.len() as u64, recordings.iter().filter_map(wrong).collect())
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            largest: self.settings.largest_mb.get().saturating_mul(1 << 20),
            free: self.settings.free_mb.saturating_mul(1 << 20),
        }
    }

    /// Begins to record what was just put down in the audit log under the number `recording.id`. The
    /// error says why it cannot be recorded.
    pub async fn begin(
        self: &Arc<Self>,
        mut recording: Recording,
        wanted: &Wanted,
        request: Bytes,
    ) -> Result<Session, String> {
        self.has_room()?;
        recording.at_ms = clock::now_ms();
        recording.state = State::Running;
        recording.rules.clone_from(&wanted.rules);
        recording.input = wanted.input;
        recording.until_ms = (wanted.keep_days > 0)
            .then(|| recording.at_ms + u64::from(wanted.keep_days) * 24 * 3600 * 1000);
        let method = recording.method.clone();
        let command = tokio::task::spawn_blocking(move || bodies::command(&method, &request));
        let command = command.await.map_err(|e| e.to_string())?;
        (recording.session, recording.terminal) = (command.session, command.terminal);
        recording.command = command.title;
        recording.marks = self.danger.marks(&command.text, 0);
        recording.level = recording.marks.first().map_or(Level::None, |mark| mark.level);
        let id = recording.id;
        let key = chunks::new_key().map_err(|e| e.to_string())?;
        let _one = (self.vault.sealing().await, self.sealing.read().await);
        let wrapped = self.vault.seal(&context(id), &key[..]).map_err(|e| e.to_string())?;
        let (path, free, strict) = (self.path(&recording), self.bounds().free, wanted.strict);
        let created = tokio::task::spawn_blocking(move || create(&path, id, free, strict));
        let file = created
            .await
            .map_err(|e| e.to_string())?
            .map_err(|e| format!("making its file: {}", files::reason(&e)))?;
        let record = RecordingRecord { recording, key: wrapped };
        if let Err(e) = self.store.apply(Batch::new().put(recording_key(id), &record)).await {
            drop(fs::remove_file(self.path(&record.recording)));
            return Err(e.to_string());
        }
        let begun = self.start(&record, &key, file, wanted.strict);
        let live = begun.map_err(|e| format!("starting the recorder: {e}"))?;
        let input = wanted.input || record.recording.terminal.is_some();
        self.entries().insert(id, Entry { record, live: Some(live.clone()) });
        Ok(Session { recorder: self.clone(), live, input })
    }

    fn start(
        &self,
        record: &RecordingRecord,
        key: &Key,
        file: File,
        strict: bool,
    ) -> io::Result<Arc<Live>> {
        let recording = &record.recording;
        let worker = {
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            if workers.is_none() {
                *workers = Some(Workers::start(THREADS)?);
            }
            workers.as_ref().map(|workers| workers.of(recording.id))
        };
        let worker = worker.ok_or_else(|| io::Error::other("there is no thread"))?;
        let live = Arc::new(Live::new(
            recording.id,
            strict,
            recording.terminal.is_none(),
            worker.clone(),
            self.waiting.clone(),
        ));
        live.session.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&recording.session);
        let typed = recording.terminal.map(|_| Typed::new(self.danger.clone()));
        live.marks.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&recording.marks);
        let sealer = Sealer::new(recording.id, key, 0)?;
        let first = first_lines(recording);
        let writing =
            Writing::new(live.clone(), file, sealer, chunks::FILE_HEAD, first, self.bounds());
        let writing = writing.with_input(recording.input, typed);
        worker.add(writing);
        Ok(live)
    }

    /// Why nothing more can be recorded now.
    fn has_room(&self) -> Result<(), String> {
        let (count, used) = {
            let entries = self.entries();
            (entries.len(), entries.values().map(Entry::size).sum::<u64>())
        };
        if count >= MOST {
            return Err(format!("there are {MOST} recordings already; delete some"));
        }
        // Retention keeps below the limit; while it is at it, or has nothing to remove, there is some slack.
        let limit = self.limit();
        if used > limit.saturating_add(limit / 8) {
            return Err(format!(
                "recordings take more than the {} GiB that they may ([recordings] keep_gb)",
                self.settings.keep_gb
            ));
        }
        Ok(())
    }

    fn limit(&self) -> u64 {
        match self.settings.keep_gb {
            0 => u64::MAX,
            gb => gb.saturating_mul(1 << 30),
        }
    }

    /// A page of the list, newest first.
    pub fn page(&self, filter: &Filter, before: Option<u64>, limit: usize) -> Page {
        let entries = self.entries();
        let used = entries.values().map(Entry::size).sum();
        let mut page = Page { used, limit: self.limit(), ..Page::default() };
        for (id, entry) in entries.range(..before.unwrap_or(u64::MAX)).rev() {
            let shown = entry.shown();
            if filter.matches(&shown) {
                if page.recordings.len() == limit {
                    page.next = Some(id + 1);
                    break;
                }
                page.recordings.push(shown);
            }
        }
        page
    }

    /// One recording, as lists show it.
    pub fn get(&self, id: u64) -> Result<Recording, CallError> {
        self.entries().get(&id).map(Entry::shown).ok_or_else(|| unknown(id))
    }

    /// Numbers of recordings that fit, newest first.
    pub(crate) fn ids(&self, filter: &Filter) -> Vec<u64> {
        let entries = self.entries();
        let fit = entries.iter().rev().filter(|(_, entry)| filter.matches(&entry.shown()));
        fit.map(|(id, _)| *id).collect()
    }

    /// What runs under this number.
    pub fn live(&self, id: u64) -> Result<Arc<Live>, CallError> {
        let entries = self.entries();
        let entry = entries.get(&id).ok_or_else(|| unknown(id))?;
        entry.live.clone().ok_or_else(|| {
            CallError::new(
                ErrorKind::Conflict,
                format!("what recording {id} holds has ended; read it instead"),
            )
        })
    }

    /// A number for somebody who watches.
    pub(crate) fn next_watcher(&self) -> u64 {
        self.watchers.fetch_add(1, Ordering::Relaxed)
    }

    /// Room for one more search or proof.
    pub(crate) fn searching(&self) -> Result<tokio::sync::OwnedSemaphorePermit, CallError> {
        self.searches.clone().try_acquire_owned().map_err(|_| {
            busy(format!(
                "{SEARCHES} others search or verify recordings now; try again in a moment"
            ))
        })
    }

    /// What it takes to read a recording.
    pub(crate) fn source(&self, id: u64) -> Result<Source, CallError> {
        let (path, wrapped, live) = {
            let entries = self.entries();
            let entry = entries.get(&id).ok_or_else(|| unknown(id))?;
            (self.path(&entry.record.recording), entry.record.key.clone(), entry.live.clone())
        };
        Ok(Source { id, path, key: self.unwrap(id, &wrapped)?, live })
    }

    fn unwrap(&self, id: u64, wrapped: &[u8]) -> Result<Key, CallError> {
        let key = self.vault.open(&context(id), wrapped).map_err(|e| {
            CallError::failed(format!("the key of recording {id} cannot be had: {e}"))
        })?;
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| {
            CallError::failed(format!("the key of recording {id} has a wrong length"))
        })?;
        Ok(Zeroizing::new(key))
    }

    /// Sets or clears the mark made by hand.
    pub async fn mark(&self, id: u64, remark: Option<Remark>) -> Result<(), CallError> {
        self.change(id, |entry| entry.record.recording.set_remark(remark)).await.map(drop)
    }

    /// Changes what is known of a recording, in memory and on disk.
    async fn change(
        &self,
        id: u64,
        change: impl FnOnce(&mut Entry),
    ) -> Result<RecordingRecord, CallError> {
        let _one = self.sealing.read().await;
        let record = {
            let mut entries = self.entries();
            let entry = entries.get_mut(&id).ok_or_else(|| unknown(id))?;
            change(entry);
            entry.record.clone()
        };
        self.store.apply(Batch::new().put(recording_key(id), &record)).await.map_err(busy)?;
        Ok(record)
    }

    /// Seals all keys with the newest data key; says how many that were.
    pub(crate) async fn reseal(&self) -> Result<u64, VaultError> {
        let _all = self.sealing.write().await;
        let keys: Vec<_> =
            self.entries().iter().map(|(id, entry)| (*id, entry.record.key.clone())).collect();
        let mut count = 0;
        for (id, key) in keys {
            let Some(new) = self.vault.reseal(&context(id), &key)? else { continue };
            let record = match self.entries().get_mut(&id) {
                Some(entry) => RecordingRecord { key: new, ..entry.record.clone() },
                None => continue,
            };
            self.store.apply(Batch::new().put(recording_key(id), &record)).await?;
            if let Some(entry) = self.entries().get_mut(&id) {
                entry.record.key = record.key;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Removes a recording that does not run any more: its file, then its key.
    pub async fn delete(&self, id: u64) -> Result<(), CallError> {
        let path = {
            let entries = self.entries();
            let entry = entries.get(&id).ok_or_else(|| unknown(id))?;
            if entry.live.is_some() {
                let what = format!("recording {id} still runs; stop it first");
                return Err(CallError::new(ErrorKind::Conflict, what));
            }
            self.path(&entry.record.recording)
        };
        let removed = tokio::task::spawn_blocking(move || match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        });
        let removed = removed.await.map_err(io::Error::other).and_then(|removed| removed);
        removed.map_err(|e| CallError::failed(format!("removing recording {id}: {e}")))?;
        self.store.apply(Batch::new().delete(recording_key(id))).await.map_err(busy)?;
        self.entries().remove(&id);
        Ok(())
    }

    /// Brings what runs to its end and the recordings to disk.
    pub fn close(&self) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(workers);
    }
}

fn unknown(id: u64) -> CallError {
    CallError::not_found(format!("there is no recording {id}; cmdr recordings ls lists them"))
}

/// Makes the file of a recording.
fn create(path: &Path, id: u64, free: u64, strict: bool) -> io::Result<File> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    files::private_dir(dir)?;
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let begun = || {
        let disk = rustix::fs::fstatvfs(&file)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < free {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("less than {} MiB of the disk are free ([recordings] free_mb)", free >> 20),
            ));
        }
        file.write_all_at(&chunks::file_head(id), 0)?;
        writing::reserve(&file, chunks::FILE_HEAD, 0)?;
        if strict {
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    };
    if let Err(e) = begun() {
        drop(fs::remove_file(path));
        return Err(e);
    }
    Ok(file)
}

/// The header, and what struck in the command itself.
fn first_lines(recording: &Recording) -> Vec<u8> {
    let mut lines = Vec::new();
    let id = recording.id.to_string();
    let extra = [
        ("commander_id", id.as_str()),
        ("operator", &recording.operator),
        ("host", &recording.host_name),
        ("method", &recording.method),
    ];
    cast::header(&mut lines, recording.at_ms, &recording.command, recording.terminal, &extra);
    for mark in &recording.marks {
        let told = format!("{}: {}", mark.level, mark.what);
        let kind = cmdr_protocol::recordings::EventKind::Mark;
        cast::event(&mut lines, 0, kind, told.as_bytes(), false);
    }
    lines
}

impl Entry {
    fn size(&self) -> u64 {
        match &self.live {
            Some(live) => live.size.load(Ordering::Relaxed),
            None => self.record.recording.size,
        }
    }
}
