//! Volumes of a real engine through the hub.

use crate::images::{agent, ask};
use cmdr_protocol::ErrorKind;
use cmdr_protocol::files::{Archive, Counted, FilePath, Packed, Unpack};
use cmdr_protocol::role::Role;
use cmdr_protocol::volumes::{Create, CreateSpecial, Inspect, List, Remove, Volume, Watch};
use harness::engine::{Engine, IMAGE};
use harness::{World, until_some};
use std::collections::BTreeMap;

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("team".to_owned(), "a".to_owned())])
}

#[tokio::test]
async fn volumes_are_made_measured_used_and_removed() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("data");
    let create = Create { volume: name.to_string(), labels: labels() };
    let made = ask(&client, agent.id, create.clone()).await.unwrap();
    let lies = engine.docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", name.as_str()]);
    assert_eq!((made.driver.as_str(), made.mountpoint.as_str()), ("local", lies.as_str()));
    let error = ask(&client, agent.id, create).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");

    let mount = format!("{name}:/data");
    let write = "head -c 5000 /dev/zero > /data/f";
    let run = ["run", "--rm", "--network", "none", "-v", &mount, IMAGE, "sh", "-c", write];
    engine.docker(&run);
    let create = ["create", "--network", "none", "--name", name.as_str(), "-v", &mount, IMAGE];
    engine.docker(&[&create[..], &["true"]].concat());
    let listing = ask(&client, agent.id, List { sizes: true }).await.unwrap();
    let volume = listing.volumes.iter().find(|v| v.name == name.as_str()).unwrap();
    assert!(volume.size.is_some_and(|size| size >= 5000), "{volume:?}");
    assert_eq!((&volume.labels, &volume.used_by), (&labels(), &vec![name.to_string()]));
    assert!(!volume.created.is_empty() && volume.scope == "local", "{volume:?}");
    let shown = ask(&client, agent.id, Inspect { volume: name.to_string() }).await.unwrap();
    assert!(shown.json.contains(&lies), "{shown:?}");

    let remove = Remove { volume: name.to_string(), force: false };
    let error = ask(&client, agent.id, remove.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    engine.docker(&["rm", name.as_str()]);
    ask(&client, agent.id, remove.clone()).await.unwrap();
    assert_eq!(ask(&client, agent.id, remove).await.unwrap_err().kind, ErrorKind::NotFound);
    let bad = Remove { volume: "../containers/x".into(), force: true };
    assert_eq!(ask(&client, agent.id, bad).await.unwrap_err().kind, ErrorKind::Malformed);
}

#[tokio::test]
async fn a_volume_that_may_be_any_folder_of_the_host_takes_a_right_of_its_own() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let name = engine.name("special");
    let option = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let special = CreateSpecial {
        volume: name.to_string(),
        options: BTreeMap::from([
            option("type", "tmpfs"),
            option("device", "tmpfs"),
            option("o", "size=1m,password=canary"),
        ]),
        ..CreateSpecial::default()
    };
    let operator = world.client(Role::OPERATOR).await;
    let error = ask(&operator, agent.id, special.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let admin = world.client(Role::ADMINISTRATOR).await;
    let made = ask(&admin, agent.id, special).await.unwrap();
    assert_eq!(made.options["o"], "size=1m,password=***");
    let listing = ask(&operator, agent.id, List::default()).await.unwrap();
    let volume = listing.volumes.iter().find(|v| v.name == name.as_str()).unwrap();
    assert_eq!((volume.options["o"].as_str(), volume.size), ("size=1m,password=***", None));
    let shown = ask(&operator, agent.id, Inspect { volume: name.to_string() }).await.unwrap();
    assert!(!shown.json.contains("canary"), "{shown:?}");
    let unknown = CreateSpecial {
        volume: format!("{name}-2"),
        driver: "no-such-plugin".into(),
        ..CreateSpecial::default()
    };
    let error = ask(&admin, agent.id, unknown).await.unwrap_err();
    assert!(error.message.contains("the Docker engine says"), "{error}");
}

#[tokio::test]
async fn what_is_in_a_volume_goes_into_an_archive_and_back_with_its_owners() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("kept");
    let create = Create { volume: name.to_string(), ..Create::default() };
    let at =
        FilePath::parse(&ask(&client, agent.id, create.clone()).await.unwrap().mountpoint).unwrap();
    let mount = format!("{name}:/d");
    let shell = |words: &str| {
        engine.docker(&["run", "--rm", "--network", "none", "-v", &mount, IMAGE, "sh", "-c", words])
    };
    shell(
        "mkdir /d/a; echo kept > /d/a/f; ln -s f /d/a/l; chmod 640 /d/a/f; chown -hR 1234:77 /d/a",
    );
    let look = "cd /d; stat -c '%n %u %g %a' a a/f a/l; cat a/l";
    let before = shell(look);
    assert!(before.contains("a/f 1234 77 640"), "{before}");
    let mut feed = client.feed(Some(agent.id), &Archive { path: at.clone() }).await.unwrap();
    let mut archive = Vec::new();
    while let Some(item) = feed.next().await {
        archive.extend(item.unwrap().data);
    }
    ask(&client, agent.id, Remove { volume: name.to_string(), force: false }).await.unwrap();
    ask(&client, agent.id, create).await.unwrap();
    let unpack = Unpack { path: at, owners: true, ..Unpack::default() };
    let (mut items, mut inputs) = client.feed(Some(agent.id), &unpack).await.unwrap().split();
    inputs.send(&Packed { data: archive, packed: None }).await.unwrap();
    inputs.send(&Packed { packed: Some(Counted::default()), ..Packed::default() }).await.unwrap();
    let done = loop {
        if let Some(done) = items.next().await.unwrap().unwrap().done {
            break done;
        }
    };
    assert_eq!((done.entries, done.skipped), (3, 0), "{done:?}");
    assert_eq!(shell(look), before);
}

#[tokio::test]
async fn volumes_that_come_and_go_are_told() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OBSERVER).await;
    let name = engine.name("watched");
    let mut feed = client.feed(Some(agent.id), &Watch {}).await.unwrap();
    let mut table: BTreeMap<String, Volume> = BTreeMap::new();
    feed.next().await.unwrap().unwrap().apply(&mut table);
    for (act, there) in [("create", true), ("rm", false)] {
        engine.docker(&["volume", act, name.as_str()]);
        until_some(&format!("{act} is told"), async || {
            if table.contains_key(name.as_str()) == there {
                return Some(());
            }
            feed.next().await.unwrap().unwrap().apply(&mut table);
            None
        })
        .await;
    }
}
