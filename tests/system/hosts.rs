//! The live table of the fleet: what a watcher is told, and when.

use cmdr_link::service::Service;
use cmdr_link::{Client, FeedStream};
use cmdr_protocol::HostId;
use cmdr_protocol::hosts::{Change, Figures, Forget, Host, HostState, Label, Labels, List, Watch};
use cmdr_protocol::role::Role;
use harness::{BareAgent, World, until_some};
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// What a watcher knows after the items it was sent.
#[derive(Default)]
struct Table {
    hosts: BTreeMap<HostId, Host>,
    figures: BTreeMap<HostId, Figures>,
    items: usize,
}

impl Table {
    fn apply(&mut self, change: Change) {
        if change.reset {
            self.hosts.clear();
            self.figures.clear();
        }
        for id in change.gone {
            self.hosts.remove(&id);
            self.figures.remove(&id);
        }
        self.hosts.extend(change.put.into_iter().map(|host| (host.id.unwrap(), host)));
        self.figures.extend(change.figures.into_iter().map(|f| (f.id, f)));
        self.items += 1;
    }
}

struct Watcher {
    feed: FeedStream<Watch>,
    table: Table,
}

impl Watcher {
    async fn start(client: &Client, selector: &str) -> Self {
        let watch = Watch { selector: selector.to_owned(), interval_ms: 250 };
        let mut feed = client.feed(None, &watch).await.unwrap();
        let mut table = Table::default();
        let first = feed.next().await.unwrap().unwrap();
        assert!(first.reset, "the first item begins the table anew");
        table.apply(first);
        Self { feed, table }
    }

    /// Applies items until `find` finds something.
    async fn until<T>(&mut self, what: &str, find: impl Fn(&Table) -> Option<T>) -> T {
        until_some(what, async || {
            if let Some(found) = find(&self.table) {
                return Some(found);
            }
            let change = self.feed.next().await.unwrap().unwrap();
            self.table.apply(change);
            find(&self.table)
        })
        .await
    }
}

async fn fleet(world: &World, names: &[&str]) -> Vec<BareAgent> {
    let mut agents = Vec::new();
    for name in names {
        agents.push(world.bare_agent(name, Service::new(())).await);
    }
    agents
}

#[tokio::test]
async fn a_watcher_sees_hosts_come_change_and_go() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let mut watcher = Watcher::start(&client, "").await;
    assert!(watcher.table.hosts.is_empty());
    let agents = fleet(&world, &["web1", "db1"]).await;
    watcher.until("both are there", |t| (t.hosts.len() == 2).then_some(())).await;

    let set = Labels::from([("role".to_owned(), "web".to_owned())]);
    let label = Label { host: agents[0].id, set: set.clone(), remove: Vec::new() };
    assert_eq!(client.call(None, &label, PATIENCE).await.unwrap(), set);
    let id = agents[0].id;
    watcher.until("the label is there", |t| (t.hosts[&id].labels == set).then_some(())).await;

    agents[1].link.close("the machine was switched off");
    let id = agents[1].id;
    let why = watcher
        .until("db1 is away", |t| {
            (t.hosts[&id].state == HostState::Away).then(|| t.hosts[&id].last_drop.clone())
        })
        .await;
    assert_eq!(why, "the machine was switched off");
    client.call(None, &Forget { host: id }, PATIENCE).await.unwrap();
    watcher.until("db1 is gone", |t| (!t.hosts.contains_key(&id)).then_some(())).await;
}

#[tokio::test]
async fn a_watcher_of_a_selector_sees_hosts_enter_and_leave_it() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let agents = fleet(&world, &["web1", "db1"]).await;
    let mut watcher = Watcher::start(&client, "role=web").await;
    assert!(watcher.table.hosts.is_empty());
    let id = agents[0].id;
    let label = |set: Labels, remove: Vec<String>| Label { host: id, set, remove };
    let web = Labels::from([("role".to_owned(), "web".to_owned())]);
    client.call(None, &label(web, Vec::new()), PATIENCE).await.unwrap();
    watcher
        .until("web1 enters", |t| (t.hosts.len() == 1 && t.hosts.contains_key(&id)).then_some(()))
        .await;
    client.call(None, &label(Labels::new(), vec!["role".into()]), PATIENCE).await.unwrap();
    watcher.until("web1 leaves", |t| t.hosts.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_real_agent_brings_its_facts_and_live_figures() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let agent = world.agent("here").await;
    let mut watcher = Watcher::start(&client, "here").await;
    let facts =
        watcher.until("its facts are there", |t| t.hosts.get(&agent.id)?.facts.clone()).await;
    assert_eq!(facts.os_type, "linux");
    assert!(facts.cores > 0 && facts.memory > 0 && !facts.kernel.is_empty(), "{facts:?}");
    let figures =
        watcher.until("its figures are there", |t| t.figures.get(&agent.id).copied()).await;
    assert!(figures.memory_used > 0 && figures.memory_used < figures.memory_total, "{figures:?}");
    let os = format!("os={}", facts.os);
    let listed = client.call(None, &List::of(os), PATIENCE).await.unwrap().hosts;
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_while_nothing_changes() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let _agents = fleet(&world, &["web1"]).await;
    let mut watcher = Watcher::start(&client, "").await;
    // The agent has neither facts nor figures; after the first item there is nothing to tell.
    let more = tokio::time::timeout(Duration::from_secs(2), watcher.feed.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn labels_and_names_survive_a_restart_of_the_hub() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let agents = fleet(&world, &["web1"]).await;
    let set = Labels::from([("env".to_owned(), "prod".to_owned())]);
    client
        .call(None, &Label { host: agents[0].id, set: set.clone(), remove: vec![] }, PATIENCE)
        .await
        .unwrap();
    let world = world.restart().await;
    let hosts = world.hub.fleet.hosts();
    assert_eq!((hosts.len(), hosts[0].name.as_str(), &hosts[0].labels), (1, "web1", &set));
}

#[tokio::test]
async fn labels_that_the_selector_grammar_could_not_name_are_refused() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let agents = fleet(&world, &["web1"]).await;
    for (key, value) in [("", "x"), ("a b", "x"), ("a", "x,y"), ("a", "x\u{1b}[2J")] {
        let set = Labels::from([(key.to_owned(), value.to_owned())]);
        let error = client
            .call(None, &Label { host: agents[0].id, set, remove: vec![] }, PATIENCE)
            .await
            .unwrap_err();
        assert_eq!(error.kind, cmdr_protocol::ErrorKind::Malformed, "{key:?}={value:?}");
    }
}
