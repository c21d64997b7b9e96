//! What two peers tell each other when a link begins and while it lasts: the control stream.

use crate::ids::{HostId, KeyId, PublicKey, TokenId};
use crate::open_enum::open_enum;
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// Raised when a peer of the previous number could not follow any more.
pub const PROTOCOL: u16 = 1;
/// The oldest number this release still speaks with.
pub const OLDEST: u16 = 1;
/// Seconds between heartbeats, both ways.
pub const HEARTBEAT_S: u64 = 5;
/// A link silent for so many seconds is dead.
pub const SILENCE_S: u64 = 15;

open_enum! {
    /// What the dialer is.
    pub enum PeerKind {
        /// `cmdr-agentd` on a host.
        Agent = "agent",
        /// An operator's program.
        Client = "client",
    }
}

/// The dialer's first words, inside the encrypted link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the dialer.
    pub protocol: u16,
    /// What it is.
    pub kind: PeerKind,
    /// Program version, for people.
    #[serde(default)]
    pub version: String,
    /// The name it would like: the host name of an agent, `user@host` of a client.
    #[serde(default)]
    pub name: String,
    /// Optional abilities by name; unknown ones are ignored.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Wall clock, milliseconds since 1970, for the skew.
    #[serde(default)]
    pub at_ms: u64,
    /// Present when a key the hub does not know yet wants to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
}

/// A request to be taken in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Which token; absent to wait for an administrator's approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The token's secret; sent only inside the link to the hub key the token pins.
    #[serde(default, with = "serde_bytes")]
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Join").field("token", &self.token).finish_non_exhaustive()
    }
}

/// The hub's answer to a [`Hello`]: exactly one of `welcome` and `refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Welcome>,
    /// Not taken in; the link ends after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// The link is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL`] of the hub.
    pub protocol: u16,
    /// The hub's program version.
    #[serde(default)]
    pub version: String,
    /// Abilities of the hub.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The name the hub knows this peer by.
    #[serde(default)]
    pub name: String,
    /// The host this agent is; absent for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The key this client is; absent for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// What this client may do; `unknown` for agents.
    #[serde(default)]
    pub role: Role,
    /// The methods that this client can use on something; others need not be offered. Empty for agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// When the login ends unless it is renewed, milliseconds since 1970; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// From when it is worth while to renew it ([`crate::login::Renew`]), milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_ms: Option<u64>,
    /// The hub's wall clock, milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
    /// The key that shall follow, or has followed, the one that the hub has proved on this link: to be
    /// pinned beside it. Absent: there is none, and one that was told before is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hub_key: Option<PublicKey>,
}

open_enum! {
    /// Why the hub did not take a peer in.
    pub enum RefusalKind {
        /// The key waits for an administrator; dial again later.
        Pending = "pending",
        /// An administrator said no to this key.
        Rejected = "rejected",
        /// The hub does not know this key and no token came with it.
        UnknownKey = "unknown-key",
        /// There is no such token, or its secret is wrong.
        BadToken = "bad-token",
        /// The token's time is over.
        ExpiredToken = "expired-token",
        /// The token has been used as often as it may be.
        UsedToken = "used-token",
        /// The token was withdrawn.
        RevokedToken = "revoked-token",
        /// The token is for the other kind of peer.
        WrongToken = "wrong-token",
        /// The login of this key has ended; log in again.
        LoginExpired = "login-expired",
        /// The operator was shut out by an administrator.
        Disabled = "disabled",
        /// The protocol is too old or too new.
        Version = "version",
        /// This address may not log in, or not now: there were too many wrong tries from it.
        Locked = "locked",
        /// This key may not be used from there.
        Elsewhere = "elsewhere",
        /// The hub cannot take anyone in now (stopping, disk full, list full); dial again later.
        Busy = "busy",
    }
}

impl RefusalKind {
    /// Whether dialing again, without a person doing something, can help.
    pub const fn is_lasting(self) -> bool {
        !matches!(self, Self::Pending | Self::Busy | Self::Locked | Self::Unknown)
    }
}

/// Why the hub did not take a peer in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The class, for programs.
    pub kind: RefusalKind,
    /// One sentence for people, with what to do next.
    #[serde(default)]
    pub message: String,
}

/// Sent by both sides on the control stream while the link lasts. All fields optional: one message
/// may ask, answer and say goodbye at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Answer me with this number.
    #[serde(default, rename = "q", skip_serializing_if = "Option::is_none")]
    pub ping: Option<u64>,
    /// The number you asked me to send back.
    #[serde(default, rename = "a", skip_serializing_if = "Option::is_none")]
    pub pong: Option<u64>,
    /// The sender's wall clock with a pong, milliseconds since 1970.
    #[serde(default, rename = "t", skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// The link ends now, for this reason.
    #[serde(default, rename = "bye", skip_serializing_if = "Option::is_none")]
    pub goodbye: Option<String>,
    /// The hub's word, as [`Welcome::next_hub_key`], while the link lasts.
    #[serde(default, rename = "next", skip_serializing_if = "Option::is_none")]
    pub next_hub_key: Option<PublicKey>,
    /// The hub's word: this is its only key now, older pins are to be dropped.
    #[serde(default, rename = "only", skip_serializing_if = "Option::is_none")]
    pub only_hub_key: Option<PublicKey>,
    /// The dialer's answer: this key of the hub's is pinned, on disk.
    #[serde(default, rename = "pinned", skip_serializing_if = "Option::is_none")]
    pub pinned_hub_key: Option<PublicKey>,
}

/// The goodbye of an agent that has only joined: its link has not failed.
pub const JOINED: &str = "joined; the agent dials again when it runs";

/// How a link is doing, as either end sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Round trip in microseconds, smoothed; absent before the first heartbeat came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u32>,
    /// The peer's clock minus ours in milliseconds, less half the round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// Bytes received over this link, encrypted as they were.
    #[serde(default)]
    pub received: u64,
    /// Bytes sent over this link, encrypted as they were.
    #[serde(default)]
    pub sent: u64,
}
