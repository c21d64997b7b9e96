//! What stands in the store: one kind of record a key prefix. Fields are only ever added.

pub mod prefix;

use crate::runs;
use cmdr_protocol::approvals::Approval;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::groups::Group;
use cmdr_protocol::hosts::Labels;
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::operators::{By, Source};
use cmdr_protocol::pushes::PostState;
use cmdr_protocol::recordings::{Recording, Rule};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::runbooks::{Signature, Version};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::{HostId, KeyId, PublicKey, RunId};
use serde::{Deserialize, Serialize};

/// A runbook, config group or compose project: all about it but the texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShelfRecord {
    /// Its name.
    pub name: String,
    /// Of the newest version.
    pub description: String,
    /// Steps or files of the newest version.
    pub parts: u32,
    /// Oldest first. The text of each is a record of its own, a plain string.
    pub versions: Vec<Version>,
}

/// A host of the fleet, or one whose key waits or was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The key that it has to prove.
    pub key: PublicKey,
    /// The key that shall follow it; either lets the host in.
    #[serde(default)]
    pub next: Option<PublicKey>,
    /// Its id, when that is not the hash of `key` any more.
    #[serde(default)]
    pub id: Option<HostId>,
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
    /// What the operator may do, when it makes one.
    #[serde(default)]
    pub role: Role,
    /// The operator whose device it lets in; empty for a new one.
    #[serde(default)]
    pub operator: String,
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

/// An operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountRecord {
    /// The name.
    pub name: String,
    /// For people.
    pub full_name: String,
    /// What they may do on whatever hosts the role covers.
    pub role: Role,
    /// Who vouches for them.
    pub source: Source,
    /// They may not come in.
    pub disabled: bool,
    /// The password, when there is one.
    pub password: Option<PasswordRecord>,
    /// The second factor, when there is one.
    pub totp: Option<TotpRecord>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Who made it.
    pub created_by: String,
}

/// A password. The password itself is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordRecord {
    /// Its argon2id hash, with salt and costs (PHC string).
    pub hash: String,
    /// When it was set, milliseconds since 1970.
    pub set_ms: u64,
    /// Somebody else set it: it has to be changed by whoever logs in with it.
    pub must_change: bool,
    /// Hashes of those before it, newest first.
    pub earlier: Vec<String>,
}

/// A second factor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TotpRecord {
    /// The secret, sealed by the vault.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
    /// The authenticator was shown to have it: from then on it is asked for.
    pub confirmed: bool,
    /// The time step of the last code that was taken; none before it is taken again.
    pub last_step: u64,
    /// Hashes of the recovery codes that are left.
    pub recovery: Vec<String>,
}

/// A device or a program's key that acts for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Its key.
    pub key: PublicKey,
    /// `user@host`.
    pub name: String,
    /// For whom it acts. Empty in records from before there were accounts.
    #[serde(default)]
    pub operator: String,
    /// What it may do, in records from before there were accounts.
    #[serde(default)]
    pub role: Role,
    /// How it came.
    #[serde(default)]
    pub by: By,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub joined_ms: u64,
    /// When its login ends, milliseconds since 1970.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Until when its login can be renewed, milliseconds since 1970.
    #[serde(default)]
    pub renewable_ms: Option<u64>,
    /// Present when it is a program's.
    #[serde(default)]
    pub program: Option<ProgramRecord>,
    /// Its rights were taken away. Kept, so that taking them away again can say so.
    #[serde(default)]
    pub revoked: bool,
    /// The OpenID Connect provider's refresh token, sealed; empty for none.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub refresh: Vec<u8>,
    /// The public half of the key that it signs runbooks with, sealed; empty while it has signed none.
    #[serde(default, with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub signing: Vec<u8>,
}

/// What is special about a program's key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramRecord {
    /// What it may be used for, within what its operator may do.
    pub scope: Vec<Grant>,
    /// From where; empty for anywhere.
    pub networks: Vec<String>,
    /// When it was last used, milliseconds since 1970.
    pub used_ms: Option<u64>,
    /// From where it was last used.
    pub used_from: String,
    /// Present when it is used over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpRecord>,
}

/// What is kept of the secret with which a key is used over HTTP. The secret itself is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpRecord {
    /// Its hash.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// What signs callbacks to the program, sealed by the vault.
    #[serde(with = "serde_bytes")]
    pub signing: Vec<u8>,
}

/// Something that is posted when a run is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PostRecord {
    /// About which run.
    pub run: Option<RunId>,
    /// By which rule; empty for the callback of whoever began the run.
    pub rule: String,
    /// The operator who began the run.
    pub by: String,
    /// How it stands.
    pub state: PostState,
    /// Since when, milliseconds since 1970.
    pub made_ms: u64,
    /// When it is tried next, milliseconds since 1970.
    pub next_ms: u64,
    /// How often it was tried.
    pub tries: u32,
    /// What was wrong the last time.
    pub last: String,
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
        Definition { name, description, grants, built_in: false, operators: 0 }
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
    /// Of the requests up to this record, each that a crash has left without an end has got one.
    pub told: u64,
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

