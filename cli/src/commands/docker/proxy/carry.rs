//! One request of a program: asked of the host, its body and the answer carried as they come, and what the connection becomes.

use bytes::Bytes;
use cmdr_link::FeedStream;
use cmdr_link::client::{Inputs, Items};
use cmdr_link::session::Session;
use cmdr_protocol::proxy::{
    Asked, CHUNK, Head, Input, Item, Look, Request, has_private_query, is_look,
};
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId};
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The largest body before a connection goes on as another thing.
const LARGEST: usize = 512 << 10;
/// Of a body that nobody wants so much is read, for so long.
const DRAINED: usize = 8 << 20;
const DRAINING: Duration = Duration::from_secs(2);
/// A link that is down is waited for so long, and looked at so often.
const DIALING: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);
/// A program that sends no more is looked at so often: it may have gone.
const LOOK: Duration = Duration::from_millis(500);
/// Headers about the connection itself, which is another one on each side.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Body = BoxBody<Bytes, io::Error>;

/// The way to the host.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) session: Session,
    pub(super) host: HostId,
}

/// Answers a request.
pub(super) async fn answer(
    way: Arc<Way>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let asked = asked(&request);
    let answered = if is_look(&asked.method, &asked.path) {
        way.carry(Look(asked.clone()), asked, request).await
    } else {
        way.carry(Request(asked.clone()), asked, request).await
    };
    Ok(answered.unwrap_or_else(|e| refusal(&e)))
}

fn asked(request: &hyper::Request<Incoming>) -> Asked {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let (public, private) = if has_private_query(path) { ("", query) } else { (query, "") };
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    Asked {
        method: request.method().as_str().to_owned(),
        path: path.to_owned(),
        query: public.to_owned(),
        private_query: private.to_owned(),
        headers: headers(request.headers()),
        upgrade: upgrade.unwrap_or_default().to_owned(),
        body: !request.body().is_end_stream(),
    }
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

/// Why a request was not passed on, as the engine would say it.
fn refusal(error: &CallError) -> Response<Body> {
    let status = match error.kind {
        ErrorKind::Denied | ErrorKind::OnRequest => StatusCode::FORBIDDEN,
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::NotFound
        | ErrorKind::Unreachable
        | ErrorKind::Lost
        | ErrorKind::UnknownMethod => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = json!({ "message": format!("cmdr: {}", error.message) }).to_string();
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

impl Way {
    async fn carry<F: Feed<Input = Input, Item = Item> + Clone>(
        &self,
        feed: F,
        asked: Asked,
        mut request: hyper::Request<Incoming>,
    ) -> Result<Response<Body>, CallError> {
        let on = (!asked.upgrade.is_empty()).then(|| hyper::upgrade::on(&mut request));
        let opened: FeedStream<F> = match self.feed(feed).await {
            Ok(opened) => opened,
            Err(e) => {
                timeout(DRAINING, drain(request.body_mut())).await.ok();
                return Err(e);
            }
        };
        let (mut items, mut inputs) = opened.split();
        let body = request.into_body();
        let Some(on) = on else {
            let sending = asked.body.then(|| Sending::begin(body, inputs));
            return match head(&mut items).await {
                Ok(head) => Ok(streamed(&head, items, sending)),
                Err(e) => {
                    if let Some(sending) = sending {
                        sending.refused().await;
                    }
                    Err(e)
                }
            };
        };
        if asked.body {
            // All at once, so that its end is not taken for that of what follows.
            let data = whole(body).await?;
            inputs.send(&Input { data, eof: true }).await.ok();
        }
        let head = head(&mut items).await?;
        if head.status != StatusCode::SWITCHING_PROTOCOLS.as_u16() {
            return Ok(streamed(&head, items, None));
        }
        tokio::spawn(go_on(on, items, inputs));
        Ok(switched(&head, &asked.upgrade))
    }

    /// Asks the host; waits a while for a link that is being dialed anew.
    async fn feed<F: Feed>(&self, feed: F) -> Result<FeedStream<F>, CallError> {
        let linked = async {
            while self.session.client().is_none() {
                sleep(AGAIN).await;
            }
        };
        // What is wrong is told by the asking.
        timeout(DIALING, linked).await.ok();
        self.session.feed(Some(self.host), feed).await
    }
}

/// Reads a small body.
async fn whole(mut body: Incoming) -> Result<Vec<u8>, CallError> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let broke = |e: hyper::Error| CallError::malformed(format!("the request broke off: {e}"));
        let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
        if all.len() + data.len() > LARGEST {
            return Err(CallError::malformed(
                "a request that goes on has a body of at most 512 KiB",
            ));
        }
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// The head of the answer, which comes first.
async fn head<F: Feed<Item = Item>>(items: &mut Items<F>) -> Result<Head, CallError> {
    match items.next().await {
        Some(Ok(Item { head: Some(head), .. })) => Ok(head),
        Some(Err(e)) => Err(e),
        _ => Err(CallError::failed("the host's answer does not begin as it should")),
    }
}

fn begun(head: &Head, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value))
            && !OF_THE_CONNECTION.contains(&name)
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

fn switched(head: &Head, to: &str) -> Response<Body> {
    let mut response = begun(head, empty());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::UPGRADE, to);
    }
    response
}

