//! Alerts: what rules ([`crate::rules`]) found, who knows of it, what is kept quiet, and who is told by which
//! policy. Answered by the hub; of hosts that the caller may not see nothing is told.

pub mod away;

use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use crate::runbooks::{Problem, Saved};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Alerts in one answer, and happenings.
pub const MAX_LISTED: usize = 2000;
/// Alerts that one request acknowledges or ends.
pub const MAX_NAMED: usize = 1000;

open_enum! {
    /// How bad it is.
    pub enum Severity {
        /// Good to know.
        Info = "info",
        /// Somebody should look at it today.
        Warning = "warning",
        /// Somebody should look at it now.
        Critical = "critical",
    }
}

open_enum! {
    /// How an alert stands.
    pub enum State {
        /// Its condition holds, and not yet for long enough.
        Pending = "pending",
        /// It fires, and somebody should do something.
        Firing = "firing",
        /// It fires, and somebody has said that they know.
        Acknowledged = "acknowledged",
        /// It fired and resolved again and again.
        Flapping = "flapping",
        /// It fires because its host, or what the host is reached through, is down.
        Suppressed = "suppressed",
        /// It fires, and a silence keeps it quiet.
        Silenced = "silenced",
        /// It is over.
        Resolved = "resolved",
    }
}

impl State {
    /// Whether it fires, whoever knows of it.
    pub const fn is_firing(self) -> bool {
        !matches!(self, Self::Pending | Self::Resolved | Self::Unknown)
    }
}

/// An alert. Times are of the hub's clock, milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alert {
    /// Of this firing.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// The host.
    pub host: Option<HostId>,
    /// Its name.
    pub name: String,
    /// Such as `/home`; empty where the rule is about the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// How bad.
    pub severity: Severity,
    /// How it stands.
    pub state: State,
    /// A line for people; empty while it is pending.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The newest value, for people; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What it is compared with, for people; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub limit: String,
    /// Nothing is known of it now: what the rule needs is missing or too old.
    pub unknown: bool,
    /// Of host and rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Since when its condition holds.
    pub pending_ms: u64,
    /// When it fired.
    pub fired_ms: Option<u64>,
    /// When it was over.
    pub resolved_ms: Option<u64>,
    /// Who knows of it.
    pub ack: Option<Ack>,
    /// The number of the silence that keeps it quiet.
    pub silence: Option<u64>,
    /// The name of the host that is down instead.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub down: String,
    /// The policy by which it is told.
    pub policy: String,
}

/// Who knows of an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ack {
    /// The operator.
    pub who: String,
    /// In their words; may be empty.
    pub why: String,
    /// When.
    pub at_ms: u64,
}

/// Alerts as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Of these hosts, as a selector; empty for all.
    pub hosts: String,
    /// Of this rule; empty for all.
    pub rule: String,
    /// In these states; empty for all but those that are pending or over.
    pub states: Vec<State>,
}

impl Call for List {
    const METHOD: &'static str = "alerts.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// The worst first, then the newest.
    pub alerts: Vec<Alert>,
    /// How many more there are.
    pub more: u32,
}

/// Alerts as they stand and as they change, for as long as the feed lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Of these hosts, as a selector; empty for all.
    pub hosts: String,
}

impl Feed for Watch {
    const METHOD: &'static str = "alerts.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = News;
}

/// An item of a [`Watch`]. The first one or ones tell all alerts, the last of these with `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct News {
    /// Alerts that are new or another than before.
    pub alerts: Vec<Alert>,
    /// Ids of those that are not known any more.
    pub gone: Vec<String>,
    /// All that there are have been told.
    pub all: bool,
}

/// One alert with what happened to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Its id, or the beginning of it.
    pub id: String,
}

impl Call for Show {
    const METHOD: &'static str = "alerts.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        format!("alert:{}", self.id)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The alert; of one that is long over as far as it is still known.
    pub alert: Alert,
    /// What happened to it, oldest first.
    pub happened: Vec<Happening>,
    /// What ran on its host when it fired, and what the host's log said: text as it came; empty where nothing was kept.
    pub moment: String,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Happening {
    /// When.
    pub at_ms: u64,
    /// The alert's id.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// The host.
    pub host: Option<HostId>,
    /// Its name then.
    pub name: String,
    /// Such as `/home`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// How bad.
    pub severity: Severity,
    /// What it was from then on.
    pub state: State,
    /// The rule's message, once it fired.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Who did it and why, or why it came about; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What happened to alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Of these hosts, as a selector; empty for all.
    pub hosts: String,
    /// Of this rule; empty for all.
    pub rule: String,
    /// From then on.
    pub from_ms: u64,
    /// Until before then; 0 for now.
    pub to_ms: u64,
    /// Only when they fired and when they were over.
    pub marks: bool,
}

impl Call for History {
    const METHOD: &'static str = "alerts.history";
    const ACCESS: Access = Access::Read;
    type Reply = Happened;
}

/// The answer to a [`History`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Happened {
    /// Oldest first; the newest [`MAX_LISTED`] of them.
    pub happened: Vec<Happening>,
    /// Older ones are left out.
    pub more: bool,
}

