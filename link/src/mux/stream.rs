//! The handle of one stream.

use super::Shared;
use super::pipe::{self, End};
use bytes::Bytes;
use futures::io::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Gives out bytes in the pieces in which they came, uncopied.
pub trait Source {
    /// The next piece, of at most `most` bytes; empty at the end.
    fn poll_take(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>>;
}

/// One stream. Cloning gives another handle to the same one; it is reset when the last is dropped
/// before both directions have ended. One task at a time may wait for its bytes, and one for room.
#[derive(Clone, Debug)]
pub struct Stream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    /// One of many over a connection.
    Muxed { shared: Shared, id: u32 },
    /// Its other end is in this process.
    Here(End),
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Self::Muxed { shared, id } = self {
            shared.lock().forget(*id);
        }
    }
}

impl Stream {
    pub(super) fn new(shared: Shared, id: u32) -> Self {
        Self { inner: Arc::new(Inner::Muxed { shared, id }) }
    }

    /// The two ends of a stream that stays in this process.
    pub fn pair() -> [Self; 2] {
        pipe::pair().map(|end| Self { inner: Arc::new(Inner::Here(end)) })
    }

    /// Whether both directions are closed: after an end of the peer's that we did not answer with
    /// ours, this means that it gave the stream up, or that the connection is over.
    pub fn is_closed(&self) -> bool {
        match &*self.inner {
            Inner::Muxed { shared, id } => shared.lock().is_closed(*id),
            Inner::Here(end) => end.is_closed(),
        }
    }
}

impl Source for Stream {
    fn poll_take(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        match &*self.inner {
            Inner::Muxed { shared, id } => shared.lock().poll_take(*id, most, cx),
            Inner::Here(end) => end.poll_take(most, cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let piece = ready!(self.poll_take(cx, buf.len()))?;
        buf[..piece.len()].copy_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &*self.inner {
            Inner::Muxed { shared, id } => shared.lock().poll_write(*id, buf, cx),
            Inner::Here(end) => end.poll_write(buf, cx),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The driver sends what was written as soon as it has its turn.
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match &*self.inner {
            Inner::Muxed { shared, id } => shared.lock().finish(*id),
            Inner::Here(end) => {
                end.finish();
                Ok(())
            }
        })
    }
}
