//! The Docker engine of a host through the hub: what it is, what takes room in it, what happens, and clearing
//! away; and hosts whose engine is not there, does not run, does not answer or answers nonsense.

use cmdr_agentd::agent::Config;
use cmdr_link::Client;
use cmdr_protocol::engine::{Disk, Events, Info, Kind, Prune, Unused};
use cmdr_protocol::role::Role;
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use harness::engine::{Engine, IMAGE};
use harness::{BareAgent, World, until_some};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

const PATIENCE: Duration = Duration::from_mins(1);

async fn ask<C: Call>(client: &Client, host: HostId, call: C) -> Result<C::Reply, CallError> {
    client.call(Some(host), &call, PATIENCE).await
}

/// An agent whose engine's socket is this.
async fn agent(world: &World, socket: PathBuf) -> BareAgent {
    let mut config = Config::new(world.path("here"));
    config.docker_socket = socket;
    world.agent_with("here", config).await
}

#[tokio::test]
async fn an_engine_is_told_with_what_takes_room_in_it() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, engine.socket()).await;
    let client = world.client(Role::OBSERVER).await;
    let name = engine.name("room");
    engine.sleeper(&name);
    let about = ask(&client, agent.id, Info {}).await.unwrap();
    assert_eq!(about.version, engine.docker(&["info", "--format", "{{.ServerVersion}}"]));
    assert_eq!(about.root, engine.docker(&["info", "--format", "{{.DockerRootDir}}"]));
    assert!(about.running > 0 && about.images > 0 && about.memory > 0, "{about:?}");
    assert!(!about.api.is_empty() && !about.storage.is_empty(), "{about:?}");
    let usage = ask(&client, agent.id, Disk {}).await.unwrap();
    let kinds: Vec<_> = usage.kinds.iter().map(|room| room.kind).collect();
    assert_eq!(kinds, [Kind::Image, Kind::Container, Kind::Volume, Kind::Cache]);
    assert!(usage.kinds[0].size > 0 && usage.kinds[0].active > 0, "{usage:?}");
    assert!(usage.kinds[1].active > 0, "{usage:?}");
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens_and_what_has_happened_too() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, engine.socket()).await;
    let client = world.client(Role::OBSERVER).await;
    let events = Events { kinds: vec!["container".into()], ..Events::default() };
    let mut feed = client.feed(Some(agent.id), &events).await.unwrap();
    // It is told from when the engine was asked: something is done again and again until it is heard of.
    let name = engine.name("event");
    engine.sleeper(&name);
    let own = name.to_string();
    let heard = tokio::spawn(async move {
        loop {
            let event = feed.next().await.unwrap().unwrap();
            assert_eq!(event.kind, "container");
            if event.name == own && event.action == "pause" {
                return event;
            }
        }
    });
    harness::until("it is heard of", async || {
        engine.docker(&["pause", name.as_str()]);
        engine.docker(&["unpause", name.as_str()]);
        tokio::task::yield_now().await;
        heard.is_finished()
    })
    .await;
    let event = heard.await.unwrap();
    assert_eq!(event.more["image"], IMAGE);
    let back = Events { back_s: 600, ..events };
    let mut feed = client.feed(Some(agent.id), &back).await.unwrap();
    let created = until_some("what was before is told", async || {
        let event = feed.next().await.unwrap().unwrap();
        (event.name == name.as_str() && event.action == "create").then_some(event)
    })
    .await;
    assert!(created.at_ms <= event.at_ms && created.id == event.id, "{created:?} {event:?}");
}

