//! Logging in by password and directory, renewing a login, ending it. The only methods that answer
//! strangers; what they record is bounded.

use super::{HubService, busy, nobody};
use crate::audit::trail::{self, Joining};
use crate::gate::source;
use crate::keyring::Standing;
use crate::login::{directory, oidc, refresh, totp};
use crate::records::{AccountRecord, DeviceRecord, PasswordRecord};
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::login::{
    LoggedIn, Logout, MAX_PASSWORD, Offered, Oidc, Password, Renew, Step, Ways,
};
use cmdr_protocol::operators::{By, Source, check_name};
use cmdr_protocol::role::Role;
use cmdr_protocol::{Call as _, CallError, ErrorKind, Feed as _, KeyId, Nothing};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) fn register(service: HubService) -> HubService {
    service.on(ways).on(password).feed(oidc).on(renew).on(logout)
}

async fn ways(hub: Arc<Hub>, _: Asked, _: Ways) -> Result<Offered, CallError> {
    let provider = hub.config.login.oidc.as_ref();
    Ok(Offered { password: true, oidc: provider.map(|settings| settings.issuer.to_string()) })
}

/// The one answer to all that is wrong: it does not say what.
fn wrong() -> CallError {
    CallError::denied("the name, the password or the code is wrong")
}

fn too_many(what: &str, wait_s: u64) -> CallError {
    CallError::denied(format!(
        "too many wrong tries {what}; try again in {wait_s} s, or an administrator lifts it: cmdr operators unlock"
    ))
}

fn address_of(caller: &Caller) -> IpAddr {
    source(caller.address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

async fn password(hub: Arc<Hub>, asked: Asked, login: Password) -> Result<LoggedIn, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let name = login.name.trim().to_ascii_lowercase();
    let result = try_password(&hub, &caller, &name, &login).await;
    if let Err(e) = &result {
        trail::wrong_login(&hub, &caller, Password::METHOD, &name, e);
    }
    result
}

async fn try_password(
    hub: &Hub,
    caller: &Caller,
    name: &str,
    login: &Password,
) -> Result<LoggedIn, CallError> {
    let address = address_of(caller);
    if let Some(wait) = hub.lockout.waits(&address) {
        return Err(too_many("came from there", wait));
    }
    let known = name.to_owned();
    if let Some(wait) = hub.login.wrong.waits(&known) {
        // Said of names that nobody has, too.
        return Err(too_many("were made with that name", wait));
    }
    if check_name(name).is_err() || login.password.is_empty() || login.password.len() > MAX_PASSWORD
    {
        hub.lockout.wrong(&address);
        return Err(wrong());
    }
    // Counted before it is looked at, and taken back when it is right: of a thousand tries at once,
    // no more are looked at than of a thousand one after the other.
    hub.lockout.wrong(&address);
    hub.login.wrong.wrong(&known);
    let result = checked(hub, name, login).await;
    if let Err(e) = &result
        && e.kind != ErrorKind::Denied
    {
        // It was not found wrong: nothing was looked at, or more is needed.
        hub.lockout.undo(&address);
        hub.login.wrong.undo(&known);
    }
    let account = result?;
    hub.lockout.right(&address);
    hub.login.wrong.right(&known);
    let by = if account.source == Source::Ldap { By::Ldap } else { By::Password };
    bind(hub, caller, &login.device, account, by, None, Password::METHOD).await
}

/// The operator, when all that is asked for is right.
async fn checked(hub: &Hub, name: &str, login: &Password) -> Result<AccountRecord, CallError> {
    let account = vouched(hub, name, &login.password).await?;
    if account.disabled {
        return Err(shut_out(name));
    }
    // Asked for before a code is used up: it would not work a second time.
    if let Some(why) = needs_password(hub, &account).filter(|_| login.new_password.is_none()) {
        return Err(CallError::new(
            ErrorKind::NeedsPassword,
            format!("the password has to be changed, because {why}"),
        ));
    }
    let account = second_factor(hub, account, login.code.as_deref()).await?;
    fresh_password(hub, account, login).await
}

/// The operator, when name and password are right.
async fn vouched(hub: &Hub, name: &str, password: &str) -> Result<AccountRecord, CallError> {
    let account = hub.keyring.account(name);
    if let Some(settings) = &hub.config.login.ldap
        && account.as_ref().is_none_or(|account| account.source == Source::Ldap)
    {
        let vouched = directory::by_password(hub, settings, name, password).await?;
        return vouched.ok_or_else(wrong);
    }
    let local = account.as_ref().is_some_and(|account| account.source == Source::Local);
    let hash = account.as_ref().and_then(|a| a.password.as_ref()).map(|p| p.hash.clone());
    let hash = hash.filter(|_| local);
    if !hub.login.hasher.is(password, hash).await? {
        return Err(wrong());
    }
    account.ok_or_else(wrong)
}

/// Asks for the code of the second factor where there is one, and uses it up.
async fn second_factor(
    hub: &Hub,
    account: AccountRecord,
    code: Option<&str>,
) -> Result<AccountRecord, CallError> {
    let has_one =
        |account: &AccountRecord| account.totp.as_ref().is_some_and(|totp| totp.confirmed);
    if !has_one(&account) {
        return Ok(account);
    }
    let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
        return Err(CallError::new(
            ErrorKind::NeedsCode,
            "the code of the second factor is needed as well",
        ));
    };
    // Looked at and used up in one go: the same code must not work for two who come at once.
    let _changing = hub.keyring.changing().await;
    let mut account = hub.keyring.account(&account.name).filter(has_one).ok_or_else(wrong)?;
    let Some(record) = account.totp.as_mut() else { return Err(wrong()) };
    let secret = super::totp::secret(hub, &account.name, &record.sealed)?;
    let recovery = totp::recovery_hash(&account.name, code);
    if let Some(step) = secret.step_of(code, record.last_step, clock::now_ms()) {
        record.last_step = step;
    } else if let Some(at) = record.recovery.iter().position(|hash| *hash == recovery) {
        record.recovery.remove(at);
    } else {
        return Err(wrong());
    }
    let used = record.clone();
    hub.keyring.change(&account.name, |account| account.totp = Some(used)).await.map_err(busy)?;
    Ok(account)
}

