//! Purging what is old of each kind: counted first, then gone, with its files; what is new or needed stays.

use crate::sim::{Sim, ask, command, over, start};
use cmdr_hub::config::Config;
use cmdr_hub::network::Network;
use cmdr_link::blobs::{send, sum};
use cmdr_link::{Client, clock};
use cmdr_protocol::blobs::{self, Upload};
use cmdr_protocol::data::{Kept, Kind, Purge, Purged, Sizes};
use cmdr_protocol::events::{Watch, What};
use cmdr_protocol::exec;
use cmdr_protocol::pushes::{self, Form, When};
use cmdr_protocol::recordings::{self, PutRule, Rule};
use cmdr_protocol::role::Role;
use cmdr_protocol::rules::Save;
use cmdr_protocol::runs::{List, Order, Push, Start};
use cmdr_protocol::{ErrorKind, alerts, secrets};
use harness::receiver::Receiver;
use harness::{World, until, until_some};

fn config() -> Config {
    let mut config = Config::default();
    config.api.callbacks.networks = vec![Network::parse("127.0.0.0/8").unwrap()];
    config.api.callbacks.allow_plain = true;
    config
}

async fn kept(client: &Client, kind: Kind) -> Kept {
    let all = ask(client, &Sizes {}).await.unwrap().kinds;
    all.into_iter().find(|kept| kept.kind == kind).unwrap()
}

/// All that is older than this moment, after a look that has to say the same.
async fn purged(client: &Client, kind: Kind) -> Purged {
    let before_ms = clock::now_ms() + 1;
    until("the moment has passed", async || clock::now_ms() > before_ms).await;
    let look = Purge { kind, before_ms, apply: false };
    let planned = ask(client, &look).await.unwrap();
    assert!(!planned.applied);
    let before = kept(client, kind).await.count;
    let done = ask(client, &Purge { apply: true, ..look }).await.unwrap();
    assert!(done.applied);
    assert_eq!(done.count + done.staying, planned.count + planned.staying, "{planned:?} {done:?}");
    assert_eq!(kept(client, kind).await.count, before - done.count);
    done
}

