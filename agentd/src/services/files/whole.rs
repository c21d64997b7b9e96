//! A small text file as a whole, for edits: what is there, and another in its place. What is there stays as it
//! was until the new one is on disk, and stays so when anything goes wrong.

use super::entry::Names;
use super::fault::{changed, fault};
use super::read::open_file;
use super::walk::{self, Guard, Place, is_link};
use super::write::{attributes, sync_folder};
use crate::Agent;
use crate::policy::Want;
use cmdr_link::packed::too_large;
use cmdr_protocol::edits::MOST;
use cmdr_protocol::files::{Entry, FileKind, FilePath, Read, Version, Write};
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fsync, openat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// The path as the system takes it.
pub(in crate::services) fn native(path: &FilePath) -> PathBuf {
    walk::native(path)
}

/// Where a file is, or would be.
#[derive(Debug)]
pub(in crate::services) struct Whole {
    place: Place,
    agent: Agent,
}

/// A file that is there.
#[derive(Debug)]
pub(in crate::services) struct Present {
    pub(in crate::services) text: Vec<u8>,
    pub(in crate::services) entry: Entry,
    /// It has other names, which keep the old text when it is replaced.
    links: u64,
}

/// Whose a file is, and who may do what with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::services) struct Owned {
    pub(in crate::services) mode: u32,
    /// User and group; the agent's own when absent.
    pub(in crate::services) owner: Option<(u32, u32)>,
}

impl Present {
    pub(in crate::services) const fn owned(&self) -> Owned {
        Owned { mode: self.entry.mode, owner: Some((self.entry.uid, self.entry.gid)) }
    }

    pub(in crate::services) const fn version(&self) -> Version {
        self.entry.version()
    }
}

impl Whole {
    /// To look at it only.
    pub(in crate::services) fn to_read(agent: &Agent, path: &FilePath) -> Result<Self, CallError> {
        // Who switched files off meant these as well.
        agent.policy().allows_method(Read::METHOD)?;
        let place = Guard::new(agent).to_read(path)?;
        Ok(Self { place, agent: agent.clone() })
    }

    /// To put another in its place; what is there is kept as a version, so that it has to be readable too.
    pub(in crate::services) fn to_write(agent: &Agent, path: &FilePath) -> Result<Self, CallError> {
        agent.policy().allows_method(Write::METHOD)?;
        let guard = Guard::new(agent);
        guard.allows(Want::Read, path)?;
        Ok(Self { place: guard.to_write(path)?, agent: agent.clone() })
    }

    fn path(&self) -> &FilePath {
        &self.place.path
    }

    fn wrong(&self, doing: &str) -> impl FnOnce(Errno) -> CallError {
        let (doing, path) = (doing.to_owned(), self.path().clone());
        move |e| fault(&doing, &path, e)
    }

    /// What is there; an error for all that is no text.
    pub(in crate::services) fn read(&self) -> Result<Option<Present>, CallError> {
        let Some(looked) = self.place.look_if_there()? else { return Ok(None) };
        match looked.kind() {
            FileKind::Link => return Err(is_link(self.path())),
            FileKind::File => {}
            kind => {
                let kind = kind.as_str().replace('-', " ");
                let what = format!("{} is a {kind}, not a file", self.path());
                return Err(CallError::new(ErrorKind::Conflict, what));
            }
        }
        let large = |size| {
            let CallError { kind, message } = too_large(size);
            CallError::new(kind, format!("{}: {message}", self.path()))
        };
        if looked.size() > MOST as u64 {
            return Err(large(looked.size()));
        }
        let (file, looked) = open_file(&self.place, OFlags::RDONLY)?;
        let links = file.metadata().map_or(1, |meta| meta.nlink());
        let mut text = Vec::new();
        let most = MOST as u64 + 1;
        let read = (&file).take(most).read_to_end(&mut text);
        read.map_err(|e| fault("reading", self.path(), e))?;
        if text.len() > MOST {
            return Err(large(text.len() as u64));
        }
        is_text(&text).map_err(|what| {
            let path = self.path();
            CallError::new(
                ErrorKind::Conflict,
                format!("{path} is no text ({what}): fetch it and put it back as a file"),
            )
        })?;
        let mut entry = looked.entry(&mut Names::new(&self.agent));
        self.path().name().clone_into(&mut entry.name);
        Ok(Some(Present { text, entry, links }))
    }

