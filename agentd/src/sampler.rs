//! Samples while somebody watches: one task per kind, begun by the first watcher, ended after the
//! last. Services make one each and hand out [`Watcher`]s.
//!
//! A watcher gets the newest sample, never a queue of old ones. The task runs at the shortest
//! interval asked for; a watcher with a longer one lets samples pass until its own time has come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The shortest and longest interval a watcher may have.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// From the first look, which yields no rates, to the first sample.
const WARM_UP: Duration = Duration::from_millis(250);

/// Takes one sample after another; made when the sampling begins, dropped when it ends.
pub type Take<T> = Box<dyn FnMut() -> T + Send>;
type Make<T> = Box<dyn Fn() -> Take<T> + Send + Sync>;

/// One kind of sampling. Clones are the same.
pub struct Sampler<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    make: Make<T>,
    state: Mutex<State<T>>,
    /// Somebody came or went: the period may have changed.
    changed: Notify,
}

struct State<T> {
    newest: watch::Sender<Option<Sample<T>>>,
    watchers: Vec<(u64, Duration)>,
    next_id: u64,
    task: Option<JoinHandle<()>>,
}

/// A sample and when it was taken.
pub struct Sample<T> {
    /// When.
    pub at: Instant,
    /// What.
    pub value: Arc<T>,
}

impl<T> Clone for Sample<T> {
    fn clone(&self) -> Self {
        Self { at: self.at, value: self.value.clone() }
    }
}

impl<T> Clone for Sampler<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T> std::fmt::Debug for Sampler<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").finish_non_exhaustive()
    }
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn period(&self) -> Duration {
        self.lock().watchers.iter().map(|(_, interval)| *interval).min().unwrap_or(BOUNDS.1)
    }
}

impl<T: Send + Sync + 'static> Sampler<T> {
    /// A sampler that sleeps until somebody watches.
    pub fn new(make: impl Fn() -> Take<T> + Send + Sync + 'static) -> Self {
        let newest = watch::Sender::new(None);
        let state = State { newest, watchers: Vec::new(), next_id: 0, task: None };
        let inner =
            Inner { make: Box::new(make), state: Mutex::new(state), changed: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Watches each `interval`, brought into the allowed range. Dropping the watcher ends it.
    pub fn watch(&self, interval: Duration) -> Watcher<T> {
        let interval = interval.clamp(BOUNDS.0, BOUNDS.1);
        let mut state = self.inner.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.watchers.push((id, interval));
        let newest = state.newest.subscribe();
        if state.task.is_none() {
            // What was sampled before the pause is not news.
            state.newest.send_replace(None);
            state.task = Some(tokio::spawn(run(self.inner.clone())));
        }
        drop(state);
        self.inner.changed.notify_one();
        Watcher { inner: self.inner.clone(), newest, id, interval, due: None }
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.inner.lock().watchers.len()
    }

    /// Whether the task runs.
    pub fn is_running(&self) -> bool {
        self.inner.lock().task.is_some()
    }
}

async fn run<T: Send + Sync + 'static>(inner: Arc<Inner<T>>) {
    let mut take = (inner.make)();
    // Counters become rates with the second look.
    drop(take());
    tokio::time::sleep(WARM_UP).await;
    loop {
        let value = Arc::new(take());
        let at = Instant::now();
        inner.lock().newest.send_replace(Some(Sample { at, value }));
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(at + inner.period()) => break,
                () = inner.changed.notified() => {}
            }
        }
    }
}

/// One who watches.
pub struct Watcher<T> {
    inner: Arc<Inner<T>>,
    newest: watch::Receiver<Option<Sample<T>>>,
    id: u64,
    interval: Duration,
    due: Option<Instant>,
}

impl<T> Watcher<T> {
    /// The newest sample that this watcher has not seen, when its time has come.
    pub async fn next(&mut self) -> Arc<T> {
        loop {
            let sample = self.newest.borrow_and_update().clone();
            if let Some(sample) = sample
                && self.is_due(sample.at)
            {
                return sample.value;
            }
            if self.newest.changed().await.is_err() {
                // The sender lives in `inner`, which we hold.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether a sample taken then is this watcher's next. Times stay on a grid, so that an
    /// interval that is no multiple of the period is kept on average.
    fn is_due(&mut self, at: Instant) -> bool {
        let slack = BOUNDS.0 / 2;
        match self.due {
            Some(due) if at + slack < due => false,
            Some(due) if at <= due + self.interval => {
                self.due = Some(due + self.interval);
                true
            }
            _ => {
                self.due = Some(at + self.interval);
                true
            }
        }
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.watchers.retain(|(id, _)| *id != self.id);
        if state.watchers.is_empty()
            && let Some(task) = state.task.take()
        {
            task.abort();
            state.newest.send_replace(None);
        }
        drop(state);
        self.inner.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counting() -> (Sampler<usize>, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let sampler = Sampler::new(move || {
            let counter = counter.clone();
            Box::new(move || counter.fetch_add(1, Ordering::Relaxed))
        });
        (sampler, taken)
    }

    #[tokio::test(start_paused = true)]
    async fn sampling_begins_with_the_first_watcher_and_ends_after_the_last() {
        let (sampler, taken) = counting();
        assert!(!sampler.is_running());
        let mut one = sampler.watch(Duration::from_secs(1));
        let two = sampler.watch(Duration::from_secs(1));
        assert_eq!(*one.next().await, 1);
        drop(one);
        assert!(sampler.is_running());
        drop(two);
        assert!(!sampler.is_running());
        let before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(taken.load(Ordering::Relaxed), before);
    }

    #[tokio::test(start_paused = true)]
    async fn each_watcher_gets_its_own_interval() {
        let (sampler, _) = counting();
        for (asked, wanted) in [(1000, 20), (1500, 13), (5000, 4), (10, 20)] {
            let mut fast = sampler.watch(Duration::from_secs(1));
            let mut watcher = sampler.watch(Duration::from_millis(asked));
            fast.next().await;
            watcher.next().await;
            let end = Instant::now() + Duration::from_millis(20_400);
            let mut got = 0;
            while tokio::time::timeout_at(end, watcher.next()).await.is_ok() {
                got += 1;
            }
            assert_eq!(got, wanted, "{asked} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_watcher_gets_the_newest_sample_and_no_old_ones() {
        let (sampler, _) = counting();
        let mut watcher = sampler.watch(Duration::from_secs(1));
        assert_eq!(*watcher.next().await, 1);
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        assert_eq!(*watcher.next().await, 11);
        assert_eq!(*watcher.next().await, 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_faster_watcher_shortens_the_period_at_once() {
        let (sampler, _) = counting();
        let mut slow = sampler.watch(Duration::from_mins(1));
        slow.next().await;
        let mut fast = sampler.watch(Duration::from_secs(1));
        let begun = Instant::now();
        fast.next().await;
        fast.next().await;
        assert!(begun.elapsed() <= Duration::from_secs(2));
    }
}
