//! Forwards between two hosts without the hub between them: where both owners say so, with what the hub has announced alone, and
//! by the hub where that does not go.

use crate::docker_proxy::text;
use crate::forwards::{PATIENCE, echo, free, hear, is_over, place, row, until_is};
use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_link::link::{self, DialError, Target};
use cmdr_link::mux::Limits;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::{Client, SecretKey, clock};
use cmdr_protocol::audit::{Event, List as AuditList};
use cmdr_protocol::forwards::Piece;
use cmdr_protocol::forwards::direct::{Claim, Offer, Ticket};
use cmdr_protocol::forwards::kept::{Accept, Cut, Delete, Forward, Hold, Knock, Put, Stand, Told};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{Hello, PROTOCOL, PeerKind, RefusalKind};
use cmdr_protocol::{CallError, ErrorKind, operators};
use harness::{BareAgent, Fault, Proxy, World, until};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

fn config(world: &World, name: &str, forwards: &str) -> Config {
    let mut config = Config::new(world.path(name));
    let policy = format!("[forwards]\n{forwards}\n");
    config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), &policy).unwrap();
    config
}

async fn host(world: &World, name: &str, forwards: &str) -> BareAgent {
    world.agent_with(name, config(world, name, forwards)).await
}

/// One whose link goes over this wire.
async fn host_over(world: &World, wire: &Proxy, name: &str, forwards: &str) -> BareAgent {
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let key = SecretKey::generate().unwrap();
    let mut dialer = world.dialer(PeerKind::Agent, key, Some(&token));
    dialer.name = name.into();
    dialer.target.address = wire.address().to_string();
    world.agent_as(&dialer, config(world, name, forwards)).await
}

/// Two hosts, the service that one sees, and a forward to it from the other.
struct Story {
    world: World,
    edge: BareAgent,
    db1: BareAgent,
    client: Client,
    at: SocketAddr,
}

impl Story {
    /// The owners say this beside what is listened at and led to.
    async fn begin(edge: &str, db1: &str) -> Self {
        let (world, service, at) = (World::start().await, echo("one").await, free().await);
        let edge = host(&world, "edge", &format!("listen = [\"{at}\"]\n{edge}")).await;
        let db1 = host(&world, "db1", &format!("targets = [\"{service}\"]\n{db1}")).await;
        let client = world.client(Role::ADMINISTRATOR).await;
        let forward = Forward {
            name: "db".into(),
            host: "edge".into(),
            listen: at.to_string(),
            via: "db1".into(),
            to: place(service),
            ..Forward::default()
        };
        client.call(None, &Put(forward), PATIENCE).await.unwrap();
        until_is(&client, "db", "listening").await;
        Self { world, edge, db1, client, at }
    }

    /// A connection that has said its first word, and how long that took.
    async fn connect(&self) -> (TcpStream, Duration) {
        let began = Instant::now();
        let mut tcp = TcpStream::connect(self.at).await.unwrap();
        assert_eq!(hear(&mut tcp, 3).await, "one");
        (tcp, began.elapsed())
    }

