//! Many streams over one secret connection, each with its own flow control.
//!
//! One task drives each connection. Streams are handed out as pairs of halves that can be used from
//! two places at once; the stream is reset when both are dropped without a proper close.

use crate::noise::NoiseStream;
use futures::io::{AsyncRead, AsyncWrite};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{mpsc, oneshot};

/// Which side of the connection we are; the dialer is the client.
pub use yamux::Mode;

/// A payload of this many bytes and its frame head travel as one piece.
const PIECE: usize = 33 * 1024;
/// Streams accepted by the peer that nobody has taken yet.
const INBOUND: usize = 64;

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams open at once, both ways together.
    pub streams: usize,
    /// Bytes of all streams together that may be received and not yet read.
    pub window: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 256, window: 64 << 20 }
    }
}

type OpenReply = oneshot::Sender<Result<Stream, yamux::ConnectionError>>;

/// Opens streams on a running connection.
#[derive(Clone, Debug)]
pub struct Opener {
    requests: mpsc::Sender<OpenReply>,
}

/// No stream could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The connection is gone.
    #[error("the link is down")]
    Gone,
    /// The connection has as many streams as it may.
    #[error("the link has as many streams as it may; wait for some to end")]
    TooMany,
}

impl Opener {
    /// A new stream to the peer.
    pub async fn open(&self) -> Result<Stream, OpenError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(reply).await.map_err(|_| OpenError::Gone)?;
        match answer.await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(yamux::ConnectionError::TooManyStreams)) => Err(OpenError::TooMany),
            Ok(Err(_)) | Err(_) => Err(OpenError::Gone),
        }
    }
}

/// Starts driving a connection. Streams of the peer come out of the receiver; `finished` tells why
/// it ended. Dropping every opener, stream and the receiver does not end it: dropping `Driver` does.
pub fn start<S>(
    io: NoiseStream<S>,
    mode: Mode,
    limits: Limits,
) -> (Opener, mpsc::Receiver<Stream>, Driver)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut config = yamux::Config::default();
    // The order matters: each setter checks its value against the other's.
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(limits.streams);
    config.set_max_connection_receive_window(Some(limits.window.max(limits.streams << 18)));
    config.set_split_send_size(PIECE);
    let (requests, opening) = mpsc::channel(16);
    let (inbound, streams) = mpsc::channel(INBOUND);
    let (stop, stopped) = oneshot::channel();
    let (done, finished) = oneshot::channel();
    let corked = Corked(Arc::new(Mutex::new(io)));
    let connection = yamux::Connection::new(corked.clone(), config, mode);
    tokio::spawn(async move {
        let why = drive(connection, corked, opening, inbound, stopped).await;
        // Nobody may be listening any more; then nobody wants to know.
        drop(done.send(why));
    });
    (Opener { requests }, streams, Driver { stop: Some(stop), finished, why: None })
}

/// Holds a connection open; dropping it closes the connection.
#[derive(Debug)]
pub struct Driver {
    stop: Option<oneshot::Sender<()>>,
    finished: oneshot::Receiver<String>,
    /// Why it ended, once it has.
    why: Option<String>,
}

impl Driver {
    /// Waits until the connection has ended and says why.
    pub async fn finished(&mut self) -> String {
        if self.why.is_none() {
            let why = (&mut self.finished).await;
            self.why = Some(why.unwrap_or_else(|_| "closed".to_owned()));
        }
        self.why.clone().unwrap_or_default()
    }

    /// Closes the connection in good order: what is queued still goes out.
    pub fn close(&mut self) {
        self.stop = None;
    }
}

/// Collects what the multiplexer writes, which flushes after every frame, until the driver has
/// nothing more to do: a burst of frames then leaves as one write instead of many.
struct Corked<S>(Arc<Mutex<NoiseStream<S>>>);

impl<S> Clone for Corked<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Corked<S> {
    fn lock(&self) -> MutexGuard<'_, NoiseStream<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: tokio::io::AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_close(cx)
    }
}

async fn drive<S>(
    mut connection: yamux::Connection<Corked<S>>,
    corked: Corked<S>,
    mut opening: mpsc::Receiver<OpenReply>,
    inbound: mpsc::Sender<Stream>,
    mut stopped: oneshot::Receiver<()>,
) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut waiting: Option<OpenReply> = None;
    let why = poll_fn(|cx| {
        if Pin::new(&mut stopped).poll(cx).is_ready() {
            return Poll::Ready("closed".to_owned());
        }
        loop {
            if waiting.is_none()
                && let Poll::Ready(Some(reply)) = opening.poll_recv(cx)
            {
                waiting = Some(reply);
            }
            if let Some(reply) = waiting.take() {
                match connection.poll_new_outbound(cx) {
                    Poll::Ready(opened) => {
                        // A caller that gave up meanwhile drops the stream, which is right.
                        drop(reply.send(opened.map(Stream::new)));
                        continue;
                    }
                    Poll::Pending => waiting = Some(reply),
                }
            }
            match connection.poll_next_inbound(cx) {
                // A peer that opens streams faster than they are taken gets them reset.
                Poll::Ready(Some(Ok(stream))) => drop(inbound.try_send(Stream::new(stream))),
                Poll::Ready(Some(Err(e))) => return Poll::Ready(describe(&e)),
                Poll::Ready(None) => return Poll::Ready("closed by the other end".to_owned()),
                Poll::Pending => {
                    if let Poll::Ready(Err(e)) = corked.lock().poll_send(cx) {
                        return Poll::Ready(e.to_string());
                    }
                    return Poll::Pending;
                }
            }
        }
    })
    .await;
    // What is queued still leaves; a dead peer must not hold us for long. The multiplexer's own way of
    // closing is not taken: it would leave our side's streams waiting for good, while dropping an
    // open connection ends them all.
    let leave = poll_fn(|cx| {
        while let Poll::Ready(next) = connection.poll_next_inbound(cx) {
            if !matches!(next, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        corked.lock().poll_leave(cx).map(drop)
    });
    drop(tokio::time::timeout(std::time::Duration::from_secs(2), leave).await);
    why
}

fn describe(error: &yamux::ConnectionError) -> String {
    match error {
        yamux::ConnectionError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            "cut by the other end".to_owned()
        }
        yamux::ConnectionError::Io(e) => e.to_string(),
        yamux::ConnectionError::Closed => "closed by the other end".to_owned(),
        other => format!("protocol error: {other}"),
    }
}

/// One stream. Cloning gives another handle to the same one; it is reset when the last is dropped.
#[derive(Clone, Debug)]
pub struct Stream {
    shared: Arc<Mutex<yamux::Stream>>,
}

impl Stream {
    fn new(stream: yamux::Stream) -> Self {
        Self { shared: Arc::new(Mutex::new(stream)) }
    }

    fn lock(&self) -> MutexGuard<'_, yamux::Stream> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both directions are closed: after an end of the peer's that we did not answer with
    /// ours, this means that it gave the stream up.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed()
    }

    /// The next piece of the peer's bytes, uncopied; `None` at its end.
    pub(crate) fn poll_piece(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<yamux::Packet>>> {
        futures::Stream::poll_next(Pin::new(&mut *self.lock()), cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_close(cx)
    }
}
