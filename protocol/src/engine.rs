//! The Docker engine of a host: what it is, the room that it takes, what happens in it, and what may be
//! cleared away.

use crate::call::{Access, Call, Feed, Nothing};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the engine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {}

impl Call for Info {
    const METHOD: &'static str = "engine.info";
    const ACCESS: Access = Access::Read;
    type Reply = About;
}

/// The answer to an [`Info`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Its release: `28.2.2`.
    pub version: String,
    /// The version of its interface that is spoken with it: `1.41`.
    pub api: String,
    /// The name of its host, as it knows it.
    pub name: String,
    /// The operating system in its words.
    pub system: String,
    /// The kernel's release.
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// Processors.
    pub cpus: u32,
    /// Memory of the host in bytes.
    pub memory: u64,
    /// Where it keeps everything.
    pub root: String,
    /// How it keeps images: `overlay2`.
    pub storage: String,
    /// Where logs of containers go unless they say otherwise: `json-file`.
    pub logging: String,
    /// Who makes control groups, `systemd` or `cgroupfs`, and their version.
    pub cgroups: String,
    /// What containers are run with unless they say otherwise: `runc`.
    pub runtime: String,
    /// Containers that run.
    pub running: u32,
    /// Containers that are paused.
    pub paused: u32,
    /// Containers that are stopped.
    pub stopped: u32,
    /// Images.
    pub images: u32,
    /// Whether the host is part of a swarm: `inactive`, `active`, `pending`, `locked`; empty when it does
    /// not say.
    pub swarm: String,
    /// Limits that it cannot set, and other complaints of its own.
    pub warnings: Vec<String>,
}

/// The room that everything takes. May take the engine long on a host with many files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {}

impl Call for Disk {
    const METHOD: &'static str = "engine.disk";
    const ACCESS: Access = Access::Read;
    type Reply = Usage;
}

/// The answer to a [`Disk`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// One for each kind of things, in the order of [`Kind`].
    pub kinds: Vec<Room>,
}

/// The room that one kind of things takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Room {
    /// Which.
    pub kind: Kind,
    /// How many there are.
    pub total: u32,
    /// How many are in use.
    pub active: u32,
    /// Bytes of all of them.
    pub size: u64,
    /// Bytes of those that are not in use.
    pub reclaimable: u64,
}

open_enum! {
    /// A kind of things that an engine keeps.
    pub enum Kind {
        /// Images.
        Image = "image",
        /// Containers.
        Container = "container",
        /// Volumes.
        Volume = "volume",
        /// Networks; they take no room.
        Network = "network",
        /// What building images has left for the next time.
        Cache = "cache",
    }
}

/// What happens in the engine, as it happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// Begin with what happened so many seconds ago, as far as the engine still knows it.
    pub back_s: u64,
    /// Only about these kinds of things (`container`, `image`, `volume`, `network`, `daemon` and so on);
    /// none for all.
    pub kinds: Vec<String>,
}

impl Feed for Events {
    const METHOD: &'static str = "engine.events";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Event;
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// When, milliseconds since 1970.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// To which kind of thing, in the engine's word.
    #[serde(rename = "k")]
    pub kind: String,
    /// What, in the engine's words: `start`, `die`, `health_status: healthy`.
    #[serde(rename = "a")]
    pub action: String,
    /// The thing's id, or its name where it has no other.
    #[serde(rename = "i")]
    pub id: String,
    /// Its name, where it has one.
    #[serde(rename = "n", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What else is said of it: labels, image, exit code.
    #[serde(rename = "m", skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, String>,
    /// So many were left out before this one, because they came faster than they were taken.
    #[serde(rename = "l", skip_serializing_if = "crate::call::is_default")]
    pub lost: u64,
}

/// What nobody uses, and could be cleared away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unused {
    /// Of these kinds; none for containers, networks, images without a name, and leftovers of building.
    pub kinds: Vec<Kind>,
    /// Also images that have a name, and volumes that have one.
    pub all: bool,
    /// Only what is older than so many seconds; things whose age the engine does not tell are left out
    /// then.
    pub older_s: u64,
    /// Only what has this label: `name` or `name=value`; empty for any.
    pub label: String,
}

impl Call for Unused {
    const METHOD: &'static str = "engine.unused";
    const ACCESS: Access = Access::Read;
    type Reply = Leftovers;
}

/// The answer to an [`Unused`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leftovers {
    /// By kind and name, as many as fit into a reply.
    pub things: Vec<Leftover>,
    /// So many more there are.
    pub left_out: u64,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leftover {
    /// What it is.
    pub kind: Kind,
    /// What it is removed by.
    pub id: String,
    /// What people call it; empty when it has no name.
    pub name: String,
    /// The bytes that come free.
    pub size: u64,
    /// When it was made, seconds since 1970; 0 when nobody knows.
    pub created_s: u64,
}

/// Clears away exactly these things. What is in use by now stays, and is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prune {
    /// Which, as [`Unused`] told them: kind and id count.
    pub things: Vec<Leftover>,
}

impl Feed for Prune {
    const METHOD: &'static str = "engine.prune";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "done";
    type Input = Nothing;
    type Item = Pruned;
}

/// What became of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pruned {
    /// What it was.
    pub kind: Kind,
    /// What it was to be removed by.
    pub id: String,
    /// Why it is still there; empty when it is gone.
    pub error: String,
    /// How many are gone so far, in words for the audit log: `3 of 7`.
    pub done: String,
}
