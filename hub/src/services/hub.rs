//! The hub itself: how it is, its backup, its check.

use super::HubService;
use crate::server::{Hub, VERSION};
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::hub::{Backup, Check, Checked, HubInfo, Info, Piece};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn register(service: HubService) -> HubService {
    service.on(info).feed(backup_feed).on(check)
}

async fn info(hub: Arc<Hub>, _: Asked, _: Info) -> Result<HubInfo, CallError> {
    Ok(HubInfo {
        version: VERSION.to_owned(),
        uptime_s: hub.uptime().as_secs(),
        listen: hub.listen.clone(),
        agents: hub.fleet.links().len() as u32,
        clients: hub.clients().len() as u32,
        relayed: hub.counters.relayed.load(Ordering::Relaxed),
        relayed_bytes: hub.counters.relayed_bytes.load(Ordering::Relaxed),
        refused: hub.counters.refused.load(Ordering::Relaxed),
        writable: hub.store.is_writable() && hub.audit.is_writable(),
    })
}

async fn backup_feed(
    hub: Arc<Hub>,
    _: Asked,
    _: Backup,
    feeding: Feeding<Backup>,
) -> Result<(), CallError> {
    let failed = |e: anyhow::Error| CallError::failed(format!("{e:#}"));
    let mut export = hub.export().map_err(failed)?;
    while let Some(text) = export.piece().map_err(failed)? {
        for piece in text.as_bytes().chunks(256 * 1024) {
            feeding.send(&Piece { data: piece.to_vec() }).await?;
        }
    }
    Ok(())
}

async fn check(hub: Arc<Hub>, _: Asked, _: Check) -> Result<Checked, CallError> {
    hub.check().await.map_err(|e| CallError::failed(format!("{e:#}")))
}
