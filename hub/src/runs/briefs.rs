//! Which hosts a run that is over was for, and how it ended there: for lists of those who may not see all of it. Few
//! bytes a host, bounded, read from disk when they are asked for.

use super::{Runs, busy, records, restore};
use cmdr_protocol::runs::TargetState;
use cmdr_protocol::{CallError, HostId, RunId};
use std::collections::HashMap;
use std::sync::Arc;

/// Targets that are kept in all.
const MOST: usize = 1_000_000;

/// The targets of one run.
pub(super) type Brief = Arc<[(HostId, TargetState)]>;

/// Of some runs that are over.
#[derive(Debug, Default)]
pub(super) struct Briefs {
    runs: HashMap<RunId, Brief>,
    targets: usize,
}

impl Briefs {
    pub(super) fn get(&self, run: RunId) -> Option<Brief> {
        self.runs.get(&run).cloned()
    }

    pub(super) fn remove(&mut self, run: RunId) {
        self.targets -= self.runs.remove(&run).map_or(0, |brief| brief.len());
    }

    fn put(&mut self, run: RunId, brief: Brief) {
        self.remove(run);
        if self.targets + brief.len() > MOST {
            *self = Self::default();
        }
        self.targets += brief.len();
        self.runs.insert(run, brief);
    }
}

impl Runs {
    /// What is in memory of a run that is over.
    pub(super) fn brief(&self, run: RunId) -> Option<Brief> {
        self.state().briefs.get(run)
    }

    /// The same, read from disk.
    pub(super) fn read_brief(&self, run: RunId) -> Result<Option<Brief>, CallError> {
        let Some(over) = self.state().over.get(&run).cloned() else { return Ok(None) };
        let Some(record) = records::head(&self.store, run).map_err(busy)? else { return Ok(None) };
        let live = restore(&self.store, run, record).map_err(busy)?;
        let brief: Brief = live.lock().seats.iter().map(|seat| (seat.host, seat.state)).collect();
        let mut state = self.state();
        // What was tried again meanwhile may stand otherwise by now.
        if state.over.get(&run).is_some_and(|now| Arc::ptr_eq(now, &over)) {
            state.briefs.put(run, brief.clone());
        }
        Ok(Some(brief))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_targets_are_kept_than_fit() {
        let mut briefs = Briefs::default();
        let brief: Brief = vec![(HostId([1; 16]), TargetState::Ok); MOST / 4].into();
        for run in 0..10u8 {
            briefs.put(RunId([run; 8]), brief.clone());
            let kept: usize = briefs.runs.values().map(|brief| brief.len()).sum();
            assert!(kept <= MOST && kept == briefs.targets, "{kept}");
            assert!(briefs.get(RunId([run; 8])).is_some());
        }
        briefs.remove(RunId([9; 8]));
        assert!(briefs.get(RunId([9; 8])).is_none());
    }
}
