//! The editor of files of hosts: typing, saving, conflicts, what waits to be confirmed, what is kept of texts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_link::packed::{hash, pack, unpack};
use cmdr_protocol::edits::{
    Armed, ArmedEnd, Came, Content, Ended, Kept, Listing, Opened, Outcome, Pending, Problem,
    SaveEnd, Saving, State, Version,
};
use cmdr_protocol::files::{Entry, FileKind, FilePath, Page, RealPath};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::event::Event;
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const HOSTS: &str = "127.0.0.1\tlocalhost\n# the database\n10.0.0.7  db1\n10.0.0.8  节点-1  \n";

/// A host with one file.
pub(crate) struct Far {
    pub(crate) text: Option<String>,
    /// What the next save gets instead.
    pub(crate) next: Option<Result<Saving, CallError>>,
}

pub(crate) type Shared = Arc<Mutex<Far>>;

fn value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

fn opened(text: Option<&String>) -> Opened {
    let file = text.map(|text| Entry {
        name: "hosts".into(),
        kind: FileKind::File,
        size: text.len() as u64,
        mode: 0o644,
        ..Entry::default()
    });
    let content = pack(text.map(String::as_bytes).unwrap_or_default()).unwrap();
    Opened { file, content, armed: None }
}

fn armed(confirm_s: u32) -> Armed {
    Armed {
        id: "a".repeat(32),
        path: FilePath::parse("/etc/hosts").unwrap(),
        by: "li".into(),
        at_ms: NOW_MS,
        confirm_s,
        left_ms: u64::from(confirm_s) * 1000,
        before: 1,
        ..Armed::default()
    }
}

fn save(far: &mut Far, body: &Value) -> Result<Saving, CallError> {
    if let Some(next) = far.next.take() {
        return next;
    }
    let content: Content = serde_json::from_value(body["content"].clone()).unwrap();
    let there = far.text.as_ref().map(|text| hash(text.as_bytes()));
    let mut result = Outcome { hash: there.clone().unwrap_or_default(), ..Outcome::default() };
    if body["expect"].as_str().map(str::to_owned) != there {
        result.how = SaveEnd::Conflict;
        return Ok(Saving { result, ..Saving::default() });
    }
    result.how = SaveEnd::Saved;
    far.text = Some(String::from_utf8(unpack(&content).unwrap()).unwrap());
    let armed = body["confirm_s"].as_u64().map(|s| armed(s as u32));
    Ok(Saving { result, armed, ..Saving::default() })
}

pub(crate) fn answer(far: &Shared, asked: &Asked) -> Result<Value, CallError> {
    let mut far = far.lock().unwrap();
    Ok(match asked.method {
        "files.real" => {
            let path = FilePath::parse(asked.body["path"].as_str().unwrap()).unwrap();
            value(&RealPath { path })
        }
        "edits.open" => value(&opened(far.text.as_ref())),
        "edits.save" => value(&save(&mut far, &asked.body)?),
        "edits.versions" => {
            let version = |number, came, note: &str| Version {
                number,
                came,
                note: note.into(),
                by: "anna".into(),
                at_ms: NOW_MS - number * 3_600_000,
                ..Version::default()
            };
            let versions = vec![version(2, Came::Saved, "db1 is new"), version(1, Came::Found, "")];
            value(&Listing { versions })
        }
        "edits.version" => {
            let content = pack(b"127.0.0.1\tlocalhost\n").unwrap();
            value(&Kept { version: Version { number: 1, ..Version::default() }, content })
        }
        "edits.restore" => {
            let result = Outcome { how: SaveEnd::Saved, ..Outcome::default() };
            value(&Saving { result, ..Saving::default() })
        }
        "edits.confirm" | "edits.revert" => value(&Ended::default()),
        _ => json!({}),
    })
}

