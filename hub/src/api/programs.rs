//! Programs that follow something over HTTP, so that they can be cut as links are when their rights change.

use cmdr_protocol::KeyId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Those who are there. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Programs(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    there: HashMap<u64, (KeyId, oneshot::Sender<String>)>,
}

/// One that is there; gone when dropped.
#[derive(Debug)]
pub(super) struct Presence {
    programs: Programs,
    number: u64,
    cut: oneshot::Receiver<String>,
}

impl Programs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, key: KeyId) -> Presence {
        let (send, cut) = oneshot::channel();
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        state.there.insert(number, (key, send));
        Presence { programs: self.clone(), number, cut }
    }

    /// How many follow something now.
    pub fn count(&self) -> usize {
        self.lock().there.len()
    }

    /// Ends what is followed with this key.
    pub(crate) fn cut(&self, key: KeyId, reason: &str) {
        let mut state = self.lock();
        let cut: Vec<_> =
            state.there.iter().filter(|(_, (k, _))| *k == key).map(|(n, _)| *n).collect();
        for number in cut {
            if let Some((_, send)) = state.there.remove(&number) {
                // Nobody listens any more: it is going anyway.
                drop(send.send(reason.to_owned()));
            }
        }
    }
}

impl Presence {
    /// Waits until it is cut, and says why.
    pub(super) async fn cut(&mut self) -> String {
        match (&mut self.cut).await {
            Ok(reason) => reason,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.programs.lock().there.remove(&self.number);
    }
}
