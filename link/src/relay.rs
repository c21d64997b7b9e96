//! Joins two streams. The hub's data path: pieces go from one to the other as they are, unread.

mod witnessed;

pub use witnessed::{Ended, GIVEN_UP, Tap, Tapped, relay_witnessed};

use crate::mux::{Source as _, Stream};
use bytes::{Buf as _, Bytes};
use futures::io::AsyncWrite;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Bytes carried each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// From the first stream to the second.
    pub forth: u64,
    /// From the second stream to the first.
    pub back: u64,
}

/// Carries bytes both ways until both directions have ended, or either side gave the stream up.
/// An end is passed on as an end and a reset as a reset, so that cancelling reaches the far side.
pub async fn relay(a: Stream, b: Stream) -> Relayed {
    let mut forth = Half::new(a.clone(), b.clone());
    let mut back = Half::new(b, a);
    join(&mut forth, &mut back).await;
    Relayed { forth: forth.bytes, back: back.bytes }
}

/// Carries both ways until both have ended. A broken stream ends both directions: dropping the halves
/// resets what is left.
async fn join(forth: &mut Half, back: &mut Half) {
    drop(
        poll_fn(|cx| {
            let forth_done = forth.poll(cx, back.closed)?.is_ready();
            let back_done = back.poll(cx, forth.closed)?.is_ready();
            if forth_done && back_done { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
        })
        .await,
    );
}

struct Half {
    from: Stream,
    to: Stream,
    /// What is left of the piece on its way.
    piece: Bytes,
    ended: bool,
    /// Whether we have closed `to` for writing.
    closed: bool,
    bytes: u64,
}

impl Half {
    const fn new(from: Stream, to: Stream) -> Self {
        Self { from, to, piece: Bytes::new(), ended: false, closed: false, bytes: 0 }
    }

    /// `we_closed`: whether the other half has closed `from` for writing, so that an end there is
    /// an end and not a reset.
    fn poll(&mut self, cx: &mut Context<'_>, we_closed: bool) -> Poll<io::Result<()>> {
        self.poll_tapped(cx, we_closed, &mut None)
    }

    fn poll_tapped(
        &mut self,
        cx: &mut Context<'_>,
        we_closed: bool,
        tap: &mut Tapped,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            while !self.piece.is_empty() {
                let n = ready!(Pin::new(&mut self.to).poll_write(cx, &self.piece))?;
                self.piece.advance(n);
                self.bytes += n as u64;
            }
            if self.ended {
                ready!(Pin::new(&mut self.to).poll_close(cx))?;
                self.closed = true;
                continue;
            }
            self.piece = ready!(self.from.poll_take(cx, usize::MAX))?;
            if let Some(tap) = tap {
                tap.forth(&self.piece);
            }
            if self.piece.is_empty() {
                if self.from.is_closed() && !we_closed {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                self.ended = true;
            }
        }
    }
}
