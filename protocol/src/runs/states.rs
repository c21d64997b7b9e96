//! How runs and their targets stand.

use crate::ids::HostId;
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

open_enum! {
    /// How a target stands. The first three go on; every other one is an end.
    pub enum TargetState {
        /// Not sent yet.
        Queued = "queued",
        /// On its way to the host, or taken by it and not begun yet.
        Sent = "sent",
        /// The host is at it.
        Running = "running",
        /// It ended well: with exit code 0.
        Ok = "ok",
        /// It ended with another code, by a signal, or could not be begun; the reason says which.
        Failed = "failed",
        /// Its time was over, or that of the run.
        TimedOut = "timed_out",
        /// It was not sent any more, or ended on request, because the run was stopped or halted.
        Cancelled = "cancelled",
        /// The host had it and vanished, or its agent was killed in the middle of it: what happened there is
        /// not known. It is never run again by itself.
        Lost = "lost",
        /// The host had no link when it was its turn. Nothing was sent to it.
        Unreachable = "unreachable",
        /// The caller may not, the host's own policy forbids it, or its agent cannot do it.
        Refused = "refused",
    }
}

impl TargetState {
    /// Whether it stays so.
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent | Self::Running | Self::Unknown)
    }

    /// Whether a retry takes it.
    pub const fn may_retry(self) -> bool {
        matches!(self, Self::Failed | Self::Lost | Self::Unreachable)
    }

    /// Whether it counts as a failure for a halt: everything that is no good end, but what the run itself
    /// brought about.
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::TimedOut | Self::Lost | Self::Unreachable | Self::Refused
        )
    }
}

open_enum! {
    /// How a run stands.
    pub enum RunState {
        /// Targets are being sent, or run.
        Running = "running",
        /// Nothing more is sent until it is resumed.
        Paused = "paused",
        /// Too many failed, nothing more is sent; what had been sent is waited for.
        Halting = "halting",
        /// It was stopped; what ran is being ended.
        Stopping = "stopping",
        /// Every target has its end.
        Done = "done",
        /// Too many failed: what was left was not sent any more. What had been sent has its end.
        Halted = "halted",
        /// Somebody stopped it.
        Stopped = "stopped",
    }
}

impl RunState {
    /// Whether it is over, unless somebody has it tried again.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Halted | Self::Stopped)
    }
}

/// How many targets stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All of them.
    pub targets: u32,
    /// [`TargetState::Queued`].
    pub queued: u32,
    /// [`TargetState::Sent`].
    pub sent: u32,
    /// [`TargetState::Running`].
    pub running: u32,
    /// [`TargetState::Ok`].
    pub ok: u32,
    /// [`TargetState::Failed`].
    pub failed: u32,
    /// [`TargetState::TimedOut`].
    pub timed_out: u32,
    /// [`TargetState::Cancelled`].
    pub cancelled: u32,
    /// [`TargetState::Lost`].
    pub lost: u32,
    /// [`TargetState::Unreachable`].
    pub unreachable: u32,
    /// [`TargetState::Refused`].
    pub refused: u32,
}

impl Counts {
    /// The number of those that stand so.
    pub const fn of(&mut self, state: TargetState) -> Option<&mut u32> {
        Some(match state {
            TargetState::Queued => &mut self.queued,
            TargetState::Sent => &mut self.sent,
            TargetState::Running => &mut self.running,
            TargetState::Ok => &mut self.ok,
            TargetState::Failed => &mut self.failed,
            TargetState::TimedOut => &mut self.timed_out,
            TargetState::Cancelled => &mut self.cancelled,
            TargetState::Lost => &mut self.lost,
            TargetState::Unreachable => &mut self.unreachable,
            TargetState::Refused => &mut self.refused,
            TargetState::Unknown => return None,
        })
    }

    /// One more that stands so.
    pub fn add(&mut self, state: TargetState) {
        self.targets += 1;
        if let Some(count) = self.of(state) {
            *count += 1;
        }
    }

    /// One stands otherwise than before.
    pub fn change(&mut self, from: TargetState, to: TargetState) {
        if let Some(count) = self.of(from) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.of(to) {
            *count += 1;
        }
    }

    /// Those that go on.
    pub const fn open(&self) -> u32 {
        self.queued + self.sent + self.running
    }

    /// Those that ended otherwise than well.
    pub const fn bad(&self) -> u32 {
        self.failed + self.timed_out + self.cancelled + self.lost + self.unreachable + self.refused
    }
}

/// One host of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Which, from 0; its name in cursors and ids.
    #[serde(rename = "i")]
    pub index: u32,
    /// The host.
    pub host: Option<HostId>,
    /// Its name when the run began.
    pub name: String,
    /// How it stands.
    pub state: TargetState,
    /// The exit code; 128 and more by a signal. Absent when there was no program to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Why it stands so, where the state alone does not say it; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The host has no link now, and its end is waited for; or, of a queued one, the host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
    /// How often it was tried, from 0 for the first time.
    #[serde(skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// Its wave, from 0.
    #[serde(skip_serializing_if = "is_first")]
    pub wave: u32,
    /// When the host had it, milliseconds since 1970 by the hub's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<u64>,
    /// When it ended, milliseconds since 1970 by the hub's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// How long it ran on the host, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Bytes of its standard output that are kept.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub stdout: u64,
    /// Bytes of its standard error that are kept.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub stderr: u64,
    /// Bytes of output that were not kept.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub lost: u64,
    /// Tells outputs apart: equal in those with equal output. Empty while it goes on, and without output.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub sum: Vec<u8>,
    /// What the host told when it came back after the run had given it up for lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<TargetState>,
}

fn is_first(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_but_three_is_an_end_and_is_counted() {
        let open: Vec<_> = TargetState::ALL.iter().filter(|state| !state.is_end()).collect();
        assert_eq!(open, [&TargetState::Queued, &TargetState::Sent, &TargetState::Running]);
        let mut counts = Counts::default();
        for state in TargetState::ALL {
            counts.add(*state);
        }
        assert_eq!((counts.targets, counts.open(), counts.bad()), (10, 3, 6));
        counts.change(TargetState::Running, TargetState::Ok);
        assert_eq!((counts.running, counts.ok, counts.open()), (0, 2, 2));
    }
}
