//! Who gets in: tokens, approval, rejection, impostors, floods of strangers.

use cmdr_link::SecretKey;
use cmdr_link::link::DialError;
use cmdr_link::service::Service;
use cmdr_link::session::Dialer;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::ping::Ping;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{Create, TokenKind};
use cmdr_protocol::version::{JOINED, Join, PeerKind, RefusalKind};
use cmdr_protocol::{CallError, ErrorKind, hosts, operators, tokens};
use harness::{World, until};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

fn key() -> SecretKey {
    SecretKey::generate().unwrap()
}

async fn refusal(dialer: &Dialer) -> RefusalKind {
    match dialer.dial().await {
        Err(DialError::Refused { refusal, .. }) => refusal.kind,
        Err(e) => panic!("not refused but: {e}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test]
async fn an_unknown_key_without_a_token_is_refused_whoever_it_claims_to_be() {
    let world = World::start().await;
    for kind in [PeerKind::Agent, PeerKind::Client] {
        assert_eq!(refusal(&world.dialer(kind, key(), None)).await, RefusalKind::UnknownKey);
    }
    assert_eq!(refusal(&world.dialer(PeerKind::Unknown, key(), None)).await, RefusalKind::Version);
}

#[tokio::test]
async fn each_token_that_must_not_work_is_refused_with_its_own_reason() {
    let world = World::start().await;
    let used = world.token(TokenKind::Host, Role::NONE, 1).await;
    let _agent = world
        .serve_agent(&world.dialer(PeerKind::Agent, key(), Some(&used)), Service::new(()))
        .await
        .unwrap();
    assert_eq!(
        refusal(&world.dialer(PeerKind::Agent, key(), Some(&used))).await,
        RefusalKind::UsedToken
    );

    let operators = world.token(TokenKind::Operator, Role::OBSERVER, 1).await;
    assert_eq!(
        refusal(&world.dialer(PeerKind::Agent, key(), Some(&operators))).await,
        RefusalKind::WrongToken
    );

    let create = Create { kind: TokenKind::Host, ttl_s: 1, uses: 1, ..Create::default() };
    let short = cmdr_hub::services::make_token(&world.hub, &create, "a test").await.unwrap();
    until("the token has expired", async || cmdr_link::clock::now_ms() >= short.expires_ms).await;
    assert_eq!(
        refusal(&world.dialer(PeerKind::Agent, key(), Some(&short.text))).await,
        RefusalKind::ExpiredToken
    );

    let text = world.token(TokenKind::Host, Role::NONE, 1).await;
    let id = cmdr_link::token::JoinToken::parse(&text).unwrap().id;
    let admin = world.client(Role::ADMINISTRATOR).await;
    admin.call(None, &tokens::Revoke { id }, PATIENCE).await.unwrap();
    assert_eq!(
        refusal(&world.dialer(PeerKind::Agent, key(), Some(&text))).await,
        RefusalKind::RevokedToken
    );

    let mut dialer = world.dialer(PeerKind::Agent, key(), Some(&text));
    dialer.join = Some(Join { token: Some(id), secret: vec![0; 16] });
    assert_eq!(refusal(&dialer).await, RefusalKind::BadToken);
}

#[tokio::test]
async fn a_host_without_a_token_waits_for_approval_and_then_comes_in() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let mut dialer = world.dialer(PeerKind::Agent, key(), None);
    dialer.join = Some(Join { token: None, secret: Vec::new() });
    assert_eq!(refusal(&dialer).await, RefusalKind::Pending);
    assert_eq!(refusal(&dialer).await, RefusalKind::Pending);
    let list = hosts::List::of("state=pending");
    let waiting = admin.call(None, &list, PATIENCE).await.unwrap().hosts;
    assert_eq!(waiting.len(), 1);
    let id = waiting[0].id.unwrap();
    // It is picked by no ordinary selector.
    assert_eq!(admin.call(None, &hosts::Resolve::default(), PATIENCE).await.unwrap().targets, []);
    let labels = hosts::Labels::from([("env".to_owned(), "prod".to_owned())]);
    admin.call(None, &hosts::Approve { host: id, labels: labels.clone() }, PATIENCE).await.unwrap();
    let agent = world.serve_agent(&dialer, Service::new(())).await.unwrap();
    assert_eq!(agent.id, id);
    assert_eq!(
        admin.call(None, &hosts::List::default(), PATIENCE).await.unwrap().hosts[0].labels,
        labels
    );
}

#[tokio::test]
async fn a_rejected_host_stays_out_until_it_is_forgotten() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let mut dialer = world.dialer(PeerKind::Agent, key(), None);
    dialer.join = Some(Join { token: None, secret: Vec::new() });
    assert_eq!(refusal(&dialer).await, RefusalKind::Pending);
    let id = cmdr_link::keys::host_id(&dialer.key.public());
    admin.call(None, &hosts::Reject { host: id }, PATIENCE).await.unwrap();
    assert_eq!(refusal(&dialer).await, RefusalKind::Rejected);
    // A token does not help it either.
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    assert_eq!(
        refusal(&world.dialer(PeerKind::Agent, dialer.key.clone(), Some(&token))).await,
        RefusalKind::Rejected
    );
    admin.call(None, &hosts::Forget { host: id }, PATIENCE).await.unwrap();
    assert_eq!(refusal(&dialer).await, RefusalKind::Pending);
}

#[tokio::test]
async fn a_hub_that_does_not_hold_the_pinned_key_is_called_a_possible_impostor() {
    let world = World::start().await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 1).await;
    let mut dialer = world.dialer(PeerKind::Client, key(), Some(&token));
    dialer.target.hub = key().public();
    let error = dialer.dial().await.unwrap_err();
    assert!(matches!(error, DialError::Impostor { .. }) && error.is_lasting());
    let text = error.to_string();
    assert!(
        text.contains("posing as the hub") && text.contains(&dialer.target.hub.to_string()),
        "{text}"
    );
    // Nothing was given away: the token still works.
    world.dialer(PeerKind::Client, key(), Some(&token)).connect().await.unwrap();
}

