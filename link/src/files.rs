//! Files that only their owner may read, written so that a crash leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Makes a folder and its parents for the owner alone. One that is there already is left as it is.
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces `path` with `content`, mode 0600, on disk when this returns.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Has what was renamed or made in a folder on disk when this returns.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A file for its owner alone that appears whole or not at all: it is written beside the one that is
/// meant and goes away unless it is put in place.
#[derive(Debug)]
pub struct Partial {
    place: PathBuf,
    path: PathBuf,
    out: io::BufWriter<File>,
    bytes: u64,
}

impl Partial {
    /// Begins to write `place`.
    pub fn create(place: &Path) -> io::Result<Self> {
        let name = place.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file's name")
        })?;
        let mut name = name.to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = place.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let out = io::BufWriter::new(file);
        Ok(Self { place: place.to_owned(), path, out, bytes: 0 })
    }

    /// Writes more.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Puts it in place once it is on disk; one that is there is replaced. Says how long it is.
    pub fn finish(mut self) -> io::Result<u64> {
        let dir = self.place.parent().filter(|d| !d.as_os_str().is_empty());
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        fs::rename(&self.path, &self.place)?;
        File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(self.bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is none.
        fs::remove_file(&self.path).ok();
    }
}

/// Reads a file of at most `limit` bytes that nobody but its owner may read.
pub fn read_private(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "its mode {mode:03o} lets others read it; make it private with: chmod 600 {}",
                path.display()
            ),
        ));
    }
    if meta.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than {limit} bytes"),
        ));
    }
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

/// Why something went wrong, in the system's words and without its number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// The folder for everything of this user's: `$CMDR_HOME`, else `cmdr` in the user's state folder.
pub fn home() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("CMDR_HOME")
        .or_else(|| set("XDG_STATE_HOME").map(|d| d.join("cmdr")))
        .or_else(|| set("HOME").map(|d| d.join(".local/state/cmdr")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/cmdr"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_private(&path, 10).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_partial_file_is_in_place_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let mut half = Partial::create(&path).unwrap();
        half.write(b"half").unwrap();
        drop(half);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut whole = Partial::create(&path).unwrap();
        whole.write(b"whole").unwrap();
        assert_eq!(whole.finish().unwrap(), 5);
        assert_eq!(read_private(&path, 10).unwrap(), b"whole");
        assert!(Partial::create(Path::new("/")).is_err());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_private(&path, 10).unwrap_err().to_string();
        assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    }
}
