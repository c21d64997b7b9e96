//! The gateways that this host was given, in one file.

use cmdr_link::files;
use cmdr_protocol::gateways::Given;
use std::io;
use std::path::Path;

/// The largest file that is read.
const LARGEST: u64 = 64 << 20;

/// What was kept; nothing where that cannot be read, and the hub gives it again.
pub(super) fn read(file: &Path) -> Vec<Given> {
    let unread = |why: &dyn std::fmt::Display| {
        tracing::error!(
            "gateways of before are not known any more: {}: {why}; the hub gives them again",
            file.display()
        );
        Vec::new()
    };
    match files::read_private(file, LARGEST) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|e| unread(&e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => unread(&e),
    }
}

/// Keeps them, on disk when this returns.
pub(super) async fn write(file: &Path, gateways: &[Given]) -> io::Result<()> {
    let (file, bytes) = (file.to_owned(), serde_json::to_vec(gateways)?);
    let write = move || {
        if let Some(dir) = file.parent() {
            files::private_dir(dir)?;
        }
        files::write_private(&file, &bytes)
    };
    tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
}