    /// Writes a text beside the place, with all that it shall have, and on disk.
    pub(in crate::services) fn stage(
        &self,
        part: String,
        text: &[u8],
        owned: Owned,
    ) -> Result<Staged<'_>, CallError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let made = openat(&self.place.dir, &part, flags | OFlags::CLOEXEC, mode)
            .map_err(self.wrong("writing beside"))?;
        let mut staged = Staged { whole: self, part, file: File::from(made), lost: Vec::new() };
        staged.file.write_all(text).map_err(|e| fault("writing", self.path(), e))?;
        staged.own(owned)?;
        fsync(&staged.file).map_err(self.wrong("writing"))?;
        Ok(staged)
    }

    /// Takes the file away.
    pub(in crate::services) fn remove(&self) -> Result<(), CallError> {
        unlinkat(&self.place.dir, &self.place.name, AtFlags::empty())
            .map_err(self.wrong("taking away"))?;
        sync_folder(&self.place).map_err(self.wrong("writing the folder of"))
    }

    /// Takes away what a stage has left that was cut short.
    pub(in crate::services) fn clear(&self, part: &str) {
        // There is none, unless the agent was ended at the wrong moment.
        unlinkat(&self.place.dir, part, AtFlags::empty()).ok();
    }
}

/// A text that is on disk beside its place; gone with its value unless it was put there.
#[derive(Debug)]
pub(in crate::services) struct Staged<'a> {
    whole: &'a Whole,
    part: String,
    file: File,
    /// What could not be kept of the old file.
    lost: Vec<String>,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.part.is_empty() {
            self.whole.clear(&self.part);
        }
    }
}

impl Staged<'_> {
    /// Gives it owner, permissions and attributes.
    fn own(&mut self, owned: Owned) -> Result<(), CallError> {
        let mut mode = owned.mode;
        if let Some((uid, gid)) = owned.owner {
            let changed =
                fchown(&self.file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).is_ok();
            let mine = self.file.metadata().map(|meta| (meta.uid(), meta.gid()));
            if !changed && !mine.is_ok_and(|mine| mine == (uid, gid)) {
                self.lost.push(format!("the owner {uid}:{gid}"));
                // What another owner could do with it is not theirs any more.
                mode &= 0o777;
            }
        }
        if let Ok((old, _)) = open_file(&self.whole.place, OFlags::RDONLY) {
            attributes(&old, &self.file, &mut self.lost);
        }
        fchmod(&self.file, Mode::from_raw_mode(mode & 0o7777))
            .map_err(self.whole.wrong("setting the permissions of"))
    }

    /// Puts it in place, if what is there is still what was seen. Says what was lost of that; an error after the
    /// change tells that it may not be on disk.
    pub(in crate::services) fn put(
        mut self,
        seen: Option<&Present>,
    ) -> Result<(Vec<String>, Result<(), CallError>), CallError> {
        let place = &self.whole.place;
        let there = place.look_if_there()?.map(|looked| looked.version());
        if there != seen.map(Present::version) {
            return Err(changed(self.whole.path()));
        }
        let to = |flags| renameat_with(&place.dir, &self.part, &place.dir, &place.name, flags);
        let renamed = if seen.is_some() {
            to(RenameFlags::empty())
        } else {
            match to(RenameFlags::NOREPLACE) {
                // Not every file system can; that nothing is there was looked at a moment ago.
                Err(Errno::INVAL | Errno::NOSYS) => to(RenameFlags::empty()),
                result => result,
            }
        };
        renamed.map_err(self.whole.wrong("putting in place"))?;
        self.part.clear();
        if seen.is_some_and(|seen| seen.links > 1) {
            self.lost.push("its other names, which keep the old text".to_owned());
        }
        let synced = sync_folder(place).map_err(self.whole.wrong("writing the folder of"));
        Ok((std::mem::take(&mut self.lost), synced))
    }
}

/// Whether these bytes are text; what they are otherwise.
pub(in crate::services) fn is_text(bytes: &[u8]) -> Result<(), String> {
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(format!("there is a zero byte at {at}"));
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("byte {} is not UTF-8", e.valid_up_to())),
    }
}
