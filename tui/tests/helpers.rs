//! What helps in every pane: the finder, tables as files, hints, the meter, a thin line.

use crate::support::pictures::{SIZES, each};
use crate::support::{self, NOW_MS, Setup, World, host, id, some_hosts};
use cmdr_protocol::hosts::{self, HostState};
use cmdr_protocol::processes::Watch;
use cmdr_protocol::{RunId, approvals, runs};
use cmdr_tui::event::Event;
use cmdr_tui::i18n::Lang;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::Value;

#[tokio::test]
async fn the_finder_goes_to_a_process_of_a_host_that_was_looked_at() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press("<esc>C-pweb1 nginx").await;
    world.check_shows("◆ process");
    world.check_shows("web1 10");
    world.press("<enter>").await;
    world.check_shows("PID");
    world.press("<enter>").await;
    world.check_shows("nginx");
}

#[tokio::test]
async fn the_finder_knows_commands_and_places_by_their_names() {
    let mut world = World::with_log(Setup::default(), 40).await;
    world.press("C-pside by side").await;
    world.check_shows("Ctrl-W v");
    world.press("<esc>C-pdb1<enter>").await;
    world.check_shows("db1  ");
    assert!(world.screen().lines().next().is_some_and(|top| top.contains("db1")));
}

#[tokio::test]
async fn a_chinese_name_is_found_by_the_first_letters_of_its_sounds() {
    let mut world = World::new(Setup { lang: Lang::Zh, ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.press("C-pbybj<enter>").await;
    assert!(world.screen().lines().next().is_some_and(|top| top.contains("边缘-北京1")));
}

#[tokio::test]
async fn what_was_chosen_is_offered_first_the_next_time() {
    let folder = tempfile::tempdir().expect("folder");
    let setup = Setup { memory: Some(folder.path().join("s.toml")), ..Setup::default() };
    let mut world = World::new(setup.clone()).await;
    world.fleet(some_hosts()).await;
    world.press("C-pweb3<enter><esc>").await;
    world.app.leave();
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world.press("C-p<enter>").await;
    assert!(world.screen().lines().next().is_some_and(|top| top.contains("web3")));
}

#[tokio::test]
async fn thousands_are_searched_beside_the_loop_and_the_answer_is_drawn_when_it_is_there() {
    let mut world = World::new(Setup::default()).await;
    let many = (0..4000).map(|n| host(n, &format!("node{n:04}"), HostState::Online)).collect();
    world.fleet(many).await;
    world.press("C-pnode 3999").await;
    let begin = std::time::Instant::now();
    while !world.screen().contains("node3999  ") {
        assert!(begin.elapsed().as_secs() < 20, "{}", world.screen());
        tokio::task::yield_now().await;
        world.idle().await;
    }
    world.press("<enter>").await;
    assert!(world.screen().lines().next().is_some_and(|top| top.contains("node3999")));
}

#[tokio::test]
async fn a_table_is_copied_whole_as_csv() {
    let mut world = World::at_processes(Setup { size: (60, 18), ..Setup::default() }).await;
    world.far.push::<Watch>(
        Some(id(1)),
        &cmdr_protocol::processes::Change {
            put: vec![support::process(900, 1, "=cmd|' /C calc'!A0")],
            ..Default::default()
        },
    );
    world.idle().await;
    world.press("rrXG<enter>").await;
    let csv = world.control.copied.last().expect("copied");
    assert!(csv.starts_with("PID,USER,"), "{csv}");
    assert!(csv.contains("\r\n900,"), "{csv}");
    assert!(!csv.contains(",=cmd"), "a formula is left as it is: {csv}");
    assert!(csv.contains("'=cmd"), "{csv}");
    world.check_shows("copied");
}

#[tokio::test]
async fn a_table_is_written_to_a_file_and_none_is_written_over_without_a_question() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("hosts.txt");
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    let save = format!("X<enter>C-u{}<enter>", path.display());
    world.press(&save).await;
    until(&mut world, "rows written to").await;
    let text = std::fs::read_to_string(&path).expect("written");
    assert_eq!(text.lines().count(), 9);
    assert!(text.lines().next().is_some_and(|head| head.starts_with("NAME")), "{text}");
    std::fs::write(&path, "mine").expect("write");
    world.press(&save).await;
    world.check_shows("is there already");
    world.press("n").await;
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "mine");
    world.press(&save).await;
    world.press("y").await;
    until(&mut world, "rows written to").await;
    assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
    world.press("X<enter>C-u/nowhere/at/all<enter>").await;
    until(&mut world, "nothing was written").await;
}

