//! Runs when something went wrong at the worst moment: answers that were lost, rights that were taken away, a hub that
//! knows less than its hosts.

use crate::sim::{Sim, ask, command, over, show, start};
use cmdr_agentd::agent;
use cmdr_hub::config::{Config, Runs};
use cmdr_link::blobs::send;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::blobs::Upload;
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{self, Assign, Grant};
use cmdr_protocol::runbooks::Save;
use cmdr_protocol::runs::{
    List, ListWatch, Order, Output, Param, Push, PutSchedule, RunState, Runbook, Schedule, Start,
    Stop, TargetState, When,
};
use cmdr_protocol::secrets;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind};
use harness::orders::Orders;
use harness::{World, until};
use std::time::Duration;

fn config() -> Config {
    let runs = Runs { rejoin_s: 30, patience_s: 60, ..Runs::default() };
    Config { runs, ..Config::default() }
}

fn order(argv: &[&str]) -> Start {
    Start { hosts: "sim".into(), order: command(argv), ..Start::default() }
}

#[tokio::test]
async fn a_run_that_was_stopped_while_its_order_was_on_the_way_ends_when_the_host_is_back() {
    let world = World::start_with(config()).await;
    let mut sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    // The order may have arrived; in truth it never does.
    sim.orders.refuse(CallError::new(ErrorKind::Lost, "the link broke on the way"));
    let run = start(&client, &order(&["true"])).await;
    sim.cut(&world).await;
    ask(&client, &Stop { run, why: String::new() }).await.unwrap();
    let shown = show(&client, run).await;
    assert_eq!(shown.run.state, RunState::Stopping);
    assert_eq!(shown.targets[0].state, TargetState::Sent, "whether it has it is not known");
    let _real = world.agent_as(&sim.dialer, agent::Config::new(world.path("real"))).await;
    let shown = over(&client, run).await;
    assert_eq!(shown.targets[0].state, TargetState::Cancelled);
    assert_eq!(shown.run.state, RunState::Stopped);
}

#[tokio::test]
async fn what_a_host_knows_as_confirmed_is_the_end_of_an_order_and_not_that_of_a_runbook() {
    let world = World::start_with(config()).await;
    let mut sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let text = "name: book\nsteps:\n- name: a\n  command: [wait]\n- name: b\n  command: [wait]\n";
    let save = Save { name: "book".into(), text: text.into(), ..Save::default() };
    ask(&client, &save).await.unwrap();
    let runbook = Runbook { name: "book".into(), ..Runbook::default() };
    let book = Order { runbook: Some(runbook), ..Order::default() };
    let plain = start(&client, &order(&["wait"])).await;
    let book = start(&client, &Start { order: book, ..order(&[]) }).await;
    until("it is at both", async || sim.orders.running().len() == 2).await;
    sim.agent = None;
    for id in sim.orders.running() {
        sim.orders.finish(&id, TargetState::Ok, 0);
    }
    // As if another hub had heard all that, and this one had been restored from a backup.
    sim.orders.forget();
    drop(client);
    let world = world.restart_with(config()).await;
    sim.heal(&world).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let shown = over(&client, plain).await;
    assert_eq!(shown.targets[0].state, TargetState::Ok);
    assert!(shown.targets[0].why.contains("restored"), "{:?}", shown.targets[0]);
    let shown = over(&client, book).await;
    assert_eq!(shown.targets[0].state, TargetState::Lost, "its second step was never done");
}

#[tokio::test]
async fn what_may_run_already_is_cancelled_and_not_refused_when_the_right_to_it_is_taken_away() {
    let world = World::start_with(config()).await;
    let sim = Sim::new(&world, "sim").await;
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let developer = world.client(Role::DEVELOPER).await;
    // It has the order, and the hub never hears that it has.
    sim.orders.mute();
    let run = start(&developer, &order(&["wait"])).await;
    let id = sim.at().await;
    let operator = ask(&developer, &WhoAmI {}).await.unwrap().name;
    ask(&administrator, &Assign { operator, role: Role::OBSERVER }).await.unwrap();
    let shown = over(&administrator, run).await;
    assert_eq!(shown.targets[0].state, TargetState::Cancelled, "{:?}", shown.targets[0]);
    assert!(shown.targets[0].why.contains("any more"), "{:?}", shown.targets[0]);
    assert!(sim.orders.running().is_empty(), "{id}");
}

#[tokio::test]
async fn whoever_lists_runs_of_others_sees_those_on_hosts_that_they_may_look_at() {
    let world = World::start_with(config()).await;
    let mut sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    for code in ["0", "1", "2"] {
        over(&client, start(&client, &order(&["fail", code])).await).await;
    }
    sim.agent = None;
    drop(client);
    let world = world.restart_with(config()).await;
    sim.heal(&world).await;
    let observer = world.client(Role::OBSERVER).await;
    // The first time from disk.
    for _ in 0..2 {
        let listed = ask(&observer, &List::default()).await.unwrap();
        let counts: Vec<_> =
            listed.runs.iter().map(|run| (run.counts.targets, run.counts.ok)).collect();
        assert_eq!((counts, listed.more), (vec![(1, 0), (1, 0), (1, 1)], false));
    }
}