/// A body on its way, for as long as somebody wants the answer.
struct Sending {
    task: tokio::task::JoinHandle<()>,
    refused: Option<oneshot::Sender<()>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sending {
    fn begin<F: Feed<Input = Input>>(mut body: Incoming, mut inputs: Inputs<F>) -> Self {
        let (refused, is_refused) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = send(&mut body, &mut inputs) => {}
                Ok(()) = is_refused => {}
            }
            drain(&mut body).await;
        });
        Self { task, refused: Some(refused) }
    }

    /// Nobody takes the body: what is left of it is read all the same, because a program that cannot write
    /// its request to the end never looks at the answer.
    async fn refused(mut self) {
        if let Some(refused) = self.refused.take() {
            refused.send(()).ok();
        }
        timeout(DRAINING, &mut self.task).await.ok();
    }
}

/// Reads a body that nobody wants, as far as that is not much.
async fn drain(body: &mut Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > DRAINED {
            return;
        }
    }
}

async fn send<F: Feed<Input = Input>>(body: &mut Incoming, inputs: &mut Inputs<F>) {
    while let Some(frame) = body.frame().await {
        // A body that breaks off is never said to be whole; the program is not there to hear more.
        let Ok(frame) = frame else { return };
        let Ok(data) = frame.into_data() else { continue };
        for piece in data.chunks(CHUNK) {
            let input = Input { data: piece.to_vec(), eof: false };
            if inputs.send(&input).await.is_err() {
                // The answer says why.
                return;
            }
        }
    }
    inputs.send(&Input { eof: true, ..Input::default() }).await.ok();
}

/// An answer whose body comes as the host sends it.
fn streamed<F: Feed<Item = Item>>(
    head: &Head,
    items: Items<F>,
    sending: Option<Sending>,
) -> Response<Body> {
    let pieces = stream::unfold((items, sending), |(mut items, sending)| async move {
        loop {
            match items.next().await? {
                Ok(item) if item.data.is_empty() => {}
                Ok(item) => {
                    let frame = Frame::data(Bytes::from(item.data));
                    return Some((Ok(frame), (items, sending)));
                }
                Err(e) => return Some((Err(io::Error::other(e)), (items, sending))),
            }
        }
    });
    begun(head, StreamBody::new(Box::pin(pieces)).boxed())
}

/// Carries a connection that both sides go on with.
async fn go_on<F>(on: OnUpgrade, mut items: Items<F>, mut inputs: Inputs<F>)
where
    F: Feed<Input = Input, Item = Item>,
{
    let Ok(parts) = on.await.map(Upgraded::downcast::<TokioIo<UnixStream>>) else { return };
    let Ok(parts) = parts else { return };
    let (mut from, mut to) = parts.io.into_inner().into_split();
    let early = parts.read_buf;
    let forth = async {
        let mut data = early.to_vec();
        loop {
            if !data.is_empty() && inputs.send(&Input { data, eof: false }).await.is_err() {
                // What comes back says why.
                return std::future::pending().await;
            }
            let mut buffer = vec![0; CHUNK];
            let Ok(n @ 1..) = from.read(&mut buffer).await else { break };
            buffer.truncate(n);
            data = buffer;
        }
        inputs.send(&Input { eof: true, ..Input::default() }).await.ok();
        // It sends no more; whether it still reads shows only so.
        while from.ready(Interest::WRITABLE).await.is_ok_and(|ready| !ready.is_write_closed()) {
            sleep(LOOK).await;
        }
    };
    let back = async {
        while let Some(Ok(item)) = items.next().await {
            if !item.data.is_empty() && to.write_all(&item.data).await.is_err() {
                return;
            }
        }
        to.shutdown().await.ok();
    };
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}
