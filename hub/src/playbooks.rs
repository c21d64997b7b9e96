//! Playbooks of Ansible as steps of runbooks, where the owner wants them (`[ansible]` in the settings).
//!
//! The real `ansible-playbook` runs on the hub's machine, once for each host, and reaches nothing but that host: what
//! it wants done there comes over a socket that it was born with (`carry`) and goes over the host's link. The text of
//! a playbook can say that something be done here, and its templates are programs; so it runs in a cage
//! (`cage`), from a folder of its own (`folder`), under a keeper that ends all it has started when it is over or
//! the hub is gone (`keeper`). Called by [`crate::runs`], which tells what comes of it as a host would.

mod cage;
mod carry;
mod child;
mod folder;
mod frames;
mod keeper;
mod room;

pub(crate) use carry::Carrier;
pub(crate) use child::{Child, Said};
pub(crate) use folder::clear;
pub use keeper::main;
pub(crate) use room::clear_locks;

use cmdr_protocol::CallError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// A keeper ends so when the playbook was not let run.
const REFUSED: i32 = 125;

/// Playbooks as steps.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The program `ansible-playbook`, a whole path; without it there are no such steps.
    pub program: Option<PathBuf>,
    /// So many playbooks run at a time; others wait for their turn.
    pub at_once: NonZeroU32,
    /// Folders that playbooks may read beside what the system has: in each of them, roles are looked for in
    /// `roles` and collections in `collections`.
    pub library: Vec<PathBuf>,
    /// The hub's own program, where this process is another one.
    #[serde(skip)]
    pub own_program: Option<PathBuf>,
}

const AT_ONCE: NonZeroU32 = NonZeroU32::new(5).unwrap();

impl Default for Settings {
    fn default() -> Self {
        Self { program: None, at_once: AT_ONCE, library: Vec::new(), own_program: None }
    }
}

impl Settings {
    /// Whether playbooks can be run, else what to do about it.
    pub fn check(&self) -> Result<(), CallError> {
        match &self.program {
            None => Err(CallError::failed(
                "a step of the runbook is an Ansible playbook, and this hub runs none: install ansible-core on its \
                 machine, say program = \"/usr/bin/ansible-playbook\" under [ansible] in its configuration, and start \
                 it anew",
            )),
            Some(program) if !program.is_absolute() => Err(CallError::failed(format!(
                "[ansible] program = \"{}\" in the hub's configuration is not a whole path",
                program.display()
            ))),
            Some(_) => Ok(()),
        }
    }
}

/// A playbook, as it is for one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Play {
    /// Its text.
    pub playbook: String,
    /// Files beside it, by their paths.
    pub files: BTreeMap<String, String>,
    /// Variables.
    pub vars: BTreeMap<String, Value>,
    /// Only what has one of these tags.
    pub tags: Vec<String>,
    /// Not what has one of these.
    pub skip_tags: Vec<String>,
    /// Say what would change, and change nothing.
    pub check: bool,
    /// Show how files change.
    pub diff: bool,
    /// As whom it works on the host; absent for the agent's own user.
    pub user: Option<String>,
    /// Milliseconds after which it is ended.
    pub timeout_ms: Option<u64>,
}

/// How a playbook ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The code of `ansible-playbook`, or 128 and the signal that ended it.
    pub(crate) code: i32,
    /// What it counted, unless it did not come so far.
    pub(crate) counts: Option<Counts>,
    /// The last that it wrote to its standard error.
    pub(crate) complaint: String,
}

impl Ended {
    /// It was never let run: the machine cannot keep it in.
    pub(crate) const fn is_refused(&self) -> bool {
        self.code == REFUSED && self.counts.is_none()
    }
}

/// What came of a playbook, counted by Ansible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Hosts that a play was for: one or none.
    pub(crate) hosts: u64,
    pub(crate) ok: u64,
    pub(crate) changed: u64,
    pub(crate) skipped: u64,
    pub(crate) failures: u64,
    pub(crate) unreachable: u64,
    /// The task that failed, and what it said.
    pub(crate) task: String,
    pub(crate) message: String,
}

impl Counts {
    /// In a line.
    pub(crate) fn told(&self) -> String {
        let Self { ok, changed, skipped, .. } = self;
        format!("ok={ok} changed={changed} skipped={skipped}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_program_it_is_said_what_to_do() {
        let told = Settings::default().check().unwrap_err().message;
        assert!(told.contains("[ansible]") && told.contains("ansible-playbook"), "{told}");
        let parse =
            |text: &str| cmdr_link::settings::parse::<Settings>(std::path::Path::new("x"), text);
        let settings = parse("program = '/usr/bin/ansible-playbook'\nat_once = 2\n").unwrap();
        assert!(settings.check().is_ok() && settings.at_once.get() == 2);
        assert!(parse("program = 'ansible-playbook'\n").unwrap().check().is_err());
        assert!(parse("at_once = 0").is_err() && parse("own_program = '/x'").is_err());
    }
}
