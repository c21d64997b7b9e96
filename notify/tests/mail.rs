//! Mail, by a real server (aiosmtpd) with STARTTLS, TLS and a login.

use crate::lent::{EVIL, Lent, content, name, place};
use crate::servers::raw;
use cmdr_notify::{Channel, Email, Encryption, Failure, Lang, Place, send};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

struct Server {
    address: SocketAddr,
    mails: Lines<BufReader<ChildStdout>>,
    authority: Vec<u8>,
    _child: Child,
    _folder: tempfile::TempDir,
}

/// A certificate for `mail.test`, which is its own authority.
fn certificate(folder: &Path) -> Vec<u8> {
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=mail.test", "-addext", "subjectAltName=DNS:mail.test"])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(folder.join("cert.pem")).unwrap()
}

impl Server {
    async fn new(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = certificate(folder.path());
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
        // What scripts/install-tools has put there.
        let python = format!("{cache}/commander-tools/aiosmtpd-1.4.6/bin/python");
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp_server.py"))
            .args([mode, "cert.pem", "key.pem", "eve", "pass word"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut mails = BufReader::new(child.stdout.take().unwrap()).lines();
        let port: u16 = mails.next_line().await.unwrap().unwrap().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address, mails, authority, _child: child, _folder: folder }
    }

    async fn mail(&mut self) -> Value {
        serde_json::from_str(&self.mails.next_line().await.unwrap().unwrap()).unwrap()
    }

    fn lent(&self) -> Lent {
        let mut lent = Lent::new(&[("password", "pass word"), ("wrong", "other")]);
        (lent.mail, lent.authorities) = (Some(self.address), Some(self.authority.clone()));
        lent
    }
}

fn to(encryption: Encryption, to: &[&str]) -> Email {
    Email {
        host: "mail.test".to_owned(),
        encryption,
        user: Some("eve".to_owned()),
        password: Some(name("password")),
        from: "Commander <cmdr@example.com>".to_owned(),
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        ..Email::default()
    }
}

fn email(email: Email) -> Place {
    place(Channel::Email(email))
}

#[tokio::test]
async fn mail_goes_encrypted_and_with_a_login_to_everybody() {
    for (mode, encryption) in [("starttls", Encryption::Starttls), ("tls", Encryption::Tls)] {
        let mut server = Server::new(mode).await;
        let place = email(to(encryption, &["a@example.com", "Bo <b@example.com>"]));
        let sent = send(&place, &content(&["disk / is 95 % full"]), &server.lent()).await.unwrap();
        assert_eq!(sent.refused, Vec::<String>::new());
        let mail = server.mail().await;
        assert_eq!(mail["to"], serde_json::json!(["a@example.com", "b@example.com"]));
        assert_eq!(
            (&mail["from"], &mail["tls"], &mail["login"]),
            (&"cmdr@example.com".into(), &true.into(), &true.into())
        );
        let text = mail["text"].as_str().unwrap();
        for part in [
            "Subject: [CRITICAL] disk / is 95 % full\r\n",
            "Message-ID: <hub-n7@example.com>",
            "To: a@example.com, Bo <b@example.com>",
            "text/plain",
            "text/html",
            "<b>firing</b>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[tokio::test]
async fn a_hostile_message_is_no_header_and_no_markup() {
    let mut server = Server::new("starttls").await;
    let place = Place { lang: Lang::Zh, ..email(to(Encryption::Starttls, &["a@example.com"])) };
    send(&place, &content(&[EVIL]), &server.lent()).await.unwrap();
    let mail = server.mail().await;
    let text = mail["text"].as_str().unwrap();
    let html = text.split_once("text/html").unwrap().1;
    assert!(!text.contains("\nBcc:") && !html.contains("<script>"), "{text}");
    assert_eq!(mail["to"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_does_not_exist_keeps_nobody_else_from_it() {
    let mut server = Server::new("starttls").await;
    let place = email(to(
        Encryption::Starttls,
        &["nobody@example.com", "a@example.com", "later@example.com"],
    ));
    let sent = send(&place, &content(&["x"]), &server.lent()).await.unwrap();
    assert_eq!(server.mail().await["to"], serde_json::json!(["a@example.com"]));
    assert_eq!(sent.refused.len(), 2, "{sent:?}");
    assert!(
        sent.refused[0].contains("nobody@example.com") && sent.refused[0].contains("no such user"),
        "{sent:?}"
    );
    assert!(!sent.refused[0].contains('\u{1b}'), "{sent:?}");
    for (recipient, later) in [("nobody@example.com", false), ("later@example.com", true)] {
        let place = email(to(Encryption::Starttls, &[recipient]));
        let failure = send(&place, &content(&["x"]), &server.lent()).await.unwrap_err();
        assert_eq!(matches!(failure, Failure::Later { .. }), later, "{failure:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_a_wrong_certificate_and_no_encryption_are_told() {
    let server = Server::new("starttls").await;
    let wrong =
        Email { password: Some(name("wrong")), ..to(Encryption::Starttls, &["a@example.com"]) };
    let failure = send(&email(wrong), &content(&["x"]), &server.lent()).await.unwrap_err();
    assert!(
        matches!(failure, Failure::Never { .. }) && failure.what().contains("logging in"),
        "{failure:?}"
    );
    assert!(!failure.what().contains("other"), "{failure}");
    let other = Server::new("tls").await;
    let place = email(to(Encryption::Tls, &["a@example.com"]));
    let lent = Lent { authorities: Some(server.authority.clone()), ..other.lent() };
    let failure = send(&place, &content(&["x"]), &lent).await.unwrap_err();
    assert!(failure.what().contains("TLS") && failure.what().contains("certificate"), "{failure}");
    // For another name than the certificate's.
    let named =
        Email { host: "other.test".to_owned(), ..to(Encryption::Starttls, &["a@example.com"]) };
    let failure = send(&email(named), &content(&["x"]), &server.lent()).await.unwrap_err();
    assert!(failure.what().contains("STARTTLS"), "{failure}");
    let mut plain = Server::new("plain").await;
    let place = email(to(Encryption::Starttls, &["a@example.com"]));
    let failure = send(&place, &content(&["x"]), &plain.lent()).await.unwrap_err();
    assert!(
        failure.what().contains("does not offer STARTTLS")
            && matches!(failure, Failure::Never { .. }),
        "{failure}"
    );
    let open = Email { user: None, password: None, ..to(Encryption::None, &["a@example.com"]) };
    send(&email(open), &content(&["x"]), &plain.lent()).await.unwrap();
    assert_eq!(plain.mail().await["tls"], false);
}

#[tokio::test]
async fn mail_servers_that_do_not_behave_are_named_and_bounded() {
    for (say, times, what) in [
        (&b""[..], 0, "mail.test: greeting"),
        (&b"220 mail.test\r\n"[..], 1, "mail.test: greeting"),
        (&b"what?\r\n"[..], 1, "mail.test: greeting"),
        (&[b'2'; 4096][..], 262_144, "more than 256 KiB"),
        (&b"554 go away\r\n"[..], 1, "go away"),
    ] {
        let (address, serving) = raw(true, say, times, false).await;
        let lent = Lent { mail: Some(address), ..Lent::new(&[("password", "x")]) };
        let place = email(to(Encryption::Starttls, &["a@example.com"]));
        let failure = send(&place, &content(&["x"]), &lent).await.unwrap_err();
        assert!(failure.what().contains(what), "{what}: {failure}");
        serving.abort();
    }
}
