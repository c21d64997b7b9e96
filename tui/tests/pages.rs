//! The pages of a host beside overview and processes, and the lists over all hosts: pictures in the
//! states that matter, and what their keys ask.

mod sifting;

use crate::support::pictures::each;
use crate::support::{self, NOW_MS, Setup, World, host, id, some_hosts, some_processes};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::ports::{self, Protocol, Socket, State, Summary};
use cmdr_protocol::services::{self, Unit};
use cmdr_protocol::table::Change;
use cmdr_protocol::{CallError, HostId};
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::collections::HashSet;

async fn at_tab(setup: Setup, tab: &str) -> World {
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>").await;
    world.press(tab).await;
    world.calls();
    world
}

fn socket(
    inode: u64,
    protocol: Protocol,
    local: &str,
    port: u16,
    pid: u32,
    program: &str,
) -> Socket {
    Socket {
        inode,
        protocol,
        state: State::Listen,
        local: local.into(),
        port,
        user: if pid < 100 { "root" } else { "www" }.into(),
        pid,
        start: u64::from(pid) * 100,
        program: program.into(),
        command: format!("/usr/sbin/{program} -D"),
        holders: 1,
        ..Socket::default()
    }
}

fn some_sockets() -> Vec<Socket> {
    vec![
        socket(1, Protocol::Tcp, "0.0.0.0", 22, 40, "sshd"),
        socket(2, Protocol::Tcp6, "::", 22, 40, "sshd"),
        Socket { received: 3, ..socket(3, Protocol::Tcp, "127.0.0.1", 8080, 101, "nginx") },
        socket(4, Protocol::Udp, "0.0.0.0", 53, 50, "evil\u{1b}]0;owned\u{7}\u{202e}x"),
        socket(5, Protocol::Unix, "/run/名前 socket", 0, 103, "python3"),
        Socket { pid: 0, ..socket(6, Protocol::Tcp, "10.0.0.7", 9100, 0, "") },
    ]
}

fn change(put: Vec<Socket>, summary: Summary) -> ports::Change {
    let table = Change { reset: true, gone: Vec::new(), put };
    ports::Change { table, summary: Some(summary) }
}

const SUMMARY: Summary = Summary {
    listening: 4,
    bound: 1,
    unix: 1,
    established: 1204,
    time_wait: 88,
    close_wait: 7,
    other: 0,
    udp_connected: 2,
    hidden: 1,
    unread: 0,
};

async fn at_ports(setup: Setup) -> World {
    let mut world = at_tab(setup, "3").await;
    world.far.push::<ports::Watch>(Some(id(1)), &change(some_sockets(), SUMMARY));
    world.idle().await;
    world
}

#[tokio::test]
async fn ports_in_every_state() {
    for setup in each() {
        let mut world = at_tab(setup.clone(), "3").await;
        snap!("ports_waiting", world);
        world.far.push::<ports::Watch>(Some(id(1)), &change(Vec::new(), Summary::default()));
        world.idle().await;
        snap!("ports_none", world);
        let one = some_sockets().into_iter().take(1).collect();
        world.far.push::<ports::Watch>(Some(id(1)), &change(one, Summary::default()));
        world.idle().await;
        snap!("ports_one", world);
        let mut world = at_ports(setup.clone()).await;
        snap!("ports", world);
        world.press("/8080<enter><enter>").await;
        snap!("ports_detail", world);
        world.press("<esc><esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("ports_hub_lost", world);
        let mut world = at_tab(setup, "3").await;
        world.far.fail::<ports::Watch>(Some(id(1)), &CallError::denied("ports are off here"));
        world.idle().await;
        snap!("ports_denied", world);
    }
}

#[tokio::test]
async fn the_owner_of_a_port_is_signalled_after_a_question_and_gone_to() {
    let mut world = at_ports(Setup::default()).await;
    world.press("/8080<enter>x<enter>").await;
    world.check_shows("101  www  /usr/sbin/nginx -D");
    assert!(world.calls().is_empty());
    world.press("y").await;
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].method, calls[0].to), ("processes.signal", Some(id(1))));
    assert_eq!(calls[0].body, json!({ "pid": 101, "start": 10_100, "signal": 15 }));

    world.press("p").await;
    world.far.push::<cmdr_protocol::processes::Watch>(Some(id(1)), &some_processes());
    world.idle().await;
    world.press("<enter>").await;
    world.check_shows("nginx: worker process");
    world.press("<esc><esc>").await;
    world.check_shows("8080");
}

