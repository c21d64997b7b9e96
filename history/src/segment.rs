//! A segment: a file of blocks with an index behind them, written beside its place and renamed, never
//! changed after that, dropped by unlink. Written by checkpoints, thinning and purges; read by queries.
//!
//! `magic · blocks · index · trailer`; the index has the names of the file, its blocks in order of
//! their sources, and the stretch of time that the file stands for.

use crate::block::{self, Directory, Listed};
use crate::codec::{Broken, put, put_after, take, take_after, take_below, take_bytes};
use crate::names::{self, NameId, Names};
use crate::rows::{Points, Rows};
use crate::{Error, Source};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;

const MAGIC: [u8; 8] = *b"CHseg-01";
/// The index's place, its length, its checksum, the magic again.
const TRAILER: usize = 8 + 4 + 4 + 8;
const INDEX_MAX: u32 = 256 << 20;
/// Blocks up to this size are read at once, larger ones column by column.
const AT_ONCE: u32 = 48 << 10;
const BLOCK_MAX: u32 = 1 << 30;

/// Where a block is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) source: Source,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    offset: u64,
    len: u32,
    directory: u32,
    /// Values in it: samples, or in thinned tiers what stands for many.
    pub(crate) values: u32,
}

impl Entry {
    pub(crate) fn bytes(&self) -> u64 {
        self.len.into()
    }
}

/// A file that is open for queries.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) tier: usize,
    pub(crate) sequence: u64,
    /// The stretch of time that it stands for; of raw ones that of their samples.
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) bytes: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) names: Vec<NameId>,
    /// Blocks and columns that were not what was written, by their offsets: said once each.
    damaged: Mutex<Vec<u64>>,
}

pub(crate) fn path(dir: &Path, tier: usize, sequence: u64) -> PathBuf {
    dir.join(format!("tier{tier}-{sequence:016x}"))
}

