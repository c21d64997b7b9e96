//! What an older engine saves, kept on the disk until its list at the end has told which files are which: otherwise the
//! engine has to put the whole image together once more. Used by what sends images ([`super::carrying`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::spawn_blocking;

/// So that two at once have names of their own, for the moment that they have one.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// A file without a name: it is gone with the last who has it open, also when the agent is killed.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
}

impl Spool {
    /// One in `dir`, when there is room for twice `size` bytes; nothing when there is not, or no file can be made.
    pub(super) fn new(dir: &Path, size: u64) -> Option<Self> {
        let room = rustix::fs::statvfs(dir).ok()?;
        if room.f_bavail.saturating_mul(room.f_frsize) < size.saturating_mul(2) {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".image-{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).ok()?;
        fs::remove_file(&path).ok()?;
        Some(Self { file: Arc::new(file) })
    }

    /// Keeps what comes.
    pub(super) async fn keep(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        spawn_blocking(move || (&*file).write_all(&bytes)).await?
    }

    /// Goes back to its beginning, to be read.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        (&*self.file).seek(SeekFrom::Start(0)).map(drop)
    }

    /// What comes next; nothing at its end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut bytes = Vec::with_capacity(PIECE);
            (&*file).take(PIECE as u64).read_to_end(&mut bytes)?;
            io::Result::Ok((!bytes.is_empty()).then_some(bytes))
        };
        spawn_blocking(read).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_comes_back_and_nothing_stays_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path(), 10).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let data: Vec<u8> = (0..700_000u32).map(|n| n.to_le_bytes()[0]).collect();
        for part in data.chunks(1000) {
            spool.keep(part.to_vec()).await.unwrap();
        }
        spool.rewind().unwrap();
        let mut back = Vec::new();
        while let Some(bytes) = spool.next().await.unwrap() {
            back.extend(bytes);
        }
        assert_eq!(back, data);
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Spool::new(dir.path(), u64::MAX / 4).is_none());
        assert!(Spool::new(&dir.path().join("none"), 1).is_none());
    }
}
