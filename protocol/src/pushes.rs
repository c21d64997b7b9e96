//! Pushes: who is told when a run is over, by rule; and what waits to be posted. Answered by the hub.
//!
//! A rule names secrets that the hub keeps ([`crate::secrets`]): where to post is one itself when the address
//! alone lets anybody write there, as with Slack.

use crate::call::{Access, Call, Revoked};
use crate::ids::RunId;
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// Rules of one hub.
pub const MAX_RULES: usize = 100;

open_enum! {
    /// In which form it is told.
    pub enum Form {
        /// A message, as incoming webhooks of Slack and its likes take it.
        Slack = "slack",
        /// The result as JSON, signed.
        Webhook = "webhook",
    }
}

open_enum! {
    /// Which ends are told.
    pub enum When {
        /// Every one.
        Always = "always",
        /// Those of runs in which something did not end well.
        Failed = "failed",
    }
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Unique; letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// In which form.
    pub form: Form,
    /// The secret that holds the address to post to.
    pub url_secret: String,
    /// The secret that signs what is posted; only for webhooks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signing_secret: String,
    /// Which ends.
    pub when: When,
    /// Only of runs with a target on one of these hosts, as a selector; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// Only of this operator's runs; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator: String,
}

/// Makes a rule, or replaces the one of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// The rule.
    pub rule: Rule,
}

impl Call for Put {
    const METHOD: &'static str = "pushes.put";
    const ACCESS: Access = Access::Admin;
    type Reply = Replaced;
    fn resource(&self) -> String {
        resource(&self.rule.name)
    }
}

/// The answer to a [`Put`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replaced {
    /// There was a rule of this name.
    pub replaced: bool,
}

/// Removes a rule. What waits to be posted because of it is not posted any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Its name.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "pushes.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Revoked;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Posts a line for a try, now, and says what was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Test {
    /// The rule's name.
    pub name: String,
}

impl Call for Test {
    const METHOD: &'static str = "pushes.test";
    const ACCESS: Access = Access::Admin;
    type Reply = Tested;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Test`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tested {
    /// The status that was answered.
    pub status: u16,
}

/// All rules, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "pushes.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub rules: Vec<Rule>,
    /// What waits to be posted, and what was given up in the last days; at most 500, oldest first.
    pub posts: Vec<Post>,
}

open_enum! {
    /// How a post stands.
    pub enum PostState {
        /// It is tried again at its time.
        Waiting = "waiting",
        /// It was taken.
        Taken = "taken",
        /// It was given up.
        GivenUp = "given_up",
    }
}

/// Something that is posted when a run is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Post {
    /// About which run.
    pub run: Option<RunId>,
    /// By which rule; empty for the callback of whoever began the run.
    pub rule: String,
    /// How it stands.
    pub state: PostState,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next, milliseconds since 1970.
    pub next_ms: u64,
    /// What was wrong the last time.
    pub last: String,
}

fn resource(name: &str) -> String {
    format!("push:{name}")
}
