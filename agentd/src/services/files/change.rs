//! Folders, other names, permissions.

use super::entry::Names;
use super::fault::fault;
use super::order;
use super::walk::{Guard, is_link};
use super::write::{sync_folder, timespec};
use crate::Agent;
use cmdr_link::service::Asked;
use cmdr_protocol::files::{Chmod, Entry, FileKind, FilePath, MakeFolder, Rename};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat,
    chownat, mkdirat, renameat_with, utimensat,
};
use rustix::io::Errno;
use std::sync::Arc;

pub(super) async fn mkdir(
    agent: Arc<Agent>,
    _: Asked,
    make: MakeFolder,
) -> Result<Entry, CallError> {
    order(&agent, move |agent| {
        let guard = Guard::new(agent);
        let mode = Mode::from_raw_mode(make.mode.unwrap_or(0o755) & 0o7777);
        let mut missing = vec![make.path.clone()];
        if make.parents {
            // The right to make a folder is the right to make those above it.
            let mut above = make.path.parent();
            while !above.is_root() && guard.to_write(&above).is_err() {
                missing.push(above.clone());
                above = above.parent();
            }
            if !above.is_root() && guard.to_write(&above)?.look_if_there()?.is_none() {
                missing.push(above);
            }
        }
        for path in missing.iter().rev() {
            one(&guard, path, mode, make.parents)?;
        }
        guard.to_write(&make.path)?.entry(agent)
    })
    .await
}

fn one(guard: &Guard, path: &FilePath, mode: Mode, there_is_fine: bool) -> Result<(), CallError> {
    let place = guard.to_write(path)?;
    match mkdirat(&place.dir, &place.name, mode) {
        Err(Errno::EXIST) if there_is_fine => match place.look()?.kind() {
            FileKind::Folder => Ok(()),
            FileKind::Link => Err(is_link(path)),
            _ => Err(fault("making the folder", path, Errno::EXIST)),
        },
        Err(e) => Err(fault("making the folder", path, e)),
        // The system takes its own mask off what it is told.
        Ok(()) => chmodat(&place.dir, &place.name, mode, AtFlags::empty())
            .and_then(|()| sync_folder(&place))
            .map_err(|e| fault("making the folder", path, e)),
    }
}

pub(super) async fn rename(
    agent: Arc<Agent>,
    _: Asked,
    rename: Rename,
) -> Result<Entry, CallError> {
    order(&agent, move |agent| {
        let guard = Guard::new(agent);
        let Rename { from, to, replace } = rename;
        let (source, target) = (guard.to_write(&from)?, guard.to_write(&to)?);
        guard.allows_move(&from, &to)?;
        let looked = source.look()?;
        if looked.kind() == FileKind::Folder {
            guard.allows_whole(&from)?;
        }
        if from.is_root() || to.is_root() {
            return Err(CallError::new(ErrorKind::Conflict, "/ stays what it is"));
        }
        if to.is_within(&from) && to != from {
            let what = format!("{to} lies in {from}: a folder is not moved into itself");
            return Err(CallError::new(ErrorKind::Conflict, what));
        }
        if replace && target.look_if_there()?.is_some_and(|there| there.kind() == FileKind::Folder)
        {
            let what = format!("{to} is a folder; it is not replaced");
            return Err(CallError::new(ErrorKind::Conflict, what));
        }
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let moved = renameat_with(&source.dir, &source.name, &target.dir, &target.name, flags);
        let moved = match moved {
            // Not every file system can promise it.
            Err(Errno::INVAL) if !replace && target.look_if_there()?.is_none() => {
                let flags = RenameFlags::empty();
                renameat_with(&source.dir, &source.name, &target.dir, &target.name, flags)
            }
            moved => moved,
        };
        moved.map_err(|e| match e {
            Errno::EXIST => fault("moving to", &to, e),
            e => fault("moving", &from, e),
        })?;
        sync_folder(&source)
            .and_then(|()| sync_folder(&target))
            .map_err(|e| fault("writing the folder of", &to, e))?;
        target.entry(agent)
    })
    .await
}

pub(super) async fn chmod(agent: Arc<Agent>, _: Asked, chmod: Chmod) -> Result<Entry, CallError> {
    order(&agent, move |agent| {
        let place = Guard::new(agent).to_write(&chmod.path)?;
        let path = &chmod.path;
        if place.look()?.kind() == FileKind::Link {
            return Err(is_link(path));
        }
        // Opened without a link, so that what is changed is what was looked at.
        let fd = place.open(OFlags::PATH).map_err(|e| fault("opening", path, e))?;
        let names = Names::new(agent);
        let number = |name: Option<&String>, of: &super::entry::Numbered, what: &str| match name {
            None => Ok(None),
            Some(name) => of.number(name).map(Some).ok_or_else(|| {
                let name = cmdr_protocol::display::clean_to_width(name, 60);
                CallError::new(
                    ErrorKind::NotFound,
                    format!("there is no {what} '{name}' on this host"),
                )
            }),
        };
        let user = number(chmod.user.as_ref(), &names.users, "user")?;
        let group = number(chmod.group.as_ref(), &names.groups, "group")?;
        // A descriptor that only names a place takes no changes itself; its name below /proc does.
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        let at = rustix::fs::CWD;
        if user.is_some() || group.is_some() {
            let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
            chownat(at, &link, user, group, AtFlags::empty())
                .map_err(|e| fault("changing the owner of", path, e))?;
        }
        // After the owner: a change of that takes away some of the permissions.
        if let Some(mode) = chmod.mode {
            chmodat(at, &link, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
                .map_err(|e| fault("changing the permissions of", path, e))?;
        }
        if let Some(ns) = chmod.mtime_ns {
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let times = Timestamps { last_access, last_modification: timespec(ns) };
            utimensat(at, &link, &times, AtFlags::empty())
                .map_err(|e| fault("setting the time of", path, e))?;
        }
        place.entry(agent)
    })
    .await
}
