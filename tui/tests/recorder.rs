//! The page of a flight recorder: pictures, what it asks of the host and what it does not, and bad input.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, some_hosts};
use cmdr_protocol::history::{self, Answer};
use cmdr_protocol::recorder::{At, Group, Kind, Listing, Moment, Range, Step, Steps, Top};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::link::fake::Asked;
use serde_json::Value;

const INTERVAL: u64 = 5000;
/// It has recorded for two hours, but for ten minutes half an hour ago.
const OLDEST: u64 = NOW_MS - 2 * HOUR;
const HOUR: u64 = 3_600_000;
const GAP: std::ops::Range<u64> = NOW_MS - 40 * 60_000..NOW_MS - 30 * 60_000;

/// When samples were taken until then, the newest one.
fn newest(at_ms: u64) -> Option<u64> {
    let at = at_ms.min(NOW_MS) / INTERVAL * INTERVAL;
    let at = if GAP.contains(&at) { GAP.start - INTERVAL } else { at };
    (at >= OLDEST).then_some(at)
}

/// Twenty minutes ago there was a spike.
fn cpu(at_ms: u64) -> u32 {
    let ago = NOW_MS.saturating_sub(at_ms) / 60_000;
    if ago == 20 { 950 } else { 100 + (at_ms / INTERVAL % 7) as u32 * 10 }
}

fn moment(at_ms: u64) -> Moment {
    let top = |pid: u32, command: &str, cpu, written| Top {
        pid,
        start: 5,
        user: "www".into(),
        name: "nginx".into(),
        command: command.into(),
        state: "R".into(),
        place: "nginx.service".into(),
        cpu,
        memory: 300 << 20,
        read: None,
        written: Some(written),
    };
    let group = |kind, name: &str, sent| Group {
        kind,
        name: name.into(),
        count: 4,
        cpu: 700,
        memory: 1 << 30,
        read: Some(0),
        written: Some(90_000),
        sent,
        received: sent,
        ..Group::default()
    };
    Moment {
        at_ms,
        every_ms: INTERVAL as u32,
        cpu: cpu(at_ms),
        cores: 8,
        memory_total: 32 << 30,
        memory_used: 14 << 30,
        processes: 214,
        looked: 40,
        unseen: if cpu(at_ms) > 900 { 450 } else { 0 },
        tops: vec![
            top(8123, "nginx: worker process", 640, 1000),
            top(77, "backup\u{1b}[2J --all", 20, 5 << 20),
        ],
        groups: vec![
            group(Kind::Program, "nginx", None),
            group(Kind::Unit, "nginx.service", None),
            group(Kind::Container, "shop-db", Some(4096)),
        ],
    }
}

fn steps(range: &Range) -> Steps {
    let from = if range.from_ms == 0 { OLDEST } else { range.from_ms };
    let to = if range.to_ms == 0 { NOW_MS + 1 } else { range.to_ms };
    let step = (to.saturating_sub(from)).div_ceil(u64::from(range.steps.clamp(1, 2000))).max(1);
    let count = to.saturating_sub(from).div_ceil(step);
    let one = |n: u64| {
        let (begin, end) = (from + n * step, from + (n + 1) * step);
        let mut at = begin.div_ceil(INTERVAL) * INTERVAL;
        let mut found = Step::default();
        while at < end {
            if newest(at) == Some(at) {
                found.samples += 1;
                found.cpu = cpu(at);
                found.memory = (10 << 30) + (at % (2 << 30));
                if cpu(at) > found.peak_cpu || found.samples == 1 {
                    (found.peak_ms, found.peak_cpu) = (at, cpu(at));
                }
                found.busiest = "nginx\u{9b}".into();
            }
            at += INTERVAL;
        }
        found
    };
    Steps { from_ms: from, step_ms: step, steps: (0..count).map(one).collect() }
}

fn far(asked: &Asked) -> Result<Value, CallError> {
    let json = |value: serde_json::Result<Value>| Ok(value.expect("JSON"));
    match asked.method {
        "recorder.list" => json(serde_json::to_value(Listing {
            from_ms: OLDEST,
            to_ms: newest(NOW_MS).unwrap_or(0),
            samples: 1440,
            interval_ms: INTERVAL,
            ..Listing::default()
        })),
        "recorder.at" => {
            let at: At = serde_json::from_value(asked.body.clone()).expect("a moment");
            let wanted = if at.at_ms == 0 { NOW_MS } else { at.at_ms };
            match newest(wanted) {
                Some(at) => json(serde_json::to_value(moment(at))),
                None => Err(CallError::not_found("nothing was recorded then, nor before")),
            }
        }
        "recorder.range" => {
            let range: Range = serde_json::from_value(asked.body.clone()).expect("a range");
            json(serde_json::to_value(steps(&range)))
        }
        "history.query" => {
            let query: history::Query = serde_json::from_value(asked.body.clone()).expect("query");
            let count = (query.to_ms - query.from_ms) / query.step_ms;
            let line = |metric: &str, times: f64| history::Line {
                metric: metric.into(),
                points: (0..count).map(|n| Some((n % 9) as f64 * times)).collect(),
                ..history::Line::default()
            };
            let lines = vec![line("net.received{eth0}", 1e5), line("net.sent{eth0}", 2e5)];
            let (from_ms, step_ms) = (query.from_ms, query.step_ms);
            json(serde_json::to_value(Answer {
                from_ms,
                step_ms,
                steps: count as u32,
                lines,
                ..Answer::default()
            }))
        }
        _ => Ok(Value::Object(serde_json::Map::new())),
    }
}

