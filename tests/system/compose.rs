//! Compose projects through the hub, with a real engine and this machine's own compose program: kept in versions, brought
//! up on hosts, compared with what is there, stopped and taken away.

use crate::images::{agent, ask};
use cmdr_link::Client;
use cmdr_protocol::compose::kept::{Delete, Deploy, List, Plan, Restore, Save, Show, Versions};
use cmdr_protocol::compose::{
    Check, Down, Look, Looked, Progress, Pull, Stop, Up, UpPrivileged, Will,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::secrets::Rotate;
use cmdr_protocol::{Call, CallError, ErrorKind, Feed, HostId};
use harness::World;
use harness::engine::{Engine, IMAGE, Name};
use std::time::Duration;

/// A service that waits, and is gone at once when it is stopped.
pub(crate) fn service(name: &str, more: &str) -> String {
    format!(
        "  {name}:\n    image: {IMAGE}\n    command: [sleep, '86400']\n    init: true\n    network_mode: none\n{more}"
    )
}

pub(crate) fn file(services: &[String]) -> String {
    format!("version: '3.8'\nservices:\n{}", services.concat())
}

pub(crate) async fn hub<C: Call>(client: &Client, call: C) -> Result<C::Reply, CallError> {
    client.call(None, &call, Duration::from_mins(1)).await
}

/// Follows a feed to its end: what was said, and what there is then.
pub(crate) async fn to_end<F: Feed<Item = Progress>>(
    client: &Client,
    to: Option<HostId>,
    order: F,
) -> Result<(Vec<String>, Looked), CallError> {
    let mut feed = client.feed(to, &order).await?;
    let mut lines = Vec::new();
    while let Some(item) = feed.next().await {
        let item = item?;
        lines.extend(item.lines);
        if let Some(looked) = item.done {
            return Ok((lines, looked));
        }
    }
    panic!("it ended half-way: {lines:?}");
}

pub(crate) fn deploy(host: HostId, name: &Name) -> Deploy {
    Deploy {
        host,
        name: name.to_string(),
        version: None,
        pull: Pull::Never,
        recreate: false,
        keep_orphans: false,
    }
}

pub(crate) fn save(name: &Name, text: &str) -> Save {
    Save { name: name.to_string(), text: text.to_owned(), ..Save::default() }
}

pub(crate) fn plan(host: HostId, name: &Name) -> Plan {
    Plan { host, name: name.to_string(), version: None }
}

pub(crate) fn look(name: &Name) -> Look {
    Look { project: name.to_string() }
}

/// What would be done with each service, in a word.
pub(crate) fn will(looked: &Looked) -> Vec<(&str, Will)> {
    looked.services.iter().map(|service| (service.name.as_str(), service.will)).collect()
}

fn ids(looked: &Looked) -> Vec<String> {
    let members = looked.services.iter().flat_map(|service| &service.containers);
    members.map(|member| member.id.clone()).collect()
}

#[tokio::test]
async fn a_project_is_brought_up_compared_updated_stopped_and_taken_away() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let operator = world.client(Role::OPERATOR).await;
    let name = engine.name("project");
    let first = file(&[service("web", ""), service("db", "")]);
    assert_eq!(hub(&admin, save(&name, &first)).await.unwrap().version, 1);

    let planned = hub(&operator, plan(here.id, &name)).await.unwrap();
    assert_eq!(will(&planned), [("db", Will::Create), ("web", Will::Create)]);
    assert!(planned.powers.is_empty() && planned.version == 0, "{planned:?}");
    let nothing = ask(&operator, here.id, look(&name)).await.unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::NotFound, "{nothing}");

    let (lines, up) = to_end(&operator, None, deploy(here.id, &name)).await.unwrap();
    assert!(lines.iter().any(|line| line.contains("web")), "{lines:?}");
    assert_eq!(will(&up), [("db", Will::Leave), ("web", Will::Leave)]);
    assert!(up.version == 1 && up.program.contains("compose") && up.drifted() == 0, "{up:?}");
    let looked = ask(&operator, here.id, look(&name)).await.unwrap();
    assert_eq!((ids(&looked), looked.version), (ids(&up), 1));

    // Once more changes nothing.
    let (_, again) = to_end(&operator, None, deploy(here.id, &name)).await.unwrap();
    assert_eq!(ids(&again), ids(&up));

    // Somebody takes a container away by hand: that is seen, and mended.
    let db = up.services[0].containers[0].id.clone();
    engine.docker(&["rm", "-f", &db]);
    let looked = ask(&operator, here.id, look(&name)).await.unwrap();
    assert_eq!(will(&looked), [("db", Will::Create), ("web", Will::Leave)]);
    assert_eq!(looked.drifted(), 1);
    let again = Up { project: name.to_string(), ..Up::default() };
    let (_, mended) = to_end(&operator, Some(here.id), again).await.unwrap();
    assert!(mended.drifted() == 0 && ids(&mended)[1] == ids(&up)[1], "{mended:?}");

    // Only what changed is made anew; what the file has not any more goes.
    let second = file(&[service("web", "    environment: {A: b}\n"), service("job", "")]);
    assert_eq!(hub(&admin, save(&name, &second)).await.unwrap().version, 2);
    let planned = hub(&operator, plan(here.id, &name)).await.unwrap();
    assert_eq!(
        will(&planned),
        [("job", Will::Create), ("web", Will::Recreate), ("db", Will::Remove)]
    );
    assert_eq!(planned.version, 1, "the host has the first one: {planned:?}");
    assert_eq!(ask(&operator, here.id, look(&name)).await.unwrap().drifted(), 0);
    let keeping = file(&[service("web", "    environment: {A: b}\n"), service("db", "")]);
    hub(&admin, save(&name, &keeping)).await.unwrap();
    let (_, updated) = to_end(&operator, None, deploy(here.id, &name)).await.unwrap();
    assert_eq!(ids(&updated)[0], ids(&mended)[0], "db was left as it was");
    assert_ne!(ids(&updated)[1], ids(&mended)[1], "web was made anew");
    let (_, up) = to_end(&operator, None, Deploy { version: Some(2), ..deploy(here.id, &name) })
        .await
        .unwrap();
    assert_eq!(will(&up), [("job", Will::Leave), ("web", Will::Leave)]);

    let stop = Stop { project: name.to_string(), timeout_s: Some(1) };
    let (_, stopped) = to_end(&operator, Some(here.id), stop).await.unwrap();
    assert!(stopped.services.iter().all(|s| s.will == Will::Start), "{stopped:?}");
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&operator, Some(here.id), down).await.unwrap();
    let filter = format!("label=com.docker.compose.project={name}");
    assert_eq!(engine.docker(&["ps", "-aq", "--filter", &filter]), "");
    let gone = ask(&operator, here.id, look(&name)).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound, "{gone}");
    assert!(!world.path("here").join("compose").join(name.as_str()).exists());
}

