//! Volumes of the host's Docker engine.

use super::images::users::{Container, Users, containers};
use super::images::{KNOWN, fitting, inspected, note, shaped};
use crate::engine::{Engine, told};
use crate::{Agent, watched};
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::images::{Inspected, check_name};
use cmdr_protocol::volumes::{
    Create, CreateSpecial, Inspect, List, Listing, Remove, Volume, Watch,
};
use cmdr_protocol::{CallError, ErrorKind, Nothing};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).feed(watch).on(inspect).on(create).on(create_special).on(remove)
}

async fn list(agent: Arc<Agent>, _: Asked, list: List) -> Result<Listing, CallError> {
    let engine = agent.engine().await?;
    let (mut volumes, warnings) = read(&engine).await?;
    if list.sizes {
        let mut sizes = sizes(&engine).await?;
        for volume in &mut volumes {
            volume.size = sizes.remove(&volume.name);
        }
    }
    let (volumes, left_out) = fitting(volumes);
    Ok(Listing { volumes, left_out, warnings })
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let read = |engine| async move { Ok(read(&engine).await?.0) };
    let (table, kinds) = (&agent.tables().volumes, &["volume", "container"]);
    watched::watch(&agent, table, "watch the volumes", kinds, read).send(feeding).await
}

async fn inspect(agent: Arc<Agent>, _: Asked, call: Inspect) -> Result<Inspected, CallError> {
    let name = checked(&call.volume)?;
    let engine = agent.engine().await?;
    let attempted = format!("inspect the volume {name}");
    let mut found = engine.get_in(KNOWN, &attempted, &format!("/volumes/{name}")).await?;
    if let Some(Value::String(words)) = found.pointer_mut("/Options/o") {
        *words = hide(words);
    }
    inspected(&found)
}

async fn create(agent: Arc<Agent>, asked: Asked, call: Create) -> Result<Volume, CallError> {
    let Create { volume, labels } = call;
    let special = CreateSpecial { volume, labels, ..CreateSpecial::default() };
    create_special(agent, asked, special).await
}

async fn create_special(
    agent: Arc<Agent>,
    asked: Asked,
    call: CreateSpecial,
) -> Result<Volume, CallError> {
    let name = checked(&call.volume)?.to_owned();
    let attempted = format!("create the volume {name}");
    let engine = agent.engine().await?;
    // The engine would answer with the one that is there, whatever was asked for.
    let there = engine.get_in(KNOWN, &attempted, &format!("/volumes/{name}")).await;
    match there {
        Ok(_) => {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!("{attempted}: there is a volume of this name already"),
            ));
        }
        Err(e) if e.kind == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let driver = if call.driver.is_empty() { "local".to_owned() } else { call.driver };
    let request = VolumeCreateRequest {
        name: Some(name),
        driver: Some(driver),
        driver_opts: Some(call.options.into_iter().collect()),
        labels: Some(call.labels.into_iter().collect()),
        ..VolumeCreateRequest::default()
    };
    let made = engine.create_volume(request).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Volume {
        name: made.name,
        driver: made.driver,
        mountpoint: made.mountpoint,
        labels: made.labels.into_iter().collect(),
        options: hidden(made.options.into_iter().collect()),
        scope: made.scope.map(|scope| scope.to_string()).unwrap_or_default(),
        ..Volume::default()
    })
}

async fn remove(agent: Arc<Agent>, asked: Asked, call: Remove) -> Result<Nothing, CallError> {
    let name = checked(&call.volume)?;
    let attempted = format!("remove the volume {name}");
    let engine = agent.engine().await?;
    let options = RemoveVolumeOptions { force: call.force };
    engine.remove_volume(name, Some(options)).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Nothing {})
}

fn checked(name: &str) -> Result<&str, CallError> {
    check_name("volume", name).map_err(CallError::malformed)?;
    Ok(name)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Found {
    volumes: Option<Vec<Described>>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Described {
    name: String,
    driver: String,
    mountpoint: String,
    created_at: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    options: Option<BTreeMap<String, String>>,
    scope: String,
}

async fn read(engine: &Engine) -> Result<(Vec<Volume>, Vec<String>), CallError> {
    let attempted = "list the volumes";
    let found: Found = shaped(attempted, engine.get_in(KNOWN, attempted, "/volumes").await?)?;
    let containers = containers(engine, attempted).await?;
    let mut users = Users::of(&containers, Container::volumes);
    let volumes = found.volumes.into_iter().flatten().map(|described| {
        let (used_by, count) = users.take(&described.name);
        Volume {
            name: described.name,
            driver: described.driver,
            mountpoint: described.mountpoint,
            scope: described.scope,
            created: described.created_at.unwrap_or_default(),
            labels: described.labels.unwrap_or_default(),
            options: hidden(described.options.unwrap_or_default()),
            size: None,
            used_by,
            users: count,
        }
    });
    Ok((volumes.collect(), found.warnings.unwrap_or_default()))
}

/// Options without the password of a share.
fn hidden(mut options: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Some(words) = options.get_mut("o") {
        *words = hide(words);
    }
    options
}

fn hide(words: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
        _ => word.to_owned(),
    };
    words.split(',').map(word).collect::<Vec<_>>().join(",")
}

/// How much is in each volume, as far as the engine knows.
async fn sizes(engine: &Engine) -> Result<HashMap<String, u64>, CallError> {
    let found = engine.get_in(KNOWN, "measure the volumes", "/system/df?type=volume").await?;
    Ok(measured(&found))
}

/// Older engines and newer ones put it at different places.
fn measured(found: &Value) -> HashMap<String, u64> {
    let places = [found.get("Volumes"), found.pointer("/VolumeUsage/Items")];
    let volumes = places.into_iter().flatten().filter_map(Value::as_array).flatten();
    let one = |volume: &Value| {
        let size = volume.pointer("/UsageData/Size")?.as_u64()?;
        Some((volume.get("Name")?.as_str()?.to_owned(), size))
    };
    volumes.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_in_answers_of_old_and_new_engines_and_unknown_ones_are_none() {
        let volume = serde_json::json!({"Name": "a", "UsageData": {"Size": 7, "RefCount": 1}});
        let unknown = serde_json::json!({"Name": "b", "UsageData": {"Size": -1, "RefCount": -1}});
        let old = serde_json::json!({"Volumes": [volume, unknown], "Images": null});
        let new = serde_json::json!({"VolumeUsage": {"Items": [volume, unknown]}});
        let expected = HashMap::from([("a".to_owned(), 7)]);
        assert_eq!((measured(&old), measured(&new)), (expected.clone(), expected));
        assert!(measured(&Value::Null).is_empty());
    }

    #[test]
    fn the_password_of_a_share_is_not_shown() {
        let options = BTreeMap::from([
            ("type".to_owned(), "cifs".to_owned()),
            ("o".to_owned(), "addr=1.2.3.4,username=u,Password=p".to_owned()),
        ]);
        assert_eq!(hidden(options)["o"], "addr=1.2.3.4,username=u,Password=***");
    }
}
