//! A device's key in a file that is worth nothing alone: sealed by a passphrase, or by a key that
//! ssh-agent holds. Written by `cmdr login` and `cmdr key`; opened by [`crate::unlock`].
//!
//! The file is text and has one spelling: what reads back differently is damaged. All of it is under
//! the seal, the sealed secret as well as how it was sealed.

use crate::keys::SecretKey;
use crate::{files, ssh_agent};
use argon2::{Algorithm, Argon2, Params, Version};
use cmdr_protocol::PublicKey;
use data_encoding::BASE32_NOPAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// Bytes of a key file, sealed or not.
pub(crate) const LARGEST: u64 = 4096;
const HEAD: &str = "# A device's key, sealed. Opened by cmdr and cmdr-tui.\n";
const VERSION: u32 = 1;
/// What a new seal costs: 64 MiB and about a third of a second.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a file may ask for.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;
const SALT: usize = 16;
const CHALLENGE: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Before what an agent signs: it can be no part of a login over SSH, which begins with a short length.
const SIGNED: &[u8] = b"cmdr device key sealed by ssh-agent v1\0";
const AGENT_CONTEXT: &str = "cmdr device key sealed by ssh-agent v1";

/// A sealed key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    cmdr_sealed_key: u32,
    /// The half that others may know.
    pub public: PublicKey,
    secret: String,
    /// What opens it.
    pub by: By,
}

/// What opens a sealed key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum By {
    /// A passphrase, through Argon2id.
    Passphrase {
        /// What trying one costs.
        memory_kib: u32,
        /// How many times over.
        passes: u32,
        /// Makes equal passphrases differ.
        salt: String,
    },
    /// A key that ssh-agent holds, through its signature of the challenge.
    SshAgent {
        /// Which key.
        fingerprint: String,
        /// What it signs.
        challenge: String,
    },
}

/// Why a key cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It was another passphrase.
    #[error("the passphrase is wrong")]
    Wrong,
    /// The file is no sealed key, or not as it was written.
    #[error("it is damaged or was changed")]
    Damaged,
    /// A later release wrote it.
    #[error("a later release sealed it; use that one")]
    Later,
    /// The agent cannot help.
    #[error(transparent)]
    Agent(#[from] ssh_agent::AgentError),
    /// The system cannot.
    #[error("{0}")]
    System(String),
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| SealError::System(format!("the system has no random numbers: {e}")))?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// One spelling only: small letters.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let small = !text.bytes().any(|b| b.is_ascii_uppercase());
    BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok().filter(|_| small)
}

impl By {
    fn passphrase(passphrase: &str) -> Result<(Self, Zeroizing<[u8; 32]>), SealError> {
        let by = Self::Passphrase {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: text(&random::<SALT>()?),
        };
        let key = by.stretch(passphrase)?;
        Ok((by, key))
    }

    fn stretch(&self, passphrase: &str) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let Self::Passphrase { memory_kib, passes, salt } = self else {
            return Err(SealError::Damaged);
        };
        if *memory_kib > MOST_MEMORY_KIB || *passes > MOST_PASSES {
            return Err(SealError::Damaged);
        }
        let salt = bytes(salt).ok_or(SealError::Damaged)?;
        let params =
            Params::new(*memory_kib, *passes, 1, Some(32)).map_err(|_| SealError::Damaged)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, key.as_mut())
            .map_err(|_| SealError::Damaged)?;
        Ok(key)
    }

    fn sign(&self, agent: &ssh_agent::Agent) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let Self::SshAgent { fingerprint, challenge } = self else {
            return Err(SealError::Damaged);
        };
        let challenge = bytes(challenge).ok_or(SealError::Damaged)?;
        let signature = agent.sign(fingerprint, &[SIGNED, &challenge].concat())?;
        Ok(Zeroizing::new(blake3::derive_key(AGENT_CONTEXT, &signature)))
    }
}

impl Sealed {
    /// Seals a key by a passphrase.
    pub fn by_passphrase(key: &SecretKey, passphrase: &str) -> Result<Self, SealError> {
        let (by, with) = By::passphrase(passphrase)?;
        Self::seal(key, by, &with)
    }

    /// Seals a key by the one that the agent holds under this fingerprint. It signs twice: a seal whose
    /// signature comes out differently each time would never open again.
    pub fn by_agent(
        key: &SecretKey,
        agent: &ssh_agent::Agent,
        fingerprint: &str,
    ) -> Result<Self, SealError> {
        let challenge = text(&random::<CHALLENGE>()?);
        let by = By::SshAgent { fingerprint: fingerprint.to_owned(), challenge };
        let with = by.sign(agent)?;
        if *by.sign(agent)? != *with {
            return Err(ssh_agent::AgentError::Fickle(fingerprint.to_owned()).into());
        }
        Self::seal(key, by, &with)
    }

