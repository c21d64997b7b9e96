//! A page over HTTP/1.1: one request after the other while it redirects, each over a connection of its own.

use crate::look::{Ended, Fault, Look, shown, since};
use crate::reach::connect;
use crate::tcp::contains;
use crate::tls::shake;
use bytes::Bytes;
use cmdr_protocol::probes::{Http, Phases, Verdict};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use regex::bytes::RegexBuilder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

/// Bytes of an answer that are read.
const BODY: usize = 256 * 1024;
/// Bytes of the lines before it, and how many lines.
const HEAD: usize = 64 * 1024;
const HEADERS: usize = 100;
/// Bytes that a regular expression may become.
const REGEX: usize = 1 << 20;

/// Whether an address can be asked.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("`{}` is no address: {e}", shown(text)))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("`{}` begins with neither http:// nor https://", shown(text)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address with a user in it shows its password to all; use headers".into());
    }
    Ok(url)
}

/// A regular expression, bounded.
pub(crate) fn expression(text: &str) -> Result<regex::bytes::Regex, String> {
    let made = RegexBuilder::new(text).size_limit(REGEX).dfa_size_limit(REGEX).build();
    made.map_err(|e| {
        let first = e.to_string().lines().last().unwrap_or_default().to_owned();
        format!("`{}` is no regular expression: {}", shown(text), shown(&first))
    })
}

/// What is asked next.
struct Next {
    url: Url,
    method: Method,
    /// Whether it goes to who was asked first: others do not get what the probe sends along.
    own: bool,
    body: bool,
}

pub(crate) async fn ask(look: &mut Look<'_>, http: &Http) -> Ended {
    let url = address(&http.url).map_err(Fault::Unsaid)?;
    let origin = url.origin();
    let method = Method::from_bytes(http.method.as_bytes())
        .map_err(|_| Fault::Unsaid(format!("'{}' is no method", shown(&http.method))))?;
    let mut next = Next { url, method, own: true, body: true };
    let mut followed = 0;
    loop {
        let (status, location, body) = one(look, http, &next).await?;
        look.seen.status = Some(i32::from(status));
        let fine = http.status.iter().any(|(from, to)| (*from..=*to).contains(&status));
        if fine {
            return judged(http, status, &body);
        }
        let Some(location) =
            location.filter(|_| (300..400).contains(&status) && http.redirects > 0)
        else {
            return Err(Fault::Down(format!("status {status}, and not {}", ranges(&http.status))));
        };
        if followed == http.redirects {
            return Err(Fault::Down(format!(
                "more than {followed} redirects, the last one to {}",
                shown(&location)
            )));
        }
        followed += 1;
        let to = next.url.join(&location).map_err(|e| e.to_string());
        let to = to.and_then(|to| address(to.as_str()));
        let to = to.map_err(|e| Fault::Down(format!("it redirects to no address: {e}")))?;
        next.own = to.origin() == origin;
        if !matches!(status, 307 | 308) {
            next.body = false;
            if next.method != Method::HEAD {
                next.method = Method::GET;
            }
        } else if !next.own && next.body && !http.body.is_empty() {
            return Err(Fault::Down(format!(
                "it redirects what was sent to somebody else, {}; that is not followed",
                shown(to.as_str())
            )));
        }
        next.url = to;
    }
}

