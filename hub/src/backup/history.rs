//! Copies of the history of figures, in a folder beside the backups.
//!
//! Its segments never change, so those alone are copied that the folder lacks; its log is copied as far as it goes, and what
//! of it was on its way is cut off when it is opened, as after a crash. The hub may run meanwhile: it is looked again
//! whether the same files are there, until they are. The folder has what there was at the last backup and nothing else: what
//! was purged does not come back. Used by `backup`, `restore` and `check`.

use super::recordings::{self, Copied, Copy, Index, Looked, Sort};
use anyhow::{Context as _, bail};
use cmdr_link::{SecretKey, files};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// So often it is looked again whether the files are the same.
const TRIES: usize = 8;

const SORT: Sort = Sort {
    head: "cmdr_history",
    seal: "cmdr history index seal v1",
    what: "history",
    fits: cmdr_history::is_file,
};

/// A file: when it was written last, and its size. Of logs, which grow, neither counts.
type Seen = ((i64, i64), u64);

/// The files of a history by name; none when there is no folder.
fn seen(dir: &Path) -> io::Result<BTreeMap<String, Seen>> {
    let mut all = BTreeMap::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !cmdr_history::is_file(&name) {
            continue;
        }
        match entry.metadata() {
            Ok(_) if name.starts_with("log") => drop(all.insert(name, ((0, 0), 0))),
            Ok(meta) => drop(all.insert(name, ((meta.mtime(), meta.mtime_nsec()), meta.len()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// Whether there is any history in a folder.
pub fn is_there(dir: &Path) -> io::Result<bool> {
    Ok(!seen(dir)?.is_empty())
}

/// Makes `to` have what `from` has.
pub fn copy(from: &Path, to: &Path, key: &SecretKey) -> anyhow::Result<Copied> {
    files::private_dir(to).with_context(|| format!("making {}", to.display()))?;
    let mut index = Index::load(to, key, &SORT)?.unwrap_or_default();
    let reading = || format!("reading {}", from.display());
    for _ in 0..TRIES {
        let before = seen(from).with_context(reading)?;
        let mut copied = Copied::default();
        for name in before.keys() {
            recordings::copy_one(from, to, name.clone(), &mut index, &mut copied)?;
        }
        if seen(from).with_context(reading)? != before {
            continue;
        }
        index.copies.retain(|name, _| before.contains_key(name));
        index.save(to, key, &SORT)?;
        for name in seen(to).with_context(|| format!("reading {}", to.display()))?.keys() {
            if !before.contains_key(name) {
                // What is not in the index is of no use to anybody.
                fs::remove_file(to.join(name)).ok();
            }
        }
        return Ok(copied);
    }
    bail!("the files of the history change faster than they can be copied; try again")
}

/// Looks whether all of a folder is as it was written.
pub fn check(dir: &Path, key: &SecretKey) -> anyhow::Result<Looked> {
    recordings::look(dir, key, &SORT)
}

/// Whether a folder has copies of a history.
pub fn is_copy(dir: &Path, key: &SecretKey) -> bool {
    matches!(Index::load(dir, key, &SORT), Ok(Some(_)))
}

/// What a restore brings back, checked.
#[derive(Debug)]
pub struct Ready(Vec<Copy>);

/// Reads all of it; nothing is damaged when this returns.
pub fn ready(dir: &Path, key: &SecretKey) -> anyhow::Result<Ready> {
    let Some(index) = Index::load(dir, key, &SORT)? else { bail!(recordings::none(dir, &SORT)) };
    let copies: Vec<_> = index.copies.into_values().collect();
    if let Some(wrong) = copies.iter().find_map(|copy| recordings::wrong(dir, copy)) {
        bail!("{wrong}; restore without --history, or mend it first");
    }
    Ok(Ready(copies))
}

/// Puts it into the hub's folder; how many files.
pub fn restore(dir: &Path, to: &Path, ready: &Ready) -> anyhow::Result<usize> {
    recordings::bring(dir, to, &ready.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_history::{Kind, Options, Store};

    const SOURCE: [u8; 16] = [3; 16];
    const NOW: i64 = 1_800_000_000_000;

    fn append(store: &Store, from: i64, to: i64) {
        let name = store.name("cpu.busy", Kind::Gauge, 10).unwrap();
        for step in from..to {
            let at = NOW + step * 10_000;
            store.append(&SOURCE, at, &[name], &[step * 7 % 1000], at).unwrap();
        }
        store.finish(NOW + to * 10_000).unwrap();
    }

    fn values(store: &Store) -> u64 {
        let sizes = store.sizes();
        sizes.hot.values + sizes.tiers.iter().map(|tier| tier.values).sum::<u64>()
    }

    #[test]
    fn a_history_is_copied_while_it_is_open_and_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("history"), dir.path().join("copies"));
        let key = SecretKey::generate().unwrap();
        assert!(!is_there(&from).unwrap());
        let store = Store::open(&from, Options::default()).unwrap();
        append(&store, 0, 100);
        store.checkpoint(NOW + 1_000_000).unwrap();
        append(&store, 100, 150);
        assert_eq!(copy(&from, &to, &key).unwrap().files, 2);
        append(&store, 150, 200);
        // The segment is there already; the log has grown.
        let again = copy(&from, &to, &key).unwrap();
        assert_eq!((again.files, again.kept), (1, 1));
        assert!(is_copy(&to, &key) && !is_copy(&from, &key));
        assert_eq!(check(&to, &key).unwrap(), Looked { files: 2, damage: vec![] });

        let back = dir.path().join("back");
        let whole = ready(&to, &key).unwrap();
        assert_eq!(restore(&to, &back, &whole).unwrap(), 2);
        let restored = Store::open(&back, Options::default()).unwrap();
        assert_eq!((values(&restored), restored.health().damaged), (200, 0));

        for name in seen(&to).unwrap().into_keys() {
            let path = to.join(&name);
            let right = fs::read(&path).unwrap();
            let mut bad = right.clone();
            bad[right.len() / 2] ^= 4;
            fs::write(&path, bad).unwrap();
            let damage = check(&to, &key).unwrap().damage;
            assert!(damage.len() == 1 && damage[0].contains(&name), "{damage:?}");
            assert!(ready(&to, &key).unwrap_err().to_string().contains(&name));
            fs::write(&path, right).unwrap();
        }
        assert!(check(&to, &SecretKey::generate().unwrap()).is_err());
    }

    #[test]
    fn what_was_purged_is_not_in_the_folder_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("history"), dir.path().join("copies"));
        let key = SecretKey::generate().unwrap();
        let store = Store::open(&from, Options::default()).unwrap();
        append(&store, 0, 100);
        store.checkpoint(NOW + 1_000_000).unwrap();
        copy(&from, &to, &key).unwrap();
        let gone: Vec<_> = seen(&to).unwrap().into_keys().collect();
        store.purge(&cmdr_history::Purge::default(), NOW + 1_000_000).unwrap();
        copy(&from, &to, &key).unwrap();
        assert!(gone.iter().any(|name| !to.join(name).exists()), "{gone:?}");
        assert_eq!(check(&to, &key).unwrap().damage, Vec::<String>::new());
        restore(&to, &dir.path().join("back"), &ready(&to, &key).unwrap()).unwrap();
        let restored = Store::open(&dir.path().join("back"), Options::default()).unwrap();
        assert_eq!(values(&restored), 0);
    }
}
