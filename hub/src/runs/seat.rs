//! One target of a run as the hub holds it in memory.

use super::records::PieceRecord;
use super::steps::Stand;
use cmdr_protocol::runs::{Target, TargetState};
use cmdr_protocol::{HostId, RunId};
use tokio::time::Instant;

/// A target.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) host: HostId,
    pub(super) name: Box<str>,
    pub(super) wave: u32,
    pub(super) attempt: u32,
    /// As it is on disk, and what the host has told meanwhile of one that goes on.
    pub(super) state: TargetState,
    pub(super) code: Option<i32>,
    pub(super) why: Box<str>,
    pub(super) sent_ms: Option<u64>,
    pub(super) ended_ms: Option<u64>,
    pub(super) took_ms: Option<u64>,
    pub(super) stdout: u64,
    pub(super) stderr: u64,
    pub(super) lost: u64,
    pub(super) sum: Vec<u8>,
    pub(super) late: Option<TargetState>,
    /// The number of its last change in its run.
    pub(super) changed: u64,
    /// The host itself told its end.
    pub(super) told: bool,

    /// It has begun, and its next step is not sent yet.
    pub(super) between: bool,
    /// It is on disk that it may have been sent.
    pub(super) marked: bool,
    /// It is being picked to be sent, or its end is being written: nothing else may be begun with it.
    pub(super) taken: bool,
    /// Its end is being written, or written.
    pub(super) ending: bool,
    /// The host was asked to take it, or may have been by an earlier hub: it may have it.
    pub(super) asked: bool,
    /// The hub itself does it: a playbook.
    pub(super) here: bool,
    /// Since when the host has said that it has it.
    pub(super) acked: Option<Instant>,
    /// Somebody is asking the host to take it.
    pub(super) sending: bool,
    /// Since when the host is away.
    pub(super) away: Option<Instant>,
    /// Not sent yet, and waits for its host to come.
    pub(super) waits: bool,
    /// How far its output has been taken, counted in bytes as the program wrote them.
    pub(super) have: u64,
    /// The same, on disk.
    pub(super) kept_to: u64,
    /// Pieces of output that are on disk, or being written.
    pub(super) pieces: u32,
    /// Bytes of output before what comes next that were not kept, and of which that is not on disk.
    pub(super) gap: u64,
    /// Bytes of output that the hub itself did not keep.
    pub(super) dropped: u64,
    /// Bytes of output that are kept, or being written.
    pub(super) keeping: u64,
    /// What its output comes to, while it goes on.
    pub(super) sums: Option<Box<Sums>>,
    /// The name of the order by which its host did this by itself, as it has told.
    pub(super) by_itself: Option<Box<str>>,
    /// How far it is in a runbook; absent for every other order.
    pub(super) stand: Option<Box<Stand>>,
}

/// Running sums of both outputs.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) stdout: blake3::Hasher,
    pub(super) stderr: blake3::Hasher,
}

impl Sums {
    /// Tells outputs apart, whatever pieces they came in.
    pub(super) fn finish(&self, lost: u64) -> Vec<u8> {
        let mut both = blake3::Hasher::new();
        both.update(self.stdout.finalize().as_bytes());
        both.update(self.stderr.finalize().as_bytes());
        both.update(&lost.to_be_bytes());
        both.finalize().as_bytes()[..16].to_vec()
    }
}

impl Seat {
    pub(super) fn new(host: HostId, name: &str, wave: u32) -> Self {
        Self {
            host,
            name: name.into(),
            wave,
            attempt: 0,
            state: TargetState::Queued,
            code: None,
            why: "".into(),
            sent_ms: None,
            ended_ms: None,
            took_ms: None,
            stdout: 0,
            stderr: 0,
            lost: 0,
            sum: Vec::new(),
            late: None,
            changed: 0,
            told: false,
            between: false,
            marked: false,
            taken: false,
            ending: false,
            asked: false,
            here: false,
            acked: None,
            sending: false,
            away: None,
            waits: false,
            have: 0,
            kept_to: 0,
            pieces: 0,
            gap: 0,
            dropped: 0,
            keeping: 0,
            sums: None,
            by_itself: None,
            stand: None,
        }
    }

    /// The name by which its host knows what it does for this.
    pub(super) fn name_there(&self, run: RunId, index: u32) -> String {
        match &self.by_itself {
            Some(own) => own.to_string(),
            None => super::order_id(run, index, self.attempt),
        }
    }

    /// Begins a further attempt: as if nothing had been.
    pub(super) fn again(&mut self, attempt: u32) {
        let fresh = Self::new(self.host, &self.name, self.wave);
        *self = Self { attempt, changed: self.changed, stand: self.stand.take(), ..fresh };
    }

    /// What is not on disk yet of output that was not kept.
    pub(super) fn gap(&mut self, index: u32) -> Option<PieceRecord> {
        let gap = std::mem::take(&mut self.gap);
        let (target, attempt) = (index, self.attempt);
        (gap > 0).then(|| PieceRecord { target, attempt, gap, ..PieceRecord::default() })
    }

    /// It is between two steps, and has no end.
    pub(super) const fn is_between(&self) -> bool {
        self.between && !self.marked && !self.ending
    }

    /// It may be at the host, and has no end.
    pub(super) const fn is_out(&self) -> bool {
        self.marked && !self.ending
    }

    /// As clients see it.
    pub(super) fn shown(&self, index: u32) -> Target {
        Target {
            index,
            host: Some(self.host),
            name: self.name.to_string(),
            state: self.state,
            code: self.code,
            why: self.why.to_string(),
            away: self.away.is_some() && !self.state.is_end(),
            attempt: self.attempt,
            wave: self.wave,
            sent_ms: self.sent_ms,
            ended_ms: self.ended_ms,
            took_ms: self.took_ms,
            stdout: self.stdout,
            stderr: self.stderr,
            lost: self.lost,
            sum: self.sum.clone(),
            late: self.late,
            step: String::new(),
        }
    }
}
