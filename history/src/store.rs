//! The store itself: what is shared between those who append, those who ask and the one who works.
//!
//! Two locks: `shared` is held for moments, never while a disk is waited for, except once per
//! checkpoint; `work` is held by `tick` and by purges. `shared` may be taken while `work` is held, never the other way.

use crate::follow::Following;
use crate::head::Generation;
use crate::ladder::Ladder;
use crate::log::{self, ROW_MAX, WHOLE_EVERY};
use crate::names::{Kind, Name, NameId, Names};
use crate::segment::Segment;
use crate::work::Work;
use crate::{Error, Source, codec, head};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long samples are kept, and how thin.
    pub ladder: Ladder,
    /// Bytes on disk above which the oldest go first; `None` for no bound.
    pub bytes_max: Option<u64>,
    /// The log is written at most this often; a crash costs what came since.
    pub sync_every: Duration,
    /// What is hot becomes a segment when its log has so many bytes.
    pub hot_bytes: u64,
    /// Or when it reaches so far back.
    pub hot_for: Duration,
    /// Samples further in the future than this are refused: a clock is wrong.
    pub ahead: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ladder: Ladder::default(),
            bytes_max: None,
            sync_every: Duration::from_secs(1),
            hot_bytes: 24 << 20,
            hot_for: Duration::from_hours(1),
            ahead: Duration::from_mins(10),
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is kept, and durable when `Store::durable` has reached this number.
    Kept(u64),
    /// The row before had the same time and the same series.
    Twice,
    /// It is older than what is kept as it came: nothing can be added there.
    TooLate,
    /// It is from the future.
    Ahead,
}

/// How a store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Blocks, columns and pieces of logs that were not what was written, and are not served.
    pub damaged: u64,
    /// Bytes cut off the end of logs: what a crash interrupted.
    pub torn: u64,
    /// Rows refused because they were too old.
    pub late: u64,
    /// Rows refused because they were from the future.
    pub ahead: u64,
    /// Rows refused because there was no room for them.
    pub full: u64,
    /// Files that went before their time, to make room.
    pub dropped: u64,
    /// What the last attempt to write said, if it failed.
    pub trouble: Option<String>,
}

/// What a store takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The logs: bytes and samples of what is hot.
    pub hot: TierSize,
    /// Each step of the ladder.
    pub tiers: Vec<TierSize>,
}

/// What a part of a store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierSize {
    /// Files.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Samples, or points that stand for many.
    pub values: u64,
    /// The oldest, in milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// The newest.
    pub last_ms: Option<i64>,
}

/// So many bytes wait for a disk that takes none.
const WAITING_MAX: usize = 16 << 20;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) names: Names,
    pub(crate) live: Generation,
    /// What is on its way into a segment, or left by an earlier process; oldest first.
    pub(crate) frozen: Vec<Arc<Generation>>,
    /// Entries that the log does not have yet.
    pub(crate) pending: Vec<u8>,
    /// Bytes that were taken from `pending` and are not durable.
    pub(crate) unsynced: usize,
    /// Bytes of the live log, `pending` included.
    pub(crate) live_bytes: u64,
    /// Rows that were ever appended.
    pub(crate) appended: u64,
    pub(crate) segments: Vec<Arc<Segment>>,
    /// For each tier where it begins to be the one to ask, going back: what is before belongs to this tier
    /// or a coarser one. Of the first, the end of time.
    pub(crate) floors: Vec<i64>,
    /// Rows before this are refused: their time is being thinned, or has been.
    pub(crate) closed: i64,
    pub(crate) newest_ms: i64,
    pub(crate) health: Health,
    /// Those who read on.
    pub(crate) followers: Vec<Following>,
}

