//! A block: thirty samples or so as compressed bytes behind a header that says what is in it. `ring` writes them,
//! `read` reads them. A header has a checksum of its own, so that a file is walked without reading the rest.

use crate::codec::{Broken, put, take_count};
use crate::sample::Sample;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

const MAGIC: [u8; 4] = *b"CRb1";
/// Bytes of a header.
pub(crate) const HEADER: usize = 104;
/// Bytes of a name in a header.
const NAME: usize = 35;
/// Samples of a block at most, as bytes before they are compressed.
pub(crate) const RAW_MAX: usize = 512 * 1024;
/// The longest sample that is kept.
pub(crate) const SAMPLE_MAX: usize = 96 * 1024;
/// How much is read at once to find the next header behind bytes that are none.
const PIECE: usize = 64 * 1024;

/// What is in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) count: u32,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
    /// The busiest sample: when, permille of all processors, who.
    pub(crate) peak_ms: u64,
    pub(crate) peak_cpu: u32,
    pub(crate) busiest: String,
    /// The sum of what the processors were used.
    pub(crate) cpu: u64,
    pub(crate) memory: u64,
}

impl Summary {
    /// Counts one more sample.
    pub(crate) fn add(&mut self, sample: &Sample) {
        let one = Self::of(sample);
        if self.count == 0 {
            *self = one;
        } else {
            self.join(one);
        }
    }

    fn of(sample: &Sample) -> Self {
        let busiest = sample.busiest().map(|p| p.name.as_str()).unwrap_or_default();
        Self {
            count: 1,
            first_ms: sample.at_ms,
            last_ms: sample.at_ms,
            peak_ms: sample.at_ms,
            peak_cpu: sample.host.cpu,
            busiest: busiest[..busiest.floor_char_boundary(NAME)].to_owned(),
            cpu: sample.host.cpu.into(),
            memory: sample.host.memory_used,
        }
    }

    /// Of both, this one the earlier.
    pub(crate) fn join(&mut self, later: Self) {
        if self.count == 0 {
            *self = later;
            return;
        }
        self.count = self.count.saturating_add(later.count);
        self.first_ms = self.first_ms.min(later.first_ms);
        self.last_ms = self.last_ms.max(later.last_ms);
        self.cpu = self.cpu.saturating_add(later.cpu);
        self.memory = self.memory.max(later.memory);
        if later.peak_cpu > self.peak_cpu {
            (self.peak_ms, self.peak_cpu) = (later.peak_ms, later.peak_cpu);
            self.busiest = later.busiest;
        }
    }
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) summary: Summary,
    /// Bytes behind the header.
    pub(crate) length: u32,
    raw: u32,
    checksum: u32,
}

/// Appends a sample to the bytes that become a block.
pub(crate) fn push(raw: &mut Vec<u8>, sample: &[u8]) {
    put(raw, sample.len() as u64);
    raw.extend_from_slice(sample);
}

/// The samples of such bytes.
pub(crate) fn samples(mut raw: &[u8]) -> Result<Vec<Sample>, Broken> {
    let mut samples = Vec::new();
    while !raw.is_empty() {
        let length = take_count(&mut raw, SAMPLE_MAX)?;
        let (sample, rest) = raw.split_at_checked(length).ok_or(Broken)?;
        samples.push(Sample::read(sample)?);
        raw = rest;
    }
    Ok(samples)
}

/// A block as bytes.
pub(crate) fn write(summary: &Summary, raw: &[u8]) -> std::io::Result<Vec<u8>> {
    let packed = zstd::bulk::compress(raw, 1)?;
    let mut head = Vec::with_capacity(HEADER + packed.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&[0; 4]);
    for n in [crc32fast::hash(&packed), packed.len() as u32, raw.len() as u32, summary.count] {
        head.extend_from_slice(&n.to_le_bytes());
    }
    for n in [summary.first_ms, summary.last_ms, summary.peak_ms, summary.cpu, summary.memory] {
        head.extend_from_slice(&n.to_le_bytes());
    }
    head.extend_from_slice(&summary.peak_cpu.to_le_bytes());
    head.push(summary.busiest.len() as u8);
    head.extend_from_slice(summary.busiest.as_bytes());
    head.resize(HEADER, 0);
    let checksum = crc32fast::hash(&head[8..]);
    head[4..8].copy_from_slice(&checksum.to_le_bytes());
    head.extend_from_slice(&packed);
    Ok(head)
}

