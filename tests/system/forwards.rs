//! Forwards: services that only a host sees, reached through the hub by the real program and from other hosts; what its owner
//! and the rights allow, and what ends them.

use crate::docker_proxy::text;
use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_link::Client;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::audit::{Event, List as AuditList};
use cmdr_protocol::forwards::kept::{Cut, Delete, Forward, List, Put, Resume, Row, Stop, Switch};
use cmdr_protocol::forwards::{Carries, Dial, Piece, Place};
use cmdr_protocol::operators;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use harness::process::{Running, program, run};
use harness::{BareAgent, World, until};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A service that says its name and then whatever it is told, until it is told no more.
pub(crate) async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = tcp.split();
                to.write_all(name.as_bytes()).await.ok();
                tokio::io::copy(&mut from, &mut to).await.ok();
                to.write_all(b"bye").await.ok();
            });
        }
    });
    at
}

/// A port that was free a moment ago.
pub(crate) async fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn place(at: SocketAddr) -> Place {
    Place { host: at.ip().to_string(), port: at.port() }
}

/// A host whose owner lets forwards lead to these places and listen at those.
pub(crate) async fn host(
    world: &World,
    name: &str,
    to: &[SocketAddr],
    listen: &[SocketAddr],
) -> BareAgent {
    let mut config = Config::new(world.path(name));
    let policy = format!("[forwards]\ntargets = {:?}\nlisten = {:?}\n", words(to), words(listen));
    config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), &policy).unwrap();
    world.agent_with(name, config).await
}

