//! Sessions in the client, by keys, against a far end that is a test.

mod looks;

use crate::support::{NOW_MS, Setup, World, id, some_hosts, verbs};
use cmdr_protocol::exec::{Exit, Outcome};
use cmdr_protocol::role::Role;
use cmdr_protocol::sessions::{
    Attach, Begun, Client, Input, Item, Join, Listing, Mode, Open, Session, Size, Watch,
};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::event::Event;
use cmdr_tui::widgets::terminal::Caret;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

pub(crate) fn session(id: &str, operator: &str, title: &str) -> Session {
    Session {
        id: id.into(),
        name: if title.is_empty() { String::new() } else { "edit".into() },
        operator: operator.into(),
        user: if operator == "li" { "root" } else { "deploy" }.into(),
        command: vec!["/bin/bash".into(), "-l".into()],
        title: title.into(),
        pid: 4711,
        started_ms: NOW_MS - 3_600_000,
        active_ms: NOW_MS - 65_000,
        size: Size::default(),
        clients: Vec::new(),
        opened: "as=root+shell".into(),
        ssh: String::new(),
    }
}

fn client(id: u32, operator: &str, mode: Mode) -> Client {
    Client { id, operator: operator.into(), mode, since_ms: NOW_MS }
}

fn some_sessions() -> Listing {
    let mut other = session("bbbbbbbbbb", "wang", "");
    other.clients = vec![client(1, "wang", Mode::Drive), client(2, "zhao", Mode::Watch)];
    let evil = session("cccccccccc", "li", "节点 \u{1b}]0;x\u{7} 日志");
    Listing { sessions: vec![session("aaaaaaaaaa", "li", "vim main.rs"), other, evil] }
}

pub(crate) fn setup() -> Setup {
    let mut verbs = verbs(Role::ADMINISTRATOR);
    let more = ["list", "watch", "open", "attach", "join", "end", "end-any"];
    verbs.extend(more.map(|verb| format!("sessions.{verb}")));
    verbs.extend(["open", "trust"].map(|verb| format!("ssh.{verb}")));
    verbs.sort_unstable();
    verbs.dedup();
    Setup { verbs: Some(verbs), ..Setup::default() }
}

/// At the tab of the sessions of web1.
pub(crate) async fn at_list(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter><backtab>").await;
    world
}

/// With some sessions in it.
async fn with_sessions(setup: Setup) -> World {
    let mut world = at_list(setup).await;
    world.far.push::<Watch>(Some(id(1)), &some_sessions());
    world.idle().await;
    world
}

/// In a new shell.
pub(crate) async fn in_shell(setup: Setup) -> World {
    let mut world = at_list(setup).await;
    world.press("n").await;
    world.idle().await;
    begun::<Open>(&mut world, Mode::Drive).await;
    world
}

pub(crate) async fn begun<F: cmdr_protocol::Feed<Item = Item>>(world: &mut World, mode: Mode) {
    let begun = Some(Begun { id: "aaaaaaaaaa".into(), client: 5, mode });
    came::<F>(world, Item { begun, ..Item::default() }).await;
}

pub(crate) async fn came<F: cmdr_protocol::Feed<Item = Item>>(world: &mut World, item: Item) {
    world.far.push::<F>(Some(id(1)), &item);
    world.idle().await;
}

pub(crate) async fn wrote(world: &mut World, text: &str) {
    came::<Open>(world, Item { output: text.as_bytes().to_vec(), ..Item::default() }).await;
}

/// What was sent to the session since the last time.
pub(crate) fn sent(world: &World) -> Vec<Input> {
    let inputs = world.far.take_inputs().into_iter();
    inputs.map(|asked| serde_json::from_value(asked.body).expect("input")).collect()
}

pub(crate) fn typed(world: &World) -> String {
    let bytes: Vec<u8> = sent(world).into_iter().flat_map(|input| input.data).collect();
    String::from_utf8(bytes).expect("text")
}

pub(crate) fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Event {
    Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
}

