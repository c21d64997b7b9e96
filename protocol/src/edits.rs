//! Edits of a host's text files: what is there, a new content in its place, the versions before it, and the
//! dead-man switch: an edit that is undone by the agent alone unless somebody confirms it in time.
//!
//! Every method names its path as its resource, like those of [`crate::files`]. Content travels packed, so that a
//! file of [`MOST`] bytes fits one message; it is in no audit log, its size, hash and what changed are.

use crate::call::{Access, Call, Feed, Nothing};
use crate::files::{Entry, FilePath, resource};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// The largest file that is edited.
pub const MOST: usize = 4 << 20;
/// The largest packed content.
pub const MOST_PACKED: usize = 960 * 1024;
/// Versions that are kept of one file.
pub const KEPT: usize = 20;
/// The shortest time to confirm an edit in, seconds.
pub const SHORTEST_S: u32 = 5;
/// The longest time to confirm an edit in, seconds.
pub const LONGEST_S: u32 = 24 * 3600;
/// Bytes of a note.
pub const NOTE: usize = 500;

/// The text of a file on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// Bytes of the text.
    pub size: u64,
    /// BLAKE3 of the text, hexadecimal.
    pub hash: String,
    /// The text as one zstd frame.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// The text of a file, to be edited. It is put down in the audit log, as content may be secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// Which.
    pub path: FilePath,
}

impl Call for Open {
    const METHOD: &'static str = "edits.open";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Opened;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// The answer to an [`Open`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Opened {
    /// What it is; absent when there is nothing: then a save makes it.
    pub file: Option<Entry>,
    /// Its text; empty when there is nothing.
    pub content: Content,
    /// The edit of it that waits to be confirmed.
    pub armed: Option<Armed>,
}

/// A new text in the place of the one that was seen. The one before is kept as a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Save {
    /// Where.
    pub path: FilePath,
    /// The new text.
    pub content: Content,
    /// The hash of the text that was seen; absent when there was no file. Another one is a conflict.
    pub expect: Option<String>,
    /// Permissions of a new file; 0644 when absent. A file that is there keeps its own.
    pub mode: Option<u32>,
    /// Undone by the agent alone unless confirmed within so many seconds.
    pub confirm_s: Option<u32>,
    /// Why, for those who look at the versions.
    pub note: String,
    /// Also with warnings.
    pub force: bool,
}

impl Call for Save {
    const METHOD: &'static str = "edits.save";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["content.data"];
    const RESULT: &'static str = "result";
    type Reply = Saving;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

open_enum! {
    /// How a save ended.
    pub enum SaveEnd {
        /// It is in its place.
        Saved = "saved",
        /// The text is the one that is there; nothing was written.
        Same = "same",
        /// Another text is there than the one that was seen; nothing was written.
        Conflict = "conflict",
        /// It would not do its work; nothing was written.
        Invalid = "invalid",
    }
}

/// What the audit log has of a save.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// 0 when it is as was asked for.
    pub code: i32,
    /// How it ended.
    pub how: SaveEnd,
    /// BLAKE3 of what is in the place now, hexadecimal; empty when nothing is.
    pub hash: String,
    /// Bytes of what is in the place now.
    pub size: u64,
    /// Lines that are new.
    pub added: u64,
    /// Lines that are gone.
    pub removed: u64,
    /// The version that it is; 0 for none.
    pub version: u64,
    /// The edit that waits to be confirmed; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub armed: String,
}

/// The answer to a [`Save`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saving {
    /// In short.
    pub result: Outcome,
    /// What is there now.
    pub file: Option<Entry>,
    /// What waits to be confirmed.
    pub armed: Option<Armed>,
    /// What was found in the text, by line.
    pub problems: Vec<Problem>,
    /// What could not be kept of the file that was replaced, in words.
    pub lost: Vec<String>,
}

/// Something about a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Which, from 1 on; 0 for the file as a whole.
    pub line: u32,
    /// What, in words.
    pub what: String,
    /// It may be saved all the same ([`Save::force`]).
    pub warning: bool,
}

/// An edit that waits to be confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Armed {
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// The file.
    pub path: FilePath,
    /// Who made it.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Seconds that there were altogether.
    pub confirm_s: u32,
    /// Milliseconds that are left as this is sent.
    pub left_ms: u64,
    /// The version that comes back; 0 when there was no file.
    pub before: u64,
    /// Why the agent could not undo it when its time was over; it tries again as often as it takes. Empty when
    /// nothing went wrong so far.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

