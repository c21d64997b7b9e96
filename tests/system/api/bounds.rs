//! What strangers and careless programs may try: each is bounded, and nobody else notices.

use super::Scene;
use cmdr_hub::network::Network;
use harness::{until, until_some};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn connector(scene: &Scene) -> TlsConnector {
    let pem = std::fs::read(scene.dir.path().join("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn tls(scene: &Scene, from: u8) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = tcp(scene.world.api.unwrap(), from).await?;
    let name = ServerName::try_from("localhost").unwrap();
    connector(scene).connect(name, tcp).await
}

async fn tcp(to: SocketAddr, from: u8) -> std::io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0)))?;
    socket.connect(to).await
}

/// Reads until the other end hangs up, for at most a while.
async fn hung_up(mut io: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    let read = async {
        let mut piece = [0; 1024];
        while let Ok(n) = io.read(&mut piece).await {
            if n == 0 {
                break;
            }
            all.extend_from_slice(&piece[..n]);
        }
    };
    timeout(Duration::from_secs(40), read).await.expect("the other end hangs up");
    all
}

#[tokio::test]
async fn slow_strangers_are_cut_after_ten_seconds_and_programs_come_through_meanwhile() {
    let scene = Scene::new().await;
    let to = scene.world.api.unwrap();
    let begin = Instant::now();
    let mut slow = Vec::new();
    // From many addresses, so that the share of one is not what stops them: silent ones, ones that drip a
    // head, ones that say a word and no more.
    for n in 0..90u8 {
        let from = 10 + n / 8;
        slow.push(tokio::spawn(async move {
            let Ok(mut tcp) = tcp(to, from).await else { return };
            for byte in [0x16, 0x03, 0x01, 0x02].into_iter().cycle().take(usize::from(n % 3) * 2) {
                drop(tcp.write_all(&[byte]).await);
            }
            hung_up(tcp).await;
        }));
    }
    let mut dripping = tls(&scene, 3).await.unwrap();
    let dripper = tokio::spawn(async move {
        dripping.write_all(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            if dripping.write_all(b"X").await.is_err() || dripping.flush().await.is_err() {
                break;
            }
            let mut byte = [0];
            if let Ok(Ok(0)) = timeout(Duration::from_millis(1), dripping.read(&mut byte)).await {
                break;
            }
        }
    });
    let answer = scene.program.get("/v1/hosts").await;
    assert_eq!(answer.status, 200);
    assert!(begin.elapsed() < Duration::from_secs(9), "programs wait for nobody");
    for one in slow {
        one.await.unwrap();
    }
    dripper.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30), "each is cut: {:?}", begin.elapsed());
    assert_eq!(scene.program.get("/v1/hosts").await.status, 200);
}

#[tokio::test]
async fn one_address_has_its_share_of_connections_and_a_connection_that_idles_is_cut() {
    let scene = Scene::with(|config| config.api.limits.strangers_per_address = 2).await;
    let held = [tls(&scene, 2).await.unwrap(), tls(&scene, 2).await.unwrap()];
    assert!(tls(&scene, 2).await.is_err(), "the third of an address is turned away");
    assert_eq!(scene.program.get("/v1/hosts").await.status, 200, "others are not");
    for idle in held {
        assert!(hung_up(idle).await.is_empty());
    }
    until_some("the place is free again", async || tls(&scene, 2).await.ok()).await;
}

