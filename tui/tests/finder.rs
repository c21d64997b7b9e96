//! The finder over hosts whose pages were never looked at: they are asked for what is typed, in the background,
//! and what they tell comes below the cursor.

use crate::support::{self, Setup, World, host, id, some_hosts};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::{CallError, HostId, containers, ports, processes, services, sessions};
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::collections::HashSet;

/// One process, port, unit, container and session a host that fit, of hosts that sift.
fn answers(asked: &Asked) -> Result<Value, CallError> {
    let nth = u32::from(asked.to.map_or(0, |id| id.0[1]));
    if asked.to == Some(id(4)) {
        return Err(CallError::lost("the link of web4 was lost"));
    }
    let value = match asked.method {
        "processes.list" => serde_json::to_value(processes::Listing {
            processes: vec![support::process(700 + nth, 1, "/opt/zebra --idle")],
            sifted: true,
            ..processes::Listing::default()
        }),
        "ports.list" => serde_json::to_value(ports::Listing {
            sockets: vec![ports::Socket {
                inode: 5,
                protocol: ports::Protocol::Tcp,
                state: ports::State::Listen,
                local: "0.0.0.0".into(),
                port: 4711,
                program: "zebra".into(),
                pid: 700 + nth,
                ..ports::Socket::default()
            }],
            sifted: true,
            ..ports::Listing::default()
        }),
        "services.list" => serde_json::to_value(services::Listing {
            units: vec![services::Unit { name: "zebra.service".into(), ..Default::default() }],
            sifted: true,
            ..services::Listing::default()
        }),
        "containers.list" => serde_json::to_value(containers::Listing {
            containers: vec![containers::Container {
                id: "ab".repeat(32),
                name: "zebra-box".into(),
                image: "zoo:1".into(),
                ..containers::Container::default()
            }],
            sifted: true,
            ..containers::Listing::default()
        }),
        "sessions.list" => serde_json::to_value(sessions::Listing {
            sessions: vec![sessions::Session {
                id: format!("zebra{nth:05}"),
                command: vec!["zebra-shell".into()],
                ..sessions::Session::default()
            }],
        }),
        _ => Ok(json!({})),
    };
    Ok(value.expect("value"))
}

async fn finding(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(answers);
    world.fleet(some_hosts()).await;
    world.calls();
    world.press("C-p").await;
    world
}

/// Time goes by until this is on the screen.
async fn until(world: &mut World, text: &str) {
    let begin = std::time::Instant::now();
    while !world.screen().contains(text) {
        assert!(begin.elapsed().as_secs() < 30, "no {text:?} in\n{}", world.screen());
        tokio::task::yield_now().await;
        world.idle().await;
    }
}

fn asked(world: &World) -> Vec<(Option<HostId>, &'static str)> {
    world.calls().iter().map(|call| (call.to, call.method)).collect()
}

#[tokio::test]
async fn what_no_page_has_shown_is_found_on_every_host() {
    let mut world = finding(Setup::default()).await;
    assert!(asked(&world).is_empty());
    world.press("z").await;
    world.press("ebra").await;
    world.check_shows("Nothing fits.");
    until(&mut world, "5 of 6 hosts answered, 1 could not").await;
    let calls = asked(&world);
    assert_eq!(calls.len(), 6 * 5, "each host was asked once for each kind: {calls:?}");
    assert_eq!(calls.iter().collect::<HashSet<_>>().len(), 6 * 5);
    let found = [
        "web1 701 /opt/zebra --idle",
        "web2 4711 tcp",
        "web3 zebra.service",
        "db1 zebra-shell",
        "web2 zebra-box",
    ];
    for found in found {
        world.check_shows(found);
    }
    // Whoever has told everything is not asked for a part of it again; web4 is, for all.
    world.press(" 7").await;
    while asked(&world).iter().filter(|(to, _)| *to == Some(id(4))).count() == 0 {
        tokio::task::yield_now().await;
        world.idle().await;
    }
    until(&mut world, "5 of 6 hosts answered, 1 could not").await;
    assert!(asked(&world).is_empty());
    // Chosen, one stands there.
    world.press("C-uweb2 zebra.service").await;
    world.check_shows("web2 zebra.service");
    world.press("<enter>").await;
    world.check_shows("▸ web2");
}

#[tokio::test]
async fn a_container_that_no_page_has_shown_is_gone_to_on_its_host() {
    let mut world = finding(Setup::default()).await;
    world.press("zebra").await;
    until(&mut world, "5 of 6 hosts answered, 1 could not").await;
    world.press("C-uweb3 zebra-box").await;
    world.check_shows("web3 zebra-box other zoo:1");
    world.press("<enter>").await;
    world.check_shows("6 docker");
    let watched = world.feeds().contains(&(Some(id(3)), "containers.watch"));
    assert!(watched, "{:?}", world.feeds());
}

#[tokio::test]
async fn what_hosts_tell_comes_below_the_cursor_and_keys_are_not_waited_for() {
    let mut world = finding(Setup::default()).await;
    // Hosts answer later than one moves the cursor.
    world.press("we").await;
    world.press("<down><down>").await;
    let under_cursor = |world: &World| {
        let screen = world.screen();
        let line = screen.lines().find(|line| line.contains("│▌"));
        line.unwrap_or_else(|| panic!("no cursor in\n{screen}")).trim().to_owned()
    };
    let before = under_cursor(&world);
    until(&mut world, "5 of 6 hosts answered").await;
    world.idle().await;
    assert_eq!(under_cursor(&world), before);
    // Nobody is asked any more when it is closed.
    world.press("C-uother").await;
    world.press("<esc>").await;
    world.calls();
    world.later(30).await;
    assert!(asked(&world).is_empty());
}

#[tokio::test]
async fn agents_that_cannot_look_for_it_still_offer_what_they_have_and_some_may_not_be_asked() {
    let verbs = ["hosts.watch", "processes.list", "ports.list"].map(str::to_owned).to_vec();
    let role = cmdr_protocol::role::Role::OPERATOR;
    let mut world = finding(Setup { role, verbs: Some(verbs), ..Setup::default() }).await;
    world.far.answer(|asked| {
        let old = support::process(9, 1, "/opt/zebra --old");
        Ok(match asked.method {
            "processes.list" => json!({ "processes": [old] }),
            _ => json!({}),
        })
    });
    world.press("zebra").await;
    until(&mut world, "6 of 6 hosts answered, 6 have more").await;
    world.check_shows("web1 9 /opt/zebra --old");
    let calls = asked(&world);
    assert!(calls.iter().all(|(_, method)| ["processes.list", "ports.list"].contains(method)));
    // More letters may be told by them: they are asked again.
    world.press(" o").await;
    while asked(&world).is_empty() {
        tokio::task::yield_now().await;
        world.idle().await;
    }
}

#[tokio::test]
async fn a_thousand_hosts_are_asked_once_each_and_the_finder_goes_on() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(answers);
    let hosts = (100..1100).map(|n| host(n, &format!("node{n}"), HostState::Online)).collect();
    world.fleet(hosts).await;
    world.calls();
    world.press("C-pzebra").await;
    until(&mut world, "1000 of 1000 hosts answered").await;
    let calls = asked(&world);
    assert_eq!(calls.len(), 5000);
    assert_eq!(calls.iter().collect::<HashSet<_>>().len(), 5000);
    world.press(" node1099").await;
    until(&mut world, "node1099 zebra.service").await;
}
