//! Puts on disk what happens to runs, many things with one write, and only then lets it count: targets change,
//! watchers hear, hosts are told that they need not keep it any longer. The one writer of everything durable
//! about runs that have begun.

mod disk;
mod ends;
mod pieces;

use super::hearing::{Held, Lives};
use super::links::Confirms;
use super::live::Live;
use super::records::{ChangeRecord, LogRecord, RunRecord};
use super::segments::{Reader, Segments};
use super::steps::After;
use super::{Runs, parse_id};
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::events::What;
use cmdr_protocol::orders::{Report, Told, is_id};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{HostId, RunId};
use ends::{Found, WHY, cancel_queued, end_of, finish, halt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// News that may wait to be written.
pub(super) const QUEUE: usize = 4096;
/// News written together.
const GROUP: usize = 1024;
/// Bytes of output written together.
const BLOCK: usize = 8 << 20;

/// Where it is told how a change went.
pub(super) type Done = oneshot::Sender<Result<(), String>>;

/// What is to be written.
#[derive(Debug)]
pub(super) enum News {
    /// A host told something.
    Told { host: HostId, told: Told, lives: Lives, confirms: Arc<Confirms>, held: Held },
    /// These targets are about to be sent, so many of them for the first time.
    Mark { live: Arc<Live>, targets: Vec<u32>, first: u32 },
    /// The hub itself ends these targets, in these attempts.
    End { live: Arc<Live>, ends: Vec<End> },
    /// The run as such changes.
    Head { live: Arc<Live>, change: HeadChange, done: Done },
    /// A run that is over goes, with everything about it.
    Delete { run: RunId, done: Done },
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
    /// When it was over.
    over: Option<u64>,
    retried: bool,
    /// Targets that go on with their next step, and how much later, in milliseconds.
    steps: Vec<(u32, u64)>,
    /// The head as it was written.
    record: Option<RunRecord>,
    /// It could not be written as it was.
    aside: bool,
    /// What is told of it to those who follow events.
    news: Vec<What>,
}

/// Who is told when everything is on disk.
#[derive(Default)]
struct Due {
    have: Vec<(Arc<Confirms>, String, u64)>,
    over: Vec<(Arc<Confirms>, String)>,
    done: Vec<(Done, Result<(), String>)>,
    /// What goes when the rest is on disk.
    deletes: Vec<(RunId, Done)>,
    /// Room in the queue, which is free again.
    held: Vec<Held>,
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
        Self {
            runs,
            segments: Arc::new(Mutex::new(segments)),
            reader,
            since: u64::MAX,
            tight: false,
        }
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
                            bytes += size(told);
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
        for (run, done) in due.deletes {
            // Nothing about it is on its way now: whatever was staged is written.
            due.done.push((done, self.delete(run).await));
        }
        for (done, result) in due.done {
            // Who asked may have gone meanwhile.
            drop(done.send(result));
        }
        drop(due.held);
    }

    fn stage(&mut self, news: News, works: &mut BTreeMap<RunId, Work>, due: &mut Due) {
        match news {
            News::Told { host, told, lives, confirms, held } => {
                due.held.push(held);
                for piece in told.pieces {
                    self.piece(host, &piece, &confirms, works, due);
                }
                for report in told.reports {
                    self.report(host, report, &lives, &confirms, works, due);
                }
            }
            News::Mark { live, targets, first } => {
                let work = work(works, &live);
                let mut inner = live.lock();
                inner.picked = inner.picked.saturating_sub(first);
                for index in targets {
                    let seat = &mut inner.seats[index as usize];
                    // Stopped, or its time over, between being picked and now.
                    if seat.ending || seat.marked {
                        continue;
                    }
                    let between = seat.is_between();
                    seat.marked = true;
                    inner.out += 1;
                    inner.between -= u32::from(between).min(inner.between);
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
                        why: clean_to_width(&end.why, WHY),
                        ..ChangeRecord::default()
                    };
                    self.end(&live, change, works);
                }
            }
            News::Head { live, change, done } => {
                let result = self.head(&live, change, works);
                due.done.push((done, result));
            }
            News::Delete { run, done } => due.deletes.push((run, done)),
        }
    }

    /// The target that an order of a host is, of a run that goes on or is one of these.
    fn target_of(&self, host: HostId, id: &str, lives: &Lives) -> Found {
        let own = || self.runs.alias(host, id).map(|(run, index)| (run, index, 0));
        let Some((run, index, attempt)) = parse_id(id).or_else(own) else { return Found::Foreign };
        // Nothing is written of one that is not kept any more.
        let over =
            || lives.get(&run).filter(|_| self.runs.state().over.contains_key(&run)).cloned();
        let Some(live) = self.runs.open(run).or_else(over) else { return Found::Unknown };
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

    fn report(
        &mut self,
        host: HostId,
        report: Report,
        lives: &Lives,
        confirms: &Arc<Confirms>,
        works: &mut BTreeMap<RunId, Work>,
        due: &mut Due,
    ) {
        let (live, index) = match self.target_of(host, &report.id, lives) {
            Found::Here(live, index) => (live, index),
            // What can be the name of no order is none.
            Found::Unknown | Found::Foreign if !is_id(&report.id) => return,
            Found::Unknown => {
                if report.state.is_end() {
                    due.over.push((confirms.clone(), report.id));
                }
                return;
            }
            Found::Foreign => {
                if report.state.is_end() {
                    confirms.is_foreign(host, &report.id);
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
            let Some(change) = self.step(&live, at, &report, change, works) else { return };
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

    /// The end of a target whose attempt has ended; nothing when a step of its runbook comes after that.
    fn step(
        &mut self,
        live: &Arc<Live>,
        at: usize,
        report: &Report,
        change: ChangeRecord,
        works: &mut BTreeMap<RunId, Work>,
    ) -> Option<ChangeRecord> {
        let mut inner = live.lock();
        let Some(Ok(book)) = &inner.book else { return Some(change) };
        let book = book.clone();
        // Nothing is picked of a run that is left off, so nobody else would end it.
        let left_off = match inner.record.state {
            RunState::Halting => Some("the run was halted between two steps"),
            RunState::Stopping => Some("the run was stopped between two steps"),
            // Its time is over, which is said with the end.
            _ => inner.overdue.map(|_| ""),
        };
        let printed = inner.tail(at, &mut self.reader);
        let seat = &mut inner.seats[at];
        let Some(stand) = &mut seat.stand else { return Some(change) };
        stand.is_back(printed);
        let pause_ms = match book.after(stand, report) {
            After::Ends(state, why) => {
                let why = if why.is_empty() { change.why } else { why };
                return Some(ChangeRecord { state, why, ..change });
            }
            After::GoesOn(pause_ms) => pause_ms,
        };
        if let Some(why) = left_off {
            let why = why.to_owned();
            return Some(ChangeRecord { state: TargetState::Cancelled, why, ..change });
        }
        let steps = Some(Box::new(stand.news()));
        let gap = seat.gap(at as u32);
        let (attempt, was, marked) = (seat.attempt + 1, seat.state, seat.marked);
        seat.again(attempt);
        (seat.taken, seat.between) = (true, true);
        inner.between += 1;
        inner.out -= u32::from(marked).min(inner.out);
        inner.counts.change(was, TargetState::Queued);
        inner.touch(at);
        drop(inner);
        let work = work(works, live);
        work.log.pieces.extend(gap);
        let (target, state) = (at as u32, TargetState::Queued);
        work.log.changes.push(ChangeRecord {
            target,
            attempt,
            state,
            steps,
            ..ChangeRecord::default()
        });
        work.steps.push((target, pause_ms));
        None
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
        let gap = seat.gap(change.target);
        let between = seat.is_between();
        (seat.ending, seat.sums, seat.told) = (true, None, change.told);
        change.steps = seat.stand.as_mut().map(|stand| Box::new(stand.news()));
        let (wave, marked) = (seat.wave as usize, seat.marked);
        inner.ended += 1;
        inner.out -= u32::from(marked).min(inner.out);
        inner.between -= u32::from(between).min(inner.between);
        inner.failed += u32::from(change.state.is_failure());
        if let Some(ended) = inner.ended_in.get_mut(wave) {
            *ended += 1;
        }
        let failed = change.state.is_failure();
        let work = work(works, live);
        work.log.pieces.extend(gap);
        work.log.changes.push(change);
        if failed {
            halt(&mut inner, wave, work);
        }
        finish(&inner, work, now);
    }

    fn head(
        &self,
        live: &Arc<Live>,
        change: HeadChange,
        works: &mut BTreeMap<RunId, Work>,
    ) -> Result<(), String> {
        let work = work(works, live);
        let mut inner = live.lock();
        let over = || Err("the run is over".to_owned());
        match change {
            HeadChange::Stop(_) | HeadChange::Pause(_) | HeadChange::Resume
                if inner.is_over() || work.over.is_some() =>
            {
                return over();
            }
            HeadChange::Stop(why) => {
                if inner.record.state == RunState::Stopping {
                    return Ok(());
                }
                let why = clean_to_width(&why, WHY);
                inner.record.state = RunState::Stopping;
                inner.record.why.clone_from(&why);
                work.news.push(What::RunStopped);
                let why = if why.is_empty() { "the run was stopped".to_owned() } else { why };
                cancel_queued(&mut inner, work, &why);
                let now = clock::now_ms();
                finish(&inner, work, now);
            }
            HeadChange::Pause(why) => match inner.record.state {
                RunState::Running => {
                    work.news.push(What::RunPaused);
                    inner.record.state = RunState::Paused;
                    inner.record.why = clean_to_width(&why, WHY);
                }
                RunState::Paused => return Ok(()),
                state => return Err(format!("the run is {state}")),
            },
            HeadChange::Resume => match inner.record.state {
                RunState::Paused => {
                    work.news.push(What::RunResumed);
                    inner.record.state = RunState::Running;
                    inner.record.why.clear();
                }
                RunState::Running => return Ok(()),
                state => return Err(format!("the run is {state}")),
            },
            HeadChange::Retry(targets) => {
                if !inner.is_over() || work.over.is_some() {
                    return Err("the run has not ended yet".to_owned());
                }
                if !self.runs.reopen(live) {
                    return Err("the run is not kept any more".to_owned());
                }
                inner.record.state = RunState::Running;
                inner.record.why.clear();
                inner.record.end = None;
                inner.record.from_ms = clock::now_ms();
                inner.overdue = None;
                for index in targets {
                    let Some(seat) = inner.seats.get_mut(index as usize) else { continue };
                    let attempt = seat.attempt + 1;
                    if let Some(stand) = &mut seat.stand {
                        stand.restart();
                    }
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
                work.news.push(What::RunRetried);
                work.retried = true;
            }
        }
        work.head = true;
        inner.touch_head();
        Ok(())
    }
}

fn work<'a>(works: &'a mut BTreeMap<RunId, Work>, live: &Arc<Live>) -> &'a mut Work {
    works.entry(live.id).or_insert_with(|| Work {
        live: live.clone(),
        log: LogRecord::default(),
        head: false,
        over: None,
        retried: false,
        steps: Vec::new(),
        record: None,
        aside: false,
        news: Vec::new(),
    })
}

/// About how many bytes of memory it takes.
pub(super) fn size(told: &Told) -> usize {
    let pieces = told.pieces.iter().map(|piece| 64 + piece.id.len() + piece.data.len());
    let reports = told.reports.iter().map(|report| 256 + report.id.len() + report.message.len());
    pieces.chain(reports).sum()
}

#[cfg(test)]
mod tests;
