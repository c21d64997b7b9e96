//! Other limits for a container that goes on, and images of what one has become.

use super::{act, body, caller, check};
use crate::Agent;
use crate::engine::told;
use bollard::models::{ContainerConfig, ContainerUpdateBody};
use bollard::query_parameters::CommitContainerOptions;
use cmdr_link::service::Asked;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::change::{Commit, Committed, Update};
use cmdr_protocol::containers::spec::{bytes, nanos};
use cmdr_protocol::containers::{Done, short};
use std::sync::Arc;

/// The longest text of a remark.
const REMARK: usize = 1024;

pub(super) async fn update(
    agent: Arc<Agent>,
    asked: Asked,
    call: Update,
) -> Result<Done, CallError> {
    check(&call.container)?;
    let limits = limits(&call).map_err(CallError::malformed)?;
    if limits == ContainerUpdateBody::default() {
        return Err(CallError::malformed(
            "nothing is to be changed: no limit and no policy is named",
        ));
    }
    let engine = agent.engine().await?;
    let attempted = format!("change the limits of the container {}", call.container);
    let before = act::known(&engine, &attempted, &call.container).await?;
    let result = engine.update_container(&before.id, limits).await;
    result.map_err(|error| told(&attempted, &error))?;
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        container = call.container,
        "container: update"
    );
    let now = act::known(&engine, &attempted, &before.id).await?;
    Ok(Done {
        id: now.id,
        name: now.name,
        state: now.state,
        exit_code: now.exit_code,
        ..Done::default()
    })
}

fn limits(call: &Update) -> Result<ContainerUpdateBody, String> {
    let size = |text: &str| match text {
        "" => Ok(None),
        "-1" => Ok(Some(-1)),
        text => bytes(text).map(|bytes| i64::try_from(bytes).ok()),
    };
    let number = |n: i64| (n != 0).then_some(n);
    Ok(ContainerUpdateBody {
        nano_cpus: if call.cpus.is_empty() { None } else { Some(nanos(&call.cpus)?) },
        cpu_shares: number(call.cpu_shares),
        cpuset_cpus: (!call.cpuset.is_empty()).then(|| call.cpuset.clone()),
        memory: size(&call.mem_limit)?,
        memory_swap: size(&call.memswap_limit)?,
        memory_reservation: size(&call.mem_reservation)?,
        pids_limit: number(call.pids_limit),
        restart_policy: body::restart_policy(&call.restart)?,
        ..ContainerUpdateBody::default()
    })
}

pub(super) async fn commit(
    agent: Arc<Agent>,
    asked: Asked,
    call: Commit,
) -> Result<Committed, CallError> {
    check(&call.container)?;
    let (repo, tag) = name(&call.image)?;
    if call.author.len() > REMARK || call.message.len() > REMARK {
        return Err(CallError::malformed(format!("a remark has at most {REMARK} bytes")));
    }
    let engine = agent.engine().await?;
    let attempted = format!("make an image of the container {}", call.container);
    let before = act::known(&engine, &attempted, &call.container).await?;
    let options = CommitContainerOptions {
        container: Some(before.id),
        repo,
        tag,
        comment: (!call.message.is_empty()).then_some(call.message),
        author: (!call.author.is_empty()).then_some(call.author),
        pause: !call.running,
        changes: None,
    };
    let made = engine.commit_container(options, ContainerConfig::default()).await;
    let id = made.map_err(|error| told(&attempted, &error))?.id;
    let (container, image) = (&call.container, short(&id));
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        container,
        image,
        "container: commit"
    );
    Ok(Committed { id })
}

/// The name of an image and its tag.
fn name(image: &str) -> Result<(Option<String>, Option<String>), CallError> {
    if image.is_empty() {
        return Ok((None, None));
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
    // Behind a colon that no slash follows stands the tag.
    let (repo, tag) = match image.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => (repo, tag),
        _ => (image, "latest"),
    };
    let tag_fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if repo.is_empty() || image.len() > 300 || !repo.chars().all(fits) || !tag.chars().all(tag_fits)
    {
        return Err(CallError::malformed(format!(
            "'{}' is not the name of an image such as shop/web:2",
            cmdr_protocol::display::clean_to_width(image, 80)
        )));
    }
    Ok((Some(repo.to_owned()), Some(tag.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_is_changed() {
        let call =
            Update { mem_limit: "64m".into(), restart: "always".into(), ..Update::default() };
        let limits = limits(&call).unwrap();
        assert_eq!(
            (limits.memory, limits.nano_cpus, limits.pids_limit),
            (Some(64 << 20), None, None)
        );
        assert!(limits.restart_policy.is_some());
        let wrong = Update { cpus: "many".into(), ..Update::default() };
        assert!(super::limits(&wrong).is_err());
    }

    #[test]
    fn names_of_images_are_taken_apart_at_the_tag() {
        let told = |image: &str| name(image).map(|(repo, tag)| (repo.unwrap(), tag.unwrap()));
        assert_eq!(told("shop/web:2").unwrap(), ("shop/web".into(), "2".into()));
        assert_eq!(told("hub:5000/web").unwrap(), ("hub:5000/web".into(), "latest".into()));
        assert_eq!(name("").unwrap(), (None, None));
        assert!(["UPPER", ":x", "a b", "x:y z"].iter().all(|bad| name(bad).is_err()));
    }
}
