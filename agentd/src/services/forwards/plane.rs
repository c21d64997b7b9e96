//! Forwards that lead where this host itself connects, and proxies: each is a part `forward/NAME` of the data plane
//! ([`crate::dataplane`]), so that neither a restart nor a crash of the agent cuts what they carry. What is kept comes from
//! `held`; here it is turned into parts (`plane/meant.rs`), and what the data plane counts into how they stand
//! (`plane/counted.rs`).

mod counted;
mod meant;

use crate::Agent;
use cmdr_gateway::config::Config;
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::kept::{Given, Kind, Stand};
use cmdr_protocol::{CallError, ErrorKind};
use counted::{Listener, Tally};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How often it is asked how forwards do.
const LOOK: Duration = Duration::from_secs(1);
/// What does not go is tried again so much later.
const AGAIN: Duration = Duration::from_secs(2);
/// Names are looked up so often.
const NAMES: Duration = Duration::from_secs(15);
/// Letters of what is wrong with one.
const WHY: usize = 400;

/// What is known of one.
#[derive(Debug, Default)]
struct Known {
    given: Given,
    /// What was found for its names last: where it leads, or of a proxy where the hub is.
    found: Vec<SocketAddr>,
    /// When names were looked up.
    looked: Option<Instant>,
    /// The data plane was given it as it is now.
    settled: bool,
    /// The data plane listens for it, as far as it was given that.
    listens: bool,
    /// What does not go is not tried before.
    not_before: Option<Instant>,
    /// Its connections are to end.
    cut: bool,
    listening: String,
    problem: String,
    open: u32,
    tally: Tally,
    last_error: String,
    last_error_ms: u64,
}

impl Known {
    fn failed(&mut self, why: &str) {
        self.last_error = clean_to_width(why, WHY);
        self.last_error_ms = clock::now_ms();
    }

