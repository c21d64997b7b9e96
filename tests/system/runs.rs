//! Runs through a real hub over real links, on agents that take orders and count what they begin.

mod disk;
mod guard;

use crate::sim::{Sim, ask, command, over, show, start};
use cmdr_hub::config::{Config, Runs};
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{
    Amount, Halt, List, Order, Output, Pause, Progress, Resume, Retry, Run, RunState, Shown, Start,
    Started, Stop, Target, TargetState, Watch, Waves,
};
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind, RunId};
use harness::{World, until, until_some};
use std::collections::BTreeMap;

/// A hub that waits for nobody longer than a test likes.
fn config(rejoin_s: u64) -> Config {
    let runs = Runs { rejoin_s, patience_s: 60, ..Runs::default() };
    Config { runs, ..Config::default() }
}

async fn sims(world: &World, count: usize) -> Vec<Sim> {
    let mut sims = Vec::new();
    for number in 0..count {
        sims.push(Sim::new(world, &format!("sim{number:02}")).await);
    }
    sims
}

fn order(hosts: &str, argv: &[&str]) -> Start {
    Start { hosts: hosts.into(), order: command(argv), ..Start::default() }
}

fn states(shown: &Shown) -> Vec<&'static str> {
    shown.targets.iter().map(|target| target.state.as_str()).collect()
}

/// What a run printed, by host, and how it ended.
async fn printed(client: &Client, run: RunId) -> (BTreeMap<String, String>, Run) {
    let watch = Watch { run, since: String::new(), output: true, stay: false };
    let mut feed = client.feed(None, &watch).await.unwrap();
    let (mut out, mut names, mut last) = (BTreeMap::new(), BTreeMap::new(), Run::default());
    while let Some(item) = feed.next().await {
        let Progress { output, targets, run, .. } = item.unwrap();
        for piece in output {
            let text: &mut String = out.entry(piece.target).or_default();
            text.push_str(&String::from_utf8(piece.stdout).unwrap());
        }
        names.extend(targets.into_iter().map(|target| (target.index, target.name)));
        last = run.unwrap_or(last);
    }
    (out.into_iter().map(|(index, text)| (names[&index].clone(), text)).collect(), last)
}

#[tokio::test]
async fn every_target_ends_in_one_named_state_and_its_output_is_kept() {
    let world = World::start_with(config(0)).await;
    let mut sims = sims(&world, 5).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    sims[1].orders.refuse(CallError::denied("its policy forbids it"));
    sims[2].cut(&world).await;
    let run = start(&client, &order("sim*", &["hostname"])).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok", "refused", "unreachable", "ok", "ok"]);
    assert_eq!(shown.run.state, RunState::Done);
    assert!(shown.targets[1].why.contains("policy"), "{:?}", shown.targets[1]);
    assert!(shown.targets[2].why.contains("is away"), "{:?}", shown.targets[2]);
    assert_eq!(shown.targets[0].code, Some(0));
    assert_eq!(shown.run.counts.ok, 3);
    let (out, last) = printed(&client, run).await;
    assert_eq!(out["sim00"], "sim00\n");
    assert_eq!(out.len(), 3);
    assert_eq!(last.state, RunState::Done);
    until("all is confirmed", async || sims.iter().all(|sim| sim.orders.unconfirmed() == 0)).await;
    let run = start(&client, &order("sim00,sim03", &["fail", "3"])).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["failed", "failed"]);
    assert_eq!(shown.targets[0].code, Some(3));
    assert_eq!(shown.groups.len(), 1, "equal ends are one group");
    assert_eq!(shown.groups[0].count, 2);
    let listed = ask(&client, &List::default()).await.unwrap().runs;
    assert_eq!(listed.iter().map(|run| run.counts.targets).collect::<Vec<_>>(), [2, 5]);
}

