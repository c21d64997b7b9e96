//! The file of a recording: pieces of asciicast, each compressed and sealed by itself.
//!
//! A piece is sealed together with the recording's number, its own number, its time and whether it is
//! the last, so that a piece that was changed, cut, moved, dropped or brought from elsewhere is found,
//! and a file without its last piece too. Each piece holds whole lines and opens without the others:
//! a crash costs what was not written yet, and reading may begin anywhere.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io::{self, Read};
use zeroize::Zeroizing;

/// Begins every file; the recording's number follows.
const MAGIC: &[u8; 8] = b"CMDRREC1";
/// Bytes before the first piece.
pub const FILE_HEAD: u64 = 16;
/// Bytes before what is sealed of a piece.
const HEAD: usize = 37;
const TAG: usize = 16;
/// The most asciicast in one piece: the largest frame, every byte of it escaped, and room for more.
pub const LARGEST: usize = 12 << 20;
/// How hard pieces are pressed: a recording must not slow down what it records.
const LEVEL: i32 = 1;
/// As hard, while much waits: more than twice as fast, for files half as large again.
const HURRIED: i32 = -7;

/// What opens a recording.
pub type Key = Zeroizing<[u8; 32]>;

/// A fresh key.
pub fn new_key() -> io::Result<Key> {
    let mut key = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut key[..]).map_err(|_| io::Error::other("no randomness"))?;
    Ok(key)
}

fn ready(key: &Key) -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, &key[..]);
    Ok(LessSafeKey::new(key.map_err(|_| io::Error::other("a key of a wrong length"))?))
}

/// The first bytes of a recording's file.
pub fn file_head(id: u64) -> [u8; FILE_HEAD as usize] {
    let mut head = [0; FILE_HEAD as usize];
    head[..8].copy_from_slice(MAGIC);
    head[8..].copy_from_slice(&id.to_be_bytes());
    head
}

/// What stands in the open before a sealed piece, and is sealed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// Bytes that follow.
    sealed: u32,
    number: u64,
    /// When its first event was, in microseconds.
    at_us: u64,
    /// Its length when it is opened.
    plain: u32,
    last: bool,
    /// Never twice with one key, even when a piece could not be written and its number is used again.
    nonce: [u8; 12],
}

impl Head {
    fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..4].copy_from_slice(&self.sealed.to_be_bytes());
        out[4..12].copy_from_slice(&self.number.to_be_bytes());
        out[12..20].copy_from_slice(&self.at_us.to_be_bytes());
        out[20..24].copy_from_slice(&self.plain.to_be_bytes());
        out[24] = u8::from(self.last);
        out[25..].copy_from_slice(&self.nonce);
        out
    }

    fn decode(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(bytes[at..at + 4].try_into().ok()?));
        let long = |at: usize| Some(u64::from_be_bytes(bytes[at..at + 8].try_into().ok()?));
        let head = Self {
            sealed: word(0)?,
            number: long(4)?,
            at_us: long(12)?,
            plain: word(20)?,
            last: match bytes[24] {
                0 => false,
                1 => true,
                _ => return None,
            },
            nonce: bytes[25..].try_into().ok()?,
        };
        let fits = (TAG as u32..=zstd::zstd_safe::compress_bound(LARGEST) as u32 + TAG as u32)
            .contains(&head.sealed)
            && head.plain <= LARGEST as u32;
        fits.then_some(head)
    }

    fn aad(&self, id: u64) -> Aad<[u8; HEAD + FILE_HEAD as usize]> {
        let mut aad = [0; HEAD + FILE_HEAD as usize];
        aad[..FILE_HEAD as usize].copy_from_slice(&file_head(id));
        aad[FILE_HEAD as usize..].copy_from_slice(&self.encode());
        Aad::from(aad)
    }
}

/// Compresses; one for many recordings.
pub struct Press {
    calm: zstd::bulk::Compressor<'static>,
    hurried: zstd::bulk::Compressor<'static>,
    /// Much waits.
    pub hurry: bool,
}

impl std::fmt::Debug for Press {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Press")
    }
}

impl Press {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        let (calm, hurried) =
            (zstd::bulk::Compressor::new(LEVEL)?, zstd::bulk::Compressor::new(HURRIED)?);
        Ok(Self { calm, hurried, hurry: false })
    }

    fn press(&mut self, plain: &[u8], out: &mut [u8]) -> io::Result<usize> {
        let press = if self.hurry { &mut self.hurried } else { &mut self.calm };
        press.compress_to_buffer(plain, out)
    }
}

