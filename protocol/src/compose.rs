//! Compose projects: what a host has of them, what bringing one up would do, and acts on them. The compose program of the
//! host reads the files ([`kept`] is what the hub keeps); what a file may do to its host is said as for containers
//! ([`crate::containers::powers`]).

pub mod kept;

use crate::call::{Access, Call, Feed, Nothing};
use crate::containers::State;
use crate::images::Login;
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest compose file, in bytes.
pub const MAX_TEXT: usize = 256 * 1024;
/// The longest file of variables, in bytes.
pub const MAX_VARIABLES: usize = 64 * 1024;
/// The longest time that a container may be given to stop, in seconds.
pub const MAX_STOP_S: u32 = 3600;
/// With this begins the complaint of a host that knows nothing of a project, before its name.
pub const NOT_TOLD: &str = "this host was not told what the project";
/// With this begins the answer of a host that has nothing of a project, when it is asked how it stands.
pub const NOTHING_OF: &str = "this host has nothing of a project";

/// Whether a text names a project, as every compose program takes it.
pub fn check_project(name: &str) -> Result<(), String> {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.starts_with(first)
        && name.len() <= 63
        && name.chars().all(|c| first(c) || c == '-' || c == '_');
    if good {
        return Ok(());
    }
    Err(format!(
        "'{}' is no name of a project: at most 63 small letters, digits, '-' and '_', a letter or digit first",
        crate::display::clean_to_width(name, 80)
    ))
}

fn resource(project: &str) -> String {
    format!("compose:{project}")
}

/// What a host has of a project as it was last brought up there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Its name.
    pub project: String,
}

impl Call for Look {
    const METHOD: &'static str = "compose.look";
    const ACCESS: Access = Access::Read;
    type Reply = Looked;
    fn resource(&self) -> String {
        resource(&self.project)
    }
}

/// What the host's compose program makes of a file, and what bringing it up would do. Nothing is changed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// The name of the project.
    pub project: String,
    /// The compose file.
    pub text: String,
    /// Variables for it, as in `.env`.
    pub variables: String,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Check");
        shown.field("project", &self.project).field("text", &self.text).finish_non_exhaustive()
    }
}

impl Call for Check {
    const METHOD: &'static str = "compose.check";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    const SECRETS: &'static [&'static str] = &["variables"];
    type Reply = Looked;
    fn resource(&self) -> String {
        resource(&self.project)
    }
}

/// A project on a host, beside what it shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Looked {
    /// Its name.
    pub project: String,
    /// The host's compose program, such as `docker compose 2.26.1`.
    pub program: String,
    /// The version of the file that this host was last told to bring up; 0 for none, and where that is not known.
    pub version: u64,
    /// What its containers may do to their host, in order.
    pub powers: Vec<String>,
    /// Its services by name; those that are not in the file any more behind the others.
    pub services: Vec<Service>,
    /// What the compose program remarked.
    pub remarks: Vec<String>,
}

impl Looked {
    /// How many of its services are not as they shall be.
    pub fn drifted(&self) -> usize {
        self.services.iter().filter(|service| service.drifted()).count()
    }
}

open_enum! {
    /// What bringing a project up does with a service.
    pub enum Will {
        /// Nothing: it is as it shall be.
        Leave = "leave",
        /// Its containers are made.
        Create = "create",
        /// Its containers make room for others.
        Recreate = "recreate",
        /// Containers that are there are started.
        Start = "start",
        /// Containers are added or taken away until there are as many as there shall be.
        Scale = "scale",
        /// Its containers are taken away: the file has no such service.
        Remove = "remove",
    }
}

/// One service of a project on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The image that it shall be made of; empty when the file has no such service.
    pub image: String,
    /// How many containers it shall have.
    pub wanted: u32,
    /// What bringing the project up does with it.
    pub will: Will,
    /// Why, in a few words; empty when it is left as it is.
    pub why: String,
    /// Its containers by name.
    pub containers: Vec<Member>,
}

impl Service {
    /// Whether it is not as it shall be. One that has done its work and ended well is.
    pub fn drifted(&self) -> bool {
        let done = |member: &Member| {
            member.state.runs() || member.state == State::Exited && member.exit_code == Some(0)
        };
        match self.will {
            Will::Leave => false,
            Will::Start => !self.containers.iter().all(done),
            _ => true,
        }
    }
}

/// A container of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Its whole id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// That in the engine's own words.
    pub status: String,
    /// The exit code of one that has ended.
    pub exit_code: Option<i64>,
}

open_enum! {
    /// Which images are brought from their registries before containers are made.
    pub enum Pull {
        /// Those that the host does not have.
        Missing = "missing",
        /// All.
        Always = "always",
        /// None: one that the host does not have is an error.
        Never = "never",
    }
}

