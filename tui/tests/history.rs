//! Charts of the past: pictures, what they ask of the hub and what they do not, and bad input.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::history::{Answer, Line, Listed, Listing, OfHost, Over, Query, Unit};
use cmdr_protocol::{CallError, alerts};
use cmdr_tui::event::Event;
use cmdr_tui::link::fake::Asked;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::Value;

const HOUR: u64 = 3_600_000;

/// A wave per host and figure, with a gap from 13:20 to 13:30.
fn answer(query: &Query) -> Answer {
    let step = query.step_ms.max(10_000);
    let from = query.from_ms / step * step;
    let steps = (query.to_ms.saturating_sub(from)).div_ceil(step);
    let gap = NOW_MS - 42 * 60_000..NOW_MS - 32 * 60_000;
    let mut lines = Vec::new();
    let named = |name: &str| query.selector.is_empty() || query.selector.contains(name);
    for figure in query.metrics.iter().filter(|figure| !figure.contains("none")) {
        let unit = if figure.contains("load") { Unit::Count } else { Unit::Percent };
        let hosts = [(1, "web1"), (2, "web2"), (5, "db1")];
        for (n, name) in hosts.into_iter().filter(|(_, name)| named(name)) {
            // The database tells nothing of its load.
            if n == 5 && figure.contains("load") {
                continue;
            }
            let at = |i: u64| from + i * step;
            let value = |i: u64| {
                let t = at(i) as f64 / 600_000.0 + f64::from(n);
                (!gap.contains(&at(i))).then(|| (t.sin() + 1.0) * 20.0 + f64::from(n))
            };
            let host = (query.over == Some(Over::Each)).then(|| id(n));
            let name = if n == 5 { "db1\u{1b}[2J" } else { name };
            let (name, metric) = (name.to_owned(), figure.clone());
            let points = (0..steps).map(value).collect();
            lines.push(Line { host, name, metric, unit, first: 0, points });
            if host.is_none() {
                break;
            }
        }
    }
    Answer { from_ms: from, step_ms: step, steps: steps as u32, exact: true, lines }
}

fn far(asked: &Asked) -> Result<Value, CallError> {
    let json = |value| Ok(value);
    match asked.method {
        "history.query" => {
            let query: Query = serde_json::from_value(asked.body.clone()).expect("a query");
            json(serde_json::to_value(answer(&query)).expect("JSON"))
        }
        "history.list" => {
            let listed = |metric: &str| Listed { metric: metric.into(), ..Listed::default() };
            let metrics = ["cpu.busy", "disk.read{sda}", "disk.read{sdb}", "load.1"].map(listed);
            let host = OfHost { metrics: metrics.to_vec(), ..OfHost::default() };
            let listing = Listing { hosts: vec![host], next: String::new() };
            json(serde_json::to_value(listing).expect("JSON"))
        }
        "alerts.history" => {
            let one = |minutes: u64, state| alerts::Happening {
                at_ms: NOW_MS - minutes * 60_000,
                name: "web1".into(),
                message: "processor busy\u{1b}[2J for 5 minutes".into(),
                severity: alerts::Severity::Critical,
                state,
                ..Default::default()
            };
            let happened = vec![one(25, alerts::State::Firing), one(12, alerts::State::Resolved)];
            let happened = alerts::Happened { happened, more: false };
            json(serde_json::to_value(happened).expect("JSON"))
        }
        _ => json(Value::Object(serde_json::Map::new())),
    }
}

/// At the charts of web1 and web2, which were marked.
async fn at_charts(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(far);
    world.fleet(some_hosts()).await;
    world.press("/web<enter><space><space>~").await;
    world
}

/// What was asked of the history since the last time.
fn queries(world: &World) -> Vec<Query> {
    let calls = world.calls().into_iter().filter(|asked| asked.method == "history.query");
    calls.map(|asked| serde_json::from_value(asked.body).expect("a query")).collect()
}

#[tokio::test]
async fn charts_in_every_state() {
    for setup in each() {
        let mut world = at_charts(setup.clone()).await;
        snap!("charts", world);
        world.press(&("<left>".repeat(25) + "b")).await;
        snap!("charts_compared", world);
        world.press("f").await;
        snap!("charts_figures", world);
        world.press("<esc>t").await;
        snap!("charts_span", world);
        world.press("<esc>m").await;
        world.lose().await;
        snap!("charts_hub_lost", world);
        let mut world = World::new(setup).await;
        world.far.refuse(|asked| {
            let is_ours = asked.method == "history.query";
            is_ours.then(|| CallError::malformed("9000000 points are more than 80000"))
        });
        world.fleet(some_hosts()).await;
        world.press("~").await;
        snap!("charts_refused", world);
    }
}

