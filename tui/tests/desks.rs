//! Parts of the screen, desks, and what of them is found again at the next start.

use crate::support::pictures::each;
use crate::support::{Setup, World, host, id, some_hosts, some_processes};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::processes::Watch;
use cmdr_protocol::{Feed, logs, sessions};
use cmdr_tui::keymap::parse_keys;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// A wide screen, so that there is room for two.
fn wide() -> Setup {
    Setup { size: (160, 45), ..Setup::default() }
}

async fn fleet(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world
}

#[tokio::test]
async fn two_pages_stand_side_by_side_and_only_what_is_seen_is_followed() {
    let mut world = fleet(wide()).await;
    world.press("C-wv/web1<enter><enter>2").await;
    world.far.push::<Watch>(Some(id(1)), &some_processes());
    world.idle().await;
    world.check_shows("web1 ▸ processes");
    world.check_shows("/usr/sbin/nginx");
    world.check_shows("边缘-北京1");
    assert_eq!(world.feeds(), [(None, "hosts.watch"), (Some(id(1)), "processes.watch")]);
    world.press("C-wh/web2<enter><enter>").await;
    world.idle().await;
    let feeds = world.feeds();
    assert!(feeds.contains(&(Some(id(2)), "metrics.watch")), "{feeds:?}");
    assert!(feeds.contains(&(Some(id(1)), "processes.watch")), "{feeds:?}");
    world.press("C-wz").await;
    world.idle().await;
    world.check_shows("zoomed 1/2");
    assert!(!world.feeds().contains(&(Some(id(1)), "processes.watch")));
    world.press("C-wzC-wlC-wc").await;
    world.idle().await;
    assert!(!world.feeds().contains(&(Some(id(1)), "processes.watch")));
    world.check_hides("processes ·");
}

#[tokio::test]
async fn each_part_has_its_own_way_back() {
    let mut world = fleet(wide()).await;
    world.press("C-wv/web1<enter><enter>C-wh/db1<enter><enter>").await;
    world.check_shows("db1 ▸ overview");
    world.press("<esc>").await;
    world.check_hides("db1 ▸ overview");
    world.check_shows("web1 ▸ overview");
    world.press("C-wl<esc>").await;
    world.check_hides("▸ overview");
}

#[tokio::test]
async fn a_click_gives_a_part_the_keys_and_the_wheel_does_not() {
    let mut world = fleet(wide()).await;
    world.press("C-wvA").await;
    let mouse = |kind| {
        let modifiers = KeyModifiers::NONE;
        cmdr_tui::event::Event::Mouse(MouseEvent { kind, column: 20, row: 12, modifiers })
    };
    world.events([mouse(MouseEventKind::ScrollDown)]).await;
    assert!(first_line(&world).contains("audit"));
    world.events([mouse(MouseEventKind::Down(MouseButton::Left))]).await;
    assert!(!first_line(&world).contains("audit"));
}

fn first_line(world: &World) -> String {
    world.screen().lines().next().expect("a line").to_owned()
}

#[tokio::test]
async fn a_screen_without_room_is_not_divided_and_one_that_shrank_shows_the_part_with_the_keys() {
    let mut world = fleet(Setup { size: (60, 18), ..Setup::default() }).await;
    world.press("C-wv").await;
    world.check_shows("there is no room for another part");
    let mut world = fleet(wide()).await;
    world.press("C-wvC-wsC-ws").await;
    world.press("C-wv").await;
    world.check_shows("a screen has 4 parts at most");
    world.press("/web3<enter>").await;
    world.terminal.backend_mut().resize(60, 18);
    world.events([cmdr_tui::event::Event::Resize]).await;
    world.check_shows("web3");
    world.check_hides("web4");
}

