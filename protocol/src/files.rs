//! Files of a host: looking, reading, writing, moving, taking away, whole folders, copies between hosts.
//!
//! Looking, reading, writing and taking away are methods of their own, and every one names its path as its
//! resource (`path:/etc/hosts`), so that rights can be as narrow as a path. A path that leads through a link is
//! refused with [`crate::ErrorKind::Elsewhere`]; [`Real`] says which path to ask for instead.

mod letters;
mod path;

pub use letters::letters;
pub use path::{FilePath, LONGEST, PathError, escape, shown, unescape};

use crate::call::{Access, Call, Feed, Nothing};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// Bytes of a file in one item.
pub const CHUNK: usize = 512 * 1024;
/// What a host sends of a file at once, in bytes: little enough to stay in a processor's cache on its way, and to be
/// sealed as one message.
pub const PIECE: usize = 32 * 1024;
/// Entries of a folder in one item.
pub const PAGE: usize = 256;
/// What a recursive delete takes away at most when nothing is said.
pub const MOST_DELETED: u64 = 100_000;

/// The resource of a path.
pub fn resource(path: &FilePath) -> String {
    format!("path:{}", path.as_str())
}

/// The resource of two paths: a right has to cover each of them.
fn both(from: &FilePath, to: &FilePath) -> String {
    format!("{}\0{}", resource(from), resource(to))
}

open_enum! {
    /// What is behind a name.
    pub enum FileKind {
        /// A regular file.
        File = "file",
        /// A folder.
        Folder = "folder",
        /// A symbolic link.
        Link = "link",
        /// A named pipe.
        Pipe = "pipe",
        /// A socket.
        Socket = "socket",
        /// A block device.
        Block = "block-device",
        /// A character device.
        Character = "character-device",
    }
}

/// One name in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The name, as [`escape`] writes it.
    #[serde(rename = "n")]
    pub name: String,
    /// What it is; a link is a link, wherever it leads.
    #[serde(rename = "k")]
    pub kind: FileKind,
    /// Bytes.
    #[serde(rename = "s")]
    pub size: u64,
    /// Permissions, the lower twelve bits.
    #[serde(rename = "m")]
    pub mode: u32,
    /// Owner's number.
    #[serde(rename = "u")]
    pub uid: u32,
    /// Group's number.
    #[serde(rename = "g")]
    pub gid: u32,
    /// Owner's name, or the number when it has none.
    #[serde(rename = "un")]
    pub user: String,
    /// Group's name, or the number when it has none.
    #[serde(rename = "gn")]
    pub group: String,
    /// Last change of the content, nanoseconds since 1970.
    #[serde(rename = "t")]
    pub mtime_ns: i64,
    /// The file's number on its file system.
    #[serde(rename = "i")]
    pub inode: u64,
    /// Where a link leads, as [`escape`] writes it; empty for all else.
    #[serde(rename = "l", skip_serializing_if = "String::is_empty")]
    pub target: String,
}

impl Entry {
    /// Kind and permissions as everybody knows them: `drwxr-xr-x`.
    pub fn letters(&self) -> String {
        letters(self.kind, self.mode)
    }

    /// What it was when this was seen.
    pub const fn version(&self) -> Version {
        Version { size: self.size, mtime_ns: self.mtime_ns, inode: self.inode }
    }
}

/// What a file was when somebody looked. Another one means that it has been changed or replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The file's number on its file system.
    pub inode: u64,
}

/// The names in a folder, as they come, in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// The folder.
    pub path: FilePath,
}

impl Feed for List {
    const METHOD: &'static str = "files.list";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Page;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// Some of the names in a folder, in no order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// The names.
    #[serde(rename = "e")]
    pub entries: Vec<Entry>,
}

/// What is behind a path. A link at its end is not followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stat {
    /// Which.
    pub path: FilePath,
}

impl Call for Stat {
    const METHOD: &'static str = "files.stat";
    const ACCESS: Access = Access::Read;
    type Reply = Entry;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// Which path is meant by one that leads through links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Real {
    /// The path with links in it.
    pub path: FilePath,
    /// Whether a link at its end is followed too.
    pub last: bool,
}

impl Call for Real {
    const METHOD: &'static str = "files.real";
    const ACCESS: Access = Access::Read;
    type Reply = RealPath;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// The answer to a [`Real`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RealPath {
    /// The same place, named without links.
    pub path: FilePath,
}

