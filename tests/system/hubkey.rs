//! The hub gets another key: hosts and devices follow it, nothing is cut, and what the first key has sealed stays
//! whole.

use crate::hostkeys::Host;
use cmdr_agentd::join;
use cmdr_hub::store::Store;
use cmdr_link::context::{Context, key_file};
use cmdr_link::hubkeys::HubKeys;
use cmdr_link::link::{self, DialError, Target};
use cmdr_link::mux::Limits;
use cmdr_link::pins::Pins;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::exec::{Input, Start};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::hub::Backup;
use cmdr_protocol::hubkey::{Abort, Begin, Finish, Phase, Rotation, Status, Switch};
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{Call, CallError, ErrorKind, PublicKey};
use harness::{World, until};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

async fn ask<C: Call>(client: &Client, call: C) -> Result<C::Reply, CallError> {
    client.call(None, &call, PATIENCE).await
}

async fn status(client: &Client) -> Rotation {
    ask(client, Status {}).await.unwrap()
}

async fn until_all_know(client: &Client) {
    until("all hosts know the next key", async || status(client).await.hosts_without == 0).await;
}

fn pins(dir: &Path) -> (PublicKey, Option<PublicKey>) {
    let Pins { key, next, .. } = Pins::load(dir).unwrap();
    (key, next)
}

async fn until_pinned(dir: &Path, key: PublicKey) {
    until("only the new key is pinned", async || pins(dir) == (key, None)).await;
}

/// A client that keeps its pins in a folder, as `cmdr` does.
async fn device(world: &World, name: &str) -> (Dialer, PathBuf) {
    let dir = world.path(name);
    cmdr_link::files::private_dir(&dir).unwrap();
    let key = SecretKey::load_or_create(&key_file(&dir)).unwrap();
    let token = world.token(TokenKind::Operator, Role::ADMINISTRATOR, 1).await;
    world.dialer(PeerKind::Client, key, Some(&token)).connect().await.unwrap();
    Context::save_target(&dir, &world.address.to_string(), &world.hub.keys.public()).unwrap();
    (Dialer::client(Context::load(&dir).unwrap(), "test"), dir)
}

/// Dials the hub with this pin and no other.
async fn by_pin(world: &World, hub: PublicKey, key: SecretKey) -> Result<Client, DialError> {
    let mut dialer = world.dialer(PeerKind::Client, key, None);
    dialer.target.hub = hub;
    dialer.connect().await.map(|(client, _)| client)
}

async fn backup(client: &Client, file: &Path) {
    let mut feed = client.feed(None, &Backup {}).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = feed.next().await {
        text.extend(piece.unwrap().data);
    }
    std::fs::write(file, text).unwrap();
}

