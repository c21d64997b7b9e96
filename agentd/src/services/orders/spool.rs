//! The output of one order: its beginning as it comes, its end as a ring, and how much is missing between them.
//!
//! A little is kept in memory and goes into the journal with the end of the order; more goes to a file of its own.
//! Either is the same row of pieces: a kind, a length, the bytes. A program never waits for who reads this.

use cmdr_link::files::private_dir;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that stay in memory.
const INLINE: usize = 16 * 1024;
/// Kind and length before each piece.
const HEAD: usize = 5;
/// What all outputs on this host's disk may have together.
pub(super) const MOST: u64 = 1 << 30;

/// Which of the outputs a piece is of; or that something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stdout,
    Stderr,
    Gap,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
            Self::Gap => 2,
        }
    }
}

/// What is left of an output when its order has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// The row of pieces, if it is a short one.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub(super) row: Vec<u8>,
    /// Its length in the file, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<u64>,
}

/// The folder of the files, and how much is in it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
    used: Arc<AtomicU64>,
}

impl Store {
    /// Of a folder, in which only the files of these orders stay.
    pub(super) fn open(dir: PathBuf, keep: impl Fn(&str) -> bool) -> Self {
        let mut used = 0;
        for entry in std::fs::read_dir(&dir).into_iter().flatten().map_while(Result::ok) {
            if entry.file_name().to_str().is_some_and(&keep) {
                used += entry.metadata().map_or(0, |meta| meta.len());
            } else if let Err(e) = std::fs::remove_file(entry.path()) {
                tracing::warn!("removing {}: {e}", entry.path().display());
            }
        }
        Self { dir, used: Arc::new(AtomicU64::new(used)) }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// What an agent that was killed had written of an output: all whole pieces.
    pub(super) fn found(&self, id: &str) -> Kept {
        let Ok(file) = File::open(self.path(id)) else { return Kept::default() };
        let length = file.metadata().map_or(0, |meta| meta.len());
        let row = Row { mem: Vec::new(), file: Some(Arc::new(file)), len: length };
        Kept { row: Vec::new(), file: Some(row.whole().0.row).filter(|len| *len > 0) }
    }

    /// Takes a file away, if there is one.
    pub(super) fn remove(&self, id: &str) {
        let path = self.path(id);
        let Ok(meta) = path.metadata() else { return };
        if std::fs::remove_file(&path).is_ok() {
            let less = |used: u64| Some(used.saturating_sub(meta.len()));
            self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
        }
    }
}

/// A row of pieces, in memory or in a file.
#[derive(Debug, Default)]
struct Row {
    mem: Vec<u8>,
    file: Option<Arc<File>>,
    len: u64,
}

/// How far somebody has read a row: in its bytes, and in those of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: u64,
    pub(super) at: u64,
    /// So much of the piece that begins there is read already.
    skip: u32,
}

/// A piece that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) at: u64,
    pub(super) data: Vec<u8>,
    pub(super) next: Place,
}

