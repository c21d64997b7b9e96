//! The part of every request the hub may read. What follows it on the stream is opaque to the hub.

use crate::ids::{HostId, KeyId};
use crate::open_enum::open_enum;
use crate::role::Role;
use serde::{Deserialize, Serialize};

open_enum! {
    /// How a stream goes on after its header and body.
    pub enum Kind {
        /// One reply, then the end.
        Call = "call",
        /// Items until either side ends it; inputs the other way.
        Feed = "feed",
    }
}

/// Opens every stream. Read and checked by the hub, then handed on with `caller` filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The host asked; absent when the hub itself is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<HostId>,
    /// [`crate::Call::METHOD`] or [`crate::Feed::METHOD`].
    pub method: String,
    /// Call or feed.
    pub kind: Kind,
    /// [`crate::Call::resource`]; the host checks it against the body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Milliseconds the caller waits, counted from arrival (clocks differ); absent for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Ties log lines of all parts together; chosen by the caller, never trusted.
    #[serde(default)]
    pub trace: u64,
    /// Who asks. Written by the hub from the link's key; what a client puts here is thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
}

/// Who asks, as the hub knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The device's key.
    pub key: KeyId,
    /// The device's name; for logs, never for decisions.
    #[serde(default)]
    pub name: String,
    /// The operator whose device it is; empty for none, and from a hub that does not tell. By it agents
    /// decide whose a session is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// By which the hub decides what they may do; for logs, never for decisions.
    #[serde(default)]
    pub role: Role,
    /// From where; for logs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}
