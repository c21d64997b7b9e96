//! From a path to the folder it is in, name by name, never through a link: what a right names is what is reached.

use super::entry::{Looked, Names};
use super::fault::fault;
use crate::Agent;
use crate::policy::{Policy, Want};
use cmdr_protocol::files::{FilePath, escape, unescape};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// The path as the system takes it.
pub(super) fn native(path: &FilePath) -> PathBuf {
    PathBuf::from(OsString::from_vec(path.bytes()))
}

/// A name as the system takes it.
pub(super) fn native_name(name: &str) -> Result<OsString, CallError> {
    let bytes = unescape(name).filter(|bytes| !bytes.contains(&b'/') && !bytes.contains(&0));
    bytes
        .map(OsString::from_vec)
        .ok_or_else(|| CallError::malformed("a name is not written as names are"))
}

/// Where a path with links leads.
pub(super) fn real(path: &FilePath, last: bool) -> Result<FilePath, CallError> {
    let resolve = |path: &FilePath| {
        let real = native(path).canonicalize().map_err(|e| fault("following", path, e))?;
        FilePath::from_bytes(real.as_os_str().as_bytes())
            .map_err(|e| CallError::failed(e.to_string()))
    };
    if last || path.is_root() {
        return resolve(path);
    }
    let parent = resolve(&path.parent())?;
    parent.join(path.name()).map_err(|e| CallError::failed(e.to_string()))
}

/// The refusal of a path with links in it.
fn elsewhere(path: &FilePath, last: bool) -> CallError {
    match real(path, last) {
        Ok(real) => CallError::new(
            ErrorKind::Elsewhere,
            format!("{path} leads through a link; the place is {real}: ask for that path"),
        ),
        Err(_) => CallError::new(
            ErrorKind::NotFound,
            format!("{path} leads through a link to where nothing is"),
        ),
    }
}

/// The refusal of a link where a file is needed.
pub(super) fn is_link(path: &FilePath) -> CallError {
    elsewhere(path, true)
}

/// What a file system and a number on it name.
type Identity = (u64, u64);

fn identity(fd: impl AsFd) -> Result<Identity, Errno> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Says no: for the host's policy, and for the agent's own folder, in which its keys are.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    policy: Policy,
    own: Option<Identity>,
}

/// A name in a folder that is open.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: OwnedFd,
    pub(super) name: OsString,
    pub(super) path: FilePath,
}

impl Place {
    /// What is there; a link is looked at itself.
    pub(super) fn look(&self) -> Result<Looked, CallError> {
        Looked::at(&self.dir, &self.name).map_err(|e| fault("looking at", &self.path, e))
    }

    /// What is there, if anything.
    pub(super) fn look_if_there(&self) -> Result<Option<Looked>, CallError> {
        match Looked::at(&self.dir, &self.name) {
            Ok(looked) => Ok(Some(looked)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(fault("looking at", &self.path, e)),
        }
    }

    /// Opens it; never through a link, and never waiting for the other end of a pipe.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat(&self.dir, &self.name, flags, Mode::empty())
    }

    /// The entry, as others see it now.
    pub(super) fn entry(&self, agent: &Agent) -> Result<cmdr_protocol::files::Entry, CallError> {
        Ok(self.look()?.entry(&mut Names::new(agent)))
    }
}

impl Guard {
    pub(super) fn new(agent: &Agent) -> Self {
        let own = rustix::fs::stat(&agent.config().state_dir).ok();
        Self { policy: agent.policy().clone(), own: own.map(|stat| (stat.st_dev, stat.st_ino)) }
    }

    /// Whether the host's policy lets this path through, which has no links in it.
    pub(super) fn allows(&self, want: Want, path: &FilePath) -> Result<(), CallError> {
        self.policy.allows_path(want, &native(path))
    }

    /// Whether all that is below this folder may be moved or taken away.
    pub(super) fn allows_whole(&self, path: &FilePath) -> Result<(), CallError> {
        if self.policy.files.holds_denied(Want::Write, &native(path)) {
            return Err(CallError::denied(format!(
                "this host's policy keeps something in {path}: it is not moved or deleted whole"
            )));
        }
        Ok(())
    }

    /// Whether a move would bring what may not be read to where reading is allowed.
    pub(super) fn allows_move(&self, from: &FilePath, to: &FilePath) -> Result<(), CallError> {
        match self.allows(Want::Read, to) {
            Ok(()) => self.allows(Want::Read, from),
            Err(_) => Ok(()),
        }
    }

    /// Refuses the agent's own folder, wherever it is seen.
    pub(super) fn not_own(&self, dir: BorrowedFd<'_>, path: &FilePath) -> Result<(), CallError> {
        if self.own.is_some() && identity(dir).ok() == self.own {
            return Err(CallError::denied(format!(
                "{path} is the folder in which the agent keeps its keys; nobody reaches it from outside"
            )));
        }
        Ok(())
    }

    pub(super) fn to_read(&self, path: &FilePath) -> Result<Place, CallError> {
        self.place(Want::Read, path)
    }

    pub(super) fn to_write(&self, path: &FilePath) -> Result<Place, CallError> {
        self.place(Want::Write, path)
    }

    /// Opens the folder that `path` is in. The root is a name in itself.
    fn place(&self, want: Want, path: &FilePath) -> Result<Place, CallError> {
        self.allows(want, path)?;
        let dir = self.walk(path, path.parts().count().saturating_sub(1))?;
        let name = if path.is_root() { ".".into() } else { native_name(path.name())? };
        let place = Place { dir, name, path: path.clone() };
        // The folder itself, named as the last of the path.
        if let Ok(fd) = place.open(OFlags::PATH) {
            self.not_own(fd.as_fd(), path)?;
        }
        Ok(place)
    }

    /// Opens a folder to list it.
    pub(super) fn folder(&self, want: Want, path: &FilePath) -> Result<OwnedFd, CallError> {
        self.allows(want, path)?;
        let dir = self.walk(path, usize::MAX)?;
        openat(&dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| fault("opening", path, e))
    }

    /// Goes down the first `steps` names.
    fn walk(&self, path: &FilePath, steps: usize) -> Result<OwnedFd, CallError> {
        let mut dir =
            openat(CWD, "/", WAY, Mode::empty()).map_err(|e| fault("opening", path, e))?;
        self.not_own(dir.as_fd(), path)?;
        for name in path.parts().take(steps) {
            dir = step(&dir, &native_name(name)?).map_err(|e| match e {
                Step::Link => elsewhere(path, steps == usize::MAX),
                Step::Errno(e) => fault("opening", path, e),
            })?;
            self.not_own(dir.as_fd(), path)?;
        }
        Ok(dir)
    }
}

const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Why a step was not taken.
#[derive(Debug)]
pub(super) enum Step {
    /// There is a link.
    Link,
    Errno(Errno),
}

/// Opens a folder in a folder.
pub(super) fn step(dir: impl AsFd, name: &OsStr) -> Result<OwnedFd, Step> {
    let dir = dir.as_fd();
    openat(dir, name, WAY | OFlags::NOFOLLOW, Mode::empty()).map_err(|e| {
        let there = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let link =
            there.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink());
        if link { Step::Link } else { Step::Errno(e) }
    })
}

/// The path of `name` in `folder`, for messages and for the policy.
pub(super) fn below(folder: &FilePath, name: &[u8]) -> Result<FilePath, CallError> {
    folder.join(&escape(name)).map_err(|e| CallError::failed(e.to_string()))
}
