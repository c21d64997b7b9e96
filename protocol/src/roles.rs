//! Roles: lists of grants, and who may do what by them. Answered by the hub.
//!
//! Everything is denied that no grant allows. A grant allows some verbs, on some resources, on some
//! hosts, at some hours; what it leaves out it does not limit, except the verbs.

use crate::call::{Access, Call, Nothing};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// Grants of one role.
pub const MAX_GRANTS: usize = 1000;
/// Verbs, or resources, of one grant.
pub const MAX_PATTERNS: usize = 64;
/// The longest verb, resource or pattern of one, in bytes.
pub const MAX_PATTERN: usize = 256;

/// Allows something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// Methods (`exec.start`, `processes.*`), or classes of them: `@read` changes nothing, `@act`
    /// changes something on a host, `@admin` changes who and what belongs to the fleet.
    pub verbs: Vec<String>,
    /// What they may be used on, with `*` and `?` (`command:/usr/bin/systemctl`, `script:*`); empty for
    /// everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The hosts, as a selector; empty for all, and for what is not about hosts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// When; absent for always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// On how many hosts within a time; absent for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// It allows nothing before it was asked for; absent for what holds as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_request: Option<OnRequest>,
}

/// How many hosts a grant may be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Different hosts, at least 1.
    pub hosts: u32,
    /// Within so many minutes, 1 to 1440.
    pub minutes: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self { hosts: 1, minutes: 60 }
    }
}

/// How a grant comes to hold that has to be asked for ([`crate::approvals`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnRequest {
    /// Other people who have to approve, 0 to 5; with 0 a reason is enough.
    pub approvals: u32,
    /// For how long at most, 1 to 1440.
    pub longest_minutes: u32,
}

impl Default for OnRequest {
    fn default() -> Self {
        Self { approvals: 1, longest_minutes: 60 }
    }
}

/// A part of the week, in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// `mon` to `sun`; empty for every day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`; at or before `from` it is on the next day.
    pub to: String,
}

/// One role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Definition {
    /// Its name.
    pub name: Role,
    /// For people.
    pub description: String,
    /// What it allows.
    pub grants: Vec<Grant>,
    /// Every hub has it, and it cannot be changed.
    pub built_in: bool,
    /// Operators who have it, here or in a group.
    pub operators: u32,
}

/// The caller's own roles, had by account or in groups; all of them for those who may list operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "roles.list";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Built-in ones first, then by name.
    pub roles: Vec<Definition>,
}

/// Makes a role or replaces its grants; holds from the next request of everyone who has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// Its name; not one of the built-in ones.
    pub name: Role,
    /// For people.
    pub description: String,
    /// What it allows.
    pub grants: Vec<Grant>,
}

impl Call for Put {
    const METHOD: &'static str = "roles.put";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("role:{}", self.name)
    }
}

/// Removes a role. Operators who have it may do nothing by it from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: Role,
}

impl Call for Delete {
    const METHOD: &'static str = "roles.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("role:{}", self.name)
    }
}

/// Gives an operator another role, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Assign {
    /// The operator.
    pub operator: String,
    /// The role, which must exist; none for an operator who has rights by groups alone.
    pub role: Role,
}

impl Call for Assign {
    const METHOD: &'static str = "roles.assign";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("operator:{}", self.operator)
    }
}

/// A request that might be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// The method.
    pub verb: String,
    /// On what; empty for the host itself.
    pub resource: String,
    /// On which host; absent for what is not about one.
    pub host: Option<HostId>,
}

/// Whether the caller may do something, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CanI {
    /// What.
    pub question: Question,
    /// As if the caller had this role; only for those who may list operators.
    pub role: Option<Role>,
    /// As if the caller were this operator; only for those who may list operators.
    pub operator: Option<String>,
}

impl Call for CanI {
    const METHOD: &'static str = "roles.can-i";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Answer;
}

/// A decision and its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The role it was decided by.
    pub role: Role,
    /// For people.
    pub reason: String,
    /// The grant that allows it, counted from 1.
    pub grant: Option<u32>,
    /// It is allowed once it was asked for ([`crate::approvals`]).
    pub on_request: bool,
}

/// Everyone who may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhoCan {
    /// What.
    pub question: Question,
}

impl Call for WhoCan {
    const METHOD: &'static str = "roles.who-can";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Able;
}

/// The answer to a [`WhoCan`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Able {
    /// The roles that allow it, with the grant that does.
    pub roles: Vec<Answer>,
    /// The operators who may, and why.
    pub operators: Vec<(String, Answer)>,
}

/// What each role allows, as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matrix {
    /// On this host; absent for the fleet as a whole.
    pub host: Option<HostId>,
    /// The answer may come as [`Table::packed`].
    pub packed: bool,
}

impl Call for Matrix {
    const METHOD: &'static str = "roles.matrix";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Table;
}

open_enum! {
    /// Whether a role allows a method.
    pub enum Allowed {
        /// On everything.
        Yes = "yes",
        /// On some resources, on some hosts, at some hours or up to a limit.
        Some = "some",
        /// After it was asked for.
        OnRequest = "on-request",
        /// Not at all.
        No = "no",
    }
}

/// The answer to a [`Matrix`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// The columns: the caller's own role alone, unless they may list operators.
    pub roles: Vec<Role>,
    /// The rows, in the order of the table of methods.
    pub rows: Vec<Row>,
    /// Instead of all that: the same table, packed by zstd. Its many rows are much alike.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "serde_bytes")]
    pub packed: Vec<u8>,
}

/// One method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Its name.
    pub verb: String,
    /// `read`, `act` or `admin`.
    pub class: String,
    /// For each role of [`Table::roles`].
    pub cells: Vec<Cell>,
}

/// One role's answer about one method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cell {
    /// Whether.
    pub allowed: Allowed,
    /// The grants that have to do with it, counted from 1.
    pub grants: Vec<u32>,
    /// For people: why, in one sentence.
    pub reason: String,
}

/// What the caller may do on some hosts, so that nothing else is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mine {
    /// Which, at most 1000.
    pub hosts: Vec<HostId>,
}

impl Call for Mine {
    const METHOD: &'static str = "roles.mine";
    const ACCESS: Access = Access::Own;
    const CHANGES: bool = false;
    type Reply = Verbs;
}

/// The answer to a [`Mine`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verbs {
    /// For each host asked about, the methods that the caller may use there on at least one resource,
    /// now or after asking for it.
    pub hosts: Vec<(HostId, Vec<String>)>,
}