/// A secret that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Its name.
    pub name: String,
    /// Its value, sealed.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
    /// When it was put, milliseconds since 1970.
    #[serde(default)]
    pub set_ms: u64,
    /// Who put it.
    #[serde(default)]
    pub set_by: String,
}

/// The last use of a secret that has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretUse {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The part of the hub that used it.
    pub part: String,
}

/// What a host's agent did on its own and is in the audit log, as far as the agent still tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActsRecord {
    /// By the name that the agent gave.
    pub noted: Vec<String>,
    /// About to be put down, behind this record of the log.
    pub begun: Option<(String, u64)>,
}

/// The store's key of the [`AuditHead`].
pub const AUDIT_HEAD: &str = "audit/head";

/// A notice on its way to a notifier, or what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeRecord {
    /// The notifier.
    pub notifier: String,
    /// The policy by which it is told.
    pub policy: String,
    /// What it says; empty once it is over.
    pub content: cmdr_notify::Content,
    /// The same in a line.
    pub title: String,
    /// How it stands.
    pub fate: cmdr_protocol::notifiers::Fate,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried first, milliseconds since 1970; 0 before.
    pub since_ms: u64,
    /// When it is tried next, or when it was over.
    pub at_ms: u64,
    /// What went wrong last.
    pub last: String,
}

/// The store's key of a recording.
pub fn recording_key(id: u64) -> String {
    format!("{}{id:016x}", prefix::RECORDING)
}

/// The recording that a key of the store is of.
pub fn recording_id(key: &str) -> Option<u64> {
    u64::from_str_radix(key.strip_prefix(prefix::RECORDING)?, 16).ok()
}

/// The store's key of a rule of what is recorded.
pub fn rule_key(name: &str) -> String {
    format!("{}{name}", prefix::RECORDING_RULE)
}

/// The store's key of what a host or a device has pinned.
pub fn hub_pin_key(who: &str) -> String {
    format!("{}{who}", prefix::HUB_PIN)
}

/// The store's key of what a host's agent did on its own.
pub fn acts_key(id: HostId) -> String {
    format!("{}{id}", prefix::ACTS)
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
pub fn device_key(id: KeyId) -> String {
    format!("{}{id}", prefix::DEVICE)
}

/// The store's key of an operator.
pub fn account_key(name: &str) -> String {
    format!("{}{name}", prefix::ACCOUNT)
}

/// The store's key of a group.
pub fn group_key(name: Role) -> String {
    format!("{}{name}", prefix::GROUP)
}

/// The store's key of a request for rights; they sort by number.
pub fn approval_key(id: u64) -> String {
    format!("{}{id:020}", prefix::APPROVAL)
}

/// The store's key of something that is posted when a run is over: by a rule, or as callback.
pub fn post_key(run: RunId, ended_ms: u64, rule: &str) -> String {
    format!(
        "{}{run}.{ended_ms:x}.{}",
        prefix::POST,
        if rule.is_empty() { "callback" } else { rule }
    )
}

/// The store's key of a rule of who is told when a run is over.
pub fn push_rule_key(name: &str) -> String {
    format!("{}{name}", prefix::PUSH_RULE)
}

/// How a probe stood, as far back as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbePast {
    /// The oldest first.
    pub changes: Vec<ProbeChange>,
}

/// From when on it stood so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeChange {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// How.
    pub state: cmdr_protocol::probes::State,
    /// Why, in a few words.
    pub why: String,
}

