//! Roles: list, make, remove, give; and who may do what.

use super::{HubService, nobody};
use crate::rights::{By, Missing, ONLY_ADMINISTRATORS, is_for_administrators};
use crate::router::host_of;
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::packed;
use cmdr_link::service::Asked;
use cmdr_protocol::methods::{self, About, METHODS, Place};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{
    Able, Allowed, Answer, Assign, CanI, Cell, Definition, Delete, Grant, List, Listing, Matrix,
    Mine, Put, Question, Row, Table, Verbs, WhoCan,
};
use cmdr_protocol::{Access, Call as _, CallError, ErrorKind, HostId, Nothing, operators};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Hosts in one question about what one may do there.
const MAX_HOSTS: usize = 1000;

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(list).on(put).on(delete).on(assign);
    service.on(can_i).on(who_can).on(matrix).on(mine)
}

/// What operators are told whose rights have changed.
const CHANGED: &str = "your rights have changed; connect again";

async fn list(hub: Arc<Hub>, asked: Asked, _: List) -> Result<Listing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    let mut roles = hub.rights.roles();
    if !may_list_operators(&hub, &who) {
        // What others may do, and where, is not everybody's business.
        roles.retain(|role| who.roles().any(|own| own == role.name));
    }
    let groups = hub.groups.all();
    for role in &mut roles {
        let mut have: BTreeSet<_> = hub.keyring.with_role(role.name).into_iter().collect();
        let members = groups.iter().flat_map(|group| &group.members);
        have.extend(members.filter(|m| m.role == role.name).map(|m| m.operator.clone()));
        role.operators = have.len() as u32;
    }
    Ok(Listing { roles })
}

async fn put(hub: Arc<Hub>, asked: Asked, put: Put) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    only_administrators(caller.role)?;
    let Put { name, description, grants } = put;
    hub.rights.put(Definition { name, description, grants, ..Definition::default() }).await?;
    tracing::info!(role = %name, by = caller.name, "a role was changed");
    hub.cut_role(name, CHANGED);
    Ok(Nothing {})
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    only_administrators(caller.role)?;
    if !hub.rights.delete(delete.name).await? {
        return Err(CallError::not_found(format!("there is no role {}", delete.name)));
    }
    tracing::info!(role = %delete.name, by = caller.name, "a role was removed");
    hub.cut_role(delete.name, CHANGED);
    Ok(Nothing {})
}

async fn assign(hub: Arc<Hub>, asked: Asked, assign: Assign) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    only_administrators(caller.role)?;
    if assign.role != Role::NONE && !hub.rights.exists(assign.role) {
        return Err(no_role(assign.role));
    }
    let _changing = hub.keyring.changing().await;
    if assign.role != Role::ADMINISTRATOR && hub.keyring.is_last_administrator(&assign.operator) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this is the only administrator; give another operator that role first",
        ));
    }
    let assigned = hub.keyring.change(&assign.operator, |account| account.role = assign.role);
    if !assigned.await.map_err(super::busy)? {
        return Err(super::operators::no_operator(&assign.operator));
    }
    tracing::info!(operator = assign.operator, role = %assign.role, by = caller.name, "an operator was given a role");
    hub.cut_operator(&assign.operator, CHANGED);
    Ok(Nothing {})
}

/// As the router decides it, for whoever is asked on another way.
pub(super) fn only_administrators(role: Role) -> Result<(), CallError> {
    if role == Role::ADMINISTRATOR {
        return Ok(());
    }
    Err(CallError::denied(ONLY_ADMINISTRATORS))
}

pub(crate) fn no_role(role: Role) -> CallError {
    CallError::not_found(format!("there is no role {role}; cmdr roles lists them"))
}

/// Whether somebody may know of other operators.
pub(super) fn may_list_operators(hub: &Hub, who: &Who) -> bool {
    methods::index(operators::List::METHOD)
        .is_some_and(|list| hub.decide(who, list, Some(""), None).is_ok())
}

