//! Another key for the hub itself, followed by everybody who pins it.
//!
//! Three steps, each an administrator's: the next key is made and told to all ([`Begin`]), it becomes the
//! hub's key while the one before it still answers ([`Switch`]), and that one is retired ([`Finish`]).

use crate::call::{Access, Call};
use crate::ids::{HostId, KeyId, PublicKey};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// The most names in each list of a [`Rotation`].
pub const LISTED: usize = 200;

/// Makes the next key and tells it to all who are linked and to all who come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {}

/// How far it is, and who does not know the key yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {}

/// Makes the next key the hub's key. The one before it answers until the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Although there are hosts that do not know it.
    #[serde(default)]
    pub force: bool,
}

/// Retires the key before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Although there are hosts or programs that do not know the new one: hosts have to join again, and programs
    /// need another key.
    #[serde(default)]
    pub force: bool,
}

/// Forgets a next key that was not switched to yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {}

open_enum! {
    /// How far the hub is.
    pub enum Phase {
        /// It has one key.
        None = "none",
        /// It tells its next key.
        Announced = "announced",
        /// It has its new key, and the one before it still answers.
        Switched = "switched",
    }
}

/// The answer to all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// How far.
    pub phase: Phase,
    /// The hub's key.
    pub key: PublicKey,
    /// The key that shall follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PublicKey>,
    /// The key before, while it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PublicKey>,
    /// Hosts of the fleet.
    #[serde(default)]
    pub hosts: u32,
    /// How many of them have not pinned the key that follows.
    #[serde(default)]
    pub hosts_without: u32,
    /// Devices that act for somebody, programs not counted.
    #[serde(default)]
    pub devices: u32,
    /// How many of them have not pinned it.
    #[serde(default)]
    pub devices_without: u32,
    /// Keys for programs that work.
    #[serde(default)]
    pub programs: u32,
    /// How many of them have not come with it: none can before the switch.
    #[serde(default)]
    pub programs_without: u32,
    /// Those, hosts first, at most [`LISTED`] of each.
    #[serde(default)]
    pub without: Vec<Without>,
}

/// Somebody who does not know the key that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Without {
    /// The host's name, or the device's.
    pub name: String,
    /// Set for a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Set for a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<KeyId>,
    /// The operator of a device.
    #[serde(default)]
    pub operator: String,
    /// The device is a program's key.
    #[serde(default)]
    pub program: bool,
    /// Whether it is linked now.
    #[serde(default)]
    pub online: bool,
}

impl Call for Begin {
    const METHOD: &'static str = "hubkey.begin";
    const ACCESS: Access = Access::Admin;
    type Reply = Rotation;
}

impl Call for Status {
    const METHOD: &'static str = "hubkey.status";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Rotation;
}

impl Call for Switch {
    const METHOD: &'static str = "hubkey.switch";
    const ACCESS: Access = Access::Admin;
    type Reply = Rotation;
}

impl Call for Finish {
    const METHOD: &'static str = "hubkey.finish";
    const ACCESS: Access = Access::Admin;
    type Reply = Rotation;
}

impl Call for Abort {
    const METHOD: &'static str = "hubkey.abort";
    const ACCESS: Access = Access::Admin;
    type Reply = Rotation;
}
