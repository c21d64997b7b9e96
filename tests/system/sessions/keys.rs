//! Keys that stop what a session runs: in a flood, and wherever the agent was started.

use super::{Seat, sh};
use cmdr_agentd::agent;
use cmdr_protocol::exec::Outcome;
use cmdr_protocol::role::Role;
use cmdr_protocol::sessions::Input;
use harness::World;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_key_stops_a_flood() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut seat =
        Seat::take(&ann, agent.id, sh("trap : INT; yes; echo stopped; read x")).await.unwrap();
    seat.send(Input { window: Some(16 * 1024), ..Input::default() }).await;
    for _ in 0..200 {
        assert!(seat.next().await.unwrap());
    }
    let (pressed, before) = (Instant::now(), seat.taken);
    seat.types("\x03").await;
    seat.seen.clear();
    seat.until("stopped").await;
    assert!(pressed.elapsed() < Duration::from_secs(5), "{:?}", pressed.elapsed());
    let after = seat.taken - before;
    assert!(after < 2_000_000, "{after} bytes came after the key");
}

#[tokio::test]
async fn keys_work_in_a_session_of_an_agent_that_was_started_where_they_are_ignored() {
    let world = World::start().await;
    let mut config = agent::Config::new(world.path("here"));
    // As a script does that starts it with `nohup` and `&`.
    let script = world.path("deaf");
    let agentd = harness::process::program("cmdr-agentd");
    let text = format!("#!/bin/sh\ntrap '' HUP INT QUIT\nexec {} \"$@\"\n", agentd.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    config.supervisor = script;
    let agent = world.agent_with("here", config).await;
    let ann = world.client(Role::OPERATOR).await;
    let mut seat =
        Seat::take(&ann, agent.id, sh("echo go; sleep 600; echo st''ill")).await.unwrap();
    seat.until("go").await;
    seat.types("\x03").await;
    let exit = seat.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Signalled, 2), "{}", seat.text());
}
