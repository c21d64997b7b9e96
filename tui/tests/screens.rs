//! Pictures of every pane and overlay at the sizes that matter, in the states that matter.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, host, id, sample, some_hosts};
use cmdr_protocol::CallError;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::metrics::Watch as MetricsWatch;
use cmdr_protocol::role::Role;
use cmdr_tui::i18n::Lang;
use cmdr_tui::link::LinkState;
use ratatui::style::Color;
use std::collections::BTreeMap;
use std::fmt::Write as _;

async fn figures(world: &mut World) {
    for n in 0..400u64 {
        // A gap of a minute and a half.
        if !(200..290).contains(&n) {
            world.far.push::<MetricsWatch>(Some(id(1)), &sample(NOW_MS - (399 - n) * 1000, n));
        }
    }
    world.idle().await;
}

async fn at_overview(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>").await;
    figures(&mut world).await;
    world
}

#[tokio::test]
async fn hosts_in_every_state() {
    for setup in each() {
        let mut world = World::new(setup).await;
        snap!("hosts_waiting", world);
        world.fleet(Vec::new()).await;
        snap!("hosts_none", world);
        world.fleet(vec![host(1, "web1", HostState::Online)]).await;
        snap!("hosts_one", world);
        world.fleet(some_hosts()).await;
        snap!("hosts", world);
        world.press("jj<space>").await;
        snap!("hosts_many_marked", world);
        world.press("<esc>/web").await;
        snap!("hosts_filtering", world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("hosts_hub_lost", world);
    }
}

#[tokio::test]
async fn the_overview_in_every_state() {
    for setup in each() {
        let mut world = at_overview(setup.clone()).await;
        snap!("overview", world);
        world.press("+").await;
        world.lose().await;
        world.later(30).await;
        snap!("overview_hub_lost", world);
        let mut world = World::new(setup).await;
        world.fleet(some_hosts()).await;
        world.press("/db2<enter><enter>").await;
        snap!("overview_away", world);
        world.press("<esc><esc>/web1<enter><enter>").await;
        world.far.fail::<MetricsWatch>(Some(id(1)), &CallError::denied("metrics are off here"));
        world.idle().await;
        snap!("overview_denied", world);
    }
}

#[tokio::test]
async fn processes_in_every_state() {
    for setup in each() {
        let mut world = World::at_processes(setup).await;
        snap!("processes", world);
        world.press("t").await;
        snap!("processes_tree", world);
        world.press("<enter>").await;
        snap!("processes_detail", world);
        world.press("<esc>x").await;
        snap!("processes_signals", world);
        world.press("<enter>").await;
        snap!("processes_confirm", world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("processes_hub_lost", world);
    }
}

#[tokio::test]
async fn overlays() {
    for setup in each() {
        let mut world = World::new(setup).await;
        world.fleet(some_hosts()).await;
        world.press("?").await;
        snap!("help", world);
        world.press("<esc>:we").await;
        snap!("palette", world);
        world.press("<esc>D").await;
        snap!("confirm", world);
        world.press("<esc>*D").await;
        snap!("confirm_many", world);
        world.press("<esc>t").await;
        snap!("prompt_labels", world);
        world.press("<esc>T").await;
        snap!("themes", world);
        world.press("<esc>C").await;
        snap!("columns", world);
        world.press("<esc>V").await;
        snap!("views", world);
        world.press("<esc>X").await;
        snap!("print", world);
        world.press("<esc>!").await;
        snap!("edits", world);
        world.press("<esc>L").await;
        snap!("journal", world);
        world.press("<esc>C-p").await;
        snap!("finder", world);
        world.press("web").await;
        snap!("finder_found", world);
        world.press("nowhere").await;
        snap!("finder_none", world);
    }
}

#[tokio::test]
async fn the_first_screen_before_and_when_the_hub_refuses() {
    for setup in each() {
        let mut world = World::new(Setup { role: Role::OBSERVER, ..setup.clone() }).await;
        snap!("observer", world);
        world.far.set_state(LinkState::Refused(
            "the operator li was shut out; ask an administrator".into(),
        ));
        world.idle().await;
        snap!("refused", world);
        let memory = tempfile::tempdir().expect("a folder");
        let memory = Some(memory.path().join("s.toml"));
        let mut world = World::new(Setup { memory, hints: true, ..setup }).await;
        world.fleet(some_hosts()).await;
        snap!("welcome", world);
    }
}

/// The screen with a letter for each style beside each row, and what the letters mean.
fn styled(world: &World) -> String {
    let buffer = world.terminal.backend().buffer();
    let mut letters: BTreeMap<String, char> = BTreeMap::new();
    let mut rows = String::new();
    let hex = |c: Color| match c {
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
        other => other.to_string(),
    };
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let style = format!("{} on {} {:?}", hex(cell.fg), hex(cell.bg), cell.modifier);
            let next = char::from(b'a' + (letters.len() % 26) as u8);
            rows.push(*letters.entry(style).or_insert(next));
        }
        rows.push('\n');
    }
    for (style, letter) in letters {
        writeln!(rows, "{letter} {style}").expect("a String");
    }
    rows
}

