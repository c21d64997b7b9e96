//! Answers round trips: one call, and an echo over a standing stream. Called by hub and clients.

use crate::{Agent, VERSION};
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::ping::{Echo, Ping, Pong};
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(ping).feed(echo)
}

async fn ping(_: Arc<Agent>, _: Asked, call: Ping) -> Result<Pong, CallError> {
    Ok(Pong { payload: call.payload, at_ms: clock::now_ms(), version: VERSION.to_owned() })
}

async fn echo(
    _: Arc<Agent>,
    _: Asked,
    _: Echo,
    mut feeding: Feeding<Echo>,
) -> Result<(), CallError> {
    loop {
        let sound = feeding.input().await?;
        feeding.send(&sound).await?;
    }
}
