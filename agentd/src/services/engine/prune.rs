//! Clears things away, one after the other, and exactly those that were named: what came into use since
//! they were listed is refused by the engine, and stays.

use crate::Agent;
use crate::engine::{Engine, told};
use bollard::errors::Error;
use bollard::query_parameters::{
    PruneBuildOptions, RemoveContainerOptions, RemoveImageOptions, RemoveVolumeOptions,
};
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::engine::{Kind, Leftover, Prune, Pruned};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) async fn prune(
    agent: Arc<Agent>,
    _: Asked,
    call: Prune,
    feeding: Feeding<Prune>,
) -> Result<(), CallError> {
    let engine = agent.engine().await?;
    let (mut gone, all) = (0, call.things.len());
    // Containers first: what they hold may be named too.
    let mut things = call.things;
    things.sort_by_key(|thing| order(thing.kind));
    for thing in things {
        let error = match remove(&engine, &thing).await {
            Ok(()) => {
                gone += 1;
                String::new()
            }
            Err(error) => error.message,
        };
        let done = format!("{gone} of {all}");
        feeding.send(&Pruned { kind: thing.kind, id: thing.id, error, done }).await?;
    }
    Ok(())
}

const fn order(kind: Kind) -> u8 {
    match kind {
        Kind::Container => 0,
        Kind::Network => 1,
        Kind::Volume => 2,
        Kind::Image => 3,
        Kind::Cache | Kind::Unknown => 4,
    }
}

async fn remove(engine: &Engine, thing: &Leftover) -> Result<(), CallError> {
    let id = thing.id.as_str();
    if id.is_empty() || id.contains(['/', '?', '#', '%']) && thing.kind != Kind::Image {
        return Err(CallError::malformed(format!(
            "'{}' is not the id of a {}",
            clean_to_width(id, 80),
            thing.kind
        )));
    }
    let attempted = format!("remove the {} {}", thing.kind, clean_to_width(id, 80));
    let removed = match thing.kind {
        Kind::Container => {
            // Its volumes without a name go with it, as they would have nobody left.
            let options = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
            engine.remove_container(id, Some(options)).await
        }
        Kind::Network => engine.remove_network(id).await,
        Kind::Volume => engine.remove_volume(id, None::<RemoveVolumeOptions>).await,
        Kind::Image => return image(engine, id, &attempted).await,
        Kind::Cache => {
            let filters = HashMap::from([("id".to_owned(), vec![id.to_owned()])]);
            let all = Some(true);
            let options =
                PruneBuildOptions { all, filters: Some(filters), ..PruneBuildOptions::default() };
            engine.prune_build(Some(options)).await.map(drop)
        }
        Kind::Unknown => {
            return Err(CallError::new(
                ErrorKind::UnknownMethod,
                "this agent does not know what kind of thing that is; is it older than the client?",
            ));
        }
    };
    gone(&attempted, removed)
}

/// By each of its names, because with more than one its id is not enough.
async fn image(engine: &Engine, id: &str, attempted: &str) -> Result<(), CallError> {
    let known = match engine.inspect_image(id).await {
        Ok(known) => known,
        Err(error) => return gone(attempted, Err(error)),
    };
    let mut names = known.repo_tags.unwrap_or_default();
    names.retain(|name| name != "<none>:<none>");
    if names.is_empty() {
        names.push(id.to_owned());
    }
    for name in names {
        let removed = engine.remove_image(&name, None::<RemoveImageOptions>, None).await;
        gone(attempted, removed.map(drop))?;
    }
    Ok(())
}

/// What is not there any more has been cleared away.
fn gone(attempted: &str, removed: Result<(), Error>) -> Result<(), CallError> {
    let removed = removed.map_err(|error| told(attempted, &error));
    removed.or_else(|error| if error.kind == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
