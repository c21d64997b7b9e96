//! Looking at one container: all that the engine knows of it, its processes, what became of its files.

use super::{REPLY, check, powers};
use crate::Agent;
use crate::engine::told;
use crate::services::environment::is_secret;
use bollard::models::{ChangeType, HostConfig};
use cmdr_link::service::Asked;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::{
    Became, Diff, Difference, Differences, Inspect, Inspected, MASK, Processes, Top, Values,
};
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn inspect(
    agent: Arc<Agent>,
    _: Asked,
    call: Inspect,
) -> Result<Inspected, CallError> {
    inspected(&agent, &call.container, call.size, true).await
}

pub(super) async fn values(
    agent: Arc<Agent>,
    _: Asked,
    call: Values,
) -> Result<Inspected, CallError> {
    inspected(&agent, &call.container, false, false).await
}

async fn inspected(
    agent: &Agent,
    container: &str,
    size: bool,
    mask: bool,
) -> Result<Inspected, CallError> {
    check(container)?;
    let engine = agent.engine().await?;
    let attempted = format!("look at the container {container}");
    let path = format!("/containers/{container}/json?size={}", u8::from(size));
    let mut json = engine.get_in(&engine.version(), &attempted, &path).await?;
    let masked = if mask { struck_out(&mut json) } else { Vec::new() };
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let host = json.get("HostConfig").cloned().unwrap_or_default();
    let powers = serde_json::from_value::<HostConfig>(host)
        .map_or_else(|_| vec!["unknown".to_owned()], |host| powers::of(&host));
    let (id, name) = (text("Id"), text("Name").trim_start_matches('/').to_owned());
    let json = json.to_string();
    if json.len() > REPLY {
        return Err(CallError::failed(format!(
            "{attempted}: what the engine knows of it is {} bytes, more than an answer holds",
            json.len()
        )));
    }
    Ok(Inspected { id, name, json, masked, powers })
}

/// Strikes out what looks like a secret in the environment; says which.
fn struck_out(json: &mut Value) -> Vec<String> {
    let mut masked = Vec::new();
    let variables = json.pointer_mut("/Config/Env").and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten() {
        let Some((name, value)) = variable.as_str().and_then(|text| text.split_once('=')) else {
            continue;
        };
        if !value.is_empty() && is_secret(name, value) {
            masked.push(name.to_owned());
            *variable = format!("{name}={MASK}").into();
        }
    }
    masked
}

pub(super) async fn top(agent: Arc<Agent>, _: Asked, call: Top) -> Result<Processes, CallError> {
    check(&call.container)?;
    let engine = agent.engine().await?;
    let attempted = format!("list the processes of the container {}", call.container);
    let answer = engine.top_processes(&call.container, None).await;
    let answer = answer.map_err(|error| told(&attempted, &error))?;
    let mut rows = answer.processes.unwrap_or_default();
    let keep = fitting(rows.iter().map(|row| row.iter().map(|cell| cell.len() + 5).sum()));
    let left_out = (rows.len() - keep) as u64;
    rows.truncate(keep);
    Ok(Processes { titles: answer.titles.unwrap_or_default(), rows, left_out })
}

pub(super) async fn diff(
    agent: Arc<Agent>,
    _: Asked,
    call: Diff,
) -> Result<Differences, CallError> {
    check(&call.container)?;
    let engine = agent.engine().await?;
    let attempted = format!("compare the files of the container {}", call.container);
    let answer = engine.container_changes(&call.container).await;
    let answer = answer.map_err(|error| told(&attempted, &error))?.unwrap_or_default();
    let keep = fitting(answer.iter().map(|change| change.path.len() + 20));
    let left_out = (answer.len() - keep) as u64;
    let paths = answer.into_iter().take(keep).map(|change| Difference {
        path: change.path,
        became: match change.kind {
            ChangeType::_0 => Became::Changed,
            ChangeType::_1 => Became::Added,
            ChangeType::_2 => Became::Deleted,
        },
    });
    Ok(Differences { paths: paths.collect(), left_out })
}

/// How many of these sizes fit into an answer.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut room = REPLY;
    let fits = |size: &usize| {
        room = room.saturating_sub(*size + 8);
        room > 0
    };
    sizes.take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_looks_like_a_secret_in_the_environment_is_struck_out() {
        let mut json = json!({"Config": {"Env": ["PATH=/bin", "DB_PASSWORD=hunter2", "EMPTY_TOKEN=", "ODD", 4,
            "URL=http://li:hunter2@x/"]}});
        assert_eq!(struck_out(&mut json), ["DB_PASSWORD", "URL"]);
        let text = json.to_string();
        assert!(
            !text.contains("hunter2")
                && text.contains("PATH=/bin")
                && text.contains("DB_PASSWORD=***")
        );
        assert!(struck_out(&mut json!({"Config": null})).is_empty());
    }

    #[test]
    fn answers_end_where_they_are_full() {
        assert_eq!(fitting([10; 3].into_iter()), 3);
        assert!(fitting(std::iter::repeat_n(1000, 10_000)) < 1000);
    }
}
