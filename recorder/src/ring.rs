//! The ring on disk. The newest samples are in the file `tail`, one record each, written as they come; when there are
//! thirty of them they become a block at the end of the newest segment. When the bound is reached the oldest segment
//! goes. `recorder` appends, `read` looks.
//!
//! What is appended outlives the process at once, and a crash of the host but for the last half a minute or so.

use crate::block::{self, SAMPLE_MAX, Summary};
use crate::sample::Sample;
use crate::{Error, no_room};
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const TAIL: [u8; 4] = *b"CRt1";
const TAIL_HEADER: usize = 24;
/// Samples of a block: what packing them takes in memory grows with them, and the agent is to be small.
const BLOCK: u32 = 30;
/// Their bytes at most before they are compressed.
const LIVE: usize = block::RAW_MAX - SAMPLE_MAX - 16;
/// Segments that the bound is made of.
const SEGMENTS: u64 = 25;
/// The least bound.
pub(crate) const KEEP_MIN: u64 = 2 << 20;

/// A ring of samples in a folder. One process writes it at a time: that is up to whoever opens it.
#[derive(Debug)]
pub struct Ring {
    pub(crate) dir: PathBuf,
    keep: u64,
    state: Mutex<State>,
}

/// How the ring is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Places on disk that were not what was written, and were passed over.
    pub damaged: u64,
    /// Samples that were not kept on disk because it could not be written.
    pub lost: u64,
    /// Old segments that went before their time because the disk was full.
    pub squeezed: u64,
    /// The disk has no room now.
    pub full: bool,
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The oldest sample, milliseconds since 1970; 0 when there is none.
    pub from_ms: u64,
    /// The newest.
    pub to_ms: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes it may be at most.
    pub keep: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) length: u64,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    pub(crate) samples: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) segments: VecDeque<Segment>,
    newest: Option<File>,
    tail: Option<File>,
    tail_length: u64,
    /// What becomes the next block.
    pub(crate) live: Vec<u8>,
    pub(crate) summary: Summary,
    pub(crate) health: Health,
}

pub(crate) fn path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("segment-{sequence:016x}"))
}

fn create(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(Error::io("opening", path))
}

impl Ring {
    /// Opens the ring of a folder, which is made for the owner alone; at most `keep` bytes are kept in it.
    pub fn open(dir: &Path, keep: u64) -> Result<Self, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(Error::io("making the folder", dir))?;
        let mut segments = Vec::new();
        let entries = std::fs::read_dir(dir).map_err(Error::io("listing", dir))?;
        for entry in entries {
            let name = entry.map_err(Error::io("listing", dir))?.file_name();
            let sequence = name.to_str().and_then(|name| name.strip_prefix("segment-"));
            segments.extend(sequence.and_then(|text| u64::from_str_radix(text, 16).ok()));
        }
        segments.sort_unstable();
        let mut state = State {
            segments: VecDeque::new(),
            newest: None,
            tail: None,
            tail_length: 0,
            live: Vec::new(),
            summary: Summary::default(),
            health: Health::default(),
        };
        for sequence in segments {
            let segment = open_segment(dir, sequence, &mut state.health)?;
            state.segments.push_back(segment);
        }
        let ring = Self { dir: dir.to_owned(), keep: keep.max(KEEP_MIN), state: Mutex::new(state) };
        ring.recover()?;
        Ok(ring)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was appended and had not become a block.
    fn recover(&self) -> Result<(), Error> {
        let path = self.dir.join("tail");
        let mut file = create(&path)?;
        let mut bytes = Vec::new();
        let most = (2 * block::RAW_MAX) as u64;
        std::io::Read::by_ref(&mut file)
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(Error::io("reading", &path))?;
        let mut state = self.lock();
        state.tail = Some(file);
        // A process that ended between writing a block and clearing the tail has left the same twice.
        let written = tail_header(&bytes).is_some_and(|(sequence, length)| {
            let mut segments = state.segments.iter();
            segments.any(|segment| segment.sequence == sequence && segment.length > length)
                || state.segments.back().is_some_and(|newest| newest.sequence > sequence)
        });
        let mut rest = bytes.get(TAIL_HEADER..).filter(|_| !written).unwrap_or_default();
        while let Some((sample, after)) = record(rest) {
            if state.summary.count > 0
                && (state.live.len() > LIVE || sample.at_ms < state.summary.last_ms)
            {
                self.close(&mut state);
            }
            let mut form = Vec::new();
            sample.write(&mut form);
            block::push(&mut state.live, &form);
            state.summary.add(&sample);
            rest = after;
        }
        // Records are written one by one: a torn one at the end is one that never was.
        self.close(&mut state);
        self.reset_tail(&mut state);
        self.make_room(&mut state, 0);
        Ok(())
    }