/// Reads a header.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, Broken> {
    let bytes = bytes.get(..HEADER).filter(|b| b.starts_with(&MAGIC)).ok_or(Broken)?;
    let four = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).map_err(|_| Broken);
    let eight =
        |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).map_err(|_| Broken);
    if crc32fast::hash(&bytes[8..]) != four(4)? {
        return Err(Broken);
    }
    let name = bytes.get(69..69 + usize::from(bytes[68])).ok_or(Broken)?;
    let summary = Summary {
        count: four(20)?,
        first_ms: eight(24)?,
        last_ms: eight(32)?,
        peak_ms: eight(40)?,
        cpu: eight(48)?,
        memory: eight(56)?,
        peak_cpu: four(64)?,
        busiest: std::str::from_utf8(name).map_err(|_| Broken)?.to_owned(),
    };
    let header = Header { summary, checksum: four(8)?, length: four(12)?, raw: four(16)? };
    if header.raw as usize > RAW_MAX || header.length as usize > 2 * RAW_MAX {
        return Err(Broken);
    }
    Ok(header)
}

impl Header {
    /// The samples of the block at this place.
    pub(crate) fn load(
        &self,
        file: &File,
        at: u64,
    ) -> std::io::Result<Result<Vec<Sample>, Broken>> {
        let mut packed = vec![0; self.length as usize];
        match file.read_exact_at(&mut packed, at + HEADER as u64) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Err(Broken)),
            done => done?,
        }
        if crc32fast::hash(&packed) != self.checksum {
            return Ok(Err(Broken));
        }
        let raw = zstd::bulk::decompress(&packed, self.raw as usize).map_err(|_| Broken);
        Ok(raw.and_then(|raw| samples(&raw)))
    }
}

/// What a walk over a file has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Where the last block ends.
    pub(crate) end: u64,
    /// Places before it at which something else was.
    pub(crate) damaged: u64,
}

/// Finds the blocks of a file in its first `length` bytes; what is no block is passed over.
pub(crate) fn walk(
    file: &File,
    length: u64,
    mut found: impl FnMut(u64, Header),
) -> std::io::Result<Walked> {
    let (mut at, mut walked) = (0, Walked::default());
    let mut head = [0; HEADER];
    while at + HEADER as u64 <= length {
        match file.read_exact_at(&mut head, at) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => break,
            done => done?,
        }
        let whole =
            header(&head).ok().filter(|h| at + (HEADER as u64) + u64::from(h.length) <= length);
        if let Some(header) = whole {
            walked.damaged += u64::from(at > walked.end);
            let next = at + HEADER as u64 + u64::from(header.length);
            found(at, header);
            (at, walked.end) = (next, next);
        } else if let Some(next) = next_magic(file, at + 1, length)? {
            at = next;
        } else {
            break;
        }
    }
    Ok(walked)
}

fn next_magic(file: &File, mut from: u64, length: u64) -> std::io::Result<Option<u64>> {
    let mut piece = vec![0; PIECE];
    while from + (MAGIC.len() as u64) <= length {
        let most = usize::try_from(length - from).unwrap_or(PIECE).min(PIECE);
        let filled = file.read_at(&mut piece[..most], from)?;
        if filled < MAGIC.len() {
            break;
        }
        if let Some(at) = piece[..filled].windows(MAGIC.len()).position(|w| w == MAGIC) {
            return Ok(Some(from + at as u64));
        }
        from += (filled - MAGIC.len() + 1) as u64;
    }
    Ok(None)
}
