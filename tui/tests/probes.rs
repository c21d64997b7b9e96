//! The status board of probes: pictures, what it asks, what can be done there, and bad input.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::history::{Answer, Line, Query};
use cmdr_protocol::probes::{
    Checked, Happening, List, Listing, MAX_PROBES, Measured, NOT_KNOWN, Phases, Row, Save, Seen,
    Shown, Stands, State, Tried, Verdict,
};
use cmdr_protocol::runbooks::{Problem, Saved};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::link::fake::Asked;
use serde_json::Value;
use std::sync::{Arc, Mutex};

const TEXT: &str =
    "name: shop\n# the front page\nhttp:\n  url: https://shop.example/\nevery: 30s\n";
const DAY: u64 = 86_400_000;

fn row(name: &str, state: State) -> Row {
    let down = state == State::Down;
    Row {
        name: name.into(),
        description: "the front page".into(),
        kind: "http".into(),
        target: format!("https://{name}.example/"),
        every_ms: 30_000,
        version: 3,
        state,
        since_ms: NOW_MS - 3 * 3_600_000,
        why: if down { "2 of 2 agents say it is down: 503\u{1b}[2J".into() } else { String::new() },
        answering: 2,
        against: if down { 2 } else { 0 },
        agents: 2,
        took_us: (!down).then_some(18_400),
        certificate_ends_ms: Some(NOW_MS + 12 * DAY),
        uptime: [Some(if down { 871 } else { 1000 }), Some(993), None],
        ..Row::default()
    }
}

fn rows(list: &List) -> Vec<Row> {
    let blocks = |row: Row| {
        let part = |n: u32| match n {
            0..4 => NOT_KNOWN,
            20 => 0,
            21 => 400,
            22 => 950,
            _ => 1000,
        };
        Row { blocks: (0..list.blocks).map(part).collect(), ..row }
    };
    let paused = Row { off: true, state: State::Unknown, ..row("later", State::Unknown) };
    let broken = Row { problem: "2:1: unknown key `ping`".into(), ..row("old", State::Unknown) };
    let rows = vec![
        row("dns", State::Up),
        row("db", State::Degraded),
        paused,
        broken,
        row("shop", State::Down),
        row("vpn", State::Unknown),
    ];
    rows.into_iter().map(blocks).collect()
}

fn seen(n: u16, name: &str, verdict: Verdict) -> Seen {
    let why = if verdict == Verdict::Down { "status 503, not 200-299" } else { "200" };
    let phases = Phases {
        connect_us: Some(900),
        tls_us: Some(8000),
        first_us: Some(9100),
        ..Phases::default()
    };
    let measured = Measured {
        verdict,
        why: why.into(),
        took_us: 18_400,
        phases,
        address: "192.0.2.7:443".into(),
        ..Measured::default()
    };
    let failures = if verdict == Verdict::Down { 7 } else { 0 };
    Seen {
        host: Some(id(n)),
        name: name.into(),
        online: true,
        at_ms: NOW_MS - 9000,
        failures,
        measured,
    }
}

fn stands(name: &str) -> Stands {
    let agents = vec![seen(1, "web1\u{1b}[2J", Verdict::Down), seen(2, "边缘-北京1", Verdict::Up)];
    let happened = |ago: u64, state, why: &str| Happening {
        at_ms: NOW_MS - ago * 3_600_000,
        state,
        why: why.into(),
    };
    let probe = rows(&List { span_ms: DAY, blocks: 30 }).into_iter().find(|row| row.name == name);
    Stands {
        probe: probe.unwrap_or_default(),
        agents,
        uptime: [Some(871), Some(993), None],
        happened: vec![
            happened(3, State::Down, "2 of 2 agents say it is down: 503"),
            happened(80, State::Up, ""),
        ],
        ..Stands::default()
    }
}

