//! Roles: list, make, remove, give; and who may do what.

use super::{HubService, nobody};
use crate::router::host_of;
use crate::server::Hub;
use cmdr_link::service::Asked;
use cmdr_protocol::methods::{self, METHODS};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{
    Able, Answer, Assign, CanI, Definition, Delete, List, Listing, Put, Question, WhoCan,
};
use cmdr_protocol::{Call as _, CallError, ErrorKind, Nothing, operators};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(put).on(delete).on(assign).on(can_i).on(who_can)
}

/// What the devices of a role are told whose rights have changed.
const CHANGED: &str = "your rights have changed; connect again";

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    let (mut roles, devices) = (hub.rights.roles(), hub.keyring.operators());
    for role in &mut roles {
        role.devices = devices.iter().filter(|(_, o)| o.role == role.name).count() as u32;
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
    if !hub.rights.exists(assign.role) {
        return Err(no_role(assign.role));
    }
    let _changing = hub.keyring.changing().await;
    if assign.role != Role::ADMINISTRATOR && hub.keyring.is_last_administrator(assign.key) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this is the only administrator; give another device that role first",
        ));
    }
    let busy = |e: crate::store::StoreError| CallError::new(ErrorKind::Busy, e.to_string());
    if !hub.keyring.assign(assign.key, assign.role).await.map_err(busy)? {
        return Err(CallError::not_found(format!(
            "there is no device with the key {}",
            assign.key
        )));
    }
    tracing::info!(key = %assign.key, role = %assign.role, by = caller.name, "a device was given a role");
    hub.cut(assign.key, CHANGED);
    Ok(Nothing {})
}

/// Whoever can change roles can do everything. A role with that verb alone would be the same as
/// administrator under a harmless name.
fn only_administrators(role: Role) -> Result<(), CallError> {
    if role == Role::ADMINISTRATOR {
        return Ok(());
    }
    Err(CallError::denied(
        "only the role administrator changes roles and gives them: it would be a way to every right",
    ))
}

pub(crate) fn no_role(role: Role) -> CallError {
    CallError::not_found(format!("there is no role {role}; cmdr roles lists them"))
}

fn answer(hub: &Hub, role: Role, question: &Question) -> Result<Answer, CallError> {
    let Some(index) = methods::index(&question.verb) else {
        let verb = cmdr_protocol::display::clean_to_width(&question.verb, 80);
        return Err(CallError::not_found(format!(
            "no method is called '{verb}'; cmdr roles verbs lists them"
        )));
    };
    let host = question.host.or_else(|| host_of(&question.resource));
    Ok(match hub.decide(role, index, &question.resource, host) {
        Ok(grant) => Answer {
            allowed: true,
            role,
            reason: format!(
                "grant {} of the role {role} allows {}",
                grant + 1,
                METHODS[index].name
            ),
            grant: Some(grant as u32 + 1),
        },
        Err(missing) => Answer {
            allowed: false,
            role,
            reason: missing.told(role, &question.verb, &question.resource),
            grant: None,
        },
    })
}

async fn can_i(hub: Arc<Hub>, asked: Asked, can_i: CanI) -> Result<Answer, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let role = match can_i.role {
        Some(role) if role != caller.role => {
            // What others may do is not everybody's business.
            let listing = methods::index(operators::List::METHOD);
            if listing.is_none_or(|list| hub.decide(caller.role, list, "", None).is_err()) {
                return Err(CallError::denied(
                    "asking about another role takes the right to list operators",
                ));
            }
            if !hub.rights.exists(role) {
                return Err(no_role(role));
            }
            role
        }
        _ => caller.role,
    };
    answer(&hub, role, &can_i.question)
}

async fn who_can(hub: Arc<Hub>, _: Asked, who_can: WhoCan) -> Result<Able, CallError> {
    let mut roles = Vec::new();
    for role in hub.rights.roles() {
        let answer = answer(&hub, role.name, &who_can.question)?;
        if answer.allowed {
            roles.push(answer);
        }
    }
    let mut devices: Vec<_> = hub
        .keyring
        .operators()
        .into_iter()
        .filter(|(_, o)| roles.iter().any(|answer| answer.role == o.role))
        .map(|(key, o)| (key, o.name, o.role))
        .collect();
    devices.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(Able { roles, devices })
}