    /// Appends a sample. What cannot be written is told by [`Ring::health`]; the newest are in memory all the same.
    pub fn append(&self, sample: &Sample) {
        let mut form = Vec::with_capacity(4096);
        sample.write(&mut form);
        let mut state = self.lock();
        if form.len() > SAMPLE_MAX {
            state.health.lost += 1;
            return;
        }
        let back = sample.at_ms < state.summary.last_ms;
        let due = state.summary.count >= BLOCK || state.live.len() > LIVE || back;
        if state.summary.count > 0 && due {
            self.close(&mut state);
        }
        block::push(&mut state.live, &form);
        state.summary.add(sample);
        let mut record = Vec::with_capacity(form.len() + 8);
        record.extend_from_slice(&(form.len() as u32).to_le_bytes());
        record.extend_from_slice(&crc32fast::hash(&form).to_le_bytes());
        record.extend_from_slice(&form);
        self.make_room(&mut state, record.len() as u64);
        let at = state.tail_length;
        let wrote = match &state.tail {
            Some(tail) if at > 0 => tail.write_all_at(&record, at),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        match wrote {
            Ok(()) => {
                state.tail_length += record.len() as u64;
                state.health.full = false;
            }
            // The block that it becomes part of makes room for itself. A torn record is written over.
            Err(e) => {
                state.health.full = no_room(&e);
                if let Some(tail) = &state.tail {
                    tail.set_len(at).ok();
                }
            }
        }
    }

    /// Makes a block of what is live.
    fn close(&self, state: &mut State) {
        let summary = std::mem::take(&mut state.summary);
        let live = std::mem::take(&mut state.live);
        if summary.count == 0 {
            return;
        }
        let wrote = block::write(&summary, &live).map_err(Error::io("packing", &self.dir));
        let wrote = wrote.and_then(|bytes| {
            loop {
                self.make_room(state, bytes.len() as u64);
                match self.write(state, &bytes) {
                    Err(e) if e.is_no_room() && !state.segments.is_empty() => {
                        self.drop_oldest(state);
                        state.health.squeezed += 1;
                    }
                    done => break done,
                }
            }
        });
        state.health.full = wrote.as_ref().is_err_and(Error::is_no_room);
        match wrote {
            Ok(()) => {
                if let Some(segment) = state.segments.back_mut() {
                    if segment.samples == 0 {
                        segment.first_ms = summary.first_ms;
                        segment.last_ms = summary.last_ms;
                    }
                    segment.first_ms = segment.first_ms.min(summary.first_ms);
                    segment.last_ms = segment.last_ms.max(summary.last_ms);
                    segment.samples += u64::from(summary.count);
                }
            }
            Err(_) => state.health.lost += u64::from(summary.count),
        }
        self.reset_tail(state);
        // As much as is needed for the next one.
        state.live = Vec::with_capacity(live.len().min(LIVE));
    }

    fn write(&self, state: &mut State, bytes: &[u8]) -> Result<(), Error> {
        let most = self.keep / SEGMENTS;
        let length = state.segments.back().map(|s| s.length);
        if length.is_none_or(|length| length > 0 && length + bytes.len() as u64 > most) {
            let sequence = state.segments.back().map_or(0, |s| s.sequence.wrapping_add(1));
            let path = path(&self.dir, sequence);
            state.newest = Some(create(&path)?);
            let (first_ms, last_ms) = (0, 0);
            state.segments.push_back(Segment {
                sequence,
                length: 0,
                first_ms,
                last_ms,
                samples: 0,
            });
        }
        let Some(segment) = state.segments.back_mut() else { return Ok(()) };
        let path = path(&self.dir, segment.sequence);
        let file = match &state.newest {
            Some(file) => file,
            None => state.newest.insert(create(&path)?),
        };
        let wrote = file.write_all_at(bytes, segment.length).and_then(|()| file.sync_data());
        if let Err(e) = wrote {
            file.set_len(segment.length).ok();
            return Err(Error::io("writing", &path)(e));
        }
        segment.length += bytes.len() as u64;
        Ok(())
    }

    /// Drops the oldest until so many bytes more are within the bound.
    fn make_room(&self, state: &mut State, more: u64) {
        while bytes(state).saturating_add(more) > self.keep && !state.segments.is_empty() {
            self.drop_oldest(state);
        }
    }

    fn drop_oldest(&self, state: &mut State) {
        let Some(oldest) = state.segments.pop_front() else { return };
        std::fs::remove_file(path(&self.dir, oldest.sequence)).ok();
        if state.segments.is_empty() {
            state.newest = None;
        }
    }

    /// Begins the tail anew: it is for the block at the end of the newest segment.
    fn reset_tail(&self, state: &mut State) {
        state.tail_length = 0;
        let (sequence, length) = state.segments.back().map_or((0, 0), |s| (s.sequence, s.length));
        let mut header = [0; TAIL_HEADER];
        header[..4].copy_from_slice(&TAIL);
        header[8..16].copy_from_slice(&sequence.to_le_bytes());
        header[16..].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32fast::hash(&header[8..]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
        if state.tail.is_none() {
            state.tail = create(&self.dir.join("tail")).ok();
        }
        let Some(tail) = &mut state.tail else { return };
        if tail.set_len(0).and_then(|()| tail.write_all_at(&header, 0)).is_ok() {
            tail.flush().ok();
            state.tail_length = TAIL_HEADER as u64;
        }
    }

    /// Makes a block of what is live, as at the end.
    pub fn flush(&self) {
        self.close(&mut self.lock());
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.lock().health
    }

    /// What is kept.
    pub fn span(&self) -> Span {
        let state = self.lock();
        let live = (state.summary.count > 0).then_some(&state.summary);
        let firsts = state.segments.iter().filter(|s| s.samples > 0);
        let first = firsts.clone().map(|s| s.first_ms).chain(live.map(|l| l.first_ms)).min();
        let last = firsts.clone().map(|s| s.last_ms).chain(live.map(|l| l.last_ms)).max();
        Span {
            from_ms: first.unwrap_or(0),
            to_ms: last.unwrap_or(0),
            samples: firsts.map(|s| s.samples).sum::<u64>() + u64::from(state.summary.count),
            bytes: bytes(&state),
            keep: self.keep,
        }
    }
}

fn bytes(state: &State) -> u64 {
    state.segments.iter().map(|segment| segment.length).sum::<u64>() + state.tail_length
}

/// Looks at all headers of a segment; what is behind the last block is cut off.
fn open_segment(dir: &Path, sequence: u64, health: &mut Health) -> Result<Segment, Error> {
    let path = path(dir, sequence);
    let file = create(&path)?;
    let length = file.metadata().map_err(Error::io("looking at", &path))?.len();
    let mut all = Summary::default();
    let mut samples = 0;
    let walked = block::walk(&file, length, |_, header| {
        samples += u64::from(header.summary.count);
        all.join(header.summary);
    });
    let walked = walked.map_err(Error::io("reading", &path))?;
    health.damaged += walked.damaged + u64::from(walked.end < length);
    if walked.end < length {
        file.set_len(walked.end).map_err(Error::io("cutting", &path))?;
    }
    let (first_ms, last_ms) = (all.first_ms, all.last_ms);
    Ok(Segment { sequence, length: walked.end, first_ms, last_ms, samples })
}

/// The segment and its length that a tail was begun at.
fn tail_header(bytes: &[u8]) -> Option<(u64, u64)> {
    let header = bytes.get(..TAIL_HEADER).filter(|b| b.starts_with(&TAIL))?;
    let checksum = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let number = |at: usize| Some(u64::from_le_bytes(header[at..at + 8].try_into().ok()?));
    (crc32fast::hash(&header[8..]) == checksum).then_some((number(8)?, number(16)?))
}

/// The first record of a tail, and what is behind it; one that was flipped is passed over where its length still
/// leads to the next.
fn record(mut bytes: &[u8]) -> Option<(Sample, &[u8])> {
    loop {
        let (head, rest) = bytes.split_at_checked(8)?;
        let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
        let checksum = u32::from_le_bytes(head[4..].try_into().ok()?);
        let (form, after) = rest.split_at_checked(length).filter(|_| length <= SAMPLE_MAX)?;
        if crc32fast::hash(form) == checksum
            && let Ok(sample) = Sample::read(form)
        {
            return Some((sample, after));
        }
        bytes = after;
    }
}
