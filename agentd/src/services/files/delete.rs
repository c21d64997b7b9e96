//! Takes away. A folder is looked through first, so that what is refused half-way has not begun.

use super::fault::{changed, fault};
use super::order;
use super::walk::{Guard, Place, Step, below, is_link, step};
use super::write::sync_folder;
use crate::Agent;
use crate::policy::Want;
use cmdr_link::service::Asked;
use cmdr_protocol::files::{Delete, Deleted, FileKind, FilePath, MOST_DELETED};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::Arc;

/// Folders in folders at most.
pub(super) const DEPTH: usize = 200;
/// Paths that are told.
const FIRST: usize = 100;

pub(super) async fn delete(
    agent: Arc<Agent>,
    _: Asked,
    delete: Delete,
) -> Result<Deleted, CallError> {
    order(&agent, move |agent| {
        let guard = Guard::new(agent);
        let place = guard.to_write(&delete.path)?;
        if delete.path.is_root() {
            return Err(CallError::denied("/ is not deleted"));
        }
        let looked = place.look()?;
        if delete.unchanged.is_some_and(|version| version != looked.version()) {
            return Err(changed(&delete.path));
        }
        let wrong = |e: Errno| fault("deleting", &delete.path, e);
        let mut plan = Plan {
            guard: &guard,
            most: delete.most.unwrap_or(MOST_DELETED),
            device: looked.device(),
            deleted: Deleted::default(),
        };
        if looked.kind() != FileKind::Folder {
            plan.deleted.files = 1;
            plan.deleted.bytes = looked.size();
            if !delete.plan {
                unlinkat(&place.dir, &place.name, AtFlags::empty()).map_err(wrong)?;
                sync_folder(&place).map_err(wrong)?;
            }
            return Ok(plan.deleted);
        }
        guard.allows_whole(&delete.path)?;
        let folder = open(&place.dir, &place.name, &delete.path)?;
        if delete.recursive {
            plan.look(&folder, &delete.path, "", 0)?;
        }
        plan.deleted.folders += 1;
        if !delete.plan {
            if delete.recursive {
                empty(&folder, &delete.path, 0)?;
            }
            remove(&place).map_err(wrong)?;
            sync_folder(&place).map_err(wrong)?;
        }
        Ok(plan.deleted)
    })
    .await
}

fn remove(place: &Place) -> Result<(), Errno> {
    unlinkat(&place.dir, &place.name, AtFlags::REMOVEDIR)
}

/// Opens a folder to look through it.
pub(super) fn open(dir: impl AsFd, name: &OsStr, path: &FilePath) -> Result<OwnedFd, CallError> {
    let way = step(dir, name).map_err(|e| match e {
        Step::Link => is_link(path),
        Step::Errno(e) => fault("opening", path, e),
    })?;
    openat(&way, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| fault("opening", path, e))
}

/// The names in a folder, sorted, so that what is told is the same each time.
pub(super) fn names(folder: &OwnedFd, path: &FilePath) -> Result<Vec<OsString>, CallError> {
    let wrong = |e: Errno| fault("listing", path, e);
    let mut names = Vec::new();
    for found in Dir::read_from(folder).map_err(wrong)? {
        let found = found.map_err(wrong)?;
        let name = found.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            if names.len() >= 1_000_000 {
                return Err(CallError::new(
                    ErrorKind::Busy,
                    format!("{path} has too many names in it"),
                ));
            }
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Plan<'a> {
    guard: &'a Guard,
    most: u64,
    device: u64,
    deleted: Deleted,
}

impl Plan<'_> {
    fn look(
        &mut self,
        folder: &OwnedFd,
        path: &FilePath,
        shown: &str,
        depth: usize,
    ) -> Result<(), CallError> {
        deep(path, depth)?;
        self.guard.not_own(folder.as_fd(), path)?;
        for name in names(folder, path)? {
            let looked = match super::entry::Looked::at(folder, &name) {
                Ok(looked) => looked,
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(fault("looking at", path, e)),
            };
            let inner = below(path, name.as_bytes())?;
            self.guard.allows(Want::Write, &inner)?;
            let shown = if shown.is_empty() {
                inner.name().to_owned()
            } else {
                format!("{shown}/{}", inner.name())
            };
            if self.deleted.first.len() < FIRST {
                self.deleted.first.push(shown.clone());
            }
            if looked.kind() == FileKind::Folder {
                if looked.device() != self.device {
                    return Err(CallError::new(
                        ErrorKind::Conflict,
                        format!("another file system is mounted at {inner}; nothing was deleted"),
                    ));
                }
                self.deleted.folders += 1;
                self.count(path)?;
                let folder = open(folder, &name, &inner)?;
                self.look(&folder, &inner, &shown, depth + 1)?;
            } else {
                self.deleted.files += 1;
                self.deleted.bytes = self.deleted.bytes.saturating_add(looked.size());
                self.count(path)?;
            }
        }
        Ok(())
    }

    fn count(&self, path: &FilePath) -> Result<(), CallError> {
        if self.deleted.files + self.deleted.folders >= self.most {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "there are more than {} files and folders below {path}, and so many were allowed to go; nothing was deleted",
                    self.most
                ),
            ));
        }
        Ok(())
    }
}

pub(super) fn deep(path: &FilePath, depth: usize) -> Result<(), CallError> {
    if depth > DEPTH {
        let what = format!("{path} is more than {DEPTH} folders deep");
        return Err(CallError::new(ErrorKind::Busy, what));
    }
    Ok(())
}

/// Deletes all that is in a folder. A link goes, and not what it leads to.
fn empty(folder: &OwnedFd, path: &FilePath, depth: usize) -> Result<(), CallError> {
    deep(path, depth)?;
    for name in names(folder, path)? {
        let inner = below(path, name.as_bytes())?;
        let removed = match unlinkat(folder, &name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {
                let inside = open(folder, &name, &inner)?;
                empty(&inside, &inner, depth + 1)?;
                unlinkat(folder, &name, AtFlags::REMOVEDIR)
            }
            removed => removed,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(fault("deleting", &inner, e)),
        }
    }
    Ok(())
}
