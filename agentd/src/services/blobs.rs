//! Contents of files that the hub has sent for orders to come, until one of those puts them in place.

use super::files::put;
use crate::Agent;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::blobs::{Have, Put, Stored};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that all of them may have together.
pub(crate) const MOST: u64 = 32 << 30;
/// What no order has used for so long is taken away.
const UNUSED: Duration = Duration::from_hours(24);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(have).feed(receive)
}

async fn have(agent: Arc<Agent>, _: Asked, have: Have) -> Result<Stored, CallError> {
    let looking = tokio::task::spawn_blocking(move || {
        agent.blobs().sweep(UNUSED, 0, |hash| hash == have.hash);
        if let Some(path) = &have.path
            && put::is_there(&agent, path, &have.hash, have.size)
        {
            return Stored { have: have.size, whole: true };
        }
        agent.blobs().have(&have.hash)
    });
    looking.await.map_err(|e| CallError::failed(format!("a fault of the agent: {e}")))
}

async fn receive(
    agent: Arc<Agent>,
    _: Asked,
    put: Put,
    feeding: Feeding<Put>,
) -> Result<(), CallError> {
    agent.blobs().receive(&put.hash, put.size, None, feeding, |_| false).await
}