fn far(asked: &Asked) -> Result<Value, CallError> {
    let json = |value: serde_json::Result<Value>| Ok(value.expect("JSON"));
    let name = asked.body["name"].as_str().unwrap_or_default();
    match asked.method {
        "probes.list" => {
            let list: List = serde_json::from_value(asked.body.clone()).expect("a list");
            json(serde_json::to_value(Listing { probes: rows(&list) }))
        }
        "probes.status" => json(serde_json::to_value(stands(name))),
        "probes.show" => json(serde_json::to_value(Shown {
            probe: row(name, State::Up),
            text: TEXT.into(),
            ..Shown::default()
        })),
        "probes.check" => {
            let text = asked.body["text"].as_str().unwrap_or_default();
            let problem = Problem { line: 3, column: 1, what: "unknown key `xhttp`".into() };
            let problems = if text.contains("xhttp") { vec![problem] } else { Vec::new() };
            let checked = Checked { problems, name: "shop".into(), agents: 2 };
            json(serde_json::to_value(checked))
        }
        "probes.save" => json(serde_json::to_value(Saved { version: 4, ..Saved::default() })),
        "probes.try" => {
            let agents = vec![seen(1, "web1", Verdict::Up), seen(2, "web2", Verdict::Down)];
            json(serde_json::to_value(Tried { agents }))
        }
        "history.query" => {
            let query: Query = serde_json::from_value(asked.body.clone()).expect("a query");
            let line = |metric: &String| Line {
                metric: metric.clone(),
                points: (0..30).map(|n| (n > 4).then(|| 0.01 + f64::from(n % 5) / 50.0)).collect(),
                ..Line::default()
            };
            let lines = query.metrics.iter().map(line).collect();
            json(serde_json::to_value(Answer { lines, ..Answer::default() }))
        }
        _ => Ok(Value::Object(serde_json::Map::new())),
    }
}

async fn at_board(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(far);
    world.fleet(some_hosts()).await;
    world.press(";").await;
    for _ in 0..3 {
        world.idle().await;
    }
    world
}

/// What was asked to be saved.
fn saved(world: &World) -> Vec<Save> {
    let calls = world.calls().into_iter().filter(|asked| asked.method == "probes.save");
    calls.map(|asked| serde_json::from_value(asked.body).expect("a text")).collect()
}

#[tokio::test]
async fn the_board_in_every_state() {
    for setup in each() {
        let mut world = at_board(setup.clone()).await;
        snap!("probes", world);
        world.press("<enter>").await;
        snap!("probes_detail", world);
        world.press("<esc>R").await;
        snap!("probes_tried", world);
        world.press("<esc>a").await;
        snap!("probes_new", world);
        world.press("<esc>w").await;
        snap!("probes_text", world);
        world.press("<esc>x").await;
        snap!("probes_delete", world);
        world.press("<esc>f").await;
        world.lose().await;
        snap!("probes_hub_lost", world);
        let mut world = World::new(setup).await;
        world.far.answer(|asked| match asked.method {
            "probes.list" => Ok(serde_json::to_value(Listing::default()).expect("JSON")),
            _ => far(asked),
        });
        world.fleet(some_hosts()).await;
        world.press(";").await;
        snap!("probes_none", world);
    }
}

#[tokio::test]
async fn the_worst_come_first_and_every_state_is_told_by_a_sign_and_a_word() {
    let world = at_board(Setup { size: (160, 45), ..Setup::default() }).await;
    let screen = world.screen();
    let place = |text: &str| screen.find(text).unwrap_or_else(|| panic!("no {text}:\n{screen}"));
    let signs = ["✗ down      shop", "! broken    old", "◐ unsure    db", "? unknown   vpn"];
    let order: Vec<usize> =
        signs.iter().chain(&["● up        dns", "◼ paused    later"]).map(|t| place(t)).collect();
    assert!(order.is_sorted(), "{screen}");
    assert!(screen.contains("▁▃▅▇▇"), "the bar tells by its height:\n{screen}");
    assert!(screen.contains("12d") && screen.contains("87.1%"), "{screen}");
}

#[tokio::test]
async fn a_new_probe_is_made_by_a_form_and_what_is_wrong_is_said_at_its_line() {
    let mut world = at_board(Setup::default()).await;
    world.press("aBad Name<enter>").await;
    world.check_shows("A name has small letters");
    world.press("C-ushop<enter>").await;
    world.check_shows("There is a probe of this name already");
    world.press("C-udb1<tab>gopher x<enter>").await;
    world.check_shows("Write https://");
    world.press("C-udb1:5432<tab>the shop's data: main<tab>C-u5s<enter>").await;
    let saved = saved(&world);
    let text = "name: db1\ntcp:\n  host: db1\n  port: 5432\nevery: \"5s\"\ndescription: \"the shop's data: main\"\n";
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert_eq!((saved[0].name.as_str(), saved[0].was), ("db1", Some(0)));
    assert_eq!(
        saved[0].text.replace("every: \"5s\"", "every: 5s"),
        text.replace("every: \"5s\"", "every: 5s")
    );
    world.check_shows("db1 is saved");
}

