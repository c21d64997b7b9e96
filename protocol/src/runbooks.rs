//! Runbooks: ordered steps with parameters, kept by the hub in versions. Answered by the hub; they are run as
//! the order of a run ([`crate::runs`]).
//!
//! Some come with the hub. One that is saved under the name of such a one stands in its place until it is
//! deleted.

pub mod signed;

pub use signed::{Sign, Signed};

use crate::call::{Access, Call, Nothing};
use crate::ids::{KeyId, RunId, SigningKey};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// The longest runbook, in bytes.
pub const MAX_TEXT: usize = 60 * 1024;
/// Runbooks that a hub keeps.
pub const MAX_RUNBOOKS: usize = 1000;
/// Versions that are kept of each: the newest.
pub const MAX_VERSIONS: usize = 100;
/// The longest note about a version, and the longest description that lists show, in bytes.
pub const MAX_NOTE: usize = 250;

/// Whether this can be the name of a runbook; else why not.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let first = name.bytes().next();
    if name.len() > 63 || !name.bytes().all(fine) || first.is_none_or(|c| c == b'-') {
        return Err("the name of a runbook has 1 to 63 small letters, digits and '-', and begins with no '-'"
            .to_owned());
    }
    Ok(())
}

/// A runbook in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runbook {
    /// Its name.
    pub name: String,
    /// What it does, in a line.
    pub description: String,
    /// Its newest version, from 1; 0 for one that comes with the hub.
    pub version: u64,
    /// One of this name comes with the hub.
    pub shipped: bool,
    /// How many steps it has.
    pub steps: u32,
    /// When it was saved, milliseconds since 1970; 0 for one that comes with the hub.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
    /// Who signed it, and whether that holds; absent when nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// A signature under one version of a runbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The version.
    pub version: u64,
    /// BLAKE3 of its text, in hex.
    pub hash: String,
    /// Who signed.
    pub operator: String,
    /// The device they signed with.
    pub device: KeyId,
    /// The public half of the key that this device signs with.
    pub key: SigningKey,
    /// When, milliseconds since 1970, by the clock of that device.
    pub at_ms: u64,
    /// Ed25519 over [`Signature::statement`], in hex.
    pub signature: String,
}

open_enum! {
    /// What a parameter may be.
    pub enum ParamKind {
        /// A text.
        Text = "text",
        /// A number.
        Number = "number",
        /// Yes or no.
        YesNo = "yes-no",
        /// One of some words.
        Choice = "choice",
        /// Some texts.
        List = "list",
        /// The name of a secret that the hub keeps; its value is never in a request or an answer.
        Secret = "secret",
    }
}

/// A parameter of a runbook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it may be.
    pub kind: ParamKind,
    /// Its limits in words; empty for none.
    pub limits: String,
    /// What holds when it is not given, as text; absent for one that has to be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it may be one of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
}

/// A step of a runbook, in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// Its name; what is included has the name of the step that includes it before its own (`docker/install`).
    pub name: String,
    /// What it does, in a few words: not to be trusted, clean it before it is shown.
    pub what: String,
    /// When it is done; empty for always.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub when: String,
    /// How often it is tried again.
    pub retries: u32,
    /// Its failure does not end the runbook.
    pub ignore_errors: bool,
}

open_enum! {
    /// How a step stands on a host.
    pub enum StepState {
        /// Not begun.
        Waiting = "waiting",
        /// The host is at it.
        Running = "running",
        /// Done.
        Ok = "ok",
        /// It failed, and the runbook went no further there.
        Failed = "failed",
        /// It failed, and the runbook says that this does not matter.
        Ignored = "ignored",
        /// Its condition did not hold.
        Skipped = "skipped",
    }
}

/// A step on a host, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepResult {
    /// Its name, as in [`Step::name`].
    pub name: String,
    /// How it stands.
    pub state: StepState,
    /// The exit code; absent when there was no program to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// It changed something, as far as that is known.
    pub changed: bool,
    /// Why it failed or was skipped; empty for none.
    pub why: String,
    /// The end of what it wrote. From the host: not to be trusted.
    pub output: String,
    /// How often it was tried.
    pub tries: u32,
    /// How long it ran the last time, in milliseconds.
    pub took_ms: u64,
}

