//! Round trips to the hub itself.

use super::HubService;
use crate::server::{Hub, VERSION};
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::ping::{Echo, Ping, Pong};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(ping).feed(echo)
}

async fn ping(_: Arc<Hub>, _: Asked, ping: Ping) -> Result<Pong, CallError> {
    Ok(Pong { payload: ping.payload, at_ms: clock::now_ms(), version: VERSION.to_owned() })
}

async fn echo(_: Arc<Hub>, _: Asked, _: Echo, mut feeding: Feeding<Echo>) -> Result<(), CallError> {
    loop {
        let sound = feeding.input().await?;
        feeding.send(&sound).await?;
    }
}
