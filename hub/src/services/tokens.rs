//! Join tokens: make, list, withdraw.

use super::{HubService, nobody};
use crate::fleet::check_labels;
use crate::keyring::{self, MAX_TOKENS, Revocation};
use crate::records::TokenRecord;
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_link::token::JoinToken;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{Create, Created, List, Listing, Revoke, Token, TokenKind};
use cmdr_protocol::{CallError, ErrorKind, Revoked, address};
use std::sync::Arc;

/// The longest life of a token.
pub const LONGEST_TTL_S: u64 = 30 * 24 * 3600;

pub(super) fn register(service: HubService) -> HubService {
    service.on(create).on(list).on(revoke)
}

async fn create(hub: Arc<Hub>, asked: Asked, create: Create) -> Result<Created, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    if create.kind == TokenKind::Operator {
        let who = hub.who(&caller);
        // A second self could approve what the first one asks for; a program would outlive its key.
        let own = create.operator == caller.name;
        if who.program.is_some() || caller.role != Role::ADMINISTRATOR && !own {
            return Err(CallError::denied(
                "only an administrator makes tokens for operators; anybody who may make tokens makes them for devices of their own: cmdr tokens create --for YOU",
            ));
        }
    }
    make(&hub, &create, &caller.name).await
}

/// Makes a token; also used for the very first one.
pub(crate) async fn make(hub: &Hub, create: &Create, by: &str) -> Result<Created, CallError> {
    if !(1..=LONGEST_TTL_S).contains(&create.ttl_s) {
        return Err(CallError::malformed("a token lives from 1 second to 30 days"));
    }
    if create.uses == 0 {
        return Err(CallError::malformed("a token can be used at least once"));
    }
    let account = match (create.kind, create.operator.as_str()) {
        (TokenKind::Operator, name) if !name.is_empty() => {
            Some(hub.keyring.account(name).ok_or_else(|| super::operators::no_operator(name))?)
        }
        _ => None,
    };
    let role = account.as_ref().map_or(create.role, |account| account.role);
    let role_fits = match create.kind {
        TokenKind::Operator if account.is_some() => true,
        TokenKind::Operator if create.role != Role::NONE && !hub.rights.exists(create.role) => {
            return Err(super::roles::no_role(create.role));
        }
        TokenKind::Operator => create.role != Role::NONE,
        TokenKind::Host => true,
        TokenKind::Unknown => {
            return Err(CallError::malformed("a token is for a host or for an operator"));
        }
    };
    if !role_fits {
        return Err(CallError::malformed(
            "a token for operators names an operator, or a role: administrator, operator, developer, observer or one of your own",
        ));
    }
    check_labels(&create.labels)?;
    if !create.address.is_empty() {
        address::check(&create.address).map_err(CallError::malformed)?;
    }
    if hub.keyring.tokens().len() >= MAX_TOKENS {
        return Err(CallError::new(
            ErrorKind::Busy,
            format!("there are {MAX_TOKENS} tokens already; old ones end by themselves"),
        ));
    }
    let address =
        if create.address.is_empty() { hub.address.clone() } else { create.address.clone() };
    let token = JoinToken::generate(address, hub.keys.public())
        .map_err(|e| CallError::failed(format!("the system has no random numbers: {e}")))?;
    let now = clock::now_ms();
    let expires_ms = now.saturating_add(create.ttl_s * 1000);
    let record = TokenRecord {
        hash: JoinToken::hash_secret(token.secret.as_ref()).to_vec(),
        kind: create.kind,
        role,
        operator: account.map(|account| account.name).unwrap_or_default(),
        uses: create.uses,
        uses_left: create.uses,
        labels: create.labels.clone(),
        created_ms: now,
        expires_ms,
        created_by: by.to_owned(),
        revoked: false,
    };
    let kept = hub.keyring.add_token(token.id, record).await;
    kept.map_err(|e| CallError::new(ErrorKind::Busy, e.to_string()))?;
    tracing::info!(token = %token.id, kind = %create.kind, role = %create.role, uses = create.uses, by, "a token was made");
    Ok(Created { text: token.to_text(), expires_ms })
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(listing(&hub))
}

/// All tokens, newest first.
pub(crate) fn listing(hub: &Hub) -> Listing {
    let now = clock::now_ms();
    let mut tokens: Vec<_> = hub
        .keyring
        .tokens()
        .into_iter()
        .map(|(id, t)| Token {
            id,
            kind: t.kind,
            role: t.role,
            state: keyring::token_state(&t, now),
            operator: t.operator,
            uses_left: t.uses_left,
            uses: t.uses,
            labels: t.labels,
            created_ms: t.created_ms,
            expires_ms: t.expires_ms,
            created_by: t.created_by,
        })
        .collect();
    tokens.sort_by_key(|t| std::cmp::Reverse(t.created_ms));
    Listing { tokens }
}

async fn revoke(hub: Arc<Hub>, asked: Asked, revoke: Revoke) -> Result<Revoked, CallError> {
    let done = hub.keyring.revoke_token(revoke.id).await;
    match done.map_err(|e| CallError::new(ErrorKind::Busy, e.to_string()))? {
        Revocation::Unknown => {
            return Err(CallError::not_found(format!("there is no token {}", revoke.id)));
        }
        Revocation::Already => return Ok(Revoked { already: true }),
        Revocation::Now => {}
    }
    tracing::info!(token = %revoke.id, by = asked.caller.map(|c| c.name), "a token was withdrawn");
    Ok(Revoked::default())
}