/// In the editor of a file of web1.
async fn editing(setup: Setup, text: Option<&str>) -> (World, Shared) {
    let far = Arc::new(Mutex::new(Far { text: text.map(str::to_owned), next: None }));
    let mut world = World::new(setup).await;
    let shared = far.clone();
    world.far.answer(move |asked| answer(&shared, asked));
    world.far.answer_feeds(|asked| {
        let entry = Entry {
            name: "hosts".into(),
            kind: FileKind::File,
            size: 90,
            mode: 0o644,
            ..Entry::default()
        };
        let page = Page { entries: vec![entry] };
        (asked.method == "files.list").then(|| vec![serde_json::to_value(page).unwrap()])
    });
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>").await;
    let tab = cmdr_tui::panes::TABS.iter().position(|tab| tab.title == "files.title").unwrap() + 1;
    world.press(&tab.to_string()).await;
    world.press("o").await;
    world.press("C-u/etc<enter>").await;
    world.press("e").await;
    world.check_shows("web1:/etc/hosts");
    world.calls();
    (world, far)
}

pub(crate) fn text(far: &Shared) -> String {
    far.lock().unwrap().text.clone().unwrap()
}

pub(crate) fn told(world: &World, method: &str) -> Vec<Value> {
    world.calls().into_iter().filter(|asked| asked.method == method).map(|a| a.body).collect()
}

#[tokio::test]
async fn what_is_typed_is_saved_after_a_look_at_what_changes() {
    let (mut world, far) = editing(Setup::default(), Some(HOSTS)).await;
    world.press("C-s").await;
    world.check_shows("Nothing differs");
    // Letters and digits that are commands elsewhere are text here.
    world.press("1q?:E<enter>").await;
    world.check_shows("not saved");
    world.check_shows("1q?:E");
    world.press("C-s").await;
    world.check_shows("+1q?:E");
    assert_eq!(text(&far), HOSTS, "nothing is saved before one has said so");
    world.press("s").await;
    world.check_shows("is saved");
    assert_eq!(text(&far), format!("1q?:E\n{HOSTS}"));
    world.check_hides("not saved");
    world.press("<esc>").await;
    world.check_hides("1q?:E");
}

#[tokio::test]
async fn steps_are_taken_back_and_forth_and_texts_found_and_replaced() {
    let (mut world, far) = editing(Setup::default(), Some(HOSTS)).await;
    world.press("abcC-u").await;
    world.press("C-u").await;
    world.press("C-u").await;
    world.check_hides("not saved");
    world.press("C-y").await;
    world.check_shows("not saved");
    world.press("C-u").await;
    world.press("C-f").await;
    world.press("10.0.0<enter>").await;
    world.check_shows(" 3:1");
    world.press("<f3>").await;
    world.check_shows(" 4:1");
    world.press("<f4>").await;
    world.check_shows(" 3:1");
    world.press("C-r").await;
    world.press("10.1.0<enter>").await;
    world.check_shows("2 replaced");
    world.press("C-g").await;
    world.press("2<enter>").await;
    world.check_shows(" 2:1");
    world.press("C-s").await;
    world.press("s").await;
    assert_eq!(text(&far), HOSTS.replace("10.0.0", "10.1.0"));
    world.events([Event::Paste("x\r\ny".into())]).await;
    world.check_shows(" 3:2");
    world.press("C-e").await;
    world.press("C-x").await;
    assert!(world.control.copied[0].starts_with("127.0.0.1"));
}

#[tokio::test]
async fn a_new_file_is_made_with_the_first_save() {
    let (mut world, far) = editing(Setup::default(), None).await;
    world.check_shows("new file");
    world.press("a<enter>C-s").await;
    world.press("s").await;
    assert_eq!(text(&far), "a\n");
    world.check_hides("new file");
}

#[tokio::test]
async fn an_armed_edit_is_kept_or_undone_from_the_editor_when_that_is_answered() {
    for (key, method) in [("<f9>", "edits.confirm"), ("<f10>", "edits.revert")] {
        let (mut world, _far) = editing(Setup::default(), Some(HOSTS)).await;
        world.press("xC-s").await;
        world.press("a").await;
        world.check_shows("undone in 30 s");
        world.press(key).await;
        world.check_shows("/etc/hosts");
        assert!(told(&world, method).is_empty(), "{method} was not asked about");
        world.press("<esc>").await;
        assert!(told(&world, method).is_empty());
        world.press(key).await;
        world.press("y").await;
        assert_eq!(told(&world, method)[0]["id"], "a".repeat(32));
    }
}

