use super::*;
use crate::records::PasswordRecord;
use cmdr_link::token::JoinToken;
use cmdr_protocol::PublicKey;
use cmdr_protocol::version::{Join, RefusalKind};

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
        operator: String::new(),
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
    assert_eq!(keyring.revoke_device(device).await.unwrap(), Revocation::Unknown);
    for _ in 0..2 {
        let (id, join, record) = token(1, u64::MAX);
        let record = TokenRecord { kind: TokenKind::Operator, role: Role::ADMINISTRATOR, ..record };
        keyring.add_token(id, record).await.unwrap();
        keyring.login(key, "ann@desk", &join).await.unwrap();
        assert!(
            matches!(keyring.standing(device), Standing::Active(..)) && keyring.has_administrator()
        );
        assert_eq!(keyring.revoke_device(device).await.unwrap(), Revocation::Now);
        assert_eq!(keyring.revoke_device(device).await.unwrap(), Revocation::Already);
        assert!(matches!(keyring.standing(device), Standing::Revoked(_)));
        assert!(!keyring.has_administrator());
        assert_eq!(keyring.device(device), None);
        assert_eq!(keyring.accounts().len(), 1, "the same operator came back");
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

#[tokio::test]
async fn a_token_without_a_name_makes_an_operator_of_its_own_and_one_with_a_name_adds_a_device() {
    let (_dir, keyring) = keyring();
    let come = async |n: u8, operator: &str| {
        let (id, join, record) = token(1, u64::MAX);
        let (kind, role) = (TokenKind::Operator, Role::OBSERVER);
        let record = TokenRecord { kind, role, operator: operator.to_owned(), ..record };
        keyring.add_token(id, record).await.unwrap();
        keyring
            .login(PublicKey([n; 32]), "Ann Lee@desk", &join)
            .await
            .map(|(_, account)| account.name)
    };
    assert_eq!(come(1, "").await.unwrap(), "ann");
    assert_eq!(come(2, "").await.unwrap(), "ann-2", "a name alone gives no rights of another");
    assert_eq!(come(3, "ann").await.unwrap(), "ann");
    assert_eq!(come(4, "nobody").await.unwrap_err().kind, RefusalKind::RevokedToken);
    assert_eq!(keyring.devices_of("ann").len(), 2);
    keyring.change("ann", |ann| ann.disabled = true).await.unwrap();
    assert_eq!(come(5, "ann").await.unwrap_err().kind, RefusalKind::Disabled);
    let unused = keyring.tokens().into_iter().filter(|(_, token)| token.uses_left == 1).count();
    assert_eq!(unused, 1, "the token of one who is shut out is not used up");
}

/// A device as the release before there were operators wrote it.
#[derive(serde::Serialize)]
struct Before {
    key: PublicKey,
    name: &'static str,
    role: Role,
    joined_ms: u64,
    revoked: bool,
}

#[tokio::test]
async fn devices_from_before_there_were_operators_get_one_that_stays_theirs() {
    let (dir, keyring) = keyring();
    let key = PublicKey([7; 32]);
    let before =
        Before { key, name: "ann@desk", role: Role::OPERATOR, joined_ms: 5, revoked: false };
    let id = cmdr_link::keys::key_id(&key);
    keyring.store.apply(Batch::new().put(device_key(id), &before)).await.unwrap();
    let store = keyring.store.clone();
    drop(keyring);
    for _ in 0..2 {
        let keyring = Keyring::load(store.clone()).unwrap();
        let Standing::Active(device, account) = keyring.standing(id) else { panic!("not known") };
        assert_eq!(
            (device.by, account.name.as_str(), account.role),
            (By::Token, "ann", Role::OPERATOR)
        );
        keyring.settle().await.unwrap();
        keyring.change("ann", |account| account.role = Role::OPERATOR).await.unwrap();
    }
    assert_eq!(Keyring::load(store).unwrap().accounts().len(), 1);
    drop(dir);
}

#[tokio::test]
async fn whoever_is_the_last_to_administer_the_hub_is_known() {
    let (_dir, keyring) = keyring();
    let account = |name: &str, password: bool| AccountRecord {
        name: name.to_owned(),
        role: Role::ADMINISTRATOR,
        password: password.then(PasswordRecord::default),
        ..AccountRecord::default()
    };
    keyring.create(account("ann", true)).await.unwrap();
    keyring.create(account("bob", false)).await.unwrap();
    assert!(keyring.is_last_administrator("ann"), "bob has no way in");
    assert!(keyring.is_last_password("ann") && !keyring.is_last_administrator("bob"));
    keyring.change("bob", |bob| bob.password = Some(PasswordRecord::default())).await.unwrap();
    assert!(!keyring.is_last_administrator("ann"));
    keyring.change("bob", |bob| bob.disabled = true).await.unwrap();
    assert!(keyring.is_last_administrator("ann"));
    assert_eq!(keyring.delete("bob").await.unwrap(), Some(vec![]));
    assert_eq!(keyring.delete("bob").await.unwrap(), None);
}
