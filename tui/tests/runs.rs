//! Runs: the list of them, one that is watched, and the composer: driven by keys, and their pictures.

mod stage;

use stage::*;

use crate::support::pictures::each;
use crate::support::{Setup, World, some_hosts};
use cmdr_protocol::CallError;
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{
    self, Counts, Planned, Printed, Progress, Refused, Run, RunState, Started, Target, TargetState,
    Watch,
};
use cmdr_tui::event::Event;
use serde_json::{Value, json};

/// Waits for what is done on another thread.
async fn until(world: &mut World, text: &str) {
    while !world.screen().contains(text) {
        tokio::task::yield_now().await;
        world.idle().await;
    }
}

#[tokio::test]
async fn runs_runbooks_and_schedules_in_every_state() {
    for setup in each() {
        let (mut world, hub) = at_runs(setup.clone()).await;
        snap!("runs", world);
        world.press("2").await;
        snap!("runbooks", world);
        world.press("3").await;
        snap!("schedules", world);
        world.press("1").await;
        world.lose().await;
        world.later(30).await;
        snap!("runs_hub_lost", world);
        let mut world = World::new(setup.clone()).await;
        let none = Hub::of(&world);
        *none.runs.lock().expect("runs") = Ok(Vec::new());
        world.fleet(some_hosts()).await;
        world.press("J").await;
        snap!("runs_none", world);
        let mut world = World::new(setup).await;
        let denied = Hub::of(&world);
        *denied.runs.lock().expect("runs") = Err(CallError::denied("runs are off here"));
        world.fleet(some_hosts()).await;
        world.press("J").await;
        snap!("runs_denied", world);
        drop(hub);
    }
}