/// The content of a file. It is put down in the audit log, as content may be secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Read {
    /// Which.
    pub path: FilePath,
    /// From this byte on.
    pub offset: u64,
    /// So many bytes; absent for all.
    pub length: Option<u64>,
    /// Only this one; another is a conflict.
    pub unchanged: Option<Version>,
    /// Whether the sum of all up to the end of the reading is wanted, also of what comes before `offset`.
    pub hash: bool,
}

impl Feed for Read {
    const METHOD: &'static str = "files.read";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    const RESULT: &'static str = "s";
    type Input = Nothing;
    type Item = Chunk;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// A piece of a file: an item of what is read, an input of what is written, the same bytes for both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chunk {
    /// The file that is read; in the first item, which has nothing else.
    #[serde(rename = "f", skip_serializing_if = "Option::is_none")]
    pub file: Option<Entry>,
    /// Where the bytes begin.
    #[serde(rename = "a")]
    pub at: u64,
    /// The bytes.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// That this is all; in the last one.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub sum: Option<Sum>,
}

/// The end of a file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sum {
    /// Bytes of the whole.
    pub size: u64,
    /// BLAKE3 of the whole, hexadecimal; empty when it was not asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// It is longer: this is where the agent stops with files that have no end (of `/proc`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// It was changed while it was read: this is what was there at the time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
}

/// A file in the place of another, or a new one: written beside it and renamed once it is whole and on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Write {
    /// Where.
    pub path: FilePath,
    /// Under which name the part that has come is kept and found again: 32 hexadecimal digits. The same for the
    /// same content only.
    pub transfer: String,
    /// Bytes, if known: refused at once when the disk has no room for them.
    pub size: Option<u64>,
    /// Only if there is nothing.
    pub absent: bool,
    /// Only in the place of this one; another is a conflict.
    pub unchanged: Option<Version>,
    /// Permissions; those of the file that is replaced, or 0644, when absent.
    pub mode: Option<u32>,
    /// Time of the last change, nanoseconds since 1970; now, when absent.
    pub mtime_ns: Option<i64>,
}

impl Feed for Write {
    const METHOD: &'static str = "files.write";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "w";
    type Input = Chunk;
    type Item = Writing;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// What the writer says. First from where it goes on, then how far it is, at last what has been written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Writing {
    /// So many bytes are there; the first chunk begins where they end.
    #[serde(rename = "h")]
    pub have: u64,
    /// It is in its place.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

/// A file that is in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// What it is now.
    pub file: Entry,
    /// BLAKE3 of its content, hexadecimal.
    pub hash: String,
    /// What could not be kept of the file it replaces (owner, attributes), in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

/// A new folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MakeFolder {
    /// Where.
    pub path: FilePath,
    /// With those above it; one that is there already is no error then.
    pub parents: bool,
    /// Permissions; 0755 when absent.
    pub mode: Option<u32>,
}

impl Call for MakeFolder {
    const METHOD: &'static str = "files.mkdir";
    const ACCESS: Access = Access::Act;
    type Reply = Entry;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// Another name or folder on the same file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rename {
    /// What.
    pub from: FilePath,
    /// Whereto.
    pub to: FilePath,
    /// Also in the place of a file that is there.
    pub replace: bool,
}

impl Call for Rename {
    const METHOD: &'static str = "files.rename";
    const ACCESS: Access = Access::Act;
    type Reply = Entry;
    fn resource(&self) -> String {
        both(&self.from, &self.to)
    }
}

/// Takes away a file, a link (not what it leads to), or a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// What.
    pub path: FilePath,
    /// A folder with all that is in it; without, only an empty one.
    pub recursive: bool,
    /// Nothing is taken away when it would be more than so many; absent for [`MOST_DELETED`].
    pub most: Option<u64>,
    /// Only this one; another is a conflict.
    pub unchanged: Option<Version>,
    /// Only say what would go.
    pub plan: bool,
}

impl Call for Delete {
    const METHOD: &'static str = "files.delete";
    const ACCESS: Access = Access::Act;
    type Reply = Deleted;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deleted {
    /// Files, links and what else is no folder.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// The first of their paths, below the one that was named, as [`escape`] writes them.
    pub first: Vec<String>,
}

/// Other permissions, owner, group or time. A link is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chmod {
    /// Of what.
    pub path: FilePath,
    /// The lower twelve bits.
    pub mode: Option<u32>,
    /// Name or number.
    pub user: Option<String>,
    /// Name or number.
    pub group: Option<String>,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime_ns: Option<i64>,
}

