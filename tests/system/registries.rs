//! A real registry, a real engine, and the hub that is somebody there: pushes and pulls with what it knows, what is in
//! the registry, and whether there is something newer.

use crate::images::{agent, ask, build};
use cmdr_link::Client;
use cmdr_protocol::images::{self, Inspect, Layer, Moved, Progress, is_digest};
use cmdr_protocol::registries::{
    Catalog, Delete, DeleteTag, List, Manifest, Pull, Push, Put, Tags, Updates,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::{Call, CallError, ErrorKind, Feed, HostId};
use harness::World;
use harness::engine::Engine;
use harness::registry::{PASSWORD, Registry, USER};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

async fn hub<C: Call>(client: &Client, call: C) -> Result<C::Reply, CallError> {
    client.call(None, &call, Duration::from_mins(1)).await
}

fn put(registry: &Registry, password: &str) -> Put {
    Put {
        registry: registry.address.clone(),
        username: USER.into(),
        password: password.into(),
        plain: true,
    }
}

async fn to_end<F: Feed<Item = Progress>>(
    client: &Client,
    to: Option<HostId>,
    order: F,
) -> Result<(BTreeMap<String, Layer>, Moved), CallError> {
    let mut feed = client.feed(to, &order).await?;
    let mut layers = BTreeMap::new();
    while let Some(item) = feed.next().await {
        let item = item?;
        layers.extend(item.layers.into_iter().map(|layer| (layer.id.clone(), layer)));
        if let Some(moved) = item.moved {
            return Ok((layers, moved));
        }
    }
    panic!("it ended half-way");
}

fn statuses(layers: &BTreeMap<String, Layer>) -> Vec<&str> {
    layers.values().map(|layer| layer.status.as_str()).collect()
}

/// Removes an image whose name begins with the registry's, which nobody else does.
struct Gone<'a>(&'a Engine, Vec<String>);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let names: Vec<_> = self.1.iter().map(String::as_str).collect();
        drop(self.0.command(&[&["rmi", "--force"], &names[..]].concat()).output());
    }
}

pub(crate) fn holds(folder: &Path, word: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, word);
        }
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(word.len()).any(|w| w == word))
    })
}