    fn seal(key: &SecretKey, by: By, with: &[u8; 32]) -> Result<Self, SealError> {
        let secret = String::new();
        let mut new = Self { cmdr_sealed_key: VERSION, public: key.public(), secret, by };
        let nonce = random::<NONCE>()?;
        let mut secret = Zeroizing::new(Vec::with_capacity(32 + TAG));
        secret.extend_from_slice(key.secret());
        cipher(with)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(new.head()?),
                &mut *secret,
            )
            .map_err(|_| SealError::System("sealing failed".to_owned()))?;
        new.secret = text(&[&nonce[..], &secret[..]].concat());
        Ok(new)
    }

    /// Everything but what is sealed.
    fn head(&self) -> Result<String, SealError> {
        Self { secret: String::new(), ..self.clone() }.written()
    }

    fn written(&self) -> Result<String, SealError> {
        toml::to_string(self)
            .map(|text| format!("{HEAD}{text}"))
            .map_err(|e| SealError::System(format!("writing a sealed key: {e}")))
    }

    /// Reads a file's content; None when it is no sealed key at all.
    pub(crate) fn read(content: &[u8]) -> Result<Option<Self>, SealError> {
        let Some(content) = std::str::from_utf8(content).ok().filter(|c| c.starts_with('#')) else {
            return Ok(None);
        };
        let sealed: Self = toml::from_str(content).map_err(|_| match version(content) {
            Some(VERSION) | None => SealError::Damaged,
            Some(_) => SealError::Later,
        })?;
        if sealed.cmdr_sealed_key != VERSION {
            return Err(SealError::Later);
        }
        if sealed.written()? == content { Ok(Some(sealed)) } else { Err(SealError::Damaged) }
    }

    /// Writes it to `path`, for its owner alone, in place of what is there.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = self.written().map_err(|e| io::Error::other(e.to_string()))?;
        files::write_private(path, text.as_bytes())
    }

    /// Opens it with a passphrase.
    pub fn open_by_passphrase(&self, passphrase: &str) -> Result<SecretKey, SealError> {
        self.open(&*self.by.stretch(passphrase)?, SealError::Wrong)
    }

    /// Opens it through the agent.
    pub fn open_by_agent(&self, agent: &ssh_agent::Agent) -> Result<SecretKey, SealError> {
        self.open(&*self.by.sign(agent)?, SealError::Damaged)
    }

    fn open(&self, with: &[u8; 32], wrong: SealError) -> Result<SecretKey, SealError> {
        let mut sealed = Zeroizing::new(bytes(&self.secret).ok_or(SealError::Damaged)?);
        if sealed.len() != NONCE + 32 + TAG {
            return Err(SealError::Damaged);
        }
        let (nonce, secret) = sealed.split_at_mut(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let opened = cipher(with)?.open_in_place(nonce, Aad::from(self.head()?), secret);
        let Ok(secret) = opened else { return Err(wrong) };
        let mut copy = Zeroizing::new([0; 32]);
        copy.copy_from_slice(secret);
        let key = SecretKey::from_secret(copy);
        if key.public() == self.public { Ok(key) } else { Err(SealError::Damaged) }
    }
}

fn version(content: &str) -> Option<u32> {
    let line = content.lines().find_map(|line| line.strip_prefix("cmdr_sealed_key = "))?;
    line.parse().ok()
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .map(LessSafeKey::new)
        .map_err(|_| SealError::System("the cipher cannot be used".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As cheap as it gets: tests open many.
    fn cheap(key: &SecretKey, passphrase: &str) -> Sealed {
        let by = By::Passphrase { memory_kib: 8, passes: 1, salt: text(&[7; SALT]) };
        let with = by.stretch(passphrase).unwrap();
        Sealed::seal(key, by, &with).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_and_no_other() {
        let key = SecretKey::generate().unwrap();
        let sealed = Sealed::by_passphrase(&key, "correct horse").unwrap();
        let written = sealed.written().unwrap();
        let read = Sealed::read(written.as_bytes()).unwrap().unwrap();
        assert_eq!(read, sealed);
        assert_eq!(read.open_by_passphrase("correct horse").unwrap().public(), key.public());
        assert!(matches!(read.open_by_passphrase("correct hors"), Err(SealError::Wrong)));
        assert!(matches!(read.open_by_passphrase(""), Err(SealError::Wrong)));
        assert!(!written.contains(&text(key.secret())));
    }

    #[test]
    fn one_changed_byte_is_refused_wherever_it_is() {
        let key = SecretKey::generate().unwrap();
        let written = cheap(&key, "p").written().unwrap().into_bytes();
        for at in 0..written.len() {
            for bit in [1, 0x20] {
                let mut changed = written.clone();
                changed[at] ^= bit;
                let opened = match Sealed::read(&changed) {
                    Ok(Some(sealed)) => sealed.open_by_passphrase("p").is_ok(),
                    _ => false,
                };
                assert!(!opened, "byte {at}: {}", String::from_utf8_lossy(&changed));
            }
        }
    }

    #[test]
    fn a_file_cannot_ask_for_more_memory_than_there_should_be() {
        let by = |memory_kib, passes| By::Passphrase { memory_kib, passes, salt: text(&[7; SALT]) };
        for by in [by(u32::MAX, 1), by(8, u32::MAX), by(0, 0)] {
            assert!(matches!(by.stretch("p"), Err(SealError::Damaged)));
        }
    }

    #[test]
    fn a_later_releases_file_is_told_from_a_damaged_one() {
        let later = format!("{HEAD}cmdr_sealed_key = 2\nother = 1\n");
        assert!(matches!(Sealed::read(later.as_bytes()), Err(SealError::Later)));
        assert!(matches!(Sealed::read(HEAD.as_bytes()), Err(SealError::Damaged)));
        assert!(matches!(Sealed::read(b"abc\n"), Ok(None)));
    }
}