#[tokio::test]
async fn a_forgotten_host_and_a_revoked_device_are_cut_off_at_once() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let agent = world.bare_agent("web1", Service::new(())).await;
    admin.call(None, &hosts::Forget { host: agent.id }, PATIENCE).await.unwrap();
    assert_eq!(agent.link.down().await, "this host was removed from the fleet");

    let observer = world.client(Role::OBSERVER).await;
    let me = observer.call(None, &operators::WhoAmI {}, PATIENCE).await.unwrap();
    assert_eq!(me.role, Role::OBSERVER);
    let revoke = operators::Revoke { key: me.key };
    assert!(!admin.call(None, &revoke, PATIENCE).await.unwrap().already);
    assert_eq!(observer.link().down().await, "the rights of this device were taken away");
    assert!(admin.call(None, &revoke, PATIENCE).await.unwrap().already);
    let listed = admin.call(None, &operators::List::all(), PATIENCE).await.unwrap().operators;
    let mut devices = listed.iter().flat_map(|one| &one.devices);
    assert!(devices.all(|one| one.key != me.key), "{listed:?}");
}

#[tokio::test]
async fn a_host_that_has_only_joined_has_not_failed() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let (link, welcome, _) =
        world.dialer(PeerKind::Agent, key(), Some(&token)).dial().await.unwrap();
    link.close(JOINED);
    let id = welcome.host.unwrap();
    world.until_state(id, HostState::Away).await;
    let listed = admin.call(None, &hosts::List::default(), PATIENCE).await.unwrap().hosts;
    assert_eq!(listed[0].last_drop, "");
    let error = admin.call(Some(id), &Ping::default(), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("its agent has not run yet"), "{error}");
}

