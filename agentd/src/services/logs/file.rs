//! Reads the lines of one log forward: through files rotated away from it, to its end, and on as it is
//! written, rotated or emptied. One [`Reading::step`] is a bounded piece of work, done on a thread that
//! may block; nothing is held between steps but the beginning of one line and what the sieve holds.

use super::access::{Access, Opened, Packed, Rotated, failed, packing};
use super::lines::Splitter;
use super::sieve::Sieve;
use cmdr_link::clock;
use cmdr_protocol::CallError;
use cmdr_protocol::logs::{At, Gap, GapKind, Line};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Read at once.
const CHUNK: usize = 64 << 10;
/// One step reads no more than this.
const STEP: usize = 1 << 20;
/// One step ends when it has found so much.
const ENOUGH: usize = 48 << 10;
/// Bytes before a place by which it is known again.
const MARK: u64 = 64;
/// A file that took the name waits so long for its first bytes while the old one may still be written.
const TAKEOVER: Duration = Duration::from_secs(2);
/// The old one is looked at for so long after that.
const LATE: Duration = Duration::from_secs(5);
/// Memory that unpacking may take, as a power of two: enough for all but `xz -9` and `zstd --long`.
const WINDOW_LOG: u32 = 25;
/// The same in KiB, with what the reader of xz needs for itself.
const XZ_KIB: u32 = (1 << (WINDOW_LOG - 10)) + 512;

/// How it goes on after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Next {
    /// There is more now.
    #[default]
    More,
    /// There is nothing now.
    Idle,
    /// There is nothing more that is wanted.
    Over,
}

/// What a step brought.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) gaps: Vec<Gap>,
    pub(super) lines: Vec<Line>,
    pub(super) seen: u64,
    pub(super) place: Option<At>,
    pub(super) first: Option<At>,
    pub(super) next: Next,
    /// The name leads to another file now.
    pub(super) new_file: bool,
}

/// Where to begin: a file of the chain, and a place in it.
#[derive(Debug)]
pub(super) struct Start {
    /// The rotated files from there on, the oldest first; none when it is the log itself.
    pub(super) rotated: VecDeque<Rotated>,
    /// The file that had the log's name.
    pub(super) live: Option<u64>,
    /// Bytes of the first file to leave out.
    pub(super) offset: u64,
    /// Wanted lines to leave out.
    pub(super) skip: usize,
    /// Nothing stands before it.
    pub(super) beginning: bool,
    pub(super) gaps: Vec<Gap>,
}

enum Input {
    Plain(std::fs::File),
    Packed(Box<dyn Read + Send>),
}

struct Current {
    inode: u64,
    device: u64,
    input: Input,
    /// Bytes taken from it.
    read: u64,
    /// Bytes that are still to be passed over: what is packed can only be read from its beginning.
    pass: u64,
    splitter: Splitter,
    /// A place, and what was before it.
    mark: (u64, u64),
    /// It has the log's name.
    live: bool,
}

/// The file that had the name before.
struct Late {
    current: Current,
    until: Instant,
}

/// Lines of one log, from a place on.
pub(super) struct Reading {
    access: Access,
    path: PathBuf,
    pub(super) sieve: Sieve,
    follow: bool,
    current: Option<Current>,
    rotated: VecDeque<Rotated>,
    expected: Option<u64>,
    late: Option<Late>,
    gaps: Vec<Gap>,
    gone: bool,
    taken_over: Option<Instant>,
    /// To stop at: a file and a place in it.
    end: Option<(u64, u64)>,
    new_file: bool,
    /// Where the oldest line that is let through begins, until that is told.
    first: Option<At>,
}

/// A number for the bytes before a place.
pub(super) fn mark(file: &std::fs::File, offset: u64) -> u64 {
    let mut bytes = [0; MARK as usize];
    let from = offset.saturating_sub(MARK);
    let bytes = &mut bytes[..(offset - from) as usize];
    if file.read_exact_at(bytes, from).is_err() {
        return 0;
    }
    // FNV-1a: it tells files apart, and protects nothing.
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold)
}

