//! Files and folders of this machine as an archive, and an archive as files and folders here. What copies into
//! containers and out of them uses it: `docker cp` and the client.
//!
//! What comes is laid out in a folder of its own beside where it goes, and put there when all of it has come.

use cmdr_protocol::{CallError, ErrorKind};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Builder, EntryType, Header};
use tempfile::TempDir;

/// Where something from a container goes.
#[derive(Debug)]
pub struct Place {
    to: PathBuf,
    /// The folder beside, which is there.
    beside: PathBuf,
    /// Not the folder itself: what is in it.
    contents: bool,
}

/// Something that was laid out and is not in its place yet.
#[derive(Debug)]
pub struct Whole {
    place: Place,
    dir: TempDir,
    /// What it is called in the archive; none when that holds what is in a folder.
    name: Option<OsString>,
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Malformed, format!("{}: {what}", path.display()))
}

fn broke(path: &Path) -> impl Fn(io::Error) -> CallError {
    let path = path.to_owned();
    move |error| CallError::failed(format!("{}: {error}", path.display()))
}

/// Whether a path means what is in a folder.
fn is_contents(path: &str) -> bool {
    path == "." || path.ends_with("/.") || path.bytes().all(|b| b == b'/')
}

impl Place {
    /// For what has this path in a container. Fails when there is no folder to put it in.
    pub fn find(to: &Path, from: &str) -> Result<Self, CallError> {
        let beside = match fs::metadata(to) {
            Ok(meta) if meta.is_dir() => to.to_owned(),
            _ => match to.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            },
        };
        if !beside.is_dir() {
            return Err(wrong(&beside, "there is no such folder; make it first"));
        }
        Ok(Self { to: to.to_owned(), beside, contents: is_contents(from) })
    }

    /// Lays an archive out beside, to its end.
    pub fn lay(self, mut read: impl Read) -> Result<Whole, CallError> {
        let prefix = tempfile::Builder::new().prefix(".cmdr-cp-").tempdir_in(&self.beside);
        let dir = prefix.map_err(broke(&self.beside))?;
        let (mut name, mut first) = (None, true);
        let mut archive = Archive::new(&mut read);
        let entries = archive.entries().map_err(broke(&self.to))?;
        for entry in entries {
            let mut entry = entry.map_err(broke(&self.to))?;
            let path = entry.path().map_err(broke(&self.to))?.into_owned();
            if std::mem::take(&mut first) {
                name = path.components().find_map(|part| match part {
                    Component::Normal(name) => Some(name.to_owned()),
                    _ => None,
                });
            }
            let kind = entry.header().entry_type();
            // A device of a container is none here.
            if kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link() {
                // It writes nothing outside, whatever the archive says.
                entry.unpack_in(dir.path()).map_err(broke(&path))?;
            }
        }
        // What stands behind the end of an archive is read, so that whoever sends it comes to an end, too.
        io::copy(&mut read, &mut io::sink()).map_err(broke(&self.to))?;
        if first {
            return Err(wrong(&self.to, "nothing came"));
        }
        Ok(Whole { place: self, dir, name })
    }
}

impl Whole {
    /// Puts it in its place.
    pub fn keep(self) -> Result<(), CallError> {
        let Self { place, dir, name } = self;
        let contents = place.contents || name.is_none();
        let item =
            name.as_ref().map_or_else(|| dir.path().to_owned(), |name| dir.path().join(name));
        let to = match fs::metadata(&place.to) {
            Ok(meta) if meta.is_dir() && contents => place.to,
            Ok(meta) if meta.is_dir() => place.to.join(name.unwrap_or_default()),
            Ok(_) if item.is_dir() => {
                return Err(wrong(&place.to, "it is a file, and a folder cannot take its place"));
            }
            Err(_) if place.to.as_os_str().to_string_lossy().ends_with('/') && !item.is_dir() => {
                return Err(wrong(&place.to, "there is no such folder; make it first"));
            }
            Ok(_) | Err(_) => place.to,
        };
        merge(&item, &to)
    }
}