#[tokio::test]
async fn a_shell_is_opened_typed_in_and_shows_what_comes_back() {
    let mut world = at_list(setup()).await;
    world.far.push::<Watch>(Some(id(1)), &Listing::default());
    world.idle().await;
    world.check_shows("No session is open here");
    world.press("n").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let open = asked.iter().find(|asked| asked.method == "sessions.open").expect("opened");
    assert_eq!(open.to, Some(id(1)));
    assert_eq!(open.body["size"], serde_json::json!({"c": 120, "r": 37}));
    begun::<Open>(&mut world, Mode::Drive).await;
    wrote(&mut world, "\u{1b}]0;root@web1\u{7}$ ").await;
    world.check_shows("root@web1");
    world.check_shows("you drive");
    sent(&world);
    world.press("ls -l<enter>C-cq?").await;
    assert_eq!(typed(&world), "ls -l\r\u{3}q?", "every key goes to the session");
    wrote(&mut world, "ls -l\r\n总计 0\r\n").await;
    world.check_shows("总计 0");
}

#[tokio::test]
async fn behind_the_prefix_keys_are_commands_and_pressed_twice_it_is_sent() {
    let mut world = in_shell(setup()).await;
    sent(&world);
    // Terminals tell this key by the digit that has the same byte.
    world.press("C-\\C-\\").await;
    world.press("C-4C-4").await;
    assert_eq!(typed(&world), "\u{1c}\u{1c}");
    world.press("C-\\?").await;
    for shown in ["Press Ctrl-\\ first", "leave, it goes on", "look back, copy", "watch or drive"] {
        world.check_shows(shown);
    }
    world.press("<esc>C-\\<esc>x").await;
    assert_eq!(typed(&world), "x", "Esc takes the prefix back");
    world.press("C-\\z").await;
    world.check_hides("cmdr  ");
    world.idle().await;
    let size = sent(&world).into_iter().find_map(|input| input.size);
    assert_eq!(size, Some(Size { columns: 120, rows: 40 }), "the whole screen is the session's");
    world.press("C-\\z").await;
    world.press("C-\\:").await;
    world.check_shows("leave, it goes on");
    world.press("<esc>C-\\x").await;
    world.check_shows("End session aaaaaaaaaa?");
    world.press("y").await;
    assert_eq!(world.calls().last().map(|call| call.method), Some("sessions.end"));
}

#[tokio::test]
async fn it_is_left_found_again_and_costs_nothing_while_it_is_not_seen() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "vim is here").await;
    assert!(world.feeds().contains(&(Some(id(1)), "sessions.open")));
    world.press("C-\\1").await;
    assert!(!world.feeds().iter().any(|(_, method)| method.starts_with("sessions")));
    // Its tab is as it was: what it showed is there at once, and it is attached to again.
    world.press("<backtab>").await;
    world.idle().await;
    world.check_shows("vim is here");
    assert!(world.feeds().contains(&(Some(id(1)), "sessions.attach")), "{:?}", world.feeds());
    let attach = world.far.take_asked();
    let attach = attach.iter().find(|asked| asked.method == "sessions.attach").expect("attached");
    assert_eq!(attach.body["id"], "aaaaaaaaaa");
    begun::<Attach>(&mut world, Mode::Drive).await;
    let fresh = Item { fresh: true, output: b"vim was drawn anew".to_vec(), ..Item::default() };
    came::<Attach>(&mut world, fresh).await;
    world.check_shows("vim was drawn anew");
    world.press("C-\\d").await;
    world.far.push::<Watch>(Some(id(1)), &some_sessions());
    world.idle().await;
    world.check_shows("vim main.rs");
    assert!(!world.feeds().contains(&(Some(id(1)), "sessions.attach")));
}

#[tokio::test]
async fn after_the_link_was_away_it_attaches_again_by_itself() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "before").await;
    sent(&world);
    world.lose().await;
    world.press("x").await;
    world.check_shows("what is typed does not arrive");
    assert_eq!(typed(&world), "");
    world.up_as(Role::ADMINISTRATOR, setup().verbs.expect("verbs"));
    world.idle().await;
    world.idle().await;
    assert!(world.feeds().contains(&(Some(id(1)), "sessions.attach")), "{:?}", world.feeds());
    begun::<Attach>(&mut world, Mode::Drive).await;
    let fresh = Item { fresh: true, output: b"after".to_vec(), ..Item::default() };
    came::<Attach>(&mut world, fresh).await;
    world.check_shows("after");
    sent(&world);
    world.press("y").await;
    assert_eq!(typed(&world), "y");
}

