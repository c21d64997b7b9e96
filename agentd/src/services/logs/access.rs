//! Opens files to read lines of, and nothing else: plain files, by their real names, where the host's
//! owner allows it, never the agent's own.

use crate::Agent;
use crate::policy::Policy;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{FileType, Mode, OFlags, open};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Rotated files of one log that are looked at.
const MOST_ROTATED: usize = 64;
/// Names of a folder that are looked at for them.
const MOST_NAMES: usize = 20_000;

/// Who may read what.
#[derive(Clone, Debug)]
pub(super) struct Access {
    policy: Arc<Policy>,
    state_dir: PathBuf,
}

/// A file that may be read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// How a file's bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    No,
    Gzip,
    Zstd,
    Xz,
    /// In a way that is not read here.
    Else,
}

/// A file that was rotated away from a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) packed: Packed,
    pub(super) inode: u64,
    pub(super) changed_ms: u64,
}

impl Opened {
    pub(super) fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }
}

fn shown(path: &Path) -> String {
    clean_to_width(&path.to_string_lossy(), 300)
}

/// Milliseconds since 1970 of the last change.
pub(super) fn changed_ms(meta: &std::fs::Metadata) -> u64 {
    u64::try_from(meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000).unwrap_or(0)
}

/// Reads a path as it stands in a request: from the root, without detours.
pub(super) fn checked(name: &str) -> Result<PathBuf, CallError> {
    let path = Path::new(name);
    let straight = name.starts_with('/')
        && !name.ends_with('/')
        && !name.contains("//")
        && !name.contains('\0')
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !name.split('/').any(|part| part == ".");
    if !straight {
        return Err(CallError::malformed(format!(
            "'{}' is no path from the root without '.' and '..'",
            shown(path)
        )));
    }
    Ok(path.to_owned())
}

impl Access {
    pub(super) fn of(agent: &Agent) -> Self {
        let state_dir = &agent.config().state_dir;
        let state_dir = state_dir.canonicalize().unwrap_or_else(|_| state_dir.clone());
        Self { policy: Arc::new(agent.policy().clone()), state_dir }
    }

    /// Whether the owner lets a file of this real name be read.
    pub(super) fn allows(&self, path: &Path) -> Result<(), CallError> {
        let ours = path.starts_with(&self.state_dir);
        let no_log = ["/proc", "/sys", "/dev"].iter().any(|root| path.starts_with(root));
        if ours || no_log {
            let what = if ours { "belongs to the agent itself" } else { "is no log" };
            return Err(CallError::denied(format!("{} {what}", shown(path))));
        }
        self.policy.allows_log(path)
    }

    /// Opens a file by its real name. Nothing happens to what is no plain file, not even an `open`.
    pub(super) fn open(&self, path: &Path) -> Result<Opened, CallError> {
        // Before anything is told about it.
        self.allows(path)?;
        let fail = |e: io::Error| failed(path, &e);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = open(path, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
        let handle = format!("/proc/self/fd/{}", place.as_raw_fd());
        let stat = rustix::fs::fstat(&place).map_err(|e| fail(e.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => {
                let to = path.canonicalize().ok().filter(|to| self.allows(to).is_ok());
                let to = to.map_or_else(String::new, |to| format!("; ask for {}", shown(&to)));
                return Err(CallError::denied(format!("{} is a link{to}", shown(path))));
            }
            _ => {
                return Err(CallError::denied(format!("{} is no plain file", shown(path))));
            }
        }
        let real = std::fs::read_link(&handle).map_err(fail)?;
        if real != path {
            // A folder on the way is a link.
            let to = if self.allows(&real).is_ok() {
                format!("; ask for {}", shown(&real))
            } else {
                String::new()
            };
            return Err(CallError::denied(format!("{} leads elsewhere{to}", shown(path))));
        }
        let file = File::open(&handle).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        Ok(Opened { file, device: meta.dev(), inode: meta.ino() })
    }

    /// The files that were rotated away from a log, the newest first. A packed file that is asked for by its
    /// own name is its own only one: nothing is written to it any more.
    pub(super) fn rotated(&self, path: &Path) -> Vec<Rotated> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        let name = name.to_string_lossy();
        let packed = packing(&name).1;
        if packed != Packed::No {
            let meta = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
            let own = meta.map(|meta| Rotated {
                path: path.to_owned(),
                packed,
                inode: meta.ino(),
                changed_ms: changed_ms(&meta),
            });
            return own.into_iter().collect();
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten().take(MOST_NAMES) {
            let Some(packed) = rotation(&name, &entry.file_name().to_string_lossy()) else {
                continue;
            };
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_file() && self.allows(&entry.path()).is_ok() {
                let (inode, changed_ms) = (meta.ino(), changed_ms(&meta));
                found.push(Rotated { path: entry.path(), packed, inode, changed_ms });
            }
        }
        found.sort_by(|a, b| b.changed_ms.cmp(&a.changed_ms).then_with(|| a.path.cmp(&b.path)));
        found.truncate(MOST_ROTATED);
        found
    }
}

/// A file's name without what says how it is packed, and how it is.
pub(super) fn packing(name: &str) -> (&str, Packed) {
    let known = [
        (".gz", Packed::Gzip),
        (".zst", Packed::Zstd),
        (".xz", Packed::Xz),
        (".bz2", Packed::Else),
        (".lz4", Packed::Else),
        (".lzma", Packed::Else),
    ];
    let found = known.into_iter().find_map(|(end, packed)| Some((name.strip_suffix(end)?, packed)));
    found.unwrap_or((name, Packed::No))
}

/// How the file `other` is packed, when it was rotated away from `name`: `syslog.1`, `syslog.2.gz`,
/// `app.log-20261120.zst`, `app.log.2026-11-20`.
pub(super) fn rotation(name: &str, other: &str) -> Option<Packed> {
    let (rest, packed) = packing(other.strip_prefix(name)?);
    let number = rest.strip_prefix(['.', '-'])?;
    let is_number = number.bytes().any(|b| b.is_ascii_digit())
        && number
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.' | b'T' | b'Z'));
    is_number.then_some(packed)
}

/// Why a file cannot be read.
pub(super) fn failed(path: &Path, error: &io::Error) -> CallError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
        _ => ErrorKind::Failed,
    };
    CallError::new(kind, format!("reading {}: {}", shown(path), cmdr_link::files::reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_told_from_neighbours() {
        assert_eq!(rotation("syslog", "syslog.1"), Some(Packed::No));
        assert_eq!(rotation("syslog", "syslog.2.gz"), Some(Packed::Gzip));
        assert_eq!(rotation("app.log", "app.log-20261120.zst"), Some(Packed::Zstd));
        assert_eq!(rotation("app.log", "app.log.2026-11-20"), Some(Packed::No));
        assert_eq!(rotation("app.log", "app.log.3.xz"), Some(Packed::Xz));
        assert_eq!(rotation("app.log", "app.log.4.bz2"), Some(Packed::Else));
        for other in
            ["syslog", "syslog-old", "syslog.d", "syslog2", "syslog.", "auth.log.1", "syslog.gz"]
        {
            assert_eq!(rotation("syslog", other), None, "{other}");
        }
    }

    #[test]
    fn only_straight_paths_are_paths() {
        assert!(checked("/var/log/a b:c").is_ok());
        for wrong in
            ["", "var/log", "/var/../etc/shadow", "/var/./log", "/var//log", "/var/log/", "/a\0b"]
        {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
    }
}
