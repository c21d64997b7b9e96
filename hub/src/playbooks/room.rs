//! The room that one playbook's folder may take on the hub's disk, and how it is taken away again. What is in it
//! was put there by the playbook, which means well or not: folders that cannot be looked into, thousands in one another.

use super::cage;
use cmdr_link::blobs::leaves_room;
use cmdr_link::files::reason;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, renameat, unlinkat};
use std::ffi::CStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes that it may take, files and folders that may be in it, folders in one another.
const MOST: u64 = 1 << 30;
const ENTRIES: u64 = 100_000;
const DEPTH: usize = 64;
/// It ends where so much more would leave too little of the disk: it is looked at now and then only.
const MARGIN: u64 = 256 << 20;
/// Where Python has its locks, playbooks may take so many bytes.
const LOCKS: u64 = 64 << 20;

/// What is looked at while a playbook runs.
pub(super) struct Room {
    folder: PathBuf,
    /// What else may be where the locks are: of a user who does not only keep the hub, what was there before.
    others: u64,
}

impl Room {
    pub(super) fn new(folder: &Path) -> Self {
        let is_root = rustix::process::getuid().is_root();
        Self { folder: folder.to_owned(), others: if is_root { locks() } else { 0 } }
    }

    /// Why it may not go on.
    pub(super) fn is_over(&self) -> Option<String> {
        let fits = fits(&self.folder, MOST, ENTRIES);
        if let Err(why) = fits {
            return Some(why);
        }
        if let Err(e) = File::open(&self.folder).and_then(|folder| leaves_room(&folder, MARGIN)) {
            return Some(format!("the disk of the hub's data: {}", reason(&e)));
        }
        let left = locks().saturating_sub(self.others);
        let what = || {
            let (place, left) = (cage::LOCKS, left >> 20);
            format!("playbooks have {left} MiB in {place}; remove there what is of the hub's user")
        };
        (left > LOCKS).then(what)
    }
}

/// Bytes of this user's files where Python has its locks.
fn locks() -> u64 {
    let own = rustix::process::getuid().as_raw();
    let files = std::fs::read_dir(cage::LOCKS).into_iter().flatten().flatten();
    let of = |meta: Metadata| (meta.uid() == own && meta.is_file()).then_some(meta.blocks() * 512);
    files.filter_map(|file| of(file.metadata().ok()?)).sum()
}

/// Set by the unit that gives the hub a `/dev/shm` of its own.
const OWN: &str = "CMDR_OWN_SHM";

/// Removes what playbooks have left where Python has its locks. Only where that place is the hub's own, and while none
/// is played: else it may be somebody else's.
pub(crate) fn clear_locks() {
    if std::env::var_os(OWN).is_some_and(|own| own == "yes") {
        empty(Path::new(cage::LOCKS));
    }
}

/// Removes the files in a folder that a playbook can have made there.
fn empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Err(e) = std::fs::remove_file(entry.path())
        {
            tracing::warn!("removing what a playbook left at {}: {e}", entry.path().display());
        }
    }
}

/// Whether a folder takes no more than this; else what is wrong with it.
fn fits(folder: &Path, most: u64, entries: u64) -> Result<(), String> {
    let (mut bytes, mut count) = (0u64, 0u64);
    let mut folders = vec![(folder.to_owned(), 0)];
    // Whatever is not there any more was taken away by the playbook itself.
    let unseen = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => {
            Err(format!("there is a folder in its own that cannot be looked into: {}", reason(&e)))
        }
    };
    while let Some((folder, depth)) = folders.pop() {
        if depth > DEPTH {
            return Err(format!("it made more than {DEPTH} folders in one another"));
        }
        let inside = match std::fs::read_dir(&folder) {
            Ok(inside) => inside,
            Err(e) => {
                unseen(e)?;
                continue;
            }
        };
        for entry in inside {
            let meta = match entry.and_then(|entry| Ok((entry.metadata()?, entry))) {
                Ok((meta, entry)) => {
                    if meta.is_dir() {
                        folders.push((entry.path(), depth + 1));
                    }
                    meta
                }
                Err(e) => {
                    unseen(e)?;
                    continue;
                }
            };
            (bytes, count) = (bytes.saturating_add(meta.blocks() * 512), count + 1);
            if bytes > most {
                return Err(format!("its files took more than {} MiB", most >> 20));
            }
            if count > entries {
                return Err(format!("it made more than {entries} files"));
            }
        }
    }
    Ok(())
}

