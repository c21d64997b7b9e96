//! Forwards that are kept: list, put, switch, stop, resume, cut, delete.

use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::service::Asked;
use cmdr_protocol::forwards::kept::{Cut, Delete, Done, List, Listing, Put, Resume, Stop, Switch};
use cmdr_protocol::{CallError, Nothing};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(put).on(switch).on(stop).on(resume).on(cut).on(delete)
}

/// Of hosts that the caller may not see nothing is said.
async fn list(hub: Arc<Hub>, asked: Asked, _: List) -> Result<Listing, CallError> {
    let who = hub.who(&asked.caller.ok_or_else(nobody)?);
    Ok(hub.forwards.list(&hub, |id| hub.sees(&who, id)))
}

async fn put(hub: Arc<Hub>, asked: Asked, put: Put) -> Result<Done, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let done = hub.forwards.put(&hub, &caller, &put.0).await?;
    if !done.unchanged {
        let forward = put.0.name;
        tracing::info!(forward, revision = done.revision, by = caller.name, "a forward was put");
    }
    Ok(done)
}

async fn switch(hub: Arc<Hub>, asked: Asked, switch: Switch) -> Result<Done, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.forwards.switch(&hub, &caller, &switch).await
}

async fn stop(hub: Arc<Hub>, _: Asked, stop: Stop) -> Result<Done, CallError> {
    hub.forwards.stop(&hub, &stop.name, true).await
}

async fn resume(hub: Arc<Hub>, _: Asked, resume: Resume) -> Result<Done, CallError> {
    hub.forwards.stop(&hub, &resume.name, false).await
}

async fn cut(hub: Arc<Hub>, _: Asked, cut: Cut) -> Result<Nothing, CallError> {
    hub.forwards.cut(&hub, &cut.name)?;
    Ok(Nothing {})
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.forwards.delete(&delete.name).await?;
    tracing::info!(forward = delete.name, by = caller.name, "a forward was deleted");
    Ok(Nothing {})
}
