//! Makes a byte stream secret and proves the keys at both ends: Noise IK.
//!
//! The dialer says six bytes in the clear (`CMDR`, wire version, cipher suite), which are the
//! handshake's prologue, so changing them on the way breaks it. Then come the two handshake
//! messages, both with an empty payload: the first can be replayed, so nothing may hang on it.
//! After that every message is a 16-bit length and a sealed payload. An empty payload tells the
//! receiver that the sender has changed its key.

use cmdr_protocol::PublicKey;
use futures::io::{AsyncRead, AsyncWrite};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

/// Both sides give up when the handshake is not done by then.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The wire version in the preface. A change here is a break; additions go into the protocol.
pub const WIRE_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"CMDR";
const TAG: usize = 16;
/// Plain bytes sealed at once; what one TCP segment train carries without waiting for more.
const SEAL: usize = 48 * 1024;
/// A write of so many bytes is sealed by itself instead of being collected.
const LARGE: usize = 8 * 1024;
/// Ciphertext read at once.
const READ: usize = 128 * 1024;
/// Ciphertext that may wait for the socket before writes are held back.
const OUT_LIMIT: usize = 128 * 1024;
const REKEY_BYTES: u64 = 1 << 32;
const REKEY_TIME: Duration = Duration::from_hours(1);

/// Which cipher a link uses; the dialer picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Fast everywhere.
    ChaChaPoly = 1,
    /// Four times faster where the processor has AES instructions.
    AesGcm = 2,
}

impl Suite {
    /// AES-GCM when this processor has instructions for it.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        let aes = std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let aes = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let aes = false;
        if aes { Self::AesGcm } else { Self::ChaChaPoly }
    }

    const fn pattern(self) -> &'static str {
        match self {
            Self::ChaChaPoly => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
            Self::AesGcm => "Noise_IK_25519_AESGCM_BLAKE2s",
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::ChaChaPoly),
            2 => Some(Self::AesGcm),
            _ => None,
        }
    }
}

/// What the accepting side says in the clear when it does not go on. Nobody can prove that it was
/// the hub who said it, so it only words an error and decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The wire version or the suite is not known.
    Version = 1,
    /// The first message was not meant for this key.
    Key = 2,
    /// Too many handshakes from there, or in all.
    Busy = 3,
}

/// Why there is no secret channel.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took longer than [`HANDSHAKE_TIMEOUT`].
    #[error("the handshake was not done after 10 s")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The other end does not prove the pinned key.
    #[error("the other end does not hold the expected key")]
    WrongKey,
    /// The other end speaks another version or something else altogether.
    #[error("the other end does not speak this version of the link")]
    Version,
    /// The other end takes no one in now.
    #[error("the other end is too busy for another handshake")]
    Busy,
    /// The peer's message is not one.
    #[error("the other end sent something that is no handshake")]
    Garbage,
}

fn builder(suite: Suite) -> snow::Builder<'static> {
    #[expect(
        clippy::expect_used,
        reason = "the two names are constants, checked by every test here"
    )]
    snow::Builder::new(suite.pattern().parse().expect("a valid pattern name"))
}

/// The public half of a secret.
pub(crate) fn public_of(secret: &[u8; 32]) -> PublicKey {
    use snow::resolvers::CryptoResolver as _;
    #[expect(clippy::expect_used, reason = "the default resolver has X25519 built in")]
    let mut dh = snow::resolvers::DefaultResolver
        .resolve_dh(&snow::params::DHChoice::Curve25519)
        .expect("X25519 is built in");
    dh.set(secret);
    let mut public = [0; 32];
    public.copy_from_slice(&dh.pubkey()[..32]);
    PublicKey(public)
}

/// Bytes that have crossed the wire, for a link's health.
#[derive(Debug, Default)]
pub struct Counters {
    /// Received, as encrypted.
    pub received: AtomicU64,
    /// Sent, as encrypted.
    pub sent: AtomicU64,
}

/// Dials: proves our key and checks that the other end has `theirs`.
pub async fn initiate<S>(
    io: S,
    ours: &crate::SecretKey,
    theirs: &PublicKey,
    suite: Suite,
) -> Result<NoiseStream<S>, HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    tokio::time::timeout(HANDSHAKE_TIMEOUT, initiate_inner(io, ours, theirs, suite))
        .await
        .map_err(|_| HandshakeError::Timeout)?
}

