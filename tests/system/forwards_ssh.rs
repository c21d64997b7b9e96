//! Forwards over SSH, to a real server on a machine without an agent: both ways and as a proxy, by key and password; the right
//! machine or none, and back after it was away.

use crate::forwards::{PATIENCE, echo, free, hear, host, is_over, place, row, until_is};
use cmdr_link::Client;
use cmdr_protocol::forwards::kept::{Cut, Forward, Kind, Password, Put, Stop};
use cmdr_protocol::role::Role;
use cmdr_protocol::ssh::{Forget, Trust};
use cmdr_protocol::{ErrorKind, HostId};
use harness::sshd::{Lets, PASSWORD, Sshd, USER};
use harness::{World, until};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn at(sshd: &Sshd) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], sshd.port))
}

fn forward(kind: Kind, sshd: &Sshd, listen: SocketAddr) -> Forward {
    Forward {
        name: "x".into(),
        kind,
        host: "edge".into(),
        listen: listen.to_string(),
        ssh: format!("{USER}@{}", at(sshd)),
        ..Forward::default()
    }
}

/// Says that the key which the machine has now is the right one.
async fn trust(client: &Client, host: HostId, sshd: &Sshd) {
    let shown = std::fs::read_to_string(sshd.key().with_file_name("host.pub")).unwrap();
    let key = shown.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let key = key.trim().to_owned();
    let fingerprint = sshd.fingerprint();
    let trust = Trust { host: "127.0.0.1".into(), port: sshd.port, key, fingerprint };
    client.call(Some(host), &trust, PATIENCE).await.unwrap();
}

async fn until_said(client: &Client, what: &str) {
    until(&format!("it is said: {what}"), async || {
        row(client, "x").await.stand.unwrap_or_default().problem.contains(what)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_without_an_agent_sees_is_reached_by_a_key_and_only_at_the_right_machine() {
    let world = World::start().await;
    let mut sshd = Sshd::start(&world.path("sshd"), Lets::KeysOnly).await;
    let (service, listen) = (echo("one").await, free().await);
    // The service is none of the host's own: only the machine has to be named.
    let edge = host(&world, "edge", &[at(&sshd)], &[listen]).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let bare = Forward { to: place(service), ..forward(Kind::SshLocal, &sshd, listen) };
    let refused = client.call(None, &Put(bare.clone()), PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Malformed);
    assert!(refused.message.contains("a password or a key"), "{refused}");
    let key = Password(std::fs::read_to_string(sshd.key()).unwrap());
    client.call(None, &Put(Forward { key, ..bare.clone() }), PATIENCE).await.unwrap();
    until_said(&client, &sshd.fingerprint()).await;
    assert!(TcpStream::connect(listen).await.is_err(), "nobody is let in before");
    trust(&client, edge.id, &sshd).await;
    until_is(&client, "x", "listening").await;
    assert!(row(&client, "x").await.forward.key.is_empty());

    let mut first = TcpStream::connect(listen).await.unwrap();
    assert_eq!(hear(&mut first, 3).await, "one");
    first.write_all(b"hello").await.unwrap();
    assert_eq!(hear(&mut first, 5).await, "hello");
    first.shutdown().await.unwrap();
    assert_eq!(hear(&mut first, 3).await, "bye", "the end of one way does not end the other");
    let mut second = TcpStream::connect(listen).await.unwrap();
    assert_eq!(hear(&mut second, 3).await, "one");
    client.call(None, &Cut { name: "x".into() }, PATIENCE).await.unwrap();
    assert!(is_over(&mut second).await);
    // The same again without the key, which stays.
    let noted = Forward { note: "once more".into(), ..bare };
    client.call(None, &Put(noted), PATIENCE).await.unwrap();
    let mut third = TcpStream::connect(listen).await.unwrap();
    assert_eq!(hear(&mut third, 3).await, "one");

    // Another machine in its place: nobody logs in there until somebody says that it is the right one.
    sshd.renew().await;
    assert!(is_over(&mut third).await);
    until_said(&client, &sshd.fingerprint()).await;
    let forget = Forget { host: "127.0.0.1".into(), port: sshd.port };
    client.call(Some(edge.id), &forget, PATIENCE).await.unwrap();
    trust(&client, edge.id, &sshd).await;
    until_is(&client, "x", "listening").await;
    let mut fourth = TcpStream::connect(listen).await.unwrap();
    assert_eq!(hear(&mut fourth, 3).await, "one");
    client.call(None, &Stop { name: "x".into() }, PATIENCE).await.unwrap();
    until("nobody listens", async || TcpStream::connect(listen).await.is_err()).await;
    fourth.write_all(b"still").await.unwrap();
    assert_eq!(hear(&mut fourth, 5).await, "still");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_listens_for_what_a_host_sees_and_a_wrong_password_is_said() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::Password).await;
    let (service, listen) = (echo("one").await, free().await);
    let edge = host(&world, "edge", &[at(&sshd), service], &[]).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    trust(&client, edge.id, &sshd).await;
    let wrong = Forward {
        to: place(service),
        password: Password("wrong".into()),
        ..forward(Kind::SshRemote, &sshd, listen)
    };
    client.call(None, &Put(wrong.clone()), PATIENCE).await.unwrap();
    until_said(&client, "did not let us in").await;
    let right = Forward { password: Password(PASSWORD.into()), ..wrong };
    client.call(None, &Put(right), PATIENCE).await.unwrap();
    until_is(&client, "x", "listening").await;
    let mut tcp = TcpStream::connect(listen).await.unwrap();
    assert_eq!(hear(&mut tcp, 3).await, "one");
    tcp.write_all(b"from there").await.unwrap();
    assert_eq!(hear(&mut tcp, 10).await, "from there");
    until("it is counted", async || {
        let stand = row(&client, "x").await.stand.unwrap_or_default();
        (stand.open, stand.sent, stand.received) == (1, 10, 13)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_client_goes_where_it_says_over_a_machine_that_asks_questions() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::Questions).await;
    let (service, listen) = (echo("one").await, free().await);
    let edge = host(&world, "edge", &[at(&sshd)], &[listen]).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    trust(&client, edge.id, &sshd).await;
    let password = Password(PASSWORD.into());
    let put = Put(Forward { password, ..forward(Kind::SshDynamic, &sshd, listen) });
    client.call(None, &put, PATIENCE).await.unwrap();
    until_is(&client, "x", "listening").await;
    let ask = async |port: u16| {
        let mut tcp = TcpStream::connect(listen).await.unwrap();
        let [high, low] = port.to_be_bytes();
        tcp.write_all(&[5, 1, 0]).await.unwrap();
        let mut answer = [0; 12];
        tcp.read_exact(&mut answer[..2]).await.unwrap();
        tcp.write_all(&[5, 1, 0, 1, 127, 0, 0, 1, high, low]).await.unwrap();
        tcp.read_exact(&mut answer[2..]).await.unwrap();
        (tcp, answer[3])
    };
    let (mut tcp, code) = tokio::time::timeout(PATIENCE, ask(service.port())).await.unwrap();
    assert_eq!((code, hear(&mut tcp, 3).await.as_str()), (0, "one"));
    let nobody = free().await;
    let (_, code) = tokio::time::timeout(PATIENCE, ask(nobody.port())).await.unwrap();
    assert_eq!(code, 4, "it cannot be reached");
}