fn words(all: &[SocketAddr]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// Reads so many bytes as text.
pub(crate) async fn hear(tcp: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    tokio::time::timeout(PATIENCE, tcp.read_exact(&mut bytes)).await.unwrap().unwrap();
    text(&bytes)
}

/// Whether a connection is over, for good or not.
pub(crate) async fn is_over(tcp: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(tokio::time::timeout(PATIENCE, tcp.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

/// Somebody with the real program.
struct Person {
    dir: tempfile::TempDir,
}

impl Person {
    async fn new(world: &World, role: Role) -> Self {
        let token = world.token(TokenKind::Operator, role, 1).await;
        let person = Self { dir: tempfile::tempdir().unwrap() };
        let login = person.cmdr(&["login", &token]);
        assert!(login.status.success(), "{}", text(&login.stderr));
        person
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.env("CMDR_HOME", self.dir.path().join("me")).args(args);
        command
    }

    fn cmdr(&self, args: &[&str]) -> Output {
        tokio::task::block_in_place(|| run(&mut self.command(args)))
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("forward.log")
    }

    /// A forward of this person's, and where it listens.
    async fn forward(&self, args: &[&str]) -> (Running, SocketAddr) {
        let running =
            Running::start(&mut self.command(&[&["forward"], args].concat()), &self.log());
        let at = || {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let line = log.lines().find(|line| line.contains(" leads to "))?;
            line.split(' ').next()?.parse().ok()
        };
        let at = harness::until_some("the forward listens", async || at()).await;
        (running, at)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_a_host_sees_is_reached_from_here_with_all_its_bytes() {
    let (world, service) = (World::start().await, echo("db1").await);
    let _db1 = host(&world, "db1", &[service], &[]).await;
    let person = Person::new(&world, Role::OPERATOR).await;
    let (_running, at) = person.forward(&["0", &format!("db1:{}", service.port())]).await;

    let mut tcp = TcpStream::connect(at).await.unwrap();
    assert_eq!(hear(&mut tcp, 3).await, "db1");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = tcp.split();
    let writing = async {
        to.write_all(&sent).await.unwrap();
        // It says no more, and still hears all.
        to.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    tokio::join!(writing, async { from.read_to_end(&mut heard).await.unwrap() });
    assert_eq!(heard.len(), sent.len() + 3, "the end of one way does not end the other");
    assert!(heard.starts_with(&sent) && heard.ends_with(b"bye"));

    // The log has who, where and how much.
    let client = world.client(Role::ADMINISTRATOR).await;
    until("the end is written down", async || {
        let list = AuditList { limit: 100, ..AuditList::default() };
        let records = client.call(None, &list, PATIENCE).await.unwrap().records;
        records.iter().any(|r| {
            let about = format!("forward:{service}");
            r.event == Event::Answered
                && r.method == "forwards.dial"
                && r.resource == about
                && format!("{:?}", r.result).contains("3000000 bytes there, 3000006 bytes back")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_has_not_named_and_what_nobody_may_is_refused_before_anything_listens() {
    let (world, service) = (World::start().await, echo("db1").await);
    let _db1 = host(&world, "db1", &[service], &[]).await;
    let person = Person::new(&world, Role::OPERATOR).await;
    for target in
        ["db1:1".to_owned(), "db1:169.254.169.254:80".to_owned(), "db1:10.0.0.1:80".into()]
    {
        let refused = person.cmdr(&["forward", "0", &target]);
        assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
        assert!(
            text(&refused.stderr).contains("/etc/cmdr/agent.toml"),
            "{}",
            text(&refused.stderr)
        );
    }
    let watcher = Person::new(&world, Role::OBSERVER).await;
    let refused = watcher.cmdr(&["forward", "0", &format!("db1:{}", service.port())]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    let wrong = person.cmdr(&["forward", "0", "db1"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    let taken = person.cmdr(&["forward", &service.to_string(), &format!("db1:{}", service.port())]);
    assert_eq!(taken.status.code(), Some(1), "{}", text(&taken.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_reset_on_the_other_side_too() {
    let world = World::start().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let service = listener.local_addr().unwrap();
    let _db1 = host(&world, "db1", &[service], &[]).await;
    let person = Person::new(&world, Role::OPERATOR).await;
    let (_running, at) = person.forward(&["0", &format!("db1:{}", service.port())]).await;
    let mut here = TcpStream::connect(at).await.unwrap();
    let (mut there, _) = listener.accept().await.unwrap();
    here.write_all(b"x").await.unwrap();
    hear(&mut there, 1).await;
    rustix_linger(&there);
    drop(there);
    let error = tokio::time::timeout(PATIENCE, here.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let here = TcpStream::connect(at).await.unwrap();
    let (mut there, _) = listener.accept().await.unwrap();
    rustix_linger(&here);
    drop(here);
    let error = tokio::time::timeout(PATIENCE, there.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Has a socket reset its connection when it is dropped.
fn rustix_linger(tcp: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_client_goes_where_it_says_and_is_told_where_it_may_not() {
    let (world, service) = (World::start().await, echo("db1").await);
    let _db1 = host(&world, "db1", &[service], &[]).await;
    let person = Person::new(&world, Role::OPERATOR).await;
    let (_running, at) = person.forward(&["-D", "0", "--via", "db1"]).await;
    let ask = async |port: u16| {
        let mut tcp = TcpStream::connect(at).await.unwrap();
        // All at once, as hasty clients do.
        let [high, low] = port.to_be_bytes();
        let request = [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low, b'h', b'i'];
        tcp.write_all(&request).await.unwrap();
        let mut answer = [0; 12];
        tokio::time::timeout(PATIENCE, tcp.read_exact(&mut answer)).await.unwrap().unwrap();
        (tcp, answer[3])
    };
    let (mut tcp, code) = ask(service.port()).await;
    assert_eq!(code, 0);
    assert_eq!(hear(&mut tcp, 5).await, "db1hi");
    let (_, code) = ask(1).await;
    assert_eq!(code, 2, "not allowed by ruleset");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_come_and_go_one_by_one() {
    let world = World::start().await;
    let service = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = service.local_addr().unwrap();
    tokio::spawn(async move {
        let mut room = vec![0; 65_536];
        while let Ok((n, from)) = service.recv_from(&mut room).await {
            service.send_to(&room[..n], from).await.ok();
        }
    });
    let _db1 = host(&world, "db1", &[to], &[]).await;
    let person = Person::new(&world, Role::OPERATOR).await;
    let (_running, at) = person.forward(&["--udp", "0", &format!("db1:{}", to.port())]).await;
    for _ in 0..2 {
        let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        here.connect(at).await.unwrap();
        for size in [1, 0, 1400, 60_000] {
            here.send(&vec![7; size]).await.unwrap();
            let mut room = vec![0; 65_536];
            let n = tokio::time::timeout(PATIENCE, here.recv(&mut room)).await.unwrap().unwrap();
            assert_eq!(n, size);
        }
    }
}

/// How a forward stands.
pub(crate) async fn row(client: &Client, name: &str) -> Row {
    let all = client.call(None, &List {}, PATIENCE).await.unwrap().forwards;
    all.into_iter().find(|row| row.forward.name == name).unwrap_or_default()
}

pub(crate) async fn until_is(client: &Client, name: &str, state: &str) {
    until(&format!("{name} is {state}"), async || row(client, name).await.state() == state).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_forward_leads_from_one_host_to_what_another_sees_and_is_switched_under_way() {
    let (world, one, two) = (World::start().await, echo("one").await, echo("two").await);
    let at = free().await;
    let _edge = host(&world, "edge", &[], &[at]).await;
    let _db1 = host(&world, "db1", &[one, two], &[]).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let forward = Forward {
        name: "db".into(),
        host: "edge".into(),
        listen: at.to_string(),
        via: "db1".into(),
        to: place(one),
        ..Forward::default()
    };
    client.call(None, &Put(forward.clone()), PATIENCE).await.unwrap();
    until_is(&client, "db", "listening").await;
    let mut first = TcpStream::connect(at).await.unwrap();
    assert_eq!(hear(&mut first, 3).await, "one");

    let switch = Switch { name: "db".into(), to: place(two), via: String::new() };
    client.call(None, &switch, PATIENCE).await.unwrap();
    let mut second = TcpStream::connect(at).await.unwrap();
    assert_eq!(hear(&mut second, 3).await, "two");
    first.write_all(b"still").await.unwrap();
    assert_eq!(hear(&mut first, 5).await, "still", "what was established leads where it led");

    client.call(None, &Stop { name: "db".into() }, PATIENCE).await.unwrap();
    until("its host has stopped", async || {
        row(&client, "db").await.stand.is_some_and(|stand| stand.listening.is_empty())
    })
    .await;
    assert!(TcpStream::connect(at).await.is_err());
    second.write_all(b"there").await.unwrap();
    assert_eq!(hear(&mut second, 5).await, "there");
    client.call(None, &Resume { name: "db".into() }, PATIENCE).await.unwrap();
    until_is(&client, "db", "listening").await;

    client.call(None, &Cut { name: "db".into() }, PATIENCE).await.unwrap();
    assert!(is_over(&mut first).await && is_over(&mut second).await);
    let mut third = TcpStream::connect(at).await.unwrap();
    assert_eq!(hear(&mut third, 3).await, "two");
    until("it is counted", async || {
        let stand = row(&client, "db").await.stand.unwrap_or_default();
        stand.open == 1 && stand.total == 3
    })
    .await;
    client.call(None, &Delete { name: "db".into() }, PATIENCE).await.unwrap();
    assert!(is_over(&mut third).await);
    until("nobody listens", async || TcpStream::connect(at).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_forward_goes_by_the_rights_of_who_made_it_and_ends_with_them_within_two_seconds() {
    let (world, service) = (World::start().await, echo("one").await);
    let at = free().await;
    let _edge = host(&world, "edge", &[], &[at]).await;
    let _db1 = host(&world, "db1", &[service], &[]).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let person = Person::new(&world, Role::ADMINISTRATOR).await;
    let made = person.cmdr(&[
        "forward",
        "add",
        "db",
        &format!("edge:{}", at.port()),
        &format!("db1:{}", service.port()),
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    until_is(&admin, "db", "listening").await;
    let mut tcp = TcpStream::connect(at).await.unwrap();
    assert_eq!(hear(&mut tcp, 3).await, "one");
    let by = row(&admin, "db").await.by;
    let update = operators::Update { name: by, disabled: Some(true), full_name: None };
    let began = Instant::now();
    admin.call(None, &update, PATIENCE).await.unwrap();
    assert!(is_over(&mut tcp).await);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // A reset may come before it is known that somebody was there.
    if let Ok(mut after) = TcpStream::connect(at).await {
        assert!(is_over(&mut after).await);
    }
    until("it is said why", async || {
        row(&admin, "db").await.stand.unwrap_or_default().last_error.contains("not allowed for")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_word_of_its_owner_carries_nothing() {
    let (world, service) = (World::start().await, echo("one").await);
    let host = world.agent("plain").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let dial = Dial { to: place(service), carries: Carries::Tcp, look: false };
    let mut feed = client.feed(Some(host.id), &dial).await.unwrap();
    let refused: Result<Piece, _> = feed.next().await.unwrap();
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Denied);
}
