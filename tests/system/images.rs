//! Images of a real engine through the hub: which there are, what is in them, who uses them, and acts on them.

use cmdr_agentd::agent::Config;
use cmdr_link::Client;
use cmdr_protocol::images::{History, Image, Inspect, List, Remove, Tag, Watch};
use cmdr_protocol::role::Role;
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use harness::engine::{Engine, IMAGE, Name};
use harness::{BareAgent, World, until_some};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn ask<C: Call>(
    client: &Client,
    host: HostId,
    call: C,
) -> Result<C::Reply, CallError> {
    client.call(Some(host), &call, PATIENCE).await
}

/// An agent whose engine's socket is this.
pub(crate) async fn agent(world: &World, name: &str, socket: PathBuf) -> BareAgent {
    let mut config = Config::new(world.path(name));
    config.docker_socket = socket;
    world.agent_with(name, config).await
}

/// Makes an image of this name: busybox, and a layer for each of these contents.
pub(crate) fn build(engine: &Engine, world: &World, image: &str, contents: &[&str]) {
    let folder = tempfile::tempdir_in(world.data()).unwrap();
    let mut text =
        format!("FROM {IMAGE}\nLABEL team=\"a \u{1b}[2J\"\nENV DB_PASSWORD=canary PORT=80\n");
    for (n, content) in contents.iter().enumerate() {
        std::fs::write(folder.path().join(format!("f{n}")), content).unwrap();
        text = format!("{text}COPY f{n} /f{n}\n");
    }
    std::fs::write(folder.path().join("Dockerfile"), text).unwrap();
    let folder = folder.path().to_str().unwrap();
    let mut command = engine.command(&["build", "-q", "-t", image, folder]);
    let built = command.env("DOCKER_BUILDKIT", "0").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn created(engine: &Engine, name: &Name, image: &str) {
    let create = ["create", "--network", "none", "--name", name.as_str(), image];
    engine.docker(&[&create[..], &["true"]].concat());
}

#[tokio::test]
async fn images_are_listed_looked_into_named_and_removed() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("image");
    let (one, two) = (format!("{name}:1"), format!("{name}:two"));
    build(&engine, &world, &one, &["a layer of its own"]);

    let find = async |tag: &str| {
        let listing = ask(&client, agent.id, List::default()).await.unwrap();
        listing.images.into_iter().find(|image| image.tags.iter().any(|t| t == tag))
    };
    let image = find(&one).await.unwrap();
    assert_eq!(image.id, engine.docker(&["image", "inspect", "-f", "{{.Id}}", &one]));
    assert_eq!(
        image.size.to_string(),
        engine.docker(&["image", "inspect", "-f", "{{.Size}}", &one])
    );
    assert!(image.labels["team"].starts_with('a') && image.users == 0, "{image:?}");

    let steps = ask(&client, agent.id, History { image: one.clone() }).await.unwrap().steps;
    assert!(steps[0].by.contains("COPY") && steps[0].size == 18, "{steps:?}");
    assert!(steps[1].by.ends_with("ENV DB_PASSWORD=*** PORT=80"), "{steps:?}");
    let json = ask(&client, agent.id, Inspect { image: one.clone() }).await.unwrap().json;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["Id"], image.id.as_str());
    assert!(json.contains("DB_PASSWORD=***") && json.contains("PORT=80"), "{json}");
    assert!(!json.contains("canary"), "{json}");

    ask(&client, agent.id, Tag { image: one.clone(), name: two.clone() }).await.unwrap();
    assert_eq!(find(&two).await.unwrap().id, image.id);
    created(&engine, &name, &two);
    let used = find(&one).await.unwrap();
    assert_eq!((used.used_by, used.users), (vec![name.to_string()], 1));

    let remove = |image: &str, force| Remove { image: image.into(), force, keep_parents: false };
    let removed = ask(&client, agent.id, remove(&one, false)).await.unwrap();
    assert_eq!((removed.untagged, removed.deleted), (vec![one], Vec::new()));
    let error = ask(&client, agent.id, remove(&two, false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.message.contains("the Docker engine says"), "{error}");
    engine.docker(&["rm", name.as_str()]);
    let removed = ask(&client, agent.id, remove(&two, false)).await.unwrap();
    assert!(removed.deleted.contains(&image.id), "{removed:?}");
    assert!(find(&two).await.is_none());
}

#[tokio::test]
async fn what_changes_about_images_is_told_without_being_asked_for() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OBSERVER).await;
    let name = engine.name("watched");
    let tag = format!("{name}:1");
    let mut feed = client.feed(Some(agent.id), &Watch {}).await.unwrap();
    let mut table: BTreeMap<String, Image> = BTreeMap::new();
    let first = feed.next().await.unwrap().unwrap();
    assert!(first.reset);
    first.apply(&mut table);
    let mut until = async |what: &str, holds: &dyn Fn(Option<&Image>) -> bool| {
        until_some(what, async || {
            let found = table.values().find(|image| image.tags.contains(&tag));
            if holds(found) {
                return Some(());
            }
            feed.next().await.unwrap().unwrap().apply(&mut table);
            None
        })
        .await;
    };
    build(&engine, &world, &tag, &["watched"]);
    until("the image is there", &|image| image.is_some()).await;
    created(&engine, &name, &tag);
    until("who uses it is told", &|image| image.is_some_and(|image| image.users == 1)).await;
    engine.docker(&["rm", name.as_str()]);
    engine.docker(&["rmi", &tag]);
    until("it is gone", &|image| image.is_none()).await;
}

#[tokio::test]
async fn what_is_no_image_and_who_may_not_is_said_plainly() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("nowhere");
    let inspect = |image: &str| Inspect { image: image.to_owned() };
    let error = ask(&client, here.id, inspect(name.as_str())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    // The engine would make another question of these.
    engine.sleeper(&name);
    for bad in [format!("../containers/{name}"), "a?b".into(), String::new(), "a b".into()] {
        let error = ask(&client, here.id, inspect(&bad)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{bad}: {error}");
        let remove = Remove { image: bad, force: true, keep_parents: false };
        assert_eq!(ask(&client, here.id, remove).await.unwrap_err().kind, ErrorKind::Malformed);
    }
    assert_eq!(engine.docker(&["inspect", "-f", "{{.State.Running}}", name.as_str()]), "true");
    let observer = world.client(Role::OBSERVER).await;
    let tag = Tag { image: IMAGE.into(), name: format!("{name}:1") };
    assert_eq!(ask(&observer, here.id, tag).await.unwrap_err().kind, ErrorKind::Denied);

    let bare = agent(&world, "bare", world.path("no.sock")).await;
    let error = ask(&client, bare.id, List::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.message.contains("no Docker engine"), "{error}");
    let mut feed = client.feed(Some(bare.id), &Watch {}).await.unwrap();
    assert!(feed.next().await.unwrap().is_err());
}
