//! A file that appears whole or not at all. Used by verbs that save what the hub sends.

use crate::exit::Failure;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file beside the one that is meant, for its owner alone; it goes away unless it is put in place.
#[derive(Debug)]
pub struct Partial {
    place: PathBuf,
    path: PathBuf,
    out: io::BufWriter<File>,
    bytes: u64,
}

impl Partial {
    /// Begins to write `place`.
    pub fn create(place: &Path) -> Result<Self, Failure> {
        let mut name = place
            .file_name()
            .ok_or_else(|| Failure::usage(format!("'{}' names no file", place.display())))?
            .to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let path = place.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|e| wrong(place, &e))?;
        let out = io::BufWriter::new(file);
        Ok(Self { place: place.to_owned(), path, out, bytes: 0 })
    }

    /// Writes more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|e| wrong(&self.place, &e))
    }

    /// Puts it in place once it is on disk; one that is there is replaced. Says how long it is.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let dir = self.place.parent().filter(|d| !d.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&self.path, &self.place))
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(|e| wrong(&self.place, &e))?;
        Ok(self.bytes)
    }
}

fn wrong(place: &Path, e: &io::Error) -> Failure {
    Failure::failed(format!("writing {}: {e}", place.display()))
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is none.
        std::fs::remove_file(&self.path).ok();
    }
}
