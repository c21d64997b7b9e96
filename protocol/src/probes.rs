//! Probes: a far end is asked from several hosts whether it is well. The hub keeps them in versions and judges what the
//! agents say; agents ask. docs/probes.md has the text of one.

mod measured;
mod spec;

pub use measured::{Certificate, Measured, Phases, Verdict};
pub use spec::{Dns, Http, Icmp, Probe, Record, Script, Tcp, Terms, Tls};

use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use crate::runbooks::{Problem, Saved, VersionListing};
use serde::{Deserialize, Serialize};

/// Probes that one hub keeps at most.
pub const MAX_PROBES: usize = 500;
/// Probes that one agent runs at most.
pub const MAX_ON_AGENT: usize = 200;
/// Agents that run one probe at most.
pub const MAX_AGENTS: usize = 32;

/// Parts of a stretch of time that are told of one probe at most.
pub const MAX_BLOCKS: u32 = 100;
/// Stands for a part of which nothing is known.
pub const NOT_KNOWN: u16 = u16::MAX;

/// Says that a probe's name can be one: it becomes part of the names of figures.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    let first = name.bytes().next();
    if name.len() > 63 || !name.bytes().all(fine) || first.is_none_or(|c| b"-._".contains(&c)) {
        return Err(
            "the name of a probe has 1 to 63 small letters, digits, '-', '.' and '_', and begins with a letter or a digit"
                .to_owned(),
        );
    }
    Ok(())
}

open_enum! {
    /// How a probe stands, by what its agents say together.
    pub enum State {
        /// No agent says otherwise.
        Up = "up",
        /// Some say it is down, and not enough of them; or it is up with a warning, or goes up and down.
        Degraded = "degraded",
        /// A quorum says it is down.
        Down = "down",
    }
}

/// A probe in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// `http`, `tcp`, `icmp`, `dns`, `tls` or `script`.
    pub kind: String,
    /// What is asked, such as an address or a name.
    pub target: String,
    /// The hosts that ask, as a selector.
    pub from: String,
    /// How often each of them asks, milliseconds.
    pub every_ms: u64,
    /// It is kept and not run.
    pub off: bool,
    /// Its newest version, from 1.
    pub version: u64,
    /// When it was saved, milliseconds since 1970.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
    /// Why it is not run although it is on; empty when it is.
    pub problem: String,
    /// How it stands; `unknown` while not enough agents have answered.
    pub state: State,
    /// Since when, milliseconds since 1970; 0 for not known.
    pub since_ms: u64,
    /// In words.
    pub why: String,
    /// It goes up and down, so that it is not called up again before it has been calm.
    pub flapping: bool,
    /// Agents that have answered lately.
    pub answering: u32,
    /// Those of them that say it is down.
    pub against: u32,
    /// Agents that are to run it.
    pub agents: u32,
    /// The newest time of all, over the agents, in microseconds; absent while none has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// When the certificate ends that was seen, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_ends_ms: Option<u64>,
    /// Shares of time in which it was up, over the last day, week and month, in tenths of a percent: of the time that was
    /// judged; absent where nothing was.
    pub uptime: [Option<u16>; 3],
    /// The same of the parts of a stretch of time, when that was asked for: oldest first, [`NOT_KNOWN`] where nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<u16>,
}

/// Which probes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// The stretch of time up to now of which parts are told, milliseconds.
    pub span_ms: u64,
    /// In so many parts, at most [`MAX_BLOCKS`]; 0 for none.
    pub blocks: u32,
}

impl Call for List {
    const METHOD: &'static str = "probes.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub probes: Vec<Row>,
}

/// A probe with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
    /// Which version; absent for the newest.
    pub version: Option<u64>,
}

impl Call for Show {
    const METHOD: &'static str = "probes.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The probe; of an older version, with the number and the times of that one.
    pub probe: Row,
    /// What somebody wrote about this version.
    pub note: String,
    /// Its text, as it was saved. For who may not save it, the values of its headers and its body are struck out.
    pub text: String,
    /// Something in it was struck out: saved so it would ask something else.
    pub struck: bool,
    /// What is wrong with it now.
    pub problems: Vec<Problem>,
}

/// Whether a text is a probe. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// YAML.
    pub text: String,
}

