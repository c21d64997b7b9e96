//! Live figures of a real host through the hub.

use cmdr_protocol::metrics::{Get, Metrics, Watch};
use cmdr_protocol::role::Role;
use harness::{World, until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn check(metrics: &Metrics) {
    assert!(metrics.at_ms > 0 && metrics.uptime_s > 0, "{metrics:?}");
    assert!(
        metrics.memory.total > 0 && metrics.memory.available <= metrics.memory.total,
        "{metrics:?}"
    );
    assert!(metrics.cores.iter().all(|&busy| busy <= 1000), "{:?}", metrics.cores);
    assert!(metrics.processes[0] > 0, "{:?}", metrics.processes);
}

#[tokio::test]
async fn one_sample_and_a_feed_of_samples_are_sane() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    check(&client.call(Some(agent.id), &Get {}, PATIENCE).await.unwrap());
    let mut feed = client
        .feed(Some(agent.id), &Watch { interval_ms: 1000, history: 0, ..Watch::default() })
        .await
        .unwrap();
    let first = feed.next().await.unwrap().unwrap();
    let second = feed.next().await.unwrap().unwrap();
    check(&first);
    check(&second);
    assert!(second.at_ms > first.at_ms, "{} then {}", first.at_ms, second.at_ms);
}

#[tokio::test]
async fn a_sample_of_an_ordinary_host_stays_small_on_the_wire() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    let metrics = client.call(Some(agent.id), &Get {}, PATIENCE).await.unwrap();
    let devices = metrics.disks.len()
        + metrics.mounts.len()
        + metrics.networks.len()
        + metrics.temperatures.len();
    let size = cmdr_link::codec::encode(&metrics).unwrap().len();
    let bound = 200 + 3 * metrics.cores.len() + 60 * devices;
    assert!(size <= bound, "{size} bytes for {} cores and {devices} devices", metrics.cores.len());
}

#[tokio::test]
async fn what_the_agent_remembers_comes_first_and_oldest_first() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    // The hub watches already, so there is something to remember after a while.
    let hub = world.hub.clone();
    until("the hub has figures", async || {
        let mut listed = false;
        for host in hub.fleet.hosts() {
            listed |= host.facts.is_some();
        }
        listed
    })
    .await;
    let mut live = client
        .feed(Some(agent.id), &Watch { interval_ms: 1000, history: 0, ..Watch::default() })
        .await
        .unwrap();
    for _ in 0..3 {
        live.next().await.unwrap().unwrap();
    }
    let mut feed = client
        .feed(Some(agent.id), &Watch { interval_ms: 1000, history: 60, ..Watch::default() })
        .await
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(feed.next().await.unwrap().unwrap().at_ms);
    }
    assert!(times.is_sorted(), "{times:?}");
    let newest = live.next().await.unwrap().unwrap().at_ms;
    assert!(times[0] < newest, "nothing was remembered: {times:?}, newest {newest}");
}