pub(crate) fn ranges(ranges: &[(u16, u16)]) -> String {
    let one = |(from, to): &(u16, u16)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn judged(http: &Http, status: u16, body: &[u8]) -> Ended {
    let cut = if body.len() >= BODY { " in its first 256 KiB" } else { "" };
    if let Some(text) = &http.contains
        && !contains(body, text.as_bytes())
    {
        let text = shown(text);
        return Err(Fault::Down(format!("status {status}; the answer has no '{text}'{cut}")));
    }
    if let Some(text) = &http.matches {
        let expression = expression(text).map_err(Fault::Unsaid)?;
        if !expression.is_match(body) {
            let text = shown(text);
            return Err(Fault::Down(format!("status {status}; nothing matches '{text}'{cut}")));
        }
    }
    Ok((Verdict::Up, format!("status {status}")))
}

type Answer = (u16, Option<String>, Vec<u8>);

/// One request: connection, keys, request, answer.
async fn one(look: &mut Look<'_>, http: &Http, next: &Next) -> Result<Answer, Fault> {
    let Some(host) = next.url.host_str().map(str::to_owned) else {
        return Err(Fault::Unsaid("the address names no host".to_owned()));
    };
    let port = next.url.port_or_known_default().unwrap_or(80);
    look.seen.phases = Phases::default();
    let stream = connect(look, &host, port).await?;
    if next.url.scheme() == "http" {
        return talk(look, http, next, stream).await;
    }
    let stream = shake(look, stream, &host, http.authorities.as_deref()).await?;
    if let Some(certificate) = look.seen.certificate.as_ref().filter(|_| !http.insecure)
        && !certificate.problems.is_empty()
    {
        return Err(Fault::Down(format!(
            "the certificate of {host}: {}",
            certificate.problems.join("; ")
        )));
    }
    talk(look, http, next, stream).await
}

fn request(http: &Http, next: &Next) -> Result<Request<Full<Bytes>>, String> {
    let url = &next.url;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut request = Request::builder().method(next.method.clone()).uri(target);
    let given = |name: &str| http.headers.keys().any(|key| key.eq_ignore_ascii_case(name));
    if !next.own || !given("host") {
        request = request.header(HOST, host);
    }
    if !next.own || !given("user-agent") {
        request = request.header(USER_AGENT, concat!("cmdr-probe/", env!("CARGO_PKG_VERSION")));
    }
    if next.own {
        for (name, value) in &http.headers {
            request = request.header(name.as_str(), value.as_str());
        }
    }
    let body = if next.body { Bytes::from(http.body.clone()) } else { Bytes::new() };
    request.body(Full::new(body)).map_err(|e| format!("the request cannot be made: {e}"))
}

async fn talk<S>(look: &mut Look<'_>, http: &Http, next: &Next, stream: S) -> Result<Answer, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let at = look.seen.address.clone();
    let wrong =
        |doing: &str, e: &hyper::Error| Fault::Down(format!("{doing} {at}: {}", shown(&chain(e))));
    let request = request(http, next).map_err(Fault::Unsaid)?;
    look.doing(format!("the answer of {at}"));
    let begun = Instant::now();
    let shaken = http1::Builder::new()
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.map_err(|e| wrong("asking", &e))?;
    // Ends with the look, however that ends.
    let mut driver = JoinSet::new();
    driver.spawn(async move { connection.await.ok() });
    let answered = sender.send_request(request).await;
    look.seen.phases.first_us = Some(since(begun));
    let answer = answered.map_err(|e| wrong("asking", &e))?;
    let status = answer.status().as_u16();
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.map(|text| text.chars().take(4096).collect());
    look.doing(format!("the rest of the answer of {at}"));
    let begun = Instant::now();
    let body = read(answer).await.map_err(|e| wrong("reading the answer of", &e))?;
    look.seen.phases.rest_us = Some(since(begun));
    Ok((status, location, body))
}

/// The beginning of an answer. The rest is not waited for.
async fn read(answer: Response<Incoming>) -> Result<Vec<u8>, hyper::Error> {
    let (mut from, mut body) = (answer.into_body(), Vec::new());
    while body.len() < BODY
        && let Some(frame) = from.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            body.extend_from_slice(&data[..data.len().min(BODY - body.len())]);
        }
    }
    Ok(body)
}

fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut inner = std::error::Error::source(error);
    while let Some(cause) = inner {
        text = format!("{text}: {cause}");
        inner = cause.source();
    }
    text
}