/// Something wrong in the text of a runbook.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// From 1; 0 for the text as a whole.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong there, and what should stand there.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "{line}:{}: {}", self.column, self.what),
        }
    }
}

/// Which runbooks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "runbooks.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub runbooks: Vec<Runbook>,
}

/// One runbook with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
    /// Which version; absent for the newest, 0 for that which comes with the hub.
    pub version: Option<u64>,
}

impl Call for Show {
    const METHOD: &'static str = "runbooks.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        format!("runbook:{}", self.name)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The runbook; of an older version, with the number and the times of that one.
    pub runbook: Runbook,
    /// What somebody wrote about this version.
    pub note: String,
    /// Its text, as it was saved.
    pub text: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// Its steps in order, those of what it includes among them.
    pub steps: Vec<Step>,
    /// What is wrong with it now: something that it includes may have changed.
    pub problems: Vec<Problem>,
    /// Its signature, for who wants to check it themselves; absent when nobody signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Whether a text is a runbook. Nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// The text.
    pub text: String,
}

impl Call for Check {
    const METHOD: &'static str = "runbooks.check";
    const ACCESS: Access = Access::Read;
    type Reply = Checked;
}

/// The answer to a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// What is wrong, by place; empty for a runbook that can be run.
    pub problems: Vec<Problem>,
    /// Its name, where it has one.
    pub name: String,
    /// Its parameters; none when something is wrong.
    pub params: Vec<Param>,
    /// Its steps; none when something is wrong.
    pub steps: Vec<Step>,
}

/// Keeps a runbook as the newest version of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Its name; the text has the same one.
    pub name: String,
    /// The text.
    pub text: String,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: it is refused when somebody has saved another one since.
    /// Absent to save it whatever there is.
    pub was: Option<u64>,
}

impl Call for Save {
    const METHOD: &'static str = "runbooks.save";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        format!("runbook:{}", self.name)
    }
}

/// The answer to a [`Save`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// Its version.
    pub version: u64,
    /// The newest version had this text already; nothing was saved.
    pub unchanged: bool,
}

/// The versions of a runbook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub name: String,
}

impl Call for Versions {
    const METHOD: &'static str = "runbooks.versions";
    const ACCESS: Access = Access::Read;
    type Reply = VersionListing;
    fn resource(&self) -> String {
        format!("runbook:{}", self.name)
    }
}

/// The answer to a [`Versions`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionListing {
    /// Newest first.
    pub versions: Vec<Version>,
}

/// One version of a runbook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// From 1; 0 for what comes with the hub.
    pub version: u64,
    /// When it was saved, milliseconds since 1970; 0 for what comes with the hub.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
    /// What changed.
    pub note: String,
    /// Bytes of its text.
    pub size: u64,
    /// BLAKE3 of its text, in hex.
    pub hash: String,
    /// Who signed it, and whether that holds; absent when nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

/// The steps of one target of a run, and what came of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Which run.
    pub run: RunId,
    /// Which of its targets, by index.
    #[serde(default)]
    pub target: u32,
}

impl Call for Steps {
    const METHOD: &'static str = "runbooks.steps";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = StepListing;
    fn resource(&self) -> String {
        format!("run:{}", self.run)
    }
}

/// The answer to [`Steps`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepListing {
    /// In order.
    pub steps: Vec<StepResult>,
}

/// Removes a runbook with all its versions. Runs that are under way keep what they began with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "runbooks.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("runbook:{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain() {
        for name in ["nginx", "a", "9lives", "install-docker", &"a".repeat(63)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "-a", "A", "a b", "a/b", "a.b", "ü", &"a".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_problem_is_told_as_compilers_do() {
        let problem = Problem { line: 3, column: 7, what: "unknown key 'nmae'".into() };
        assert_eq!(problem.to_string(), "3:7: unknown key 'nmae'");
        assert_eq!(
            Problem { what: "too long".into(), ..Problem::default() }.to_string(),
            "too long"
        );
    }
}
