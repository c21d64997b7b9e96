//! How a run that is over is deleted: all that is kept of it goes with one write, done by the keeper, so that nothing
//! about it is on its way to disk meanwhile.
//!
//! What stays is that its idempotency key was used: a request that is sent again late is refused and begins nothing a
//! second time. That is forgotten when the run itself would have been.

use super::keeper::{Keeper, News};
use super::records::{self, KeyRecord};
use super::{Runs, busy};
use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use cmdr_link::clock;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::{CallError, ErrorKind, RunId};
use std::sync::Arc;
use tokio::sync::oneshot;

fn goes_on(run: RunId) -> String {
    format!("the run {run} goes on; stop it first (cmdr run stop {run}), or wait for its end")
}

/// Idempotency keys whose runs were deleted, as the store has them, with when: oldest first.
fn used_up(store: &Store) -> Result<Vec<(u64, String)>, StoreError> {
    let keys = store.scan::<KeyRecord>(prefix::RUN_KEY)?.into_iter().filter_map(Result::ok);
    let gone = keys.filter_map(|(key, record)| Some((record.gone_ms?, key)));
    let mut used: Vec<_> = gone.collect();
    used.sort_unstable();
    Ok(used)
}

impl Runs {
    /// Deletes a run that is over; on disk when this returns.
    pub(crate) async fn delete(
        &self,
        hub: &Hub,
        caller: &Caller,
        live: Arc<super::Live>,
    ) -> Result<(), CallError> {
        let run = live.id;
        let conflict = |what: String| CallError::new(ErrorKind::Conflict, what);
        let owner = {
            let inner = live.lock();
            if !inner.is_over() {
                return Err(conflict(goes_on(run)));
            }
            (inner.record.author.operator.clone(), inner.record.author.account_ms)
        };
        hub.outbox.settled(hub, run).await?;
        let (done, result) = oneshot::channel();
        let stopping = || CallError::new(ErrorKind::Busy, "the hub is stopping");
        self.queue.send(News::Delete { run, done }).await.map_err(|_| stopping())?;
        result.await.map_err(|_| stopping())?.map_err(conflict)?;
        // Nobody may be listening.
        drop(self.gone.send(run));
        self.tell_lists();
        let operator = caller.operator.clone();
        let event = Event { what: What::RunDeleted, run: Some(run), operator, ..Event::default() };
        hub.fleet.events.tell_of(event, Some(owner));
        tracing::info!(%run, by = caller.name, "a run was deleted");
        Ok(())
    }

    /// Forgets idempotency keys of runs that were deleted so long ago that they would be gone by themselves.
    pub(super) async fn forget_keys(&self, before_ms: u64, most: usize) -> Result<(), CallError> {
        let used = used_up(&self.store).map_err(busy)?;
        let many = used.len().saturating_sub(most);
        let old: Vec<_> = used
            .into_iter()
            .enumerate()
            .filter(|(at, (gone_ms, _))| *at < many || *gone_ms < before_ms)
            .map(|(_, (_, key))| key)
            .collect();
        for group in old.chunks(500) {
            let batch = group.iter().fold(Batch::new(), |batch, key| batch.delete(key.clone()));
            self.store.apply(batch).await.map_err(busy)?;
        }
        Ok(())
    }
}

impl Keeper {
    /// Removes everything about a run that is over with one write; then output that was only its.
    pub(super) async fn delete(&self, run: RunId) -> Result<(), String> {
        let runs = &self.runs;
        let record = {
            let mut state = runs.state();
            let Some(record) = state.over.remove(&run) else {
                return Err(if state.open.contains_key(&run) {
                    goes_on(run)
                } else {
                    format!("the run {run} is gone already")
                });
            };
            state.looked.retain(|live| live.id != run);
            state.held.remove(&run);
            state.briefs.remove(run);
            record
        };
        if let Err(e) = self.remove(run, &record).await {
            runs.state().over.insert(run, record);
            return Err(format!("the run {run} was not deleted: {e}"));
        }
        if record.end.as_ref().is_some_and(|end| end.segments.is_some()) {
            // The keeper writes nothing meanwhile: no output is where nobody knows of it yet.
            let runs = runs.clone();
            if let Err(e) = tokio::task::spawn_blocking(move || runs.remove_segments(1)).await {
                tracing::error!("removing output of runs: {e}");
            }
        }
        Ok(())
    }

    async fn remove(&self, run: RunId, record: &records::RunRecord) -> Result<(), StoreError> {
        let store = &self.runs.store;
        let (_, next) = records::log(store, run)?;
        let mut batch = records::delete(Batch::new(), run, record, next.max(record.log));
        if !record.start.key.is_empty() {
            let once = records::once_key(&record.author, &record.schedule, &record.start.key);
            // One that is kept of another run by now is none of ours.
            let own = store.get::<KeyRecord>(&once)?.filter(|known| known.run == run);
            if let Some(known) = own {
                let used = KeyRecord { gone_ms: Some(clock::now_ms()), ..known };
                batch = batch.put(once, &used);
            }
        }
        store.apply(batch).await
    }
}
