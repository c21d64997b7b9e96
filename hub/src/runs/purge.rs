//! Runs that are over as what takes room: how many there are, and removing those that ended before a time. Asked by
//! `services/data.rs`.

use super::records::{self, KeyRecord, RunRecord};
use super::{Runs, busy, segments};
use crate::server::Hub;
use crate::store::Batch;
use cmdr_link::clock;
use cmdr_protocol::{CallError, RunId};
use std::sync::Arc;

/// Runs removed with one write.
const GROUP: usize = 64;

/// A run that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    pub(crate) id: RunId,
    pub(crate) ended_ms: u64,
    /// Bytes that its targets wrote.
    pub(crate) output: u64,
}

impl Runs {
    /// All that are over.
    pub(crate) fn over(&self) -> Vec<Over> {
        let state = self.state();
        let over = state.over.iter().filter_map(|(id, record)| {
            let end = record.end.as_ref()?;
            Some(Over { id: *id, ended_ms: end.ended_ms, output: end.output })
        });
        over.collect()
    }

    /// Bytes that the output of all runs takes on disk.
    pub(crate) fn output_size(&self) -> std::io::Result<u64> {
        segments::size(&self.dir)
    }

    /// Removes runs that are over, but for those of which something waits to be posted. Which went; the others stay.
    ///
    /// As with one that is deleted, its idempotency key stays used: a request that comes again late begins nothing.
    pub(crate) async fn purge(&self, hub: &Hub, ids: &[RunId]) -> Result<Vec<RunId>, CallError> {
        let mut gone = Vec::new();
        for group in ids.chunks(GROUP) {
            let mut free = Vec::new();
            for id in group {
                if hub.outbox.settled(hub, *id).await.is_ok() {
                    free.push(*id);
                }
            }
            gone.extend(self.purge_group(&free).await?);
        }
        if !gone.is_empty() {
            // The keeper may be writing: output is on disk a moment before a run names it.
            self.remove_segments(2);
            self.tell_lists();
        }
        Ok(gone)
    }

    async fn purge_group(&self, ids: &[RunId]) -> Result<Vec<RunId>, CallError> {
        let mut taken: Vec<(RunId, Arc<RunRecord>)> = Vec::new();
        {
            let mut state = self.state();
            for id in ids {
                // One that is tried again meanwhile stays; one that goes cannot be.
                let Some(record) = state.over.remove(id) else { continue };
                state.looked.retain(|live| live.id != *id);
                state.held.remove(id);
                state.briefs.remove(*id);
                taken.push((*id, record));
            }
        }
        if let Err(e) = self.remove_all(&taken).await {
            self.state().over.extend(taken);
            return Err(e);
        }
        for (id, _) in &taken {
            // Nobody may be listening.
            drop(self.gone.send(*id));
        }
        Ok(taken.into_iter().map(|(id, _)| id).collect())
    }

    async fn remove_all(&self, runs: &[(RunId, Arc<RunRecord>)]) -> Result<(), CallError> {
        let mut batch = Batch::new();
        for (id, record) in runs {
            batch = records::delete(batch, *id, record, record.log);
            if record.start.key.is_empty() {
                continue;
            }
            let once = records::once_key(&record.author, &record.schedule, &record.start.key);
            // One that is kept of another run by now is none of ours.
            let own = self.store.get::<KeyRecord>(&once).map_err(busy)?;
            if let Some(known) = own.filter(|known| known.run == *id) {
                let used = KeyRecord { gone_ms: Some(clock::now_ms()), ..known };
                batch = batch.put(once, &used);
            }
        }
        self.store.apply(batch).await.map_err(busy)
    }
}
