//! Operators: who am I, who is there, make and remove them, their passwords, their devices, and who has
//! to wait after wrong tries.

use super::pages::Page;
use super::{HubService, busy, nobody};
use crate::keyring::{NotMade, Revocation};
use crate::records::{AccountRecord, PasswordRecord};
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_protocol::operators::{
    ChangePassword, Create, Delete, Device, List, Listing, Lock, Locked, Locks, Me, Operator, PAGE,
    Revoke, SetPassword, Source, Unlock, Unlocked, Update, WhoAmI,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind, KeyId, Nothing, Revoked};
use std::net::IpAddr;
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(whoami).on(list).on(create).on(update).on(delete).on(revoke);
    service.on(set_password).on(change_password).on(locks).on(unlock)
}

pub(super) fn no_operator(name: &str) -> CallError {
    let name = cmdr_protocol::display::clean_to_width(name, 64);
    CallError::not_found(format!("there is no operator {name}; cmdr operators lists them"))
}

fn last_administrator() -> CallError {
    CallError::new(
        ErrorKind::Conflict,
        "nobody could administer this hub any more; make another administrator first (cmdr operators create NAME --role administrator)",
    )
}

fn links(hub: &Hub, key: KeyId) -> u32 {
    hub.clients().iter().filter(|(k, _)| *k == key).count() as u32
}

fn groups(hub: &Hub, operator: &str) -> Vec<(String, Role)> {
    let groups = hub.groups.of(operator).into_iter();
    groups.map(|member| (member.group.to_string(), member.role)).collect()
}

async fn whoami(hub: Arc<Hub>, asked: Asked, _: WhoAmI) -> Result<Me, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let device = hub.keyring.device(caller.key);
    let account = hub.keyring.account(&caller.name);
    Ok(Me {
        key: caller.key,
        role: caller.role,
        device: device.as_ref().map_or_else(String::new, |d| d.name.clone()),
        by: device.as_ref().map(|d| d.by).unwrap_or_default(),
        joined_ms: device.as_ref().map_or(0, |d| d.joined_ms),
        expires_ms: device.as_ref().and_then(|d| d.expires_ms),
        renewable_ms: device.as_ref().and_then(|d| d.renewable_ms),
        second_factor: account.is_some_and(|a| a.totp.is_some_and(|totp| totp.confirmed)),
        groups: groups(&hub, &caller.name),
        name: caller.name,
    })
}

async fn list(hub: Arc<Hub>, _: Asked, list: List) -> Result<Listing, CallError> {
    let now = clock::now_ms();
    let mut page = Page::new(list.limit, PAGE);
    let operators = hub.keyring.accounts().into_iter().filter(|a| a.name > list.after);
    for operator in operators.map(|account| {
        let mut devices: Vec<_> = hub
            .keyring
            .devices_of(&account.name)
            .into_iter()
            .filter(|(_, device)| !device.revoked && !device.has_expired(now))
            .map(|(key, d)| Device {
                key,
                name: d.name,
                by: d.by,
                joined_ms: d.joined_ms,
                expires_ms: d.expires_ms,
                links: links(&hub, key),
            })
            .collect();
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        Operator {
            groups: groups(&hub, &account.name),
            wait_s: hub.login.wrong.waits(&account.name).unwrap_or(0),
            name: account.name,
            full_name: account.full_name,
            role: account.role,
            source: account.source,
            disabled: account.disabled,
            password: account.password.is_some(),
            second_factor: account.totp.is_some_and(|totp| totp.confirmed),
            created_ms: account.created_ms,
            created_by: account.created_by,
            devices,
        }
    }) {
        if page.take(operator).is_break() {
            break;
        }
    }
    let (operators, more) = page.done()?;
    let next = operators.last().filter(|_| more).map(|operator: &Operator| operator.name.clone());
    Ok(Listing { operators, next: next.unwrap_or_default() })
}