impl Segment {
    /// Opens a segment. `Ok(None)` when its index is not what was written.
    pub(crate) fn open(
        path: &Path,
        tier: usize,
        sequence: u64,
        names: &mut Names,
    ) -> Result<Option<Self>, Error> {
        let file = File::open(path).map_err(Error::io("opening a segment", path))?;
        let bytes = file.metadata().map_err(Error::io("looking at a segment", path))?.len();
        let Some(at) = bytes.checked_sub(TRAILER as u64) else { return Ok(None) };
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, at).map_err(Error::io("reading a segment", path))?;
        let mut offset = [0; 8];
        offset.copy_from_slice(&trailer[..8]);
        let offset = u64::from_le_bytes(offset);
        let word = |i: usize| {
            u32::from_le_bytes([trailer[i], trailer[i + 1], trailer[i + 2], trailer[i + 3]])
        };
        let (len, sum) = (word(8), word(12));
        if trailer[16..] != MAGIC || len > INDEX_MAX || offset.checked_add(len.into()) != Some(at) {
            return Ok(None);
        }
        let mut index = vec![0; len as usize];
        file.read_exact_at(&mut index, offset).map_err(Error::io("reading a segment", path))?;
        if crc32fast::hash(&index) != sum {
            return Ok(None);
        }
        let mut segment = Self {
            file,
            path: path.to_owned(),
            tier,
            sequence,
            from: 0,
            to: 0,
            bytes,
            entries: Vec::new(),
            names: Vec::new(),
            damaged: Mutex::default(),
        };
        Ok(segment.read_index(&index, names).is_ok().then_some(segment))
    }

    fn read_index(&mut self, mut bytes: &[u8], names: &mut Names) -> Result<(), Broken> {
        self.from = take_after(&mut bytes, 0)?;
        self.to = take_after(&mut bytes, 0)?;
        for _ in 0..take_below(&mut bytes, names::NAMES_MAX + 1)? {
            self.names.push(names::read(&mut bytes, names)?);
        }
        let word = |bytes: &mut &[u8], limit: u32| -> Result<u32, Broken> {
            u32::try_from(take(bytes)?).ok().filter(|n| *n <= limit).ok_or(Broken)
        };
        let count = take_below(&mut bytes, 1 << 24)?;
        for _ in 0..count {
            let source = take_bytes(&mut bytes, 16)?.try_into().map_err(|_| Broken)?;
            let first_ms = take_after(&mut bytes, self.from)?;
            self.entries.push(Entry {
                source,
                first_ms,
                last_ms: take_after(&mut bytes, first_ms)?,
                offset: take(&mut bytes)?,
                len: word(&mut bytes, BLOCK_MAX)?,
                directory: word(&mut bytes, BLOCK_MAX)?,
                values: word(&mut bytes, u32::MAX)?,
            });
        }
        self.entries.shrink_to_fit();
        Ok(())
    }

    /// The blocks of a source.
    pub(crate) fn of(&self, source: &Source) -> &[Entry] {
        let from = self.entries.partition_point(|e| e.source < *source);
        let n = self.entries[from..].partition_point(|e| e.source == *source);
        &self.entries[from..from + n]
    }

    /// So many places of it could not be read until now.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn quarantine(&self, offset: u64) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if !damaged.contains(&offset) && damaged.len() < 1 << 16 {
            damaged.push(offset);
        }
    }

    fn bytes_at(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> Result<(), Broken> {
        if into.len() < len {
            into.resize(len, 0);
        }
        self.file.read_exact_at(&mut into[..len], offset).map_err(|_| Broken)
    }

    /// What a block has; of its series those that are wanted.
    pub(crate) fn directory(&self, entry: &Entry, wanted: Option<&[NameId]>) -> Option<Directory> {
        let mut bytes = Vec::new();
        let read = self.bytes_at(entry.offset, entry.directory as usize, &mut bytes);
        let found =
            read.and_then(|()| block::directory(&bytes, entry.len as usize, &self.names, wanted));
        found.map_err(|_| self.quarantine(entry.offset)).ok()
    }

    /// The series of a block that are wanted, and of these the columns that `needs` says for a name.
    /// What is damaged is left out.
    pub(crate) fn read(
        &self,
        entry: &Entry,
        wanted: Option<&[NameId]>,
        needs: impl Fn(NameId) -> u8,
        Scratch { whole, part }: &mut Scratch,
    ) -> Option<Rows> {
        let first = if entry.len <= AT_ONCE { entry.len } else { entry.directory };
        let directory = self
            .bytes_at(entry.offset, first as usize, whole)
            .and_then(|()| whole.get(..entry.directory as usize).ok_or(Broken))
            .and_then(|bytes| block::directory(bytes, entry.len as usize, &self.names, wanted));
        let Ok(directory) = directory else {
            self.quarantine(entry.offset);
            return None;
        };
        let mut column = |(at, len): block::Place, n: usize| {
            let read = match whole[..first as usize].get(at..at + len) {
                Some(bytes) => block::column(bytes, n),
                None => self
                    .bytes_at(entry.offset + at as u64, len, part)
                    .and_then(|()| block::column(&part[..len], n)),
            };
            if read.is_err() {
                self.quarantine(entry.offset + at as u64);
            }
            read
        };
        if directory.series.is_empty() {
            return Some(Rows::default());
        }
        let times = column(directory.times, directory.rows).ok()?;
        let mut rows = Rows { times, series: Vec::with_capacity(directory.series.len()) };
        for listed in directory.series {
            let (n, needs) = (listed.values(), needs(listed.name));
            let columns: Result<Vec<_>, Broken> = listed
                .columns
                .iter()
                .enumerate()
                .map(|(i, p)| if needs >> i & 1 == 1 { column(*p, n) } else { Ok(Vec::new()) })
                .collect();
            if let Ok(columns) = columns {
                rows.series.push(block::series(listed, columns));
            }
        }
        Some(rows)
    }

    /// Bytes that the columns of a series take.
    pub(crate) fn bytes_of(listed: &Listed) -> u64 {
        listed.columns.iter().map(|(_, len)| *len as u64).sum()
    }
}

/// Memory for bytes that are read, used again for the next block.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    whole: Vec<u8>,
    part: Vec<u8>,
}

/// One series of rows that were read, alone.
pub(crate) fn points(mut rows: Rows) -> Option<Points> {
    let series = rows.series.pop()?;
    Some(rows.points(series))
}

/// Writes a segment.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    beside: PathBuf,
    place: PathBuf,
    tier: usize,
    sequence: u64,
    offset: u64,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    names: Vec<NameId>,
    local: HashMap<NameId, u64>,
}