open_enum! {
    /// How an armed edit ended.
    pub enum ArmedEnd {
        /// Somebody confirmed it: it stays.
        Confirmed = "confirmed",
        /// Somebody had it undone.
        Reverted = "reverted",
        /// Nobody confirmed it: the agent undid it.
        Undone = "undone",
        /// It should have been undone, and the file had been changed meanwhile: it is left as it is, and both texts
        /// are among its versions.
        Changed = "changed-meanwhile",
        /// It should have been undone, and that did not work.
        Failed = "failed",
        /// The agent ended before the file was changed: nothing happened to it.
        Never = "never-made",
    }
}

/// An armed edit that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// Its name.
    pub id: String,
    /// The file.
    pub path: FilePath,
    /// Who made it.
    pub by: String,
    /// How it ended.
    pub how: ArmedEnd,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Who ended it; empty for the agent alone.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// More about it, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// Keeps an armed edit. It has to come over a link that works after the change, which is what it proves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confirm {
    /// The file.
    pub path: FilePath,
    /// Which edit.
    pub id: String,
}

impl Call for Confirm {
    const METHOD: &'static str = "edits.confirm";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "how";
    type Reply = Ended;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// Undoes an armed edit at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revert {
    /// The file.
    pub path: FilePath,
    /// Which edit.
    pub id: String,
}

impl Call for Revert {
    const METHOD: &'static str = "edits.revert";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "how";
    type Reply = Ended;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// The armed edits and those that ended lately; all of them again whenever that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pending {
    /// Of this file alone.
    pub path: Option<FilePath>,
}

impl Feed for Pending {
    const METHOD: &'static str = "edits.pending";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = State;
    fn resource(&self) -> String {
        self.path.as_ref().map(resource).unwrap_or_default()
    }
}

/// What is armed, and what ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// They wait, the one that ends first in front.
    pub armed: Vec<Armed>,
    /// They ended lately, newest first.
    pub ended: Vec<Ended>,
}

/// The versions that are kept of a file, without their texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// Which.
    pub path: FilePath,
}

impl Call for Versions {
    const METHOD: &'static str = "edits.versions";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// The answer to a [`Versions`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Newest first.
    pub versions: Vec<Version>,
}

open_enum! {
    /// How a text came to its place.
    pub enum Came {
        /// It was there when somebody edited it; who wrote it is not known.
        Found = "found",
        /// By a save.
        Saved = "saved",
        /// By a restore of an older version.
        Restored = "restored",
    }
}

/// A text that a file had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Its number, from 1 on; never used again.
    pub number: u64,
    /// When it came or was found, milliseconds since 1970.
    pub at_ms: u64,
    /// How it came.
    pub came: Came,
    /// Who brought it; empty when that is not known.
    pub by: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// BLAKE3 of the text, hexadecimal.
    pub hash: String,
    /// Bytes.
    pub size: u64,
    /// Permissions, the lower twelve bits.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
}

/// The text of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfVersion {
    /// Of which file.
    pub path: FilePath,
    /// Which.
    pub number: u64,
}

impl Call for OfVersion {
    const METHOD: &'static str = "edits.version";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Kept;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// The answer to an [`OfVersion`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// What it is.
    pub version: Version,
    /// Its text.
    pub content: Content,
}

/// Puts a version back, with the permissions and the owner that it had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restore {
    /// Of which file.
    pub path: FilePath,
    /// Which.
    pub number: u64,
    /// Only in the place of this text; any, when absent: it is kept as a version.
    pub expect: Option<String>,
    /// As [`Save::confirm_s`].
    pub confirm_s: Option<u32>,
    /// As [`Save::note`].
    pub note: String,
}

impl Call for Restore {
    const METHOD: &'static str = "edits.restore";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "result";
    type Reply = Saving;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_but_the_list_names_its_path() {
        let path = FilePath::parse("/etc/hosts").unwrap();
        assert_eq!(Open { path: path.clone() }.resource(), "path:/etc/hosts");
        assert_eq!(Save { path: path.clone(), ..Save::default() }.resource(), "path:/etc/hosts");
        assert_eq!(Pending { path: Some(path) }.resource(), "path:/etc/hosts");
        assert_eq!(Pending::default().resource(), "");
    }
}
