//! Gateways: list, show, check, save, delete. How one does is asked of its host.

use super::{HubService, nobody};
use crate::gateways::judged;
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_link::service::Asked;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::gateways::{Check, Checked, Delete, List, Listing, Save, Show, Shown, Versions};
use cmdr_protocol::runbooks::{Problem, Saved, VersionListing};
use cmdr_protocol::{Call as _, CallError, HostId, Nothing, methods};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(list).on(show).on(check).on(save);
    service.on(versions).on(delete)
}

async fn list(hub: Arc<Hub>, asked: Asked, _: List) -> Result<Listing, CallError> {
    let who = hub.who(&asked.caller.ok_or_else(nobody)?);
    let method = methods::index(List::METHOD).ok_or_else(nobody)?;
    let sees = |id: HostId| hub.decide(&who, method, Some(""), Some(id)).is_ok();
    Ok(Listing { gateways: hub.gateways.all(&hub.fleet, sees) })
}

async fn show(hub: Arc<Hub>, asked: Asked, show: Show) -> Result<Shown, CallError> {
    let who = hub.who(&asked.caller.ok_or_else(nobody)?);
    let method = methods::index(Show::METHOD).ok_or_else(nobody)?;
    let host = hub.gateways.host(&show.name);
    if let Some(host) = host {
        // Of hosts that one may not ask about nothing is told.
        hub.decide(&who, method, Some(&show.resource()), Some(host))
            .map_err(|_| CallError::denied("you may not see this gateway's host"))?;
    }
    hub.gateways.show(&hub.fleet, &show.name, show.version)
}

async fn check(hub: Arc<Hub>, _: Asked, check: Check) -> Result<Checked, CallError> {
    let (host, given) = match hub.gateways.meant(&hub.fleet, &check.text) {
        Ok(meant) => meant,
        Err(problems) => return Ok(Checked { problems, ..Checked::default() }),
    };
    let mut checked = Checked {
        name: given.name.clone(),
        host: hub.fleet.name(host).unwrap_or_default(),
        ..Checked::default()
    };
    let said = match hub.fleet.link(host) {
        Ok(link) => judged(&Client::new(link), host, given).await,
        Err(e) => Err(e),
    };
    match said {
        Ok(why) if why.is_empty() => {}
        Ok(what) => checked.problems.push(Problem { what, ..Problem::default() }),
        Err(e) => checked.unasked = e.message,
    }
    Ok(checked)
}

fn told(hub: &Hub, caller: &Caller, what: What, name: &str, message: &str) {
    let host = hub.gateways.host(name);
    let host_name = host.and_then(|id| hub.fleet.name(id)).unwrap_or_default();
    hub.fleet.events.tell(Event {
        what,
        host,
        host_name,
        about: format!("gateway:{name}"),
        operator: caller.operator.clone(),
        message: message.to_owned(),
        ..Event::default()
    });
}

async fn save(hub: Arc<Hub>, asked: Asked, save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.gateways.save(&hub.fleet, &save, &caller.name).await?;
    if !saved.unchanged {
        let (gateway, version) = (&save.name, saved.version);
        tracing::info!(gateway, version, by = caller.name, "a gateway was saved");
        told(&hub, &caller, What::GatewaySaved, gateway, &format!("version {version}"));
    }
    Ok(saved)
}

async fn versions(hub: Arc<Hub>, _: Asked, asks: Versions) -> Result<VersionListing, CallError> {
    Ok(VersionListing { versions: hub.gateways.versions(&asks.name)? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let name = &delete.name;
    let host = hub.gateways.host(name);
    hub.gateways.delete(name).await?;
    tracing::info!(gateway = name, by = caller.name, "a gateway was removed");
    let host_name = host.and_then(|id| hub.fleet.name(id)).unwrap_or_default();
    let (about, operator) = (format!("gateway:{name}"), caller.operator);
    let what = What::GatewayDeleted;
    hub.fleet.events.tell(Event { what, host, host_name, about, operator, ..Event::default() });
    Ok(Nothing {})
}
