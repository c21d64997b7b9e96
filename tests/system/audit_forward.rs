//! The audit log on its way to real listeners: nothing is lost, nothing waits, everything can be checked.

use cmdr_hub::audit::forward::syslog::Destination;
use cmdr_hub::config::{self, Config};
use cmdr_link::files::write_private;
use cmdr_protocol::audit::Record;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use harness::{World, until, until_some};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::time::timeout;

fn syslog(to: &str) -> Config {
    let to = Destination::try_from(to.to_owned()).unwrap();
    let audit = config::Audit { syslog: Some(config::Syslog { to }), ..Default::default() };
    Config { audit, ..Config::default() }
}

fn record(message: &str) -> Record {
    let (head, json) = message.split_once(" - {").unwrap();
    assert!(
        head.starts_with("<10") && head.contains(">1 20") && head.contains(" cmdr-hub "),
        "{head}"
    );
    serde_json::from_str(&format!("{{{json}")).unwrap()
}

async fn some_records(world: &World) {
    for _ in 0..5 {
        world.token(TokenKind::Host, Role::NONE, 1).await;
    }
}

#[tokio::test]
async fn a_syslog_server_gets_every_record_as_a_datagram() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let world = World::start_with(syslog(&format!("udp://{}", server.local_addr().unwrap()))).await;
    some_records(&world).await;
    let mut seqs = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while seqs.len() < 11 {
        let len =
            timeout(Duration::from_secs(20), server.recv(&mut buffer)).await.unwrap().unwrap();
        seqs.push(record(std::str::from_utf8(&buffer[..len]).unwrap()).seq);
    }
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_local_syslog_socket_that_comes_late_gets_what_it_has_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let world = World::start_with(syslog(&format!("unix://{}", path.display()))).await;
    some_records(&world).await;
    let server = UnixDatagram::bind(&path).unwrap();
    let mut seqs = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while seqs.len() < 11 {
        let len =
            timeout(Duration::from_secs(20), server.recv(&mut buffer)).await.unwrap().unwrap();
        seqs.push(record(std::str::from_utf8(&buffer[..len]).unwrap()).seq);
    }
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
}

/// Messages of one connection, each behind its length.
async fn framed(mut tcp: TcpStream, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let mut len = String::new();
        loop {
            match tcp.read_u8().await.unwrap() {
                b' ' => break,
                digit => len.push(digit.into()),
            }
        }
        let mut message = vec![0; len.parse().unwrap()];
        tcp.read_exact(&mut message).await.unwrap();
        seqs.push(record(std::str::from_utf8(&message).unwrap()).seq);
    }
    seqs
}

#[tokio::test]
async fn a_syslog_server_that_hangs_up_is_dialed_again_and_a_restart_goes_on_where_it_was() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = syslog(&format!("tcp://{}", server.local_addr().unwrap()));
    let world = World::start_with(config.clone()).await;
    let (tcp, _) = server.accept().await.unwrap();
    world.token(TokenKind::Host, Role::NONE, 1).await;
    assert_eq!(framed(tcp, 3).await, [1, 2, 3]);
    let cursor = world.hub.audit.dir().join("syslog.cursor");
    until("the cursor has moved", async || {
        std::fs::read_to_string(&cursor).is_ok_and(|text| text == "3")
    })
    .await;
    world.token(TokenKind::Host, Role::NONE, 1).await;
    let (tcp, _) = server.accept().await.unwrap();
    assert_eq!(framed(tcp, 2).await, [4, 5]);
    until("the cursor has moved", async || {
        std::fs::read_to_string(&cursor).is_ok_and(|text| text == "5")
    })
    .await;
    let world = world.restart_with(config).await;
    let (tcp, _) = server.accept().await.unwrap();
    let seqs = framed(tcp, 1).await;
    assert!(seqs[0] >= 6, "{seqs:?}");
    drop(world);
}

/// One request: its headers in lower case, its body.
async fn request(tcp: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let read = tcp.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "the request ended early");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let len: usize = header(&head, "content-length").parse().unwrap();
    while bytes.len() < end + len {
        assert!(tcp.read_buf(&mut bytes).await.unwrap() > 0);
    }
    (head, bytes[end..].to_vec())
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

#[tokio::test]
async fn a_web_server_gets_signed_records_and_what_it_refuses_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let secret_file: PathBuf = dir.path().join("secret");
    write_private(&secret_file, b"a secret of some length\n").unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/audit", server.local_addr().unwrap());
    let webhook = Some(config::Webhook { url, secret_file });
    let audit = config::Audit { webhook, ..Default::default() };
    let world = World::start_with(Config { audit, ..Config::default() }).await;
    some_records(&world).await;
    let (mut seen, mut tries) = (BTreeSet::new(), 0);
    until_some("all records have come", async || {
        let (mut tcp, _) = server.accept().await.unwrap();
        let (head, body) = request(&mut tcp).await;
        tries += 1;
        assert!(head.starts_with("post /audit http/1.1"), "{head}");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a secret of some length");
        let signed = [header(&head, "cmdr-timestamp").as_bytes(), b".", &body].concat();
        let expected = ring::hmac::sign(&key, &signed);
        let hex: Vec<_> = expected.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(header(&head, "cmdr-signature"), format!("v1={}", hex.concat()));
        let taken = tries > 2;
        if taken {
            let lines = std::str::from_utf8(&body).unwrap().lines();
            seen.extend(lines.map(|line| serde_json::from_str::<Record>(line).unwrap().seq));
        }
        let answer = if taken { "204 No Content" } else { "503 Busy" };
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        tcp.write_all(answer.as_bytes()).await.unwrap();
        (seen.len() >= 11).then_some(())
    })
    .await;
    assert_eq!(seen.into_iter().take(11).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
}