#[tokio::test]
async fn one_that_ended_says_how_and_keeps_its_screen_until_esc() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "last words").await;
    let exit = Exit { outcome: Outcome::Exited, code: 3, took_ms: 10 };
    came::<Open>(&mut world, Item { exit: Some(exit), ..Item::default() }).await;
    world.far.end::<Open>(Some(id(1)));
    world.idle().await;
    world.check_shows("it has ended with exit code 3");
    world.check_shows("last words");
    world.press("q").await;
    world.check_shows("Esc leaves");
    assert!(!world.app.has_quit(), "what is typed a moment too late does no harm");
    world.press("<esc>").await;
    world.check_hides("last words");
}

#[tokio::test]
async fn what_may_not_be_opened_asks_as_whom() {
    let mut world = at_list(setup()).await;
    world.press("n").await;
    world.idle().await;
    let denied = CallError::new(ErrorKind::Denied, "your role allows shells as deploy only");
    world.far.fail::<Open>(Some(id(1)), &denied);
    world.idle().await;
    world.idle().await;
    world.check_shows("your role allows shells as deploy only");
    world.press("deploy<tab>htop<enter>").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let open = asked.iter().rev().find(|asked| asked.method == "sessions.open").expect("opened");
    assert_eq!(
        (&open.body["user"], &open.body["argv"]),
        (&serde_json::json!("deploy"), &serde_json::json!(["htop"]))
    );
}

#[tokio::test]
async fn a_paste_of_several_lines_is_shown_before_it_runs() {
    let mut world = in_shell(setup()).await;
    sent(&world);
    world.events([Event::Paste("one".into())]).await;
    assert_eq!(typed(&world), "one");
    world.events([Event::Paste("rm -rf /\necho \u{1b}[2J\n".into())]).await;
    world.check_shows("Paste 2 lines?");
    world.check_shows("rm -rf /");
    world.check_shows("echo ␛[2J");
    assert_eq!(typed(&world), "");
    world.press("n").await;
    assert_eq!(typed(&world), "");
    world.events([Event::Paste("a\nb".into())]).await;
    world.press("y").await;
    assert_eq!(typed(&world), "a\rb");
    wrote(&mut world, "\u{1b}[?2004h").await;
    world.events([Event::Paste("a\nb".into())]).await;
    assert_eq!(typed(&world), "\u{1b}[200~a\rb\u{1b}[201~");
}

#[tokio::test]
async fn the_clipboard_is_written_only_by_leave_and_by_policy() {
    let copies = "\u{1b}]52;c;aGVsbG8=\u{7}";
    let mut world = in_shell(setup()).await;
    wrote(&mut world, copies).await;
    world.idle().await;
    world.check_shows("Put this into your clipboard?");
    world.check_shows("hello");
    // More of them ask no more questions.
    for _ in 0..5 {
        wrote(&mut world, copies).await;
    }
    world.press("n").await;
    world.check_hides("clipboard?");
    assert_eq!(world.control.copied, Vec::<String>::new());
    wrote(&mut world, copies).await;
    world.idle().await;
    world.press("y").await;
    world.idle().await;
    assert_eq!(world.control.copied, ["hello"]);
    for (policy, copied) in [("always", 1), ("never", 0)] {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tui.toml");
        std::fs::write(&path, format!("[terminal]\nclipboard = \"{policy}\"\n")).expect("write");
        let mut world = in_shell(Setup { config: Some(path), ..setup() }).await;
        wrote(&mut world, copies).await;
        world.idle().await;
        world.idle().await;
        assert_eq!(world.control.copied.len(), copied, "{policy}");
        world.check_hides("clipboard?");
    }
}

#[tokio::test]
async fn another_prefix_may_be_chosen() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tui.toml");
    std::fs::write(&path, "[terminal]\nprefix = \"C-a\"\n").expect("write");
    let mut world = in_shell(Setup { config: Some(path), ..setup() }).await;
    sent(&world);
    world.press("C-\\C-aC-a").await;
    assert_eq!(typed(&world), "\u{1c}\u{1}");
    world.press("C-ad").await;
    world.check_shows("WHAT");
}

