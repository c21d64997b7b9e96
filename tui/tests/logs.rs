//! Logs: picked from a table, running, sifted on the hosts, sought through and kept, driven by keys.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::logs::{
    At, Follow, Gap, GapKind, Input, Item, JournalState, Kind, Level, Line, Listing, Source,
    TimeFrom,
};
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use cmdr_tui::i18n::Lang;
use serde_json::{Value as Json, json};

fn source(source: &str, kind: Kind, bytes: Option<u64>) -> Source {
    let changed_ms = bytes.map(|_| NOW_MS - 90_000);
    Source {
        source: source.into(),
        kind,
        bytes,
        changed_ms,
        rotated: u32::from(bytes.is_some()) * 3,
    }
}

fn listing() -> Listing {
    Listing {
        sources: vec![
            source("file:/var/log/nginx/access.log", Kind::File, Some(48 << 20)),
            source("file:/var/log/syslog", Kind::File, Some(913_220)),
            source("journal:all", Kind::Journal, None),
            source("unit:nginx.service", Kind::Unit, None),
            source("unit:节点.service", Kind::Unit, None),
        ],
        more: false,
        journal: JournalState::Here,
        main: "journal:all".into(),
    }
}

async fn with(setup: Setup) -> World {
    let mut world = Box::pin(World::new(setup)).await;
    world.far.answer(|asked| match asked.method {
        "logs.sources" => Ok(serde_json::to_value(listing()).expect("json")),
        _ => Ok(json!({})),
    });
    world.fleet(some_hosts()).await;
    world
}

/// At the sources of web1.
async fn picking(setup: Setup) -> World {
    let mut world = Box::pin(with(setup)).await;
    world.press("/web1<enter><enter>").await;
    let tab = cmdr_tui::panes::TABS.iter().position(|tab| tab.title == "logs.title");
    let number = (tab.expect("the tab is there") + 1).to_string();
    world.press(&number).await;
    world
}

/// Follows the system's log of web1.
async fn running(setup: Setup) -> World {
    let mut world = Box::pin(picking(setup)).await;
    world.press("/syslog<enter><enter>").await;
    world
}

fn line(n: u64, text: &str, level: Level) -> Line {
    Line { at_ms: Some(NOW_MS - 60_000 + n * 1000), bytes: text.into(), level, ..Line::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "as items have it")]
fn place(offset: u64) -> Option<At> {
    Some(At { file: Some(1), offset: Some(offset), ..At::default() })
}

fn some_lines() -> Item {
    let lines = vec![
        line(
            0,
            "Nov 20 14:01:00 web1 cron[211]: (root) CMD (run-parts /etc/cron.hourly)",
            Level::Unknown,
        ),
        line(1, "Nov 20 14:01:01 web1 app[7]: INFO 节点 request served in 12 ms", Level::Info),
        line(2, "Nov 20 14:01:02 web1 app[7]: WARN slow query: 2 s", Level::Warning),
        line(
            3,
            "Nov 20 14:01:03 web1 app[7]: ERROR cannot reach db1: connection refused",
            Level::Error,
        ),
        Line {
            bytes: b"\x1b[31m    at db.Pool.take\x1b[0m\x1b]0;owned\x07".to_vec(),
            ..line(4, "", Level::Unknown)
        },
        Line { whole: Some(40 << 20), ..line(5, &"x".repeat(300), Level::Unknown) },
    ];
    Item {
        lines,
        first: place(0),
        place: place(900),
        seen: Some(106),
        caught_up: true,
        ..Item::default()
    }
}

fn inputs(world: &World) -> Vec<Input> {
    let said = world.far.take_inputs().into_iter().filter(|a| a.method == Follow::METHOD);
    said.map(|a| serde_json::from_value(a.body).expect("an input")).collect()
}

fn begun(world: &World) -> Vec<Json> {
    let asked = world.far.take_asked().into_iter();
    asked
        .filter(|a| a.method == Follow::METHOD && a.body.get("source").is_some())
        .map(|a| a.body)
        .collect()
}

