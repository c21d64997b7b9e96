//! One connection to the engine's socket for one request: plain HTTP, and what it becomes when both sides go on with it.

use bollard::errors::Error;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The engine answers a question within so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer to a question, and the largest complaint.
const LARGEST: usize = 1 << 20;
/// The name of a host that everybody who listens on a socket is content with.
const NAME: HeaderValue = HeaderValue::from_static("docker");

/// Sends a request. The connection ends with the answer, or with what it becomes.
pub(crate) async fn send<B>(
    socket: &Path,
    mut request: Request<B>,
) -> Result<Response<Incoming>, Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await?;
    request.headers_mut().insert(HOST, NAME);
    tokio::spawn(async move {
        // What goes wrong is told with the answer.
        connection.with_upgrades().await.ok();
    });
    Ok(sender.send_request(request).await?)
}

fn request(
    method: &str,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<Request<Full<Bytes>>, Error> {
    let text = body.map(serde_json::to_vec).transpose()?;
    let mut request = Request::builder().method(method).uri(path);
    if text.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    Ok(request.body(Full::from(text.unwrap_or_default()))?)
}

async fn late<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, asking).await.unwrap_or(Err(Error::RequestTimeoutError))
}

/// Asks a question whose answer is JSON.
pub(crate) async fn json<T: DeserializeOwned>(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<T, Error> {
    late(async {
        let response = checked(send(socket, request(method, path, body)?).await?).await?;
        Ok(serde_json::from_slice(&collect(response.into_body()).await?)?)
    })
    .await
}

/// Asks for something whose answer is that it was done.
pub(crate) async fn tell(socket: &Path, method: &str, path: &str) -> Result<(), Error> {
    late(async { checked(send(socket, request(method, path, None)?).await?).await.map(drop) }).await
}

/// Asks for a stream that ends when it ends.
pub(crate) async fn stream(socket: &Path, path: &str) -> Result<Incoming, Error> {
    let request = request("GET", path, None)?;
    late(async { Ok(checked(send(socket, request).await?).await?.into_body()) }).await
}

/// Asks for a connection that both sides go on with.
pub(crate) async fn upgrade(
    socket: &Path,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<TokioIo<Upgraded>, Error> {
    let mut request = request("POST", path, body)?;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("tcp"));
    late(async {
        let response = checked(send(socket, request).await?).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(io::Error::other("the engine does not go on with the connection").into());
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    })
    .await
}

#[derive(Deserialize)]
struct Complaint {
    message: String,
}

/// An answer that is none of a failure.
async fn checked(response: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    let status = response.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let text = collect(response.into_body()).await?;
    let message = serde_json::from_slice::<Complaint>(&text).map_or_else(
        |_| String::from_utf8_lossy(&text).trim().to_owned(),
        |complaint| complaint.message,
    );
    Err(Error::DockerResponseServerError { status_code: status.as_u16(), message })
}

async fn collect(mut body: Incoming) -> Result<Bytes, Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if all.len() + data.len() > LARGEST {
            return Err(io::Error::other("the engine's answer is larger than 1 MiB").into());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// A body that comes piece by piece. It is whole only when that was said: whoever goes away before leaves a request that
/// the engine does not take for a shorter one.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: mpsc::Receiver<Option<Bytes>>,
    over: bool,
}

impl Pieces {
    /// A body and the way into it: pieces, and `None` for the end.
    pub(crate) fn new(waiting: usize) -> (mpsc::Sender<Option<Bytes>>, Self) {
        let (sender, pieces) = mpsc::channel(waiting);
        (sender, Self { pieces, over: false })
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(None) => {
                self.over = true;
                None
            }
            None => Some(Err(io::ErrorKind::ConnectionAborted.into())),
        })
    }
}