#[tokio::test]
async fn the_mouse_goes_to_who_asks_for_it_and_else_selects_and_scrolls() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "hello world\r\n").await;
    sent(&world);
    let left = MouseButton::Left;
    world
        .events([
            mouse(MouseEventKind::Down(left), 0, 2),
            mouse(MouseEventKind::Drag(left), 4, 2),
            mouse(MouseEventKind::Up(left), 4, 2),
        ])
        .await;
    world.idle().await;
    assert_eq!(world.control.copied, ["hello"]);
    for n in 0..100 {
        wrote(&mut world, &format!("line {n}\r\n")).await;
    }
    world.events([mouse(MouseEventKind::ScrollUp, 5, 5)]).await;
    world.check_shows("lines up");
    assert_eq!(typed(&world), "");
    world.press("x").await;
    world.check_hides("lines up");
    wrote(&mut world, "\u{1b}[?1002h\u{1b}[?1006h").await;
    sent(&world);
    world
        .events([
            mouse(MouseEventKind::Down(left), 3, 4),
            mouse(MouseEventKind::Drag(left), 3, 4),
            mouse(MouseEventKind::Drag(left), 4, 4),
            mouse(MouseEventKind::Up(left), 4, 4),
            mouse(MouseEventKind::ScrollUp, 4, 4),
        ])
        .await;
    assert_eq!(typed(&world), "\u{1b}[<0;4;3M\u{1b}[<32;5;3M\u{1b}[<0;5;3m\u{1b}[<64;5;3M");
    // On another screen that knows no mouse the wheel is arrows.
    wrote(&mut world, "\u{1b}[?1002l\u{1b}[?1049h").await;
    world.events([mouse(MouseEventKind::ScrollDown, 4, 4)]).await;
    assert_eq!(typed(&world), "\u{1b}[B".repeat(3));
}

#[tokio::test]
async fn one_looks_back_searches_and_copies_by_keys() {
    let mut world = in_shell(Setup { size: (80, 24), ..setup() }).await;
    for n in 0..200 {
        wrote(&mut world, &format!("line {n} of 日志\r\n")).await;
    }
    sent(&world);
    world.press("C-\\[").await;
    world.press("/line 5[0-9] <enter>").await;
    world.check_shows("line 59 of");
    world.press("n").await;
    world.press("N").await;
    world.press("vey").await;
    world.idle().await;
    assert_eq!(world.control.copied, ["line"]);
    assert_eq!(typed(&world), "", "none of this went to the session");
    world.check_hides("lines up");
    world.press("C-\\[q").await;
    assert!(!world.app.has_quit());
    world.press("z").await;
    assert_eq!(typed(&world), "z");
}

#[tokio::test]
async fn who_watches_types_nothing_until_they_drive() {
    let mut world = with_sessions(setup()).await;
    world.press("w").await;
    world.idle().await;
    begun::<Attach>(&mut world, Mode::Watch).await;
    let clients = vec![client(9, "chen", Mode::Drive), client(5, "li", Mode::Watch)];
    let item = Item { clients: Some(clients), ..Item::default() };
    came::<Attach>(&mut world, item).await;
    world.check_shows("you watch, chen drives");
    sent(&world);
    world.press("x").await;
    world.check_shows("the prefix and w drives");
    assert_eq!(typed(&world), "");
    world.press("C-\\w").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let attach = asked.iter().rev().find(|asked| asked.method == "sessions.attach");
    assert_eq!(attach.map(|asked| asked.body["mode"].clone()), Some("drive".into()));
    begun::<Attach>(&mut world, Mode::Drive).await;
    let clients = vec![client(5, "li", Mode::Drive), client(9, "chen", Mode::Watch)];
    came::<Attach>(&mut world, Item { clients: Some(clients), ..Item::default() }).await;
    world.check_shows("you drive");
    sent(&world);
    world.press("C-\\g").await;
    world.check_shows("chen");
    world.press("<enter>").await;
    assert_eq!(sent(&world).last().and_then(|input| input.give), Some(9));
}