impl Call for Chmod {
    const METHOD: &'static str = "files.chmod";
    const ACCESS: Access = Access::Act;
    type Reply = Entry;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// The sum of a file's content, read where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checksum {
    /// Which.
    pub path: FilePath,
}

impl Call for Checksum {
    const METHOD: &'static str = "files.checksum";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    type Reply = Sum;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// A folder as one `tar.zst`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Archive {
    /// Which folder.
    pub path: FilePath,
}

impl Feed for Archive {
    const METHOD: &'static str = "files.archive";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    const RESULT: &'static str = "p";
    type Input = Nothing;
    type Item = Packed;
    fn resource(&self) -> String {
        resource(&self.path)
    }
}

/// A piece of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packed {
    /// The bytes.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// What is in it; in the last one.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub packed: Option<Counted>,
}

/// What went through an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// How many were left out.
    pub skipped: u64,
    /// The first of them, with why.
    pub words: Vec<String>,
}

/// A `tar`, also one packed by gzip, xz or zstd, laid out in a folder. Nothing of it gets outside of that folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unpack {
    /// Into which folder; it has to be there.
    pub path: FilePath,
    /// Bytes it may have when it is laid out; absent for 16 GiB.
    pub most_bytes: Option<u64>,
    /// Entries it may have; absent for one million.
    pub most_entries: Option<u64>,
    /// Also in the place of files that are there.
    pub replace: bool,
    /// What is laid out belongs to whom the archive says, by number; otherwise to the agent's user.
    pub owners: bool,
    /// The archive lies there on the host; absent for one that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<FilePath>,
}

impl Feed for Unpack {
    const METHOD: &'static str = "files.unpack";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "u";
    type Input = Packed;
    type Item = Unpacked;
    fn resource(&self) -> String {
        match &self.from {
            Some(from) => both(from, &self.path),
            None => resource(&self.path),
        }
    }
}

/// How far the laying out is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unpacked {
    /// Bytes of the archive that were read.
    #[serde(rename = "b")]
    pub taken: u64,
    /// What there was in it; in the last one.
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    pub done: Option<Counted>,
}

/// A file of one host to another, carried by the hub. The caller needs [`Read`] there and [`Write`] here; both are
/// decided and recorded like any other, on top of this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The host that has it.
    pub from: HostId,
    /// The file there.
    pub path: FilePath,
    /// The host that gets it.
    pub to: HostId,
    /// The file here.
    pub target: FilePath,
    /// Only if there is nothing.
    #[serde(default)]
    pub absent: bool,
    /// Only in the place of this one; another is a conflict.
    #[serde(default)]
    pub unchanged: Option<Version>,
    /// With its permissions and time.
    #[serde(default)]
    pub preserve: bool,
    /// Seconds to wait for a host that is away, each time; absent for 60.
    #[serde(default)]
    pub patience_s: Option<u64>,
}

impl Feed for Copy {
    const METHOD: &'static str = "files.copy";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "w";
    type Input = Nothing;
    type Item = Copying;
    fn resource(&self) -> String {
        both(&self.path, &self.target)
    }
}

/// How far a copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copying {
    /// Bytes of the whole.
    #[serde(rename = "s")]
    pub size: u64,
    /// Bytes that the other host has.
    #[serde(rename = "h")]
    pub have: u64,
    /// Bytes that this order has carried: less than the whole when there was a part of it.
    #[serde(rename = "c")]
    pub carried: u64,
    /// The file was changed while it was read: the copy is what was there at the time.
    #[serde(rename = "x", skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// Why it stands still, in words; empty while it goes on.
    #[serde(rename = "q", skip_serializing_if = "String::is_empty")]
    pub waiting: String,
    /// It is in its place.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_names_both_of_its_paths() {
        let path = |text| FilePath::parse(text).unwrap();
        let rename = Rename { from: path("/a"), to: path("/b"), replace: false };
        assert_eq!(rename.resource(), "path:/a\0path:/b");
        assert_eq!(Stat { path: path("/etc/hosts") }.resource(), "path:/etc/hosts");
    }
}
