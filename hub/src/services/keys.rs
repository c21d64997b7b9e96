//! Keys for programs: make, list, take away.

use super::{HubService, busy, nobody};
use crate::api::signing;
use crate::keyring::Revocation;
use crate::network::Network;
use crate::records::{DeviceRecord, HttpRecord, ProgramRecord};
use crate::rights::Compiled;
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_protocol::keys::{Create, Key, LONGEST_TTL_S, List, Listing, MAX_KEYS, Revoke, State};
use cmdr_protocol::operators::By;
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind, KeyId, Revoked};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(create).on(list).on(revoke)
}

fn shown(key: KeyId, device: DeviceRecord, now_ms: u64) -> Option<Key> {
    let expired = device.has_expired(now_ms);
    let program = device.program?;
    Some(Key {
        key,
        name: device.name,
        operator: device.operator,
        state: match (device.revoked, expired) {
            (true, _) => State::Revoked,
            (false, true) => State::Expired,
            (false, false) => State::Active,
        },
        scope: program.scope,
        networks: program.networks,
        made_ms: device.joined_ms,
        expires_ms: device.expires_ms.unwrap_or(u64::MAX),
        used_ms: program.used_ms,
        used_from: program.used_from,
        http: program.http.is_some(),
    })
}

async fn create(hub: Arc<Hub>, asked: Asked, create: Create) -> Result<Key, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    if hub.keyring.account(&caller.name).is_none() {
        return Err(CallError::denied("only an operator has keys for programs"));
    }
    if create.name.trim().is_empty()
        || cmdr_protocol::display::clean_to_width(&create.name, 64) != create.name
    {
        return Err(CallError::malformed(
            "a key has a name of at most 64 columns, without control characters",
        ));
    }
    if create.scope.is_empty() {
        return Err(CallError::malformed("a key is for something: give it at least one grant"));
    }
    Compiled::new(&create.scope).map_err(CallError::malformed)?;
    if create.scope.iter().any(|grant| grant.limit.is_some() || grant.on_request.is_some()) {
        return Err(CallError::malformed("the scope of a key has no limits and no requests"));
    }
    if !(1..=LONGEST_TTL_S).contains(&create.ttl_s) {
        return Err(CallError::malformed("a key lives from 1 second to 366 days"));
    }
    if create.networks.len() > 64 {
        return Err(CallError::malformed("a key lists at most 64 networks"));
    }
    for network in &create.networks {
        Network::parse(network).map_err(CallError::malformed)?;
    }
    let id = cmdr_link::keys::key_id(&create.key);
    if create.http.as_ref().is_some_and(|http| http.hash.len() != 32 || http.signing.len() != 32) {
        return Err(CallError::malformed(
            "what the hub keeps of a key for HTTP has 32 bytes each; is this program newer than the hub?",
        ));
    }
    let _sealing = hub.vault.sealing().await;
    let http = match &create.http {
        Some(http) => Some(HttpRecord {
            hash: http.hash.clone(),
            signing: signing::seal(&hub, id, &http.signing).map_err(busy)?,
        }),
        None => None,
    };
    let _changing = hub.keyring.changing().await;
    let mine = hub.keyring.devices_of(&caller.name);
    let now = clock::now_ms();
    let active =
        |(_, d): &&(KeyId, DeviceRecord)| d.program.is_some() && !d.revoked && !d.has_expired(now);
    if mine.iter().filter(active).count() >= MAX_KEYS {
        return Err(busy(format!("you have {MAX_KEYS} keys already; revoke some first")));
    }
    if hub.keyring.devices().iter().any(|(key, _)| *key == id) || hub.keys.now().has(&create.key) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this key is known already; make a new one",
        ));
    }
    let device = DeviceRecord {
        key: create.key,
        name: create.name,
        operator: caller.name.clone(),
        role: Role::NONE,
        by: By::Key,
        joined_ms: now,
        expires_ms: Some(now.saturating_add(create.ttl_s * 1000)),
        renewable_ms: None,
        program: Some(ProgramRecord {
            scope: create.scope,
            networks: create.networks,
            http,
            ..ProgramRecord::default()
        }),
        revoked: false,
        refresh: Vec::new(),
        signing: Vec::new(),
    };
    hub.keyring.bind(device.clone()).await.map_err(busy)?;
    tracing::info!(operator = caller.name, key = %id, name = device.name, "a program's key was made");
    shown(id, device, now).ok_or_else(nobody)
}

async fn list(hub: Arc<Hub>, asked: Asked, _: List) -> Result<Listing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let all = super::roles::may_list_operators(&hub, &hub.who(&caller));
    let devices = if all { hub.keyring.devices() } else { hub.keyring.devices_of(&caller.name) };
    let now = clock::now_ms();
    let mut keys: Vec<_> =
        devices.into_iter().filter_map(|(key, device)| shown(key, device, now)).collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.made_ms));
    Ok(Listing { keys })
}

async fn revoke(hub: Arc<Hub>, asked: Asked, revoke: Revoke) -> Result<Revoked, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let mut mine = hub.keyring.devices_of(&caller.name).into_iter();
    if !mine.any(|(key, device)| key == revoke.key && device.program.is_some()) {
        return Err(CallError::not_found(format!(
            "you have no program's key {}; cmdr keys lists them",
            revoke.key
        )));
    }
    match hub.keyring.revoke_device(revoke.key).await.map_err(busy)? {
        Revocation::Now => {}
        Revocation::Already | Revocation::Unknown => return Ok(Revoked { already: true }),
    }
    hub.cut(revoke.key, "this key was revoked");
    tracing::info!(operator = caller.name, key = %revoke.key, "a program's key was revoked");
    Ok(Revoked::default())
}
