//! The Docker engine of this host: what it is, the room that everything takes, what happens in it, and
//! clearing away what nobody uses.

mod disk;
mod events;
mod prune;
mod unused;

use crate::Agent;
use crate::engine::told;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::engine::{About, Disk, Info, Leftovers, Unused, Usage};
use std::sync::Arc;

/// The longest text of the engine that is passed on where a name or a word is meant.
const WORD: usize = 256;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(info).on(usage).feed(events::watch).on(leftovers).feed(prune::prune)
}

/// A word of the engine, as it may be shown.
fn word(text: Option<impl AsRef<str>>) -> String {
    text.map_or_else(String::new, |text| clean_to_width(text.as_ref(), WORD))
}

async fn info(agent: Arc<Agent>, _: Asked, _: Info) -> Result<About, CallError> {
    let engine = agent.engine().await?;
    let attempted = "ask the Docker engine what it is";
    let info = engine.info().await.map_err(|error| told(attempted, &error))?;
    let count = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    let driver = info.cgroup_driver.map(|driver| driver.to_string());
    let version = info.cgroup_version.map(|version| version.to_string());
    let cgroups = [driver, version.map(|v| format!("v{v}"))].into_iter().flatten();
    let swarm = info.swarm.and_then(|swarm| swarm.local_node_state);
    Ok(About {
        version: word(info.server_version),
        api: engine.version(),
        name: word(info.name),
        system: word(info.operating_system),
        kernel: word(info.kernel_version),
        architecture: word(info.architecture),
        cpus: count(info.ncpu),
        memory: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        root: word(info.docker_root_dir),
        storage: word(info.driver),
        logging: word(info.logging_driver),
        cgroups: word(Some(cgroups.collect::<Vec<_>>().join(" "))),
        runtime: word(info.default_runtime),
        running: count(info.containers_running),
        paused: count(info.containers_paused),
        stopped: count(info.containers_stopped),
        images: count(info.images),
        swarm: word(swarm.map(|state| state.to_string())),
        warnings: info
            .warnings
            .unwrap_or_default()
            .iter()
            .take(50)
            .map(|w| word(Some(w)))
            .collect(),
    })
}

async fn usage(agent: Arc<Agent>, _: Asked, _: Disk) -> Result<Usage, CallError> {
    let engine = agent.engine().await?;
    Ok(disk::read(&engine).await?.usage())
}

async fn leftovers(agent: Arc<Agent>, _: Asked, call: Unused) -> Result<Leftovers, CallError> {
    unused::find(&agent.engine().await?, &call).await
}
