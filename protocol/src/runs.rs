//! Runs: one order to many hosts, kept by the hub until every host has its end. Answered by the hub.
//!
//! A run has a target per host, and a target always ends in one named state ([`TargetState`]). Silence is
//! none: a host that vanishes is `lost`, one that was never reached is `unreachable`. What the hub has
//! acknowledged or told as an end is on its disk.

mod fold;
mod order;
mod schedules;
mod start;
mod states;

pub use fold::{Standing, fold};
pub use order::{
    Action, Command, Line, MAX_ARGV, MAX_LINE, MAX_PACKAGES, Order, Packages, Param, Push, Runbook,
    Script,
};
pub use schedules::{
    DeleteSchedule, ListSchedules, PauseSchedule, PutSchedule, Schedule, ScheduleListing, UNTOLD,
    When,
};
pub use start::{
    Amount, Callback, Guarded, Halt, Plan, Planned, PlannedHost, Refused, Start, Started, Waves,
};
pub use states::{Counts, RunState, Target, TargetState};

use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::RunId;
use serde::{Deserialize, Serialize};

/// Targets in one answer or item.
pub const CHUNK: usize = 500;
/// Bytes of output in one item.
pub const OUTPUT_CHUNK: usize = 64 * 1024;

/// One run, without its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Which; absent only in messages from a much newer hub.
    pub id: Option<RunId>,
    /// How it stands.
    pub state: RunState,
    /// Why it was halted, stopped or paused; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Who began it.
    pub operator: String,
    /// The order in a few words, for tables.
    pub what: String,
    /// The selector as it was asked for.
    pub hosts: String,
    /// What the operator wrote about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The schedule that began it; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schedule: String,
    /// When that was due, milliseconds since 1970; absent without a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// The hub was away at that moment: hosts did it by themselves, and the run is what they told of it later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// The run of which it is a step; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// When it ended, milliseconds since 1970; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// How its targets stand. Only those on hosts that the caller may know of are counted.
    pub counts: Counts,
    /// How many targets each wave has, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<u32>,
    /// Which wave is under way, from 0.
    pub wave: u32,
    /// Bytes of output that the hub keeps of it.
    pub output: u64,
    /// Bytes of output that were not kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Runs, newest first: the caller's own, and those with targets on hosts for which they may look at runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Only those that go on.
    pub open: bool,
    /// Only this operator's; empty for all.
    pub operator: String,
    /// Only those whose id begins so; empty for all.
    pub id: String,
    /// Only the one that the caller began with this idempotency key; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Only older ones than this, milliseconds since 1970; absent for all.
    pub before_ms: Option<u64>,
    /// As [`Listing::next`] of the page before; empty for the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// How many at most; 0 for as many as fit (500).
    pub limit: u32,
}

impl Call for List {
    const METHOD: &'static str = "runs.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Newest first. Empty only when there are none, or no more.
    pub runs: Vec<Run>,
    /// There are older ones.
    pub more: bool,
    /// What to give as [`List::after`] for them; empty when there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// What changes in the lists of runs and of schedules. Nothing comes while nothing changes; what changes often is
/// gathered for half a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListWatch {
    /// Only runs that are new, end or stand otherwise: neither how far each is, nor schedules.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
}

impl Feed for ListWatch {
    const METHOD: &'static str = "runs.list.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = ListNews;
}

/// What has changed in lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListNews {
    /// From here on changes are told: both lists are to be asked for now. Always so in the first item.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub begins: bool,
    /// Runs that are new or stand otherwise, as a [`List`] has them; at most [`CHUNK`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// Runs that were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<RunId>,
    /// Schedules have changed: they are to be asked for ([`ListSchedules`]).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub schedules: bool,
}

/// One run with its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// Which.
    pub run: RunId,
    /// Targets from this index on; [`CHUNK`] of them are told at a time.
    #[serde(default)]
    pub from: u32,
}

