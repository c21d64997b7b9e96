//! The write-ahead log: what is hot is also here, so that a crash costs no more than what came after
//! the last `fdatasync`. The store collects entries and appends them as one frame; opening reads them back.
//!
//! A frame is `magic, length, number, checksum` (four bytes each, little endian) and entries. It is
//! always written at the end of what is known to be durable, so one that a full disk has cut short is
//! written over by the next attempt.

use crate::codec::{Broken, put, take, take_below, take_bytes};
use crate::head::{Generation, Head, entry};
use crate::names::{self, Names};
use crate::{Error, NameId, Source};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"CHl1";
const HEADER: usize = 16;
/// The longest frame that is believed.
const FRAME_MAX: usize = 64 << 20;
/// The longest log file that is read.
const FILE_MAX: u64 = 1 << 30;
/// After so many rows of a source one is written whole, so that damage in the middle of a file costs
/// no more than these.
pub(crate) const WHOLE_EVERY: u32 = 64;
/// A source whose entry is missing.
const UNKNOWN: Source = [0; 16];
/// So many series of one source in one row at most.
pub(crate) const ROW_MAX: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    pub(crate) path: PathBuf,
    /// Bytes that are known to be on disk.
    pub(crate) durable: u64,
    number: u32,
}

pub(crate) fn path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("log-{sequence:016x}"))
}

impl Log {
    pub(crate) fn create(dir: &Path, sequence: u64) -> Result<Self, Error> {
        let path = path(dir, sequence);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io("creating the log", &path))?;
        crate::sync_folder(dir)?;
        Ok(Self { file, path, durable: 0, number: 0 })
    }

    /// Goes on at the end of a file that has been read.
    fn resume(path: &Path, durable: u64, number: u32) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(Error::io("opening the log", path))?;
        file.set_len(durable).map_err(Error::io("cutting the torn end of the log", path))?;
        Ok(Self { file, path: path.to_owned(), durable, number })
    }

    /// Puts entries on disk. After an error the same entries, or more, are to be given again.
    pub(crate) fn append(&mut self, entries: &[u8]) -> Result<(), Error> {
        let mut frame = Vec::with_capacity(HEADER + entries.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        frame.extend_from_slice(&self.number.to_le_bytes());
        frame
            .extend_from_slice(&checksum(entries.len() as u32, self.number, entries).to_le_bytes());
        frame.extend_from_slice(entries);
        self.file
            .write_all_at(&frame, self.durable)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::io("writing the log", &self.path))?;
        self.durable += frame.len() as u64;
        self.number = self.number.wrapping_add(1);
        Ok(())
    }
}

fn checksum(len: u32, number: u32, entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(entries);
    hasher.finalize()
}

/// What a log file had.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) generation: Generation,
    /// To go on writing to the same file; not after damage.
    pub(crate) log: Option<Log>,
    /// Bytes at the end that were not a whole frame: what a crash interrupted.
    pub(crate) torn: u64,
    /// Places in the middle that could not be read.
    pub(crate) damaged: u64,
}

/// Reads a log file. What cannot be read is left out and counted.
pub(crate) fn replay(path: &Path, sequence: u64, names: &mut Names) -> Result<Replayed, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes))
        .map_err(Error::io("reading the log", path))?;
    let mut replay = Replay {
        generation: Generation::new(sequence),
        names,
        local: HashMap::new(),
        whole: Vec::new(),
        epoch: 0,
        values: Vec::new(),
        ids: Vec::new(),
    };
    let (mut at, mut end, mut number, mut damaged) = (0, 0, 0u32, 0);
    while at < bytes.len() {
        let Some((found, n, entries)) = next_frame(&bytes, at) else { break };
        if found > at || n != number {
            damaged += 1;
            replay.epoch += 1;
        }
        if replay.entries(entries).is_err() {
            damaged += 1;
            replay.epoch += 1;
        }
        number = n.wrapping_add(1);
        at = found + HEADER + entries.len();
        end = at;
    }
    let torn = (bytes.len() - end) as u64;
    let generation = replay.generation;
    let log = match damaged {
        0 => Some(Log::resume(path, end as u64, number)?),
        _ => None,
    };
    Ok(Replayed { generation, log, torn, damaged })
}

