//! Copies of recordings, in a folder beside the backups, which many backups share.
//!
//! The files are sealed and never change once they have ended, so a copy is made of those alone that the
//! folder lacks or that have grown. Its `index` names each with its length and a hash over it, and is sealed with
//! the hub's key: what was changed or lost in the folder is found. Used by `backup`, `restore` and `check`.

use super::line;
use anyhow::{Context as _, bail, ensure};
use cmdr_link::{SecretKey, files};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
/// Bytes read at once.
const PIECE: usize = 256 * 1024;

/// What a folder has copies of.
#[derive(Debug)]
pub(super) struct Sort {
    /// The word in its index that says so.
    pub(super) head: &'static str,
    /// What its index is sealed as.
    pub(super) seal: &'static str,
    /// Several of them, for people.
    pub(super) what: &'static str,
    /// Whether a file there may be called so.
    pub(super) fits: fn(&str) -> bool,
}

const SORT: Sort = Sort {
    head: "cmdr_recordings",
    seal: "cmdr recordings index seal v1",
    what: "recordings",
    fits: |path| number(path).is_some(),
};

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) path: String,
    pub(super) size: u64,
    /// When the hub's file was written last: seconds and nanoseconds.
    pub(super) written: (i64, i64),
    hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Foot {
    files: usize,
    seal: String,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) copies: BTreeMap<String, Copy>,
}

/// What a copy has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files that were copied now.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that the folder had.
    pub kept: u64,
}

/// What came of a look at a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Files that the index names.
    pub files: u64,
    /// What is wrong, a sentence each.
    pub damage: Vec<String>,
}

/// The number of a recording in its file's name, `2026-11/12.rec`; none for what is no such name.
fn number(path: &str) -> Option<u64> {
    let (month, file) = path.split_once('/')?;
    let plain = month.len() == 7 && month.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let id = file.strip_suffix(".rec").filter(|id| id.bytes().all(|b| b.is_ascii_digit()))?;
    if plain { id.parse().ok() } else { None }
}

fn seal(key: &SecretKey, sort: &Sort, hash: &blake3::Hash) -> String {
    HEXLOWER.encode(key.keyed_hash(sort.seal, hash.as_bytes()).as_slice())
}

fn place(dir: &Path) -> PathBuf {
    dir.join("index")
}

impl Index {
    /// Reads that of a folder; `None` when there is none.
    pub(super) fn load(dir: &Path, key: &SecretKey, sort: &Sort) -> anyhow::Result<Option<Self>> {
        let path = place(dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
        };
        Self::read(BufReader::new(file), key, sort)
            .with_context(|| format!("{} cannot be used", path.display()))
            .map(Some)
    }

    fn read(mut reader: impl io::BufRead, key: &SecretKey, sort: &Sort) -> anyhow::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let first = line(&mut reader)?;
        let head = serde_json::from_slice::<serde_json::Value>(&first).unwrap_or_default();
        let format = head.get(sort.head).with_context(|| format!("it is no list of {}", sort.what));
        ensure!(format? == FORMAT, "it is of a release that is not known here");
        ensure!(head["hub"] == key.public().to_string(), "it is of another hub");
        hasher.update(&first);
        let (mut index, mut next) = (Self::default(), line(&mut reader)?);
        loop {
            let this = next;
            next = line(&mut reader)?;
            if next.is_empty() {
                let foot: Foot = serde_json::from_slice(&this).context("it is cut short")?;
                let seal = seal(key, sort, &hasher.finalize());
                let whole = foot.files == index.copies.len() && foot.seal == seal;
                ensure!(whole, "it was changed or damaged: its seal does not match");
                return Ok(index);
            }
            hasher.update(&this);
            let copy: Copy = serde_json::from_slice(&this).context("a line of it is damaged")?;
            ensure!((sort.fits)(&copy.path), "a line of it names none of the {}", sort.what);
            index.copies.insert(copy.path.clone(), copy);
        }
    }

    pub(super) fn save(&self, dir: &Path, key: &SecretKey, sort: &Sort) -> anyhow::Result<()> {
        let mut text = json!({ sort.head: FORMAT, "hub": key.public().to_string() }).to_string();
        text.push('\n');
        for copy in self.copies.values() {
            text += &serde_json::to_string(copy)?;
            text.push('\n');
        }
        let hash = blake3::hash(text.as_bytes());
        let foot = Foot { files: self.copies.len(), seal: seal(key, sort, &hash) };
        text += &serde_json::to_string(&foot)?;
        text.push('\n');
        let written = files::Partial::create(&place(dir)).and_then(|mut file| {
            file.write(text.as_bytes())?;
            file.finish()
        });
        written.map(drop).with_context(|| format!("writing {}", place(dir).display()))
    }
}

