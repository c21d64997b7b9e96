//! What the agent is about to do to a file, on disk before it does it: so that one that is ended at any moment
//! knows at its next start what is half done and what has to be undone. And how armed edits ended.

use cmdr_link::files::{private_dir, read_private, write_private};
use cmdr_protocol::CallError;
use cmdr_protocol::edits::{ArmedEnd, Ended};
use cmdr_protocol::files::FilePath;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Ends that are remembered: more than there can be while the hub, which tells them on, is away.
const ENDS: usize = 128;
/// The largest note that is read.
const LARGEST: u64 = 256 * 1024;
/// The same of all ends together.
const ALL_ENDS: u64 = 4 << 20;

/// A change of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) path: FilePath,
    pub(super) by: String,
    pub(super) note: String,
    pub(super) at_ms: u64,
    /// Undone unless confirmed within so many seconds; absent for one that simply stays.
    pub(super) confirm_s: Option<u32>,
    /// The version that comes back; 0 when there was no file.
    pub(super) before: u64,
    /// The hash of the text that was there; absent when there was no file.
    pub(super) before_hash: Option<String>,
    /// The version that it becomes.
    pub(super) after: u64,
    pub(super) after_hash: String,
    /// It is being undone, and this is how it ends.
    pub(super) undoing: Option<ArmedEnd>,
}

impl Intent {
    /// The file that is written beside its place.
    pub(super) fn part(&self) -> String {
        format!(".cmdr-{}.edit", self.id)
    }

    /// What is left of the time to confirm it when the agent comes back, by the wall clock: never more than there
    /// was altogether, whatever somebody did to the clock.
    pub(super) fn left_ms(&self, now_ms: u64) -> u64 {
        let whole = u64::from(self.confirm_s.unwrap_or(0)) * 1000;
        self.at_ms.saturating_add(whole).saturating_sub(now_ms).min(whole)
    }
}

/// The notes in a folder.
#[derive(Debug)]
pub(super) struct Intents {
    dir: PathBuf,
}

fn wrong(doing: &str, error: &io::Error) -> CallError {
    let what = cmdr_link::files::reason(error);
    CallError::failed(format!("{doing} the agent's note of an edit: {what}; nothing was changed"))
}

impl Intents {
    pub(super) const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// On disk when this returns.
    pub(super) fn write(&self, intent: &Intent) -> Result<(), CallError> {
        private_dir(&self.dir).map_err(|e| wrong("making a folder for", &e))?;
        let text = serde_json::to_vec(intent).map_err(|e| CallError::failed(e.to_string()))?;
        write_private(&self.dir.join(&intent.id), &text).map_err(|e| wrong("writing", &e))
    }

    /// Gone from the disk when this returns.
    pub(super) fn forget(&self, id: &str) -> Result<(), CallError> {
        match std::fs::remove_file(self.dir.join(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(wrong("taking away", &e)),
            _ => File::open(&self.dir)
                .and_then(|dir| dir.sync_all())
                .map_err(|e| wrong("taking away", &e)),
        }
    }

    /// All that are there.
    pub(super) fn all(&self) -> Vec<Intent> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().map_while(Result::ok);
        let named = entries.filter(|entry| entry.file_name().len() == 32);
        let read = named.filter_map(|entry| {
            let bytes = read_private(&entry.path(), LARGEST).ok()?;
            serde_json::from_slice(&bytes)
                .inspect_err(|e| tracing::error!("a note of an edit cannot be read: {e}"))
                .ok()
        });
        read.collect()
    }

    /// How those ended that are over, newest first.
    pub(super) fn ends(&self) -> VecDeque<Ended> {
        let read = read_private(&self.dir.join("ended"), ALL_ENDS);
        read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Remembers how one ended.
    pub(super) fn end(&self, ends: &mut VecDeque<Ended>, ended: Ended) {
        ends.retain(|other| other.id.is_empty() || other.id != ended.id);
        ends.push_front(ended);
        ends.truncate(ENDS);
        let written = serde_json::to_vec(&*ends)
            .map_err(io::Error::other)
            .and_then(|text| write_private(&self.dir.join("ended"), &text));
        if let Err(e) = written {
            // It is told to those who watch now.
            tracing::warn!("how an edit ended could not be written: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_note_is_found_again_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let intents = Intents::new(dir.path().join("armed"));
        assert!(intents.all().is_empty());
        let intent = Intent { id: "0".repeat(32), confirm_s: Some(60), ..Intent::default() };
        intents.write(&intent).unwrap();
        let mut ends = intents.ends();
        for n in 0..200 {
            intents.end(&mut ends, Ended { at_ms: n, ..Ended::default() });
        }
        assert_eq!(intents.all(), [intent]);
        intents.forget(&"0".repeat(32)).unwrap();
        assert!(intents.all().is_empty());
        assert_eq!((intents.ends().len(), intents.ends()[0].at_ms), (ENDS, 199));
    }

    proptest! {
        #[test]
        fn whatever_the_clock_says_one_waits_no_longer_than_was_asked_for(
            at_ms in any::<u64>(), now_ms in any::<u64>(), confirm_s in any::<u32>(),
        ) {
            let intent = Intent { at_ms, confirm_s: Some(confirm_s), ..Intent::default() };
            let whole = u64::from(confirm_s) * 1000;
            prop_assert!(intent.left_ms(now_ms) <= whole);
            if now_ms >= at_ms.saturating_add(whole) {
                prop_assert_eq!(intent.left_ms(now_ms), 0);
            }
        }
    }
}
