//! What is to be done beside appending and asking, in small steps: write the log, make a segment of
//! what is hot, let old tiers become thinner, drop what is too old or too much. Driven by `Store::tick`.
//!
//! Each segment is written beside its place and renamed, and only then is what it was made of removed:
//! wherever the process ends, opening finds either the one or the other, or both and removes the older.

use crate::head::Generation;
use crate::log::{self, Log};
use crate::names::Kind;
use crate::query::Snapshot;
use crate::segment::Writer;
use crate::store::Store;
use crate::{Error, Source, remove, thin};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// One tick works so long at most, beside waiting for the disk.
const BUDGET: Duration = Duration::from_millis(25);

#[derive(Debug)]
pub(crate) struct Work {
    log: Log,
    /// Entries of the live log that are not durable yet.
    unsynced: Vec<u8>,
    synced_at: Option<Instant>,
    job: Option<Job>,
    /// The number of the next file.
    pub(crate) next: u64,
}

#[derive(Debug)]
struct Job {
    writer: Writer,
    at: usize,
    kind: Doing,
}

#[derive(Debug)]
enum Doing {
    /// What is hot becomes a segment.
    Checkpoint(Arc<Generation>),
    /// A window of the tier before becomes thinner.
    Thin { tier: usize, from: i64, to: i64, sources: Vec<Source>, snapshot: Box<Snapshot> },
}

impl Work {
    pub(crate) fn new(log: Log, next: u64) -> Self {
        Self { log, unsynced: Vec::new(), synced_at: None, job: None, next }
    }
}