#[tokio::test]
async fn a_run_in_every_state() {
    for setup in each() {
        let (mut world, _) = at_runs(setup.clone()).await;
        world.press("<enter>").await;
        snap!("run_waiting", world);
        let (mut world, _) = at_run(setup).await;
        snap!("run_groups", world);
        // The group that differs a little from the largest one.
        world.press("/3 upgraded<enter>").await;
        snap!("run_diff", world);
        world.press("<esc><tab>").await;
        snap!("run_hosts", world);
        world.press("o").await;
        snap!("run_output", world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap!("run_hub_lost", world);
    }
}

#[tokio::test]
async fn a_composer_in_every_state() {
    for setup in each() {
        let (mut world, hub) = composing(setup.clone()).await;
        snap!("compose", world);
        *hub.planned.lock().expect("planned") = Planned {
            refused: vec![Refused { name: "db1".into(), why: "not yours \u{1b}[2J".into() }],
            ..planned(true)
        };
        world.press("systemctl restart nginx").await;
        world.later(1).await;
        snap!("compose_line", world);
        *hub.planned.lock().expect("planned") = planned(true);
        world.press("<tab>1,50%").await;
        world.later(1).await;
        world.press("C-s").await;
        snap!("compose_confirm", world);
        world.press("<esc><f5>").await;
        snap!("compose_plan", world);
        let (mut world, _) = composing(setup).await;
        world.press("C-o").await;
        world.press("C-o").await;
        snap!("compose_books", world);
        world.press("j<enter>").await;
        world.later(1).await;
        world.press("C-s").await;
        snap!("compose_book", world);
    }
}

#[tokio::test]
async fn an_order_over_marked_hosts_is_planned_asked_about_and_begun() {
    let mut world = World::new(Setup::default()).await;
    Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("/web<enter>*e").await;
    world.later(1).await;
    world.far.take_asked();
    world.press("uptime -p").await;
    world.later(1).await;
    let plans = asked(&world, "runs.plan");
    assert_eq!(plans.len(), 1, "one question after the last key, none for each");
    let hosts = plans[0]["start"]["hosts"].as_str().expect("a selector").to_owned();
    assert!(hosts.contains("web1") && hosts.contains("web2"), "{hosts}");
    assert_eq!(plans[0]["start"]["order"]["line"]["text"], "uptime -p");
    world.press("C-s").await;
    world.check_shows("uptime -p on 3 hosts");
    assert!(asked(&world, "runs.start").is_empty(), "asks first");
    world.press("y").await;
    let begun = asked(&world, "runs.start");
    assert_eq!(begun.len(), 1);
    assert!(begun[0]["key"].as_str().is_some_and(|key| key.starts_with("tui-")));
    world.check_shows("Begun on 3 hosts");
    assert!(world.feeds().contains(&(None, "runs.watch")));
    world.press("<esc>").await;
    world.check_shows("uptime -p");
}

#[tokio::test]
async fn a_file_that_is_pushed_is_a_transfer_and_nothing_begins_before_it_is_there() {
    let (mut world, _hub) = composing(Setup::default()).await;
    world.press("C-tC-tC-tC-tC-t").await;
    // A link that is played has no room for contents of files.
    world.press(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).await;
    world.press("<tab>/etc/motdC-s").await;
    crate::files::until(&mut world, "nothing was begun").await;
    assert!(asked(&world, "runs.start").is_empty());
    // What was written is there to be tried again.
    world.check_shows("/etc/motd");
}

#[tokio::test]
async fn above_the_limit_of_the_hub_the_count_is_typed() {
    let (mut world, hub) = composing(Setup::default()).await;
    *hub.planned.lock().expect("planned") = planned(true);
    world.press("id").await;
    world.press("C-s").await;
    world.press("y<enter>").await;
    assert!(asked(&world, "runs.start").is_empty());
    world.press("<backspace>3<enter>").await;
    let begun = asked(&world, "runs.start");
    assert_eq!(begun.first().map(|start| start["confirm"].clone()), Some(json!(3)));
}

#[tokio::test]
async fn what_was_typed_outlives_errors_and_leaving_and_is_begun_once() {
    let (mut world, hub) = composing(Setup::default()).await;
    *hub.begun.lock().expect("begun") = Err(CallError::lost("the link broke"));
    world.press("echo hello").await;
    world.press("C-sy").await;
    world.check_shows("the link broke");
    world.check_shows("echo hello");
    world.press("<esc>").await;
    world.check_hides("echo hello");
    world.press("e").await;
    world.check_shows("echo hello");
    let first = asked(&world, "runs.start");
    // Left and come back to, it is the same order all the same.
    *hub.begun.lock().expect("begun") = Err(CallError::lost("the link broke"));
    world.press("C-sy").await;
    *hub.begun.lock().expect("begun") =
        Ok(Started { run: Some(run_id(1)), targets: 3, already: true });
    world.press("C-sy").await;
    let keys: Vec<Value> =
        asked(&world, "runs.start").into_iter().map(|start| start["key"].clone()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "the same order is the same run until it is begun");
    assert_eq!(first[0]["key"], keys[0]);
    world.press("<esc>").await;
    world.press("C-sy").await;
    let again = asked(&world, "runs.start");
    assert_ne!(again[0]["key"], keys[0], "once begun, it is a run of its own");
}

#[tokio::test]
async fn what_is_begun_is_what_stands_there_however_fast_it_was_typed() {
    let (mut world, _) = composing(Setup::default()).await;
    world.press("uptimeC-sy").await;
    let begun = asked(&world, "runs.start");
    assert!(begun[0]["order"].to_string().contains("uptime"), "{begun:?}");
}

#[tokio::test]
async fn what_lacks_is_said_at_its_place_before_the_hub_is_asked() {
    let (mut world, _) = composing(Setup::default()).await;
    world.far.take_asked();
    world.press("C-s").await;
    world.check_shows("the line is empty");
    world.press("C-t'a").await;
    world.press("C-s").await;
    world.check_shows("a quote is left open");
    assert!(asked(&world, "runs.start").is_empty());
    world.press("'").await;
    world.check_shows("[a]");
}

#[tokio::test]
async fn a_runbook_is_composed_from_its_list_with_typed_parameters() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("2j<enter>").await;
    world.later(1).await;
    world.check_shows("lets it begin with the host");
    world.press("web1<tab><tab><tab>8080<tab><space><tab><space><tab>shop").await;
    world.later(1).await;
    world.far.take_asked();
    world.press("C-s").await;
    let plans = asked(&world, "runs.plan");
    let expected = json!({"port": 8080, "tls": true, "channel": "mainline", "site": "shop"});
    assert_eq!(plans[0]["start"]["order"]["runbook"]["params"], expected);
    assert_eq!(plans[0]["start"]["hosts"], "web1");
}

