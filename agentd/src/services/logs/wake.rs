//! Wakes a reader when its file may have news. It only ever says "look": what is new the reader finds out
//! itself, so a missed or needless wake-up costs time and nothing else.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

/// Looked at anyway, because a network's file system tells nothing of what others write.
const ANYWAY: Duration = Duration::from_secs(2);
/// The same where the kernel tells nothing at all.
const BLIND: Duration = Duration::from_millis(250);
/// What is written within so long is read as one.
const TOGETHER: Duration = Duration::from_millis(20);

/// A watch over a file and its name.
#[derive(Debug)]
pub(super) struct Wake {
    path: PathBuf,
    inotify: Option<AsyncFd<OwnedFd>>,
    file: Option<i32>,
}

impl Wake {
    /// Over this path. Without the kernel's help (too many watches) it looks by the clock.
    pub(super) fn new(path: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        #[expect(deprecated, reason = "the other way is unsafe, and this descriptor is ours alone")]
        let inotify = inotify.ok().and_then(|fd| AsyncFd::new(fd).ok());
        let mut wake = Self { path: path.to_owned(), inotify, file: None };
        let came = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let dir = path.parent().unwrap_or(Path::new("/"));
        let watched = wake
            .inotify
            .as_ref()
            .is_some_and(|fd| inotify::add_watch(fd.get_ref(), dir, came).is_ok());
        if !watched {
            wake.inotify = None;
        }
        wake.file_changed();
        wake
    }

    /// The name leads to another file now.
    pub(super) fn file_changed(&mut self) {
        let Some(fd) = &self.inotify else { return };
        if let Some(old) = self.file.take() {
            // It is gone with its file, most likely.
            inotify::remove_watch(fd.get_ref(), old).ok();
        }
        let written = WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        self.file = inotify::add_watch(fd.get_ref(), &self.path, written).ok();
    }

    /// Waits until there may be news.
    pub(super) async fn changed(&self) {
        let Some(fd) = self.inotify.as_ref().filter(|_| self.file.is_some()) else {
            return sleep(BLIND).await;
        };
        if let Ok(Ok(mut ready)) = timeout(ANYWAY, fd.readable()).await {
            let mut buffer = [0; 4096];
            while rustix::io::read(fd.get_ref(), &mut buffer).is_ok_and(|n| n > 0) {}
            ready.clear_ready();
            sleep(TOGETHER).await;
        }
    }
}
