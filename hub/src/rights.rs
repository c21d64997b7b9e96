//! Who may do what: roles, and decisions by them.
//!
//! Roles are held in memory, checked and made ready, and changed only together with the store. Asked
//! by [`crate::router`] for every request, and by the services that leave out what a caller may not
//! see. Denied is whatever no grant allows.

mod builtin;
mod compiled;
mod hours;
mod usage;

pub(crate) use compiled::SIGNED;
pub use compiled::{Asked, Compiled, Missing, Wish};

use crate::records::{RoleRecord, prefix, role_key};
use crate::store::{Batch, Store, StoreError};
use crate::who::{Member, Who};
use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::call::{Access, CallError};
use cmdr_protocol::methods::{About, METHODS, Method};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant, Limit, OnRequest};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Roles at once.
const MAX_ROLES: usize = 1000;

/// All roles.
#[derive(Debug)]
pub struct Rights {
    store: Store,
    roles: RwLock<BTreeMap<Role, Arc<Held>>>,
    usage: usage::Usage,
    version: AtomicU64,
}

#[derive(Debug)]
struct Held {
    definition: Definition,
    compiled: Compiled,
}

/// A request to decide about.
pub struct Request<'a> {
    /// The method's place in [`METHODS`].
    pub method: usize,
    /// On what; absent for anything at all.
    pub resource: Option<&'a str>,
    /// The host that it is about, if it is about one.
    pub host: Option<Asked<'a>>,
}

/// Why something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// By what.
    pub by: By,
    /// The grant does not name it: it only shows that the host is there, on which the grant is for
    /// something else.
    pub implied: bool,
    /// How often the grant may be used.
    pub limit: Option<Limit>,
}

