//! Forwards that are kept: pictures, what is asked of the hub, and bad input.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, some_hosts};
use cmdr_protocol::CallError;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::{
    Done, Forward, Kind, Listing, Password, Put, Row, Stand, Switch,
};
use cmdr_tui::link::fake::Asked;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn json(value: impl Serialize) -> Result<Value, CallError> {
    serde_json::to_value(value).map_err(|e| CallError::failed(e.to_string()))
}

fn row(name: &str, via: &str, round: u64) -> Row {
    let forward = Forward {
        name: name.into(),
        host: "edge1".into(),
        listen: "10.0.0.1:5432".into(),
        via: via.into(),
        to: Place::parse("127.0.0.1:5432").expect("a place"),
        note: "the shop's database".into(),
        ..Forward::default()
    };
    let stand = Stand {
        name: name.into(),
        revision: 2,
        listening: "10.0.0.1:5432".into(),
        open: 4,
        total: 1200,
        failed: 3,
        sent: 4_000_000 * round,
        received: 90_000_000 * round,
        last_error: "db1: connecting to 127.0.0.1:5432: connection refused\u{1b}[2J".into(),
        last_error_ms: NOW_MS - 60_000,
        direct: if via.is_empty() { 0 } else { 1100 },
        is_direct: !via.is_empty(),
        ..Stand::default()
    };
    let (revision, created_ms, by) = (2, NOW_MS - 86_400_000, "ann".to_owned());
    Row { forward, revision, created_ms, by, stand: Some(stand), ..Row::default() }
}

fn rows(round: u64) -> Vec<Row> {
    let with = |row: Row, stand: &dyn Fn(Stand) -> Stand| Row {
        stand: row.stand.clone().map(stand),
        ..row
    };
    let failing = with(row("mail", "", round), &|stand| Stand {
        problem: "cannot listen at 10.0.0.1:25: in use".into(),
        listening: String::new(),
        ..stand
    });
    let proxy = row("go", "", round);
    let to = Place::default();
    let forward = Forward { kind: Kind::Http, user: "ann".into(), to, ..proxy.forward };
    let proxy = Row { forward, ..proxy };
    vec![
        row("db", "db1", round),
        proxy,
        failing,
        Row { stand: None, ..row("new", "", round) },
        Row { stopped: true, ..row("old", "", round) },
        Row { away: true, ..row("vpn", "边缘-北京1", round) },
    ]
}

fn far() -> impl Fn(&Asked) -> Result<Value, CallError> + Send + Sync + 'static {
    let round = Arc::new(AtomicU64::new(0));
    move |asked| match asked.method {
        "forwards.list" => {
            json(Listing { forwards: rows(round.fetch_add(1, Ordering::Relaxed) + 1) })
        }
        "forwards.put" | "forwards.switch" | "forwards.stop" | "forwards.resume" => {
            json(Done { revision: 3, unchanged: false, away: asked.body["name"] == "vpn" })
        }
        _ => Ok(Value::Object(serde_json::Map::new())),
    }
}

async fn at_list(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(far());
    world.fleet(some_hosts()).await;
    world.press("|").await;
    world.later(3).await;
    world
}

fn bodies(world: &World, method: &str) -> Vec<Value> {
    let calls = world.calls().into_iter().filter(|asked| asked.method == method);
    calls.map(|asked| asked.body).collect()
}

#[tokio::test]
async fn the_list_in_every_state() {
    for setup in each() {
        let mut world = at_list(setup.clone()).await;
        snap!("forwards", world);
        world.press("<enter>").await;
        snap!("forwards_detail", world);
        world.press("<esc>a").await;
        snap!("forwards_new", world);
        world.press("<esc>d").await;
        snap!("forwards_cut", world);
        world.press("<esc>s").await;
        snap!("forwards_switch", world);
        world.press("<esc>").await;
        world.lose().await;
        snap!("forwards_hub_lost", world);
        let mut world = World::new(setup).await;
        world.far.answer(|asked| match asked.method {
            "forwards.list" => json(Listing::default()),
            _ => Ok(Value::Object(serde_json::Map::new())),
        });
        world.fleet(some_hosts()).await;
        world.press("|").await;
        snap!("forwards_none", world);
    }
}

#[tokio::test]
async fn how_each_stands_is_told_and_why_with_rates_between_two_answers() {
    let mut world = at_list(Setup { size: (160, 45), ..Setup::default() }).await;
    for text in ["listening", "failing", "waiting", "stopped", "host away", "cannot listen at"] {
        world.check_shows(text);
    }
    let screen = world.screen();
    let line = screen.lines().find(|line| line.contains(" db ")).expect("a line");
    assert!(line.contains("1.3M") && line.contains("28.6M"), "a second of three: {line}");
    world.press("<enter>").await;
    world.check_shows("connection refused");
    let screen = world.screen();
    assert!(!screen.contains('\u{1b}'), "{screen}");
}

