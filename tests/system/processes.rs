//! Processes of a real host through the hub: list, live table, signals that hit exactly one.

use cmdr_link::Client;
use cmdr_protocol::processes::{Change, List, Process, Renice, Signal, Watch};
use cmdr_protocol::role::Role;
use cmdr_protocol::{ErrorKind, HostId};
use harness::{World, until_some};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A program of the test's own that waits for good; ended when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn find(client: &Client, host: HostId, pid: u32) -> Process {
    let listing = client.call(Some(host), &List::default(), PATIENCE).await.unwrap();
    listing.processes.into_iter().find(|p| p.pid == pid).expect("the process is listed")
}

#[tokio::test]
async fn a_signal_ends_the_process_it_names_and_no_other() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let mut sleeper = Sleeper::start();
    let pid = sleeper.0.id();
    let process = find(&client, agent.id, pid).await;
    assert_eq!((process.name.as_str(), process.command.as_str()), ("sleep", "sleep 1000"));

    // The same number with another start is another process.
    let wrong = Signal { pid, start: process.start + 1, signal: 9 };
    let error = client.call(Some(agent.id), &wrong, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(sleeper.0.try_wait().unwrap().is_none());

    let right = Signal { pid, start: process.start, signal: 15 };
    client.call(Some(agent.id), &right, PATIENCE).await.unwrap();
    assert_eq!(sleeper.0.wait().unwrap().signal(), Some(15));
    let error = client.call(Some(agent.id), &right, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn niceness_can_be_changed_and_shows() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let sleeper = Sleeper::start();
    let process = find(&client, agent.id, sleeper.0.id()).await;
    let renice = Renice { pid: process.pid, start: process.start, nice: process.nice + 5 };
    client.call(Some(agent.id), &renice, PATIENCE).await.unwrap();
    assert_eq!(find(&client, agent.id, process.pid).await.nice, process.nice + 5);
}

#[tokio::test]
async fn an_observer_may_list_and_not_signal() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    let sleeper = Sleeper::start();
    let process = find(&client, agent.id, sleeper.0.id()).await;
    let signal = Signal { pid: process.pid, start: process.start, signal: 9 };
    assert_eq!(
        client.call(Some(agent.id), &signal, PATIENCE).await.unwrap_err().kind,
        ErrorKind::Denied
    );
}

fn apply(table: &mut BTreeMap<u32, Process>, change: Change) {
    if change.reset {
        table.clear();
    }
    for pid in change.gone {
        table.remove(&pid);
    }
    table.extend(change.put.into_iter().map(|p| (p.pid, p)));
    for (pid, cpu) in change.cpu {
        table.get_mut(&pid).unwrap().cpu = cpu;
    }
    for (pid, memory) in change.memory {
        table.get_mut(&pid).unwrap().memory = memory;
    }
}

#[tokio::test]
async fn the_live_table_shows_processes_come_work_and_go() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OBSERVER).await;
    let mut feed = client.feed(Some(agent.id), &Watch { interval_ms: 1000 }).await.unwrap();
    let mut table = BTreeMap::new();
    let first = feed.next().await.unwrap().unwrap();
    assert!(first.reset);
    apply(&mut table, first);
    let mut busy = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = busy.id();
    until_some("the busy one is there with its processor use", async || {
        apply(&mut table, feed.next().await.unwrap().unwrap());
        table.get(&pid).filter(|p| p.cpu > 50).map(drop)
    })
    .await;
    busy.kill().unwrap();
    busy.wait().unwrap();
    until_some("it is gone", async || {
        apply(&mut table, feed.next().await.unwrap().unwrap());
        (!table.contains_key(&pid)).then_some(())
    })
    .await;
}
