//! What the hub keeps, by kind: how much it is, how far back it reaches, how long it is kept, and removing what is old.

use crate::call::{Access, Call};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

open_enum! {
    /// Something that is kept.
    pub enum Kind {
        /// The history of hosts' figures; `history.sizes` has its steps.
        History = "history",
        /// Runs that are over, with what they wrote.
        Runs = "runs",
        /// Recordings.
        Recordings = "recordings",
        /// The audit log.
        Audit = "audit",
        /// What happened to alerts.
        Alerts = "alerts",
        /// Notices of alerts, taken and waiting.
        Notices = "notices",
        /// Contents of files on their way to hosts.
        Blobs = "blobs",
        /// Hosts, with labels and keys.
        Hosts = "hosts",
        /// Operators, their devices and tokens.
        Operators = "operators",
        /// Requests for rights.
        Approvals = "approvals",
        /// Runbooks, with their versions.
        Runbooks = "runbooks",
        /// Config groups, with their versions.
        Configs = "configs",
        /// Compose projects, with their versions.
        Compose = "compose",
        /// Alert rules and policies, with their versions.
        Rules = "rules",
        /// Notifiers, with their versions.
        Notifiers = "notifiers",
        /// Probes, with their versions.
        Probes = "probes",
        /// Sealed secrets.
        Secrets = "secrets",
    }
}

/// What is kept, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {}

impl Call for Sizes {
    const METHOD: &'static str = "data.sizes";
    const ACCESS: Access = Access::Read;
    type Reply = Sized;
}

/// The answer to [`Sizes`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sized {
    /// Every kind.
    pub kinds: Vec<Kept>,
    /// Bytes of the disk with the hub's data that are free; 0 when that is not known.
    pub free: u64,
    /// Bytes that this disk has.
    pub room: u64,
}

/// One kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Which.
    pub kind: Kind,
    /// How many: samples, runs, recordings, records, texts.
    pub count: u64,
    /// About so many bytes on disk.
    pub bytes: u64,
    /// The oldest, milliseconds since 1970; 0 for none, and where nothing has a time.
    pub first_ms: u64,
    /// The newest.
    pub last_ms: u64,
    /// The configuration has it removed when it is so many days old; 0 for no bound.
    pub keep_days: u64,
    /// Likewise the oldest when all of it takes so many bytes.
    pub keep_bytes: u64,
    /// Likewise the oldest when there are so many.
    pub keep_count: u64,
    /// Why none of it can be purged by age; empty when it can.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fixed: String,
    /// Why it could not be looked at; empty when it could.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

/// Removes what is old of one kind, or says what that would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Purge {
    /// Of which kind.
    pub kind: Kind,
    /// What is older than this, milliseconds since 1970: samples by their time, what has an end by that, contents by their
    /// last use. Never 0.
    pub before_ms: u64,
    /// Do it. Otherwise it is counted alone.
    pub apply: bool,
}

impl Call for Purge {
    const METHOD: &'static str = "data.purge";
    const ACCESS: Access = Access::Admin;
    type Reply = Purged;
    fn resource(&self) -> String {
        format!("data:{}", self.kind)
    }
}

/// The answer to [`Purge`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Purged {
    /// How many.
    pub count: u64,
    /// About so many bytes.
    pub bytes: u64,
    /// The oldest of them, milliseconds since 1970; 0 for none.
    pub first_ms: u64,
    /// The newest of them.
    pub last_ms: u64,
    /// So many are old enough and stay, because they are in use.
    pub staying: u64,
    /// Whether they are gone.
    pub applied: bool,
}