#[tokio::test]
async fn sources_are_picked_and_their_lines_run() {
    for setup in each() {
        let mut world = Box::pin(picking(setup)).await;
        snap!("logs_pick", world);
        world.press("/syslog<enter><enter>").await;
        snap!("logs_empty", world);
        let one = Item { lines: vec![line(0, "one", Level::Info)], ..Item::default() };
        world.far.push::<Follow>(Some(id(1)), &one);
        world.idle().await;
        snap!("logs_one", world);
        world.far.push::<Follow>(Some(id(1)), &some_lines());
        let many = (10..60).map(|n| line(n, &format!("line {n} of many"), Level::Unknown));
        let gaps = vec![Gap { kind: GapKind::Truncated, what: String::new() }];
        let many = Item { lines: many.collect(), gaps, ..Item::default() };
        world.far.push::<Follow>(Some(id(1)), &many);
        world.idle().await;
        snap!("logs_many", world);
        world.press("<pageup>").await;
        let error = CallError::new(ErrorKind::Denied, "this host's policy does not let it be read");
        world.far.fail::<Follow>(Some(id(1)), &error);
        world.idle().await;
        snap!("logs_error", world);
    }
}

#[tokio::test]
async fn bytes_of_hosts_cannot_steer_the_terminal() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    world.check_hides("\u{1b}");
    world.check_shows("    at db.Pool.take␛]0;owned␇");
    world.check_shows("(40.0 MiB in all)");
    world.check_shows("6 lines");
    world.check_shows("100 hidden");
}

#[tokio::test]
async fn filters_are_the_hosts_work_and_begin_anew() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    let asked = begun(&world);
    assert_eq!(asked[0]["source"], "file:/var/log/syslog");
    world.press("/ERROR|WARN<enter>").await;
    let said = inputs(&world);
    let sift = said[0].sift.clone().unwrap();
    assert_eq!((sift.filter.include, sift.last), (vec!["ERROR|WARN".to_owned()], Some(500)));
    let lines = vec![line(2, "WARN again", Level::Warning)];
    let item = Item { lines, sifted: Some(sift.number), ..Item::default() };
    world.far.push::<Follow>(Some(id(1)), &item);
    world.idle().await;
    world.check_shows("WARN again");
    world.check_hides("request served");
    world.press("xslow<enter>").await;
    world.press("e").await;
    let said = inputs(&world);
    let last = said.last().unwrap().sift.clone().unwrap().filter;
    assert_eq!((last.exclude, last.level), (vec!["slow".to_owned()], Some(Level::Warning)));
    world.check_shows("without slow");
    // A pattern that is none is said where it is typed.
    world.press("/(").await;
    world.press("<enter>").await;
    world.check_shows("unclosed group");
}

#[tokio::test]
async fn a_pause_stands_still_at_the_host_too() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    world.far.take_inputs();
    world.press("<space>").await;
    assert_eq!(inputs(&world)[0].pause, Some(true));
    world.check_shows("paused");
    world.press("<space>").await;
    assert_eq!(inputs(&world)[0].pause, Some(false));
    world.check_shows("following");
}

#[tokio::test]
async fn older_lines_come_when_one_goes_above_the_first() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    world.far.take_inputs();
    world.press("gg").await;
    let older = inputs(&world)[0].older.clone().unwrap();
    assert_eq!(Some(older.before), place(0));
    world.check_shows("looking back");
    let lines = vec![Line {
        at_ms: Some(NOW_MS - 90_000),
        bytes: b"much older".to_vec(),
        ..Line::default()
    }];
    let item = Item { lines, older: true, older_end: true, beginning: true, ..Item::default() };
    world.far.push::<Follow>(Some(id(1)), &item);
    world.idle().await;
    world.check_shows("much older");
    world.press("gg").await;
    world.check_shows("there are no older lines");
}

