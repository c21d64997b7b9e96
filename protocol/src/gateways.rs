//! Gateways: L4 load balancers on hosts. The hub keeps the text of each in versions and gives it to its host, which carries
//! on without the hub; how one does is asked of the host itself. docs/gateways.md has the text of one.

mod live;

pub use live::{
    Ban, Banned, Bans, Drain, Ended, Figures, GroupFigures, ListenerFigures, Log, Logged, Status,
    Talker, Times, UpstreamFigures, Weight,
};

use crate::call::{Access, Call, Nothing};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use crate::runbooks::{Problem, Saved, VersionListing};
use serde::{Deserialize, Serialize};

/// Gateways that one hub keeps at most.
pub const MAX_GATEWAYS: usize = 1000;
/// Gateways of one host at most.
pub const MAX_ON_HOST: usize = 64;

/// Says that a gateway's name can be one: it stands in front of the names of its listeners and groups, and in figures.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    let first = name.bytes().next();
    if name.len() > 31 || !name.bytes().all(fine) || first.is_none_or(|c| b"-._".contains(&c)) {
        return Err(
            "the name of a gateway has 1 to 31 small letters, digits, '-', '.' and '_', and begins with a letter or a digit"
                .to_owned(),
        );
    }
    Ok(())
}

/// What rights are about.
pub fn resource(name: &str) -> String {
    format!("gateway:{name}")
}

open_enum! {
    /// How a gateway stands.
    pub enum State {
        /// Its host goes by its newest version.
        Running = "running",
        /// Its host has not heard of the newest version yet: it is away, or about to.
        Waits = "waits",
        /// Its host does not go by the newest version; the one before goes on there, if there was one.
        Refused = "refused",
        /// It is kept and not run.
        Off = "off",
        /// Its text or its host is none any more.
        Broken = "broken",
    }
}

/// A gateway in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The host that it is on; absent when that has left the fleet.
    pub host: Option<HostId>,
    /// That host's name.
    pub host_name: String,
    /// Where it listens, such as `tcp 0.0.0.0:80`.
    pub listeners: Vec<String>,
    /// Upstreams in all its groups.
    pub upstreams: u32,
    /// How it stands.
    pub state: State,
    /// Why it is not running; empty when it is.
    pub why: String,
    /// Its newest version, from 1.
    pub version: u64,
    /// The version that its host goes by, as far as that is known; 0 for none.
    pub at_host: u64,
    /// When it was saved, milliseconds since 1970.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
}

/// All gateways on hosts that the caller may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "gateways.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub gateways: Vec<Row>,
}

/// A gateway with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
    /// Which version; absent for the newest.
    pub version: Option<u64>,
}

impl Call for Show {
    const METHOD: &'static str = "gateways.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The gateway; of an older version, with the number and the times of that one.
    pub gateway: Row,
    /// What somebody wrote about this version.
    pub note: String,
    /// Its text, as it was saved.
    pub text: String,
    /// What is wrong with it now.
    pub problems: Vec<Problem>,
}

/// Whether a text is a gateway, and what its host says to it. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// YAML.
    pub text: String,
}

impl Call for Check {
    const METHOD: &'static str = "gateways.check";
    const ACCESS: Access = Access::Read;
    type Reply = Checked;
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// What is wrong, by place; empty for a gateway that can be kept.
    pub problems: Vec<Problem>,
    /// Its name, where it has one.
    pub name: String,
    /// The host's name.
    pub host: String,
    /// Why nobody knows what its host would say to it; empty where that is known.
    pub unasked: String,
}

/// Keeps a gateway as the newest version of its name, and has its host go by it.
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
    const METHOD: &'static str = "gateways.save";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The versions of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub name: String,
}

impl Call for Versions {
    const METHOD: &'static str = "gateways.versions";
    const ACCESS: Access = Access::Read;
    type Reply = VersionListing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Removes a gateway with all its versions. Its host accepts no new connections for it as soon as it hears of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "gateways.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Gives a host all its gateways, in place of those that it had: what is not among them ends. Asked by the hub alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carry {
    /// All of them.
    pub gateways: Vec<Given>,
    /// Nothing is changed: it is only judged.
    pub judge: bool,
}

impl Call for Carry {
    const METHOD: &'static str = "gateways.carry";
    const ACCESS: Access = Access::Read;
    type Reply = Carried;
}

/// A gateway as its host is given it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The configuration, as JSON, in the words of docs/gateway.md.
    pub config: String,
}

/// The answer to a [`Carry`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// How each of them stands there.
    pub gateways: Vec<Held>,
}

/// How a gateway stands on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// Which.
    pub name: String,
    /// The version that the host goes by; 0 for none.
    pub version: u64,
    /// Why it does not go by the one that it was given; empty when it does.
    pub why: String,
}