/// By what something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Everybody may.
    Everybody,
    /// The grant of this number, of this role.
    Role(Role, usize),
    /// The grant of this number, of this role, that a member has on the hosts of this group.
    Group(Role, Role, usize),
    /// A request that was approved.
    Approval(u64),
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
        Ok(Self {
            store,
            roles: RwLock::new(roles),
            usage: usage::Usage::default(),
            version: AtomicU64::new(0),
        })
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

    /// Decides for one role alone: by which grant it is allowed, or what is missing.
    fn by_role(
        &self,
        role: Role,
        request: &Request<'_>,
        requested: bool,
    ) -> Result<Found, Missing> {
        let held = self.held(role).ok_or(Missing::Role)?;
        let wish = Wish { resource: request.resource, now_ms: clock::now_ms(), requested };
        find(&held.compiled, request, &wish)
    }

    /// By the own role, or by that in a group whose hosts it is about.
    fn by_standing(
        &self,
        who: &Who,
        request: &Request<'_>,
        requested: bool,
    ) -> Result<Allowed, Missing> {
        let own = self.by_role(who.role, request, requested);
        let (mut nearest, mut limited) = match own {
            Ok(found) => {
                let allowed = found.allowed(By::Role(who.role, found.grant));
                if found.limit.is_none() {
                    return Ok(allowed);
                }
                (Missing::Verb, Some(allowed))
            }
            Err(missing) => (missing, None),
        };
        for member in &who.groups {
            if !member.covers(request)? {
                continue;
            }
            match self.by_role(member.role, request, requested) {
                Ok(found) => {
                    let by = By::Group(member.group, member.role, found.grant);
                    if found.limit.is_none() {
                        return Ok(found.allowed(by));
                    }
                    limited.get_or_insert(found.allowed(by));
                }
                Err(missing) => nearest = nearest.max(missing),
            }
        }
        limited.ok_or(nearest)
    }

    /// As if a person asked, whatever the scope of a program's key.
    pub(crate) fn by_people(&self, who: &Who, request: &Request<'_>) -> Result<Allowed, Missing> {
        if !who.is_known(clock::now_ms()) {
            return Err(Missing::Operator);
        }
        if who.owes_factor {
            return Err(Missing::Factor);
        }
        self.by_standing(who, request, false)
    }

    /// Decides: why it is allowed, or what is missing.
    pub fn decide(&self, who: &Who, request: &Request<'_>) -> Result<Allowed, Missing> {
        let method = METHODS.get(request.method).ok_or(Missing::Verb)?;
        let everybody = Allowed { by: By::Everybody, implied: false, limit: None };
        let now_ms = clock::now_ms();
        match (method.access, &who.program) {
            (Access::Open, _) => return Ok(everybody),
            _ if !who.is_known(now_ms) => return Err(Missing::Operator),
            _ if who.owes_factor && !is_before_factor(method) => return Err(Missing::Factor),
            (Access::Own, None) => return Ok(everybody),
            (Access::Own, Some(_)) if is_harmless(method) => return Ok(everybody),
            (Access::Own, Some(_)) => return Err(Missing::Program),
            (_, Some(_)) if is_for_people(method) => return Err(Missing::Program),
            (_, Some(scope)) => {
                let wish = Wish { resource: request.resource, now_ms, requested: true };
                find(scope, request, &wish).map_err(|_| Missing::Scope)?;
            }
            _ => {}
        }
        let barred = is_for_administrators(method) && who.role != Role::ADMINISTRATOR;
        match self.by_standing(who, request, false) {
            Ok(_) | Err(Missing::Request) if barred => return Err(Missing::Administrator),
            Err(Missing::Request) => {}
            decided => return decided,
        }
        for approval in who.approved.iter().filter(|approval| now_ms < approval.until_ms) {
            let wish = Wish { resource: request.resource, now_ms, requested: true };
            let host = request.host.as_ref();
            // Both have to hold still: what was approved, and the grant that it was asked for by.
            if approval.wanted.decide(request.method, about(request)?, host, &wish).is_ok()
                && let Ok(allowed) = self.by_standing(who, request, true)
            {
                return Ok(Allowed { by: By::Approval(approval.id), ..allowed });
            }
        }
        Err(Missing::Request)
    }

    /// Uses something that is allowed. False when its limit is reached.
    pub fn take(&self, who: &Who, allowed: &Allowed, host: Option<HostId>) -> bool {
        match (allowed.limit, host) {
            (Some(limit), Some(host)) => {
                self.usage.take(&who.operator, allowed.by, limit, host, clock::now_ms())
            }
            _ => true,
        }
    }

    /// Whether a program's key is for this; a person's devices are for everything.
    pub(crate) fn in_scope(who: &Who, request: &Request<'_>) -> bool {
        let now_ms = clock::now_ms();
        let wish = Wish { resource: request.resource, now_ms, requested: true };
        who.program.as_ref().is_none_or(|scope| find(scope, request, &wish).is_ok())
    }

    /// What it takes to ask for this, of each grant that somebody has it on request by. Without a host it
    /// is about whatever hosts those grants are for.
    pub fn on_request(&self, who: &Who, request: &Request<'_>) -> Vec<OnRequest> {
        let vain = METHODS.get(request.method).is_none_or(is_for_administrators);
        if vain && who.role != Role::ADMINISTRATOR {
            return Vec::new();
        }
        let of = |role: Role| {
            let (Some(held), Ok(about)) = (self.held(role), about(request)) else {
                return Vec::new();
            };
            let about = if request.host.is_some() { about } else { About::Nothing };
            held.compiled.on_request(request.method, about, request.host.as_ref(), request.resource)
        };
        let covers = |member: &&Member| {
            request.host.is_none() || member.covers(request).is_ok_and(|covers| covers)
        };
        let groups = who.groups.iter().filter(covers).flat_map(|member| of(member.role));
        of(who.role).into_iter().chain(groups).collect()
    }

    /// The methods that somebody can ask for, by name.
    pub fn may_ask(&self, who: &Who) -> Vec<String> {
        if who.program.is_some() {
            return Vec::new();
        }
        let asks = |&method: &usize| {
            let request = Request { method, resource: None, host: None };
            !self.on_request(who, &request).is_empty()
        };
        (0..METHODS.len()).filter(asks).map(|at| METHODS[at].name.to_owned()).collect()
    }

    /// The methods that somebody can use on something, by name. What is not among them need not be
    /// offered.
    pub fn verbs(&self, who: &Who) -> Vec<String> {
        let roles = who.roles().filter_map(|role| self.held(role)).collect::<Vec<_>>();
        let has = |(at, method): (usize, &Method)| {
            let may = match (method.access, &who.program) {
                (Access::Open, _) => true,
                _ if who.operator.is_empty() => false,
                _ if who.owes_factor && !is_before_factor(method) => false,
                (Access::Own, program) => program.is_none() || is_harmless(method),
                (_, Some(_)) if is_for_people(method) => false,
                _ if is_for_administrators(method) && who.role != Role::ADMINISTRATOR => false,
                (_, Some(scope)) if !scope.has(at) => false,
                _ => roles.iter().any(|held| held.compiled.has(at)),
            };
            may.then(|| method.name.to_owned())
        };
        METHODS.iter().enumerate().filter_map(has).collect()
    }

    /// The grant of a role that implies a method in this place without naming it.
    pub fn implied(&self, role: Role, request: &Request<'_>) -> Option<usize> {
        let wish = Wish { resource: None, now_ms: clock::now_ms(), requested: true };
        self.held(role)?.compiled.implied(request.method, request.host.as_ref(), &wish)
    }

    /// The grants of a role that have a method and are for this place.
    pub fn grants(&self, role: Role, request: &Request<'_>) -> Vec<(usize, Grant)> {
        let (Some(held), Ok(about)) = (self.held(role), about(request)) else { return Vec::new() };
        let numbers = held.compiled.about(request.method, about, request.host.as_ref());
        let grants = &held.definition.grants;
        numbers.into_iter().filter_map(|n| Some((n, grants.get(n)?.clone()))).collect()
    }

    /// Counts the changes of roles.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Whether what is allowed is so at any time and any number of times, as long as nobody changes roles.
    pub(crate) fn is_lasting(&self, who: &Who, allowed: &Allowed) -> bool {
        let grant = match allowed.by {
            By::Everybody => return true,
            By::Approval(_) => return false,
            By::Role(role, number) | By::Group(_, role, number) => {
                self.held(role).and_then(|held| {
                    let grant = held.definition.grants.get(number)?;
                    Some(grant.hours.is_none() && grant.limit.is_none())
                })
            }
        };
        grant.unwrap_or(false) && who.program.as_ref().is_none_or(|scope| !scope.has_windows())
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
        (definition.built_in, definition.operators) = (false, 0);
        let record = RoleRecord::of(&definition);
        let held = hold(definition).map_err(CallError::malformed)?;
        let count = self.roles.read().unwrap_or_else(PoisonError::into_inner).len();
        if count >= MAX_ROLES && !self.exists(name) {
            return Err(busy(format!("there are {MAX_ROLES} roles already; delete some first")));
        }
        self.store.apply(Batch::new().put(role_key(name), &record)).await.map_err(busy)?;
        self.roles.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(held));
        self.version.fetch_add(1, Ordering::SeqCst);
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
        self.version.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(cmdr_protocol::ErrorKind::Busy, error.to_string())
}

