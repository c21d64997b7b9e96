//! The host's processes: list, live table, signals, priorities.
//!
//! Looking is sampled once for all who watch; each watcher gets differences to what it was sent.

mod act;
mod linux;
mod table;

pub(super) use linux::parse_stat;
pub use table::Table;

use crate::sampler::{Sampler, Take};
use crate::sifted::Sifted;
use crate::{Agent, Config};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::processes::{List, Listing, Renice, Signal, Watch};
use cmdr_protocol::{CallError, Nothing, display::clean_to_width};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).feed(watch).on(signal).on(renice)
}

/// The sampler of this host's process table.
pub fn sampler(config: &Config) -> Sampler<Table> {
    let (proc_root, etc_root) = (config.proc_root.clone(), config.etc_root.clone());
    Sampler::new(move || -> Take<Table> {
        let mut collector = linux::Collector::new(&proc_root, &etc_root);
        Box::new(move || collector.sample(std::time::Instant::now()))
    })
}

async fn list(agent: Arc<Agent>, _: Asked, list: List) -> Result<Listing, CallError> {
    let sifted = Sifted::new(&list.sift)?;
    let mut watcher = agent.processes().watch(Duration::from_secs(1));
    watcher.next().await.picked(list.busiest as usize, &sifted)
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut watcher = agent.processes().watch(Duration::from_millis(watch.interval_ms));
    let mut sent: Option<Arc<Table>> = None;
    loop {
        let newest = watcher.next().await;
        for change in newest.changes_since(sent.as_deref()) {
            feeding.send(&change).await?;
        }
        sent = Some(newest);
    }
}

async fn signal(agent: Arc<Agent>, asked: Asked, call: Signal) -> Result<Nothing, CallError> {
    let result = act::signal(&agent.config().proc_root, call);
    note(&asked, "signal", call.pid, call.signal, &result);
    result
}

async fn renice(agent: Arc<Agent>, asked: Asked, call: Renice) -> Result<Nothing, CallError> {
    let result = act::renice(&agent.config().proc_root, call);
    note(&asked, "renice", call.pid, call.nice, &result);
    result
}

fn note(asked: &Asked, what: &str, pid: u32, value: i32, result: &Result<Nothing, CallError>) {
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let caller = clean_to_width(caller, 64);
    let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned());
    tracing::info!(caller, trace = asked.trace, pid, value, outcome, "process {what}");
}
