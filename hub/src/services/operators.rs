//! Operators' devices: who am I, who is there, take rights away.

use super::{HubService, nobody};
use crate::keyring::Revocation;
use crate::server::Hub;
use cmdr_link::service::Asked;
use cmdr_protocol::operators::{
    List, Listing, Lock, Locked, Locks, Operator, Revoke, Unlock, Unlocked, WhoAmI,
};
use cmdr_protocol::{CallError, ErrorKind, KeyId, Revoked};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(whoami).on(list).on(revoke).on(locks).on(unlock)
}

fn links(hub: &Hub, key: KeyId) -> u32 {
    hub.clients().iter().filter(|(k, _)| *k == key).count() as u32
}

async fn whoami(hub: Arc<Hub>, asked: Asked, _: WhoAmI) -> Result<Operator, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    Ok(Operator {
        key: caller.key,
        name: caller.name,
        role: caller.role,
        joined_ms: hub.keyring.operator(caller.key).map_or(0, |o| o.joined_ms),
        last_seen_ms: Some(cmdr_link::clock::now_ms()),
        links: links(&hub, caller.key),
    })
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    let mut operators: Vec<_> = hub
        .keyring
        .operators()
        .into_iter()
        .map(|(key, o)| Operator {
            key,
            name: o.name,
            role: o.role,
            joined_ms: o.joined_ms,
            last_seen_ms: None,
            links: links(&hub, key),
        })
        .collect();
    operators.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Listing { operators })
}

async fn revoke(hub: Arc<Hub>, asked: Asked, revoke: Revoke) -> Result<Revoked, CallError> {
    let _changing = hub.keyring.changing().await;
    if hub.keyring.is_last_administrator(revoke.key) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this is the only administrator; let another one log in first (cmdr tokens create --operator administrator)",
        ));
    }
    let done = hub.keyring.revoke_operator(revoke.key).await;
    match done.map_err(|e| CallError::new(ErrorKind::Busy, e.to_string()))? {
        Revocation::Unknown => {
            return Err(CallError::not_found(format!(
                "there is no device with the key {}",
                revoke.key
            )));
        }
        Revocation::Already => return Ok(Revoked { already: true }),
        Revocation::Now => {}
    }
    hub.cut(revoke.key, "the rights of this device were taken away");
    tracing::info!(key = %revoke.key, by = asked.caller.map(|c| c.name), "a device's rights were taken away");
    Ok(Revoked::default())
}

async fn locks(hub: Arc<Hub>, _: Asked, _: Locks) -> Result<Locked, CallError> {
    let lock = |(address, wrong): (std::net::IpAddr, crate::lockout::Wrong)| Lock {
        address: address.to_string(),
        tries: wrong.tries,
        last_ms: wrong.last_ms,
        wait_s: hub.lockout.waits(address).unwrap_or(0),
    };
    // More than fit into an answer help nobody to see what goes on.
    Ok(Locked { addresses: hub.lockout.all().into_iter().take(1000).map(lock).collect() })
}

async fn unlock(hub: Arc<Hub>, asked: Asked, unlock: Unlock) -> Result<Unlocked, CallError> {
    let address = match &unlock.address {
        Some(text) => Some(text.parse().map_err(|_| {
            let shown = cmdr_protocol::display::clean_to_width(text, 60);
            CallError::malformed(format!(
                "'{shown}' is no address; cmdr operators locks lists them"
            ))
        })?),
        None => None,
    };
    let count = hub.lockout.lift(address) as u32;
    tracing::info!(address = ?address, count, by = asked.caller.map(|c| c.name), "wrong tries were forgiven");
    Ok(Unlocked { count })
}
