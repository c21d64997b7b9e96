//! Another container in the place of one. The old one gets another name and is stopped; it is removed when the new one runs,
//! and put back when that does not.

use super::halfway::{self, Halfway};
use super::{act, body, caller, check, create, powers};
use crate::Agent;
use crate::engine::{Engine, PATIENCE, told};
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, NetworkConnectRequest};
use bollard::query_parameters::{RemoveContainerOptions, RenameContainerOptions};
use cmdr_link::service::Asked;
use cmdr_protocol::containers::change::Recreate;
use cmdr_protocol::containers::spec::volume;
use cmdr_protocol::containers::{Done, Spec, State, short};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::{CallError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A new container that runs so long has begun.
const SETTLED: Duration = Duration::from_secs(2);
/// One with a health check may take so long until that says something.
const HEALTHY: Duration = Duration::from_mins(2);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn recreate(
    agent: Arc<Agent>,
    asked: Asked,
    call: Recreate,
) -> Result<Done, CallError> {
    check(&call.container)?;
    let engine = agent.engine().await?;
    let attempted = format!("put another container in the place of {}", call.container);
    let old = engine.inspect_container(&call.container, None).await;
    let old = old.map_err(|error| told(&attempted, &error))?;
    let (caller, trace, container) = (caller(&asked), asked.trace, call.container.clone());
    // Once begun it is brought to an end, also when the caller goes away: half of it would be an outage.
    let work =
        tokio::spawn(async move { Box::pin(replace(&agent, &engine, old, call.spec)).await });
    let result = work.await.map_err(|e| CallError::failed(format!("{attempted}: {e}")))?;
    let outcome = result.as_ref().map_or_else(ToString::to_string, |done| done.id.clone());
    tracing::info!(caller, trace, container, outcome, "container: recreate");
    result
}

/// What the new one gets of the old one without being told.
fn inherited(spec: &mut Spec, old: &ContainerInspectResponse) {
    let said = |text: &String| volume(text).ok().filter(|m| !m.source.is_empty());
    let taken: Vec<String> = spec.volumes.iter().filter_map(said).map(|m| m.target).collect();
    // Volumes without names would begin empty. The engine calls them by 64 hexadecimal digits.
    for mount in old.mounts.iter().flatten() {
        let (name, at) = (mount.name.as_deref().unwrap_or_default(), mount.destination.as_deref());
        let is_nameless = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let is_nameless = is_nameless && mount.typ.as_deref() == Some("volume");
        if let Some(at) = at.filter(|at| is_nameless && !taken.iter().any(|taken| taken == at)) {
            spec.volumes.retain(|text| text != at);
            spec.volumes.push(format!("{name}:{at}"));
        }
    }
}

async fn replace(
    agent: &Agent,
    engine: &Engine,
    old: ContainerInspectResponse,
    mut spec: Spec,
) -> Result<Done, CallError> {
    let name = old.name.clone().unwrap_or_default().trim_start_matches('/').to_owned();
    let id = old.id.clone().unwrap_or_default();
    let before = act::Known::from(old.clone());
    let attempted = format!("put another container in the place of {name}");
    let wrong = |error: &bollard::errors::Error| told(&attempted, error);
    if !spec.name.is_empty() && spec.name != name {
        return Err(CallError::malformed(format!(
            "the new one is called {name}, as the old one is"
        )));
    }
    if before.state.runs()
        && old.host_config.as_ref().and_then(|host| host.auto_remove) == Some(true)
    {
        return Err(CallError::malformed(format!(
            "{name} takes itself away when it stops, so it could not be put back: run another one instead"
        )));
    }
    spec.name.clone_from(&name);
    let named = spec.powers();
    inherited(&mut spec, &old);
    if let Some(problem) = spec.problems().first() {
        return Err(CallError::malformed(clean_to_width(&problem.to_string(), 300)));
    }
    agent.policy().containers.allows(&named, agent.policy())?;
    let body = body::body(&spec)?;
    let own = body.host_config.as_ref().map(powers::of).unwrap_or_default();
    if let Some(hidden) = own.iter().find(|power| !named.contains(power)) {
        return Err(CallError::denied(format!("'{hidden}' would be given without being named")));
    }
    // What cannot be made at all is found before the old one is touched.
    engine.inspect_image(&spec.image).await.map_err(|error| wrong(&error))?;
    let ran = before.state.runs();
    let aside = format!("{name}-old-{}", short(&id));
    let rename = |to: &str| RenameContainerOptions { name: to.to_owned() };
    let halfway = Halfway { id: id.clone(), name: name.clone(), ran };
    halfway::note(agent, &halfway)?;
    let renamed = engine.rename_container(&id, rename(&aside)).await;
    if let Err(error) = renamed {
        halfway::forget(agent, &halfway);
        return Err(wrong(&error));
    }
    let made = async {
        if ran {
            let patient = Docker::clone(engine).with_timeout(PATIENCE + before.stop_patience());
            patient.stop_container(&id, None).await.map_err(|error| wrong(&error))?;
        }
        let made = create::make(engine, &name, &spec.platform, body, false).await?;
        let began = begin(engine, &made, &old, &spec, ran).await;
        if began.is_err() {
            let options = RemoveContainerOptions { v: false, force: true, link: false };
            engine.remove_container(&made.id, Some(options)).await.ok();
        }
        began.map(|state| Done { state, ..made })
    };
    let made = made.await;
    let over = match made {
        Ok(mut done) => {
            let options = RemoveContainerOptions { v: false, force: true, link: false };
            let removed = engine.remove_container(&id, Some(options)).await;
            if removed.is_err() {
                done.warnings.push(format!("the old one is still there, called {aside}"));
            }
            Ok(done)
        }
        Err(error) => {
            let (named, runs) = put_back(engine, &halfway).await;
            let after = match (named, runs) {
                (true, true) => "the old one is back in its place".to_owned(),
                (true, false) => "the old one is back in its place, but does not start".to_owned(),
                (false, _) => format!("the old one is called {aside} now; give it its name back"),
            };
            Err(CallError::new(error.kind, format!("{}; {after}", error.message)))
        }
    };
    halfway::forget(agent, &halfway);
    over
}

/// Gives the old one its name back and starts it if it ran: whether each worked.
pub(super) async fn put_back(engine: &Engine, old: &Halfway) -> (bool, bool) {
    let name = RenameContainerOptions { name: old.name.clone() };
    let named = engine.rename_container(&old.id, name).await.is_ok();
    let runs = !old.ran || engine.start_container(&old.id, None).await.is_ok();
    (named, runs)
}

/// Joins the other networks of the old one, starts it if that one ran, and waits until it has begun.
async fn begin(
    engine: &Engine,
    made: &Done,
    old: &ContainerInspectResponse,
    spec: &Spec,
    runs: bool,
) -> Result<State, CallError> {
    let attempted = format!("start the new container {}", spec.name);
    let wrong = |error: &bollard::errors::Error| told(&attempted, error);
    let own = old.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    let own = own.unwrap_or_default();
    let networks = old.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    for (network, at) in networks.into_iter().flatten() {
        let first = network == own
            || network == &spec.network
            || matches!(network.as_str(), "bridge" | "host" | "none");
        if !first {
            let mut at = at.clone();
            (at.endpoint_id, at.gateway, at.ip_address, at.mac_address) = Default::default();
            let request =
                NetworkConnectRequest { container: made.id.clone(), endpoint_config: Some(at) };
            engine.connect_network(network, request).await.map_err(|error| wrong(&error))?;
        }
    }
    if !runs {
        return Ok(State::Created);
    }
    engine.start_container(&made.id, None).await.map_err(|error| wrong(&error))?;
    settled(engine, &made.id, &attempted).await
}

/// Waits until one that was started has begun, or has shown that it will not.
pub(super) async fn settled(
    engine: &Engine,
    id: &str,
    attempted: &str,
) -> Result<State, CallError> {
    let wrong = |error: &bollard::errors::Error| told(attempted, error);
    let begun = Instant::now();
    loop {
        let now = engine.inspect_container(id, None).await.map_err(|error| wrong(&error))?;
        let state = now.state.unwrap_or_default();
        let health = state.health.and_then(|health| health.status).map(|status| status.to_string());
        let stands = state.status.map(|status| State::parse(status.as_ref())).unwrap_or_default();
        let failed =
            |what: String| CallError::new(ErrorKind::Failed, format!("{attempted}: {what}"));
        match (stands, health.as_deref()) {
            (State::Running, Some("unhealthy")) => {
                return Err(failed("its health check says that it is not well".into()));
            }
            (State::Running, Some("starting")) if begun.elapsed() < HEALTHY => {}
            (State::Running, Some("starting")) => {
                return Err(failed(format!(
                    "its health check says nothing after {} s",
                    HEALTHY.as_secs()
                )));
            }
            (State::Running, Some("healthy")) => return Ok(State::Running),
            (State::Running, _) if begun.elapsed() >= SETTLED => return Ok(State::Running),
            (State::Running, _) => {}
            (_, _) => {
                let code = state.exit_code.unwrap_or_default();
                return Err(failed(format!("it ended at once, with the exit code {code}")));
            }
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_without_names_go_over_to_the_new_one() {
        let old = json!({"Mounts": [
            {"Type": "volume", "Name": "a".repeat(64), "Destination": "/data"},
            {"Type": "volume", "Name": "b".repeat(64), "Destination": "/kept"},
            {"Type": "volume", "Name": "named", "Destination": "/named"},
            {"Type": "bind", "Source": "/srv", "Destination": "/srv"}]});
        let mut spec = Spec {
            volumes: vec!["/data".into(), "other:/kept".into(), "/fresh".into()],
            ..Spec::default()
        };
        inherited(&mut spec, &serde_json::from_value(old).unwrap());
        let first = format!("{}:/data", "a".repeat(64));
        assert_eq!(spec.volumes, ["other:/kept", "/fresh", &first]);
    }
}
