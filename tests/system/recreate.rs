//! Another container in the place of one, by an agent that is killed in the middle of it.

use cmdr_protocol::containers::change::Recreate;
use cmdr_protocol::containers::spec::Healthcheck;
use cmdr_protocol::containers::{Create, Done, Spec};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::role::Role;
use cmdr_protocol::{Call, CallError, KeyId};
use harness::engine::{Engine, IMAGE, Name};

use harness::{Lone, Up, until_some};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(2);

/// A container that is well as soon as there is a file in it, and unwell when there is none after so many looks.
fn spec(name: &Name, looks: i64) -> Spec {
    let mut spec = Spec {
        name: name.to_string(),
        image: IMAGE.into(),
        command: ["sleep", "86400"].map(str::to_owned).into(),
        network: "none".into(),
        init: true,
        stop_timeout_s: Some(1),
        ..Spec::default()
    };
    spec.healthcheck.test = ["CMD", "test", "-f", "/well"].map(str::to_owned).into();
    (spec.healthcheck.interval, spec.healthcheck.retries) = ("3s".into(), looks);
    spec
}

async fn ask<C: Call>(up: &Up, call: C) -> Result<C::Reply, CallError> {
    let caller = Caller {
        key: KeyId([1; 16]),
        name: "a test".into(),
        operator: "ann".into(),
        role: Role::OPERATOR,
        address: String::new(),
    };
    up.client.call_for(&caller, None, &call, PATIENCE).await
}

async fn docker(engine: &Engine, args: &[&str]) -> String {
    let (engine, args) = (engine.clone(), args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
    let run = move || engine.docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Names, ids and whether they run, of all that have this name in theirs.
async fn those(engine: &Engine, name: &Name) -> Vec<(String, String, bool)> {
    let filter = format!("name={name}");
    let format = "{{.Names}} {{.ID}} {{.State}}";
    let told =
        docker(engine, &["ps", "-a", "--no-trunc", "--filter", &filter, "--format", format]).await;
    let one = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), words[1].to_owned(), words[2] == "running")
    };
    told.lines().map(one).collect()
}

/// A container that runs, and an agent that was killed while a new one, which has begun, was about to take its place.
async fn killed_in_the_middle(engine: &Engine, name: &Name, looks: i64) -> (Lone, Done) {
    let mut lone = Lone::new().await;
    lone.policy = format!("[containers]\nsocket = \"{}\"\n", engine.socket().display());
    lone.start();
    let up = lone.accept().await;
    let first = Spec { healthcheck: Healthcheck::default(), ..spec(name, 1) };
    let old = ask(&up, Create { spec: first, start: true }).await.unwrap();
    let recreate = Recreate { container: name.to_string(), spec: spec(name, looks) };
    let begun = tokio::spawn(async move { ask(&up, recreate).await });
    until_some("the new one runs and the old one does not", async || {
        let those = those(engine, name).await;
        let new =
            those.iter().any(|(own, id, runs)| own == name.as_str() && *id != old.id && *runs);
        (new && those.len() == 2).then_some(())
    })
    .await;
    lone.kill();
    assert!(begun.await.unwrap().is_err());
    (lone, old)
}

async fn engine() -> Engine {
    tokio::task::spawn_blocking(Engine::up).await.unwrap()
}

/// The only one that is left, once there is only one.
async fn left(engine: &Engine, name: &Name) -> (String, String) {
    until_some("one is left, and runs under its name", async || {
        let those = those(engine, name).await;
        let [(own, id, true)] = &those[..] else { return None };
        Some((own.clone(), id.clone()))
    })
    .await
}

#[tokio::test]
async fn a_new_container_that_is_well_stays_when_the_agent_was_killed_before_it_knew() {
    let engine = engine().await;
    let name = engine.name("well");
    let (mut lone, old) = killed_in_the_middle(&engine, &name, 1000).await;
    docker(&engine, &["exec", name.as_str(), "touch", "/well"]).await;
    lone.start();
    let (own, id) = left(&engine, &name).await;
    assert!(own == name.as_str() && id != old.id, "{own} {id}");
    until_some("nothing is left to be done", async || {
        let notes = std::fs::read_dir(lone.state.join("recreate")).unwrap();
        (notes.count() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_old_container_comes_back_when_the_new_one_is_not_well_or_gone() {
    let engine = engine().await;
    for gone in [false, true] {
        let name = engine.name("unwell");
        let (mut lone, old) = killed_in_the_middle(&engine, &name, 1).await;
        if gone {
            docker(&engine, &["rm", "-f", name.as_str()]).await;
        }
        lone.start();
        assert_eq!(left(&engine, &name).await, (name.to_string(), old.id));
    }
}