async fn initiate_inner<S>(
    mut io: S,
    ours: &crate::SecretKey,
    theirs: &PublicKey,
    suite: Suite,
) -> Result<NoiseStream<S>, HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let [a, b, c, d] = MAGIC;
    let preface = [a, b, c, d, WIRE_VERSION, suite as u8];
    let mut state = builder(suite)
        .prologue(&preface)
        .and_then(|b| b.local_private_key(ours.secret()))
        .and_then(|b| b.remote_public_key(&theirs.0))
        .and_then(snow::Builder::build_initiator)
        .map_err(|_| HandshakeError::Garbage)?;
    let mut buf = [0; 256];
    let len = state.write_message(&[], &mut buf).map_err(|_| HandshakeError::Garbage)?;
    let mut first = Vec::with_capacity(8 + len);
    first.extend_from_slice(&preface);
    first.extend_from_slice(&(len as u16).to_be_bytes());
    first.extend_from_slice(&buf[..len]);
    io.write_all(&first).await?;
    io.flush().await?;
    let len = usize::from(io.read_u16().await?);
    if len == 0 {
        return Err(match io.read_u8().await? {
            1 => HandshakeError::Version,
            2 => HandshakeError::WrongKey,
            3 => HandshakeError::Busy,
            _ => HandshakeError::Garbage,
        });
    }
    if len > buf.len() {
        return Err(HandshakeError::WrongKey);
    }
    io.read_exact(&mut buf[..len]).await?;
    let mut payload = [0; 256];
    match state.read_message(&buf[..len], &mut payload) {
        Ok(0) => {}
        _ => return Err(HandshakeError::WrongKey),
    }
    NoiseStream::new(io, state)
}

/// Accepts: proves our key and learns theirs. Allocates nothing that outlives a failure.
pub async fn respond<S>(io: S, ours: &crate::SecretKey) -> Result<NoiseStream<S>, HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    tokio::time::timeout(HANDSHAKE_TIMEOUT, respond_inner(io, ours))
        .await
        .map_err(|_| HandshakeError::Timeout)?
}

async fn respond_inner<S>(
    mut io: S,
    ours: &crate::SecretKey,
) -> Result<NoiseStream<S>, HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut head = [0; 8];
    io.read_exact(&mut head).await?;
    let suite = Suite::from_byte(head[5]);
    let Some(suite) = suite.filter(|_| head[..4] == MAGIC && head[4] == WIRE_VERSION) else {
        // Something that does not even begin as we do gets no answer that it could misread.
        if head[..4] == MAGIC {
            alert(&mut io, Alert::Version).await;
        }
        return Err(HandshakeError::Version);
    };
    let len = usize::from(u16::from_be_bytes([head[6], head[7]]));
    let mut message = [0; 128];
    if len > message.len() {
        return Err(HandshakeError::Garbage);
    }
    io.read_exact(&mut message[..len]).await?;
    let mut state = builder(suite)
        .prologue(&head[..6])
        .and_then(|b| b.local_private_key(ours.secret()))
        .and_then(snow::Builder::build_responder)
        .map_err(|_| HandshakeError::Garbage)?;
    let mut buf = [0; 128];
    if !matches!(state.read_message(&message[..len], &mut buf), Ok(0)) {
        alert(&mut io, Alert::Key).await;
        return Err(HandshakeError::WrongKey);
    }
    let len = state.write_message(&[], &mut buf[2..]).map_err(|_| HandshakeError::Garbage)?;
    buf[..2].copy_from_slice(&(len as u16).to_be_bytes());
    io.write_all(&buf[..2 + len]).await?;
    io.flush().await?;
    NoiseStream::new(io, state)
}

/// Says in the clear why there will be no handshake. Best effort: the peer may be gone.
pub async fn alert<S: tokio::io::AsyncWrite + Unpin>(io: &mut S, alert: Alert) {
    if io.write_all(&[0, 0, alert as u8]).await.is_ok() && io.flush().await.is_ok() {
        drop(io.shutdown().await);
    }
}

thread_local! {
    /// Ciphertext passes through here on its way in, so that an idle link owns no buffer for it.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// A byte queue over a buffer that is kept while it is busy and given back when it runs empty.
#[derive(Default)]
struct Queue {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Queue {
    /// A buffer larger than this is kept from one burst to the next only if the burst was large.
    const KEEP: usize = 16 * 1024;

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    const fn len(&self) -> usize {
        self.end - self.start
    }

    fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Room for `len` more bytes behind the last; [`Queue::filled`] says how many were used.
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.start > 0 && self.end + len > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end + len > self.buf.len() {
            self.buf.resize(self.end + len, 0);
        }
        &mut self.buf[self.end..self.end + len]
    }

    const fn filled(&mut self, len: usize) {
        self.end += len;
    }

    fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
        if self.start == self.end {
            let used = self.end;
            (self.start, self.end) = (0, 0);
            if used < Self::KEEP {
                self.buf = Vec::new();
            }
        }
    }
}

