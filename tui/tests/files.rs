//! The files pane: looking around, reading, changing, carrying.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::files::{
    Chunk, Copy, Copying, Counted, Deleted, Entry, FileKind, FilePath, Page, Sum, Unpack, Unpacked,
    Written,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::i18n::Lang;
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};

fn entry(name: &str, kind: FileKind, size: u64, mode: u32) -> Entry {
    Entry {
        name: name.into(),
        kind,
        size,
        mode,
        user: "root".into(),
        group: if size > 5000 { "adm" } else { "root" }.into(),
        mtime_ns: i64::try_from(NOW_MS).expect("as it is") * 1_000_000 - 86_400_000_000_000,
        inode: 7,
        ..Entry::default()
    }
}

fn etc() -> Vec<Entry> {
    let link = Entry {
        target: "/usr/share/zoneinfo/UTC".into(),
        ..entry("localtime", FileKind::Link, 23, 0o777)
    };
    vec![
        entry("hosts", FileKind::File, 220, 0o644),
        entry("nginx", FileKind::Folder, 4096, 0o755),
        entry("shadow", FileKind::File, 1200, 0o640),
        link,
        entry("esc\u{1b}[31m\n%ff", FileKind::File, 1 << 30, 0o4755),
        entry("节点.conf", FileKind::File, 5400, 0o600),
        entry(".pwd.lock", FileKind::File, 0, 0o600),
        entry("apt", FileKind::Folder, 4096, 0o755),
        entry("initctl", FileKind::Pipe, 0, 0o600),
    ]
}

fn page(entries: Vec<Entry>) -> Vec<Value> {
    vec![serde_json::to_value(Page { entries }).expect("as it is")]
}

/// At the files of web1, whose every folder looks like /etc.
async fn world(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer_feeds(|asked| match asked.method {
        "files.list" if asked.body["path"] == "/nginx" => Some(page(Vec::new())),
        "files.list" => Some(page(etc())),
        "files.read" => {
            let text = "127.0.0.1\tlocalhost\n# \u{1b}[31mred\u{1b}[0m\n10.0.0.7  db1\n";
            let items = [
                Chunk {
                    file: Some(entry("hosts", FileKind::File, 220, 0o644)),
                    ..Chunk::default()
                },
                Chunk { data: text.into(), ..Chunk::default() },
                Chunk { sum: Some(Sum::default()), ..Chunk::default() },
            ];
            Some(items.iter().map(|item| serde_json::to_value(item).expect("as it is")).collect())
        }
        _ => None,
    });
    // Nothing is there where something is to go.
    world.far.answer(|asked| match asked.method {
        "files.stat" => Err(CallError::new(ErrorKind::NotFound, "there is no such file")),
        _ => Ok(json!({})),
    });
    world.fleet(some_hosts()).await;
    world.press("/web1<enter><enter>").await;
    let at =
        cmdr_tui::panes::TABS.iter().position(|tab| tab.title == "files.title").expect("as it is");
    world.press(&(at + 1).to_string()).await;
    world.idle().await;
    world
}

