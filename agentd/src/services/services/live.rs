//! Units as they change, read once for all who watch ([`crate::live`]): when the manager says that something happened,
//! and now and then for figures that nobody announces.

use super::rows::Reader;
use crate::Config;
use crate::live::{Teller, Watcher};
use crate::systemd::Manager;
use cmdr_protocol::CallError;
use cmdr_protocol::services::Unit;
use futures::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

/// What happens together is read together.
const TOGETHER: Duration = Duration::from_millis(250);
/// A manager that says much is read no more often than this.
const PAUSE: Duration = Duration::from_millis(750);
/// Memory and main processes are looked at so often although nothing was said.
const QUIET: Duration = Duration::from_secs(10);

/// The units of this host, while somebody watches.
pub type Live = crate::live::Live<Vec<Unit>>;

pub(super) fn watch(live: &Live, config: &Config) -> Watcher<Vec<Unit>> {
    let config = config.clone();
    live.watch(|teller| async move {
        let ended = follow(&config, &teller).await;
        let over = || CallError::failed("the service manager is not watched any more");
        let error = ended.err().unwrap_or_else(over);
        (teller, error)
    })
}

async fn follow(config: &Config, teller: &Teller<Vec<Unit>>) -> Result<(), CallError> {
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
        teller.tell(units);
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