#[tokio::test]
async fn one_is_stopped_resumed_cut_and_removed_after_a_question_and_those_of_hosts_away_say_so() {
    let mut world = at_list(Setup::default()).await;
    world.press("/db<enter>o").await;
    world.check_shows("those that are open go on");
    world.press("y").await;
    world.check_shows("db takes no more connections");
    world.press("d").await;
    world.check_shows("(4 open)");
    world.press("y").await;
    world.check_shows("the connections of db are cut");
    assert_eq!(bodies(&world, "forwards.stop").len(), 1);
    world.press("xY").await;
    assert_eq!(world.control.copied.last().map(String::as_str), Some("cmdr forward rm db"));
    assert!(bodies(&world, "forwards.delete").is_empty());
    world.press("y").await;
    assert_eq!(bodies(&world, "forwards.delete").len(), 1);
    world.press("<esc>/old<enter>o").await;
    world.check_shows("old takes connections again");
    world.press("<esc>/vpn<enter>oy").await;
    world.check_shows("its host is away and hears of it when it is back");
    assert_eq!(bodies(&world, "forwards.stop").len(), 1);
}

#[tokio::test]
async fn one_leads_elsewhere_on_its_host_or_through_another() {
    let mut world = at_list(Setup::default()).await;
    world.press("/db<enter>s").await;
    world.press("C-unowhere<enter>").await;
    world.check_shows("no place such as");
    world.press("C-udb2 10.0.0.7:5433<enter>").await;
    world.check_shows("db leads to 10.0.0.7:5433");
    let switch: Switch =
        serde_json::from_value(bodies(&world, "forwards.switch").remove(0)).expect("a switch");
    assert_eq!((switch.via.as_str(), switch.to.to_string()), ("db2", "10.0.0.7:5433".into()));
}

#[tokio::test]
async fn a_new_one_is_made_by_a_form_and_what_is_wrong_is_said_at_its_line() {
    let mut world = at_list(Setup::default()).await;
    world.press("adb<enter>").await;
    world.check_shows("there is a forward of this name");
    world.press("C-uweb<enter>").await;
    world.check_shows("needs a host that listens");
    world.press("edge1<tab>C-ucarrier<enter>").await;
    world.check_shows("the kinds of forwards are");
    world.press("C-utcp<tab>C-unone<enter>").await;
    world.check_shows("a port, or an address with one");
    world.press("C-u8080<enter>").await;
    world.check_shows("no place such as");
    world.press("web1 80<tab><tab><tab>the shop<enter>").await;
    let put: Put = serde_json::from_value(bodies(&world, "forwards.put").remove(0)).expect("one");
    let expected = Forward {
        name: "web".into(),
        host: "edge1".into(),
        listen: "127.0.0.1:8080".into(),
        via: "web1".into(),
        to: Place::parse("127.0.0.1:80").expect("a place"),
        note: "the shop".into(),
        ..Forward::default()
    };
    assert_eq!(put.0, expected);
    world.check_shows("the forward web is kept");
    world.press("/db<enter>e").await;
    world.check_shows("From now on it goes by");
    world.press("<tab><tab><tab><tab><tab><tab>C-uother<enter>").await;
    let put: Put = serde_json::from_value(bodies(&world, "forwards.put").remove(0)).expect("one");
    assert_eq!((put.0.via.as_str(), put.0.note.as_str()), ("db1", "other"));
}

#[tokio::test]
async fn what_the_hub_refuses_is_said_and_ten_thousand_forwards_are_shown() {
    let mut world = World::new(Setup { size: (160, 45), ..Setup::default() }).await;
    world.far.answer(|asked| match asked.method {
        "forwards.list" => {
            let forwards = (0..10_000).map(|n| row(&format!("f{n:05}"), "", 1)).collect();
            json(Listing { forwards })
        }
        "forwards.stop" => Err(CallError::denied("no grant of the role x has the verb\u{1b}[2J")),
        _ => Ok(Value::Object(serde_json::Map::new())),
    });
    world.fleet(some_hosts()).await;
    world.press("|").await;
    world.check_shows("10000 forwards");
    world.press("Goy").await;
    world.check_shows("f09999");
    world.check_shows("no grant of the role x has the verb");
    world.press("Y").await;
    assert_eq!(world.control.copied.last().map(String::as_str), Some("cmdr forward status f09999"));
}

#[tokio::test]
async fn proxies_and_ways_over_ssh_are_made_with_a_password_that_is_not_shown() {
    let mut world = at_list(Setup::default()).await;
    world.press("ago1<tab>edge1<tab>C-usocks5<tab>C-u1080<tab><tab>ann<tab>s3cret word").await;
    world.check_hides("s3cret");
    world.press("<enter>").await;
    world.press("avm<tab>edge1<tab>C-ussh-local<tab>C-u5433<tab>5432<tab>deploy<enter>").await;
    world.check_shows("no login such as");
    world.press("@10.0.0.5<enter>").await;
    let puts: Vec<Put> = bodies(&world, "forwards.put")
        .into_iter()
        .map(|body| serde_json::from_value(body).expect("one"))
        .collect();
    let Forward { kind, user, password, to, .. } = &puts[0].0;
    assert_eq!((*kind, user.as_str(), to.is_none()), (Kind::Socks5, "ann", true));
    assert_eq!(*password, Password("s3cret word".into()));
    let Forward { kind, ssh, to, .. } = &puts[1].0;
    assert_eq!((*kind, ssh.as_str()), (Kind::SshLocal, "deploy@10.0.0.5"));
    assert_eq!(to.to_string(), "127.0.0.1:5432");
    world.press("/go<enter>s").await;
    world.check_shows("its clients say where to");
}
