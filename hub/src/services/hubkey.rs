//! The steps by which the hub gets another key. Each is written to disk before anything is said of it.

use super::{HubService, busy};
use crate::keyring::Standing;
use crate::server::Hub;
use cmdr_link::SecretKey;
use cmdr_link::hubkeys::HubKeys;
use cmdr_link::keys::{KeyError, key_id};
use cmdr_link::service::Asked;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::hubkey::{
    Abort, Begin, Finish, LISTED, Phase, Rotation, Status, Switch, Without,
};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::HashSet;
use std::sync::Arc;

/// Names in a refusal.
const NAMED: usize = 10;

pub(super) fn register(service: HubService) -> HubService {
    service.on(begin).on(status).on(switch).on(finish).on(abort)
}

fn conflict(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Conflict, message)
}

fn unkept(error: &KeyError) -> CallError {
    CallError::failed(format!("nothing was changed: {error}"))
}

async fn begin(hub: Arc<Hub>, _: Asked, _: Begin) -> Result<Rotation, CallError> {
    let _changing = hub.keys.changing().await;
    let now = hub.keys.now();
    if now.previous.is_some() {
        return Err(conflict(
            "the hub's key was replaced and the one before still answers; retire that first: cmdr hub rotate-key finish",
        ));
    }
    if now.next.is_none() {
        hub.pinned.clear().await.map_err(busy)?;
        let next = SecretKey::generate().map_err(|e| unkept(&e))?;
        tracing::info!(key = %next.public(), "the hub's next key is told to everybody");
        hub.keys.replace(HubKeys { next: Some(next), ..(*now).clone() }).map_err(|e| unkept(&e))?;
    }
    Ok(told(&hub))
}

async fn status(hub: Arc<Hub>, _: Asked, _: Status) -> Result<Rotation, CallError> {
    Ok(told(&hub))
}

async fn switch(hub: Arc<Hub>, _: Asked, call: Switch) -> Result<Rotation, CallError> {
    let _changing = hub.keys.changing().await;
    let now = (*hub.keys.now()).clone();
    let Some(next) = now.next.clone() else {
        return Err(conflict(match now.previous {
            Some(_) => {
                "the hub has its new key already; what is left is: cmdr hub rotate-key finish"
            }
            None => "the hub has no next key yet; begin with: cmdr hub rotate-key begin",
        }));
    };
    if !call.force {
        all_know(
            &hub,
            "the switch",
            "they learn it when they come, as long as the old key answers",
        )?;
    }
    let (new, old) = (next.public(), now.current.clone());
    let set = HubKeys {
        current: next,
        seal: Some(now.sealing().clone()),
        next: None,
        previous: Some(old.clone()),
    };
    hub.keys.replace(set).map_err(|e| unkept(&e))?;
    // Who had the old key in hand was an administrator by it, and is none any more.
    hub.cut(key_id(&old.public()), "the hub has another key");
    tracing::info!(key = %new, old = %old.public(), "the hub has its new key; the old one still answers");
    Ok(told(&hub))
}

async fn finish(hub: Arc<Hub>, _: Asked, call: Finish) -> Result<Rotation, CallError> {
    let _changing = hub.keys.changing().await;
    let now = hub.keys.now();
    let Some(old) = &now.previous else {
        return Err(conflict(match now.next {
            Some(_) => {
                "the hub has not changed over yet; do that first: cmdr hub rotate-key switch"
            }
            None => "no key is being replaced; begin with: cmdr hub rotate-key begin",
        }));
    };
    if !call.force {
        all_know(&hub, "the end of the old key", "they have to join again then")?;
        programs_came(&hub)?;
    }
    hub.keys.replace(HubKeys { previous: None, ..(*now).clone() }).map_err(|e| unkept(&e))?;
    tracing::info!(old = %old.public(), "the hub's old key is retired");
    forget_pins(&hub).await;
    Ok(told(&hub))
}

async fn abort(hub: Arc<Hub>, _: Asked, _: Abort) -> Result<Rotation, CallError> {
    let _changing = hub.keys.changing().await;
    let now = hub.keys.now();
    if now.next.is_none() {
        return Err(conflict(match now.previous {
            Some(_) => {
                "it is too late: the hub has its new key; what is left is: cmdr hub rotate-key finish"
            }
            None => "no key is being replaced",
        }));
    }
    hub.keys.replace(HubKeys { next: None, ..(*now).clone() }).map_err(|e| unkept(&e))?;
    tracing::info!("the hub's next key is forgotten");
    forget_pins(&hub).await;
    Ok(told(&hub))
}

