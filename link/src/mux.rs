//! Many streams over one secret connection, each with its own flow control.
//!
//! The frames are those of the yamux specification; `docs/decisions/0009-own-multiplexer.md` says why
//! the program that speaks them is ours. One task drives each connection: it alone touches the
//! socket. Streams write into the channel and read what the driver has opened, under one lock, so
//! that a byte on its way through is copied by the ciphers and the kernel only. What several streams
//! write while the driver waits for its turn leaves as one write.

mod core;
mod header;
mod pipe;
mod received;
mod stream;

pub use stream::{Source, Stream};

use crate::noise::Channel;
use core::Core;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

/// Reads in a row before others on this thread get their turn.
const READS: usize = 8;
/// What is queued may take so long to leave when the connection is closed.
const LEAVE: Duration = Duration::from_secs(2);
/// The other end hangs up within so long after our goodbye, or is not waited for.
const FAREWELL: Duration = Duration::from_millis(250);

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The dialer.
    Client,
    /// The one that was dialed.
    Server,
}

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams open at once, both ways together. Each may have 256 KiB received and not yet read.
    pub streams: usize,
    /// The windows of busy streams grow while all windows together stay below so many bytes.
    pub window: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 256, window: 64 << 20 }
    }
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

/// The state that the driver and all streams share.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<Core>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens streams on a running connection.
#[derive(Clone, Debug)]
pub struct Opener {
    shared: Shared,
}

impl Opener {
    /// A new stream to the peer, who learns of it with the first byte.
    pub fn open(&self) -> Result<Stream, OpenError> {
        let id = self.shared.lock().open()?;
        Ok(Stream::new(self.shared.clone(), id))
    }
}

/// Starts driving a connection. Streams of the peer come out of the receiver. Dropping every opener,
/// stream and the receiver does not end it: dropping `Driver` does.
pub fn start<S>(
    io: S,
    channel: Channel,
    mode: Mode,
    limits: Limits,
) -> (Opener, mpsc::Receiver<Stream>, Driver)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Shared(Arc::new(Mutex::new(Core::new(channel, mode, limits))));
    // All that the peer may have open at once: a burst of requests is no reason to reset any.
    let (inbound, streams) = mpsc::channel(limits.streams.max(1));
    let (stop, stopped) = oneshot::channel();
    let (done, finished) = oneshot::channel();
    let wire = Wire { io, shared: shared.clone(), inbound, alone: None };
    tokio::spawn(async move {
        let why = wire.drive(stopped).await;
        // Nobody may be listening any more; then nobody wants to know.
        drop(done.send(why));
    });
    (Opener { shared }, streams, Driver { stop: Some(stop), finished, why: None })
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

/// The task that carries bytes between the socket and the streams.
struct Wire<S> {
    io: S,
    shared: Shared,
    inbound: mpsc::Sender<Stream>,
    /// Wakes us when what waited for company leaves alone.
    alone: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn drive(mut self, mut stopped: oneshot::Receiver<()>) -> String {
        let why = poll_fn(|cx| {
            if Pin::new(&mut stopped).poll(cx).is_ready() {
                return Poll::Ready("closed".to_owned());
            }
            self.poll(cx)
        })
        .await;
        self.shared.lock().leave(&why);
        let leave = tokio::time::timeout(LEAVE, poll_fn(|cx| self.poll_leave(cx)));
        if matches!(leave.await, Ok(Ok(()))) {
            // Closing a socket with unread bytes in it would take back what we have sent last.
            drop(tokio::time::timeout(FAREWELL, poll_fn(|cx| self.poll_drop_rest(cx))).await);
        }
        why
    }

    /// Carries what there is to carry; ready with the reason when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let mut reads = 0;
        loop {
            let mut core = self.shared.lock();
            let received = core.poll_receive(&mut self.io, cx);
            let mut accepted = Vec::new();
            while let Some(id) = core.next_accepted() {
                accepted.push(id);
            }
            if let Some(why) = core.ended() {
                return Poll::Ready(why.to_owned());
            }
            drop(core);
            for id in accepted {
                // When nobody takes streams any more, they are reset. Not under the lock, which a
                // stream's end takes too.
                drop(self.inbound.try_send(Stream::new(self.shared.clone(), id)));
            }
            match received {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready("cut by the other end".to_owned()),
                Poll::Ready(Err(e)) => return Poll::Ready(describe(&e)),
                Poll::Pending => break,
            }
            reads += 1;
            if reads == READS {
                cx.waker().wake_by_ref();
                break;
            }
        }
        let mut core = self.shared.lock();
        let sent = core.poll_send(&mut self.io, cx);
        let alone = core.leaves_at();
        drop(core);
        if let Poll::Ready(Err(e)) = sent {
            return Poll::Ready(describe(&e));
        }
        self.wake_at(alone, cx);
        Poll::Pending
    }

    fn wake_at(&mut self, at: Option<Instant>, cx: &mut Context<'_>) {
        let Some(at) = at else { return };
        let sleep = self.alone.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Sends what is queued and ends our direction.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.shared.lock().poll_send(&mut self.io, cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads to the end of the connection; what still comes means nothing any more.
    fn poll_drop_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rest = [0; 4096];
        loop {
            let mut rest = tokio::io::ReadBuf::new(&mut rest);
            match std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

/// Feeds bytes that a peer might have sent to a connection without a socket, reads every stream that
/// they open, and gives the channel back. For the fuzzers, which have no other way below the seal.
#[doc(hidden)]
pub fn try_bytes(
    channel: Channel,
    limits: Limits,
    data: &[u8],
) -> (Channel, Result<usize, String>) {
    let mut core = Core::new(channel, Mode::Server, limits);
    let mut read = 0;
    let cx = Context::from_waker(std::task::Waker::noop());
    let mut held = Vec::new();
    let mut result = Ok(());
    for message in data.chunks(1 + data.len() / 3) {
        result = core.receive(bytes::Bytes::copy_from_slice(message)).map_err(|e| e.to_string());
        while let Some(id) = core.next_accepted() {
            held.push(id);
        }
        for &id in &held {
            while let Poll::Ready(Ok(piece)) = core.poll_take(id, 1000, &cx)
                && !piece.is_empty()
            {
                read += piece.len();
            }
        }
        if result.is_err() || core.ended().is_some() {
            break;
        }
    }
    for id in held {
        core.forget(id);
    }
    (core.into_channel(), result.map(|()| read))
}

fn describe(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "cut by the other end".to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
