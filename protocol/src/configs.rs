//! Config groups: files that some hosts shall have, kept by the hub in versions. Answered by the hub; a group is
//! pushed as the order of a run (the runbook `config.NAME`), and what hosts have is looked at with
//! [`crate::files`].

mod drift;

pub use drift::{Drift, LARGEST, Stands, drift, is_read};

use crate::call::{Access, Call, Nothing};
use crate::ids::HostId;
use crate::runbooks::{Problem, Saved, VersionListing};
use serde::{Deserialize, Serialize};

/// Before the name of a group, where an order names it as a runbook.
pub const ORDER: &str = "config.";

/// A config group in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// Its newest version, from 1.
    pub version: u64,
    /// How many files it has.
    pub files: u32,
    /// The hosts that it is for, as a selector; empty in one that cannot be read any more.
    pub hosts: String,
    /// When it was saved, milliseconds since 1970.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
}

/// Which config groups there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "configs.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub configs: Vec<Config>,
}

/// One group with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
    /// Which version; absent for the newest.
    pub version: Option<u64>,
}

impl Call for Show {
    const METHOD: &'static str = "configs.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

fn resource(name: &str) -> String {
    format!("config:{name}")
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The group; of an older version, with the number and the times of that one.
    pub config: Config,
    /// What somebody wrote about this version.
    pub note: String,
    /// Its text, as it was saved.
    pub text: String,
    /// What is wrong with it now.
    pub problems: Vec<Problem>,
}

/// Whether a text is a config group. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// The text.
    pub text: String,
}

impl Call for Check {
    const METHOD: &'static str = "configs.check";
    const ACCESS: Access = Access::Read;
    type Reply = Checked;
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// What is wrong, by place; empty for a group that can be pushed.
    pub problems: Vec<Problem>,
    /// Its name, where it has one.
    pub name: String,
    /// How many files it has.
    pub files: u32,
}

/// Keeps a group as the newest version of its name. No host is changed by that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Its name; the text has the same one.
    pub name: String,
    /// The text.
    pub text: String,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: it is refused when somebody has saved another one since.
    /// Absent to save it whatever there is.
    pub was: Option<u64>,
}

impl Call for Save {
    const METHOD: &'static str = "configs.save";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The versions of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub name: String,
}

impl Call for Versions {
    const METHOD: &'static str = "configs.versions";
    const ACCESS: Access = Access::Read;
    type Reply = VersionListing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Removes a group with all its versions. No host is changed by that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "configs.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// What a host shall have by a group: its files, as their templates come out there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expect {
    /// Which group.
    pub name: String,
    /// Which version; absent for the newest.
    pub version: Option<u64>,
    /// These hosts of the group; empty for all. At most [`MAX_HOSTS`] are answered at once.
    pub hosts: Vec<HostId>,
    /// Only which hosts these are: all of them are in [`Expected::more`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
}

/// Hosts in one answer to an [`Expect`].
pub const MAX_HOSTS: usize = 50;

impl Call for Expect {
    const METHOD: &'static str = "configs.expect";
    const ACCESS: Access = Access::Read;
    type Reply = Expected;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to an [`Expect`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expected {
    /// The version that was looked at.
    pub version: u64,
    /// Hosts by name, as far as the answer goes.
    pub hosts: Vec<HostFiles>,
    /// Hosts that were left out because there are too many: ask for them.
    pub more: Vec<HostId>,
}

/// What one host shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFiles {
    /// The host.
    pub host: Option<HostId>,
    /// Its name.
    pub name: String,
    /// Its files, in order.
    pub files: Vec<FileWanted>,
}

/// A file that a host shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileWanted {
    /// Where.
    pub path: String,
    /// Permissions; absent for whatever they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// `user`, `user:group` or `:group`; empty for whoever it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// What is in it; absent when there is a secret in it, or it cannot be told.
    #[serde(with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<u8>>,
    /// There is a secret in it, so what is in it is not told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Why it cannot be told; empty when it can.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}
