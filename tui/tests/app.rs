//! The whole app driven by keys, with a test at the far end of the link.

use crate::support::{self, NOW_MS, Setup, World, host, id, sample, some_hosts, some_processes};
use cmdr_protocol::hosts::{self, HostState};
use cmdr_protocol::metrics::Watch as MetricsWatch;
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, HostId, processes};
use cmdr_tui::event::Event;
use cmdr_tui::i18n::Lang;
use cmdr_tui::link::LinkState;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use serde_json::json;

#[tokio::test]
async fn kill_asks_first_and_sends_pid_and_start() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press("/worker<enter>x").await;
    world.check_shows("ask it to end");
    world.press("<enter>").await;
    world.check_shows("Send TERM to nginx: 102 on web1?");
    assert_eq!(world.calls(), [], "nothing may be sent before the answer");
    world.press("y").await;
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].to, calls[0].method), (Some(id(1)), "processes.signal"));
    assert_eq!(calls[0].body, json!({"pid": 102, "start": 10200, "signal": 15}));
    world.check_shows("TERM sent to nginx: 102");
}

#[tokio::test]
async fn leaving_the_question_sends_nothing() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press("xj<enter><esc>").await;
    world.press("x<enter>n").await;
    assert_eq!(world.calls(), []);
}

#[tokio::test]
async fn many_processes_are_signalled_only_when_their_count_is_typed() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press("/worker<enter>*xj<enter>").await;
    world.check_shows("Send KILL to 2 processes on web1?");
    world.press("3<enter>").await;
    assert_eq!(world.calls(), [], "the wrong count does nothing");
    world.press("<backspace>2<enter>").await;
    let pids: Vec<_> = world.calls().iter().map(|c| c.body["pid"].clone()).collect();
    assert_eq!(pids, [102, 101]);
}

#[tokio::test]
async fn renice_takes_only_niceness() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press("RC-u20<enter>").await;
    world.check_shows("a whole number from -20 to 19");
    world.press("C-u-5<enter>").await;
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["nice"], -5);
}

#[tokio::test]
async fn a_refused_act_is_said_and_logged() {
    let mut world = World::at_processes(Setup::default()).await;
    world.far.answer(|_| Err(CallError::denied("the host's policy forbids \u{1b}[31msignals")));
    world.press("x<enter>y").await;
    world.check_shows("✗ signal TERM to");
    world.check_shows("policy forbids ␛[31msignals");
    world.press("L").await;
    world.check_shows("policy forbids");
}

#[tokio::test]
async fn forgetting_one_host_is_one_key_and_many_are_counted() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("D").await;
    world.check_shows("Forget db1?");
    world.press("y").await;
    assert_eq!(world.calls()[0].body, json!({"host": id(5).to_string()}));
    world.press("/web<enter>*D").await;
    world.check_shows("Forget 4 hosts?");
    world.press("y<enter>").await;
    assert_eq!(world.calls(), []);
    world.press("<backspace>4<enter>").await;
    assert_eq!(world.calls().len(), 4);
}

#[tokio::test]
async fn labels_go_to_all_marked_hosts() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("/^web[12]<enter>*t").await;
    world.press("env=prod old-<enter>").await;
    let bodies: Vec<_> = world.calls().into_iter().map(|c| c.body).collect();
    let body = |n| json!({"host": id(n).to_string(), "set": {"env": "prod"}, "remove": ["old"]});
    assert_eq!(bodies, [body(1), body(2)]);
}

#[tokio::test]
async fn a_pending_host_is_approved_after_a_question() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("/new7<enter><enter>").await;
    world.check_shows("waits for approval");
    world.press("ay").await;
    assert_eq!(world.calls()[0].method, "hosts.approve");
}

#[tokio::test]
async fn read_only_hides_danger_and_says_why_its_keys_do_nothing() {
    let mut world = World::at_processes(Setup { read_only: true, ..Setup::default() }).await;
    world.check_hides("send a signal");
    world.check_shows("read-only");
    world.press("x").await;
    world.check_shows("read-only: this is off");
    world.press("?").await;
    world.check_hides("renice");
    assert_eq!(world.calls(), []);
}

