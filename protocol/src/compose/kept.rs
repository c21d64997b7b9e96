//! Compose files that the hub keeps, in versions, and what it has hosts do with them.

use super::{Looked, Progress, Pull, resource};
use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::HostId;
use crate::runbooks::{Saved, VersionListing};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A compose project in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its newest version, from 1.
    pub version: u64,
    /// The hosts that it is for, as a selector; empty when nothing says so.
    pub hosts: String,
    /// When it was saved, milliseconds since 1970.
    pub saved_ms: u64,
    /// Who saved it.
    pub saved_by: String,
    /// What they wrote about it.
    pub note: String,
}

/// Which projects the hub keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "compose.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub projects: Vec<Kept>,
}

/// One project with its file. Variables are not told, only what they are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which.
    pub name: String,
    /// Which version; absent for the newest.
    pub version: Option<u64>,
}

impl Call for Show {
    const METHOD: &'static str = "compose.show";
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
    /// The project; of an older version, with the number, the hosts and the times of that one.
    pub project: Kept,
    /// The compose file, as it was saved.
    pub text: String,
    /// The names of its variables, in order.
    pub variables: Vec<String>,
}

/// Keeps a file as the newest version of a project. No host is changed by that.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// The name of the project.
    pub name: String,
    /// The compose file.
    pub text: String,
    /// Variables for it, as in `.env`; absent for those of the newest version. Kept sealed.
    pub variables: Option<String>,
    /// The hosts that it is for, as a selector; absent for those of the newest version.
    pub hosts: Option<String>,
    /// What changed, for people; may be empty.
    pub note: String,
    /// The version that was looked at before: it is refused when somebody has saved another one since.
    /// Absent to save it whatever there is.
    pub was: Option<u64>,
}

impl fmt::Debug for Save {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Save");
        shown.field("name", &self.name).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Call for Save {
    const METHOD: &'static str = "compose.save";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["variables"];
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Keeps an older version once more, as the newest: with its variables and its hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restore {
    /// Which project.
    pub name: String,
    /// Which version.
    pub version: u64,
}

impl Call for Restore {
    const METHOD: &'static str = "compose.restore";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "version";
    type Reply = Saved;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// The versions of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub name: String,
}

impl Call for Versions {
    const METHOD: &'static str = "compose.versions";
    const ACCESS: Access = Access::Read;
    type Reply = VersionListing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Removes a project with all its versions from the hub. No host is changed by that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: String,
}

impl Call for Delete {
    const METHOD: &'static str = "compose.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// What bringing a project up would do on a host: takes the right to [`super::Look`] there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The host.
    pub host: HostId,
    /// Which project.
    pub name: String,
    /// Which version; absent for the newest.
    #[serde(default)]
    pub version: Option<u64>,
}

impl Call for Plan {
    const METHOD: &'static str = "compose.plan";
    const ACCESS: Access = Access::Read;
    type Reply = Looked;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

/// Brings a project up on a host: takes the right to [`super::Up`] there, or to [`super::UpPrivileged`] when its
/// containers may do something to their host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// The host.
    pub host: HostId,
    /// Which project.
    pub name: String,
    /// Which version; absent for the newest.
    #[serde(default)]
    pub version: Option<u64>,
    /// As [`super::Up::pull`].
    #[serde(default)]
    pub pull: Pull,
    /// As [`super::Up::recreate`].
    #[serde(default)]
    pub recreate: bool,
    /// As [`super::Up::keep_orphans`].
    #[serde(default)]
    pub keep_orphans: bool,
}

impl Feed for Deploy {
    const METHOD: &'static str = "compose.deploy";
    const ACCESS: Access = Access::Act;
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_request_shows_no_variables() {
        let save = Save { variables: Some("A=canary".into()), ..Save::default() };
        assert!(!format!("{save:?}").contains("canary"));
    }
}
