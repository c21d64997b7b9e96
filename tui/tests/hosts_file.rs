//! The hosts file of a host as a table: pictures in the states that matter, and what its keys make of the text.

use crate::edit::{Far, Shared, answer, text, told};
use crate::support::pictures::each;
use crate::support::{Setup, World, id, some_hosts};
use cmdr_protocol::edits::{Ended, Outcome, Pending, Problem, SaveEnd, Saving, State};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::keymap::{EVERYWHERE, PAGE};
use cmdr_tui::panes::places;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const HOSTS: &str = "127.0.0.1\tlocalhost\n\n# the shop\n10.0.0.7   db1.example  db1  #the database\r\n\
                     #10.0.0.8 db2\n  10.0.0.9 cache1 # 缓存\nnonsense here\nfd00::7 evil\u{1b}[31m\n\
                     fd00::9 v6.example v6\n";

/// On the page of web1's hosts file.
async fn page(setup: Setup, text: Option<&str>) -> (World, Shared) {
    let far = Arc::new(Mutex::new(Far { text: text.map(str::to_owned), next: None }));
    let mut world = World::new(setup).await;
    let shared = far.clone();
    world.far.answer(move |asked| answer(&shared, asked));
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>5[").await;
    world.calls();
    (world, far)
}

fn lines() -> Vec<&'static str> {
    HOSTS.split('\n').collect()
}

/// Saves without more.
async fn save(world: &mut World) {
    world.press("s").await;
    world.press("s").await;
}

#[tokio::test]
async fn the_page_in_every_state() {
    for setup in each() {
        let (mut world, far) = page(setup.clone(), Some(HOSTS)).await;
        world.anew().await;
        snap!("hosts_file", world);
        world.press("j<enter>").await;
        world.press("C-u10.0.0 db1<enter>").await;
        world.anew().await;
        snap!("hosts_file_wrong", world);
        world.press("<esc>").await;
        world.press("tjt").await;
        world.anew().await;
        snap!("hosts_file_changed", world);
        world.press("s").await;
        world.anew().await;
        snap!("hosts_file_review", world);
        world.press("a").await;
        world.anew().await;
        snap!("hosts_file_armed", world);
        world.far.push::<Pending>(Some(id(1)), &State::default());
        world.press("t").await;
        far.lock().unwrap().text = Some(format!("{HOSTS}10.0.0.99  theirs\n"));
        save(&mut world).await;
        world.anew().await;
        snap!("hosts_file_conflict", world);
        world.press("<esc>?").await;
        world.anew().await;
        snap!("hosts_file_help", world);
        let (mut world, _) = page(setup.clone(), None).await;
        world.anew().await;
        snap!("hosts_file_missing", world);
        world.lose().await;
        world.later(30).await;
        world.anew().await;
        snap!("hosts_file_hub_lost", world);
        let (mut world, _) = page(setup.clone(), Some("# nothing yet\n")).await;
        world.anew().await;
        snap!("hosts_file_none", world);
        let mut world = refused(setup, denied()).await;
        world.anew().await;
        snap!("hosts_file_denied", world);
    }
}

/// What an agent says whose system does not let it read the file.
fn denied() -> CallError {
    let what = "opening /etc/hosts: the host's system does not let its agent do that";
    CallError::new(ErrorKind::Denied, what)
}

/// On the page of a file that is not given out.
async fn refused(setup: Setup, error: CallError) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(move |asked| match asked.method {
        "edits.open" => Err(error.clone()),
        "files.real" => Err(CallError::new(ErrorKind::NotFound, "no")),
        _ => Ok(serde_json::json!({})),
    });
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>5[").await;
    world
}

