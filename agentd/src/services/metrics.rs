//! Live figures: sampled by hand from open files, because this runs each second on every host.
//!
//! The hub watches while the link is up; clients watch a host they show. While nobody does, one sample in ten
//! seconds is taken and remembered, so that what happened while the link was away can be told later; while it is away
//! also on disk, so that it can be told after a restart.

mod disks;
mod history;
mod kept;
mod linux;
mod networks;
mod sensors;

use super::recorder::Recording;
use crate::sampler::{Sampler, Take};
use crate::{Agent, Config};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::metrics::{Get, Metrics, Watch};
use history::History;
use kept::Keeper;
use linux::Collector;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Of the last so many samples it is not known whether the hub has them when its link has gone.
const LATELY: u32 = 30;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(get).feed(watch)
}

/// Remembers samples for as long as the agent runs, whether somebody watches or not.
pub async fn remember(agent: Agent) {
    let mut watcher = agent.metrics().watch(Duration::from_millis(history::SPARSE_MS));
    let away = agent.away();
    let mut keeping = None;
    loop {
        let newest = watcher.next().await;
        if !*away.borrow() {
            keeping = None;
            continue;
        }
        // What was sent last may not have come to anybody: a link that is dead is not known to be at once.
        let count = if keeping.is_some() { 2 } else { LATELY };
        let known = newest.newest(count, history::SPARSE_MS);
        let dir = samples(agent.config());
        let keeper = keeping.take();
        let kept = tokio::task::spawn_blocking(move || {
            let mut keeper = keeper.unwrap_or_else(|| Keeper::new(&dir));
            keeper.keep(&known);
            keeper
        });
        keeping = kept.await.inspect_err(|e| tracing::error!("keeping samples broke: {e}")).ok();
    }
}

/// Where samples are kept while the hub is away.
fn samples(config: &Config) -> PathBuf {
    config.state_dir.join("samples")
}

/// One sample, and the way to those before it.
#[derive(Debug)]
pub struct Collected {
    /// The sample.
    pub metrics: Metrics,
    history: Arc<Mutex<History>>,
}

impl Collected {
    /// The newest that are remembered, so far apart, oldest first.
    fn newest(&self, count: u32, step_ms: u64) -> Vec<Vec<u8>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).newest(count, step_ms)
    }
}

/// The sampler of this host's figures, with those that the flight recorder has of programs and containers.
pub fn sampler(config: &Config, recording: &Arc<Recording>) -> Sampler<Collected> {
    let recording = recording.clone();
    let (proc_root, sys_root) = (config.proc_root.clone(), config.sys_root.clone());
    let history = Arc::new(Mutex::new(History::default()));
    Sampler::new(move || -> Take<Collected> {
        let mut collector = Collector::new(&proc_root, &sys_root);
        let (history, recording) = (history.clone(), recording.clone());
        let (mut first, mut told) = (true, 0);
        Box::new(move || {
            let mut metrics = collector.sample(std::time::Instant::now());
            if !first && let Some(news) = recording.newest(told) {
                told = news.number;
                (metrics.groups, metrics.containers) = (news.groups, news.containers);
            }
            // The first look has no rates yet and goes to nobody.
            if !std::mem::take(&mut first) {
                history.lock().unwrap_or_else(PoisonError::into_inner).push(&metrics);
            }
            Collected { metrics, history: history.clone() }
        })
    })
}

async fn get(agent: Arc<Agent>, _: Asked, _: Get) -> Result<Metrics, CallError> {
    let mut watcher = agent.metrics().watch(Duration::from_secs(1));
    Ok(watcher.next().await.metrics.clone())
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut watcher = agent.metrics().watch(Duration::from_millis(watch.interval_ms));
    let mut newest = watcher.next().await;
    if watch.history > 0 {
        let known = newest.newest(watch.history, watch.step_ms);
        let first = known.first().and_then(|bytes| history::read(bytes));
        let until = first.map_or(newest.metrics.at_ms, |first| first.at_ms);
        if (known.len() as u64) < u64::from(watch.history) {
            let back = u64::from(watch.history).saturating_mul(watch.step_ms);
            let from = newest.metrics.at_ms.saturating_sub(back);
            let mut older = kept::between(samples(agent.config()), from, until, watch.step_ms);
            while let Some(past) = older.recv().await {
                feeding.send(&past).await?;
            }
        }
        for past in known.iter().filter_map(|bytes| history::read(bytes)) {
            if past.at_ms < newest.metrics.at_ms {
                feeding.send(&past).await?;
            }
        }
    }
    loop {
        feeding.send(&newest.metrics).await?;
        newest = watcher.next().await;
    }
}