impl Store {
    /// Does what is due. To be called about once a second, by one thread; `now_ms` is the time of day.
    /// An error says what could not be done: it is tried again with the next call, and meanwhile all that the
    /// store has stays readable.
    pub fn tick(&self, now_ms: i64) -> Result<(), Error> {
        let begun = Instant::now();
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = self.flush_if_due(&mut work);
        while done.is_ok() && begun.elapsed() < BUDGET {
            match self.step(&mut work, now_ms) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => done = Err(e),
            }
        }
        self.settle(done)
    }

    /// Puts everything on disk and does all work that is due.
    pub fn finish(&self, now_ms: i64) -> Result<(), Error> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = self.flush(&mut work);
        while done.is_ok() {
            match self.step(&mut work, now_ms) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => done = Err(e),
            }
        }
        self.settle(done)
    }

    /// Makes a segment of what is hot, now.
    pub fn checkpoint(&self, now_ms: i64) -> Result<(), Error> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.checkpoint_all(&mut work, now_ms);
        self.settle(done)
    }

    pub(crate) fn checkpoint_all(&self, work: &mut Work, now_ms: i64) -> Result<(), Error> {
        while work.job.is_some() || self.begin_waiting(work)? {
            self.step(work, now_ms)?;
        }
        if self.begin_checkpoint(work)? {
            while work.job.is_some() {
                self.step(work, now_ms)?;
            }
        }
        Ok(())
    }

    /// Notes how an attempt went, and makes room if room was what was missing.
    fn settle(&self, done: Result<(), Error>) -> Result<(), Error> {
        let mut shared = self.shared();
        shared.health.trouble = done.as_ref().err().map(|e| crate::query::chain(e));
        if done.as_ref().is_err_and(Error::is_no_room) {
            drop(shared);
            self.drop_oldest()?;
        }
        done
    }

    fn flush_if_due(&self, work: &mut Work) -> Result<(), Error> {
        if work.synced_at.is_some_and(|at| at.elapsed() < self.options.sync_every) {
            return Ok(());
        }
        self.flush(work)
    }

    pub(crate) fn flush(&self, work: &mut Work) -> Result<(), Error> {
        let row = {
            let mut shared = self.shared();
            if work.unsynced.is_empty() {
                std::mem::swap(&mut work.unsynced, &mut shared.pending);
            } else {
                work.unsynced.append(&mut shared.pending);
            }
            shared.unsynced = work.unsynced.len();
            shared.appended
        };
        if !work.unsynced.is_empty() {
            work.synced_at = Some(Instant::now());
            work.log.append(&work.unsynced)?;
            work.unsynced.clear();
            work.unsynced.shrink_to(1 << 20);
            self.shared().unsynced = 0;
        }
        self.set_durable(row);
        Ok(())
    }

    /// One bounded piece of work; whether there may be more.
    fn step(&self, work: &mut Work, now_ms: i64) -> Result<bool, Error> {
        if let Some(mut job) = work.job.take() {
            // A job that fails is let go: its file beside is removed, and it begins anew when there is room.
            if self.go_on(&mut job)? {
                work.job = Some(job);
            } else {
                self.complete(job)?;
            }
            return Ok(true);
        }
        self.drop_too_old(now_ms)?;
        if self.begin_waiting(work)? {
            return Ok(true);
        }
        let due = {
            let shared = self.shared();
            let oldest = shared.live.heads.iter().filter(|(_, h)| h.rows > 0);
            let span = oldest.map(|(_, h)| h.first_ms).min().map(|t| shared.newest_ms - t);
            shared.live_bytes >= self.options.hot_bytes
                || span.is_some_and(|span| span >= self.options.hot_for.as_millis() as i64)
        };
        if due && self.begin_checkpoint(work)? {
            return Ok(true);
        }
        self.begin_thinning(work, now_ms)
    }

    /// What is frozen already (an attempt failed), or what an earlier process left.
    fn begin_waiting(&self, work: &mut Work) -> Result<bool, Error> {
        let Some(frozen) = self.shared().frozen.first().cloned() else { return Ok(false) };
        let writer = Writer::create(&self.dir, 0, frozen.sequence)?;
        work.job = Some(Job { writer, at: 0, kind: Doing::Checkpoint(frozen) });
        Ok(true)
    }

    /// Freezes what is hot and goes on with a new log.
    fn begin_checkpoint(&self, work: &mut Work) -> Result<bool, Error> {
        if self.begin_waiting(work)? {
            return Ok(true);
        }
        self.flush(work)?;
        let sequence = work.next;
        let log = Log::create(&self.dir, sequence)?;
        work.next += 1;
        let mut shared = self.shared();
        // What came since the flush belongs to the old log still. This is the one time that appending
        // waits for the disk.
        if !shared.pending.is_empty() {
            if let Err(e) = work.log.append(&shared.pending) {
                drop(shared);
                remove(&log.path)?;
                return Err(e);
            }
            shared.pending.clear();
            let row = shared.appended;
            self.set_durable(row);
        }
        let frozen = std::mem::replace(&mut shared.live, Generation::new(sequence));
        shared.live_bytes = 0;
        work.log = log;
        shared.frozen.push(Arc::new(frozen));
        drop(shared);
        self.begin_waiting(work)
    }

    fn begin_thinning(&self, work: &mut Work, now_ms: i64) -> Result<bool, Error> {
        let ladder = &self.options.ladder;
        for tier in 1..ladder.tiers().len() {
            let Some(keep) = ladder.keep_ms(tier - 1) else { break };
            let shared = self.shared();
            // A clock of ours that is far ahead must not age what nobody has followed up on.
            let old = now_ms.min(shared.newest_ms).saturating_sub(keep);
            let floor = shared.floors[tier];
            let segments = shared.segments.iter().filter(|s| s.tier == tier - 1);
            let mut first = segments.flat_map(|s| &s.entries).map(|e| e.first_ms).min();
            let mut hot = i64::MAX;
            if tier == 1 {
                let heads = shared.live.heads.iter().filter(|(_, h)| h.rows > 0);
                hot = heads.map(|(_, h)| h.first_ms).min().unwrap_or(i64::MAX);
                first = first.into_iter().chain((hot < i64::MAX).then_some(hot)).min();
            }
            let Some(first) = first else { continue };
            let window = ladder.window_ms(tier);
            let from = first.max(floor);
            let to = (from.div_euclid(window) + 1) * window;
            if to > old {
                continue;
            }
            drop(shared);
            if tier == 1 {
                // No row of the window may come any more, and those that are hot go into a segment first.
                self.shared().closed = to;
                if hot < to {
                    return self.begin_checkpoint(work);
                }
            }
            let snapshot = Box::new(self.snapshot());
            let mut sources: Vec<Source> = snapshot
                .segments
                .iter()
                .filter(|s| s.tier == tier - 1)
                .flat_map(|s| &s.entries)
                .filter(|e| e.first_ms < to && e.last_ms >= from)
                .map(|e| e.source)
                .collect();
            sources.sort_unstable();
            sources.dedup();
            let writer = Writer::create(&self.dir, tier, work.next)?;
            work.next += 1;
            let kind = Doing::Thin { tier, from, to, sources, snapshot };
            work.job = Some(Job { writer, at: 0, kind });
            return Ok(true);
        }
        Ok(false)
    }

    /// The next source of a job; `false` when there is none.
    fn go_on(&self, job: &mut Job) -> Result<bool, Error> {
        match &job.kind {
            Doing::Checkpoint(generation) => {
                let Some((source, head)) = generation.heads.get(job.at) else { return Ok(false) };
                if head.rows > 0 {
                    job.writer.add(*source, &head.rows(None).sorted())?;
                }
            }
            Doing::Thin { tier, from, to, sources, snapshot } => {
                let Some(source) = sources.get(job.at) else { return Ok(false) };
                let step = self.options.ladder.step_ms(*tier);
                let mut thinned = Vec::new();
                for (name, points) in snapshot.tier_points(source, tier - 1, *from, *to) {
                    let kind = snapshot.kind(name);
                    let before = match kind {
                        Kind::Counter => snapshot.last_before(source, name, *tier, *from),
                        Kind::Gauge => None,
                    };
                    thinned.push((name, thin::thin(&points, *tier == 1, kind, step, before)));
                }
                job.writer.add(*source, &crate::rows::Rows::gather(thinned))?;
            }
        }
        job.at += 1;
        Ok(true)
    }

    fn complete(&self, Job { writer, kind, .. }: Job) -> Result<(), Error> {
        let finish = |window: Option<(i64, i64)>| -> Result<_, Error> {
            if writer.is_empty() {
                return Ok(None);
            }
            Ok(Some(Arc::new(writer.finish(window, &self.shared)?)))
        };
        match kind {
            Doing::Checkpoint(generation) => {
                let segment = finish(None)?;
                let mut shared = self.shared();
                shared.segments.extend(segment);
                shared.frozen.remove(0);
                drop(shared);
                remove(&log::path(&self.dir, generation.sequence))?;
            }
            Doing::Thin { tier, from, to, .. } => {
                let segment = finish(Some((from, to)))?;
                let mut shared = self.shared();
                shared.segments.extend(segment);
                for floor in &mut shared.floors[1..=tier] {
                    *floor = (*floor).max(to);
                }
            }
        }
        if let Some(most) = self.options.bytes_max {
            while self.shared().segments.iter().map(|s| s.bytes).sum::<u64>() > most {
                if !self.drop_oldest()? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Drops files whose time is over, or has become part of a thinner tier.
    fn drop_too_old(&self, now_ms: i64) -> Result<(), Error> {
        let mut gone = Vec::new();
        {
            let mut shared = self.shared();
            let now = now_ms.min(shared.newest_ms);
            let floors = shared.floors.clone();
            let last = floors.len() - 1;
            let keep = self.options.ladder.keep_ms(last);
            shared.segments.retain(|s| {
                let below = floors.get(s.tier + 1).copied();
                let old = s.tier == last && keep.is_some_and(|k| s.to <= now.saturating_sub(k));
                let stays = !old && below.is_none_or(|floor| s.to > floor);
                if !stays {
                    gone.push(s.path.clone());
                }
                stays
            });
        }
        gone.iter().try_for_each(|path| remove(path))
    }

    /// Drops the oldest file of the coarsest tier, to make room; `false` when there is none.
    pub(crate) fn drop_oldest(&self) -> Result<bool, Error> {
        let path = {
            let mut shared = self.shared();
            let oldest = shared.segments.iter().enumerate();
            let oldest = oldest.max_by_key(|(_, s)| (s.tier, std::cmp::Reverse(s.from)));
            let Some(i) = oldest.map(|(i, _)| i) else { return Ok(false) };
            shared.health.dropped += 1;
            shared.segments.remove(i).path.clone()
        };
        remove(&path)?;
        Ok(true)
    }
}