#[tokio::test]
async fn exactly_what_was_listed_is_cleared_away_and_what_is_used_stays() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("prune");
    let label = format!("of={name}");
    let named = |what: &str| format!("{name}-{what}");
    let stopped =
        ["run", "--label", &label, "--network", "none", "--name", &named("old"), IMAGE, "true"];
    engine.docker(&stopped);
    for what in ["data", "kept"] {
        engine.docker(&["volume", "create", "--label", &label, &named(what)]);
    }
    let holds = format!("{}:/data", named("kept"));
    let runs =
        ["run", "-d", "--init", "--label", &label, "--network", "none", "-v", &holds, "--name"];
    engine.docker(&[&runs[..], &[&named("new"), IMAGE, "sleep", "86400"]].concat());
    engine.docker(&["network", "create", "--label", &label, "--internal", &named("net")]);
    let change = format!("LABEL {label}");
    let from = named("old");
    for tag in ["one:1", "two:1"] {
        engine.docker(&["commit", "--change", &change, &from, &named(tag)]);
    }
    let first = engine.docker(&["image", "inspect", "--format", "{{.Id}}", &named("one:1")]);
    engine.docker(&["tag", &named("one:1"), &named("again:1")]);

    let unused = |kinds: &[Kind], all| Unused {
        kinds: kinds.to_vec(),
        all,
        label: label.clone(),
        ..Unused::default()
    };
    // Without a word about volumes and about what has a name, both stay.
    let found = ask(&client, agent.id, unused(&[], false)).await.unwrap();
    let shown: Vec<_> = found.things.iter().map(|t| (t.kind, t.name.clone())).collect();
    assert_eq!(shown, [(Kind::Container, named("old")), (Kind::Network, named("net"))]);
    let all = [Kind::Container, Kind::Image, Kind::Network, Kind::Volume];
    let found = ask(&client, agent.id, unused(&all, true)).await.unwrap();
    let kinds: Vec<_> = found.things.iter().map(|thing| thing.kind).collect();
    assert_eq!(
        kinds,
        [Kind::Image, Kind::Image, Kind::Container, Kind::Volume, Kind::Network],
        "{found:?}"
    );
    // One of them comes into use before they are removed.
    let image = found.things.iter().find(|t| t.kind == Kind::Image && t.id != first).unwrap();
    let run = ["run", "-d", "--init", "--network", "none", "--name", &named("late"), &image.id];
    engine.docker(&[&run[..], &["sleep", "86400"]].concat());
    let observer = world.client(Role::OBSERVER).await;
    let prune = Prune { things: found.things.clone() };
    let mut denied = observer.feed(Some(agent.id), &prune).await.unwrap();
    assert_eq!(denied.next().await.unwrap().unwrap_err().kind, ErrorKind::Denied);
    let mut feed = client.feed(Some(agent.id), &prune).await.unwrap();
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    while let Some(pruned) = feed.next().await {
        let pruned = pruned.unwrap();
        if pruned.error.is_empty() {
            gone.push(pruned);
        } else {
            stay.push(pruned);
        }
    }
    let [stay] = &stay[..] else { panic!("{stay:?}") };
    assert_eq!((stay.kind, &stay.id), (Kind::Image, &image.id));
    assert!(stay.error.contains("the Docker engine says"), "{stay:?}");
    assert_eq!(gone.last().unwrap().done, "4 of 5");
    let left = engine.docker(&["volume", "ls", "--quiet", "--filter", &format!("label={label}")]);
    assert_eq!(left, named("kept"), "the one that is in use");
    assert!(!engine.try_docker(&["image", "inspect", &first]).status.success());
    // Once more is no error: it is gone.
    let again = found.things.iter().filter(|thing| thing.kind == Kind::Container).cloned();
    let mut feed = client.feed(Some(agent.id), &Prune { things: again.collect() }).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().done, "1 of 1");
}

#[tokio::test]
async fn an_engine_that_is_not_there_and_one_that_does_not_run_are_told_apart() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let socket = world.path("docker.sock");
    let agent = agent(&world, socket.clone()).await;
    let none = ask(&client, agent.id, Info {}).await.unwrap_err();
    assert_eq!(none.kind, ErrorKind::NotFound);
    assert!(none.message.contains("has no Docker engine"), "{none}");
    // What an engine leaves behind that was killed.
    drop(UnixListener::bind(&socket).unwrap());
    let stopped = ask(&client, agent.id, Disk {}).await.unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::NotFound);
    assert!(stopped.message.contains("does not run"), "{stopped}");
}

#[tokio::test]
async fn an_engine_that_hangs_holds_nobody_up_and_nonsense_is_told() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let socket = world.path("docker.sock");
    let agent = agent(&world, socket.clone()).await;
    let listener = UnixListener::bind(&socket).unwrap();
    // No real engine hangs when it is asked to: this one takes what comes and is silent.
    let hangs = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            held.push(stream);
        }
    });
    let short = Duration::from_millis(300);
    let error = client.call(Some(agent.id), &Info {}, short).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    hangs.abort();
    drop(hangs.await);
    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let nonsense = tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut asked = [0; 1024];
            if !matches!(stream.read(&mut asked).await, Ok(1..)) {
                continue;
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"\x1b[2J\":\0")
                .await
                .ok();
        }
    });
    let error = ask(&client, agent.id, Info {}).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(
        error.message.contains("cannot be used") && !error.message.contains('\u{1b}'),
        "{error}"
    );
    nonsense.abort();
}
