//! Processes of a host: list, live table, signals and priorities.

use crate::call::{Access, Call, Feed, Nothing};
use crate::sift::Sift;
use serde::{Deserialize, Serialize};

/// All processes, with processor use measured over a short interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Only so many, the busiest first; 0 for all of them by pid.
    pub busiest: u32,
    /// Only those that fit this; `busiest` then counts among them.
    #[serde(skip_serializing_if = "Sift::is_empty")]
    pub sift: Sift,
}

impl Call for List {
    const METHOD: &'static str = "processes.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Every process, by pid; or the busiest.
    pub processes: Vec<Process>,
    /// So many more fit, and were left out.
    pub left_out: u64,
    /// They were sifted by [`List::sift`]; an agent that does not know it leaves that to whoever asked.
    pub sifted: bool,
}

/// The table, then what changes in it. Every watcher gets differences to what *it* was sent last,
/// so a slow one misses intermediate states but never ends up wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Milliseconds between samples, 1000 to 60000; others are brought into that range.
    pub interval_ms: u64,
}

impl Feed for Watch {
    const METHOD: &'static str = "processes.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Change;
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its number.
    #[serde(rename = "p")]
    pub pid: u32,
    /// Its parent's number; 0 for none.
    #[serde(rename = "pp")]
    pub ppid: u32,
    /// Start in clock ticks since the host started. With the pid it names one process for good.
    #[serde(rename = "b")]
    pub start: u64,
    /// Start, seconds since 1970.
    #[serde(rename = "at")]
    pub started_s: u64,
    /// User name, or number when it has none.
    #[serde(rename = "u")]
    pub user: String,
    /// Short name as the kernel has it.
    #[serde(rename = "n")]
    pub name: String,
    /// Full command line, arguments joined by blanks; empty for kernel threads.
    #[serde(rename = "c")]
    pub command: String,
    /// State letter as `ps` shows it: R S D Z T I.
    #[serde(rename = "s")]
    pub state: String,
    /// Threads.
    #[serde(rename = "th")]
    pub threads: u32,
    /// Niceness, -20 to 19.
    #[serde(rename = "ni")]
    pub nice: i32,
    /// Processor time in permille of one processor; may be over 1000.
    #[serde(rename = "cp")]
    pub cpu: u32,
    /// Resident memory in bytes.
    #[serde(rename = "m")]
    pub memory: u64,
    /// Bytes read from disks a second; absent when the agent may not see it.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Bytes written to disks a second; absent when the agent may not see it.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
}

/// What changed in the table since this watcher's last item. Apply in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Forget everything first: the table begins anew (always so in the first item).
    #[serde(rename = "x", skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// These have ended.
    #[serde(rename = "g", skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<u32>,
    /// These are new, or changed in something other than the figures below.
    #[serde(rename = "n", skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<Process>,
    /// pid and new [`Process::cpu`].
    #[serde(rename = "c", skip_serializing_if = "Vec::is_empty")]
    pub cpu: Vec<(u32, u32)>,
    /// pid and new [`Process::memory`].
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<(u32, u64)>,
    /// pid and new [`Process::read`].
    #[serde(rename = "r", skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<(u32, u64)>,
    /// pid and new [`Process::written`].
    #[serde(rename = "w", skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<(u32, u64)>,
    /// pid and new [`Process::threads`].
    #[serde(rename = "t", skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<(u32, u32)>,
    /// pid and new [`Process::state`].
    #[serde(rename = "s", skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<(u32, String)>,
}

/// Sends a signal to exactly one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Its number.
    pub pid: u32,
    /// Its [`Process::start`]; a process that reuses the number is never hit.
    pub start: u64,
    /// Signal number, such as 15.
    pub signal: i32,
}

impl Call for Signal {
    const METHOD: &'static str = "processes.signal";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("process:{}", self.pid)
    }
}

/// Sets the niceness of exactly one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renice {
    /// Its number.
    pub pid: u32,
    /// Its [`Process::start`].
    pub start: u64,
    /// -20 to 19.
    pub nice: i32,
}

impl Call for Renice {
    const METHOD: &'static str = "processes.renice";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("process:{}", self.pid)
    }
}