/// They only say who knows a key that nobody waits for any more.
async fn forget_pins(hub: &Hub) {
    if let Err(e) = hub.pinned.clear().await {
        tracing::warn!("who had pinned the hub's next key was not forgotten: {e}");
    }
}

/// Refuses while there are hosts that do not know the key.
fn all_know(hub: &Hub, step: &str, but: &str) -> Result<(), CallError> {
    let rotation = told(hub);
    if rotation.hosts_without == 0 {
        return Ok(());
    }
    let mut names: Vec<_> = rotation
        .without
        .iter()
        .filter(|without| without.host.is_some())
        .take(NAMED)
        .map(|without| without.name.as_str())
        .collect();
    if rotation.hosts_without as usize > names.len() {
        names.push("...");
    }
    Err(conflict(format!(
        "{} of {} hosts do not know the hub's new key: {}; wait for them, forget them, or have {step} in spite of them with --force ({but})",
        rotation.hosts_without,
        rotation.hosts,
        names.join(", "),
    )))
}

/// Refuses while there are programs that have not come with the key: nobody renews what they hold later.
fn programs_came(hub: &Hub) -> Result<(), CallError> {
    let rotation = told(hub);
    if rotation.programs_without == 0 {
        return Ok(());
    }
    let programs = rotation.without.iter().filter(|without| without.program);
    let mut names: Vec<_> = programs
        .take(NAMED)
        .map(|without| format!("{} of {}", without.name, without.operator))
        .collect();
    if rotation.programs_without as usize > names.len() {
        names.push("...".to_owned());
    }
    Err(conflict(format!(
        "{} of {} keys for programs were not used with the hub's new key yet: {}; a program that keeps its home learns it when it runs, others need their text anew (cmdr keys renew, with the old one in CMDR_KEY); revoke what is not used any more, or end them with --force",
        rotation.programs_without,
        rotation.programs,
        names.join(", "),
    )))
}

/// How far it is.
fn told(hub: &Hub) -> Rotation {
    let now = hub.keys.now();
    let coming = now.coming();
    let lacks = |who: &str| coming.is_some_and(|coming| !hub.pinned.has(who, &coming));
    let phase = match (&now.next, &now.previous) {
        (Some(_), _) => Phase::Announced,
        (None, Some(_)) => Phase::Switched,
        (None, None) => Phase::None,
    };
    let hosts = hub.fleet.hosts().into_iter().filter(|host| host.state != HostState::Pending);
    let hosts: Vec<_> = hosts.filter_map(|host| host.id.map(|id| (id, host))).collect();
    let (mut without, mut hosts_without) = (Vec::new(), 0);
    for (id, host) in hosts.iter().filter(|(id, _)| lacks(&id.to_string())) {
        hosts_without += 1;
        if hosts_without as usize <= LISTED {
            without.push(Without {
                name: host.name.clone(),
                host: Some(*id),
                device: None,
                operator: String::new(),
                program: false,
                online: host.state == HostState::Online,
            });
        }
    }
    let linked: HashSet<_> = hub.clients().into_iter().map(|(key, _)| key).collect();
    // Of devices and of programs: how many, and how many of them lack it.
    let mut counts = [[0, 0]; 2];
    for (key, _) in hub.keyring.devices() {
        let Standing::Active(device, account) = hub.keyring.standing(key) else { continue };
        let program = device.program.is_some();
        let [all, lacking] = &mut counts[usize::from(program)];
        *all += 1;
        if lacks(&key.to_string()) {
            *lacking += 1;
            if *lacking as usize <= LISTED {
                without.push(Without {
                    name: device.name,
                    host: None,
                    device: Some(key),
                    operator: account.name,
                    program,
                    online: linked.contains(&key),
                });
            }
        }
    }
    let [[devices, devices_without], [programs, programs_without]] = counts;
    Rotation {
        phase,
        key: now.current.public(),
        next: now.next.as_ref().map(SecretKey::public),
        previous: now.previous.as_ref().map(SecretKey::public),
        hosts: hosts.len() as u32,
        hosts_without,
        devices,
        devices_without,
        programs,
        programs_without,
        without,
    }
}
