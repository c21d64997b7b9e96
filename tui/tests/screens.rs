//! Pictures of every pane and overlay at the sizes that matter, in the states that matter.

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

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (60, 18)];

async fn world(size: (u16, u16)) -> World {
    World::new(Setup { size, ..Setup::default() }).await
}

fn snap(name: &str, world: &World) {
    let size = world.terminal.backend().buffer().area;
    insta::assert_snapshot!(format!("{name}@{}x{}", size.width, size.height), world.screen());
}

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
    for size in SIZES {
        let mut world = world(size).await;
        snap("hosts_waiting", &world);
        world.fleet(Vec::new()).await;
        snap("hosts_none", &world);
        world.fleet(vec![host(1, "web1", HostState::Online)]).await;
        snap("hosts_one", &world);
        world.fleet(some_hosts()).await;
        world.press("jj<space>").await;
        snap("hosts_many_marked", &world);
        world.press("<esc>/web").await;
        snap("hosts_filtering", &world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap("hosts_hub_lost", &world);
    }
}

#[tokio::test]
async fn the_overview_in_every_state() {
    for size in SIZES {
        let mut world = at_overview(Setup { size, ..Setup::default() }).await;
        snap("overview", &world);
        world.press("+").await;
        world.lose().await;
        world.later(30).await;
        snap("overview_hub_lost", &world);
    }
    let mut world = world((80, 24)).await;
    world.fleet(some_hosts()).await;
    world.press("/db2<enter><enter>").await;
    snap("overview_away", &world);
    world.press("<esc><esc>/web1<enter><enter>").await;
    world.far.fail::<MetricsWatch>(Some(id(1)), &CallError::denied("metrics are off here"));
    world.idle().await;
    snap("overview_denied", &world);
}

#[tokio::test]
async fn processes_in_every_state() {
    for size in SIZES {
        let mut world = World::at_processes(Setup { size, ..Setup::default() }).await;
        snap("processes", &world);
        world.press("t").await;
        snap("processes_tree", &world);
        world.press("<enter>").await;
        snap("processes_detail", &world);
        world.press("<esc>x").await;
        snap("processes_signals", &world);
        world.press("<enter>").await;
        snap("processes_confirm", &world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap("processes_hub_lost", &world);
    }
}

#[tokio::test]
async fn overlays() {
    for size in SIZES {
        let mut world = world(size).await;
        world.fleet(some_hosts()).await;
        world.press("?").await;
        snap("help", &world);
        world.press("<esc>:we").await;
        snap("palette", &world);
        world.press("<esc>*D").await;
        snap("confirm_many", &world);
        world.press("<esc>t").await;
        snap("prompt_labels", &world);
        world.press("<esc>T").await;
        snap("themes", &world);
    }
}

#[tokio::test]
async fn the_first_screen_before_and_when_the_hub_refuses() {
    let mut world =
        World::new(Setup { size: (80, 24), role: Role::OBSERVER, ..Setup::default() }).await;
    snap("observer", &world);
    world.far.set_state(LinkState::Refused("this key was revoked; ask an administrator".into()));
    world.idle().await;
    snap("refused", &world);
}

#[tokio::test]
async fn chinese_screens() {
    for size in SIZES {
        let setup = Setup { size, lang: Lang::Zh, ..Setup::default() };
        let mut world = World::new(setup.clone()).await;
        world.fleet(some_hosts()).await;
        snap("zh_hosts", &world);
        world.press("?").await;
        snap("zh_help", &world);
        world.press("<esc>D").await;
        snap("zh_confirm", &world);
        snap("zh_overview", &at_overview(setup.clone()).await);
        snap("zh_processes", &World::at_processes(setup).await);
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