#[tokio::test]
async fn hosts_and_devices_follow_the_hub_to_its_next_key_and_nothing_is_cut() {
    let world = World::start().await;
    let (dialer, home) = device(&world, "home").await;
    let (client, _) = dialer.connect().await.unwrap();
    let mut host = Host::join(&world, "web1").await;
    world.until_state(host.id, HostState::Online).await;
    let start = Start { argv: vec!["cat".to_owned()], stdin: true, ..Start::default() };
    let mut running = client.feed(Some(host.id), &start).await.unwrap();
    let old = world.hub.keys.now().current.clone();
    let early = world.token(TokenKind::Host, Role::NONE, 1).await;

    let begun = ask(&client, Begin {}).await.unwrap();
    let new = begun.next.unwrap();
    assert_eq!((begun.phase, begun.key), (Phase::Announced, old.public()));
    assert_eq!(ask(&client, Begin {}).await.unwrap().next, Some(new), "it goes on with the same");
    until_all_know(&client).await;
    assert_eq!(pins(&host.dir), (old.public(), Some(new)));
    until("the device knows it too", async || status(&client).await.devices_without == 0).await;
    assert_eq!(pins(&home), (old.public(), Some(new)));
    // The next key is not the hub's yet, and the present one still is.
    let nobody = || SecretKey::generate().unwrap();
    assert!(matches!(by_pin(&world, new, nobody()).await, Err(DialError::Impostor { .. })));
    host.comes_back(&world).await;
    assert_eq!(pins(&host.dir), (old.public(), Some(new)));
    let start = Start { argv: vec!["cat".to_owned()], stdin: true, ..Start::default() };
    drop(std::mem::replace(&mut running, client.feed(Some(host.id), &start).await.unwrap()));

    let switched = ask(&client, Switch::default()).await.unwrap();
    assert_eq!((switched.phase, switched.key), (Phase::Switched, new));
    assert_eq!(switched.previous, Some(old.public()));
    // Whoever had the hub's old key in hand is a stranger with it from now on.
    for hub in [old.public(), new] {
        let refused = by_pin(&world, hub, old.clone()).await.unwrap_err();
        assert!(matches!(refused, DialError::Refused { .. }), "{refused}");
    }
    by_pin(&world, new, world.hub.keys.now().current.clone()).await.unwrap();
    // A token from before the switch is good until the end, and teaches the new key.
    assert_eq!(JoinToken::parse(&early).unwrap().hub, old.public());
    let late = Host::join_with(&world, "web2", &early).await;
    until_pinned(&late.dir, new).await;
    let (again, _) = dialer.connect().await.unwrap();
    ask(&again, WhoAmI {}).await.unwrap();
    until_pinned(&home, new).await;
    until_all_know(&client).await;

    let done = ask(&client, Finish::default()).await.unwrap();
    assert_eq!((done.phase, done.key, done.previous), (Phase::None, new, None));
    assert!(matches!(
        by_pin(&world, old.public(), nobody()).await,
        Err(DialError::Impostor { .. })
    ));
    // The link of the host was never cut; it was told over it that the old key is gone.
    until_pinned(&host.dir, new).await;
    let line = Input { data: b"still here\n".to_vec(), ..Input::default() };
    running.send(&line).await.unwrap();
    while running.next().await.unwrap().unwrap().stdout != b"still here\n" {}

    let verified = world.hub.audit.verify().await.unwrap();
    assert_eq!(verified.broken, None);
    let world = world.restart().await;
    assert_eq!(world.hub.keys.public(), new);
    assert_eq!(world.hub.audit.verify().await.unwrap().broken, None);
    assert!(world.hub.check().await.unwrap().damage.is_empty());
    let (client, _) = dialer.connect().await.unwrap();
    assert_eq!(status(&client).await.phase, Phase::None);
    let records = world.hub.audit.follow(Some(0)).read().await.unwrap();
    for method in ["hubkey.begin", "hubkey.switch", "hubkey.finish"] {
        assert!(records.iter().any(|r| r.method == method), "{method}");
    }
    // And once more: what seals stays the first key.
    ask(&client, Begin {}).await.unwrap();
    until_all_know_but_away(&client).await;
    ask(&client, Switch { force: true }).await.unwrap();
    ask(&client, Finish { force: true }).await.unwrap();
    assert_eq!(world.hub.keys.now().sealing().public(), old.public());
    let world = world.restart().await;
    assert_eq!(world.hub.audit.verify().await.unwrap().broken, None);
}

async fn until_all_know_but_away(client: &Client) {
    let known = async || {
        let rotation = status(client).await;
        rotation.without.iter().all(|w| w.host.is_none() || !w.online)
    };
    until("all hosts that are there know the next key", known).await;
}

