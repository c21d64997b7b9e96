//! Deleting runs: whose, when, and what is left of them.

use crate::sim::{Sim, ask, command, over, show, start};
use cmdr_hub::config::{Config, Runs};
use cmdr_hub::runs::{LogRecord, RunRecord};
use cmdr_link::Client;
use cmdr_protocol::audit;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::runs::{Delete, List, ListWatch, Output, Start, Stop, TargetState};
use cmdr_protocol::{CallError, ErrorKind, RunId};
use harness::{World, until};

fn order(hosts: &str, argv: &[&str]) -> Start {
    Start { hosts: hosts.into(), order: command(argv), ..Start::default() }
}

async fn listed(client: &Client) -> Vec<RunId> {
    let runs = ask(client, &List::default()).await.unwrap().runs;
    runs.into_iter().filter_map(|run| run.id).collect()
}

async fn output(client: &Client, run: RunId) -> Result<String, CallError> {
    let output = Output { run, targets: Vec::new(), since: String::new(), follow: false };
    let mut feed = client.feed(None, &output).await?;
    let mut text = String::new();
    while let Some(item) = feed.next().await {
        text.extend(item?.output.iter().map(|piece| String::from_utf8_lossy(&piece.stdout)));
    }
    Ok(text)
}

#[tokio::test]
async fn a_run_that_is_over_is_deleted_with_all_that_was_kept_of_it_and_no_other_is_touched() {
    let world = World::start().await;
    let sims = [Sim::new(&world, "sim1").await, Sim::new(&world, "sim2").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    let once = Start { key: "deploy-7".into(), ..order("sim*", &["echo", "one"]) };
    let run = start(&client, &once).await;
    let other = start(&client, &order("sim*", &["echo", "two"])).await;
    for run in [run, other] {
        over(&client, run).await;
    }
    let mut news = client.feed(None, &ListWatch::default()).await.unwrap();
    assert!(news.next().await.unwrap().unwrap().begins);
    assert_eq!(output(&client, run).await.unwrap(), "one\none\n");
    ask(&client, &Delete { run }).await.unwrap();
    assert_eq!(listed(&client).await, [other]);
    assert_eq!(output(&client, run).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(ask(&client, &Delete { run }).await.unwrap_err().kind, ErrorKind::NotFound);
    until("whoever looks at lists is told", async || {
        news.next().await.unwrap().unwrap().gone.contains(&run)
    })
    .await;
    let logs =
        |run: RunId| world.hub.store.scan::<LogRecord>(&format!("run-log/{run}/")).unwrap().len();
    assert_eq!((logs(run), logs(other) > 0), (0, true));
    let heads = world.hub.store.scan::<RunRecord>("run/").unwrap();
    assert_eq!(heads.len(), 1);
    // A request that comes again late begins nothing a second time.
    let refused = ask(&client, &once).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains("was deleted"), "{refused}");
    let list = audit::List { limit: 50, ..audit::List::default() };
    let records = ask(&client, &list).await.unwrap().records;
    let of_it = records.iter().filter(|r| r.method == "runs.delete");
    assert!(of_it.clone().any(|r| r.resource == format!("run:{run}")));
    assert_eq!(of_it.filter(|r| r.event == audit::Event::Asked).count(), 2);
    drop((client, news));
    let world = world.restart().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    assert_eq!(listed(&client).await, [other]);
    assert_eq!(output(&client, other).await.unwrap(), "two\ntwo\n");
    assert_eq!(world.hub.check().await.unwrap().damage, Vec::<String>::new());
    assert!(sims.iter().all(|sim| sim.once() == 2));
}

#[tokio::test]
async fn a_run_that_goes_on_is_not_deleted_and_it_is_said_what_to_do() {
    let world = World::start().await;
    let sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim", &["wait"])).await;
    sim.at().await;
    let refused = ask(&client, &Delete { run }).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains(&format!("cmdr run stop {run}")), "{refused}");
    ask(&client, &Stop { run, why: String::new() }).await.unwrap();
    over(&client, run).await;
    // Twice at the same time: one of them did it.
    let delete = Delete { run };
    let (a, b) = tokio::join!(ask(&client, &delete), ask(&client, &delete));
    assert_eq!(u32::from(a.is_ok()) + u32::from(b.is_ok()), 1, "{a:?} {b:?}");
    assert!(listed(&client).await.is_empty());
}

#[tokio::test]
async fn what_a_host_tells_late_of_a_run_that_was_deleted_brings_nothing_of_it_back() {
    let runs = Runs { rejoin_s: 0, patience_s: 0, ..Runs::default() };
    let world = World::start_with(Config { runs, ..Config::default() }).await;
    let mut sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim", &["wait"])).await;
    let id = sim.at().await;
    sim.cut(&world).await;
    assert_eq!(over(&client, run).await.targets[0].state, TargetState::Lost);
    ask(&client, &Delete { run }).await.unwrap();
    sim.orders.finish(&id, TargetState::Ok, 0);
    sim.heal(&world).await;
    until("it is confirmed to the host", async || sim.orders.unconfirmed() == 0).await;
    assert!(listed(&client).await.is_empty());
    let logs = world.hub.store.scan::<LogRecord>("run-log/").unwrap();
    assert!(logs.is_empty(), "{logs:?}");
}

#[tokio::test]
async fn whoever_could_stop_a_run_deletes_it_and_nobody_else() {
    let world = World::start().await;
    let _sims = [Sim::new(&world, "web1").await, Sim::new(&world, "db1").await];
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let name = Role::parse("web-hands").unwrap();
    let verbs = vec!["runs.*".to_owned(), "exec.start".to_owned()];
    let grants = vec![Grant { verbs, hosts: "web1".into(), ..Grant::default() }];
    ask(&administrator, &Put { name, description: String::new(), grants }).await.unwrap();
    let narrow = world.client(name).await;
    let observer = world.client(Role::OBSERVER).await;
    let begin = async |client: &Client, hosts: &str| {
        let run = start(client, &order(hosts, &["true"])).await;
        over(client, run).await;
        run
    };
    let both = begin(&administrator, "web1,db1").await;
    let db = begin(&administrator, "db1").await;
    let web = begin(&administrator, "web1").await;
    let own = begin(&narrow, "web1").await;
    let refused = async |client: &Client, run| ask(client, &Delete { run }).await.unwrap_err().kind;
    assert_eq!(refused(&observer, web).await, ErrorKind::Denied, "who looks deletes nothing");
    assert_eq!(refused(&narrow, both).await, ErrorKind::Denied, "it has a host beyond theirs");
    assert_eq!(refused(&narrow, db).await, ErrorKind::NotFound, "of which they do not know");
    for run in [own, web] {
        ask(&narrow, &Delete { run }).await.unwrap();
    }
    assert_eq!(listed(&administrator).await, [db, both]);
    assert_eq!(show(&administrator, both).await.targets.len(), 2);
}