/// Says that somebody knows: these alerts are neither repeated nor escalated any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Acknowledge {
    /// Ids.
    pub alerts: Vec<String>,
    /// In their words; may be empty.
    pub why: String,
}

impl Call for Acknowledge {
    const METHOD: &'static str = "alerts.acknowledge";
    const ACCESS: Access = Access::Act;
    type Reply = Done;
}

/// Takes that back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unacknowledge {
    /// Ids.
    pub alerts: Vec<String>,
}

impl Call for Unacknowledge {
    const METHOD: &'static str = "alerts.unacknowledge";
    const ACCESS: Access = Access::Act;
    type Reply = Done;
}

/// Ends alerts by hand, such as those of something that will never tell anything again. What still holds begins anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dismiss {
    /// Ids.
    pub alerts: Vec<String>,
    /// In words.
    pub why: String,
}

impl Call for Dismiss {
    const METHOD: &'static str = "alerts.dismiss";
    const ACCESS: Access = Access::Act;
    type Reply = Done;
}

/// What became of alerts that a request named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// How many it was done to.
    pub done: u32,
    /// The others, with why not.
    pub refused: Vec<Refused>,
}

/// An alert that something was not done to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// Its id, as it was named.
    pub id: String,
    /// Why.
    pub why: String,
}

/// A silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Silence {
    /// Its number.
    pub id: u64,
    /// The alerts: `host=web1, rule=disk-*, env!=prod`.
    pub matcher: String,
    /// Who wants it.
    pub who: String,
    /// In their words.
    pub why: String,
    /// Since when.
    pub made_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// Alerts that it keeps quiet now.
    pub quiet: u32,
}

/// Keeps alerts quiet for a while. They are shown all the same, and told afterwards if they still fire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PutSilence {
    /// The alerts: `host=web1, rule=disk-*, env!=prod`. Empty means all of them.
    pub matcher: String,
    /// For how long, milliseconds; a year at most.
    pub for_ms: u64,
    /// In words.
    pub why: String,
}

impl Call for PutSilence {
    const METHOD: &'static str = "alerts.silence";
    const ACCESS: Access = Access::Act;
    type Reply = Silence;
}

/// Ends a silence before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndSilence {
    /// Its number.
    pub id: u64,
}

impl Call for EndSilence {
    const METHOD: &'static str = "alerts.unsilence";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("silence:{}", self.id)
    }
}

/// Which silences there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silences {}

impl Call for Silences {
    const METHOD: &'static str = "alerts.silences";
    const ACCESS: Access = Access::Read;
    type Reply = SilenceListing;
}

/// The answer to [`Silences`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SilenceListing {
    /// Those that end first come first.
    pub silences: Vec<Silence>,
}

/// By which policies alerts are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {}

impl Call for Policies {
    const METHOD: &'static str = "alerts.policies";
    const ACCESS: Access = Access::Read;
    type Reply = PolicyText;
}

/// The answer to [`Policies`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyText {
    /// YAML: `policies:` with a list; the first that matches an alert counts.
    pub text: String,
    /// Its version; 0 for what counts where nothing was saved.
    pub version: u64,
    /// What is wrong with it now, such as a notifier that there is not.
    pub problems: Vec<Problem>,
}

/// Whether a text has policies. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckPolicies {
    /// YAML.
    pub text: String,
}

impl Call for CheckPolicies {
    const METHOD: &'static str = "alerts.check-policies";
    const ACCESS: Access = Access::Read;
    type Reply = PolicyText;
}

/// Keeps other policies. They count from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavePolicies {
    /// YAML.
    pub text: String,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: refused when somebody has saved another one since.
    pub was: Option<u64>,
}

impl Call for SavePolicies {
    const METHOD: &'static str = "alerts.save-policies";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
}
