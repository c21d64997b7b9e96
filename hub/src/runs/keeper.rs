//! Puts on disk what happens to runs, many things with one write, and only then lets it count: targets change,
//! watchers hear, hosts are told that they need not keep it any longer. The one writer of everything durable
//! about runs that have begun.

use super::links::Confirms;
use super::live::{Inner, Live};
use super::records::{self, ChangeRecord, EndRecord, LogRecord, PieceRecord};
use super::segments::{Reader, Segments};
use super::{Runs, parse_id};
use crate::store::Batch;
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::orders::{Piece, Report, Told};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{HostId, RunId};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// News that may wait to be written.
pub(super) const QUEUE: usize = 4096;
/// News written together.
const GROUP: usize = 1024;
/// Bytes of output written together.
const BLOCK: usize = 8 << 20;
/// While the disk cannot be written, it is tried again this often.
const RETRY: Duration = Duration::from_millis(500);
/// How much of a reason is kept.
const WHY: usize = 400;
/// The disk is asked for its free space once for so many bytes of output.
const LOOK: u64 = 4 << 20;

/// What is to be written.
#[derive(Debug)]
pub(super) enum News {
    /// A host told something.
    Told { host: HostId, told: Told, confirms: Arc<Confirms> },
    /// These targets are about to be sent.
    Mark { live: Arc<Live>, targets: Vec<u32> },
    /// The hub itself ends these targets, in these attempts.
    End { live: Arc<Live>, ends: Vec<End> },
    /// The run as such changes.
    Head { live: Arc<Live>, change: HeadChange, done: oneshot::Sender<Result<(), String>> },
}

/// An end that the hub gives.
#[derive(Debug)]
pub(super) struct End {
    pub(super) target: u32,
    pub(super) attempt: u32,
    pub(super) state: TargetState,
    pub(super) why: String,
}

/// What changes about a run as such.
#[derive(Debug)]
pub(super) enum HeadChange {
    /// It is stopped, for this reason.
    Stop(String),
    /// It is paused.
    Pause(String),
    /// It goes on.
    Resume,
    /// These targets are tried again.
    Retry(Vec<u32>),
}

/// What is written of one run at one time, and then applied to it.
struct Work {
    live: Arc<Live>,
    log: LogRecord,
    head: bool,
    over: bool,
    retried: bool,
}

/// Who is told when everything is on disk.
#[derive(Default)]
struct Due {
    have: Vec<(Arc<Confirms>, String, u64)>,
    over: Vec<(Arc<Confirms>, String)>,
    done: Vec<(oneshot::Sender<Result<(), String>>, Result<(), String>)>,
}

pub(super) struct Keeper {
    pub(super) runs: Arc<Runs>,
    pub(super) segments: Arc<Mutex<Segments>>,
    reader: Reader,
    /// Bytes of output since the disk was asked for its free space, and what it said.
    since: u64,
    tight: bool,
}

impl Keeper {
    pub(super) fn new(runs: Arc<Runs>, segments: Segments) -> Self {
        let reader = Reader::new(&runs.dir);
        Self { runs, segments: Arc::new(Mutex::new(segments)), reader, since: LOOK, tight: false }
    }