#[tokio::test]
async fn what_cannot_be_edited_says_why_and_is_asked_for_again_by_a_key() {
    let errors = [
        (denied(), "the host's system does not let its agent do that"),
        (
            CallError::new(
                ErrorKind::Conflict,
                "/etc/hosts is no text (byte 7 is not UTF-8): fetch it and put it back as a file",
            ),
            "is no text (byte 7 is not UTF-8)",
        ),
        (
            CallError::new(
                ErrorKind::Busy,
                "/etc/hosts: it has 5000 KiB, and files of at most 4096 KiB are edited",
            ),
            "files of at most 4096 KiB are edited",
        ),
        (
            CallError::new(ErrorKind::Conflict, "/etc/hosts is a folder, not a file"),
            "is a folder, not a file",
        ),
    ];
    for (error, said) in errors {
        let mut world = refused(Setup::default(), error).await;
        world.check_shows(said);
        let opens = |world: &World| told(world, "edits.open").len();
        world.calls();
        world.press("R").await;
        assert_eq!(opens(&world), 1);
        world.check_shows(said);
        // Nothing can be done to what is not there, and nothing happens.
        world.press("atxsuidj").await;
        world.check_shows(said);
    }
}

#[tokio::test]
async fn a_changed_entry_changes_its_own_bytes_and_no_others() {
    let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
    world.check_shows("/etc/hosts");
    world.press("j<enter>").await;
    world.check_shows("10.0.0.7 db1.example db1 # the database");
    world.press("C-u10.0.0.70 db1.example db1 # the database<enter>").await;
    world.check_shows("not saved");
    assert_eq!(text(&far), HOSTS, "nothing is sent before one has said so");
    world.press("s").await;
    world.check_shows("+10.0.0.70   db1.example  db1  #the database");
    world.press("s").await;
    world.check_shows("is saved");
    world.check_hides("not saved");
    assert_eq!(text(&far), HOSTS.replace("10.0.0.7 ", "10.0.0.70 "));
}

#[tokio::test]
async fn entries_are_added_taken_away_and_switched_on_and_off() {
    let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("a").await;
    world.press("10.0.0.10 new1 new1.example # fresh<enter>").await;
    // The cursor is on it.
    world.check_shows("▌");
    world.press("t").await;
    save(&mut world).await;
    let added = format!("{HOSTS}# 10.0.0.10\tnew1 new1.example # fresh\n");
    assert_eq!(text(&far), added);
    // On again, and another that was off before; then one goes.
    world.press("tgjjtgx").await;
    save(&mut world).await;
    let mut wanted = lines();
    wanted[4] = "10.0.0.8 db2";
    let wanted = format!("{}10.0.0.10\tnew1 new1.example # fresh\n", wanted[1..].join("\n"));
    assert_eq!(text(&far), wanted);
    assert_eq!(told(&world, "edits.save").len(), 2);
}

#[tokio::test]
async fn marked_entries_are_switched_and_taken_away_together() {
    let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("j<space><space>t").await;
    save(&mut world).await;
    let off = HOSTS.replace("10.0.0.7  ", "# 10.0.0.7  ");
    assert_eq!(text(&far), off);
    // All of them are off now, so they are switched on.
    world.press("gj<space><space>t").await;
    save(&mut world).await;
    assert_eq!(text(&far), HOSTS.replace("#10.0.0.8", "10.0.0.8"));
    world.press("*x").await;
    save(&mut world).await;
    assert_eq!(text(&far), "\n# the shop\nnonsense here\nfd00::7 evil\u{1b}[31m\n");
}