/// Bytes are written when so many have come together.
const BUFFER: usize = 256 << 10;

impl Writer {
    pub(crate) fn create(dir: &Path, tier: usize, sequence: u64) -> Result<Self, Error> {
        let place = path(dir, tier, sequence);
        let beside = place.with_extension("new");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)
            .map_err(Error::io("creating a segment", &beside))?;
        Ok(Self {
            file,
            beside,
            place,
            tier,
            sequence,
            offset: 0,
            buffer: MAGIC.to_vec(),
            entries: Vec::new(),
            names: Vec::new(),
            local: HashMap::new(),
        })
    }

    /// Adds what a source has, in order of time and nothing twice.
    pub(crate) fn add(&mut self, source: Source, rows: &Rows) -> Result<(), Error> {
        let (Some(first), Some(last)) = (rows.times.first(), rows.times.last()) else {
            return Ok(());
        };
        if rows.series.is_empty() {
            return Ok(());
        }
        let begin = self.buffer.len();
        let (names, local) = (&mut self.names, &mut self.local);
        let directory = block::write(
            rows,
            |name| {
                *local.entry(name).or_insert_with(|| {
                    names.push(name);
                    names.len() as u64 - 1
                })
            },
            &mut self.buffer,
        );
        self.entries.push(Entry {
            source,
            first_ms: *first,
            last_ms: *last,
            offset: self.offset + begin as u64,
            len: (self.buffer.len() - begin) as u32,
            directory,
            values: u32::try_from(rows.values()).unwrap_or(u32::MAX),
        });
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.write_all(&self.buffer).map_err(Error::io("writing a segment", &self.beside))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts the file in its place. `window` is the stretch that it stands for; without one, that of
    /// its samples.
    pub(crate) fn finish(
        mut self,
        window: Option<(i64, i64)>,
        names: &Mutex<crate::store::Shared>,
    ) -> Result<Segment, Error> {
        self.entries.sort_by_key(|e| (e.source, e.first_ms));
        let (from, to) = window.unwrap_or_else(|| {
            let first = self.entries.iter().map(|e| e.first_ms).min().unwrap_or_default();
            (first, self.entries.iter().map(|e| e.last_ms + 1).max().unwrap_or_default())
        });
        let at = self.offset + self.buffer.len() as u64;
        let begin = self.buffer.len();
        let out = &mut self.buffer;
        put_after(out, 0, from);
        put_after(out, 0, to);
        put(out, self.names.len() as u64);
        {
            let shared = names.lock().unwrap_or_else(PoisonError::into_inner);
            for name in self.names.iter().filter_map(|id| shared.names.get(*id)) {
                names::write(out, name);
            }
        }
        put(out, self.entries.len() as u64);
        for e in &self.entries {
            out.extend_from_slice(&e.source);
            put_after(out, from, e.first_ms);
            put_after(out, e.first_ms, e.last_ms);
            for n in [e.offset, e.len.into(), e.directory.into(), e.values.into()] {
                put(out, n);
            }
        }
        let len = (self.buffer.len() - begin) as u32;
        let sum = crc32fast::hash(&self.buffer[begin..]);
        self.buffer.extend_from_slice(&at.to_le_bytes());
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.buffer.extend_from_slice(&MAGIC);
        self.flush()?;
        self.file.sync_all().map_err(Error::io("writing a segment", &self.beside))?;
        std::fs::rename(&self.beside, &self.place)
            .map_err(Error::io("putting a segment in its place", &self.place))?;
        if let Some(dir) = self.place.parent() {
            crate::sync_folder(dir)?;
        }
        let bytes = self.offset;
        self.entries.shrink_to_fit();
        let file = File::open(&self.place).map_err(Error::io("opening a segment", &self.place))?;
        Ok(Segment {
            file,
            path: std::mem::take(&mut self.place),
            tier: self.tier,
            sequence: self.sequence,
            from,
            to,
            bytes,
            entries: std::mem::take(&mut self.entries),
            names: std::mem::take(&mut self.names),
            damaged: Mutex::default(),
        })
    }
}

impl Drop for Writer {
    /// What was not put in its place is of no use; opening the store removes what is left even so.
    fn drop(&mut self) {
        std::fs::remove_file(&self.beside).ok();
    }
}
