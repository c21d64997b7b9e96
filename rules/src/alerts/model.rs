//! What alerts, groups and notices are: the shapes that are stored and travel.

use super::policy::Silence;
use crate::engine::{Reading, Verdict};
use crate::rule::Severity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which alert: there is one for a rule, a host and an instance. Those of a host stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The host's id.
    pub host: String,
    /// The rule's name.
    pub rule: String,
    /// Such as `/home`; empty where the rule is about the host.
    pub instance: String,
}

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its condition holds, and not yet for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It is over; kept while its end is still to be told, and while it might flap.
    Resolved,
}

/// What an alert is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its condition holds, and not yet for long enough.
    Pending,
    /// It fires, and somebody should do something.
    Firing,
    /// It fires, and somebody has said that they know.
    Acknowledged,
    /// It fired and resolved again and again.
    Flapping,
    /// It fires because its host, or what the host is reached through, is down.
    Suppressed,
    /// It fires, and a silence keeps it quiet.
    Silenced,
    /// It is over.
    Resolved,
}

/// Who knows of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The operator.
    pub who: String,
    /// In their words.
    pub why: String,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// An alert. Times that end in `_ms` are wall clock, milliseconds since 1970; the others are the machine's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Of this firing: another one has another. The same alert that fires again before its end was told keeps it.
    pub id: String,
    /// Which.
    pub key: Key,
    /// Where it is.
    pub phase: Phase,
    /// What the rule said last.
    pub verdict: Verdict,
    /// Of its rule.
    pub severity: Severity,
    /// Of its host and its rule, the rule's on top.
    pub labels: BTreeMap<String, String>,
    /// The host's name.
    pub host_name: String,
    /// As it was when it fired; before that empty.
    pub message: String,
    /// The newest value that came with a verdict.
    pub reading: Option<Reading>,
    /// Since when its condition holds.
    pub pending_ms: u64,
    /// When it fired.
    pub fired_ms: Option<u64>,
    /// When it was over.
    pub resolved_ms: Option<u64>,
    /// Who knows of it.
    pub ack: Option<Ack>,
    /// The silence that keeps it quiet.
    pub silenced: Option<u64>,
    /// The host that is down instead.
    pub suppressed: Option<String>,
    /// It fired and resolved again and again.
    pub flapping: bool,
    /// The policy that it is told by.
    pub policy: String,
    /// The group that it is told with.
    pub group: String,
    pub(super) held: u64,
    pub(super) since: Option<u64>,
    pub(super) unknown: Option<u64>,
    pub(super) flips: Vec<u64>,
    pub(super) told: Told,
    #[serde(skip)]
    pub(super) timer: Option<u64>,
}

impl Alert {
    /// What it is shown as.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Pending => State::Pending,
            Phase::Resolved if self.flapping => State::Flapping,
            Phase::Resolved => State::Resolved,
            Phase::Firing if self.suppressed.is_some() => State::Suppressed,
            Phase::Firing if self.silenced.is_some() => State::Silenced,
            Phase::Firing if self.ack.is_some() => State::Acknowledged,
            Phase::Firing if self.flapping => State::Flapping,
            Phase::Firing => State::Firing,
        }
    }
}

/// What people have been told of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub what: Spoken,
    pub level: usize,
    /// When they were told first that it fires, and last.
    pub first: u64,
    pub last: u64,
    /// Before this time it is not told again.
    pub cooled: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Spoken {
    /// Nothing, or that it is over.
    #[default]
    Nothing,
    Firing,
    Flapping,
}

/// Alerts that are told together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The policy and the values that it groups by.
    pub key: String,
    pub(super) due: Option<u64>,
    pub(super) told: Option<u64>,
}

/// What the machine knows besides alerts and groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Core {
    /// In front of every id, to tell machines apart.
    pub name: String,
    /// The machine's time in milliseconds, and the wall clock then.
    pub(super) time: u64,
    pub(super) wall: u64,
    /// The number of the next id.
    pub(super) next: u64,
    pub(super) silences: BTreeMap<u64, Silence>,
    /// Alerts that there was no room for.
    pub(super) refused: u64,
}

/// Something to be stored, or no longer. Those of one step belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// An alert as it is now.
    Alert(Box<Alert>),
    /// An alert that nothing is to be known of any more.
    NoAlert(Key),
    /// A group as it is now.
    Group(Group),
    /// A group that has no alerts any more.
    NoGroup(String),
    /// All the rest.
    Core(Core),
}

/// What a notice says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It fires.
    Fired,
    /// It is over.
    Resolved,
    /// It still fires, and nobody has acknowledged it.
    Repeated,
    /// The same to those who are asked next.
    Escalated,
    /// It comes and goes; until it settles nothing more is said.
    Flapping,
}

/// One alert in a notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// What is said of it.
    pub said: Said,
    /// The alert's id.
    pub alert: String,
    /// Which.
    pub key: Key,
    /// How bad.
    pub severity: Severity,
    /// The host's name.
    pub host_name: String,
    /// The rule's message.
    pub message: String,
    /// The value, for people; may be empty.
    pub shown: String,
    /// Of host and rule.
    pub labels: BTreeMap<String, String>,
    /// When it fired, wall clock.
    pub fired_ms: u64,
    /// When it was over, wall clock.
    pub resolved_ms: Option<u64>,
}

/// Something to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Never used twice.
    pub id: String,
    /// The policy.
    pub policy: String,
    /// The group.
    pub group: String,
    /// 0, or how often it was escalated.
    pub level: usize,
    /// Names of places, as the policy has them; may be empty.
    pub to: Vec<String>,
    /// The alerts, at most [`super::LISTED`]: the worst first, those that are over last.
    pub items: Vec<Item>,
    /// How many more there are.
    pub more: usize,
    /// Wall clock.
    pub made_ms: u64,
}

/// Something that happened to an alert, for its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// The alert's id.
    pub alert: String,
    /// Which.
    pub key: Key,
    /// What it is now.
    pub state: State,
    /// Who did it and why, or why it came about; may be empty.
    pub why: String,
    /// Wall clock.
    pub at_ms: u64,
}

/// What one step gives: all of it belongs together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// To be stored.
    pub writes: Vec<Write>,
    /// To be sent, once each.
    pub notices: Vec<Notice>,
    /// For the history.
    pub happened: Vec<Happening>,
}