impl Call for Check {
    const METHOD: &'static str = "probes.check";
    const ACCESS: Access = Access::Read;
    type Reply = Checked;
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// What is wrong, by place; empty for a probe that can be kept.
    pub problems: Vec<Problem>,
    /// Its name, where it has one.
    pub name: String,
    /// Hosts that its selector picks now, of those that are online.
    pub agents: u32,
}

/// Keeps a probe as the newest version of its name. It is run so from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Its name; the text has the same one.
    pub name: String,
    /// YAML.
    pub text: String,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: it is refused when somebody has saved another one since.
    /// Absent to save it whatever there is.
    pub was: Option<u64>,
}

impl Call for Save {
    const METHOD: &'static str = "probes.save";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The versions of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub name: String,
}

impl Call for Versions {
    const METHOD: &'static str = "probes.versions";
    const ACCESS: Access = Access::Read;
    type Reply = VersionListing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Removes a probe with all its versions. What the history has of it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "probes.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Runs a probe once from some hosts and says what each has seen. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Try {
    /// YAML; empty for the newest text of `name`.
    pub text: String,
    /// Which, where there is no text.
    pub name: String,
    /// From these hosts, as a selector; empty for those that the probe says.
    pub from: String,
}

impl Call for Try {
    const METHOD: &'static str = "probes.try";
    const ACCESS: Access = Access::Admin;
    type Reply = Tried;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Try`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tried {
    /// What each host has seen, by name.
    pub agents: Vec<Seen>,
}

/// What one host has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The host.
    pub host: Option<HostId>,
    /// Its name.
    pub name: String,
    /// It can be asked.
    pub online: bool,
    /// When it was seen, milliseconds since 1970, by the hub's clock; 0 for not yet.
    pub at_ms: u64,
    /// How often in a row it has failed.
    pub failures: u32,
    /// What it was.
    pub measured: Measured,
}

/// How a probe stands, with what each agent says and how it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Which.
    pub name: String,
}

impl Call for Status {
    const METHOD: &'static str = "probes.status";
    const ACCESS: Access = Access::Read;
    type Reply = Stands;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stands {
    /// The probe.
    pub probe: Row,
    /// What each agent says, by name.
    pub agents: Vec<Seen>,
    /// Shares of time in which it was up, as in [`Row`].
    pub uptime: [Option<u16>; 3],
    /// What happened, the newest first: at most 50.
    pub happened: Vec<Happening>,
    /// The newest times and whether it was up, oldest first: the last hour, a point for each minute.
    pub lately: Vec<Lately>,
}

/// From when on a probe stood so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Happening {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// How it stood.
    pub state: State,
    /// In words.
    pub why: String,
}

/// A minute of a probe, over its agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lately {
    /// When it began, milliseconds since 1970.
    pub at_ms: u64,
    /// The mean time, in microseconds; absent where there is none.
    pub took_us: Option<u64>,
    /// The share of looks that found it up, in tenths of a percent; absent where nobody looked.
    pub up: Option<u16>,
}

/// Runs a probe once. The hub asks its agents so; clients ask [`Try`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// What to ask.
    pub probe: Probe,
}

impl Call for Run {
    const METHOD: &'static str = "probes.run";
    const ACCESS: Access = Access::Act;
    type Reply = Measured;
}

/// Runs probes on their intervals for as long as the feed lasts, and tells each result. The hub asks its agents so, and
/// asks anew when the set is another one: when each is due is a matter of the time of day, so none is run twice for that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// At most [`MAX_ON_AGENT`].
    pub probes: Vec<Due>,
}

/// A probe that an agent runs again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Due {
    /// Told again with each result.
    pub version: u64,
    /// The first look is wanted at once: the hub has none of this agent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub soon: bool,
    /// What to ask.
    pub probe: Probe,
}

impl Feed for Watch {
    const METHOD: &'static str = "probes.watch";
    const ACCESS: Access = Access::Act;
    type Input = Nothing;
    type Item = Told;
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Which probe.
    pub name: String,
    /// Its version, as the hub said it.
    pub version: u64,
    /// What was seen.
    pub measured: Measured,
}

fn resource(name: &str) -> String {
    format!("probe:{name}")
}
