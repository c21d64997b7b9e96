//! Removes recordings that are beyond their time or beyond what they may take together, the oldest
//! first; each removal is in the audit log. Run by the hub now and then.

use super::{Entry, Recorder};
use crate::audit::trail;
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_protocol::recordings::Delete;

/// A recording that is over, for those who count and purge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    pub(crate) id: u64,
    pub(crate) ended_ms: u64,
    pub(crate) bytes: u64,
}

impl Recorder {
    /// Those that are over, and how many are not.
    pub(crate) fn over(&self) -> (Vec<Over>, u64) {
        let entries = self.entries();
        let over = entries.iter().filter(|(_, entry)| entry.live.is_none());
        let over: Vec<Over> = over
            .map(|(id, entry)| {
                let told = &entry.record.recording;
                let ended_ms = told.at_ms.saturating_add(told.took_ms);
                Over { id: *id, ended_ms, bytes: entry.size() }
            })
            .collect();
        let running = entries.len() - over.len();
        (over, running as u64)
    }

    /// Numbers of those to remove now.
    fn expired(&self, now_ms: u64) -> Vec<u64> {
        let entries = self.entries();
        let mut used: u64 = entries.values().map(Entry::size).sum();
        let mut expired = Vec::new();
        for (id, entry) in entries.iter().filter(|(_, entry)| entry.live.is_none()) {
            let old = entry.record.recording.until_ms.is_some_and(|until| until <= now_ms);
            if old || used > self.limit() {
                used -= entry.size();
                expired.push(*id);
            }
        }
        expired
    }
}

/// Removes what is to be removed; says how many that were.
pub(crate) async fn retain(hub: &Hub) -> u64 {
    let mut removed = 0;
    for id in hub.recorder.expired(clock::now_ms()) {
        let delete = Delete { id };
        let done = hub.recorder.delete(id);
        let done = async { done.await.map(|()| cmdr_protocol::Nothing {}) };
        match trail::local(&hub.audit, "retention", &delete, done).await {
            Ok(_) => removed += 1,
            Err(e) => tracing::error!("removing an old recording: {e}"),
        }
    }
    removed
}
