//! What stands in a segment file, and the hashes that tie it together.
//!
//! A segment begins with a head: a mark (8 bytes), its number (8), the number of its first record (8),
//! when it was begun (8), the hash that it continues (32), its own hash (32). Then records: a length
//! (4), the record as named MessagePack, its hash (32). Each hash is BLAKE3, keyed with a key derived
//! from the hub's, over the hash before and the bytes: whoever lacks the hub's key cannot make one.

use cmdr_link::{SecretKey, codec};
use cmdr_protocol::audit::Record;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A hash of the chain.
pub type Hash = [u8; HASH];

const HASH: usize = 32;
const MARK: &[u8; 8] = b"cmdraud1";
/// Bytes of a segment's head.
pub const HEAD: usize = 8 + 8 + 8 + 8 + HASH + HASH;
/// The largest record.
pub const MAX_RECORD: usize = 64 * 1024;

/// The key of the chain.
#[derive(Clone)]
pub struct ChainKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey")
    }
}

/// A place in the log: behind this record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The segment.
    pub segment: u64,
    /// Bytes of the segment up to here.
    pub len: u64,
    /// The record; 0 before the first.
    pub seq: u64,
    /// The hash that the chain has reached.
    pub hash: Hash,
}

impl ChainKey {
    /// The key that belongs to a hub's key.
    pub fn new(key: &SecretKey) -> Self {
        Self(Zeroizing::new(key.keyed_hash("cmdr audit chain v1", b"chain")))
    }

    fn hash(&self, kind: u8, before: &Hash, bytes: &[u8]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[kind]).update(before).update(bytes);
        *hasher.finalize().as_bytes()
    }

    /// The hash behind a record.
    pub fn record(&self, before: &Hash, payload: &[u8]) -> Hash {
        self.hash(1, before, payload)
    }

    /// A proof that the hub has seen the log at this point.
    pub fn seal(&self, point: &Point) -> Hash {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&point.segment.to_be_bytes());
        bytes[8..].copy_from_slice(&point.seq.to_be_bytes());
        self.hash(2, &point.hash, &bytes)
    }
}

/// How a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// The number of its first record.
    pub first_seq: u64,
    /// When it was begun, milliseconds since 1970.
    pub at_ms: u64,
    /// The hash that it continues.
    pub before: Hash,
}

impl Head {
    /// The bytes, and the hash that the chain has reached with them.
    pub fn encode(&self, key: &ChainKey) -> ([u8; HEAD], Hash) {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MARK);
        bytes[8..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.first_seq.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.at_ms.to_be_bytes());
        bytes[32..64].copy_from_slice(&self.before);
        let hash = key.hash(0, &self.before, &bytes[..64]);
        bytes[64..].copy_from_slice(&hash);
        (bytes, hash)
    }

    /// Reads and checks them.
    pub fn decode(key: &ChainKey, bytes: &[u8]) -> Result<(Self, Hash), String> {
        let bytes: &[u8; HEAD] = bytes
            .first_chunk()
            .ok_or_else(|| format!("the segment's head is cut short: {} bytes", bytes.len()))?;
        if &bytes[..8] != MARK {
            return Err("the segment does not begin with the mark of an audit log".to_owned());
        }
        let number = |at: usize| {
            bytes[at..].first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_be_bytes(*bytes))
        };
        let mut before = [0; HASH];
        before.copy_from_slice(&bytes[32..64]);
        let head = Self { number: number(8), first_seq: number(16), at_ms: number(24), before };
        let (written, hash) = head.encode(key);
        if &written == bytes {
            Ok((head, hash))
        } else {
            Err("the segment's head was changed: its hash does not match".to_owned())
        }
    }
}

/// Appends a record to `out` and returns the hash behind it. The record must be encodable.
pub fn push(
    out: &mut Vec<u8>,
    key: &ChainKey,
    before: &Hash,
    record: &Record,
) -> Result<Hash, String> {
    let payload = codec::encode(record).map_err(|e| e.to_string())?;
    if payload.len() > MAX_RECORD {
        return Err(format!("the record has {} bytes, more than {MAX_RECORD}", payload.len()));
    }
    let hash = key.record(before, &payload);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(&payload);
    out.extend_from_slice(&hash);
    Ok(hash)
}

/// A record with its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it says.
    pub record: Record,
    /// Where it begins in the segment.
    pub offset: u64,
    /// Where it ends.
    pub end: u64,
    /// The hash behind it.
    pub hash: Hash,
}

/// What stands where a record should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Number of the record that should stand there.
    pub seq: u64,
    /// Where in the segment.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// It goes on beyond the end of the file, as half a record does after a crash.
    pub torn: bool,
}

/// Reads the records of a segment's bytes, one after the other, each checked. Ends after a flaw.
#[derive(Debug)]
pub struct Records<'a> {
    key: &'a ChainKey,
    bytes: &'a [u8],
    /// Where in the segment `bytes` begins.
    base: u64,
    at: usize,
    seq: u64,
    hash: Hash,
    over: bool,
}

impl<'a> Records<'a> {
    /// The records of a whole segment, with its head.
    pub fn of(key: &'a ChainKey, bytes: &'a [u8]) -> Result<(Head, Self), String> {
        let (head, hash) = Head::decode(key, bytes)?;
        let point = Point {
            segment: head.number,
            len: HEAD as u64,
            seq: head.first_seq.saturating_sub(1),
            hash,
        };
        Ok((head, Self::after(key, &bytes[HEAD..], &point)))
    }

    /// The records of `bytes`, which follow `point`.
    pub const fn after(key: &'a ChainKey, bytes: &'a [u8], point: &Point) -> Self {
        Self {
            key,
            bytes,
            base: point.len,
            at: 0,
            seq: point.seq + 1,
            hash: point.hash,
            over: false,
        }
    }

    fn read(&self) -> Result<Found, Flaw> {
        let rest = &self.bytes[self.at..];
        let offset = self.base + self.at as u64;
        let flaw = |what: &str, torn| Flaw { seq: self.seq, offset, what: what.to_owned(), torn };
        let (len, rest) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| flaw("the file ends in the middle of a record's length", true))?;
        let len = u32::from_be_bytes(*len) as usize;
        if len == 0 || len > MAX_RECORD {
            // Behind the end of a log whose power was cut there may be a run of zeros.
            let zeros = self.bytes[self.at..].iter().all(|b| *b == 0);
            return Err(flaw("the record's length is not one that was ever written", zeros));
        }
        if rest.len() < len + HASH {
            return Err(flaw("the file ends in the middle of the record", true));
        }
        let (payload, rest) = rest.split_at(len);
        let hash = self.key.record(&self.hash, payload);
        if rest[..HASH] != hash {
            return Err(flaw("the record was changed: its hash does not match", false));
        }
        let record: Record = codec::decode(payload)
            .map_err(|e| flaw(&format!("the record cannot be read: {e}"), false))?;
        if record.seq != self.seq {
            return Err(flaw(&format!("the record has the number {}", record.seq), false));
        }
        let end = offset + (4 + len + HASH) as u64;
        Ok(Found { record, offset, end, hash })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Found, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.at == self.bytes.len() {
            return None;
        }
        let read = self.read();
        match &read {
            Ok(found) => {
                self.at = (found.end - self.base) as usize;
                self.seq += 1;
                self.hash = found.hash;
            }
            Err(_) => self.over = true,
        }
        Some(read)
    }
}

/// The file of a segment.
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// The numbers of all segments, in order.
pub fn segments(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
