//! Runbooks as runs, through a real hub over real links: each host goes its own way step by step, nothing is done
//! twice, and what failed is gone on with where it failed.

use crate::sim::{Sim, ask, command, over, show};
use cmdr_hub::config::Config;
use cmdr_link::Client;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{self, Grant};
use cmdr_protocol::runbooks::{Save, StepListing, StepState, Steps};
use cmdr_protocol::runs::{
    Amount, Halt, Order, Param, Pause, Plan, Resume, Retry, RunState, Runbook, Start, Stop,
    TargetState,
};
use cmdr_protocol::{ErrorKind, RunId, configs, hosts};
use harness::orders::AtOnce;
use harness::{World, until};
use std::sync::Arc;

async fn save(client: &Client, steps: &str) {
    let text = format!("name: book\nparams:\n- name: word\n  default: hello\nsteps:\n{steps}");
    ask(client, &Save { name: "book".into(), text, ..Save::default() }).await.unwrap();
}

fn order(name: &str, params: &[(&str, &str)]) -> Order {
    let params = params.iter().map(|(k, v)| ((*k).to_owned(), Param::Text((*v).to_owned())));
    let runbook = Runbook { name: name.into(), params: params.collect(), ..Runbook::default() };
    Order { runbook: Some(runbook), ..Order::default() }
}

async fn start(client: &Client, params: &[(&str, &str)]) -> RunId {
    let start = Start { hosts: "*".into(), order: order("book", params), ..Start::default() };
    ask(client, &start).await.unwrap().run.unwrap()
}

async fn steps(client: &Client, run: RunId, target: u32) -> Vec<(StepState, String)> {
    let StepListing { steps } = ask(client, &Steps { run, target }).await.unwrap();
    steps.into_iter().map(|step| (step.state, step.output)).collect()
}

#[tokio::test]
async fn each_host_goes_through_the_steps_and_each_step_is_kept() {
    let world = World::start().await;
    let hosts = [Sim::new(&world, "sim1").await, Sim::new(&world, "sim2").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    save(
        &client,
        "- name: who\n  command: [hostname]\n- name: hi\n  when: step.who.output == host.name\n  command: [echo, '{{word}} {{step.who.output}}']\n\
         - name: never\n  when: step.hi.failed\n  command: [echo, no]\n",
    )
    .await;
    let run = start(&client, &[("word", "good day; $(x)")]).await;
    let targets = over(&client, run).await.targets;
    assert!(targets.iter().all(|target| target.state == TargetState::Ok), "{targets:?}");
    for (index, name) in ["sim1", "sim2"].iter().enumerate() {
        let index = targets.iter().find(|t| t.name == *name).map_or(index as u32, |t| t.index);
        let expected = [
            (StepState::Ok, (*name).to_owned()),
            (StepState::Ok, format!("good day; $(x) {name}")),
            (StepState::Skipped, String::new()),
        ];
        assert_eq!(steps(&client, run, index).await, expected);
    }
    assert!(hosts.iter().all(|host| host.once() == 2));
    let shown = show(&client, run).await.start.order.runbook.unwrap();
    assert!(shown.version == 1 && shown.texts.is_empty());
}

#[tokio::test]
async fn what_failed_is_gone_on_with_at_the_step_that_failed() {
    let world = World::start().await;
    let host = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    save(
        &client,
        "- name: a\n  command: [echo, one]\n- name: b\n  command: [wait]\n  retries: 1\n  pause: 1ms\n- name: c\n  command: [echo, three]\n",
    )
    .await;
    let run = start(&client, &[]).await;
    host.finish(TargetState::Failed, 3).await;
    host.finish(TargetState::Failed, 4).await;
    let target = over(&client, run).await.targets.remove(0);
    assert_eq!(
        (target.state, target.code, target.step.as_str()),
        (TargetState::Failed, Some(4), "b")
    );
    assert_eq!(target.why, "step b failed: exit code 4");
    let states: Vec<_> = steps(&client, run, 0).await.into_iter().map(|step| step.0).collect();
    assert_eq!(states, [StepState::Ok, StepState::Failed, StepState::Waiting]);
    // Saved anew, the run goes on with what it began with.
    save(&client, "- name: other\n  command: [echo, other]\n").await;
    let retry = Retry { run, targets: Vec::new(), cancelled: false, confirm: None };
    ask(&client, &retry).await.unwrap();
    host.finish(TargetState::Ok, 0).await;
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::Ok);
    let told = steps(&client, run, 0).await;
    assert_eq!(told[2], (StepState::Ok, "three".to_owned()));
    // One, b twice, b again, three.
    assert_eq!(host.once(), 5);
}

