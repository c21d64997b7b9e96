//! The history of hosts' figures, kept and answered by the hub: which there are, their points over a stretch of
//! time, what they take, and removing them.
//!
//! What is kept is the mean of each step (ten seconds by default) of what an agent measured. The names of
//! figures with their units are in [`names`].

pub mod names;

use crate::call::{Access, Call};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use crate::pages::Paged;
use serde::{Deserialize, Serialize};

/// So many points in one answer at most.
pub const POINTS: u64 = 80_000;
/// So many names or patterns in one question at most.
pub const METRICS: usize = 64;

open_enum! {
    /// What a point says of what it stands for.
    pub enum Aggregate {
        /// The smallest.
        Min = "min",
        /// The mean.
        Mean = "mean",
        /// The largest.
        Max = "max",
        /// What 95 in 100 do not exceed.
        P95 = "p95",
        /// The last.
        Last = "last",
    }
}

open_enum! {
    /// How the same figure of several hosts becomes lines.
    pub enum Over {
        /// A line for each host.
        Each = "each",
        /// Their mean.
        Mean = "mean",
        /// The smallest of them.
        Min = "min",
        /// The largest.
        Max = "max",
        /// All of them together.
        Sum = "sum",
    }
}

open_enum! {
    /// What a figure is counted in.
    pub enum Unit {
        /// Percent, 0 to 100.
        Percent = "percent",
        /// Bytes.
        Bytes = "bytes",
        /// Bytes a second.
        BytesPerSecond = "bytes/s",
        /// A number of things.
        Count = "count",
        /// Things a second.
        PerSecond = "count/s",
        /// Degrees Celsius.
        Celsius = "celsius",
        /// Seconds.
        Seconds = "seconds",
    }
}

/// Points of some figures of some hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Picks hosts; empty for all that the caller may ask this of.
    pub selector: String,
    /// Names of figures, as `cpu.busy`; `*` is anything: `mount.share{*}`.
    pub metrics: Vec<String>,
    /// From then on, milliseconds since 1970.
    pub from_ms: u64,
    /// Until before then; 0 for now.
    pub to_ms: u64,
    /// A point for each so many milliseconds; 0 for what gives about 300.
    pub step_ms: u64,
    /// What a point says; absent for the mean.
    pub aggregate: Option<Aggregate>,
    /// How hosts become lines; absent for a line each.
    pub over: Option<Over>,
}

impl Call for Query {
    const METHOD: &'static str = "history.query";
    const ACCESS: Access = Access::Read;
    type Reply = Answer;
}

/// The answer to [`Query`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// When the first step begins, milliseconds since 1970.
    pub from_ms: u64,
    /// How long a step is: what was asked for, or what the oldest part is kept at.
    pub step_ms: u64,
    /// How many steps there are.
    pub steps: u32,
    /// Whether percentiles are exact. They are not where points have been made of points.
    pub exact: bool,
    /// By name of figure and host.
    pub lines: Vec<Line>,
}

/// One figure of a host, or of several together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Which host; absent for several together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Its name; empty for several together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The figure.
    pub metric: String,
    /// What it is counted in; unknown for one that this release does not know.
    pub unit: Unit,
    /// The step of the first point.
    pub first: u32,
    /// A value for each step from there on; nothing where nothing was measured.
    pub points: Vec<Option<f64>>,
}

/// Which figures there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Picks hosts; empty for all that the caller may ask this of.
    pub selector: String,
    /// Goes on after the host of this name.
    pub after: String,
}

impl Call for List {
    const METHOD: &'static str = "history.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

impl Paged for List {
    fn following(&self, page: &Listing) -> Option<Self> {
        let after = page.next.clone();
        (after > self.after).then(|| Self { after, ..self.clone() })
    }

    fn join(all: &mut Listing, page: Listing) {
        all.hosts.extend(page.hosts);
        all.next = page.next;
    }
}

/// The answer to [`List`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub hosts: Vec<OfHost>,
    /// To be given as `after` for what follows; empty at the end.
    pub next: String,
}

/// The figures of a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfHost {
    /// Which.
    pub host: Option<HostId>,
    /// Its name.
    pub name: String,
    /// By name.
    pub metrics: Vec<Listed>,
}

/// A figure that there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listed {
    /// Its name.
    pub metric: String,
    /// What it is counted in.
    pub unit: Unit,
    /// The oldest point, milliseconds since 1970.
    pub first_ms: u64,
    /// The newest.
    pub last_ms: u64,
    /// The newest value, if it is of the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<f64>,
}

/// What the history takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {}

impl Call for Sizes {
    const METHOD: &'static str = "history.sizes";
    const ACCESS: Access = Access::Read;
    type Reply = Sized;
}

/// The answer to [`Sizes`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sized {
    /// What is hot, in memory and in the log.
    pub hot: Part,
    /// The steps of the ladder, finest first.
    pub tiers: Vec<Part>,
    /// Places on disk that were not what was written; they are not served.
    pub damaged: u64,
    /// Samples refused because they were too old.
    pub late: u64,
    /// Samples refused because they were from the future.
    pub ahead: u64,
    /// Samples refused because there was no room.
    pub full: u64,
    /// Files that went before their time, to make room.
    pub dropped: u64,
    /// Why the last attempt to write failed; empty when it did not.
    pub trouble: String,
    /// Where samples are sent on, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
}

/// Where samples are sent on: a server that takes the remote-write protocol of Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Its name in the hub's configuration.
    pub name: String,
    /// Its server, `host:port`.
    pub server: String,
    /// Samples that it took since the hub started.
    pub sent: u64,
    /// Samples that it refused for good since then: out of order, too old, malformed.
    pub refused: u64,
    /// Samples that were left out since then, because they waited longer than the configuration allows.
    pub left_out: u64,
    /// How old the oldest sample is that waits, milliseconds; 0 when none does.
    pub behind_ms: u64,
    /// When it last took something, milliseconds since 1970; 0 for never since the hub started.
    pub taken_ms: u64,
    /// Since when it takes nothing, milliseconds since 1970; 0 while it does.
    pub failing_ms: u64,
    /// What it said last, or why it could not be reached; empty when there was nothing wrong.
    pub last: String,
}

/// A part of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// A point for each so many milliseconds; 0 for samples as they came.
    pub step_ms: u64,
    /// Kept until so old, milliseconds; 0 for good.
    pub until_ms: u64,
    /// Files.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Samples, or points that stand for many.
    pub values: u64,
    /// The oldest, milliseconds since 1970; 0 for none.
    pub first_ms: u64,
    /// The newest.
    pub last_ms: u64,
}

/// Removes history, or says what that would remove. What is to go meets all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Purge {
    /// Of these hosts; empty for all, those included that have left the fleet.
    pub selector: String,
    /// Figures of this name, `*` being anything; empty for all.
    pub metrics: String,
    /// What is older than this, milliseconds since 1970; 0 for all.
    pub before_ms: u64,
    /// Do it. Otherwise it is counted alone.
    pub apply: bool,
}

impl Call for Purge {
    const METHOD: &'static str = "history.purge";
    const ACCESS: Access = Access::Admin;
    type Reply = Purged;
    fn resource(&self) -> String {
        let or_all = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
        format!("history:{}/{}", or_all(&self.selector), or_all(&self.metrics))
    }
}

/// The answer to [`Purge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Purged {
    /// Samples, or points that stand for many.
    pub values: u64,
    /// About so many bytes on disk.
    pub bytes: u64,
    /// Whether they are gone.
    pub applied: bool,
}
