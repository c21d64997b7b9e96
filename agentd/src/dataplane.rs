//! The one `cmdr-gateway` of this host, which carries the connections of its gateways and forwards: a process of its own,
//! so that an agent that is killed, started again or upgraded cuts none of them.
//!
//! Its users put parts in and take parts out; all parts together are its configuration, which it is given whole
//! (`dataplane/control.rs`). It is found again by its control socket, started when it is not there
//! (`dataplane/process.rs`), and succeeded without a closed door when its program on disk is another one. Used by
//! `services/gateways`.

mod control;
mod process;

use cmdr_gateway::config::Config;
use control::{Control, There};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// How often it is looked whether it is there, and the newest.
const LOOK: Duration = Duration::from_secs(5);
/// A gateway that is not wanted any more lets connections end for so long.
const DRAIN_S: u64 = 3600;

/// The data plane. Nothing is begun before [`Dataplane::keep`].
#[derive(Debug)]
pub(crate) struct Dataplane {
    control: Control,
    program: PathBuf,
    dir: PathBuf,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    parts: BTreeMap<String, Config>,
    /// What the process was given last, and took.
    given: Option<String>,
    /// Users have put in what they kept: before that nothing is taken away from a process that is found.
    begun: bool,
    /// Parts that are left out because they do not go, with why: they are tried again and again.
    refused: BTreeMap<String, Wrong>,
    /// Looks that failed since one did not.
    failed: u32,
}

/// Why a part does not go: a line each.
pub(crate) type Wrong = Vec<String>;