/// Makes pieces.
pub struct Sealer {
    id: u64,
    key: LessSafeKey,
    random: SystemRandom,
    /// Of the next piece.
    number: u64,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer")
            .field("id", &self.id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// For the pieces of a recording from this number on.
    pub fn new(id: u64, key: &Key, number: u64) -> io::Result<Self> {
        Ok(Self { id, key: ready(key)?, random: SystemRandom::new(), number })
    }

    /// Pieces made so far and kept.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The last piece that was made is in the file: the next one follows it.
    pub const fn kept(&mut self) {
        self.number += 1;
    }

    /// A piece as it goes into the file.
    pub fn seal(
        &self,
        press: &mut Press,
        at_us: u64,
        last: bool,
        plain: &[u8],
    ) -> io::Result<Vec<u8>> {
        if plain.len() > LARGEST {
            return Err(io::Error::other("a piece is too large"));
        }
        let bound = zstd::zstd_safe::compress_bound(plain.len());
        let mut out = vec![0; HEAD + bound + TAG];
        let packed = press.press(plain, &mut out[HEAD..HEAD + bound])?;
        out.truncate(HEAD + packed);
        let mut nonce = [0; 12];
        self.random.fill(&mut nonce).map_err(|_| io::Error::other("no randomness"))?;
        let head = Head {
            sealed: (packed + TAG) as u32,
            number: self.number,
            at_us,
            plain: plain.len() as u32,
            last,
            nonce,
        };
        out[..HEAD].copy_from_slice(&head.encode());
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                head.aad(self.id),
                &mut out[HEAD..],
            )
            .map_err(|_| io::Error::other("sealing failed"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }
}

/// A piece, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Counted from 0.
    pub number: u64,
    /// When its first event was, in microseconds.
    pub at_us: u64,
    /// Nothing follows it.
    pub last: bool,
    /// Lines of asciicast.
    pub plain: Vec<u8>,
    /// Where in the file it ends.
    pub end: u64,
}

/// Why a file does not go on as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// In which piece.
    pub number: u64,
    /// Where in the file that begins.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// The file just ends: what a crash, or a pair of scissors, leaves.
    pub torn: bool,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "piece {}, byte {}: {}", self.number, self.offset, self.what)
    }
}

/// Opens the pieces of a file, in order.
pub struct Chunks<R> {
    io: R,
    id: u64,
    key: LessSafeKey,
    unpress: zstd::bulk::Decompressor<'static>,
    number: u64,
    offset: u64,
    over: bool,
}