fn answer(hub: &Hub, who: &Who, question: &Question) -> Result<Answer, CallError> {
    let Some(index) = methods::index(&question.verb) else {
        let verb = cmdr_protocol::display::clean_to_width(&question.verb, 80);
        return Err(CallError::not_found(format!(
            "no method is called '{verb}'; cmdr roles verbs lists them"
        )));
    };
    let (verb, role) = (METHODS[index].name, who.role);
    let host = question.host.or_else(|| host_of(&question.resource));
    let decided = hub.decide(who, index, Some(&question.resource), host);
    Ok(match decided {
        Ok(allowed) => {
            let (role, number, reason) = match allowed.by {
                By::Everybody => (role, None, format!("everybody may use {verb}")),
                By::Role(role, n) if allowed.implied => {
                    (role, Some(n), format!("{verb} is implied by {}", grant_of(n, role, None)))
                }
                By::Group(group, role, n) if allowed.implied => {
                    let grant = grant_of(n, role, Some(group));
                    (role, Some(n), format!("{verb} is implied by {grant}"))
                }
                By::Role(role, n) => {
                    (role, Some(n), format!("{} allows {verb}", grant_of(n, role, None)))
                }
                By::Group(group, role, n) => {
                    (role, Some(n), format!("{} allows {verb}", grant_of(n, role, Some(group))))
                }
                By::Approval(id) => (role, None, format!("request {id} was approved")),
            };
            let limit = allowed.limit.map_or_else(String::new, |limit| {
                format!(", on at most {} hosts within {} minutes", limit.hosts, limit.minutes)
            });
            Answer {
                allowed: true,
                role,
                reason: reason + &limit,
                grant: number.map(|n| n as u32 + 1),
                on_request: false,
            }
        }
        Err(missing) => Answer {
            allowed: false,
            role,
            reason: missing.told(who, &question.verb, &question.resource),
            grant: None,
            on_request: missing == Missing::Request,
        },
    })
}

/// A grant in words.
fn grant_of(n: usize, role: Role, group: Option<Role>) -> String {
    let group = group.map_or_else(String::new, |group| format!(" in {group}"));
    format!("grant {} of the role {role}{group}", n + 1)
}

async fn can_i(hub: Arc<Hub>, asked: Asked, can_i: CanI) -> Result<Answer, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    let another = can_i.role.is_some_and(|role| role != caller.role)
        || can_i.operator.as_ref().is_some_and(|name| *name != caller.name);
    if another && !may_list_operators(&hub, &who) {
        // What others may do is not everybody's business.
        return Err(CallError::denied(
            "asking about another role or operator takes the right to list operators",
        ));
    }
    match (can_i.operator, can_i.role) {
        (Some(name), _) if hub.keyring.account(&name).is_none() => {
            Err(super::operators::no_operator(&name))
        }
        (Some(name), _) => answer(&hub, &hub.who_is(&name), &can_i.question),
        (None, Some(role)) if !hub.rights.exists(role) => Err(no_role(role)),
        (None, Some(role)) => answer(&hub, &Who::of(role), &can_i.question),
        (None, None) => answer(&hub, &who, &can_i.question),
    }
}

async fn who_can(hub: Arc<Hub>, _: Asked, who_can: WhoCan) -> Result<Able, CallError> {
    let mut roles = Vec::new();
    for role in hub.rights.roles() {
        let answer = answer(&hub, &Who::of(role.name), &who_can.question)?;
        if answer.allowed || answer.on_request {
            roles.push(answer);
        }
    }
    let mut operators = Vec::new();
    for account in hub.keyring.accounts() {
        let answer = answer(&hub, &hub.who_is(&account.name), &who_can.question)?;
        if answer.allowed || answer.on_request {
            operators.push((account.name, answer));
        }
    }
    Ok(Able { roles, operators })
}

