//! What stands in the store: one kind of record a key prefix. Fields are only ever added.

use cmdr_protocol::facts::Facts;
use cmdr_protocol::hosts::Labels;
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::recordings::Recording;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::{HostId, KeyId, PublicKey};
use serde::{Deserialize, Serialize};

/// A host of the fleet, or one whose key waits or was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its key.
    pub key: PublicKey,
    /// Unique in the fleet.
    pub name: String,
    /// For selectors.
    #[serde(default)]
    pub labels: Labels,
    /// When it joined or first asked, milliseconds since 1970.
    #[serde(default)]
    pub joined_ms: u64,
    /// When its last link ended, milliseconds since 1970.
    #[serde(default)]
    pub last_seen_ms: Option<u64>,
    /// Why its last link ended.
    #[serde(default)]
    pub last_drop: String,
    /// Version of its agent when last seen.
    #[serde(default)]
    pub agent: String,
    /// What it told of itself.
    #[serde(default)]
    pub facts: Option<Facts>,
    /// Not taken in yet.
    #[serde(default)]
    pub pending: bool,
    /// An administrator said no.
    #[serde(default)]
    pub rejected: bool,
}

/// A join token. The secret itself is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Hash of the secret.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// What it lets in.
    pub kind: TokenKind,
    /// What the operator may do.
    #[serde(default)]
    pub role: Role,
    /// Uses it began with.
    pub uses: u32,
    /// Uses left.
    pub uses_left: u32,
    /// For hosts that join with it.
    #[serde(default)]
    pub labels: Labels,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub created_ms: u64,
    /// Milliseconds since 1970.
    pub expires_ms: u64,
    /// Who made it.
    #[serde(default)]
    pub created_by: String,
    /// Withdrawn.
    #[serde(default)]
    pub revoked: bool,
}

/// An operator's device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRecord {
    /// Its key.
    pub key: PublicKey,
    /// `user@host`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub joined_ms: u64,
    /// Its rights were taken away. Kept, so that taking them away again can say so.
    #[serde(default)]
    pub revoked: bool,
}

/// A role that an administrator made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRecord {
    /// Its name.
    pub name: Role,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it allows.
    #[serde(default)]
    pub grants: Vec<Grant>,
}

impl RoleRecord {
    /// What is kept of a role.
    pub fn of(definition: &Definition) -> Self {
        let Definition { name, description, grants, .. } = definition.clone();
        Self { name, description, grants }
    }

    /// The role as it is shown.
    pub fn definition(self) -> Definition {
        let Self { name, description, grants } = self;
        Definition { name, description, grants, built_in: false, devices: 0 }
    }
}

/// A recording: what lists show of it, and what opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordingRecord {
    /// What lists show.
    pub recording: Recording,
    /// Its key, wrapped by the vault.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
}

/// How far the audit log has come: what proves that nothing was cut off its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditHead {
    /// The segment.
    pub segment: u64,
    /// The newest record.
    pub seq: u64,
    /// The hash that the chain has reached with it.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// Proof that the hub wrote this.
    #[serde(with = "serde_bytes")]
    pub seal: Vec<u8>,
}

/// A data key of the vault, wrapped by the master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataKeyRecord {
    /// Which; the largest seals.
    pub number: u32,
    /// The key, sealed.
    #[serde(with = "serde_bytes")]
    pub wrapped: Vec<u8>,
    /// The mark of the master key that wrapped it.
    pub master: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub made_ms: u64,
}

/// The store's key of the [`AuditHead`].
pub const AUDIT_HEAD: &str = "audit/head";

/// Key prefixes.
pub mod prefix {
    /// Of [`super::RecordingRecord`]s.
    pub const RECORDING: &str = "recording/";
    /// Of rules of what is recorded.
    pub const RECORDING_RULE: &str = "recording-rule/";
    /// Of [`super::RoleRecord`]s.
    pub const ROLE: &str = "role/";
    /// Of [`super::HostRecord`]s.
    pub const HOST: &str = "host/";
    /// Of [`super::TokenRecord`]s.
    pub const TOKEN: &str = "token/";
    /// Of [`super::OperatorRecord`]s.
    pub const OPERATOR: &str = "operator/";
    /// Of the [`super::AuditHead`].
    pub const AUDIT: &str = "audit/";
    /// Of [`super::DataKeyRecord`]s.
    pub const DATA_KEY: &str = "vault/key/";
}

/// The store's key of a recording.
pub fn recording_key(id: u64) -> String {
    format!("{}{id:016x}", prefix::RECORDING)
}

/// The store's key of a rule of what is recorded.
pub fn rule_key(name: &str) -> String {
    format!("{}{name}", prefix::RECORDING_RULE)
}

/// The store's key of a host.
pub fn host_key(id: HostId) -> String {
    format!("{}{id}", prefix::HOST)
}

/// The store's key of a token.
pub fn token_key(id: TokenId) -> String {
    format!("{}{id}", prefix::TOKEN)
}

/// The store's key of an operator's device.
pub fn operator_key(id: KeyId) -> String {
    format!("{}{id}", prefix::OPERATOR)
}

/// The store's key of a role.
pub fn role_key(name: Role) -> String {
    format!("{}{name}", prefix::ROLE)
}

/// The store's key of a data key; in the order of their numbers.
pub fn data_key(number: u32) -> String {
    format!("{}{number:010}", prefix::DATA_KEY)
}