/// A password that somebody else gives: whoever logs in with it has to change it.
async fn given(hub: &Hub, operator: &str, password: &str) -> Result<PasswordRecord, CallError> {
    hub.config.login.password.check(operator, password).map_err(CallError::malformed)?;
    let hash = hub.login.hasher.hash(password).await?;
    Ok(PasswordRecord { hash, set_ms: clock::now_ms(), must_change: true, earlier: Vec::new() })
}

async fn create(hub: Arc<Hub>, asked: Asked, create: Create) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    if create.role != Role::NONE && !hub.rights.exists(create.role) {
        return Err(super::roles::no_role(create.role));
    }
    let source = if create.source == Source::Unknown { Source::Local } else { create.source };
    let password = match &create.password {
        Some(_) if source != Source::Local => {
            return Err(CallError::malformed(
                "an operator of a directory has their password there, not here",
            ));
        }
        Some(password) => Some(given(&hub, &create.name, password).await?),
        None => None,
    };
    let account = AccountRecord {
        name: create.name.clone(),
        full_name: cmdr_protocol::display::clean_to_width(&create.full_name, 64),
        role: create.role,
        source,
        password,
        created_ms: clock::now_ms(),
        created_by: caller.name.clone(),
        ..AccountRecord::default()
    };
    let _changing = hub.keyring.changing().await;
    hub.keyring.create(account).await.map_err(|e| match e {
        NotMade::Taken(_) => CallError::new(ErrorKind::Conflict, e.to_string()),
        NotMade::Name(_) => CallError::malformed(e.to_string()),
        NotMade::Full | NotMade::Store(_) => busy(e),
    })?;
    tracing::info!(operator = create.name, role = %create.role, by = caller.name, "an operator was made");
    Ok(Nothing {})
}

async fn update(hub: Arc<Hub>, asked: Asked, update: Update) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    let _changing = hub.keyring.changing().await;
    if update.disabled == Some(true) && hub.keyring.is_last_administrator(&update.name) {
        return Err(last_administrator());
    }
    let changed = hub.keyring.change(&update.name, |account| {
        if let Some(full_name) = &update.full_name {
            account.full_name = cmdr_protocol::display::clean_to_width(full_name, 64);
        }
        account.disabled = update.disabled.unwrap_or(account.disabled);
    });
    if !changed.await.map_err(busy)? {
        return Err(no_operator(&update.name));
    }
    if update.disabled == Some(true) {
        hub.cut_operator(&update.name, "an administrator shut this operator out");
    }
    tracing::info!(operator = update.name, disabled = ?update.disabled, by = caller.name, "an operator was changed");
    Ok(Nothing {})
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    let _changing = hub.keyring.changing().await;
    if hub.keyring.is_last_administrator(&delete.name) {
        return Err(last_administrator());
    }
    let Some(devices) = hub.keyring.delete(&delete.name).await.map_err(busy)? else {
        return Err(no_operator(&delete.name));
    };
    for key in devices {
        hub.cut(key, "this operator was removed");
    }
    tracing::info!(operator = delete.name, by = caller.name, "an operator was removed");
    Ok(Nothing {})
}

/// Ends the logins by an operator's old password, but for one key.
async fn end_logins(hub: &Hub, operator: &str, except: Option<KeyId>) -> Result<(), CallError> {
    for (key, device) in hub.keyring.devices_of(operator) {
        let ends = device.by == cmdr_protocol::operators::By::Password && !device.revoked;
        if ends && Some(key) != except {
            hub.keyring.revoke_device(key).await.map_err(busy)?;
            hub.cut(key, "the password was changed; log in again: cmdr login");
        }
    }
    Ok(())
}

