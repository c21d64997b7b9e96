//! What the engine says of the room that its things take (`/system/df`), in the shape that it has had up to
//! version 1.51 of the interface, which newer engines still speak.

use crate::engine::Engine;
use cmdr_protocol::CallError;
use cmdr_protocol::engine::{Kind, Room, Usage};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// All of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Taken {
    #[serde(deserialize_with = "size")]
    layers_size: u64,
    #[serde(deserialize_with = "or_default")]
    pub(super) images: Vec<Image>,
    #[serde(deserialize_with = "or_default")]
    pub(super) containers: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    pub(super) volumes: Vec<Volume>,
    #[serde(deserialize_with = "or_default")]
    pub(super) build_cache: Vec<Cache>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Image {
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) repo_tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "size")]
    pub(super) size: u64,
    #[serde(deserialize_with = "size")]
    pub(super) shared_size: u64,
    /// Containers that are made of it; below zero when the engine did not count.
    pub(super) containers: i64,
    pub(super) created: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) state: String,
    #[serde(deserialize_with = "size")]
    pub(super) size_rw: u64,
    pub(super) created: u64,
    #[serde(deserialize_with = "or_default")]
    network_settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Settings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Volume {
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) created_at: String,
    #[serde(deserialize_with = "or_default")]
    usage_data: VolumeUsage,
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeUsage {
    #[serde(deserialize_with = "size")]
    size: u64,
    ref_count: i64,
}

impl Default for VolumeUsage {
    fn default() -> Self {
        // What is not counted is taken as used, so that it stays.
        Self { size: 0, ref_count: 1 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Cache {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) description: String,
    pub(super) in_use: bool,
    shared: bool,
    #[serde(deserialize_with = "size")]
    pub(super) size: u64,
    pub(super) created_at: String,
}

/// Absent and `null` are the same to the engine.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Bytes; below zero when the engine did not count.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size: Option<i64> = Option::deserialize(deserializer)?;
    Ok(size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default())
}

/// Asks the engine.
pub(super) async fn read(engine: &Engine) -> Result<Taken, CallError> {
    let attempted = "ask the Docker engine what takes room";
    let value = engine.get_in("1.51", attempted, "/system/df").await?;
    serde_json::from_value(value).map_err(|error| {
        CallError::failed(format!("{attempted}: its answer cannot be used: {error}"))
    })
}

impl Container {
    /// Whether it is there to run.
    pub(super) fn is_active(&self) -> bool {
        ["running", "paused", "restarting"].contains(&self.state.as_str())
    }

    /// The ids of the networks that it is, or was, in.
    pub(super) fn networks(&self) -> impl Iterator<Item = &str> {
        self.network_settings.networks.values().map(|endpoint| endpoint.network_id.as_str())
    }
}

impl Volume {
    pub(super) fn is_used(&self) -> bool {
        self.usage_data.ref_count != 0
    }

    pub(super) fn size(&self) -> u64 {
        self.usage_data.size
    }

    /// Whether nobody gave it a name: the engine did.
    pub(super) fn is_anonymous(&self) -> bool {
        self.name.len() == 64 && self.name.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl Image {
    /// Whether nothing but its id names it.
    pub(super) fn is_dangling(&self) -> bool {
        self.repo_tags.iter().all(|tag| tag == "<none>:<none>")
    }
}

fn room<T>(
    kind: Kind,
    things: &[T],
    active: impl Fn(&T) -> bool,
    size: impl Fn(&T) -> u64,
) -> Room {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Room {
        kind,
        total: count(things.len()),
        active: count(things.iter().filter(|thing| active(thing)).count()),
        size: things.iter().map(&size).sum(),
        reclaimable: things.iter().filter(|thing| !active(thing)).map(&size).sum(),
    }
}

impl Taken {
    pub(super) fn usage(&self) -> Usage {
        // Layers that images share are there once; what one that is used holds alone does not come free.
        let held: u64 = self
            .images
            .iter()
            .filter(|image| image.containers != 0)
            .map(|image| image.size.saturating_sub(image.shared_size))
            .sum();
        let mut images = room(Kind::Image, &self.images, |i| i.containers > 0, |i| i.size);
        images.size = self.layers_size;
        images.reclaimable = self.layers_size.saturating_sub(held);
        let own = |cache: &Cache| if cache.shared { 0 } else { cache.size };
        Usage {
            kinds: vec![
                images,
                room(Kind::Container, &self.containers, Container::is_active, |c| c.size_rw),
                room(Kind::Volume, &self.volumes, Volume::is_used, Volume::size),
                room(Kind::Cache, &self.build_cache, |c| c.in_use, own),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_counted_once_and_what_is_not_counted_takes_none() {
        let text = r#"{"LayersSize":1000,"Images":[
            {"Id":"a","Containers":1,"Size":600,"SharedSize":400,"RepoTags":null},
            {"Id":"b","Containers":0,"Size":800,"SharedSize":400,"RepoTags":["x:1"],"Labels":null}],
            "Containers":[{"Id":"c","State":"running","SizeRw":7},{"Id":"d","State":"exited","SizeRw":5}],
            "Volumes":[{"Name":"v","UsageData":{"Size":-1,"RefCount":-1}},
                       {"Name":"w","UsageData":{"Size":9,"RefCount":0}}],
            "BuildCache":null}"#;
        let taken: Taken = serde_json::from_str(text).unwrap();
        let room = |kind, total, active, size, reclaimable| Room {
            kind,
            total,
            active,
            size,
            reclaimable,
        };
        assert_eq!(
            taken.usage().kinds,
            [
                room(Kind::Image, 2, 1, 1000, 800),
                room(Kind::Container, 2, 1, 12, 5),
                room(Kind::Volume, 2, 1, 9, 9),
                room(Kind::Cache, 0, 0, 0, 0),
            ]
        );
        assert!(taken.images[0].is_dangling() && !taken.images[1].is_dangling());
    }
}