#[tokio::test]
async fn a_run_is_stopped_paused_and_tried_again_from_its_pane() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.far.take_asked();
    world.press("p").await;
    assert_eq!(asked(&world, "runs.pause").len(), 1);
    world.press("x").await;
    world.check_shows("186 hosts will not get it any more");
    assert!(asked(&world, "runs.stop").is_empty());
    world.press("y").await;
    assert_eq!(asked(&world, "runs.stop").len(), 1);
    world.press("R").await;
    world.check_shows("it still goes on");
    let over = Run { state: RunState::Stopped, ..the_run() };
    world.far.push::<Watch>(None, &told("1.6.0", over, Vec::new()));
    world.idle().await;
    world.press("R").await;
    world.check_shows("on 2 hosts");
    world.press("2<enter>").await;
    world.press("/could not<enter><enter>").await;
    world.check_shows("those of the group 1");
    let again = Target { attempt: 1, ..target(6, 1, TargetState::Running, None, 0) };
    world.far.push::<Watch>(None, &told("1.7.0", the_run(), vec![again]));
    world.idle().await;
    world.check_hides("those of the group");
    world.check_shows("app1");
    let retried = asked(&world, "runs.retry");
    assert_eq!(retried.first().map(|retry| retry["confirm"].clone()), Some(json!(2)));
}

#[tokio::test]
async fn a_group_leads_to_its_hosts_and_back_and_states_are_gone_through() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("/could not<enter><enter>").await;
    world.check_shows("those of the group 1");
    world.check_shows("app1");
    world.press("<esc>").await;
    world.check_hides("those of the group");
    world.press("<esc>f").await;
    world.check_shows("those that did not end well 2");
    world.press("f").await;
    world.check_shows("those without an end 21");
    world.press("f").await;
    world.check_shows("those that ended well 6");
    world.press("f/北京<enter>").await;
    world.check_shows("edge-北京-2");
    world.check_hides("app1");
}

#[tokio::test]
async fn output_of_hosts_cannot_steer_the_terminal() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("<tab>/app1<enter>").await;
    world.press("o").await;
    world.check_shows("Could not get lock /var/lib/dpkg/lock");
    world.check_hides("\u{1b}");
    world.press("y").await;
    let copied = world.control.copied.last().expect("copied");
    assert!(!copied.contains('\u{1b}'), "{copied:?}");
}

#[tokio::test]
async fn a_link_that_was_lost_goes_on_where_the_run_was() {
    let (mut world, _) = at_run(Setup::default()).await;
    let feeds: Vec<Value> = asked(&world, "runs.watch");
    assert_eq!(feeds.first().map(|feed| feed.get("since").cloned()), Some(None));
    world.lose().await;
    world.up(Role::ADMINISTRATOR);
    world.idle().await;
    world.later(4).await;
    let again = asked(&world, "runs.watch");
    assert_eq!(again.last().map(|feed| feed["since"].clone()), Some(json!("1.5.0")));
    let done = target(8, 2, TargetState::Ok, Some(0), 1);
    let mut run = the_run();
    run.counts.change(TargetState::Running, TargetState::Ok);
    world.far.push::<Watch>(None, &told("1.6.0", run, vec![done]));
    world.idle().await;
    world.check_shows("ok 7");
}

#[tokio::test]
async fn a_host_at_work_is_followed_while_it_is_looked_at_and_no_longer() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("<tab>/node009<enter>").await;
    assert!(world.feeds().contains(&(None, "runs.output")), "{:?}", world.feeds());
    let printed = Printed { target: 9, stdout: b"at 40 %\n".to_vec(), ..Printed::default() };
    let item = Progress { output: vec![printed], cursor: "1.1.9".into(), ..Progress::default() };
    world.far.push::<runs::Output>(None, &item);
    world.idle().await;
    world.check_shows("at 40 %");
    world.press("<esc>/node020<enter>").await;
    assert!(!world.feeds().contains(&(None, "runs.output")));
}

/// At a run of which no output comes before it is pushed.
async fn at_silent_run() -> World {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.far.answer_feeds(|_| None);
    world.press("<enter>").await;
    let first = Progress { reset: true, ..told("1.5.0", the_run(), some_targets()) };
    world.far.push::<Watch>(None, &first);
    world.idle().await;
    world
}

/// What a host printed comes to whoever waits for it.
async fn printed(world: &mut World, target: u32) {
    let printed = Printed { target, stdout: b"all is well\n".to_vec(), ..Printed::default() };
    let item = Progress { output: vec![printed], cursor: "1.1.9".into(), ..Progress::default() };
    world.far.push::<runs::Output>(None, &item);
    world.far.end::<runs::Output>(None);
    world.idle().await;
}

