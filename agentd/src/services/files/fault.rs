//! What the system says when something does not work, in words that say what to do.

use cmdr_protocol::files::FilePath;
use cmdr_protocol::{CallError, ErrorKind};
use rustix::io::Errno;
use std::io;

/// The error of `doing` something with `path`.
pub(super) fn fault(doing: &str, path: &FilePath, error: impl Into<io::Error>) -> CallError {
    let error = error.into();
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let (kind, what) = match errno {
        Some(Errno::NOENT) => (ErrorKind::NotFound, "there is no such file or folder"),
        Some(Errno::ACCESS | Errno::PERM) => {
            (ErrorKind::Denied, "the host's system does not let its agent do that")
        }
        Some(Errno::ROFS) => (ErrorKind::Denied, "the file system can only be read"),
        Some(Errno::NOSPC | Errno::DQUOT) => {
            (ErrorKind::Busy, "there is no room left on the disk; nothing of it was kept")
        }
        Some(Errno::FBIG) => (ErrorKind::Busy, "it is larger than the system lets files be"),
        Some(Errno::NAMETOOLONG) => {
            (ErrorKind::Failed, "the name is too long for this file system")
        }
        Some(Errno::ISDIR) => (ErrorKind::Conflict, "it is a folder"),
        Some(Errno::NOTDIR) => (ErrorKind::Conflict, "something on the way is no folder"),
        Some(Errno::EXIST) => (ErrorKind::Conflict, "there is something of this name already"),
        Some(Errno::NOTEMPTY) => (ErrorKind::Conflict, "the folder is not empty"),
        Some(Errno::XDEV) => {
            (ErrorKind::Failed, "it is on another file system; copy it and delete it here")
        }
        Some(Errno::BUSY) => (ErrorKind::Busy, "the host's system uses it"),
        Some(Errno::AGAIN) => (ErrorKind::Failed, "it gives nothing to read now, and may never"),
        Some(Errno::IO) => (
            ErrorKind::Failed,
            "the host's system could not; its kernel's log may say why: cmdr logs HOST:kernel",
        ),
        Some(Errno::MFILE | Errno::NFILE) => (ErrorKind::Busy, "the host has too many files open"),
        _ => return CallError::failed(format!("{doing} {path}: {error}")),
    };
    CallError::new(kind, format!("{doing} {path}: {what}"))
}

/// The error of a file that is not what the caller saw.
pub(super) fn changed(path: &FilePath) -> CallError {
    CallError::new(
        ErrorKind::Conflict,
        format!("{path} has been changed or replaced since it was looked at; look at it again"),
    )
}
