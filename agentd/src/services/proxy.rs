//! Requests of programs to the engine of this host, one by one, as the hub has let them through.
//!
//! What is authorised is the method and the path; that they are what the engine will read is looked at here once more.
//! Bodies and connections that go on are carried as they come, no faster than either side takes them.

use crate::Agent;
use crate::engine::told;
use crate::inside::line::{self, Pieces};
use bytes::Bytes;
use cmdr_link::service::{Asked as Who, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::proxy::{
    Asked, CHUNK, Head, Input, Item, Look, MAX_HEADERS, MAX_QUERY, Request, is_look, path_of,
};
use cmdr_protocol::{CallError, Feed};
use http_body_util::BodyExt as _;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// Pieces of a body that the engine has not taken yet.
const PIECES: usize = 4;
/// Headers about the connection itself, which is another one on each side.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(look).feed(request)
}

async fn look(
    agent: Arc<Agent>,
    who: Who,
    Look(asked): Look,
    feeding: Feeding<Look>,
) -> Result<(), CallError> {
    if !is_look(&asked.method, &asked.path) {
        return Err(CallError::malformed("this request does more than look"));
    }
    carry(&agent, &who, asked, feeding).await
}

async fn request(
    agent: Arc<Agent>,
    who: Who,
    Request(asked): Request,
    feeding: Feeding<Request>,
) -> Result<(), CallError> {
    agent.policy().allows_without_limits("proxy")?;
    carry(&agent, &who, asked, feeding).await
}

async fn carry<F: Feed<Input = Input, Item = Item>>(
    agent: &Agent,
    who: &Who,
    asked: Asked,
    feeding: Feeding<F>,
) -> Result<(), CallError> {
    // Who wants nothing of the engine here wants none of this.
    agent.policy().allows_method("engine.info")?;
    let caller = who.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let (caller, what) = (clean_to_width(caller, 64), clean_to_width(&asked.named(), 200));
    tracing::info!(caller, trace = who.trace, what, "a request to the Docker engine");
    let attempted = format!("pass a request on to the Docker engine ({what})");
    let (pieces, body) = Pieces::new(PIECES);
    if !asked.body {
        // Nothing waits there yet.
        pieces.try_send(None).ok();
    }
    let request = made(&asked, body)?;
    let sender = feeding.sender();
    let (feeding, response) = {
        let mut taking = Taking { feeding, body: asked.body.then_some(pieces) };
        let sending = line::send(&agent.config().docker_socket, request);
        tokio::pin!(sending);
        let response = tokio::select! {
            response = &mut sending => response,
            error = taking.run() => return Err(error),
        };
        (taking, response.map_err(|e| told(&attempted, &e))?)
    };
    let status = response.status();
    sender.send(&Item { head: Some(head(&response)), ..Item::default() }).await?;
    if !asked.upgrade.is_empty() && status == StatusCode::SWITCHING_PROTOCOLS {
        both_ways(response, feeding.feeding, &sender).await?;
    } else {
        answer(response, feeding, &sender).await?;
    }
    sender.send(&Item { status: Some(status.as_u16()), ..Item::default() }).await
}

/// The request as the engine gets it.
fn made(asked: &Asked, body: Pieces) -> Result<hyper::Request<Pieces>, CallError> {
    let wrong =
        |what: &str| CallError::malformed(format!("this request cannot be passed on: {what}"));
    path_of(&asked.path).map_err(CallError::malformed)?;
    let query = if asked.private_query.is_empty() { &asked.query } else { &asked.private_query };
    let all: usize = asked.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if query.len() > MAX_QUERY || all > MAX_HEADERS {
        return Err(wrong("it is too long"));
    }
    let uri = if query.is_empty() { asked.path.clone() } else { format!("{}?{query}", asked.path) };
    let mut request = hyper::Request::builder().method(asked.method.as_str()).uri(uri);
    for (name, value) in &asked.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("a header's name"))?;
        if !OF_THE_CONNECTION.contains(&name) {
            request = request.header(name, value);
        }
    }
    if !asked.upgrade.is_empty() {
        request = request
            .header(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(header::UPGRADE, &asked.upgrade);
    }
    let mut request = request.body(body).map_err(|e| wrong(&e.to_string()))?;
    if !asked.body && !matches!(asked.method.as_str(), "GET" | "HEAD") {
        // A body of unknown length is another request to an engine than none.
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(request)
}

fn head(response: &Response<hyper::body::Incoming>) -> Head {
    Head { status: response.status().as_u16(), headers: headers(response.headers()) }
}

fn headers(from: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in from {
        let Ok(value) = value.to_str() else { continue };
        if OF_THE_CONNECTION.contains(name) {
            continue;
        }
        let all = headers.entry(name.as_str().to_owned()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(value);
    }
    headers
}

/// Takes the body of a request, for as long as the engine wants it.
struct Taking<F: Feed> {
    feeding: Feeding<F>,
    body: Option<mpsc::Sender<Option<Bytes>>>,
}

impl<F: Feed<Input = Input>> Taking<F> {
    /// Ends only with a fault.
    async fn run(&mut self) -> CallError {
        loop {
            let Input { data, eof } = match self.feeding.input().await {
                Ok(input) => input,
                Err(e) => return e,
            };
            let Some(body) = &self.body else { continue };
            // An engine that takes no more says why in its answer.
            let mut gone = !data.is_empty() && body.send(Some(data.into())).await.is_err();
            if eof {
                body.send(None).await.ok();
                gone = true;
            }
            if gone {
                self.body = None;
            }
        }
    }
}

/// Sends what the engine answers.
async fn answer<F: Feed<Input = Input, Item = Item>>(
    response: Response<hyper::body::Incoming>,
    mut taking: Taking<F>,
    sender: &Feeding<F>,
) -> Result<(), CallError> {
    let mut body = response.into_body();
    let sending = async {
        while let Some(frame) = body.frame().await {
            let broke = |e: hyper::Error| {
                CallError::lost(format!("the Docker engine broke its answer off: {e}"))
            };
            let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
            for piece in data.chunks(CHUNK) {
                sender.send(&Item { data: piece.to_vec(), ..Item::default() }).await?;
            }
        }
        Ok(())
    };
    tokio::select! {
        result = sending => result,
        error = taking.run() => Err(error),
    }
}

/// Carries a connection that both sides go on with.
async fn both_ways<F: Feed<Input = Input, Item = Item>>(
    response: Response<hyper::body::Incoming>,
    mut feeding: Feeding<F>,
    sender: &Feeding<F>,
) -> Result<(), CallError> {
    let upgraded = hyper::upgrade::on(response).await;
    let upgraded = upgraded
        .map_err(|e| CallError::lost(format!("the Docker engine broke the connection off: {e}")))?;
    let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
    let back = async {
        let mut buffer = vec![0; CHUNK];
        // An error is the end of the connection too.
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            sender.send(&Item { data: buffer[..n].to_vec(), ..Item::default() }).await?;
        }
        Ok(())
    };
    let forth = async {
        let mut gone = false;
        loop {
            let Input { data, eof } = match feeding.input().await {
                Ok(input) => input,
                Err(e) => return Err(e),
            };
            if !gone && !data.is_empty() {
                gone = to.write_all(&data).await.is_err() || to.flush().await.is_err();
            }
            if !gone && eof {
                gone = true;
                to.shutdown().await.ok();
            }
        }
    };
    tokio::select! {
        result = back => result,
        result = forth => result,
    }
}