/// Reads bytes as an index, for the fuzzers; whether they were taken for one that this hub has sealed.
pub fn try_bytes(data: &[u8], key: &SecretKey) -> bool {
    Index::read(data, key, &SORT).is_ok()
}

/// The files of recordings in a folder of the hub's, by name.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let entries = |dir: &Path| -> io::Result<Vec<fs::DirEntry>> {
        match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries?.collect(),
        }
    };
    for month in entries(dir)? {
        if !month.file_type()?.is_dir() {
            continue;
        }
        for file in entries(&month.path())? {
            let (month, name) = (month.file_name(), file.file_name());
            let name = format!("{}/{}", month.to_string_lossy(), name.to_string_lossy());
            if number(&name).is_some() && file.file_type()?.is_file() {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a file, at most so many bytes of it, into `each`; how many there were, and their hash.
fn pass(
    file: File,
    most: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, String)> {
    let (mut hasher, mut bytes, mut buffer) = (blake3::Hasher::new(), 0, vec![0; PIECE]);
    let mut file = file.take(most);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(&buffer[..read]);
        each(&buffer[..read])?;
        bytes += read as u64;
    }
}

/// Copies into `to` what it lacks of the recordings in `from`. What the hub has no more stays in `to`.
pub fn copy(from: &Path, to: &Path, key: &SecretKey) -> anyhow::Result<Copied> {
    files::private_dir(to).with_context(|| format!("making {}", to.display()))?;
    let mut index = Index::load(to, key, &SORT)?.unwrap_or_default();
    let mut copied = Copied::default();
    for path in names(from).with_context(|| format!("reading {}", from.display()))? {
        copy_one(from, to, path, &mut index, &mut copied)?;
    }
    index.save(to, key, &SORT)?;
    Ok(copied)
}

/// Copies one file, unless the folder has it; one that is gone is passed over.
pub(super) fn copy_one(
    from: &Path,
    to: &Path,
    path: String,
    index: &mut Index,
    copied: &mut Copied,
) -> anyhow::Result<()> {
    let source = from.join(&path);
    let file = match File::open(&source) {
        Ok(file) => file,
        // Retention, or somebody, has removed it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("reading {}", source.display())),
    };
    let meta = file.metadata()?;
    let (size, written) = (meta.len(), (meta.mtime(), meta.mtime_nsec()));
    let target = to.join(&path);
    let there = fs::metadata(&target).is_ok_and(|meta| meta.len() == size);
    let known = index.copies.get(&path);
    if there && known.is_some_and(|c| (c.size, c.written) == (size, written)) {
        copied.kept += 1;
        return Ok(());
    }
    let (bytes, hash) = put(file, size, &target)?;
    copied.files += 1;
    copied.bytes += bytes;
    index.copies.insert(path.clone(), Copy { path, size: bytes, written, hash });
    Ok(())
}

/// Writes a file of the folder, or of the hub.
fn put(from: File, most: u64, to: &Path) -> anyhow::Result<(u64, String)> {
    let written = || -> io::Result<_> {
        files::private_dir(to.parent().unwrap_or(to))?;
        let mut out = files::Partial::create(to)?;
        let passed = pass(from, most, |bytes| out.write(bytes))?;
        out.finish()?;
        Ok(passed)
    };
    written().with_context(|| format!("writing {}", to.display()))
}

/// Looks whether all of a folder is as it was written.
pub fn check(dir: &Path, key: &SecretKey) -> anyhow::Result<Looked> {
    look(dir, key, &SORT)
}

pub(super) fn look(dir: &Path, key: &SecretKey, sort: &Sort) -> anyhow::Result<Looked> {
    let Some(index) = Index::load(dir, key, sort)? else { bail!(none(dir, sort)) };
    let mut looked = Looked { files: index.copies.len() as u64, ..Looked::default() };
    for copy in index.copies.values() {
        looked.damage.extend(wrong(dir, copy));
    }
    Ok(looked)
}

/// Why a folder is of no use.
pub(super) fn none(dir: &Path, sort: &Sort) -> String {
    format!("{} holds no {} of a backup: it has no index", dir.display(), sort.what)
}

pub(super) fn wrong(dir: &Path, copy: &Copy) -> Option<String> {
    let path = dir.join(&copy.path);
    let read = File::open(&path).and_then(|file| pass(file, copy.size + 1, |_| Ok(())));
    match read {
        Ok((size, hash)) if size == copy.size && hash == copy.hash => None,
        Ok(_) => Some(format!("{}: it was changed or damaged", path.display())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Some(format!("{}: it is missing", path.display()))
        }
        Err(e) => Some(format!("{}: {}", path.display(), files::reason(&e))),
    }
}

/// What a restore of these recordings would bring back, checked; the numbers that the folder does not have.
#[derive(Debug)]
pub struct Ready {
    copies: Vec<Copy>,
    /// Recordings without a file.
    pub missing: Vec<u64>,
}

/// Reads all of the files that are wanted; none is damaged when this returns.
pub fn ready(dir: &Path, key: &SecretKey, wanted: &BTreeSet<u64>) -> anyhow::Result<Ready> {
    let Some(index) = Index::load(dir, key, &SORT)? else { bail!(none(dir, &SORT)) };
    let is_wanted = |copy: &Copy| number(&copy.path).is_some_and(|id| wanted.contains(&id));
    let copies: Vec<_> = index.copies.into_values().filter(is_wanted).collect();
    if let Some(wrong) = copies.iter().find_map(|copy| wrong(dir, copy)) {
        bail!("{wrong}; restore without --recordings, or mend it first");
    }
    let there: BTreeSet<_> = copies.iter().filter_map(|copy| number(&copy.path)).collect();
    Ok(Ready { copies, missing: wanted.difference(&there).copied().collect() })
}

/// Puts them into the hub's folder.
pub fn restore(dir: &Path, to: &Path, ready: &Ready) -> anyhow::Result<usize> {
    bring(dir, to, &ready.copies)
}

pub(super) fn bring(dir: &Path, to: &Path, copies: &[Copy]) -> anyhow::Result<usize> {
    for copy in copies {
        let path = dir.join(&copy.path);
        let file = File::open(&path).with_context(|| format!("reading {}", path.display()))?;
        let (size, hash) = put(file, copy.size, &to.join(&copy.path))?;
        ensure!((size, &hash) == (copy.size, &copy.hash), "{} has changed", path.display());
    }
    Ok(copies.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
        key: SecretKey,
    }

    impl Scene {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), key: SecretKey::generate().unwrap() }
        }

        fn hub(&self) -> PathBuf {
            self.dir.path().join("hub")
        }

        fn folder(&self) -> PathBuf {
            self.dir.path().join("copies")
        }

        fn record(&self, name: &str, content: &[u8]) {
            let path = self.hub().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn copy(&self) -> Copied {
            copy(&self.hub(), &self.folder(), &self.key).unwrap()
        }

        fn check(&self) -> Looked {
            check(&self.folder(), &self.key).unwrap()
        }
    }

    #[test]
    fn only_what_is_new_or_has_grown_is_copied_and_what_is_gone_stays() {
        let scene = Scene::new();
        assert_eq!(scene.copy(), Copied::default());
        scene.record("2026-10/7.rec", &[7].repeat(300_000));
        scene.record("2026-11/12.rec", b"begun");
        // What is no recording is left alone.
        scene.record("2026-11/notes.txt", b"mine");
        scene.record("2026-11/x.rec", b"mine");
        assert_eq!(scene.copy(), Copied { files: 2, bytes: 300_005, kept: 0 });
        scene.record("2026-11/12.rec", b"begun and ended");
        scene.record("2026-11/13.rec", b"new");
        assert_eq!(scene.copy(), Copied { files: 2, bytes: 18, kept: 1 });
        fs::remove_file(scene.hub().join("2026-10/7.rec")).unwrap();
        assert_eq!(scene.copy(), Copied { files: 0, bytes: 0, kept: 2 });
        assert_eq!(scene.check(), Looked { files: 3, damage: vec![] });
        // A copy that is gone is made again.
        fs::remove_file(scene.folder().join("2026-11/13.rec")).unwrap();
        assert_eq!(scene.check().damage.len(), 1);
        assert_eq!(scene.copy(), Copied { files: 1, bytes: 3, kept: 1 });
        assert_eq!(scene.check().damage, Vec::<String>::new());
    }

    #[test]
    fn a_folder_changed_anywhere_is_found_and_not_restored() {
        let scene = Scene::new();
        scene.record("2026-11/12.rec", b"twelve");
        scene.record("2026-11/13.rec", b"thirteen");
        scene.copy();
        let (folder, to) = (scene.folder(), scene.dir.path().join("new"));
        let all = BTreeSet::from([12, 13, 14]);
        let whole = ready(&folder, &scene.key, &all).unwrap();
        assert_eq!((whole.copies.len(), &whole.missing[..]), (2, &[14][..]));

        for (name, byte) in [("2026-11/12.rec", 2), ("2026-11/13.rec", 0)] {
            let path = folder.join(name);
            let right = fs::read(&path).unwrap();
            let mut wrong = right.clone();
            wrong[byte] ^= 1;
            for bad in [wrong, right[..right.len() - 1].to_vec(), [&right[..], b"x"].concat()] {
                fs::write(&path, bad).unwrap();
                let damage = scene.check().damage;
                assert!(damage.len() == 1 && damage[0].contains(name), "{damage:?}");
                let error = ready(&folder, &scene.key, &all).unwrap_err().to_string();
                assert!(error.contains(name), "{error}");
            }
            // What a restore does not want may be damaged.
            let other = BTreeSet::from([if name.contains("12") { 13 } else { 12 }]);
            assert_eq!(ready(&folder, &scene.key, &other).unwrap().copies.len(), 1);
            fs::write(&path, right).unwrap();
        }
        let index = fs::read(place(&folder)).unwrap();
        for at in 0..index.len() {
            let mut wrong = index.clone();
            wrong[at] ^= 2;
            fs::write(place(&folder), wrong).unwrap();
            assert!(check(&folder, &scene.key).is_err(), "byte {at}");
        }
        fs::write(place(&folder), &index).unwrap();
        assert!(check(&folder, &SecretKey::generate().unwrap()).is_err());
        assert!(check(&scene.hub(), &scene.key).is_err());

        let ready = ready(&folder, &scene.key, &BTreeSet::from([13])).unwrap();
        assert_eq!(restore(&folder, &to, &ready).unwrap(), 1);
        assert_eq!(names(&to).unwrap(), ["2026-11/13.rec"]);
        assert_eq!(fs::read(to.join("2026-11/13.rec")).unwrap(), b"thirteen");
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_recordings() {
        for name in [
            "../12.rec",
            "2026-11/../12.rec",
            "2026-11/12",
            "12.rec",
            "2026-11/.rec",
            "/etc/12.rec",
        ] {
            assert_eq!(number(name), None, "{name}");
        }
        assert_eq!(number("2026-11/12.rec"), Some(12));
        assert_eq!(number("unknown/3.rec"), Some(3));
    }
}
