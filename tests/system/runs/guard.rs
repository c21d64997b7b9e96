//! What stands between an order and a fleet: which hosts are picked, who may, what is typed, what is secret.

use super::*;
use crate::secrets::holding;
use cmdr_protocol::keys;
use cmdr_protocol::roles::Grant;
use cmdr_protocol::runs::{DeleteSchedule, ListSchedules, Plan, PutSchedule, Schedule, Show, When};
use cmdr_protocol::secrets::Rotate;

#[tokio::test]
async fn what_picks_no_host_is_told_before_anything_begins() {
    let world = World::start_with(config(0)).await;
    let _sims = sims(&world, 1).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let refused = async |hosts: &str| ask(&client, &order(hosts, &["hostname"])).await.unwrap_err();
    let none = refused("web*").await;
    assert_eq!(none.kind, ErrorKind::NotFound);
    assert!(none.message.contains("no host matches 'web*'"), "{none}");
    let unknown = refused("flavour!=x").await;
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    assert!(unknown.message.contains("label or fact 'flavour'"), "{unknown}");
    assert!(unknown.message.contains("kernel"), "it says what there is: {unknown}");
    assert_eq!(refused(" ").await.kind, ErrorKind::Malformed);
    assert_eq!(refused("a,,b").await.kind, ErrorKind::Malformed);
    let nothing = Start { hosts: "*".into(), ..Start::default() };
    assert!(ask(&client, &nothing).await.unwrap_err().message.contains("nothing to do"));
    assert!(ask(&client, &List::default()).await.unwrap().runs.is_empty());
}

#[tokio::test]
async fn the_hub_holds_to_the_guard_whatever_a_client_shows() {
    let runs = Runs { confirm_above: 2, rejoin_s: 0, ..Runs::default() };
    let world = World::start_with(Config { runs, ..Config::default() }).await;
    let sims = sims(&world, 3).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let all = order("sim*", &["fail", "1"]);
    let plan =
        async |start: &Start| ask(&client, &Plan { start: start.clone(), from: 0 }).await.unwrap();
    let planned = plan(&all).await;
    assert_eq!((planned.count, planned.online, planned.guard.confirm), (3, 3, true));
    let names: Vec<_> = planned.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["sim00", "sim01", "sim02"]);
    let refused = ask(&client, &all).await.unwrap_err();
    assert!(refused.message.contains("--confirm 3"), "{refused}");
    let wrong = ask(&client, &Start { confirm: Some(2), ..all.clone() }).await.unwrap_err();
    assert!(wrong.message.contains("for 3 hosts, not for 2"), "{wrong}");
    // Of protected hosts the first is tried alone.
    let prod = [("env".to_owned(), "prod".to_owned())].into();
    world.hub.fleet.label(sims[2].id, &prod, &[]).await.unwrap();
    let two = order("sim00,sim02", &["fail", "1"]);
    let planned = plan(&two).await;
    assert!(planned.guard.first_of_one && planned.guard.confirm, "{:?}", planned.guard);
    assert_eq!(planned.waves, [1, 1]);
    let run = start(&client, &Start { confirm: Some(2), ..two }).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["failed", "cancelled"]);
    assert!(shown.run.why.contains("first host"), "{}", shown.run.why);
    // One alone was named by hand.
    assert!(!plan(&order("sim02", &["hostname"])).await.guard.confirm);
    assert!(sims[0].began() == [1] && sims[2].began().is_empty());
}

#[tokio::test]
async fn somebody_who_may_not_on_one_host_begins_nothing_anywhere() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 2).await;
    let prod = [("env".to_owned(), "prod".to_owned())].into();
    world.hub.fleet.label(sims[1].id, &prod, &[]).await.unwrap();
    let developer = world.client(Role::DEVELOPER).await;
    let all = Start { confirm: Some(2), ..order("sim*", &["hostname"]) };
    let refused = ask(&developer, &all).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("sim01"), "{refused}");
    let planned = ask(&developer, &Plan { start: all, from: 0 }).await.unwrap();
    assert_eq!((planned.count, planned.refused.len()), (1, 1));
    let run = start(&developer, &order("sim00", &["hostname"])).await;
    over(&developer, run).await;
    // An observer sees that it was, and not what it printed.
    let observer = world.client(Role::OBSERVER).await;
    assert_eq!(show(&observer, run).await.run.counts.ok, 1);
    let watch = Watch { run, since: String::new(), output: true, stay: false };
    let told = observer.feed(None, &watch).await.unwrap().next().await.unwrap();
    assert_eq!(told.unwrap_err().kind, ErrorKind::Denied);
    let stop = ask(&observer, &Stop { run, why: String::new() }).await.unwrap_err();
    assert_eq!(stop.kind, ErrorKind::Denied);
    assert!(sims[1].began().is_empty());
}

#[tokio::test]
async fn the_hubs_own_host_is_picked_only_by_who_says_so() {
    let world = World::start_with(config(0)).await;
    let sims = sims(&world, 2).await;
    let own = [("gate".to_owned(), "ssh".to_owned())].into();
    world.hub.fleet.label(sims[1].id, &own, &[]).await.unwrap();
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("*", &["hostname"])).await;
    assert_eq!(over(&client, run).await.targets.len(), 1);
    assert!(sims[1].began().is_empty());
    let run = start(&client, &order("sim00,sim01", &["fail", "1"])).await;
    assert_eq!(states(&over(&client, run).await), ["failed", "failed"]);
    // What was tried there once is tried there again.
    ask(&client, &retry(run)).await.unwrap();
    over(&client, run).await;
    assert_eq!(sims[1].began(), [1, 1]);
}

