//! Calls and feeds through the hub: answers, cancelling, deadlines, flow control, lost links.

use cmdr_link::client::FeedStream;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::ping::{Echo, Ping, Pong, Sound};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind, exec, metrics};
use harness::{BareAgent, Fault, Proxy, World, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Counts what an agent has under way, and how much it has sent.
#[derive(Clone, Default)]
struct Gauge {
    running: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

struct Running(Gauge);

impl Running {
    fn begin(gauge: &Gauge) -> Self {
        gauge.running.fetch_add(1, Ordering::SeqCst);
        Self(gauge.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn ping(_: Arc<Gauge>, _: Asked, ping: Ping) -> Result<Pong, CallError> {
    Ok(Pong { payload: ping.payload, ..Pong::default() })
}

async fn echo(
    _: Arc<Gauge>,
    _: Asked,
    _: Echo,
    mut feeding: Feeding<Echo>,
) -> Result<(), CallError> {
    loop {
        let sound = feeding.input().await?;
        if sound.data == b"stop" {
            return Ok(());
        }
        feeding.send(&sound).await?;
    }
}

/// Never answers.
async fn forever(
    gauge: Arc<Gauge>,
    _: Asked,
    _: metrics::Get,
) -> Result<metrics::Metrics, CallError> {
    let _running = Running::begin(&gauge);
    std::future::pending().await
}

/// Floods its caller.
async fn flood(
    gauge: Arc<Gauge>,
    _: Asked,
    _: exec::Start,
    feeding: Feeding<exec::Start>,
) -> Result<(), CallError> {
    let _running = Running::begin(&gauge);
    let item = exec::Item { stdout: vec![7; exec::CHUNK], ..exec::Item::default() };
    loop {
        feeding.send(&item).await?;
        gauge.sent.fetch_add(exec::CHUNK, Ordering::SeqCst);
    }
}

fn service(gauge: &Gauge) -> Service<Gauge> {
    Service::new(gauge.clone()).on(ping).feed(echo).on(forever).feed(flood)
}

fn start() -> exec::Start {
    exec::Start { argv: vec!["flood".into()], ..exec::Start::default() }
}

/// A hub, one agent with what it has under way, and a client that asks.
struct Scene {
    world: World,
    gauge: Gauge,
    agent: BareAgent,
    client: Client,
}

impl Scene {
    async fn start(role: Role) -> Self {
        let world = World::start().await;
        let gauge = Gauge::default();
        let agent = world.bare_agent("web1", service(&gauge)).await;
        let client = world.client(role).await;
        Self { world, gauge, agent, client }
    }
}

/// An agent with this key that has a token; through a proxy, if there is one.
async fn joined(world: &World, key: SecretKey, proxy: Option<&Proxy>) -> BareAgent {
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let mut dialer = world.dialer(PeerKind::Agent, key, Some(&token));
    if let Some(proxy) = proxy {
        dialer.target.address = proxy.address().to_string();
    }
    world.serve_agent(&dialer, service(&Gauge::default())).await.unwrap()
}

/// The same agent, which is known now.
async fn again(world: &World, key: SecretKey) -> BareAgent {
    let dialer = world.dialer(PeerKind::Agent, key, None);
    world.serve_agent(&dialer, service(&Gauge::default())).await.unwrap()
}

async fn say(feed: &mut FeedStream<Echo>, text: &[u8]) -> Option<Result<Sound, CallError>> {
    feed.send(&Sound { data: text.to_vec() }).await.unwrap();
    feed.next().await
}

#[tokio::test]
async fn a_call_reaches_the_host_and_its_reply_comes_back() {
    let Scene { world: _world, agent, client, .. } = Scene::start(Role::OBSERVER).await;
    for size in [0, 1, 100, 70_000, 900_000] {
        let payload = vec![9; size];
        let pong = client
            .call(Some(agent.id), &Ping { payload: payload.clone() }, PATIENCE)
            .await
            .unwrap();
        assert_eq!(pong.payload, payload);
    }
    let here = client.call(None, &Ping::default(), PATIENCE).await.unwrap();
    assert_eq!(here.version, env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_feed_carries_inputs_and_items_until_its_proper_end() {
    let Scene { world: _world, agent, client, .. } = Scene::start(Role::OBSERVER).await;
    let mut feed = client.feed(Some(agent.id), &Echo {}).await.unwrap();
    for text in [&b"one"[..], b"two", b"three"] {
        assert_eq!(say(&mut feed, text).await.unwrap().unwrap().data, text);
    }
    assert_eq!(say(&mut feed, b"stop").await, None);
    assert_eq!(feed.next().await, None);
}

#[tokio::test]
async fn giving_up_a_call_or_a_feed_ends_the_work_on_the_host() {
    let Scene { world: _world, gauge, agent, client } = Scene::start(Role::ADMINISTRATOR).await;
    let running = async |n| gauge.running.load(Ordering::SeqCst) == n;

    let call = client.call(Some(agent.id), &metrics::Get {}, PATIENCE);
    tokio::select! {
        _ = call => panic!("this call is never answered"),
        () = until("the call runs", async || running(1).await) => {}
    }
    until("the call has ended on the host", async || running(0).await).await;

    let mut feed = client.feed(Some(agent.id), &start()).await.unwrap();
    feed.next().await.unwrap().unwrap();
    assert!(running(1).await);
    drop(feed);
    until("the feed has ended on the host", async || running(0).await).await;
}

#[tokio::test]
async fn a_call_that_takes_longer_than_its_deadline_is_timed_out_by_the_host() {
    let Scene { world: _world, gauge, agent, client } = Scene::start(Role::OBSERVER).await;
    let error =
        client.call(Some(agent.id), &metrics::Get {}, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.contains("deadline"), "{error}");
    until("the host has stopped", async || gauge.running.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_sender_back_and_nobody_else() {
    let Scene { world: _world, gauge, agent, client } = Scene::start(Role::ADMINISTRATOR).await;
    let mut feed = client.feed(Some(agent.id), &start()).await.unwrap();
    let mut before = 0;
    until("the flood stands still", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sent = gauge.sent.load(Ordering::SeqCst);
        std::mem::replace(&mut before, sent) == sent && sent > 0
    })
    .await;
    // Each of the two links holds one window, and a little is on its way.
    assert!(before <= 2 * 1024 * 1024, "{before} bytes were taken from the flood");
    let begin = Instant::now();
    client.call(Some(agent.id), &Ping::default(), PATIENCE).await.unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "a call beside the flood took {:?}",
        begin.elapsed()
    );
    feed.next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_host_that_goes_away_half_way_is_named_lost_and_afterwards_unreachable() {
    let Scene { world, agent, client, .. } = Scene::start(Role::ADMINISTRATOR).await;
    let mut feed = client.feed(Some(agent.id), &Echo {}).await.unwrap();
    say(&mut feed, b"here").await.unwrap().unwrap();
    let id = agent.id;
    drop(agent);
    assert_eq!(feed.next().await.unwrap().unwrap_err().kind, ErrorKind::Lost);
    assert_eq!(feed.next().await, None);
    world.until_state(id, HostState::Away).await;
    let error = client.call(Some(id), &Ping::default(), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.starts_with("web1 is away: last seen"), "{error}");
}

#[tokio::test]
async fn unknown_hosts_and_methods_get_their_own_errors() {
    let world = World::start().await;
    let agent = world.bare_agent("web1", Service::new(())).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let nobody = cmdr_protocol::HostId([7; 16]);
    let error = client.call(Some(nobody), &Ping::default(), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    // The hub knows the method, this agent does not: it is older, say.
    let error = client.call(Some(agent.id), &Ping::default(), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownMethod);
    // The method is not for the hub itself.
    let error = client.call(None, &metrics::Get {}, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownMethod);
}

#[tokio::test]
async fn an_observer_may_look_and_not_act() {
    let Scene { world: _world, gauge, agent, client } = Scene::start(Role::OBSERVER).await;
    client.call(Some(agent.id), &Ping::default(), PATIENCE).await.unwrap();
    let mut feed = client.feed(Some(agent.id), &start()).await.unwrap();
    let error = feed.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("exec.start") && error.message.contains("observer"), "{error}");
    assert_eq!(gauge.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_second_link_of_one_key_replaces_the_first() {
    let world = World::start().await;
    let first = world.bare_agent("web1", service(&Gauge::default())).await;
    // The same key, dialed again: an agent whose old link is half open.
    let key = SecretKey::generate().unwrap();
    let old = joined(&world, key.clone(), None).await;
    let new = again(&world, key).await;
    assert_eq!(old.link.down().await, "replaced by a new link of the same key");
    assert_eq!(new.link.ended(), None);
    assert_eq!(first.link.ended(), None);
    let client = world.client(Role::OBSERVER).await;
    client.call(Some(new.id), &Ping::default(), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_cut_link_is_noticed_at_once_and_its_reason_is_kept() {
    let world = World::start().await;
    let proxy = Proxy::start(world.address).await;
    let agent = joined(&world, SecretKey::generate().unwrap(), Some(&proxy)).await;
    proxy.set(Fault::Cut);
    world.until_state(agent.id, HostState::Away).await;
    let host = world.hub.fleet.hosts().into_iter().find(|h| h.id == Some(agent.id)).unwrap();
    assert!(!host.last_drop.is_empty() && host.last_seen_ms.is_some(), "{host:?}");
}

#[tokio::test]
async fn a_link_that_swallows_everything_is_found_dead_within_fifteen_seconds_or_little_more() {
    let world = World::start().await;
    let proxy = Proxy::start(world.address).await;
    let agent = joined(&world, SecretKey::generate().unwrap(), Some(&proxy)).await;
    let begin = Instant::now();
    proxy.set(Fault::Blackhole);
    let reason = tokio::time::timeout(Duration::from_secs(25), agent.link.down()).await.unwrap();
    world.until_state(agent.id, HostState::Away).await;
    let host = world.hub.fleet.hosts().into_iter().find(|h| h.id == Some(agent.id)).unwrap();
    // Both ends find out at the same time; the first to do so hangs up on the other.
    let both = [reason.as_str(), host.last_drop.as_str()];
    assert!(both.contains(&"silent for 15 s"), "{both:?}");
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn both_ends_learn_round_trip_and_clock_skew() {
    let world = World::start().await;
    let agent = world.bare_agent("web1", service(&Gauge::default())).await;
    until("the agent knows", async || agent.link.health().rtt_us.is_some()).await;
    until("the hub knows", async || {
        world.hub.fleet.hosts()[0]
            .link
            .as_ref()
            .is_some_and(|h| h.rtt_us.is_some() && h.skew_ms.is_some())
    })
    .await;
    let skew = agent.link.health().skew_ms.unwrap();
    assert!(skew.abs() < 1000, "the same clock at both ends, yet {skew} ms apart");
}

#[tokio::test]
async fn a_hub_that_stops_says_so_and_finds_its_fleet_again_when_it_is_back() {
    let world = World::start().await;
    let key = SecretKey::generate().unwrap();
    let agent = joined(&world, key.clone(), None).await;
    let link = agent.link.clone();
    let world = world.restart().await;
    assert_eq!(link.down().await, "the hub is stopping");
    let host = &world.hub.fleet.hosts()[0];
    assert_eq!(
        (host.id, host.state, host.last_drop.as_str()),
        (Some(agent.id), HostState::Away, "the hub is stopping")
    );
    assert_eq!(again(&world, key).await.id, agent.id);
}
