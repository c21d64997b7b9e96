//! Operators' devices: which keys may act, and as what. Answered by the hub.

use crate::call::{Access, Call, Revoked};
use crate::ids::KeyId;
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// Who the hub takes the caller for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {}

impl Call for WhoAmI {
    const METHOD: &'static str = "operators.whoami";
    const ACCESS: Access = Access::Read;
    type Reply = Operator;
}

/// One device of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Its key.
    pub key: KeyId,
    /// Name given at login, `user@host`.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
    /// When it logged in first, milliseconds since 1970.
    #[serde(default)]
    pub joined_ms: u64,
    /// When it was last connected, milliseconds since 1970.
    #[serde(default)]
    pub last_seen_ms: Option<u64>,
    /// Links it has now.
    #[serde(default)]
    pub links: u32,
}

/// All devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "operators.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub operators: Vec<Operator>,
}

/// Takes a device's rights away and cuts its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// Which.
    pub key: KeyId,
}

impl Call for Revoke {
    const METHOD: &'static str = "operators.revoke";
    const ACCESS: Access = Access::Admin;
    type Reply = Revoked;
    fn resource(&self) -> String {
        format!("key:{}", self.key)
    }
}

/// Addresses from which wrong tokens came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {}

impl Call for Locks {
    const METHOD: &'static str = "operators.locks";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Locked;
}

/// The answer to [`Locks`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Locked {
    /// Those that wait longest first.
    pub addresses: Vec<Lock>,
}

/// One address with wrong tries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lock {
    /// The address; of an IPv6 one its first 64 bits.
    pub address: String,
    /// Wrong tries.
    pub tries: u32,
    /// The last of them, milliseconds since 1970.
    pub last_ms: u64,
    /// Seconds that it has to wait; 0 when it does not.
    pub wait_s: u64,
}

/// Lets an address try again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unlock {
    /// Which; absent for all.
    pub address: Option<String>,
}

impl Call for Unlock {
    const METHOD: &'static str = "operators.unlock";
    const ACCESS: Access = Access::Admin;
    type Reply = Unlocked;
    fn resource(&self) -> String {
        self.address.as_ref().map_or_else(String::new, |address| format!("address:{address}"))
    }
}

/// The answer to an [`Unlock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unlocked {
    /// Addresses that had wrong tries.
    pub count: u32,
}