impl<R> std::fmt::Debug for Chunks<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks")
            .field("id", &self.id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Chunks<R> {
    /// Reads a file's head; the inner error says what is wrong with it.
    pub fn new(io: R, id: u64, key: &Key) -> io::Result<Result<Self, Flaw>> {
        let mut chunks = Self {
            io,
            id,
            key: ready(key)?,
            unpress: zstd::bulk::Decompressor::new()?,
            number: 0,
            offset: 0,
            over: false,
        };
        let mut head = [0; FILE_HEAD as usize];
        let got = fill(&mut chunks.io, &mut head)?;
        Ok(if got < head.len() {
            Err(chunks.flaw("the file ends before its first piece", true))
        } else if head == file_head(id) {
            chunks.offset = FILE_HEAD;
            Ok(chunks)
        } else {
            Err(chunks.flaw("it is not the file of this recording", false))
        })
    }

    /// Goes on at a piece whose number and place are known.
    pub fn at(mut self, number: u64, offset: u64) -> io::Result<Self>
    where
        R: io::Seek,
    {
        self.io.seek(io::SeekFrom::Start(offset))?;
        (self.number, self.offset) = (number, offset);
        Ok(self)
    }

    fn flaw(&self, what: impl Into<String>, torn: bool) -> Flaw {
        Flaw { number: self.number, offset: self.offset, what: what.into(), torn }
    }

    /// The next piece; `None` behind the last.
    pub fn read(&mut self) -> io::Result<Result<Option<Chunk>, Flaw>> {
        if self.over {
            let mut more = [0];
            return Ok(match fill(&mut self.io, &mut more)? {
                0 => Ok(None),
                _ => Err(self.flaw("there are bytes behind the last piece", false)),
            });
        }
        let mut head = [0; HEAD];
        let got = fill(&mut self.io, &mut head)?;
        if got < HEAD {
            let what =
                if got == 0 { "the last piece is missing" } else { "the file ends within a piece" };
            return Ok(Err(self.flaw(what, true)));
        }
        let Some(head) = Head::decode(&head) else {
            return Ok(Err(self.flaw("its head is damaged", false)));
        };
        if head.number != self.number {
            let what = format!("it is piece {} instead", head.number);
            return Ok(Err(self.flaw(what, false)));
        }
        let mut sealed = Vec::new();
        (&mut self.io).take(u64::from(head.sealed)).read_to_end(&mut sealed)?;
        if sealed.len() < head.sealed as usize {
            return Ok(Err(self.flaw("the file ends within a piece", true)));
        }
        let nonce = Nonce::assume_unique_for_key(head.nonce);
        let Ok(packed) = self.key.open_in_place(nonce, head.aad(self.id), &mut sealed) else {
            return Ok(Err(self.flaw("it was changed, or the key is another's", false)));
        };
        let plain = self.unpress.decompress(packed, head.plain as usize);
        let Some(plain) = plain.ok().filter(|plain| plain.len() == head.plain as usize) else {
            return Ok(Err(self.flaw("it cannot be unpacked", false)));
        };
        self.offset += (HEAD + sealed.len()) as u64;
        self.number += 1;
        self.over = head.last;
        Ok(Ok(Some(Chunk {
            number: head.number,
            at_us: head.at_us,
            last: head.last,
            plain,
            end: self.offset,
        })))
    }
}

/// Where the piece begins in which something at this time is to be found: number and place. Only heads
/// are read; what they say is proved when the piece is opened.
pub fn find<R: Read + io::Seek>(io: &mut R, at_us: u64) -> io::Result<(u64, u64)> {
    let mut found = (0, FILE_HEAD);
    let mut place = FILE_HEAD;
    loop {
        io.seek(io::SeekFrom::Start(place))?;
        let mut head = [0; HEAD];
        if fill(io, &mut head)? < HEAD {
            return Ok(found);
        }
        match Head::decode(&head) {
            Some(head) if head.at_us <= at_us => {
                found = (head.number, place);
                place += (HEAD + head.sealed as usize) as u64;
            }
            _ => return Ok(found),
        }
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(io: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match io.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Zeroizing::new([7; 32])
    }

    /// A recording with these pieces; where each of them begins.
    fn file(id: u64, pieces: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let (mut press, mut sealer) = (Press::new().unwrap(), Sealer::new(id, &key(), 0).unwrap());
        let (mut out, mut begins) = (file_head(id).to_vec(), Vec::new());
        for (n, piece) in pieces.iter().enumerate() {
            begins.push(out.len());
            let last = n + 1 == pieces.len();
            out.extend(sealer.seal(&mut press, n as u64 * 1000, last, piece).unwrap());
            sealer.kept();
        }
        (out, begins)
    }

    fn open(bytes: &[u8], id: u64, key: &Key) -> Result<Vec<Chunk>, Flaw> {
        let mut chunks = Chunks::new(bytes, id, key).unwrap()?;
        let mut all = Vec::new();
        while let Some(chunk) = chunks.read().unwrap()? {
            all.push(chunk);
        }
        Ok(all)
    }

    const PIECES: [&[u8]; 3] = [b"first\n", b"second, a longer one\n", b"third\n"];

    #[test]
    fn a_file_reads_back_piece_by_piece() {
        let (bytes, _) = file(5, &PIECES);
        let chunks = open(&bytes, 5, &key()).unwrap();
        assert_eq!(chunks.iter().map(|c| &c.plain[..]).collect::<Vec<_>>(), PIECES);
        assert_eq!(chunks.iter().map(|c| c.last).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(chunks[2].end, bytes.len() as u64);
        assert!(!bytes.windows(5).any(|w| w == b"first"));
    }

    #[test]
    fn every_byte_that_is_changed_is_found() {
        let (bytes, _) = file(5, &PIECES);
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                assert!(open(&bytes, 5, &key()).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_cut_anywhere_is_found_and_a_byte_too_many_too() {
        let (mut bytes, _) = file(5, &PIECES);
        for len in 0..bytes.len() {
            assert!(open(&bytes[..len], 5, &key()).unwrap_err().torn, "cut at {len}");
        }
        bytes.push(0);
        assert!(!open(&bytes, 5, &key()).unwrap_err().torn);
    }

    #[test]
    fn pieces_that_are_swapped_dropped_or_of_another_recording_are_found() {
        let (bytes, begins) = file(5, &PIECES);
        let piece = |n: usize| &bytes[begins[n]..begins.get(n + 1).copied().unwrap_or(bytes.len())];
        let head = &bytes[..FILE_HEAD as usize];
        assert!(open(&[head, piece(1), piece(0), piece(2)].concat(), 5, &key()).is_err());
        assert!(open(&[head, piece(0), piece(2)].concat(), 5, &key()).is_err());
        assert!(open(&[head, piece(0), piece(0), piece(1), piece(2)].concat(), 5, &key()).is_err());
        let (other, others) = file(6, &PIECES);
        let foreign = &other[others[1]..others[2]];
        assert!(open(&[head, piece(0), foreign, piece(2)].concat(), 5, &key()).is_err());
        assert!(open(&other, 5, &key()).is_err());
        assert!(open(&bytes, 5, &Zeroizing::new([8; 32])).is_err());
    }

    #[test]
    fn a_moment_is_found_by_heads_alone() {
        let (bytes, begins) = file(5, &PIECES);
        let mut io = io::Cursor::new(&bytes);
        for (at_us, n) in [(0, 0), (999, 0), (1000, 1), (1500, 1), (9_000_000, 2)] {
            assert_eq!(find(&mut io, at_us).unwrap(), (n as u64, begins[n] as u64));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_opened_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&file_head(5)[..], &tail].concat();
            prop_assert!(open(&bytes, 5, &key()).is_err());
        }

        #[test]
        fn any_pieces_read_back(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..5)) {
            let refs: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            let chunks = open(&file(9, &refs).0, 9, &key()).unwrap();
            prop_assert_eq!(chunks.into_iter().map(|c| c.plain).collect::<Vec<_>>(), pieces);
        }
    }
}