#[tokio::test]
async fn a_span_of_time_is_asked_of_the_hosts_and_taken_back() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    begun(&world);
    world.press("r").await;
    world.press("soon<enter>").await;
    world.check_shows("that is no span of time");
    world.press("C-u2026-11-20 08:00..09:00<enter>").await;
    let asked = begun(&world);
    let ms = |text: &str| cmdr_protocol::human::moment_ms(text).unwrap();
    let (eight, nine) = (ms("2026-11-20 08:00"), ms("2026-11-20 09:00"));
    assert_eq!(asked.len(), 1);
    let span = ["since_ms", "until_ms", "follow"].map(|field| asked[0][field].clone());
    assert_eq!(span, [json!(eight), json!(nine), json!(false)]);
    assert!(asked[0].get("last").is_none() && asked[0].get("from").is_none());
    world.check_hides("request served");
    world.check_shows("time 2026-11-20 08:00:00..2026-11-20 09:00:00");
    let lines = vec![line(0, "of that time", Level::Info)];
    let item = Item { lines, first: place(5), ..Item::default() };
    world.far.push::<Follow>(Some(id(1)), &item);
    world.idle().await;
    world.check_shows("of that time");
    // What is older was not asked for; another filter is for the same span.
    world.press("gg").await;
    world.check_shows("what was asked for begins here");
    world.press("/that<enter>").await;
    let asked = begun(&world);
    assert_eq!(asked[0]["filter"]["include"][0], "that");
    assert_eq!(asked[0]["since_ms"], eight);
    world.press("Y").await;
    let copied = world.control.copied.last().unwrap();
    let wanted = "--since 2026-11-20T08:00:00Z --until 2026-11-20T09:00:00Z";
    assert!(copied.ends_with(wanted), "{copied}");
    world.press("rC-u-1h<enter>").await;
    let asked = begun(&world);
    assert_eq!(
        (&asked[0]["since_ms"], &asked[0]["follow"]),
        (&json!(NOW_MS - 3_600_000), &json!(true))
    );
    world.press("rC-u<enter>").await;
    let asked = begun(&world);
    assert!(asked[0].get("since_ms").is_none());
    assert_eq!(asked[0]["last"], 500);
}

#[tokio::test]
async fn a_time_before_the_first_line_is_asked_of_the_hosts_by_that_time() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    begun(&world);
    world.far.take_inputs();
    world.press("@09:30<enter>").await;
    let asked = begun(&world);
    let since = cmdr_protocol::human::moment_ms("2026-11-20 09:30").unwrap();
    assert_eq!((&asked[0]["since_ms"], &asked[0]["follow"]), (&json!(since), &json!(true)));
    assert!(asked[0].get("last").is_none());
    assert!(inputs(&world).is_empty(), "no lines are asked for by their number");
    let early =
        |n: u64, text: &str| Line { at_ms: Some(since + n), bytes: text.into(), ..Line::default() };
    let item = |lines| Item { lines, first: place(5), ..Item::default() };
    let lines = vec![early(0, "at half past nine"), early(1, "and later")];
    world.far.push::<Follow>(Some(id(1)), &item(lines));
    world.idle().await;
    world.press("y").await;
    assert_eq!(world.control.copied.last().unwrap(), "at half past nine");
    // What stands before that is there, too.
    world.press("gg").await;
    assert_eq!(inputs(&world)[0].older.clone().unwrap().before, place(5).unwrap());
    // Very many lines behind it do not push it out: it stands still until one goes on.
    world.press("@08:30<enter>").await;
    world.far.take_inputs();
    for block in 0..60u64 {
        let lines = (0..1000).map(|n| early(10 + block * 1000 + n, "one of very many"));
        world.far.push::<Follow>(Some(id(1)), &item(lines.collect()));
        world.idle().await;
    }
    let paused: Vec<_> = inputs(&world).iter().filter_map(|input| input.pause).collect();
    assert_eq!(paused, [true]);
    world.check_shows("paused");
    world.press("<space>").await;
    assert_eq!(inputs(&world)[0].pause, Some(false));
}

#[tokio::test]
async fn lines_are_lit_up_sought_marked_and_copied() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    // Without words the bad ones are gone to.
    world.press("Ny").await;
    assert!(world.control.copied.last().unwrap().contains("ERROR cannot reach"));
    world.press("hrequest<enter>Ny").await;
    assert!(world.control.copied.last().unwrap().contains("request served"));
    world.press("mmy").await;
    assert_eq!(world.control.copied.last().unwrap().lines().count(), 2);
    world.check_shows("marked 2");
    world.press("@14:01:03<enter>uy").await;
    assert!(world.control.copied.last().unwrap().contains("ERROR cannot reach"));
    world.press("Y").await;
    assert_eq!(world.control.copied.last().unwrap(), "cmdr logs 'web1:/var/log/syslog' -f");
}

#[tokio::test]
async fn times_can_be_shown_and_lines_wrapped_or_moved_aside() {
    let mut world = Box::pin(running(Setup { size: (80, 24), ..Setup::default() })).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    world.press("t").await;
    world.check_shows("14:01:03.000 Nov 20");
    world.press("t").await;
    world.check_shows("14:01:03.000Z");
    world.press("ttw").await;
    world.check_hides("(40.0 MiB in all)");
    world.press("l").await;
    world.check_shows("web1 app[7]: ERROR");
    world.check_hides("Nov 20 14:01:03");
}