    fn stand(&self) -> Stand {
        let [total, failed, sent, received] = self.tally.all();
        Stand {
            name: self.given.name.clone(),
            revision: self.given.revision,
            listening: self.listening.clone(),
            problem: self.problem.clone(),
            open: self.open,
            total,
            failed,
            sent,
            received,
            last_error: self.last_error.clone(),
            last_error_ms: self.last_error_ms,
            ..Stand::default()
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<String, Known>,
    /// Parts that are to be taken out.
    gone: BTreeSet<String>,
}

/// All that the data plane carries, or is to.
#[derive(Debug, Default)]
pub(super) struct Plane {
    inner: Mutex<Inner>,
    changed: Notify,
    begun: AtomicBool,
}

/// Whether a forward is one for the data plane.
pub(super) fn is_own(given: &Given) -> bool {
    !given.kind.is_ssh() && (given.to.is_some() || given.kind != Kind::Tcp)
}

/// The part of the data plane that a forward is.
fn part(name: &str) -> String {
    format!("forward/{name}")
}

impl Plane {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of them: what is not among them is over. `found` is what was known of names before a restart.
    pub(super) fn take(&self, all: Vec<(Given, Vec<SocketAddr>)>) {
        let mut inner = self.lock();
        let there: BTreeSet<String> = all.iter().map(|(given, _)| given.name.clone()).collect();
        let gone: Vec<String> =
            inner.known.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in gone {
            inner.known.remove(&name);
            inner.gone.insert(name);
        }
        for (given, found) in all {
            inner.gone.remove(&given.name);
            let known = inner.known.entry(given.name.clone()).or_default();
            if known.given == given {
                continue;
            }
            if known.given.to != given.to || known.given.kind != given.kind {
                known.found = found;
                known.looked = None;
            }
            known.given = given;
            (known.settled, known.not_before) = (false, None);
        }
        self.changed.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.known.is_empty() && inner.gone.is_empty()
    }

    /// All that it has, with what was found for their names.
    pub(super) fn set(&self) -> Vec<(Given, Vec<SocketAddr>)> {
        self.lock().known.values().map(|k| (k.given.clone(), k.found.clone())).collect()
    }

    pub(super) fn stands(&self) -> Vec<Stand> {
        self.lock().known.values().map(Known::stand).collect()
    }

    /// Ends the connections of one.
    pub(super) fn cut(&self, name: &str) {
        if let Some(known) = self.lock().known.get_mut(name) {
            known.cut = true;
        }
        self.changed.notify_one();
    }

    /// Begins to keep the data plane as it is to be, once and for good.
    pub(super) fn begin(&self, agent: &Agent) {
        if !self.begun.swap(true, Ordering::Relaxed) {
            let agent = agent.clone();
            tokio::spawn(async move { keep(&agent).await });
        }
    }

    fn with<T>(&self, name: &str, does: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.lock().known.get_mut(name).map(does)
    }
}

async fn keep(agent: &Agent) {
    let plane = agent.forwards().plane();
    loop {
        let changed = plane.changed.notified();
        let before: Vec<_> = plane.set();
        settle(agent).await;
        if plane.set() != before {
            // What was found for names is there after a restart, when nobody can be asked.
            agent.forwards().write().await;
        }
        if plane.is_empty() {
            changed.await;
            continue;
        }
        figures(agent).await;
        tokio::select! {
            () = changed => {}
            () = sleep(LOOK) => {}
        }
    }
}

/// Has the data plane carry what it is to carry, and nothing else of forwards.
pub(super) async fn settle(agent: &Agent) {
    let plane = agent.forwards().plane();
    let gone: Vec<String> = plane.lock().gone.iter().cloned().collect();
    for name in gone {
        match agent.dataplane().remove(&part(&name)).await {
            Ok(()) => {
                tracing::info!(forward = name, "the forward is over");
                plane.lock().gone.remove(&name);
                // One that another host connects for now goes on with what it had.
                if !agent.forwards().relays(&name) {
                    cut(agent, &name).await;
                }
            }
            Err(wrong) => tracing::error!(forward = name, "not removed: {}", wrong.join("; ")),
        }
    }
    let all: Vec<String> = plane.lock().known.keys().cloned().collect();
    for name in all {
        settle_one(agent, &name).await;
    }
}

async fn settle_one(agent: &Agent, name: &str) {
    let plane = agent.forwards().plane();
    let now = Instant::now();
    let due = plane.with(name, |known| {
        let named = known.looked.is_none_or(|looked| looked.elapsed() >= NAMES);
        let may = known.not_before.is_none_or(|then| then <= now);
        let due = may && (!known.settled || (named && known.listens));
        due.then(|| (known.given.clone(), known.found.clone()))
    });
    let Some(Some((given, found))) = due else {
        // What was fine when it was put in may not go any more.
        let refused = agent.dataplane().refused(&part(name)).await;
        plane.with(name, |known| {
            if let Some(wrong) = refused {
                known.problem = clean_to_width(&wrong.join("; "), WHY);
                known.settled = false;
                known.not_before = Some(now + AGAIN);
            }
        });
        return;
    };
    let quiet = given.stopped || !given.refused.is_empty();
    let meant = if quiet {
        Ok((Config::default(), found))
    } else {
        meant::part(agent, &given, found).await
    };
    let denied =
        !given.refused.is_empty() || meant.as_ref().is_err_and(|e| e.kind == ErrorKind::Denied);
    let done = match meant {
        Ok((config, found)) => {
            let put = agent.dataplane().put(&part(name), config).await;
            let put = put.map_err(|wrong| CallError::failed(wrong.join("; ")));
            put.map(|()| Some(found))
        }
        // The data plane is told to stop listening; of what it carries is told below.
        Err(e) if denied => {
            let put = agent.dataplane().put(&part(name), Config::default()).await;
            drop(put);
            Err(e)
        }
        Err(e) => Err(e),
    };
    plane.with(name, |known| {
        // Meanwhile it may have become another one.
        if known.given != given {
            return;
        }
        known.looked = Some(now);
        known.cut |= denied;
        match done {
            Ok(found) => {
                known.found = found.unwrap_or_default();
                known.settled = true;
                known.listens = !quiet;
                known.problem = clean_to_width(&given.refused, WHY);
            }
            // It goes on as it was.
            Err(e) if known.listens && !denied => {
                if known.settled {
                    known.failed(&e.message);
                } else {
                    let goes_on =
                        format!("{}; before that is mended it goes on as it was", e.message);
                    known.problem = clean_to_width(&goes_on, WHY);
                }
                known.not_before = Some(now + AGAIN);
            }
            Err(e) => {
                known.listens = false;
                known.settled = false;
                known.problem = clean_to_width(&e.message, WHY);
                known.not_before = Some(now + AGAIN);
            }
        }
    });
}

async fn cut(agent: &Agent, name: &str) {
    let request = json!({"request": "cut", "listener": meant::full(name)});
    if let Err(wrong) = agent.dataplane().ask(&request).await {
        tracing::warn!(forward = name, "its connections are not cut: {}", wrong.join("; "));
    }
}

/// Ends what is to end, and asks how all do.
async fn figures(agent: &Agent) {
    let plane = agent.forwards().plane();
    let cuts: Vec<String> = {
        let mut inner = plane.lock();
        let known = inner.known.iter_mut();
        known.filter_map(|(name, k)| std::mem::take(&mut k.cut).then(|| name.clone())).collect()
    };
    for name in cuts {
        cut(agent, &name).await;
    }
    let (listeners, left) = match counted::ask(agent).await {
        Ok(told) => told,
        Err(why) => {
            for known in plane.lock().known.values_mut().filter(|known| known.listens) {
                known.listening.clear();
                known.problem = clean_to_width(&why, WHY);
            }
            return;
        }
    };
    let mut strangers = BTreeSet::new();
    let mut failing = BTreeSet::new();
    {
        let mut inner = plane.lock();
        for (name, known) in &mut inner.known {
            let full = meant::full(name);
            let own = |all: &[Listener]| -> Vec<Listener> {
                all.iter().filter(|one| one.name == full).cloned().collect()
            };
            let (here, old) = (own(&listeners), own(&left));
            let before = known.tally.all()[1];
            let all: Vec<&Listener> = here.iter().chain(&old).collect();
            known.open = all.iter().map(|one| one.active).sum();
            known.tally.count(&all);
            if known.tally.all()[1] > before {
                failing.insert(name.clone());
            }
            known.listening = here.first().map(|one| one.address.clone()).unwrap_or_default();
            if known.settled && known.listens {
                known.problem = if here.is_empty() {
                    "this host's gateway does not listen for it yet".to_owned()
                } else {
                    String::new()
                };
            }
        }
        for one in listeners.iter().chain(&left) {
            let Some(name) = meant::short(&one.name) else { continue };
            if !inner.known.contains_key(name) {
                strangers.insert(name.to_owned());
            }
        }
    }
    for name in strangers {
        if !agent.forwards().relays(&name) {
            cut(agent, &name).await;
        }
    }
    if !failing.is_empty() {
        let errors = counted::errors(agent).await;
        for (name, why) in errors.into_iter().filter(|(name, _)| failing.contains(name)) {
            plane.with(&name, |known| known.failed(&why));
        }
    }
}