/// Whether a record is what its key says; else, why not.
pub fn check(key: &str, value: &[u8]) -> Result<(), String> {
    fn reads<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<(), String> {
        cmdr_link::codec::decode::<T>(value).map(drop).map_err(|e| format!("cannot be read: {e}"))
    }
    type Reads = fn(&[u8]) -> Result<(), String>;
    const KINDS: &[(&str, Reads)] = &[
        (prefix::HOST, reads::<HostRecord>),
        (prefix::TOKEN, reads::<TokenRecord>),
        (prefix::DEVICE, reads::<DeviceRecord>),
        (prefix::ACCOUNT, reads::<AccountRecord>),
        (prefix::ROLE, reads::<RoleRecord>),
        (prefix::RECORDING, reads::<RecordingRecord>),
        (prefix::RECORDING_RULE, reads::<Rule>),
        (prefix::HUB_PIN, reads::<PublicKey>),
        (prefix::GROUP, reads::<Group>),
        (prefix::APPROVAL, reads::<Approval>),
        (prefix::POST, reads::<PostRecord>),
        (prefix::PUSH_RULE, reads::<cmdr_protocol::pushes::Rule>),
        (prefix::AUDIT, reads::<AuditHead>),
        (prefix::ACTS, reads::<ActsRecord>),
        (prefix::DATA_KEY, reads::<DataKeyRecord>),
        (prefix::RUNBOOK, reads::<ShelfRecord>),
        (prefix::RUNBOOK_TEXT, reads::<String>),
        (prefix::RUNBOOK_SIGNATURE, reads::<Signature>),
        (prefix::CONFIG, reads::<ShelfRecord>),
        (prefix::CONFIG_TEXT, reads::<String>),
        (prefix::GATEWAY, reads::<ShelfRecord>),
        (prefix::GATEWAY_TEXT, reads::<String>),
        (prefix::GATEWAY_AT, reads::<HostId>),
        (prefix::PROBE, reads::<ShelfRecord>),
        (prefix::PROBE_TEXT, reads::<String>),
        (prefix::PROBE_PAST, reads::<ProbePast>),
        (prefix::PROBES_ALIVE, reads::<u64>),
        (prefix::FORWARD, reads::<crate::forwards::ForwardRecord>),
        (prefix::RULE, reads::<ShelfRecord>),
        (prefix::RULE_TEXT, reads::<String>),
        (prefix::RULES_SHIPPED, reads::<std::collections::BTreeSet<String>>),
        (prefix::POLICY, reads::<ShelfRecord>),
        (prefix::POLICY_TEXT, reads::<String>),
        (prefix::NOTIFIER, reads::<ShelfRecord>),
        (prefix::NOTIFIER_TEXT, reads::<String>),
        (prefix::NOTICE, reads::<NoticeRecord>),
        (prefix::ALERT, reads::<cmdr_rules::alerts::Alert>),
        (prefix::ALERT_GROUP, reads::<cmdr_rules::alerts::Group>),
        (prefix::ALERT_CORE, reads::<cmdr_rules::alerts::Core>),
        (prefix::ALERT_LOG, reads::<cmdr_protocol::alerts::Happening>),
        (prefix::ALERT_MOMENT, reads::<crate::alerts::Moment>),
        (prefix::COMPOSE, reads::<ShelfRecord>),
        (prefix::COMPOSE_TEXT, reads::<String>),
        (prefix::COMPOSE_VARIABLES, reads::<SealedRecord>),
        (prefix::SECRET, reads::<SecretRecord>),
        (prefix::SECRET_USE, reads::<SecretUse>),
        (prefix::REGISTRY, reads::<RegistryRecord>),
        (prefix::RUN, reads::<runs::RunRecord>),
        (prefix::RUN_ORDER, reads::<serde_bytes::ByteBuf>),
        (prefix::RUN_TARGETS, reads::<Vec<runs::TargetRecord>>),
        (prefix::RUN_ENV, reads::<runs::EnvRecord>),
        (prefix::RUN_LOG, reads::<runs::LogRecord>),
        (prefix::RUN_SCHEDULE, reads::<runs::ScheduleRecord>),
        (prefix::RUN_SCHEDULE_GONE, reads::<runs::ScheduleRecord>),
        (prefix::RUN_HANDED, reads::<runs::HandedRecord>),
        (prefix::RUN_KEY, reads::<runs::KeyRecord>),
    ];
    match KINDS.iter().find(|(prefix, _)| key.starts_with(prefix)) {
        Some((_, reads)) => reads(value),
        None => Err("has a key of no known kind".to_owned()),
    }
}

/// A registry of images, and who the hub is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryRecord {
    /// Its host, with a port or without.
    pub registry: String,
    /// Who the hub is there; empty for nobody.
    pub username: String,
    /// The password, sealed by the vault; empty for none.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
    /// It is asked without encryption.
    pub plain: bool,
    /// When it was put, milliseconds since 1970.
    pub set_ms: u64,
    /// Who put it.
    pub set_by: String,
}

/// A value that is sealed by the vault, with the name of what it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SealedRecord {
    /// Of what it is.
    pub name: String,
    /// The value.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
}

/// The store's key of a role.
pub fn role_key(name: Role) -> String {
    format!("{}{name}", prefix::ROLE)
}

/// The store's key of a data key; in the order of their numbers.
pub fn data_key(number: u32) -> String {
    format!("{}{number:010}", prefix::DATA_KEY)
}

/// The store's key of a secret that has a name.
pub fn secret_key(name: &str) -> String {
    format!("{}{name}", prefix::SECRET)
}

/// The store's key of its last use.
pub fn secret_use_key(name: &str) -> String {
    format!("{}{name}", prefix::SECRET_USE)
}
