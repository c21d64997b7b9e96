//! The history of figures: an embedded store of time series. The hub keeps in it what its hosts
//! measure; this crate knows nothing of hubs, links or messages.
//!
//! A series is a source (a host) and a name. Values are whole numbers with a scale. Samples come in
//! rows: one source, one time, the values of many series.
//!
//! - `append` puts a row into memory (`head`) and into what the log writes next (`log`).
//! - `tick` writes the log, at most once a second, and does the rest of the work in small steps (`work`): what
//!   is hot becomes a segment (`segment`, `block`), what is old becomes thinner (`ladder`, `thin`).
//! - `query` reads segments and what is hot together (`query`), and makes lines of it (`answer`).
//! - `read_on` tells what has come since one looked last (`follow`).
//!
//! What is on disk is told by checksums; what cannot be read is left out and counted, never guessed.

mod answer;
mod block;
mod codec;
mod follow;
mod head;
mod ladder;
mod log;
mod names;
mod opening;
mod purge;
mod query;
mod rows;
mod segment;
mod store;
mod thin;
mod work;

pub use follow::{Follower, Part, Position, Unread};
pub use ladder::{Ladder, Tier};
pub use names::{Kind, NAME_MAX, Name, NameId, matches};
pub use opening::is_file;
pub use purge::{Purge, Purged};
pub use query::{Aggregate, Answer, Line, Listed, Over, Query};
pub use store::{Appended, Health, Options, Sizes, Store, TierSize};

use std::fs::File;
use std::path::{Path, PathBuf};

/// Who measured: a host's id.
pub type Source = [u8; 16];

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Another process has the store open.
    #[error("the history in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The disk has no room and neither has what waits for it in memory.
    #[error("the history's disk is full: samples are refused until there is room")]
    Full,
    /// A question whose answer would be too large.
    #[error("{what} is more than {most}: ask for a coarser step, less time or fewer series")]
    TooMuch {
        /// What there would be too many of.
        what: String,
        /// How many are answered.
        most: u64,
    },
    /// Something that cannot be meant.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether room on the disk would help.
    pub fn is_no_room(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            Self::Full => true,
            _ => false,
        }
    }
}

/// Makes names in a folder durable: those of files that were made, renamed or removed.
fn sync_folder(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io("syncing the folder", dir))
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("removing", path)(e)),
        _ => Ok(()),
    }
}
