//! Finds where to begin: so many wanted lines before a place, at a moment, or where a reader was. Goes
//! back from the end in windows, counts and keeps nothing, so that any number of lines costs no memory.

use super::access::{Access, Opened, Packed, Rotated};
use super::file::{Start, mark, unpack, unreadable};
use super::lines::Splitter;
use super::sieve::Sieve;
use cmdr_protocol::CallError;
use cmdr_protocol::logs::{At, Gap, GapKind};
use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Looked at in one step.
const WINDOW: u64 = 1 << 20;
/// So far back is looked for lines that are wanted.
const FARTHEST: u64 = 512 << 20;
/// A time is looked for in so much.
const PROBE: u64 = 64 << 10;

/// A search for the place to begin at.
pub(super) struct Back {
    access: Access,
    sieve: Sieve,
    live: Option<u64>,
    /// The files that were rotated away, the newest first.
    rotated: Vec<Rotated>,
    /// Which file is looked at: 0 is the log itself.
    at: usize,
    opened: Option<Opened>,
    /// Up to where it was not looked at yet.
    end: u64,
    need: usize,
    found: usize,
    looked_at: u64,
    packed: Option<Unpacking>,
    gaps: Vec<Gap>,
}

/// A packed file, which can only be read from its beginning.
struct Unpacking {
    reader: Box<dyn Read + Send>,
    splitter: Splitter,
    sieve: Sieve,
    found: usize,
}

/// The end of the last whole line; a line that is being written belongs to what comes.
pub(super) fn last_line_end(opened: &Opened) -> u64 {
    let len = opened.len();
    line_start(&opened.file, len)
}

/// Where the line begins that holds or ends at the byte before `at`, 0 for the file's beginning.
fn line_start(file: &std::fs::File, at: u64) -> u64 {
    let mut buffer = vec![0; PROBE as usize];
    let mut end = at;
    while end > 0 {
        let from = end.saturating_sub(PROBE);
        let piece = &mut buffer[..(end - from) as usize];
        if file.read_exact_at(piece, from).is_err() {
            return at;
        }
        if let Some(newline) = memchr::memrchr(b'\n', piece) {
            return from + newline as u64 + 1;
        }
        end = from;
    }
    0
}

impl Back {
    /// So many wanted lines before the end, or before a place.
    pub(super) fn new(
        access: Access,
        path: &Path,
        sieve: Sieve,
        need: usize,
        before: Option<&At>,
    ) -> Result<Self, CallError> {
        let live = access.open(path);
        let rotated = access.rotated(path);
        // A packed file that is asked for by its own name is the only one there is.
        let is_packed = rotated.first().is_some_and(|own| own.path == path);
        let inode = live.as_ref().ok().filter(|_| !is_packed).map(|opened| opened.inode);
        let mut back = Self {
            access,
            sieve,
            live: inode,
            rotated,
            at: 0,
            opened: None,
            end: 0,
            need,
            found: 0,
            looked_at: 0,
            packed: None,
            gaps: Vec::new(),
        };
        match before {
            None if is_packed => {
                live?;
                (back.at, back.end) = (1, u64::MAX);
                back.begin_file()?;
            }
            None => {
                let opened = live?;
                back.end = last_line_end(&opened);
                back.opened = Some(opened);
            }
            Some(at) => {
                let wanted = at.file;
                let found = if inode.is_some() && inode == wanted {
                    Some(0)
                } else {
                    back.rotated.iter().position(|r| Some(r.inode) == wanted).map(|n| n + 1)
                };
                let Some(found) = found else {
                    return Err(CallError::not_found(
                        "the file that this place is in is not there any more",
                    ));
                };
                back.at = found;
                let packed = found > 0 && back.rotated[found - 1].packed != Packed::No;
                back.end = at.offset.unwrap_or(0);
                if packed {
                    // Its place is among unpacked bytes: all before it is looked at in one go.
                    back.begin_file()?;
                } else {
                    let path = if found == 0 { path } else { &back.rotated[found - 1].path };
                    let opened = back.access.open(path)?;
                    back.end = back.end.min(opened.len());
                    back.opened = Some(opened);
                }
            }
        }
        Ok(back)
    }