#[tokio::test]
async fn the_same_key_is_one_run_and_another_request_with_it_is_refused() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let once = Start { key: "deploy-7".into(), ..order("sim*", &["hostname"]) };
    // At the same time, and after it.
    let (a, b) = tokio::join!(ask(&client, &once), ask(&client, &once));
    let (a, b): (Started, Started) = (a.unwrap(), b.unwrap());
    assert_eq!((a.run, a.already != b.already), (b.run, true));
    over(&client, a.run.unwrap()).await;
    let world = world.restart_with(config(0)).await;
    drop(client);
    let client = world.client(Role::ADMINISTRATOR).await;
    // Another operator's key of the same name is another one.
    let other = ask(&client, &Start { hosts: "nowhere".into(), ..once.clone() }).await;
    assert_eq!(other.unwrap_err().kind, ErrorKind::NotFound);
    assert!(sims.iter().all(|sim| sim.began() == [1]));
}

#[tokio::test]
async fn a_key_used_for_something_else_names_the_run_that_has_it() {
    let world = World::start_with(config(0)).await;
    let _sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let once = Start { key: "k".into(), ..order("sim*", &["hostname"]) };
    let run = start(&client, &once).await;
    let other = Start { order: command(&["echo", "x"]), ..once.clone() };
    let refused = ask(&client, &other).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains(&run.to_string()), "{refused}");
    assert!(ask(&client, &once).await.unwrap().already);
}

#[tokio::test]
async fn a_link_that_is_cut_in_the_middle_loses_nothing_and_repeats_nothing() {
    let world = World::start_with(config(30)).await;
    let mut sims = sims(&world, 3).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim*", &["wait"])).await;
    let mut ids = Vec::new();
    for sim in &sims {
        ids.push(sim.at().await);
    }
    sims[0].cut(&world).await;
    until("its absence is told at once", async || show(&client, run).await.targets[0].away).await;
    // It ends while nobody hears it.
    sims[0].orders.finish(&ids[0], TargetState::Ok, 0);
    sims[1].orders.finish(&ids[1], TargetState::Failed, 7);
    sims[0].heal(&world).await;
    // One that is cut and heals while it goes on.
    sims[2].cut(&world).await;
    sims[2].heal(&world).await;
    sims[2].orders.finish(&ids[2], TargetState::Ok, 0);
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok", "failed", "ok"]);
    assert!(sims.iter().all(|sim| sim.began() == [1]));
}

#[tokio::test]
async fn a_hub_that_begins_anew_goes_on_where_it_was() {
    let world = World::start_with(config(30)).await;
    let mut sims = sims(&world, 4).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let waves = Some(Waves { first: Amount::count(2), then: Amount::count(1) });
    let run = start(&client, &Start { waves, ..order("sim*", &["wait"]) }).await;
    let first = sims[0].at().await;
    sims[1].at().await;
    assert!(sims[2].began().is_empty(), "its wave has not come");
    for sim in &mut sims {
        sim.agent = None;
    }
    let world = world.restart_with(config(30)).await;
    // One ended meanwhile.
    sims[0].orders.finish(&first, TargetState::Ok, 0);
    for sim in &mut sims {
        sim.heal(&world).await;
    }
    let client = world.client(Role::ADMINISTRATOR).await;
    for (number, sim) in sims.iter().enumerate().skip(1) {
        let id = sim.at().await;
        assert!(sims.iter().skip(number + 1).all(|sim| sim.began().is_empty()));
        sim.orders.finish(&id, TargetState::Ok, 0);
    }
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok"; 4]);
    assert!(sims.iter().all(|sim| sim.began() == [1]));
    assert_eq!(shown.run.waves, [2, 1, 1]);
}

#[tokio::test]
async fn an_agent_that_was_killed_in_the_middle_tells_so_and_runs_nothing_again() {
    let world = World::start_with(config(30)).await;
    let mut sims = sims(&world, 1).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim00", &["wait"])).await;
    sims[0].at().await;
    // As when the host reboots itself.
    sims[0].cut(&world).await;
    sims[0].orders.restart();
    sims[0].heal(&world).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["lost"]);
    assert!(shown.targets[0].why.contains("killed"), "{:?}", shown.targets[0]);
    assert_eq!(sims[0].began(), [1]);
    // A retry is another attempt, which somebody has asked for.
    let again = ask(&client, &retry(run)).await.unwrap();
    assert_eq!(again.targets, 1);
    let id = sims[0].at().await;
    sims[0].orders.finish(&id, TargetState::Ok, 0);
    let shown = over(&client, run).await;
    assert_eq!((states(&shown), shown.targets[0].attempt), (vec!["ok"], 1));
    assert_eq!(sims[0].began(), [1, 1]);
    let nothing = ask(&client, &retry(run)).await.unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::NotFound);
}

