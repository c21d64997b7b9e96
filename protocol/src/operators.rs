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