#[tokio::test]
async fn colours_in_two_themes() {
    for theme in ["dark", "light"] {
        let setup = Setup { size: (80, 24), theme, ..Setup::default() };
        let mut world = World::new(setup.clone()).await;
        world.fleet(some_hosts()).await;
        insta::assert_snapshot!(format!("styles_hosts_{theme}"), styled(&world));
        let world = World::at_processes(setup).await;
        insta::assert_snapshot!(format!("styles_processes_{theme}"), styled(&world));
    }
}

#[tokio::test]
async fn who_labels_a_host_sees_its_labels() {
    let mut world = World::new(Setup { size: (60, 18), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter>t").await;
    world.check_shows("now: ");
}

#[tokio::test]
async fn what_is_wrong_with_a_typed_line_is_told_whole_on_a_small_screen() {
    let mut world = World::new(Setup { size: (60, 18), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter>tthis-is-no-label-of-any-kind-that-is-known<enter>").await;
    world.check_shows("nor key-");
}

#[tokio::test]
async fn a_question_too_long_for_its_border_is_asked_whole_inside() {
    let mut world = World::new(Setup { size: (60, 18), ..Setup::default() }).await;
    let mut hosts = some_hosts();
    hosts[0].name = "a-host-with-a-name-as-long-as-names-of-hosts-may-be.example".to_owned();
    world.fleet(hosts).await;
    world.press("/a-host<enter>D").await;
    world.check_shows("Forget a-host");
    world.check_shows("unknown to the hub.");
}

#[tokio::test]
async fn a_cursor_that_was_not_moved_stays_on_the_first_host_while_the_fleet_comes() {
    let mut world = World::new(Setup::default()).await;
    let mut hosts = some_hosts();
    hosts.sort_by(|a, b| b.name.cmp(&a.name));
    world.fleet(hosts[..1].to_vec()).await;
    world.fleet(hosts.clone()).await;
    world.check_shows("▌ db1");
    world.press("j").await;
    hosts.push(host(90, "aa1", HostState::Online));
    world.fleet(hosts).await;
    world.check_shows("▌ db2");
}

#[tokio::test]
async fn with_the_hub_lost_nobody_is_told_to_be_online() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    let sign = |world: &World| {
        let cells = world.terminal.backend().buffer().content();
        cells.iter().find(|cell| cell.symbol() == "●" && cell.fg != cells[0].fg).map(|c| c.fg)
    };
    let before = sign(&world);
    world.lose().await;
    world.later(3).await;
    assert_ne!(sign(&world), before);
}

#[tokio::test]
async fn an_empty_fleet_says_whole_what_to_do_on_a_small_screen() {
    for lang in [Lang::En, Lang::Zh] {
        let mut world = World::new(Setup { size: (60, 18), lang, ..Setup::default() }).await;
        world.fleet(Vec::new()).await;
        world.check_shows("TOKEN");
    }
}
