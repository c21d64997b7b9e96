//! Which runs are kept, and for how long: the oldest that are over go first.

use super::records::{self, RunRecord};
use super::{Runs, busy, segments};
use crate::store::Batch;
use cmdr_link::clock;
use cmdr_protocol::{CallError, RunId};
use std::sync::Arc;

/// Runs removed with one write.
const GROUP: usize = 64;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// So long idempotency keys of deleted runs stay used where runs are kept for good.
const KEY_DAYS: u64 = 90;

impl Runs {
    /// Removes what is beyond its time or its number, and output that is beyond its room. How many runs went.
    pub async fn retain(&self) -> Result<usize, CallError> {
        let mut over: Vec<(RunId, Arc<RunRecord>)> = {
            let state = self.state();
            state.over.iter().map(|(id, record)| (*id, record.clone())).collect()
        };
        over.sort_by_key(|(_, record)| ended(record));
        let now = clock::now_ms();
        let old = |record: &RunRecord| {
            self.settings.keep_days > 0
                && now.saturating_sub(ended(record)) > self.settings.keep_days * DAY_MS
        };
        let many = over.len().saturating_sub(self.settings.keep);
        let mut gone: Vec<_> = over
            .iter()
            .enumerate()
            .filter(|(at, (_, record))| *at < many || old(record))
            .map(|(_, one)| one.clone())
            .collect();
        let taken = segments::size(&self.dir).unwrap_or(0);
        if self.settings.keep_bytes > 0 && taken > self.settings.keep_bytes {
            let mut excess = taken - self.settings.keep_bytes;
            let left = over.iter().filter(|(id, _)| !gone.iter().any(|(one, _)| one == id));
            let mut more = Vec::new();
            for (id, record) in left {
                let output = record.end.as_ref().map_or(0, |end| end.output);
                if excess == 0 {
                    break;
                }
                if output > 0 {
                    // Packed it is less; what is too little goes the next time.
                    excess = excess.saturating_sub(output);
                    more.push((*id, record.clone()));
                }
            }
            gone.extend(more);
        }
        for group in gone.chunks(GROUP) {
            let mut batch = Batch::new();
            let mut taken = Vec::new();
            {
                let mut state = self.state();
                for (id, record) in group {
                    // One that is tried again meanwhile stays; one that goes cannot be.
                    if state.over.get(id).is_some_and(|now| Arc::ptr_eq(now, record)) {
                        state.over.remove(id);
                        state.looked.retain(|live| live.id != *id);
                        state.held.remove(id);
                        state.briefs.remove(*id);
                        batch = records::delete(batch, *id, record, record.log);
                        if !record.start.key.is_empty() {
                            let (author, schedule) = (&record.author, &record.schedule);
                            batch = batch.delete(records::once_key(
                                author,
                                schedule,
                                &record.start.key,
                            ));
                        }
                        taken.push((*id, record.clone()));
                    }
                }
            }
            if let Err(e) = self.store.apply(batch).await {
                self.state().over.extend(taken);
                return Err(busy(e));
            }
        }
        // The keeper may be writing: output is on disk a moment before a run names it.
        self.remove_segments(2);
        let days = if self.settings.keep_days > 0 { self.settings.keep_days } else { KEY_DAYS };
        self.forget_keys(now.saturating_sub(days * DAY_MS), self.settings.keep).await?;
        Ok(gone.len())
    }

    /// Reads all output that runs name; what is wrong with it, one sentence each.
    pub fn check(&self) -> Vec<String> {
        let mut reader = segments::Reader::new(&self.dir);
        let mut wrong = Vec::new();
        let ids: Vec<RunId> = {
            let state = self.state();
            state.over.keys().chain(state.open.keys()).copied().collect()
        };
        for id in ids {
            // What is wrong with these the check of the records tells.
            let Ok((log, _)) = records::log(&self.store, id) else { continue };
            for piece in log.iter().flat_map(|record| &record.pieces).filter(|piece| piece.len > 0)
            {
                let place = segments::Place { segment: piece.segment, offset: piece.offset };
                if let Err(e) = reader.read(place) {
                    wrong.push(format!("run {id}: {e}"));
                    break;
                }
            }
        }
        wrong
    }

    /// Removes segments that hold output of no run that is kept, but for the newest ones. What is being written, and
    /// what has just been and no run names yet, is in the newest one, or in the one before when the writer has gone on to
    /// another meanwhile; so who is not the keeper leaves two.
    pub(super) fn remove_segments(&self, newest: usize) {
        // Looked at first: all that came into the others was named before these were there.
        let Ok(numbers) = segments::numbers(&self.dir) else { return };
        let mut needed: Vec<(u32, u32)> = Vec::new();
        let open;
        {
            let state = self.state();
            for record in state.over.values() {
                needed.extend(record.end.as_ref().and_then(|end| end.segments));
            }
            open = state.open.values().cloned().collect::<Vec<_>>();
        }
        needed.extend(open.iter().filter_map(|live| live.lock().segments));
        for number in unneeded(&numbers, &needed, newest) {
            if let Err(e) = segments::remove(&self.dir, number) {
                tracing::warn!("removing segment {number} of the output of runs: {e}");
            }
        }
    }
}

/// Of these segments, ascending, those that are in none of these ranges and not among the newest.
fn unneeded(numbers: &[u32], needed: &[(u32, u32)], newest: usize) -> Vec<u32> {
    let older = &numbers[..numbers.len().saturating_sub(newest)];
    let is_needed =
        |number: &u32| needed.iter().any(|(first, last)| (first..=last).contains(&number));
    older.iter().copied().filter(|number| !is_needed(number)).collect()
}

fn ended(record: &RunRecord) -> u64 {
    record.end.as_ref().map_or(u64::MAX, |end| end.ended_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::lab::Lab;
    use crate::runs::segments::{Reader, Segments};

    #[tokio::test]
    async fn output_that_is_on_disk_a_moment_before_its_run_names_it_is_not_removed() {
        let lab = Lab::idle();
        let runs = &lab.hub.runs;
        let mut segments = Segments::open(&runs.dir).unwrap();
        let place = segments.push(b"what a host has just said");
        segments.write().unwrap();
        // The keeper has gone on to another segment, and has not told the run yet where that is.
        let next = Segments::open(&runs.dir).unwrap();
        assert_eq!(next.current(), place.segment + 1);
        runs.retain().await.unwrap();
        assert_eq!(Reader::new(&runs.dir).read(place).unwrap(), b"what a host has just said");
        // With the one after that, all that is in it was named; no run did.
        drop(Segments::open(&runs.dir).unwrap());
        runs.retain().await.unwrap();
        assert!(Reader::new(&runs.dir).read(place).unwrap_err().contains("not there any more"));
    }

    #[test]
    fn a_segment_goes_when_no_run_has_output_in_it() {
        let numbers = [3, 4, 5, 8, 9];
        assert_eq!(unneeded(&numbers, &[(4, 5)], 1), [3, 8]);
        assert_eq!(unneeded(&numbers, &[(4, 5)], 2), [3]);
        assert_eq!(unneeded(&numbers, &[], 9), [0; 0]);
        assert_eq!(unneeded(&[], &[], 1), [0; 0]);
    }
}
