//! Brings order into what a killed hub has left: recordings that still say they run. What is whole of
//! their files stays and gets an end; what was torn is cut off.

use super::Recorder;
use super::chunks::{Chunk, Chunks, Flaw, Press, Sealer};
use super::lines::Lines;
use super::tail::Source;
use cmdr_protocol::CallError;
use cmdr_protocol::recordings::{EventKind, Recording, State, cast};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt as _;

/// Begins the mark that says how a command ended.
pub(super) const END: &str = "end: ";
/// The mark at the end of what a crash has cut.
const CUT: &str = "cut: the hub was killed here";

impl Recorder {
    /// Closes what was running when the hub was killed; says how many that were.
    pub async fn recover(&self) -> u64 {
        let left: Vec<Recording> = {
            let entries = self.entries();
            let running = entries.values().filter(|entry| {
                entry.live.is_none() && entry.record.recording.state == State::Running
            });
            running.map(|entry| entry.record.recording.clone()).collect()
        };
        let mut count = 0;
        for recording in left {
            let id = recording.id;
            if let Err(e) = self.recover_one(recording).await {
                tracing::error!(recording = id, "closing what a crash has left: {e}");
            } else {
                count += 1;
            }
        }
        count
    }

    async fn recover_one(&self, mut recording: Recording) -> Result<(), CallError> {
        let (id, source) = (recording.id, self.source(recording.id)?);
        let closed = tokio::task::spawn_blocking(move || {
            let closed = close(&source, &mut recording);
            closed.map(|()| recording)
        });
        let closed = closed.await.map_err(io::Error::other).and_then(|closed| closed);
        let recording = closed.map_err(|e| CallError::failed(e.to_string()))?;
        self.change(id, |entry| entry.record.recording = recording).await.map(drop)
    }
}

/// What is in the pieces of a file.
#[derive(Debug, Default)]
struct Found {
    lines: Lines,
    pieces: u64,
    end: u64,
    last: bool,
    last_us: u64,
    bytes: u64,
    gaps: bool,
    ended: Option<String>,
}

impl Found {
    fn add(&mut self, chunk: &Chunk) {
        self.pieces += 1;
        (self.end, self.last) = (chunk.end, chunk.last);
        let (last_us, bytes) = (&mut self.last_us, &mut self.bytes);
        let (gaps, ended) = (&mut self.gaps, &mut self.ended);
        self.lines.read(&chunk.plain, |event| {
            *last_us = event.at_us;
            if event.kind == EventKind::Mark {
                let told = String::from_utf8_lossy(&event.data);
                *gaps |= told.starts_with(super::writing::LOST);
                *ended = told.strip_prefix(END).map(str::to_owned);
            } else {
                *bytes += event.data.len() as u64;
            }
            true
        });
    }
}

fn read(source: &Source) -> io::Result<Result<(Found, Option<Flaw>), Flaw>> {
    let io = BufReader::new(File::open(&source.path)?);
    let mut chunks = match Chunks::new(io, source.id, &source.key)? {
        Ok(chunks) => chunks,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let mut found = Found { end: super::chunks::FILE_HEAD, ..Found::default() };
    loop {
        match chunks.read()? {
            Ok(Some(chunk)) => found.add(&chunk),
            Ok(None) => return Ok(Ok((found, None))),
            Err(flaw) => return Ok(Ok((found, Some(flaw)))),
        }
    }
}

fn close(source: &Source, recording: &mut Recording) -> io::Result<()> {
    let found = match read(source) {
        Ok(Ok((found, flaw))) => {
            let torn = flaw.as_ref().is_some_and(|flaw| flaw.torn);
            if let (Some(flaw), false) = (&flaw, torn) {
                // Damage is evidence, and stays.
                tracing::error!(recording = source.id, "a recording is damaged: {flaw}");
                recording.state = State::Cut;
                recording.size = std::fs::metadata(&source.path)?.len();
                return Ok(());
            }
            found
        }
        Ok(Err(flaw)) if flaw.torn => {
            // Not even its head was on disk.
            File::options().write(true).open(&source.path)?.set_len(0)?;
            let file = File::options().write(true).open(&source.path)?;
            file.write_all_at(&super::chunks::file_head(source.id), 0)?;
            Found { end: super::chunks::FILE_HEAD, ..Found::default() }
        }
        Ok(Err(flaw)) => return Err(io::Error::other(flaw.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            recording.state = State::Missing;
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    recording.took_ms = found.last_us / 1000;
    recording.bytes = found.bytes;
    recording.size = found.end;
    if found.last {
        let gaps = if found.gaps { State::Gaps } else { State::Whole };
        recording.state = gaps;
        recording.ended = found.ended.unwrap_or_default();
        return Ok(());
    }
    let file = File::options().write(true).open(&source.path)?;
    file.set_len(found.end)?;
    let mut lines = Vec::new();
    cast::event(&mut lines, found.last_us, EventKind::Mark, CUT.as_bytes(), false);
    let sealer = Sealer::new(source.id, &source.key, found.pieces)?;
    let piece = sealer.seal(&mut Press::new()?, found.last_us, true, &lines)?;
    file.write_all_at(&piece, found.end)?;
    file.sync_all()?;
    recording.size = found.end + piece.len() as u64;
    recording.state = State::Cut;
    "the hub was killed meanwhile".clone_into(&mut recording.ended);
    Ok(())
}
