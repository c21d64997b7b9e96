//! What an agent has to know of its orders after it was ended at any moment: one file that only grows, a record
//! after the other, each with its own sum. What is cut off at its end was never acknowledged.
//!
//! Room for how orders end is set aside when they are taken, so that a disk that is full meanwhile keeps nothing from
//! being told. Now and then all that still counts is written anew.

use super::spool::Kept;
use cmdr_link::codec;
use cmdr_link::files::{private_dir, reason};
use cmdr_protocol::orders::{Report, Take};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Length and sum before each record.
const HEAD: usize = 12;
/// The longest record that is read: an order with a script, and what is around it.
const LONGEST: usize = 2 << 20;
/// The journal is written anew when it has grown by so much, and to twice its size.
const GROWN: u64 = 4 << 20;
/// Room that is set aside for how one order ends.
const END: u64 = 32 * 1024;

/// One record: what has become known. One of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) taken: Option<Taken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<Began>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Ended>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<Over>,
}

/// An order that is the host's from here on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Taken {
    pub(super) take: Take,
    /// For whom.
    pub(super) by: String,
    pub(super) at_ms: u64,
    /// Which start of the host's system this was.
    pub(super) boot: String,
}

/// An order whose program may have begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Began {
    pub(super) id: String,
    pub(super) at_ms: u64,
}

/// How an order ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ended {
    pub(super) report: Report,
    pub(super) output: Kept,
}

/// An order that is over for the hub too: only its name is known any more, so that it never begins again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Over {
    pub(super) id: String,
    pub(super) state: cmdr_protocol::runs::TargetState,
    pub(super) at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) occurrence: Option<cmdr_protocol::orders::Occurrence>,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<Arc<File>>,
    /// Where the next record goes.
    end: u64,
    /// Its size when it was last written anew.
    base: u64,
    /// What could not be written once cannot be trusted any more.
    broken: Option<String>,
}

/// The disk is full, or does not do what it should.
fn refusal(doing: &str, error: &io::Error) -> CallError {
    let why = reason(error);
    match error.kind() {
        // Not *busy*: nobody makes room by waiting.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CallError::failed(format!(
            "the disk on which this host's agent keeps its orders is full ({why}); nothing was begun: make room there"
        )),
        _ => CallError::failed(format!(
            "{doing} the agent's journal of orders: {why}; nothing was begun"
        )),
    }
}

fn frame(record: &Record) -> io::Result<Vec<u8>> {
    let body = codec::encode(record).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let sum = blake3::hash(&body);
    Ok([&length.to_le_bytes(), &sum.as_bytes()[..8], &body[..]].concat())
}

impl Journal {
    /// The journal of a folder, and all that is in it. What cannot be read is said and left out.
    pub(super) fn open(dir: &Path) -> (Self, Vec<Record>) {
        let path = dir.join("journal");
        let mut journal = Self { path, file: None, end: 0, base: 0, broken: None };
        let records = match journal.read() {
            Ok(records) => records,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => {
                tracing::error!("reading {}: {e}", journal.path.display());
                journal.broken = Some(reason(&e));
                Vec::new()
            }
        };
        (journal, records)
    }

    fn read(&mut self) -> io::Result<Vec<Record>> {
        let mut bytes = Vec::new();
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        file.read_to_end(&mut bytes)?;
        let mut records = Vec::new();
        let mut at = 0;
        while let Some((body, next)) = next(&bytes, at) {
            if let Some(record) = body.and_then(|body| codec::decode(body).ok()) {
                records.push(record);
            } else {
                tracing::error!(
                    "a record of the journal of orders at byte {at} is damaged, and left out"
                );
            }
            at = next;
        }
        if at < bytes.len() {
            let cut = bytes.len() - at;
            tracing::warn!(
                "{cut} bytes at the end of the journal of orders are of none, and cut off"
            );
            file.set_len(at as u64)?;
        }
        (self.end, self.base) = (at as u64, at as u64);
        self.file = Some(Arc::new(file));
        Ok(records)
    }

    fn file(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        private_dir(dir)?;
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        cmdr_link::files::sync_dir(dir)?;
        let file = Arc::new(file);
        self.file = Some(file.clone());
        Ok(file)
    }