#[tokio::test]
async fn an_armed_edit_counts_down_on_every_page_and_is_kept_or_undone_by_a_key() {
    let (mut world, _far) = editing(Setup::default(), Some(HOSTS)).await;
    world.press("xC-s").await;
    world.press("a").await;
    world.check_shows("undone in 30 s");
    world.later(10).await;
    world.check_shows("undone in 20 s");
    // Seen from elsewhere, too.
    world.press("<esc>").await;
    world.press("<esc>").await;
    world.check_shows("/etc/hosts 20 s");
    world.press("!").await;
    world.check_shows("keep web1:/etc/hosts");
    for (key, method) in [("<enter>", "edits.confirm"), ("j<enter>", "edits.revert")] {
        world.press(key).await;
        world.check_shows("edit of web1:/etc/hosts");
        world.press("Y<esc>").await;
        assert!(told(&world, method).is_empty(), "{method} was not asked about");
        world.press("!").await;
    }
    world.press("<enter>y").await;
    let confirmed = told(&world, "edits.confirm");
    assert_eq!(confirmed[0]["id"], "a".repeat(32));
    let ended = Ended {
        id: "a".repeat(32),
        path: armed(1).path,
        how: ArmedEnd::Confirmed,
        ..Ended::default()
    };
    let state = State { armed: Vec::new(), ended: vec![ended] };
    world.far.push::<Pending>(Some(id(1)), &state);
    world.idle().await;
    world.check_shows("stays");
    world.check_hides("/etc/hosts 20 s");
}

#[tokio::test]
async fn an_edit_that_was_undone_leaves_what_was_written_in_the_editor() {
    let (mut world, far) = editing(Setup::default(), Some(HOSTS)).await;
    world.press("mineC-s").await;
    world.press("b").await;
    world.check_shows("undone in 120 s");
    world.check_hides("not saved");
    far.lock().unwrap().text = Some(HOSTS.to_owned());
    let ended = Ended {
        id: "a".repeat(32),
        path: armed(1).path,
        how: ArmedEnd::Undone,
        ..Ended::default()
    };
    let state = State { armed: Vec::new(), ended: vec![ended] };
    world.far.push::<Pending>(Some(id(1)), &state);
    world.idle().await;
    world.check_shows("was undone: nobody kept it");
    world.check_shows("mine127.0.0.1");
    world.check_shows("not saved");
    // It can be saved once more, in the place of what came back.
    world.press("C-s").await;
    world.press("s").await;
    assert_eq!(text(&far), format!("mine{HOSTS}"));
}

#[tokio::test]
async fn what_others_changed_is_shown_and_merged_taken_or_left() {
    let theirs = format!("{HOSTS}10.0.0.9  theirs\n");
    for (key, wanted) in [("m", format!("mine{theirs}")), ("t", theirs.clone())] {
        let (mut world, far) = editing(Setup::default(), Some(HOSTS)).await;
        world.press("mine").await;
        far.lock().unwrap().text = Some(theirs.clone());
        world.press("C-s").await;
        world.press("s").await;
        world.check_shows("was changed meanwhile");
        world.check_shows("+10.0.0.9  theirs");
        assert_eq!(text(&far), theirs, "nothing is overwritten");
        world.press(key).await;
        if key == "m" {
            world.check_shows("Merged");
            world.press("C-s").await;
            world.press("s").await;
        } else {
            world.check_hides("not saved");
        }
        assert_eq!(text(&far), wanted);
    }
}

#[tokio::test]
async fn problems_jump_to_their_line_and_warnings_can_be_saved() {
    let (mut world, far) = editing(Setup::default(), Some(HOSTS)).await;
    world.press("x").await;
    let problem = |line, warning| Problem { line, what: "no address\u{1b}[31m".into(), warning };
    let invalid = |problems| {
        let result = Outcome { how: SaveEnd::Invalid, code: 1, ..Outcome::default() };
        Some(Ok(Saving { result, problems, ..Saving::default() }))
    };
    far.lock().unwrap().next = invalid(vec![problem(3, false)]);
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("put these right");
    world.press("<esc>").await;
    world.check_shows(" 3:1");
    world.check_shows("line 3: no address␛[31m");
    far.lock().unwrap().next = invalid(vec![problem(2, true)]);
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("look at these");
    world.press("s").await;
    let saves = told(&world, "edits.save");
    assert_eq!(saves.last().unwrap()["force"], true);
    assert!(text(&far).starts_with('x'));
}

