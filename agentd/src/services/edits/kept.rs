//! Texts that files had, in the agent's folder: for each file an index and one packed text for each version.
//! Bounded for each file and altogether; the oldest go first.

use crate::services::files::whole::{Owned, Present};
use cmdr_link::files::{private_dir, read_private, write_private};
use cmdr_link::packed::hash;
use cmdr_protocol::CallError;
use cmdr_protocol::edits::{Came, KEPT, MOST, Version};
use cmdr_protocol::files::FilePath;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// What all versions may take on the disk.
const ALTOGETHER: u64 = 64 << 20;
/// What a version takes besides its text.
const BESIDES: u64 = 4096;
/// The largest index that is read.
const INDEX: u64 = 256 * 1024;

/// Those that an armed edit needs: they are not taken away.
pub(super) type Needed = HashSet<(FilePath, u64)>;

/// What came to its place, and how.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) came: Came,
    pub(super) by: String,
    pub(super) note: String,
    pub(super) at_ms: u64,
}

/// The list of a file's versions, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Index {
    path: FilePath,
    next: u64,
    versions: Vec<Version>,
}

/// All versions of all files.
#[derive(Debug)]
pub(super) struct Versions {
    dir: PathBuf,
    /// Bytes on the disk; counted when first needed.
    bytes: Option<u64>,
    most: u64,
}

fn wrong(doing: &str, error: &io::Error) -> CallError {
    let what = cmdr_link::files::reason(error);
    CallError::failed(format!("{doing} the versions that the agent keeps: {what}"))
}

impl Versions {
    pub(super) const fn new(dir: PathBuf) -> Self {
        Self { dir, bytes: None, most: ALTOGETHER }
    }

    fn folder(&self, path: &FilePath) -> PathBuf {
        self.dir.join(&hash(path.as_str().as_bytes())[..32])
    }

    fn index(&self, path: &FilePath) -> Result<Index, CallError> {
        match read_index(&self.folder(path)) {
            Ok(index) => Ok(index),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Ok(Index { path: path.clone(), next: 1, versions: Vec::new() })
            }
            Err(e) => Err(wrong("reading", &e)),
        }
    }

    fn write(&self, index: &Index) -> Result<(), CallError> {
        let text = serde_json::to_vec(index).map_err(|e| CallError::failed(e.to_string()))?;
        write_private(&self.folder(&index.path).join("index"), &text)
            .map_err(|e| wrong("writing", &e))
    }

    /// All of a file, newest first.
    pub(super) fn list(&self, path: &FilePath) -> Result<Vec<Version>, CallError> {
        let mut versions = self.index(path)?.versions;
        versions.reverse();
        Ok(versions)
    }

    /// One with its text.
    pub(super) fn get(
        &self,
        path: &FilePath,
        number: u64,
    ) -> Result<(Version, Vec<u8>), CallError> {
        let versions = self.index(path)?.versions;
        let version = versions.into_iter().find(|version| version.number == number);
        let version = version.ok_or_else(|| {
            CallError::not_found(format!("no version {number} of {path} is kept"))
        })?;
        let packed = std::fs::File::open(self.folder(path).join(number.to_string()));
        let mut text = Vec::new();
        packed
            .and_then(zstd::stream::read::Decoder::new)
            .and_then(|decoder| decoder.take(MOST as u64 + 1).read_to_end(&mut text))
            .map_err(|e| wrong("reading", &e))?;
        if hash(&text) != version.hash {
            return Err(CallError::failed(format!(
                "version {number} of {path} is damaged on the agent's disk and is not used"
            )));
        }
        Ok((version, text))
    }

    /// Keeps what is there, unless it is kept already; says under which number.
    pub(super) fn keep(
        &mut self,
        path: &FilePath,
        present: &Present,
        at_ms: u64,
        needed: &Needed,
    ) -> Result<u64, CallError> {
        let (sum, owned) = (hash(&present.text), present.owned());
        let same = |version: &&Version| version.hash == sum && owned_of(version) == owned;
        if let Some(version) = self.index(path)?.versions.iter().rev().find(same) {
            return Ok(version.number);
        }
        let found = Arrival { came: Came::Found, by: String::new(), note: String::new(), at_ms };
        self.add(path, &present.text, owned, found, needed)
    }

    /// Keeps a text that is about to come to its place.
    pub(super) fn add(
        &mut self,
        path: &FilePath,
        text: &[u8],
        owned: Owned,
        arrival: Arrival,
        needed: &Needed,
    ) -> Result<u64, CallError> {
        let folder = self.folder(path);
        private_dir(&folder).map_err(|e| wrong("making a folder for", &e))?;
        let mut index = self.index(path)?;
        let number = index.next.max(1);
        let packed = zstd::bulk::compress(text, 3).map_err(|e| wrong("packing", &e))?;
        let place = folder.join(number.to_string());
        let written = write_private(&place, &packed);
        let Arrival { came, by, note, at_ms } = arrival;
        let (uid, gid) = owned.owner.unwrap_or_default();
        let (hash, size, mode) = (hash(text), text.len() as u64, owned.mode);
        let version = Version { number, at_ms, came, by, note, hash, size, mode, uid, gid };
        index.next = number + 1;
        index.versions.push(version);
        let noted = written.map_err(|e| wrong("writing", &e)).and_then(|()| self.write(&index));
        if let Err(e) = noted {
            self.take_away(&folder, &[number]);
            return Err(e);
        }
        let bytes = self.counted();
        self.bytes = Some(bytes + packed.len() as u64 + BESIDES);
        self.thin(&mut index, number, needed);
        self.prune(path, number, needed);
        Ok(number)
    }

    /// Forgets one that never came to its place.
    pub(super) fn forget(&mut self, path: &FilePath, number: u64) {
        let Ok(mut index) = self.index(path) else { return };
        index.versions.retain(|version| version.number != number);
        if self.write(&index).is_ok() {
            self.take_away(&self.folder(path), &[number]);
            self.bytes = None;
        }
    }

    /// No more of one file than are kept.
    fn thin(&mut self, index: &mut Index, newest: u64, needed: &Needed) {
        let mut gone = Vec::new();
        while index.versions.len() > KEPT {
            let free = |version: &Version| {
                version.number != newest && !needed.contains(&(index.path.clone(), version.number))
            };
            let Some(at) = index.versions.iter().position(free) else { break };
            gone.push(index.versions.remove(at).number);
        }
        if !gone.is_empty() && self.write(index).is_ok() {
            self.take_away(&self.folder(&index.path), &gone);
            self.bytes = None;
        }
    }

    /// No more altogether than there is room for.
    fn prune(&mut self, path: &FilePath, newest: u64, needed: &Needed) {
        if self.counted() <= self.most {
            return;
        }
        let mut all: Vec<(u64, Index, u64)> = Vec::new();
        for index in self.folders().filter_map(|folder| read_index(&folder).ok()) {
            for version in &index.versions {
                all.push((version.at_ms, index.clone(), version.number));
            }
        }
        all.sort_by_key(|(at_ms, _, number)| (*at_ms, *number));
        for (_, index, number) in all {
            if self.counted() <= self.most {
                return;
            }
            let key = (index.path.clone(), number);
            if key != (path.clone(), newest) && !needed.contains(&key) {
                self.forget(&index.path, number);
            }
        }
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().map_while(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| path.is_dir())
    }

    fn counted(&mut self) -> u64 {
        if let Some(bytes) = self.bytes {
            return bytes;
        }
        let size =
            |entry: std::fs::DirEntry| entry.metadata().map_or(0, |meta| meta.len() + BESIDES);
        let files = self.folders().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten());
        let bytes = files.map_while(Result::ok).map(size).sum();
        self.bytes = Some(bytes);
        bytes
    }

    // It is in no index any more: what stays behind is in nobody's way.
    #[expect(clippy::unused_self, reason = "it is about these versions")]
    fn take_away(&self, folder: &Path, numbers: &[u64]) {
        for number in numbers {
            std::fs::remove_file(folder.join(number.to_string())).ok();
        }
    }
}

