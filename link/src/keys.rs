//! Key pairs, their files, and the ids made from them.

use crate::files;
use crate::seal::{self, SealError, Sealed};
use cmdr_protocol::{HostId, KeyId, PublicKey};
use data_encoding::BASE32_NOPAD;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// An X25519 key pair. The secret half is wiped when dropped and never printed.
#[derive(Clone)]
pub struct SecretKey {
    secret: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.public)
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing failed.
    #[error("key file {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is no key.
    #[error("key file {0} does not hold a key: it should be one line of 52 letters and digits")]
    Content(PathBuf),
    /// The key is sealed, and who asks cannot open it.
    #[error("the key in {0} is sealed; only cmdr and cmdr-tui open such a key")]
    Sealed(PathBuf),
    /// The key is sealed and does not open.
    #[error("opening the key {path}: {source}")]
    Seal {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: SealError,
    },
    /// The system gave no random numbers.
    #[error("making a key: the system has no random numbers: {0}")]
    Random(getrandom::Error),
}

impl SecretKey {
    /// A new key pair.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(KeyError::Random)?;
        Ok(Self::from_secret(secret))
    }

    pub(crate) fn from_secret(secret: Zeroizing<[u8; 32]>) -> Self {
        let public = PublicKey(crate::noise::public_of(&secret));
        Self { secret, public }
    }

    /// The half that others may know.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// A seal over `data` that only the holder of this key can make, for the purpose `context` names.
    pub fn keyed_hash(&self, context: &str, data: &[u8]) -> [u8; 32] {
        let key = Zeroizing::new(blake3::derive_key(context, self.secret.as_ref()));
        *blake3::keyed_hash(&key, data).as_bytes()
    }

    /// Another secret, made from this one for the purpose `context` names.
    pub(crate) fn derived(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.secret.as_ref()))
    }

    pub(crate) fn content(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        files::read_private(path, seal::LARGEST)
            .map(Zeroizing::new)
            .map_err(|source| KeyError::File { path: path.to_owned(), source })
    }

    /// Reads the sealed key in `path`; None when the key there is not sealed.
    pub fn load_sealed(path: &Path) -> Result<Option<Sealed>, KeyError> {
        Sealed::read(&Self::content(path)?)
            .map_err(|source| KeyError::Seal { path: path.to_owned(), source })
    }

    /// Reads the key in `path`, which is not sealed. Refuses a file that others may read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let content = Self::content(path)?;
        if content.starts_with(b"#") {
            return Err(KeyError::Sealed(path.to_owned()));
        }
        Self::from_text(&content).ok_or_else(|| KeyError::Content(path.to_owned()))
    }

    /// The line that a key file holds.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(BASE32_NOPAD.encode(self.secret.as_ref()));
        Zeroizing::new(encoded.to_ascii_lowercase())
    }

    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let text = Zeroizing::new(text.trim_ascii().to_ascii_uppercase());
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(&text).ok()?);
        let secret: [u8; 32] = bytes.as_slice().try_into().ok()?;
        Some(Self::from_secret(Zeroizing::new(secret)))
    }

    /// Writes the key to `path`, for its owner alone.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let mut line = self.to_text();
        line.push('\n');
        files::write_private(path, line.as_bytes())
            .map_err(|source| KeyError::File { path: path.to_owned(), source })
    }

    /// Reads the key in `path`, or makes and saves one when there is no such file.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Self::load(path);
        }
        let key = Self::generate()?;
        key.save(path)?;
        Ok(key)
    }
}

fn hash(context: &str, key: &PublicKey) -> [u8; 16] {
    let mut out = [0; 16];
    blake3::Hasher::new_derive_key(context).update(&key.0).finalize_xof().fill(&mut out);
    out
}

/// The host whose agent has this key.
pub fn host_id(key: &PublicKey) -> HostId {
    HostId(hash("cmdr host id v1", key))
}

/// The id of an operator's device that has this key.
pub fn key_id(key: &PublicKey) -> KeyId {
    KeyId(hash("cmdr key id v1", key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_a_wrong_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SecretKey::load_or_create(&path).unwrap();
        assert_eq!(SecretKey::load_or_create(&path).unwrap().public(), key.public());
        files::write_private(&path, b"not a key\n").unwrap();
        assert!(matches!(SecretKey::load_or_create(&path), Err(KeyError::Content(_))));
    }

    #[test]
    fn printing_a_key_shows_only_its_public_half() {
        let key = SecretKey::generate().unwrap();
        let secret = BASE32_NOPAD.encode(key.secret()).to_ascii_lowercase();
        assert!(!format!("{key:?}").contains(&secret));
    }

    #[test]
    fn host_and_device_ids_of_one_key_differ() {
        let key = SecretKey::generate().unwrap().public();
        assert_ne!(host_id(&key).0, key_id(&key).0);
    }
}