#[tokio::test]
async fn a_port_whose_owner_is_hidden_is_not_signalled() {
    let mut world = at_ports(Setup::default()).await;
    world.press("/9100<enter>x").await;
    world.check_shows("does not see whose");
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn connections_are_asked_for_and_again_after_a_while() {
    let mut world = at_ports(Setup::default()).await;
    world.far.answer(|asked| {
        let mut listing = ports::Listing { left_out: 900, summary: SUMMARY, ..Default::default() };
        listing.sockets = vec![Socket {
            state: State::Established,
            remote: "203.0.113.9".into(),
            remote_port: 51_000,
            ..socket(9, Protocol::Tcp, "10.0.0.7", 443, 101, "nginx")
        }];
        match asked.method {
            "ports.list" => Ok(serde_json::to_value(listing).expect("value")),
            _ => Ok(Value::Object(serde_json::Map::new())),
        }
    });
    world.press("c").await;
    let calls = world.calls();
    assert_eq!(calls.iter().map(|c| c.method).collect::<Vec<_>>(), ["ports.list"]);
    world.check_shows("203.0.113.9:51000");
    world.check_shows("900 more are not shown");
    world.later(2).await;
    assert!(world.calls().is_empty());
    world.later(4).await;
    assert_eq!(world.calls().len(), 1);
    world.press("c").await;
    world.check_shows("python3");
}

fn unit(name: &str, active: &str, sub: &str, enabled: &str) -> Unit {
    let running = sub == "running";
    Unit {
        name: name.into(),
        description: format!("About {name}"),
        load: "loaded".into(),
        active: active.into(),
        sub: sub.into(),
        enabled: enabled.into(),
        pid: if running { 812 } else { 0 },
        memory: running.then_some(14 << 20),
        since_s: NOW_MS / 1000 - 4000,
        ..Unit::default()
    }
}

fn some_units() -> Vec<Unit> {
    let ssh =
        Unit { protected: "ssh".into(), ..unit("ssh.service", "active", "running", "enabled") };
    let evil = Unit {
        description: "名前 \u{1b}]0;owned\u{7}\u{202e}x".into(),
        ..unit("evil.service", "activating", "auto-restart", "static")
    };
    vec![
        unit("nginx.service", "active", "running", "enabled"),
        unit("backup.service", "failed", "failed", "disabled"),
        unit("backup.timer", "active", "waiting", "enabled"),
        unit("old.service", "inactive", "dead", "masked"),
        ssh,
        evil,
    ]
}

async fn at_services(setup: Setup) -> World {
    let mut world = at_tab(setup, "4").await;
    push_units(&mut world, some_units()).await;
    world
}

async fn push_units(world: &mut World, put: Vec<Unit>) {
    let change = Change { reset: true, gone: Vec::new(), put };
    world.far.push::<services::Watch>(Some(id(1)), &change);
    world.idle().await;
}

#[tokio::test]
async fn the_logs_of_a_unit_are_one_key_away() {
    let mut world = at_services(Setup::default()).await;
    world.press("/nginx<enter>l").await;
    let followed = || {
        let asked = world.far.take_asked().into_iter();
        asked.filter(|a| a.method == "logs.follow").collect::<Vec<_>>()
    };
    let asked = followed();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].to, &asked[0].body["source"]),
        (Some(id(1)), &json!("unit:nginx.service"))
    );
    world.check_shows("nginx.service");
    // One comes back to the units, and what is marked is read together.
    world.press("<esc>").await;
    world.press("<esc>/backup<enter>*l").await;
    let asked = world.far.take_asked().into_iter();
    let mut sources: Vec<_> = asked
        .filter(|a| a.method == "logs.follow")
        .map(|a| a.body["source"].as_str().unwrap_or_default().to_owned())
        .collect();
    sources.sort_unstable();
    assert_eq!(sources, ["unit:backup.service", "unit:backup.timer"]);
}

