//! Runs that are over, for those who tell others of them.

use super::{RunRecord, Runs};
use cmdr_protocol::{HostId, RunId};
use std::sync::Arc;

impl Runs {
    /// A run that is over, without what is large in it.
    pub(crate) fn ended(&self, run: RunId) -> Option<Arc<RunRecord>> {
        self.state().over.get(&run).cloned()
    }

    /// Runs that have ended since.
    pub(crate) fn ended_since(&self, since_ms: u64) -> Vec<RunId> {
        let late = |record: &RunRecord| record.end.as_ref().is_some_and(|e| e.ended_ms >= since_ms);
        let state = self.state();
        state.over.iter().filter(|(_, record)| late(record)).map(|(id, _)| *id).collect()
    }

    /// The hosts of a run; none when it cannot be read.
    pub(crate) fn hosts_of(&self, run: RunId) -> Vec<HostId> {
        match self.find(run) {
            Ok(Some(live)) => live.lock().seats.iter().map(|seat| seat.host).collect(),
            Ok(None) => Vec::new(),
            Err(e) => {
                tracing::warn!(%run, "the hosts of a run cannot be read: {e}");
                Vec::new()
            }
        }
    }
}
