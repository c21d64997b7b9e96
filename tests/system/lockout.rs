//! Wrong tokens, and addresses that operators may not come from.

use cmdr_hub::config::{Config, Login};
use cmdr_hub::network::Network;
use cmdr_link::SecretKey;
use cmdr_link::link::DialError;
use cmdr_link::session::Dialer;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::operators::{Locks, Unlock};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{Join, PeerKind, Refusal, RefusalKind};
use harness::World;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// A dialer from an address of the loopback network.
fn from(world: &World, last: u8, key: &SecretKey, token: Option<&str>) -> Dialer {
    let from = Some([127, 0, 0, last].into());
    Dialer { from, ..world.dialer(PeerKind::Client, key.clone(), token) }
}

fn key() -> SecretKey {
    SecretKey::generate().unwrap()
}

async fn refusal(dialer: &Dialer) -> Option<Refusal> {
    match dialer.dial().await {
        Err(DialError::Refused { refusal, .. }) => Some(refusal),
        Err(e) => panic!("not refused but: {e}"),
        Ok(_) => None,
    }
}

/// With a token of the right id whose secret is guessed.
fn guess(mut dialer: Dialer) -> Dialer {
    let id = dialer.join.and_then(|join| join.token);
    dialer.join = Some(Join { token: id, secret: vec![0; 16] });
    dialer
}

#[tokio::test]
async fn five_wrong_tokens_lock_their_address_and_nobody_else() {
    let world = World::start().await;
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 3).await;
    let known = key();
    assert_eq!(refusal(&from(&world, 2, &known, Some(&token))).await, None);
    for _ in 0..5 {
        let wrong = refusal(&guess(from(&world, 2, &key(), Some(&token)))).await.unwrap();
        assert_eq!(wrong.kind, RefusalKind::BadToken);
    }
    let locked = refusal(&from(&world, 2, &key(), Some(&token))).await.unwrap();
    assert_eq!(locked.kind, RefusalKind::Locked);
    assert!(locked.message.ends_with("cmdr operators unlock 127.0.0.2"), "{locked}");
    assert!(!locked.kind.is_lasting());
    assert_eq!(refusal(&from(&world, 2, &known, None)).await, None, "a known key comes as before");
    assert_eq!(refusal(&from(&world, 3, &key(), Some(&token))).await, None, "so do others");

    let locks = administrator.call(None, &Locks {}, PATIENCE).await.unwrap().addresses;
    assert_eq!(locks.len(), 1);
    assert_eq!((locks[0].address.as_str(), locks[0].tries), ("127.0.0.2", 5));
    assert!((1..=30).contains(&locks[0].wait_s));
    let unlock = |address: &str| Unlock { address: Some(address.to_owned()), operator: None };
    let odd = administrator.call(None, &unlock("nowhere"), PATIENCE).await.unwrap_err();
    assert_eq!(odd.kind, ErrorKind::Malformed);
    let lifted = administrator.call(None, &unlock("127.0.0.2"), PATIENCE).await.unwrap();
    assert_eq!(lifted.count, 1);
    assert_eq!(refusal(&from(&world, 2, &key(), Some(&token))).await, None);
}

#[tokio::test]
async fn a_right_token_makes_up_for_the_wrong_ones_before_it() {
    let world = World::start().await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 3).await;
    for _ in 0..3 {
        for _ in 0..4 {
            let wrong = refusal(&guess(from(&world, 2, &key(), Some(&token)))).await.unwrap();
            assert_eq!(wrong.kind, RefusalKind::BadToken);
        }
        assert_eq!(refusal(&from(&world, 2, &key(), Some(&token))).await, None);
    }
    assert!(world.hub.lockout.all().is_empty());
}

#[tokio::test]
async fn operators_come_only_from_where_they_are_allowed_and_hosts_from_anywhere() {
    let allow = vec![Network::parse("127.0.0.16/28").unwrap()];
    let login = Login { allow, ..Login::default() };
    let world = World::start_with(Config { login, ..Config::default() }).await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 3).await;
    let me = key();
    let refused = refusal(&from(&world, 1, &me, Some(&token))).await.unwrap();
    assert_eq!(refused.kind, RefusalKind::Locked);
    assert!(refused.message.contains("may not come from 127.0.0.1"), "{refused}");
    assert_eq!(refusal(&from(&world, 17, &me, Some(&token))).await, None);
    assert!(
        refusal(&from(&world, 1, &me, None)).await.is_some(),
        "a known key makes no difference"
    );
    let host = world.token(TokenKind::Host, Role::NONE, 1).await;
    let agent = world.dialer(PeerKind::Agent, key(), Some(&host));
    assert_eq!(refusal(&agent).await, None);
    let owner = world.dialer(PeerKind::Client, world.hub.keys.now().current.clone(), None);
    assert_eq!(refusal(&owner).await, None, "whoever holds the hub's key can mend the list");
}

#[tokio::test]
async fn a_flood_of_wrong_logins_leaves_others_quick() {
    let world = World::start().await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 100).await;
    let flood = async {
        loop {
            // As fast as the hub answers, ten at once: far more than 10,000 a minute.
            let tries = (0..10).map(|_| guess(from(&world, 9, &key(), Some(&token))));
            let tries: Vec<_> =
                tries.map(|dialer| async move { drop(dialer.dial().await) }).collect();
            futures::future::join_all(tries).await;
        }
    };
    let honest = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let begin = Instant::now();
            assert_eq!(refusal(&from(&world, 10, &key(), Some(&token))).await, None);
            slowest = slowest.max(begin.elapsed());
        }
        slowest
    };
    let slowest = tokio::select! {
        slowest = honest => slowest,
        () = flood => unreachable!("it never ends by itself"),
    };
    assert!(slowest < Duration::from_secs(1), "the slowest login took {slowest:?}");
    assert_eq!(world.hub.lockout.all().len(), 1);
}