const NO_SYSTEMD: &str = "this host has no systemd: its first process is 'runit', and only units of \
                          systemd can be shown and acted on";

#[tokio::test]
async fn services_in_every_state() {
    for setup in each() {
        let mut world = at_tab(setup.clone(), "4").await;
        push_units(&mut world, Vec::new()).await;
        snap!("services_none", world);
        push_units(&mut world, some_units().into_iter().take(1).collect()).await;
        snap!("services_one", world);
        let mut world = at_services(setup.clone()).await;
        snap!("services", world);
        world.press("f").await;
        snap!("services_failed", world);
        world.press("f/ssh<enter>x").await;
        snap!("services_protected", world);
        let mut world = at_tab(setup, "4").await;
        let error = CallError::not_found(NO_SYSTEMD);
        world.far.fail::<services::Watch>(Some(id(1)), &error);
        world.idle().await;
        snap!("services_no_systemd", world);
    }
}

#[tokio::test]
async fn a_unit_is_restarted_after_a_question_and_what_went_wrong_is_shown() {
    let mut world = at_services(Setup::default()).await;
    world.far.answer(|asked| match asked.method {
        "services.restart" => Ok(json!({
            "result": "failed",
            "unit": { "n": "nginx.service", "a": "failed", "s": "failed" },
            "lines": ["nginx: bad \u{1b}[2J configuration"],
        })),
        _ => Ok(json!({})),
    });
    world.press("/nginx<enter>R").await;
    world.check_shows("restart nginx.service on web1?");
    assert!(world.calls().is_empty());
    world.press("y").await;
    let calls = world.calls();
    assert_eq!((calls[0].method, calls[0].to), ("services.restart", Some(id(1))));
    assert_eq!(calls[0].body, json!({ "unit": "nginx.service" }));
    world.check_shows("nginx: bad ␛[2J configuration");
    world.press("<esc>").await;
    world.check_shows("failed");
}

#[tokio::test]
async fn what_one_reaches_the_host_by_is_stopped_only_with_its_name_typed() {
    let mut world = at_services(Setup::default()).await;
    world.far.answer(|_| Ok(json!({ "result": "done", "unit": { "a": "inactive" } })));
    world.press("/ssh<enter>x").await;
    world.check_shows("hangs on ssh.service");
    world.press("y<enter>").await;
    assert!(world.calls().is_empty());
    world.press("<backspace>ssh.service<enter>").await;
    assert_eq!(world.calls().iter().map(|c| c.method).collect::<Vec<_>>(), ["services.stop"]);
    // To start it harms nobody.
    world.press("s").await;
    world.check_shows("y goes on");
}

#[tokio::test]
async fn several_units_take_their_count() {
    let mut world = at_services(Setup::default()).await;
    world.far.answer(|_| Ok(json!({ "result": "done", "already": true })));
    // What means something harmless elsewhere asks nothing here.
    world.press("/backup<enter>*emc").await;
    world.check_hides("2 units");
    world.press("+").await;
    world.check_shows("2 units");
    world.press("2<enter>").await;
    assert_eq!(world.calls().len(), 2);
}

#[tokio::test]
async fn a_unit_that_was_seen_is_found_from_anywhere_and_gone_to() {
    let mut world = at_services(Setup::default()).await;
    world.press("<esc>C-pweb1 backup tim").await;
    world.check_shows("⚙ service");
    world.check_shows("backup.timer");
    world.press("<enter>").await;
    world.check_shows("UNIT");
    world.press("R").await;
    world.check_shows("restart backup.timer on web1?");
}

