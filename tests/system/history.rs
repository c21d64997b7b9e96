//! The history of figures: kept by a real hub of what a real agent measures, also of the time in which the link
//! was away; asked only by those who may.

use cmdr_agentd::agent::{Agent, Config as AgentConfig};
use cmdr_hub::config::Config;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::alerts;
use cmdr_protocol::events::{Watch, What};
use cmdr_protocol::history::{Answer, List, Over, Purge, Query, Sizes, Unit};
use cmdr_protocol::hosts::Rename;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::rules::Save;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use harness::{World, until_some};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A hub that keeps a sample each second.
fn config() -> Config {
    let mut config = Config::default();
    config.history.step_s = 1.try_into().unwrap();
    config
}

fn last_minutes(metric: &str, selector: &str) -> Query {
    let from_ms = cmdr_link::clock::now_ms() - 600_000;
    let (metrics, selector) = (vec![metric.to_owned()], selector.to_owned());
    Query { metrics, selector, from_ms, step_ms: 1000, ..Query::default() }
}

/// When there are points, in seconds, of the first line.
fn times(answer: &Answer) -> Vec<u64> {
    let line = &answer.lines[0];
    let first = answer.from_ms / 1000 + u64::from(line.first);
    let points = line.points.iter().enumerate().filter(|(_, v)| v.is_some());
    points.map(|(i, _)| first + i as u64).collect()
}

