//! Who a caller is, as far as rights go: the operator, the role, the groups, what was approved, and for a
//! program's key its scope.
//!
//! Put together once for each key and each change of what it is made of. Made by [`crate::server::Hub`]
//! for [`crate::router`] and the services, read by [`crate::rights`].

use crate::rights::{Compiled, Missing, Request};
use cmdr_protocol::KeyId;
use cmdr_protocol::methods::{About, METHODS};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::Grant;
use std::sync::Arc;

/// A caller.
#[derive(Debug, Default)]
pub struct Who {
    /// The operator's name; empty for nobody.
    pub operator: String,
    /// When the operator was made, milliseconds since 1970: tells those apart who had the same name one after the
    /// other.
    pub since_ms: u64,
    /// The role on whatever hosts it covers.
    pub role: Role,
    /// Roles on the hosts of groups.
    pub groups: Vec<Member>,
    /// What was asked for and approved.
    pub approved: Vec<Approved>,
    /// The key that is used; absent where a right is only asked about.
    pub key: Option<KeyId>,
    /// The scope of a program's key; absent for a person's device.
    pub program: Option<Compiled>,
    /// When the login ends, milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Has to set up a second factor before anything else.
    pub owes_factor: bool,
}

/// A role on the hosts of a group.
#[derive(Debug)]
pub struct Member {
    /// The group.
    pub group: Role,
    /// The role there.
    pub role: Role,
    /// The group's hosts, and those of its department.
    pub fences: Vec<Arc<Compiled>>,
}

/// A request that was approved.
#[derive(Debug)]
pub struct Approved {
    /// Its number.
    pub id: u64,
    /// What it allows.
    pub wanted: Compiled,
    /// Until when, milliseconds since 1970.
    pub until_ms: u64,
}

/// The hosts of a group, made ready for decisions.
pub fn fence(hosts: &str) -> Result<Compiled, String> {
    let verbs = vec!["*".to_owned()];
    Compiled::new(&[Grant { verbs, hosts: hosts.to_owned(), ..Grant::default() }])
}

impl Who {
    /// The one who holds the hub's own key.
    pub fn local() -> Self {
        let operator = "local administrator".to_owned();
        Self { operator, role: Role::ADMINISTRATOR, ..Self::default() }
    }

    /// Somebody who has only a role.
    pub fn of(role: Role) -> Self {
        Self { operator: "anybody".to_owned(), role, ..Self::default() }
    }

    /// Whether the caller acts for an operator now.
    pub fn is_known(&self, now_ms: u64) -> bool {
        !self.operator.is_empty() && self.expires_ms.is_none_or(|end| now_ms < end)
    }

    /// The roles, the own one first.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        std::iter::once(self.role).chain(self.groups.iter().map(|member| member.role))
    }

    /// The roles in words.
    pub fn standing(&self) -> String {
        let groups = self.groups.iter().map(|m| format!("{} in {}", m.role, m.group));
        let own =
            (self.role != Role::NONE || self.groups.is_empty()).then(|| self.role.to_string());
        let all: Vec<_> = own.into_iter().chain(groups).collect();
        let noun = if all.len() == 1 { "role" } else { "roles" };
        format!("the {noun} {}", all.join(", "))
    }
}

impl Member {
    /// Whether the group is about what the request is about.
    pub fn covers(&self, request: &Request<'_>) -> Result<bool, Missing> {
        let method = METHODS.get(request.method).ok_or(Missing::Verb)?;
        Ok(match (&request.host, method.about) {
            (Some(host), _) => self.fences.iter().all(|fence| fence.touches(host)),
            // A group is never the whole fleet.
            (None, About::Fleet | About::Host) => false,
            (None, About::Visible | About::Nothing | About::Parts) => true,
        })
    }
}
