//! A run in memory: its targets, how it stands, and what is to be done next. Locked for moments only; what
//! is durable about it changes when the keeper has it on disk.

use super::records::{LogRecord, PieceRecord, RunRecord};
use super::seat::{Seat, Sums};
use super::segments::{Place, Reader};
use super::steps::Book;
use crate::who::Who;
use cmdr_protocol::runs::{Counts, Run, RunState, TargetState};
use cmdr_protocol::{HostId, RunId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

/// A run.
#[derive(Debug)]
pub struct Live {
    /// Which.
    pub id: RunId,
    /// A number that goes up with each change of it.
    pub(super) news: watch::Sender<u64>,
    inner: Mutex<Inner>,
}

/// What is known of a run.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) record: RunRecord,
    /// How its order looks in a few words.
    pub(super) what: String,
    /// What its targets go through, or why that is not known; absent for every order but a runbook.
    pub(super) book: Option<Result<Arc<Book>, String>>,
    pub(super) seats: Vec<Seat>,
    pub(super) counts: Counts,
    /// The wave that is under way.
    pub(super) wave: u32,
    /// Targets from here on have not been looked at in this wave.
    pub(super) next: usize,
    /// Targets that may be at their hosts.
    pub(super) out: u32,
    /// Targets that were picked to be sent for the first time, of which that is not being written yet.
    pub(super) picked: u32,
    /// Targets that have begun and are between two steps, and those of them whose turn it is.
    pub(super) between: u32,
    pub(super) ready: Vec<u32>,
    /// Targets whose end is written, or being written.
    pub(super) ended: u32,
    /// How many of these, of each wave, and how many failed in all.
    pub(super) ended_in: Vec<u32>,
    pub(super) failed: u32,
    /// Output, in the order in which it came.
    pub(super) pieces: Vec<PieceRecord>,
    /// Bytes of output kept, and those with what is being written.
    pub(super) output: u64,
    pub(super) keeping: u64,
    pub(super) lost: u64,
    pub(super) segments: Option<(u32, u32)>,
    /// The number of the log record that comes next.
    pub(super) log: u32,
    /// Its number of changes.
    pub(super) change: u64,
    /// The change in which something other than targets changed.
    pub(super) head_change: u64,
    /// When it was decided that whoever began it may do this on all of its hosts; absent after a restart.
    pub(super) decided: Option<Instant>,
    /// When its time is over, and when hosts that never came are given up.
    pub(super) deadline: Option<Instant>,
    pub(super) expires: Option<Instant>,
    /// Its time was over: what has no end after a while gets one here.
    pub(super) overdue: Option<Instant>,
    /// Targets that are away or wait for their host.
    pub(super) absent: u32,
}