#[tokio::test]
async fn a_known_device_keeps_its_role_and_the_last_administrator_stays() {
    let world = World::start().await;
    let admin = world.token(TokenKind::Operator, Role::ADMINISTRATOR, 1).await;
    let dialer = world.dialer(PeerKind::Client, key(), Some(&admin));
    let (client, _) = dialer.connect().await.unwrap();
    let lesser = world.token(TokenKind::Operator, Role::OBSERVER, 1).await;
    let again = world.dialer(PeerKind::Client, dialer.key.clone(), Some(&lesser));
    assert_eq!(again.connect().await.unwrap().1.role, Role::ADMINISTRATOR);
    // The token was not used up; another device may have it.
    let other = world.dialer(PeerKind::Client, key(), Some(&lesser));
    assert_eq!(other.connect().await.unwrap().1.role, Role::OBSERVER);

    let me = client.call(None, &operators::WhoAmI {}, PATIENCE).await.unwrap();
    let error = client.call(None, &operators::Revoke { key: me.key }, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(client.call(None, &operators::WhoAmI {}, PATIENCE).await.is_ok());
}

#[tokio::test]
async fn two_hosts_of_one_name_get_two_names_and_renaming_keeps_them_apart() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let a = world.bare_agent("web", Service::new(())).await;
    let b = world.bare_agent("web", Service::new(())).await;
    let evil = world.bare_agent("x\u{1b}[2J", Service::new(())).await;
    let listed = admin.call(None, &hosts::List::default(), PATIENCE).await.unwrap().hosts;
    let name = |id| listed.iter().find(|h| h.id == Some(id)).unwrap().name.clone();
    assert_eq!((name(a.id), name(b.id)), ("web".to_owned(), "web-2".to_owned()));
    assert!(name(evil.id).starts_with("host-"), "{}", name(evil.id));
    let rename = |host, name: &str| hosts::Rename { host, name: name.into() };
    let error = admin.call(None, &rename(b.id, "web"), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let error = admin.call(None, &rename(b.id, "a,b"), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    admin.call(None, &rename(b.id, "节点-2"), PATIENCE).await.unwrap();
    let targets = admin.call(None, &hosts::Resolve::of("节点*"), PATIENCE).await.unwrap().targets;
    assert_eq!(targets, [(b.id, "节点-2".to_owned(), HostState::Online)]);
    // The old name is free again.
    admin.call(None, &rename(a.id, "web-2"), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_selector_that_does_not_parse_says_where() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let error: CallError =
        client.call(None, &hosts::Resolve::of("a,,b"), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
    assert!(error.message.contains("character 3"), "{error}");
}

#[tokio::test]
async fn strangers_that_dribble_do_not_keep_others_out() {
    let world = World::start().await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 10).await;
    let mut dribblers = Vec::new();
    for _ in 0..200 {
        let mut tcp = TcpStream::connect(world.address).await.unwrap();
        // The beginning of a handshake that never goes on; those over the share are told so.
        tcp.write_all(b"CMDR").await.ok();
        dribblers.push(tcp);
    }
    // From another address, as any real peer would be.
    let begin = Instant::now();
    let mut dialer = world.dialer(PeerKind::Client, key(), Some(&token));
    dialer.from = Some("127.0.0.77".parse().unwrap());
    dialer.connect().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let mut turned_away = 0;
    for tcp in &mut dribblers {
        let mut answer = [0; 3];
        let waiting =
            tokio::time::timeout(Duration::from_millis(1), tcp.read_exact(&mut answer)).await;
        if matches!(waiting, Ok(Ok(_))) {
            assert_eq!(answer, [0, 0, 3]);
            turned_away += 1;
        }
    }
    assert!(turned_away >= 150, "only {turned_away} of 200 were turned away");
}

#[tokio::test]
async fn operators_and_tokens_come_in_pages_and_as_before_to_who_asks_so() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    for name in ["ann", "bob", "cid", "dan"] {
        let create = operators::Create { name: name.into(), ..operators::Create::default() };
        admin.call(None, &create, PATIENCE).await.unwrap();
        world.token(TokenKind::Host, Role::NONE, 1).await;
    }
    let whole = admin.call(None, &operators::List::default(), PATIENCE).await.unwrap();
    assert!(whole.next.is_empty() && whole.operators.len() == 5, "{whole:?}");
    let asked = operators::List { limit: 2, ..operators::List::default() };
    let page = admin.call(None, &asked, PATIENCE).await.unwrap();
    assert_eq!((page.operators.len(), page.next.as_str()), (2, page.operators[1].name.as_str()));
    let paged = admin.call_all(None, &asked, PATIENCE).await.unwrap();
    assert_eq!(paged.operators, whole.operators);
    let whole = admin.call(None, &tokens::List::default(), PATIENCE).await.unwrap();
    let asked = tokens::List { limit: 1, ..tokens::List::default() };
    let paged = admin.call_all(None, &asked, PATIENCE).await.unwrap();
    assert!(paged.tokens.len() >= 4 && paged.tokens == whole.tokens, "{paged:?}");
}