#[tokio::test]
async fn output_is_told_to_its_end_before_the_end_of_what_wrote_it() {
    let world = World::start_with(config()).await;
    let _sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order(&["flood", "700000"])).await;
    let only = Output { run, targets: vec![0, 0, 7], since: String::new(), follow: true };
    let mut feed = client.feed(None, &only).await.unwrap();
    let mut bytes = 0;
    while let Some(item) = feed.next().await {
        bytes += item.unwrap().output.iter().map(|one| one.stdout.len()).sum::<usize>();
    }
    assert_eq!(bytes, 700_000);
}

#[tokio::test]
async fn the_content_of_a_file_is_sent_no_further_when_its_target_has_ended() {
    let world = World::start_with(config()).await;
    let sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let content = world.path("content");
    std::fs::write(&content, vec![7; 1 << 20]).unwrap();
    let (hash, size) = cmdr_link::blobs::sum(&content).unwrap();
    let upload = Upload { hash: hash.clone(), size };
    let source = (std::fs::File::open(&content).unwrap(), size);
    send(&client, None, &upload, source, &|_| {}).await.unwrap();
    let push = Push { file: hash, path: "/nowhere".into(), ..Push::default() };
    let order = Order { push: Some(push), ..Order::default() };
    let pushes = Start { hosts: "sim".into(), order, ..Start::default() };
    let run = start(&client, &pushes).await;
    until("it is on its way", async || sim.orders.delivering() == 1).await;
    ask(&client, &Stop { run, why: String::new() }).await.unwrap();
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::Cancelled);
    until("nothing is on its way", async || sim.orders.delivering() == 0).await;
    // And when its time is over.
    let run = start(&client, &Start { deadline_ms: Some(300), ..pushes }).await;
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::TimedOut);
    until("nothing is on its way", async || sim.orders.delivering() == 0).await;
    assert!(sim.orders.began().is_empty());
}

#[tokio::test]
async fn pages_of_runs_have_all_that_one_may_know_of_and_none_is_empty_before_the_last() {
    let world = World::start_with(config()).await;
    let _sim = Sim::new(&world, "sim").await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let mut dialer = world.dialer(PeerKind::Agent, SecretKey::generate().unwrap(), Some(&token));
    "other".clone_into(&mut dialer.name);
    let other = Orders::new("other");
    let _other = world.serve_agent(&dialer, other.service()).await.unwrap();
    let client = world.client(Role::ADMINISTRATOR).await;
    let name = Role::parse("narrow").unwrap();
    let grant = Grant { verbs: vec!["runs.*".into()], hosts: "other".into(), ..Grant::default() };
    let put = roles::Put { name, grants: vec![grant], ..roles::Put::default() };
    ask(&client, &put).await.unwrap();
    let narrow = world.client(name).await;
    // Three that they may know of, among many that they may not.
    let mut known = Vec::new();
    // Written at such a length that all of them are more than one answer.
    let long = format!("sim{}", "|zz*".repeat(3900));
    for number in 0..45 {
        let hosts = if number % 10 == 0 { "other" } else { &long };
        let run = start(&client, &Start { hosts: hosts.into(), ..order(&["true"]) }).await;
        over(&client, run).await;
        if number % 10 == 0 {
            known.insert(0, run);
        }
    }
    let pages = async |client: &Client, limit: u32| {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let list = List { limit, after, ..List::default() };
            let page = ask(client, &list).await.unwrap();
            assert_eq!(page.more, !page.next.is_empty());
            assert!(!page.runs.is_empty(), "a page without runs");
            all.extend(page.runs.iter().filter_map(|run| run.id));
            if !page.more {
                return all;
            }
            after = page.next;
        }
    };
    assert_eq!(pages(&narrow, 1).await, known);
    assert_eq!(pages(&narrow, 3).await, known);
    let all = pages(&client, 7).await;
    let different: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (45, 45));
    assert_eq!(pages(&client, 0).await, all);
    let page = ask(&client, &List::default()).await.unwrap();
    assert!(page.more && page.runs.len() < 45, "{} in one answer", page.runs.len());
    let wrong = List { after: "x".into(), ..List::default() };
    assert_eq!(ask(&client, &wrong).await.unwrap_err().kind, ErrorKind::Malformed);
}