#[tokio::test]
async fn an_image_goes_to_a_registry_and_comes_back_as_whom_the_hub_is_there() {
    let (engine, world) = (Engine::up(), World::start().await);
    let registry = Registry::start(&world.path("registry"));
    let agent = agent(&world, "here", engine.socket()).await;
    let (admin, operator) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    let image = format!("{}/team/web:1", registry.address);
    let _gone = Gone(&engine, vec![image.clone()]);
    build(&engine, &world, &image, &[&image, "another layer"]);
    let push = || Push { host: agent.id, image: image.clone() };
    let pull = || Pull { host: agent.id, image: image.clone(), platform: String::new() };

    // Nobody is told why not.
    let error = to_end(&operator, None, push()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert_eq!(hub(&operator, put(&registry, PASSWORD)).await.unwrap_err().kind, ErrorKind::Denied);
    assert!(!hub(&admin, put(&registry, "wrong")).await.unwrap().replaced);
    let error = to_end(&operator, None, push()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(hub(&admin, put(&registry, PASSWORD)).await.unwrap().replaced);

    let (layers, pushed) = to_end(&operator, None, push()).await.unwrap();
    assert_eq!(statuses(&layers), ["Pushed"; 3], "{layers:?}");
    assert!(is_digest(&pushed.digest), "{pushed:?}");
    let (layers, _) = to_end(&operator, None, push()).await.unwrap();
    assert_eq!(statuses(&layers), ["Layer already exists"; 3], "{layers:?}");

    let id = engine.docker(&["image", "inspect", "-f", "{{.Id}}", &image]);
    engine.docker(&["rmi", &image]);
    let (layers, pulled) = to_end(&operator, None, pull()).await.unwrap();
    assert_eq!(pulled.digest, pushed.digest);
    assert!(pulled.status.starts_with("Downloaded newer image"), "{pulled:?}");
    let complete = statuses(&layers).iter().filter(|status| **status == "Pull complete").count();
    assert_eq!(complete, 2, "the layer of busybox was there: {layers:?}");
    assert_eq!(engine.docker(&["image", "inspect", "-f", "{{.Id}}", &image]), id);
    let (_, again) = to_end(&operator, None, pull()).await.unwrap();
    assert!(again.status.starts_with("Image is up to date"), "{again:?}");

    // A host alone is nobody there, and an observer may not pull.
    let alone = images::Pull { image: image.clone(), platform: String::new() };
    let error = to_end(&operator, Some(agent.id), alone).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let observer = world.client(Role::OBSERVER).await;
    assert_eq!(to_end(&observer, None, pull()).await.unwrap_err().kind, ErrorKind::Denied);
    let missing = Pull { image: format!("{}/team/none:1", registry.address), ..pull() };
    let error = to_end(&operator, None, missing).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let bad = Pull { image: "../x".into(), ..pull() };
    assert_eq!(to_end(&operator, None, bad).await.unwrap_err().kind, ErrorKind::Malformed);

    let known = hub(&observer, List {}).await.unwrap().registries;
    assert_eq!(
        (known[0].registry.as_str(), known[0].username.as_str()),
        (registry.address.as_str(), USER)
    );
    for folder in ["store", "audit"] {
        assert!(!holds(&world.path(folder), PASSWORD.as_bytes()), "{folder}");
    }
    let world = {
        drop((admin, operator, observer));
        world.restart().await
    };
    let admin = world.client(Role::ADMINISTRATOR).await;
    let catalog = Catalog { registry: registry.address.clone(), after: String::new() };
    assert_eq!(hub(&admin, catalog.clone()).await.unwrap().names, ["team/web"]);
    hub(&admin, Delete { registry: registry.address.clone() }).await.unwrap();
    assert_eq!(hub(&admin, catalog).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn tags_are_listed_looked_into_and_deleted_with_their_image() {
    let (engine, world) = (Engine::up(), World::start().await);
    let registry = Registry::start(&world.path("registry"));
    let agent = agent(&world, "here", engine.socket()).await;
    let (admin, client) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    hub(&admin, put(&registry, PASSWORD)).await.unwrap();
    let name = |tag: &str| format!("{}/app:{tag}", registry.address);
    let _gone = Gone(&engine, ["1", "one", "2"].map(name).to_vec());
    build(&engine, &world, &name("1"), &[&name("1")]);
    build(&engine, &world, &name("2"), &[&name("2")]);
    engine.docker(&["tag", &name("1"), &name("one")]);
    let mut digests = Vec::new();
    for tag in ["1", "one", "2"] {
        let push = Push { host: agent.id, image: name(tag) };
        digests.push(to_end(&client, None, push).await.unwrap().1.digest);
    }
    assert!(digests[0] == digests[1] && digests[0] != digests[2], "{digests:?}");
    let tags =
        Tags { registry: registry.address.clone(), repository: "app".into(), after: String::new() };
    let mut listed = hub(&client, tags.clone()).await.unwrap();
    listed.names.sort();
    assert_eq!((listed.names, listed.more), (["1", "2", "one"].map(str::to_owned).to_vec(), false));
    let manifest = |reference: &str| Manifest {
        registry: registry.address.clone(),
        repository: "app".into(),
        reference: reference.into(),
    };
    let found = hub(&client, manifest("2")).await.unwrap();
    assert_eq!(found.digest, digests[2]);
    assert!(found.json.contains("\"layers\""), "{found:?}");

    let delete = |tag: &str, force| DeleteTag {
        registry: registry.address.clone(),
        repository: "app".into(),
        tag: tag.into(),
        force,
    };
    let error = hub(&client, delete("1", false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.message.ends_with("one"), "{error}");
    let gone = hub(&client, delete("1", true)).await.unwrap();
    assert_eq!((&gone.digest, gone.tags.len()), (&digests[0], 2));
    for reference in ["1", "one", &digests[0]] {
        let error = hub(&client, manifest(reference)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    assert_eq!(hub(&client, manifest("2")).await.unwrap().digest, digests[2]);
    assert_eq!(hub(&client, delete("1", true)).await.unwrap_err().kind, ErrorKind::NotFound);
    for bad in ["a/../b", "a?b", "", "A"] {
        let tags = Tags { repository: bad.into(), ..tags.clone() };
        assert_eq!(hub(&client, tags).await.unwrap_err().kind, ErrorKind::Malformed, "{bad}");
    }
}

#[tokio::test]
async fn something_newer_in_the_registry_is_found() {
    let (engine, world) = (Engine::up(), World::start().await);
    let registry = Registry::start(&world.path("registry"));
    let agent = agent(&world, "here", engine.socket()).await;
    let (admin, client) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    hub(&admin, put(&registry, PASSWORD)).await.unwrap();
    let name = format!("{}/app:1", registry.address);
    let (old, new) = (format!("{}/old:1", registry.address), format!("{}/new:1", registry.address));
    let _gone = Gone(&engine, vec![name.clone(), old.clone(), new.clone()]);
    build(&engine, &world, &old, &[&old]);
    build(&engine, &world, &new, &[&new]);
    let pushed = async |from: &str| {
        engine.docker(&["tag", from, &name]);
        let push = Push { host: agent.id, image: name.clone() };
        to_end(&client, None, push).await.unwrap().1.digest
    };
    let first = pushed(&old).await;
    let updates = Updates { host: agent.id, images: vec![name.clone(), "nginx:none".into()] };
    let found = hub(&client, updates.clone()).await.unwrap().images;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((&found[0].has, &found[0].registry_has), (&first, &first));
    assert!(!found[0].available && found[0].why.is_empty(), "{found:?}");
    assert!(found[1].why.contains("no image of this name"), "{found:?}");
    let second = pushed(&new).await;
    engine.docker(&["tag", &old, &name]);
    let found = hub(&client, updates).await.unwrap().images;
    assert_eq!((&found[0].has, &found[0].registry_has), (&first, &second));
    assert!(found[0].available, "{found:?}");
    let all = Updates { host: agent.id, images: Vec::new() };
    let found = hub(&client, all).await.unwrap().images;
    let other = found.iter().find(|update| update.image.starts_with("commander-busybox")).unwrap();
    assert!(!other.available && other.why.contains("does not know the registry"), "{other:?}");
    // Nothing of it was changed.
    ask(&client, agent.id, Inspect { image: name }).await.unwrap();
}
