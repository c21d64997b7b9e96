//! The second factor: set it up, take it away.

use super::{HubService, busy, nobody};
use crate::config::SecondFactor;
use crate::login::totp::{self, Secret};
use crate::records::TotpRecord;
use crate::server::Hub;
use crate::vault::VaultError;
use crate::vault::keepers::Keeper;
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_protocol::totp::{Begin, Confirm, Disable, Recovery, Reset, Secret as Shown};
use cmdr_protocol::{CallError, ErrorKind, Nothing};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(begin).on(confirm).on(disable).on(reset)
}

fn context(operator: &str) -> String {
    format!("totp/{operator}")
}

/// The secret of an operator's second factor.
pub(super) fn secret(hub: &Hub, operator: &str, sealed: &[u8]) -> Result<Secret, CallError> {
    let opened = hub.vault.open(&context(operator), sealed);
    opened.map(Secret::from_bytes).map_err(|e| CallError::failed(format!("the second factor: {e}")))
}

/// Seals every second factor with the newest data key.
async fn reseal(hub: &Hub) -> Result<u64, VaultError> {
    let mut count = 0;
    for name in hub.keyring.accounts().into_iter().map(|account| account.name) {
        let _changing = hub.keyring.changing().await;
        let Some(totp) = hub.keyring.account(&name).and_then(|account| account.totp) else {
            continue;
        };
        let Some(sealed) = hub.vault.reseal(&context(&name), &totp.sealed)? else { continue };
        let record = TotpRecord { sealed, ..totp };
        hub.keyring.change(&name, |account| account.totp = Some(record)).await?;
        count += 1;
    }
    Ok(count)
}

fn check(hub: &Hub) -> Vec<String> {
    let accounts = hub.keyring.accounts().into_iter();
    let sealed = accounts.filter_map(|a| a.totp.map(|totp| (context(&a.name), totp.sealed)));
    sealed.filter_map(|(at, it)| hub.vault.open(&at, &it).err().map(|e| e.to_string())).collect()
}

/// Second factors, for a rotation of data keys.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "second factors",
    reseal: |hub| Box::pin(reseal(hub)),
    check: |hub| Ok(check(hub)),
};

async fn begin(hub: Arc<Hub>, asked: Asked, begin: Begin) -> Result<Shown, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let account = hub.keyring.account(&caller.name).ok_or_else(nobody)?;
    if account.totp.is_some_and(|totp| totp.confirmed) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "there is a second factor already; take it away first: cmdr totp disable",
        ));
    }
    if let Some(password) = &account.password {
        // Whoever finds an open terminal must not lock its owner out.
        if let Some(wait) = hub.login.wrong.waits(&caller.name) {
            return Err(CallError::denied(format!("too many wrong tries; try again in {wait} s")));
        }
        hub.login.wrong.wrong(&caller.name);
        if !hub.login.hasher.is(&begin.password, Some(password.hash.clone())).await? {
            return Err(CallError::denied("the password is wrong"));
        }
        hub.login.wrong.right(&caller.name);
    }
    let secret = Secret::generate()?;
    let _sealing = hub.vault.sealing().await;
    let sealed = hub
        .vault
        .seal(&context(&caller.name), secret.as_bytes())
        .map_err(|e| CallError::failed(format!("keeping the second factor: {e}")))?;
    let record = TotpRecord { sealed, ..TotpRecord::default() };
    let _changing = hub.keyring.changing().await;
    hub.keyring.change(&caller.name, |account| account.totp = Some(record)).await.map_err(busy)?;
    let (secret, uri) = secret.shown(&caller.name);
    Ok(Shown { secret, uri })
}

async fn confirm(hub: Arc<Hub>, asked: Asked, confirm: Confirm) -> Result<Recovery, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let _changing = hub.keyring.changing().await;
    let account = hub.keyring.account(&caller.name).ok_or_else(nobody)?;
    let Some(record) = account.totp.filter(|totp| !totp.confirmed) else {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "there is no second factor that waits to be confirmed; begin with: cmdr totp enable",
        ));
    };
    let secret = secret(&hub, &caller.name, &record.sealed)?;
    let Some(last_step) = secret.step_of(confirm.code.trim(), record.last_step, clock::now_ms())
    else {
        return Err(CallError::denied(
            "this code is wrong; check that the clock of the authenticator is right",
        ));
    };
    let (codes, recovery) = totp::recovery(&caller.name)?;
    let record = TotpRecord { confirmed: true, last_step, recovery, ..record };
    hub.keyring.change(&caller.name, |account| account.totp = Some(record)).await.map_err(busy)?;
    tracing::info!(operator = caller.name, "a second factor is in use");
    Ok(Recovery { codes })
}

async fn disable(hub: Arc<Hub>, asked: Asked, disable: Disable) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let _changing = hub.keyring.changing().await;
    let account = hub.keyring.account(&caller.name).ok_or_else(nobody)?;
    let wanted = hub.config.login.second_factor == SecondFactor::Required;
    let Some(record) = account.totp else {
        return Err(CallError::not_found("there is no second factor"));
    };
    if record.confirmed && wanted {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this hub wants a second factor of everybody who logs in with a password; for another \
             authenticator ask an administrator: cmdr operators reset-totp",
        ));
    }
    if record.confirmed {
        if let Some(wait) = hub.login.wrong.waits(&caller.name) {
            return Err(CallError::denied(format!("too many wrong tries; try again in {wait} s")));
        }
        hub.login.wrong.wrong(&caller.name);
        let secret = secret(&hub, &caller.name, &record.sealed)?;
        let code = disable.code.trim();
        let by_code = secret.step_of(code, record.last_step, clock::now_ms()).is_some();
        if !by_code && !record.recovery.contains(&totp::recovery_hash(&caller.name, code)) {
            return Err(CallError::denied("this code is wrong"));
        }
        hub.login.wrong.right(&caller.name);
    }
    hub.keyring.change(&caller.name, |account| account.totp = None).await.map_err(busy)?;
    tracing::info!(operator = caller.name, "a second factor was taken away by its owner");
    Ok(Nothing {})
}

async fn reset(hub: Arc<Hub>, asked: Asked, reset: Reset) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    super::roles::only_administrators(caller.role)?;
    let _changing = hub.keyring.changing().await;
    if !hub.keyring.change(&reset.name, |account| account.totp = None).await.map_err(busy)? {
        return Err(super::operators::no_operator(&reset.name));
    }
    tracing::info!(operator = reset.name, by = caller.name, "a second factor was taken away");
    Ok(Nothing {})
}
