//! Sends samples on as they are kept, to servers that take the remote-write protocol of Prometheus. Started by the hub when
//! it serves; how its targets do is asked by `services/history.rs`.
//!
//! Each target has a thread of its own that reads on in the history itself, so what a target does not take waits there
//! and costs no memory, and one that hangs hurts nobody. How far it has come is kept beside the history and moves only
//! when the target has taken what it was sent, or has refused it for good; what was on its way in a crash is sent twice.

mod encode;
mod post;
mod sender;
mod settings;

pub use settings::{Settings, check};

use crate::server::Hub;
use cmdr_link::clock;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::history::Target as Told;
use post::Post;
use sender::Sender;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A target that has taken nothing for so long is told of as an event: what is short mends itself.
const FAILING_MS: u64 = 15_000;

/// The folder of the cursors, beside that of the audit log.
pub fn folder(audit: &Path) -> PathBuf {
    audit.with_file_name("remote-write")
}

/// All targets.
#[derive(Debug)]
pub struct RemoteWrite {
    targets: Vec<Arc<Target>>,
    stop: Arc<Stop>,
}

/// A target, and how it does.
#[derive(Debug)]
struct Target {
    name: String,
    settings: Settings,
    cursor: PathBuf,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    shown: Told,
    /// That it fails was told as an event.
    told: bool,
}

impl Target {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn takes(&self, hub: Option<&Arc<Hub>>, samples: u64) {
        let told = {
            let mut standing = self.lock();
            let shown = &mut standing.shown;
            shown.sent += samples;
            shown.taken_ms = clock::now_ms();
            if shown.failing_ms > 0 {
                shown.failing_ms = 0;
                shown.last.clear();
                tracing::info!(target = self.name, "samples are sent again");
            }
            std::mem::take(&mut standing.told)
        };
        if told {
            self.tell(hub, What::TargetTakes, String::new());
        }
    }

    fn fails(&self, hub: Option<&Arc<Hub>>, why: &str) {
        let (first, told) = {
            let mut standing = self.lock();
            let now = clock::now_ms();
            let first = standing.shown.failing_ms == 0;
            if first {
                standing.shown.failing_ms = now;
            }
            why.clone_into(&mut standing.shown.last);
            let long = now.saturating_sub(standing.shown.failing_ms) >= FAILING_MS;
            let told = long && !standing.told;
            standing.told |= told;
            (first, told)
        };
        if first {
            tracing::warn!(target = self.name, "samples wait to be sent: {why}");
        }
        if told {
            self.tell(hub, What::TargetFailed, why.to_owned());
        }
    }

    fn tell(&self, hub: Option<&Arc<Hub>>, what: What, message: String) {
        let Some(hub) = hub else { return };
        let about = format!("target:{}", self.name);
        hub.fleet.events.tell(Event { what, about, message, ..Event::default() });
    }
}

/// Says when to end.
#[derive(Debug, Default)]
struct Stop {
    ended: Mutex<bool>,
    news: Condvar,
}

impl Stop {
    /// Waits so long; false when it is time to end.
    fn pause(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.news.wait_timeout_while(ended, time, |ended| !*ended);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.news.notify_all();
    }
}

impl RemoteWrite {
    /// The targets of a configuration; their cursors are in this folder.
    pub fn new(dir: &Path, targets: &BTreeMap<String, Settings>) -> Self {
        let target = |(name, settings): (&String, &Settings)| {
            let (name, server) = (name.clone(), settings.server());
            let shown = Told { name: name.clone(), server, ..Told::default() };
            let standing = Mutex::new(Standing { shown, told: false });
            let cursor = dir.join(format!("{name}.cursor"));
            Arc::new(Target { name, settings: settings.clone(), cursor, standing })
        };
        Self { targets: targets.iter().map(target).collect(), stop: Arc::default() }
    }

    /// Whether all can be gone to as far as this machine is concerned: what is wrong, if not.
    pub fn ready(&self) -> Result<(), String> {
        for target in &self.targets {
            Post::new(&target.settings)
                .map_err(|e| format!("[history.remote_write.{}] {e}", target.name))?;
        }
        Ok(())
    }

    /// Begins to send.
    pub fn start(&self, hub: &Arc<Hub>) {
        for target in &self.targets {
            let sender = Sender::new(target.clone(), Arc::downgrade(hub), self.stop.clone());
            let name = format!("remote-{}", target.name);
            if let Err(e) = std::thread::Builder::new().name(name).spawn(move || sender.run()) {
                tracing::error!(target = target.name, "starting the thread of a target: {e}");
            }
        }
    }

    /// Ends it; what is on its way is sent again by whoever begins anew.
    pub fn stop(&self) {
        self.stop.end();
    }

    /// How the targets do, by name.
    pub fn told(&self) -> Vec<Told> {
        self.targets.iter().map(|target| target.lock().shown.clone()).collect()
    }
}
