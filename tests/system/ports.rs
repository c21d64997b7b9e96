//! Ports of a real host through the hub: what listens and whose it is, live, and by one port.

use cmdr_protocol::ports::{List, Protocol, Socket, State, Watch};
use cmdr_protocol::processes::Signal;
use cmdr_protocol::role::Role;
use harness::{World, until_some};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn who_listens_on_a_port_is_found_and_can_be_signalled() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    // A program of the test's own that listens and tells on which port.
    let code = "import socket,sys;s=socket.socket();s.bind(('127.0.0.1',0));s.listen(9);\
                print(s.getsockname()[1],flush=True);sys.stdin.read()";
    let mut program = Command::new("python3")
        .args(["-c", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();

    let list = List { port: Some(port), ..List::default() };
    let listing = client.call(Some(agent.id), &list, PATIENCE).await.unwrap();
    let [socket] = &listing.sockets[..] else { panic!("{listing:?}") };
    assert_eq!((socket.pid, socket.protocol), (program.id(), Protocol::Tcp));
    assert_eq!(socket.here(), format!("127.0.0.1:{port}"));
    assert!(socket.program.starts_with("python3"), "{socket:?}");

    let signal = Signal { pid: socket.pid, start: socket.start, signal: 15 };
    client.call(Some(agent.id), &signal, PATIENCE).await.unwrap();
    assert_eq!(program.wait().unwrap().signal(), Some(15));
    let listing = client.call(Some(agent.id), &list, PATIENCE).await.unwrap();
    assert!(listing.sockets.is_empty(), "{listing:?}");
}

#[tokio::test]
async fn connections_are_listed_when_they_are_asked_for() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let near = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (_far, _) = listener.accept().unwrap();
    let list = List { connected: true, port: Some(port), ..List::default() };
    let listing = client.call(Some(agent.id), &list, PATIENCE).await.unwrap();
    let states: Vec<_> = listing.sockets.iter().map(|s| s.state).collect();
    assert_eq!(states, [State::Listen, State::Established, State::Established]);
    let own = near.local_addr().unwrap().port();
    assert!(listing.sockets.iter().any(|s| s.port == own && s.remote_port == port));
    assert!(listing.sockets.iter().all(|s| s.pid == std::process::id()));
}

#[tokio::test]
async fn the_live_table_shows_ports_come_and_go() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    let mut feed = client.feed(Some(agent.id), &Watch { interval_ms: 1000 }).await.unwrap();
    let mut table = BTreeMap::new();
    let first = feed.next().await.unwrap().unwrap();
    assert!(first.table.reset);
    first.table.apply(&mut table);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let is_there = |table: &BTreeMap<_, Socket>| {
        table.values().any(|s| s.port == port && s.pid == std::process::id())
    };
    until_some("the new one is there", async || {
        feed.next().await.unwrap().unwrap().table.apply(&mut table);
        is_there(&table).then_some(())
    })
    .await;
    drop(listener);
    until_some("it is gone", async || {
        feed.next().await.unwrap().unwrap().table.apply(&mut table);
        (!is_there(&table)).then_some(())
    })
    .await;
}
