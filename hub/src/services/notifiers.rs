//! Notifiers: list, show, check, save, delete, test, and what became of notices.

use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::service::Asked;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::notifiers::{
    Check, Checked, Delete, List, Listing, NoticeListing, Notices, Save, Show, Shown, Test, Tested,
};
use cmdr_protocol::runbooks::Saved;
use cmdr_protocol::{CallError, Nothing};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(list).on(show).on(check).on(save);
    service.on(delete).on(test).on(notices)
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { notifiers: hub.notifiers.all(&hub) })
}

async fn show(hub: Arc<Hub>, _: Asked, show: Show) -> Result<Shown, CallError> {
    hub.notifiers.show(&hub, &show.name)
}

async fn check(hub: Arc<Hub>, _: Asked, check: Check) -> Result<Checked, CallError> {
    Ok(hub.notifiers.check(&check.text))
}

async fn save(hub: Arc<Hub>, asked: Asked, save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.notifiers.save(&save, &caller.name).await?;
    if !saved.unchanged {
        let (what, operator) = (What::NotifierSaved, caller.operator);
        let (about, message) =
            (format!("notifier:{}", save.name), format!("version {}", saved.version));
        hub.fleet.events.tell(Event { what, operator, about, message, ..Event::default() });
    }
    Ok(saved)
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.notifiers.delete(&delete.name).await?;
    let (what, operator) = (What::NotifierDeleted, caller.operator);
    let about = format!("notifier:{}", delete.name);
    hub.fleet.events.tell(Event { what, operator, about, ..Event::default() });
    Ok(Nothing {})
}

async fn test(hub: Arc<Hub>, _: Asked, test: Test) -> Result<Tested, CallError> {
    hub.notifiers.test(&hub, &test.name).await
}

async fn notices(hub: Arc<Hub>, _: Asked, notices: Notices) -> Result<NoticeListing, CallError> {
    Ok(hub.notifiers.notices(&notices.name))
}
