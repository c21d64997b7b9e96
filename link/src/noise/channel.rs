//! The secret channel after the handshake: seals what is written, opens what is received. Owns the
//! keys and the ciphertext under way, not the socket: the multiplexer's driver lends that.

use super::HandshakeError;
use super::queue::Queue;
use bytes::Bytes;
use cmdr_protocol::PublicKey;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

const TAG: usize = 16;
/// Plain bytes sealed at once; what one TCP segment train carries without waiting for more.
pub(crate) const SEAL: usize = 48 * 1024;
/// A write of so many bytes is sealed by itself instead of being collected.
const LARGE: usize = 8 * 1024;
/// Ciphertext read at once.
const READ: usize = 128 * 1024;
pub(super) const REKEY_BYTES: u64 = 1 << 32;
pub(super) const REKEY_TIME: Duration = Duration::from_hours(1);

/// Bytes that have crossed the wire, for a link's health.
#[derive(Debug, Default)]
pub struct Counters {
    /// Received, as encrypted.
    pub received: AtomicU64,
    /// Sent, as encrypted.
    pub sent: AtomicU64,
}

thread_local! {
    /// Ciphertext passes through here on its way in, so that an idle link owns no buffer for it.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// A secret channel with a peer whose key is proved.
pub struct Channel {
    pub(super) state: Box<snow::TransportState>,
    peer: PublicKey,
    /// Ciphertext received that is not a whole message yet.
    pub(super) partial: Queue,
    /// Bytes written that are not sealed yet.
    pub(super) unsealed: Queue,
    /// Ciphertext on its way to the socket.
    pub(super) out: Queue,
    pub(super) since_rekey: u64,
    pub(super) rekeyed: Instant,
    counters: Arc<Counters>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("peer", &self.peer).finish_non_exhaustive()
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Channel {
    pub(super) fn new(state: snow::HandshakeState) -> Result<Self, HandshakeError> {
        let peer = state.get_remote_static().and_then(|k| k.try_into().ok()).map(PublicKey);
        let peer = peer.ok_or(HandshakeError::Garbage)?;
        let state = state.into_transport_mode().map_err(|_| HandshakeError::Garbage)?;
        Ok(Self::over(Box::new(state), peer))
    }

    pub(super) fn over(state: Box<snow::TransportState>, peer: PublicKey) -> Self {
        Self {
            state,
            peer,
            partial: Queue::default(),
            unsealed: Queue::default(),
            out: Queue::default(),
            since_rekey: 0,
            rekeyed: Instant::now(),
            counters: Arc::default(),
        }
    }

    /// The key that the other end has proved.
    pub const fn peer(&self) -> PublicKey {
        self.peer
    }

    /// Bytes on the wire so far; stays readable after the channel is gone.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Throws away what was written and not sent. For the fuzzers.
    #[doc(hidden)]
    pub fn discard(&mut self) {
        self.unsealed.advance(self.unsealed.len());
        self.out.advance(self.out.len());
    }

    /// Bytes written that the socket has not taken yet.
    pub(crate) const fn waiting(&self) -> usize {
        self.unsealed.len() + self.out.len()
    }

    /// Takes bytes to be sent: small ones are collected until [`Channel::poll_send`] or [`SEAL`] of
    /// them, a large piece is sealed from where it is. Never waits; the caller looks at
    /// [`Channel::waiting`] before it writes much.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = if bytes.len() >= LARGE {
                self.seal_pending()?;
                let n = bytes.len().min(SEAL);
                self.rekey_if_due(n)?;
                seal(&mut self.state, &mut self.out, &bytes[..n])?;
                n
            } else {
                if self.unsealed.len() >= SEAL {
                    self.seal_pending()?;
                }
                let n = bytes.len().min(SEAL - self.unsealed.len());
                self.unsealed.push(&bytes[..n]);
                n
            };
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Seals what was collected into one message.
    pub(super) fn seal_pending(&mut self) -> io::Result<()> {
        if self.unsealed.is_empty() {
            return Ok(());
        }
        self.rekey_if_due(self.unsealed.len())?;
        seal(&mut self.state, &mut self.out, self.unsealed.bytes())?;
        self.unsealed.advance(self.unsealed.len());
        Ok(())
    }

    /// Changes our key when it has sealed enough, before so many bytes more.
    fn rekey_if_due(&mut self, more: usize) -> io::Result<()> {
        if self.since_rekey >= REKEY_BYTES || self.rekeyed.elapsed() >= REKEY_TIME {
            seal(&mut self.state, &mut self.out, &[])?;
            self.state.rekey_outgoing();
            self.since_rekey = 0;
            self.rekeyed = Instant::now();
        }
        self.since_rekey += more as u64;
        Ok(())
    }

    /// Seals all that was written and hands it to the socket.
    pub(crate) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.seal_pending()?;
        while !self.out.is_empty() {
            let n = ready!(Pin::new(&mut *io).poll_write(cx, self.out.bytes()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.counters.sent.fetch_add(n as u64, Ordering::Relaxed);
            self.out.advance(n);
        }
        Pin::new(io).poll_flush(cx)
    }

    /// Reads from the socket once and puts every message that is whole into `opened`. `false` at the
    /// end of the connection, which a message cut in two is not: that is an error.
    pub(crate) fn poll_receive<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        opened: &mut VecDeque<Bytes>,
    ) -> Poll<io::Result<bool>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(io).poll_read(cx, &mut read))?;
            let bytes = read.filled();
            self.counters.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if !bytes.is_empty() {
                self.take(bytes, opened)?;
                return Poll::Ready(Ok(true));
            }
            if self.partial.is_empty() {
                return Poll::Ready(Ok(false));
            }
            Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
        })
    }

    /// Takes ciphertext in: opens every whole message and keeps the rest for later.
    fn take(&mut self, mut bytes: &[u8], opened: &mut VecDeque<Bytes>) -> io::Result<()> {
        if !self.partial.is_empty() {
            // Complete the message that is begun, and only that one.
            let head = 2usize.saturating_sub(self.partial.len()).min(bytes.len());
            self.partial.push(&bytes[..head]);
            bytes = &bytes[head..];
            let Some(len) = message_len(self.partial.bytes())? else { return Ok(()) };
            let more = (2 + len - self.partial.len()).min(bytes.len());
            self.partial.push(&bytes[..more]);
            bytes = &bytes[more..];
            if self.partial.len() < 2 + len {
                return Ok(());
            }
            let plain = open(&mut self.state, &self.partial.bytes()[2..])?;
            self.partial.advance(self.partial.len());
            self.opened(plain, opened);
        }
        while let Some(len) = message_len(bytes)? {
            if bytes.len() < 2 + len {
                break;
            }
            let plain = open(&mut self.state, &bytes[2..2 + len])?;
            self.opened(plain, opened);
            bytes = &bytes[2 + len..];
        }
        if !bytes.is_empty() {
            self.partial.push(bytes);
        }
        Ok(())
    }

    fn opened(&mut self, plain: Bytes, opened: &mut VecDeque<Bytes>) {
        if plain.is_empty() {
            self.state.rekey_incoming();
        } else {
            opened.push_back(plain);
        }
    }
}

/// The length of the message that begins here, once its two bytes are there.
fn message_len(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some((head, _)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    match usize::from(u16::from_be_bytes(*head)) {
        len if len < TAG => Err(bad("a sealed message shorter than its seal")),
        len => Ok(Some(len)),
    }
}

fn seal(state: &mut snow::TransportState, out: &mut Queue, payload: &[u8]) -> io::Result<()> {
    let room = out.room(2 + payload.len() + TAG);
    let len = state.write_message(payload, &mut room[2..]).map_err(io::Error::other)?;
    room[..2].copy_from_slice(&(len as u16).to_be_bytes());
    out.filled(2 + len);
    Ok(())
}

fn open(state: &mut snow::TransportState, sealed: &[u8]) -> io::Result<Bytes> {
    // Room for the seal too: with less the cipher goes through one more copy.
    let mut plain = vec![0; sealed.len()];
    let len = state
        .read_message(sealed, &mut plain)
        .map_err(|_| bad("a message whose seal does not hold"))?;
    plain.truncate(len);
    Ok(plain.into())
}
