//! The one thread that writes the log.
//!
//! It keeps a reserve of disk space ahead of the end: a request is only let in while there is room
//! for its outcome too, so that what was begun can be recorded to its end even on a full disk.

use super::chain::{self, ChainKey, Head, Point, Records};
use super::{AuditError, Job, Settings};
use cmdr_link::clock;
use cmdr_protocol::audit::{Event, Record};
use cmdr_protocol::human::count;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};

/// Records committed together.
const GROUP: usize = 512;
/// Bytes committed together; never more than half of [`MARGIN`].
const GROUP_BYTES: usize = 256 * 1024;
/// Space that must be ours already before something new is let in.
const MARGIN: u64 = 1 << 20;
/// A segment is followed by another after so long, so that old records can go by the day.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Space asked for at once beyond that.
const STEP: u64 = 256 * 1024;

/// The end of the log, open for writing.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    key: ChainKey,
    settings: Settings,
    file: File,
    point: Point,
    /// Bytes of the file that the disk has promised us.
    reserved: u64,
    /// When the segment was begun.
    begun_ms: u64,
    last_ms: u64,
    writable: bool,
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {}", path.display(), cmdr_link::files::reason(e)))
}

/// Makes a segment; it is there with its head or not at all.
fn create(dir: &Path, key: &ChainKey, head: &Head) -> io::Result<(File, Point)> {
    let path = chain::path(dir, head.number);
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(named(&temporary, &e)),
        _ => {}
    }
    let (bytes, hash) = head.encode(key);
    let made = || {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()?;
        io::Result::Ok(file)
    };
    let file = made().map_err(|e| named(&path, &e))?;
    let point =
        Point { segment: head.number, len: bytes.len() as u64, seq: head.first_seq - 1, hash };
    Ok((file, point))
}

impl Writer {
    /// Opens the end of the log. `kept` is the end that the store knows of. What is to be said about
    /// how the end was found comes with it.
    pub(super) fn open(
        dir: &Path,
        key: ChainKey,
        settings: Settings,
        kept: Option<Point>,
    ) -> io::Result<(Self, Vec<Record>)> {
        let kept = kept.unwrap_or_default();
        let newest = chain::segments(dir)?.last().copied();
        let mut notes = Vec::new();
        let note = |event, message| Record { event, message, ..Record::default() };
        let found = newest.map(|number| Self::find_end(dir, &key, number)).transpose()?;
        let (file, point, begun_ms, last_ms) = match found {
            Some(Ok(end)) if end.point.seq >= kept.seq => {
                if end.left > 0 {
                    let path = chain::path(dir, end.point.segment);
                    let cut = end.file.set_len(end.point.len).and_then(|()| end.file.sync_all());
                    cut.map_err(|e| named(&path, &e))?;
                    let what = format!("cut {} after a crash", count(end.left, "byte"));
                    tracing::warn!("audit log: {what}");
                    notes.push(note(Event::Cut, what));
                }
                (end.file, end.point, end.begun_ms, end.last_ms)
            }
            None if kept.seq == 0 => {
                let at_ms = clock::now_ms();
                let head = Head { number: 1, first_seq: 1, at_ms, before: [0; 32] };
                let (file, point) = create(dir, &key, &head)?;
                (file, point, at_ms, at_ms)
            }
            // Not what a crash leaves: records that were on disk are gone or changed. The evidence
            // stays as it is, and the log goes on behind the last record that is known of.
            damaged => {
                let what = match damaged {
                    Some(Ok(end)) => format!(
                        "the log ended with record {} instead of {}: {} are missing or damaged",
                        end.point.seq,
                        kept.seq,
                        count(kept.seq - end.point.seq, "record")
                    ),
                    Some(Err(what)) => what,
                    None => format!("all segments are missing, up to record {}", kept.seq),
                };
                let number = newest.unwrap_or(0).max(kept.segment) + 1;
                tracing::error!(
                    "audit log: {what}; it goes on in segment {number}; see: cmdr audit verify"
                );
                notes.push(note(Event::Damaged, what));
                let at_ms = clock::now_ms();
                let head = Head { number, first_seq: kept.seq + 1, at_ms, before: kept.hash };
                let (file, point) = create(dir, &key, &head)?;
                (file, point, at_ms, at_ms)
            }
        };
        let reserved = point.len;
        let dir = dir.to_owned();
        let writer =
            Self { dir, key, settings, file, point, reserved, begun_ms, last_ms, writable: true };
        Ok((writer, notes))
    }

    /// The end of a segment; the inner error says that it has no proper beginning.
    fn find_end(dir: &Path, key: &ChainKey, number: u64) -> io::Result<Result<End, String>> {
        let path = chain::path(dir, number);
        let read = || {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            Ok((file, std::fs::read(&path)?))
        };
        let (file, bytes) = read().map_err(|e| named(&path, &e))?;
        let (head, records) = match Records::of(key, &bytes) {
            Ok(begun) => begun,
            Err(what) => return Ok(Err(format!("segment {number}: {what}"))),
        };
        let (_, hash) = head.encode(key);
        let mut end = End {
            file,
            point: Point {
                segment: number,
                len: chain::HEAD as u64,
                seq: head.first_seq.saturating_sub(1),
                hash,
            },
            left: 0,
            begun_ms: head.at_ms,
            last_ms: head.at_ms,
        };
        for record in records {
            // What is wrong with it is told by whether the store knows of a later one.
            let Ok(found) = record else { break };
            end.point =
                Point { segment: number, len: found.end, seq: found.record.seq, hash: found.hash };
            end.last_ms = end.last_ms.max(found.record.at_ms);
        }
        end.left = bytes.len() as u64 - end.point.len;
        Ok(Ok(end))
    }

