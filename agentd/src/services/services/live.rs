//! Units as they change, read once for all who watch: when the manager says that something happened,
//! and now and then for figures that nobody announces. Begun by the first watcher, ended after the
//! last.

use super::rows::Reader;
use crate::Config;
use crate::systemd::Manager;
use cmdr_protocol::CallError;
use cmdr_protocol::services::Unit;
use futures::StreamExt as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// What happens together is read together.
const TOGETHER: Duration = Duration::from_millis(250);
/// A manager that says much is read no more often than this.
const PAUSE: Duration = Duration::from_millis(750);
/// Memory and main processes are looked at so often although nothing was said.
const QUIET: Duration = Duration::from_secs(10);

type Newest = Option<Result<Arc<Vec<Unit>>, CallError>>;

/// The units of this host, while somebody watches.
#[derive(Debug, Default)]
pub struct Live {
    running: Mutex<Weak<Running>>,
}

#[derive(Debug)]
struct Running {
    newest: watch::Receiver<Newest>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One who watches.
pub(super) struct Watcher {
    _running: Arc<Running>,
    newest: watch::Receiver<Newest>,
}

impl Live {
    pub(super) fn watch(&self, config: &Config) -> Watcher {
        let mut held = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended with an error is begun anew.
        let running = held.upgrade().filter(|running| !running.task.is_finished());
        let running = running.unwrap_or_else(|| {
            let (sender, newest) = watch::channel(None);
            let task = tokio::spawn(run(config.clone(), sender));
            let running = Arc::new(Running { newest, task });
            *held = Arc::downgrade(&running);
            running
        });
        let mut newest = running.newest.clone();
        newest.mark_changed();
        Watcher { _running: running, newest }
    }

    /// Whether units are read now.
    pub fn is_running(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0
    }
}

impl Watcher {
    /// The newest units that this watcher has not seen.
    pub(super) async fn next(&mut self) -> Result<Arc<Vec<Unit>>, CallError> {
        loop {
            let over = self.newest.changed().await.is_err();
            if let Some(newest) = self.newest.borrow_and_update().clone() {
                let again = over && newest.is_ok();
                if !again {
                    return newest;
                }
            }
            if over {
                return Err(CallError::failed("the service manager is not watched any more"));
            }
        }
    }
}

async fn run(config: Config, newest: watch::Sender<Newest>) {
    if let Err(error) = follow(&config, &newest).await {
        newest.send_replace(Some(Err(error)));
    }
}

async fn follow(config: &Config, newest: &watch::Sender<Newest>) -> Result<(), CallError> {
    let manager = Manager::connect(config).await?;
    let mut signals = manager.signals(None).await?;
    let happened = Arc::new(Notify::new());
    let notify = happened.clone();
    // Taken at once, whatever else is going on: what is not taken keeps answers from coming.
    let taking = tokio::spawn(async move {
        while signals.next().await.is_some() {
            notify.notify_one();
        }
    });
    let _taking = Abort(taking);
    let mut reader = Reader::new(config, Vec::new());
    loop {
        let (units, _) = reader.read(&manager).await?;
        let units = Arc::new(units);
        newest.send_if_modified(|newest| {
            let same = matches!(newest, Some(Ok(last)) if *last == units);
            *newest = Some(Ok(units.clone()));
            !same
        });
        let quiet = Instant::now() + QUIET;
        sleep(PAUSE).await;
        if timeout_at(quiet, happened.notified()).await.is_ok() {
            sleep(TOGETHER).await;
        }
    }
}

struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