/// The bytes of a file that may be packed.
pub(super) fn unpack(opened: Opened, packed: Packed) -> io::Result<Box<dyn Read + Send>> {
    Ok(match packed {
        Packed::No => Box::new(opened.file),
        Packed::Gzip => {
            Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(opened.file)))
        }
        Packed::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(opened.file)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
        Packed::Xz => {
            let input = io::BufReader::new(opened.file);
            Box::new(Xz(Some(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_KIB))))
        }
        Packed::Else => {
            let why = "it is packed in a way that is not read here (gzip, zstd and xz are); \
                       copy it with cmdr cp and unpack it there";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
    })
}

/// Reads xz, and is not asked again once that has failed.
struct Xz(Option<lzma_rust2::XzReader<io::BufReader<std::fs::File>>>);

impl Read for Xz {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(reader) = &mut self.0 else { return Ok(0) };
        let read = reader.read(buffer);
        if read.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::Interrupted) {
            self.0 = None;
        }
        read.map_err(|e| match e.kind() {
            io::ErrorKind::OutOfMemory => io::Error::other(format!(
                "unpacking it takes more memory than the {} MiB that are given to it",
                XZ_KIB >> 10
            )),
            _ => e,
        })
    }
}

fn gap(kind: GapKind, what: impl Into<String>) -> Gap {
    Gap { kind, what: what.into() }
}

pub(super) fn unreadable(path: &Path, why: &str) -> Gap {
    gap(GapKind::Unreadable, format!("{}: {why}", path.display()))
}

impl Current {
    fn live(opened: Opened, offset: u64) -> Self {
        let mark = (offset, mark(&opened.file, offset));
        let Opened { inode, device, file, .. } = opened;
        let input = Input::Plain(file);
        let splitter = Splitter::default();
        Self { inode, device, input, read: offset, pass: 0, splitter, mark, live: true }
    }

    /// Where the last whole line ended.
    fn done(&self) -> u64 {
        self.read - self.splitter.pending()
    }

    fn place(&mut self) -> At {
        let done = self.done();
        let mut at = At { file: Some(self.inode), offset: Some(done), ..At::default() };
        if let Input::Plain(file) = &self.input {
            if self.mark.0 != done {
                self.mark = (done, mark(file, done));
            }
            at.check = Some(self.mark.1);
        }
        at
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.input {
            Input::Plain(file) => file.read_at(buffer, self.read)?,
            Input::Packed(reader) => reader.read(buffer)?,
        };
        self.read += n as u64;
        Ok(n)
    }

    /// How many of so many bytes that were just read are passed over.
    fn passed(&mut self, n: usize) -> usize {
        let passed = usize::try_from(self.pass).unwrap_or(n).min(n);
        self.pass -= passed as u64;
        passed
    }

    /// Whether what was read of it is not there any more.
    fn was_rewritten(&self) -> bool {
        let Input::Plain(file) = &self.input else { return false };
        let len = file.metadata().map_or(0, |meta| meta.len());
        len < self.read || mark(file, self.mark.0) != self.mark.1
    }

    /// Sifts bytes that were just read. Where the first lines stand that are not skipped any more, when
    /// that is among them.
    fn sift(&mut self, bytes: &[u8], sieve: &mut Sieve, out: &mut Vec<Line>) -> Option<u64> {
        let mut at = self.done() - bytes.len() as u64;
        let mut first = None;
        self.splitter.push(bytes, |piece| {
            let skipping = sieve.to_skip() > 0;
            sieve.take(piece.into(), out);
            at += piece.taken;
            if skipping && sieve.to_skip() == 0 {
                first = Some(at);
            }
        });
        first
    }

    fn finish(&mut self, sieve: &mut Sieve, out: &mut Vec<Line>) {
        self.splitter.finish(|piece| sieve.take(piece.into(), out));
        sieve.settle(out);
    }
}

impl Reading {
    pub(super) fn new(
        access: Access,
        path: PathBuf,
        sieve: Sieve,
        follow: bool,
        start: Start,
    ) -> Self {
        let mut reading = Self {
            access,
            path,
            sieve,
            follow,
            current: None,
            rotated: start.rotated,
            expected: start.live,
            late: None,
            gaps: start.gaps,
            gone: false,
            taken_over: None,
            end: None,
            new_file: false,
            first: None,
        };
        reading.sieve.skip(start.skip);
        reading.turn(start.offset);
        if start.skip == 0 {
            reading.first = reading.place();
        }
        reading
    }