impl Live {
    /// A new run, or one as it is on disk: `log` is what changed since it began.
    pub(super) fn new(
        id: RunId,
        record: RunRecord,
        seats: Vec<Seat>,
        log: &[LogRecord],
        next_log: u32,
    ) -> Self {
        let mut inner = Inner {
            what: record.start.order.told(),
            book: Book::of(&record.start.order),
            counts: Counts::default(),
            wave: 0,
            next: 0,
            out: 0,
            picked: 0,
            between: 0,
            ready: Vec::new(),
            ended: 0,
            ended_in: vec![0; record.waves.len().max(1)],
            failed: 0,
            pieces: Vec::new(),
            output: 0,
            keeping: 0,
            lost: 0,
            segments: None,
            log: next_log,
            change: 1,
            head_change: 1,
            decided: None,
            deadline: None,
            expires: None,
            overdue: None,
            absent: 0,
            record,
            seats,
        };
        if inner.book.is_some() {
            for seat in &mut inner.seats {
                seat.stand = Some(Box::default());
            }
        }
        inner.replay(log);
        Self { id, news: watch::Sender::new(1), inner: Mutex::new(inner) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who watch it.
    pub(super) fn tell(&self) {
        let change = self.lock().change;
        self.news.send_replace(change);
    }

    /// Whether it is this operator's.
    pub fn is_of(&self, who: &Who) -> bool {
        self.lock().record.author.is(who)
    }

    /// As clients see it, all of it.
    pub fn shown(&self) -> Run {
        self.lock().shown(self.id)
    }
}

/// The sizes of waves as where each ends.
pub(crate) fn wave_of(waves: &[u32], index: u32) -> u32 {
    let mut end = 0;
    for (number, size) in waves.iter().enumerate() {
        end += size;
        if index < end {
            return number as u32;
        }
    }
    waves.len().saturating_sub(1) as u32
}

impl Inner {
    fn replay(&mut self, log: &[LogRecord]) {
        let sent = self.record.sent.clone();
        self.replay_sent(&sent);
        for record in log {
            self.replay_sent(&record.sent);
            for piece in &record.pieces {
                self.note_piece(*piece);
                if let Some(seat) = self.seats.get_mut(piece.target as usize) {
                    seat.pieces += u32::from(piece.attempt == seat.attempt);
                }
            }
            for (target, steps) in &record.steps {
                let seat = self.seats.get_mut(*target as usize);
                if let Some(stand) = seat.and_then(|seat| seat.stand.as_mut()) {
                    stand.replay(steps);
                }
            }
            for change in &record.changes {
                let Some(seat) = self.seats.get_mut(change.target as usize) else { continue };
                if change.late.is_some() {
                    seat.late = change.late;
                    continue;
                }
                if let (Some(stand), Some(steps)) = (&mut seat.stand, &change.steps) {
                    stand.replay(steps);
                }
                if change.state == TargetState::Queued {
                    if let (Some(stand), None) = (&mut seat.stand, &change.steps) {
                        stand.restart();
                    }
                    seat.again(change.attempt);
                    seat.between = change.steps.is_some();
                    continue;
                }
                seat.state = change.state;
                seat.code = change.code;
                seat.why = change.why.as_str().into();
                seat.sent_ms = change.sent_ms;
                seat.ended_ms = change.ended_ms;
                seat.took_ms = change.took_ms;
                seat.lost = change.lost;
                seat.sum.clone_from(&change.sum);
                seat.told = change.told;
                seat.ending = true;
                self.lost = self.lost.saturating_add(change.lost);
            }
        }
        self.recount();
    }

    fn replay_sent(&mut self, ranges: &[(u32, u32)]) {
        for &(from, to) in ranges {
            for index in from..=to.min(self.seats.len().saturating_sub(1) as u32) {
                let seat = &mut self.seats[index as usize];
                seat.marked = true;
                if !seat.state.is_end() {
                    seat.state = TargetState::Sent;
                }
            }
        }
    }

    /// Counts everything anew.
    pub(super) fn recount(&mut self) {
        self.counts = Counts::default();
        (self.out, self.ended, self.failed, self.absent) = (0, 0, 0, 0);
        self.ended_in.fill(0);
        self.ready =
            (0..).zip(&self.seats).filter(|one| one.1.is_between()).map(|one| one.0).collect();
        self.between = self.ready.len() as u32;
        for seat in &self.seats {
            self.counts.add(seat.state);
            self.out += u32::from(seat.is_out());
            self.ended += u32::from(seat.ending);
            self.failed += u32::from(seat.state.is_failure());
            self.absent += u32::from(seat.away.is_some() || seat.waits);
            if seat.ending
                && let Some(ended) = self.ended_in.get_mut(seat.wave as usize)
            {
                *ended += 1;
            }
        }
        self.wave = 0;
        self.next = 0;
        while self.wave_is_over() && (self.wave as usize) + 1 < self.record.waves.len() {
            self.wave += 1;
        }
    }

    /// Targets that count for how many may be under way at once.
    pub(super) const fn under_way(&self) -> u32 {
        self.out.saturating_add(self.picked).saturating_add(self.between)
    }

    /// Whether everything up to the wave that is under way has its end.
    pub(super) fn wave_is_over(&self) -> bool {
        let upto = self.wave as usize + 1;
        let has: u32 = self.ended_in.iter().take(upto).sum();
        let all: u32 = self.record.waves.iter().take(upto).sum();
        has >= all
    }

    /// Goes on to the next wave when this one is over.
    pub(super) fn advance(&mut self) -> bool {
        let mut moved = false;
        while self.wave_is_over() && (self.wave as usize) + 1 < self.record.waves.len() {
            self.wave += 1;
            moved = true;
        }
        moved
    }

    /// Takes in a piece that is on disk.
    pub(super) fn note_piece(&mut self, piece: PieceRecord) {
        let Some(seat) = self.seats.get_mut(piece.target as usize) else { return };
        if piece.attempt == seat.attempt {
            let upto = piece.gap.saturating_add(u64::from(piece.len));
            if piece.stderr {
                seat.stderr += u64::from(piece.len);
            } else {
                seat.stdout += u64::from(piece.len);
            }
            seat.kept_to = seat.kept_to.saturating_add(upto);
            seat.have = seat.have.max(seat.kept_to);
            seat.keeping = seat.keeping.max(seat.stdout + seat.stderr);
        }
        if piece.len > 0 {
            self.output += u64::from(piece.len);
            self.keeping = self.keeping.max(self.output);
            let (first, last) = self.segments.unwrap_or((piece.segment, piece.segment));
            self.segments = Some((first.min(piece.segment), last.max(piece.segment)));
        }
        self.pieces.push(piece);
    }

    /// The running sums of a target's output; after a restart made anew from what is on disk.
    pub(super) fn sums(&mut self, index: usize, reader: &mut Reader) -> &mut Sums {
        let seat = &mut self.seats[index];
        if seat.sums.is_none() {
            let mut sums = Box::<Sums>::default();
            let attempt = seat.attempt;
            if seat.kept_to > 0 {
                let own = |piece: &&PieceRecord| {
                    piece.target as usize == index && piece.attempt == attempt && piece.len > 0
                };
                for piece in self.pieces.iter().filter(own) {
                    let place = Place { segment: piece.segment, offset: piece.offset };
                    let Ok(data) = reader.read(place) else { continue };
                    if piece.stderr {
                        sums.stderr.update(&data);
                    } else {
                        sums.stdout.update(&data);
                    }
                }
            }
            self.seats[index].sums = Some(sums);
        }
        self.seats[index].sums.get_or_insert_default()
    }

    /// Puts another state on a target.
    pub(super) fn set(&mut self, index: usize, state: TargetState) {
        let seat = &mut self.seats[index];
        self.counts.change(seat.state, state);
        seat.state = state;
        self.touch(index);
    }

    /// Marks a target as changed.
    pub(super) fn touch(&mut self, index: usize) {
        self.change += 1;
        self.seats[index].changed = self.change;
    }

    /// Marks the run as changed.
    pub(super) fn touch_head(&mut self) {
        self.change += 1;
        self.head_change = self.change;
    }

    /// Whether every target has its end, and on disk.
    pub(super) const fn is_over(&self) -> bool {
        self.record.end.is_some()
    }

    /// Whether an attempt is one of those that hosts did by themselves: it is heard of, and never sent.
    pub(super) const fn hears(&self, attempt: u32) -> bool {
        self.record.alone && attempt == 0
    }

    /// Whether new targets may be sent.
    pub(super) fn sends(&self) -> bool {
        self.record.state == RunState::Running && self.overdue.is_none()
    }

    /// The same as clients see it, of one target.
    pub(super) fn target(&self, index: usize) -> cmdr_protocol::runs::Target {
        let seat = &self.seats[index];
        let mut shown = seat.shown(index as u32);
        if let (Some(Ok(book)), Some(stand)) = (&self.book, &seat.stand) {
            shown.step = book.step(stand);
        }
        shown
    }

    /// Takes a target away from those that are absent.
    pub(super) fn is_back(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if seat.away.take().is_some() || seat.waits {
            seat.waits = false;
            self.absent = self.absent.saturating_sub(1);
            self.touch(index);
        }
    }

    /// Puts a target among those that are absent.
    pub(super) fn is_away(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if seat.away.is_none() {
            let waits = seat.waits;
            seat.away = Some(Instant::now());
            if !waits {
                self.absent += 1;
            }
            self.touch(index);
        }
    }

    pub(super) fn shown(&self, id: RunId) -> Run {
        Run {
            what: self.what.clone(),
            counts: self.counts,
            wave: self.wave,
            output: self.output,
            lost: self.lost,
            ..self.record.shown(id)
        }
    }
}

/// Which targets of which open runs concern a host.
#[derive(Debug, Default)]
pub(super) struct ByHost {
    hosts: std::collections::HashMap<HostId, Vec<(Arc<Live>, u32)>>,
}

impl ByHost {
    pub(super) fn add(&mut self, host: HostId, live: &Arc<Live>, index: u32) {
        let list = self.hosts.entry(host).or_default();
        if !list.iter().any(|(one, at)| *at == index && one.id == live.id) {
            list.push((live.clone(), index));
        }
    }

    pub(super) fn remove(&mut self, host: HostId, run: RunId, index: u32) {
        if let Some(list) = self.hosts.get_mut(&host) {
            list.retain(|(one, at)| *at != index || one.id != run);
            if list.is_empty() {
                self.hosts.remove(&host);
            }
        }
    }

    pub(super) fn of(&self, host: HostId) -> Vec<(Arc<Live>, u32)> {
        self.hosts.get(&host).cloned().unwrap_or_default()
    }
}
