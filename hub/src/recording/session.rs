//! What is recorded of one command, from its beginning to its end. Begun and ended by the router's trail.

use super::live::{Ear, Live};
use super::{Recorder, bodies};
use cmdr_link::relay::{Ended, Tapped};
use cmdr_protocol::recordings::State;
use std::sync::Arc;
use std::time::Duration;

/// So long the end of a command waits for its recording to be on disk, unless a rule is strict.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is recorded of a command that runs.
#[derive(Debug)]
pub struct Session {
    pub(super) recorder: Arc<Recorder>,
    pub(super) live: Arc<Live>,
    pub(super) input: bool,
}

impl Session {
    /// What the relay is tapped with.
    pub fn tap(&self) -> Tapped {
        Some(Box::new(Ear::new(self.live.clone(), self.input)))
    }

    /// Brings it to its end; says what the audit log shall know of it. What is slow to reach the disk has its end in
    /// the list when it is there.
    pub async fn end(self, ended: &Ended) -> String {
        let leaves = !self.live.is_command;
        let how = bodies::ended(leaves, &ended.result, ended.last.as_deref());
        self.live.end(how.clone());
        let patience = if self.live.strict { Duration::MAX } else { PATIENCE };
        let concluding = tokio::spawn(conclude(self.recorder.clone(), self.live.clone(), how));
        match tokio::time::timeout(patience, concluding).await {
            Ok(told) => told.unwrap_or_else(|e| format!("recorded; a fault of the hub: {e}")),
            Err(_) => "recorded, but its end is not on disk yet".to_owned(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.live.end("the hub stopped".to_owned());
    }
}

/// Waits until all is written, and notes in the list how it stands.
async fn conclude(recorder: Arc<Recorder>, live: Arc<Live>, how: String) -> String {
    let mut done = live.done.subscribe();
    drop(done.wait_for(|done| *done).await);
    let (id, state) = (live.id, live.state());
    let mut told = String::new();
    let changed = recorder.change(id, |entry| {
        let mut shown = entry.shown();
        told = match (state, shown.lost) {
            (State::Whole, _) => format!("recorded ({})", shown.rules.join(", ")),
            (_, 0) => "recorded, but its end may not be on disk".to_owned(),
            (_, lost) => format!("recorded, {lost} bytes of it are missing"),
        };
        (shown.ended, shown.state) = (how, state);
        shown.watchers.clear();
        entry.record.recording = shown;
        entry.live = None;
    });
    if let Err(e) = changed.await {
        // The file knows its end; it is looked at when the hub starts.
        tracing::error!(recording = id, "the end of a recording is not in the list: {e}");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Recordings;
    use crate::store::Store;
    use crate::vault::Vault;
    use crate::vault::master::Source;
    use cmdr_protocol::recordings::Recording;

    #[tokio::test(start_paused = true)]
    async fn a_recording_that_is_slow_to_reach_the_disk_runs_until_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let source = Source::Own(dir.path().join("secrets.key"));
        let vault = Vault::unlock(&store, &source).await.unwrap();
        let (kept, settings) = (dir.path().join("recordings"), Recordings::default());
        let recorder = Arc::new(Recorder::open(store, vault, kept, settings).unwrap());
        let wanted = crate::recording::rules::Wanted::default();
        let recording = Recording { id: 7, ..Recording::default() };
        let session = recorder.begin(recording, &wanted, bytes::Bytes::new()).await.unwrap();
        let live = session.live.clone();
        // Whoever writes needs this.
        let (held, is_held) = std::sync::mpsc::sync_channel::<()>(1);
        let (go_on, goes_on) = std::sync::mpsc::sync_channel::<()>(1);
        let slow = live.clone();
        let holding = std::thread::spawn(move || {
            let _fresh = slow.fresh.lock().unwrap();
            held.send(()).unwrap();
            goes_on.recv().ok();
        });
        is_held.recv().unwrap();
        let told = session.end(&Ended::with(Ok(()))).await;
        assert_eq!(told, "recorded, but its end is not on disk yet");
        assert_eq!(recorder.get(7).unwrap().state, State::Running);
        go_on.send(()).unwrap();
        holding.join().unwrap();
        while recorder.get(7).unwrap().state == State::Running {
            tokio::task::yield_now().await;
        }
        let shown = recorder.get(7).unwrap();
        assert_eq!(shown.state, State::Whole);
        assert_eq!(recorder.files(), (1, Vec::new()), "its file is as long as the list says");
    }
}
