//! Makes the key that shall follow the present one. Called by the hub.

use crate::Agent;
use cmdr_link::service::{Asked, Service};
use cmdr_link::{SecretKey, context};
use cmdr_protocol::CallError;
use cmdr_protocol::hostkeys::{Next, Told};
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(next)
}

/// One that was made before and never taken is told again.
async fn next(agent: Arc<Agent>, _: Asked, _: Next) -> Result<Told, CallError> {
    let path = context::next_key_file(&agent.config().state_dir);
    let key = SecretKey::load_or_create(&path).map_err(|e| CallError::failed(e.to_string()))?;
    Ok(Told { key: key.public() })
}
