//! The pages of a host beside overview and processes, and the lists over all hosts: pictures in the
//! states that matter, and what their keys ask.

mod support;

use cmdr_protocol::ports::{self, Protocol, Socket, State, Summary};
use cmdr_protocol::table::Change;
use cmdr_protocol::{CallError, HostId};
use cmdr_tui::i18n::Lang;
use serde_json::{Value, json};
use support::{NOW_MS, Setup, World, host, id, some_hosts, some_processes};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (60, 18)];

fn snap(name: &str, world: &World) {
    let size = world.terminal.backend().buffer().area;
    insta::assert_snapshot!(format!("{name}@{}x{}", size.width, size.height), world.screen());
}

fn setup(size: (u16, u16), lang: Lang) -> Setup {
    Setup { size, lang, ..Setup::default() }
}

/// Both languages at every size, with the beginning of the picture's name.
fn each() -> impl Iterator<Item = (&'static str, Setup)> {
    [("", Lang::En), ("zh_", Lang::Zh)]
        .into_iter()
        .flat_map(|(name, lang)| SIZES.map(|size| (name, setup(size, lang))))
}

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
    for (lang, setup) in each() {
        let mut world = at_tab(setup.clone(), "3").await;
        snap(&format!("{lang}ports_waiting"), &world);
        world.far.push::<ports::Watch>(Some(id(1)), &change(Vec::new(), Summary::default()));
        world.idle().await;
        snap(&format!("{lang}ports_none"), &world);
        let one = some_sockets().into_iter().take(1).collect();
        world.far.push::<ports::Watch>(Some(id(1)), &change(one, Summary::default()));
        world.idle().await;
        snap(&format!("{lang}ports_one"), &world);
        let mut world = at_ports(setup.clone()).await;
        snap(&format!("{lang}ports"), &world);
        world.press("/8080<enter><enter>").await;
        snap(&format!("{lang}ports_detail"), &world);
        world.press("<esc><esc>").await;
        world.lose().await;
        world.later(30).await;
        snap(&format!("{lang}ports_hub_lost"), &world);
        let mut world = at_tab(setup, "3").await;
        world.far.fail::<ports::Watch>(Some(id(1)), &CallError::denied("ports are off here"));
        world.idle().await;
        snap(&format!("{lang}ports_denied"), &world);
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
