//! Runbooks: list, show, check, save, sign, delete. They are run as the order of a run.

use super::{HubService, nobody};
use crate::runbooks;
use crate::runs::Runs;
use crate::server::Hub;
use cmdr_link::service::Asked;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::runbooks::{
    Check, Checked, Delete, List, Listing, Save, Saved, Show, Shown, Sign, Signed, StepListing,
    Steps, VersionListing, Versions,
};
use cmdr_protocol::{Call as _, CallError, Nothing, methods};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(show).on(check).on(save).on(versions).on(delete).on(steps).on(sign)
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    let mut runbooks = hub.runbooks.all();
    for runbook in &mut runbooks {
        hub.runbooks.fill(&hub, runbook);
    }
    Ok(Listing { runbooks })
}

async fn show(hub: Arc<Hub>, _: Asked, show: Show) -> Result<Shown, CallError> {
    let mut shown = hub.runbooks.show(&show.name, show.version)?;
    hub.runbooks.fill(&hub, &mut shown.runbook);
    Ok(shown)
}

async fn check(hub: Arc<Hub>, _: Asked, check: Check) -> Result<Checked, CallError> {
    Ok(hub.runbooks.check(&check.text))
}

/// Whether who asks may keep a text with a playbook: that is a program for the hub's own machine, however well it is
/// kept in. The right to save under `ansible:NAME` is asked for beside that for the name itself.
pub(super) fn may_keep_playbooks(
    hub: &Hub,
    caller: &Caller,
    method: &str,
    name: &str,
) -> Result<(), CallError> {
    let index = methods::index(method)
        .ok_or_else(|| CallError::failed(format!("{method} is not in the table of methods")))?;
    let (who, resource) = (hub.who(caller), format!("ansible:{name}"));
    hub.decide(&who, index, Some(&resource), None).map(drop).map_err(|missing| {
        CallError::denied(format!(
            "a step of it is an Ansible playbook, which runs on the hub's machine: {}",
            missing.told(&who, method, &resource)
        ))
    })
}

fn told(hub: &Hub, caller: &Caller, what: What, name: &str, message: &str) {
    let (about, operator) = (format!("runbook:{name}"), caller.operator.clone());
    let message = message.to_owned();
    hub.fleet.events.tell(Event { what, about, operator, message, ..Event::default() });
}

async fn save(hub: Arc<Hub>, asked: Asked, save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    if runbooks::read(&save.text).is_ok_and(|book| book.has_playbook()) {
        may_keep_playbooks(&hub, &caller, Save::METHOD, &save.name)?;
    }
    let saved = hub.runbooks.save(&save, &caller.name).await?;
    if !saved.unchanged {
        tracing::info!(runbook = save.name, saved.version, by = caller.name, "a runbook was saved");
        told(&hub, &caller, What::RunbookSaved, &save.name, &format!("version {}", saved.version));
    }
    Ok(saved)
}

async fn versions(hub: Arc<Hub>, _: Asked, asks: Versions) -> Result<VersionListing, CallError> {
    let mut versions = hub.runbooks.versions(&asks.name)?;
    for version in &mut versions {
        version.signed = hub.runbooks.signed(&hub, &asks.name, version.version);
    }
    Ok(VersionListing { versions })
}

async fn sign(hub: Arc<Hub>, asked: Asked, sign: Sign) -> Result<Signed, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let operator = hub.who(&caller).operator.clone();
    let (name, version) = (sign.name.clone(), sign.signature.as_ref().map(|s| s.version));
    let signed = hub.runbooks.sign(&hub, (&operator, caller.key), sign).await?;
    tracing::info!(runbook = name, version, by = operator, "a runbook was signed");
    Ok(signed)
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.runbooks.delete(&delete.name).await?;
    tracing::info!(runbook = delete.name, by = caller.name, "a runbook was deleted");
    told(&hub, &caller, What::RunbookDeleted, &delete.name, "");
    Ok(Nothing {})
}

async fn steps(hub: Arc<Hub>, asked: Asked, asks: Steps) -> Result<StepListing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    let (live, sees) = hub.runs.look(&hub, &who, asks.run, Steps::METHOD)?;
    if !sees.has(asks.target as usize) {
        return Err(CallError::not_found(format!("the run has no target {}", asks.target)));
    }
    Ok(StepListing { steps: Runs::steps(&live, asks.target)? })
}
