//! Join tokens: make, list, withdraw.

use super::pages::Page;
use super::{HubService, nobody};
use crate::fleet::check_labels;
use crate::keyring::{self, MAX_TOKENS, Revocation};
use crate::records::TokenRecord;
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_link::token::JoinToken;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{Create, Created, List, Listing, PAGE, Revoke, Token, TokenKind};
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

async fn list(hub: Arc<Hub>, _: Asked, list: List) -> Result<Listing, CallError> {
    page(listing(&hub).tokens, &list)
}

/// Where a token stands in the list: the newest first.
fn place(token: &Token) -> String {
    format!("{:016x}.{}", u64::MAX - token.created_ms, token.id)
}

/// What was asked for of all tokens.
fn page(tokens: Vec<Token>, list: &List) -> Result<Listing, CallError> {
    let mut page = Page::new(list.limit, PAGE);
    for token in tokens.into_iter().filter(|token| place(token) > list.after) {
        if page.take(token).is_break() {
            break;
        }
    }
    let (tokens, more) = page.done()?;
    let next = tokens.last().filter(|_| more).map(place);
    Ok(Listing { tokens, next: next.unwrap_or_default() })
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
    tokens.sort_by_cached_key(place);
    Listing { tokens, next: String::new() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ids::TokenId;
    use cmdr_protocol::pages::Paged as _;

    fn tokens(count: u64) -> Vec<Token> {
        let token = |n: u64| Token {
            id: TokenId(n.to_be_bytes()),
            kind: TokenKind::Host,
            role: Role::NONE,
            operator: String::new(),
            state: cmdr_protocol::tokens::TokenState::Valid,
            uses_left: 1,
            uses: 1,
            labels: (0..20).map(|n| (format!("key{n}"), "x".repeat(200))).collect(),
            // Several of the same moment.
            created_ms: n / 3,
            expires_ms: 1,
            created_by: "ann".into(),
        };
        let mut tokens: Vec<_> = (0..count).map(token).collect();
        tokens.sort_by_cached_key(place);
        tokens
    }

    #[test]
    fn more_tokens_than_one_answer_holds_come_in_pages_each_once_and_the_newest_first() {
        let all = tokens(1000);
        let whole = page(all.clone(), &List::default()).unwrap_err();
        assert!(whole.message.contains("ask for pages"), "{whole}");
        let mut asked = List::all();
        let mut got = page(all.clone(), &asked).unwrap();
        while let Some(next) = asked.following(&got) {
            List::join(&mut got, page(all.clone(), &next).unwrap());
            asked = next;
        }
        assert_eq!(got.tokens, all);
        assert!(got.tokens.is_sorted_by_key(|token| std::cmp::Reverse(token.created_ms)));
        // Programs from before there were pages get the list as they always did.
        let few = tokens(20);
        assert_eq!(page(few.clone(), &List::default()).unwrap().tokens, few);
    }
}
