//! Removing what was kept: of a source, of names, from before a time. First counted, then done.
//! Segments that have some of it are written anew without it and renamed over the old ones.

use crate::names::{NameId, matches};
use crate::rows::Rows;
use crate::segment::{Scratch, Segment, Writer};
use crate::store::Store;
use crate::{Error, Source, remove};
use std::sync::{Arc, PoisonError};

/// What is to go: what meets all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Of these sources; `None` for all.
    pub sources: Option<Vec<Source>>,
    /// Series whose name is so, `*` being anything; `None` for all.
    pub names: Option<String>,
    /// What is older than this, milliseconds since 1970; `None` for all.
    pub before_ms: Option<i64>,
}

/// What a purge is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Samples, or points that stand for many.
    pub values: u64,
    /// About so many bytes on disk.
    pub bytes: u64,
}

impl Store {
    /// What a purge would remove.
    pub fn purge_preview(&self, purge: &Purge) -> Purged {
        let mut counted = Purged::default();
        let (segments, meant, names) = {
            let shared = self.shared();
            let all: Vec<NameId> = shared.names.iter().map(|(id, _)| id).collect();
            let meant = all.iter().filter(|id| {
                purge.names.as_ref().is_none_or(|pattern| {
                    shared.names.get(**id).is_some_and(|n| matches(pattern, &n.text))
                })
            });
            let meant: Vec<NameId> = meant.copied().collect();
            for (source, head) in
                shared.generations().flat_map(|g| &g.heads).filter(|(_, h)| h.rows > 0)
            {
                if !purge.is_about(source) || purge.before_ms.is_some_and(|t| head.first_ms >= t) {
                    continue;
                }
                let rows = head.rows(Some(&meant));
                let before = purge.before_ms.unwrap_or(i64::MAX);
                let all = head.samples.max(1);
                let gone = count_before(&rows, before);
                counted.values += gone;
                counted.bytes += head.bytes() * gone / all;
            }
            (shared.segments.clone(), meant, all.len())
        };
        let mut scratch = Scratch::default();
        for segment in &segments {
            for entry in segment.entries.iter().filter(|e| purge.is_about(&e.source)) {
                let before = purge.before_ms.unwrap_or(i64::MAX);
                if entry.first_ms >= before {
                    continue;
                }
                if entry.last_ms < before && meant.len() == names {
                    counted.values += u64::from(entry.values);
                    counted.bytes += entry.bytes();
                    continue;
                }
                let Some(directory) = segment.directory(entry, Some(&meant)) else { continue };
                let listed = directory.series.iter();
                let bytes: u64 = listed.clone().map(Segment::bytes_of).sum();
                let values: u64 = listed.map(|l| l.values() as u64).sum();
                if entry.last_ms < before {
                    counted.values += values;
                    counted.bytes += bytes;
                } else if let Some(rows) = segment.read(entry, Some(&meant), |_| 1, &mut scratch) {
                    let gone = count_before(&rows, before);
                    counted.values += gone;
                    counted.bytes += bytes * gone / values.max(1);
                }
            }
        }
        counted
    }

    /// Removes it. What is hot goes into a segment first. If the process ends on the way a part is removed;
    /// the same purge again removes the rest.
    pub fn purge(&self, purge: &Purge, now_ms: i64) -> Result<Purged, Error> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        self.checkpoint_all(&mut work, now_ms)?;
        let counted = self.purge_preview(purge);
        let segments = self.shared().segments.clone();
        for segment in segments {
            let about = |e: &crate::segment::Entry| {
                purge.is_about(&e.source) && purge.before_ms.is_none_or(|t| e.first_ms < t)
            };
            if segment.entries.iter().any(about) {
                self.rewrite(&segment, purge)?;
            }
        }
        Ok(counted)
    }

    fn rewrite(&self, segment: &Arc<Segment>, purge: &Purge) -> Result<(), Error> {
        let named = |name: NameId| {
            let shared = self.shared();
            purge.names.as_ref().is_none_or(|pattern| {
                shared.names.get(name).is_some_and(|n| matches(pattern, &n.text))
            })
        };
        let mut writer = Writer::create(&self.dir, segment.tier, segment.sequence)?;
        let mut scratch = Scratch::default();
        for entry in &segment.entries {
            // What cannot be read is not carried on.
            let Some(mut rows) = segment.read(entry, None, |_| u8::MAX, &mut scratch) else {
                continue;
            };
            if purge.is_about(&entry.source) {
                let mut left = Vec::new();
                for series in std::mem::take(&mut rows.series) {
                    let name = series.name;
                    let mut points = rows.points(series);
                    if named(name) {
                        points.clip(purge.before_ms.unwrap_or(i64::MAX), i64::MAX);
                    }
                    if !points.times.is_empty() {
                        left.push((name, points));
                    }
                }
                rows = Rows::gather(left);
            }
            writer.add(entry.source, &rows)?;
        }
        let window = Some((segment.from, segment.to));
        let replaced = if writer.is_empty() {
            None
        } else {
            Some(Arc::new(writer.finish(window, &self.shared)?))
        };
        let mut shared = self.shared();
        let Some(at) = shared.segments.iter().position(|s| Arc::ptr_eq(s, segment)) else {
            return Ok(());
        };
        if let Some(new) = replaced {
            shared.segments[at] = new;
        } else {
            shared.segments.remove(at);
            drop(shared);
            remove(&segment.path)?;
        }
        Ok(())
    }
}

impl Purge {
    fn is_about(&self, source: &Source) -> bool {
        self.sources.as_ref().is_none_or(|s| s.contains(source))
    }
}

fn count_before(rows: &Rows, before: i64) -> u64 {
    let runs = rows.series.iter().flat_map(|s| &s.runs);
    let times = runs.map(|(first, n)| &rows.times[*first as usize..(first + n) as usize]);
    times.map(|times| times.iter().filter(|t| **t < before).count() as u64).sum()
}