/// Why the password has to be changed, when it has to be.
fn needs_password(hub: &Hub, account: &AccountRecord) -> Option<&'static str> {
    let password = account.password.as_ref().filter(|_| account.source == Source::Local)?;
    if password.must_change {
        return Some("somebody else has set it");
    }
    let old = hub.config.login.password.is_old(password.set_ms, clock::now_ms());
    old.then_some("it is too old")
}

/// Takes the new password where the old one has served its time.
async fn fresh_password(
    hub: &Hub,
    mut account: AccountRecord,
    login: &Password,
) -> Result<AccountRecord, CallError> {
    let (Some(_), Some(new)) = (needs_password(hub, &account), &login.new_password) else {
        return Ok(account);
    };
    let record = renewed(hub, &account, new).await?;
    account.password = Some(record.clone());
    let _changing = hub.keyring.changing().await;
    hub.keyring
        .change(&account.name, |account| account.password = Some(record))
        .await
        .map_err(busy)?;
    Ok(account)
}

/// What is kept of a new password that its owner has chosen.
pub(super) async fn renewed(
    hub: &Hub,
    account: &AccountRecord,
    new: &str,
) -> Result<PasswordRecord, CallError> {
    let rules = hub.config.login.password;
    rules.check(&account.name, new).map_err(CallError::malformed)?;
    let mut earlier = Vec::new();
    if let Some(old) = &account.password {
        earlier.push(old.hash.clone());
        earlier.extend(old.earlier.iter().take(rules.remembered.saturating_sub(1)).cloned());
    }
    if hub.login.hasher.is_any(new, earlier.clone()).await? {
        return Err(CallError::malformed("this password was yours before; choose another one"));
    }
    earlier.truncate(rules.remembered);
    let hash = hub.login.hasher.hash(new).await?;
    Ok(PasswordRecord { hash, set_ms: clock::now_ms(), must_change: false, earlier })
}