    /// Looks a bit further back; the place, when it is found.
    pub(super) fn step(&mut self) -> Option<Start> {
        if self.found >= self.need {
            return Some(self.start(self.end, false));
        }
        if self.looked_at >= FARTHEST {
            let what = format!("{} MiB", self.looked_at >> 20);
            self.gaps.push(Gap { kind: GapKind::Searched, what });
            let from = if self.packed.is_some() { 0 } else { self.end };
            return Some(self.start(from, false));
        }
        if self.packed.is_some() {
            return self.unpack_some();
        }
        if self.end == 0 {
            return self.further();
        }
        let opened = self.opened.as_ref()?;
        let from = match self.end.saturating_sub(WINDOW) {
            0 => 0,
            // The window begins with a whole line, however long that is.
            near => match line_after(&opened.file, near, self.end) {
                Some(start) => start,
                None => line_start(&opened.file, self.end - 1),
            },
        };
        let (mut sieve, mut splitter) = (self.sieve.fresh(), Splitter::default());
        let (mut buffer, mut lines, mut at) = (vec![0; PROBE as usize], Vec::new(), from);
        let mut too_old = false;
        let mut hits = 0;
        while at < self.end {
            let room = usize::try_from(self.end - at).unwrap_or(buffer.len()).min(buffer.len());
            let Ok(n @ 1..) = opened.file.read_at(&mut buffer[..room], at) else { break };
            if at == from {
                too_old = self.sieve.since_ms().is_some_and(|since| {
                    first_time(&buffer[..n], self.sieve.times()).is_some_and(|ms| ms < since)
                });
            }
            splitter.push(&buffer[..n], |piece| sieve.take(piece.into(), &mut lines));
            hits += lines.drain(..).filter(|line| !line.context).count();
            at += n as u64;
        }
        splitter.finish(|piece| sieve.take(piece.into(), &mut lines));
        sieve.settle(&mut lines);
        hits += lines.iter().filter(|line| !line.context).count();
        self.found += hits;
        self.looked_at += self.end - from;
        self.end = from;
        if too_old {
            return Some(self.start(from, false));
        }
        None
    }

    /// Goes to the file before; the beginning, when there is none.
    fn further(&mut self) -> Option<Start> {
        if self.at >= self.rotated.len() {
            return Some(self.start(0, true));
        }
        self.at += 1;
        let rotated = &self.rotated[self.at - 1];
        let too_old = self.sieve.since_ms().is_some_and(|since| rotated.changed_ms < since);
        if too_old {
            self.at -= 1;
            return Some(self.start(0, false));
        }
        self.end = u64::MAX;
        if let Err(error) = self.begin_file() {
            let gap = unreadable(&self.rotated[self.at - 1].path, &error.message);
            self.gaps.push(gap);
            self.at -= 1;
            return Some(self.start(0, false));
        }
        None
    }

    fn begin_file(&mut self) -> Result<(), CallError> {
        let rotated = &self.rotated[self.at - 1];
        let opened = self.access.open(&rotated.path)?;
        if rotated.packed == Packed::No {
            self.end = self.end.min(opened.len());
            self.opened = Some(opened);
        } else {
            let fail = |e: std::io::Error| super::access::failed(&rotated.path, &e);
            let reader = unpack(opened, rotated.packed).map_err(fail)?;
            let (splitter, sieve) = (Splitter::default(), self.sieve.fresh());
            self.packed = Some(Unpacking { reader, splitter, sieve, found: 0 });
        }
        Ok(())
    }

