//! Rules that a host's agent looks at itself, and what came of them while the hub was away. Asked by the hub alone, of
//! each agent when its link is up and whenever the host's rules are others.

use super::{Severity, State};
use crate::call::{Access, Call};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rules that one agent looks at; more are left out.
pub const MAX_RULES: usize = 200;
/// What happened that one answer has.
pub const MAX_SEEN: usize = 200;

/// Gives a host its rules, in place of those that it had, and asks what happened while the hub was away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carry {
    /// The rules, each as YAML of its own: one that this agent cannot read costs none of the others.
    pub rules: Vec<String>,
    /// The host's name in the fleet, for messages.
    pub name: String,
    /// Its labels, likewise.
    pub labels: BTreeMap<String, String>,
    /// What happened up to this number is kept at the hub: it is forgotten at the host. 0 for nothing.
    pub heard: u64,
}

impl Call for Carry {
    const METHOD: &'static str = "alerts.carry";
    const ACCESS: Access = Access::Read;
    type Reply = Carried;
}

/// The answer to a [`Carry`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// What happened while the hub was away, oldest first.
    pub seen: Vec<Seen>,
    /// There is more: to be asked again with the number of the last.
    pub more: bool,
    /// How much more happened than was kept.
    pub lost: u64,
    /// What holds now, and for how long it has.
    pub holds: Vec<Hold>,
    /// Rules that this agent cannot read, with why.
    pub problems: Vec<String>,
}

/// Something that happened to an alert of a host, as its agent saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// One more than that of what happened before.
    pub number: u64,
    /// The alert's id at the agent.
    pub alert: String,
    /// The rule.
    pub rule: String,
    /// Such as `/home`; empty where the rule is about the host.
    pub instance: String,
    /// How bad.
    pub severity: Severity,
    /// What it was from then on.
    pub state: State,
    /// The rule's message.
    pub message: String,
    /// The value then, for people; may be empty.
    pub value: String,
    /// By the host's clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// A condition that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// The rule.
    pub rule: String,
    /// Such as `/home`; empty where the rule is about the host.
    pub instance: String,
    /// For so many milliseconds.
    pub for_ms: u64,
}