/// Moves something to a place; of folders that are there what is in them.
fn merge(from: &Path, to: &Path) -> Result<(), CallError> {
    let is_folder = fs::symlink_metadata(from).map_err(broke(from))?.is_dir();
    let there = fs::metadata(to).map(|meta| meta.is_dir());
    if is_folder {
        match there {
            Ok(true) => {}
            Ok(false) => return Err(wrong(to, "it is a file, and a folder cannot take its place")),
            Err(_) => fs::create_dir(to).map_err(broke(to))?,
        }
        for entry in fs::read_dir(from).map_err(broke(from))? {
            let entry = entry.map_err(broke(from))?;
            merge(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if there.is_ok_and(|is_dir| is_dir) && !to.is_symlink() {
        return Err(wrong(to, "it is a folder, and a file cannot take its place"));
    }
    fs::rename(from, to).map_err(broke(to))
}

/// Something of this machine that goes into a container.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    is_folder: bool,
    contents: bool,
}

impl Source {
    /// What is there.
    pub fn find(path: &Path) -> Result<Self, CallError> {
        let contents = is_contents(&path.to_string_lossy());
        let meta = if contents { fs::metadata(path) } else { fs::symlink_metadata(path) };
        let is_folder = meta.map_err(|error| wrong(path, error))?.is_dir();
        Ok(Self { path: path.to_owned(), is_folder, contents })
    }

    /// In which folder of the container it is laid out, and under which name there.
    pub fn aim(&self, to: &str, is_folder: bool) -> Result<(String, OsString), CallError> {
        if is_folder {
            let own = self.path.canonicalize().ok();
            let own = self.path.file_name().or_else(|| own.as_deref().and_then(Path::file_name));
            let name = own.filter(|_| !self.contents).unwrap_or(OsStr::new("."));
            return Ok((to.to_owned(), name.to_owned()));
        }
        if to.ends_with('/') && !self.is_folder {
            let what = format!("{to} is no folder of the container");
            return Err(CallError::new(ErrorKind::Malformed, what));
        }
        let to = to.trim_end_matches('/');
        let (folder, name) = to.rsplit_once('/').unwrap_or((".", to));
        let folder = if folder.is_empty() { "/" } else { folder };
        Ok((folder.to_owned(), OsString::from(name)))
    }

    /// Writes the archive; what was passed over because it is no file, folder or link.
    pub fn pack(&self, name: &OsStr, write: impl Write) -> Result<Vec<String>, CallError> {
        let mut builder = Builder::new(write);
        let (mut todo, mut passed_over) = (vec![(self.path.clone(), PathBuf::from(name))], vec![]);
        while let Some((path, name)) = todo.pop() {
            let whole = self.contents && path == self.path;
            let meta = if whole { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
            let meta = meta.map_err(broke(&path))?;
            let mut header = Header::new_gnu();
            header.set_metadata(&meta);
            // It belongs to the container's root, not to somebody there who has our number.
            header.set_uid(0);
            header.set_gid(0);
            if meta.is_dir() {
                builder.append_data(&mut header, &name, io::empty()).map_err(broke(&path))?;
                for entry in fs::read_dir(&path).map_err(broke(&path))? {
                    let entry = entry.map_err(broke(&path))?;
                    todo.push((entry.path(), name.join(entry.file_name())));
                }
            } else if meta.is_symlink() {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                let target = fs::read_link(&path).map_err(broke(&path))?;
                builder.append_link(&mut header, &name, target).map_err(broke(&path))?;
            } else if meta.is_file() {
                let file = File::open(&path).map_err(broke(&path))?;
                // One that shrinks meanwhile is as long as was said all the same.
                let bytes = file.chain(io::repeat(0)).take(meta.len());
                builder.append_data(&mut header, &name, bytes).map_err(broke(&path))?;
            } else {
                passed_over.push(path.display().to_string());
            }
        }
        builder.into_inner().and_then(|mut write| write.flush()).map_err(broke(&self.path))?;
        Ok(passed_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a folder in it, packed under this name.
    fn packed(dir: &Path, from: &str, name: &str) -> Vec<u8> {
        fs::create_dir_all(dir.join("site/sub")).unwrap();
        fs::write(dir.join("site/a"), "one").unwrap();
        fs::write(dir.join("site/sub/b"), "two").unwrap();
        std::os::unix::fs::symlink("a", dir.join("site/link")).ok();
        let mut bytes = Vec::new();
        let source = Source::find(&dir.join(from)).unwrap();
        assert!(source.pack(OsStr::new(name), &mut bytes).unwrap().is_empty());
        bytes
    }

    fn put(to: &Path, from: &str, bytes: &[u8]) -> Result<(), CallError> {
        Place::find(to, from)?.lay(bytes)?.keep()
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| error.kind().to_string())
    }

    #[test]
    fn a_folder_goes_into_one_that_is_there_and_else_gets_the_name_that_was_said() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = packed(dir.path(), "site", "site");
        let there = dir.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::create_dir(there.join("site")).unwrap();
        fs::write(there.join("site/kept"), "kept").unwrap();
        put(&there, "/srv/site", &bytes).unwrap();
        assert_eq!(text(&there.join("site/sub/b")) + &text(&there.join("site/kept")), "twokept");
        assert_eq!(fs::read_link(there.join("site/link")).unwrap(), Path::new("a"));
        put(&dir.path().join("new"), "/srv/site", &bytes).unwrap();
        assert_eq!(text(&dir.path().join("new/a")), "one");
        let bytes = packed(dir.path(), "site/.", ".");
        put(&there, "/srv/site/.", &bytes).unwrap();
        assert_eq!(text(&there.join("sub/b")), "two");
        // Nothing is left of where it was laid out.
        let hidden = fs::read_dir(&there).unwrap().flatten();
        assert!(hidden.filter(|e| e.file_name().to_string_lossy().starts_with('.')).count() == 0);
    }

    #[test]
    fn a_file_takes_the_place_of_a_file_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = packed(dir.path(), "site/a", "a");
        let file = dir.path().join("file");
        fs::write(&file, "old").unwrap();
        put(&file, "/a", &bytes).unwrap();
        assert_eq!(text(&file), "one");
        assert!(put(&file, "/site", &packed(dir.path(), "site", "site")).is_err());
        assert!(put(&dir.path().join("none/"), "/a", &bytes).is_err());
        assert!(put(&dir.path().join("none/deep"), "/a", &bytes).is_err());
        fs::create_dir(dir.path().join("a")).unwrap();
        assert!(put(dir.path(), "/a", &bytes).is_err());
        assert_eq!(text(&file), "one");
    }

    #[test]
    fn an_archive_that_leads_elsewhere_or_is_cut_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, "out", dir.path()).unwrap();
        let mut header = Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o4755);
        builder.append_data(&mut header, "out/evil", &b"evil"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        assert!(put(&inner, "/out", &bytes).is_err());
        let bytes = packed(dir.path(), "site", "site");
        assert!(put(&inner, "/site", &bytes[..1200]).is_err());
        assert!(put(&inner, "/site", &[]).is_err());
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
        assert!(!dir.path().join("evil").exists());
    }

    #[test]
    fn what_goes_in_is_aimed_as_docker_does() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("site")).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        let aim = |from: &str, to, is_folder| {
            Source::find(&dir.path().join(from)).unwrap().aim(to, is_folder).ok()
        };
        let is = |folder: &str, name: &str| Some((folder.to_owned(), OsString::from(name)));
        assert_eq!(aim("f", "/srv", true), is("/srv", "f"));
        assert_eq!(aim("f", "/srv/g", false), is("/srv", "g"));
        assert_eq!(aim("f", "/g", false), is("/", "g"));
        assert_eq!(aim("f", "/srv/g/", false), None);
        assert_eq!(aim("site", "/srv/new/", false), is("/srv", "new"));
        assert_eq!(aim("site/.", "/srv", true), is("/srv", "."));
    }
}