#[tokio::test]
async fn what_is_typed_wrong_is_told_and_nothing_is_changed() {
    let (mut world, _far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("a").await;
    for (typed, said) in [
        ("", "write ADDRESS NAME"),
        ("10.0.0.300 a", "'10.0.0.300' is no address"),
        ("10.0.0.7", "the address has no name"),
        ("10.0.0.7 a_b -c", "'-c' is no name of a host"),
        ("# 10.0.0.7 a", "'#' is no address"),
    ] {
        world.press(&format!("C-u{typed}<enter>")).await;
        world.check_shows(said);
    }
    world.press("<esc>").await;
    world.check_hides("not saved");
    assert!(told(&world, "edits.save").is_empty());
}

#[tokio::test]
async fn steps_are_taken_back_and_done_again() {
    let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("xx").await;
    world.press("u").await;
    world.press("u").await;
    world.check_hides("not saved");
    world.press("u").await;
    world.check_shows("There is no step");
    world.press("C-y").await;
    save(&mut world).await;
    assert_eq!(text(&far), lines()[1..].join("\n"));
}

#[tokio::test]
async fn an_armed_save_counts_down_and_what_was_undone_is_unsaved_again() {
    let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("x").await;
    world.press("s").await;
    world.press("a").await;
    world.check_shows("undone in 30 s");
    world.press("<f9>").await;
    world.check_shows("Keep the edit of web1:/etc/hosts");
    world.press("<esc>").await;
    far.lock().unwrap().text = Some(HOSTS.to_owned());
    let ended = Ended {
        id: "a".repeat(32),
        path: FilePath::parse("/etc/hosts").unwrap(),
        how: cmdr_protocol::edits::ArmedEnd::Undone,
        ..Ended::default()
    };
    let state = State { armed: Vec::new(), ended: vec![ended] };
    world.far.push::<Pending>(Some(id(1)), &state);
    world.idle().await;
    world.check_shows("was undone: nobody kept it");
    world.check_shows("not saved");
    world.check_hides("localhost");
    save(&mut world).await;
    assert_eq!(text(&far), lines()[1..].join("\n"));
}

#[tokio::test]
async fn what_others_changed_meanwhile_is_merged_taken_or_left() {
    let theirs = format!("{HOSTS}10.0.0.99 theirs\n");
    for key in ["m", "t"] {
        let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
        world.press("x").await;
        far.lock().unwrap().text = Some(theirs.clone());
        save(&mut world).await;
        world.check_shows("was changed meanwhile");
        assert_eq!(text(&far), theirs, "nothing is overwritten");
        world.press(key).await;
        world.check_shows("10.0.0.99");
        if key == "m" {
            // A step back would take away what others did.
            world.press("u").await;
            world.check_shows("There is no step");
            save(&mut world).await;
            assert_eq!(text(&far), theirs.replace("127.0.0.1\tlocalhost\n", ""));
        } else {
            world.check_hides("not saved");
        }
    }
}

#[tokio::test]
async fn what_the_host_finds_wrong_is_told_at_its_entry_and_warnings_can_be_saved() {
    let (mut world, far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("t").await;
    let result = Outcome { how: SaveEnd::Invalid, code: 1, ..Outcome::default() };
    let problem = Problem { line: 6, what: "cache1 is twice".into(), warning: true };
    let saving = Saving { result, problems: vec![problem], ..Saving::default() };
    far.lock().unwrap().next = Some(Ok(saving));
    save(&mut world).await;
    world.check_shows("look at these");
    world.press("<esc>").await;
    world.check_shows("line 6: cache1 is twice");
    // The cursor went there.
    world.press("y").await;
    assert_eq!(world.control.copied.last().unwrap(), "10.0.0.9 cache1 # 缓存");
}

#[tokio::test]
async fn a_host_that_is_gone_costs_nothing_and_the_save_is_offered_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup { drafts: Some(dir.path().join("drafts")), ..Setup::default() };
    let (mut world, far) = page(setup.clone(), Some(HOSTS)).await;
    world.press("x").await;
    let lost = CallError::new(ErrorKind::Unreachable, "web1 is away");
    far.lock().unwrap().next = Some(Err(lost));
    save(&mut world).await;
    world.check_shows("The host is back");
    world.press("<enter>").await;
    assert_eq!(text(&far), lines()[1..].join("\n"));
    // What was not saved when the client ended is offered at the next start.
    world.press("x").await;
    drop(world);
    let (mut world, far) = page(setup, Some(&lines()[1..].join("\n"))).await;
    world.check_shows("was not saved");
    world.press("t").await;
    world.check_shows("not saved");
    save(&mut world).await;
    assert!(!text(&far).contains("db1"));
}

#[tokio::test]
async fn what_is_not_saved_is_kept_when_one_leaves_and_offered_when_one_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup { drafts: Some(dir.path().join("drafts")), ..Setup::default() };
    let (mut world, _far) = page(setup, Some(HOSTS)).await;
    world.press("x").await;
    // Another list and another tab are no leaving.
    world.press("[]").await;
    world.check_shows("not saved");
    world.press("2").await;
    world.press("5").await;
    world.check_shows("not saved");
    world.press("<esc>").await;
    world.check_shows("is kept on this machine");
    world.press("<enter>5[").await;
    world.check_shows("There is a text of");
    world.press("t").await;
    world.check_shows("not saved");
}

