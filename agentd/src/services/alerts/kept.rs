//! What is kept over restarts of the agent, in one file: the rules, how their alerts stand, what the hub has not heard of.

use cmdr_link::files;
use cmdr_protocol::alerts::away::Seen;
use cmdr_rules::alerts::Write;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

/// What happened that waits for the hub, at most: the oldest is forgotten, and counted.
const SEEN: usize = 1000;
/// The largest file that is read.
const LARGEST: u64 = 16 << 20;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    pub(super) rules: Vec<String>,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) writes: Vec<Write>,
    pub(super) seen: VecDeque<Seen>,
    /// The number of what happened last.
    pub(super) last: u64,
    pub(super) lost: u64,
}

impl Kept {
    /// The number of what happens next.
    pub(super) const fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn push(&mut self, seen: Seen) {
        if self.seen.len() >= SEEN {
            self.seen.pop_front();
            self.lost += 1;
        }
        self.seen.push_back(seen);
    }

    /// The hub has all up to this number; whether that is news.
    pub(super) fn heard(&mut self, number: u64) -> bool {
        let before = (self.seen.len(), self.lost);
        self.seen.retain(|seen| seen.number > number);
        if number > 0 && self.seen.is_empty() {
            self.lost = 0;
        }
        before != (self.seen.len(), self.lost)
    }
}

/// What was kept; nothing where that cannot be read.
pub(super) fn read(file: &Path) -> Kept {
    let bytes = match files::read_private(file, LARGEST) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Kept::default(),
        Err(e) => return unread(file, &e),
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|e| unread(file, &e))
}

fn unread(file: &Path, why: &dyn std::fmt::Display) -> Kept {
    tracing::error!(
        "rules and alerts of before are not known any more: {}: {why}; the hub gives the rules again",
        file.display()
    );
    Kept::default()
}

pub(super) fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        files::private_dir(dir)?;
    }
    files::write_private(file, &serde_json::to_vec(kept)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_hub_is_bounded_and_what_is_left_out_is_counted() {
        let mut kept = Kept::default();
        for _ in 0..SEEN + 5 {
            let number = kept.next();
            kept.push(Seen { number, ..Seen::default() });
        }
        assert_eq!((kept.seen.len(), kept.lost, kept.seen[0].number), (SEEN, 5, 6));
        assert!(kept.heard(10) && !kept.heard(10));
        assert_eq!((kept.seen[0].number, kept.lost), (11, 5));
        assert!(kept.heard(u64::MAX));
        assert_eq!((kept.seen.len(), kept.lost, kept.next()), (0, 0, SEEN as u64 + 6));
    }

    #[test]
    fn a_file_that_is_damaged_or_open_to_others_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/alerts.json");
        assert_eq!(read(&file), Kept::default());
        let kept = Kept { name: "web1".into(), last: 7, ..Kept::default() };
        write(&file, &kept).unwrap();
        assert_eq!(read(&file), kept);
        std::fs::write(&file, "{\"name\": 7").unwrap();
        assert_eq!(read(&file), Kept::default());
    }
}
