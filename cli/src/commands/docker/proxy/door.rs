//! The socket that programs connect to: ours alone, and gone when we are.

use crate::exit::Failure;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// A socket.
#[derive(Debug)]
pub(super) struct Door {
    path: PathBuf,
    listener: UnixListener,
}

impl Door {
    /// Makes it. One that nobody listens at any more is replaced, anything else is left alone.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |e: io::Error| {
            Failure::failed(format!("the socket {} cannot be made: {e}", path.display()))
        };
        if let Ok(meta) = path.symlink_metadata() {
            let taken = |what: &str| {
                let what = format!("{} {what}", path.display());
                Err(Failure::usage(what).hint("give another path with --socket"))
            };
            if !meta.file_type().is_socket() {
                return taken("is there already, and is no socket");
            }
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => return taken("is there already, and somebody listens at it"),
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(failed)?;
                }
                Err(e) => return Err(failed(e)),
            }
        }
        let full = std::path::absolute(path).map_err(failed)?;
        // From its first moment on it is for nobody else.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(&full);
        rustix::process::umask(before);
        let listener = listener.map_err(failed)?;
        std::fs::set_permissions(&full, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { path: full, listener })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next program of this user; none after a fault that passes.
    pub(super) async fn accept(&self) -> Option<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await.ok()?;
            let own = rustix::process::geteuid().as_raw();
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0) {
                return Some(stream);
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // When it is gone already, that is as well.
        std::fs::remove_file(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_nobody_listens_at_is_replaced_and_all_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.sock");
        let door = Door::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Door::open(&path).unwrap_err().message.contains("listens"));
        drop(door);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(Door::open(&path).unwrap());
        std::fs::write(&path, "x").unwrap();
        assert!(Door::open(&path).unwrap_err().message.contains("no socket"));
        assert!(path.exists());
    }
}