/// What one role says of one method, for a table of all of them.
fn cell(hub: &Hub, role: Role, method: usize, host: Option<HostId>) -> Cell {
    let verb = METHODS[method].name;
    match METHODS[method].access {
        Access::Open | Access::Own => {
            let reason = format!("everybody may use {verb}");
            return Cell { allowed: Allowed::Yes, reason, ..Cell::default() };
        }
        Access::Read | Access::Act | Access::Admin => {}
    }
    if is_for_administrators(&METHODS[method]) && role != Role::ADMINISTRATOR {
        return Cell {
            reason: ONLY_ADMINISTRATORS.to_owned(),
            allowed: Allowed::No,
            ..Cell::default()
        };
    }
    let everywhere = |grant: &Grant| matches!(grant.hosts.trim(), "" | "*");
    let grants = hub.about(method, None, host, |request| hub.rights.grants(role, request));
    let full = |grant: &Grant| {
        grant.resources.is_empty()
            && grant.hours.is_none()
            && grant.limit.is_none()
            && (host.is_some() || everywhere(grant) || METHODS[method].about != About::Host)
    };
    let numbers = grants.iter().map(|(n, _)| *n as u32 + 1).collect();
    let (asked, held): (Vec<_>, Vec<_>) =
        grants.into_iter().partition(|(_, grant)| grant.on_request.is_some());
    let (allowed, reason) = if let Some((n, _)) = held.iter().find(|(_, grant)| full(grant)) {
        (Allowed::Yes, format!("grant {} allows it on everything", n + 1))
    } else if let Some((n, grant)) = held.first() {
        (Allowed::Some, format!("grant {} allows it {}", n + 1, bounds(grant)))
    } else if let Some((n, grant)) = asked.first() {
        let people = grant.on_request.map_or(0, |request| request.approvals);
        let by = match people {
            0 => "with a reason".to_owned(),
            1 => "when another person approves".to_owned(),
            n => format!("when {n} others approve"),
        };
        (
            Allowed::OnRequest,
            format!("grant {} allows it for a time {by}, {}", n + 1, bounds(grant)),
        )
    } else if let Some(n) =
        hub.about(method, None, host, |request| hub.rights.implied(role, request))
    {
        let reason = format!("implied by grant {}: the hosts it is for are seen", n + 1);
        let numbers = vec![n as u32 + 1];
        return Cell { allowed: Allowed::Some, grants: numbers, reason };
    } else {
        (Allowed::No, "no grant allows it here".to_owned())
    };
    Cell { allowed, grants: numbers, reason }
}

/// Within what a grant holds, in words.
fn bounds(grant: &Grant) -> String {
    let mut words = Vec::new();
    if !grant.resources.is_empty() {
        words.push(format!("on {}", grant.resources.join(", ")));
    }
    if !grant.hosts.trim().is_empty() {
        words.push(format!("at {}", grant.hosts));
    }
    if let Some(hours) = &grant.hours {
        let days =
            if hours.days.is_empty() { "every day".to_owned() } else { hours.days.join(" ") };
        words.push(format!("{days} from {} to {} UTC", hours.from, hours.to));
    }
    if let Some(limit) = grant.limit {
        words.push(format!("for {} hosts within {} minutes", limit.hosts, limit.minutes));
    }
    if words.is_empty() { "on everything".to_owned() } else { words.join(", ") }
}

async fn matrix(hub: Arc<Hub>, asked: Asked, matrix: Matrix) -> Result<Table, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    if let Some(host) = matrix.host
        && !hub.sees(&who, host)
    {
        return Err(CallError::not_found(format!("there is no host {host} in this fleet")));
    }
    let roles: Vec<_> = if may_list_operators(&hub, &who) {
        hub.rights.roles().into_iter().map(|role| role.name).collect()
    } else {
        let own: BTreeSet<_> = who.roles().filter(|role| *role != Role::NONE).collect();
        // Without any there is still what everybody may.
        if own.is_empty() { vec![Role::NONE] } else { own.into_iter().collect() }
    };
    let rows = METHODS.iter().enumerate().map(|(at, method)| Row {
        verb: method.name.to_owned(),
        class: match method.access {
            Access::Open => "open",
            Access::Own => "own",
            Access::Read => "read",
            Access::Act => "act",
            Access::Admin => "admin",
        }
        .to_owned(),
        cells: roles.iter().map(|role| cell(&hub, *role, at, matrix.host)).collect(),
    });
    let table = Table { rows: rows.collect(), roles, ..Table::default() };
    if !matrix.packed {
        return Ok(table);
    }
    Ok(Table { packed: packed::pack_value(&table)?, ..Table::default() })
}

async fn mine(hub: Arc<Hub>, asked: Asked, mine: Mine) -> Result<Verbs, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    if mine.hosts.len() > MAX_HOSTS {
        return Err(CallError::malformed(format!(
            "at most {MAX_HOSTS} hosts are asked about at once"
        )));
    }
    let who = hub.who(&caller);
    let seen = mine.hosts.into_iter().filter(|host| hub.sees(&who, *host));
    let hosts = seen.map(|host| {
        let about = METHODS
            .iter()
            .enumerate()
            .filter(|(_, method)| method.about == About::Host || method.place == Place::Both);
        let may = |at: usize| {
            matches!(hub.decide(&who, at, None, Some(host)), Ok(_) | Err(Missing::Request))
        };
        let verbs = about.filter(|(at, _)| may(*at)).map(|(_, method)| method.name.to_owned());
        (host, verbs.collect())
    });
    Ok(Verbs { hosts: hosts.collect() })
}