#[tokio::test]
async fn a_hub_that_begins_anew_goes_on_at_the_same_step() {
    let world = World::start().await;
    let mut host = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    save(
        &client,
        "- name: a\n  command: [echo, one]\n- name: b\n  command: [wait]\n- name: c\n  command: [echo, '{{step.a.output}}', three]\n",
    )
    .await;
    let run = start(&client, &[]).await;
    host.at().await;
    until("the first step is over", async || steps(&client, run, 0).await[0].0 == StepState::Ok)
        .await;
    let world = world.restart().await;
    host.finish(TargetState::Ok, 0).await;
    host.heal(&world).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::Ok);
    let told = steps(&client, run, 0).await;
    assert_eq!(told.iter().map(|step| step.0).collect::<Vec<_>>(), [StepState::Ok; 3]);
    assert_eq!(told[2].1, "one three");
    assert_eq!(host.once(), 3);
}

#[tokio::test]
async fn a_pause_holds_between_two_steps_and_a_stop_ends_it_there() {
    let world = World::start().await;
    let host = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    save(&client, "- name: a\n  command: [wait]\n- name: b\n  command: [wait]\n- name: c\n  command: [echo, c]\n").await;
    let run = start(&client, &[]).await;
    host.at().await;
    ask(&client, &Pause { run }).await.unwrap();
    host.finish(TargetState::Ok, 0).await;
    until("the first step is over", async || steps(&client, run, 0).await[0].0 == StepState::Ok)
        .await;
    assert_eq!(host.once(), 1);
    ask(&client, &Resume { run }).await.unwrap();
    host.at().await;
    ask(&client, &Stop { run, why: String::new() }).await.unwrap();
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::Cancelled);
    assert_eq!(host.once(), 2);
}