#[tokio::test]
async fn marked_hosts_are_merged_by_time() {
    for setup in each() {
        let mut world = Box::pin(with(setup)).await;
        world.press("/web1|web2<enter>*l").await;
        snap!("logs_two_pick", world);
        world.press("/syslog<enter><enter>").await;
        let push = |host: u16, times: &[u64]| {
            let line = |n: &u64| line(*n, &format!("event {n}"), Level::Unknown);
            let lines = times.iter().map(line).collect();
            world.far.push::<Follow>(Some(id(host)), &Item { lines, ..Item::default() });
        };
        push(1, &[10, 30]);
        push(2, &[20, 40]);
        world.idle().await;
        let screen = world.screen();
        let of = |line: &str| (line.contains("web1"), line.contains("web2"));
        let events = screen.lines().filter(|line| line.contains("event"));
        let order: Vec<_> = events.map(of).collect();
        let expected = [(true, false), (false, true), (true, false), (false, true)];
        assert_eq!(order, expected, "{screen}");
        snap!("logs_two_hosts", world);
    }
}

#[tokio::test]
async fn a_cut_is_taken_up_where_it_was_and_a_page_left_is_not_read() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    begun(&world);
    world.lose().await;
    world.up(cmdr_protocol::role::Role::ADMINISTRATOR);
    world.idle().await;
    let again = begun(&world);
    assert_eq!(again[0]["from"]["o"], 900);
    world.press("<esc>").await;
    assert!(!world.feeds().iter().any(|(_, method)| *method == Follow::METHOD));
}

#[tokio::test]
async fn a_source_that_has_come_to_its_end_is_no_failure_and_is_asked_again_only_for_other_lines() {
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    begun(&world);
    world.far.end::<Follow>(Some(id(1)));
    world.idle().await;
    world.check_shows("read to its end");
    world.check_shows("cannot reach db1");
    world.check_hides("half-way");
    world.check_hides("1 of 1");
    world.later(10).await;
    assert!(begun(&world).is_empty(), "it was asked for again");
    world.press("gg").await;
    world.check_hides("looking back");
    world.press("/ERROR<enter>").await;
    let again = begun(&world);
    assert_eq!(again[0]["filter"]["include"][0], "ERROR");
    assert!(again[0].get("from").is_none_or(Json::is_null), "{again:?}");
}

#[tokio::test]
async fn what_a_host_gives_as_a_reason_is_told_in_the_operators_language() {
    for (lang, told) in [
        (Lang::En, "there is no unit a.service on this host"),
        (Lang::Zh, "此主机上没有单元 a.service"),
    ] {
        let mut world = Box::pin(running(Setup { lang, ..Setup::default() })).await;
        let error = CallError::not_found("there is no unit a.service on this host");
        world.far.fail::<Follow>(Some(id(1)), &error);
        world.idle().await;
        world.check_shows(told);
    }
}

#[tokio::test]
async fn lines_are_saved_to_a_file_that_was_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.log");
    let mut world = Box::pin(running(Setup::default())).await;
    world.far.push::<Follow>(Some(id(1)), &some_lines());
    world.idle().await;
    let save = format!("S{}<enter>", path.display());
    world.press(&save).await;
    while !path.exists() {
        tokio::task::yield_now().await;
        world.idle().await;
    }
    while !world.screen().contains("6 lines are in") {
        tokio::task::yield_now().await;
        world.idle().await;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(!text.contains('\u{1b}'));
}

#[tokio::test]
async fn a_hundred_thousand_lines_stay_fluent() {
    let mut world = Box::pin(running(Setup::default())).await;
    for block in 0..110u64 {
        let lines = (0..1000).map(|n| Line {
            at_ms: Some(NOW_MS + block * 1000 + n),
            time_from: TimeFrom::Line,
            bytes: format!("line {block} {n} of very many lines").into_bytes(),
            ..Line::default()
        });
        world.far.push::<Follow>(Some(id(1)), &Item { lines: lines.collect(), ..Item::default() });
        world.idle().await;
    }
    world.check_shows("100,000 lines");
    world.check_shows("10,000 let go");
    let begun = std::time::Instant::now();
    world.press("kkkkkkkkkk").await;
    let each = begun.elapsed() / 10;
    assert!(each.as_millis() < 250, "a key took {each:?}");
}