#[tokio::test]
async fn every_pane_draws_in_parts_of_any_size() {
    for places in ["", "<enter>", "<enter>2", "A", "O", "I", "P"] {
        for split in ["C-wv", "C-ws", "C-wvC-ws", "C-wsC-wvC-ws"] {
            let mut world = World::with_log(wide(), 40).await;
            world.press("/web1<enter>").await;
            world.press(places).await;
            world.press(split).await;
            for (width, height) in [(160, 45), (100, 30), (80, 24), (66, 20), (61, 18)] {
                world.terminal.backend_mut().resize(width, height);
                world.events([cmdr_tui::event::Event::Resize]).await;
                for keys in ["C-w<C-w<C-w<", "C-w-C-w-C-w-C-w-", "C-wwC-w>C-w+", "j?<esc>:<esc>"] {
                    world.press(keys).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn desks_are_made_named_turned_to_and_closed() {
    let mut world = fleet(wide()).await;
    world.press("C-wtC-wrbusy ones<enter>").await;
    world.check_shows("2 busy ones");
    world.press("/web1<enter><enter>C-wp").await;
    assert_eq!(world.feeds(), [(None, "hosts.watch")]);
    world.press("C-wn").await;
    world.idle().await;
    assert!(world.feeds().contains(&(Some(id(1)), "metrics.watch")));
    world.press("C-wd").await;
    world.check_shows("parts: 1");
    world.press("g<enter>C-wx").await;
    world.check_hides("busy ones ");
    world.press("C-wx").await;
    world.check_shows("this is the last one");
}

#[tokio::test]
async fn the_keys_behind_the_first_are_listed_and_others_do_nothing() {
    let mut world = fleet(wide()).await;
    world.press("C-w").await;
    world.check_shows("split, side by side");
    world.check_shows("to the next part");
    world.press("D").await;
    world.check_hides("split, side by side");
    assert_eq!(world.calls(), []);
}

fn kept(folder: &tempfile::TempDir) -> Setup {
    Setup { memory: Some(folder.path().join("screens.toml")), ..wide() }
}

#[tokio::test]
async fn what_was_on_the_screens_is_there_again_at_the_next_start() {
    let folder = tempfile::tempdir().expect("folder");
    let mut world = fleet(kept(&folder)).await;
    world.press("/web<enter>>>C-wvC-w<").await;
    world.press("/<backspace>C-u<enter>/web2<enter><enter>2t").await;
    world.press("C-wtA").await;
    world.app.leave();
    let mut world = fleet(kept(&folder)).await;
    world.check_shows("▸ audit");
    world.press("C-wp").await;
    world.far.push::<Watch>(Some(id(2)), &some_processes());
    world.idle().await;
    world.check_shows("web2 ▸ processes");
    world.check_shows("/web");
    world.check_shows("CPU▼");
    world.check_shows("tree");
    world.press("<esc>").await;
    world.check_hides("▸ processes");
}

#[tokio::test]
async fn a_kept_page_of_a_host_that_is_gone_says_so() {
    let folder = tempfile::tempdir().expect("folder");
    let mut world = fleet(kept(&folder)).await;
    world.press("/web2<enter><enter>2").await;
    world.app.leave();
    let mut world = World::new(kept(&folder)).await;
    world.fleet(vec![host(1, "web1", HostState::Online)]).await;
    world.check_shows("This host does not belong to the fleet any more.");
    world.press("<esc>").await;
    world.check_shows("web1");
}

#[tokio::test]
async fn sort_and_columns_are_remembered_without_being_asked() {
    let folder = tempfile::tempdir().expect("folder");
    let mut world = fleet(kept(&folder)).await;
    world.press("/web1<enter><enter>2").await;
    world.far.push::<Watch>(Some(id(1)), &some_processes());
    world.press("<<r<esc>").await;
    world.app.leave();
    let mut world = fleet(kept(&folder)).await;
    world.press("<esc>/db1<enter><enter>2").await;
    world.far.push::<Watch>(Some(id(5)), &some_processes());
    world.idle().await;
    world.check_shows("PID▼");
}

#[tokio::test]
async fn a_file_that_makes_no_sense_is_told_of_and_written_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("screens.toml");
    std::fs::write(&path, "desks = [[[\u{1b}").expect("write");
    let mut world = fleet(kept(&folder)).await;
    world.check_shows("what was kept of the last time is not used");
    world.press("C-wv").await;
    world.app.leave();
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains("shape = \"|500 . .\""), "{text}");
}

#[tokio::test]
async fn kept_screens_of_any_kind_start() {
    let part = |place: &str| format!("[[desks.parts]]\nplace = \"{place}\"\n");
    for (shape, parts) in [
        ("|500 . .", vec!["hosts"]),
        ("moon", vec!["hosts"]),
        (".", vec!["host 00 overview"]),
        ("-1 . .", vec!["recording 18446744073709551615", "nowhere"]),
        ("|500 |500 |500 . . . .", vec!["hosts", "audit", "rights", "approvals"]),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let parts: String = parts.into_iter().map(part).collect();
        let text = format!(
            "version = 1\ndesk = 77\n[[desks]]\nname = \"\u{202e}x\\u001b\"\nfocus = 99\nshape = \"{shape}\"\n{parts}"
        );
        std::fs::write(folder.path().join("screens.toml"), text).expect("write");
        let mut world = fleet(kept(&folder)).await;
        world.press("C-wwC-ww<esc>C-wvC-wo").await;
        world.check_shows("cmdr");
        assert!(!world.screen().contains('\u{1b}'), "{shape}");
    }
}

fn mouse(kind: MouseEventKind, column: u16, row: u16) -> cmdr_tui::event::Event {
    let modifiers = KeyModifiers::NONE;
    cmdr_tui::event::Event::Mouse(MouseEvent { kind, column, row, modifiers })
}

#[tokio::test]
async fn a_border_is_dragged_by_the_mouse_and_a_session_beside_it_hears_nothing_of_that() {
    let left = MouseButton::Left;
    let mut world = fleet(wide()).await;
    world.press("C-wv").await;
    let border = |world: &World| {
        let line = world.screen().lines().nth(12).expect("a line").to_owned();
        // The picture has a quotation mark before each line.
        line.chars().position(|c| c == '│').map(|at| at as u16 - 1)
    };
    let before = border(&world).expect("a border");
    world.events([mouse(MouseEventKind::Down(left), before, 12)]).await;
    world.events([mouse(MouseEventKind::Drag(left), before - 20, 12)]).await;
    assert_eq!(border(&world), Some(before - 20));
    world.events([mouse(MouseEventKind::Up(left), before - 25, 20)]).await;
    assert_eq!(border(&world), Some(before - 25), "where it was let go");
    world.events([mouse(MouseEventKind::Drag(left), 100, 20)]).await;
    assert_eq!(border(&world), Some(before - 25), "it is not held any more");
    // One above the other, the lower one's title is the border.
    world.press("C-ws").await;
    world.press("C-wk").await;
    let title = |world: &World| {
        let focused = world.screen();
        focused
            .lines()
            .skip(5)
            .position(|line| line.contains("hosts ──"))
            .unwrap_or_else(|| panic!("{focused}")) as u16
            + 5
    };
    let before = title(&world);
    let column = 150;
    world.events([mouse(MouseEventKind::Down(left), column, before)]).await;
    world.events([mouse(MouseEventKind::Up(left), column, before - 5)]).await;
    assert_eq!(title(&world), before - 5);
}

#[tokio::test]
async fn parts_and_desks_look_right_at_all_sizes_and_in_both_languages() {
    for setup in each() {
        let narrow = setup.size.0 <= 60;
        let mut world = fleet(setup).await;
        world.press("/web1<enter><enter>2").await;
        world.far.push::<Watch>(Some(id(1)), &some_processes());
        world.idle().await;
        // The smallest screen has room for parts only one above the other.
        world.press(if narrow { "C-ws" } else { "C-wv" }).await;
        world.press("<esc><esc>").await;
        snap!("parts", world);
        world.press("C-wtC-wrnight<enter>C-wtA").await;
        snap!("desks", world);
        world.press("C-w").await;
        snap!("desk_keys", world);
    }
}

#[test]
fn the_keys_of_these_tests_parse() {
    assert!(parse_keys("C-wvC-w<C-w<").is_some());
}

#[tokio::test]
async fn two_panes_of_the_audit_log_show_one_search_and_do_not_take_it_from_each_other() {
    let mut world = World::with_log(wide(), 40).await;
    world.press("AC-wv").await;
    world.calls();
    world.press("sann*<tab>exec.*<tab><tab>filed<enter>").await;
    let mut asked = 0;
    for _ in 0..10 {
        world.later(1).await;
        asked += world.calls().iter().filter(|call| call.method == "audit.list").count();
    }
    assert!(asked <= 3, "the hub was asked {asked} times");
}

/// The bodies of what was asked by this method since the last time.
fn asked<F: Feed>(world: &World) -> Vec<serde_json::Value> {
    let calls = world.far.take_asked().into_iter();
    calls.filter(|call| call.method == F::METHOD).map(|call| call.body).collect()
}

#[tokio::test]
async fn two_new_sessions_of_one_host_stand_side_by_side_each_with_its_own_output() {
    let mut world = fleet(wide()).await;
    world.press("/web1<enter><enter><backtab>C-wv").await;
    // In each of the two parts a session is opened.
    world.press("n").await;
    world.idle().await;
    let first = sessions::Item { output: b"left of it".to_vec(), ..sessions::Item::default() };
    world.far.push::<sessions::Open>(Some(id(1)), &begun("aaaaaaaaaa"));
    world.far.push::<sessions::Open>(Some(id(1)), &first);
    world.idle().await;
    world.press("C-\\C-wh").await;
    world.press("n").await;
    world.idle().await;
    assert_eq!(asked::<sessions::Open>(&world).len(), 2, "each asks for a session of its own");
    assert_eq!(world.feeds().iter().filter(|(_, method)| *method == "sessions.open").count(), 2);
    world.check_shows("left of it");
}

fn begun(id: &str) -> sessions::Item {
    let begun = sessions::Begun { id: id.into(), client: 5, mode: sessions::Mode::Drive };
    sessions::Item { begun: Some(begun), ..sessions::Item::default() }
}

#[tokio::test]
async fn two_panes_of_logs_follow_what_each_was_told_and_none_takes_it_from_the_other() {
    let mut world = fleet(wide()).await;
    world.far.answer(|asked| match asked.method {
        "logs.sources" => Ok(serde_json::to_value(logs::Listing {
            sources: ["file:/var/log/syslog", "file:/var/log/nginx.log"]
                .map(|source| logs::Source { source: source.into(), ..logs::Source::default() })
                .into(),
            ..logs::Listing::default()
        })
        .expect("json")),
        _ => Ok(serde_json::json!({})),
    });
    world.press("/web1<enter><enter>8/syslog<enter><enter>").await;
    world.press("C-wv").await;
    world.press("s/nginx<enter><enter>").await;
    world.idle().await;
    let sources: Vec<_> =
        asked::<logs::Follow>(&world).iter().map(|body| body["source"].clone()).collect();
    assert!(sources.contains(&"file:/var/log/nginx.log".into()), "{sources:?}");
    assert_eq!(world.feeds().iter().filter(|(_, method)| *method == "logs.follow").count(), 2);
    // What one line says stands in both parts, because the far end tells it to both.
    let line = logs::Line { bytes: b"one line".to_vec(), ..logs::Line::default() };
    let item = logs::Item { lines: vec![line], ..logs::Item::default() };
    world.far.push::<logs::Follow>(Some(id(1)), &item);
    world.idle().await;
    assert_eq!(world.screen().matches("one line").count(), 2, "{}", world.screen());
    for _ in 0..3 {
        world.later(5).await;
    }
    assert_eq!(asked::<logs::Follow>(&world), [] as [serde_json::Value; 0], "nothing begins anew");
}