/// The first frame at or after `at` whose checksum is right.
fn next_frame(bytes: &[u8], at: usize) -> Option<(usize, u32, &[u8])> {
    let mut from = at;
    loop {
        from += bytes.get(from..)?.windows(MAGIC.len()).position(|w| w == MAGIC)?;
        let header = bytes.get(from..from + HEADER)?;
        let word =
            |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let (len, number) = (word(4), word(8));
        let entries = from + HEADER..(from + HEADER).saturating_add(len as usize);
        if len as usize <= FRAME_MAX
            && let Some(entries) = bytes.get(entries)
            && checksum(len, number, entries) == word(12)
        {
            return Some((from, number, entries));
        }
        from += 1;
    }
}

struct Replay<'a> {
    generation: Generation,
    names: &'a mut Names,
    local: HashMap<u32, NameId>,
    /// For each source since which damage its rows can be read again.
    whole: Vec<u32>,
    epoch: u32,
    values: Vec<i64>,
    ids: Vec<NameId>,
}

impl Replay<'_> {
    fn entries(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        let mut unused = Vec::new();
        while let Some((tag, rest)) = bytes.split_first() {
            bytes = rest;
            match *tag {
                entry::NAME => {
                    let wire = u32::try_from(take(&mut bytes)?).map_err(|_| Broken)?;
                    let id = names::read(&mut bytes, self.names)?;
                    self.local.insert(wire, id);
                    self.generation.wire.insert(id, wire);
                }
                entry::SCHEMA => {
                    let wire = take_below(&mut bytes, 1 << 24)? as u32;
                    let source: Source =
                        take_bytes(&mut bytes, 16)?.try_into().map_err(|_| Broken)?;
                    let n = take_below(&mut bytes, ROW_MAX + 1)?;
                    self.ids.clear();
                    for _ in 0..n {
                        let wire = u32::try_from(take(&mut bytes)?).map_err(|_| Broken)?;
                        // A name that damage has taken cannot be guessed; nor can what follows it.
                        self.ids.push(*self.local.get(&wire).ok_or(Broken)?);
                    }
                    // Sources are numbered as they come; where one is missing, damage has it.
                    let heads = &mut self.generation.heads;
                    let place = wire as usize;
                    if place > heads.len() + (1 << 16) {
                        return Err(Broken);
                    }
                    while heads.len() <= place {
                        heads.push((UNKNOWN, Head::default()));
                    }
                    if heads[place].0 == UNKNOWN {
                        heads[place].0 = source;
                    } else if heads[place].0 != source {
                        return Err(Broken);
                    }
                    self.generation.places.insert(source, wire);
                    self.whole.resize(self.generation.heads.len(), u32::MAX);
                    self.generation.heads[wire as usize].1.set_schema(&self.ids);
                }
                entry::ROW | entry::WHOLE => {
                    let whole = *tag == entry::WHOLE;
                    let place = take_below(&mut bytes, self.generation.heads.len())?;
                    let head = &mut self.generation.heads[place].1;
                    let at_ms = head.read_row(&mut bytes, whole, &mut self.values)?;
                    if whole {
                        self.whole[place] = self.epoch;
                    }
                    if self.whole[place] == self.epoch {
                        unused.clear();
                        head.push(at_ms, &self.values, whole, &mut unused);
                    }
                }
                _ => return Err(Broken),
            }
        }
        Ok(())
    }
}

/// Appends the entry that gives a name its number in this file.
pub(crate) fn write_name(out: &mut Vec<u8>, wire: u32, name: &names::Name) {
    out.push(entry::NAME);
    put(out, u64::from(wire));
    names::write(out, name);
}

/// Appends the entry that says which series the next rows of a source have.
pub(crate) fn write_schema(
    out: &mut Vec<u8>,
    place: u32,
    source: &Source,
    wires: impl ExactSizeIterator<Item = u32>,
) {
    out.push(entry::SCHEMA);
    put(out, u64::from(place));
    out.extend_from_slice(source);
    put(out, wires.len() as u64);
    for wire in wires {
        put(out, u64::from(wire));
    }
}
