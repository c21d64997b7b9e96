//! What a caller lends: a plain HTTP client, secrets, a clock that stands.

use bytes::Bytes;
use cmdr_notify::{
    Answer, Channel, Content, Doing, Entry, Lang, Means, Place, Request, Said, Secret, SecretName,
    Severity, Unreachable,
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// 2026-11-22 12:00 UTC.
pub(crate) const NOON: u64 = 1_795_348_800_000;

#[derive(Default)]
pub(crate) struct Lent {
    pub secrets: BTreeMap<String, String>,
    pub mail: Option<SocketAddr>,
    pub authorities: Option<Vec<u8>>,
}

impl Lent {
    pub(crate) fn new(secrets: &[(&str, &str)]) -> Self {
        let secrets = secrets.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self { secrets, ..Self::default() }
    }
}

/// Bytes of an answer, and how long it may take: what a hub bounds too.
const ANSWER: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_millis(1500);

async fn post(request: Request) -> Result<Answer, String> {
    let uri: hyper::Uri = request.url.parse().map_err(|_| "no address".to_owned())?;
    let authority = uri.authority().unwrap().as_str();
    let tcp = TcpStream::connect(authority).await.map_err(|e| format!("connecting: {e}"))?;
    let said = |e: hyper::Error| format!("posting: {e}");
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(said)?;
    let driving = tokio::spawn(async move { drop(connection.await) });
    let path = uri.path_and_query().unwrap().as_str();
    let mut built = hyper::Request::post(path).header("host", authority);
    for (name, value) in &request.headers {
        built = built.header(*name, value.as_str());
    }
    let asked =
        send.send_request(built.body(Full::new(request.body)).unwrap()).await.map_err(said)?;
    let status = asked.status().as_u16();
    let retry_after =
        asked.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (mut body, mut all) = (asked.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(&frame.map_err(said)?.into_data().unwrap_or_default());
        if all.len() >= ANSWER {
            break;
        }
    }
    driving.abort();
    Ok(Answer { status, retry_after, body: Bytes::from(all) })
}

impl Means for Lent {
    fn post(&self, request: Request) -> Doing<'_, Result<Answer, Unreachable>> {
        Box::pin(async move {
            let answer = timeout(PATIENCE, post(request)).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer within 1.5 s".to_owned()));
            answer.map_err(|what| Unreachable { never: what == "no address", what })
        })
    }

    fn secret(&self, name: &str) -> Result<Secret, String> {
        let value = self.secrets.get(name).ok_or_else(|| format!("there is no secret {name}"))?;
        Ok(Secret::new(value))
    }

    fn mail_server<'a>(&'a self, host: &'a str, _: u16) -> Doing<'a, Result<SocketAddr, String>> {
        Box::pin(async move { self.mail.ok_or_else(|| format!("{host} is nowhere")) })
    }

    fn authorities(&self) -> Option<Vec<u8>> {
        self.authorities.clone()
    }

    fn now_ms(&self) -> u64 {
        NOON
    }
}

pub(crate) fn name(name: &str) -> SecretName {
    SecretName(name.to_owned())
}

pub(crate) fn place(to: Channel) -> Place {
    Place { lang: Lang::En, title: None, body: None, to }
}

/// What hosts can be made to say.
pub(crate) const EVIL: &str = "<!channel> <at id=all></at> @all [x](http://y.example) </b><script> **a** \u{1b}[2J\r\nBcc: eve@example.com";

pub(crate) fn entry(message: &str) -> Entry {
    Entry {
        said: Said::Fired,
        severity: Severity::Critical,
        alert: "hub-a1".to_owned(),
        rule: "disk-used".to_owned(),
        host: "web1".to_owned(),
        instance: "/".to_owned(),
        message: message.to_owned(),
        value: "95 %".to_owned(),
        since_ms: NOON,
        ..Entry::default()
    }
}

pub(crate) fn content(messages: &[&str]) -> Content {
    Content {
        id: "hub-n7".to_owned(),
        group: "rule=disk-used".to_owned(),
        made_ms: NOON,
        entries: messages.iter().map(|message| entry(message)).collect(),
        link: Some("https://hub.example/alerts".to_owned()),
        ..Content::default()
    }
}