#[tokio::test]
async fn who_was_away_is_named_and_may_come_until_the_old_key_ends() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let web1 = Host::join(&world, "web1").await;
    let mut web2 = Host::join(&world, "web2").await;
    let web3 = Host::join(&world, "web3").await;
    for host in [&web1, &web2, &web3] {
        world.until_state(host.id, HostState::Online).await;
    }
    for host in [&web2, &web3] {
        host.killed().await;
        world.until_state(host.id, HostState::Away).await;
    }
    let old = world.hub.keys.public();
    for early in [ask(&client, Switch::default()).await, ask(&client, Finish::default()).await] {
        assert_eq!(early.unwrap_err().kind, ErrorKind::Conflict);
    }
    let new = ask(&client, Begin {}).await.unwrap().next.unwrap();
    until("web1 knows it", async || status(&client).await.hosts_without == 2).await;
    let refused = ask(&client, Switch::default()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains("2 of 3 hosts") && refused.message.contains("web2, web3"));
    assert_eq!((world.hub.keys.public(), status(&client).await.phase), (old, Phase::Announced));
    // Who knows what outlives the hub's process.
    web1.killed().await;
    let world = world.restart().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    assert_eq!(status(&client).await.hosts_without, 2);
    ask(&client, Switch { force: true }).await.unwrap();
    assert_eq!(ask(&client, Begin {}).await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(ask(&client, Abort {}).await.unwrap_err().kind, ErrorKind::Conflict);
    // One comes with the old key, and learns the new one in time.
    web2.start();
    world.until_state(web2.id, HostState::Online).await;
    until("it knows the new key", async || status(&client).await.hosts_without == 1).await;
    let refused = ask(&client, Finish::default()).await.unwrap_err();
    assert!(refused.message.contains("web3") && !refused.message.contains("web2"), "{refused}");
    ask(&client, Finish { force: true }).await.unwrap();
    until_pinned(&web2.dir, new).await;
    // The other comes too late, and is told what to do.
    let kept = Context::load(&web3.dir).unwrap();
    let mut dialer = join::dialer(kept.target, kept.key, "web3".to_owned(), None);
    dialer.dir = Some(web3.dir.clone());
    let refused = dialer.dial().await.unwrap_err();
    assert!(matches!(refused, DialError::Impostor { .. }));
    assert!(refused.to_string().contains("join again with a new token"), "{refused}");
    let again = Host::join(&world, "web3").await;
    assert_eq!(again.id, web3.id);
    world.until_state(again.id, HostState::Online).await;
    assert_eq!(pins(&again.dir), (new, None));
}

#[tokio::test]
async fn an_impostor_has_neither_key_and_a_next_key_that_was_given_up_is_forgotten() {
    let world = World::start().await;
    let (dialer, home) = device(&world, "home").await;
    let (client, _) = dialer.connect().await.unwrap();
    let mut host = Host::join(&world, "web1").await;
    world.until_state(host.id, HostState::Online).await;
    let old = world.hub.keys.public();
    ask(&client, Begin {}).await.unwrap();
    until_all_know(&client).await;
    until("the device knows it", async || pins(&home).1.is_some()).await;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = SecretKey::generate().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let heard = link::accept(tcp, &stranger, Limits::default()).await;
            assert!(heard.is_err(), "somebody trusts a stranger");
        }
    });
    let elsewhere = world.path("elsewhere");
    cmdr_link::files::private_dir(&elsewhere).unwrap();
    Pins { address: address.clone(), ..Pins::load(&home).unwrap() }.save(&elsewhere).unwrap();
    let mut fooled = dialer.clone();
    fooled.target = Target { address, hub: old };
    fooled.dir = Some(elsewhere.clone());
    let before = pins(&elsewhere);
    assert!(
        matches!(fooled.dial().await, Err(DialError::Impostor { expected, .. }) if expected == old)
    );
    assert_eq!(pins(&elsewhere), before);
    assert!(!serving.is_finished());
    serving.abort();

    ask(&client, Abort {}).await.unwrap();
    assert_eq!(status(&client).await.phase, Phase::None);
    dialer.connect().await.unwrap();
    until_pinned(&home, old).await;
    host.comes_back(&world).await;
    until_pinned(&host.dir, old).await;
    assert_eq!(HubKeys::load(&world.data().join("hub.key")).unwrap().answering().count(), 1);
    let operator = world.client(Role::OPERATOR).await;
    for refused in [
        ask(&operator, Begin {}).await,
        ask(&operator, Switch { force: true }).await,
        ask(&operator, Finish { force: true }).await,
        ask(&operator, Abort {}).await,
        ask(&operator, Status {}).await,
    ] {
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Denied);
    }
}

#[tokio::test]
async fn a_backup_from_before_restores_after_with_the_key_file_of_today() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let (before, after) = (world.path("before"), world.path("after"));
    backup(&client, &before).await;
    ask(&client, Begin {}).await.unwrap();
    ask(&client, Switch::default()).await.unwrap();
    ask(&client, Finish::default()).await.unwrap();
    backup(&client, &after).await;
    let keys = HubKeys::load(&world.data().join("hub.key")).unwrap();
    for file in [before, after] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let audit = dir.path().join("audit");
        cmdr_hub::backup::restore(&store, &audit, keys.sealing(), &file).await.unwrap();
        let log = cmdr_hub::audit::verify::verify_stopped(&audit, keys.sealing(), &store).unwrap();
        assert_eq!(log.broken, None);
    }
}
