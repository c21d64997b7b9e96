//! How a gateway does, and what is done to it while it runs. Asked of its host.

use super::resource;
use crate::call::{Access, Call, Nothing};
use serde::{Deserialize, Serialize};

/// How a gateway does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Which.
    pub name: String,
}

impl Call for Status {
    const METHOD: &'static str = "gateways.status";
    const ACCESS: Access = Access::Read;
    type Reply = Figures;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Status`]. Counts are since the gateway's program began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// When these were counted, milliseconds since the program began: rates are differences of two answers.
    pub at_ms: u64,
    /// The process that carries its connections.
    pub pid: u32,
    /// The version that it goes by.
    pub version: u64,
    /// Its listeners.
    pub listeners: Vec<ListenerFigures>,
    /// Its groups of upstreams.
    pub groups: Vec<GroupFigures>,
}

/// How a listener does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerFigures {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Connections that are open, or flows.
    pub active: u64,
    /// All that were accepted.
    pub accepted: u64,
    /// Refused by its policy.
    pub refused: u64,
    /// Ended without an upstream.
    pub failed: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Datagrams that were dropped.
    pub dropped: u64,
    /// Times that accepting had to pause for want of file descriptors.
    pub starved: u64,
    /// It accepts nothing: somebody said so.
    pub drained: bool,
    /// Its busiest clients lately: those with the most bytes first, then those with the most connections.
    pub talkers: Vec<Talker>,
    /// Of how many seconds that is.
    #[serde(alias = "talkers_seconds")]
    pub talkers_s: u64,
}

/// A client of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Talker {
    /// Its address.
    pub address: String,
    /// Connections that it has begun lately, refused ones as well; at least so many.
    pub connections: u64,
    /// Bytes that were moved for it lately, both ways; at least so many.
    pub bytes: u64,
}

/// How long something took lately: in the last one to two minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// How often it was measured.
    pub count: u64,
    /// Half of them took no longer, microseconds; an eighth more or less.
    pub p50_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
}

/// How a group does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupFigures {
    /// Its name.
    pub name: String,
    /// Connections that wait because every upstream is full.
    pub waiting: u64,
    /// Its upstreams.
    #[serde(alias = "upstream")]
    pub upstreams: Vec<UpstreamFigures>,
}

/// How an upstream does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamFigures {
    /// Where it is.
    pub address: String,
    /// `up`, `down`, `ejected` or `drained`.
    pub state: String,
    /// Its weight now.
    pub weight: u32,
    /// It serves when no other can.
    pub backup: bool,
    /// Connections that are open.
    pub active: u64,
    /// All that there were.
    pub total: u64,
    /// Those that could not be made.
    pub failed: u64,
    /// Bytes to it.
    pub bytes_in: u64,
    /// Bytes from it.
    pub bytes_out: u64,
    /// Connecting to it; absent where nothing has lately, and for UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Times>,
    /// From connecting to its first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Times>,
}

/// The newest connections of a gateway that have ended, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Which.
    pub name: String,
}

impl Call for Log {
    const METHOD: &'static str = "gateways.log";
    const ACCESS: Access = Access::Read;
    type Reply = Logged;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Log`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logged {
    /// Oldest first.
    pub ended: Vec<Ended>,
}

/// A connection that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// Of which listener.
    pub listener: String,
    /// Who it came from.
    pub source: String,
    /// Where it went; empty when it went nowhere.
    pub upstream: String,
    /// How long ago it ended, milliseconds.
    #[serde(alias = "ago")]
    pub ago_ms: u64,
    /// How long it lasted, milliseconds.
    #[serde(alias = "lasted")]
    pub lasted_ms: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to it.
    pub bytes_out: u64,
    /// Why it ended.
    pub reason: String,
}

/// The addresses that a gateway's policies have banned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bans {
    /// Which.
    pub name: String,
}

impl Call for Bans {
    const METHOD: &'static str = "gateways.bans";
    const ACCESS: Access = Access::Read;
    type Reply = Banned;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to [`Bans`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Banned {
    /// Each with its policy, and for how long still, milliseconds.
    pub bans: Vec<(String, String, u64)>,
}

/// Lets an upstream or a listener take no new connections, or take them again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drain {
    /// Of which gateway.
    pub name: String,
    /// The listener; absent for an upstream.
    pub listener: Option<String>,
    /// The upstream's group.
    pub group: String,
    /// The upstream's address.
    pub upstream: String,
    /// It takes connections again.
    pub off: bool,
    /// Connections of the upstream that are left after so many seconds are ended; absent to let them be.
    pub seconds: Option<u64>,
}

impl Call for Drain {
    const METHOD: &'static str = "gateways.drain";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Gives upstreams of a group other weights than the text has, all at once, until they are taken back or the gateway's
/// program begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weight {
    /// Of which gateway.
    pub name: String,
    /// Which group.
    pub group: String,
    /// Addresses and weights; absent for what the text says.
    pub weights: Vec<(String, Option<u32>)>,
}

impl Call for Weight {
    const METHOD: &'static str = "gateways.weight";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Bans an address by a policy, or lifts that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ban {
    /// Of which gateway.
    pub name: String,
    /// Which policy.
    pub policy: String,
    /// The address; of IPv6 its /64 is meant.
    pub address: String,
    /// For how long; 0 lifts it.
    pub seconds: u64,
}

impl Call for Ban {
    const METHOD: &'static str = "gateways.ban";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}