#[tokio::test]
async fn an_observer_is_not_offered_acts_and_an_operator_no_administration() {
    let mut world = World::at_processes(Setup { role: Role::OBSERVER, ..Setup::default() }).await;
    world.check_hides("send a signal");
    world.press("x").await;
    world.check_shows("your role (observer) does not allow this");
    let mut world = World::at_processes(Setup { role: Role::OPERATOR, ..Setup::default() }).await;
    world.check_shows("send a signal");
    world.press("<esc><esc>D").await;
    world.check_shows("your role (operator) does not allow this");
}

#[tokio::test]
async fn a_lost_hub_shows_at_once_and_everything_resumes() {
    let mut world = World::at_processes(Setup::default()).await;
    world.later(1).await;
    world.lose().await;
    world.check_shows("hub lost");
    world.check_shows("connection reset by peer");
    world.later(12).await;
    world.check_shows("hub lost 10s ago");
    world.check_shows("figures are 10s old");
    assert_eq!(world.feeds(), []);
    world.up(Role::ADMINISTRATOR);
    world.idle().await;
    world.check_hides("hub lost");
    assert_eq!(world.feeds(), [(None, "hosts.watch"), (Some(id(1)), "processes.watch")]);
}

#[tokio::test]
async fn rows_come_and_go_a_little_later_too() {
    let mut world = World::at_processes(Setup::default()).await;
    let change = processes::Change {
        gone: vec![102],
        put: vec![support::process(7, 1, "/usr/bin/fresh")],
        ..processes::Change::default()
    };
    world.far.push::<processes::Watch>(Some(id(1)), &change);
    world.idle().await;
    world.check_shows("ended");
    world.check_hides("/usr/bin/fresh");
    world.press("GxY").await;
    world.later(5).await;
    world.far.push::<processes::Watch>(Some(id(1)), &processes::Change::default());
    world.idle().await;
    world.check_hides("ended");
    world.check_shows("/usr/bin/fresh");
}

/// Which of two texts stands higher on the screen.
fn is_above(world: &World, upper: &str, lower: &str) -> bool {
    let screen = world.screen();
    screen.find(upper).expect("it is shown") < screen.find(lower).expect("it is shown")
}

#[tokio::test]
async fn figures_change_at_once_and_rows_change_places_a_little_later() {
    let mut world = World::at_processes(Setup::default()).await;
    let (quiet, busy) = ("/sbin/init", "/usr/sbin/nginx");
    assert!(is_above(&world, busy, quiet));
    let change = processes::Change { cpu: vec![(1, 4321)], ..processes::Change::default() };
    world.far.push::<processes::Watch>(Some(id(1)), &change);
    world.idle().await;
    world.check_shows("432");
    assert!(is_above(&world, busy, quiet), "a row moved under the reader's eyes");
    world.later(5).await;
    world.far.push::<processes::Watch>(
        Some(id(1)),
        &processes::Change { cpu: vec![(1, 4322)], ..processes::Change::default() },
    );
    world.idle().await;
    assert!(is_above(&world, quiet, busy));
}

#[tokio::test]
async fn a_page_that_was_never_seen_says_that_the_hub_is_away_and_not_that_it_waits() {
    let mut world = World::at_processes(Setup::default()).await;
    world.lose().await;
    world.press("1").await;
    world.check_shows("The hub is away");
    world.check_hides("Waiting for");
}

#[tokio::test]
async fn only_the_feeds_of_the_visible_pane_are_open() {
    let mut world = World::at_processes(Setup::default()).await;
    let methods = |world: &World| {
        let mut methods: Vec<_> = world.feeds().iter().map(|f| f.1).collect();
        methods.sort_unstable();
        methods
    };
    assert_eq!(methods(&world), ["hosts.watch", "processes.watch"]);
    world.press("1").await;
    assert_eq!(methods(&world), ["hosts.watch", "metrics.watch"]);
    world.press("<esc>").await;
    assert_eq!(methods(&world), ["hosts.watch"]);
}

#[tokio::test]
async fn a_feed_that_is_denied_says_so_where_its_figures_would_be() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>").await;
    world
        .far
        .fail::<MetricsWatch>(Some(id(1)), &CallError::denied("metrics are switched off here"));
    world.idle().await;
    world.check_shows("metrics are switched off here");
}

#[tokio::test]
async fn resumed_charts_ask_only_for_what_is_missing() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>").await;
    world.far.push::<MetricsWatch>(Some(id(1)), &sample(NOW_MS, 1));
    world.idle().await;
    world.lose().await;
    world.later(20).await;
    world.far.take_asked();
    world.up(Role::ADMINISTRATOR);
    world.idle().await;
    let asked = world.far.take_asked();
    let metrics = asked.iter().find(|a| a.method == "metrics.watch").expect("asked again");
    assert_eq!(metrics.body["history"], 22);
}

