//! Rights that are asked for and hold for a time: a second person's approval, and elevation.
//! Answered by the hub.
//!
//! A grant with `on_request` ([`crate::roles::Grant`]) allows nothing by itself. Whoever has it may ask
//! for some of it, for so many minutes and with a reason; when as many others as the grant says have
//! approved, it holds, and lapses by itself.

use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::KeyId;
use crate::open_enum::open_enum;
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// The longest reason, in bytes.
pub const MAX_REASON: usize = 1024;
/// The longest time a request may be for, in minutes.
pub const MAX_MINUTES: u32 = 24 * 60;
/// A request that nobody decides ends after so many minutes.
pub const WAITS_MINUTES: u32 = 60;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Methods by their whole names (`exec.start`).
    pub verbs: Vec<String>,
    /// On what, as in a grant; empty for everything that the grant covers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// On which hosts, a selector; empty for all that the grant covers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// For how long, counted from the last approval.
    pub minutes: u32,
}

open_enum! {
    /// How a request stands.
    pub enum State {
        /// It waits for somebody to decide.
        Waiting = "waiting",
        /// It was approved, and what it asks for is allowed now.
        Active = "active",
        /// Somebody said no.
        Denied = "denied",
        /// Nobody decided in time.
        Expired = "expired",
        /// It was approved and its time is over.
        Lapsed = "lapsed",
        /// Ended before its time, by who asked or by an administrator.
        Ended = "ended",
    }
}

/// One person's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// Who.
    pub by: String,
    /// Yes or no.
    pub approve: bool,
    /// Why; may be empty.
    pub reason: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Approval {
    /// Its number; counts up from 1.
    pub id: u64,
    /// How it stands.
    pub state: State,
    /// Who asked.
    pub operator: String,
    /// From which device.
    pub key: Option<KeyId>,
    /// The role they had when they asked.
    pub role: Role,
    /// What for.
    pub wanted: Wanted,
    /// Why.
    pub reason: String,
    /// When they asked, milliseconds since 1970.
    pub asked_ms: u64,
    /// Approvals that it takes; 0 when a reason is enough.
    pub needs: u32,
    /// What was decided so far, oldest first.
    pub decisions: Vec<Decision>,
    /// Of a waiting one, when it expires; of an active one, when it lapses; else when it ended.
    /// Milliseconds since 1970.
    pub until_ms: u64,
    /// The caller asked for it.
    pub own: bool,
    /// The caller may decide it now.
    pub may_decide: bool,
}

impl Approval {
    /// Whether it waits or holds.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::Active)
    }
}

/// Asks for something that the caller's role has on request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ask {
    /// What for.
    pub wanted: Wanted,
    /// Why; not empty.
    pub reason: String,
}

impl Call for Ask {
    const METHOD: &'static str = "approvals.ask";
    const ACCESS: Access = Access::Own;
    type Reply = Approval;
}

/// Says yes or no to somebody else's request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decide {
    /// Which.
    pub id: u64,
    /// Yes or no.
    pub approve: bool,
    /// Why; needed for a no.
    pub reason: String,
}

impl Call for Decide {
    const METHOD: &'static str = "approvals.decide";
    const ACCESS: Access = Access::Admin;
    type Reply = Approval;
    fn resource(&self) -> String {
        format!("approval:{}", self.id)
    }
}

/// Ends a request before its time: one's own, or as an administrator anybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Which.
    pub id: u64,
}

impl Call for End {
    const METHOD: &'static str = "approvals.end";
    const ACCESS: Access = Access::Own;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("approval:{}", self.id)
    }
}

/// The requests that the caller may know of: their own, and those that they may decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "approvals.list";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// The answer to a [`List`], and what a [`Watch`] begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Those that wait or hold first, then newest first.
    pub approvals: Vec<Approval>,
    /// The methods that the caller has on request; absent from a hub that does not say.
    pub may_ask: Option<Vec<String>>,
}

/// The same, whole again whenever one of them changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "approvals.watch";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Listing;
}
