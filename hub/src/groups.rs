//! Departments and projects, held in memory and changed only together with the store.

use crate::records::{group_key, prefix};
use crate::rights::Compiled;
use crate::store::{Batch, Store, StoreError};
use crate::who::{Member, fence};
use cmdr_protocol::call::CallError;
use cmdr_protocol::groups::{Group, Kind, MAX_GROUPS, MAX_MEMBERS};
use cmdr_protocol::role::Role;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// All groups.
#[derive(Debug)]
pub struct Groups {
    store: Store,
    held: RwLock<BTreeMap<Role, Held>>,
    version: AtomicU64,
}

#[derive(Debug)]
struct Held {
    group: Group,
    fence: Arc<Compiled>,
}

fn hold(group: Group) -> Result<Held, String> {
    if group.hosts.trim().is_empty() {
        return Err("a group names its hosts by a selector; '*' is all of them".to_owned());
    }
    if group.kind == Kind::Unknown {
        return Err("a group is a department or a project".to_owned());
    }
    if group.kind == Kind::Department && group.department != Role::NONE {
        return Err("a department belongs to no other".to_owned());
    }
    if group.members.len() > MAX_MEMBERS || group.description.len() > 1024 {
        return Err(format!(
            "a group has at most {MAX_MEMBERS} members and a description of at most 1024 bytes"
        ));
    }
    for (n, member) in group.members.iter().enumerate() {
        cmdr_protocol::operators::check_name(&member.operator)?;
        if member.role == Role::NONE {
            return Err(format!("the member {} has no role", member.operator));
        }
        if group.members[..n].iter().any(|other| other.operator == member.operator) {
            return Err(format!("{} is in it twice", member.operator));
        }
    }
    let fence = Arc::new(fence(&group.hosts)?);
    Ok(Held { group, fence })
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(cmdr_protocol::ErrorKind::Busy, error.to_string())
}

impl Groups {
    /// Reads all groups from the store; a damaged one is logged and left out, so it gives no rights.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut groups = BTreeMap::new();
        for record in store.scan::<Group>(prefix::GROUP)? {
            match record.map_err(|e| e.to_string()).and_then(|(_, group)| hold(group)) {
                Ok(held) => {
                    groups.insert(held.group.name, held);
                }
                Err(e) => tracing::error!("a group is left out, it gives no rights: {e}"),
            }
        }
        Ok(Self { store, held: RwLock::new(groups), version: AtomicU64::new(0) })
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Role, Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the changes.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// All groups, by name.
    pub fn all(&self) -> Vec<Group> {
        self.read().values().map(|held| held.group.clone()).collect()
    }

    /// Where an operator has which role.
    pub fn of(&self, operator: &str) -> Vec<Member> {
        let groups = self.read();
        let member = |held: &Held| {
            let one = held.group.members.iter().find(|member| member.operator == operator)?;
            let mut fences = vec![held.fence.clone()];
            if held.group.department != Role::NONE {
                // Without its department, a project gives no rights.
                fences.push(groups.get(&held.group.department)?.fence.clone());
            }
            Some(Member { group: held.group.name, role: one.role, fences })
        };
        groups.values().filter_map(member).collect()
    }

    /// Makes a group or replaces it; those whose rights it may change.
    pub async fn put(&self, group: Group) -> Result<Vec<String>, CallError> {
        let name = group.name;
        if name == Role::NONE {
            return Err(CallError::malformed(
                "a group needs a name: 1 to 31 of a-z, 0-9 and '-', beginning with a letter",
            ));
        }
        let held = hold(group).map_err(CallError::malformed)?;
        let mut concerned = self.concerned(name);
        {
            let groups = self.read();
            let department = held.group.department;
            if department != Role::NONE
                && groups.get(&department).is_none_or(|d| d.group.kind != Kind::Department)
            {
                return Err(CallError::not_found(format!("there is no department {department}")));
            }
            if groups.len() >= MAX_GROUPS && !groups.contains_key(&name) {
                return Err(busy(format!(
                    "there are {MAX_GROUPS} groups already; delete some first"
                )));
            }
        }
        self.store.apply(Batch::new().put(group_key(name), &held.group)).await.map_err(busy)?;
        let mut groups = self.held.write().unwrap_or_else(PoisonError::into_inner);
        self.version.fetch_add(1, Ordering::SeqCst);
        groups.insert(name, held);
        drop(groups);
        concerned.extend(self.concerned(name));
        concerned.sort();
        concerned.dedup();
        Ok(concerned)
    }

    /// Members of a group and of the projects that belong to it.
    fn concerned(&self, name: Role) -> Vec<String> {
        let groups = self.read();
        let within = groups.values().filter(|h| h.group.name == name || h.group.department == name);
        within.flat_map(|h| h.group.members.iter().map(|m| m.operator.clone())).collect()
    }

    /// Removes a group; those whose rights it may change, or nothing when there is none.
    pub async fn delete(&self, name: Role) -> Result<Option<Vec<String>>, CallError> {
        if !self.read().contains_key(&name) {
            return Ok(None);
        }
        let concerned = self.concerned(name);
        self.store.apply(Batch::new().delete(group_key(name))).await.map_err(busy)?;
        let mut groups = self.held.write().unwrap_or_else(PoisonError::into_inner);
        self.version.fetch_add(1, Ordering::SeqCst);
        groups.remove(&name);
        Ok(Some(concerned))
    }
}