async fn until(world: &mut World, text: &str) {
    let begin = std::time::Instant::now();
    while !world.screen().contains(text) {
        assert!(begin.elapsed().as_secs() < 20, "no {text:?} in\n{}", world.screen());
        tokio::task::yield_now().await;
        world.idle().await;
    }
}

#[tokio::test]
async fn the_card_is_shown_at_the_very_first_start_only_and_its_key_does_what_it_does() {
    let folder = tempfile::tempdir().expect("folder");
    let memory = Some(folder.path().join("s.toml"));
    let setup = Setup { memory, hints: true, ..Setup::default() };
    let mut world = World::new(setup.clone()).await;
    world.fleet(some_hosts()).await;
    world.check_shows("Welcome");
    for line in ["does anything by its name", "shows the keys", "shows only what you look for"] {
        world.check_shows(line);
    }
    world.press("/").await;
    world.check_hides("Welcome");
    world.press("web1<enter>").await;
    world.check_shows("1 shown");
    world.app.leave();
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world.check_hides("Welcome");
}

#[tokio::test]
async fn a_hint_comes_once_and_not_when_they_are_off() {
    for hints in [true, false] {
        let folder = tempfile::tempdir().expect("folder");
        let memory = Some(folder.path().join("s.toml"));
        let mut world = World::new(Setup { memory, hints, ..Setup::default() }).await;
        let many = (0..60).map(|n| host(n, &format!("n{n}"), HostState::Away)).collect();
        world.fleet(many).await;
        world.press("j").await;
        let mut seen = 0;
        for _ in 0..20 {
            world.later(30).await;
            seen += usize::from(world.screen().contains("/ filters a long table"));
        }
        assert_eq!(seen, usize::from(hints));
    }
}