impl Dataplane {
    /// One whose files are in `dir`; `program` is `cmdr-gateway`.
    pub(crate) fn new(dir: PathBuf, program: PathBuf) -> Self {
        Self {
            control: Control::new(dir.join("control.sock")),
            program,
            dir,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Puts a part in, in place of the one of this name. When it does not go all stays as it was.
    pub(crate) async fn put(&self, name: &str, part: Config) -> Result<(), Wrong> {
        let mut inner = self.inner.lock().await;
        let same = inner.parts.get(name) == Some(&part) && !inner.refused.contains_key(name);
        if same && (inner.given.is_some() || !inner.begun) {
            return Ok(());
        }
        let before = inner.parts.insert(name.to_owned(), part);
        if !inner.begun {
            return Ok(());
        }
        let refused = inner.refused.remove(name);
        let done = self.apply(&mut inner).await;
        if done.is_err() {
            match before {
                Some(before) => inner.parts.insert(name.to_owned(), before),
                None => inner.parts.remove(name),
            };
            inner.refused.extend(refused.map(|wrong| (name.to_owned(), wrong)));
        }
        done
    }

    /// Why a part that is in is left out; nothing when it is not.
    pub(crate) async fn refused(&self, name: &str) -> Option<Wrong> {
        self.inner.lock().await.refused.get(name).cloned()
    }

    /// Judges a part as it would stand beside the others. What is there goes on.
    pub(crate) async fn judge(&self, name: &str, part: Config) -> Result<(), Wrong> {
        let mut parts = self.inner.lock().await.going();
        parts.insert(name.to_owned(), part);
        let text = written(&parts)?;
        if matches!(self.control.there().await, There::Process { .. }) {
            return self.control.take(&text, "check").await;
        }
        let config: Config = toml::from_str(&text).map_err(|e| vec![e.to_string()])?;
        let wrong = cmdr_gateway::plan::wrong(config);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Takes a part out: its listeners accept nothing any more, its connections end by themselves.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Wrong> {
        let mut inner = self.inner.lock().await;
        let Some(before) = inner.parts.remove(name) else { return Ok(()) };
        if inner.refused.remove(name).is_some() {
            return Ok(());
        }
        if !inner.begun {
            return Ok(());
        }
        let done = self.apply(&mut inner).await;
        if done.is_err() {
            inner.parts.insert(name.to_owned(), before);
        }
        done
    }

    /// Asks the process something; an error when there is none.
    pub(crate) async fn ask(&self, request: &Value) -> Result<Value, Wrong> {
        self.control.ask(request).await
    }

    /// Has the process go by all parts but those that are refused, starting it if it is not there.
    async fn apply(&self, inner: &mut Inner) -> Result<(), Wrong> {
        let parts = inner.going();
        if parts.is_empty() {
            inner.given = None;
            self.changed.notify_one();
            return Ok(());
        }
        let text = written(&parts)?;
        self.give(&text).await?;
        inner.given = Some(text);
        Ok(())
    }

    /// Has whoever is there go by a configuration, or starts somebody who does.
    async fn give(&self, text: &str) -> Result<(), Wrong> {
        let start = |over| process::start(&self.program, &self.dir, text, &self.control, over);
        match self.control.there().await {
            There::Nobody => start(false).await,
            There::Silent => Err(vec![
                "this host's gateway does not answer, and another one beside it would not help: end its program".to_owned(),
            ]),
            // What is about to end takes nothing new with it.
            There::Process { ends: true, .. } => start(true).await,
            There::Process { pid, .. } if process::is_other(pid, &self.program) => {
                tracing::info!(pid, "the gateway's program is another one now: it takes over");
                start(true).await
            }
            There::Process { .. } => self.control.take(text, "apply").await,
        }
    }

    /// Where all together do not go: one after the other, so that one costs no other.
    async fn one_by_one(&self, inner: &mut Inner) {
        let mut good = BTreeMap::new();
        inner.refused.clear();
        for (name, part) in inner.parts.clone() {
            let mut with = good.clone();
            with.insert(name.clone(), part);
            let done = match written(&with) {
                Ok(text) => self.give(&text).await.map(|()| text),
                Err(wrong) => Err(wrong),
            };
            match done {
                Ok(text) => (good, inner.given) = (with, Some(text)),
                Err(wrong) => {
                    tracing::error!(part = name, "it is left out: {}", wrong.join("; "));
                    inner.refused.insert(name, wrong);
                }
            }
        }
    }

    /// Tries once more what was left out.
    async fn again(&self, inner: &mut Inner) {
        for name in inner.refused.keys().cloned().collect::<Vec<_>>() {
            let before = inner.refused.remove(&name);
            match self.apply(inner).await {
                Ok(()) => tracing::info!(part = name, "it goes now"),
                Err(wrong) => {
                    inner.refused.insert(name, wrong);
                    drop(before);
                }
            }
        }
    }

    /// Keeps the process there, and the newest, until it is dropped. What users keep has been put in by now.
    pub(crate) async fn keep(&self) {
        self.inner.lock().await.begun = true;
        loop {
            let failed = self.look().await;
            let pause = LOOK.saturating_mul(1 << failed.min(4));
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Looks once; how often it has failed by now.
    async fn look(&self) -> u32 {
        let mut guard = self.inner.lock().await;
        let inner = &mut *guard;
        let there = self.control.there().await;
        if inner.parts.is_empty() {
            if matches!(there, There::Process { ends: false, .. }) {
                tracing::info!(
                    "no gateway is wanted here any more: its program ends with its last connection"
                );
                let stop = serde_json::json!({"request": "stop", "seconds": DRAIN_S});
                drop(self.control.ask(&stop).await);
            }
            inner.given = None;
            return 0;
        }
        if there == There::Nobody && inner.given.is_some() {
            tracing::error!("the gateway's program is gone: it is started again");
        }
        let as_it_should = match there {
            There::Process { pid, ends } => !ends && !process::is_other(pid, &self.program),
            There::Nobody | There::Silent => false,
        };
        let given = inner.given.is_some() && inner.given == written(&inner.going()).ok();
        let done = if as_it_should && given { Ok(()) } else { self.apply(inner).await };
        match done {
            Ok(()) => {
                inner.failed = 0;
                self.again(inner).await;
            }
            Err(wrong) => {
                inner.failed += 1;
                if inner.failed.is_power_of_two() {
                    tracing::error!("the gateway does not go: {}", wrong.join("; "));
                }
                if there != There::Silent {
                    self.one_by_one(inner).await;
                }
            }
        }
        inner.failed
    }
}

impl Inner {
    /// The parts that are not left out.
    fn going(&self) -> BTreeMap<String, Config> {
        let going = self.parts.iter().filter(|(name, _)| !self.refused.contains_key(*name));
        going.map(|(name, part)| (name.clone(), part.clone())).collect()
    }
}

/// All parts as one configuration.
fn written(parts: &BTreeMap<String, Config>) -> Result<String, Wrong> {
    let mut all = Config::default();
    for part in parts.values() {
        all.listeners.extend(part.listeners.iter().cloned());
        all.groups.extend(part.groups.iter().cloned());
        all.policies.extend(part.policies.iter().cloned());
    }
    toml::to_string(&all).map_err(|e| vec![format!("writing the configuration: {e}")])
}

/// `cmdr-gateway` as it lies beside this agent's program.
pub(crate) fn program() -> PathBuf {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|dir| dir.join("cmdr-gateway"));
    beside.unwrap_or_else(|| "cmdr-gateway".into())
}

/// Keeps the data plane of an agent there.
pub(crate) async fn keep(agent: crate::Agent) {
    agent.dataplane().keep().await;
}