#[tokio::test]
async fn an_output_opens_when_it_comes_unless_one_has_gone_on_to_something_else() {
    let mut world = at_silent_run().await;
    world.press("<tab>/web1<enter><enter>").await;
    printed(&mut world, 0).await;
    world.check_shows("do not wrap");
    for meanwhile in ["j", "?"] {
        let mut world = at_silent_run().await;
        world.press("<tab>/web1<enter><enter>").await;
        world.press(meanwhile).await;
        printed(&mut world, 0).await;
        world.check_hides("do not wrap");
    }
}

#[tokio::test]
async fn thousands_of_hosts_are_folded_and_listed() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("<enter>").await;
    let mut run = the_run();
    run.waves = vec![1, 4999];
    run.counts = Counts { targets: 5000, ok: 4999, failed: 1, ..Counts::default() };
    let all = (0..5000).map(|n| match n {
        4321 => target(n, 1, TargetState::Failed, Some(2), 9),
        n => target(n, u32::from(n > 0), TargetState::Ok, Some(0), 1),
    });
    let all: Vec<Target> = all.collect();
    for (n, some) in all.chunks(runs::CHUNK).enumerate() {
        let item =
            Progress { reset: n == 0, ..told(&format!("1.{n}.0"), run.clone(), some.to_vec()) };
        world.far.push::<Watch>(None, &item);
        world.idle().await;
    }
    world.check_shows("4,999");
    world.check_shows("failed 2");
    world.press("<tab>").await;
    world.check_shows("node4321");
}

#[tokio::test]
async fn what_one_may_not_do_is_not_offered() {
    let (mut world, _) = at_run(Setup { role: Role::OBSERVER, ..Setup::default() }).await;
    world.far.take_asked();
    world.press("xpRo").await;
    assert!(world.calls().is_empty());
    world.check_hides("retry failed");
    world.press("<esc><esc>e").await;
    world.check_hides("How it goes");
    assert!(!world.feeds().iter().any(|(_, method)| *method == "runs.output"));
}

#[tokio::test]
async fn runs_and_runbooks_are_found_by_name_and_by_words() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("2").await;
    world.press("<esc>").await;
    world.press("C-pnginx").await;
    world.check_shows("nginx");
    world.check_shows("runbook");
    world.press("<esc>:run an order<enter>").await;
    world.check_shows("How it goes");
}

#[tokio::test]
async fn a_run_is_composed_again_as_it_was() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("e").await;
    world.later(1).await;
    world.check_shows("apt-get upgrade -y");
    world.check_shows("1,25%");
    world.check_shows("role=web");
}

#[tokio::test]
async fn all_runs_that_go_on_are_stopped_with_one_key_once_their_number_is_typed() {
    let (mut world, hub) = at_runs(Setup::default()).await;
    hub.runs.lock().expect("runs").as_mut().expect("runs").retain(|run| !run.state.is_over());
    world.far.take_asked();
    world.press("H").await;
    let listed = world.far.take_asked();
    assert!(listed.iter().any(|one| one.method == "runs.list" && one.body["open"] == json!(true)));
    world.check_shows("Stop all 2 runs that go on, everywhere");
    world.check_shows("script rotate.sh");
    world.press("1<enter>").await;
    assert!(asked(&world, "runs.stop").is_empty(), "that is not their number");
    world.press("<backspace>2<enter>").await;
    assert_eq!(asked(&world, "runs.stop").len(), 2);
    world.check_shows("2 runs are being stopped");
}

#[tokio::test]
async fn a_schedule_is_paused_and_deleted_after_a_question() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("3").await;
    world.far.take_asked();
    world.press("p").await;
    let paused = asked(&world, "runs.schedules.pause");
    assert_eq!(paused, [json!({"name": "nightly", "paused": true})]);
    world.press("x").await;
    assert!(asked(&world, "runs.schedules.delete").is_empty());
    world.press("y").await;
    let deleted = asked(&world, "runs.schedules.delete");
    assert_eq!(deleted.first().map(|one| one["name"].clone()), Some(json!("nightly")));
}

#[tokio::test]
async fn a_long_text_is_pasted_whole_and_one_that_is_too_long_not_at_all() {
    let (mut world, _) = composing(Setup::default()).await;
    world.events([Event::Paste("echo a\r\necho b".into())]).await;
    world.check_shows("echo b");
    world.events([Event::Paste("x".repeat(70_000))]).await;
    world.check_hides("xxxx");
}