#[tokio::test]
async fn a_step_that_may_have_been_done_is_lost_and_not_failed_when_this_hub_cannot_go_on() {
    let world = World::start_with(config()).await;
    let mut sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let secret = secrets::Put { name: "runbook.db".into(), value: b"canary".into() };
    ask(&client, &secret).await.unwrap();
    let text = "name: book\nparams:\n- name: key\n  type: secret\nsteps:\n- name: a\n  line: wait {{key}}\n";
    let save = Save { name: "book".into(), text: text.into(), ..Save::default() };
    ask(&client, &save).await.unwrap();
    let params = [("key".to_owned(), Param::Text("runbook.db".into()))].into();
    let runbook = Runbook { name: "book".into(), params, ..Runbook::default() };
    let book = Order { runbook: Some(runbook), ..Order::default() };
    let book = Start { order: book, ..order(&[]) };
    // One that is done there, of which another hub has heard; one that never came there.
    let done = start(&client, &book).await;
    let id = sim.at().await;
    sim.orders.refuse(CallError::new(ErrorKind::Lost, "the link broke on the way"));
    let never = start(&client, &book).await;
    sim.cut(&world).await;
    sim.orders.finish(&id, TargetState::Ok, 0);
    sim.orders.forget();
    ask(&client, &secrets::Delete { name: "runbook.db".into() }).await.unwrap();
    drop(client);
    let world = world.restart_with(config()).await;
    sim.heal(&world).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let target = over(&client, done).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Lost, "{target:?}");
    assert!(target.why.contains("may have been done"), "{target:?}");
    let target = over(&client, never).await.targets.remove(0);
    assert!(matches!(target.state, TargetState::Failed | TargetState::Refused), "{target:?}");
    assert!(target.why.contains("no secret"), "{target:?}");
}

#[tokio::test]
async fn whoever_watches_the_lists_is_told_what_changes_in_them_and_nothing_else() {
    let world = World::start_with(config()).await;
    let sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let name = Role::parse("narrow").unwrap();
    let grant = Grant { verbs: vec!["runs.*".into()], hosts: "x*".into(), ..Grant::default() };
    let put = roles::Put { name, grants: vec![grant], ..roles::Put::default() };
    ask(&client, &put).await.unwrap();
    let narrow = world.client(name).await;
    let mut feed = client.feed(None, &ListWatch::default()).await.unwrap();
    let mut other = narrow.feed(None, &ListWatch::default()).await.unwrap();
    assert!(feed.next().await.unwrap().unwrap().begins);
    assert!(other.next().await.unwrap().unwrap().begins);
    let mut brief = client.feed(None, &ListWatch { brief: true }).await.unwrap();
    assert!(brief.next().await.unwrap().unwrap().begins);
    let run = start(&client, &order(&["wait"])).await;
    let mut until = async |over: bool| loop {
        let item = feed.next().await.unwrap().unwrap();
        assert!(!item.begins && !item.schedules, "{item:?}");
        assert_eq!(item.runs.len(), 1, "{item:?}");
        assert_eq!(item.runs[0].id, Some(run));
        if item.runs[0].ended_ms.is_some() == over {
            return item.runs[0].clone();
        }
    };
    assert_eq!(until(false).await.state, RunState::Running);
    let item = brief.next().await.unwrap().unwrap();
    assert_eq!((item.runs.len(), item.runs[0].state), (1, RunState::Running), "{item:?}");
    sim.at().await;
    ask(&client, &Stop { run, why: String::new() }).await.unwrap();
    assert_eq!(until(true).await.counts.cancelled, 1);
    let when = When { every_ms: Some(3_600_000), ..When::default() };
    let schedule =
        Schedule { name: "s".into(), when, start: order(&["true"]), ..Schedule::default() };
    ask(&client, &PutSchedule { schedule }).await.unwrap();
    let item = feed.next().await.unwrap().unwrap();
    assert!(item.schedules && item.runs.is_empty(), "{item:?}");
    // Nothing changes, so nothing comes; and who may know of none of it has heard of nothing.
    let quiet = Duration::from_secs(3);
    let mut more = 0;
    while let Ok(item) = tokio::time::timeout(quiet, feed.next()).await {
        // Whether its host has it, it learns in between.
        let item = item.unwrap().unwrap();
        assert!(item.schedules && item.runs.is_empty() && more < 2, "{item:?}");
        more += 1;
    }
    assert!(tokio::time::timeout(quiet, other.next()).await.is_err());
    // In brief it is told that the run ended too, and nothing of the schedule.
    let mut states = Vec::new();
    while let Ok(item) = tokio::time::timeout(quiet, brief.next()).await {
        let item = item.unwrap().unwrap();
        assert!(!item.begins && !item.schedules && !item.runs.is_empty(), "{item:?}");
        states.extend(item.runs.into_iter().map(|run| run.state));
    }
    assert!(states.last().is_some_and(|state| state.is_over()), "{states:?}");
}
