//! Who a program is: the key that it shows with each request. A right one stands for exactly what it would
//! be on a link; wrong ones are counted by [`crate::lockout`].

use super::Api;
use super::listener::Connection;
use super::problem::Problem;
use crate::admission;
use crate::audit::trail;
use crate::gate::source;
use crate::keyring::Standing;
use crate::records::{DeviceRecord, HttpRecord};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use cmdr_link::bearer::Bearer;
use cmdr_link::token::same_hash;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::version::RefusalKind;
use cmdr_protocol::{CallError, ErrorKind, KeyId};
use std::net::IpAddr;
use std::sync::Arc;

/// Asks for an operator, with a key that was shown.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) api: Arc<Api>,
    pub(super) caller: Arc<Caller>,
}

impl FromRequestParts<Arc<Api>> for Program {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let connection = parts.extensions.get::<Connection>().cloned().ok_or_else(|| {
            Problem::from(CallError::failed("the connection of this request is not known"))
        })?;
        let caller = admit(api, &parts.headers, connection.address)?;
        connection.is_known(api, caller.key)?;
        if let Err(seconds) = api.rates.key(caller.key) {
            return Err(Problem::too_many(
                seconds,
                format!("too many requests came with this key; try again in {seconds} s"),
            ));
        }
        api.hub.note_use(caller.key, connection.address);
        Ok(Self { api: api.clone(), caller: Arc::new(caller) })
    }
}

fn shown(headers: &HeaderMap) -> Result<Bearer, Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(Problem::unauthorized(
            "show a key: 'Authorization: Bearer cmdrhttp1-…'; make one with: cmdr keys create NAME --verb VERB --http",
        ));
    };
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    match text {
        Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") => {
            Bearer::parse(text.trim()).map_err(|e| Problem::unauthorized(e.to_string()))
        }
        _ => Err(Problem::unauthorized(
            "the header Authorization is of another kind; send: Authorization: Bearer cmdrhttp1-…",
        )),
    }
}

fn known_hash(device: &DeviceRecord) -> Option<[u8; 32]> {
    let HttpRecord { hash, .. } = device.program.as_ref()?.http.as_ref()?;
    hash.as_slice().try_into().ok()
}

fn admit(api: &Api, headers: &HeaderMap, address: IpAddr) -> Result<Caller, Problem> {
    let hub = &api.hub;
    let bearer = shown(headers)?;
    let standing = hub.keyring.standing(bearer.key);
    let device = match &standing {
        Standing::Unknown => None,
        Standing::Revoked(device)
        | Standing::Expired(device)
        | Standing::Disabled(device)
        | Standing::Active(device, _) => Some(device),
    };
    let hash = device.and_then(|device| known_hash(device));
    // Compared in any case, so that the time does not tell which keys there are.
    let same = same_hash(&hash.unwrap_or_default(), &bearer.hash());
    if hash.is_none() || !same {
        return Err(wrong(api, bearer.key, address));
    }
    admission::program(hub, bearer.key, standing, address).map_err(|refusal| {
        let caller = nobody(bearer.key, address);
        let error = CallError::denied(refusal.message.clone());
        trail::refused_guest(hub, &caller, "http", &error);
        match refusal.kind {
            RefusalKind::UnknownKey | RefusalKind::LoginExpired => {
                Problem::unauthorized(refusal.message)
            }
            _ => Problem::new(StatusCode::FORBIDDEN, ErrorKind::Denied, refusal.message),
        }
    })
}

fn nobody(key: KeyId, address: IpAddr) -> Caller {
    Caller {
        key,
        name: String::new(),
        operator: String::new(),
        role: cmdr_protocol::role::Role::NONE,
        address: address.to_string(),
    }
}

/// A secret that is not the key's. Whoever shows a right one is not made to wait for those who do not.
fn wrong(api: &Api, key: KeyId, address: IpAddr) -> Problem {
    let hub = &api.hub;
    let why = "this key is not known here; it was mistyped, or belongs to another hub";
    let waits = hub.lockout.waits(&source(address));
    if let Some(wait) = waits {
        return Problem::too_many(
            wait,
            format!(
                "too many keys that are not known came from {address}; it may try again in {wait} s, or an administrator lets it: cmdr operators unlock {address}"
            ),
        );
    }
    trail::wrong_bearer(hub, &nobody(key, address), &CallError::denied(why));
    if let Some(wait) = hub.lockout.wrong(&source(address)) {
        tracing::warn!(%address, wait_s = wait, "locked out after too many keys that are not known");
    }
    Problem::unauthorized(why)
}