#[tokio::test]
async fn the_text_itself_is_one_key_away_and_comes_back_with_what_was_typed() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup { drafts: Some(dir.path().join("drafts")), ..Setup::default() };
    let (mut world, far) = page(setup, Some(HOSTS)).await;
    world.press("x").await;
    world.press("i").await;
    world.check_shows("# the shop");
    world.check_shows("not saved");
    world.press("10.0.0.77 typed<enter><esc>").await;
    // On the page again, nothing has to be said anew.
    world.check_shows("10.0.0.77");
    world.check_shows("not saved");
    save(&mut world).await;
    assert!(text(&far).contains("10.0.0.77 typed") && !text(&far).contains("localhost"));
}

#[tokio::test]
async fn another_file_of_this_form_can_be_shown_and_its_command_be_copied() {
    let (mut world, _far) = page(Setup::default(), Some(HOSTS)).await;
    world.press("Y").await;
    world.press("o").await;
    world.press("C-u/etc/hosts.d/fleet<enter>").await;
    world.check_shows("web1:/etc/hosts.d/fleet");
    world.press("Y").await;
    assert_eq!(
        world.control.copied,
        ["cmdr hosts-file web1", "cmdr edit 'web1:/etc/hosts.d/fleet'"]
    );
    let opened = told(&world, "edits.open");
    assert_eq!(opened[0]["path"], "/etc/hosts.d/fleet");
}

#[tokio::test]
async fn a_file_of_ten_thousand_lines_stays_quick_and_loses_none() {
    let line = |n: u32| format!("10.1.{}.{} host{n}\n", n / 250, n % 250);
    let many = (0..10_000).map(line).collect::<Vec<_>>().concat();
    let (mut world, far) = page(Setup::default(), Some(&many)).await;
    world.check_shows("entries: 10000");
    let begin = Instant::now();
    world.press("Gkt").await;
    world.press("/host5000<enter>").await;
    world.press("x<esc>").await;
    // Of a build without optimisation on a machine that does other things.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    save(&mut world).await;
    let wanted = many.replace("10.1.20.0 host5000\n", "").replace("10.1.39.248", "# 10.1.39.248");
    assert_eq!(text(&far), wanted);
}

#[tokio::test]
async fn who_may_only_look_is_offered_no_change_and_changes_nothing() {
    let verbs = ["files.real", "edits.open", "edits.versions", "hosts.watch", "edits.pending"];
    let verbs = Some(verbs.map(str::to_owned).to_vec());
    let setup = Setup { role: Role::OBSERVER, verbs, ..Setup::default() };
    let (mut world, far) = page(setup, Some(HOSTS)).await;
    world.check_shows("read only");
    world.check_hides("take away");
    world.press("xtae").await;
    world.check_hides("not saved");
    assert_eq!(text(&far), HOSTS);
    let (mut world, _) = page(Setup { read_only: true, ..Setup::default() }, Some(HOSTS)).await;
    world.press("x").await;
    world.check_hides("not saved");
}

#[test]
fn none_of_its_keys_means_something_else_on_the_page() {
    let places = places();
    let (_, tables) = places.iter().find(|(name, _)| *name == "hosts_file").unwrap();
    let mut seen = HashSet::new();
    let common = [PAGE, EVERYWHERE].map(<[_]>::as_ptr);
    for table in tables.iter().filter(|table| !common.contains(&table.as_ptr())) {
        for key in table.iter().flat_map(|binding| binding.keys) {
            assert!(seen.insert(*key), "{key} has two meanings");
        }
    }
}