#[tokio::test]
async fn on_a_thin_line_figures_come_less_often_and_little_charts_are_left_out() {
    let mut world = World::new(Setup { thin: true, ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.check_hides("60 S");
    world.check_shows("thin");
    let interval = |asked: Vec<cmdr_tui::link::fake::Asked>, method: &str| -> Option<Value> {
        let asked = asked.into_iter().find(|asked| asked.method == method)?;
        Some(asked.body["interval_ms"].clone())
    };
    world.lose().await;
    world.far.take_asked();
    world.up(cmdr_protocol::role::Role::ADMINISTRATOR);
    world.idle().await;
    assert_eq!(interval(world.far.take_asked(), "hosts.watch"), Some(3000.into()));
}

#[tokio::test]
async fn how_much_is_drawn_is_shown_on_a_thin_line_by_its_key_and_by_the_settings() {
    let folder = tempfile::tempdir().expect("folder");
    let said = |text: &str| {
        let config = folder.path().join(format!("{text}.toml"));
        std::fs::write(&config, format!("meter = {text}\n")).expect("write");
        Some(config)
    };
    for (thin, config, shown) in [
        (true, None, true),
        (true, said("false"), false),
        (false, None, false),
        (false, said("true"), true),
    ] {
        for size in SIZES {
            let setup = Setup { thin, config: config.clone(), size, ..Setup::default() };
            let mut world = World::new(setup).await;
            world.fleet(some_hosts()).await;
            let top = |world: &World| world.screen().lines().next().map(str::to_owned);
            let is_shown = |world: &World| top(world).is_some_and(|top| top.contains('✎'));
            assert_eq!(is_shown(&world), shown, "{thin} {config:?}:\n{}", world.screen());
            world.press("<f8>").await;
            assert_eq!(is_shown(&world), !shown, "the key turns it");
            world.press("?/byte meter<enter>").await;
            world.check_shows("F8");
        }
    }
}

#[tokio::test]
async fn what_was_said_about_the_meter_holds_at_the_next_start_and_nothing_said_says_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let memory = Some(folder.path().join("s.toml"));
    // At first nobody says anything, then it is put out, then lit.
    for (thin, shown, key) in
        [(false, false, ""), (true, true, "<f8>"), (true, false, "<f8>"), (false, true, "")]
    {
        let mut world =
            World::new(Setup { memory: memory.clone(), thin, ..Setup::default() }).await;
        world.fleet(some_hosts()).await;
        assert_eq!(world.screen().contains('✎'), shown, "{thin} {key}");
        world.press(key).await;
        world.app.leave();
    }
}

fn click(world: &World, sign: &str) -> Event {
    let cells = world.terminal.backend().buffer().content();
    let column = cells.iter().position(|cell| cell.symbol() == sign).expect("a sign") as u16;
    let kind = MouseEventKind::Down(MouseButton::Left);
    Event::Mouse(MouseEvent { kind, column, row: 0, modifiers: KeyModifiers::NONE })
}

fn a_run(n: u8, state: runs::RunState) -> runs::Run {
    runs::Run { id: Some(RunId([n; 8])), state, ..runs::Run::default() }
}

/// The hub begins to tell of runs, of which two go on; and somebody asks for rights.
async fn busy(world: &mut World) {
    world.far.answer(|asked| match (asked.method, asked.body["open"].as_bool()) {
        ("runs.list", Some(true)) => {
            let goes_on = [a_run(1, runs::RunState::Running), a_run(2, runs::RunState::Paused)];
            let listing = runs::Listing { runs: goes_on.into(), ..runs::Listing::default() };
            Ok(serde_json::to_value(listing).expect("JSON"))
        }
        _ => Ok(serde_json::json!({})),
    });
    let approvals = support::log::approvals(NOW_MS);
    let listing = approvals::Listing { approvals, may_ask: None };
    world.far.push::<approvals::Watch>(None, &listing);
    tell(world, runs::ListNews { begins: true, ..runs::ListNews::default() }).await;
}

async fn tell(world: &mut World, news: runs::ListNews) {
    world.far.push::<runs::ListWatch>(None, &news);
    world.idle().await;
    world.idle().await;
}

#[tokio::test]
async fn what_goes_on_and_what_waits_is_counted_on_every_page_and_leads_to_its_own() {
    let mut world = World::new(Setup { size: (160, 45), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    busy(&mut world).await;
    world.check_shows("▶ 2 under way");
    world.check_shows("⚑ 1 to approve");
    let ended = vec![a_run(1, runs::RunState::Done), a_run(3, runs::RunState::Running)];
    tell(&mut world, runs::ListNews { runs: ended, ..runs::ListNews::default() }).await;
    world.check_shows("▶ 2 under way");
    let gone = vec![RunId([2; 8])];
    tell(&mut world, runs::ListNews { gone, ..runs::ListNews::default() }).await;
    world.check_shows("▶ 1 under way");
    let top = |world: &World| world.screen().lines().next().unwrap_or_default().to_owned();
    world.events([click(&world, "▶")]).await;
    assert!(top(&world).contains("hosts ▸ runs"), "{}", top(&world));
    world.press("<esc>").await;
    world.events([click(&world, "⚑")]).await;
    assert!(top(&world).contains("hosts ▸ approvals"), "{}", top(&world));
    // With the hub away nobody knows.
    world.lose().await;
    assert!(!top(&world).contains('▶'), "{}", top(&world));
}

#[tokio::test]
async fn who_may_not_see_runs_is_told_of_none() {
    let mut verbs = support::verbs(cmdr_protocol::role::Role::ADMINISTRATOR);
    verbs.retain(|verb| verb != "runs.list");
    let mut world = World::new(Setup { verbs: Some(verbs), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    assert!(!world.far.open_feeds().iter().any(|(_, method)| *method == "runs.list.watch"));
}

#[tokio::test]
async fn a_busy_fleet_and_a_thin_line_look_right_at_each_size() {
    for setup in each() {
        let mut world = World::new(setup.clone()).await;
        world.fleet(some_hosts()).await;
        busy(&mut world).await;
        snap!("hosts_busy", world);
        world.press("/web1<enter><enter>").await;
        snap!("host_busy", world);
        let mut world = World::new(Setup { thin: true, ..setup }).await;
        world.fleet(some_hosts()).await;
        snap!("hosts_thin", world);
    }
}

#[tokio::test]
async fn columns_that_were_chosen_are_shown_on_a_thin_line_too() {
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("tui.toml");
    std::fs::write(&config, "[columns]\nhosts = [\"name\", \"minute\"]\n").expect("write");
    let mut world =
        World::new(Setup { thin: true, config: Some(config), ..Setup::default() }).await;
    world.far.push::<hosts::Watch>(
        None,
        &hosts::Change { put: some_hosts(), reset: true, ..Default::default() },
    );
    world.idle().await;
    world.check_shows("60 S");
}

#[tokio::test]
async fn the_theme_follows_the_ground_of_the_terminal_unless_one_was_named() {
    use ratatui::style::Color;
    for (theme, light) in [("auto", true), ("dark", false)] {
        let mut world = World::new(Setup { theme, ..Setup::default() }).await;
        world.fleet(some_hosts()).await;
        world.events([Event::Ground([253, 246, 227])]).await;
        let ground = world.terminal.backend().buffer()[(0, 5)].bg;
        let Color::Rgb(red, ..) = ground else { panic!("{ground:?}") };
        assert_eq!(red > 128, light, "{theme}");
    }
}
