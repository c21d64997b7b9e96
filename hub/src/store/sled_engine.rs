//! The embedded engine: sled 0.34, with the barrier that it lacks.
//!
//! sled's `flush` does not reach the disk (it asks for no `fsync`), so every write ends with our own
//! `sync_all` on its data file. Values stay under 64 KiB: larger ones would go to files of sled's
//! that this barrier does not cover.

use super::{Engine, Op};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Kept on the disk so that a full disk can be left again: sled cannot even open without space.
const BALLAST: u64 = 16 << 20;

pub(super) struct SledEngine {
    db: sled::Db,
    data: File,
}

pub(super) fn open(dir: &Path) -> Result<SledEngine, String> {
    let path = dir.join("sled");
    let ballast = dir.join("ballast");
    let open = || open_at(&path);
    let engine = match open() {
        Ok(engine) => engine,
        // Most likely there is no space: give ours back and try once more.
        Err(_) if ballast.exists() => {
            std::fs::remove_file(&ballast)
                .map_err(|e| format!("removing {}: {e}", ballast.display()))?;
            open()?
        }
        Err(e) => return Err(e),
    };
    if !ballast.exists() {
        // Without it the store works as well; it only cannot be rescued from a full disk.
        drop(make_ballast(&ballast));
    }
    Ok(engine)
}

fn open_at(path: &Path) -> Result<SledEngine, String> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(8 << 20)
        .flush_every_ms(None)
        .mode(sled::Mode::LowSpace);
    // sled panics on some kinds of damage; that must lead to an error with advice, not to a crash.
    let db = catch_unwind(AssertUnwindSafe(|| config.open()))
        .map_err(|_| {
            "its data is damaged beyond what the engine can read; restore a backup with: cmdr-hub restore FILE".to_owned()
        })?
        .map_err(|e| e.to_string())?;
    let data = File::open(path.join("db")).map_err(|e| format!("opening its data file: {e}"))?;
    let sync = |what: &File| what.sync_all().map_err(|e| format!("syncing: {e}"));
    sync(&data)?;
    sync(&File::open(path).map_err(|e| e.to_string())?)?;
    if let Some(parent) = path.parent() {
        sync(&File::open(parent).map_err(|e| e.to_string())?)?;
    }
    Ok(SledEngine { db, data })
}

fn make_ballast(path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    if let Err(e) = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST) {
        std::fs::remove_file(path)?;
        return Err(e.into());
    }
    Ok(())
}

/// Runs an operation of sled's, whose panics become errors.
fn guarded<T>(what: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what))
        .map_err(|_| "the engine failed inside".to_owned())?
        .map_err(|e| e.to_string())
}

impl Engine for SledEngine {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        guarded(|| self.db.get(key)).map(|found| found.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        guarded(|| {
            self.db
                .scan_prefix(prefix)
                .map(|item| {
                    item.map(|(k, v)| (String::from_utf8_lossy(&k).into_owned(), v.to_vec()))
                })
                .collect()
        })
    }

    fn write(&self, ops: &[Op]) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        for op in ops {
            match op {
                Op::Put(key, value) => batch.insert(key.as_bytes(), value.as_slice()),
                Op::Delete(key) => batch.remove(key.as_bytes()),
            }
        }
        guarded(|| self.db.apply_batch(batch))?;
        guarded(|| self.db.flush())?;
        self.data.sync_all().map_err(|e| format!("syncing its data file: {e}"))
    }
}
