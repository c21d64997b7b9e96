//! Making containers: what is wrong and what is taken is found first, what the host's owner does not allow is refused,
//! and one that cannot be started is taken away again.

use super::{act, body, caller, powers, taken};
use crate::Agent;
use crate::engine::{Engine, told};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use cmdr_link::service::Asked;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::{Done, Spec};
use cmdr_protocol::display::clean_to_width;
use std::sync::Arc;

/// Makes one that may do nothing to its host.
pub(super) async fn plain(
    agent: Arc<Agent>,
    asked: Asked,
    spec: Spec,
    start: bool,
) -> Result<Done, CallError> {
    let powers = spec.powers();
    if !powers.is_empty() {
        return Err(CallError::denied(format!(
            "this container may do something to its host ({}): that takes the right to \
             containers.create-privileged",
            clean_to_width(&powers.join(", "), 300)
        )));
    }
    create(agent, asked, spec, start).await
}

/// Makes one that may do what its powers say, which the hub has looked at.
pub(super) async fn privileged(
    agent: Arc<Agent>,
    asked: Asked,
    spec: Spec,
    start: bool,
) -> Result<Done, CallError> {
    create(agent, asked, spec, start).await
}

async fn create(
    agent: Arc<Agent>,
    asked: Asked,
    spec: Spec,
    start: bool,
) -> Result<Done, CallError> {
    if let Some(problem) = spec.problems().first() {
        return Err(CallError::malformed(clean_to_width(&problem.to_string(), 300)));
    }
    agent.policy().containers.allows(&spec.powers(), agent.policy())?;
    let body = body::body(&spec)?;
    // Both ways of looking at it must agree, or one of them has a hole.
    let host = body.host_config.as_ref();
    let own = host.map(powers::of).unwrap_or_default();
    let told = spec.powers();
    if let Some(hidden) = own.iter().find(|power| !told.contains(power)) {
        return Err(CallError::denied(format!("'{hidden}' would be given without being named")));
    }
    let engine = agent.engine().await?;
    taken::check(agent.config(), &engine, &spec).await?;
    let result = make(&engine, &spec.name, &spec.platform, body, start).await;
    let outcome = result.as_ref().map_or_else(ToString::to_string, |done| done.id.clone());
    let (name, image) = (&spec.name, &spec.image);
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        name,
        image,
        outcome,
        "container: create"
    );
    result
}

/// Makes a container of this body, and starts it when that is wanted.
pub(super) async fn make(
    engine: &Engine,
    name: &str,
    platform: &str,
    body: ContainerCreateBody,
    start: bool,
) -> Result<Done, CallError> {
    let image = body.image.clone().unwrap_or_default();
    let attempted = match name {
        "" => format!("make a container of {image}"),
        name => format!("make the container {name} of {image}"),
    };
    let options = CreateContainerOptions {
        name: (!name.is_empty()).then(|| name.to_owned()),
        platform: platform.to_owned(),
    };
    let made = engine.create_container(Some(options), body).await;
    let made = made.map_err(|error| told(&attempted, &error))?;
    if start && let Err(error) = engine.start_container(&made.id, None).await {
        let error = told(&format!("start the new container {name}"), &error);
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        let gone = engine.remove_container(&made.id, Some(options)).await.is_ok();
        let after = if gone { "it was taken away again" } else { "it is left behind, not started" };
        return Err(CallError::new(error.kind, format!("{}; {after}", error.message)));
    }
    // One that takes itself away when it ends may be gone by now.
    let known = act::known(engine, &attempted, &made.id).await;
    let mut done = Done { id: made.id, name: name.to_owned(), ..Done::default() };
    if let Ok(now) = known {
        (done.name, done.state, done.exit_code) = (now.name, now.state, now.exit_code);
    }
    done.warnings = made.warnings.into_iter().take(50).map(|w| clean_to_width(&w, 300)).collect();
    Ok(done)
}
