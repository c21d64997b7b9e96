//! Gateways: pictures of the list and of one, what they ask, how traffic is switched, and bad input.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::gateways::{
    Ban, Banned, Checked, Drain, Ended, Figures, GroupFigures, ListenerFigures, Listing, Logged,
    Row, Save, Shown, State, Talker, Times, UpstreamFigures, Weight,
};
use cmdr_protocol::history::{Answer, Line, Query};
use cmdr_protocol::runbooks::{Problem, Saved};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::link::fake::Asked;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const TEXT: &str = "name: web\n# the shop\nhost: web1\nlisteners:\n- { name: http, address: '0.0.0.0:80', group: web }\n";

fn json(value: impl Serialize) -> Result<Value, CallError> {
    serde_json::to_value(value).map_err(|e| CallError::failed(e.to_string()))
}

fn row(name: &str, state: State, why: &str) -> Row {
    Row {
        name: name.into(),
        description: "the shop".into(),
        host: (state != State::Broken).then(|| id(1)),
        host_name: "web1".into(),
        listeners: vec!["tcp 0.0.0.0:80".into(), "tcp 0.0.0.0:443".into()],
        upstreams: 3,
        state,
        why: why.into(),
        version: 7,
        at_host: if state == State::Refused { 6 } else { 7 },
        saved_ms: NOW_MS - 3_600_000,
        saved_by: "ann".into(),
    }
}

fn rows() -> Vec<Row> {
    let in_use = "http: 0.0.0.0:80 is in use by nginx (pid 812)\u{1b}[2J";
    vec![
        row("dns", State::Waits, "its host is away"),
        row("mail", State::Refused, in_use),
        row("old", State::Broken, "its host has left the fleet"),
        row("test", State::Off, ""),
        row("web", State::Running, ""),
    ]
}

fn upstream(address: &str, state: &str, weight: u32, round: u64) -> UpstreamFigures {
    let counts = u64::from(weight) * round;
    UpstreamFigures {
        address: address.into(),
        state: state.into(),
        weight,
        backup: address.starts_with("10.0.9."),
        active: u64::from(weight) * 20,
        total: counts * 100,
        failed: if state == "down" { 31 } else { 0 },
        bytes_in: counts * 100_000,
        bytes_out: counts * 3_000_000,
        connect: (state == "up").then_some(Times { count: 90, p50_us: 420, p99_us: 3100 }),
        first_byte: (state == "up").then_some(Times { count: 90, p50_us: 18_000, p99_us: 240_000 }),
    }
}

/// What the host says the nth time, two seconds later each time.
fn figures(round: u64) -> Figures {
    let listener = |name: &str, address: &str| ListenerFigures {
        name: name.into(),
        address: address.into(),
        transport: "tcp".into(),
        active: 80,
        accepted: 400 * round,
        refused: 12,
        bytes_in: 400_000 * round,
        bytes_out: 12_000_000 * round,
        talkers: vec![
            Talker { address: "192.0.2.7".into(), connections: 40, bytes: 900_000_000 },
            Talker { address: "2001:db8::9\u{1b}[2J".into(), connections: 9000, bytes: 0 },
        ],
        talkers_s: 90,
        ..ListenerFigures::default()
    };
    let web = vec![
        upstream("10.0.0.1:8080", "up", 3, round),
        upstream("10.0.0.2:8080", "down", 1, round),
        upstream("10.0.0.3:8080", "drained", 1, round),
        upstream("10.0.9.1:8080", "up", 1, round),
    ];
    let api = vec![upstream("[fd00::7]:9000", "ejected", 1, round)];
    let group =
        |name: &str, waiting, upstreams| GroupFigures { name: name.into(), waiting, upstreams };
    Figures {
        at_ms: round * 2000,
        pid: 4711,
        version: 7,
        listeners: vec![listener("http", "0.0.0.0:80"), listener("https", "0.0.0.0:443")],
        groups: vec![group("web", 0, web), group("api", 5, api)],
    }
}

