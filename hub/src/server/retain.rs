//! What is beyond its time is removed, now and then. Begun by the hub when it serves.

use super::Hub;
use crate::recording;
use std::sync::Arc;
use std::time::Duration;

/// How often old audit records and recordings are looked for.
const RETAIN: Duration = Duration::from_mins(10);

impl Hub {
    /// Removes audit records, recordings, runs and contents of files that are beyond their time, now and then.
    pub(super) async fn retain(self: Arc<Self>) {
        let mut tick = tokio::time::interval(RETAIN);
        loop {
            tick.tick().await;
            match self.audit.retain(self.config.audit.keep()).await {
                Ok(0) => {}
                Ok(segments) => tracing::info!(segments, "old audit records were removed"),
                Err(e) => tracing::error!("removing old audit records: {e}"),
            }
            match recording::retain(&self).await {
                0 => {}
                recordings => tracing::info!(recordings, "old recordings were removed"),
            }
            match self.runs.retain().await {
                Ok(0) => {}
                Ok(runs) => tracing::info!(runs, "old runs were removed"),
                Err(e) => tracing::error!("removing old runs: {e}"),
            }
            let hub = self.clone();
            self.blobs.retain(move |hash| hub.needs_blob(hash)).await;
        }
    }
}
