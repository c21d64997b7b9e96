//! Round trips: one call, and an echo feed for measuring a standing stream.

use crate::call::{Access, Call, Feed};
use serde::{Deserialize, Serialize};

/// Sends `payload` back. Answered by the hub and by every agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Any bytes.
    #[serde(default, with = "serde_bytes")]
    pub payload: Vec<u8>,
}

/// The answer to a [`Ping`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The bytes that came.
    #[serde(default, with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// The answerer's wall clock, milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
    /// The answerer's program version.
    #[serde(default)]
    pub version: String,
}

impl Call for Ping {
    const METHOD: &'static str = "ping.ping";
    const ACCESS: Access = Access::Read;
    type Reply = Pong;
}

/// Sends every input back as an item, over one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {}

/// One message of an [`Echo`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// Any bytes.
    #[serde(default, rename = "d", with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl Feed for Echo {
    const METHOD: &'static str = "ping.echo";
    const ACCESS: Access = Access::Read;
    type Input = Sound;
    type Item = Sound;
}
