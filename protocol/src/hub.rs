//! The hub itself: what it is and how it is, its backup and its check.

use crate::call::{Access, Call, Feed, Nothing};
use serde::{Deserialize, Serialize};

/// What the hub is and how it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {}

impl Call for Info {
    const METHOD: &'static str = "hub.info";
    const ACCESS: Access = Access::Read;
    type Reply = HubInfo;
}

/// The answer to an [`Info`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HubInfo {
    /// Program version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Address it listens on.
    pub listen: String,
    /// Links from agents now.
    pub agents: u32,
    /// Links from clients now.
    pub clients: u32,
    /// Streams relayed since the start.
    pub relayed: u64,
    /// Bytes relayed since the start, both ways.
    pub relayed_bytes: u64,
    /// Links refused since the start.
    pub refused: u64,
    /// False when the disk is full and the hub only reads.
    pub writable: bool,
}

/// A copy of everything durable, as lines of text ready for a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {}

/// A piece of a [`Backup`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Piece {
    /// The next bytes of the file.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl Feed for Backup {
    const METHOD: &'static str = "hub.backup";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Piece;
}

/// Reads every record and checks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// Records read.
    pub records: u64,
    /// What is wrong, one sentence each; empty when all is well.
    pub damage: Vec<String>,
}

impl Call for Check {
    const METHOD: &'static str = "hub.check";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Checked;
}
