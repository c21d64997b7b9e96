//! Live figures and the process table over a real link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use cmdr_protocol::metrics::{self, Metrics};
use cmdr_protocol::{ErrorKind, facts, ping, processes};
use common::{World, until};
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn figures_come_while_somebody_watches_and_nothing_is_sampled_otherwise() {
    let world = World::new().await;
    assert!(!world.agent.metrics().is_running());
    let mut watch = world
        .client
        .feed(None, &metrics::Watch { interval_ms: 1000, history: 0, ..metrics::Watch::default() })
        .await
        .unwrap();
    let first: Metrics = watch.next().await.unwrap().unwrap();
    assert!(first.memory.total > 0 && first.uptime_s > 0 && !first.cores.is_empty(), "{first:?}");
    let second = watch.next().await.unwrap().unwrap();
    assert!(second.at_ms > first.at_ms);
    assert!(world.agent.metrics().is_running());
    assert!(!world.agent.processes().is_running());
    let mut late = world
        .client
        .feed(None, &metrics::Watch { interval_ms: 1000, history: 10, ..metrics::Watch::default() })
        .await
        .unwrap();
    let remembered = late.next().await.unwrap().unwrap();
    assert_eq!(remembered.at_ms, first.at_ms, "it begins with what is remembered");
    drop((watch, late));
    until("the sampler stopped", || !world.agent.metrics().is_running()).await;
}

#[tokio::test]
async fn one_sample_can_be_had_without_watching() {
    let world = World::new().await;
    let metrics = world.client.call(None, &metrics::Get {}, PATIENCE).await.unwrap();
    assert!(metrics.memory.total > 0);
    until("the sampler stopped", || !world.agent.metrics().is_running()).await;
}

#[tokio::test]
async fn facts_and_round_trips_are_answered() {
    let world = World::new().await;
    let facts = world.client.call(None, &facts::Get {}, PATIENCE).await.unwrap();
    assert_eq!(facts.agent, cmdr_agentd::VERSION);
    let payload = b"hello".to_vec();
    let pong = world.client.call(None, &ping::Ping { payload: payload.clone() }, PATIENCE).await;
    assert_eq!(pong.unwrap().payload, payload);
}

#[tokio::test]
async fn the_list_has_this_process_and_the_table_follows_a_child() {
    let world = World::new().await;
    let listing = world.client.call(None, &processes::List::default(), PATIENCE).await.unwrap();
    let own = listing.processes.iter().find(|p| p.pid == std::process::id()).unwrap();
    assert!(own.start > 0 && own.started_s > 1_600_000_000, "{own:?}");

    let mut watch = world.client.feed(None, &processes::Watch { interval_ms: 1000 }).await.unwrap();
    let mut table: BTreeMap<u32, processes::Process> = BTreeMap::new();
    let mut first = true;
    let mut child: Option<std::process::Child> = None;
    let mut seen = false;
    loop {
        let change = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(change.reset, first);
        first = false;
        change.gone.iter().for_each(|pid| drop(table.remove(pid)));
        table.extend(change.put.into_iter().map(|p| (p.pid, p)));
        match &mut child {
            None => {
                child = Some(std::process::Command::new("sleep").arg("654").spawn().unwrap());
            }
            Some(child) if !seen => {
                if let Some(process) = table.get(&child.id()) {
                    assert_eq!(process.command, "sleep 654");
                    let call =
                        processes::Signal { pid: process.pid, start: process.start, signal: 9 };
                    // Without a caller nothing is changed.
                    let refused = world.client.call(None, &call, PATIENCE).await.unwrap_err();
                    assert_eq!(refused.kind, ErrorKind::Denied);
                    seen = true;
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
            Some(child) => {
                if !table.contains_key(&child.id()) {
                    break;
                }
            }
        }
    }
    drop(watch);
    until("the sampler stopped", || !world.agent.processes().is_running()).await;
}

#[tokio::test]
async fn a_child_is_signalled_for_an_operator() {
    use cmdr_link::frame::Tag;
    use cmdr_protocol::Call as _;
    use std::os::unix::process::ExitStatusExt as _;
    let world = World::new().await;
    let mut child = std::process::Command::new("sleep").arg("655").spawn().unwrap();
    let listing = world.client.call(None, &processes::List::default(), PATIENCE).await.unwrap();
    let start = listing.processes.iter().find(|p| p.pid == child.id()).unwrap().start;
    for (start, tag) in [(start + 1, Tag::Error), (start, Tag::Body)] {
        let call = processes::Signal { pid: child.id(), start, signal: 15 };
        let header = cmdr_protocol::envelope::Header {
            to: None,
            method: processes::Signal::METHOD.into(),
            kind: cmdr_protocol::envelope::Kind::Call,
            resource: call.resource(),
            deadline_ms: None,
            trace: 1,
            caller: Some(common::operator()),
        };
        let (mut reader, _writer) = common::request(world.client.link(), &header, &call).await;
        assert_eq!(reader.next().await.unwrap().unwrap().tag, tag);
    }
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}
