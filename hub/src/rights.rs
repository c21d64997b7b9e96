//! Who may do what: roles, and decisions by them.
//!
//! Roles are held in memory, checked and made ready, and changed only together with the store. Asked
//! by [`crate::router`] for every request, and by the services that leave out what a caller may not
//! see. Denied is whatever no grant allows.

mod builtin;
mod compiled;
mod hours;

pub use compiled::{Asked, Missing};

use crate::records::{RoleRecord, prefix, role_key};
use crate::store::{Batch, Store, StoreError};
use cmdr_link::clock;
use cmdr_protocol::call::CallError;
use cmdr_protocol::methods::{About, METHODS, Method};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::Definition;
use compiled::Compiled;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Roles at once.
const MAX_ROLES: usize = 1000;

/// All roles.
#[derive(Debug)]
pub struct Rights {
    store: Store,
    roles: RwLock<BTreeMap<Role, Arc<Held>>>,
}

#[derive(Debug)]
struct Held {
    definition: Definition,
    compiled: Compiled,
}

/// A request to decide about.
pub struct Request<'a> {
    /// As what it is asked.
    pub role: Role,
    /// The method's place in [`METHODS`].
    pub method: usize,
    /// On what.
    pub resource: &'a str,
    /// The host that it is about, if it is about one.
    pub host: Option<Asked<'a>>,
}

fn hold(definition: Definition) -> Result<Held, String> {
    let compiled = Compiled::new(&definition.grants)?;
    Ok(Held { definition, compiled })
}

impl Rights {
    /// Reads all roles from the store; a damaged one is logged and left out, so it allows nothing.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut roles = BTreeMap::new();
        for definition in builtin::all() {
            let name = definition.name;
            match hold(definition) {
                Ok(held) => {
                    roles.insert(name, Arc::new(held));
                }
                Err(e) => tracing::error!("the built-in role {name} is wrong: {e}"),
            }
        }
        for record in store.scan::<RoleRecord>(prefix::ROLE)? {
            let record = match record {
                Ok((_, record)) if !record.name.is_built_in() => record,
                Ok((key, _)) => {
                    tracing::error!("left out: {key} would change a built-in role");
                    continue;
                }
                Err(e) => {
                    tracing::error!("left out: {e}");
                    continue;
                }
            };
            let name = record.name;
            match hold(record.definition()) {
                Ok(held) => {
                    roles.insert(name, Arc::new(held));
                }
                Err(e) => tracing::error!("the role {name} is left out, it allows nothing: {e}"),
            }
        }
        Ok(Self { store, roles: RwLock::new(roles) })
    }

    fn held(&self, role: Role) -> Option<Arc<Held>> {
        self.roles.read().unwrap_or_else(PoisonError::into_inner).get(&role).cloned()
    }

    /// Whether there is such a role.
    pub fn exists(&self, role: Role) -> bool {
        self.held(role).is_some()
    }

    /// All roles, the built-in ones first.
    pub fn roles(&self) -> Vec<Definition> {
        let roles = self.roles.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = roles.values().map(|held| held.definition.clone()).collect();
        let place = |name| Role::BUILT_IN.iter().position(|b| *b == name).unwrap_or(usize::MAX);
        all.sort_by_key(|d| place(d.name));
        all
    }

    /// Decides: the number of the grant that allows it, or what is missing.
    pub fn decide(&self, request: &Request<'_>) -> Result<usize, Missing> {
        let held = self.held(request.role).ok_or(Missing::Role)?;
        let about = match METHODS.get(request.method) {
            // What can be asked of the hub or of a host is about the host when one is asked.
            Some(_) if request.host.is_some() => About::Host,
            Some(method) => method.about,
            None => return Err(Missing::Verb),
        };
        held.compiled.decide(
            request.method,
            about,
            request.resource,
            request.host.as_ref(),
            clock::now_ms(),
        )
    }

    /// The methods that a role can use on something, by name. What is not among them need not be
    /// offered.
    pub fn verbs(&self, role: Role) -> Vec<String> {
        let Some(held) = self.held(role) else { return Vec::new() };
        let has =
            |(at, method): (usize, &Method)| held.compiled.has(at).then(|| method.name.to_owned());
        METHODS.iter().enumerate().filter_map(has).collect()
    }

    /// Makes a role or replaces it.
    pub async fn put(&self, mut definition: Definition) -> Result<(), CallError> {
        let name = definition.name;
        if name == Role::NONE {
            return Err(CallError::malformed(
                "a role needs a name: 1 to 31 of a-z, 0-9 and '-', beginning with a letter",
            ));
        }
        if name.is_built_in() {
            return Err(CallError::malformed(format!(
                "{name} is a built-in role and cannot be changed; make one of another name"
            )));
        }
        if definition.description.len() > 1024 {
            return Err(CallError::malformed("a description has at most 1024 bytes"));
        }
        (definition.built_in, definition.devices) = (false, 0);
        let record = RoleRecord::of(&definition);
        let held = hold(definition).map_err(CallError::malformed)?;
        let count = self.roles.read().unwrap_or_else(PoisonError::into_inner).len();
        if count >= MAX_ROLES && !self.exists(name) {
            return Err(busy(format!("there are {MAX_ROLES} roles already; delete some first")));
        }
        self.store.apply(Batch::new().put(role_key(name), &record)).await.map_err(busy)?;
        self.roles.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(held));
        Ok(())
    }

    /// Removes a role; who has it may do nothing any more. False when there is none.
    pub async fn delete(&self, name: Role) -> Result<bool, CallError> {
        if name.is_built_in() {
            return Err(CallError::malformed(format!("{name} is a built-in role, which stays")));
        }
        if !self.exists(name) {
            return Ok(false);
        }
        self.store.apply(Batch::new().delete(role_key(name))).await.map_err(busy)?;
        self.roles.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        Ok(true)
    }
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(cmdr_protocol::ErrorKind::Busy, error.to_string())
}

impl Missing {
    /// For people: why a request was refused, and whom to ask.
    pub fn told(self, role: Role, verb: &str, resource: &str) -> String {
        let verb = cmdr_protocol::display::clean_to_width(verb, 80);
        let resource = cmdr_protocol::display::clean_to_width(resource, 80);
        match self {
            Self::Role => {
                format!("the role {role} does not exist (any more), so it allows nothing")
            }
            Self::Verb => format!("no grant of the role {role} has the verb {verb}"),
            Self::Host => format!("the role {role} allows {verb}, but not here"),
            Self::Resource => {
                format!("the role {role} allows {verb} here, but not on '{resource}'")
            }
            Self::Hours => format!("the role {role} allows {verb} here, but not at this hour"),
        }
    }
}