#[tokio::test]
async fn what_the_hub_does_not_take_is_written_on_and_nothing_of_it_is_lost() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(|asked| match asked.method {
        "probes.save" => Err(CallError::malformed("4:3: not a host")),
        _ => far(asked),
    });
    world.fleet(some_hosts()).await;
    world.press(";anew1<tab>db1:5432<enter>").await;
    world.check_shows("not a host");
    world.check_shows("host: db1");
}

#[tokio::test]
async fn switching_one_off_changes_that_line_alone_and_names_the_version_it_was_made_from() {
    let mut world = at_board(Setup::default()).await;
    world.press("o").await;
    let saved = saved(&world);
    assert_eq!(saved[0].text, format!("{TEXT}off: true\n"));
    assert_eq!(saved[0].was, Some(3));
    world.check_shows("is off");
}

#[tokio::test]
async fn a_text_with_a_mistake_is_not_saved_and_one_that_others_changed_meanwhile_is_merged() {
    let other = Arc::new(Mutex::new(false));
    let mut world = World::new(Setup::default()).await;
    let late = other.clone();
    world.far.answer(move |asked| match asked.method {
        "probes.save" if !std::mem::replace(&mut *late.lock().unwrap(), true) => {
            Err(CallError::new(ErrorKind::Conflict, "version 4 is newer"))
        }
        "probes.show" if *late.lock().unwrap() => {
            let probe = Row { version: 4, saved_by: "ann".into(), ..row("shop", State::Up) };
            let text = format!("{TEXT}retries: 2\n");
            Ok(serde_json::to_value(Shown { probe, text, ..Shown::default() }).expect("JSON"))
        }
        _ => far(asked),
    });
    world.fleet(some_hosts()).await;
    world.press(";w").await;
    world.press("<down><down>x<f2>").await;
    world.check_hides("Save");
    world.check_shows("unknown key `xhttp`");
    world.press("<delete><f2>").await;
    assert!(saved(&world).is_empty(), "nothing was changed");
    world.press("# mine<enter><f2>").await;
    world.press("s").await;
    world.check_shows("ann");
    world.press("m").await;
    world.check_shows("# mine");
    world.check_shows("retries: 2");
}

#[tokio::test]
async fn what_is_struck_out_is_not_saved_so() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(|asked| match asked.method {
        "probes.show" => {
            let shown = Shown {
                probe: row("shop", State::Up),
                text: TEXT.into(),
                struck: true,
                ..Shown::default()
            };
            Ok(serde_json::to_value(shown).expect("JSON"))
        }
        _ => far(asked),
    });
    world.fleet(some_hosts()).await;
    world.press(";o").await;
    world.check_shows("hidden from you");
    assert!(saved(&world).is_empty());
    world.press("t").await;
    world.check_shows("only who may save probes sees them");
}

#[tokio::test]
async fn two_thousand_probes_are_shown_and_only_times_of_those_that_are_seen_are_asked_for() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(|asked| match asked.method {
        "probes.list" => {
            let probes = (0..2000).map(|n| row(&format!("p{n:04}"), State::Up)).collect();
            Ok(serde_json::to_value(Listing { probes }).expect("JSON"))
        }
        _ => far(asked),
    });
    world.fleet(some_hosts()).await;
    world.press(";").await;
    world.later(1).await;
    world.check_shows("2000 probes");
    for asked in world.calls().into_iter().filter(|asked| asked.method == "history.query") {
        let query: Query = serde_json::from_value(asked.body).expect("a query");
        assert!(query.metrics.len() <= 60, "{}", query.metrics.len());
    }
    world.press("G").await;
    world.check_shows("p1999");
    const { assert!(MAX_PROBES < 2000) };
}

#[tokio::test]
async fn a_probe_leads_to_its_chart_and_is_found_by_its_name() {
    let mut world = at_board(Setup::default()).await;
    world.press("c").await;
    world.check_shows("probe.time{shop}");
    world.press("<esc><esc>C-pvpn<enter>").await;
    world.press("Y").await;
    assert_eq!(world.control.copied.last().map(String::as_str), Some("cmdr probes status vpn"));
}