/// A secret channel over `S`.
pub struct NoiseStream<S> {
    io: S,
    state: Box<snow::TransportState>,
    peer: PublicKey,
    /// Ciphertext received that is not a whole message yet.
    partial: Queue,
    /// Decrypted bytes that nobody has read yet.
    plain: Queue,
    /// Bytes written that are not sealed yet.
    unsealed: Queue,
    /// Ciphertext on its way to the socket.
    out: Queue,
    since_rekey: u64,
    rekeyed: Instant,
    counters: Arc<Counters>,
}

impl<S> std::fmt::Debug for NoiseStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoiseStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl<S> NoiseStream<S> {
    fn new(io: S, state: snow::HandshakeState) -> Result<Self, HandshakeError> {
        let peer = state.get_remote_static().and_then(|k| k.try_into().ok()).map(PublicKey);
        let peer = peer.ok_or(HandshakeError::Garbage)?;
        let state = state.into_transport_mode().map_err(|_| HandshakeError::Garbage)?;
        Ok(Self::over(io, Box::new(state), peer))
    }

    fn over(io: S, state: Box<snow::TransportState>, peer: PublicKey) -> Self {
        Self {
            io,
            state,
            peer,
            partial: Queue::default(),
            plain: Queue::default(),
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

    /// Bytes on the wire so far; stays readable after the stream is gone.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Seals what was written since into one message.
    fn seal_pending(&mut self) -> io::Result<()> {
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

    /// Takes ciphertext in: opens every whole message and keeps the rest for later.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
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
            open(&mut self.state, &mut self.plain, &self.partial.bytes()[2..])?;
            self.partial.advance(self.partial.len());
        }
        while let Some(len) = message_len(bytes)? {
            if bytes.len() < 2 + len {
                break;
            }
            open(&mut self.state, &mut self.plain, &bytes[2..2 + len])?;
            bytes = &bytes[2 + len..];
        }
        if !bytes.is_empty() {
            self.partial.push(bytes);
        }
        Ok(())
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

fn open(state: &mut snow::TransportState, plain: &mut Queue, sealed: &[u8]) -> io::Result<()> {
    let room = plain.room(sealed.len() - TAG);
    let len =
        state.read_message(sealed, room).map_err(|_| bad("a message whose seal does not hold"))?;
    plain.filled(len);
    if len == 0 {
        plain.advance(0);
        state.rekey_incoming();
    }
    Ok(())
}

impl<S: tokio::io::AsyncWrite + Unpin> NoiseStream<S> {
    /// Seals and sends all that was written.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seal_pending()?;
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Sends all that was written and ends our direction.
    pub fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, self.out.bytes()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.counters.sent.fetch_add(n as u64, Ordering::Relaxed);
            self.out.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: tokio::io::AsyncRead + Unpin> AsyncRead for NoiseStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while this.plain.is_empty() {
            let n = ready!(SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.io).poll_read(cx, &mut read))?;
                let n = read.filled().len();
                this.take(read.filled())?;
                Poll::Ready(io::Result::Ok(n))
            }))?;
            match n {
                0 if this.partial.is_empty() => return Poll::Ready(Ok(0)),
                // A cut inside a message is never a clean end.
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                n => this.counters.received.fetch_add(n as u64, Ordering::Relaxed),
            };
        }
        let n = buf.len().min(this.plain.len());
        buf[..n].copy_from_slice(&this.plain.bytes()[..n]);
        this.plain.advance(n);
        Poll::Ready(Ok(n))
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> AsyncWrite for NoiseStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unsealed.len() >= SEAL {
            self.seal_pending()?;
        }
        if self.out.len() >= OUT_LIMIT {
            ready!(self.poll_drain(cx))?;
        }
        if buf.len() >= LARGE {
            // Worth a message of its own: sealed from where it is, without a copy in between.
            self.seal_pending()?;
            let n = buf.len().min(SEAL);
            self.rekey_if_due(n)?;
            let this = &mut *self;
            seal(&mut this.state, &mut this.out, &buf[..n])?;
            return Poll::Ready(Ok(n));
        }
        let n = buf.len().min(SEAL - self.unsealed.len());
        self.unsealed.push(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_leave(cx)
    }
}

#[cfg(test)]
mod tests;