#[tokio::test]
async fn the_filter_takes_expressions_and_their_opposite() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("/^web[13]").await;
    world.check_shows("2 shown");
    world.check_hides("web2");
    world.press("C-u!web<enter>").await;
    world.check_hides("web1");
    world.check_shows("db1");
    world.press("/(").await;
    world.check_shows("unclosed group");
    world.press("<esc><esc>").await;
    world.check_shows("web2");
}

#[tokio::test]
async fn the_palette_finds_hosts_commands_and_processes() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press(":db1<enter>").await;
    world.check_shows("▸ db1");
    world.press("<esc>").await;
    world.check_shows("▸ web1");
    world.press(":init<enter><enter>").await;
    world.check_shows("/sbin/init");
    world.press("<esc>C-pchoosetheme<enter>").await;
    world.check_shows("catppuccin-mocha");
}

#[tokio::test]
async fn places_are_left_in_the_order_they_were_entered() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press(":db1<enter><esc>").await;
    world.check_shows("▸ web1");
    world.press("<esc>").await;
    world.check_hides("▸");
}

#[tokio::test]
async fn a_tab_is_as_it_was_left() {
    let mut world = World::at_processes(Setup::default()).await;
    world.press("/worker<enter>12").await;
    world.check_shows("2 shown");
}

#[tokio::test]
async fn copies_go_to_the_terminal_and_are_named() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("yY").await;
    assert_eq!(world.control.copied, ["db1", "cmdr hosts show db1"]);
    world.check_shows("copied: cmdr hosts show db1");
    world.press("MC-z").await;
    assert_eq!((world.control.mouse.as_slice(), world.control.suspended), ([false].as_slice(), 1));
}

#[tokio::test]
async fn a_theme_is_shown_while_chosen_and_kept_when_taken() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tui.toml");
    let mut world = World::new(Setup { config: Some(path.clone()), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    let ground = |world: &World| world.terminal.backend().buffer()[(0, 30)].bg;
    let dark = ground(&world);
    world.press("Tj").await;
    assert_ne!(ground(&world), dark, "a preview");
    world.press("<esc>").await;
    assert_eq!(ground(&world), dark, "taken back");
    assert!(!path.exists());
    world.press("Tj<enter>").await;
    assert_eq!(std::fs::read_to_string(&path).expect("kept"), "theme = \"light\"\n");
}

#[tokio::test]
async fn hostile_names_are_harmless_on_every_screen() {
    let mut world = World::new(Setup::default()).await;
    let evil = "a\u{1b}]52;c;eA==\u{7}\u{202e}b\u{9b}31m\u{200b}\u{fe0f}";
    let mut hosts = vec![host(1, evil, HostState::Online), host(2, "ok", HostState::Away)];
    hosts[0].labels = [(evil.to_owned(), evil.to_owned())].into();
    hosts[0].agent = evil.into();
    hosts[1].last_drop = evil.into();
    if let Some(facts) = &mut hosts[0].facts {
        facts.os_version = evil.into();
        facts.kernel = evil.into();
    }
    world.fleet(hosts).await;
    let check = |world: &World| {
        let harmful = |c: char| c != '\n' && cmdr_protocol::display::is_harmful(c);
        assert!(!world.screen().contains(harmful), "{}", world.screen());
    };
    check(&world);
    for keys in ["t", "<esc>D", "<esc>:", "<esc>"] {
        world.press(keys).await;
        check(&world);
    }
    world.press("<enter>").await;
    let mut metrics = sample(NOW_MS, 1);
    metrics.networks[0].name = evil.into();
    metrics.mounts[0].mount = evil.into();
    metrics.disks[0].name = evil.into();
    metrics.temperatures[0].name = evil.into();
    world.far.push::<MetricsWatch>(Some(id(1)), &metrics);
    world.idle().await;
    check(&world);
    world.press("2").await;
    world.far.push::<processes::Watch>(Some(id(1)), &some_processes());
    world.idle().await;
    check(&world);
    world.press("/evil<enter><enter>").await;
    world.check_shows("evil ␛]0;owned␇");
    check(&world);
}

#[tokio::test]
async fn clicks_select_sort_and_open() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    // The header stands in row 4 of the screen: top line, three of counters.
    world.events([click(4, 4)]).await;
    world.check_shows("NAME▼");
    world.events([click(4, 6), click(4, 6)]).await;
    world.check_shows("▸ web4");
    world.check_shows("Waiting for figures");
    world.events([click(7, 0)]).await;
    world.check_hides("▸");
}