fn system_answers(asked: &Asked) -> Value {
    match asked.method {
        "system.mounts" => json!({ "rows": [
            { "mount": "/", "device": "/dev/sda1", "kind": "ext4", "options": "rw,relatime",
              "total": 100_u64 << 30, "free": 4_u64 << 30, "inodes": 1000, "inodes_free": 900 },
            { "mount": "/mnt/名前 disk", "device": "nas:/x\u{1b}[2J", "kind": "nfs4", "options": "ro",
              "read_only": true, "total": null, "free": null },
        ], "notes": ["/mnt/名前 disk does not answer"] }),
        "system.interfaces" => json!({ "rows": [
            { "name": "eth0", "state": "up", "addresses": ["10.0.0.7/24", "fe80::1/64"],
              "mac": "02:00:00:00:00:01", "mtu": 1500, "speed": 10_000, "received": 88_u64 << 30,
              "sent": 9_u64 << 30, "errors": 0, "drops": 12 },
            { "name": "wlan0", "state": "down", "addresses": [], "mac": "02:00:00:00:00:02" },
        ], "notes": [] }),
        "system.logins" => json!({ "rows": [
            { "user": "li", "terminal": "pts/0", "from": "203.0.113.9",
              "since_s": NOW_MS / 1000 - 900, "idle_s": 62, "pid": 9 },
        ], "notes": [] }),
        "system.packages" => match asked.body["skip"].as_u64() {
            Some(0) => json!({ "packages": [
                { "name": "bash", "version": "5.2-2", "arch": "amd64", "newer": "5.2-3",
                  "summary": "a shell" },
            ], "total": 2, "upgradable": 1, "manager": "dpkg", "notes": [] }),
            _ => json!({ "packages": [
                { "name": "zsh", "version": "5.9", "arch": "amd64", "summary": "another" },
            ], "total": 2, "upgradable": 1, "manager": "dpkg", "notes": [] }),
        },
        "system.jobs" => json!({ "rows": [
            { "kind": "cron", "when": "17 * * * *", "user": "root", "command": "run-parts /etc/cron.hourly",
              "source": "/etc/crontab" },
            { "kind": "timer", "when": "apt-daily.timer", "command": "apt-daily.service",
              "source": "apt-daily.timer", "next_s": NOW_MS / 1000 + 900, "last_s": NOW_MS / 1000 - 900 },
        ], "notes": [] }),
        "environment.list" => json!({ "rows": [
            { "name": "LANG", "value": "C.UTF-8", "source": "/etc/environment" },
            { "name": "API_TOKEN", "masked": true, "source": "/etc/environment" },
            { "source": "/etc/profile.d/x.sh" },
        ], "notes": [] }),
        "environment.values" => json!({ "rows": [
            { "name": "API_TOKEN", "value": "hunter2", "source": "/etc/environment" },
        ], "notes": [] }),
        _ => json!({}),
    }
}

async fn at_system(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(|asked| Ok(system_answers(asked)));
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>5").await;
    world
}

#[tokio::test]
async fn the_lists_of_the_system_page() {
    for setup in each() {
        let mut world = at_system(setup.clone()).await;
        snap!("system_mounts", world);
        world.press("]").await;
        snap!("system_interfaces", world);
        world.press("]").await;
        snap!("system_logins", world);
        world.press("]").await;
        snap!("system_packages", world);
        world.press("]").await;
        snap!("system_jobs", world);
        world.press("]").await;
        snap!("system_environment", world);
        let mut world = World::new(setup).await;
        world.far.answer(|_| Err(CallError::denied("the service 'system' is switched off here")));
        world.fleet(some_hosts()).await;
        world.press("/web1<enter><enter>5").await;
        snap!("system_denied", world);
    }
}

#[tokio::test]
async fn packages_come_in_pages_and_secrets_only_when_they_are_asked_for() {
    let mut world = at_system(Setup::default()).await;
    world.press("]]]").await;
    let asked: Vec<_> =
        world.calls().into_iter().filter(|c| c.method == "system.packages").collect();
    let skips: Vec<_> = asked.iter().map(|c| c.body["skip"].as_u64()).collect();
    assert_eq!(skips, [Some(0), Some(1)]);
    world.check_shows("zsh");
    world.press("u").await;
    world.check_hides("zsh");
    world.check_shows("5.2-3");
    world.press("]]").await;
    world.check_shows("struck out");
    world.check_hides("hunter2");
    world.press("s").await;
    world.check_shows("Passwords and keys may be among it.");
    world.check_hides("hunter2");
    world.press("y").await;
    world.check_shows("hunter2");
    assert!(world.calls().iter().any(|c| c.method == "environment.values"));
}