/// Takes a folder away with all that is in it. However deep that is, only two folders are open at a time: each that is
/// found in another is moved to the top first.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let (Some(place), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let name = std::ffi::CString::new(name.as_encoded_bytes())?;
    let place = openat(CWD, place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, none())?;
    let top = open(&place, &name)?;
    // Whatever the names are that were chosen in there, these are others.
    let mut moved = Moved { random: getrandom::u64().map_err(io::Error::other)?, count: 0 };
    loop {
        let (mut found, mut gone, mut wrong) = (false, false, None);
        for entry in Dir::read_from(&top)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_own(name) {
                continue;
            }
            found = true;
            let taken = match unlinkat(&top, name, AtFlags::empty()) {
                Ok(()) => Ok(true),
                Err(_) => flatten(&top, name, &mut moved),
            };
            match taken {
                Ok(some) => gone |= some,
                Err(e) => wrong = Some(e),
            }
        }
        if !found {
            return Ok(unlinkat(&place, &*name, AtFlags::REMOVEDIR)?);
        }
        if !gone {
            return Err(wrong.unwrap_or_else(|| io::ErrorKind::DirectoryNotEmpty.into()));
        }
    }
}

/// Names for folders that are moved.
struct Moved {
    random: u64,
    count: u64,
}

/// Takes a folder away, and moves those in it to the top; whether anything came of it.
fn flatten(top: &OwnedFd, name: &CStr, moved: &mut Moved) -> io::Result<bool> {
    let folder = open(top, name)?;
    let mut some = false;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let inner = entry.file_name();
        if is_own(inner) {
            continue;
        }
        if unlinkat(&folder, inner, AtFlags::empty()).is_err() {
            // Who moves a folder writes it.
            drop(open(&folder, inner)?);
            moved.count += 1;
            let to = format!("{:016x}.{}", moved.random, moved.count);
            renameat(&folder, inner, top, to)?;
        }
        some = true;
    }
    Ok(unlinkat(top, name, AtFlags::REMOVEDIR).is_ok() || some)
}

fn is_own(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

const fn none() -> Mode {
    Mode::empty()
}

/// Opens a folder, no link, that its owner may look into and change from now on.
fn open(place: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let there = openat(place, name, flags | OFlags::PATH | OFlags::NOFOLLOW, none())?;
    // The folder itself, whatever stands in its place meanwhile.
    let itself = format!("/proc/self/fd/{}", there.as_raw_fd());
    std::fs::set_permissions(itself, std::fs::Permissions::from_mode(0o700))?;
    Ok(openat(&there, c".", flags | OFlags::RDONLY, none())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;

    #[test]
    fn what_is_left_where_locks_are_is_removed_and_nothing_beside_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["sem.mp-1", "left"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        empty(dir.path());
        let left = std::fs::read_dir(dir.path()).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["folder", "link"]);
        // Of a machine where it is not known to be the hub's own, nothing.
        let theirs = Path::new(cage::LOCKS).join(format!("cmdr-test-{}", std::process::id()));
        std::fs::write(&theirs, "x").unwrap();
        clear_locks();
        assert!(std::fs::remove_file(&theirs).is_ok());
    }

    #[test]
    fn what_takes_too_much_room_is_told_from_what_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let of = |most, entries| fits(dir.path(), most, entries);
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), vec![1; 2 << 20]).unwrap();
        assert_eq!(of(3 << 20, 2), Ok(()));
        assert!(of(1 << 20, 2).unwrap_err().contains("more than 1 MiB"));
        assert!(of(3 << 20, 1).unwrap_err().contains("more than 1 files"));
        assert_eq!(fits(&dir.path().join("gone"), 1, 1), Ok(()));
        let deep: PathBuf = (0..=DEPTH).map(|_| "d").collect();
        std::fs::create_dir_all(dir.path().join(deep)).unwrap();
        assert!(of(3 << 20, 1000).unwrap_err().contains("in one another"));
    }

    #[test]
    fn a_folder_is_gone_however_deep_it_is_and_whatever_its_permissions_are() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, other) = (dir.path().join("folder"), dir.path().join("other"));
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("stays"), "x").unwrap();
        std::fs::create_dir_all(folder.join("shut/in")).unwrap();
        std::fs::write(folder.join("shut/in/file"), "x").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("link")).unwrap();
        let mode = |path: &str, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.join(path), mode).unwrap();
        };
        mode("shut/in", 0);
        mode("shut", 0);
        // Deeper than any path reaches, and than descriptors do.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = openat(CWD, &folder, flags, none()).unwrap();
        for _ in 0..2000 {
            mkdirat(&at, "deep", Mode::RWXU).unwrap();
            at = openat(&at, "deep", flags, none()).unwrap();
        }
        drop(at);
        remove(&folder).unwrap();
        assert!(!folder.exists() && other.join("stays").exists());
        assert!(remove(&folder).is_err());
    }
}
