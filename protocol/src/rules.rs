//! Alert rules: conditions over figures and states of hosts, kept by the hub in versions. Answered by the hub.
//! What comes of them is in [`crate::alerts`]; docs/alerts.md has the language.

use crate::alerts::Severity;
use crate::call::{Access, Call, Nothing};
use crate::ids::HostId;
use crate::runbooks::{Problem, Saved, VersionListing};
use serde::{Deserialize, Serialize};

/// A rule in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The hosts that it is for, as a selector; empty for all.
    pub hosts: String,
    /// Its condition.
    pub when: String,
    /// How long that has to hold, milliseconds.
    pub hold_ms: u64,
    /// How bad it is.
    pub severity: Severity,
    /// It is kept and not looked at.
    pub off: bool,
    /// Agents look too while the hub is away.
    pub also_on_agent: bool,
    /// Hosts that it is for now.
    pub matched: u32,
    /// Alerts of it that fire, acknowledged and silenced ones too.
    pub firing: u32,
    /// Alerts of it that wait for their time to hold.
    pub pending: u32,
    /// Its newest version, from 1.
    pub version: u64,
    /// When it was saved, milliseconds since 1970.
    pub saved_ms: u64,
    /// Who saved it; empty for one that came with the product.
    pub saved_by: String,
    /// Why it is not looked at although it is on; empty when it is.
    pub problem: String,
}

/// Which rules there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "rules.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub rules: Vec<Rule>,
}

/// A rule with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
    /// Which version; absent for the newest.
    pub version: Option<u64>,
}

impl Call for Show {
    const METHOD: &'static str = "rules.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The rule; of an older version, with the number and the times of that one.
    pub rule: Rule,
    /// What somebody wrote about this version.
    pub note: String,
    /// Its text, as it was saved.
    pub text: String,
    /// What is wrong with it now.
    pub problems: Vec<Problem>,
}

/// Whether a text has rules. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// YAML: `rules:` with a list.
    pub text: String,
}

impl Call for Check {
    const METHOD: &'static str = "rules.check";
    const ACCESS: Access = Access::Read;
    type Reply = Checked;
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// What is wrong, by place; empty for rules that can be kept.
    pub problems: Vec<Problem>,
    /// Their names, in the order of the text.
    pub names: Vec<String>,
}

/// Keeps a rule as the newest version of its name. It counts from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Its name; the text has the same one. Empty to keep each rule of the text under its own name, without comments.
    pub name: String,
    /// YAML: `rules:` with a list, of this one rule where there is a name.
    pub text: String,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: it is refused when somebody has saved another one since.
    /// Absent to save it whatever there is.
    pub was: Option<u64>,
}

impl Call for Save {
    const METHOD: &'static str = "rules.save";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Switches a rule off or on: a new version of it that differs in nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// Which.
    pub name: String,
    /// Off; its alerts end.
    pub off: bool,
}

impl Call for Switch {
    const METHOD: &'static str = "rules.switch";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The versions of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub name: String,
}

impl Call for Versions {
    const METHOD: &'static str = "rules.versions";
    const ACCESS: Access = Access::Read;
    type Reply = VersionListing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Removes a rule with all its versions. Its alerts end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "rules.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// When a rule would have fired, by the history of figures. States were not kept: a rule over states alone is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Try {
    /// YAML with one rule.
    pub text: String,
    /// On these hosts, as a selector; empty for those that the rule says.
    pub hosts: String,
    /// From then on, milliseconds since 1970.
    pub from_ms: u64,
    /// Until before then; 0 for now.
    pub to_ms: u64,
}

impl Call for Try {
    const METHOD: &'static str = "rules.try";
    const ACCESS: Access = Access::Read;
    type Reply = Tried;
}

/// The answer to a [`Try`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tried {
    /// How often it would have fired.
    pub times: u64,
    /// Milliseconds in which it would have fired, of all hosts and instances together.
    pub firing_ms: u64,
    /// Of the first and the last figure that there was.
    pub from_ms: u64,
    /// The same.
    pub to_ms: u64,
    /// Hosts that were looked at.
    pub hosts: u32,
    /// A figure stands for so many milliseconds.
    pub step_ms: u64,
    /// The first of these times, at most 1,000, in order.
    pub fired: Vec<Fired>,
}

/// A time in which a rule would have fired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fired {
    /// The host.
    pub host: Option<HostId>,
    /// Its name.
    pub name: String,
    /// Such as `/home`; empty where the rule is about the host.
    pub instance: String,
    /// When it would have fired, milliseconds since 1970.
    pub from_ms: u64,
    /// When it would have been over; absent where the figures end before.
    pub until_ms: Option<u64>,
}

fn resource(name: &str) -> String {
    format!("rule:{name}")
}
