//! Contents of files, sent by whoever will make a run of them.

use super::{HubService, nobody};
use crate::server::Hub;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::blobs::{Delete, List, Listing, Upload};
use cmdr_protocol::{CallError, Revoked};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.feed(upload).on(list).on(delete)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))
}

async fn upload(
    hub: Arc<Hub>,
    asked: Asked,
    upload: Upload,
    feeding: Feeding<Upload>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let Upload { hash, size } = upload;
    let _coming = hub.blobs.coming(&caller.operator, size)?;
    let who = hub.who(&caller);
    let holder = hub.clone();
    let held = move |hash: &str| holder.needs_blob(hash);
    let sender = crate::blobs::sender(&who.operator, who.since_ms);
    hub.blobs.files().receive(&hash, size, Some(&sender), feeding, held).await?;
    tracing::info!(blob = hash, size, by = caller.name, "a content is here");
    Ok(())
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    let files = hub.blobs.files().clone();
    let blobs = blocking(move || files.list()).await?;
    let bytes = blobs.iter().map(|blob| blob.size).sum();
    Ok(Listing { blobs, bytes, most: hub.blobs.files().most() })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Revoked, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let files = hub.blobs.files().clone();
    let hash = delete.hash.clone();
    let there = blocking(move || files.remove(&hash)).await?;
    tracing::info!(blob = delete.hash, there, by = caller.name, "a content is taken away");
    Ok(Revoked { already: !there })
}