impl Call for Show {
    const METHOD: &'static str = "runs.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The run.
    pub run: Run,
    /// What was asked for, without what is secret.
    pub start: Start,
    /// Targets by index.
    pub targets: Vec<Target>,
    /// The index from which to ask for more; absent when these were the last.
    pub next: Option<u32>,
    /// Equal ends in one: filled when `from` is 0.
    pub groups: Vec<Group>,
}

/// Targets that ended alike: same state, same code, same output, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// How they ended.
    pub state: TargetState,
    /// Their exit code, if they have one.
    pub code: Option<i32>,
    /// How many.
    pub count: u32,
    /// One of them, whose output stands for all.
    pub example: u32,
    /// Which output, as in [`Target::sum`].
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub sum: Vec<u8>,
    /// Their indices, at most [`CHUNK`].
    pub targets: Vec<u32>,
}

/// How a run stands and what changes in it, until it is over: the whole first and then differences to
/// what this watcher was sent, or only what came after `since`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which.
    pub run: RunId,
    /// The cursor of the last item that the caller has; empty for everything from the beginning. One
    /// that the hub cannot go on from leads to a `reset`; output goes on from it in any case.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// Tell the output too. Only for who began the run; others read it with [`Output`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub output: bool,
    /// Go on after the end, for a retry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stay: bool,
}

impl Feed for Watch {
    const METHOD: &'static str = "runs.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// What changed in a run. Apply in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// From where to go on after this item.
    pub cursor: String,
    /// Forget what was told of targets first (always so in the first item without a cursor).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Output, in the order in which it came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<Printed>,
    /// Targets that changed. The output of one that has ended was told before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// The run, when something about it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The run is over and everything was told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}

/// A piece of a target's output. Every item has one or more of its last three fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Printed {
    /// Whose, by index.
    #[serde(rename = "t")]
    pub target: u32,
    /// In which attempt.
    #[serde(rename = "a")]
    pub attempt: u32,
    /// Bytes it wrote to its standard output.
    #[serde(rename = "o", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub stdout: Vec<u8>,
    /// Bytes it wrote to its standard error.
    #[serde(rename = "e", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<u8>,
    /// So many bytes that it wrote here were not kept.
    #[serde(rename = "l", skip_serializing_if = "is_zero")]
    pub lost: u64,
}

/// The output of a run, or of some of its targets, in the order in which it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Which.
    pub run: RunId,
    /// Indices of targets; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<u32>,
    /// The cursor of the last item that the caller has; empty for everything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// Go on until the run is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

impl Feed for Output {
    const METHOD: &'static str = "runs.output";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// Ends a run everywhere at once: what was not sent is not sent any more, what runs is ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Which.
    pub run: RunId,
    /// Why; may be empty.
    #[serde(default)]
    pub why: String,
}

impl Call for Stop {
    const METHOD: &'static str = "runs.stop";
    const ACCESS: Access = Access::Act;
    type Reply = Run;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// Sends nothing more until it is resumed. What runs goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Which.
    pub run: RunId,
}

impl Call for Pause {
    const METHOD: &'static str = "runs.pause";
    const ACCESS: Access = Access::Act;
    type Reply = Run;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// Goes on with a run that was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Which.
    pub run: RunId,
}

impl Call for Resume {
    const METHOD: &'static str = "runs.resume";
    const ACCESS: Access = Access::Act;
    type Reply = Run;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// Tries again on hosts where it failed, was lost, or could not be reached: a further attempt of the same
/// targets of a run that has ended. Decided anew, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which.
    pub run: RunId,
    /// Only these targets, by index; empty for all that failed, were lost or unreachable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<u32>,
    /// Also those that were never reached because the run was stopped or halted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// As [`Start::confirm`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<u32>,
}

impl Call for Retry {
    const METHOD: &'static str = "runs.retry";
    const ACCESS: Access = Access::Act;
    type Reply = Started;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

/// Deletes a run that is over, with all that was kept of it. Whoever could stop it may; its idempotency key stays
/// used, so that a request that is sent again late begins nothing a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// Which.
    pub run: RunId,
}

impl Call for Delete {
    const METHOD: &'static str = "runs.delete";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(self.run)
    }
}

fn resource(run: RunId) -> String {
    format!("run:{run}")
}
