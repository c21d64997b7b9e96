//! Which containers use what: asked once for a whole list of images, volumes or networks.

use super::KNOWN;
use crate::engine::Engine;
use cmdr_protocol::CallError;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

/// Names that are told of each; the others are counted.
const NAMED: usize = 20;

/// A container, as far as it uses something.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Container {
    id: String,
    names: Option<Vec<String>>,
    #[serde(rename = "ImageID")]
    image_id: String,
    mounts: Option<Vec<Mount>>,
    network_settings: Option<Settings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    #[serde(rename = "Type")]
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    networks: Option<BTreeMap<String, Endpoint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    #[serde(rename = "NetworkID")]
    network_id: String,
}

impl Container {
    fn name(&self) -> &str {
        let name = self.names.iter().flatten().next().map(|name| name.trim_start_matches('/'));
        name.unwrap_or(&self.id)
    }

    /// The id of its image.
    pub(crate) fn image(&self) -> Vec<&str> {
        vec![&self.image_id]
    }

    /// The names of its volumes.
    pub(crate) fn volumes(&self) -> Vec<&str> {
        let mounts = self.mounts.iter().flatten().filter(|mount| mount.kind == "volume");
        mounts.map(|mount| mount.name.as_str()).collect()
    }

    /// The ids of its networks, and their names: a container that never ran has only those.
    pub(crate) fn networks(&self) -> Vec<&str> {
        let settings = self.network_settings.iter().flat_map(|s| s.networks.iter().flatten());
        settings
            .map(|(name, at)| if at.network_id.is_empty() { name } else { &at.network_id })
            .map(String::as_str)
            .collect()
    }
}

/// All containers, also those that do not run.
pub(crate) async fn containers(engine: &Engine, why: &str) -> Result<Vec<Container>, CallError> {
    let found = engine.get_in(KNOWN, why, "/containers/json?all=1").await?;
    let found: Option<Vec<Container>> = super::shaped(why, found)?;
    Ok(found.unwrap_or_default())
}

/// Who uses what.
#[derive(Debug, Default)]
pub(crate) struct Users<'a>(HashMap<&'a str, (Vec<String>, u32)>);

impl<'a> Users<'a> {
    /// Of all that `uses` says of each container.
    pub(crate) fn of(containers: &'a [Container], uses: fn(&'a Container) -> Vec<&'a str>) -> Self {
        let mut users: HashMap<&str, (Vec<String>, u32)> = HashMap::new();
        for container in containers {
            for used in uses(container) {
                let (names, count) = users.entry(used).or_default();
                *count += 1;
                names.push(container.name().to_owned());
            }
        }
        for (names, _) in users.values_mut() {
            names.sort_unstable();
            names.truncate(NAMED);
        }
        Self(users)
    }

    /// The first names, and how many there are.
    pub(crate) fn take(&mut self, what: &str) -> (Vec<String>, u32) {
        self.0.remove(what).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_counted_for_images_volumes_and_networks() {
        let text = r#"[
            {"Id":"1","Names":["/web"],"ImageID":"sha256:a",
             "Mounts":[{"Type":"volume","Name":"data"},{"Type":"bind","Source":"/etc"}],
             "NetworkSettings":{"Networks":{"host":{"NetworkID":"n1"},"later":{"NetworkID":""}}}},
            {"Id":"2","Names":null,"ImageID":"sha256:a","Mounts":null,"NetworkSettings":null}]"#;
        let containers: Vec<Container> = serde_json::from_str(text).unwrap();
        let mut images = Users::of(&containers, Container::image);
        assert_eq!(images.take("sha256:a"), (vec!["2".to_owned(), "web".to_owned()], 2));
        let mut volumes = Users::of(&containers, Container::volumes);
        assert_eq!(volumes.take("data"), (vec!["web".to_owned()], 1));
        let mut networks = Users::of(&containers, Container::networks);
        assert_eq!(
            (networks.take("n1").1, networks.take("later").1, networks.take("x").1),
            (1, 1, 0)
        );
    }
}
