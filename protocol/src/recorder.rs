//! The flight recorder of a host: who used its processors, its memory and its disks, at every sample, for as long as
//! the agent's ring on disk reaches back.
//!
//! Command lines are shown to all who may look, as those of [`crate::processes`] are.

use crate::call::{Access, Call};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// So many steps in one answer at most.
pub const STEPS: u32 = 2000;

/// What is recorded, and how that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "recorder.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// The oldest sample, milliseconds since 1970 by the host's clock; 0 when there is none yet.
    pub from_ms: u64,
    /// The newest.
    pub to_ms: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes on disk, and how many there may be.
    pub bytes: u64,
    /// See `bytes`.
    pub keep_bytes: u64,
    /// From one sample to the next, in milliseconds.
    pub interval_ms: u64,
    /// Samples left out since the agent began, because those before had cost as much as was allowed.
    pub skipped: u64,
    /// What it costs, in millionths of one processor, over the last minute.
    pub cost_ppm: u64,
    /// Processes of the host, and how many of them the newest sample looked at: those that do nothing take turns.
    pub processes: u32,
    /// See `processes`.
    pub looked: u32,
    /// Places on disk that were not what was written, and were passed over.
    pub damaged: u64,
    /// Samples that could not be written.
    pub lost: u64,
    /// Pieces of the ring that went before their time because the disk was full.
    pub squeezed: u64,
    /// The disk has no room now.
    pub full: bool,
}

/// Who was on top at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct At {
    /// The newest sample at or before this, milliseconds since 1970; 0 for the newest of all.
    pub at_ms: u64,
}

impl Call for At {
    const METHOD: &'static str = "recorder.at";
    const ACCESS: Access = Access::Read;
    type Reply = Moment;
}

/// The answer to an [`At`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// When it was taken.
    pub at_ms: u64,
    /// Milliseconds since the sample before.
    pub every_ms: u32,
    /// Processor time not idle, permille of all processors together.
    pub cpu: u32,
    /// Processors.
    pub cores: u32,
    /// Bytes of memory, and those that programs cannot give back.
    pub memory_total: u64,
    /// See `memory_total`.
    pub memory_used: u64,
    /// Processes of the host, and how many of them were looked at for this sample.
    pub processes: u32,
    /// See `processes`.
    pub looked: u32,
    /// Processor time that no process accounts for, in permille of one processor: of those that came and went between two
    /// samples.
    pub unseen: u32,
    /// The heaviest processes by processor time, memory or disk traffic, the busiest first.
    pub tops: Vec<Top>,
    /// The heaviest programs and units, and the containers, the busiest first.
    pub groups: Vec<Group>,
}

/// One process at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Top {
    /// Its number.
    #[serde(rename = "p")]
    pub pid: u32,
    /// Start in clock ticks since the host started. With the pid it names one process for good.
    #[serde(rename = "b")]
    pub start: u64,
    /// User name, or number when it has none.
    #[serde(rename = "u")]
    pub user: String,
    /// Short name as the kernel has it.
    #[serde(rename = "n")]
    pub name: String,
    /// Command line, cut; empty for kernel threads, or when none are kept.
    #[serde(rename = "c")]
    pub command: String,
    /// State letter as `ps` shows it.
    #[serde(rename = "s")]
    pub state: String,
    /// The unit or the container it belongs to; empty for neither.
    #[serde(rename = "g")]
    pub place: String,
    /// Permille of one processor.
    #[serde(rename = "cp")]
    pub cpu: u32,
    /// Resident bytes.
    #[serde(rename = "m")]
    pub memory: u64,
    /// Bytes read from disks a second; absent when the agent may not see it.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Bytes written to disks a second; absent when the agent may not see it.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
}

open_enum! {
    /// What a group is made by.
    pub enum Kind {
        /// The name of a program.
        Program = "program",
        /// A unit of systemd.
        Unit = "unit",
        /// A container.
        Container = "container",
    }
}

/// Processes that belong together, at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Group {
    /// What it is made by.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// Its name; a container's id where the engine knew none.
    #[serde(rename = "n")]
    pub name: String,
    /// A container's id.
    #[serde(rename = "i", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Processes.
    #[serde(rename = "c")]
    pub count: u32,
    /// Permille of one processor.
    #[serde(rename = "cp")]
    pub cpu: u32,
    /// Bytes of memory.
    #[serde(rename = "m")]
    pub memory: u64,
    /// Bytes read from disks a second; absent when the agent may not see it.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Bytes written to disks a second.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// Bytes received a second, by a container with a network of its own. The kernel does not tell it of processes.
    #[serde(rename = "rx", skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Bytes sent a second, likewise.
    #[serde(rename = "tx", skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
}

/// What there is to scroll over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Range {
    /// From, milliseconds since 1970; 0 for the oldest.
    pub from_ms: u64,
    /// Up to this, left out; 0 for all there is.
    pub to_ms: u64,
    /// In at most so many steps of one length, 1 to [`STEPS`]; others are brought into that range.
    pub steps: u32,
}

impl Call for Range {
    const METHOD: &'static str = "recorder.range";
    const ACCESS: Access = Access::Read;
    type Reply = Steps;
}

/// The answer to a [`Range`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steps {
    /// The first step begins here.
    pub from_ms: u64,
    /// How long each is.
    pub step_ms: u64,
    /// All of them, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Samples in it; 0 when nothing was recorded, and all else is empty.
    #[serde(rename = "n")]
    pub samples: u32,
    /// Processor time not idle on average, permille of all processors.
    #[serde(rename = "c")]
    pub cpu: u32,
    /// The most memory in use.
    #[serde(rename = "m")]
    pub memory: u64,
    /// The busiest sample in it: when.
    #[serde(rename = "t")]
    pub peak_ms: u64,
    /// Permille of all processors.
    #[serde(rename = "p")]
    pub peak_cpu: u32,
    /// The process that used most of it.
    #[serde(rename = "b")]
    pub busiest: String,
}
