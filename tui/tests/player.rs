//! Recordings: their list, what is found inside them, and playing them, driven by keys.

mod large;

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, log, named_hosts, pass, some_hosts, tapes, verbs};
use cmdr_protocol::Feed as _;
use cmdr_protocol::audit;
use cmdr_protocol::recordings::{
    Event, EventKind, Events, Level, Mark, Read, Recording, State, Watch,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::event::Event as Happened;
use cmdr_tui::terminal::encoder::Encoder;
use ratatui::Terminal;
use serde_json::{Value as Json, json};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

fn known() -> Vec<Recording> {
    tapes::recordings(&log::records(NOW_MS, &named_hosts(), 40))
}

/// A hub with these events in every recording.
async fn with(setup: Setup, recordings: Vec<Recording>, events: Vec<Event>) -> World {
    let mut world = Box::pin(World::new(setup)).await;
    let hosts = named_hosts();
    let records = log::records(NOW_MS, &hosts, 40);
    let listed = recordings.clone();
    world.far.answer(move |asked| {
        tapes::answer(&listed, asked)
            .or_else(|| log::answer(NOW_MS, &records, &hosts, asked))
            .unwrap_or_else(|| Ok(json!({})))
    });
    world.far.answer_feeds(move |asked| tapes::feeds(&recordings, &events, 10, asked));
    world.fleet(some_hosts()).await;
    world
}

async fn at_list(setup: Setup) -> World {
    let mut world = Box::pin(with(setup, known(), tapes::events())).await;
    world.press("O3").await;
    world
}

/// At the second recording, which is whole; playing.
async fn at_player(setup: Setup) -> World {
    let mut world = Box::pin(at_list(setup)).await;
    world.press("j<enter>").await;
    world
}

fn asked(world: &World, method: &str) -> Vec<Json> {
    let calls = world.far.take_asked().into_iter();
    calls.filter(|call| call.method == method).map(|call| call.body).collect()
}

#[tokio::test]
async fn recordings_are_a_kind_of_records_newest_first_with_their_marks() {
    let mut world = at_list(Setup::default()).await;
    world.check_shows("./deploy.sh --all --to prod");
    world.check_shows("✗ danger");
    world.check_shows("▲ warning");
    world.check_shows("▶ running");
    world.check_shows("✓ nothing✎");
    world.check_shows("40.0 MiB of 2.0 GiB on the hub");
    world.check_hides("\u{1b}");
    world.press("/upgrade<enter>").await;
    world.check_hides("deploy.sh");
    world.press("<esc><tab>").await;
    world.check_shows("following");
}

#[tokio::test]
async fn the_list_is_read_page_by_page() {
    let many = (1..=500).rev().map(|id| Recording { id, ..Recording::default() }).collect();
    let mut world = with(Setup::default(), many, Vec::new()).await;
    world.press("O3").await;
    assert_eq!(asked(&world, "recordings.list").len(), 1);
    world.press("GGGG").await;
    let befores: Vec<_> =
        asked(&world, "recordings.list").iter().map(|list| list["before"].as_u64()).collect();
    assert_eq!(befores, [Some(301), Some(101)]);
    world.check_shows("500");
}

#[tokio::test]
async fn a_recording_is_played_with_its_timing_and_long_pauses_are_cut_short() {
    let mut world = at_player(Setup::default()).await;
    world.check_shows("playing");
    world.check_hides("step 0");
    world.later(1).await;
    world.check_shows("step 0: copying file-0.tar");
    world.check_hides("... done");
    world.later(1).await;
    world.check_shows("file-0.tar ... done");
    world.check_shows("step 2");
    world.check_hides("step 3");
    world.press("++++").await;
    world.check_shows("16x");
    // The pause of 20 s is 2 s long, and what follows is here in the next of these seconds.
    world.later(1).await;
    world.check_shows("removed /srv/old/0");
    world.press("i<home>").await;
    world.check_shows("pauses as they were");
    world.later(1).await;
    world.check_shows("red ␛]0;owned");
    world.check_hides("removed");
}

#[tokio::test]
async fn one_plays_pauses_seeks_by_time_and_mark_and_ends() {
    let mut world = at_player(Setup::default()).await;
    world.press("<space>").await;
    world.check_shows("paused");
    world.later(5).await;
    world.check_hides("step 0");
    world.press("<right>").await;
    world.check_shows("file-17.tar ... done");
    world.check_shows("step 18");
    world.check_hides("step 19");
    world.press("]").await;
    world.check_shows("there is no mark that way");
    world.press("<left>]").await;
    world.check_shows("▲ 0:09.0 writes to /etc");
    world.press("t0:32<enter>").await;
    world.check_shows("rm -rf /srv/old");
    world.check_hides("removed /srv/old/0");
    world.press("t70s%<enter>").await;
    world.check_shows("write 90, 1:05");
    world.press("C-u50%<enter>").await;
    world.check_hides("rm -rf");
    world.press("G").await;
    world.check_shows("error: disk is full");
    world.check_shows("at the end");
    world.press("<space>").await;
    world.check_shows("playing");
    world.check_hides("error: disk is full");
}

#[tokio::test]
async fn what_was_written_is_looked_at_line_by_line() {
    let mut world = at_player(Setup { size: (80, 24), ..Setup::default() }).await;
    world.press("G").await;
    world.check_hides("step 19");
    world.press("<pageup>").await;
    world.check_shows("step 19");
    world.check_shows("19 lines up");
    world.press("<pageup><pageup><pageup>").await;
    world.check_shows("on 3 hosts");
    world.check_shows("step 17");
    world.press("<pagedown><pagedown><pagedown>").await;
    world.check_shows("error: disk is full");
    world.check_hides("lines up");
}

#[tokio::test]
async fn a_search_inside_one_goes_from_hit_to_hit() {
    let mut world = at_player(Setup { size: (80, 24), ..Setup::default() }).await;
    world.press("/removed<enter>").await;
    world.check_shows("/removed 1/30");
    world.check_shows("removed /srv/old/0");
    world.check_hides("removed /srv/old/1");
    world.press("nn").await;
    world.check_shows("/removed 3/30");
    world.check_shows("▌removed /srv/old/2");
    world.press("NNN").await;
    world.check_shows("/removed 30/30");
    world.check_shows("▌removed /srv/old/29");
    world.press("/nowhere<enter>").await;
    world.check_shows("'nowhere' is not in it");
    world.press("/~(<enter>").await;
    world.check_shows("unclosed group");
}

#[tokio::test]
async fn lines_of_one_moment_are_each_gone_to() {
    let mut text = String::new();
    for n in 0..300 {
        text.push_str(if n % 100 == 50 { "needle\n" } else { "hay\n" });
    }
    let event = Event { at_us: 5_000_000, kind: EventKind::Output, data: text.into_bytes() };
    let mut world = with(Setup { size: (80, 24), ..Setup::default() }, known(), vec![event]).await;
    // The far end here tells one hit an event; the hub tells each line.
    let hits = |line: u64| json!({ "id": 1, "at_ms": 5000, "line": line, "text": "needle" });
    let found = json!({ "hits": [hits(51), hits(151), hits(251)], "searched": 1 });
    let event = Event {
        at_us: 5_000_000,
        kind: EventKind::Output,
        data: (0..300)
            .map(|n| if n % 100 == 50 { "needle\n" } else { "hay\n" })
            .collect::<String>()
            .into(),
    };
    world.far.answer_feeds(move |asked| match asked.method {
        "recordings.search" => Some(vec![found.clone()]),
        _ => tapes::feeds(&known(), std::slice::from_ref(&event), 10, asked),
    });
    world.press("O3j<enter>").await;
    world.press("/needle<enter>").await;
    for (keys, line) in [("", 51), ("n", 151), ("n", 251), ("n", 51)] {
        world.press(keys).await;
        world.check_shows("▌needle");
        // In the middle of 19 rows.
        world.check_shows(&format!("{} lines up", 300 - line - 8));
    }
    // From the list too.
    world.press("<esc>sneedle<enter>j<enter>").await;
    world.check_shows("▌needle");
    world.check_shows("140 lines up");
}

#[tokio::test]
async fn recordings_are_searched_on_the_hub_and_a_hit_opens_its_place() {
    let mut world = at_list(Setup::default()).await;
    world.press("sdisk is full<enter>").await;
    world.check_shows("3 lines in 16 recordings");
    world.check_shows("1:00.0");
    world.check_shows("error: disk is full");
    world.press("j<enter>").await;
    world.check_shows("apt-get upgrade");
    world.check_shows("error: disk is full");
    world.check_shows("paused");
    world.press("n").await;
    world.check_shows("/disk is full 1/1");
    world.press("<esc>").await;
    world.check_shows("3 lines in 16 recordings");
    world.press("<esc>").await;
    world.check_shows("on the hub");
}

#[tokio::test]
async fn the_way_leads_from_a_task_and_from_a_record_to_the_recording() {
    let mut world = with(Setup::default(), known(), tapes::events()).await;
    world.press("O2jR").await;
    world.check_shows("apt-get upgrade -y");
    world.check_shows("playing");
    world.press("<esc>").await;
    // The fifth was not recorded.
    world.press("jjjR").await;
    world.check_shows("there is no recording of it");
    world.press("A/exec.start<enter>jR").await;
    world.check_shows("playing");
    world.press("<esc><esc>/hosts.label<enter>R").await;
    world.check_shows("there is no recording of it");
}

#[tokio::test]
async fn a_running_one_is_watched_live_and_pausing_stays_where_it_is() {
    let mut world = at_list(Setup::default()).await;
    world.press("w").await;
    world.check_shows("live; whoever runs it knows");
    assert!(world.feeds().contains(&(None, Watch::METHOD)));
    let push = |world: &World, at_us, text: &[u8], recording| {
        let events = vec![Event { at_us, kind: EventKind::Output, data: text.to_vec() }];
        world.far.push::<Watch>(None, &Events { recording, events, ..Events::default() });
    };
    push(&world, 1_000_000, b"hello ", Some(known()[0].clone()));
    push(&world, 2_000_000, tapes::EVIL, None);
    world.idle().await;
    world.check_shows("hello red ␛]0;owned␇␛[2J‹202e›txt\u{fffd}");
    world.check_shows("watched by li@laptop");
    let skipped = Events { skipped: 5 << 20, ..Events::default() };
    world.far.push::<Watch>(None, &skipped);
    world.idle().await;
    world.check_shows("5.0 MiB passed over");
    world.press("<space>").await;
    world.check_shows("paused");
    assert!(!world.feeds().contains(&(None, Watch::METHOD)), "who does not watch is not told of");
    world.press("w").await;
    assert!(world.feeds().contains(&(None, Watch::METHOD)));
    world.press("O").await;
    assert!(!world.feeds().contains(&(None, Watch::METHOD)), "nor who is elsewhere");
}

#[tokio::test]
async fn a_watch_ends_with_the_command() {
    let mut world = at_list(Setup::default()).await;
    world.press("w").await;
    let first = Events { recording: Some(known()[0].clone()), ..Events::default() };
    world.far.push::<Watch>(None, &first);
    world.idle().await;
    world.far.end::<Watch>(None);
    world.idle().await;
    world.check_shows("it is over");
    assert!(asked(&world, "recordings.read").len() == 1, "the rest is read");
    for _ in 0..5 {
        world.later(1).await;
    }
    assert!(asked(&world, Watch::METHOD).is_empty(), "it is not asked for again");
}

#[tokio::test]
async fn a_running_command_is_stopped_after_a_question_and_an_ended_one_is_not() {
    let mut world = at_list(Setup::default()).await;
    let id = known()[0].id;
    world.press("x").await;
    world.check_shows(&format!("Stop the command of recording {id}?"));
    world.check_shows("Whoever runs it is told that you did.");
    assert!(asked(&world, "recordings.stop").is_empty());
    world.press("y").await;
    assert_eq!(asked(&world, "recordings.stop"), [json!({ "id": id, "reason": "" })]);
    world.press("jx").await;
    world.check_shows("it does not run any more");
    world.press("2x").await;
    world.check_shows(&format!("Stop the command of recording {id}?"));
    world.press("y").await;
    assert_eq!(asked(&world, "recordings.stop").len(), 1);
    world.press("jx").await;
    world.check_shows("it does not run any more");
}

#[tokio::test]
async fn a_recording_is_marked_by_hand_with_a_remark() {
    let mut world = at_player(Setup::default()).await;
    let id = known()[1].id;
    world.press("mj<enter>not good<enter>").await;
    let wanted = json!({ "id": id, "level": "warning", "remark": "not good" });
    assert_eq!(asked(&world, "recordings.mark"), [wanted]);
    world.check_shows("is marked");
    world.press("<space>").await;
    world.check_shows("▲ li@laptop: not good");
    world.press("<esc>").await;
    world.check_shows("▲ warning✎");
}

#[tokio::test]
async fn who_may_not_is_offered_nothing_of_it() {
    for (role, read_only) in [(Role::OPERATOR, false), (Role::ADMINISTRATOR, true)] {
        let mut verbs = verbs(role);
        if read_only {
            verbs.retain(|verb| verb != "recordings.list");
        }
        let setup = Setup { role, read_only, verbs: Some(verbs), ..Setup::default() };
        let mut world = with(setup, known(), tapes::events()).await;
        world.press("O").await;
        world.check_hides("3 recordings");
        world.press("?").await;
        world.check_hides("stop the command");
        world.press("<esc>x").await;
        world.check_hides("Stop the command");
        world.press("2<tab>").await;
        world.check_hides("COMMAND");
        assert!(asked(&world, "recordings.list").is_empty());
    }
}

#[tokio::test]
async fn the_list_is_asked_for_again_only_when_something_was_recorded() {
    let mut world = at_list(Setup::default()).await;
    assert_eq!(asked(&world, "recordings.list").len(), 1);
    let seq = log::records(NOW_MS, &named_hosts(), 40)[0].seq;
    for (n, (method, lists)) in
        [("recordings.list", 0), ("hosts.rename", 0), ("exec.start", 1), ("recordings.mark", 1)]
            .into_iter()
            .enumerate()
    {
        let seq = seq + 1 + n as u64;
        let record = audit::Record { seq, method: method.into(), ..audit::Record::default() };
        let items = audit::Items { records: vec![record], missed: 0 };
        world.far.push::<audit::Watch>(None, &items);
        world.later(30).await;
        assert_eq!(asked(&world, "recordings.list").len(), lists, "after {method}");
    }
    world.press("u").await;
    assert_eq!(asked(&world, "recordings.list").len(), 1);
}

#[tokio::test]
async fn one_reading_brings_all_of_a_recording_a_piece_at_a_time() {
    let events: Vec<Event> = (0..4000u64)
        .map(|n| Event {
            at_us: n * 10_000,
            kind: EventKind::Output,
            data: format!("line {n} {}\n", "x".repeat(700)).into_bytes(),
        })
        .collect();
    let mut world = with(Setup::default(), known(), events).await;
    world.press("O3j<enter>++++").await;
    for _ in 0..8 {
        world.later(1).await;
    }
    world.check_shows("line 3999 ");
    assert_eq!(asked(&world, "recordings.read").len(), 1);
}

#[tokio::test]
async fn help_of_the_player_comes_from_its_keys() {
    let mut world = at_player(Setup::default()).await;
    world.press("?").await;
    world.check_shows("play or pause");
    world.check_shows("stop the command !");
}

#[tokio::test]
async fn a_large_recording_is_read_where_one_goes_and_not_whole() {
    let big = Recording { bytes: 64 << 20, took_ms: 3_600_000, ..known()[1].clone() };
    let events: Vec<Event> = (0..36_000u64)
        .map(|n| Event {
            at_us: n * 100_000,
            kind: EventKind::Output,
            data: format!("line {n} {}\n", "x".repeat(1700)).into_bytes(),
        })
        .collect();
    let mut world = with(Setup::default(), vec![big], events).await;
    world.press("O3<enter><space>").await;
    assert_eq!(asked(&world, "recordings.read").len(), 1, "a piece is enough to begin");
    world.press("t30:00<enter>").await;
    world.check_shows("line 18000 ");
    world.check_hides("line 18001 ");
    let reads = asked(&world, "recordings.read");
    assert_eq!(reads[0]["from_ms"], 1_770_000);
    assert!(reads.len() <= 3, "{reads:?}");
    world.press("G").await;
    world.check_shows("line 35999 ");
    world.press("<home>").await;
    world.check_shows("line 0 ");
    world.check_hides("line 1 ");
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_tried_again() {
    let mut world = with(Setup::default(), known(), Vec::new()).await;
    world.far.answer_feeds(|_| None);
    world.press("O3j<enter>").await;
    world.far.fail::<Read>(None, &CallError::new(ErrorKind::NotFound, "recording 9 was \u{1b}[2J"));
    world.idle().await;
    world.check_shows("recording 9 was ␛[2J");
    world.later(4).await;
    assert_eq!(asked(&world, "recordings.read").len(), 2);
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_sent_while_it_is_paused_or_the_list_stands_still() {
    for keys in ["<space>", "G", "<esc>"] {
        let mut world = at_player(Setup::default()).await;
        world.press(keys).await;
        let sink = Sink::default();
        let encoder = Encoder::new(sink.clone()).sized(|| Ok((120, 40)));
        let mut terminal = Terminal::new(encoder).expect("terminal");
        for second in 0..120 {
            pass(1);
            let run = world.app.run_until_idle(&mut terminal, &mut world.control, [Happened::Tick]);
            run.await.expect("runs");
            let bytes = std::mem::take(&mut *sink.0.lock().expect("lock"));
            // The screen itself, and the clock going out.
            let sent = String::from_utf8_lossy(&bytes).into_owned();
            assert!(second < 70 || sent.is_empty(), "{keys} in second {second}: {sent:?}");
        }
    }
}

#[tokio::test]
async fn bytes_of_a_host_reach_the_terminal_only_as_text() {
    let hostile = Recording {
        id: 3,
        state: State::Whole,
        took_ms: 3000,
        command: "\u{1b}[2J\u{7}".into(),
        operator: "\u{202e}x".into(),
        marks: vec![Mark { at_ms: 1, level: Level::Danger, what: "\u{1b}]52;c;x\u{7}".into() }],
        ended: "\u{9b}2J".into(),
        ..Recording::default()
    };
    let all = |kind| Event { at_us: 1000, kind, data: (0u8..=255).collect() };
    let events = [EventKind::Output, EventKind::Input, EventKind::Mark].map(all).to_vec();
    let mut world = with(Setup::default(), vec![hostile], events).await;
    for keys in ["O3", "<enter>G", "x<esc>m<esc>", "/\u{2400}<enter>"] {
        world.press(keys).await;
        let harmful = |c: char| c != '\n' && cmdr_protocol::display::is_harmful(c);
        assert!(!world.screen().chars().any(harmful), "{keys}:\n{}", world.screen());
    }
}

#[tokio::test]
async fn pictures_of_recordings() {
    for setup in each() {
        let mut world = with(setup.clone(), Vec::new(), Vec::new()).await;
        world.press("O3").await;
        snap!("recordings_none", world);
        let mut world = at_list(setup.clone()).await;
        snap!("recordings", world);
        world.press("m").await;
        snap!("recordings_mark", world);
        world.press("<esc>sdone<enter>").await;
        snap!("recordings_found", world);
        let mut world = at_player(setup).await;
        snap!("player_begins", world);
        world.press("<space>t34<enter>").await;
        snap!("player_paused", world);
        world.press("/srv/old<enter>nn").await;
        snap!("player_search", world);
        world.press("G").await;
        snap!("player_end", world);
        world.lose().await;
        snap!("player_hub_lost", world);
    }
}

/// An editor that fills a terminal: what it draws over and over, and the shell after it.
fn of_a_terminal() -> Vec<Event> {
    let at = |at_ms: u64, data: &str| Event {
        at_us: at_ms * 1000,
        kind: EventKind::Output,
        data: data.as_bytes().to_vec(),
    };
    let mut events = vec![
        at(100, "$ vim 笔记.txt\r\n"),
        at(1000, "\u{1b}[?1049h\u{1b}[2J\u{1b}[H\u{1b}[7m 笔记.txt \u{1b}[0m\r\n~\r\n~"),
    ];
    for n in 0..20u64 {
        events.push(at(2000 + n * 100, &format!("\u{1b}[2;1H\u{1b}[Kline {n} of it")));
    }
    events.push(at(8000, "\u{1b}[?1049l$ exit\r\n"));
    events
}

#[tokio::test]
async fn a_recorded_terminal_is_shown_as_it_was_forwards_and_backwards() {
    for setup in each() {
        let mut recordings = known();
        for recording in &mut recordings {
            recording.method = "sessions.open".into();
            recording.terminal = Some(cmdr_protocol::sessions::Size { columns: 40, rows: 12 });
            recording.took_ms = 9000;
            recording.marks.clear();
        }
        let mut world = Box::pin(with(setup, recordings, of_a_terminal())).await;
        world.press("O3j<enter>").await;
        world.press("<space>t4.2<enter>").await;
        world.check_shows("line 19 of it");
        world.check_hides("line 18");
        world.check_hides("␛");
        snap!("player_terminal", world);
        world.press("t2.35<enter>").await;
        world.check_shows("line 3 of it");
        world.press("G").await;
        world.check_shows("$ exit");
        world.check_hides("line 19");
        world.press("g").await;
        world.check_hides("vim");
    }
}
