//! Opening a store: what a crash has left is cleared away or taken up, before anything else is done.

use crate::head::Generation;
use crate::log::{self, Log};
use crate::names::Names;
use crate::segment::Segment;
use crate::store::{Health, Options, Shared};
use crate::work::Work;
use crate::{Error, remove, sync_folder};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct Opened {
    pub(crate) shared: Shared,
    pub(crate) work: Work,
    pub(crate) lock: File,
}

/// The files of a store.
#[derive(Default)]
struct Files {
    logs: Vec<(u64, PathBuf)>,
    segments: Vec<(usize, u64, PathBuf)>,
    /// What was being written when its writer ended.
    unfinished: Vec<PathBuf>,
    next: u64,
}

/// Whether a file of a store's folder is one of its parts: a log or a segment, and neither unfinished nor put aside.
pub fn is_file(name: &str) -> bool {
    let Some((kind, number)) = name.split_once('-') else { return false };
    let tier = kind.strip_prefix("tier").is_some_and(|tier| tier.parse::<u8>().is_ok());
    let number = number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit());
    (kind == "log" || tier) && number
}

fn look(dir: &Path) -> Result<Files, Error> {
    let mut files = Files::default();
    let entries = std::fs::read_dir(dir).map_err(Error::io("looking into", dir))?;
    for entry in entries {
        let path = entry.map_err(Error::io("looking into", dir))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        // A file that was put aside keeps its number for itself.
        let stem = name.split('.').next().unwrap_or_default();
        let Some((kind, sequence)) = stem.split_once('-') else { continue };
        let Some(sequence) = number(sequence) else { continue };
        files.next = files.next.max(sequence.saturating_add(1));
        if kind == "log" && stem == name {
            files.logs.push((sequence, path));
        } else if let Some(tier) = kind.strip_prefix("tier").and_then(|n| n.parse().ok()) {
            match path.extension().and_then(|e| e.to_str()) {
                None => files.segments.push((tier, sequence, path)),
                Some("new") => files.unfinished.push(path),
                Some(_) => {}
            }
        }
    }
    files.logs.sort();
    files.segments.sort();
    Ok(files)
}

pub(crate) fn open(dir: &Path, options: &Options) -> Result<Opened, Error> {
    std::fs::create_dir_all(dir).map_err(Error::io("making the folder", dir))?;
    let place = dir.join("lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&place)
        .map_err(Error::io("opening", &place))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::InUse(dir.to_owned()))?;
    let mut files = look(dir)?;
    for path in &files.unfinished {
        remove(path)?;
    }
    let mut names = Names::default();
    let mut health = Health::default();
    let last = options.ladder.tiers().len() - 1;
    let mut segments = Vec::new();
    for (tier, sequence, path) in &files.segments {
        // Of a longer ladder that was in force before: what is coarser belongs to the last step now.
        if let Some(segment) = Segment::open(path, (*tier).min(last), *sequence, &mut names)? {
            segments.push(Arc::new(segment));
        } else {
            health.damaged += 1;
            let aside = path.with_extension("damaged");
            std::fs::rename(path, &aside).map_err(Error::io("putting aside", path))?;
        }
    }
    let mut replayed = Vec::new();
    for (sequence, path) in &files.logs {
        if segments.iter().any(|s| s.tier == 0 && s.sequence == *sequence) {
            // Its samples are in a segment; only the removal was missing.
            remove(path)?;
            continue;
        }
        let found = log::replay(path, *sequence, &mut names)?;
        health.torn += found.torn;
        health.damaged += found.damaged;
        replayed.push(found);
    }
    let resumed = match replayed.pop() {
        Some(found) if found.log.is_some() => found.log.map(|log| (found.generation, log)),
        Some(damaged) => {
            replayed.push(damaged);
            None
        }
        None => None,
    };
    let (live, log) = if let Some(both) = resumed {
        both
    } else {
        let log = Log::create(dir, files.next)?;
        files.next += 1;
        (Generation::new(files.next - 1), log)
    };
    let mut shared = Shared {
        live_bytes: log.durable,
        newest_ms: segments.iter().flat_map(|s| &s.entries).map(|e| e.last_ms).max().unwrap_or(0),
        floors: floors(&segments, last + 1),
        closed: i64::MIN,
        names,
        live,
        frozen: replayed.into_iter().map(|found| Arc::new(found.generation)).collect(),
        pending: Vec::new(),
        unsynced: 0,
        appended: 0,
        segments,
        health,
        followers: Vec::new(),
    };
    shared.closed = shared.floors.get(1).copied().unwrap_or(i64::MIN);
    let heads = shared.generations().flat_map(|g| &g.heads).filter(|(_, head)| head.rows > 0);
    shared.newest_ms = heads.map(|(_, head)| head.last_ms).fold(shared.newest_ms, i64::max);
    sync_folder(dir)?;
    Ok(Opened { shared, work: Work::new(log, files.next), lock })
}

/// Where each tier begins to be the one to ask; see `Shared::floors`.
fn floors(segments: &[Arc<Segment>], tiers: usize) -> Vec<i64> {
    let mut floors = vec![i64::MIN; tiers];
    for segment in segments {
        for floor in &mut floors[1..=segment.tier] {
            *floor = (*floor).max(segment.to);
        }
    }
    floors[0] = i64::MAX;
    floors
}