#[tokio::test]
async fn moving_within_what_was_fetched_asks_nothing() {
    let mut world = at_charts(Setup::default()).await;
    let asked = queries(&world);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].selector, "web1,web2");
    world.press("[").await;
    assert_eq!(queries(&world), []);
    world.press("]").await;
    assert_eq!(queries(&world), []);
    // Beyond it is asked for, with as much again before and behind.
    world.press("[[[").await;
    let asked = queries(&world);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].from_ms <= NOW_MS - 3 * HOUR, "{asked:?}");
}

#[tokio::test]
async fn the_newest_points_follow_and_only_they_are_asked_for() {
    let mut world = at_charts(Setup::default()).await;
    queries(&world);
    world.later(3).await;
    assert_eq!(queries(&world), [], "nothing new can be there yet");
    world.later(40).await;
    let asked = queries(&world);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].from_ms > NOW_MS - 5 * 60_000, "{asked:?}");
    // Of a stretch that is over nothing new comes.
    world.press("[[[").await;
    queries(&world);
    world.later(300).await;
    assert_eq!(queries(&world), []);
}

#[tokio::test]
async fn a_figure_is_picked_from_a_filtered_list_and_one_that_no_host_has_is_said() {
    let mut world = at_charts(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("fdiskread*<enter>").await;
    world.check_shows("disk.read{*}");
    world.check_hides("cpu.busy");
    world.press("nload.1<enter>").await;
    world.check_shows("4/4");
    assert_eq!(queries(&world).last().expect("a query").metrics.len(), 4);
    world.press("x").await;
    world.check_hides("4/4");
}

#[tokio::test]
async fn spans_in_the_future_and_spans_that_make_no_sense_are_refused_and_lose_nothing() {
    let mut world = at_charts(Setup::default()).await;
    queries(&world);
    world.press("t").await;
    world.press("<backspace><backspace><backspace><backspace>2030-01-01..2030-01-02<enter>").await;
    world.check_shows("lies in the future");
    world.press("<esc>").await;
    assert_eq!(queries(&world), []);
    world.press("t<backspace><backspace><backspace><backspace>6h<enter>").await;
    assert_eq!(queries(&world).len(), 1);
    world.check_shows("6h");
}

#[tokio::test]
async fn a_thousand_hosts_are_drawn_together_and_the_cli_line_says_the_same() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(far);
    let hosts = (1..=1000).map(|n| {
        crate::support::host(n, &format!("node{n}"), cmdr_protocol::hosts::HostState::Online)
    });
    world.fleet(hosts.collect()).await;
    world.press("*~").await;
    let asked = queries(&world);
    assert_eq!(asked[0].over, Some(Over::Mean));
    world.check_shows("mean of all");
    world.press("Y").await;
    assert!(world.control.copied[0].ends_with("--over mean"), "{:?}", world.control.copied);
}

#[tokio::test]
async fn the_wheel_zooms_where_the_pointer_is_and_dragging_moves() {
    let mut world = at_charts(Setup::default()).await;
    let mouse = |kind, column| {
        Event::Mouse(MouseEvent { kind, column, row: 10, modifiers: KeyModifiers::NONE })
    };
    world.events([mouse(MouseEventKind::ScrollDown, 60)]).await;
    world.check_shows("1h15m");
    world.events([mouse(MouseEventKind::Down(MouseButton::Left), 60)]).await;
    world.check_shows("┃");
    world.check_shows("live");
    world.events([mouse(MouseEventKind::Drag(MouseButton::Left), 80)]).await;
    world.check_hides("live");
    world.press("0").await;
    world.check_shows("live");
}

#[tokio::test]
async fn what_is_seen_is_saved_as_a_picture_or_as_values() {
    let folder = tempfile::tempdir().expect("folder");
    let mut world = at_charts(Setup::default()).await;
    for name in ["a.svg", "a.csv"] {
        world.press("e").await;
        let back = "<backspace>".repeat(40);
        let path = folder.path().join(name);
        world.press(&format!("{back}{}<enter>", path.display())).await;
        for _ in 0..200 {
            if path.exists() {
                break;
            }
            tokio::task::yield_now().await;
            world.idle().await;
        }
    }
    let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    assert!(read("a.svg").starts_with("<svg") && read("a.svg").contains("web2"));
    let values = read("a.csv");
    assert!(values.starts_with("TIME,HOST,FIGURE,VALUE\r\n2026-11-20T13:0"), "{values:.200}");
    assert!(values.contains(",web1,load.1,"));
}

#[tokio::test]
async fn charts_are_reached_from_a_hosts_overview_and_left_to_it() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(far);
    world.fleet(some_hosts()).await;
    world.press("/db1<enter><enter><enter>").await;
    world.check_shows("cpu.busy");
    // It lacks one of the figures, and its name is hostile.
    world.check_shows("Nothing is kept of load.1");
    world.check_hides("\u{1b}");
    assert_eq!(queries(&world)[0].selector, "db1");
    world.press("+<esc>").await;
    world.check_hides("cpu.busy");
}