/// Lets the caller's key act for an operator for a time.
pub(super) async fn bind(
    hub: &Hub,
    caller: &Caller,
    device: &str,
    account: AccountRecord,
    by: By,
    refresh: Option<&Zeroizing<String>>,
    method: &'static str,
) -> Result<LoggedIn, CallError> {
    let link = hub.clients().into_iter().find(|(key, _)| *key == caller.key);
    let Some((_, link)) = link else { return Err(nobody()) };
    if let Standing::Active(device, _) = hub.keyring.standing(caller.key)
        && device.expires_ms.is_none()
    {
        return Err(CallError::new(
            ErrorKind::Conflict,
            format!(
                "this device acts for {} for good already; log out first: cmdr logout",
                device.operator
            ),
        ));
    }
    let span = hub.login.span();
    let _sealing = hub.vault.sealing().await;
    let name = cmdr_protocol::display::clean_to_width(device, 64);
    let device = DeviceRecord {
        key: link.peer(),
        name: if name.is_empty() { account.name.clone() } else { name },
        operator: account.name.clone(),
        role: Role::NONE,
        by,
        joined_ms: clock::now_ms(),
        expires_ms: Some(span.expires_ms),
        renewable_ms: Some(span.renewable_ms),
        program: None,
        revoked: false,
        signing: Vec::new(),
        refresh: match refresh {
            Some(token) => sealed(hub, caller.key, token)?,
            None => Vec::new(),
        },
    };
    let owes_factor = hub.config.login.owes_factor(&device, &account);
    let refused =
        |refusal: cmdr_protocol::version::Refusal| CallError::new(ErrorKind::Busy, refusal.message);
    let joining = Joining::login(hub, caller, method, &account.name).await.map_err(refused)?;
    let bound = hub.keyring.bind(device).await.map_err(|e| {
        let kind = cmdr_protocol::version::RefusalKind::Busy;
        cmdr_protocol::version::Refusal { kind, message: e.to_string() }
    });
    let told = bound.as_ref().map(|()| format!("{} logged in ({})", account.name, account.role));
    joining.end(told).await;
    bound.map_err(refused)?;
    tracing::info!(operator = account.name, key = %caller.key, by = %by, "an operator logged in");
    Ok(LoggedIn {
        name: account.name,
        role: account.role,
        expires_ms: span.expires_ms,
        renewable_ms: span.renewable_ms,
        owes_factor,
    })
}

fn sealed(hub: &Hub, device: KeyId, token: &str) -> Result<Vec<u8>, CallError> {
    refresh::seal(hub, device, token)
        .map_err(|e| CallError::failed(format!("keeping what the provider can be asked with: {e}")))
}

async fn oidc(
    hub: Arc<Hub>,
    asked: Asked,
    login: Oidc,
    feeding: Feeding<Oidc>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let Some(settings) = hub.config.login.oidc.clone() else {
        return Err(CallError::not_found("this hub has no OpenID Connect provider"));
    };
    let Ok(_place) = hub.login.browsers.try_acquire() else {
        return Err(busy("too many log in with a browser now; try again in a moment"));
    };
    let result = try_oidc(&hub, &caller, &settings, &login, &feeding).await;
    if let Err(e) = &result {
        trail::wrong_login(&hub, &caller, Oidc::METHOD, "", e);
    }
    result
}

