//! Certificates: good ones, and each way in which one is bad.

use crate::lent::{NOW_S, look};
use cmdr_protocol::probes::{Measured, Verdict};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("test authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        format!("    {}\n", self.0.pem().trim_end().replace('\n', "\n    "))
    }
}

/// The time that is so many days from now.
fn day(from_now: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S.saturating_add_signed(from_now * 86_400))
}

/// A server on this machine whose certificate is for `name` and good in these days.
async fn server(by: Option<&Authority>, name: &str, from: i64, to: i64) -> SocketAddr {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (day(from).into(), day(to).into());
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(authority) => params.signed_by(&key, &authority.0).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(chain, key)
    .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut piece = [0; 4096];
                if stream.read(&mut piece).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.ok();
                    stream.shutdown().await.ok();
                }
            });
        }
    });
    at
}

async fn tls(at: SocketAddr, by: &Authority, more: &str) -> Measured {
    let pem = by.pem();
    look(&format!("tls:\n  host: 127.0.0.1\n  port: {}\n{more}  authorities: |\n{pem}", at.port()))
        .await
}

fn problems(seen: &Measured) -> String {
    seen.certificate.as_ref().map(|c| c.problems.join("; ")).unwrap_or_default()
}

#[tokio::test]
async fn a_good_certificate_is_up_with_its_end_and_its_names() {
    let authority = Authority::new();
    let at = server(Some(&authority), "shop.example", -1, 90).await;
    let seen = tls(at, &authority, "  name: shop.example\n").await;
    assert_eq!(seen.verdict, Verdict::Up, "{}", seen.why);
    let certificate = seen.certificate.unwrap();
    assert_eq!(certificate.names, ["shop.example"]);
    assert!(certificate.issuer.contains("test authority") && certificate.problems.is_empty());
    assert!(seen.phases.tls_us.is_some());
    let seen = tls(at, &authority, "  name: shop.example\n  warn: 100d\n").await;
    assert_eq!(seen.verdict, Verdict::Warning, "{}", seen.why);
    let seen = tls(at, &authority, "  name: shop.example\n  least: 100d\n").await;
    assert_eq!(seen.verdict, Verdict::Down, "{}", seen.why);
}

#[tokio::test]
async fn each_way_in_which_a_certificate_is_bad_is_told() {
    let authority = Authority::new();
    let ended = server(Some(&authority), "shop.example", -30, -3).await;
    let seen = tls(ended, &authority, "  name: shop.example\n").await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(problems(&seen).starts_with("it ended "), "{}", problems(&seen));
    assert!(!problems(&seen).contains("chain"), "only that is wrong: {}", problems(&seen));
    let seen = tls(ended, &authority, "  name: other.example\n").await;
    let both = problems(&seen);
    assert!(
        both.contains("it ended") && both.contains("not for other.example, but for shop"),
        "{both}"
    );
    let early = server(Some(&authority), "shop.example", 3, 30).await;
    let seen = tls(early, &authority, "  name: shop.example\n").await;
    assert!(problems(&seen).starts_with("it begins in "), "{}", problems(&seen));
    let own = server(None, "shop.example", -1, 90).await;
    let seen = tls(own, &authority, "  name: shop.example\n").await;
    assert_eq!(problems(&seen), "it is signed by itself, and not trusted");
    let at = server(Some(&authority), "shop.example", -1, 90).await;
    let seen = tls(at, &Authority::new(), "  name: shop.example\n").await;
    assert_eq!(problems(&seen), "it names somebody who is trusted, who has not signed it");
    let seen = tls(at, &Authority::named("other"), "  name: shop.example\n").await;
    assert!(problems(&seen).starts_with("nobody who is trusted"), "{}", problems(&seen));
}

#[tokio::test]
async fn a_page_with_a_bad_certificate_is_down_until_that_is_allowed() {
    let authority = Authority::new();
    let at = server(Some(&authority), "127.0.0.1", -30, -3).await;
    let pem = authority.pem();
    let text = |more: &str| format!("http:\n  url: https://{at}/\n{more}  authorities: |\n{pem}");
    let seen = look(&text("")).await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(seen.why.starts_with("the certificate of 127.0.0.1: it ended"), "{}", seen.why);
    let seen = look(&text("  insecure: true\n")).await;
    assert_eq!((seen.verdict, seen.status), (Verdict::Up, Some(200)), "{}", seen.why);
    assert!(problems(&seen).starts_with("it ended"), "it is told all the same");
}

#[tokio::test]
async fn an_end_that_does_not_speak_tls_is_down() {
    let at = crate::servers::odd(|mut stream| {
        use std::io::Write as _;
        stream.write_all(b"SSH-2.0-x\r\n").ok();
        crate::servers::hold(stream);
    });
    let seen = look(&format!("tls: {{ host: 127.0.0.1, port: {} }}\n", at.port())).await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(seen.why.starts_with("agreeing on keys with"), "{}", seen.why);
}