#[tokio::test]
async fn old_runs_go_with_their_output_and_those_whose_result_waits_to_be_posted_stay() {
    let (world, receiver) = (World::start_with(config()).await, Receiver::start().await);
    let _sims = [Sim::new(&world, "sim").await, Sim::new(&world, "told").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    receiver.answers("503 Service Unavailable");
    let secret = secrets::Put { name: "slack".into(), value: receiver.url.clone().into_bytes() };
    ask(&client, &secret).await.unwrap();
    let rule = pushes::Rule {
        name: "posted".into(),
        form: Form::Slack,
        url_secret: "slack".into(),
        when: When::Always,
        hosts: "told".into(),
        ..pushes::Rule::default()
    };
    ask(&client, &pushes::Put { rule }).await.unwrap();
    let once = |hosts: &str, word: &str| Start {
        hosts: hosts.into(),
        order: command(&["echo", word]),
        ..Start::default()
    };
    for order in [once("sim", "one"), once("sim", "two"), once("told", "a long word")] {
        let run = start(&client, &order).await;
        over(&client, run).await;
    }
    until("it was tried", async || !receiver.heard().is_empty()).await;
    let mut events = client.feed(None, &Watch::default()).await.unwrap();
    let done = purged(&client, Kind::Runs).await;
    // "one" and "two", each with the end of its line: of what stays nothing is counted.
    assert_eq!((done.count, done.staying, done.bytes), (2, 1, 8));
    assert_eq!(ask(&client, &List::default()).await.unwrap().runs.len(), 1);
    let told = until_some("it is told", async || {
        let event = events.next().await?.unwrap();
        (event.what == What::DataPurged).then_some(event)
    })
    .await;
    assert_eq!(told.about, "data:runs");
    assert_eq!(world.hub.check().await.unwrap().damage, Vec::<String>::new());
}

#[tokio::test]
async fn old_recordings_go_with_their_files() {
    let world = World::start().await;
    let web = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let rule = Rule { name: "all".into(), ..Rule::default() };
    ask(&client, &PutRule { rule }).await.unwrap();
    let argv = ["echo", "said"].map(str::to_owned).to_vec();
    let begin = exec::Start { argv, ..exec::Start::default() };
    let mut feed = client.feed(Some(web.id), &begin).await.unwrap();
    while let Some(item) = feed.next().await {
        item.unwrap();
    }
    until("it is whole", async || {
        let list = recordings::List::default();
        let all = ask(&client, &list).await.unwrap().recordings;
        all.iter().any(|one| one.state == recordings::State::Whole)
    })
    .await;
    let done = purged(&client, Kind::Recordings).await;
    assert_eq!((done.count, done.staying), (1, 0));
    assert!(done.bytes > 0);
    assert!(ask(&client, &recordings::List::default()).await.unwrap().recordings.is_empty());
    assert_eq!(kept(&client, Kind::Recordings).await.bytes, 0);
}

#[tokio::test]
async fn what_happened_to_alerts_goes_and_an_alert_that_fires_stays() {
    let world = World::start().await;
    let web = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let text = "rules:\n- name: away\n  when: state(host) == offline\n";
    let save = Save { name: "away".into(), text: text.into(), ..Save::default() };
    ask(&client, &save).await.unwrap();
    drop(web);
    let firing = async || {
        let all = ask(&client, &alerts::List::default()).await.unwrap().alerts;
        all.into_iter().find(|alert| alert.rule == "away")
    };
    let before = until_some("it fires", firing).await;
    let happened = async || {
        let asked = alerts::History { rule: "away".into(), ..alerts::History::default() };
        ask(&client, &asked).await.unwrap().happened.len()
    };
    // It is told a moment before it is on the disk.
    until("it is written down", async || happened().await == 1).await;
    let done = purged(&client, Kind::Alerts).await;
    assert!(done.count >= 1 && done.bytes > 0, "{done:?}");
    assert_eq!(happened().await, 0);
    assert_eq!(firing().await.map(|alert| alert.id), Some(before.id));
}

#[tokio::test]
async fn contents_of_files_go_unless_a_run_still_needs_them() {
    let world = World::start().await;
    let sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let mut hashes = Vec::new();
    for byte in [1, 2] {
        let path = world.path("content");
        std::fs::write(&path, vec![byte; 100_000]).unwrap();
        let (hash, size) = sum(&path).unwrap();
        let upload = Upload { hash: hash.clone(), size };
        let source = (std::fs::File::open(&path).unwrap(), size);
        send(&client, None, &upload, source, &|_| {}).await.unwrap();
        hashes.push(hash);
    }
    let push = Push { file: hashes[1].clone(), path: "/nowhere".into(), ..Push::default() };
    let order = Order { push: Some(push), ..Order::default() };
    start(&client, &Start { hosts: "sim".into(), order, ..Start::default() }).await;
    until("it is on its way", async || sim.orders.delivering() == 1).await;
    let done = purged(&client, Kind::Blobs).await;
    assert_eq!((done.count, done.staying, done.bytes), (1, 1, 100_000));
    let left = ask(&client, &blobs::List::default()).await.unwrap().blobs;
    assert_eq!(left.iter().map(|blob| &blob.hash).collect::<Vec<_>>(), [&hashes[1]]);
}

#[tokio::test]
async fn what_has_no_age_or_no_time_is_not_purged_and_neither_is_anything_by_others_than_administrators()
 {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let before_ms = clock::now_ms();
    let audit = Purge { kind: Kind::Audit, before_ms, apply: true };
    let refused = ask(&client, &audit).await.unwrap_err();
    assert!(refused.message.contains("proves what happened"), "{refused}");
    let timeless = Purge { kind: Kind::Runs, before_ms: 0, apply: true };
    let refused = ask(&client, &timeless).await.unwrap_err();
    assert!(refused.message.contains("none was given"), "{refused}");
    let operator = world.client(Role::OPERATOR).await;
    let runs = Purge { kind: Kind::Runs, before_ms, apply: true };
    let refused = ask(&operator, &runs).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
}
