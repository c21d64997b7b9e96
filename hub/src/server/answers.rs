//! Calls that are being answered, by the key that asked: who is cut off for what was just asked hears the answer first,
//! however long the audit log took to write it down. Entered by [`crate::audit`], waited for by [`super::standing`].

use cmdr_protocol::KeyId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: Mutex<HashMap<KeyId, u32>>,
    left: Notify,
}

/// One of them, until its answer is on its way.
pub(crate) struct Answering<'a> {
    answers: &'a Answers,
    key: KeyId,
}

impl Answers {
    pub(crate) fn enter(&self, key: KeyId) -> Answering<'_> {
        *self.lock().entry(key).or_default() += 1;
        Answering { answers: self, key }
    }

    /// Waits until none is being answered for this key.
    pub(super) async fn have_left(&self, key: KeyId) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if !self.lock().contains_key(&key) {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, u32>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        let mut asked = self.answers.lock();
        if let Some(count) = asked.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                asked.remove(&self.key);
            }
        }
        drop(asked);
        self.answers.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn whoever_waits_for_answers_waits_for_all_of_that_key_and_no_other() {
        let answers = Answers::default();
        let (one, other) = (KeyId([1; 16]), KeyId([2; 16]));
        let _others = answers.enter(other);
        let (first, second) = (answers.enter(one), answers.enter(one));
        let mut left = std::pin::pin!(answers.have_left(one));
        assert!(left.as_mut().now_or_never().is_none());
        drop(first);
        assert!(left.as_mut().now_or_never().is_none());
        drop(second);
        assert!(left.as_mut().now_or_never().is_some());
    }
}
