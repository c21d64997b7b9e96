//! A stream whose two ends are in this process: for the hub, which asks itself on behalf of a program
//! that came another way. Behaves as one over a connection does, with neither a key nor a driver.

use super::received::Received;
use bytes::Bytes;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes that wait at one end before the other is held back.
const WINDOW: usize = 256 * 1024;

/// What one end has yet to read.
#[derive(Debug, Default)]
struct Inbox {
    received: Received,
    bytes: usize,
    /// The other end has sent its last byte.
    over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    inboxes: [Inbox; 2],
    /// One end was given up.
    reset: bool,
}

impl Shared {
    fn wake(&mut self) {
        for inbox in &mut self.inboxes {
            for waker in [inbox.reader.take(), inbox.writer.take()].into_iter().flatten() {
                waker.wake();
            }
        }
    }
}

/// One of the two ends.
#[derive(Debug)]
pub(super) struct End {
    shared: Arc<Mutex<Shared>>,
    /// Which inbox is ours.
    side: usize,
}

/// Both ends.
pub(super) fn pair() -> [End; 2] {
    let shared: Arc<Mutex<Shared>> = Arc::default();
    [0, 1].map(|side| End { shared: shared.clone(), side })
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether neither direction can carry anything more.
    pub(super) fn is_closed(&self) -> bool {
        let shared = self.lock();
        shared.reset || shared.inboxes.iter().all(|inbox| inbox.over)
    }

    /// The next piece of at most `most` bytes; empty at the end.
    pub(super) fn poll_take(&self, most: usize, cx: &Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut shared = self.lock();
        let reset = shared.reset;
        let inbox = &mut shared.inboxes[self.side];
        if let Some(piece) = inbox.received.take(most) {
            inbox.bytes -= piece.len();
            if let Some(writer) = inbox.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(piece));
        }
        if inbox.over || reset {
            return Poll::Ready(Ok(Bytes::new()));
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands over as much of `bytes` as there is room for at the other end.
    pub(super) fn poll_write(&self, bytes: &[u8], cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut shared = self.lock();
        let reset = shared.reset;
        let inbox = &mut shared.inboxes[1 - self.side];
        if reset || inbox.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bytes.len().min(WINDOW - inbox.bytes.min(WINDOW));
        if len == 0 && !bytes.is_empty() {
            inbox.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        inbox.received.push(Bytes::copy_from_slice(&bytes[..len]), len);
        inbox.bytes += len;
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(len))
    }

    /// Ends our direction.
    pub(super) fn finish(&self) {
        let mut shared = self.lock();
        shared.inboxes[1 - self.side].over = true;
        shared.wake();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut shared = self.lock();
        // Given up before both directions have ended.
        shared.reset |= !shared.inboxes.iter().all(|inbox| inbox.over);
        shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use crate::mux::Stream;
    use futures::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn bytes_pass_both_ways_and_an_end_is_an_end() {
        let [mut a, mut b] = Stream::pair();
        let there = tokio::spawn(async move {
            let mut all = Vec::new();
            b.read_to_end(&mut all).await.unwrap();
            b.write_all(b"got it").await.unwrap();
            b.close().await.unwrap();
            assert!(b.is_closed());
            all
        });
        let sent = vec![7; 3 << 20];
        a.write_all(&sent).await.unwrap();
        a.close().await.unwrap();
        assert!(a.write_all(b"more").await.is_err(), "nothing follows an end");
        let mut answer = Vec::new();
        a.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"got it");
        assert_eq!(there.await.unwrap(), sent);
    }

    #[tokio::test]
    async fn who_is_not_read_waits_and_an_end_that_is_dropped_resets_the_other() {
        let [mut a, b] = Stream::pair();
        let full = vec![7; 300 * 1024];
        let mut writing = Box::pin(a.write_all(&full));
        assert!(futures::poll!(&mut writing).is_pending());
        drop(b);
        assert!(writing.await.is_err());
        assert!(a.is_closed());
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