/// At the recorder of web1.
async fn at_recorder(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(far);
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>,").await;
    for _ in 0..4 {
        world.idle().await;
    }
    world
}

fn asked(world: &World, method: &str) -> usize {
    world.calls().iter().filter(|asked| asked.method == method).count()
}

#[tokio::test]
async fn a_flight_recorder_in_every_state() {
    for setup in each() {
        let mut world = at_recorder(setup.clone()).await;
        snap!("recorder", world);
        world.press("<left><left>").await;
        world.press("{").await;
        snap!("recorder_spike", world);
        world.press("mmm").await;
        snap!("recorder_network", world);
        world.press("g").await;
        snap!("recorder_time", world);
        world.press("<esc>ffff").await;
        world.press("G<enter>").await;
        snap!("recorder_detail", world);
        world.press("<esc>").await;
        world.lose().await;
        snap!("recorder_hub_lost", world);
        let mut world = World::new(setup).await;
        world.far.answer(|asked| {
            let why =
                "nothing is recorded on this host: its policy says so ([recorder] on = false)";
            match asked.method {
                "recorder.list" | "recorder.at" | "recorder.range" => {
                    Err(CallError::not_found(why))
                }
                _ => far(asked),
            }
        });
        world.fleet(some_hosts()).await;
        world.press("/web1<enter><enter>,").await;
        snap!("recorder_off", world);
    }
}

#[tokio::test]
async fn one_steps_sample_by_sample_over_gaps_and_comes_to_the_end() {
    let mut world = at_recorder(Setup::default()).await;
    world.check_shows("· live ·");
    world.press("<left>").await;
    world.check_hides("· live ·");
    world.press("g30m<enter>").await;
    // Before it nothing was recorded for ten minutes.
    world.press("<left>").await;
    let before = world.screen();
    world.press("<left><left>").await;
    assert_ne!(before, world.screen());
    world.press("g41m<enter>").await;
    for _ in 0..14 {
        world.press("<right>").await;
    }
    world.check_shows("┃ 13:32:");
    world.press("<end>").await;
    world.check_shows("· live ·");
}

#[tokio::test]
async fn what_lies_before_the_oldest_sample_or_in_the_future_is_said_and_loses_nothing() {
    let mut world = at_recorder(Setup::default()).await;
    world.press("g5d<enter>").await;
    world.check_shows("before the oldest sample");
    world.check_shows("2h ago");
    world.press("g2030-01-01<enter>").await;
    world.check_shows("· live ·");
    world.press("gsoon<enter>").await;
    world.check_shows("That is no time");
    world.press("<esc>").await;
    world.check_shows("nginx: worker process");
}

#[tokio::test]
async fn one_question_is_under_way_and_moving_within_what_was_fetched_asks_for_no_steps() {
    let mut world = at_recorder(Setup::default()).await;
    world.calls();
    world.press("<left>").await;
    let calls = world.calls();
    assert_eq!(calls.iter().filter(|asked| asked.method == "recorder.at").count(), 1, "{calls:?}");
    assert!(!calls.iter().any(|asked| asked.method == "recorder.range"), "{calls:?}");
    world.press("[").await;
    assert_eq!(asked(&world, "recorder.range"), 0);
    world.later(1).await;
    world.calls();
    // While it looks at the past nothing new is asked for but how far it reaches.
    world.later(20).await;
    assert_eq!(asked(&world, "recorder.at"), 0);
}

#[tokio::test]
async fn the_spike_is_found_and_what_came_and_went_is_told() {
    let mut world = at_recorder(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("{").await;
    world.check_shows("20m ago");
    world.check_shows("CPU 95% of 8");
    world.check_shows("45% of one CPU by processes that came and went");
    world.press("{").await;
    world.check_shows("no further spike");
}

#[tokio::test]
async fn the_chart_page_and_the_recorder_lead_to_each_other_at_the_same_moment() {
    let mut world = at_recorder(Setup::default()).await;
    world.press("g20m<enter>~").await;
    world.check_shows("cpu.busy");
    world.check_shows("┃");
    world.press(",").await;
    world.check_shows("20m ago");
    world.press("Y").await;
    let line = world.control.copied.last().expect("copied").clone();
    assert!(line.starts_with("cmdr recorder web1 --at 2026-"), "{line}");
}

#[tokio::test]
async fn who_may_not_see_it_is_told_so_and_nothing_is_asked() {
    let mut world = World::new(Setup::default()).await;
    world.far.answer(|asked| match asked.method {
        "recorder.list" | "recorder.at" | "recorder.range" => {
            Err(CallError::new(ErrorKind::Denied, "recorder.at is not allowed for li"))
        }
        _ => far(asked),
    });
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>,").await;
    world.check_shows("recorder.at is not allowed for li");
    world.calls();
    world.later(60).await;
    assert_eq!(asked(&world, "recorder.at"), 0, "what was denied is not asked again");
}