impl Row {
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        if let Some(file) = &self.file {
            return file.read_exact_at(into, at);
        }
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.mem.get(at..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Where the last whole piece ends, and how many bytes of the program are before that.
    fn whole(&self) -> (Place, u64) {
        let (mut place, mut bytes) = (Place::default(), 0);
        while let Ok(Some(piece)) = self.piece(place, usize::MAX, false) {
            if piece.kind != Kind::Gap {
                bytes += piece.next.at - piece.at;
            }
            place = piece.next;
        }
        (place, bytes)
    }

    /// The piece at a place, at most `most` bytes of it; none at the end. Without `data` it is only looked at.
    fn piece(&self, place: Place, most: usize, data: bool) -> io::Result<Option<Piece>> {
        if place.row + HEAD as u64 > self.len {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        self.read(place.row, &mut head)?;
        let [kind, a, b, c, d] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        let whole =
            Place { row: place.row + HEAD as u64 + u64::from(length), at: place.at, skip: 0 };
        if whole.row > self.len {
            return Ok(None);
        }
        let kind = match kind {
            0 => Kind::Stdout,
            1 => Kind::Stderr,
            2 => {
                let mut gap = [0; 8];
                self.read(place.row + HEAD as u64, &mut gap)?;
                let next = Place { at: place.at + u64::from_le_bytes(gap), ..whole };
                return Ok(Some(Piece { kind: Kind::Gap, at: place.at, data: Vec::new(), next }));
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let left = length.saturating_sub(place.skip);
        let take = left.min(u32::try_from(most).unwrap_or(u32::MAX));
        let mut bytes = vec![0; if data { take as usize } else { 0 }];
        self.read(place.row + HEAD as u64 + u64::from(place.skip), &mut bytes)?;
        let at = place.at + u64::from(take);
        let next = if take == left {
            Place { at, ..whole }
        } else {
            Place { at, skip: place.skip + take, ..place }
        };
        Ok(Some(Piece { kind, at: place.at, data: bytes, next }))
    }
}

/// The output of one order.
#[derive(Debug)]
pub(super) struct Spool {
    id: String,
    store: Store,
    row: Row,
    /// Bytes of the beginning that are kept, and of the end.
    head: u64,
    tail: u64,
    /// Bytes of the program that are in the row.
    kept: u64,
    /// The end, while it is not known to be the end.
    ring: VecDeque<(Kind, Vec<u8>)>,
    ringed: u64,
    /// Bytes that went out of the ring, or never fitted in.
    gap: u64,
    total: u64,
    over: bool,
}

impl Spool {
    /// For an order of which so many bytes are kept.
    pub(super) fn new(store: &Store, id: &str, limit: u64) -> Self {
        let tail = limit / 4;
        Self {
            id: id.to_owned(),
            store: store.clone(),
            row: Row::default(),
            head: limit - tail,
            tail,
            kept: 0,
            ring: VecDeque::new(),
            ringed: 0,
            gap: 0,
            total: 0,
            over: false,
        }
    }

    /// That of an order which has ended.
    pub(super) fn of(store: &Store, id: &str, kept: Kept, total: u64) -> Self {
        let mut spool = Self::new(store, id, 0);
        let file = kept.file.and_then(|_| File::open(store.path(id)).ok()).map(Arc::new);
        let (length, there) = match (&file, kept.file) {
            (Some(file), Some(length)) => (length, file.metadata().map_or(0, |meta| meta.len())),
            (None, Some(length)) => (length, 0),
            _ => (kept.row.len() as u64, u64::MAX),
        };
        spool.row = Row { mem: kept.row, file, len: length.min(there) };
        if there < length {
            // The host went down before all of it was on disk: the file may end in the middle of a piece.
            let (whole, bytes) = spool.row.whole();
            spool.row.len = whole.row;
            spool.gap = total.saturating_sub(bytes);
        }
        (spool.total, spool.over) = (total, true);
        spool
    }

    /// Bytes that the program has written.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Takes what a program wrote.
    pub(super) fn put(&mut self, kind: Kind, mut data: &[u8]) {
        self.total += data.len() as u64;
        if self.gap == 0 && self.ring.is_empty() {
            let fits = usize::try_from(self.head.saturating_sub(self.kept)).unwrap_or(usize::MAX);
            let (now, later) = data.split_at(fits.min(data.len()));
            if now.is_empty() || self.append(kind, now) {
                data = later;
            }
        }
        if data.is_empty() {
            return;
        }
        let longest = usize::try_from(self.tail).unwrap_or(usize::MAX);
        let over = data.len().saturating_sub(longest);
        if over > 0 {
            // Longer than the ring alone: all that was in it goes.
            self.gap += self.ringed + over as u64;
            (self.ringed, data) = (0, &data[over..]);
            self.ring.clear();
        }
        if data.is_empty() {
            return;
        }
        match self.ring.back_mut() {
            Some((last, bytes)) if *last == kind && bytes.len() < 4096 => bytes.extend(data),
            _ => self.ring.push_back((kind, data.to_vec())),
        }
        self.ringed += data.len() as u64;
        while self.ringed > self.tail {
            let Some((_, first)) = self.ring.front_mut() else { break };
            let excess = usize::try_from(self.ringed - self.tail).unwrap_or(usize::MAX);
            let gone = excess.min(first.len());
            if gone == first.len() {
                self.ring.pop_front();
            } else {
                first.drain(..gone);
            }
            self.ringed -= gone as u64;
            self.gap += gone as u64;
        }
    }

    /// The program writes no more.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let ring = std::mem::take(&mut self.ring);
        if self.gap > 0 && !self.write(Kind::Gap, &self.gap.to_le_bytes()) {
            self.gap += self.ringed;
            return;
        }
        let mut left = self.ringed;
        for (kind, bytes) in ring {
            if !self.append(kind, &bytes) {
                self.gap += left;
                return;
            }
            left -= bytes.len() as u64;
        }
    }

    /// Bytes that were not kept.
    pub(super) const fn lost(&self) -> u64 {
        self.gap
    }

    /// Adds to the row; false when there is no room for it on the disk.
    fn append(&mut self, kind: Kind, data: &[u8]) -> bool {
        let written = self.write(kind, data);
        if written {
            self.kept += data.len() as u64;
        }
        written
    }

    fn write(&mut self, kind: Kind, data: &[u8]) -> bool {
        let Ok(length) = u32::try_from(data.len()) else { return false };
        let head = length.to_le_bytes();
        let size = (HEAD + data.len()) as u64;
        if self.row.file.is_none() && self.row.mem.len() + HEAD + data.len() <= INLINE {
            self.row.mem.push(kind.byte());
            self.row.mem.extend(head);
            self.row.mem.extend(data);
            self.row.len += size;
            return true;
        }
        let piece = [&[kind.byte()], &head[..], data].concat();
        let written = self.file().and_then(|file| {
            if self.store.used.load(Ordering::Relaxed) + size > MOST {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.write_all_at(&piece, self.row.len)
        });
        match written {
            Ok(()) => {
                self.row.len += size;
                self.store.used.fetch_add(size, Ordering::Relaxed);
                true
            }
            Err(e) => {
                tracing::debug!(id = self.id, "output of an order is not kept: {e}");
                false
            }
        }
    }

    /// The file; what was in memory goes there first.
    fn file(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.row.file {
            return Ok(file.clone());
        }
        private_dir(&self.store.dir)?;
        let path = self.store.path(&self.id);
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        if let Err(e) = file.write_all_at(&self.row.mem, 0) {
            std::fs::remove_file(&path).ok();
            return Err(e);
        }
        self.store.used.fetch_add(self.row.len, Ordering::Relaxed);
        let file = Arc::new(file);
        self.row.mem = Vec::new();
        self.row.file = Some(file.clone());
        Ok(file)
    }

    /// What the journal keeps of it.
    pub(super) fn kept(&self) -> Kept {
        match self.row.file {
            Some(_) => Kept { row: Vec::new(), file: Some(self.row.len) },
            None => Kept { row: self.row.mem.clone(), file: None },
        }
    }

    /// Brings what is in memory to a file.
    pub(super) fn put_aside(&mut self) {
        if !self.row.mem.is_empty()
            && let Err(e) = self.file()
        {
            tracing::debug!(id = self.id, "output of an order stays in memory: {e}");
        }
    }

    /// Where the last piece ends.
    pub(super) fn end(&self) -> u64 {
        self.row.whole().0.at
    }

    /// The file that is to be on disk, if there is one.
    pub(super) fn handle(&self) -> Option<Arc<File>> {
        self.row.file.clone()
    }

    /// The next piece after a place, gaps left out; none when there is no more for now.
    pub(super) fn next(&self, mut place: Place, most: usize) -> (Place, Option<Piece>) {
        loop {
            match self.row.piece(place, most, true) {
                Ok(Some(piece)) if piece.kind == Kind::Gap => place = piece.next,
                Ok(Some(piece)) => return (place, Some(piece)),
                Ok(None) if self.is_torn(place) => {
                    tracing::error!(id = self.id, "the output of an order is damaged");
                    return (Place { row: self.row.len, at: self.total, skip: 0 }, None);
                }
                Ok(None) => return (place, None),
                Err(e) => {
                    tracing::error!(id = self.id, "reading the output of an order: {e}");
                    return (Place { row: self.row.len, at: self.total, skip: 0 }, None);
                }
            }
        }
    }

    /// Whether what follows a place is no piece, and never will be.
    const fn is_torn(&self, place: Place) -> bool {
        self.over && place.row < self.row.len
    }

    /// Where somebody goes on who has all bytes before `at`.
    pub(super) fn seek(&self, at: u64) -> Place {
        let mut place = Place::default();
        while place.at < at {
            let most = usize::try_from(at - place.at).unwrap_or(usize::MAX);
            match self.row.piece(place, most, false) {
                Ok(Some(piece)) => place = piece.next,
                _ => break,
            }
        }
        place
    }

    /// Whether nothing follows this place.
    pub(super) const fn is_end(&self, place: Place) -> bool {
        self.over && place.row >= self.row.len
    }
}

/// Where the files of a state folder are.
pub(super) fn folder(orders: &Path) -> PathBuf {
    orders.join("output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("output"), |_| false);
        (dir, store)
    }

    /// All pieces from a place on: where each begins, and its bytes.
    fn all(spool: &Spool, from: Place, most: usize) -> Vec<(u64, Kind, Vec<u8>)> {
        let (mut place, mut found) = (from, Vec::new());
        while let (_, Some(piece)) = spool.next(place, most) {
            place = piece.next;
            found.push((piece.at, piece.kind, piece.data));
        }
        let (end, _) = spool.next(place, most);
        assert!(spool.is_end(end) || !spool.over);
        found
    }

    #[test]
    fn a_short_output_stays_in_memory_and_a_longer_one_goes_to_a_file() {
        let (dir, store) = store();
        let mut spool = Spool::new(&store, "a", 1 << 20);
        spool.put(Kind::Stdout, b"one");
        spool.put(Kind::Stderr, b"two");
        assert!(spool.handle().is_none());
        let short = spool.kept();
        spool.put(Kind::Stdout, &vec![b'x'; 2 * INLINE]);
        spool.finish();
        assert!(dir.path().join("output/a").exists());
        let pieces = all(&spool, Place::default(), usize::MAX);
        assert_eq!(pieces[0], (0, Kind::Stdout, b"one".to_vec()));
        assert_eq!(pieces[1], (3, Kind::Stderr, b"two".to_vec()));
        assert_eq!((pieces[2].0, pieces[2].2.len()), (6, 2 * INLINE));
        let again = Spool::of(&store, "a", spool.kept(), spool.total());
        assert_eq!(all(&again, Place::default(), usize::MAX), pieces);
        let short = Spool::of(&store, "b", short, 6);
        assert_eq!(all(&short, Place::default(), usize::MAX), pieces[..2]);
        let half = store.found("a");
        assert_eq!(half, spool.kept());
        store.remove("a");
        assert_eq!(store.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn of_an_endless_output_the_beginning_and_the_end_are_kept() {
        let (_dir, store) = store();
        let mut spool = Spool::new(&store, "a", 4000);
        for n in 0..10_000 {
            spool.put(Kind::Stdout, format!("{n:09}\n").as_bytes());
        }
        spool.finish();
        let pieces = all(&spool, Place::default(), usize::MAX);
        let bytes: usize = pieces.iter().map(|(_, _, data)| data.len()).sum();
        assert_eq!((bytes as u64, spool.lost()), (4000, 100_000 - 4000));
        assert_eq!(&pieces[0].2[..10], b"000000000\n");
        let (at, _, last) = pieces.last().unwrap();
        assert_eq!(at + last.len() as u64, 100_000);
        assert!(last.ends_with(b"000009999\n"));
    }

    #[test]
    fn an_output_that_a_power_cut_left_in_the_middle_of_a_piece_is_told_as_far_as_it_is_there() {
        let (dir, store) = store();
        let mut spool = Spool::new(&store, "a", 1 << 20);
        for kind in [Kind::Stdout, Kind::Stderr, Kind::Stdout] {
            spool.put(kind, &vec![b'x'; INLINE]);
        }
        spool.finish();
        let (kept, total) = (spool.kept(), spool.total());
        let path = dir.path().join("output/a");
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 3, HEAD, HEAD + 1, HEAD + INLINE, whole.len() - INLINE - 1, whole.len() - 1]
        {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let again = Spool::of(&store, "a", kept.clone(), total);
            // As it is told: to an end.
            let (mut place, mut told) = (Place::default(), 0);
            while let (_, Some(piece)) = again.next(place, usize::MAX) {
                place = piece.next;
                told += piece.data.len();
            }
            let (place, _) = again.next(place, usize::MAX);
            assert!(again.is_end(place), "cut at {cut}");
            assert_eq!(told, cut / (HEAD + INLINE) * INLINE, "cut at {cut}");
            assert_eq!(again.lost() + told as u64, total, "cut at {cut}");
        }
        // Gone, or no row of pieces at all.
        std::fs::write(&path, vec![1; whole.len()]).unwrap();
        let again = Spool::of(&store, "a", kept.clone(), total);
        assert!(again.is_end(again.next(Place::default(), usize::MAX).0));
        std::fs::remove_file(&path).unwrap();
        let again = Spool::of(&store, "a", kept, total);
        assert!(again.is_end(again.next(Place::default(), usize::MAX).0));
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back_from_any_place(
            writes in proptest::collection::vec((any::<bool>(), 0usize..3000), 0..40),
            limit in 0u64..60_000,
            from in 0u64..60_000,
            most in 1usize..5000,
        ) {
            let (_dir, store) = store();
            let mut spool = Spool::new(&store, "a", limit);
            let mut written = Vec::new();
            for (n, (err, len)) in writes.into_iter().enumerate() {
                let data: Vec<u8> = (0..len).map(|at| (n * 7 + at) as u8).collect();
                spool.put(if err { Kind::Stderr } else { Kind::Stdout }, &data);
                written.extend(data);
            }
            spool.finish();
            prop_assert_eq!(spool.total(), written.len() as u64);
            let mut got = 0;
            for (at, _, data) in all(&spool, Place::default(), most) {
                let at = at as usize;
                prop_assert_eq!(&written[at..at + data.len()], &data[..]);
                prop_assert!(data.len() <= most);
                got += data.len() as u64;
            }
            prop_assert_eq!(got + spool.lost(), spool.total());
            prop_assert_eq!(got, spool.total().min(limit));
            let rest: u64 = all(&spool, spool.seek(from), most).iter().map(|(at, _, data)| {
                assert!(*at >= from, "{at} is before {from}");
                data.len() as u64
            }).sum();
            let before: u64 = all(&spool, Place::default(), 1).iter().filter(|(at, _, _)| *at < from).count() as u64;
            prop_assert_eq!(rest + before, got);
        }
    }
}
