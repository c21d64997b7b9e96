//! Departments and projects: who has which role on which hosts, beside the role that an operator has
//! everywhere. Answered by the hub.

use crate::call::{Access, Call, Nothing};
use crate::open_enum::open_enum;
use crate::role::Role;
use serde::{Deserialize, Serialize};

/// Groups at once.
pub const MAX_GROUPS: usize = 1000;
/// Members of one group.
pub const MAX_MEMBERS: usize = 1000;

open_enum! {
    /// What a group is.
    pub enum Kind {
        /// A department.
        Department = "department",
        /// A project, which may belong to a department.
        Project = "project",
    }
}

/// Operators, hosts, and the role that each has there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// Its name: as a role's.
    pub name: Role,
    /// What it is.
    pub kind: Kind,
    /// The department that a project belongs to: its hosts are among that one's. May be empty.
    pub department: Role,
    /// For people.
    pub description: String,
    /// Its hosts, as a selector; not empty.
    pub hosts: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// One operator in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// Who.
    pub operator: String,
    /// What they may do on the group's hosts.
    pub role: Role,
}

/// The groups that the caller is in; all of them, for those who may list operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "groups.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub groups: Vec<Group>,
}

/// Makes a group or replaces it; holds at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// The group.
    pub group: Group,
    /// What it was when it was looked at; it is refused when somebody else has changed it since. Absent
    /// to replace whatever there is.
    pub was: Option<Group>,
}

impl Call for Put {
    const METHOD: &'static str = "groups.put";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("group:{}", self.group.name)
    }
}

/// Removes a group; its members keep what they have elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub name: Role,
}

impl Call for Delete {
    const METHOD: &'static str = "groups.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("group:{}", self.name)
    }
}
