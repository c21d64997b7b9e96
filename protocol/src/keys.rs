//! Keys for programs: what lets a script act for an operator, for less than that operator may do
//! and not for ever. Answered by the hub.
//!
//! The program's side makes the key pair; the hub never sees the secret half.

use crate::call::{Access, Call, Revoked};
use crate::ids::{KeyId, PublicKey};
use crate::open_enum::open_enum;
use crate::roles::Grant;
use serde::{Deserialize, Serialize};

/// Keys of one operator.
pub const MAX_KEYS: usize = 100;
/// The longest life of a key, in seconds.
pub const LONGEST_TTL_S: u64 = 366 * 24 * 3600;

/// Lets a new key act for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its public half.
    pub key: PublicKey,
    /// For lists.
    #[serde(default)]
    pub name: String,
    /// What it may be used for, within what its operator may do; at least one grant.
    #[serde(default)]
    pub scope: Vec<Grant>,
    /// From where it may be used, as networks (`10.0.0.0/8`); empty for anywhere.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Seconds until it expires.
    #[serde(default)]
    pub ttl_s: u64,
    /// Present when it is for the HTTP interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
}

/// What the hub has to know of a secret with which a key is used over HTTP. The secret itself stays with
/// the program's side until it is used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// Its hash, 32 bytes.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// The key with which callbacks to the program are signed, 32 bytes.
    #[serde(with = "serde_bytes")]
    pub signing: Vec<u8>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Call for Create {
    const METHOD: &'static str = "keys.create";
    const ACCESS: Access = Access::Own;
    const SECRETS: &'static [&'static str] = &["http.hash", "http.signing"];
    type Reply = Key;
}

open_enum! {
    /// Whether a key still works.
    pub enum State {
        /// It does.
        Active = "active",
        /// Its time is over.
        Expired = "expired",
        /// It was taken away.
        Revoked = "revoked",
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Which.
    pub key: KeyId,
    /// For lists.
    #[serde(default)]
    pub name: String,
    /// For whom it acts.
    #[serde(default)]
    pub operator: String,
    /// Whether it still works.
    #[serde(default)]
    pub state: State,
    /// What it may be used for.
    #[serde(default)]
    pub scope: Vec<Grant>,
    /// From where.
    #[serde(default)]
    pub networks: Vec<String>,
    /// When it was made, milliseconds since 1970.
    #[serde(default)]
    pub made_ms: u64,
    /// When it expires, milliseconds since 1970.
    #[serde(default)]
    pub expires_ms: u64,
    /// When it was last used, milliseconds since 1970, to the minute; absent for never.
    #[serde(default)]
    pub used_ms: Option<u64>,
    /// From where it was last used.
    #[serde(default)]
    pub used_from: String,
    /// Whether it is for the HTTP interface.
    #[serde(default)]
    pub http: bool,
}

/// The caller's keys; everybody's, for those who may list operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "keys.list";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Newest first.
    pub keys: Vec<Key>,
}

/// Takes one of one's own keys away, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// Which.
    pub key: KeyId,
}

impl Call for Revoke {
    const METHOD: &'static str = "keys.revoke";
    const ACCESS: Access = Access::Own;
    type Reply = Revoked;
    fn resource(&self) -> String {
        format!("key:{}", self.key)
    }
}