    async fn until(&self, what: &str, is: impl Fn(&Stand) -> bool) {
        until(what, async || is(&row(&self.client, "db").await.stand.unwrap_or_default())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_links_that_are_late_all_comes_in_order_and_with_a_link_that_is_cut_its_connections_end()
 {
    let (world, service, at) = (World::start().await, echo("one").await, free().await);
    let hub = world.address;
    let (near, far) = (Proxy::start(hub).await, Proxy::start(hub).await);
    let _edge = host_over(&world, &near, "edge", &format!("listen = [\"{at}\"]")).await;
    let _db1 = host_over(&world, &far, "db1", &format!("targets = [\"{service}\"]")).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let forward = Forward {
        name: "db".into(),
        host: "edge".into(),
        listen: at.to_string(),
        via: "db1".into(),
        to: place(service),
        ..Forward::default()
    };
    client.call(None, &Put(forward), PATIENCE).await.unwrap();
    until_is(&client, "db", "listening").await;
    near.set(Fault::Delay(Duration::from_millis(30)));
    far.set(Fault::Delay(Duration::from_millis(60)));
    let talk = async || {
        let mut tcp = TcpStream::connect(at).await.unwrap();
        assert_eq!(hear(&mut tcp, 3).await, "one");
        says_all(tcp, 200_000).await;
    };
    futures::future::join_all((0..4).map(|_| talk())).await;
    let mut tcp = TcpStream::connect(at).await.unwrap();
    assert_eq!(hear(&mut tcp, 3).await, "one");
    far.set(Fault::Cut);
    assert!(is_over(&mut tcp).await);
}

/// Everything comes back that is said, and a goodbye after the end.
async fn says_all(tcp: TcpStream, count: usize) {
    let sent: Vec<u8> = (0..count).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = tcp.into_split();
    let writing = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    tokio::join!(writing, async { from.read_to_end(&mut heard).await.unwrap() });
    assert_eq!(heard.len(), count + 3);
    assert!(heard.starts_with(&sent) && heard.ends_with(b"bye"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_past_the_hub_with_all_its_bytes_where_both_owners_let_it() {
    let door = free().await;
    let story =
        Story::begin(&format!("direct_to = [\"{door}\"]"), &format!("direct = \"{door}\"")).await;
    let (tcp, _) = story.connect().await;
    says_all(tcp, 3_000_000).await;
    for link in [&story.edge.link, &story.db1.link] {
        let Ok(bytes) = u32::try_from(link.health().sent) else { panic!("far too many") };
        assert!(bytes < 300_000, "{bytes} bytes went by the hub");
    }
    story.until("it is told", |stand| stand.is_direct && stand.direct == 1).await;
    until("the end is written down", async || {
        let list = AuditList { limit: 100, ..AuditList::default() };
        let records = story.client.call(None, &list, PATIENCE).await.unwrap().records;
        let words = "3000000 bytes there, 3000006 bytes back, directly";
        records
            .iter()
            .any(|r| r.event == Event::Answered && format!("{:?}", r.result).contains(words))
    })
    .await;
    // Many at once share the one link.
    let all = (0..20).map(async |_| says_all(story.connect().await.0, 50_000).await);
    futures::future::join_all(all).await;
    story.until("all were counted", |stand| stand.direct == 21 && stand.failed == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_directly_goes_by_the_hub_within_a_second_and_it_is_said_why() {
    let (door, nobody, stranger) = (free().await, free().await, echo("x").await);
    let silent = Proxy::start(stranger).await;
    silent.set(Fault::Blackhole);
    let everywhere = "direct_to = [\"127.0.0.1:*\"]".to_owned();
    for (edge, db1, why) in [
        (everywhere.clone(), String::new(), "names no place"),
        (everywhere.clone(), format!("direct = \"{door}\"\ndirect_as = [\"{nobody}\"]"), "refused"),
        (
            everywhere.clone(),
            format!("direct = \"{door}\"\ndirect_as = [\"{stranger}\"]"),
            "somebody else listens there",
        ),
        (
            everywhere,
            format!("direct = \"{door}\"\ndirect_as = [\"{}\"]", silent.address()),
            "within 800 ms",
        ),
        (
            format!("direct_to = [\"{nobody}\"]"),
            format!("direct = \"{door}\""),
            "policy does not let it dial",
        ),
    ] {
        let story = Story::begin(&edge, &db1).await;
        let (tcp, took) = story.connect().await;
        assert!(took < Duration::from_millis(1500), "{why}: {took:?}");
        says_all(tcp, 200_000).await;
        story
            .until(why, |stand| {
                !stand.is_direct && stand.direct == 0 && stand.not_direct.contains(why)
            })
            .await;
        // The next one need not find out again.
        let (_tcp, took) = story.connect().await;
        assert!(took < Duration::from_millis(700), "{why}: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_that_come_at_once_are_all_carried_and_what_is_too_many_is_told_at_once() {
    let door = free().await;
    let story = Story::begin(
        &format!("direct_to = [\"{door}\"]\nmax = 300"),
        &format!("direct = \"{door}\"\nmax = 300"),
    )
    .await;
    let all = (0..300).map(|_| async { TcpStream::connect(story.at).await.unwrap() });
    let mut all = futures::future::join_all(all).await;
    for tcp in &mut all {
        assert_eq!(hear(tcp, 3).await, "one");
    }
    story.until("all are there", |stand| stand.open == 300 && stand.failed == 0).await;
    let began = Instant::now();
    // A reset may come before it is known that somebody was there.
    if let Ok(mut more) = TcpStream::connect(story.at).await {
        assert!(is_over(&mut more).await);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    story.until("it is said why", |stand| stand.last_error.contains("max under [forwards]")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_have_not_said_what_they_want_take_no_place_of_others() {
    let story = Story::begin("", "").await;
    let link = story.world.hub.fleet.link(story.db1.id).unwrap();
    let mut silent = Vec::new();
    for _ in 0..220 {
        let mut stream = link.open().unwrap();
        // The first byte of a header.
        futures::AsyncWriteExt::write_all(&mut stream, &[0]).await.unwrap();
        silent.push(stream);
    }
    says_all(story.connect().await.0, 1000).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_between_two_hosts_that_is_cut_costs_what_was_on_it_and_nothing_after_it() {
    let door = free().await;
    let wire = Proxy::start(door).await;
    let story = Story::begin(
        "direct_to = [\"127.0.0.1:*\"]",
        &format!("direct = \"{door}\"\ndirect_as = [\"{}\"]", wire.address()),
    )
    .await;
    let (mut first, _) = story.connect().await;
    story.until("it goes directly", |stand| stand.is_direct).await;
    // What comes late comes whole.
    wire.set(Fault::Delay(Duration::from_millis(40)));
    says_all(story.connect().await.0, 300_000).await;
    story.until("so does the next", |stand| stand.direct == 2).await;

    wire.set(Fault::Blackhole);
    let (tcp, took) = story.connect().await;
    assert!(took < Duration::from_millis(1500), "{took:?}");
    says_all(tcp, 100_000).await;
    story.until("by the hub", |stand| stand.not_direct.contains("did not answer")).await;
    wire.set(Fault::Cut);
    assert!(is_over(&mut first).await);
    let (tcp, took) = story.connect().await;
    assert!(took < Duration::from_millis(1500), "{took:?}");
    says_all(tcp, 100_000).await;
    story.until("the failure is counted", |stand| stand.failed == 1 && stand.open == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_past_the_hub_ends_when_it_is_cut_when_its_forward_goes_and_with_the_rights() {
    let door = free().await;
    let mut story =
        Story::begin(&format!("direct_to = [\"{door}\"]"), &format!("direct = \"{door}\"")).await;
    let (mut tcp, _) = story.connect().await;
    story.until("it goes directly", |stand| stand.direct == 1).await;
    story.client.call(None, &Cut { name: "db".into() }, PATIENCE).await.unwrap();
    assert!(is_over(&mut tcp).await);

    story.client = story.world.client(Role::ADMINISTRATOR).await;
    let (mut tcp, _) = story.connect().await;
    story.until("it goes directly", |stand| stand.direct == 2).await;
    let by = row(&story.client, "db").await.by;
    let update = operators::Update { name: by, disabled: Some(true), full_name: None };
    let began = Instant::now();
    story.client.call(None, &update, PATIENCE).await.unwrap();
    assert!(is_over(&mut tcp).await);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());

    let back = operators::Update { disabled: Some(false), ..update };
    story.client.call(None, &back, PATIENCE).await.unwrap();
    let (mut tcp, _) = story.connect().await;
    story.until("it goes directly", |stand| stand.direct == 3).await;
    story.client.call(None, &Delete { name: "db".into() }, PATIENCE).await.unwrap();
    assert!(is_over(&mut tcp).await);
}

/// A host of the test's own that listens for a forward: it says that somebody has come, and tells what the hub answers.
struct Edge {
    forward: &'static str,
    offers: mpsc::Sender<Offer>,
    knocks: Mutex<mpsc::Receiver<()>>,
}

async fn hold(
    edge: std::sync::Arc<Edge>,
    _: Asked,
    hold: Hold,
    mut feeding: Feeding<Hold>,
) -> Result<(), CallError> {
    if hold.forwards.is_empty() {
        return Ok(());
    }
    let sender = feeding.sender();
    let mut knocks = edge.knocks.lock().await;
    let mut connection = 0;
    loop {
        tokio::select! {
            _ = feeding.input() => {}
            Some(()) = knocks.recv() => {
                connection += 1;
                let knock = Knock { forward: edge.forward.into(), connection, direct: true };
                sender.send(&Told { knock: Some(knock), ..Told::default() }).await?;
            }
        }
    }
}

async fn accept(
    edge: std::sync::Arc<Edge>,
    _: Asked,
    accept: Accept,
    mut feeding: Feeding<Accept>,
) -> Result<(), CallError> {
    edge.offers.send(accept.direct.unwrap()).await.unwrap();
    // Goes on until the hub ends it.
    loop {
        feeding.input().await?;
    }
}

async fn dial(at: SocketAddr, key: &SecretKey, of: &Offer) -> Result<Client, DialError> {
    let hello = Hello {
        protocol: PROTOCOL,
        kind: PeerKind::Agent,
        version: "1".to_owned(),
        name: String::new(),
        capabilities: Vec::new(),
        at_ms: clock::now_ms(),
        join: None,
    };
    let target = Target { address: at.to_string(), hub: of.key };
    let (link, _, mut streams) = link::dial(&target, None, key, &hello, Limits::default()).await?;
    tokio::spawn(async move { while streams.recv().await.is_some() {} });
    Ok(Client::new(link))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_for_a_connection_but_whom_the_hub_has_announced_and_with_its_ticket_once() {
    let (world, service, door) = (World::start().await, echo("one").await, free().await);
    let _db1 =
        host(&world, "db1", &format!("targets = [\"{service}\"]\ndirect = \"{door}\"")).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let forward = |host: &str| Forward {
        name: host.into(),
        host: host.into(),
        listen: "127.0.0.1:1".into(),
        via: "db1".into(),
        to: place(service),
        ..Forward::default()
    };
    let (key, others) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let mut all = Vec::new();
    for (name, key) in [("edge", &key), ("other", &others)] {
        let (offers, mut offered) = mpsc::channel(4);
        let (knock, knocks) = mpsc::channel(4);
        let edge = Edge { forward: name, offers, knocks: Mutex::new(knocks) };
        let token = world.token(TokenKind::Host, Role::NONE, 1).await;
        let mut dialer = world.dialer(PeerKind::Agent, key.clone(), Some(&token));
        dialer.name = name.into();
        let edge = Service::new(edge).feed(hold).feed(accept);
        let edge = world.serve_agent(&dialer, edge).await.unwrap();
        client.call(None, &Put(forward(name)), PATIENCE).await.unwrap();
        knock.send(()).await.unwrap();
        let offer = tokio::time::timeout(PATIENCE, offered.recv()).await.unwrap().unwrap();
        assert_eq!(offer.at, [door]);
        all.push((offer, knock, edge));
    }
    let (offer, theirs) = (&all[0].0, &all[1].0);

    let stranger = dial(door, &SecretKey::generate().unwrap(), offer).await.unwrap_err();
    assert!(
        matches!(&stranger, DialError::Refused { refusal, .. } if refusal.kind == RefusalKind::UnknownKey),
        "{stranger}"
    );
    let direct = dial(door, &key, offer).await.unwrap();
    let claim = async |ticket: Ticket| {
        let mut feed = direct.feed(None, &Claim { ticket }).await.unwrap();
        let first = feed.next().await.unwrap();
        first.map(|_| feed)
    };
    let wrong = claim(Ticket([0; 16])).await.unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::NotFound);
    let anothers = claim(theirs.ticket).await.unwrap_err();
    assert_eq!(anothers.kind, ErrorKind::NotFound);
    let mut feed = claim(offer.ticket).await.unwrap();
    let again = claim(offer.ticket).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::NotFound, "a ticket is good for once");
    feed.send(&Piece::default()).await.unwrap();
    let first = feed.next().await.unwrap().unwrap();
    assert_eq!(text(&first.data), "one");
    // Whose it was may come with it still.
    let other = dial(door, &others, theirs).await.unwrap();
    let mut own = other.feed(None, &Claim { ticket: theirs.ticket }).await.unwrap();
    assert_eq!(own.next().await.unwrap().unwrap().opened, "here");
    client.call(None, &Delete { name: "edge".into() }, PATIENCE).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, feed.next()).await.unwrap().unwrap().unwrap_err();
    assert!(ended.message.contains("the hub has ended"), "{ended}");
}
