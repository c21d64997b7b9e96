//! Writes one recording: frames become events, events become lines, lines become sealed pieces of the
//! file. Lives on one of the recorder's threads.
//!
//! What was written reaches the disk within a second, and whole pieces of [`CHUNK`] sooner. A disk that
//! is full or broken costs what cannot be written, which the recording says itself when it can again.

use super::bodies;
use super::chunks::{Press, Sealer};
use super::danger::MARKS;
use super::lines::Characters;
use super::live::{Fresh, Live, Part, Way};
use super::recover::END;
use super::typed::Typed;
use bytes::Bytes;
use cmdr_link::frame::{FrameReader, Tag};
use cmdr_link::mux::Source;
use cmdr_protocol::recordings::{EventKind, Mark, cast};
use cmdr_protocol::sessions::Size;
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// As soon as so much asciicast waits, it becomes a piece.
const CHUNK: usize = 256 << 10;
/// What waits so long becomes a piece, however little it is.
const AGE: Duration = Duration::from_millis(500);
/// Bytes kept free behind the file while it grows: what its end takes on a disk that is full.
const RESERVE: u64 = 4096;
/// Begins the mark that says what was lost.
pub(super) const LOST: &str = "lost ";

/// How much may be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one recording.
    pub(super) largest: u64,
    /// Bytes that stay free on the disk.
    pub(super) free: u64,
}

/// Pieces of frames that have come.
#[derive(Debug, Default)]
struct Pieces(VecDeque<Bytes>);

impl Source for Pieces {
    fn poll_take(&mut self, _: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        let Some(front) = self.0.front_mut() else { return Poll::Pending };
        let piece = front.split_to(most.min(front.len()));
        if front.is_empty() {
            self.0.pop_front();
        }
        Poll::Ready(Ok(piece))
    }
}

