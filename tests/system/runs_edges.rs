//! Runs at their edges: what begins by the clock and for whom, and whose contents of files are put on hosts.

use crate::sim::{PATIENCE, Sim, ask, command, over};
use cmdr_link::blobs::send;
use cmdr_link::service::Asked;
use cmdr_link::{Client, SecretKey, keys};
use cmdr_protocol::audit::{self, Event, Outcome};
use cmdr_protocol::blobs::Upload;
use cmdr_protocol::operators::Revoke;
use cmdr_protocol::orders::{Kept, Schedules};
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{
    Command, ListSchedules, Order, Param, PauseSchedule, Push, PutSchedule, Runbook, Schedule,
    Script, Show, Start, When,
};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind};
use harness::World;
use harness::orders::Orders;
use std::sync::Arc;
use std::time::Duration;

/// The schedule that there is, as soon as it is so.
async fn schedule(client: &Client, is: impl Fn(&Schedule) -> bool) -> Schedule {
    let looking = async {
        loop {
            let all = ask(client, &ListSchedules {}).await.unwrap().schedules;
            if let Some(found) = all.into_iter().find(|schedule| is(schedule)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("the schedule comes to it")
}

#[tokio::test]
async fn what_a_schedule_begins_is_in_the_audit_log_and_ends_with_the_device_that_made_it() {
    let world = World::start().await;
    let _agent = world.agent("here").await;
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let (key, token) =
        (SecretKey::generate().unwrap(), world.token(TokenKind::Operator, Role::OPERATOR, 1).await);
    let id = keys::key_id(&key.public());
    let (client, _) = world.dialer(PeerKind::Client, key, Some(&token)).connect().await.unwrap();
    let command = Command { argv: vec!["true".into()] };
    let order = Order { command: Some(command), ..Order::default() };
    let start = Start { hosts: "here".into(), order, ..Start::default() };
    let when = When { every_ms: Some(10_000), ..When::default() };
    let put = Schedule { name: "tick".into(), when, start, ..Schedule::default() };
    ask(&client, &PutSchedule { schedule: put }).await.unwrap();
    let run = schedule(&administrator, |schedule| schedule.last.is_some()).await.last.unwrap();

    let records = async || {
        let list = audit::List { limit: 500, ..audit::List::default() };
        let mut records = ask(&administrator, &list).await.unwrap().records;
        records.retain(|record| record.method == "runs.start");
        records.sort_by_key(|record| record.seq);
        records
    };
    let told = records().await;
    let [asked, answered] = &told[..] else { panic!("{told:?}") };
    assert_eq!((asked.event, asked.key), (Event::Asked, Some(id)));
    assert!(asked.message.contains("by the schedule tick"), "{asked:?}");
    assert_eq!((answered.asked, answered.outcome), (Some(asked.seq), Some(Outcome::Ok)));
    assert!(format!("{:?}", answered.result).contains(&run.to_string()), "{answered:?}");

    ask(&administrator, &Revoke { key: id }).await.unwrap();
    let stopped = schedule(&administrator, |schedule| !schedule.trouble.is_empty()).await;
    assert!(stopped.trouble.contains("was taken away"), "{}", stopped.trouble);
    assert_eq!(stopped.last, Some(run), "it begins nothing more");
    let told = records().await;
    assert_eq!(told.last().unwrap().outcome, Some(Outcome::Denied), "{told:?}");
}

#[tokio::test]
async fn a_schedule_that_an_administrator_pauses_and_resumes_stays_whose_it_is_and_as_it_was() {
    let world = World::start().await;
    let sim = Sim::new(&world, "here").await;
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let [ann, bob] = [world.client(Role::OPERATOR).await, world.client(Role::OPERATOR).await];
    let env = [("TOKEN".to_owned(), "s3cret".to_owned())].into();
    let order = Order { env, ..command(&["hostname"]) };
    let start = Start { hosts: "here".into(), order, ..Start::default() };
    let when = When { every_ms: Some(10_000), ..When::default() };
    let put = Schedule { name: "tick".into(), when, start, ..Schedule::default() };
    let made = ask(&ann, &PutSchedule { schedule: put }).await.unwrap();
    let pause = |paused| PauseSchedule { name: "tick".into(), paused };
    assert_eq!(ask(&bob, &pause(true)).await.unwrap_err().kind, ErrorKind::Denied);
    let paused = ask(&administrator, &pause(true)).await.unwrap();
    assert_eq!((paused.paused, paused.next_ms), (true, None));
    assert_eq!(ask(&administrator, &pause(true)).await.unwrap(), paused, "it is so already");
    let resumed = ask(&administrator, &pause(false)).await.unwrap();
    assert_eq!((resumed.operator, resumed.made_ms), (made.operator.clone(), made.made_ms));
    assert!(resumed.next_ms.is_some_and(|next| (next - made.made_ms) % 10_000 == 0));
    let run = schedule(&ann, |schedule| schedule.last.is_some()).await.last.unwrap();
    let shown = over(&ann, run).await;
    assert_eq!((shown.run.operator, shown.run.counts.ok), (made.operator, 1));
    assert_eq!(sim.orders.env("TOKEN").as_deref(), Some("s3cret"));
    let none = ask(&ann, &PauseSchedule { name: "tock".into(), paused: true }).await.unwrap_err();
    assert_eq!(none.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_schedule_that_is_refused_is_not_there() {
    let world = World::start().await;
    let _agent = world.agent("here").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let script = Script { name: "x".into(), content: vec![b'#'; 63 << 10], ..Script::default() };
    let order = Order { script: Some(script), ..Order::default() };
    let start = Start { hosts: "here".into(), order, ..Start::default() };
    let when = When { every_ms: Some(10_000), ..When::default() };
    let put = Schedule { name: "large".into(), when, start, ..Schedule::default() };
    let refused = ask(&client, &PutSchedule { schedule: put }).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Malformed, "{refused}");
    // A runbook that is not there, or wants a parameter, is told now and not in the night.
    for (name, params) in [("no-such", vec![]), ("nginx", vec![("no-such", "1")])] {
        let params =
            params.into_iter().map(|(name, value)| (name.into(), Param::Text(value.into())));
        let runbook = Runbook { name: name.into(), params: params.collect(), ..Runbook::default() };
        let order = Order { runbook: Some(runbook), ..Order::default() };
        let start = Start { hosts: "here".into(), order, ..Start::default() };
        let when = When { every_ms: Some(10_000), ..When::default() };
        let put = Schedule { name: "book".into(), when, start, ..Schedule::default() };
        let refused = ask(&client, &PutSchedule { schedule: put }).await.unwrap_err();
        assert!(refused.message.contains("no-such"), "{refused}");
    }
    assert!(ask(&client, &ListSchedules {}).await.unwrap().schedules.is_empty());
}

async fn keeps(_: Arc<Orders>, _: Asked, _: Schedules) -> Result<Kept, CallError> {
    Ok(Kept::default())
}

async fn never(_: Arc<Orders>, _: Asked, _: Schedules) -> Result<Kept, CallError> {
    std::future::pending().await
}

#[tokio::test]
async fn a_host_that_does_not_answer_holds_up_no_other_that_is_given_schedules() {
    let world = World::start().await;
    let _quick = world.bare_agent("quick", Orders::new("quick").service().on(keeps)).await;
    let _slow = world.bare_agent("slow", Orders::new("slow").service().on(never)).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let put = async |name: &str| {
        let start = Start { hosts: "*".into(), order: command(&["true"]), ..Start::default() };
        let when = When { every_ms: Some(3_600_000), ..When::default() };
        let schedule = Schedule { name: name.into(), when, start, ..Schedule::default() };
        ask(&client, &PutSchedule { schedule }).await.unwrap();
    };
    put("one").await;
    schedule(&client, |schedule| schedule.at_hosts == 2).await;
    put("two").await;
    schedule(&client, |schedule| schedule.name == "two" && schedule.at_hosts > 0).await;
}

#[tokio::test]
async fn a_content_is_put_on_hosts_by_who_has_sent_it_and_shown_to_nobody_else() {
    let world = World::start().await;
    let _agent = world.agent("here").await;
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    std::fs::write(&source, b"the plan").unwrap();
    let hash = blake3::hash(b"the plan").to_hex().to_string();
    let upload = Upload { hash: hash.clone(), size: 8 };
    let sent = async |client: &Client| {
        let source = (std::fs::File::open(&source).unwrap(), 8);
        send(client, None, &upload, source, &|_| {}).await.unwrap()
    };
    let [ann, bob] = [world.client(Role::OPERATOR).await, world.client(Role::OPERATOR).await];
    // Who knows the hash alone begins to send and does not go on: that holds up nobody.
    let eve = world.client(Role::OPERATOR).await;
    let mut slow = eve.feed(None, &upload).await.unwrap();
    assert_eq!(slow.next().await.unwrap().unwrap().have, 0);
    assert_eq!((sent(&ann).await, sent(&ann).await), (8, 0));
    let push = Push { file: hash.clone(), path: target.display().to_string(), ..Push::default() };
    let order = Order { push: Some(push), ..Order::default() };
    let start = Start { hosts: "here".into(), order, ..Start::default() };
    let refused = ask(&bob, &start).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    let run = ask(&ann, &start).await.unwrap().run.unwrap();
    let show = Show { run, from: 0 };
    let shown = ask(&ann, &show).await.unwrap();
    assert_eq!(shown.start.order.push.unwrap().file, hash);
    let shown = ask(&bob, &show).await.unwrap();
    assert!(!format!("{shown:?}").contains(&hash), "{shown:?}");
    // Whoever has it sends it, and then it is theirs too.
    assert_eq!((sent(&bob).await, sent(&bob).await), (8, 0));
    ask(&bob, &start).await.unwrap();
}
