//! Makes a byte stream secret and proves the keys at both ends: Noise IK.
//!
//! The dialer says six bytes in the clear (`CMDR`, wire version, cipher suite), which are the
//! handshake's prologue, so changing them on the way breaks it. Then come the two handshake
//! messages, both with an empty payload: the first can be replayed, so nothing may hang on it.
//! After that every message is a 16-bit length and a sealed payload. An empty payload tells the
//! receiver that the sender has changed its key.

mod channel;
mod dh;
mod queue;

pub(crate) use channel::SEAL;
pub use channel::{Channel, Counters};
pub(crate) use dh::public_of;

use cmdr_protocol::PublicKey;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Both sides give up when the handshake is not done by then.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The wire version in the preface. A change here is a break; additions go into the protocol.
pub const WIRE_VERSION: u8 = 1;

/// How many keys a hub may have at once: the present one and the one before it.
pub const OURS: usize = 2;

const MAGIC: [u8; 4] = *b"CMDR";

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

fn builder(suite: Suite, ours: &crate::SecretKey) -> Result<snow::Builder<'_>, snow::Error> {
    snow::Builder::with_resolver(suite.pattern().parse()?, Box::new(dh::Primitives::of(ours)))
        .local_private_key(ours.secret())
}

/// Dials: proves our key and checks that the other end has `theirs`.
pub async fn initiate<S>(
    io: S,
    ours: &crate::SecretKey,
    theirs: &PublicKey,
    suite: Suite,
) -> Result<(S, Channel), HandshakeError>
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
) -> Result<(S, Channel), HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let [a, b, c, d] = MAGIC;
    let preface = [a, b, c, d, WIRE_VERSION, suite as u8];
    let mut state = builder(suite, ours)
        .and_then(|b| b.prologue(&preface))
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
    Ok((io, Channel::new(state)?))
}

/// Accepts: proves our key and learns theirs. Allocates nothing that outlives a failure.
pub async fn respond<S>(io: S, ours: &crate::SecretKey) -> Result<(S, Channel), HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (io, channel, _) = respond_as(io, std::slice::from_ref(ours)).await?;
    Ok((io, channel))
}

/// As [`respond`], with whichever of our keys the dialer expects; says which. There may be [`OURS`].
pub async fn respond_as<S>(
    io: S,
    ours: &[crate::SecretKey],
) -> Result<(S, Channel, PublicKey), HandshakeError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    tokio::time::timeout(HANDSHAKE_TIMEOUT, respond_inner(io, ours))
        .await
        .map_err(|_| HandshakeError::Timeout)?
}

async fn respond_inner<S>(
    mut io: S,
    ours: &[crate::SecretKey],
) -> Result<(S, Channel, PublicKey), HandshakeError>
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
    let mut buf = [0; 128];
    let mut expected = None;
    // A key that is not meant costs one agreement: the first seal of the message does not open then.
    for key in ours.iter().take(OURS) {
        let mut state = builder(suite, key)
            .and_then(|b| b.prologue(&head[..6]))
            .and_then(snow::Builder::build_responder)
            .map_err(|_| HandshakeError::Garbage)?;
        if matches!(state.read_message(&message[..len], &mut buf), Ok(0)) {
            expected = Some((state, key.public()));
            break;
        }
    }
    let Some((mut state, proved)) = expected else {
        alert(&mut io, Alert::Key).await;
        return Err(HandshakeError::WrongKey);
    };
    let len = state.write_message(&[], &mut buf[2..]).map_err(|_| HandshakeError::Garbage)?;
    buf[..2].copy_from_slice(&(len as u16).to_be_bytes());
    io.write_all(&buf[..2 + len]).await?;
    io.flush().await?;
    Ok((io, Channel::new(state)?, proved))
}

/// Says in the clear why there will be no handshake. Best effort: the peer may be gone.
pub async fn alert<S: tokio::io::AsyncWrite + Unpin>(io: &mut S, alert: Alert) {
    if io.write_all(&[0, 0, alert as u8]).await.is_ok() && io.flush().await.is_ok() {
        drop(io.shutdown().await);
    }
}

#[cfg(test)]
mod tests;