impl Shared {
    /// All that is hot, oldest first.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.frozen.iter().map(AsRef::as_ref).chain([&self.live])
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) shared: Mutex<Shared>,
    pub(crate) work: Mutex<Work>,
    durable: Mutex<u64>,
    reached: Condvar,
    /// Holds the lock on the folder.
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`, which is made if it is not there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let opened = crate::opening::open(dir, &options)?;
        let durable = opened.shared.appended;
        Ok(Self {
            dir: dir.to_owned(),
            options,
            shared: Mutex::new(opened.shared),
            work: Mutex::new(opened.work),
            durable: Mutex::new(durable),
            reached: Condvar::new(),
            _lock: opened.lock,
        })
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a name for `append`. `None` for one that cannot be: empty, too long, or more
    /// of them than any fleet has.
    pub fn name(&self, text: &str, kind: Kind, scale: u32) -> Option<NameId> {
        self.shared().names.intern(text, kind, scale)
    }

    /// What is known of a name.
    pub fn name_of(&self, id: NameId) -> Option<Name> {
        self.shared().names.get(id).cloned()
    }

    /// Appends a row: the values of these series of a source at one time, in milliseconds since 1970.
    /// `now_ms` is the time of the caller's own clock.
    pub fn append(
        &self,
        source: &Source,
        at_ms: i64,
        names: &[NameId],
        values: &[i64],
        now_ms: i64,
    ) -> Result<Appended, Error> {
        if names.len() != values.len() || names.len() > ROW_MAX {
            return Err(Error::Invalid(format!(
                "a row of {} series and {} values",
                names.len(),
                values.len()
            )));
        }
        let mut shared = self.shared();
        let shared = &mut *shared;
        if at_ms > now_ms.saturating_add(self.options.ahead.as_millis() as i64) {
            shared.health.ahead += 1;
            return Ok(Appended::Ahead);
        }
        if at_ms < shared.closed {
            shared.health.late += 1;
            return Ok(Appended::TooLate);
        }
        if shared.pending.len() + shared.unsynced > WAITING_MAX
            || shared.live_bytes > self.options.hot_bytes.saturating_mul(3)
        {
            shared.health.full += 1;
            return Err(Error::Full);
        }
        if names.is_empty() {
            return Ok(Appended::Twice);
        }
        let before = shared.pending.len();
        let place = shared.live.place(*source);
        let head = &mut shared.live.heads[place as usize].1;
        let same = head.has_schema(names);
        if same && head.rows > 0 && head.newest_row_ms() == at_ms {
            return Ok(Appended::Twice);
        }
        let whole = !same || head.rows == 0 || head.since_whole >= WHOLE_EVERY;
        if whole {
            let wire = &mut shared.live.wire;
            for (i, name) in names.iter().enumerate() {
                let Some(known) = shared.names.get(*name) else {
                    return Err(Error::Invalid(format!("there is no name {}", name.0)));
                };
                if !same && names[..i].contains(name) {
                    return Err(Error::Invalid(format!("{} twice in one row", known.text)));
                }
                let next = wire.len() as u32;
                if *wire.entry(*name).or_insert(next) == next {
                    log::write_name(&mut shared.pending, next, known);
                }
            }
            let wires = names.iter().map(|name| wire.get(name).copied().unwrap_or_default());
            log::write_schema(&mut shared.pending, place, source, wires);
            if !same {
                head.set_schema(names);
            }
        }
        // What a host tells again is nothing new to those who have read it.
        let late = shared.followers.iter().any(|following| following.is_late(source, at_ms));
        let known = late && head.has(at_ms, names);
        let tag = if whole { head::entry::WHOLE } else { head::entry::ROW };
        shared.pending.push(tag);
        codec::put(&mut shared.pending, u64::from(place));
        head.push(at_ms, values, whole, &mut shared.pending);
        shared.live_bytes += (shared.pending.len() - before) as u64;
        shared.newest_ms = shared.newest_ms.max(at_ms);
        if late && !known {
            shared.followers.iter_mut().for_each(|following| following.note(source, at_ms));
        }
        shared.appended += 1;
        Ok(Appended::Kept(shared.appended))
    }

    /// Rows up to this number are on disk.
    pub fn durable(&self) -> u64 {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a row is on disk; `false` when that took longer than `most`.
    pub fn wait_durable(&self, row: u64, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        while *durable < row {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            durable =
                self.reached.wait_timeout(durable, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(crate) fn set_durable(&self, row: u64) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        *durable = row.max(*durable);
        self.reached.notify_all();
    }

    /// How long samples are kept, and how thin.
    pub const fn ladder(&self) -> &Ladder {
        &self.options.ladder
    }

    /// How the store is.
    pub fn health(&self) -> Health {
        let shared = self.shared();
        let mut health = shared.health.clone();
        health.damaged += shared.segments.iter().map(|s| s.damaged()).sum::<u64>();
        health
    }

    /// What the store takes.
    pub fn sizes(&self) -> Sizes {
        let shared = self.shared();
        let mut sizes = Sizes::default();
        sizes.tiers.resize(self.options.ladder.tiers().len(), TierSize::default());
        let widen = |size: &mut TierSize, first: i64, last: i64| {
            size.first_ms = Some(size.first_ms.map_or(first, |t| t.min(first)));
            size.last_ms = Some(size.last_ms.map_or(last, |t| t.max(last)));
        };
        for segment in &shared.segments {
            let size = &mut sizes.tiers[segment.tier];
            size.files += 1;
            size.bytes += segment.bytes;
            for entry in &segment.entries {
                size.values += u64::from(entry.values);
                widen(size, entry.first_ms, entry.last_ms);
            }
        }
        let generations = shared.generations();
        for generation in generations {
            sizes.hot.files += 1;
            sizes.hot.bytes += std::fs::metadata(log::path(&self.dir, generation.sequence))
                .map(|m| m.len())
                .unwrap_or_default();
            sizes.hot.values += generation.samples();
            for (_, head) in generation.heads.iter().filter(|(_, head)| head.rows > 0) {
                widen(&mut sizes.hot, head.first_ms, head.last_ms);
            }
        }
        sizes
    }
}
