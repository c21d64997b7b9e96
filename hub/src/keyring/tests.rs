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
    assert_eq!(outcome(&keyring, &join, TokenKind::Operator).await, Err(RefusalKind::WrongToken));
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
        let record = TokenRecord { kind: TokenKind::Operator, role: Role::ADMINISTRATOR, ..record };
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
