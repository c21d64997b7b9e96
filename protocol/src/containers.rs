//! Containers of a host's Docker engine: which there are, what they are, and acts on them. Answered by agents.
//!
//! The resource of a call is `container:NAME-OR-ID`, as the caller wrote it. What a container may do to its host beside
//! running there is a right of its own ([`powers`]).

pub mod change;
pub mod powers;
pub mod run;
pub mod spec;
pub mod stats;
pub mod status;

pub use spec::Spec;

use crate::call::{Access, Call, Feed, Nothing};
use crate::open_enum::open_enum;
use crate::sift::Sift;
use crate::table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest name or id of a container, in bytes.
pub const MAX_NAME: usize = 255;

/// Whether a container can be called or meant by this: letters, digits, `_`, `.` and `-`, a letter or digit first.
pub fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    first && text.len() <= MAX_NAME && text.bytes().all(fits)
}

/// The resource of a container.
pub fn resource(container: &str) -> String {
    format!("container:{container}")
}

open_enum! {
    /// Where a container stands, in the engine's words.
    pub enum State {
        /// Made, never started.
        Created = "created",
        /// Runs.
        Running = "running",
        /// Runs, and gets no time.
        Paused = "paused",
        /// Ended, and is about to be started again.
        Restarting = "restarting",
        /// Is being stopped.
        Stopping = "stopping",
        /// Is being taken away.
        Removing = "removing",
        /// Ended.
        Exited = "exited",
        /// Could not be taken away whole.
        Dead = "dead",
    }
}

impl State {
    /// Whether it has processes.
    pub const fn runs(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting | Self::Stopping)
    }
}

/// Containers that fit what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Also those that do not run.
    pub all: bool,
    /// The engine's own filters: `status`, `label`, `name`, `ancestor` and so on, each with its values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<String, Vec<String>>,
    /// Also how much each has written ([`Container::size`]); the engine takes its time for that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub size: bool,
    /// Only those that fit this, too.
    #[serde(skip_serializing_if = "Sift::is_empty")]
    pub sift: Sift,
    /// At most so many; 0 for as many as fit into a reply.
    pub limit: u32,
}

impl Call for List {
    const METHOD: &'static str = "containers.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// The newest first.
    pub containers: Vec<Container>,
    /// So many more there are, and were left out.
    pub left_out: u64,
    /// They were sifted by [`List::sift`].
    pub sifted: bool,
}

/// All containers, then what changes, as the engine tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "containers.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = table::Change<Container>;
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its whole id.
    #[serde(rename = "i")]
    pub id: String,
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// The image that it was made of, as it was named then, or its id when that name means another one now.
    #[serde(rename = "m")]
    pub image: String,
    /// The id of that image.
    #[serde(rename = "mi")]
    pub image_id: String,
    /// Its program with arguments, as one text.
    #[serde(rename = "c")]
    pub command: String,
    /// When it was made, seconds since 1970.
    #[serde(rename = "t")]
    pub created_s: u64,
    /// Where it stands.
    #[serde(rename = "s")]
    pub state: State,
    /// That in the engine's own words, such as `Up 3 minutes (healthy)`; empty in what is watched, because time
    /// goes on and nobody tells it: [`status::words`] makes it of `since_s`.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// When it came to run or ended, seconds since 1970, as exactly as the engine's words are; 0 when it did neither.
    #[serde(rename = "si")]
    pub since_s: u64,
    /// The exit code of one that has ended.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// What its health check says: `starting`, `healthy`, `unhealthy`; empty when it has none or does not run.
    #[serde(rename = "h", skip_serializing_if = "String::is_empty")]
    pub health: String,
    /// Its ports.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// The networks that it is in.
    #[serde(rename = "ne", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Its addresses in those, in their order; empty ones where it has none.
    #[serde(rename = "ip", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// What is mounted into it: names of volumes, and paths of the host.
    #[serde(rename = "mo", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// Its labels; those that are too much to be told are left out.
    #[serde(rename = "l", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Bytes that it has written, when that was asked for.
    #[serde(rename = "z", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Container {
    /// The first twelve letters of its id.
    pub fn short_id(&self) -> &str {
        short(&self.id)
    }

    /// The compose project that it belongs to; empty for none.
    pub fn project(&self) -> &str {
        self.labels.get("com.docker.compose.project").map_or("", String::as_str)
    }

    /// The service of that project.
    pub fn service(&self) -> &str {
        self.labels.get("com.docker.compose.service").map_or("", String::as_str)
    }
}