    /// Stops at this place.
    pub(super) fn until(mut self, file: u64, offset: u64) -> Self {
        self.end = Some((file, offset));
        self
    }

    /// Where it is now.
    pub(super) fn place(&mut self) -> Option<At> {
        self.current.as_mut().map(Current::place)
    }

    /// Nothing is written to what is packed.
    fn is_packed(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        packing(&name).1 != Packed::No
    }

    /// Goes to the next file of the chain, or to the log itself.
    fn turn(&mut self, mut offset: u64) {
        self.current = None;
        while let Some(next) = self.rotated.pop_front() {
            match self.open_rotated(&next, offset) {
                Ok(current) => return self.current = Some(current),
                Err(gap) => self.gaps.push(gap),
            }
            // It was a place in that one.
            offset = 0;
        }
        if self.is_packed() {
            return;
        }
        // It may come yet; nobody could read it now.
        let Ok(opened) = self.access.open(&self.path) else { return };
        // It was rotated while the files before it were read.
        if let Some(expected) = self.expected.take().filter(|inode| *inode != opened.inode) {
            let moved = self.access.rotated(&self.path).into_iter().find(|r| r.inode == expected);
            if let Some(mut current) =
                moved.and_then(|moved| self.open_rotated(&moved, offset).ok())
            {
                current.live = false;
                return self.current = Some(current);
            }
        }
        self.new_file = true;
        self.current = Some(Current::live(opened, offset));
    }

    fn open_rotated(&self, rotated: &Rotated, offset: u64) -> Result<Current, Gap> {
        let whole = |e: CallError| unreadable(&rotated.path, &e.message);
        let mut opened = self.access.open(&rotated.path).map_err(whole);
        if opened.as_ref().is_ok_and(|opened| opened.inode != rotated.inode) {
            // Rotated once more meanwhile: it has another name.
            let moved =
                self.access.rotated(&self.path).into_iter().find(|r| r.inode == rotated.inode);
            opened = match moved {
                Some(moved) => self.access.open(&moved.path).map_err(whole),
                None => Err(unreadable(&rotated.path, "it was replaced meanwhile")),
            };
        }
        let opened = opened?;
        let (inode, device) = (opened.inode, opened.device);
        let fail = |e: io::Error| unreadable(&rotated.path, &failed(&rotated.path, &e).message);
        let (input, read, pass) = if rotated.packed == Packed::No {
            (Input::Plain(opened.file), offset, 0)
        } else {
            (Input::Packed(unpack(opened, rotated.packed).map_err(fail)?), 0, offset)
        };
        let mark = match &input {
            Input::Plain(file) => (read, mark(file, read)),
            Input::Packed(_) => (0, 0),
        };
        let splitter = Splitter::default();
        Ok(Current { inode, device, input, read, pass, splitter, mark, live: false })
    }

    /// Reads on.
    pub(super) fn step(&mut self) -> Out {
        let mut out = Out::default();
        self.sieve.set_now(clock::now_ms());
        let mut buffer = vec![0; CHUNK];
        let (mut read, mut found) = (0, 0);
        if self.follow && self.current.as_ref().is_some_and(|c| c.live && c.was_rewritten()) {
            self.truncated();
        }
        while read < STEP && found < ENOUGH && out.next == Next::More {
            if !self.gaps.is_empty() {
                if !out.lines.is_empty() {
                    break;
                }
                out.gaps.append(&mut self.gaps);
            }
            let from = out.lines.len();
            read += self.some(&mut buffer, &mut out);
            found += out.lines[from..].iter().map(|line| line.bytes.len() + 16).sum::<usize>();
            if self.sieve.is_over() {
                out.next = Next::Over;
            }
        }
        if out.next != Next::More {
            self.sieve.settle(&mut out.lines);
            if out.lines.is_empty() {
                out.gaps.append(&mut self.gaps);
            } else if !self.gaps.is_empty() {
                out.next = Next::More;
            }
        }
        out.seen = self.sieve.take_seen();
        out.place = self.place().or(out.place.take());
        out.new_file = std::mem::take(&mut self.new_file);
        if out.next != Next::More || !out.lines.is_empty() {
            out.first = self.first.take();
        }
        out
    }

