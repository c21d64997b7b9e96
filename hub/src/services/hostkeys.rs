//! A new key for a host: asked of its agent, kept, and waited for.

use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_link::service::Asked;
use cmdr_protocol::hostkeys::{Next, Rotate, Rotated};
use cmdr_protocol::ping::Ping;
use cmdr_protocol::{CallError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

/// How long the agent may take to answer, and to come back.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often is looked whether it is back.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn register(service: HubService) -> HubService {
    service.on(rotate)
}

async fn rotate(hub: Arc<Hub>, asked: Asked, call: Rotate) -> Result<Rotated, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let host = call.host;
    let link = hub.fleet.link(host)?;
    let client = Client::new(link.clone());
    let told = client.call_for(&caller, Some(host), &Next {}, PATIENCE).await.map_err(|e| {
        let why = if e.kind == ErrorKind::UnknownMethod {
            "its agent is older than this; upgrade it first".to_owned()
        } else {
            e.message
        };
        CallError::new(e.kind, format!("the host keeps its key: {why}"))
    })?;
    hub.fleet.expect_key(host, told.key).await?;
    link.close("the host gets a new key");
    // It answers once the new key stands in the place of the old one on its disk.
    let back = async {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let link = hub.fleet.link(host).ok().filter(|_| hub.fleet.key(host) == Some(told.key));
            let Some(link) = link else { continue };
            let asked = Client::new(link);
            if asked.call_for(&caller, Some(host), &Ping::default(), PATIENCE).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, back).await.map_err(|_| {
        CallError::new(
            ErrorKind::Unreachable,
            "the new key is known, but the host has not come back with it yet; until it does, either key lets it in",
        )
    })?;
    let name = hub.fleet.name(host).unwrap_or_default();
    tracing::info!(host = name, id = %host, key = %told.key, by = caller.name, "the host has a new key");
    Ok(Rotated { key: told.key })
}