/// What engines say of a container that is not there, in front of its name.
pub const NO_SUCH: &str = "No such container";

/// The first twelve letters of an id, without its kind.
pub fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

impl table::Row for Container {
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn weight(&self) -> usize {
        let texts =
            [&self.id, &self.name, &self.image, &self.image_id, &self.command, &self.status];
        let lists = [&self.networks, &self.addresses, &self.mounts];
        let lists = lists.iter().flat_map(|list| list.iter()).map(|text| text.len() + 3);
        let labels = self.labels.iter().map(|(name, value)| name.len() + value.len() + 6);
        let texts = texts.iter().map(|text| text.len()).sum::<usize>();
        160 + texts + lists.sum::<usize>() + labels.sum::<usize>() + self.ports.len() * 60
    }
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// The port inside.
    #[serde(rename = "c")]
    pub private: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "f")]
    pub protocol: String,
    /// The host's address that it is reached at; empty when it is not.
    #[serde(rename = "i", skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The port there; 0 when it is not.
    #[serde(rename = "p")]
    pub public: u16,
}

impl std::fmt::Display for Port {
    /// As `docker ps` has it: `0.0.0.0:8080->80/tcp`, `80/tcp`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { private, protocol, address, public } = self;
        match (*public, address.contains(':')) {
            (0, _) => write!(f, "{private}/{protocol}"),
            (public, true) => write!(f, "[{address}]:{public}->{private}/{protocol}"),
            (public, false) => write!(f, "{address}:{public}->{private}/{protocol}"),
        }
    }
}

/// All that the engine knows of a container; what looks like a secret in its environment is struck out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    /// Its name or id.
    pub container: String,
    /// Also how much it has written.
    pub size: bool,
}

impl Call for Inspect {
    const METHOD: &'static str = "containers.inspect";
    const ACCESS: Access = Access::Read;
    type Reply = Inspected;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// As [`Inspect`], with nothing struck out: it is put down in the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Values {
    /// Its name or id.
    pub container: String,
}

impl Call for Values {
    const METHOD: &'static str = "containers.values";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Inspected;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// The answer to an [`Inspect`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspected {
    /// Its whole id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The engine's own JSON.
    pub json: String,
    /// Variables whose values were struck out.
    pub masked: Vec<String>,
    /// What it may do to its host ([`powers`]).
    pub powers: Vec<String>,
}

/// What a struck out value is replaced by.
pub const MASK: &str = "***";

/// The processes of a container, as the host's `ps` tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Top {
    /// Its name or id.
    pub container: String,
}

impl Call for Top {
    const METHOD: &'static str = "containers.top";
    const ACCESS: Access = Access::Read;
    type Reply = Processes;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// The answer to a [`Top`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Processes {
    /// Heads of the columns.
    pub titles: Vec<String>,
    /// A row a process.
    pub rows: Vec<Vec<String>>,
    /// So many more there are, and were left out.
    pub left_out: u64,
}

/// What a container's files have become beside its image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diff {
    /// Its name or id.
    pub container: String,
}

impl Call for Diff {
    const METHOD: &'static str = "containers.diff";
    const ACCESS: Access = Access::Read;
    type Reply = Differences;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// The answer to a [`Diff`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Differences {
    /// In the engine's order.
    pub paths: Vec<Difference>,
    /// So many more there are, and were left out.
    pub left_out: u64,
}

open_enum! {
    /// What became of a path.
    pub enum Became {
        /// It is another one.
        Changed = "changed",
        /// It was not there.
        Added = "added",
        /// It is not there any more.
        Deleted = "deleted",
    }
}

/// One path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// Where.
    #[serde(rename = "p")]
    pub path: String,
    /// What became of it.
    #[serde(rename = "k")]
    pub became: Became,
}

/// What came of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// The container's whole id.
    pub id: String,
    /// Its name now; of one that is gone, the one that it had.
    pub name: String,
    /// Where it stands now; unknown when it is gone.
    pub state: State,
    /// Its exit code, when it does not run.
    pub exit_code: Option<i64>,
    /// Nothing had to be done.
    pub already: bool,
    /// What the engine remarked.
    pub warnings: Vec<String>,
}