    /// Reads a piece, or finds out why there is none.
    fn some(&mut self, buffer: &mut [u8], out: &mut Out) -> usize {
        let Some(current) = &mut self.current else {
            // Nothing comes to what is packed; who follows it may still ask for other lines of it.
            out.next = if self.follow { Next::Idle } else { Next::Over };
            if self.follow && !self.is_packed() && self.access.open(&self.path).is_ok() {
                self.gone = false;
                self.gaps.push(gap(GapKind::Rotated, ""));
                self.turn(0);
                out.next = Next::More;
            }
            return 0;
        };
        let mut room = buffer.len();
        if let Some((_, end)) = self.end.filter(|(inode, _)| *inode == current.inode) {
            room = room.min(usize::try_from(end.saturating_sub(current.read)).unwrap_or(room));
            if room == 0 {
                current.finish(&mut self.sieve, &mut out.lines);
                out.next = Next::Over;
                return 0;
            }
        }
        match current.read(&mut buffer[..room]) {
            Ok(0) => {}
            Ok(n) => {
                let wanted = &buffer[current.passed(n)..n];
                if let Some(offset) = current.sift(wanted, &mut self.sieve, &mut out.lines) {
                    let file = Some(current.inode);
                    self.first = Some(At { file, offset: Some(offset), ..At::default() });
                }
                return n;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return 0,
            Err(e) => {
                self.gaps.push(unreadable(&self.path, &cmdr_link::files::reason(&e)));
                if current.live {
                    out.next = Next::Over;
                    return 0;
                }
            }
        }
        if !current.live {
            current.finish(&mut self.sieve, &mut out.lines);
            out.place = Some(current.place());
            self.turn(0);
        } else if self.follow {
            self.at_end(buffer, out);
        } else {
            current.finish(&mut self.sieve, &mut out.lines);
            out.next = Next::Over;
        }
        0
    }

    /// The log is read to its end: nothing new, or another file has its name.
    fn at_end(&mut self, buffer: &mut [u8], out: &mut Out) {
        let Some(current) = &self.current else { return };
        self.sieve.set_live(clock::now_ms());
        out.next = Next::Idle;
        if current.was_rewritten() {
            out.next = Next::More;
            return self.truncated();
        }
        match std::fs::symlink_metadata(&self.path) {
            Ok(meta) if (meta.ino(), meta.dev()) == (current.inode, current.device) => {
                (self.taken_over, self.gone) = (None, false);
            }
            Ok(meta) => {
                let since = *self.taken_over.get_or_insert_with(Instant::now);
                if meta.len() > 0 || since.elapsed() >= TAKEOVER {
                    out.next = self.take_over(out);
                }
            }
            Err(_) if !self.gone => {
                self.gone = true;
                self.gaps.push(gap(GapKind::Gone, ""));
            }
            Err(_) => {}
        }
        self.read_late(buffer, out);
    }

    fn take_over(&mut self, out: &mut Out) -> Next {
        // A link or what may not be read is no successor.
        let Ok(opened) = self.access.open(&self.path) else { return Next::Idle };
        let Some(mut old) = self.current.take() else { return Next::Idle };
        old.finish(&mut self.sieve, &mut out.lines);
        self.late = Some(Late { current: old, until: Instant::now() + LATE });
        self.gaps.push(gap(GapKind::Rotated, ""));
        (self.taken_over, self.gone, self.new_file) = (None, false, true);
        self.current = Some(Current::live(opened, 0));
        Next::More
    }

    /// A program that has not noticed the rotation writes to the old file for a while.
    fn read_late(&mut self, buffer: &mut [u8], out: &mut Out) {
        let Some(late) = &mut self.late else { return };
        if let Ok(n @ 1..) = late.current.read(buffer) {
            late.current.sift(&buffer[..n], &mut self.sieve, &mut out.lines);
            out.next = Next::More;
        } else if late.until <= Instant::now() {
            late.current.finish(&mut self.sieve, &mut out.lines);
            self.late = None;
        }
    }

    fn truncated(&mut self) {
        if let Some(current) = &mut self.current {
            current.splitter.clear();
            current.read = 0;
            if let Input::Plain(file) = &current.input {
                current.mark = (0, mark(file, 0));
            }
            self.gaps.push(gap(GapKind::Truncated, ""));
        }
    }

    /// Whether something may still come without anybody telling.
    pub(super) fn is_waiting(&self) -> bool {
        self.late.is_some() || self.taken_over.is_some()
    }
}
