//! The flight recorder: who used the processor, the memory and the disks, at every sample, in a bounded ring
//! on disk. The agent runs it; this crate knows nothing of agents, links or messages.
//!
//! - `Collector` looks at `/proc` and the cgroups (`collector`, `process`, `place`, `cgroup`), within a budget of
//!   processor time that it keeps itself (`budget`), and makes a `Sample` of who was on top (`tops`).
//! - `Ring` keeps samples on disk (`ring`): the newest one by one, older ones in compressed blocks (`block`) of
//!   segments, the oldest of which is dropped when the bound is reached.
//! - `Ring::at` and `Ring::range` read them (`read`).
//! - `Recorder` is a thread that does both (`recorder`).
//!
//! What is on disk is told by checksums; what cannot be read is passed over and counted, never guessed.

mod block;
mod budget;
mod cgroup;
mod codec;
mod collector;
mod kernel;
mod names;
mod place;
mod process;
mod read;
mod recorder;
mod ring;
mod sample;
mod tops;

pub use budget::SHARE_PPM;
pub use collector::{Collector, Figures, Roots};
pub use read::{Peak, Step};
pub use recorder::{Clock, Recorder, Settings, State, Titles};
pub use ring::{Health, Ring, Span};
pub use sample::{Group, Host, Kind, Process, Sample};

use std::path::{Path, PathBuf};

/// A file or folder of the recorder that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct Error {
    /// What was attempted.
    pub doing: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// What went wrong.
    pub source: std::io::Error,
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }

    /// Whether room on the disk would help.
    pub fn is_no_room(&self) -> bool {
        no_room(&self.source)
    }
}

fn no_room(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(e.kind(), StorageFull | QuotaExceeded)
}
