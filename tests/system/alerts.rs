//! Rules and alerts: a real hub looks at real agents and tells by a real mail server. Nothing is told twice and nothing
//! forgotten, whatever happens to the hub.

use cmdr_agentd::agent::Config as AgentConfig;
use cmdr_hub::config::Config;
use cmdr_hub::network::Network;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::alerts::{
    Acknowledge, Alert, History, List, PutSilence, SavePolicies, Show, State, Watch,
};
use cmdr_protocol::notifiers::{self, Fate, Notices};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::rules::{self, Delete, Save, Switch, Try};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{ErrorKind, HostId};
use harness::mail::MailServer;
use harness::{BareAgent, World, until_some};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn config() -> Config {
    let mut config = Config::default();
    config.history.step_s = 1.try_into().unwrap();
    config.api.callbacks.networks = vec![Network::parse("127.0.0.0/8").unwrap()];
    config
}

/// Fires as soon as a host is away.
const AWAY: &str = "rules:\n- name: away\n  when: state(host) == offline\n  severity: critical\n  message: '{host} has gone'\n";

async fn save(client: &Client, name: &str, text: &str) {
    let save = Save { name: name.into(), text: text.into(), ..Save::default() };
    client.call(None, &save, PATIENCE).await.unwrap();
}

/// Without the rules of the product.
async fn bare(client: &Client) {
    seeded(client).await;
    let rules = client.call(None, &rules::List {}, PATIENCE).await.unwrap().rules;
    for rule in rules {
        client.call(None, &Delete { name: rule.name }, PATIENCE).await.unwrap();
    }
}

/// The same, and mails at once.
async fn prepare(client: &Client, notifier: &str) {
    bare(client).await;
    let save = notifiers::Save {
        name: "mail".into(),
        text: notifier.into(),
        ..notifiers::Save::default()
    };
    client.call(None, &save, PATIENCE).await.unwrap();
    let text = "policies:\n- name: all\n  to: [mail]\n  group_wait: 0s\n  group_interval: 0s\n";
    let save = SavePolicies { text: text.into(), ..SavePolicies::default() };
    client.call(None, &save, PATIENCE).await.unwrap();
}

async fn alert(client: &Client, state: State) -> Alert {
    until_some("an alert stands so", async || {
        let list = List { states: vec![state], ..List::default() };
        client.call(None, &list, PATIENCE).await.ok()?.alerts.into_iter().next()
    })
    .await
}