/// A recording on its way into its file.
#[derive(Debug)]
pub(super) struct Writing {
    live: Arc<Live>,
    file: File,
    sealer: Sealer,
    bounds: Bounds,
    back: FrameReader<Pieces>,
    forth: FrameReader<Pieces>,
    stdout: Characters,
    stderr: Characters,
    stdin: Characters,
    /// Input is recorded.
    input: bool,
    /// Looks at what is typed into a session.
    typed: Option<Typed>,
    /// The size of the terminal that was told last.
    terminal: Option<Size>,
    /// When the first line that is not in the file was written, and what time it bears.
    since: Option<(Instant, u64)>,
    /// Bytes that these lines stand for.
    waiting: u64,
    /// Since when the file has what the disk may not have.
    unsynced: Option<Instant>,
    /// Bytes lost and not told of yet, and why.
    gap: (u64, &'static str),
    full: bool,
    broken: bool,
    /// How what is recorded has ended, and when.
    end: Option<(u64, String)>,
    over: bool,
}

/// Makes sure of room for so many bytes at this place, and for the end behind them.
pub(super) fn reserve(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes + RESERVE) {
        // A file system that cannot do it ahead says so when it is written.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a mark where it is new and there is room, the gravest first; whether it was.
fn mark_up(marks: &mut Vec<Mark>, mark: &Mark) -> bool {
    if marks.len() >= MARKS || marks.iter().any(|known| known.what == mark.what) {
        return false;
    }
    let at = marks.partition_point(|known| known.level >= mark.level);
    marks.insert(at, mark.clone());
    true
}

fn fresh(live: &Live) -> std::sync::MutexGuard<'_, Fresh> {
    live.fresh.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writing {
    /// Goes on behind what `file` holds, which is `offset` bytes; `first` are lines to begin with.
    pub(super) fn new(
        live: Arc<Live>,
        file: File,
        sealer: Sealer,
        offset: u64,
        first: Vec<u8>,
        bounds: Bounds,
    ) -> Self {
        *fresh(&live) = Fresh { lines: first, number: sealer.number(), offset, over: false };
        live.size.store(offset, Ordering::Relaxed);
        Self {
            live,
            file,
            sealer,
            bounds,
            back: FrameReader::new(Pieces::default()),
            forth: FrameReader::new(Pieces::default()),
            stdout: Characters::default(),
            stderr: Characters::default(),
            stdin: Characters::default(),
            input: true,
            typed: None,
            terminal: None,
            since: Some((Instant::now(), 0)),
            waiting: 0,
            unsynced: None,
            gap: (0, ""),
            full: false,
            broken: false,
            end: None,
            over: false,
        }
    }

    /// Says what becomes of input: whether it is recorded, and what looks at it.
    pub(super) fn with_input(mut self, recorded: bool, typed: Option<Typed>) -> Self {
        (self.input, self.typed) = (recorded, typed);
        self
    }

    /// The hub stops: it ends here.
    pub(super) fn stop(&self) {
        self.live.end("the hub stopped".to_owned());
    }

    /// Writes what has come. True when nothing more will.
    pub(super) fn turn(&mut self, press: &mut Press) -> bool {
        let live = self.live.clone();
        let (parts, much) = live.take();
        press.hurry = much;
        let came = !parts.is_empty();
        {
            let mut fresh = fresh(&live);
            for (at, part) in parts {
                let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
                match part {
                    Part::Piece(way, piece) => {
                        self.piece(&mut fresh, press, (way, piece), at_us);
                    }
                    Part::Lost(bytes) => {
                        let why =
                            if self.full { self.gap.1 } else { "the hub's disk was too slow" };
                        self.lose(bytes, why);
                    }
                    Part::End(how) => {
                        self.finish(&mut fresh, at_us);
                        self.end = Some((at_us, how));
                        self.over = true;
                    }
                }
            }
            let old = self.since.is_some_and(|(since, _)| since.elapsed() >= AGE);
            if self.over {
                self.close(&mut fresh, press);
            } else if old {
                self.flush(&mut fresh, press, false);
            }
            fresh.over = self.over;
        }
        if self.unsynced.is_some_and(|since| self.over || since.elapsed() >= AGE) {
            self.unsynced = None;
            if let Err(e) = self.file.sync_data() {
                tracing::error!(recording = live.id, "bringing a recording to disk: {e}");
                self.broken = true;
            }
        }
        if came && live.news.receiver_count() > 0 {
            live.news.send_modify(|n| *n += 1);
        }
        if self.over {
            live.news.send_modify(|n| *n += 1);
            live.done.send_replace(true);
        }
        self.over
    }

    fn piece(
        &mut self,
        fresh: &mut Fresh,
        press: &mut Press,
        (way, piece): (Way, Bytes),
        at_us: u64,
    ) {
        let mut cx = Context::from_waker(Waker::noop());
        let reader = if way == Way::Back { &mut self.back } else { &mut self.forth };
        if !piece.is_empty() {
            reader.get_mut().0.push_back(piece);
        }
        loop {
            let reader = if way == Way::Back { &mut self.back } else { &mut self.forth };
            match reader.poll_frame(&mut cx) {
                Poll::Ready(Ok(Some(frame))) if frame.tag == Tag::Body => {
                    self.body(fresh, way, at_us, &frame.payload);
                }
                Poll::Ready(Ok(Some(_))) => {}
                _ => return,
            }
            if fresh.lines.len() >= CHUNK {
                self.flush(fresh, press, false);
            }
        }
    }

    fn body(&mut self, fresh: &mut Fresh, way: Way, at_us: u64, body: &[u8]) {
        match way {
            Way::Back => {
                let bodies::Output { stdout, stderr, size, begun } = bodies::output(body);
                if let Some(begun) = begun {
                    begun.id.clone_into(&mut held(&self.live.session));
                }
                if let Some(size) = size.filter(|size| self.terminal != Some(*size)) {
                    self.terminal = Some(size);
                    let told = format!("{}x{}", size.columns, size.rows);
                    self.line(fresh, at_us, EventKind::Resize, told.as_bytes());
                }
                let stdout = self.stdout.push(stdout);
                self.event(fresh, at_us, EventKind::Output, &stdout);
                let stderr = self.stderr.push(stderr);
                self.event(fresh, at_us, EventKind::Output, &stderr);
            }
            Way::Forth => {
                let data = bodies::input(body);
                if self.input {
                    let input = self.stdin.push(data);
                    self.event(fresh, at_us, EventKind::Input, &input);
                }
                let struck = self.typed.as_mut().map(|typed| typed.push(data, at_us / 1000));
                for mark in struck.unwrap_or_default() {
                    if !mark_up(&mut held(&self.live.marks), &mark) {
                        continue;
                    }
                    let told = format!("{}: {}", mark.level, mark.what);
                    self.line(fresh, at_us, EventKind::Mark, told.as_bytes());
                }
            }
        }
    }

    fn event(&mut self, fresh: &mut Fresh, at_us: u64, kind: EventKind, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let bytes = data.len() as u64;
        if self.full {
            return self.lose(bytes, self.gap.1);
        }
        let so_far = self.live.bytes.load(Ordering::Relaxed) + self.waiting;
        if so_far + bytes > self.bounds.largest {
            self.full = true;
            self.live.is_full.store(true, Ordering::Relaxed);
            let why = "it has reached its limit";
            self.line(fresh, at_us, EventKind::Mark, why.as_bytes());
            self.give_up(why);
            return self.lose(bytes, why);
        }
        self.tell_gap(fresh, at_us);
        self.waiting += bytes;
        self.line(fresh, at_us, kind, data);
    }

    fn line(&mut self, fresh: &mut Fresh, at_us: u64, kind: EventKind, data: &[u8]) {
        self.since.get_or_insert_with(|| (Instant::now(), at_us));
        cast::event(&mut fresh.lines, at_us, kind, data, true);
    }

    fn lose(&mut self, bytes: u64, why: &'static str) {
        self.gap = (self.gap.0 + bytes, why);
        self.live.lost.fetch_add(bytes, Ordering::Relaxed);
    }

    fn tell_gap(&mut self, fresh: &mut Fresh, at_us: u64) {
        let (bytes, why) = std::mem::take(&mut self.gap);
        if bytes > 0 {
            let told = format!("{LOST}{bytes} bytes: {why}");
            self.line(fresh, at_us, EventKind::Mark, told.as_bytes());
        }
    }

    /// What is strict does not go on without its recording.
    fn give_up(&self, why: &str) {
        if self.live.strict {
            self.live.stop(CallError::new(
                ErrorKind::Busy,
                format!("it must be recorded and no longer can be, so it was ended: {why}"),
            ));
        }
    }

    fn finish(&mut self, fresh: &mut Fresh, at_us: u64) {
        let rest = [self.stdout.finish(), self.stderr.finish()].concat();
        self.event(fresh, at_us, EventKind::Output, &rest);
        let rest = self.stdin.finish();
        self.event(fresh, at_us, EventKind::Input, &rest);
    }

    /// Writes the last piece; on a full disk at least the end itself, for which room was kept.
    fn close(&mut self, fresh: &mut Fresh, press: &mut Press) {
        let (at_us, how) = self.end.take().unwrap_or_default();
        for _ in 0..2 {
            self.tell_gap(fresh, at_us);
            self.line(fresh, at_us, EventKind::Mark, format!("{END}{how}").as_bytes());
            if self.flush(fresh, press, true) {
                // Gives back what was kept free.
                drop(self.file.set_len(fresh.offset));
                return;
            }
        }
        self.live.is_cut.store(true, Ordering::Relaxed);
    }

    /// Makes a piece of what waits. When it cannot be written it is lost, and told of later.
    fn flush(&mut self, fresh: &mut Fresh, press: &mut Press, last: bool) -> bool {
        let at_us = self.since.take().map_or(0, |(_, at_us)| at_us);
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.write(fresh, press, at_us, last);
        let kept = written.is_ok();
        match written {
            Ok(bytes) => {
                self.sealer.kept();
                fresh.number = self.sealer.number();
                fresh.offset += bytes;
                self.live.size.store(fresh.offset, Ordering::Relaxed);
                self.live.bytes.fetch_add(waiting, Ordering::Relaxed);
                self.unsynced.get_or_insert_with(Instant::now);
                self.broken = false;
            }
            Err(e) => {
                // What was written of it is not part of the file. A cut gives the room for the end away too.
                if self.file.metadata().is_ok_and(|meta| meta.len() > fresh.offset) {
                    drop(self.file.set_len(fresh.offset));
                    drop(reserve(&self.file, fresh.offset, 0));
                }
                if !std::mem::replace(&mut self.broken, true) {
                    tracing::error!(recording = self.live.id, "writing a recording: {e}");
                }
                let why = "the hub's disk was full or broken";
                self.give_up(&format!("{why}: {e}"));
                self.lose(waiting, why);
            }
        }
        fresh.lines.clear();
        kept
    }

    fn write(
        &mut self,
        fresh: &Fresh,
        press: &mut Press,
        at_us: u64,
        last: bool,
    ) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.file)?;
        // The last piece is little, and worth more than the reserve.
        if !last && disk.f_bavail.saturating_mul(disk.f_frsize) < self.bounds.free {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "too little of the disk is free ([recordings] free_mb)",
            ));
        }
        let piece = self.sealer.seal(press, at_us, last, &fresh.lines)?;
        if !last {
            reserve(&self.file, fresh.offset, piece.len() as u64)?;
        }
        self.file.write_all_at(&piece, fresh.offset)?;
        Ok(piece.len() as u64)
    }
}
