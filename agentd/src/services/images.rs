//! Images of the host's Docker engine.

mod carrying;
mod lines;
mod moving;
mod rows;
mod sieve;
mod spool;
pub(crate) mod users;

use crate::engine::{Engine, told};
use crate::services::environment::is_secret;
use crate::{Agent, watched};
use bollard::query_parameters::{RemoveImageOptions, TagImageOptions};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::images::{
    History, Inspect, Inspected, List, Listing, Reference, Remove, Removed, Steps, Tag, Watch,
    check_image,
};
use cmdr_protocol::table::Row;
use cmdr_protocol::{CallError, Nothing};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// A reply must stay under the largest frame.
const REPLY: usize = 700 * 1024;
/// The newest version of the engine's interface whose answers are known here.
pub(super) const KNOWN: &str = "1.51";

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service
        .on(list)
        .feed(watch)
        .on(history)
        .on(inspect)
        .on(tag)
        .on(remove)
        .feed(moving::pull)
        .feed(moving::pull_as)
        .feed(moving::push)
        .feed(moving::push_as)
        .on(carrying::layers)
        .on(carrying::having)
        .feed(carrying::save)
        .feed(carrying::load)
}

async fn list(agent: Arc<Agent>, _: Asked, list: List) -> Result<Listing, CallError> {
    let engine = agent.engine().await?;
    let (images, left_out) = fitting(rows::all(&engine, list.all).await?);
    Ok(Listing { images, left_out })
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let read = |engine| async move { rows::all(&engine, false).await };
    let (table, kinds) = (&agent.tables().images, &["image", "container"]);
    watched::watch(&agent, table, "watch the images", kinds, read).send(feeding).await
}

async fn history(agent: Arc<Agent>, _: Asked, call: History) -> Result<Steps, CallError> {
    let image = checked(&call.image)?;
    let engine = agent.engine().await?;
    let steps = rows::history(&engine, image).await?;
    Ok(Steps { steps })
}

async fn inspect(agent: Arc<Agent>, _: Asked, call: Inspect) -> Result<Inspected, CallError> {
    let image = checked(&call.image)?;
    let engine = agent.engine().await?;
    let mut found =
        engine.get_in(KNOWN, &format!("inspect {image}"), &format!("/images/{image}/json")).await?;
    for config in ["Config", "ContainerConfig"] {
        if let Some(env) = found.pointer_mut(&format!("/{config}/Env")) {
            mask(env);
        }
    }
    let steps = found.pointer_mut("/ContainerConfig/Cmd").and_then(Value::as_array_mut);
    for step in steps.into_iter().flatten() {
        if let Value::String(words) = step {
            *words = rows::hide(words);
        }
    }
    inspected(&found)
}

async fn tag(agent: Arc<Agent>, asked: Asked, call: Tag) -> Result<Nothing, CallError> {
    let image = checked(&call.image)?;
    let name = Reference::parse(&call.name).map_err(CallError::malformed)?;
    if name.digest.is_some() {
        return Err(CallError::malformed("a new name has a tag, no digest"));
    }
    let attempted = format!("give {image} the name {name}");
    let engine = agent.engine().await?;
    let options = TagImageOptions { repo: Some(name.name()), tag: name.tag.clone() };
    engine.tag_image(image, Some(options)).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Nothing {})
}

async fn remove(agent: Arc<Agent>, asked: Asked, call: Remove) -> Result<Removed, CallError> {
    let image = checked(&call.image)?;
    let attempted = format!("remove the image {image}");
    let engine = agent.engine().await?;
    let options =
        RemoveImageOptions { force: call.force, noprune: call.keep_parents, platforms: None };
    let gone = engine.remove_image(image, Some(options), None).await;
    let gone = gone.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    let mut removed = Removed::default();
    for item in gone {
        removed.untagged.extend(item.untagged);
        removed.deleted.extend(item.deleted);
    }
    Ok(removed)
}

/// A name that leads nowhere else in the engine.
fn checked(image: &str) -> Result<&str, CallError> {
    check_image(image).map_err(CallError::malformed)?;
    Ok(image)
}

/// Puts down in the log what was done for whom.
pub(super) fn note(asked: &Asked, what: &str) {
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let (caller, what) = (clean_to_width(caller, 64), clean_to_width(what, 200));
    tracing::info!(caller, trace = asked.trace, "docker: {what}");
}

/// An answer of the engine in the shape that is expected.
pub(super) fn shaped<T: DeserializeOwned>(attempted: &str, value: Value) -> Result<T, CallError> {
    serde_json::from_value(value).map_err(|e| {
        CallError::failed(format!("{attempted}: the Docker engine's answer cannot be used: {e}"))
    })
}

/// As many rows as fit into a reply, and how many do not.
pub(super) fn fitting<R: Row>(mut rows: Vec<R>) -> (Vec<R>, u64) {
    rows.sort_by_key(Row::key);
    let mut room = REPLY;
    let fits = |row: &&R| {
        room = room.saturating_sub(row.weight());
        room > 0
    };
    let count = rows.iter().take_while(fits).count();
    let left_out = (rows.len() - count) as u64;
    rows.truncate(count);
    (rows, left_out)
}

/// The whole answer to a question about one thing.
pub(super) fn inspected(found: &Value) -> Result<Inspected, CallError> {
    let json = found.to_string();
    if json.len() > REPLY {
        return Err(CallError::failed(format!(
            "the engine's answer has {} bytes, and {REPLY} can be sent",
            json.len()
        )));
    }
    Ok(Inspected { json })
}

/// Strikes out what looks like a secret in a list of `NAME=value`.
fn mask(env: &mut Value) {
    for entry in env.as_array_mut().into_iter().flatten() {
        let Some((name, value)) = entry.as_str().and_then(|text| text.split_once('=')) else {
            continue;
        };
        if is_secret(name, value) {
            *entry = Value::String(format!("{name}=***"));
        }
    }
}

/// Where an engine is asked about something with parts that were checked.
pub(super) async fn one(engine: &Engine, what: &str, path: &str) -> Result<Inspected, CallError> {
    let found = engine.get_in(KNOWN, &format!("inspect {what}"), path).await?;
    inspected(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_looks_like_a_secret_is_struck_out() {
        let mut env = serde_json::json!(["PATH=/bin", "DB_PASSWORD=x", "odd"]);
        mask(&mut env);
        assert_eq!(env, serde_json::json!(["PATH=/bin", "DB_PASSWORD=***", "odd"]));
    }
}
