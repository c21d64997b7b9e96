//! A content that is on this host already is put in a place, for orders: written beside it, or moved there where that
//! can be, and renamed. What is in the place is as it was until then.

use super::entry::{Looked, Names, Numbered};
use super::fault::fault;
use super::read::open_file;
use super::walk::{Guard, Place, is_link};
use super::write::{attributes, sync_folder};
use crate::Agent;
use crate::policy::Want;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::files::{FileKind, FilePath, Version};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, fsync, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What a new file may be when nothing is said.
const NEW: u32 = 0o644;

/// What shall be where.
#[derive(Clone, Debug)]
pub(in crate::services) struct Wanted {
    pub(in crate::services) path: FilePath,
    /// BLAKE3 of the content, which is here as a blob or in the place itself.
    pub(in crate::services) hash: String,
    pub(in crate::services) mode: Option<u32>,
    /// `user`, `user:group` or `:group`, by name or number; what is not said is as in the file that is replaced, or
    /// the agent's own.
    pub(in crate::services) owner: String,
}

/// User and group by number, where they are said.
type Owner = (Option<u32>, Option<u32>);

impl Wanted {
    fn owner(&self, agent: &Agent) -> Result<Owner, CallError> {
        if self.owner.is_empty() {
            return Ok((None, None));
        }
        let names = Names::new(agent);
        let number = |what: &str, known: &Numbered, name: &str| match name {
            "" => Ok(None),
            name => known.number(name).map(Some).ok_or_else(|| {
                let shown = clean_to_width(name, 64);
                CallError::failed(format!("there is no {what} '{shown}' on this host"))
            }),
        };
        let (user, group) = self.owner.split_once(':').unwrap_or((&self.owner, ""));
        Ok((number("user", &names.users, user)?, number("group", &names.groups, group)?))
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::services) struct Placed {
    /// All was so before.
    pub(in crate::services) already: bool,
    /// What could not be kept of the file it replaces, in words.
    pub(in crate::services) lost: Vec<String>,
}

/// Whether this content is in this place, where the agent may look.
pub(in crate::services) fn is_there(agent: &Agent, path: &FilePath, hash: &str, size: u64) -> bool {
    let Ok(place) = Guard::new(agent).to_read(path) else { return false };
    matches!(there(&place), Ok(Some(looked)) if looked.size() == size)
        && hash_of(agent, &place).is_ok_and(|found| found == hash)
}

/// The file in a place, if there is one; what is no file is refused.
fn there(place: &Place) -> Result<Option<Looked>, CallError> {
    let Some(looked) = place.look_if_there()? else { return Ok(None) };
    match looked.kind() {
        FileKind::File => Ok(Some(looked)),
        FileKind::Link => Err(is_link(&place.path)),
        kind => Err(CallError::new(
            ErrorKind::Conflict,
            format!("{} is a {kind}; it is not replaced by a file", place.path),
        )),
    }
}

/// The hash of the file in a place: remembered while the file is the same.
fn hash_of(agent: &Agent, place: &Place) -> Result<String, CallError> {
    let (mut file, looked) = open_file(place, OFlags::RDONLY)?;
    let version = looked.version();
    if let Some(known) = agent.files().hashes.of(&place.path, version) {
        return Ok(known);
    }
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut io::BufReader::with_capacity(256 * 1024, &mut file), &mut hasher)
        .map_err(|e| fault("reading", &place.path, e))?;
    let hash = super::partial::hex(hasher.finalize().as_bytes());
    agent.files().hashes.remember(&place.path, version, &hash);
    Ok(hash)
}

/// Puts it there.
pub(in crate::services) fn put(agent: &Agent, wanted: &Wanted) -> Result<Placed, CallError> {
    let guard = Guard::new(agent);
    guard.allows(Want::Write, &wanted.path)?;
    let owner = wanted.owner(agent)?;
    let place = guard.to_write(&wanted.path)?;
    let old = there(&place)?;
    if let Some(old) = &old
        && hash_of(agent, &place).is_ok_and(|hash| hash == wanted.hash)
    {
        return dress(&place, old, wanted.mode, owner);
    }
    let blob = agent.blobs().whole(&wanted.hash).ok_or_else(|| {
        CallError::new(
            ErrorKind::Conflict,
            format!(
                "the content of {} has not come to this host, or waited too long; begin a new run",
                wanted.path
            ),
        )
    })?;
    let mut staged = Staged::new(&place, &blob, &wanted.hash)?;
    staged.own(wanted.mode, owner, old.as_ref())?;
    staged.finish()?;
    agent.blobs().remove(&wanted.hash);
    Ok(Placed { already: false, lost: std::mem::take(&mut staged.lost) })
}

/// The content is right; gives it owner and permissions, if they are others.
fn dress(
    place: &Place,
    old: &Looked,
    mode: Option<u32>,
    owner: Owner,
) -> Result<Placed, CallError> {
    let wrong = |doing: &'static str| move |e: Errno| fault(doing, &place.path, e);
    let (uid, gid) = (owner.0.unwrap_or(old.uid()), owner.1.unwrap_or(old.gid()));
    let mode = mode.unwrap_or(old.mode()) & 0o7777;
    let already = (uid, gid) == (old.uid(), old.gid()) && mode == old.mode() & 0o7777;
    if !already {
        let (file, _) = open_file(place, OFlags::RDONLY)?;
        if (uid, gid) != (old.uid(), old.gid()) {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(wrong("setting the owner of"))?;
        }
        // After the owner: a change of that takes away some of the permissions.
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(wrong("setting the permissions of"))?;
        fsync(&file).map_err(wrong("writing"))?;
    }
    Ok(Placed { already, lost: Vec::new() })
}