    /// Writes an order that is not the host's yet, and sets room aside for its end and those of `open` others.
    /// Not on disk before `sync`.
    pub(super) fn take(&mut self, taken: Taken, open: usize) -> Result<Arc<File>, CallError> {
        if let Some(why) = &self.broken {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "the agent's journal of orders cannot be written ({why}); it takes none until it is put right and started again"
                ),
            ));
        }
        let record = Record { taken: Some(taken), ..Record::default() };
        let bytes = frame(&record).map_err(|e| refusal("writing", &e))?;
        if bytes.len() > LONGEST {
            return Err(CallError::malformed("the order is too long for a host's journal"));
        }
        let file = self.file().map_err(|e| refusal("making", &e))?;
        let room = bytes.len() as u64 + END * (open as u64 + 1);
        match fallocate(&*file, FallocateFlags::KEEP_SIZE, self.end, room) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(e) => return Err(refusal("making room in", &e.into())),
        }
        self.put(&file, &bytes).map_err(|e| refusal("writing", &e))?;
        Ok(file)
    }

    /// Writes what became of orders. It survives the agent's end, and that of the host once it is synced.
    pub(super) fn note(&mut self, record: &Record) -> io::Result<()> {
        let bytes = frame(record)?;
        let file = self.file()?;
        self.put(&file, &bytes)
    }

    fn put(&mut self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.end))?;
        if let Err(e) = file.write_all(bytes) {
            // Half a record would hide those that follow.
            if let Err(e) = file.set_len(self.end) {
                self.broken = Some(reason(&e));
            }
            return Err(e);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// The file to be synced.
    pub(super) fn handle(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Nothing that was written since can be relied on.
    pub(super) fn give_up(&mut self, error: &io::Error) -> CallError {
        self.broken = Some(reason(error));
        refusal("syncing", error)
    }

    /// Whether it has grown enough to be written anew.
    pub(super) const fn is_large(&self) -> bool {
        self.end > self.base + GROWN && self.end > 2 * self.base
    }

    /// Writes only what still counts, on disk when this returns.
    pub(super) fn renew(&mut self, records: impl Iterator<Item = Record>) -> io::Result<()> {
        self.renew_with(records, cmdr_link::files::sync_dir)
    }

    fn renew_with(
        &mut self,
        records: impl Iterator<Item = Record>,
        sync: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let renewed = self.renew_beside(&beside, records, sync);
        if renewed.is_err() {
            std::fs::remove_file(&beside).ok();
        }
        renewed
    }

    fn renew_beside(
        &mut self,
        beside: &Path,
        records: impl Iterator<Item = Record>,
        sync: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(true).mode(0o600).open(beside)?;
        let mut out = io::BufWriter::new(&file);
        let mut end = 0;
        for record in records {
            let bytes = frame(&record)?;
            out.write_all(&bytes)?;
            end += bytes.len() as u64;
        }
        out.flush()?;
        drop(out);
        // For the ends of those that run now; where there is no room, that is found out with the next order.
        fallocate(&file, FallocateFlags::KEEP_SIZE, end, END * 16).ok();
        file.sync_all()?;
        std::fs::rename(beside, &self.path)?;
        // From here on the old file has no name: what were written there would be gone.
        (self.end, self.base) = (end, end);
        self.file = Some(Arc::new(file));
        if let Some(dir) = self.path.parent()
            && let Err(e) = sync(dir)
        {
            // After a power cut it may be the old one all the same.
            self.broken = Some(reason(&e));
            return Err(e);
        }
        Ok(())
    }
}

/// The record at a place, if it is right, and where the next one begins; nothing where there is no whole one.
fn next(bytes: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let rest = bytes.get(at..)?;
    let (head, rest) = rest.split_at_checked(HEAD)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    if length == 0 || length > LONGEST {
        return None;
    }
    let body = rest.get(..length)?;
    let right = blake3::hash(body).as_bytes()[..8] == head[4..];
    let next = at + HEAD + length;
    // A record that is wrong and the last one was being written when the host went down.
    if !right && next == bytes.len() {
        return None;
    }
    Some((right.then_some(body), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(id: &str) -> Taken {
        Taken { take: Take { id: id.into(), ..Take::default() }, ..Taken::default() }
    }

    fn ids(records: &[Record]) -> Vec<String> {
        records.iter().filter_map(|r| Some(r.taken.as_ref()?.take.id.clone())).collect()
    }

    #[test]
    fn what_was_written_reads_back_and_a_torn_end_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, records) = Journal::open(dir.path());
        assert!(records.is_empty());
        for id in ["a", "b", "c"] {
            journal.take(taken(id), 0).unwrap();
        }
        let path = dir.path().join("journal");
        let whole = std::fs::read(&path).unwrap();
        let two = whole.len()
            - frame(&Record { taken: Some(taken("c")), ..Record::default() }).unwrap().len();
        for cut in two..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open(dir.path());
            assert_eq!(ids(&records), ["a", "b"], "cut at {cut}");
            journal.take(taken("d"), 0).unwrap();
            assert_eq!(ids(&Journal::open(dir.path()).1), ["a", "b", "d"], "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_record_in_the_middle_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path());
        for id in ["a", "b", "c"] {
            journal.take(taken(id), 0).unwrap();
        }
        let path = dir.path().join("journal");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(ids(&Journal::open(dir.path()).1), ["a", "c"]);
    }

    #[test]
    fn a_folder_that_cannot_be_synced_takes_no_order_and_loses_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path());
        journal.take(taken("a"), 0).unwrap();
        let all = [Record { taken: Some(taken("a")), ..Record::default() }];
        let fails = |_: &Path| -> io::Result<()> { Err(io::ErrorKind::Other.into()) };
        journal.renew_with(all.into_iter(), fails).unwrap_err();
        assert_eq!(journal.take(taken("b"), 0).unwrap_err().kind, ErrorKind::Busy);
        let over = Over { id: "a".into(), ..Over::default() };
        journal.note(&Record { over: Some(over.clone()), ..Record::default() }).unwrap();
        let records = Journal::open(dir.path()).1;
        assert_eq!(records.last().and_then(|record| record.over.clone()), Some(over));
    }

    #[test]
    fn written_anew_it_has_what_counts_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path());
        for id in ["a", "b"] {
            journal.take(taken(id), 0).unwrap();
        }
        journal
            .renew([Record { taken: Some(taken("b")), ..Record::default() }].into_iter())
            .unwrap();
        journal.take(taken("c"), 3).unwrap();
        assert_eq!(ids(&Journal::open(dir.path()).1), ["b", "c"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
