//! What a program keeps to find its hub again: the address, the hub's key and its own.

use crate::link::Target;
use crate::{SecretKey, files, keys};
use cmdr_protocol::PublicKey;
use std::path::{Path, PathBuf};

/// A hub and our key for it, kept in a folder: `hub.toml` and `key`.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where the hub is and which key it must prove.
    pub target: Target,
    /// Our key.
    pub key: SecretKey,
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

fn hub_file(dir: &Path) -> PathBuf {
    dir.join("hub.toml")
}

impl Context {
    /// Reads the context in `dir`.
    pub fn load(dir: &Path) -> Result<Self, ContextError> {
        let path = hub_file(dir);
        let wrong = |what: String| ContextError::File { path: path.clone(), what };
        let content = match files::read_private(&path, 64 * 1024) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(ContextError::None(path));
            }
            Err(e) => return Err(wrong(e.to_string())),
        };
        let text = String::from_utf8(content).map_err(|_| wrong("not UTF-8".to_owned()))?;
        let table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| wrong(e.message().to_owned()))?;
        let field = |name: &str| {
            table
                .get(name)
                .and_then(toml::Value::as_str)
                .ok_or_else(|| wrong(format!("'{name}' is missing")))
        };
        let target = Target {
            address: field("address")?.to_owned(),
            hub: field("key")?.parse().map_err(|e| wrong(format!("'key': {e}")))?,
        };
        let key = SecretKey::load(&key_file(dir))?;
        Ok(Self { target, key })
    }

    /// Writes the hub's part to `dir`; the key is there already.
    pub fn save_target(dir: &Path, address: &str, hub: &PublicKey) -> Result<(), ContextError> {
        let path = hub_file(dir);
        let mut table = toml::Table::new();
        table.insert("address".to_owned(), address.into());
        table.insert("key".to_owned(), hub.to_string().into());
        let text = format!("# The hub of this folder's key. Written when joining.\n{table}");
        files::write_private(&path, text.as_bytes())
            .map_err(|e| ContextError::File { path, what: e.to_string() })
    }
}