#[tokio::test]
async fn a_session_of_somebody_else_is_joined_and_taken_only_when_agreed() {
    let mut world = with_sessions(setup()).await;
    world.press("j<enter>").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let join = asked.iter().find(|asked| asked.method == "sessions.join").expect("joined");
    assert_eq!((&join.body["id"], &join.body["mode"]), (&"bbbbbbbbbb".into(), &"watch".into()));
    begun::<Join>(&mut world, Mode::Watch).await;
    world.press("C-\\w").await;
    world.check_shows("Take session aaaaaaaaaa over?");
    world.press("<esc>C-\\d").await;
    world.press("t").await;
    world.check_shows("Take session bbbbbbbbbb over?");
    world.check_shows("wang drives it now");
    world.press("y").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let join = asked.iter().rev().find(|asked| asked.method == "sessions.join").expect("joined");
    assert_eq!(join.body["mode"], "drive");
}

#[tokio::test]
async fn read_only_watches_and_opens_nothing() {
    let mut world = with_sessions(Setup { read_only: true, ..setup() }).await;
    world.far.take_asked();
    world.press("n").await;
    world.check_shows("read-only");
    world.press("<enter>").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let attach = asked.iter().find(|asked| asked.method == "sessions.attach").expect("attached");
    assert_eq!(attach.body["mode"], "watch");
    world.press("C-\\w").await;
    world.check_shows("read-only");
}

#[tokio::test]
async fn a_resize_is_told_and_the_cursor_has_its_place_and_shape() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "节点 $ \u{1b}[6 q").await;
    world.idle().await;
    assert_eq!(world.control.carets.last(), Some(&Caret::Beam));
    let at = world.terminal.backend().cursor_position();
    assert_eq!((at.x, at.y), (7, 2), "where an input method needs it");
    sent(&world);
    world.terminal.backend_mut().resize(100, 30);
    world.events([Event::Resize]).await;
    world.idle().await;
    let size = sent(&world).into_iter().find_map(|input| input.size);
    assert_eq!(size, Some(Size { columns: 100, rows: 27 }));
    world.press("C-\\d").await;
    world.idle().await;
    assert_eq!(world.control.carets.last(), Some(&Caret::Own));
}

#[tokio::test]
async fn the_focus_is_told_to_who_asks_for_it() {
    let mut world = in_shell(setup()).await;
    sent(&world);
    world.events([Event::Focus(false)]).await;
    assert_eq!(typed(&world), "");
    wrote(&mut world, "\u{1b}[?1004h").await;
    world.events([Event::Focus(true), Event::Focus(false)]).await;
    assert_eq!(typed(&world), "\u{1b}[I\u{1b}[O");
}

#[tokio::test]
async fn a_key_draws_nothing_and_its_echo_at_once() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "$ ").await;
    let before = world.app.frames();
    world.events([Event::Key(KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE))]).await;
    assert_eq!(world.app.frames(), before, "nothing is to be seen yet");
    wrote(&mut world, "x").await;
    assert_eq!(world.app.frames(), before + 1);
}

#[tokio::test]
async fn what_is_typed_before_a_session_is_there_arrives_when_it_is() {
    let mut world = at_list(setup()).await;
    let keys = cmdr_tui::keymap::parse_keys("nls<enter>").expect("keys");
    world.events(keys.into_iter().map(Event::Key)).await;
    world.idle().await;
    assert_eq!(typed(&world), "");
    world.check_hides("does not arrive");
    begun::<Open>(&mut world, Mode::Drive).await;
    assert_eq!(typed(&world), "ls\r");
}

#[tokio::test]
async fn the_sessions_of_all_hosts_are_in_one_place_and_in_the_palette() {
    let mut world = World::new(setup()).await;
    world.fleet(some_hosts()).await;
    world.press("S").await;
    world.idle().await;
    world.far.push::<Watch>(Some(id(1)), &some_sessions());
    let one = Listing { sessions: vec![session("dddddddddd", "li", "htop")] };
    world.far.push::<Watch>(Some(id(5)), &one);
    world.idle().await;
    world.check_shows("vim main.rs");
    world.check_shows("htop");
    world.press("<enter>").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let attach = asked.iter().find(|asked| asked.method == "sessions.attach").expect("attached");
    assert_eq!((attach.to, &attach.body["id"]), (Some(id(5)), &"dddddddddd".into()));
    world.press("C-\\:").await;
    world.press("vim main").await;
    world.check_shows("web1 bash: vim main.rs");
    world.press("<enter>").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let attach = asked.iter().rev().find(|asked| asked.method == "sessions.attach").expect("again");
    assert_eq!((attach.to, &attach.body["id"]), (Some(id(1)), &"aaaaaaaaaa".into()));
}