async fn seeded(client: &Client) {
    until_some("the rules of the product are there", async || {
        let rules = client.call(None, &rules::List {}, PATIENCE).await.ok()?.rules;
        rules.iter().any(|rule| rule.name == "host-offline").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_alert_is_told_once_acknowledged_and_told_to_be_over_across_restarts_of_the_hub() {
    let mut mails = MailServer::start().await;
    let world = World::start_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    prepare(&admin, &mails.notifier("ops@example.com")).await;
    save(&admin, "away", AWAY).await;
    let (token, key) =
        (world.token(TokenKind::Host, Role::NONE, 1).await, SecretKey::generate().unwrap());
    let mut dialer = world.dialer(PeerKind::Agent, key.clone(), Some(&token));
    "web1".clone_into(&mut dialer.name);
    let own = AgentConfig::new(world.path("web1"));
    let web = world.agent_as(&dialer, own.clone()).await;
    let id = web.id;
    drop(web);
    let fired = alert(&admin, State::Firing).await;
    assert_eq!((fired.host, fired.message.as_str()), (Some(id), "web1 has gone"));
    let told = mails.mail().await;
    assert!(told.contains("web1 has gone") && told.contains("CRITICAL"), "{told}");

    // The hub is another, the alert the same, and nobody hears of it again.
    let world = world.restart_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let still = alert(&admin, State::Firing).await;
    assert_eq!((&still.id, still.fired_ms), (&fired.id, fired.fired_ms));
    let ack = Acknowledge { alerts: vec![fired.id.clone(), "none".into()], why: "it is me".into() };
    let done = admin.call(None, &ack, PATIENCE).await.unwrap();
    assert_eq!((done.done, done.refused.len(), done.refused[0].id.as_str()), (1, 1, "none"));
    let known = alert(&admin, State::Acknowledged).await;
    assert_eq!(known.ack.unwrap().why, "it is me");

    let world = world.restart_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    alert(&admin, State::Acknowledged).await;
    // The host is back, and so it is over.
    let _back = world.agent_as(&world.dialer(PeerKind::Agent, key, None), own).await;
    let over = mails.mail().await;
    assert!(over.contains("[RESOLVED] web1 has gone"), "{over}");
    let notices = until_some("both are known to be taken", async || {
        let notices = admin.call(None, &Notices::default(), PATIENCE).await.ok()?.notices;
        notices.iter().all(|n| n.fate == Fate::Taken).then_some(notices)
    })
    .await;
    let fates: Vec<_> = notices.iter().map(|n| (n.fate, n.tries)).collect();
    assert_eq!(
        fates,
        [(Fate::Taken, 1), (Fate::Taken, 1)],
        "one when it fired, one when it was over"
    );

    let history = History { from_ms: 0, ..History::default() };
    let happened = admin.call(None, &history, PATIENCE).await.unwrap().happened;
    let states: Vec<_> = happened.iter().map(|h| h.state).collect();
    assert_eq!(states, [State::Firing, State::Acknowledged, State::Resolved], "{happened:?}");
    let shown = admin.call(None, &Show { id: fired.id.clone() }, PATIENCE).await.unwrap();
    assert_eq!((shown.happened.len(), shown.alert.id), (3, fired.id));
    let damage = world.hub.check().await.unwrap().damage;
    assert_eq!(damage, Vec::<String>::new(), "every record is of a kind that is known");
    // The rules of the product that somebody deleted stay deleted.
    let rules = admin.call(None, &rules::List {}, PATIENCE).await.unwrap().rules;
    assert_eq!(rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["away"]);
}

#[tokio::test]
async fn a_host_that_comes_back_ends_its_alert_and_silences_keep_it_quiet() {
    let mut mails = MailServer::start().await;
    let world = World::start_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    prepare(&admin, &mails.notifier("ops@example.com")).await;
    save(&admin, "away", AWAY).await;
    let db = world.agent("db1").await;
    let web = world.agent("web1").await;
    let silence = PutSilence { matcher: "host=db1".into(), for_ms: 60_000, why: "moving".into() };
    let silence = admin.call(None, &silence, PATIENCE).await.unwrap();
    let mut feed = admin.feed(None, &Watch::default()).await.unwrap();
    assert!(feed.next().await.unwrap().unwrap().all);
    let web_id = web.id;
    drop((db, web));
    let quiet = alert(&admin, State::Silenced).await;
    assert_eq!((quiet.name.as_str(), quiet.silence), ("db1", Some(silence.id)));
    let told = mails.mail().await;
    assert!(told.contains("web1 has gone") && !told.contains("db1"), "{told}");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let news = feed.next().await.unwrap().unwrap();
        let firing = news.alerts.into_iter().filter(|a| a.state.is_firing());
        seen.extend(firing.map(|alert| alert.host));
        seen.dedup();
    }
    assert!(seen.contains(&Some(web_id)));
}

#[tokio::test]
async fn alerts_are_shown_and_acknowledged_only_on_hosts_of_which_one_may() {
    let world = World::start_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    bare(&admin).await;
    save(&admin, "away", AWAY).await;
    let web = world.agent("web1").await;
    let db = world.agent("db1").await;
    let role = Role::parse("web-keeper").unwrap();
    let grant = Grant {
        verbs: vec!["alerts.list".into(), "alerts.watch".into(), "alerts.acknowledge".into()],
        hosts: "web*".into(),
        ..Grant::default()
    };
    let put = Put { name: role, grants: vec![grant], ..Put::default() };
    admin.call(None, &put, PATIENCE).await.unwrap();
    let keeper = world.client(role).await;
    let web_id = web.id;
    drop((web, db));
    let both = until_some("both fire", async || {
        let alerts = admin.call(None, &List::default(), PATIENCE).await.ok()?.alerts;
        (alerts.len() == 2).then_some(alerts)
    })
    .await;
    let own = keeper.call(None, &List::default(), PATIENCE).await.unwrap().alerts;
    assert_eq!(own.iter().map(|a| a.host).collect::<Vec<_>>(), [Some(web_id)]);
    let first = keeper.feed(None, &Watch::default()).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!(first.alerts.iter().map(|a| a.host).collect::<Vec<_>>(), [Some(web_id)]);
    let alerts: Vec<_> = both.iter().map(|alert| alert.id.clone()).collect();
    let ack = Acknowledge { alerts, why: String::new() };
    let done = keeper.call(None, &ack, PATIENCE).await.unwrap();
    assert_eq!((done.done, done.refused.len()), (1, 1));
    assert!(done.refused[0].why.contains("no such alert"), "nothing is told of it: {done:?}");
    let silence = PutSilence { for_ms: 1000, ..PutSilence::default() };
    let refused = keeper.call(None, &silence, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn a_notifier_that_fails_is_shown_and_told_again_once_it_is_mended() {
    let mut mails = MailServer::start().await;
    let world = World::start_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    prepare(&admin, &mails.notifier("later@example.com")).await;
    save(&admin, "away", AWAY).await;
    drop(world.agent("web1").await);
    let failing = until_some("the notifier fails", async || {
        let all = admin.call(None, &notifiers::List {}, PATIENCE).await.ok()?.notifiers;
        all.into_iter().find(|n| n.failing_ms.is_some() && n.waiting == 1)
    })
    .await;
    assert!(failing.last.contains("greylisted"), "{failing:?}");
    assert_eq!(failing.policies, ["all"]);
    // Over a restart it waits on, and goes where the newest text says.
    let world = world.restart_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let text = mails.notifier("ops@example.com");
    let save = notifiers::Save { name: "mail".into(), text, ..notifiers::Save::default() };
    admin.call(None, &save, PATIENCE).await.unwrap();
    let told = mails.mail().await;
    assert!(told.contains("web1 has gone"), "{told}");
    let done = until_some("it is known to be taken", async || {
        let notices = admin.call(None, &Notices::default(), PATIENCE).await.ok()?.notices;
        notices.into_iter().find(|n| n.fate == Fate::Taken)
    })
    .await;
    assert!(done.tries >= 2, "{done:?}");
    let all = admin.call(None, &notifiers::List {}, PATIENCE).await.unwrap().notifiers;
    assert_eq!((all[0].failing_ms, all[0].waiting), (None, 0));

    // A program that the hub's configuration does not name is not run.
    let text = "to: {kind: command, argv: [/bin/true]}\n";
    let save = notifiers::Save { name: "run".into(), text: text.into(), ..save };
    let refused = admin.call(None, &save, PATIENCE).await.unwrap_err();
    assert!(refused.message.contains("[alerts] programs"), "{refused:?}");
}

/// An agent whose figures have been kept for some steps.
async fn measured(world: &World, client: &Client) -> (BareAgent, HostId) {
    let agent = world.agent("web1").await;
    let id = agent.id;
    until_some("figures are kept", async || {
        let query = cmdr_protocol::history::Query {
            metrics: vec!["uptime".into()],
            from_ms: cmdr_link::clock::now_ms() - 600_000,
            ..cmdr_protocol::history::Query::default()
        };
        let answer = client.call(None, &query, PATIENCE).await.ok()?;
        (!answer.lines.is_empty()).then_some(())
    })
    .await;
    (agent, id)
}

#[tokio::test]
async fn rules_are_tried_on_what_was_and_switched_and_their_mistakes_have_a_place() {
    let world = World::start_with(config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    bare(&admin).await;
    let (_agent, id) = measured(&world, &admin).await;
    let up = "rules:\n- name: up\n  when: uptime > 1s\n  message: '{host} is up'\n";
    let now = cmdr_link::clock::now_ms();
    let attempt = Try { text: up.into(), from_ms: now - 600_000, ..Try::default() };
    let tried = admin.call(None, &attempt, PATIENCE).await.unwrap();
    assert_eq!((tried.times, tried.hosts, tried.fired[0].host), (1, 1, Some(id)), "{tried:?}");
    let never = Try { text: up.replace("> 1s", "< 0s"), ..attempt.clone() };
    assert_eq!(admin.call(None, &never, PATIENCE).await.unwrap().times, 0);
    let states = Try { text: AWAY.into(), ..attempt };
    let refused = admin.call(None, &states, PATIENCE).await.unwrap_err();
    assert!(refused.message.contains("states alone"), "{refused:?}");

    let wrong = Save { name: "up".into(), text: up.replace("uptime", "uptme"), ..Save::default() };
    let refused = admin.call(None, &wrong, PATIENCE).await.unwrap_err();
    assert!(refused.message.contains("3:9") && refused.message.contains("uptime"), "{refused:?}");

    save(&admin, "up", up).await;
    let fired = alert(&admin, State::Firing).await;
    assert_eq!((fired.rule.as_str(), fired.message.as_str()), ("up", "web1 is up"));
    let off = Switch { name: "up".into(), off: true };
    assert!(!admin.call(None, &off, PATIENCE).await.unwrap().unchanged);
    assert!(admin.call(None, &off, PATIENCE).await.unwrap().unchanged);
    let over = until_some("its alert is over", async || {
        let alerts = admin.call(None, &List::default(), PATIENCE).await.ok()?.alerts;
        alerts.is_empty().then_some(())
    });
    over.await;
    let shown = rules::Show { name: "up".into(), version: None };
    let shown = admin.call(None, &shown, PATIENCE).await.unwrap();
    assert!(shown.rule.off && shown.rule.version == 2, "{shown:?}");
}
