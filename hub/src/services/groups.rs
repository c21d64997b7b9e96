//! Departments and projects: list, make, remove.

use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::service::Asked;
use cmdr_protocol::groups::{Delete, List, Listing, Put};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, Nothing};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(put).on(delete)
}

/// What members are told whose rights have changed.
const CHANGED: &str = "your rights have changed; connect again";

async fn list(hub: Arc<Hub>, asked: Asked, _: List) -> Result<Listing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let mut groups = hub.groups.all();
    if !super::roles::may_list_operators(&hub, &hub.who(&caller)) {
        groups.retain(|group| group.members.iter().any(|m| m.operator == caller.name));
        for group in &mut groups {
            group.members.retain(|member| member.operator == caller.name);
        }
    }
    Ok(Listing { groups })
}

async fn put(hub: Arc<Hub>, asked: Asked, put: Put) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    for member in &put.group.members {
        if member.role != Role::NONE && !hub.rights.exists(member.role) {
            return Err(super::roles::no_role(member.role));
        }
        if hub.keyring.account(&member.operator).is_none() {
            return Err(super::operators::no_operator(&member.operator));
        }
    }
    let name = put.group.name;
    let _changing = hub.keyring.changing().await;
    if let Some(was) = put.was
        && hub.groups.all().iter().find(|group| group.name == name) != Some(&was)
    {
        return Err(CallError::new(
            cmdr_protocol::ErrorKind::Conflict,
            format!("somebody else has changed the group {name} meanwhile; look at it again"),
        ));
    }
    for operator in hub.groups.put(put.group).await? {
        hub.cut_operator(&operator, CHANGED);
    }
    tracing::info!(group = %name, by = caller.name, "a group was changed");
    Ok(Nothing {})
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    let Some(concerned) = hub.groups.delete(delete.name).await? else {
        return Err(CallError::not_found(format!("there is no group {}", delete.name)));
    };
    for operator in concerned {
        hub.cut_operator(&operator, CHANGED);
    }
    tracing::info!(group = %delete.name, by = caller.name, "a group was removed");
    Ok(Nothing {})
}