fn retry(run: RunId) -> Retry {
    Retry { run, targets: Vec::new(), cancelled: false, confirm: None }
}

#[tokio::test]
async fn a_host_that_never_returns_is_lost_after_the_patience_and_what_it_tells_later_is_kept() {
    let world = World::start_with(config(0)).await;
    let mut sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let patience = Start { patience_ms: Some(200), ..order("sim*", &["wait"]) };
    let run = start(&client, &patience).await;
    let (first, second) = (sims[0].at().await, sims[1].at().await);
    sims[1].orders.finish(&second, TargetState::Ok, 0);
    sims[0].cut(&world).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["lost", "ok"]);
    sims[0].orders.finish(&first, TargetState::Ok, 0);
    sims[0].heal(&world).await;
    until("what it tells later is kept beside the state", async || {
        let target = &show(&client, run).await.targets[0];
        target.late == Some(TargetState::Ok) && target.state == TargetState::Lost
    })
    .await;
    until("it need not keep it", async || sims[0].orders.unconfirmed() == 0).await;
    // It is known to have been done: a retry would do it twice.
    assert_eq!(ask(&client, &retry(run)).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn the_first_failure_halts_a_run_when_that_is_asked_for() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 3).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let halted = Start {
        parallel: 1,
        halt: Some(Halt { failures: Amount::count(1) }),
        ..order("sim*", &["fail", "1"])
    };
    let run = start(&client, &halted).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["failed", "cancelled", "cancelled"]);
    assert_eq!(shown.run.state, RunState::Halted);
    assert!(shown.targets[2].why.contains("1 of 3 failed"), "{:?}", shown.targets[2]);
    assert!(sims[1].began().is_empty() && sims[2].began().is_empty());
}

#[tokio::test]
async fn a_share_that_halts_a_run_is_of_all_its_hosts_and_not_of_those_that_are_done() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 8).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let halt = |share: &str| Some(Halt { failures: Amount::parse(share).unwrap() });
    // A quarter of eight is two: the first wave of one fails as a whole, and the run goes on to the second.
    let waves = Some(Waves { first: Amount::count(1), then: Amount::count(2) });
    let halted = Start { waves, parallel: 1, halt: halt("25%"), ..order("sim*", &["fail", "1"]) };
    let run = start(&client, &halted).await;
    let shown = over(&client, run).await;
    let mut expected = vec!["cancelled"; 8];
    expected[..2].fill("failed");
    assert_eq!((states(&shown), shown.run.state), (expected, RunState::Halted));
    assert!(shown.run.why.contains("2 of 8 failed"), "{}", shown.run.why);
    assert!(sims[2..].iter().all(|sim| sim.began().is_empty()));
    // A share of less than one host is one, and what is rounded is rounded up.
    for (share, failed) in [("1%", 1), ("26%", 3)] {
        let halted = Start { parallel: 1, halt: halt(share), ..order("sim*", &["fail", "1"]) };
        let run = start(&client, &halted).await;
        let shown = over(&client, run).await;
        assert_eq!((shown.run.counts.failed, shown.run.counts.cancelled), (failed, 8 - failed));
    }
    // As many failures as it takes are reached by no fewer.
    let whole = Start { parallel: 1, halt: halt("100%"), ..order("sim*", &["fail", "1"]) };
    let run = start(&client, &whole).await;
    let shown = over(&client, run).await;
    assert_eq!((shown.run.state, shown.run.counts.failed), (RunState::Done, 8));
}