#[tokio::test]
async fn a_programs_key_has_the_schedules_that_it_made_and_no_others() {
    let world = World::start_with(config(0)).await;
    let _sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let every = When { every_ms: Some(3_600_000), ..When::default() };
    let put = |name: &str, hosts: &str| {
        let (name, start) = (name.to_owned(), order(hosts, &["hostname"]));
        let schedule = Schedule { name, when: every.clone(), start, ..Schedule::default() };
        PutSchedule { schedule }
    };
    ask(&client, &put("all", "sim*")).await.unwrap();
    let secret = SecretKey::generate().unwrap();
    let verbs = vec!["runs.*".to_owned(), "exec.start".to_owned()];
    let create = keys::Create {
        key: secret.public(),
        name: "clock".into(),
        scope: vec![Grant { verbs, hosts: "sim00".into(), ..Grant::default() }],
        networks: Vec::new(),
        ttl_s: 3600,
        http: None,
    };
    ask(&client, &create).await.unwrap();
    let (program, _) = world.dialer(PeerKind::Client, secret, None).connect().await.unwrap();
    let names = async |client: &Client| {
        let listed = ask(client, &ListSchedules {}).await.unwrap().schedules;
        listed.into_iter().map(|schedule| schedule.name).collect::<Vec<_>>()
    };
    ask(&program, &put("own", "sim00")).await.unwrap();
    assert_eq!(names(&program).await, ["own"]);
    assert_eq!(names(&client).await, ["all", "own"]);
    let delete = DeleteSchedule { name: "all".into() };
    assert_eq!(ask(&program, &delete).await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(ask(&program, &put("all", "sim00")).await.unwrap_err().kind, ErrorKind::Denied);
    // Hosts beyond its scope are not there for it.
    assert_eq!(ask(&program, &put("more", "sim01")).await.unwrap_err().kind, ErrorKind::NotFound);
    ask(&client, &DeleteSchedule { name: "own".into() }).await.unwrap();
}

#[tokio::test]
async fn a_key_for_one_program_learns_how_its_own_runs_ended_and_nothing_of_others() {
    let world = World::start().await;
    let _sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let key = async |name: &str| {
        let secret = SecretKey::generate().unwrap();
        let grant = Grant {
            verbs: vec!["runs.*".to_owned(), "exec.start".to_owned()],
            resources: vec!["command:hostname".to_owned()],
            ..Grant::default()
        };
        let create = keys::Create {
            key: secret.public(),
            name: name.into(),
            scope: vec![grant],
            networks: Vec::new(),
            ttl_s: 3600,
            http: None,
        };
        ask(&client, &create).await.unwrap();
        world.dialer(PeerKind::Client, secret, None).connect().await.unwrap().0
    };
    let (one, other) = (key("one").await, key("other").await);
    let run = start(&one, &order("sim*", &["hostname"])).await;
    let (printed, last) = printed(&one, run).await;
    assert_eq!((printed["sim01"].as_str(), last.counts.ok), ("sim01\n", 2));
    assert_eq!(ask(&other, &Show { run, from: 0 }).await.unwrap_err().kind, ErrorKind::NotFound);
    let theirs = start(&client, &order("sim*", &["hostname"])).await;
    let unseen = ask(&one, &Show { run: theirs, from: 0 }).await.unwrap_err();
    assert_eq!(unseen.kind, ErrorKind::NotFound);
    let refused = ask(&one, &order("sim*", &["true"])).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn values_of_variables_are_sealed_at_the_hub_and_reach_hosts_after_a_rotation_and_a_restart()
{
    const CANARY: &str = "canary-4d11aa-battery";
    let world = World::start_with(config(0)).await;
    let mut sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    sims[1].cut(&world).await;
    let mut waits = Start { when_online: true, ..order("sim*", &["hostname"]) };
    waits.order.env = [("TOKEN".to_owned(), CANARY.to_owned())].into();
    let run = start(&client, &waits).await;
    let every = When { every_ms: Some(3_600_000), ..When::default() };
    let schedule =
        Schedule { name: "s".into(), when: every, start: waits.clone(), ..Schedule::default() };
    let put = ask(&client, &PutSchedule { schedule }).await.unwrap();
    until("one has it", async || show(&client, run).await.run.counts.ok == 1).await;
    assert_eq!(sims[0].orders.env("TOKEN").as_deref(), Some(CANARY));
    let shown = show(&client, run).await;
    assert_eq!(shown.start.order.env.keys().collect::<Vec<_>>(), ["TOKEN"]);
    assert!(!format!("{shown:?}{put:?}").contains(CANARY));

    let mut feed = client.feed(None, &Rotate {}).await.unwrap();
    let mut steps = Vec::new();
    while let Some(step) = feed.next().await {
        steps.push(step.unwrap());
    }
    let told = format!("{steps:?}");
    assert!(told.contains("variables of runs and schedules"), "{told}");
    let world = world.restart_with(config(0)).await;
    assert_eq!(holding(world.data(), CANARY.as_bytes()), Vec::<String>::new());
    let client = world.client(Role::ADMINISTRATOR).await;
    for sim in &mut sims {
        sim.heal(&world).await;
    }
    assert_eq!(states(&over(&client, run).await), ["ok", "ok"]);
    assert_eq!(sims[1].orders.env("TOKEN").as_deref(), Some(CANARY));
    ask(&client, &DeleteSchedule { name: "s".into() }).await.unwrap();
}
