//! A small client of ssh-agent's protocol: which keys it holds, and a signature by one. Whatever the
//! agent answers is bounded in size and time.

use data_encoding::BASE64_NOPAD;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of an answer, as OpenSSH has it.
const LARGEST: usize = 256 * 1024;
/// Keys of an agent.
const MOST_KEYS: usize = 1000;
/// An agent may ask somebody before it signs.
const PATIENCE: Duration = Duration::from_mins(1);
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;
/// RSA with SHA-512.
const RSA_SHA2_512: u32 = 4;

/// Where an agent is.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
    patience: Duration,
}

/// A key that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentKey {
    /// `SHA256:` and the rest, as `ssh-add -l` shows it.
    pub fingerprint: String,
    /// `ssh-ed25519` and such.
    pub kind: String,
    /// What its owner calls it; may hold anything.
    pub comment: String,
    blob: Vec<u8>,
}

/// Why an agent does not help.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// None is there.
    #[error("no ssh-agent is known here (SSH_AUTH_SOCK is not set); start one, then: ssh-add")]
    None,
    /// It cannot be asked.
    #[error("asking ssh-agent at {socket}: {why}")]
    Gone {
        /// Where.
        socket: PathBuf,
        /// Why not.
        why: String,
    },
    /// It does not hold this key.
    #[error("ssh-agent does not hold the key {0}; add it with: ssh-add FILE")]
    NoKey(String),
    /// It holds no key that can seal, or several.
    #[error("{0}")]
    Choose(String),
    /// It does not sign.
    #[error("ssh-agent refuses to sign with {0}")]
    Refused(String),
    /// Its signatures are random.
    #[error(
        "the key {0} signs differently each time (as ECDSA and security keys do), so nothing could \
         be opened again; use an Ed25519 or RSA key"
    )]
    Fickle(String),
}

impl AgentKey {
    /// The public key, as SSH writes it.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Whether equal data gets equal signatures.
    pub fn is_steady(&self) -> bool {
        matches!(self.kind.as_str(), "ssh-ed25519" | "ssh-rsa")
    }
}

impl Agent {
    /// The agent that `SSH_AUTH_SOCK` names.
    pub fn of_environment() -> Result<Self, AgentError> {
        let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|v| !v.is_empty());
        let socket = socket.map(PathBuf::from).ok_or(AgentError::None)?;
        Ok(Self::at(socket, PATIENCE))
    }

    /// The agent at this socket, which gets so long for an answer.
    pub fn at(socket: PathBuf, patience: Duration) -> Self {
        Self { socket, patience }
    }

    fn gone(&self, why: impl Into<String>) -> AgentError {
        AgentError::Gone { socket: self.socket.clone(), why: why.into() }
    }

    /// All keys.
    pub fn keys(&self) -> Result<Vec<AgentKey>, AgentError> {
        let nonsense = || self.gone("its answer makes no sense");
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        let mut rest = answer.as_slice();
        if byte(&mut rest) != Some(IDENTITIES) {
            return Err(nonsense());
        }
        let count = number(&mut rest).ok_or_else(nonsense)? as usize;
        let mut keys = Vec::new();
        for _ in 0..count.min(MOST_KEYS) {
            let blob = string(&mut rest).ok_or_else(nonsense)?;
            let comment = string(&mut rest).ok_or_else(nonsense)?;
            let kind = string(&mut &*blob).ok_or_else(nonsense)?;
            let digest = ring::digest::digest(&ring::digest::SHA256, blob);
            keys.push(AgentKey {
                fingerprint: format!("SHA256:{}", BASE64_NOPAD.encode(digest.as_ref())),
                kind: String::from_utf8_lossy(kind).into_owned(),
                comment: String::from_utf8_lossy(comment).into_owned(),
                blob: blob.to_vec(),
            });
        }
        Ok(keys)
    }

    /// The key of this fingerprint, or the only one that can seal.
    pub fn choose(&self, fingerprint: Option<&str>) -> Result<AgentKey, AgentError> {
        let keys = self.keys()?;
        if let Some(wanted) = fingerprint {
            let key = keys.into_iter().find(|key| key.fingerprint == wanted);
            let key = key.ok_or_else(|| AgentError::NoKey(wanted.to_owned()))?;
            return if key.is_steady() {
                Ok(key)
            } else {
                Err(AgentError::Fickle(key.fingerprint))
            };
        }
        let (mut steady, others): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(AgentKey::is_steady);
        match (steady.len(), others.first()) {
            (1, _) => Ok(steady.remove(0)),
            (0, Some(other)) => Err(AgentError::Fickle(other.fingerprint.clone())),
            (0, None) => Err(AgentError::Choose(
                "ssh-agent holds no key; add an Ed25519 or RSA one with: ssh-add FILE".to_owned(),
            )),
            (n, _) => {
                let all: Vec<_> = steady.iter().take(10).map(|k| k.fingerprint.as_str()).collect();
                let all = all.join(" ");
                Err(AgentError::Choose(format!(
                    "ssh-agent holds {n} keys that could seal; say which: ssh-agent=FINGERPRINT, one \
                     of {all}"
                )))
            }
        }
    }

    /// The signature of `data` by the key of this fingerprint.
    pub(crate) fn sign(
        &self,
        fingerprint: &str,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AgentError> {
        let key = self.choose(Some(fingerprint))?;
        let flags = if key.kind == "ssh-rsa" { RSA_SHA2_512 } else { 0 };
        self.sign_by(&key, data, flags)
    }

    /// A signature by one of its keys; `flags` choose the hash for RSA.
    pub(crate) fn sign_by(
        &self,
        key: &AgentKey,
        data: &[u8],
        flags: u32,
    ) -> Result<Zeroizing<Vec<u8>>, AgentError> {
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, &key.blob);
        put(&mut request, data);
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request)?;
        let mut rest = answer.as_slice();
        if byte(&mut rest) != Some(SIGNATURE) {
            return Err(AgentError::Refused(key.fingerprint.clone()));
        }
        let signature = string(&mut rest).filter(|s| s.len() >= 32);
        let signature = signature.ok_or_else(|| self.gone("its signature makes no sense"))?;
        Ok(Zeroizing::new(signature.to_vec()))
    }

    fn ask(&self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, AgentError> {
        self.exchange(request).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.gone(format!("no answer within {} s", self.patience.as_secs()))
            }
            io::ErrorKind::UnexpectedEof => self.gone("it hung up"),
            _ => self.gone(crate::files::reason(&e)),
        })
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
        let end = Instant::now() + self.patience;
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_write_timeout(Some(self.patience))?;
        let mut message = Vec::new();
        put(&mut message, request);
        stream.write_all(&message)?;
        let mut length = [0; 4];
        read(&mut stream, &mut length, end)?;
        let length = u32::from_be_bytes(length) as usize;
        if !(1..=LARGEST).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer makes no sense"));
        }
        let mut answer = Zeroizing::new(vec![0; length]);
        read(&mut stream, &mut answer, end)?;
        Ok(answer)
    }
}

/// Fills the buffer before `end`.
fn read(stream: &mut UnixStream, mut buffer: &mut [u8], end: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => buffer = &mut buffer[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Requests are some hundred bytes.
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (first, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*first))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (first, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(first)
}

#[cfg(test)]
mod tests;