fn read_index(folder: &Path) -> io::Result<Index> {
    let bytes = read_private(&folder.join("index"), INDEX)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// Whose a version was.
pub(super) const fn owned_of(version: &Version) -> Owned {
    Owned { mode: version.mode, owner: Some((version.uid, version.gid)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const OWNED: Owned = Owned { mode: 0o644, owner: Some((0, 0)) };

    fn path(text: &str) -> FilePath {
        FilePath::parse(text).unwrap()
    }

    fn saved(at_ms: u64) -> Arrival {
        Arrival { came: Came::Saved, by: "anna".into(), note: "why".into(), at_ms }
    }

    #[test]
    fn versions_are_numbered_for_good_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut versions = Versions::new(dir.path().join("edits"));
        let (file, needed) = (path("/etc/a"), Needed::from([(path("/etc/a"), 2)]));
        for n in 1..=25_u64 {
            let text = format!("text {n}");
            let number = versions.add(&file, text.as_bytes(), OWNED, saved(n), &needed).unwrap();
            assert_eq!(number, n);
        }
        let numbers: Vec<_> = versions.list(&file).unwrap().iter().map(|v| v.number).collect();
        let mut wanted: Vec<u64> = (7..=25).rev().collect();
        wanted.push(2);
        assert_eq!(numbers, wanted);
        assert_eq!(versions.get(&file, 25).unwrap().1, b"text 25");
        assert_eq!(versions.get(&file, 2).unwrap().1, b"text 2");
        assert!(versions.get(&file, 1).is_err());
        versions.forget(&file, 25);
        assert_eq!(versions.add(&file, b"x", OWNED, saved(30), &needed).unwrap(), 26);
    }

    #[test]
    fn all_files_together_take_no_more_than_there_is_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut versions = Versions::new(dir.path().join("edits"));
        versions.most = 40_000;
        for n in 1..=20_u64 {
            let file = path(&format!("/etc/{}", n % 4));
            versions
                .add(&file, format!("{n}").as_bytes(), OWNED, saved(n), &Needed::new())
                .unwrap();
        }
        let all: Vec<u64> = (0..4)
            .flat_map(|n| versions.list(&path(&format!("/etc/{n}"))).unwrap())
            .map(|version| version.at_ms)
            .collect();
        assert!((3..9).contains(&all.len()), "{all:?}");
        assert!(all.contains(&20) && !all.contains(&1), "{all:?}");
    }

    #[test]
    fn nobody_else_reads_them_and_a_damaged_one_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let mut versions = Versions::new(dir.path().join("edits"));
        let file = path("/etc/a");
        versions.add(&file, b"secret", OWNED, saved(1), &Needed::new()).unwrap();
        let folder = versions.folder(&file);
        for name in ["index", "1"] {
            let mode = std::fs::metadata(folder.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let other = zstd::bulk::compress(b"other!", 3).unwrap();
        std::fs::write(folder.join("1"), other).unwrap();
        assert!(versions.get(&file, 1).unwrap_err().message.contains("damaged"));
    }
}
