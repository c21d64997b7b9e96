//! Live figures: sampled by hand from open files, because this runs each second on every host.
//!
//! The hub watches while the link is up; clients watch a host they show. While nobody does, one sample in ten
//! seconds is taken and remembered, so that what happened while the link was away can be told later.

mod disks;
mod history;
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
use linux::Collector;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(get).feed(watch)
}

/// Remembers samples for as long as the agent runs, whether somebody watches or not.
pub async fn remember(agent: Agent) {
    let mut watcher = agent.metrics().watch(Duration::from_millis(history::SPARSE_MS));
    loop {
        watcher.next().await;
    }
}

/// One sample, and the way to those before it.
#[derive(Debug)]
pub struct Collected {
    /// The sample.
    pub metrics: Metrics,
    history: Arc<Mutex<History>>,
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
        let known = {
            let history = newest.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.newest(watch.history, watch.step_ms)
        };
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