async fn set_password(hub: Arc<Hub>, asked: Asked, set: SetPassword) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    let account = hub.keyring.account(&set.name).ok_or_else(|| no_operator(&set.name))?;
    if account.source != Source::Local {
        return Err(CallError::malformed(format!(
            "{} has their password in a directory ({}), not here",
            set.name, account.source
        )));
    }
    let password = match &set.password {
        Some(password) => Some(given(&hub, &set.name, password).await?),
        None => None,
    };
    let _changing = hub.keyring.changing().await;
    if password.is_none() && hub.keyring.is_last_password(&set.name) {
        return Err(last_administrator());
    }
    hub.keyring.change(&set.name, |account| account.password = password).await.map_err(busy)?;
    hub.login.wrong.right(&set.name);
    end_logins(&hub, &set.name, None).await?;
    tracing::info!(operator = set.name, by = caller.name, "an operator was given a password");
    Ok(Nothing {})
}

async fn change_password(
    hub: Arc<Hub>,
    asked: Asked,
    change: ChangePassword,
) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let account = hub.keyring.account(&caller.name).ok_or_else(nobody)?;
    if account.source != Source::Local {
        return Err(CallError::malformed("your password is in a directory, not here"));
    }
    if let Some(wait) = hub.login.wrong.waits(&caller.name) {
        return Err(CallError::denied(format!("too many wrong tries; try again in {wait} s")));
    }
    if let Some(password) = &account.password {
        hub.login.wrong.wrong(&caller.name);
        if !hub.login.hasher.is(&change.old, Some(password.hash.clone())).await? {
            return Err(CallError::denied("the old password is wrong"));
        }
        hub.login.wrong.right(&caller.name);
    }
    let record = super::login::renewed(&hub, &account, &change.new).await?;
    let _changing = hub.keyring.changing().await;
    hub.keyring
        .change(&caller.name, |account| account.password = Some(record))
        .await
        .map_err(busy)?;
    end_logins(&hub, &caller.name, Some(caller.key)).await?;
    tracing::info!(operator = caller.name, "a password was changed");
    Ok(Nothing {})
}

async fn revoke(hub: Arc<Hub>, asked: Asked, revoke: Revoke) -> Result<Revoked, CallError> {
    let _changing = hub.keyring.changing().await;
    if hub.keyring.is_last_way_in(revoke.key) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this is the only device of an administrator; let another one log in first (cmdr tokens create --operator administrator)",
        ));
    }
    match hub.keyring.revoke_device(revoke.key).await.map_err(busy)? {
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
    let lock = |address: String, wrong: crate::lockout::Wrong, wait_s: Option<u64>| Lock {
        address,
        tries: wrong.tries,
        last_ms: wrong.last_ms,
        wait_s: wait_s.unwrap_or(0),
    };
    // More than fit into an answer help nobody to see what goes on.
    let addresses = hub.lockout.all().into_iter().take(1000);
    let operators = hub.login.wrong.all().into_iter().take(1000);
    Ok(Locked {
        addresses: addresses
            .map(|(address, wrong)| lock(address.to_string(), wrong, hub.lockout.waits(&address)))
            .collect(),
        operators: operators
            .map(|(name, wrong)| {
                let wait = hub.login.wrong.waits(&name);
                lock(name, wrong, wait)
            })
            .collect(),
    })
}

async fn unlock(hub: Arc<Hub>, asked: Asked, unlock: Unlock) -> Result<Unlocked, CallError> {
    let count = match (&unlock.address, &unlock.operator) {
        (Some(text), _) => {
            let address: IpAddr = text.parse().map_err(|_| {
                let shown = cmdr_protocol::display::clean_to_width(text, 60);
                CallError::malformed(format!(
                    "'{shown}' is no address; cmdr operators locks lists them"
                ))
            })?;
            hub.lockout.lift(Some(&crate::gate::source(address)))
        }
        (None, Some(name)) => hub.login.wrong.lift(Some(name)),
        (None, None) => hub.lockout.lift(None) + hub.login.wrong.lift(None),
    };
    tracing::info!(address = ?unlock.address, operator = ?unlock.operator, count, by = asked.caller.map(|c| c.name), "wrong tries were forgiven");
    Ok(Unlocked { count: count as u32 })
}
