//! What the flight recorder keeps: `[recorder]` of the policy file.

use serde::Deserialize;
use std::num::NonZeroU64;
use std::time::Duration;

/// What it keeps on disk when the file says nothing, in MB.
const KEEP_MB: u64 = 100;
/// The longest from one sample to the next.
const LONGEST: Duration = Duration::from_mins(1);

/// What the flight recorder keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorder {
    /// Whether there is one.
    pub on: bool,
    /// From one sample to the next.
    pub interval: Duration,
    /// Bytes on disk at most.
    pub keep: u64,
    /// Whether command lines are kept.
    pub commands: bool,
}

impl Default for Recorder {
    fn default() -> Self {
        WrittenRecorder::default().into()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenRecorder {
    on: bool,
    interval_s: Option<NonZeroU64>,
    keep_mb: Option<NonZeroU64>,
    commands: bool,
}

impl Default for WrittenRecorder {
    fn default() -> Self {
        Self { on: true, interval_s: None, keep_mb: None, commands: true }
    }
}

impl From<WrittenRecorder> for Recorder {
    fn from(written: WrittenRecorder) -> Self {
        let seconds = written.interval_s.map_or(1, NonZeroU64::get);
        let megabytes = written.keep_mb.map_or(KEEP_MB, NonZeroU64::get);
        Self {
            on: written.on,
            interval: Duration::from_secs(seconds).min(LONGEST),
            keep: megabytes.saturating_mul(1_000_000),
            commands: written.commands,
        }
    }
}
