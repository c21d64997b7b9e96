//! Services of a real systemd, through the hub and an agent that runs in its own unit there; and of a
//! host that has none.

use cmdr_link::Client;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::role::Role;
use cmdr_protocol::services::{
    Disable, Done, Enable, List, Mask, Reload, ResetFailed, Restart, Show, Start, Stop, Unit,
    Unmask, Watch,
};
use cmdr_protocol::system::{Jobs, Logins, Mounts, Packages};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use harness::systemd::Host;
use harness::{World, until_some};
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(2);

async fn ask<C: Call>(client: &Client, host: HostId, call: C) -> Result<C::Reply, CallError> {
    client.call(Some(host), &call, PATIENCE).await
}

async fn done<C: Call<Reply = Done>>(client: &Client, host: HostId, call: C) -> Done {
    ask(client, host, call).await.unwrap()
}

const SLEEPER: &str = "[Unit]\nDescription=Sleeps \u{1b}[2J\n[Service]\n\
    ExecStart=/bin/sleep 1000\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
const BROKEN: &str = "[Service]\nType=oneshot\n\
    ExecStart=/bin/sh -c 'echo the disk is on fire; exit 3'\n";

fn named(unit: &str) -> String {
    unit.to_owned()
}

#[tokio::test]
async fn units_are_listed_watched_and_acted_on_and_their_failures_explained() {
    let world = World::start().await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let boot = move || {
        let host = Host::boot();
        host.unit("sleeper.service", SLEEPER);
        host.unit("broken.service", BROKEN);
        host.start_agent(&token, "inside");
        host
    };
    // Kept to the end: with it goes the container.
    let _host = tokio::task::spawn_blocking(boot).await.unwrap();
    let id = until_some("the agent inside is there", async || {
        let hosts = world.hub.fleet.hosts();
        let found = hosts.into_iter().find(|h| h.name == "inside" && h.state == HostState::Online);
        found.and_then(|host| host.id)
    })
    .await;
    let client = world.client(Role::OPERATOR).await;

    let listing = ask(&client, id, List::default()).await.unwrap();
    let find = |name: &str| listing.units.iter().find(|unit| unit.name == name).unwrap();
    let (agent, sleeper) = (find("cmdr-agentd.service"), find("sleeper.service"));
    assert_eq!((agent.active.as_str(), agent.protected.as_str()), ("active", "agent"));
    assert!(agent.pid > 0 && agent.since_s > 0, "{agent:?}");
    assert_eq!(find("dbus.service").protected, "bus");
    assert_eq!((sleeper.active.as_str(), sleeper.enabled.as_str()), ("inactive", "disabled"));

    let mut feed = client.feed(Some(id), &Watch {}).await.unwrap();
    let mut table: BTreeMap<String, Unit> = BTreeMap::new();
    let first = feed.next().await.unwrap().unwrap();
    assert!(first.reset);
    first.apply(&mut table);

    let started = done(&client, id, Start { unit: named("sleeper.service") }).await;
    assert_eq!((started.result.as_str(), started.unit.active.as_str()), ("done", "active"));
    let pid = started.unit.pid;
    assert!(pid > 0, "{started:?}");
    until_some("the change is told without being asked for", async || {
        feed.next().await.unwrap().unwrap().apply(&mut table);
        table
            .get("sleeper.service")
            .filter(|unit| unit.active == "active" && unit.pid == pid)
            .map(drop)
    })
    .await;

    let again = done(&client, id, Restart { unit: named("sleeper.service") }).await;
    assert!(again.is_ok() && again.unit.pid != pid, "{again:?}");
    assert!(done(&client, id, Reload { unit: named("sleeper.service") }).await.is_ok());
    let enabled = done(&client, id, Enable { unit: named("sleeper.service") }).await;
    assert_eq!((enabled.already, enabled.unit.enabled.as_str()), (false, "enabled"));
    assert!(done(&client, id, Enable { unit: named("sleeper.service") }).await.already);
    let disabled = done(&client, id, Disable { unit: named("sleeper.service") }).await;
    assert_eq!(disabled.unit.enabled, "disabled");
    let stopped = done(&client, id, Stop { unit: named("sleeper.service") }).await;
    assert_eq!((stopped.result.as_str(), stopped.unit.active.as_str()), ("done", "inactive"));

    let failed = done(&client, id, Start { unit: named("broken.service") }).await;
    assert_eq!((failed.result.as_str(), failed.unit.active.as_str()), ("failed", "failed"));
    assert!(failed.lines.iter().any(|line| line.contains("the disk is on fire")), "{failed:?}");
    let reset = done(&client, id, ResetFailed { unit: named("broken.service") }).await;
    assert_eq!(reset.unit.active, "inactive");

    // The file in /etc is in the way of a mask, and the manager's word for that is told.
    let error = ask(&client, id, Mask { unit: named("sleeper.service") }).await.unwrap_err();
    assert!(error.message.contains("the service manager says"), "{error}");
    let masked = done(&client, id, Mask { unit: named("cron.service") }).await;
    assert_eq!(masked.unit.enabled, "masked", "{masked:?}");
    let error = ask(&client, id, Restart { unit: named("cron.service") }).await.unwrap_err();
    assert!(error.message.contains("masked"), "{error}");
    assert!(done(&client, id, Unmask { unit: named("cron.service") }).await.is_ok());

    let shown = ask(&client, id, Show { unit: named("sleeper.service") }).await.unwrap();
    assert!(shown.files[0].text.contains("ExecStart=/bin/sleep 1000"), "{shown:?}");
    let error = ask(&client, id, Start { unit: named("nowhere.service") }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let error = ask(&client, id, Start { unit: named("../x.service") }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed, "{error}");

    let observer = world.client(Role::OBSERVER).await;
    let denied = ask(&observer, id, Stop { unit: named("cron.service") }).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);

    // What else there is on such a host.
    let jobs = ask(&client, id, Jobs {}).await.unwrap();
    assert!(jobs.rows.iter().any(|job| job.kind == "timer" && job.next_s.is_some()), "{jobs:?}");
    let packages = Packages { name: "systemd".into(), ..Packages::default() };
    let page = ask(&client, id, packages).await.unwrap();
    assert_eq!(page.manager, "dpkg");
    assert!(page.packages.iter().any(|p| p.name == "systemd" && !p.version.is_empty()));
    ask(&client, id, Logins {}).await.unwrap();
    let mounts = ask(&client, id, Mounts::default()).await.unwrap();
    assert!(mounts.rows.iter().any(|mount| mount.mount == "/"), "{mounts:?}");
}

#[tokio::test]
async fn a_host_without_systemd_says_so_plainly() {
    let world = World::start().await;
    let mut config = cmdr_agentd::agent::Config::new(world.path("bare"));
    config.run_root = world.path("no-run");
    let agent = world.agent_with("bare", config).await;
    let client = world.client(Role::OPERATOR).await;
    let error = ask(&client, agent.id, List::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.message.contains("no systemd: its first process is"), "{error}");
    let stop = Stop { unit: named("cron.service") };
    assert_eq!(ask(&client, agent.id, stop).await.unwrap_err().kind, ErrorKind::NotFound);
    let mut feed = client.feed(Some(agent.id), &Watch {}).await.unwrap();
    assert!(feed.next().await.unwrap().is_err());
}
