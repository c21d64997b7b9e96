//! What the system knows of a name.

use crate::Agent;
use crate::text::number;
use cmdr_protocol::files::{Entry, FileKind, Version, escape};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Stat, fstat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The most that is read of the files with names: those of large sites are long.
const NAMES_FILE: u64 = 16 << 20;

/// Something that was looked at.
#[derive(Debug)]
pub(super) struct Looked {
    name: String,
    stat: Stat,
    target: String,
}

impl Looked {
    /// Looks at a name in a folder.
    pub(super) fn at(dir: impl AsFd, name: &OsStr) -> Result<Self, Errno> {
        let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut target = String::new();
        if FileType::from_raw_mode(stat.st_mode).is_symlink() {
            target = escape(readlinkat(&dir, name, Vec::new())?.as_bytes());
        }
        let name = if name == "." { "/".to_owned() } else { escape(name.as_bytes()) };
        Ok(Self { name, stat, target })
    }

    /// Looks at what is open.
    pub(super) fn open(fd: impl AsFd, name: &OsStr) -> Result<Self, Errno> {
        let name = escape(name.as_bytes());
        Ok(Self { name, stat: fstat(fd)?, target: String::new() })
    }

    pub(super) fn kind(&self) -> FileKind {
        match FileType::from_raw_mode(self.stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Link,
            FileType::Fifo => FileKind::Pipe,
            FileType::Socket => FileKind::Socket,
            FileType::BlockDevice => FileKind::Block,
            FileType::CharacterDevice => FileKind::Character,
            FileType::Unknown => FileKind::Unknown,
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.stat.st_size as u64
    }
    pub(super) const fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }
    pub(super) const fn uid(&self) -> u32 {
        self.stat.st_uid
    }
    pub(super) const fn gid(&self) -> u32 {
        self.stat.st_gid
    }
    pub(super) const fn device(&self) -> u64 {
        self.stat.st_dev
    }
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) const fn mtime_ns(&self) -> i64 {
        let (s, ns) = (self.stat.st_mtime, self.stat.st_mtime_nsec as i64);
        s.saturating_mul(1_000_000_000).saturating_add(ns)
    }

    pub(super) const fn version(&self) -> Version {
        Version { size: self.size(), mtime_ns: self.mtime_ns(), inode: self.stat.st_ino }
    }

    /// As callers see it.
    pub(super) fn entry(self, names: &mut Names) -> Entry {
        Entry {
            kind: self.kind(),
            size: self.size(),
            mode: self.mode(),
            uid: self.uid(),
            gid: self.gid(),
            user: names.users.name(self.uid()),
            group: names.groups.name(self.gid()),
            mtime_ns: self.mtime_ns(),
            inode: self.version().inode,
            target: self.target,
            name: self.name,
        }
    }
}

/// Names of users and groups, out of the host's files, read once for an order.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) users: Numbered,
    pub(super) groups: Numbered,
}

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Numbered(HashMap<u32, String>);

impl Names {
    pub(super) fn new(agent: &Agent) -> Self {
        let etc = &agent.config().etc_root;
        Self {
            users: Numbered::read(&etc.join("passwd")),
            groups: Numbered::read(&etc.join("group")),
        }
    }
}

impl Numbered {
    fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(NAMES_FILE).read_to_end(&mut bytes));
        let mut names = HashMap::new();
        for line in bytes.split(|b| *b == b'\n').filter(|_| read.is_ok()) {
            let mut fields = line.split(|b| *b == b':');
            let (name, id) = (fields.next(), fields.nth(1).and_then(number));
            if let (Some(name), Some(id)) = (name, id.and_then(|id| u32::try_from(id).ok())) {
                // The first of several names for one number is the one that counts.
                names.entry(id).or_insert_with(|| String::from_utf8_lossy(name).into_owned());
            }
        }
        Self(names)
    }

    fn name(&self, id: u32) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The number of a name, or the number that is written.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let by_name = self.0.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
        // The highest number means "as it is" to the system.
        by_name.or_else(|| name.parse().ok()).filter(|id| *id != u32::MAX)
    }
}