/// Acts that need nothing but a container, each a method of its own, so that rights can name them apart.
macro_rules! acts {
    ($($(#[$meta:meta])* $name:ident = $method:literal { $($(#[$fmeta:meta])* $field:ident: $type:ty,)* },)+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $name {
                /// Its name or id.
                pub container: String,
                $($(#[$fmeta])* pub $field: $type,)*
            }

            impl Call for $name {
                const METHOD: &'static str = $method;
                const ACCESS: Access = Access::Act;
                type Reply = Done;
                fn resource(&self) -> String {
                    resource(&self.container)
                }
            }
        )+
    };
}

acts! {
    /// Starts a container.
    Start = "containers.start" {},
    /// Stops a container: its first process is asked, and killed when it takes too long.
    Stop = "containers.stop" {
        /// Seconds until it is killed, at most 3600; absent for what the container says, or 10.
        timeout_s: Option<u32>,
        /// The signal that asks it; empty for what the container says.
        signal: String,
    },
    /// Stops and starts a container, or starts it when it does not run.
    Restart = "containers.restart" {
        /// As [`Stop::timeout_s`].
        timeout_s: Option<u32>,
        /// As [`Stop::signal`].
        signal: String,
    },
    /// Gives a container no time any more.
    Pause = "containers.pause" {},
    /// Takes that back.
    Unpause = "containers.unpause" {},
    /// Sends a signal to a container's first process.
    Kill = "containers.kill" {
        /// Its name or number; empty for `KILL`.
        signal: String,
    },
    /// Takes a container away, with what it wrote.
    Remove = "containers.remove" {
        /// Also when it runs: it is killed.
        force: bool,
        /// Its volumes without names, too.
        volumes: bool,
    },
}

/// Gives a container another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rename {
    /// Its name or id.
    pub container: String,
    /// The new name.
    pub name: String,
}

impl Call for Rename {
    const METHOD: &'static str = "containers.rename";
    const ACCESS: Access = Access::Act;
    type Reply = Done;
    /// Both names: a right has to cover each.
    fn resource(&self) -> String {
        format!("{}\0{}", resource(&self.container), resource(&self.name))
    }
}

/// Makes a container, and starts it when that is wanted. One that may do something to its host ([`Spec::powers`]) is
/// refused here: [`CreatePrivileged`] is for those.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Create {
    /// What it shall be.
    pub spec: Spec,
    /// Start it.
    pub start: bool,
}

impl Call for Create {
    const METHOD: &'static str = "containers.create";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["spec.environment.*"];
    type Reply = Done;
    /// `container:NAME`; without a name, which the engine then makes up, `container:`.
    fn resource(&self) -> String {
        resource(&self.spec.name)
    }
}

/// As [`Create`], of one that may do something to its host: a right of its own, on each thing that it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreatePrivileged {
    /// What it shall be.
    pub spec: Spec,
    /// Start it.
    pub start: bool,
}

impl Call for CreatePrivileged {
    const METHOD: &'static str = "containers.create-privileged";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = &["spec.environment.*"];
    type Reply = Done;
    /// `container:NAME`, and each power behind it: a right has to cover all of them.
    fn resource(&self) -> String {
        let powers = self.spec.powers();
        std::iter::once(resource(&self.spec.name)).chain(powers).collect::<Vec<_>>().join("\0")
    }
}

/// What a container was made with, as one would ask for another such: with its whole environment, so it is put down in
/// the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Like {
    /// Its name or id.
    pub container: String,
}

impl Call for Like {
    const METHOD: &'static str = "containers.like";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Likeness;
    fn resource(&self) -> String {
        resource(&self.container)
    }
}

/// The answer to a [`Like`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Likeness {
    /// As far as a [`Spec`] can say it.
    pub spec: Spec,
    /// Settings of it that a [`Spec`] cannot say.
    pub beyond: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_engine_takes_and_nothing_that_leads_elsewhere() {
        for good in ["web", "web_1.2-x", "4711", "a"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "../x", "a/b", "-a", ".", "a b", "a?b", "a\0b", "é", &"x".repeat(256)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_container_that_may_do_something_to_its_host_names_each_thing_in_its_resource() {
        let mut create = CreatePrivileged::default();
        create.spec.name = "web".into();
        create.spec.privileged = true;
        create.spec.volumes = vec!["/srv/x:/x:ro".into(), "data:/data".into()];
        assert_eq!(create.resource(), "container:web\0mount:/srv/x\0privileged");
    }

    #[test]
    fn ports_are_written_as_people_know_them() {
        let port = |address: &str, public| Port {
            private: 80,
            protocol: "tcp".into(),
            address: address.into(),
            public,
        };
        assert_eq!(port("", 0).to_string(), "80/tcp");
        assert_eq!(port("0.0.0.0", 8080).to_string(), "0.0.0.0:8080->80/tcp");
        assert_eq!(port("::", 8080).to_string(), "[::]:8080->80/tcp");
    }
}