impl Missing {
    /// For people: why a request was refused, and what to do.
    pub fn told(self, who: &Who, verb: &str, resource: &str) -> String {
        let verb = cmdr_protocol::display::clean_to_width(verb, 80);
        let resource = cmdr_protocol::display::clean_to_width(resource, 80);
        let role = who.standing();
        match self {
            Self::Role if who.roles().all(|role| role == Role::NONE) => {
                "there is no role to allow anything; an administrator gives one".to_owned()
            }
            Self::Factor => {
                "this hub wants a second factor of everybody who logs in with a password; set yours up \
                 first: cmdr totp enable"
                    .to_owned()
            }
            Self::Operator => "this key acts for nobody any more; log in again (cmdr login), or give a program a new key (cmdr keys create)".to_owned(),
            Self::Administrator => ONLY_ADMINISTRATORS.to_owned(),
            Self::Program => format!("{verb} is for people, not for a program's key"),
            Self::Scope => format!("this program's key is not for {verb} here"),
            Self::Role => format!("{role} does not exist (any more), so it allows nothing"),
            Self::Verb => format!("no grant of {role} has the verb {verb}"),
            Self::Host => format!("{role} allows {verb}, but not here"),
            Self::Resource => format!("{role} allows {verb} here, but not on '{resource}'"),
            Self::Hours => format!("{role} allows {verb} here, but not at this hour"),
            Self::Request => format!(
                "{role} allows {verb} here once it was asked for: cmdr approvals ask {verb} --reason WHY"
            ),
        }
    }
}

