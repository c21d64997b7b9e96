//! Who may act: operators' devices, and the tokens that let new keys in.
//!
//! Both are held in memory and changed only together with the store: what is not on disk has not
//! happened. Asked by [`crate::admission`] and by the services of the same names.

use crate::records::{OperatorRecord, TokenRecord, operator_key, prefix, token_key};
use crate::store::{Batch, Store, StoreError};
use cmdr_link::clock;
use cmdr_link::token::{JoinToken, same_hash};
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{TokenKind, TokenState};
use cmdr_protocol::version::{Join, Refusal, RefusalKind};
use cmdr_protocol::{KeyId, PublicKey};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tokens that have ended are forgotten after so long.
const KEEP_ENDED_MS: u64 = 7 * 24 * 3600 * 1000;
/// Tokens at once.
pub const MAX_TOKENS: usize = 10_000;

/// Operators and tokens.
#[derive(Debug)]
pub struct Keyring {
    store: Store,
    state: Mutex<State>,
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    operators: BTreeMap<KeyId, OperatorRecord>,
    tokens: BTreeMap<TokenId, TokenRecord>,
}

/// What came of taking something away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// There is no such thing.
    Unknown,
    /// It had been taken away before.
    Already,
    /// It is taken away now.
    Now,
}

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

fn refuse(kind: RefusalKind, message: &str) -> Refusal {
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
    /// Reads everything from the store; a damaged record is logged and left out.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut state = State::default();
        for record in store.scan::<OperatorRecord>(prefix::OPERATOR)? {
            match record {
                Ok((_, operator)) => {
                    state.operators.insert(cmdr_link::keys::key_id(&operator.key), operator);
                }
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        for record in store.scan::<TokenRecord>(prefix::TOKEN)? {
            match record.map(|(key, token)| (key[prefix::TOKEN.len()..].parse(), token)) {
                Ok((Ok(id), token)) => {
                    state.tokens.insert(id, token);
                }
                Ok((Err(e), _)) => tracing::error!("a token record without a proper key: {e}"),
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        Ok(Self { store, state: Mutex::new(state), changing: tokio::sync::Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator whose device has this key.
    pub fn operator(&self, id: KeyId) -> Option<OperatorRecord> {
        self.lock().operators.get(&id).filter(|o| !o.revoked).cloned()
    }

    /// The role of a device; none when it was taken away, absent when the device was never known.
    pub fn role(&self, id: KeyId) -> Option<Role> {
        self.lock().operators.get(&id).map(|o| if o.revoked { Role::NONE } else { o.role })
    }

    /// Held by whoever looks at a device's rights and then changes them, so that no change undoes
    /// another and no two together take the last administrator away.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Whether this device is the only one that may administer the hub.
    pub fn is_last_administrator(&self, id: KeyId) -> bool {
        let state = self.lock();
        let mut able =
            state.operators.iter().filter(|(_, o)| o.role == Role::ADMINISTRATOR && !o.revoked);
        able.next().is_some_and(|(only, _)| *only == id) && able.next().is_none()
    }

    /// Gives a device another role. False when there is no such device.
    pub async fn assign(&self, id: KeyId, role: Role) -> Result<bool, StoreError> {
        let Some(mut operator) = self.operator(id) else { return Ok(false) };
        operator.role = role;
        self.store.apply(Batch::new().put(operator_key(id), &operator)).await?;
        self.lock().operators.insert(id, operator);
        Ok(true)
    }

    /// Whether this key had rights that were taken away.
    pub fn is_revoked(&self, id: KeyId) -> bool {
        self.lock().operators.get(&id).is_some_and(|o| o.revoked)
    }

    /// All operators' devices that have rights.
    pub fn operators(&self) -> Vec<(KeyId, OperatorRecord)> {
        let state = self.lock();
        state.operators.iter().filter(|(_, o)| !o.revoked).map(|(id, o)| (*id, o.clone())).collect()
    }

    /// Whether anyone may administer this hub, or can still become one who may.
    pub fn has_administrator(&self) -> bool {
        let (now, state) = (clock::now_ms(), self.lock());
        state.operators.values().any(|o| o.role == Role::ADMINISTRATOR && !o.revoked)
            || state.tokens.values().any(|t| {
                t.kind == TokenKind::Operator
                    && t.role == Role::ADMINISTRATOR
                    && token_state(t, now) == TokenState::Valid
            })
    }

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

    /// Takes in an operator's device with a token.
    pub async fn login(
        &self,
        key: PublicKey,
        name: &str,
        join: &Join,
    ) -> Result<OperatorRecord, Refusal> {
        let id = cmdr_link::keys::key_id(&key);
        let name: String = cmdr_protocol::display::clean_to_width(name, 64);
        let make = |token: &TokenRecord| OperatorRecord {
            key,
            name: if name.is_empty() { "operator".to_owned() } else { name.clone() },
            role: token.role,
            joined_ms: clock::now_ms(),
            revoked: false,
        };
        let token = self
            .redeem(join, TokenKind::Operator, |token| {
                Batch::new().put(operator_key(id), &make(token))
            })
            .await?;
        let operator = make(&token);
        self.lock().operators.insert(id, operator.clone());
        Ok(operator)
    }

    /// Takes a device's rights away.
    pub async fn revoke_operator(&self, id: KeyId) -> Result<Revocation, StoreError> {
        let Some(mut operator) = self.lock().operators.get(&id).cloned() else {
            return Ok(Revocation::Unknown);
        };
        if operator.revoked {
            return Ok(Revocation::Already);
        }
        operator.revoked = true;
        self.store.apply(Batch::new().put(operator_key(id), &operator)).await?;
        self.lock().operators.insert(id, operator);
        Ok(Revocation::Now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> (tempfile::TempDir, Keyring) {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Keyring::load(Store::open(dir.path()).unwrap()).unwrap();
        (dir, keyring)
    }

    fn token(uses: u32, expires_ms: u64) -> (TokenId, Join, TokenRecord) {
        let made = JoinToken::generate(String::new(), PublicKey([0; 32])).unwrap();
        let record = TokenRecord {
            hash: JoinToken::hash_secret(made.secret.as_ref()).to_vec(),
            kind: TokenKind::Host,
            role: Role::NONE,
            uses,
            uses_left: uses,
            labels: BTreeMap::new(),
            created_ms: 0,
            expires_ms,
            created_by: String::new(),
            revoked: false,
        };
        let join = Join { token: Some(made.id), secret: made.secret.to_vec() };
        (made.id, join, record)
    }

    async fn outcome(keyring: &Keyring, join: &Join, kind: TokenKind) -> Result<(), RefusalKind> {
        keyring.redeem(join, kind, |_| Batch::new()).await.map(drop).map_err(|r| r.kind)
    }

    #[tokio::test]
    async fn a_single_use_token_offered_a_thousand_times_at_once_succeeds_once() {
        let (_dir, keyring) = keyring();
        let (id, join, record) = token(1, u64::MAX);
        keyring.add_token(id, record).await.unwrap();
        let keyring = std::sync::Arc::new(keyring);
        let tries: Vec<_> = (0..1000)
            .map(|_| {
                let (keyring, join) = (keyring.clone(), join.clone());
                tokio::spawn(async move { outcome(&keyring, &join, TokenKind::Host).await })
            })
            .collect();
        let mut results = Vec::new();
        for each in tries {
            results.push(each.await.unwrap());
        }
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
        assert_eq!(results.iter().filter(|r| **r == Err(RefusalKind::UsedToken)).count(), 999);
    }

    #[tokio::test]
    async fn each_token_that_must_not_work_says_why() {
        let (_dir, keyring) = keyring();
        let (id, join, record) = token(2, u64::MAX);
        keyring.add_token(id, record).await.unwrap();
        let wrong = Join { secret: vec![0; 16], ..join.clone() };
        assert_eq!(outcome(&keyring, &wrong, TokenKind::Host).await, Err(RefusalKind::BadToken));
        let unknown = Join { token: Some(TokenId([0; 8])), ..join.clone() };
        assert_eq!(outcome(&keyring, &unknown, TokenKind::Host).await, Err(RefusalKind::BadToken));
        assert_eq!(
            outcome(&keyring, &join, TokenKind::Operator).await,
            Err(RefusalKind::WrongToken)
        );
        assert_eq!(outcome(&keyring, &join, TokenKind::Host).await, Ok(()));
        keyring.revoke_token(id).await.unwrap();
        assert_eq!(outcome(&keyring, &join, TokenKind::Host).await, Err(RefusalKind::RevokedToken));
        let (id, join, record) = token(1, 1);
        keyring.add_token(id, record).await.unwrap();
        assert_eq!(outcome(&keyring, &join, TokenKind::Host).await, Err(RefusalKind::ExpiredToken));
    }

    #[tokio::test]
    async fn what_is_taken_away_twice_is_told_so_and_may_come_back_with_a_new_token() {
        let (_dir, keyring) = keyring();
        let (id, _, record) = token(2, u64::MAX);
        assert_eq!(keyring.revoke_token(id).await.unwrap(), Revocation::Unknown);
        keyring.add_token(id, record).await.unwrap();
        assert_eq!(keyring.revoke_token(id).await.unwrap(), Revocation::Now);
        assert_eq!(keyring.revoke_token(id).await.unwrap(), Revocation::Already);
        let key = PublicKey([7; 32]);
        let device = cmdr_link::keys::key_id(&key);
        assert_eq!(keyring.revoke_operator(device).await.unwrap(), Revocation::Unknown);
        for _ in 0..2 {
            let (id, join, record) = token(1, u64::MAX);
            let record =
                TokenRecord { kind: TokenKind::Operator, role: Role::ADMINISTRATOR, ..record };
            keyring.add_token(id, record).await.unwrap();
            keyring.login(key, "ann@desk", &join).await.unwrap();
            assert!(keyring.operator(device).is_some() && keyring.has_administrator());
            assert_eq!(keyring.revoke_operator(device).await.unwrap(), Revocation::Now);
            assert_eq!(keyring.revoke_operator(device).await.unwrap(), Revocation::Already);
            assert!(keyring.is_revoked(device) && !keyring.has_administrator());
            assert_eq!(keyring.operator(device), None);
            assert!(keyring.operators().is_empty());
        }
    }

    #[tokio::test]
    async fn uses_are_counted_across_a_restart() {
        let (dir, keyring) = keyring();
        let (id, join, record) = token(1, u64::MAX);
        keyring.add_token(id, record).await.unwrap();
        outcome(&keyring, &join, TokenKind::Host).await.unwrap();
        drop(keyring);
        let store = loop {
            match Store::open(dir.path()) {
                Ok(store) => break store,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let keyring = Keyring::load(store).unwrap();
        assert_eq!(outcome(&keyring, &join, TokenKind::Host).await, Err(RefusalKind::UsedToken));
    }
}