/// Brings a project up again as the host was last told to: what is missing or another is made anew, what is as it shall
/// be is left. One that may do something to its host is refused here: [`UpPrivileged`] is for those. The hub
/// brings up what it keeps by the same right ([`kept::Deploy`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Up {
    /// Its name.
    pub project: String,
    /// Which images are brought; unknown is as missing.
    pub pull: Pull,
    /// Make containers anew that are as they shall be, too.
    pub recreate: bool,
    /// Leave containers of services that the file does not have.
    pub keep_orphans: bool,
    /// The version of the file, where the hub keeps it; 0 for the one that the host has.
    pub version: u64,
}

impl Feed for Up {
    const METHOD: &'static str = "compose.up";
    const ACCESS: Access = Access::Act;
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(&self.project)
    }
}

/// As [`Up`], of a project whose containers may do something to their host: a right of its own, on each thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpPrivileged {
    /// What.
    pub up: Up,
    /// All that its containers may do.
    pub powers: Vec<String>,
}

impl Feed for UpPrivileged {
    const METHOD: &'static str = "compose.up-privileged";
    const ACCESS: Access = Access::Admin;
    type Input = Nothing;
    type Item = Progress;
    /// `compose:NAME`, and each power behind it: a right has to cover all of them.
    fn resource(&self) -> String {
        let powers = self.powers.iter().cloned();
        std::iter::once(self.up.resource()).chain(powers).collect::<Vec<_>>().join("\0")
    }
}

/// As [`UpPrivileged`], with a file that the hub keeps. Only hubs ask for it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpAs {
    /// What, and in which version.
    pub up: Up,
    /// All that its containers may do, as it was decided.
    pub powers: Vec<String>,
    /// The compose file.
    pub text: String,
    /// Variables for it.
    pub variables: String,
    /// Who the hub is to registries that images come from.
    pub logins: Vec<Login>,
}

impl fmt::Debug for UpAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("UpAs");
        shown.field("up", &self.up).field("powers", &self.powers).finish_non_exhaustive()
    }
}

impl Feed for UpAs {
    const METHOD: &'static str = "compose.up-as";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["variables", "logins"];
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        self.up.resource()
    }
}

/// Stops the containers of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// Its name.
    pub project: String,
    /// Seconds until they are killed, at most [`MAX_STOP_S`]; absent for what the file says, or 10.
    pub timeout_s: Option<u32>,
}

impl Feed for Stop {
    const METHOD: &'static str = "compose.stop";
    const ACCESS: Access = Access::Act;
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(&self.project)
    }
}

/// Takes the containers and networks of a project away, and forgets on the host what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Down {
    /// Its name.
    pub project: String,
    /// Its volumes too, with all that is in them.
    pub volumes: bool,
    /// As [`Stop::timeout_s`].
    pub timeout_s: Option<u32>,
}

impl Feed for Down {
    const METHOD: &'static str = "compose.down";
    const ACCESS: Access = Access::Act;
    type Input = Nothing;
    type Item = Progress;
    fn resource(&self) -> String {
        resource(&self.project)
    }
}

/// What the compose program said since the last item; in the last one what there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Its lines, made harmless.
    #[serde(rename = "l", skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// It is done, and this is there now.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub done: Option<Looked>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_projects_are_what_every_compose_program_takes() {
        for good in ["web", "0", "a-b_c9", &"x".repeat(63)] {
            assert_eq!(check_project(good), Ok(()), "{good}");
        }
        for bad in ["", "Web", "-a", "_a", "a.b", "a/b", "../x", "a b", "é", "a\0", &"x".repeat(64)]
        {
            assert!(check_project(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_project_that_may_do_something_to_its_host_names_each_thing_in_its_resource() {
        let up = Up { project: "web".into(), ..Up::default() };
        assert_eq!(up.resource(), "compose:web");
        let powers = vec!["mount:/srv".into(), "privileged".into()];
        assert_eq!(UpPrivileged { up, powers }.resource(), "compose:web\0mount:/srv\0privileged");
    }

    #[test]
    fn what_ended_well_is_no_drift_and_what_fell_is() {
        let ended = |exit_code| Member {
            state: State::Exited,
            exit_code: Some(exit_code),
            ..Member::default()
        };
        let service =
            |member| Service { will: Will::Start, containers: vec![member], ..Service::default() };
        assert!(!service(ended(0)).drifted() && service(ended(1)).drifted());
    }

    #[test]
    fn printing_a_request_shows_no_variables() {
        let check = Check { variables: "A=canary".into(), ..Check::default() };
        let up = UpAs { variables: "A=canary".into(), ..UpAs::default() };
        assert!(!format!("{check:?}{up:?}").contains("canary"));
    }
}