#[tokio::test]
async fn nothing_drawn_when_nothing_happened() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    let frames = world.app.frames();
    world.idle().await;
    world.idle().await;
    assert_eq!(world.app.frames(), frames);
}

#[tokio::test]
async fn ten_thousand_hosts_cost_one_frame_a_key() {
    let mut world = World::new(Setup::default()).await;
    let hosts = (0..10_000).map(|n| host(n, &format!("node{n}"), HostState::Online)).collect();
    world.fleet(hosts).await;
    let frames = world.app.frames();
    world.press("G").await;
    world.check_shows("node9999");
    world.press("g").await;
    world.press("/node12.4").await;
    world.check_shows("10 shown");
    // Typing is one settled batch here; the loop draws once for it, not once a row or an item.
    assert!(world.app.frames() - frames <= 3, "{}", world.app.frames() - frames);
}

#[tokio::test]
async fn a_small_screen_says_how_large_it_must_be() {
    let mut world = World::new(Setup { size: (59, 18), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.check_shows("60x18 are needed, this is 59x18");
}

#[tokio::test]
async fn a_refusal_is_shown_with_what_to_do() {
    let mut world = World::new(Setup::default()).await;
    let why = "the hub's key is not the one known here; someone may be posing as the hub";
    world.far.set_state(LinkState::Refused(why.into()));
    world.idle().await;
    world.check_shows("posing as the hub");
}

#[tokio::test]
async fn the_program_ends_with_q_and_when_it_is_asked_to() {
    let mut world = World::new(Setup::default()).await;
    world.press("q").await;
    assert!(world.app.has_quit());
    let mut world = World::new(Setup::default()).await;
    world.events([Event::Stop]).await;
    assert!(world.app.has_quit());
}

#[tokio::test]
async fn hosts_that_go_take_their_marks_with_them() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("*").await;
    let gone: Vec<HostId> = (1..=4).map(id).collect();
    let change = hosts::Change { gone, ..Default::default() };
    world.far.push::<hosts::Watch>(None, &change);
    world.idle().await;
    world.check_shows("4 marked");
}

#[tokio::test]
async fn a_role_that_shows_no_hosts_says_so_and_which_key_tells_what_one_may_do() {
    for (lang, text) in [
        (Lang::En, "Your role shows you no hosts; I shows what you may do."),
        (Lang::Zh, "查看你能做什么"),
    ] {
        let mut world = World::new(Setup { lang, ..Setup::default() }).await;
        world.far.fail::<hosts::Watch>(None, &CallError::denied("no grant has hosts.watch"));
        world.idle().await;
        let screen: String = world.screen().split(' ').collect();
        let text: String = text.split(' ').collect();
        assert!(screen.contains(&text), "{}", world.screen());
    }
}

#[tokio::test]
async fn the_key_line_names_what_is_done_to_a_row_only_where_there_is_one() {
    let mut world = Box::pin(World::new(Setup { size: (160, 45), ..Setup::default() })).await;
    world.fleet(some_hosts()).await;
    let keys = |world: &World| world.screen().lines().last().unwrap_or_default().to_owned();
    assert!(keys(&world).contains("open") && keys(&world).contains("mark"), "{}", keys(&world));
    world.press("/no such host<enter>").await;
    assert!(!keys(&world).contains("open") && !keys(&world).contains("mark"), "{}", keys(&world));
    assert!(keys(&world).contains("filter"));
    world.press("J").await;
    world.check_shows("Nothing was run yet");
    assert!(!keys(&world).contains("stop") && keys(&world).contains("next list"));
}

#[tokio::test]
async fn letters_find_what_the_palette_names_in_chinese_and_nothing_found_is_said() {
    let setup = Setup { lang: Lang::Zh, size: (120, 40), ..Setup::default() };
    let mut world = Box::pin(World::new(setup)).await;
    world.fleet(some_hosts()).await;
    world.press(":rights").await;
    world.check_shows("权限");
    world.press("zzzzzz").await;
    world.check_shows("没有这样的名称");
}