    fn unpack_some(&mut self) -> Option<Start> {
        let unpacking = self.packed.as_mut()?;
        let (mut buffer, mut lines) = (vec![0; PROBE as usize], Vec::new());
        let mut over = false;
        for _ in 0..16 {
            let room = usize::try_from(self.end).unwrap_or(buffer.len()).min(buffer.len());
            match unpacking.reader.read(&mut buffer[..room]) {
                Ok(n @ 1..) => {
                    let Unpacking { splitter, sieve, .. } = unpacking;
                    splitter.push(&buffer[..n], |piece| sieve.take(piece.into(), &mut lines));
                    unpacking.found += lines.drain(..).filter(|line| !line.context).count();
                    self.looked_at += n as u64;
                    self.end = self.end.saturating_sub(n as u64);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                // A broken end tells nothing against what came before it.
                _ => {
                    over = true;
                    break;
                }
            }
        }
        if !over {
            return None;
        }
        let mut unpacking = self.packed.take()?;
        let Unpacking { splitter, sieve, .. } = &mut unpacking;
        splitter.finish(|piece| sieve.take(piece.into(), &mut lines));
        sieve.settle(&mut lines);
        let hits = unpacking.found + lines.iter().filter(|line| !line.context).count();
        self.found += hits;
        self.end = 0;
        (self.found >= self.need).then(|| self.start(0, false))
    }

    fn start(&mut self, offset: u64, beginning: bool) -> Start {
        let rotated = self.rotated[..self.at].iter().rev().cloned().collect::<VecDeque<_>>();
        Start {
            rotated,
            live: self.live,
            offset,
            skip: self.found.saturating_sub(self.need),
            beginning,
            gaps: std::mem::take(&mut self.gaps),
        }
    }
}

/// The beginning of the first line behind `at` and before `end`.
fn line_after(file: &std::fs::File, at: u64, end: u64) -> Option<u64> {
    let mut buffer = vec![0; PROBE as usize];
    let mut from = at;
    while from + 1 < end {
        let room = usize::try_from(end - 1 - from).unwrap_or(buffer.len()).min(buffer.len());
        let n = file.read_at(&mut buffer[..room], from).ok().filter(|n| *n > 0)?;
        if let Some(newline) = memchr::memchr(b'\n', &buffer[..n]) {
            return Some(from + newline as u64 + 1);
        }
        from += n as u64;
    }
    None
}

/// The first time that a line among these bytes has.
fn first_time(bytes: &[u8], times: &mut super::times::Times) -> Option<u64> {
    bytes.split(|b| *b == b'\n').take(200).find_map(|line| times.of(line))
}

/// The place where lines of this moment begin.
pub(super) fn since(
    access: &Access,
    path: &Path,
    sieve: &mut Sieve,
    since_ms: u64,
) -> Result<Start, CallError> {
    let opened = access.open(path)?;
    let rotated = access.rotated(path);
    let mut start = Start {
        rotated: VecDeque::new(),
        live: Some(opened.inode),
        offset: 0,
        skip: 0,
        beginning: false,
        gaps: Vec::new(),
    };
    if rotated.first().is_some_and(|own| own.path == path) {
        // It cannot be searched by halves: what is older is left out while it is read.
        return Ok(Start { live: None, rotated: rotated.into(), ..start });
    }
    let mut probe = vec![0; PROBE as usize];
    let n = opened.file.read_at(&mut probe, 0).unwrap_or(0);
    let mut first = first_time(&probe[..n], sieve.times());
    if first.is_none() && n > 0 {
        start.gaps.push(Gap { kind: GapKind::NoTimes, what: String::new() });
    }
    let mut plain = Some(opened);
    for older in rotated {
        if first.is_some_and(|first| first <= since_ms) || older.changed_ms < since_ms {
            break;
        }
        let begin = access.open(&older.path).and_then(|opened| match older.packed {
            Packed::No => {
                let n = opened.file.read_at(&mut probe, 0).unwrap_or(0);
                Ok((n, Some(opened)))
            }
            packed => {
                let fail = |e: std::io::Error| super::access::failed(&older.path, &e);
                let mut reader = unpack(opened, packed).map_err(fail)?;
                let mut n = 0;
                while let Ok(more @ 1..) = reader.read(&mut probe[n..]) {
                    n += more;
                }
                Ok((n, None))
            }
        });
        match begin {
            Ok((n, opened)) => {
                first = first_time(&probe[..n], sieve.times()).or(first);
                plain = opened;
                start.rotated.push_front(older);
            }
            Err(error) => {
                start.gaps.push(unreadable(&older.path, &error.message));
                break;
            }
        }
    }
    if let Some(opened) = plain {
        start.offset = at_time(&opened, sieve, since_ms);
    }
    Ok(start)
}

/// Searches a file by halves for the last line before a moment.
fn at_time(opened: &Opened, sieve: &mut Sieve, since_ms: u64) -> u64 {
    let (mut low, mut high) = (0, opened.len());
    let mut probe = vec![0; PROBE as usize];
    while high - low > PROBE {
        let middle = low + (high - low) / 2;
        let Some(start) = line_after(&opened.file, middle, high) else {
            high = middle;
            continue;
        };
        let n = opened.file.read_at(&mut probe, start).unwrap_or(0);
        match first_time(&probe[..n], sieve.times()) {
            Some(ms) if ms < since_ms => low = start,
            // Where nothing tells, more is read than is needed.
            _ => high = middle,
        }
    }
    low
}

/// Where a reader was that comes again.
pub(super) fn resume(access: &Access, path: &Path, place: &At) -> Result<Start, CallError> {
    let rotated = access.rotated(path);
    let live = access.open(path);
    let mut start = Start {
        rotated: VecDeque::new(),
        live: live.as_ref().ok().map(|opened| opened.inode),
        offset: 0,
        skip: 0,
        beginning: false,
        gaps: Vec::new(),
    };
    let offset = place.offset.unwrap_or(0);
    let same = |opened: &Opened| {
        let check = place.check.is_none_or(|check| mark(&opened.file, offset) == check);
        offset <= opened.len() && check
    };
    let unknown = Gap { kind: GapKind::Missed, what: String::new() };
    let truncated = Gap { kind: GapKind::Truncated, what: String::new() };
    let is_packed = rotated.first().is_some_and(|own| own.path == path);
    match &live {
        Ok(opened) if Some(opened.inode) == place.file && !is_packed => {
            if same(opened) {
                start.offset = offset;
            } else {
                start.gaps.push(truncated);
            }
            return Ok(start);
        }
        _ => {}
    }
    let same = |rotated: &Rotated| match access.open(&rotated.path) {
        // Its place is among unpacked bytes.
        Ok(_) if rotated.packed != Packed::No => place.check.is_none(),
        opened => opened.is_ok_and(|opened| same(&opened)),
    };
    match rotated.iter().position(|r| Some(r.inode) == place.file) {
        Some(found) if same(&rotated[found]) => {
            start.rotated = rotated[..=found].iter().rev().cloned().collect();
            start.offset = offset;
        }
        _ => {
            live?;
            start.gaps.push(unknown);
            if is_packed {
                start.rotated = rotated.into();
            }
        }
    }
    Ok(start)
}
