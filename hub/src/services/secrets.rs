//! Secrets by name: put, list, delete; a new data key for everything sealed. No answer holds a value.

use super::{HubService, nobody};
use crate::server::Hub;
use crate::vault::{VaultError, rotate};
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::secrets::{
    Delete, Kept, List, Listing, MAX_VALUE, Put, Rotate, Step, check_name,
};
use cmdr_protocol::{CallError, ErrorKind, Nothing};
use std::sync::Arc;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub(super) fn register(service: HubService) -> HubService {
    service.on(put).on(list).on(delete).feed(rotate_feed)
}

impl From<VaultError> for CallError {
    fn from(error: VaultError) -> Self {
        let kind = match error {
            VaultError::Store(_) | VaultError::Busy => ErrorKind::Busy,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

async fn put(hub: Arc<Hub>, asked: Asked, put: Put) -> Result<Kept, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let Put { name, value } = put;
    let value = Zeroizing::new(value);
    check_name(&name).map_err(CallError::malformed)?;
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(CallError::malformed(format!(
            "a secret has 1 to {MAX_VALUE} bytes, this one has {}",
            value.len()
        )));
    }
    let replaced = hub.vault.put(&name, &value, &caller.name).await?;
    tracing::info!(secret = name, replaced, by = caller.name, "a secret was put");
    Ok(Kept { replaced })
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { secrets: hub.vault.secrets()?, data_keys: hub.vault.data_keys()? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    check_name(&delete.name).map_err(CallError::malformed)?;
    if !hub.vault.delete(&delete.name).await? {
        return Err(CallError::not_found(format!(
            "there is no secret '{}'; cmdr secrets ls lists them",
            delete.name
        )));
    }
    tracing::info!(secret = delete.name, by = caller.name, "a secret was deleted");
    Ok(Nothing {})
}

async fn rotate_feed(
    hub: Arc<Hub>,
    asked: Asked,
    _: Rotate,
    feeding: Feeding<Rotate>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let (told, mut steps) = mpsc::channel::<(&str, u64)>(1);
    let telling = async {
        while let Some((part, resealed)) = steps.recv().await {
            let step = Step { part: part.to_owned(), resealed, ..Step::default() };
            feeding.send(&step).await?;
        }
        Ok(())
    };
    let rotating = async { rotate::rotate(&hub, told).await.map_err(CallError::from) };
    let ((resealed, outcome), ()) = tokio::try_join!(rotating, telling)?;
    tracing::info!(resealed, by = caller.name, "secrets were sealed anew: {outcome}");
    feeding.send(&Step { part: String::new(), resealed, outcome }).await
}