    pub(super) const fn point(&self) -> Point {
        self.point
    }

    /// Writes until nobody can ask for it any more.
    pub(super) fn run(
        mut self,
        mut queue: mpsc::Receiver<Job>,
        told: &watch::Sender<Point>,
        tell_writable: impl Fn(bool),
    ) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match queue.blocking_recv() {
                    Some(job) => waiting.push_back(job),
                    None => return,
                }
            }
            while waiting.len() < GROUP {
                match queue.try_recv() {
                    Ok(job) => waiting.push_back(job),
                    Err(_) => break,
                }
            }
            let before = self.writable;
            self.commit(&mut waiting, told);
            if before != self.writable {
                tell_writable(self.writable);
                if self.writable {
                    tracing::info!("the audit log is written again");
                }
            }
        }
    }

    fn failed(&mut self, why: &str) {
        if self.writable {
            tracing::error!(
                "the audit log cannot be written, so nothing is changed any more: {why}"
            );
        }
        self.writable = false;
    }

    /// Whether something new may be let in: there is room for it and for its outcome.
    fn reserve(&mut self) -> Result<(), String> {
        if self.reserved.saturating_sub(self.point.len) >= MARGIN {
            return Ok(());
        }
        let len = self.point.len;
        let get = |bytes| fallocate(&self.file, FallocateFlags::KEEP_SIZE, len, bytes);
        match get(MARGIN + STEP) {
            Ok(()) => self.reserved = len + MARGIN + STEP,
            // Such a file system promises nothing; then the write itself will tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.reserved = u64::MAX,
            Err(e) => return Err(cmdr_link::files::reason(&e.into())),
        }
        Ok(())
    }

    /// Begins the next segment when this one is full. When that fails, this one goes on.
    fn rotate(&mut self) {
        let now = clock::now_ms().max(self.last_ms);
        let old = now.saturating_sub(self.begun_ms) >= DAY_MS;
        let empty = self.point.len == chain::HEAD as u64;
        if empty || (self.point.len < self.settings.segment && !old) {
            return;
        }
        let head = Head {
            number: self.point.segment + 1,
            first_seq: self.point.seq + 1,
            at_ms: now,
            before: self.point.hash,
        };
        match create(&self.dir, &self.key, &head) {
            Ok((file, point)) => {
                // Gives back what was reserved behind the end of the old one.
                self.file.set_len(self.point.len).ok();
                self.file = file;
                self.point = point;
                self.reserved = point.len;
                self.begun_ms = now;
            }
            Err(e) => tracing::warn!("the audit log's next segment: {e}"),
        }
    }

    /// Commits as many of those who wait as go into one group, and tells them.
    fn commit(&mut self, waiting: &mut VecDeque<Job>, told: &watch::Sender<Point>) {
        self.rotate();
        let mut room = None;
        let (mut bytes, mut done) = (Vec::new(), Vec::new());
        let mut point = self.point;
        let now = clock::now_ms().max(self.last_ms);
        while bytes.len() < GROUP_BYTES {
            let Some(mut job) = waiting.pop_front() else { break };
            if job.opens
                && let Err(why) = room.get_or_insert_with(|| self.reserve())
            {
                let why = why.clone();
                self.failed(&why);
                answer(job.done, Err(AuditError::Unwritable(why)));
                continue;
            }
            job.record.seq = point.seq + 1;
            job.record.at_ms = now;
            match chain::push(&mut bytes, &self.key, &point.hash, &job.record) {
                Ok(hash) => {
                    point.hash = hash;
                    point.seq += 1;
                    done.push((job.done, point.seq));
                }
                Err(why) => answer(job.done, Err(AuditError::Unwritable(why))),
            }
        }
        if done.is_empty() {
            return;
        }
        let written =
            self.file.write_all_at(&bytes, point.len).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // Nothing of it may stay: nobody is told that it was written. If even this fails, the
            // next group overwrites it, or the next start cuts it off.
            if self.file.set_len(self.point.len).is_ok() {
                self.reserved = self.point.len;
            }
            let why = cmdr_link::files::reason(&e);
            self.failed(&why);
            for (done, _) in done {
                answer(done, Err(AuditError::Unwritable(why.clone())));
            }
            return;
        }
        // While the disk is full, only what fits into the reserve is written; that is not well yet.
        self.writable = !matches!(room, Some(Err(_))) && (self.writable || room.is_some());
        point.len += bytes.len() as u64;
        self.point = point;
        self.last_ms = now;
        told.send_replace(point);
        for (done, seq) in done {
            answer(done, Ok(seq));
        }
    }
}

fn answer(
    done: Option<tokio::sync::oneshot::Sender<Result<u64, AuditError>>>,
    result: Result<u64, AuditError>,
) {
    // A caller that gave up meanwhile does not want to know.
    if let Some(done) = done {
        drop(done.send(result));
    }
}

/// The end of a segment as it was found.
struct End {
    file: File,
    point: Point,
    /// Bytes behind it that are no record.
    left: u64,
    begun_ms: u64,
    last_ms: u64,
}