/// The grant by which something is allowed.
#[derive(Clone, Copy, Debug)]
struct Found {
    grant: usize,
    limit: Option<Limit>,
    implied: bool,
}

impl Found {
    fn allowed(self, by: By) -> Allowed {
        Allowed { by, implied: self.implied, limit: self.limit }
    }
}

/// The grant that names a method, else one that implies it.
fn find(grants: &Compiled, request: &Request<'_>, wish: &Wish<'_>) -> Result<Found, Missing> {
    let host = request.host.as_ref();
    match grants.decide(request.method, about(request)?, host, wish) {
        Ok(grant) => Ok(Found { grant, limit: grants.limit(grant), implied: false }),
        Err(missing) => {
            let grant = grants.implied(request.method, host, wish).ok_or(missing)?;
            Ok(Found { grant, limit: None, implied: true })
        }
    }
}

/// Which hosts a request is about.
fn about(request: &Request<'_>) -> Result<About, Missing> {
    match METHODS.get(request.method) {
        // What can be asked of the hub or of a host is about the host when one is asked.
        Some(_) if request.host.is_some() => Ok(About::Host),
        Some(method) => Ok(method.about),
        None => Err(Missing::Verb),
    }
}

/// What changes who may do what: a program's key that could would be a way past its own bounds.
fn is_for_people(method: &Method) -> bool {
    let feature = method.name.split('.').next().unwrap_or_default();
    method.changes
        && (matches!(feature, "operators" | "roles" | "groups" | "approvals" | "totp" | "keys")
            // A signature says that a person stands for a text.
            || method.name == "runbooks.sign")
}

/// What somebody may do who still has to set up a second factor.
fn is_before_factor(method: &Method) -> bool {
    let feature = method.name.split('.').next().unwrap_or_default();
    matches!(feature, "login" | "totp") && method.access == Access::Own
        || matches!(method.name, "operators.whoami" | "operators.change-password" | "roles.mine")
}

/// Whoever can change these can do everything. A role with such a verb alone would be the same as
/// administrator under a harmless name.
pub(crate) fn is_for_administrators(method: &Method) -> bool {
    matches!(
        method.name,
        "operators.create"
            | "operators.update"
            | "operators.delete"
            | "operators.set-password"
            | "totp.reset"
            | "roles.put"
            | "roles.delete"
            | "roles.assign"
            | "groups.put"
            | "groups.delete"
    )
}

/// Why nobody else may.
pub(crate) const ONLY_ADMINISTRATORS: &str = "only the role administrator changes operators, roles and groups: it would be a way to every right";

/// What a program may know of itself.
fn is_harmless(method: &Method) -> bool {
    let own = ["operators.whoami", "roles.can-i", "roles.list", "roles.matrix", "roles.mine"];
    own.contains(&method.name)
}