#[tokio::test]
async fn a_run_is_stopped_everywhere_and_paused_where_it_was_not_sent() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 3).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let one = Start { parallel: 1, ..order("sim*", &["wait"]) };
    let run = start(&client, &one).await;
    let id = sims[0].at().await;
    let paused = ask(&client, &Pause { run }).await.unwrap();
    assert_eq!(paused.state, RunState::Paused);
    sims[0].orders.finish(&id, TargetState::Ok, 0);
    until("the end is told", async || show(&client, run).await.run.counts.ok == 1).await;
    assert!(sims[1].began().is_empty(), "nothing is sent while it is paused");
    ask(&client, &Resume { run }).await.unwrap();
    sims[1].at().await;
    ask(&client, &Stop { run, why: "wrong file".into() }).await.unwrap();
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok", "cancelled", "cancelled"]);
    assert_eq!(shown.run.state, RunState::Stopped);
    assert!(shown.run.why.contains("wrong file"), "{}", shown.run.why);
    assert!(sims[2].began().is_empty());
    let twice = ask(&client, &Stop { run, why: String::new() }).await.unwrap_err();
    assert_eq!(twice.kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_deadline_ends_what_runs_and_what_was_not_sent() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let short = Start { parallel: 1, deadline_ms: Some(300), ..order("sim*", &["wait"]) };
    let run = start(&client, &short).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["timed_out", "timed_out"]);
    assert!(sims[1].began().is_empty());
}

#[tokio::test]
async fn a_host_that_is_away_is_waited_for_when_that_is_asked_for() {
    let world = World::start_with(config(0)).await;
    let mut sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    for sim in &mut sims {
        sim.cut(&world).await;
    }
    let wait = Start { when_online: true, ..order("sim*", &["hostname"]) };
    let run = start(&client, &Start { expires_ms: Some(60_000), ..wait.clone() }).await;
    until("both are waited for", async || {
        show(&client, run).await.targets.iter().all(|target: &Target| target.away)
    })
    .await;
    for sim in &mut sims {
        sim.heal(&world).await;
    }
    assert_eq!(states(&over(&client, run).await), ["ok", "ok"]);
    sims[1].cut(&world).await;
    let run = start(&client, &Start { expires_ms: Some(200), ..wait }).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok", "unreachable"]);
    assert!(sims[1].began().len() == 1, "{:?}", sims[1].orders.began());
}

#[tokio::test]
async fn who_watches_goes_on_from_a_cursor() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim*", &["wait"])).await;
    let ids = [sims[0].at().await, sims[1].at().await];
    let watch = async |since: String| {
        client.feed(None, &Watch { run, since, output: true, stay: false }).await.unwrap()
    };
    let mut cursor = String::new();
    let mut feed = watch(String::new()).await;
    let mut running = std::collections::BTreeSet::new();
    while running.len() < 2 {
        let item = feed.next().await.unwrap().unwrap();
        for target in item.targets.iter().filter(|t| t.state == TargetState::Running) {
            running.insert(target.index);
        }
        cursor = item.cursor;
    }
    drop(feed);
    sims[0].orders.finish(&ids[0], TargetState::Ok, 0);
    until("one has ended", async || show(&client, run).await.run.counts.ok == 1).await;
    let mut feed = watch(cursor).await;
    let item = feed.next().await.unwrap().unwrap();
    let told: Vec<_> = item.targets.iter().map(|t| (t.index, t.state)).collect();
    assert!(!item.reset && told.contains(&(0, TargetState::Ok)), "{item:?}");
    sims[1].orders.finish(&ids[1], TargetState::Ok, 0);
    let mut last = item;
    while let Some(item) = feed.next().await {
        last = item.unwrap();
    }
    assert!(last.over);
    // Another hub's cursor is none: everything is told anew.
    let mut feed = watch("1.5.0".into()).await;
    let item = feed.next().await.unwrap().unwrap();
    assert!(item.reset && item.targets.len() == 2);
}

#[tokio::test]
async fn a_real_agent_does_it_and_tells_both_outputs_and_the_code() {
    let world = World::start_with(config(0)).await;
    let _agent = world.agent("real").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let line = cmdr_protocol::runs::Line { text: "echo out; echo err >&2; exit 3".into() };
    let line = Order { line: Some(line), ..Order::default() };
    let run =
        start(&client, &Start { hosts: "real".into(), order: line, ..Start::default() }).await;
    let shown = over(&client, run).await;
    assert_eq!((states(&shown), shown.targets[0].code), (vec!["failed"], Some(3)));
    assert_eq!((shown.targets[0].stdout, shown.targets[0].stderr), (4, 4));
    let (out, _) = printed(&client, run).await;
    assert_eq!(out["real"], "out\n");
    let missing = start(&client, &order("real", &["/nowhere/at/all"])).await;
    assert_eq!(states(&over(&client, missing).await), ["failed"]);
}
