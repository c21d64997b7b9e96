//! Config groups: the list of them, the page of one, pushing it, its versions and its text: driven by keys, and
//! their pictures.

mod stage;

use stage::*;

use crate::support::pictures::each;
use crate::support::{Setup, World, id, some_hosts, verbs};
use cmdr_protocol::role::Role;
use cmdr_protocol::runbooks::Problem;
use cmdr_protocol::{Call as _, CallError, files, runs};
use serde_json::json;

/// A client of somebody who may do everything but these.
async fn without(methods: &[&str]) -> (World, Hub) {
    let mut verbs = verbs(Role::ADMINISTRATOR);
    verbs.retain(|verb| !methods.contains(&verb.as_str()));
    at_groups(Setup { verbs: Some(verbs), ..Setup::default() }).await
}

#[tokio::test]
async fn groups_in_every_state() {
    for setup in each() {
        let (mut world, _) = at_groups(setup.clone()).await;
        snap!("configs", world);
        world.press("x").await;
        snap!("configs_delete", world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("configs_hub_lost", world);
        let mut world = World::new(setup.clone()).await;
        Hub::of(&world).now().list = Ok(Vec::new());
        world.fleet(some_hosts()).await;
        world.press("U").await;
        snap!("configs_none", world);
        let mut world = World::new(setup).await;
        Hub::of(&world).now().list = Err(CallError::denied("groups are off here"));
        world.fleet(some_hosts()).await;
        world.press("U").await;
        snap!("configs_denied", world);
    }
}

#[tokio::test]
async fn a_group_in_every_state() {
    for setup in each() {
        let (mut world, _) = at_group(setup).await;
        snap!("config_files", world);
        world.press("<tab>").await;
        snap!("config_hosts", world);
        world.press("/web1.*shop.conf<enter><enter>").await;
        snap!("config_diff", world);
        world.press("<esc><esc>p").await;
        snap!("config_plan", world);
        world.press("s").await;
        snap!("config_push", world);
        world.press("<esc>u").await;
        snap!("config_versions", world);
        world.press("j<enter>").await;
        snap!("config_version", world);
        world.press("r").await;
        snap!("config_restore", world);
        world.press("<esc>t").await;
        snap!("config_text", world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("config_hub_lost", world);
    }
}

#[tokio::test]
async fn a_text_that_is_written_in_every_state() {
    for setup in each() {
        let (mut world, hub) = at_group(setup).await;
        world.press("w").await;
        world.press("<down><down># 注意 ").await;
        snap!("config_write", world);
        let problem = |line, column, what: &str| Problem { line, column, what: what.into() };
        hub.now().problems = vec![
            problem(3, 8, "selector: a name is missing \u{1b}[2J"),
            problem(7, 3, "'contents' is no key here; did you mean 'content'?"),
        ];
        world.press("C-s").await;
        snap!("config_wrong", world);
        hub.now().problems = Vec::new();
        world.press("C-s").await;
        snap!("config_save", world);
    }
}

#[tokio::test]
async fn files_are_folded_and_lead_to_their_hosts_and_back() {
    let (mut world, _) = at_group(Setup::default()).await;
    world.check_shows("4 hosts");
    world.check_shows("hidden 4");
    // What is off most stands first.
    world.press("/shop.conf<enter><enter>").await;
    world.check_shows("web1");
    world.check_shows("content");
    world.check_hides("/etc/shop.key");
    world.press("<esc><esc>").await;
    world.check_shows("/etc/shop.key");
    world.press("<tab>f").await;
    world.check_shows("what is off");
    let screen = world.screen();
    assert!(!screen.contains("equal  "), "{screen}");
}

#[tokio::test]
async fn each_file_of_each_host_stands_as_the_protocol_says() {
    let (mut world, _) = at_group(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("<tab>").await;
    let screen = world.screen();
    for (host, file, state) in [
        ("web1", "/etc/shop.conf", "differs"),
        ("web1", "/etc/motd", "equal"),
        ("web1", "/etc/shop.key", "hidden"),
        ("web2", "/etc/shop.conf", "equal"),
        ("web2", "/etc/motd", "differs"),
        ("web3␛[2J", "/etc/motd", "missing"),
        ("边缘-北京1", "/etc/zone␛[2J.conf", "unknown"),
        ("边缘-北京1", "/etc/shop.conf", "unknown"),
    ] {
        let is_it =
            |line: &&str| line.contains(host) && line.contains(file) && line.contains(state);
        assert!(screen.lines().any(|line| is_it(&line)), "{host} {file} {state}:\n{screen}");
    }
    world.check_shows("permissions 0600, not 0644");
    world.check_shows("undefined value: label.zone");
    world.check_shows("files.stat is not allowed");
    world.check_hides("\u{1b}");
    // And the list has it in short.
    world.press("<esc>").await;
    world.check_shows("≠ 2 ✗ 1 ? 2 ◌ 4");
}

#[tokio::test]
async fn a_difference_is_read_anew_and_cannot_steer_the_terminal() {
    let (mut world, hub) = at_group(Setup::default()).await;
    world.press("<tab>/web1.*shop.conf<enter>").await;
    hub.now().there = "name web1\nport 80\nbad \u{1b}]0;owned\u{7}\n".into();
    world.press("<enter>").await;
    world.check_shows("-bad ␛]0;owned");
    world.check_hides("\u{1b}");
    world.press("y").await;
    assert!(world.control.copied.last().is_some_and(|text| !text.contains('\u{1b}')));
    world.press("Y").await;
    let copied = world.control.copied.last().map(String::as_str);
    assert_eq!(copied, Some("cmdr config drift shop-web web1 --diff"));
}

#[tokio::test]
async fn a_difference_of_ten_thousand_lines_is_shown_as_far_as_it_goes_and_the_rest_is_counted() {
    let (mut world, hub) = at_group(Setup::default()).await;
    hub.now().there = (0..10_000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
    world.press("<tab>/web1.*shop.conf<enter><enter>").await;
    world.check_shows("-line 0");
    world.press("/line 4000<enter>").await;
    world.check_shows("-line 4000");
    world.press("<esc>").await;
    world.press("<enter>").await;
    world.press("G").await;
    world.check_shows("… +5,");
}

#[tokio::test]
async fn a_push_shows_its_targets_asks_and_leads_to_its_run() {
    let (mut world, _) = at_group(Setup::default()).await;
    world.press("p").await;
    world.check_shows("What goes where");
    world.check_shows("● web2");
    let plans = asked(&world, "runs.plan");
    assert_eq!(plans[0].body["start"]["order"]["runbook"]["name"], "config.shop-web");
    assert_eq!(plans[0].body["start"]["hosts"], "role=web,app=shop");
    world.press("s").await;
    world.check_shows("on 3 hosts");
    assert!(asked(&world, "runs.start").is_empty(), "asks first");
    world.press("y").await;
    let begun = asked(&world, "runs.start");
    assert_eq!(begun.len(), 1);
    assert!(begun[0].body["key"].as_str().is_some_and(|key| key.starts_with("tui-")));
    assert!(world.feeds().contains(&(None, "runs.watch")));
}

#[tokio::test]
async fn above_the_limit_of_the_hub_the_count_of_a_push_is_typed() {
    let (mut world, hub) = at_group(Setup::default()).await;
    hub.now().confirm = true;
    world.press("ps").await;
    world.press("y<enter>").await;
    assert!(asked(&world, "runs.start").is_empty());
    world.press("<backspace>3<enter>").await;
    let begun = asked(&world, "runs.start");
    assert_eq!(begun.first().map(|start| start.body["confirm"].clone()), Some(json!(3)));
}

#[tokio::test]
async fn a_push_is_for_the_hosts_that_were_marked_and_can_be_composed() {
    let (mut world, _) = at_group(Setup::default()).await;
    world.press("<tab>/web2<enter>*p").await;
    let plans = asked(&world, "runs.plan");
    assert_eq!(plans[0].body["start"]["only"], json!([id(2)]));
    world.press("<esc>e").await;
    world.later(1).await;
    world.check_shows("the files of the config group shop-web");
    world.check_shows("How it goes");
    world.check_shows("only the 1 that were marked");
}

#[tokio::test]
async fn an_older_version_is_saved_again_after_a_question_and_only_over_the_one_that_was_seen() {
    let (mut world, hub) = at_group(Setup::default()).await;
    world.press("uj<enter>").await;
    world.check_shows("tighter ␛[2J");
    world.check_shows("+  mode: '0620'");
    world.press("r").await;
    assert!(asked(&world, "configs.save").is_empty(), "asks first");
    world.press("y").await;
    let saved = asked(&world, "configs.save");
    assert_eq!(saved[0].body["was"], 3);
    assert!(saved[0].body["text"].as_str().is_some_and(|text| text.contains("0620")));
    world.check_shows("saved as version 4");
    world.press("ujj<enter>r").await;
    hub.now().version = 9;
    world.press("y").await;
    world.check_shows("meanwhile");
}

#[tokio::test]
async fn what_is_wrong_in_a_text_is_shown_at_its_place_and_nothing_is_lost() {
    let (mut world, hub) = at_group(Setup::default()).await;
    world.press("w").await;
    world.press("<down>#").await;
    let problem = |line, column, what: &str| Problem { line, column, what: what.into() };
    hub.now().problems = vec![problem(3, 8, "selector: first"), problem(7, 3, "second \u{1b}[2J")];
    world.press("C-s").await;
    world.check_shows("Not saved. Problems: 2");
    world.check_shows("shop-web:3:8: selector: first (2 in all)");
    world.check_shows("3:8 ");
    world.press("<f3>").await;
    world.check_shows("shop-web:7:3: second ␛[2J (2 in all)");
    assert!(asked(&world, "configs.save").is_empty());
    // Left and come back to, all is as it was.
    world.press("<esc>").await;
    world.check_shows("is kept until this client ends");
    world.later(30).await;
    world.check_shows("a text that is not saved");
    world.press("w").await;
    world.check_shows("#description");
    hub.now().problems = Vec::new();
    world.press("C-s").await;
    world.check_shows("+#description");
    world.press("oa note<enter>").await;
    let saved = asked(&world, "configs.save");
    assert_eq!((&saved[0].body["note"], &saved[0].body["was"]), (&json!("a note"), &json!(3)));
    world.check_shows("saved as version 4");
    world.press("<esc>").await;
    world.check_shows("version 4");
    world.check_hides("a text that is not saved");
}

#[tokio::test]
async fn who_was_slower_than_others_merges_or_takes_theirs() {
    let (mut world, hub) = at_group(Setup::default()).await;
    world.press("w").await;
    world.press("<down># mine ").await;
    {
        let mut stage = hub.now();
        stage.version = 4;
        stage.text = format!("{TEXT}# theirs\n");
    }
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("was changed meanwhile");
    world.check_shows("+# theirs");
    world.press("m").await;
    world.check_shows("# mine description");
    world.check_shows("# theirs");
    world.press("C-s").await;
    world.press("s").await;
    world.check_shows("saved as version 5");
}

#[tokio::test]
async fn a_new_group_is_named_written_and_saved_and_one_can_be_deleted() {
    let (mut world, _) = at_groups(Setup::default()).await;
    world.press("aBad name<enter>").await;
    world.check_shows("1 to 63 small letters");
    world.press("C-untp<enter>").await;
    world.check_shows("of this name already");
    world.press("C-ulog-rotation<enter>").await;
    world.check_shows("name: log-rotation");
    world.check_shows("new group");
    world.press("C-s").await;
    world.press("s").await;
    let saved = asked(&world, "configs.save");
    assert_eq!(
        (&saved[0].body["name"], &saved[0].body["was"]),
        (&json!("log-rotation"), &json!(0))
    );
    world.press("<esc>").await;
    world.press("/ntp<enter>x").await;
    assert!(asked(&world, "configs.delete").is_empty());
    world.press("y").await;
    let deleted = asked(&world, "configs.delete");
    assert_eq!(deleted.first().map(|one| one.body["name"].clone()), Some(json!("ntp")));
}

#[tokio::test]
async fn a_host_that_goes_in_the_middle_is_told_with_the_reason_and_found_again() {
    let (mut world, hub) = at_group(Setup::default()).await;
    hub.now().gone = vec![id(2)];
    world.press("R<tab>").await;
    world.check_shows("web2 is away");
    world.press("/web2.*shop.conf<enter><enter>").await;
    world.check_shows("unknown");
    world.check_shows("web2 is away");
    world.press("<esc>").await;
    hub.now().gone.clear();
    world.press("R").await;
    world.check_hides("web2 is away");
}

#[tokio::test]
async fn what_a_lost_hub_kept_from_us_is_asked_again_when_it_is_back() {
    let (mut world, _) = at_groups(Setup::default()).await;
    world.lose().await;
    world.press("/shop-web<enter><enter>").await;
    world.check_shows("The hub is away");
    world.up(Role::ADMINISTRATOR);
    world.idle().await;
    world.later(6).await;
    world.check_shows("/etc/shop.conf");
    world.check_shows("4 hosts");
}

#[tokio::test]
async fn a_large_group_is_looked_at_as_a_whole_only_when_somebody_says_so() {
    let (mut world, hub) = at_groups(Setup::default()).await;
    hub.now().more = 120;
    world.far.take_asked();
    world.press("/shop-web<enter><enter>").await;
    world.check_shows("124 hosts: R looks at all of them");
    assert!(asked(&world, "files.stat").is_empty());
    world.press("R").await;
    world.check_shows("looked at");
    let asked: Vec<_> = asked(&world, "files.stat").into_iter().filter_map(|a| a.to).collect();
    for n in [1, 100, 219] {
        assert!(asked.contains(&id(n)), "{n}");
    }
    world.press("<tab>").await;
    world.check_shows("on hosts 373");
}

#[tokio::test]
async fn rights_that_are_lacking_are_said_in_words_and_nothing_refused_is_asked() {
    let (mut world, _) = without(&[files::Stat::METHOD]).await;
    world.press("/shop-web<enter><enter>").await;
    world.check_shows("your role does not allow to look at files of hosts");
    world.check_shows("unknown");
    assert!(asked(&world, "files.stat").is_empty());
    world.press("<tab><enter>").await;
    assert!(asked(&world, "files.stat").is_empty());
    let (mut world, _) = without(&["configs.expect"]).await;
    world.press("/shop-web<enter><enter>").await;
    world.check_shows("does not allow to see what hosts shall have");
    assert!(asked(&world, "configs.expect").is_empty());
    world.check_shows("shop-web");
    let (mut world, _) = without(&[runs::Start::METHOD, "configs.save", "configs.delete"]).await;
    world.far.take_asked();
    world.press("/shop-web<enter>pwax").await;
    assert!(world.calls().is_empty());
    world.press("<enter>").await;
    world.check_hides(" push");
    world.press("uj<enter>").await;
    world.check_hides("save it again");
    let (world, _) = without(&["configs.list"]).await;
    world.check_hides("configs");
}

#[tokio::test]
async fn a_group_that_is_gone_is_said_to_be_and_a_link_to_it_survives_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let setup = Setup { memory: Some(folder.path().join("s.toml")), ..Setup::default() };
    let (mut world, _) = at_group(setup.clone()).await;
    world.press("<tab>").await;
    world.app.leave();
    let mut world = World::new(setup).await;
    Hub::of(&world);
    world.fleet(some_hosts()).await;
    // What the first answers were is of no use: they came before the hub was played.
    world.press("R").await;
    world.check_shows("shop-web · version 3");
    world.check_shows("on hosts 13");
    world.far.answer(|asked| match asked.method {
        "configs.show" => Err(CallError::new(
            cmdr_protocol::ErrorKind::NotFound,
            "there is no config group 'shop-web'",
        )),
        _ => Ok(json!({})),
    });
    world.press("R").await;
    world.check_shows("there is no config group 'shop-web'");
}

#[tokio::test]
async fn groups_are_found_by_name_and_by_words() {
    let (mut world, _) = at_groups(Setup::default()).await;
    world.press("<esc>C-pshop-web").await;
    world.check_shows("config group");
    world.press("<enter>").await;
    world.check_shows("/etc/shop.conf");
    world.press("<esc>:config groups<enter>").await;
    world.check_shows("ntp");
}
