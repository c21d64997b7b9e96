//! The chapter of compose projects: how they stand, what a plan says, orders to hosts, their files in versions.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::compose::kept::{Kept, Listing, Shown};
use cmdr_protocol::compose::{Looked, Member, Progress, Service, Will};
use cmdr_protocol::containers::State;
use cmdr_protocol::runbooks::{Saved, Version, VersionListing};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const EVIL: &str = "evil \u{1b}]0;owned\u{7}\u{202e}";

fn kept(name: &str, version: u64, hosts: &str) -> Kept {
    Kept {
        name: name.into(),
        version,
        hosts: hosts.into(),
        saved_ms: NOW_MS - version * 7_200_000,
        saved_by: "ann@desk".into(),
        note: EVIL.into(),
    }
}

fn service(name: &str, will: Will, why: &str, state: State) -> Service {
    let member = Member {
        name: format!("shop-{name}-1"),
        state,
        status: format!("Up 2 hours {EVIL}"),
        exit_code: Some(1),
        ..Member::default()
    };
    Service {
        name: name.into(),
        image: format!("{name}:1"),
        wanted: 1,
        will,
        why: why.into(),
        containers: vec![member],
    }
}

fn looked(services: Vec<Service>) -> Looked {
    Looked {
        project: "shop".into(),
        program: "docker compose 2.26.1".into(),
        version: 3,
        powers: vec!["mount:/srv\u{1b}[2J".into()],
        services,
        remarks: vec![EVIL.into()],
    }
}

fn answer(asked: &Asked) -> Result<Value, CallError> {
    let on = asked.to.map_or_else(|| asked.body["host"].clone(), |host| json!(host));
    Ok(match asked.method {
        "compose.list" => {
            json!(Listing { projects: vec![kept("ntp", 1, ""), kept("shop", 3, "role=web")] })
        }
        "hosts.resolve" => {
            json!({ "targets": [[id(1), "web1", "online"], [id(2), "web2", "away"]] })
        }
        "compose.look" | "compose.plan" if on == json!(id(2)) => {
            let why = "web2 is away: last seen 12 s ago";
            return Err(CallError::new(ErrorKind::Unreachable, why));
        }
        "compose.look" | "compose.plan" => json!(looked(vec![
            service("api", Will::Recreate, "image changed\u{1b}[2J", State::Running),
            service("web", Will::Leave, "", State::Running),
        ])),
        "compose.show" => {
            let version = asked.body["version"].as_u64().unwrap_or(3);
            let text = format!("services:\n  web:\n    image: web:{version}{EVIL}\n");
            let project = kept("shop", version, "role=web");
            json!(Shown { project, text, variables: vec!["PASSWORD".into()] })
        }
        "compose.versions" => {
            let version = |version| Version { version, note: EVIL.into(), ..Version::default() };
            json!(VersionListing { versions: (1..=3).rev().map(version).collect() })
        }
        "compose.save" | "compose.restore" => json!(Saved { version: 4, unchanged: false }),
        _ => json!({}),
    })
}