#[tokio::test]
async fn files_are_kept_in_versions_and_variables_are_told_to_nobody() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let (admin, operator) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    let name = engine.name("kept");
    let text = file(&[service("web", "    labels: {secret: '${SECRET}'}\n    env_file: .env\n")]);
    let with = |value: &str| Save {
        variables: Some(format!("SECRET={value}\n")),
        hosts: Some("role=web".into()),
        ..save(&name, &text)
    };
    assert_eq!(hub(&operator, with("x")).await.unwrap_err().kind, ErrorKind::Denied);
    let saved = |version| (version, false);
    let one = hub(&admin, with("canary-one")).await.unwrap();
    assert_eq!((one.version, one.unchanged), saved(1));
    let same = hub(&admin, with("canary-one")).await.unwrap();
    assert_eq!((same.version, same.unchanged), (1, true));
    // Another value is another version, although the file is the same.
    assert_eq!(hub(&admin, with("canary-two")).await.unwrap().version, 2);
    let late = Save { was: Some(1), ..with("canary-three") };
    assert_eq!(hub(&admin, late).await.unwrap_err().kind, ErrorKind::Conflict);

    let shown = hub(&operator, Show { name: name.to_string(), version: None }).await.unwrap();
    assert_eq!((shown.text.as_str(), shown.variables), (text.as_str(), vec!["SECRET".to_owned()]));
    assert_eq!((shown.project.hosts.as_str(), shown.project.version), ("role=web", 2));
    let listed = hub(&operator, List {}).await.unwrap().projects;
    assert_eq!(listed, [shown.project]);

    // What is not said stays as it was.
    let changed = text.replace("86400", "86401");
    assert_eq!(hub(&admin, save(&name, &changed)).await.unwrap().version, 3);
    let (_, up) = to_end(&operator, None, deploy(here.id, &name)).await.unwrap();
    let of = |looked: &Looked| {
        let id = looked.services[0].containers[0].id.clone();
        engine.docker(&["inspect", "-f", "{{.Config.Labels.secret}} {{.Config.Env}}", &id])
    };
    assert!(of(&up).starts_with("canary-two [SECRET=canary-two"), "{}", of(&up));
    let back = Restore { name: name.to_string(), version: 1 };
    assert_eq!(hub(&operator, back.clone()).await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(hub(&admin, back).await.unwrap().version, 4);
    let (_, up) = to_end(&operator, None, deploy(here.id, &name)).await.unwrap();
    assert!(of(&up).starts_with("canary-one"), "{}", of(&up));

    let versions = hub(&operator, Versions { name: name.to_string() }).await.unwrap().versions;
    let told: Vec<_> = versions.iter().map(|v| (v.version, v.note.as_str())).collect();
    assert_eq!(told, [(4, "version 1 again"), (3, ""), (2, ""), (1, "")]);
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&operator, Some(here.id), down).await.unwrap();
    hub(&admin, Delete { name: name.to_string() }).await.unwrap();
    let gone = hub(&operator, Show { name: name.to_string(), version: None }).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert!(gone.message.contains("cmdr docker compose ls"), "{gone}");
    for word in [b"canary-one", b"canary-two"] {
        assert!(!crate::registries::holds(world.data(), word), "it stands somewhere in clear");
    }
}