fn logged() -> Logged {
    let ended = |n: u64| Ended {
        listener: "http".into(),
        source: format!("192.0.2.{n}:5{n:04}"),
        upstream: "10.0.0.1:8080".into(),
        ago_ms: (10 - n) * 900,
        lasted_ms: n * 700,
        bytes_in: n * 1000,
        bytes_out: n * 50_000,
        reason: if n == 4 { "the upstream has reset it\u{1b}[2J".into() } else { "closed".into() },
    };
    Logged { ended: (1..9).map(ended).collect() }
}

fn far() -> impl Fn(&Asked) -> Result<Value, CallError> + Send + Sync + 'static {
    let round = Arc::new(AtomicU64::new(0));
    move |asked| answer(asked, &round)
}

fn answer(asked: &Asked, round: &AtomicU64) -> Result<Value, CallError> {
    match asked.method {
        "gateways.list" => json(Listing { gateways: rows() }),
        "gateways.status" => json(figures(round.fetch_add(1, Ordering::Relaxed) + 1)),
        "gateways.log" => json(logged()),
        "gateways.bans" => {
            json(Banned { bans: vec![("edge".into(), "198.51.100.9".into(), 1_800_000)] })
        }
        "gateways.show" => json(Shown {
            gateway: row("web", State::Running, ""),
            text: TEXT.into(),
            ..Shown::default()
        }),
        "gateways.check" => {
            let text = asked.body["text"].as_str().unwrap_or_default();
            let problem = Problem { line: 3, column: 1, what: "unknown key `xhost`".into() };
            let problems = if text.contains("xhost") { vec![problem] } else { Vec::new() };
            let name =
                text.lines().find_map(|line| line.strip_prefix("name: ")).unwrap_or_default();
            json(Checked {
                problems,
                name: name.into(),
                host: "web1".into(),
                unasked: String::new(),
            })
        }
        "gateways.save" => json(Saved { version: 8, ..Saved::default() }),
        "history.query" => {
            let query: Query = serde_json::from_value(asked.body.clone()).expect("a query");
            let line = |metric: &String| Line {
                metric: metric.replace("{*}", "{web/http}"),
                points: vec![Some(3.0), Some(2048.0)],
                ..Line::default()
            };
            let lines = query.metrics.iter().map(line).collect();
            json(Answer { lines, ..Answer::default() })
        }
        _ => Ok(Value::Object(serde_json::Map::new())),
    }
}

async fn at_list(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(far());
    world.fleet(some_hosts()).await;
    world.press("%").await;
    for _ in 0..3 {
        world.idle().await;
    }
    world
}

/// On the page of the gateway `web`.
async fn at_one(setup: Setup) -> World {
    let mut world = at_list(setup).await;
    // The third from the top is away, the fourth runs.
    world.press("gjjj<enter>").await;
    for _ in 0..3 {
        world.later(3).await;
    }
    world
}

fn asked<T: serde::de::DeserializeOwned>(world: &World, method: &str) -> Vec<T> {
    let calls = world.calls().into_iter().filter(|asked| asked.method == method);
    calls.map(|asked| serde_json::from_value(asked.body).expect("a call")).collect()
}

#[tokio::test]
async fn the_list_and_one_of_it_in_every_state() {
    for setup in each() {
        let mut world = at_list(setup.clone()).await;
        world.later(3).await;
        snap!("gateways", world);
        world.press("x").await;
        snap!("gateways_delete", world);
        world.press("<esc>a").await;
        snap!("gateways_new", world);
        world.press("<esc>").await;
        world.lose().await;
        snap!("gateways_hub_lost", world);
        let mut world = at_one(setup.clone()).await;
        snap!("gateway", world);
        world.press("s").await;
        snap!("gateway_switch", world);
        world.press("<esc>l").await;
        snap!("gateway_log", world);
        world.press("<esc>a").await;
        snap!("gateway_ban", world);
        world.press("<esc>w").await;
        snap!("gateway_text", world);
        let mut world = World::new(setup).await;
        world.far.answer(|asked| match asked.method {
            "gateways.list" => json(Listing::default()),
            _ => Ok(Value::Object(serde_json::Map::new())),
        });
        world.fleet(some_hosts()).await;
        world.press("%").await;
        snap!("gateways_none", world);
    }
}

