//! Docker of one host and of many: what is followed, pictures in the states that matter, and what keys ask.

mod compose;
mod containers;
mod run;

use crate::support::pictures::each;
use crate::support::{Setup, World, id, some_hosts};
use cmdr_protocol::containers::{Container, Port, State, Watch};
use cmdr_protocol::table::Change;
use cmdr_protocol::{CallError, HostId};
use std::collections::BTreeMap;

pub(crate) const NONE: &str = "this host has no Docker engine: there is no socket /var/run/docker.sock; the runbook \
                               docker installs one";

pub(crate) async fn at_docker(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter>d").await;
    world.calls();
    world
}

pub(crate) fn container(n: u8, name: &str, state: State) -> Container {
    Container {
        id: format!("{n:02x}").repeat(32),
        name: name.into(),
        image: "nginx:1.27".into(),
        command: "nginx -g 'daemon off;'".into(),
        created_s: 1_700_000_000,
        state,
        since_s: 1_700_000_100,
        ..Container::default()
    }
}

pub(crate) fn some_containers() -> Vec<Container> {
    let port =
        Port { private: 80, protocol: "tcp".into(), address: "0.0.0.0".into(), public: 8080 };
    let label = ("com.docker.compose.project".to_owned(), "shop".to_owned());
    vec![
        Container {
            ports: vec![port],
            labels: BTreeMap::from([label]),
            health: "healthy".into(),
            ..container(1, "shop-web-1", State::Running)
        },
        Container { health: "unhealthy".into(), ..container(2, "api", State::Running) },
        Container { exit_code: Some(137), ..container(3, "worker", State::Exited) },
        container(4, "evil\u{1b}]0;owned\u{7}\u{202e}x", State::Paused),
        container(5, "名前", State::Created),
    ]
}

pub(crate) fn told(containers: Vec<Container>) -> Change<Container> {
    Change { reset: true, gone: Vec::new(), put: containers }
}

fn follows(world: &World) -> Vec<Option<HostId>> {
    let feeds = world.feeds();
    feeds
        .iter()
        .filter(|(_, method)| *method == "containers.watch")
        .map(|(host, _)| *host)
        .collect()
}

#[tokio::test]
async fn containers_in_every_state() {
    for setup in each() {
        let mut world = at_docker(setup.clone()).await;
        snap!("containers_waiting", world);
        world.far.push::<Watch>(Some(id(1)), &told(Vec::new()));
        world.idle().await;
        snap!("containers_none", world);
        world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
        world.idle().await;
        snap!("containers", world);
        world.lose().await;
        world.later(30).await;
        snap!("containers_hub_lost", world);
        let mut world = at_docker(setup).await;
        world.far.fail::<Watch>(Some(id(1)), &CallError::not_found(NONE));
        world.idle().await;
        snap!("docker_none", world);
    }
}

#[tokio::test]
async fn containers_of_the_whole_fleet_say_where_they_are_and_who_has_not_answered() {
    for setup in each() {
        let mut world = World::new(setup).await;
        world.fleet(some_hosts()).await;
        world.press("#").await;
        let followed = follows(&world);
        assert!(followed.len() > 1 && followed.contains(&Some(id(1))), "{followed:?}");
        world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
        let other = followed.iter().flatten().find(|host| **host != id(1)).copied();
        world.far.fail::<Watch>(other, &CallError::not_found(NONE));
        world.idle().await;
        snap!("fleet_containers", world);
    }
}

#[tokio::test]
async fn what_a_host_told_goes_when_its_engine_stops() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("#").await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.idle().await;
    world.check_shows("shop-web-1");
    world.check_shows("1 of 6 hosts have answered");
    world.far.fail::<Watch>(Some(id(1)), &CallError::not_found(NONE));
    world.idle().await;
    world.check_hides("shop-web-1");
    world.check_shows("0 of 6 hosts have answered · 1 without Docker");
}

#[tokio::test]
async fn only_hosts_that_were_marked_are_followed() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("*d").await;
    let chosen = follows(&world);
    assert!(chosen.len() > 1, "{chosen:?}");
    world.press("<esc>").await;
    assert_eq!(follows(&world), []);
}

#[tokio::test]
async fn a_container_is_stopped_on_its_own_host_by_its_id_once_that_was_agreed_to() {
    let mut world = at_docker(Setup::default()).await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.idle().await;
    world.press("/shop<enter>x").await;
    world.check_shows("stop shop-web-1 on web1?");
    assert_eq!(world.calls().len(), 0);
    world.press("y").await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method, calls[0].to), (1, "containers.stop", Some(id(1))));
    assert_eq!(calls[0].body["container"], "01".repeat(32));
}