#[tokio::test]
async fn a_run_that_is_halted_while_a_host_is_in_a_step_ends_when_that_step_has() {
    let world = World::start().await;
    let hosts = [Sim::new(&world, "sim1").await, Sim::new(&world, "sim2").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    save(&client, "- name: a\n  command: [wait]\n- name: b\n  command: [echo, b]\n").await;
    let halt = Some(Halt { failures: Amount::count(1) });
    let start = Start { hosts: "*".into(), order: order("book", &[]), halt, ..Start::default() };
    let run = ask(&client, &start).await.unwrap().run.unwrap();
    hosts[1].at().await;
    hosts[0].finish(TargetState::Failed, 1).await;
    until("it is halting", async || show(&client, run).await.run.state == RunState::Halting).await;
    hosts[1].finish(TargetState::Ok, 0).await;
    let shown = over(&client, run).await;
    assert_eq!(shown.run.state, RunState::Halted);
    let states: Vec<_> = shown.targets.iter().map(|target| target.state).collect();
    assert_eq!(states, [TargetState::Failed, TargetState::Cancelled]);
    assert!(shown.targets[1].why.contains("halted"), "{:?}", shown.targets[1]);
    assert_eq!(hosts[1].once(), 1, "its second step was never begun");
}

#[tokio::test]
async fn a_host_that_is_between_two_steps_is_under_way_and_no_other_begins_for_it() {
    let world = World::start().await;
    let hosts = [Sim::new(&world, "sim1").await, Sim::new(&world, "sim2").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    save(
        &client,
        "- name: a\n  command: [wait]\n  retries: 1\n  pause: 500ms\n- name: b\n  command: [wait]\n- name: c\n  command: [echo, c]\n",
    )
    .await;
    let order = order("book", &[]);
    let start = Start { hosts: "*".into(), order, parallel: 1, ..Start::default() };
    let run = ask(&client, &start).await.unwrap().run.unwrap();
    // During a pause, between two steps, and when there is another hub.
    hosts[0].finish(TargetState::Failed, 1).await;
    hosts[0].finish(TargetState::Ok, 0).await;
    hosts[0].at().await;
    assert_eq!(hosts[1].once(), 0);
    ask(&client, &Pause { run }).await.unwrap();
    hosts[0].finish(TargetState::Ok, 0).await;
    until("b is over", async || steps(&client, run, 0).await[1].0 == StepState::Ok).await;
    drop(client);
    let world = world.restart().await;
    let mut hosts = hosts;
    for host in &mut hosts {
        host.heal(&world).await;
    }
    let client = world.client(Role::ADMINISTRATOR).await;
    ask(&client, &Resume { run }).await.unwrap();
    hosts[1].at().await;
    assert_eq!(hosts[0].once(), 4, "it went through all of its steps first");
    for state in [TargetState::Ok, TargetState::Ok] {
        hosts[1].finish(state, 0).await;
    }
    let shown = over(&client, run).await;
    assert!(shown.targets.iter().all(|target| target.state == TargetState::Ok), "{shown:?}");
    assert_eq!((hosts[0].once(), hosts[1].once()), (4, 3));
}

#[tokio::test]
async fn never_more_hosts_are_at_a_step_than_may_be_at_once() {
    let world = World::start().await;
    let at_once = Arc::<AtOnce>::default();
    let mut hosts = Vec::new();
    for number in 0..12 {
        let host = Sim::new(&world, &format!("sim{number:02}")).await;
        host.orders.count(&at_once);
        hosts.push(host);
    }
    let client = world.client(Role::ADMINISTRATOR).await;
    save(&client, "- name: a\n  command: [sleep, '2']\n- name: b\n  command: [sleep, '1']\n").await;
    let sleep = command(&["sleep", "3"]);
    for order in [order("book", &[]), sleep.clone(), sleep.clone(), sleep] {
        let start = Start { hosts: "*".into(), order, parallel: 2, ..Start::default() };
        let run = ask(&client, &start).await.unwrap().run.unwrap();
        let shown = over(&client, run).await;
        assert!(shown.targets.iter().all(|target| target.state == TargetState::Ok), "{shown:?}");
    }
    assert_eq!(at_once.most(), 2);
    assert!(hosts.iter().all(|host| host.once() == 5));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_any_host_hears_of_it() {
    let world = World::start_with(Config::default()).await;
    let host = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    save(&client, "- name: a\n  command: [echo, '{{word}}']\n").await;
    let begin = async |order: Order| {
        let start = Start { hosts: "*".into(), order, ..Start::default() };
        ask(&client, &start).await
    };
    let wrong = begin(order("book", &[("wrod", "x")])).await.unwrap_err();
    assert!(
        wrong.kind == ErrorKind::Malformed && wrong.message.contains("did you mean 'word'"),
        "{wrong}"
    );
    let wrong = begin(order("book", &[("word", "a\nb")])).await.unwrap_err();
    assert!(wrong.message.contains("more than one line"), "{wrong}");
    assert_eq!(begin(order("gone", &[])).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(host.once(), 0);
    // A host that it is not for is told so.
    let text = "name: other\nrequires: fact.os == 'plan9'\nsteps:\n- name: a\n  command: [echo]\n";
    let other = Save { name: "other".into(), text: text.into(), ..Save::default() };
    ask(&client, &other).await.unwrap();
    let run = begin(order("other", &[])).await.unwrap().run.unwrap();
    let target = over(&client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Refused);
    assert!(target.why.contains("plan9"), "{}", target.why);
    assert_eq!(host.once(), 0);
}

#[tokio::test]
async fn a_config_group_is_pushed_to_its_hosts_alone() {
    let world = World::start().await;
    let _hosts = [Sim::new(&world, "web1").await, Sim::new(&world, "db1").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    let text = "name: web\nhosts: web*\nfiles:\n- to: /etc/web.conf\n  content: x\n";
    let save = configs::Save { name: "web".into(), text: text.into(), ..configs::Save::default() };
    ask(&client, &save).await.unwrap();
    let order = order("config.web", &[]);
    let start = Start { hosts: "*".into(), order, ..Start::default() };
    let wrong = ask(&client, &start).await.unwrap_err();
    assert!(wrong.message.contains("db1 is none of the hosts"), "{wrong}");
}

#[tokio::test]
async fn hosts_that_somebody_may_not_know_of_are_in_no_refusal_of_their_runs() {
    let world = World::start().await;
    let _hosts = [Sim::new(&world, "web1").await, Sim::new(&world, "db1").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    let db1 = world.hub.fleet.hosts().into_iter().find(|host| host.name == "db1").unwrap();
    let set = [("crown".to_owned(), "jewels".to_owned())].into();
    ask(&client, &hosts::Label { host: db1.id.unwrap(), set, remove: Vec::new() }).await.unwrap();
    let text = "name: web\nhosts: web*\nfiles:\n- to: /etc/web.conf\n  content: x\n";
    let save = configs::Save { name: "web".into(), text: text.into(), ..configs::Save::default() };
    ask(&client, &save).await.unwrap();
    let role = async |name: &str, resource: &str| {
        let name = Role::parse(name).unwrap();
        let grant = |verb: &str, resources: Vec<String>| Grant {
            verbs: vec![verb.into()],
            hosts: "web1".into(),
            resources,
            ..Grant::default()
        };
        let grants = vec![grant("runs.*", Vec::new()), grant("exec.start", vec![resource.into()])];
        ask(&client, &roles::Put { name, grants, ..roles::Put::default() }).await.unwrap();
        world.client(name).await
    };
    let start = |hosts: &str, name: &str| {
        let order = order(&format!("config.{name}"), &[]);
        Start { hosts: hosts.into(), order, ..Start::default() }
    };
    // All hosts are those of theirs, and these are in the group.
    let pushes = role("pushes", "runbook:*").await;
    let plan = Plan { start: start("*", "web"), ..Plan::default() };
    assert_eq!(ask(&pushes, &plan).await.unwrap().count, 1);
    assert_eq!(ask(&pushes, &start("*", "web")).await.unwrap().targets, 1);
    for hosts in ["db1", "rack=1", "crown=jewels", "nosuch=1"] {
        for refused in [
            ask(&pushes, &start(hosts, "web")).await.err().unwrap(),
            ask(&pushes, &Plan { start: start(hosts, "web"), ..Plan::default() })
                .await
                .err()
                .unwrap(),
        ] {
            let told = refused.message.replace(hosts.split('=').next().unwrap(), "");
            assert!(refused.kind == ErrorKind::NotFound, "{hosts}: {refused}");
            assert!(!told.contains("crown") && !told.contains("db1"), "{hosts}: {refused}");
        }
    }
    // Who may push none does not hear which there are.
    let other = role("other", "command:*").await;
    for name in ["web", "missing"] {
        let refused = ask(&other, &start("*", name)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{name}: {refused}");
        assert!(!refused.message.contains("none of the hosts"), "{refused}");
    }
}

#[tokio::test]
async fn what_a_group_has_for_a_host_and_whether_there_is_one_learns_who_may_look_at_groups_there()
{
    let world = World::start().await;
    let _hosts = [Sim::new(&world, "web1").await, Sim::new(&world, "web2").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    let text = "name: web\nhosts: web*\nfiles:\n- to: /etc/web.conf\n  content: canary\n";
    let save = configs::Save { name: "web".into(), text: text.into(), ..configs::Save::default() };
    ask(&client, &save).await.unwrap();
    let role = async |name: &str, verb: &str| {
        let name = Role::parse(name).unwrap();
        let grant = Grant { verbs: vec![verb.into()], hosts: "web1".into(), ..Grant::default() };
        let put = roles::Put { name, grants: vec![grant], ..roles::Put::default() };
        ask(&client, &put).await.unwrap();
        world.client(name).await
    };
    let expect = |name: &str| configs::Expect { name: name.into(), ..configs::Expect::default() };
    // Any other right on a host is none to know what its files shall have.
    let other = role("other", "processes.list").await;
    for name in ["web", "missing"] {
        let refused = ask(&other, &expect(name)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{name}: {refused}");
    }
    let looks = role("looks", "configs.expect").await;
    let hosts = ask(&looks, &expect("web")).await.unwrap().hosts;
    let names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["web1"]);
    assert_eq!(ask(&looks, &expect("missing")).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn files_of_a_group_are_put_on_a_host_once_and_what_follows_is_done_when_they_changed() {
    let world = World::start().await;
    let _agent = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let (file, mark) = (world.path("web.conf"), world.path("mark"));
    let group = |word: &str| {
        let text = format!(
            "name: web\nhosts: web*\nfiles:\n- to: {}\n  mode: '0640'\n  content: |\n    {word} {{{{host.name}}}}\n\
             then:\n- name: mark\n  line: echo x >> {}\n",
            file.display(),
            mark.display()
        );
        configs::Save { name: "web".into(), text, ..configs::Save::default() }
    };
    let push = async || {
        let order = order("config.web", &[]);
        let start = Start { hosts: "web1".into(), order, ..Start::default() };
        let run = ask(&client, &start).await.unwrap().run.unwrap();
        let target = over(&client, run).await.targets.remove(0);
        assert_eq!((target.state, target.why.as_str()), (TargetState::Ok, ""), "{target:?}");
        let told = steps(&client, run, 0).await;
        told.into_iter().map(|step| step.0).collect::<Vec<_>>()
    };
    ask(&client, &group("one")).await.unwrap();
    assert_eq!(push().await, [StepState::Ok, StepState::Ok]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one web1\n");
    // It is so already: nothing follows.
    assert_eq!(push().await, [StepState::Ok, StepState::Skipped]);
    ask(&client, &group("two")).await.unwrap();
    assert_eq!(push().await, [StepState::Ok, StepState::Ok]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "two web1\n");
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "x\nx\n");
}

#[tokio::test]
async fn a_secret_reaches_the_script_that_needs_it_and_no_record() {
    let world = World::start().await;
    let _agent = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let secret =
        cmdr_protocol::secrets::Put { name: "runbook.db".into(), value: b"canary-77".into() };
    ask(&client, &secret).await.unwrap();
    let out = world.path("out");
    let text = format!(
        "name: book\nparams:\n- name: key\n  type: secret\nsteps:\n- name: a\n  line: printf %s {{{{key}}}} > {}\n",
        out.display()
    );
    ask(&client, &Save { name: "book".into(), text, ..Save::default() }).await.unwrap();
    let wrong = order("book", &[("key", "ldap-bind")]);
    let begin = Start { hosts: "*".into(), order: wrong, ..Start::default() };
    assert!(ask(&client, &begin).await.unwrap_err().message.contains("for the hub alone"));
    let run = start(&client, &[("key", "runbook.db")]).await;
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::Ok);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "canary-77");
    let shown = format!("{:?} {:?}", show(&client, run).await, steps(&client, run, 0).await);
    assert!(!shown.contains("canary"), "{shown}");
}
