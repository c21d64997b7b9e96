//! What else there is on a host: mounts, interfaces, logins, packages, scheduled jobs.

use crate::call::{Access, Call};
use serde::{Deserialize, Serialize};

/// File systems that are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mounts {
    /// Also those that hold no data of anybody's, such as `proc`.
    pub all: bool,
}

impl Call for Mounts {
    const METHOD: &'static str = "system.mounts";
    const ACCESS: Access = Access::Read;
    type Reply = Found<Mount>;
}

/// Network interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interfaces {}

impl Call for Interfaces {
    const METHOD: &'static str = "system.interfaces";
    const ACCESS: Access = Access::Read;
    type Reply = Found<Interface>;
}

/// Users who are logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins {}

impl Call for Logins {
    const METHOD: &'static str = "system.logins";
    const ACCESS: Access = Access::Read;
    type Reply = Found<Login>;
}

/// Packages that are installed, a page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packages {
    /// Only those whose name contains this.
    pub name: String,
    /// Only those for which a newer version is known.
    pub upgradable: bool,
    /// The page after this many.
    pub skip: u32,
    /// So many of a page at most; 0 for as many as the host gives.
    pub limit: u32,
}

impl Call for Packages {
    const METHOD: &'static str = "system.packages";
    const ACCESS: Access = Access::Read;
    type Reply = PackagePage;
}

/// Jobs that begin at their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {}

impl Call for Jobs {
    const METHOD: &'static str = "system.jobs";
    const ACCESS: Access = Access::Read;
    type Reply = Found<Job>;
}

/// What was found, and what could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, bound = "T: Serialize + serde::de::DeserializeOwned")]
pub struct Found<T> {
    /// What is there.
    pub rows: Vec<T>,
    /// What is missing here, and why, a sentence each.
    pub notes: Vec<String>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), notes: Vec::new() }
    }
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted there.
    pub device: String,
    /// Its kind, such as `ext4`.
    pub kind: String,
    /// How it is mounted.
    pub options: String,
    /// Nothing can be written.
    pub read_only: bool,
    /// Bytes in all; absent when it did not answer in time.
    pub total: Option<u64>,
    /// Bytes free for ordinary users.
    pub free: Option<u64>,
    /// Files that it can hold; 0 when it does not count them.
    pub inodes: u64,
    /// Files that it can still take.
    pub inodes_free: u64,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `unknown`, in the kernel's word.
    pub state: String,
    /// Addresses with the length of their network, `10.0.0.7/24`.
    pub addresses: Vec<String>,
    /// Its hardware address.
    pub mac: String,
    /// The largest packet.
    pub mtu: u64,
    /// Megabits a second; absent when it does not tell.
    pub speed: Option<u64>,
    /// Bytes received since it is there.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Packets received in error, and sent.
    pub errors: u64,
    /// Packets dropped, both ways.
    pub drops: u64,
}

/// A user who is logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// Who.
    pub user: String,
    /// On which terminal; empty for none.
    pub terminal: String,
    /// From where; empty for the host itself.
    pub from: String,
    /// Since when, seconds since 1970.
    pub since_s: u64,
    /// Seconds without a key; absent when that is not known.
    pub idle_s: Option<u64>,
    /// The process that the login began with; 0 when that is not known.
    pub pid: u32,
}

/// A page of packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PackagePage {
    /// By name.
    pub packages: Vec<Package>,
    /// So many fit in all.
    pub total: u32,
    /// So many of all have a newer version; absent when the host's lists do not tell.
    pub upgradable: Option<u32>,
    /// Who keeps them: `dpkg`, `rpm`, `apk`.
    pub manager: String,
    /// What is missing here, and why.
    pub notes: Vec<String>,
}

/// An installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// The newer version that the host knows of; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub newer: String,
    /// What it says of itself, in one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// A job that begins at its times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// `cron` or `timer`.
    pub kind: String,
    /// When: five fields, `@daily`, or the name of a timer.
    pub when: String,
    /// As whom.
    pub user: String,
    /// What.
    pub command: String,
    /// The file, or the unit, that says so.
    pub source: String,
    /// When it begins next, seconds since 1970; absent when that is not known.
    pub next_s: Option<u64>,
    /// When it began last.
    pub last_s: Option<u64>,
}