/// A content that is beside its place; gone with its value unless it was put there.
struct Staged<'a> {
    place: &'a Place,
    part: String,
    file: File,
    lost: Vec<String>,
    done: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.done {
            unlinkat(&self.place.dir, &self.part, AtFlags::empty()).ok();
        }
    }
}

impl<'a> Staged<'a> {
    /// Moves the content beside its place, or copies it to another file system.
    fn new(place: &'a Place, blob: &Path, hash: &str) -> Result<Self, CallError> {
        let wrong = |e: Errno| fault("writing beside", &place.path, e);
        let part = format!(".cmdr-{}.part", &hash[..32]);
        // What an agent left that was killed at the wrong moment.
        unlinkat(&place.dir, &part, AtFlags::empty()).ok();
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What is moved keeps the label of the folder it was in, where the system has labels.
        let labels = Path::new("/sys/fs/selinux/enforce").exists();
        let moved = if labels { Err(Errno::XDEV) } else { renameat(CWD, blob, &place.dir, &part) };
        let file = match moved {
            Ok(()) => File::from(openat(&place.dir, &part, flags, Mode::empty()).map_err(wrong)?),
            Err(Errno::XDEV) => {
                let flags = flags | OFlags::CREATE | OFlags::EXCL;
                let made =
                    openat(&place.dir, &part, flags, Mode::RUSR | Mode::WUSR).map_err(wrong)?;
                let staged =
                    Self { place, part, file: File::from(made), lost: Vec::new(), done: false };
                let mut source = File::open(blob)
                    .map_err(|e| fault("reading the content of", &place.path, e))?;
                io::copy(&mut source, &mut &staged.file)
                    .map_err(|e| fault("writing", &place.path, e))?;
                return Ok(staged);
            }
            Err(e) => return Err(wrong(e)),
        };
        Ok(Self { place, part, file, lost: Vec::new(), done: false })
    }

    /// Gives it owner, permissions and attributes: those that are wanted, else those of the old one.
    fn own(
        &mut self,
        mode: Option<u32>,
        owner: Owner,
        old: Option<&Looked>,
    ) -> Result<(), CallError> {
        let path = &self.place.path;
        let mine = self.file.metadata().map_err(|e| fault("looking at", path, e))?;
        let (uid, gid) = owner;
        let uid = uid.or(old.map(Looked::uid)).unwrap_or(mine.uid());
        let gid = gid.or(old.map(Looked::gid)).unwrap_or(mine.gid());
        let mut mode = mode.or(old.map(Looked::mode)).unwrap_or(NEW);
        if (uid, gid) != (mine.uid(), mine.gid())
            && let Err(e) = fchown(&self.file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        {
            if owner != (None, None) {
                return Err(fault("setting the owner of", path, e));
            }
            self.lost.push(format!("the owner {uid}:{gid}"));
            // What another owner could do with it is not theirs any more.
            mode &= 0o777;
        }
        if old.is_some()
            && let Ok((old, _)) = open_file(self.place, OFlags::RDONLY)
        {
            attributes(&old, &self.file, &mut self.lost);
        }
        fchmod(&self.file, Mode::from_raw_mode(mode & 0o7777))
            .map_err(|e| fault("setting the permissions of", path, e))
    }

    /// On disk first, then in its place.
    fn finish(&mut self) -> Result<(), CallError> {
        let path = &self.place.path;
        fsync(&self.file).map_err(|e| fault("writing", path, e))?;
        // Once more: that took its time.
        there(self.place)?;
        renameat(&self.place.dir, &self.part, &self.place.dir, &self.place.name)
            .map_err(|e| fault("putting in place", path, e))?;
        self.done = true;
        sync_folder(self.place).map_err(|e| fault("writing the folder of", path, e))
    }
}

/// Hashes of files that were read a moment ago, so that asking and doing do not both read them.
#[derive(Debug, Default)]
pub(super) struct Hashes(std::sync::Mutex<Vec<(FilePath, Version, String)>>);

impl Hashes {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(FilePath, Version, String)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn of(&self, path: &FilePath, version: Version) -> Option<String> {
        let known = self.lock();
        let found = known.iter().find(|(at, was, _)| at == path && *was == version);
        found.map(|(_, _, hash)| hash.clone())
    }

    fn remember(&self, path: &FilePath, version: Version, hash: &str) {
        // A file that was changed within the grain of its clock may be changed again unseen.
        let changed = u64::try_from(version.mtime_ns / 1_000_000).unwrap_or(u64::MAX);
        if cmdr_link::clock::now_ms().saturating_sub(changed) < 2000 {
            return;
        }
        let mut known = self.lock();
        known.retain(|(at, _, _)| at != path);
        known.push((path.clone(), version, hash.to_owned()));
        if known.len() > 16 {
            known.remove(0);
        }
    }
}