async fn with_points(client: &Client, query: &Query, many: usize) -> Answer {
    until_some("points are kept", async || {
        let answer = client.call(None, query, PATIENCE).await.ok()?;
        let line = answer.lines.first()?;
        (line.points.iter().flatten().count() >= many).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn what_an_agent_measured_while_the_link_was_away_is_no_gap() {
    let world = World::start_with(config()).await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let key = SecretKey::generate().unwrap();
    let dialer = world.dialer(PeerKind::Agent, key.clone(), Some(&token));
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::new(AgentConfig::new(dir.path().to_owned()));
    // It samples each second here, as it does each ten when nobody watches.
    let mut samples = agent.metrics().watch(Duration::from_secs(1));
    let first = world.serve_agent(&dialer, agent.clone().into_service()).await.unwrap();
    let client = world.client(Role::ADMINISTRATOR).await;
    let query = last_minutes("cpu.busy", "");
    let before = times(&with_points(&client, &query, 3).await);
    let id = first.id;
    client.call(None, &Rename { host: id, name: "other".into() }, PATIENCE).await.unwrap();
    drop((first, client));

    let world = world.restart_with(config()).await;
    for _ in 0..4 {
        samples.next().await;
    }
    let dialer = world.dialer(PeerKind::Agent, key, None);
    let again = world.serve_agent(&dialer, agent.into_service()).await.unwrap();
    assert_eq!(again.id, id);
    let client = world.client(Role::ADMINISTRATOR).await;
    let query = last_minutes("cpu.busy", "other");
    let answer = with_points(&client, &query, before.len() + 6).await;
    assert_eq!((answer.lines[0].name.as_str(), answer.lines[0].unit), ("other", Unit::Percent));
    let after = times(&answer);
    assert!(after.starts_with(&before[..1]), "{before:?} is kept under the new name: {after:?}");
    // A sample may fall on either side of a full second, never two of them.
    let gaps: Vec<u64> = after.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap > 2).collect();
    assert_eq!(gaps, [0u64; 0], "{after:?}");
}

#[tokio::test]
async fn history_is_shown_of_hosts_of_which_one_may_ask_it_and_purged_by_administrators() {
    let world = World::start_with(config()).await;
    let web = world.agent("web1").await;
    let db = world.agent("db1").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let both = last_minutes("memory.share", "");
    until_some("both have points", async || {
        let answer = admin.call(None, &both, PATIENCE).await.ok()?;
        (answer.lines.len() == 2).then_some(())
    })
    .await;
    let role = Role::parse("web-watcher").unwrap();
    let grant = Grant {
        verbs: vec!["history.query".into(), "history.list".into()],
        hosts: "web*".into(),
        ..Grant::default()
    };
    let put = Put { name: role, grants: vec![grant], ..Put::default() };
    admin.call(None, &put, PATIENCE).await.unwrap();
    let watcher = world.client(role).await;
    let answer = watcher.call(None, &both, PATIENCE).await.unwrap();
    let hosts: Vec<_> = answer.lines.iter().map(|l| l.host).collect();
    assert_eq!(hosts, [Some(web.id)]);
    let listing = watcher.call(None, &List::default(), PATIENCE).await.unwrap();
    assert_eq!(listing.hosts.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["web1"]);
    assert!(listing.hosts[0].metrics.iter().any(|m| m.metric == "cpu.busy" && m.last.is_some()));
    let refused = watcher.call(None, &Purge::default(), PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, cmdr_protocol::ErrorKind::Denied);

    // Hosts together are those of which one may ask.
    let mean = Query { over: Some(Over::Max), ..both.clone() };
    let answer = admin.call(None, &mean, PATIENCE).await.unwrap();
    assert_eq!((answer.lines.len(), answer.lines[0].host), (1, None));

    let of_db = Purge { selector: "db1".into(), ..Purge::default() };
    let plan = admin.call(None, &of_db, PATIENCE).await.unwrap();
    assert!(plan.values > 0 && !plan.applied, "{plan:?}");
    drop(db);
    let done = admin.call(None, &Purge { apply: true, ..of_db }, PATIENCE).await.unwrap();
    assert!(done.applied && done.values >= plan.values, "{done:?}");
    let sizes = admin.call(None, &Sizes {}, PATIENCE).await.unwrap();
    assert_eq!((sizes.tiers.len(), sizes.damaged), (6, 0));
    assert!(sizes.trouble.is_empty(), "{sizes:?}");
    let wrong = Query { metrics: Vec::new(), ..both };
    let said = admin.call(None, &wrong, PATIENCE).await.unwrap_err().message;
    assert!(said.contains("names of figures"), "{said}");
}

#[tokio::test]
async fn a_disk_without_room_for_the_history_is_an_event_and_an_alert_and_it_goes_on_when_there_is_room()
 {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("history");
    let _disk = harness::disk::Small::mount(&folder, 1);
    let world = World::start_at(dir, config()).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let text =
        "rules:\n- name: full\n  when: state(hub{*}) == full\n  message: 'full: {instance}'\n";
    let save = Save { name: "full".into(), text: text.into(), ..Save::default() };
    client.call(None, &save, PATIENCE).await.unwrap();
    let watch = Watch { kinds: vec!["history".into()], ..Watch::default() };
    let mut events = client.feed(None, &watch).await.unwrap();
    let filler = folder.join("filler");
    assert!(std::fs::write(&filler, vec![1; 4 << 20]).is_err(), "the disk is full");
    let _web = world.agent("web1").await;
    let event = loop {
        let event = events.next().await.unwrap().unwrap();
        if event.what == What::HistoryFailed {
            break event;
        }
    };
    assert!(event.message.contains("make room"), "{event:?}");
    let trouble = client.call(None, &Sizes {}, PATIENCE).await.unwrap().trouble;
    assert!(trouble.contains("o space"), "{trouble}");
    let alert = until_some("the hub's own alert fires", async || {
        let list = alerts::List::default();
        let all = client.call(None, &list, PATIENCE).await.ok()?.alerts;
        all.into_iter().find(|alert| alert.rule == "full")
    })
    .await;
    assert_eq!((alert.host, alert.name.as_str()), (None, "(hub)"));
    assert_eq!(alert.instance, "history");
    assert_eq!(alert.message, "full: history");
    // Who may not ask about every host is not told of the hub.
    let role = Role::parse("web-watcher").unwrap();
    let verbs = vec!["alerts.list".into()];
    let grant = Grant { verbs, hosts: "web*".into(), ..Grant::default() };
    let put = Put { name: role, grants: vec![grant], ..Put::default() };
    client.call(None, &put, PATIENCE).await.unwrap();
    let watcher = world.client(role).await;
    let seen = watcher.call(None, &alerts::List::default(), PATIENCE).await.unwrap().alerts;
    assert!(seen.iter().all(|alert| alert.host.is_some()), "{seen:?}");
    std::fs::remove_file(&filler).unwrap();
    until_some("the history is written", async || {
        let sized = client.call(None, &Sizes {}, PATIENCE).await.ok()?;
        (sized.trouble.is_empty() && sized.hot.values > 0).then_some(())
    })
    .await;
}