    /// Writes for good.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<News>) {
        while let Some(first) = queue.recv().await {
            let mut group = vec![first];
            let mut bytes = 0;
            while group.len() < GROUP && bytes < BLOCK {
                match queue.try_recv() {
                    Ok(news) => {
                        if let News::Told { told, .. } = &news {
                            bytes +=
                                told.pieces.iter().map(|piece| piece.data.len()).sum::<usize>();
                        }
                        group.push(news);
                    }
                    Err(_) => break,
                }
            }
            self.commit(group).await;
        }
    }

    async fn commit(&mut self, group: Vec<News>) {
        let (mut works, mut due) = (BTreeMap::new(), Due::default());
        for news in group {
            self.stage(news, &mut works, &mut due);
        }
        self.write(&mut works).await;
        for work in works.into_values() {
            self.apply(work);
        }
        for (confirms, id, bytes) in due.have {
            confirms.have(id, bytes);
        }
        for (confirms, id) in due.over {
            confirms.over(id);
        }
        for (done, result) in due.done {
            // Who asked may have gone meanwhile.
            drop(done.send(result));
        }
    }

    fn stage(&mut self, news: News, works: &mut BTreeMap<RunId, Work>, due: &mut Due) {
        match news {
            News::Told { host, told, confirms } => {
                for piece in told.pieces {
                    self.piece(host, &piece, &confirms, works, due);
                }
                for report in told.reports {
                    self.report(host, report, &confirms, works, due);
                }
            }
            News::Mark { live, targets } => {
                let work = work(works, &live);
                let mut inner = live.lock();
                for index in targets {
                    let seat = &mut inner.seats[index as usize];
                    // Stopped, or its time over, between being picked and now.
                    if seat.ending || seat.marked {
                        continue;
                    }
                    seat.marked = true;
                    inner.out += 1;
                    match work.log.sent.last_mut() {
                        Some((_, to)) if *to + 1 == index => *to = index,
                        _ => work.log.sent.push((index, index)),
                    }
                }
            }
            News::End { live, ends } => {
                for end in ends {
                    let change = ChangeRecord {
                        target: end.target,
                        attempt: end.attempt,
                        state: end.state,
                        why: end.why,
                        ..ChangeRecord::default()
                    };
                    self.end(&live, change, works);
                }
            }
            News::Head { live, change, done } => {
                let result = Self::head(&live, change, works);
                due.done.push((done, result));
            }
        }
    }

    /// The target that an order of a host is; of a run that is over only when that is asked for.
    fn target_of(&self, host: HostId, id: &str, even_over: bool) -> Found {
        let Some((run, index, attempt)) = parse_id(id) else { return Found::Foreign };
        let live = self.runs.open(run);
        let live = live.or_else(|| even_over.then(|| self.runs.find(run).ok().flatten()).flatten());
        let Some(live) = live else { return Found::Unknown };
        let inner = live.lock();
        match inner.seats.get(index as usize) {
            Some(seat) if seat.host != host => Found::Foreign,
            Some(seat) if seat.attempt != attempt => Found::Unknown,
            Some(_) => {
                drop(inner);
                Found::Here(live, index)
            }
            None => Found::Foreign,
        }
    }

    fn piece(
        &mut self,
        host: HostId,
        piece: &Piece,
        confirms: &Arc<Confirms>,
        works: &mut BTreeMap<RunId, Work>,
        due: &mut Due,
    ) {
        let Found::Here(live, index) = self.target_of(host, &piece.id, false) else { return };
        let mut inner = live.lock();
        let at = index as usize;
        let upto = piece.at.saturating_add(piece.data.len() as u64);
        let seat = &inner.seats[at];
        if seat.ending || upto <= seat.have {
            return;
        }
        let (have, attempt, keeping) = (seat.have, seat.attempt, seat.keeping);
        let skip = have.saturating_sub(piece.at).min(piece.data.len() as u64) as usize;
        let data = &piece.data[skip..];
        let gap = piece.at.saturating_sub(have);
        let room = self
            .runs
            .settings
            .run_output
            .saturating_sub(inner.keeping)
            .min(inner.record.keep_output.saturating_sub(keeping));
        let room = if self.is_tight(data.len()) { 0 } else { usize::try_from(room).unwrap_or(0) };
        let kept = &data[..data.len().min(room)];
        let mut record = PieceRecord {
            target: index,
            attempt,
            stderr: piece.stderr,
            gap,
            len: kept.len() as u32,
            ..PieceRecord::default()
        };
        let work = work(works, &live);
        if !kept.is_empty() {
            let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
            let place = segments.push(kept);
            (record.segment, record.offset) = (place.segment, place.offset);
            let sums = inner.sums(at, &mut self.reader);
            if piece.stderr { &mut sums.stderr } else { &mut sums.stdout }.update(kept);
        }
        work.log.pieces.push(record);
        let over = (data.len() - kept.len()) as u64;
        if over > 0 {
            work.log.pieces.push(PieceRecord {
                target: index,
                attempt,
                stderr: piece.stderr,
                gap: over,
                ..PieceRecord::default()
            });
        }
        inner.keeping += kept.len() as u64;
        let seat = &mut inner.seats[at];
        seat.have = upto;
        seat.keeping += kept.len() as u64;
        seat.dropped += over;
        due.have.push((confirms.clone(), piece.id.clone(), upto));
    }

    /// Whether there is too little room on the disk for output.
    fn is_tight(&mut self, bytes: usize) -> bool {
        self.since += bytes as u64;
        if self.since >= LOOK {
            self.since = 0;
            let tight = free(&self.runs.dir).is_some_and(|free| free < self.runs.settings.free);
            if tight && !self.tight {
                tracing::warn!("the disk is nearly full: output of runs is not kept");
            }
            self.tight = tight;
        }
        self.tight
    }

    fn report(
        &mut self,
        host: HostId,
        report: Report,
        confirms: &Arc<Confirms>,
        works: &mut BTreeMap<RunId, Work>,
        due: &mut Due,
    ) {
        let (live, index) = match self.target_of(host, &report.id, report.state.is_end()) {
            Found::Here(live, index) => (live, index),
            Found::Unknown => {
                if report.state.is_end() {
                    due.over.push((confirms.clone(), report.id));
                }
                return;
            }
            Found::Foreign => {
                if report.state.is_end() {
                    tracing::warn!(%host, id = clean_to_width(&report.id, 80), "a host told the end of an order that is none of its own");
                    due.over.push((confirms.clone(), report.id));
                }
                return;
            }
        };
        let at = index as usize;
        if !report.state.is_end() {
            let mut inner = live.lock();
            let seat = &mut inner.seats[at];
            if seat.ending {
                return;
            }
            seat.acked.get_or_insert_with(Instant::now);
            seat.sent_ms.get_or_insert_with(clock::now_ms);
            if seat.state != report.state
                && matches!(report.state, TargetState::Sent | TargetState::Running)
            {
                inner.set(at, report.state);
                // Not durable, so nothing to wait for.
                work(works, &live);
            }
            return;
        }
        due.over.push((confirms.clone(), report.id.clone()));
        let (attempt, ending, told, late) = {
            let inner = live.lock();
            let seat = &inner.seats[at];
            (seat.attempt, seat.ending, seat.told, seat.late)
        };
        let change = end_of(index, attempt, &report);
        if !ending {
            self.end(&live, ChangeRecord { told: true, ..change }, works);
        } else if !told && late.is_none() {
            live.lock().seats[at].late = Some(report.state);
            let late = ChangeRecord { late: Some(report.state), ..change };
            let work = work(works, &live);
            work.log.changes.push(late);
            // The head of a run that is over says how long its log is.
            work.head |= live.lock().is_over();
        }
    }

    /// Gives a target its end, unless it has one.
    fn end(
        &mut self,
        live: &Arc<Live>,
        mut change: ChangeRecord,
        works: &mut BTreeMap<RunId, Work>,
    ) {
        let mut inner = live.lock();
        let at = change.target as usize;
        let Some(seat) = inner.seats.get(at) else { return };
        if seat.ending || seat.attempt != change.attempt {
            return;
        }
        let now = clock::now_ms();
        if inner.overdue.is_some() && change.state == TargetState::Cancelled {
            // It was ended because its time was over.
            change.state = TargetState::TimedOut;
            "the run's time was over".clone_into(&mut change.why);
        }
        change.ended_ms = Some(now);
        change.sent_ms = seat.sent_ms;
        change.lost = change.lost.saturating_add(seat.dropped);
        if seat.have > 0 {
            change.sum = inner.sums(at, &mut self.reader).finish(change.lost);
        }
        let seat = &mut inner.seats[at];
        (seat.ending, seat.sums, seat.told) = (true, None, change.told);
        let (wave, marked) = (seat.wave as usize, seat.marked);
        inner.ended += 1;
        inner.out -= u32::from(marked).min(inner.out);
        inner.failed += u32::from(change.state.is_failure());
        if let Some(ended) = inner.ended_in.get_mut(wave) {
            *ended += 1;
        }
        let failed = change.state.is_failure();
        let work = work(works, live);
        work.log.changes.push(change);
        if failed {
            halt(&mut inner, wave, work);
        }
        finish(&mut inner, work, now);
    }

    fn head(
        live: &Arc<Live>,
        change: HeadChange,
        works: &mut BTreeMap<RunId, Work>,
    ) -> Result<(), String> {
        let work = work(works, live);
        let mut inner = live.lock();
        let over = || Err("the run is over".to_owned());
        match change {
            HeadChange::Stop(_) | HeadChange::Pause(_) | HeadChange::Resume
                if inner.is_over() || work.over =>
            {
                return over();
            }
            HeadChange::Stop(why) => {
                if inner.record.state == RunState::Stopping {
                    return Ok(());
                }
                inner.record.state = RunState::Stopping;
                inner.record.why.clone_from(&why);
                let why = if why.is_empty() { "the run was stopped".to_owned() } else { why };
                cancel_queued(&mut inner, work, &why);
                let now = clock::now_ms();
                finish(&mut inner, work, now);
            }
            HeadChange::Pause(why) => match inner.record.state {
                RunState::Running => {
                    inner.record.state = RunState::Paused;
                    inner.record.why = why;
                }
                RunState::Paused => return Ok(()),
                state => return Err(format!("the run is {state}")),
            },
            HeadChange::Resume => match inner.record.state {
                RunState::Paused => {
                    inner.record.state = RunState::Running;
                    inner.record.why.clear();
                }
                RunState::Running => return Ok(()),
                state => return Err(format!("the run is {state}")),
            },
            HeadChange::Retry(targets) => {
                if !inner.is_over() || work.over {
                    return Err("the run has not ended yet".to_owned());
                }
                inner.record.state = RunState::Running;
                inner.record.why.clear();
                inner.record.end = None;
                inner.record.from_ms = clock::now_ms();
                inner.overdue = None;
                for index in targets {
                    let Some(seat) = inner.seats.get_mut(index as usize) else { continue };
                    let attempt = seat.attempt + 1;
                    seat.again(attempt);
                    work.log.changes.push(ChangeRecord {
                        target: index,
                        attempt,
                        state: TargetState::Queued,
                        ..ChangeRecord::default()
                    });
                    inner.touch(index as usize);
                }
                inner.recount();
                work.retried = true;
            }
        }
        work.head = true;
        inner.touch_head();
        Ok(())
    }

    async fn write(&mut self, works: &mut BTreeMap<RunId, Work>) {
        let waiting = {
            let segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
            segments.is_waiting()
        };
        while waiting {
            let segments = self.segments.clone();
            let written = tokio::task::spawn_blocking(move || {
                segments.lock().unwrap_or_else(PoisonError::into_inner).write()
            });
            match written.await {
                Ok(Ok(())) => break,
                Ok(Err(e)) => tracing::error!("output of runs cannot be written: {e}"),
                Err(e) => tracing::error!("writing output of runs failed: {e}"),
            }
            tokio::time::sleep(RETRY).await;
        }
        loop {
            let (mut batch, mut numbers, mut empty) = (Batch::new(), Vec::new(), true);
            for (id, work) in works.iter() {
                let mut inner = work.live.lock();
                let nothing = work.log == LogRecord::default();
                empty &= nothing && !work.head;
                let (next_batch, next) = records::put_log(batch, *id, inner.log, &work.log);
                batch = next_batch;
                if work.head {
                    inner.record.log = next;
                    let mut record = inner.record.clone();
                    if let Some(end) = &mut record.end {
                        fill_end(end, &inner, &work.log);
                    }
                    batch = records::put_head(batch, *id, &record);
                    inner.record = record;
                }
                numbers.push(next);
            }
            if empty {
                return;
            }
            match self.runs.store.apply(batch).await {
                Ok(()) => {
                    for (work, next) in works.values().zip(numbers) {
                        work.live.lock().log = next;
                    }
                    return;
                }
                Err(e) => {
                    tracing::error!("what happened in runs cannot be written; it waits: {e}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// What is on disk counts.
    fn apply(&self, work: Work) {
        let Work { live, log, head, over, retried } = work;
        let (mut sends, mut gone) = (Vec::new(), Vec::new());
        let moved = {
            let mut inner = live.lock();
            for piece in log.pieces {
                inner.note_piece(piece);
            }
            for (from, to) in log.sent {
                for index in from..=to {
                    let seat = &mut inner.seats[index as usize];
                    seat.taken = false;
                    if seat.ending {
                        continue;
                    }
                    inner.is_back(index as usize);
                    inner.set(index as usize, TargetState::Sent);
                    sends.push(index);
                }
            }
            for change in log.changes {
                if change.state == TargetState::Queued || change.late.is_some() {
                    inner.touch(change.target as usize);
                    continue;
                }
                let at = change.target as usize;
                inner.is_back(at);
                let seat = &mut inner.seats[at];
                seat.taken = false;
                seat.code = change.code;
                seat.why = change.why.into();
                seat.ended_ms = change.ended_ms;
                seat.took_ms = change.took_ms;
                seat.lost = change.lost;
                seat.sum = change.sum;
                gone.push((seat.host, change.target));
                inner.lost += change.lost;
                inner.set(at, change.state);
            }
            let moved = inner.advance();
            if moved || head {
                inner.touch_head();
            }
            moved
        };
        {
            let mut by_host = self.runs.by_host();
            for (host, index) in gone {
                by_host.remove(host, live.id, index);
            }
            let inner = live.lock();
            for &index in &sends {
                by_host.add(inner.seats[index as usize].host, &live, index);
            }
        }
        if over {
            self.runs.close(&live);
        }
        live.tell();
        for index in sends {
            self.runs.send_soon(&live, index);
        }
        if !over && (moved || head || retried || live.lock().record.start.parallel > 0) {
            self.runs.pump_soon(&live);
        }
        if head && !over {
            self.runs.after_head(&live);
        }
    }
}

/// What an order's name leads to.
enum Found {
    Here(Arc<Live>, u32),
    /// Of an earlier attempt, or a run that is not kept any more.
    Unknown,
    /// Of another host, or no run at all.
    Foreign,
}

fn work<'a>(works: &'a mut BTreeMap<RunId, Work>, live: &Arc<Live>) -> &'a mut Work {
    works.entry(live.id).or_insert_with(|| Work {
        live: live.clone(),
        log: LogRecord::default(),
        head: false,
        over: false,
        retried: false,
    })
}

fn end_of(index: u32, attempt: u32, report: &Report) -> ChangeRecord {
    let mut why = clean_to_width(&report.message, WHY);
    if why.is_empty() && report.already {
        "nothing had to be done".clone_into(&mut why);
    }
    if why.is_empty()
        && let Some(signal) = report.signal
    {
        why = format!("ended by signal {signal}");
    }
    ChangeRecord {
        target: index,
        attempt,
        state: report.state,
        code: report.code.or_else(|| report.signal.map(|signal| 128_i32.saturating_add(signal))),
        why,
        took_ms: report.took_ms,
        lost: report.lost,
        ..ChangeRecord::default()
    }
}

/// Leaves off when too many have failed.
fn halt(inner: &mut Inner, wave: usize, work: &mut Work) {
    if !matches!(inner.record.state, RunState::Running | RunState::Paused) {
        return;
    }
    let all = inner.seats.len() as u32;
    let first = inner.record.first_of_one && wave == 0 && all > 1;
    let reached = inner.record.halt_at.is_some_and(|at| inner.failed >= at.max(1));
    if !first && !reached {
        return;
    }
    let why = if first {
        "halted: the first host alone failed".to_owned()
    } else {
        format!("halted: {} of {all} failed", inner.failed)
    };
    if cancel_queued(inner, work, &why) > 0 || inner.ended < all {
        inner.record.state = RunState::Halting;
        inner.record.why = why;
        work.head = true;
        inner.touch_head();
    }
}

/// Ends everything that was not sent.
fn cancel_queued(inner: &mut Inner, work: &mut Work, why: &str) -> u32 {
    let now = clock::now_ms();
    let mut cancelled = 0;
    for index in 0..inner.seats.len() {
        let seat = &mut inner.seats[index];
        if seat.ending || seat.marked {
            continue;
        }
        seat.ending = true;
        let (wave, attempt) = (seat.wave as usize, seat.attempt);
        inner.ended += 1;
        if let Some(ended) = inner.ended_in.get_mut(wave) {
            *ended += 1;
        }
        cancelled += 1;
        work.log.changes.push(ChangeRecord {
            target: index as u32,
            attempt,
            state: TargetState::Cancelled,
            why: why.to_owned(),
            ended_ms: Some(now),
            ..ChangeRecord::default()
        });
    }
    cancelled
}

/// Ends the run when every target has its end.
fn finish(inner: &mut Inner, work: &mut Work, now: u64) {
    if (inner.ended as usize) < inner.seats.len() || inner.record.end.is_some() {
        return;
    }
    inner.record.state = match inner.record.state {
        RunState::Halting => RunState::Halted,
        RunState::Stopping => RunState::Stopped,
        _ => RunState::Done,
    };
    inner.record.end = Some(EndRecord { ended_ms: now, ..EndRecord::default() });
    (work.head, work.over) = (true, true);
}

/// The end's figures, with what is written together with it.
fn fill_end(end: &mut EndRecord, inner: &Inner, log: &LogRecord) {
    end.counts = inner.counts;
    (end.output, end.lost, end.segments) = (inner.output, inner.lost, inner.segments);
    for piece in &log.pieces {
        if piece.len > 0 {
            end.output += u64::from(piece.len);
            let (first, last) = end.segments.unwrap_or((piece.segment, piece.segment));
            end.segments = Some((first.min(piece.segment), last.max(piece.segment)));
        }
    }
    for change in &log.changes {
        if change.late.is_none() && change.state.is_end() {
            end.counts.change(inner.seats[change.target as usize].state, change.state);
            end.lost += change.lost;
        }
    }
}

/// Bytes that are free on the disk of a folder.
fn free(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
