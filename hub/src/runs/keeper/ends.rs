//! How targets and runs end: what a host's report comes to, when a run is halted, and when it is over.

use super::Work;
use crate::runs::live::{Inner, Live};
use crate::runs::records::{ChangeRecord, EndRecord, LogRecord, RunRecord};
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::events::What;
use cmdr_protocol::orders::Report;
use cmdr_protocol::runs::{RunState, TargetState};
use std::path::Path;
use std::sync::Arc;

/// How much of a reason is kept.
pub(super) const WHY: usize = 400;
/// No program writes more: whoever tells of more is believed so much.
const LARGEST: u64 = 1 << 48;

/// What an order's name leads to.
pub(super) enum Found {
    Here(Arc<Live>, u32),
    /// Of an earlier attempt, or a run that is not kept any more.
    Unknown,
    /// Of another host, or no run at all.
    Foreign,
}

pub(super) fn end_of(index: u32, attempt: u32, report: &Report) -> ChangeRecord {
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
        lost: report.lost.min(LARGEST),
        ..ChangeRecord::default()
    }
}

/// Leaves off when too many have failed.
pub(super) fn halt(inner: &mut Inner, wave: usize, work: &mut Work) {
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
        work.news.push(What::RunHalted);
        work.head = true;
        inner.touch_head();
    }
}

/// Ends everything that was not sent.
pub(super) fn cancel_queued(inner: &mut Inner, work: &mut Work, why: &str) -> u32 {
    let now = clock::now_ms();
    let mut cancelled = 0;
    for index in 0..inner.seats.len() {
        let seat = &mut inner.seats[index];
        if seat.ending || seat.marked {
            continue;
        }
        let between = seat.is_between();
        seat.ending = true;
        let (wave, attempt) = (seat.wave as usize, seat.attempt);
        inner.between -= u32::from(between).min(inner.between);
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
pub(super) fn finish(inner: &Inner, work: &mut Work, now: u64) {
    if (inner.ended as usize) == inner.seats.len() && inner.record.end.is_none() {
        work.head = true;
        work.over.get_or_insert(now);
    }
}

/// The head as it is with what is written together with it.
pub(super) fn head_of(inner: &Inner, work: &Work, next_log: u32) -> RunRecord {
    let mut record = RunRecord { log: next_log, ..inner.record.clone() };
    if let Some(ended_ms) = work.over {
        record.state = match record.state {
            RunState::Halting => RunState::Halted,
            RunState::Stopping => RunState::Stopped,
            _ => RunState::Done,
        };
        record.end = Some(EndRecord { ended_ms, ..EndRecord::default() });
    }
    if let Some(end) = &mut record.end {
        fill_end(end, inner, &work.log);
    }
    record
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
            end.lost = end.lost.saturating_add(change.lost);
        }
    }
}

/// Bytes that are free on the disk of a folder.
pub(super) fn free(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
