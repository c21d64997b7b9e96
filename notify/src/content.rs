//! What is told: the alerts of one notice, in a shape that templates know and that a webhook posts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A notice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The same for each try and each place: receivers know doubles by it.
    pub id: String,
    /// What the alerts have in common; may be empty.
    #[serde(default)]
    pub group: String,
    /// Wall clock, milliseconds since 1970.
    pub made_ms: u64,
    /// 0, or how often it was escalated.
    #[serde(default)]
    pub level: usize,
    /// The alerts.
    pub entries: Vec<Entry>,
    /// How many more there are.
    #[serde(default)]
    pub more: usize,
    /// Where to look; an address of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What is said of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It fires.
    #[default]
    Fired,
    /// It is over.
    Resolved,
    /// It still fires.
    Repeated,
    /// It still fires, and others did not answer.
    Escalated,
    /// It comes and goes.
    Flapping,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at today.
    #[default]
    Warning,
    /// To be looked at now.
    Critical,
}

/// An alert. Its texts come from hosts and may be anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// What is said of it.
    pub said: Said,
    /// How bad.
    pub severity: Severity,
    /// The alert's id.
    pub alert: String,
    /// The rule.
    pub rule: String,
    /// The host's name.
    pub host: String,
    /// Such as `/home`; may be empty.
    pub instance: String,
    /// The rule's message.
    pub message: String,
    /// The value, for people; may be empty.
    pub value: String,
    /// Since when it fires, wall clock.
    pub since_ms: u64,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Of host and rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Content {
    /// How bad the worst is that still fires; nothing when all is over.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.entries.iter().filter(|e| e.said != Said::Resolved).map(|e| e.severity).max()
    }

    /// How many fire, and how many are over.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let over = self.entries.iter().filter(|e| e.said == Said::Resolved).count();
        (self.entries.len() - over, over)
    }
}
