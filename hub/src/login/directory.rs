//! What the hub makes of somebody whom a directory vouches for: an operator, with the role that their
//! groups give. Asked by the service `login`.

use super::groups::{Mapping, role_of};
use super::person::{Person, Unable};
use super::{ldap, oidc};
use crate::records::AccountRecord;
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_protocol::operators::{Source, check_name};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind};
use zeroize::Zeroizing;

/// A secret of the hub's own for a directory, by its name in the vault; none when it has no name.
fn secret(hub: &Hub, name: &str, part: &str) -> Result<Option<Zeroizing<String>>, CallError> {
    if name.is_empty() {
        return Ok(None);
    }
    let wrong = |what: String| CallError::failed(format!("the secret {name} for {part}: {what}"));
    let kept = hub.vault.secret(name, part).map_err(|e| wrong(e.to_string()))?;
    let Some(bytes) = kept else {
        return Err(wrong("nobody has put it yet; an administrator does: cmdr secrets put".into()));
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not text".to_owned()))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// What a caller hears of a directory that did not vouch. `Wrong` is said by the caller of this.
fn told(unable: &Unable) -> CallError {
    match unable {
        Unable::Wrong => CallError::denied("the name or the password is wrong"),
        Unable::Refused(_) => CallError::denied(unable.to_string()),
        Unable::Down(what) => CallError::new(
            ErrorKind::Unreachable,
            format!(
                "the directory cannot be asked now, so only operators of the hub's own can log in: {what}"
            ),
        ),
        Unable::Misconfigured(what) => {
            CallError::failed(format!("the hub's directory is not configured right: {what}"))
        }
    }
}

/// An operator of the LDAP directory, when name and password are right there.
pub async fn by_password(
    hub: &Hub,
    settings: &ldap::Settings,
    name: &str,
    password: &str,
) -> Result<Option<AccountRecord>, CallError> {
    let bind = secret(hub, &settings.bind_password_secret, "ldap")?;
    match ldap::authenticate(settings, bind.as_ref(), name, password).await {
        Ok(person) => operator(hub, &person, &settings.groups, Source::Ldap).await.map(Some),
        Err(Unable::Wrong) => Ok(None),
        Err(unable) => {
            tracing::warn!("asking the LDAP directory: {unable}");
            Err(told(&unable))
        }
    }
}

/// Whether the LDAP directory still has an operator; they get the role that their groups give now.
pub async fn still_there(
    hub: &Hub,
    settings: &ldap::Settings,
    name: &str,
) -> Result<Option<AccountRecord>, CallError> {
    let bind = secret(hub, &settings.bind_password_secret, "ldap")?;
    match ldap::look_up(settings, bind.as_ref(), name).await {
        Ok(Some(person)) if role_of(&person.groups, &settings.groups).is_none() => Ok(None),
        Ok(Some(person)) => operator(hub, &person, &settings.groups, Source::Ldap).await.map(Some),
        Ok(None) => Ok(None),
        Err(unable) => Err(told(&unable)),
    }
}

/// An operator, and what the provider can be asked again with.
pub type Refreshed = (AccountRecord, Option<Zeroizing<String>>);

/// Begins a login with a browser.
pub async fn begin_oidc(hub: &Hub, settings: &oidc::Settings) -> Result<oidc::Started, CallError> {
    let own = secret(hub, &settings.client_secret_secret, "oidc")?;
    oidc::begin(settings, own.as_ref()).await.map_err(|e| told(&e))
}

/// The operator, once they have confirmed in their browser.
pub async fn finish_oidc(
    hub: &Hub,
    settings: &oidc::Settings,
    started: oidc::Started,
) -> Result<Refreshed, CallError> {
    let own = secret(hub, &settings.client_secret_secret, "oidc")?;
    let vouched = oidc::finish(settings, own.as_ref(), started).await.map_err(|e| match e {
        Unable::Wrong => CallError::denied("the provider did not let you in"),
        other => told(&other),
    })?;
    let account = operator(hub, &vouched.person, &settings.groups, Source::Oidc).await?;
    Ok((account, vouched.refresh))
}

/// Whether the provider still lets an operator in; they get the role that their groups give now.
pub async fn still_let_in(
    hub: &Hub,
    settings: &oidc::Settings,
    name: &str,
    refresh: &Zeroizing<String>,
) -> Result<Option<Refreshed>, CallError> {
    let own = secret(hub, &settings.client_secret_secret, "oidc")?;
    let asked = oidc::again(settings, own.as_ref(), refresh).await.map_err(|e| told(&e))?;
    // Somebody else by now is nobody whom this device may act for.
    let Some(vouched) = asked.filter(|v| v.person.name.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    if role_of(&vouched.person.groups, &settings.groups).is_none() {
        return Ok(None);
    }
    let account = operator(hub, &vouched.person, &settings.groups, Source::Oidc).await?;
    Ok(Some((account, vouched.refresh)))
}

/// The operator whom a directory vouches for, made or brought up to date.
async fn operator(
    hub: &Hub,
    person: &Person,
    mappings: &[Mapping],
    source: Source,
) -> Result<AccountRecord, CallError> {
    let name = person.name.to_ascii_lowercase();
    check_name(&name).map_err(CallError::denied)?;
    let Some(role) = role_of(&person.groups, mappings) else {
        return Err(CallError::denied(format!(
            "{name} is known to the directory, but none of their groups may come in here; an administrator maps groups to roles in the hub's configuration"
        )));
    };
    if !hub.rights.exists(role) {
        return Err(CallError::denied(format!(
            "the role {role} of {name}'s group does not exist here"
        )));
    }
    let busy = |e: &dyn std::fmt::Display| CallError::new(ErrorKind::Busy, e.to_string());
    let _changing = hub.keyring.changing().await;
    let Some(known) = hub.keyring.account(&name) else {
        let account = AccountRecord {
            full_name: person.full_name.clone(),
            role,
            source,
            created_ms: clock::now_ms(),
            created_by: format!("the directory ({source})"),
            name,
            ..AccountRecord::default()
        };
        hub.keyring.create(account.clone()).await.map_err(|e| busy(&e))?;
        return Ok(account);
    };
    if known.source != source {
        // Else whoever rules the directory could become any operator of the hub's own.
        return Err(CallError::denied(format!(
            "an operator {name} is here already who is not the directory's ({}); an administrator has to remove or rename one of them",
            known.source
        )));
    }
    if known.role == role && known.full_name == person.full_name {
        return Ok(known);
    }
    let account = AccountRecord { role, full_name: person.full_name.clone(), ..known.clone() };
    let changed = hub.keyring.change(&name, |kept| *kept = account.clone());
    changed.await.map_err(|e| busy(&e))?;
    if known.role != Role::NONE && known.role != role {
        hub.cut_operator(&name, "your groups have changed, and so have your rights; connect again");
    }
    Ok(account)
}