#[tokio::test]
async fn a_host_that_is_gone_costs_nothing_and_the_save_is_offered_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = dir.path().join("drafts");
    let setup = Setup { drafts: Some(drafts.clone()), ..Setup::default() };
    let (mut world, far) = editing(setup.clone(), Some(HOSTS)).await;
    world.press("precious ").await;
    let lost = CallError::new(ErrorKind::Unreachable, "web1 is away");
    far.lock().unwrap().next = Some(Err(lost));
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("The host is back");
    world.press("<esc>").await;
    world.check_shows("precious");
    let kept: Vec<_> = std::fs::read_dir(&drafts).unwrap().collect();
    assert_eq!(kept.len(), 1);
    drop(world);
    // At the next start it is offered again.
    let (mut world, far) = editing(setup, Some(HOSTS)).await;
    world.check_shows("was not saved");
    world.press("t").await;
    world.check_shows("precious");
    world.press("C-s").await;
    world.press("s").await;
    assert_eq!(text(&far), format!("precious {HOSTS}"));
    assert_eq!(std::fs::read_dir(&drafts).unwrap().count(), 0);
    drop(world);
    assert_eq!(std::fs::read_dir(&drafts).unwrap().count(), 0);
}

#[tokio::test]
async fn versions_are_listed_compared_loaded_and_put_back() {
    let (mut world, far) = editing(Setup::default(), Some(HOSTS)).await;
    world.press("<f6>").await;
    world.check_shows("db1 is new");
    world.press("j<enter>").await;
    world.check_shows("-10.0.0.7  db1");
    world.press("l").await;
    world.check_shows("not saved");
    world.check_hides("db1");
    assert_eq!(text(&far), HOSTS);
    world.press("<f6>").await;
    world.press("<enter>").await;
    world.press("r").await;
    world.check_shows("Put version 2 of");
    assert!(told(&world, "edits.restore").is_empty(), "it is asked first");
    world.press("y").await;
    let restored = told(&world, "edits.restore");
    assert_eq!(
        (&restored[0]["number"], &restored[0]["expect"]),
        (&2.into(), &hash(HOSTS.as_bytes()).into())
    );
    world.check_hides("not saved");
}

#[tokio::test]
async fn who_may_not_save_reads_only() {
    let verbs = [
        "files.list",
        "files.stat",
        "files.real",
        "edits.open",
        "edits.versions",
        "hosts.watch",
        "edits.pending",
    ];
    let verbs = Some(verbs.map(str::to_owned).to_vec());
    let setup = Setup { role: Role::OBSERVER, verbs, ..Setup::default() };
    let (mut world, far) = editing(setup, Some(HOSTS)).await;
    world.check_shows("read only");
    world.press("xC-s").await;
    assert_eq!(text(&far), HOSTS);
    world.check_hides("Save web1");
    assert!(told(&world, "edits.save").is_empty());
}

#[tokio::test]
async fn the_editor_looks_right_at_every_size_in_both_languages() {
    for setup in each() {
        let (mut world, far) = editing(setup, Some(HOSTS)).await;
        world.press("<down>x").await;
        snap!("edit", world);
        world.press("C-s").await;
        snap!("edit_review", world);
        world.press("a").await;
        snap!("edit_armed", world);
        world.far.push::<Pending>(Some(id(1)), &State::default());
        world.press("y").await;
        far.lock().unwrap().text = Some(format!("{HOSTS}10.0.0.9  theirs\n"));
        world.press("C-s").await;
        world.press("s").await;
        snap!("edit_conflict", world);
    }
}

#[tokio::test]
async fn the_keys_that_are_told_where_one_writes_are_none_that_write() {
    let (mut world, _) = editing(Setup { size: (160, 45), ..Setup::default() }, Some(HOSTS)).await;
    world.check_hides("palette");
    world.press("<f1>").await;
    world.check_shows("F1");
    world.check_hides("audit log");
    world.check_hides("Bksp");
}
