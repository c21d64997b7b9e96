//! What else there is on a host, through the hub; and who may see variables that look like secrets.

use cmdr_protocol::audit;
use cmdr_protocol::environment::{List, Values};
use cmdr_protocol::role::Role;
use cmdr_protocol::system::{Interfaces, Jobs, Logins, Mounts, Packages};
use cmdr_protocol::{Call, ErrorKind};
use harness::World;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn mounts_interfaces_logins_packages_and_jobs_of_this_machine_are_told() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    let to = Some(agent.id);
    let mounts = client.call(to, &Mounts { all: true }, PATIENCE).await.unwrap();
    assert!(mounts.rows.iter().any(|m| m.mount == "/" && m.total > Some(0)), "{mounts:?}");
    let interfaces = client.call(to, &Interfaces {}, PATIENCE).await.unwrap();
    let lo = interfaces.rows.iter().find(|i| i.name == "lo").unwrap();
    assert!(lo.addresses.iter().any(|a| a == "127.0.0.1/8"), "{lo:?}");
    client.call(to, &Logins {}, PATIENCE).await.unwrap();
    client.call(to, &Jobs {}, PATIENCE).await.unwrap();
    let packages = Packages { name: "tmux".into(), ..Packages::default() };
    let page = client.call(to, &packages, PATIENCE).await.unwrap();
    let tmux = page.packages.iter().find(|p| p.name == "tmux").unwrap();
    assert!(!tmux.version.is_empty() && tmux.summary.contains("multiplexer"), "{tmux:?}");
}

#[tokio::test]
async fn secrets_of_the_environment_need_the_right_and_are_in_the_audit_log() {
    let world = World::start().await;
    let etc = world.path("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("environment"), "LANG=C\nAPI_TOKEN=hunter2\n").unwrap();
    let mut config = cmdr_agentd::agent::Config::new(world.path("here"));
    config.etc_root = etc;
    let agent = world.agent_with("here", config).await;
    let observer = world.client(Role::OBSERVER).await;
    let found = observer.call(Some(agent.id), &List {}, PATIENCE).await.unwrap();
    let shown: Vec<_> = found.rows.iter().map(|v| (v.value.as_str(), v.masked)).collect();
    assert_eq!(shown, [("C", false), ("", true)]);
    let denied = observer.call(Some(agent.id), &Values {}, PATIENCE).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);

    let operator = world.client(Role::OPERATOR).await;
    let found = operator.call(Some(agent.id), &Values {}, PATIENCE).await.unwrap();
    assert!(found.rows.iter().any(|v| v.value == "hunter2"));
    let admin = world.client(Role::ADMINISTRATOR).await;
    let list = audit::List { limit: 100, ..audit::List::default() };
    let page = admin.call(None, &list, PATIENCE).await.unwrap();
    let looked = page.records.iter().filter(|record| record.method == Values::METHOD);
    let looked: Vec<_> = looked.collect();
    assert!(!looked.is_empty());
    assert!(!format!("{looked:?}").contains("hunter2"));
}