/// Waits until the screen shows this: transfers run beside the app.
pub(crate) async fn until(world: &mut World, text: &str) {
    let shows = async {
        loop {
            world.idle().await;
            if world.screen().contains(text) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let shown = tokio::time::timeout(std::time::Duration::from_secs(20), shows).await;
    assert!(shown.is_ok(), "no {text}:\n{}", world.screen());
}

#[tokio::test]
async fn the_pane_in_every_state() {
    for setup in each() {
        let mut world = world(setup).await;
        snap!("files", world);
        world.press("ij<space>").await;
        snap!("files_marked", world);
        world.press("s").await;
        snap!("files_two", world);
        world.press("<esc>s/hosts<enter><enter>").await;
        snap!("files_view", world);
    }
}

#[tokio::test]
async fn an_empty_folder_one_that_may_not_be_read_and_a_lost_hub() {
    for setup in each() {
        let mut world = world(setup).await;
        world.press("j<enter>").await;
        snap!("files_empty", world);
        world.press("-").await;
        // The cursor is where it came from.
        assert!(world.screen().contains("nginx"));
        world.far.answer_feeds(|_| None);
        world.press("<f5>").await;
        let denied = CallError::denied("this host's policy does not let / be looked at or read");
        world.far.fail::<cmdr_protocol::files::List>(Some(id(1)), &denied);
        world.idle().await;
        snap!("files_denied", world);
        world.lose().await;
        world.later(30).await;
        snap!("files_hub_lost", world);
    }
}

/// What is asked before something is deleted, moved or carried, and how it is on its way.
#[tokio::test]
async fn what_is_done_to_files_in_every_state() {
    for setup in each() {
        let mut world = Box::pin(world(setup)).await;
        world.far.answer(|asked| Ok(delete_answers(asked)));
        world.press("/apt<enter>x").await;
        snap!("files_delete", world);
        world.press("<esc><esc>").await;
        beside(&mut world).await;
        world.press("/节点<enter>m").await;
        world.idle().await;
        snap!("files_move", world);
        world.press("<esc><esc>/hosts<enter>m").await;
        world.idle().await;
        snap!("files_move_over", world);
        world.press("<esc>c").await;
        world.idle().await;
        world.press("y").await;
        world.far.push::<Copy>(None, &Copying { size: 200, have: 50, ..Copying::default() });
        until(&mut world, "⇅ 1 25%").await;
        world.press("t").await;
        snap!("files_transfers", world);
    }
}

#[tokio::test]
async fn nothing_of_a_name_reaches_the_terminal_as_it_is() {
    let mut world = world(Setup::default()).await;
    let screen = world.screen();
    assert!(screen.contains("esc␛[31m␊%ff"), "{screen}");
    assert!(!screen.contains('\u{1b}'));
    world.press("/hosts<enter><enter>").await;
    assert!(world.screen().contains("1 127.0.0.1    localhost"), "{}", world.screen());
    assert!(world.screen().contains("␛[31mred␛[0m"));
}

fn delete_answers(asked: &Asked) -> Value {
    let first = vec!["a".into(), "b\n".into()];
    let deleted = Deleted { files: 2, folders: 1, bytes: 3000, first };
    match (asked.method, &asked.body["plan"]) {
        ("files.delete", Value::Bool(_)) => serde_json::to_value(deleted).expect("as it is"),
        _ => json!({}),
    }
}

#[tokio::test]
async fn what_would_be_deleted_is_asked_for_and_shown_first() {
    let mut world = world(Setup::default()).await;
    world.far.answer(|asked| Ok(delete_answers(asked)));
    world.press("/apt<enter>x").await;
    let deletes = |world: &World| {
        let asked = world.far.take_asked().into_iter();
        asked
            .filter(|a| a.method == "files.delete")
            .map(|a| a.body["plan"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(deletes(&world), [json!(true)]);
    world.press("3<enter>").await;
    assert_eq!(deletes(&world), [json!(false)]);
}

#[tokio::test]
async fn a_file_goes_to_the_folder_beside_through_the_hub_while_one_goes_on_looking() {
    let mut world = world(Setup::default()).await;
    world.press("/hosts<enter>c").await;
    assert!(world.screen().contains("open a second folder first"), "{}", world.screen());
    world.press("swo").await;
    world.press("<backspace>/srv<enter>wc").await;
    let asked =
        world.far.take_asked().into_iter().find(|a| a.method == "files.copy").expect("as it is");
    assert_eq!(
        (asked.to, &asked.body["path"], &asked.body["target"]),
        (None, &json!("/hosts"), &json!("/srv/hosts"))
    );
    assert_eq!(asked.body["absent"], json!(true));
    world.far.push::<Copy>(None, &Copying { size: 200, have: 50, ..Copying::default() });
    until(&mut world, "⇅ 1 25%").await;
    world.press("t").await;
    let written = Some(Written::default());
    world.far.push::<Copy>(None, &Copying { size: 200, have: 200, written, ..Copying::default() });
    until(&mut world, "✓").await;
    world.press("<esc>").await;
    assert!(!world.screen().contains('⇅'));
}

#[tokio::test]
async fn who_may_only_look_is_offered_nothing_else() {
    let mut world = world(Setup { role: Role::OBSERVER, ..Setup::default() }).await;
    let screen = world.screen();
    assert!(screen.contains("open") && !screen.contains("download"), "{screen}");
    world.press("x").await;
    assert!(world.far.take_asked().iter().all(|a| a.method != "files.delete"));
}

#[tokio::test]
async fn a_link_leads_to_the_place_behind_it() {
    let mut world = world(Setup::default()).await;
    world.far.answer(|asked| match asked.method {
        "files.real" => Ok(json!({ "path": FilePath::parse("/nginx").expect("as it is") })),
        "files.stat" => {
            Ok(serde_json::to_value(entry("nginx", FileKind::Folder, 1, 0o755)).expect("as it is"))
        }
        _ => Err(CallError::new(ErrorKind::Failed, "unexpected")),
    });
    world.press("/localtime<enter><enter>").await;
    world.idle().await;
    assert!(world.screen().contains("/nginx"), "{}", world.screen());
}

#[tokio::test]
async fn long_lines_of_a_file_are_wrapped_or_cut_as_one_likes() {
    let mut world = world(Setup { size: (60, 18), ..Setup::default() }).await;
    let text = format!("{}END\nsecond\n", "x".repeat(90));
    world.far.answer_feeds(move |asked| {
        if asked.method == "files.list" {
            return Some(page(etc()));
        }
        let whole = entry("hosts", FileKind::File, 220, 0o644);
        let items = [
            Chunk { file: Some(whole), ..Chunk::default() },
            Chunk { data: text.clone().into(), ..Chunk::default() },
            Chunk { sum: Some(Sum::default()), ..Chunk::default() },
        ];
        Some(items.iter().map(|item| serde_json::to_value(item).expect("as it is")).collect())
    });
    world.press("/hosts<enter><enter>").await;
    until(&mut world, "END").await;
    world.press("w").await;
    let screen = world.screen();
    assert!(!screen.contains("END") && screen.contains("second"), "{screen}");
    world.press("llllllllllllll").await;
    assert!(world.screen().contains("END"), "{}", world.screen());
    world.press("w").await;
    assert!(world.screen().contains("1 xxx") && world.screen().contains("END"));
}

#[tokio::test]
async fn a_folder_goes_as_one_transfer_and_says_at_once_when_there_is_no_link() {
    let mut world = world(Setup::default()).await;
    world.press("/nginx<enter>swo").await;
    world.press("<backspace>/srv<enter>wc").await;
    // The far end of these tests has no link that files could go over.
    world.press("t").await;
    until(&mut world, "/nginx → web1:/srv/nginx").await;
    world.press("x").await;
    until(&mut world, "given up").await;
}

#[tokio::test]
async fn files_of_the_folder_at_hand_and_those_opened_lately_are_found() {
    let mut world = world(Setup::default()).await;
    world.press("C-pweb1 shadow").await;
    assert!(world.screen().contains("≡ file"), "{}", world.screen());
    world.press("<enter>").await;
    until(&mut world, "▌ shadow").await;
    world.press("/hosts<enter><enter>").await;
    until(&mut world, "localhost").await;
    // From the list of hosts it is still known.
    world.press("<esc><esc><esc>C-pweb1:/hosts").await;
    until(&mut world, "opened lately").await;
}

#[tokio::test]
async fn names_below_the_folder_at_hand_are_looked_for_when_that_is_asked_for() {
    let mut world = world(Setup::default()).await;
    world.far.answer_feeds(|asked| match asked.method {
        "files.list" => Some(page(match asked.body["path"].as_str() {
            Some("/") => vec![
                entry("etc", FileKind::Folder, 1, 0o755),
                entry("proc", FileKind::Folder, 1, 0o755),
            ],
            Some("/etc") => vec![entry("ssh", FileKind::Folder, 1, 0o755)],
            Some("/etc/ssh") => vec![entry("sshd_config", FileKind::File, 1, 0o644)],
            other => panic!("{other:?} is not to be looked into"),
        })),
        _ => None,
    });
    world.press("C-psshd_conf").await;
    until(&mut world, "look for files named 'sshd_conf' below web1:/").await;
    world.press("<enter>").await;
    until(&mut world, "/etc/ssh/sshd_config").await;
    world.press("<enter>").await;
    until(&mut world, "web1").await;
    world.idle().await;
    assert!(world.screen().contains("/etc/ssh"), "{}", world.screen());
}

/// The folder beside is /srv, in which a file `hosts` is already.
async fn beside(world: &mut World) {
    world.far.answer(|asked| match (asked.method, asked.body["path"].as_str()) {
        ("files.stat", Some("/srv/hosts")) => {
            Ok(serde_json::to_value(entry("hosts", FileKind::File, 77, 0o644)).expect("as it is"))
        }
        ("files.stat", _) => Err(CallError::new(ErrorKind::NotFound, "there is no such file")),
        _ => Ok(serde_json::to_value(entry("x", FileKind::File, 1, 0o644)).expect("as it is")),
    });
    world.press("swo").await;
    world.press("<backspace>/srv<enter>w").await;
    world.idle().await;
    drop(world.far.take_asked());
}

fn renames(world: &World) -> Vec<Value> {
    let asked = world.far.take_asked().into_iter().filter(|a| a.method == "files.rename");
    asked.map(|a| json!([a.body["from"], a.body["to"], a.body["replace"]])).collect()
}

#[tokio::test]
async fn a_move_says_what_goes_where_and_asks_first() {
    let mut world = world(Setup { size: (60, 18), ..Setup::default() }).await;
    beside(&mut world).await;
    world.press("/节点<enter>m").await;
    world.idle().await;
    assert_eq!(renames(&world), Vec::<Value>::new(), "nothing goes before the answer");
    world.press("y").await;
    world.idle().await;
    assert_eq!(renames(&world), [json!(["/节点.conf", "/srv/节点.conf", false])]);
    world.check_shows("moved /节点.conf to /srv/节点.conf");
}

#[tokio::test]
async fn what_a_move_or_a_copy_would_replace_is_asked_about_and_replaced_only_then() {
    let mut world = world(Setup::default()).await;
    beside(&mut world).await;
    world.press("/hosts<enter>m").await;
    world.idle().await;
    world.check_shows("77 B");
    world.press("<esc>").await;
    assert_eq!(renames(&world), Vec::<Value>::new());
    world.press("my").await;
    world.idle().await;
    assert_eq!(renames(&world), [json!(["/hosts", "/srv/hosts", true])]);
    world.press("c").await;
    world.idle().await;
    world.check_shows("over what is there?");
    world.press("y").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let copy = asked.iter().find(|a| a.method == "files.copy").expect("it is copied");
    assert_eq!(copy.body["absent"], json!(false));
}

#[tokio::test]
async fn both_folders_being_the_same_is_said() {
    let mut world = world(Setup::default()).await;
    world.press("s/hosts<enter>m").await;
    world.check_shows("both folders are the same");
}

#[tokio::test]
async fn tab_goes_to_the_folder_beside_and_to_the_next_page_where_there_is_none() {
    let mut world = world(Setup::default()).await;
    world.press("s").await;
    // The side that has the keys is the one whose folder is typed.
    world.press("<tab>o").await;
    world.press("<backspace>/srv<enter>").await;
    world.check_shows("web1:/srv");
    world.press("<tab>o").await;
    world.press("<backspace>/opt<enter>").await;
    world.check_shows("web1:/opt");
    world.check_shows("web1:/srv");
    // Pages have their digits, and the way back.
    world.press("<backtab>").await;
    world.check_hides("web1:/srv");
    world.press("7").await;
    world.check_shows("web1:/srv");
    world.press("?/other one<enter>").await;
    world.check_shows("of two folders the other one");
    world.press("<esc>s").await;
    world.check_hides("web1:/srv");
    world.press("<tab>").await;
    world.check_hides("shadow");
}

/// At a folder with an archive in it; what is at the place where it goes.
async fn at_archive(setup: Setup, there: Option<FileKind>) -> World {
    let mut world = world(setup).await;
    world.far.answer_feeds(|asked| match asked.method {
        "files.list" => Some(page(vec![
            entry("shop-1.2.tar.gz", FileKind::File, 40 << 20, 0o644),
            entry("photo.zip", FileKind::File, 10, 0o644),
        ])),
        _ => None,
    });
    world.far.answer(move |asked| match (asked.method, there) {
        ("files.real", None) => Err(CallError::new(ErrorKind::NotFound, "there is none")),
        ("files.real", Some(_)) => Ok(json!({ "path": asked.body["path"] })),
        ("files.stat", Some(kind)) => {
            Ok(serde_json::to_value(entry("shop", kind, 1, 0o755)).expect("as it is"))
        }
        _ => Ok(serde_json::to_value(entry("x", FileKind::Folder, 1, 0o755)).expect("as it is")),
    });
    world.press("<f5>").await;
    world.press("/shop<enter>").await;
    drop(world.far.take_asked());
    world
}

fn asked_for(world: &World, methods: &[&str]) -> Vec<(String, Value)> {
    let asked = world.far.take_asked().into_iter();
    asked.filter(|a| methods.contains(&a.method)).map(|a| (a.method.to_owned(), a.body)).collect()
}

#[tokio::test]
async fn an_archive_is_unpacked_on_its_host_into_a_folder_of_its_own_after_a_question() {
    for setup in each() {
        let mut world = at_archive(setup, None).await;
        world.press("z").await;
        world.anew().await;
        snap!("files_unpack_where", world);
        world.press("<enter>").await;
        world.anew().await;
        snap!("files_unpack", world);
    }
    let mut world = at_archive(Setup::default(), None).await;
    world.press("z<enter>").await;
    world.check_shows("The folder is made.");
    assert!(asked_for(&world, &["files.mkdir", "files.unpack"]).is_empty(), "it is asked first");
    world.press("y").await;
    until(&mut world, "⇅ 1").await;
    let asked = asked_for(&world, &["files.mkdir", "files.unpack"]);
    assert_eq!(
        (asked[0].0.as_str(), &asked[0].1["path"], &asked[0].1["parents"]),
        ("files.mkdir", &json!("/shop-1.2"), &json!(true))
    );
    let body = &asked[1].1;
    assert_eq!(
        (&body["path"], &body["from"], &body["replace"]),
        (&json!("/shop-1.2"), &json!("/shop-1.2.tar.gz"), &json!(false))
    );
    world.far.push::<Unpack>(Some(id(1)), &Unpacked { taken: 10 << 20, done: None });
    until(&mut world, "⇅ 1 25%").await;
    let done = Some(Counted { entries: 7, bytes: 900, ..Counted::default() });
    world.far.push::<Unpack>(Some(id(1)), &Unpacked { taken: 40 << 20, done });
    world.far.end::<Unpack>(Some(id(1)));
    until(&mut world, "done: web1:/shop-1.2.tar.gz → web1:/shop-1.2").await;
    // The folder that it changed is looked at again.
    world.idle().await;
    assert!(asked_for(&world, &["files.list"]).iter().any(|(_, body)| body["path"] == "/"));
}

#[tokio::test]
async fn what_is_there_already_stays_when_an_archive_is_unpacked_and_is_listed_as_left_out() {
    let mut world = at_archive(Setup::default(), Some(FileKind::Folder)).await;
    world.press("z<enter>").await;
    world.check_shows("what is in it stays as it is");
    world.press("y").await;
    until(&mut world, "⇅ 1").await;
    assert!(asked_for(&world, &["files.mkdir"]).is_empty());
    let words = vec!["index\u{1b}.html: there is something of this name already".to_owned()];
    let done = Some(Counted { entries: 6, skipped: 1, words, ..Counted::default() });
    world.far.push::<Unpack>(Some(id(1)), &Unpacked { taken: 40 << 20, done });
    world.far.end::<Unpack>(Some(id(1)));
    until(&mut world, "1 of 7 left out").await;
    world.press("t<enter>").await;
    world.check_shows("index␛.html: there is something of this name already");
}

#[tokio::test]
async fn an_archive_that_cannot_be_unpacked_says_why() {
    let mut world = at_archive(Setup::default(), Some(FileKind::File)).await;
    world.press("z<enter>").await;
    world.check_shows("/shop-1.2 is there already, and no folder");
    world.press("<esc>/zip<enter>z").await;
    world.check_shows("photo.zip is no archive that can be unpacked here");
    let mut world = at_archive(Setup::default(), Some(FileKind::Folder)).await;
    world.press("z<enter>y").await;
    until(&mut world, "⇅ 1").await;
    let what = "the archive cannot be read: it is none";
    world.far.fail::<Unpack>(Some(id(1)), &CallError::new(ErrorKind::Malformed, what));
    until(&mut world, "the archive cannot be read: it is none").await;
    // A host that tells nothing at its end has not done it.
    world.press("z<enter>y").await;
    until(&mut world, "⇅ 1").await;
    world.far.end::<Unpack>(Some(id(1)));
    until(&mut world, "the host ended it half-way").await;
}

#[tokio::test]
async fn a_file_that_the_agent_may_not_read_says_so_however_it_is_opened_in_both_languages() {
    let cases = [
        (Lang::En, "/shadow: opening /shadow: the host's system does not let its agent do that"),
        (Lang::Zh, "/shadow：打开 /shadow：主机系统不允许代理这样做"),
    ];
    for (lang, said) in cases {
        let said = said.split_once(['：', ':']).map_or(said, |(_, why)| why).trim();
        let mut world = world(Setup { lang, ..Setup::default() }).await;
        let denied = || {
            let what = "opening /shadow: the host's system does not let its agent do that";
            CallError::new(ErrorKind::Denied, what)
        };
        world.far.answer(move |asked| match asked.method {
            "files.real" => Ok(json!({ "path": asked.body["path"] })),
            _ => Err(denied()),
        });
        world.far.refuse(move |asked| (asked.method == "files.read").then(denied));
        world.press("/shadow<enter>").await;
        for key in ["<enter>", "e"] {
            world.press(key).await;
            world.idle().await;
            world.anew().await;
            world.check_shows(said);
            // It stays in the log, and the folder is as it was.
            world.press("<esc>").await;
            world.press("L").await;
            world.anew().await;
            world.check_shows(said);
            world.press("<esc>/shadow<enter>").await;
            world.check_shows("shadow");
        }
    }
}