#[tokio::test]
async fn heads_that_are_too_large_and_requests_that_are_none_are_refused() {
    let scene = Scene::new().await;
    let say = async |what: Vec<u8>| {
        let mut tls = tls(&scene, 1).await.unwrap();
        // It may hang up before it has heard everything.
        drop(tls.write_all(&what).await);
        drop(tls.flush().await);
        String::from_utf8_lossy(&hung_up(tls).await).into_owned()
    };
    let mut large = b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
    large.extend(std::iter::repeat_n(b'a', 64 * 1024));
    large.extend(b"\r\n\r\n");
    assert!(say(large).await.starts_with("HTTP/1.1 431"));
    let mut many = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n".to_vec();
    for n in 0..200 {
        many.extend(format!("X-{n}: y\r\n").bytes());
    }
    many.extend(b"\r\n");
    assert!(say(many).await.starts_with("HTTP/1.1 431"));
    assert!(say(b"\x00\x01\x02\x03 nonsense\r\n\r\n".to_vec()).await.starts_with("HTTP/1.1 400"));
    // Two lengths: which of them counts is not for us to guess.
    let two = b"PATCH /v1/hosts/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x";
    assert!(say(two.to_vec()).await.starts_with("HTTP/1.1 400"));
    assert_eq!(scene.program.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn a_flood_is_answered_with_when_to_come_again_for_each_key_and_each_address() {
    let scene = Scene::with(|config| {
        config.api.limits.requests_per_key = NonZeroU32::new(1).unwrap();
        config.api.limits.requests_per_address = NonZeroU32::new(20).unwrap();
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(scene.program.get("/v1/hosts").await);
    }
    assert_eq!(statuses[0].status, 200);
    let refused = statuses.iter().find(|answer| answer.status == 429).expect("too fast");
    assert!(refused.problem().contains("with this key"), "{}", refused.text());
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let other = scene.program.with(Some(&scene.key(&["hosts.list"], "").await));
    assert_eq!(other.get("/v1/hosts").await.status, 200, "another key has its own share");
    let anybody = scene.program.with(None);
    let mut refused = None;
    for _ in 0..200 {
        let answer = anybody.get("/v1/health").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("an address has its share");
    assert!(refused.problem().contains("127.0.0.1"), "{}", refused.text());
}

#[tokio::test]
async fn who_comes_from_elsewhere_is_not_heard() {
    let scene = Scene::with(|config| {
        config.api.networks = vec![Network::parse("127.0.0.1").unwrap()];
    })
    .await;
    assert_eq!(scene.program.get("/v1/hosts").await.status, 200);
    assert!(tls(&scene, 2).await.is_err());
    let scene = Scene::with(|config| {
        config.login.allow = vec![Network::parse("127.0.0.0/8").unwrap()];
    })
    .await;
    assert_eq!(scene.program.get("/v1/hosts").await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_used_and_one_that_is_broken_is_not() {
    let scene = Scene::new().await;
    let dir = scene.dir.path();
    let (pem, key) = (dir.join("server.pem"), dir.join("api.key"));
    let shown = async || {
        let tls = tls(&scene, 1).await.ok()?;
        let (_, session) = tls.get_ref();
        Some(session.peer_certificates()?.first()?.to_vec())
    };
    let old = shown().await.unwrap();
    std::fs::write(&pem, "nonsense").unwrap();
    let other = tempfile::tempdir().unwrap();
    // By the same authority, so that the program goes on trusting it.
    harness::directory::certificate(dir, other.path());
    let new_key = std::fs::read(other.path().join("server.key")).unwrap();
    assert_eq!(shown().await.unwrap(), old, "what is broken changes nothing");
    cmdr_link::files::write_private(&key, &new_key).unwrap();
    std::fs::copy(other.path().join("server.pem"), &pem).unwrap();
    until("the new certificate is shown", async || shown().await.is_some_and(|now| now != old))
        .await;
    assert_eq!(scene.program.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn who_may_send_no_files_is_told_so_before_the_first_byte() {
    let scene = Scene::new().await;
    let key = scene.key(&["hosts.list"], "").await;
    let mut tls = tls(&scene, 1).await.unwrap();
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    tls.flush().await.unwrap();
    let mut answer = [0; 12];
    let read = timeout(Duration::from_secs(20), tls.read_exact(&mut answer)).await;
    read.expect("it is answered without a byte of the file").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

#[tokio::test]
async fn one_key_has_its_share_of_connections_and_leaves_places_to_others() {
    let scene = Scene::with(|config| config.api.limits.connections_per_key = 2).await;
    let asked = async |key: &str| {
        let mut tls = tls(&scene, 1).await.unwrap();
        let head =
            format!("GET /v1/hosts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n");
        tls.write_all(head.as_bytes()).await.unwrap();
        tls.flush().await.unwrap();
        let mut answer = [0; 12];
        tls.read_exact(&mut answer).await.unwrap();
        (tls, String::from_utf8(answer.to_vec()).unwrap())
    };
    let other = scene.key(&["hosts.list"], "").await;
    let (_one, first) = asked(&scene.key).await;
    let (_two, second) = asked(&scene.key).await;
    let (_three, third) = asked(&scene.key).await;
    assert_eq!([&first[9..], &second[9..], &third[9..]], ["200", "200", "503"]);
    let (_other, answer) = asked(&other).await;
    assert_eq!(&answer[9..], "200");
}
