//! The audit log as administrators ask for it: pages, the live feed, the proof.

use super::HubService;
use crate::server::Hub;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::audit::{Items, List, Page, Verified, Verify, Watch};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).feed(watch).on(verify)
}

fn failed(e: &std::io::Error) -> CallError {
    CallError::failed(format!("reading the audit log: {e}"))
}

async fn list(hub: Arc<Hub>, _: Asked, list: List) -> Result<Page, CallError> {
    hub.audit.page(list.filter, list.before, list.limit).await.map_err(|e| failed(&e))
}

async fn watch(
    hub: Arc<Hub>,
    _: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut tail = hub.audit.follow(watch.after);
    let last = hub.audit.point().seq;
    loop {
        if watch.once && tail.seq() >= last {
            return Ok(());
        }
        if !tail.wait().await {
            return Ok(());
        }
        let mut records = tail.read().await.map_err(|e| failed(&e))?;
        records.retain(|r| watch.filter.matches(r) && !(watch.once && r.seq > last));
        let missed = tail.take_missed();
        if missed > 0 || !records.is_empty() {
            feeding.send(&Items { records, missed }).await?;
        }
    }
}

async fn verify(hub: Arc<Hub>, _: Asked, _: Verify) -> Result<Verified, CallError> {
    hub.audit.verify().await.map_err(|e| failed(&e))
}
