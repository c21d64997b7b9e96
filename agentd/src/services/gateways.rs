//! Gateways of this host: the hub gives all of them, what the owner allows is put into the data plane
//! ([`crate::dataplane`]) and kept on disk, so that they go on without the hub and over a restart. How they do is asked
//! over the link.

mod kept;
mod limits;
mod live;

use crate::Agent;
use crate::dataplane::Dataplane;
use cmdr_gateway::config::Config;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::gateways::{Carried, Carry, Given, Held, MAX_ON_HOST, check_name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Letters of what is wrong with one gateway.
const WHY: usize = 1000;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    live::register(service.on(carry))
}

/// What this host was given.
#[derive(Debug)]
pub(crate) struct Gateways {
    file: PathBuf,
    inner: Mutex<BTreeMap<String, Known>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// What the data plane goes by; the version is 0 while that is nothing.
    held: Held,
    /// Kept over restarts.
    given: Option<Given>,
}

impl Gateways {
    /// None yet; kept in this folder.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { file: dir.join("gateways.json"), inner: Mutex::default() }
    }

    /// The version that the data plane goes by.
    async fn version(&self, name: &str) -> u64 {
        self.inner.lock().await.get(name).map_or(0, |known| known.held.version)
    }
}

/// The part of the data plane that a gateway is.
fn part(name: &str) -> String {
    format!("gateway/{name}")
}

/// A gateway's configuration with its name before all others, as it stands beside other gateways.
fn meant(agent: &Agent, given: &Given) -> Result<Config, Vec<String>> {
    check_name(&given.name).map_err(|what| vec![what])?;
    let config: Config = serde_json::from_str(&given.config)
        .map_err(|e| vec![format!("this agent does not understand it: {e}")])?;
    let wrong = limits::wrong(agent.policy(), &config);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(named(&given.name, config))
}

fn named(gateway: &str, mut config: Config) -> Config {
    let full = |name: &mut String| *name = format!("{gateway}/{name}");
    for listener in &mut config.listeners {
        full(&mut listener.name);
        listener.group.iter_mut().for_each(full);
        listener.policy.iter_mut().for_each(full);
        listener.sni.values_mut().for_each(full);
    }
    config.groups.iter_mut().for_each(|group| full(&mut group.name));
    config.policies.iter_mut().for_each(|policy| full(&mut policy.name));
    config
}

fn why(wrong: &[String]) -> String {
    clean_to_width(&wrong.join("; "), WHY)
}

/// Puts what was kept before into the data plane, before that begins.
pub(crate) async fn resume(agent: &Agent) {
    let gateways = agent.gateways();
    let mut inner = gateways.inner.lock().await;
    for given in kept::read(&gateways.file) {
        let (name, version) = (given.name.clone(), given.version);
        let put = match meant(agent, &given) {
            Ok(config) => agent.dataplane().put(&part(&name), config).await,
            Err(wrong) => Err(wrong),
        };
        let why = put.err().map(|wrong| why(&wrong)).unwrap_or_default();
        if !why.is_empty() {
            tracing::error!(gateway = name, "a gateway that was kept is not run: {why}");
        }
        let version = if why.is_empty() { version } else { 0 };
        let held = Held { name: name.clone(), version, why };
        inner.insert(name, Known { held, given: Some(given) });
    }
}

async fn carry(agent: Arc<Agent>, _: Asked, carry: Carry) -> Result<Carried, CallError> {
    if carry.gateways.len() > MAX_ON_HOST {
        return Err(CallError::malformed(format!("a host has at most {MAX_ON_HOST} gateways")));
    }
    if carry.judge {
        return Ok(judge(&agent, &carry.gateways).await);
    }
    let gateways = agent.gateways();
    let dataplane = agent.dataplane();
    let mut inner = gateways.inner.lock().await;
    let there: BTreeSet<&str> = carry.gateways.iter().map(|given| given.name.as_str()).collect();
    let gone: Vec<String> =
        inner.keys().filter(|name| !there.contains(name.as_str())).cloned().collect();
    // What goes gives its ports back before what comes asks for them.
    for name in gone {
        match dataplane.remove(&part(&name)).await {
            Ok(()) => {
                tracing::info!(gateway = name, "a gateway of this host was removed");
                inner.remove(&name);
            }
            Err(wrong) => tracing::error!(gateway = name, "not removed: {}", wrong.join("; ")),
        }
    }
    for given in carry.gateways {
        let known = inner.entry(given.name.clone()).or_default();
        known.held.name.clone_from(&given.name);
        if known.held.version == given.version && known.held.why.is_empty() {
            continue;
        }
        put(&agent, dataplane, known, given).await;
    }
    let kept: Vec<Given> = inner.values().filter_map(|known| known.given.clone()).collect();
    if let Err(e) = kept::write(&gateways.file, &kept).await {
        return Err(CallError::failed(format!(
            "keeping the gateways in {}: {e}; after a restart of this agent they would be lost",
            gateways.file.display()
        )));
    }
    let mut carried = Carried::default();
    for (name, known) in inner.iter() {
        let mut held = known.held.clone();
        // What was fine when it was put in may not go any more.
        if let Some(wrong) = dataplane.refused(&part(name)).await {
            (held.version, held.why) = (0, why(&wrong));
        }
        carried.gateways.push(held);
    }
    Ok(carried)
}

async fn put(agent: &Agent, dataplane: &Dataplane, known: &mut Known, given: Given) {
    let done = match meant(agent, &given) {
        Ok(config) => dataplane.put(&part(&given.name), config).await,
        Err(wrong) => Err(wrong),
    };
    match done {
        Ok(()) => {
            tracing::info!(gateway = given.name, version = given.version, "a gateway goes by it");
            known.held.version = given.version;
            known.held.why.clear();
            known.given = Some(given);
        }
        Err(wrong) => {
            known.held.why = why(&wrong);
            tracing::warn!(gateway = given.name, version = given.version, "{}", known.held.why);
        }
    }
}

/// What would become of them; nothing changes.
async fn judge(agent: &Agent, gateways: &[Given]) -> Carried {
    let mut carried = Carried::default();
    for given in gateways {
        let done = match meant(agent, given) {
            Ok(config) => agent.dataplane().judge(&part(&given.name), config).await,
            Err(wrong) => Err(wrong),
        };
        let why = done.err().map(|wrong| why(&wrong)).unwrap_or_default();
        let (name, version) = (given.name.clone(), given.version);
        carried.gateways.push(Held { name, version, why });
    }
    carried
}
