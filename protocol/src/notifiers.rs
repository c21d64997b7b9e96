//! Notifiers: the places that alerts are told at. Kept and used by the hub; docs/alerts.md has the kinds.
//! Their secrets are names of what [`crate::secrets`] keeps.

use crate::call::{Access, Call, Nothing};
use crate::open_enum::open_enum;
use crate::runbooks::{Problem, Saved};
use serde::{Deserialize, Serialize};

/// Notices in a list.
pub const MAX_NOTICES: usize = 500;

/// A notifier in a list. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notifier {
    /// Its name, as policies have it.
    pub name: String,
    /// `email`, `slack` and so on.
    pub kind: String,
    /// Where it leads, without secrets: recipients, a chat, a program.
    pub to: String,
    /// Notices that wait to be taken.
    pub waiting: u32,
    /// When one was taken last.
    pub taken_ms: Option<u64>,
    /// Since when it fails; absent while it does not.
    pub failing_ms: Option<u64>,
    /// What went wrong last.
    pub last: String,
    /// Policies that tell it.
    pub policies: Vec<String>,
    /// Its newest version, from 1.
    pub version: u64,
    /// When it was saved.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
}

/// Which notifiers there are, and how they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "notifiers.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub notifiers: Vec<Notifier>,
}

/// A notifier with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
}

impl Call for Show {
    const METHOD: &'static str = "notifiers.show";
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
    /// The notifier.
    pub notifier: Notifier,
    /// Its text, as it was saved.
    pub text: String,
    /// What is wrong with it now.
    pub problems: Vec<Problem>,
}

/// Whether a text is a notifier, and what it would say. Nothing is kept or sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// YAML.
    pub text: String,
}

impl Call for Check {
    const METHOD: &'static str = "notifiers.check";
    const ACCESS: Access = Access::Read;
    type Reply = Checked;
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// What is wrong; empty for one that can be kept.
    pub problems: Vec<Problem>,
    /// The title of a notice as an example; may be empty.
    pub title: String,
    /// Its body.
    pub body: String,
}

/// Keeps a notifier as the newest version of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Its name.
    pub name: String,
    /// YAML.
    pub text: String,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: refused when somebody has saved another one since.
    pub was: Option<u64>,
}

impl Call for Save {
    const METHOD: &'static str = "notifiers.save";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Removes a notifier. What waits for it is not sent any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "notifiers.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Sends a notice for a try, once and now. An error says what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Test {
    /// Which.
    pub name: String,
}

impl Call for Test {
    const METHOD: &'static str = "notifiers.test";
    const ACCESS: Access = Access::Admin;
    type Reply = Tested;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The answer to a [`Test`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tested {
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Of a mail to several: who did not get it, and why.
    pub refused: Vec<String>,
}

open_enum! {
    /// How a notice stands at a notifier.
    pub enum Fate {
        /// It is tried at its time.
        Waiting = "waiting",
        /// It was taken.
        Taken = "taken",
        /// It was given up.
        GivenUp = "given-up",
    }
}

/// A notice at a notifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// The notice.
    pub id: String,
    /// The notifier.
    pub notifier: String,
    /// The policy by which it is told.
    pub policy: String,
    /// What it says, in a line.
    pub title: String,
    /// How it stands.
    pub fate: Fate,
    /// How often it was tried.
    pub tries: u32,
    /// When it was made.
    pub made_ms: u64,
    /// When it is tried next, or when it was over.
    pub at_ms: u64,
    /// What went wrong last; may be empty.
    pub last: String,
}

/// The newest notices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notices {
    /// Of this notifier; empty for all.
    pub name: String,
}

impl Call for Notices {
    const METHOD: &'static str = "notifiers.notices";
    const ACCESS: Access = Access::Read;
    type Reply = NoticeListing;
}

/// The answer to [`Notices`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeListing {
    /// Newest first, at most [`MAX_NOTICES`].
    pub notices: Vec<Notice>,
}

fn resource(name: &str) -> String {
    format!("notifier:{name}")
}
