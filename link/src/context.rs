//! What a program keeps to find its hub again: the address, the hub's key and its own.

use crate::link::Target;
use crate::pins::Pins;
use crate::{SecretKey, files, keys, settings, unlock};
use cmdr_protocol::{HostId, PublicKey};
use std::path::{Path, PathBuf};

/// A hub and our key for it, kept in a folder: `hub.toml` and `key`.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where the hub is and which key it must prove.
    pub target: Target,
    /// Our key.
    pub key: SecretKey,
    /// The folder, where the hub's next key is kept too; none when it came from elsewhere.
    pub dir: Option<PathBuf>,
}

/// Why there is no usable context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// This machine has not joined a hub yet.
    #[error("no hub is known here ({0} is missing)")]
    None(PathBuf),
    /// A file is there but cannot be used.
    #[error("{path}: {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// What is in the file is wrong.
    #[error(transparent)]
    Content(#[from] settings::SettingsError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] keys::KeyError),
}

/// The folder of the operator's programs.
pub fn client_dir() -> PathBuf {
    files::home().join("client")
}

/// The file in `dir` that holds our key.
pub fn key_file(dir: &Path) -> PathBuf {
    dir.join("key")
}

/// The file in `dir` that holds the key which shall follow our key.
pub fn next_key_file(dir: &Path) -> PathBuf {
    dir.join("key.next")
}

fn host_id_file(dir: &Path) -> PathBuf {
    dir.join("host.id")
}

/// The id of the host whose agent has this folder and this key. It stays when the key is replaced.
pub fn host_id(dir: &Path, key: &SecretKey) -> HostId {
    let kept = files::read_private(&host_id_file(dir), 64).ok();
    kept.and_then(|text| String::from_utf8(text).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_else(|| keys::host_id(&key.public()))
}

/// Keeps the id that the hub has told, where the key does not tell it.
pub fn keep_host_id(dir: &Path, key: &SecretKey, id: Option<HostId>) -> std::io::Result<()> {
    let path = host_id_file(dir);
    match id.filter(|id| *id != keys::host_id(&key.public())) {
        Some(id) if host_id(dir, key) == id => Ok(()),
        Some(id) => files::write_private(&path, format!("{id}\n").as_bytes()),
        None => match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        },
    }
}

impl Context {
    /// Reads the context in `dir`, whose key is not sealed.
    pub fn load(dir: &Path) -> Result<Self, ContextError> {
        let target = Self::load_target(dir)?;
        let key = SecretKey::load(&key_file(dir))?;
        Ok(Self { target, key, dir: Some(dir.to_owned()) })
    }

    /// Reads the context in `dir` and opens its key, asking somebody for a passphrase if need be.
    pub fn open(dir: &Path) -> Result<Self, ContextError> {
        let target = Self::load_target(dir)?;
        let key = unlock::key(&key_file(dir))?;
        Ok(Self { target, key, dir: Some(dir.to_owned()) })
    }

    /// Reads which hub the context in `dir` is for.
    pub fn load_target(dir: &Path) -> Result<Target, ContextError> {
        let Pins { address, key: hub, .. } = Pins::load(dir)?;
        Ok(Target { address, hub })
    }

    /// Writes the hub's part to `dir`; the key is there already.
    pub fn save_target(dir: &Path, address: &str, hub: &PublicKey) -> Result<(), ContextError> {
        Pins { address: address.to_owned(), key: *hub, next: None }.save(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named_with_its_line_and_a_later_releases_is_read() {
        let dir = tempfile::tempdir().unwrap();
        SecretKey::generate().unwrap().save(&key_file(dir.path())).unwrap();
        Context::save_target(dir.path(), "hub:7700", &PublicKey([1; 32])).unwrap();
        let path = dir.path().join("hub.toml");
        let right = std::fs::read_to_string(&path).unwrap();
        let load = |text: &str| {
            files::write_private(&path, text.as_bytes()).unwrap();
            Context::load(dir.path()).map(|context| context.target.address)
        };
        assert_eq!(load(&format!("{right}later = true\n")).unwrap(), "hub:7700");
        let name = path.display();
        for (wrong, what) in [
            ("address = \"hub:7700\"\nkey = \n", format!("{name}:2: ")),
            ("address = \"hub:7700\"\n", format!("{name}:1: the key 'key' is missing")),
            ("address = \"hub:7700\"\nkey = \"abc\"\n", format!("{name}:2: ")),
        ] {
            let error = load(wrong).unwrap_err().to_string();
            assert!(error.starts_with(&what), "{error}");
        }
    }
}