#[tokio::test]
async fn lists_are_asked_for_once_where_the_hub_tells_what_changes() {
    let (mut world, _) = at_runs(Setup::default()).await;
    let begins = runs::ListNews { begins: true, ..runs::ListNews::default() };
    world.far.push::<runs::ListWatch>(None, &begins);
    world.idle().await;
    world.far.take_asked();
    world.later(60).await;
    assert!(asked(&world, "runs.list").is_empty(), "nothing has changed");
    let what = "a run that has just begun";
    let news = runs::ListNews {
        runs: vec![a_run(77, RunState::Running, what)],
        schedules: true,
        ..runs::ListNews::default()
    };
    world.far.push::<runs::ListWatch>(None, &news);
    world.idle().await;
    world.check_shows(what);
    assert!(asked(&world, "runs.list").is_empty());
    world.press("3").await;
    world.later(1).await;
    assert_eq!(asked(&world, "runs.schedules.list").len(), 1, "those have changed");
    world.later(60).await;
    assert!(asked(&world, "runs.schedules.list").is_empty());
}

#[tokio::test]
async fn a_run_that_is_over_is_deleted_when_that_is_answered_and_one_that_goes_on_is_not() {
    let (mut world, _) = at_runs(Setup::default()).await;
    let told = |runs| runs::ListNews { runs, ..runs::ListNews::default() };
    world.far.push::<runs::ListWatch>(
        None,
        &told(vec![
            a_run(77, RunState::Done, "what was done once"),
            a_run(78, RunState::Running, "what goes on"),
        ]),
    );
    world.idle().await;
    world.press("/what goes on<enter>D").await;
    world.check_shows("it still goes on");
    world.press("<esc>/what was done<enter>D").await;
    world.check_shows("Delete what was done once");
    assert!(asked(&world, "runs.delete").is_empty(), "asks first");
    world.press("y").await;
    assert_eq!(asked(&world, "runs.delete").len(), 1);
    world.check_hides("what was done once");
    let gone = a_run(78, RunState::Running, "").id.expect("an id");
    world.far.push::<runs::ListWatch>(
        None,
        &runs::ListNews { gone: vec![gone], ..runs::ListNews::default() },
    );
    world.idle().await;
    world.press("<esc>").await;
    world.check_hides("what goes on");
}

#[tokio::test]
async fn the_output_of_a_host_is_saved_as_it_was_written_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut world, _) = at_run(Setup::default()).await;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("out");
    world.press("<tab>/app1<enter>").await;
    world.press("w").await;
    world.check_shows("Save the output of app1 to");
    world.press(&format!("C-u{}<enter>", path.display())).await;
    until(&mut world, "written to").await;
    let saved = std::fs::read_to_string(&path).expect("the output");
    assert!(saved.contains("\u{1b}[31m/var/lib/dpkg/lock"), "as it was: {saved:?}");
    let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What is there is replaced only when that is answered.
    std::fs::write(&path, "mine").expect("written");
    world.press("w").await;
    world.press(&format!("C-u{}<enter>", path.display())).await;
    world.check_shows("is there already");
    world.press("<esc>").await;
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "mine");
}

#[tokio::test]
async fn a_file_of_this_machine_or_of_the_hub_is_pushed() {
    for setup in each() {
        let (mut world, _) = composing(setup).await;
        world.press("C-tC-tC-tC-tC-t").await;
        world.later(1).await;
        snap!("compose_push", world);
    }
    let (mut world, _) = composing(Setup::default()).await;
    world.press("C-tC-tC-tC-tC-t").await;
    world.press("C-s").await;
    world.check_shows("say which file");
    world.press("/nowhere/at/all").await;
    world.press("C-s").await;
    world.check_shows("say where it goes on the hosts");
    world.press("/etc/motd").await;
    world.press("C-s").await;
    until(&mut world, "nothing was begun").await;
    assert!(asked(&world, "runs.start").is_empty());
    // One that the hub has is named by its hash.
    let hash = "ab".repeat(32);
    world.press(&format!("<backtab>C-u{hash}<tab><tab>0640")).await;
    world.press("C-s").await;
    world.press("y").await;
    let begun = asked(&world, "runs.start");
    let push = &begun[0]["start"]["order"]["push"];
    let push = if push.is_null() { &begun[0]["order"]["push"] } else { push };
    assert_eq!(
        (&push["file"], &push["path"], &push["mode"]),
        (&json!(hash), &json!("/etc/motd"), &json!(0o640))
    );
}
