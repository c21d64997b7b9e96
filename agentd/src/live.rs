//! A state that is followed once for all who watch: begun by the first watcher, ended after the last. `services`
//! and the features of Docker use it; what follows is theirs.

use crate::items;
use cmdr_link::service::Feeding;
use cmdr_protocol::table::{Change, Row};
use cmdr_protocol::{CallError, Feed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The newest state, or why there is none any more.
type Newest<T> = Option<Result<Arc<T>, CallError>>;

/// A state, while somebody watches.
pub struct Live<T> {
    running: Mutex<Weak<Running<T>>>,
}

impl<T> Default for Live<T> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<T> std::fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

struct Running<T> {
    newest: watch::Receiver<Newest<T>>,
    task: JoinHandle<()>,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where whoever follows puts what is new.
pub(crate) struct Teller<T>(watch::Sender<Newest<T>>);

impl<T: PartialEq> Teller<T> {
    /// Tells all who watch, unless it is what they know.
    pub(crate) fn tell(&self, state: T) {
        let state = Arc::new(state);
        self.0.send_if_modified(|newest| {
            let same = matches!(newest, Some(Ok(last)) if *last == state);
            *newest = Some(Ok(state));
            !same
        });
    }
}

/// One who watches.
pub(crate) struct Watcher<T> {
    _running: Arc<Running<T>>,
    newest: watch::Receiver<Newest<T>>,
}

impl<T: Send + Sync + 'static> Live<T> {
    /// Watches; `follow` is begun when nobody follows yet, and dropped after the last who watches.
    pub(crate) fn watch<F>(&self, follow: impl FnOnce(Teller<T>) -> F) -> Watcher<T>
    where
        F: Future<Output = (Teller<T>, CallError)> + Send + 'static,
    {
        let mut held = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended with an error is begun anew.
        let running = held.upgrade().filter(|running| !running.task.is_finished());
        let running = running.unwrap_or_else(|| {
            let (sender, newest) = watch::channel(None);
            let following = follow(Teller(sender));
            let task = tokio::spawn(async move {
                let (teller, error) = following.await;
                teller.0.send_replace(Some(Err(error)));
            });
            let running = Arc::new(Running { newest, task });
            *held = Arc::downgrade(&running);
            running
        });
        let mut newest = running.newest.clone();
        newest.mark_changed();
        Watcher { _running: running, newest }
    }

    /// Whether somebody follows now.
    pub fn is_running(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
    }
}

impl<T> Watcher<T> {
    /// The newest state that this watcher has not seen.
    pub(crate) async fn next(&mut self) -> Result<Arc<T>, CallError> {
        loop {
            let over = self.newest.changed().await.is_err();
            if let Some(newest) = self.newest.borrow_and_update().clone() {
                let again = over && newest.is_ok();
                if !again {
                    return newest;
                }
            }
            if over {
                return Err(CallError::failed("this is not watched any more; ask again"));
            }
        }
    }
}

impl<R: Row> Watcher<Vec<R>> {
    /// Sends the table, whose rows are in the order of their keys, and what changes of it.
    pub(crate) async fn send<F: Feed<Item = Change<R>>>(
        mut self,
        feeding: Feeding<F>,
    ) -> Result<(), CallError> {
        let mut sent: Option<Arc<Vec<R>>> = None;
        loop {
            let newest = self.next().await?;
            for change in items::changes(sent.as_ref().map(|rows| rows.as_slice()), &newest) {
                feeding.send(&change).await?;
            }
            sent = Some(newest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    async fn counting(
        teller: Teller<usize>,
        begun: Arc<AtomicUsize>,
        more: Arc<Notify>,
    ) -> (Teller<usize>, CallError) {
        let n = begun.fetch_add(1, Ordering::SeqCst);
        teller.tell(n * 10);
        more.notified().await;
        teller.tell(n * 10 + 1);
        more.notified().await;
        (teller, CallError::failed("over"))
    }

    #[tokio::test]
    async fn one_follows_for_all_who_watch_and_is_begun_anew_after_an_error() {
        let live = Live::default();
        let (begun, more) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let watch = || live.watch(|teller| counting(teller, begun.clone(), more.clone()));
        let (mut one, mut two) = (watch(), watch());
        assert_eq!((*one.next().await.unwrap(), *two.next().await.unwrap()), (0, 0));
        more.notify_one();
        assert_eq!((*one.next().await.unwrap(), *two.next().await.unwrap()), (1, 1));
        more.notify_one();
        assert_eq!(one.next().await.unwrap_err().message, "over");
        let mut again = watch();
        assert_eq!(*again.next().await.unwrap(), 10);
        drop((one, two, again));
        assert!(!live.is_running());
    }
}