#[tokio::test]
async fn a_compose_file_is_no_way_around_the_rights_of_containers() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let (admin, operator) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    let name = engine.name("mighty");
    let more = "    pid: host\n    volumes: ['/etc:/host:ro']\n";
    hub(&admin, save(&name, &file(&[service("web", more)]))).await.unwrap();
    let planned = hub(&operator, plan(here.id, &name)).await.unwrap();
    assert_eq!(planned.powers, ["mount:/etc", "namespace:pid"]);
    let denied = to_end(&operator, None, deploy(here.id, &name)).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    assert!(denied.message.contains("compose.up-privileged"), "{denied}");
    let filter = format!("label=com.docker.compose.project={name}");
    assert_eq!(engine.docker(&["ps", "-aq", "--filter", &filter]), "");

    let (_, up) = to_end(&admin, None, deploy(here.id, &name)).await.unwrap();
    assert_eq!(will(&up), [("web", Will::Leave)]);
    assert_eq!(up.powers, planned.powers);
    // What lies there is judged as well, by what it is and not by what is said of it.
    let up = Up { project: name.to_string(), ..Up::default() };
    let denied = to_end(&operator, Some(here.id), up.clone()).await.unwrap_err();
    assert!(
        denied.kind == ErrorKind::Denied && denied.message.contains("namespace:pid"),
        "{denied}"
    );
    let hidden = UpPrivileged { up: up.clone(), powers: vec!["namespace:pid".into()] };
    let denied = to_end(&admin, Some(here.id), hidden).await.unwrap_err();
    assert!(denied.message.contains("'mount:/etc' would be given"), "{denied}");
    let named = UpPrivileged { up, powers: vec!["mount:/etc".into(), "namespace:pid".into()] };
    to_end(&admin, Some(here.id), named).await.unwrap();

    // Files of the host are not read for it, and nothing is built there.
    for (bad, kind) in [
        ("    env_file: /etc/passwd\n", ErrorKind::Denied),
        ("    extends: {file: /etc/passwd, service: x}\n", ErrorKind::Denied),
        ("    build: {context: /etc}\n", ErrorKind::Malformed),
    ] {
        let check = Check {
            project: name.to_string(),
            text: file(&[service("web", bad)]),
            ..Check::default()
        };
        let error = ask(&operator, here.id, check).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.message.contains("root:"), "{error}");
    }
    let observer = world.client(Role::OBSERVER).await;
    for denied in [
        to_end(&observer, None, deploy(here.id, &name)).await.unwrap_err(),
        ask(&observer, here.id, Check::default()).await.unwrap_err(),
    ] {
        assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    }
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&operator, Some(here.id), down).await.unwrap();
}

#[tokio::test]
async fn what_the_hub_keeps_is_there_after_it_was_started_anew_and_its_keys_were_changed() {
    let (engine, world) = (Engine::up(), World::start().await);
    let admin = world.client(Role::ADMINISTRATOR).await;
    let name = engine.name("again");
    let text = file(&[service("web", "    labels: {secret: '${SECRET}'}\n")]);
    let with = Save { variables: Some("SECRET=canary\n".into()), ..save(&name, &text) };
    hub(&admin, with).await.unwrap();
    let mut rotating = admin.feed(None, &Rotate::default()).await.unwrap();
    while let Some(item) = rotating.next().await {
        item.unwrap();
    }
    drop((rotating, admin));
    let world = world.restart().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let shown = hub(&admin, Show { name: name.to_string(), version: Some(1) }).await.unwrap();
    assert_eq!((shown.text, shown.variables), (text, vec!["SECRET".to_owned()]));
    let here = agent(&world, "here", engine.socket()).await;
    let (_, up) = to_end(&admin, None, deploy(here.id, &name)).await.unwrap();
    let id = &up.services[0].containers[0].id;
    let label = engine.docker(&["inspect", "-f", "{{.Config.Labels.secret}}", id]);
    assert_eq!(label, "canary");
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&admin, Some(here.id), down).await.unwrap();
}