#[tokio::test]
async fn a_variable_is_set_and_taken_away_where_it_is_looked_at() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(|asked| {
        Ok(match asked.method {
            "environment.set" | "environment.unset" => json!({ "result": { "how": "saved" } }),
            _ => system_answers(asked),
        })
    });
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>5").await;
    world.press("x").await;
    assert!(world.calls().iter().all(|c| c.method != "environment.unset"));
    world.press("a").await;
    world.press("EDITOR=vim -f<enter>").await;
    let calls = world.calls();
    let set = calls.iter().find(|c| c.method == "environment.set").expect("it was asked for");
    assert_eq!((&set.body["name"], &set.body["value"]), (&json!("EDITOR"), &json!("vim -f")));
    world.press("/LANG<enter>x").await;
    world.check_shows("Take LANG away on web1?");
    world.press("y").await;
    let calls = world.calls();
    let unset = calls.iter().find(|c| c.method == "environment.unset").expect("it was asked for");
    assert_eq!(unset.body["name"], json!("LANG"));
}

fn fleet_answers(asked: &Asked) -> Result<Value, CallError> {
    let nth = u32::from(asked.to.map_or(0, |id| id.0[1]));
    if asked.to == Some(id(4)) {
        return Err(CallError::lost("the link of web4 was lost"));
    }
    let value = match asked.method {
        "ports.list" => serde_json::to_value(ports::Listing {
            sockets: vec![
                socket(1, Protocol::Tcp, "0.0.0.0", 22, 40, "sshd"),
                socket(2, Protocol::Tcp, "0.0.0.0", 8080, 100 + nth, "java"),
            ],
            sifted: true,
            ..ports::Listing::default()
        }),
        "processes.list" => serde_json::to_value(cmdr_protocol::processes::Listing {
            processes: vec![support::process(100 + nth, 1, "/usr/bin/java -jar x")],
            ..cmdr_protocol::processes::Listing::default()
        }),
        _ => Ok(json!({})),
    };
    Ok(value.expect("value"))
}

async fn at_fleet(setup: Setup, key: &str) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(fleet_answers);
    world.fleet(some_hosts()).await;
    world.press(key).await;
    world
}

#[tokio::test]
async fn lists_over_the_fleet() {
    for setup in each() {
        let mut world = at_fleet(setup.clone(), "W").await;
        snap!("fleet_ports", world);
        world.press("/8080<enter>*x<enter>").await;
        snap!("fleet_signal", world);
        let world = at_fleet(setup, "E").await;
        snap!("fleet_processes", world);
    }
}

#[tokio::test]
async fn who_listens_anywhere_is_found_and_signalled_with_every_target_shown_first() {
    let mut world = at_fleet(Setup::default(), "W").await;
    // Five of six that are online can tell; the sixth is named on request.
    world.check_shows("5 of 6 hosts have answered");
    world.check_shows("1 could not");
    let asked: Vec<HostId> = world.calls().iter().filter_map(|c| c.to).collect();
    assert_eq!(asked.len(), 6);
    world.press("/8080<enter>*x<enter>").await;
    world.check_shows("Send TERM to 5 processes on 5 hosts?");
    world.check_shows("web1  101  www  /usr/sbin/java -D");
    world.press("5<enter>").await;
    let calls = world.calls();
    assert_eq!(calls.iter().filter(|c| c.method == "processes.signal").count(), 5);
    assert_eq!(calls.iter().filter_map(|c| c.to).collect::<HashSet<_>>().len(), 5);
    // All are asked again after a while.
    world.later(5).await;
    assert!(world.calls().is_empty());
    world.later(20).await;
    assert_eq!(world.calls().len(), 6);
}

#[tokio::test]
async fn each_list_of_the_system_names_what_can_be_done_to_it_and_says_what_there_is_none_of() {
    let mut world = World::new(Setup { size: (120, 40), ..Setup::default() }).await;
    world.far.answer(|_| Ok(json!({ "rows": [], "notes": [] })));
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>5").await;
    world.idle().await;
    world.check_shows("Nothing is mounted here.");
    world.check_hides("upgradable");
    world.press("]]").await;
    world.idle().await;
    world.check_shows("Nobody is logged in.");
    // Past the hosts file, which is the last one.
    world.press("[[[[").await;
    world.idle().await;
    world.check_shows("No variable is set");
    world.check_shows("set a variable");
    world.check_hides("upgradable");
}
