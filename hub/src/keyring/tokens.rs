//! Tokens: what lets new keys in, a counted number of times.

use super::{Keyring, Revocation, State};
use crate::records::{TokenRecord, token_key};
use crate::store::{Batch, StoreError};
use cmdr_link::clock;
use cmdr_link::token::{JoinToken, same_hash};
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::tokens::{TokenKind, TokenState};
use cmdr_protocol::version::{Join, Refusal, RefusalKind};

/// Tokens that have ended are forgotten after so long.
const KEEP_ENDED_MS: u64 = 7 * 24 * 3600 * 1000;
/// Tokens at once.
pub const MAX_TOKENS: usize = 10_000;

/// Whether a token still works, at this time.
pub fn token_state(token: &TokenRecord, now_ms: u64) -> TokenState {
    if token.revoked {
        TokenState::Revoked
    } else if token.uses_left == 0 {
        TokenState::Used
    } else if now_ms >= token.expires_ms {
        TokenState::Expired
    } else {
        TokenState::Valid
    }
}

pub(super) fn refuse(kind: RefusalKind, message: &str) -> Refusal {
    Refusal { kind, message: message.to_owned() }
}

fn bad_token() -> Refusal {
    refuse(
        RefusalKind::BadToken,
        "the token is wrong, or this hub never made it; ask for a new one",
    )
}

/// Whether a token works now, for this kind of peer.
fn check_token(state: &State, join: &Join, kind: TokenKind) -> Result<(), Refusal> {
    let token = join.token.and_then(|id| state.tokens.get(&id)).ok_or_else(bad_token)?;
    let stored: [u8; 32] = token.hash.as_slice().try_into().map_err(|_| bad_token())?;
    if !same_hash(&JoinToken::hash_secret(&join.secret), &stored) {
        return Err(bad_token());
    }
    match token_state(token, clock::now_ms()) {
        TokenState::Valid => {}
        TokenState::Used => {
            return Err(refuse(
                RefusalKind::UsedToken,
                "the token has been used up; ask for a new one",
            ));
        }
        TokenState::Expired => {
            return Err(refuse(
                RefusalKind::ExpiredToken,
                "the token has expired; ask for a new one",
            ));
        }
        TokenState::Revoked | TokenState::Unknown => {
            return Err(refuse(
                RefusalKind::RevokedToken,
                "the token was withdrawn; ask for a new one",
            ));
        }
    }
    if token.kind == kind {
        return Ok(());
    }
    let message = match token.kind {
        TokenKind::Operator => "this token is for operators: use it with 'cmdr login'",
        _ => "this token is for hosts: use it with 'cmdr-agentd join'",
    };
    Err(refuse(RefusalKind::WrongToken, message))
}

impl Keyring {
    /// All tokens.
    pub fn tokens(&self) -> Vec<(TokenId, TokenRecord)> {
        self.lock().tokens.iter().map(|(id, t)| (*id, t.clone())).collect()
    }

    /// Keeps a new token.
    pub async fn add_token(&self, id: TokenId, token: TokenRecord) -> Result<(), StoreError> {
        self.forget_ended().await;
        self.store.apply(Batch::new().if_absent(token_key(id)).put(token_key(id), &token)).await?;
        self.lock().tokens.insert(id, token);
        Ok(())
    }

    async fn forget_ended(&self) {
        let now = clock::now_ms();
        let ended: Vec<_> = {
            let state = self.lock();
            let long_ago = |t: &TokenRecord| t.expires_ms.saturating_add(KEEP_ENDED_MS) < now;
            state.tokens.iter().filter(|(_, t)| long_ago(t)).map(|(id, _)| *id).collect()
        };
        for id in ended {
            if self.store.apply(Batch::new().delete(token_key(id))).await.is_ok() {
                self.lock().tokens.remove(&id);
            }
        }
    }

    /// Withdraws a token.
    pub async fn revoke_token(&self, id: TokenId) -> Result<Revocation, StoreError> {
        let Some(mut token) = self.lock().tokens.get(&id).cloned() else {
            return Ok(Revocation::Unknown);
        };
        if token.revoked {
            return Ok(Revocation::Already);
        }
        token.revoked = true;
        self.store.apply(Batch::new().put(token_key(id), &token)).await?;
        if let Some(held) = self.lock().tokens.get_mut(&id) {
            held.revoked = true;
        }
        Ok(Revocation::Now)
    }

    /// Uses a token up by one and lets `batch` say what else is written with it. The use is taken
    /// before anything is awaited, so of many who come at once only as many succeed as it has uses.
    pub async fn redeem(
        &self,
        join: &Join,
        kind: TokenKind,
        batch: impl FnOnce(&TokenRecord) -> Batch,
    ) -> Result<TokenRecord, Refusal> {
        let id = join.token.ok_or_else(bad_token)?;
        let token = {
            let mut state = self.lock();
            check_token(&state, join, kind)?;
            let token = state.tokens.get_mut(&id).ok_or_else(bad_token)?;
            token.uses_left -= 1;
            token.clone()
        };
        if let Err(e) = self.store.apply(batch(&token).put(token_key(id), &token)).await {
            if let Some(token) = self.lock().tokens.get_mut(&id) {
                token.uses_left += 1;
            }
            return Err(refuse(RefusalKind::Busy, &e.to_string()));
        }
        Ok(token)
    }

    /// Whether a token would be taken now.
    pub fn would_redeem(&self, join: &Join, kind: TokenKind) -> bool {
        check_token(&self.lock(), join, kind).is_ok()
    }
}