type Orders = Arc<Mutex<Vec<(Option<cmdr_protocol::HostId>, &'static str, Value)>>>;

async fn at_projects(setup: Setup) -> (World, Orders) {
    let mut world = World::new(setup).await;
    world.far.answer(answer);
    let orders = Orders::default();
    let given = orders.clone();
    world.far.answer_feeds(move |asked| {
        if !["compose.deploy", "compose.stop", "compose.down"].contains(&asked.method) {
            return None;
        }
        given.lock().expect("orders").push((asked.to, asked.method, asked.body.clone()));
        let lines = vec![format!("Container shop-api-1 Recreate {EVIL}")];
        let done = Some(looked(Vec::new()));
        Some(vec![
            json!(Progress { lines, done: None }),
            json!(Progress { lines: vec!["Container shop-api-1 Started".into()], done }),
        ])
    });
    world.fleet(some_hosts()).await;
    world.press("#[").await;
    for _ in 0..6 {
        world.idle().await;
    }
    world.press("/shop<enter>").await;
    world.calls();
    (world, orders)
}

#[tokio::test]
async fn projects_in_every_state() {
    for setup in each() {
        let (mut world, _) = at_projects(setup).await;
        snap!("projects", world);
        world.press("<enter>").await;
        snap!("project_hosts", world);
        world.press("<esc>u").await;
        snap!("project_plan", world);
        world.press("u").await;
        snap!("project_up", world);
        world.press("y").await;
        snap!("project_progress", world);
        world.press("<esc>D").await;
        snap!("project_down", world);
        world.press("<esc>C-x").await;
        snap!("project_delete", world);
    }
}

#[tokio::test]
async fn a_project_says_how_it_stands_and_cannot_steer_the_terminal() {
    let (mut world, _) = at_projects(Setup { size: (160, 45), ..Setup::default() }).await;
    world.check_shows("drifted");
    world.check_shows("api: image changed␛[2J");
    for keys in ["<enter>", "<esc>u", "<esc>t", "<esc>H"] {
        world.press(keys).await;
        world.check_hides("\u{1b}");
        world.check_hides("\u{202e}");
    }
}

#[tokio::test]
async fn only_hosts_that_were_planned_are_brought_up_in_the_version_that_was_shown() {
    let (mut world, orders) = at_projects(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("u").await;
    world.check_shows("recreate");
    world.check_shows("web2 is away");
    world.press("Y").await;
    world.press("u").await;
    world.check_shows("bring up shop, version 3 on web1?");
    world.check_shows("mount:/srv␛[2J");
    assert!(orders.lock().expect("orders").is_empty());
    world.press("y").await;
    let given = std::mem::take(&mut *orders.lock().expect("orders"));
    assert_eq!(given.len(), 1, "{given:?}");
    assert_eq!((given[0].0, given[0].1), (None, "compose.deploy"));
    assert_eq!((&given[0].2["host"], &given[0].2["version"]), (&json!(id(1)), &json!(3)));
    world.check_shows("Container shop-api-1 Started");
}

#[tokio::test]
async fn stopping_asks_for_the_count_and_taking_away_for_the_name() {
    let (mut world, orders) = at_projects(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("x").await;
    world.press("2<enter>").await;
    let given = std::mem::take(&mut *orders.lock().expect("orders"));
    let stops: Vec<_> = given.iter().map(|(to, method, _)| (*to, *method)).collect();
    assert_eq!(stops, [(Some(id(1)), "compose.stop"), (Some(id(2)), "compose.stop")]);
    world.press("<esc>Dj<enter>").await;
    world.check_shows("all that is in its volumes is lost");
    world.press("2<enter>").await;
    assert!(orders.lock().expect("orders").is_empty(), "the count is not the name");
    world.press("<backspace>shop<enter>").await;
    let given = std::mem::take(&mut *orders.lock().expect("orders"));
    assert_eq!(given.len(), 2, "{given:?}");
    assert_eq!((given[0].1, &given[0].2["volumes"]), ("compose.down", &json!(true)));
}

#[tokio::test]
async fn an_older_version_is_kept_again_and_a_project_deleted_once_its_name_was_typed() {
    let (mut world, _) = at_projects(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("Hj<enter>").await;
    world.check_shows("-    image: web:3");
    world.check_shows("+    image: web:2");
    world.press("ry").await;
    let restored = world.calls().into_iter().find(|call| call.method == "compose.restore");
    assert_eq!(restored.expect("a call").body, json!({ "name": "shop", "version": 2 }));
    world.press("C-xshop<enter>").await;
    let deleted = world.calls().into_iter().find(|call| call.method == "compose.delete");
    assert_eq!(deleted.expect("a call").body, json!({ "name": "shop" }));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_put_and_one_that_is_becomes_the_next_version() {
    let (mut world, _) = at_projects(Setup { size: (160, 45), ..Setup::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.yaml");
    std::fs::write(&file, "services: {}\n").expect("a file");
    world.press("eC-u").await;
    world.press("/nonexistent/c.yaml").await;
    world.press("<enter><enter><enter><enter>").await;
    world.check_shows("there is no such file");
    assert_eq!(world.calls().iter().filter(|call| call.method == "compose.save").count(), 0);
    world.press("C-u").await;
    world.press(&file.display().to_string()).await;
    world.press("<enter><enter><enter><enter>").await;
    let saved = world.calls().into_iter().find(|call| call.method == "compose.save");
    let body = saved.expect("a call").body;
    assert_eq!((&body["text"], &body["was"]), (&json!("services: {}\n"), &json!(3)));
    assert_eq!(body["hosts"], json!("role=web"));
}
