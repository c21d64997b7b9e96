//! Output of runs on disk: files that only grow, each piece with its own checksum, packed where that helps.
//! Which piece is whose stands in the store; what no record names is not there.

use cmdr_link::files;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A segment is followed by another when it is larger.
const LARGE: u64 = 64 << 20;
/// Shorter pieces are not packed: it would not be worth its time.
const PACK: usize = 256;
/// Before each piece: how it is stored, its length there and as it was, and a checksum.
const HEAD: usize = 1 + 4 + 4 + 16;
/// The longest piece.
pub(super) const MOST: usize = 1 << 20;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Where a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

/// The folder of segments, open for writing.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    file: File,
    number: u32,
    len: u64,
    /// What is to be written.
    block: Vec<u8>,
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.out"))
}

/// The numbers of all segments there are, ascending.
pub(super) fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number: Option<u32> =
            name.to_str().and_then(|name| name.strip_suffix(".out")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Segments {
    /// Opens the folder. What an interrupted hub was writing stays behind, named by no record.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        files::private_dir(dir).map_err(io::Error::other)?;
        let number = numbers(dir)?.last().map_or(0, |last| last + 1);
        let file = create(dir, number)?;
        Ok(Self { dir: dir.to_owned(), file, number, len: 0, block: Vec::new() })
    }

    /// Takes a piece; it is on disk after the next [`Segments::write`].
    pub(super) fn push(&mut self, data: &[u8]) -> Place {
        let offset = self.len + self.block.len() as u64;
        let packed = (data.len() >= PACK)
            .then(|| zstd::bulk::compress(data, 1).ok())
            .flatten()
            .filter(|packed| packed.len() < data.len());
        let (kind, stored) = match &packed {
            Some(packed) => (ZSTD, packed.as_slice()),
            None => (PLAIN, data),
        };
        let mut head = [kind; 9];
        head[1..5].copy_from_slice(&(stored.len() as u32).to_be_bytes());
        head[5..9].copy_from_slice(&(data.len() as u32).to_be_bytes());
        self.block.extend_from_slice(&head);
        self.block.extend_from_slice(&sum(&head, stored));
        self.block.extend_from_slice(stored);
        Place { segment: self.number, offset: offset as u32 }
    }

    /// Whether anything is to be written.
    pub(super) const fn is_waiting(&self) -> bool {
        !self.block.is_empty()
    }

    /// Writes what was taken; it is on disk when this returns. After an error it may be called again.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.block, self.len)?;
        self.file.sync_data()?;
        self.len += self.block.len() as u64;
        self.block.clear();
        self.block.shrink_to(1 << 20);
        if self.len >= LARGE {
            self.file = create(&self.dir, self.number + 1)?;
            self.number += 1;
            self.len = 0;
        }
        Ok(())
    }

    /// The segment that is being written.
    #[cfg(test)]
    pub(super) const fn current(&self) -> u32 {
        self.number
    }
}

fn create(dir: &Path, number: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path(dir, number))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn sum(head: &[u8], stored: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    let mut sum = [0; 16];
    hasher.update(head).update(stored).finalize_xof().fill(&mut sum);
    sum
}

/// Reads pieces back. Keeps the file it read last open.
#[derive(Debug)]
pub(super) struct Reader {
    dir: PathBuf,
    open: Option<(u32, File)>,
}

impl Reader {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: None }
    }

    /// The piece at a place; why not, in words for people.
    pub(super) fn read(&mut self, place: Place) -> Result<Vec<u8>, String> {
        let wrong = |what: &str| {
            format!("piece {} of segment {} of the output: {what}", place.offset, place.segment)
        };
        if self.open.as_ref().is_none_or(|(number, _)| *number != place.segment) {
            let file = File::open(path(&self.dir, place.segment)).map_err(|e| {
                wrong(&match e.kind() {
                    io::ErrorKind::NotFound => "the file is not there any more".to_owned(),
                    _ => e.to_string(),
                })
            })?;
            self.open = Some((place.segment, file));
        }
        let Some((_, file)) = &mut self.open else { return Err(wrong("it is not open")) };
        let mut head = [0; HEAD];
        file.seek(SeekFrom::Start(place.offset.into())).map_err(|e| wrong(&e.to_string()))?;
        file.read_exact(&mut head).map_err(|e| wrong(&e.to_string()))?;
        let number = |at: usize| {
            u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        };
        let (stored, len) = (number(1), number(5));
        if stored > MOST + 1024 || len > MOST {
            return Err(wrong("it is damaged"));
        }
        let mut bytes = vec![0; stored];
        file.read_exact(&mut bytes).map_err(|e| wrong(&e.to_string()))?;
        if sum(&head[..9], &bytes) != head[9..] {
            return Err(wrong("it is damaged"));
        }
        match head[0] {
            PLAIN => Ok(bytes),
            ZSTD => zstd::bulk::decompress(&bytes, len).map_err(|e| wrong(&e.to_string())),
            _ => Err(wrong("it was written by a newer release")),
        }
    }
}

/// Bytes that all segments take.
pub(super) fn size(dir: &Path) -> io::Result<u64> {
    let mut size = 0;
    for number in numbers(dir)? {
        size += std::fs::metadata(path(dir, number))?.len();
    }
    Ok(size)
}

/// Removes a segment that no run needs any more.
pub(super) fn remove(dir: &Path, number: u32) -> io::Result<()> {
    std::fs::remove_file(path(dir, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_back_and_what_was_not_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path()).unwrap();
        let pieces =
            [b"web1\n".to_vec(), vec![b'x'; 100_000], (0..=255).cycle().take(999).collect()];
        let places: Vec<_> = pieces.iter().map(|piece| segments.push(piece)).collect();
        assert!(segments.is_waiting());
        segments.write().unwrap();
        let more = segments.push(b"later");
        segments.write().unwrap();
        let mut reader = Reader::new(dir.path());
        for (place, piece) in places.iter().zip(&pieces) {
            assert_eq!(&reader.read(*place).unwrap(), piece);
        }
        assert_eq!(reader.read(more).unwrap(), b"later");
        assert!(size(dir.path()).unwrap() < 3000, "long runs of one byte are packed");
        // Another hub goes on in a segment of its own.
        let next = Segments::open(dir.path()).unwrap();
        assert_eq!((segments.current(), next.current()), (0, 1));
        let gone = reader.read(Place { segment: 7, offset: 0 }).unwrap_err();
        assert!(gone.contains("not there any more"), "{gone}");
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path()).unwrap();
        let place = segments.push(&vec![b'y'; 5000]);
        segments.write().unwrap();
        let path = path(dir.path(), 0);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let read = Reader::new(dir.path()).read(place);
            assert!(read.is_err(), "byte {at}");
        }
    }
}