async fn try_oidc(
    hub: &Hub,
    caller: &Caller,
    settings: &oidc::Settings,
    login: &Oidc,
    feeding: &Feeding<Oidc>,
) -> Result<(), CallError> {
    let started = directory::begin_oidc(hub, settings).await?;
    let step = Step {
        uri: started.verification_uri.clone(),
        uri_complete: started.verification_uri_complete.clone().unwrap_or_default(),
        code: started.user_code.clone(),
        expires_s: started.expires_in,
        done: None,
    };
    feeding.send(&step).await?;
    let (account, refresh) = directory::finish_oidc(hub, settings, started).await?;
    if account.disabled {
        return Err(shut_out(&account.name));
    }
    let refresh = refresh.as_ref();
    let done = bind(hub, caller, &login.device, account, By::Oidc, refresh, Oidc::METHOD).await?;
    feeding.send(&Step { done: Some(done), ..Step::default() }).await
}

fn shut_out(name: &str) -> CallError {
    CallError::denied(format!("the operator {name} was shut out; ask an administrator"))
}

async fn renew(hub: Arc<Hub>, asked: Asked, _: Renew) -> Result<LoggedIn, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let _alone = match hub.keyring.device(caller.key) {
        Some(device) if device.by == By::Oidc => Some(hub.login.renewing.lock().await),
        _ => None,
    };
    // Read only now: another client of this device may have renewed it meanwhile.
    let Standing::Active(device, account) = hub.keyring.standing(caller.key) else {
        return Err(nobody());
    };
    let (Some(expires_ms), Some(renewable_ms)) = (device.expires_ms, device.renewable_ms) else {
        return Err(CallError::malformed(
            "this device's login does not end, so it needs no renewing",
        ));
    };
    let login = &hub.config.login;
    let refresh = refresh::open(&hub, caller.key, &device)
        .map_err(|e| CallError::failed(format!("what the provider can be asked with: {e}")))?;
    let mut renewed = None;
    let account = match (device.by, &login.ldap, &login.oidc, refresh) {
        (By::Ldap, Some(settings), _, _) => {
            match directory::still_there(&hub, settings, &account.name).await? {
                Some(account) => account,
                None => return Err(gone(&hub, caller.key).await),
            }
        }
        (By::Oidc, _, Some(settings), Some(refresh)) => {
            let _sealing = hub.vault.sealing().await;
            let asked = directory::still_let_in(&hub, settings, &account.name, &refresh).await?;
            let Some((account, refresh)) = asked else {
                return Err(gone(&hub, caller.key).await);
            };
            renewed = refresh.map(|token| sealed(&hub, caller.key, &token)).transpose()?;
            account
        }
        (By::Ldap, None, ..) | (By::Oidc, _, None, _) => {
            return Err(CallError::denied(
                "this hub does not ask the directory any more by which you came; log in again",
            ));
        }
        _ => *account,
    };
    // Never shorter than it was: a clock that was put back must not end a login.
    let expires_ms = hub.login.renewed(renewable_ms).max(expires_ms);
    let changing = hub.keyring.changing().await;
    let changed = hub.keyring.change_device(caller.key, |device| {
        device.expires_ms = Some(expires_ms);
        if let Some(refresh) = renewed {
            device.refresh = refresh;
        }
    });
    changed.await.map_err(busy)?;
    drop(changing);
    let owes_factor = hub.config.login.owes_factor(&device, &account);
    Ok(LoggedIn { name: account.name, role: account.role, expires_ms, renewable_ms, owes_factor })
}

/// Whoever vouched for the operator of this device does so no more.
async fn gone(hub: &Hub, device: KeyId) -> CallError {
    let why = "the directory does not know you any more, or no group of yours may come in";
    if let Err(e) = hub.keyring.revoke_device(device).await {
        return busy(e);
    }
    hub.cut(device, why);
    CallError::denied(why)
}

async fn logout(hub: Arc<Hub>, asked: Asked, _: Logout) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let _changing = hub.keyring.changing().await;
    if hub.keyring.is_last_way_in(caller.key) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            "this is the only device of an administrator, and nobody could come in any more",
        ));
    }
    hub.keyring.revoke_device(caller.key).await.map_err(busy)?;
    hub.cut(caller.key, "logged out");
    Ok(Nothing {})
}