#[tokio::test]
async fn the_worst_come_first_and_say_why_and_what_hosts_say_is_harmless() {
    let mut world = at_list(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("j").await;
    let screen = world.screen();
    let place = |text: &str| screen.find(text).unwrap_or_else(|| panic!("no {text}:\n{screen}"));
    let states =
        ["broken    old", "refused   mail", "waits     dns", "running   web", "off       test"];
    let order: Vec<usize> = states.iter().map(|text| place(text)).collect();
    assert!(order.is_sorted(), "{screen}");
    assert!(screen.contains("in use by nginx (pid 812)"), "{screen}");
    assert!(screen.contains("6→7"), "the version that its host goes by:\n{screen}");
    assert!(!screen.contains('\u{1b}'), "{screen}");
}

#[tokio::test]
async fn all_traffic_of_a_group_goes_to_one_upstream_by_one_key_and_back_by_another() {
    let mut world = at_one(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("/10.0.0.1<enter>s").await;
    world.check_shows("All new connections of web to 10.0.0.1:8080?");
    let before = asked::<Weight>(&world, "gateways.weight");
    assert!(before.is_empty(), "not before it is confirmed: {before:?}");
    world.press("Y").await;
    assert_eq!(
        world.control.copied.last().map(String::as_str),
        Some("cmdr gateway switch web web '10.0.0.1:8080'")
    );
    world.press("y").await;
    world.check_shows("new connections of web go to 10.0.0.1:8080");
    let weights = asked::<Weight>(&world, "gateways.weight");
    let of = |address: &str, weight| (address.to_owned(), weight);
    let expected = vec![
        of("10.0.0.1:8080", Some(1)),
        of("10.0.0.2:8080", Some(0)),
        of("10.0.0.3:8080", Some(0)),
        of("10.0.9.1:8080", Some(0)),
    ];
    assert_eq!(weights[0].weights, expected);
    world.press("zy").await;
    let weights = asked::<Weight>(&world, "gateways.weight");
    assert!(weights[0].weights.iter().all(|(_, weight)| weight.is_none()), "{weights:?}");
}

#[tokio::test]
async fn an_upstream_is_drained_with_a_word_about_who_takes_over_and_comes_back_without_a_question()
{
    let mut world = at_one(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("/10.0.0.1<enter>d").await;
    world.check_shows("the 60 that are open go on");
    world.check_shows("1 other upstream of its group takes what comes");
    world.press("y<esc>").await;
    world.press("/10.0.0.3<enter>d").await;
    world.check_shows("10.0.0.3:8080 takes connections again");
    let drains = asked::<Drain>(&world, "gateways.drain");
    let told: Vec<_> = drains.iter().map(|d| (d.upstream.as_str(), d.off)).collect();
    assert_eq!(told, [("10.0.0.1:8080", false), ("10.0.0.3:8080", true)]);
    world.press("e").await;
    world.press("C-uheavy<enter>").await;
    world.check_shows("a whole number");
    world.press("C-u5<enter>").await;
    let weights = asked::<Weight>(&world, "gateways.weight");
    assert_eq!(weights[0].weights, [("10.0.0.3:8080".to_owned(), Some(5))]);
}

#[tokio::test]
async fn an_address_is_banned_and_banned_no_more() {
    let mut world = at_one(Setup::default()).await;
    world.press("anobody<enter>").await;
    world.check_shows("an address such as");
    world.press("C-u192.0.2.77<tab><tab>C-u10m<enter>").await;
    world.check_shows("192.0.2.77 is banned");
    world.press("u<enter>").await;
    let bans = asked::<Ban>(&world, "gateways.ban");
    let told: Vec<_> =
        bans.iter().map(|b| (b.address.as_str(), b.policy.as_str(), b.seconds)).collect();
    assert_eq!(told, [("192.0.2.77", "edge", 600), ("198.51.100.9", "edge", 0)]);
}

#[tokio::test]
async fn a_new_one_is_written_by_a_form_and_looked_at_before_it_is_saved() {
    let mut world = at_list(Setup::default()).await;
    world.press("aweb<enter>").await;
    world.check_shows("there is a gateway of this name");
    world.press("C-unew1<tab>web1<tab>C-unowhere<enter>").await;
    world.check_shows("an address and a port");
    world.press("C-uudp 0.0.0.0:53<tab>10.0.0.1:53, 10.0.0.2:53<enter>").await;
    assert!(asked::<Save>(&world, "gateways.save").is_empty());
    world.press("<f2>s").await;
    let saved = asked::<Save>(&world, "gateways.save");
    assert_eq!((saved.len(), saved[0].name.as_str(), saved[0].was), (1, "new1", Some(0)));
    let text = &saved[0].text;
    assert!(text.contains("transport: udp, address: '0.0.0.0:53'"), "{text}");
    assert!(text.contains("- { address: '10.0.0.2:53' }") && !text.contains("check:"), "{text}");
}

#[tokio::test]
async fn not_to_run_one_changes_that_line_alone_and_a_text_with_a_mistake_is_not_saved() {
    let mut world = at_one(Setup::default()).await;
    world.press("w").await;
    world.press("<down><down>x<f2>").await;
    world.check_shows("unknown key `xhost`");
    assert!(asked::<Save>(&world, "gateways.save").is_empty());
    world.press("<delete><esc><esc>").await;
    let mut world = at_list(Setup::default()).await;
    world.press("gjjjo").await;
    world.check_shows("accepts no new connections for it then");
    world.press("y").await;
    let saved = asked::<Save>(&world, "gateways.save");
    assert_eq!(saved[0].text, format!("{TEXT}off: true\n"));
    assert_eq!(saved[0].was, Some(7));
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_said_and_not_asked_again_at_once() {
    let mut world = World::new(Setup { size: (160, 45), ..Setup::default() }).await;
    let usual = far();
    world.far.answer(move |asked| match asked.method {
        "gateways.status" => {
            Err(CallError::new(ErrorKind::Unreachable, "web1 has no link\u{1b}[2J"))
        }
        _ => usual(asked),
    });
    world.fleet(some_hosts()).await;
    world.press("%gjjj<enter>").await;
    world.later(1).await;
    world.check_shows("web1 has no link");
    let of_status = |asked: &Asked| asked.method == "gateways.status";
    assert_eq!(world.calls().iter().filter(|asked| of_status(asked)).count(), 1);
    world.later(3).await;
    assert!(!world.calls().iter().any(of_status));
    world.press("s").await;
    assert!(world.calls().iter().all(|asked| asked.method != "gateways.weight"));
}

#[tokio::test]
async fn a_thousand_gateways_and_ten_thousand_upstreams_are_shown() {
    let mut world = World::new(Setup { size: (160, 45), ..Setup::default() }).await;
    let usual = far();
    world.far.answer(move |asked| match asked.method {
        "gateways.list" => {
            let gateways =
                (0..1000).map(|n| row(&format!("g{n:04}"), State::Running, "")).collect();
            json(Listing { gateways })
        }
        "gateways.status" => {
            let all = (0..10_000)
                .map(|n| upstream(&format!("10.{}.{}.1:80", n / 250, n % 250), "up", 1, 1));
            let group = GroupFigures { name: "web".into(), waiting: 0, upstreams: all.collect() };
            json(Figures { groups: vec![group], ..figures(1) })
        }
        _ => usual(asked),
    });
    world.fleet(some_hosts()).await;
    world.press("%").await;
    world.check_shows("1000 gateways");
    world.press("G").await;
    world.check_shows("g0999");
    world.press("<enter>").await;
    world.later(3).await;
    world.press("G").await;
    world.check_shows("10.39.249.1:80");
}

#[tokio::test]
async fn a_gateway_leads_to_its_charts_and_is_found_by_its_name() {
    let mut world = at_one(Setup::default()).await;
    world.press("Y").await;
    assert_eq!(world.control.copied.last().map(String::as_str), Some("cmdr gateway status web"));
    world.press("c").await;
    let queries = asked::<Query>(&world, "history.query");
    let named = |query: &Query| query.metrics.iter().any(|m| m == "gateway.accepted{web/*}");
    assert!(queries.iter().any(named), "{queries:?}");
    world.press("<esc><esc><esc>C-pmail<enter>").await;
    world.later(1).await;
    world.check_shows("in use by nginx");
}
