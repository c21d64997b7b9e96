//! Reads recordings: finished ones from their files, running ones from file and memory together, so
//! that whoever watches is a moment behind and never in the way. Reading blocks; callers do it on a
//! thread for that.

use super::chunks::{self, Chunks, FILE_HEAD, Flaw, Key};
use super::lines::Lines;
use super::live::Live;
use cmdr_protocol::recordings::Event;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

/// Whoever is so many bytes of the file behind, and wants what comes now, passes over the rest.
const BEHIND: u64 = 4 << 20;

/// Where a recording is and what opens it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    pub(crate) key: Key,
    /// While it runs.
    pub(crate) live: Option<Arc<Live>>,
}

/// What came of a look.
#[derive(Debug)]
pub(crate) enum Step {
    /// Events, in order; before them so many bytes were passed over.
    Events(Vec<Event>, u64),
    /// Nothing new; it still runs.
    Idle,
    /// Nothing follows.
    Over,
}

/// A place in a recording, moving on.
#[derive(Debug)]
pub(crate) struct Tail {
    source: Source,
    number: u64,
    offset: u64,
    /// Bytes of the next piece's lines that were read before it was one.
    within: usize,
    from_us: u64,
    lines: Lines,
    file: Option<Chunks<BufReader<File>>>,
    /// Keeps up with what is written, whatever it costs.
    current: bool,
}

impl Tail {
    /// From this time on.
    pub(crate) fn from(source: Source, from_us: u64) -> io::Result<Self> {
        let (number, offset) = match from_us {
            0 => (0, FILE_HEAD),
            _ => chunks::find(&mut File::open(&source.path)?, from_us)?,
        };
        let mut tail = Self::new(source);
        (tail.number, tail.offset, tail.from_us) = (number, offset, from_us);
        Ok(tail)
    }

    /// What a running one writes from now on; with `from_start` also what it has written.
    pub(crate) fn watching(source: Source, from_start: bool) -> Self {
        let mut tail = Self::new(source);
        tail.current = true;
        if let (false, Some(live)) = (from_start, &tail.source.live) {
            let fresh = live.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            (tail.number, tail.offset, tail.within) =
                (fresh.number, fresh.offset, fresh.lines.len());
        }
        tail
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            number: 0,
            offset: FILE_HEAD,
            within: 0,
            from_us: 0,
            lines: Lines::default(),
            file: None,
            current: false,
        }
    }

    /// The next piece, or what there is of it.
    pub(crate) fn next(&mut self) -> io::Result<Result<Step, Flaw>> {
        let mut skipped = 0;
        if let Some(live) = self.source.live.clone() {
            let fresh = live.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            let behind = fresh.offset.saturating_sub(self.offset);
            if self.current && self.number > 0 && behind > BEHIND {
                (self.number, self.offset, self.within) = (fresh.number, fresh.offset, 0);
                (self.file, skipped) = (None, behind);
            }
            if self.number >= fresh.number {
                let new = fresh.lines.get(self.within..).unwrap_or_default().to_vec();
                let over = fresh.over;
                drop(fresh);
                self.within += new.len();
                return Ok(Ok(match (new.is_empty(), over) {
                    (false, _) => Step::Events(self.events(&new), skipped),
                    (true, true) => Step::Over,
                    (true, false) => Step::Idle,
                }));
            }
        }
        if self.file.is_none() {
            let io = BufReader::with_capacity(64 << 10, File::open(&self.source.path)?);
            match Chunks::new(io, self.source.id, &self.source.key)? {
                Ok(chunks) => self.file = Some(chunks.at(self.number, self.offset)?),
                Err(flaw) => return Ok(Err(flaw)),
            }
        }
        let Some(file) = &mut self.file else { return Ok(Ok(Step::Over)) };
        let chunk = match file.read()? {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(Ok(Step::Over)),
            Err(flaw) => return Ok(Err(flaw)),
        };
        (self.number, self.offset) = (chunk.number + 1, chunk.end);
        let known = std::mem::take(&mut self.within);
        let new = chunk.plain.get(known..).unwrap_or_default();
        let events = self.events(new);
        Ok(Ok(Step::Events(events, skipped)))
    }

    /// Pieces that have been read.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    fn events(&mut self, lines: &[u8]) -> Vec<Event> {
        let (mut events, from_us) = (Vec::new(), self.from_us);
        self.lines.read(lines, |event| {
            if event.at_us >= from_us {
                events.push(event);
            }
            true
        });
        events
    }
}
