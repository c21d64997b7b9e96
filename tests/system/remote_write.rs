//! Samples are sent on: to the real Prometheus and the real VictoriaMetrics, and to servers that refuse, fail, say nothing
//! or are somebody else.

use super::api::free_port;
use cmdr_hub::config::Config;
use cmdr_hub::remote_write::Settings;
use cmdr_link::{Client, SecretKey, context, files};
use cmdr_protocol::ErrorKind;
use cmdr_protocol::history::{Query, Sizes, Target};
use cmdr_protocol::hosts::Label;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use harness::process::{HubProcess, Running, program};
use harness::receiver::Receiver;
use harness::{World, until, until_some};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(10);

fn config(targets: &[(&str, Settings)]) -> Config {
    let mut config = Config::default();
    config.history.step_s = 1.try_into().unwrap();
    let targets = targets.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone()));
    config.history.remote_write = targets.collect();
    config
}

fn target(url: &str) -> Settings {
    Settings { url: url.to_owned(), metrics: vec!["cpu.*".to_owned()], ..Settings::default() }
}

async fn told(client: &Client, name: &str) -> Target {
    let sized = client.call(None, &Sizes {}, PATIENCE).await.unwrap();
    sized.targets.into_iter().find(|target| target.name == name).unwrap()
}

async fn until_told(
    client: &Client,
    name: &str,
    what: &str,
    fits: impl Fn(&Target) -> bool,
) -> Target {
    until_some(what, async || Some(told(client, name).await).filter(&fits)).await
}

fn start(program: &str, args: &[String], dir: &Path) -> Child {
    let mut command = Command::new(program);
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap()
}

fn prometheus(dir: &Path, port: u16) -> Child {
    std::fs::write(dir.join("prometheus.yml"), "global: {scrape_interval: 1h}\n").unwrap();
    let args = [
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=tsdb".to_owned(),
        "--web.enable-remote-write-receiver".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    start("prometheus", &args, dir)
}

/// The samples of one figure: labels, and times in seconds.
fn samples(port: u16, query: &str) -> Option<(Value, Vec<u64>)> {
    let url = format!("http://127.0.0.1:{port}/api/v1/query");
    let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build();
    let agent = ureq::Agent::from(agent);
    let text =
        agent.get(&url).query("query", query).call().ok()?.body_mut().read_to_string().ok()?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    let found = answer["data"]["result"].get(0)?.clone();
    let times = found["values"].as_array()?.iter().filter_map(|v| v[0].as_f64());
    Some((found["metric"].clone(), times.map(|t| t as u64).collect()))
}

async fn found(port: u16, query: &str, fits: impl Fn(&[u64]) -> bool) -> (Value, Vec<u64>) {
    until_some("the samples are there", async || {
        let query = query.to_owned();
        let found = tokio::task::spawn_blocking(move || samples(port, &query)).await.ok()??;
        fits(&found.1).then_some(found)
    })
    .await
}

/// The times of the figure that the hub itself has; none while it still opens its history.
async fn kept(client: &Client) -> Vec<u64> {
    let from_ms = cmdr_link::clock::now_ms() - 600_000;
    let metrics = vec!["cpu.busy".to_owned()];
    let query = Query { metrics, from_ms, step_ms: 1000, ..Query::default() };
    let answer = match client.call(None, &query, PATIENCE).await {
        Err(e) if e.kind == ErrorKind::Busy => return Vec::new(),
        answer => answer.unwrap(),
    };
    let Some(line) = answer.lines.first() else { return Vec::new() };
    let first = answer.from_ms / 1000 + u64::from(line.first);
    let points = line.points.iter().enumerate().filter(|(_, v)| v.is_some());
    points.map(|(i, _)| first + i as u64).collect()
}

#[tokio::test]
async fn the_real_prometheus_and_victoria_metrics_have_all_that_is_kept_also_of_when_they_were_away()
 {
    let dir = tempfile::tempdir().unwrap();
    let (prometheus_port, victoria_port) = (free_port(), free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}/api/v1/write");
    let labels = [("cluster".to_owned(), "one".to_owned())].into();
    let targets = [
        ("prometheus", Settings { labels, ..target(&url(prometheus_port)) }),
        ("victoria", target(&url(victoria_port))),
    ];
    let first = prometheus(dir.path(), prometheus_port);
    let args = [
        "-storageDataPath=vm".to_owned(),
        format!("-httpListenAddr=127.0.0.1:{victoria_port}"),
        "-search.latencyOffset=0s".to_owned(),
    ];
    let _victoria = start("victoria-metrics", &args, dir.path());
    let world = World::start_with(config(&targets)).await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let key = SecretKey::generate().unwrap();
    let agent_dir = tempfile::tempdir().unwrap();
    let agent = || {
        let config = cmdr_agentd::agent::Config::new(agent_dir.path().to_owned());
        cmdr_agentd::agent::Agent::new(config).into_service()
    };
    let web = world
        .serve_agent(&world.dialer(PeerKind::Agent, key.clone(), Some(&token)), agent())
        .await
        .unwrap();
    let client = world.client(Role::ADMINISTRATOR).await;
    let set = [("app".to_owned(), "shop".to_owned())].into();
    client.call(None, &Label { host: web.id, set, remove: Vec::new() }, PATIENCE).await.unwrap();

    let (labels, _) =
        found(prometheus_port, "cmdr_cpu_busy_ratio{label_app!=\"\"}[5m]", |_| true).await;
    assert_eq!((&labels["cluster"], &labels["label_app"]), (&"one".into(), &"shop".into()));
    // The target goes away, and the hub is started anew meanwhile.
    drop(first);
    until_told(&client, "prometheus", "it fails", |told| told.failing_ms > 0).await;
    drop((web, client));
    let world = world.restart_with(config(&targets)).await;
    let dialer = world.dialer(PeerKind::Agent, key, None);
    let _web = world.serve_agent(&dialer, agent()).await.unwrap();
    let client = world.client(Role::ADMINISTRATOR).await;
    until_told(&client, "prometheus", "it fails still", |told| told.failing_ms > 0).await;
    let away = *kept(&client).await.last().unwrap_or(&0);
    let _again = prometheus(dir.path(), prometheus_port);
    // All together, whatever labels the host had.
    let newer = |times: &[u64]| times.last().is_some_and(|last| *last > away + 3);
    let query = "cmdr_cpu_busy_ratio{label_app=\"shop\"}[10m]";
    for port in [prometheus_port, victoria_port] {
        let (_, times) = found(port, query, newer).await;
        let (from, to) = (times[0], times[times.len() - 1]);
        let meant = |t: &u64| (from..=to).contains(t);
        let ours: Vec<u64> = kept(&client).await.into_iter().filter(meant).collect();
        let mut seen = times.clone();
        seen.dedup();
        assert_eq!(seen, ours, "all that is kept, and nothing else");
    }
    let told = told(&client, "prometheus").await;
    assert_eq!((told.refused, told.left_out, told.failing_ms), (0, 0, 0), "{told:?}");
}

#[tokio::test]
async fn a_hub_that_is_killed_again_and_again_sends_all_that_it_kept() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let args = [
        "-storageDataPath=vm".to_owned(),
        format!("-httpListenAddr=127.0.0.1:{port}"),
        "-search.latencyOffset=0s".to_owned(),
        "-dedup.minScrapeInterval=1ms".to_owned(),
    ];
    let _victoria = start("victoria-metrics", &args, dir.path());
    let own = tempfile::tempdir().unwrap();
    let config = own.path().join("hub.toml");
    let text = format!(
        "[history]\nstep_s = 1\n[history.remote_write.vm]\nurl = \"http://127.0.0.1:{port}/api/v1/write\"\nmetrics = [\"cpu.*\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut hub = HubProcess::unstarted(own);
    hub.options = vec!["--config".to_owned(), config.to_str().unwrap().to_owned()];
    hub.start_again();
    let (state, key) = (dir.path().join("web1"), SecretKey::generate().unwrap());
    let token = hub.token(None, 1);
    hub.dialer(PeerKind::Agent, &key, Some(&token), "web1").dial().await.unwrap();
    files::private_dir(&state).unwrap();
    key.save(&context::key_file(&state)).unwrap();
    context::Context::save_target(&state, &hub.address, &hub.key()).unwrap();
    let mut command = std::process::Command::new(program("cmdr-agentd"));
    command.args(["run", "--state"]).arg(&state);
    let _agent = Running::start(&mut command, &dir.path().join("agent.log"));
    let (token, key) = (hub.token(Some("administrator"), 1), SecretKey::generate().unwrap());
    let mut dialer = hub.dialer(PeerKind::Client, &key, Some(&token), "test");
    let mut seen = 0;
    for _ in 0..4 {
        let (client, _) = dialer.connect().await.unwrap();
        dialer.join = None;
        // It is killed as soon as it has sent something new: while more is on its way.
        seen = until_some("it sends", async || {
            let last = *kept(&client).await.last()?;
            let sent = told(&client, "vm").await.sent;
            (last > seen && sent > 0).then_some(last)
        })
        .await;
        hub.kill();
        hub.start_again();
    }
    let (client, _) = dialer.connect().await.unwrap();
    let newer = |times: &[u64]| times.last().is_some_and(|last| *last > seen);
    let (_, times) = found(port, "cmdr_cpu_busy_ratio[10m]", newer).await;
    let (from, to) = (times[0], times[times.len() - 1]);
    let ours = kept(&client).await;
    assert!(from <= ours[0] + 2, "from the beginning: {ours:?} {times:?}");
    let ours: Vec<u64> = ours.into_iter().filter(|t| (from..=to).contains(t)).collect();
    // Twice is once: what was on its way when it was killed is sent anew.
    let mut once = times.clone();
    once.dedup();
    let missing: Vec<_> = ours.iter().filter(|t| !once.contains(t)).collect();
    assert_eq!(missing, [&0u64; 0], "{once:?}");
}

#[tokio::test]
async fn a_target_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() {
    let receiver = Receiver::start().await;
    receiver.answers("429 Too Many Requests\r\nretry-after: 3600");
    let world = World::start_with(config(&[("one", target(&receiver.url))])).await;
    let _web = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let failing = until_told(&client, "one", "it fails", |told| told.failing_ms > 0).await;
    assert!(failing.last.contains("429"), "{failing:?}");
    let begun = kept(&client).await.len();
    until("more is kept", async || kept(&client).await.len() >= begun + 4).await;
    assert_eq!(receiver.heard().len(), 1, "it was not asked again");
    let told = told(&client, "one").await;
    assert_eq!((told.sent, told.refused, told.left_out), (0, 0, 0), "{told:?}");
}

#[tokio::test]
async fn what_a_target_does_not_take_waits_and_what_it_never_will_is_dropped_and_counted() {
    let receiver = Receiver::start().await;
    receiver.answers("500 Internal Server Error");
    let targets = [("one", target(&receiver.url))];
    let world = World::start_with(config(&targets)).await;
    let _web = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let failing = until_told(&client, "one", "it fails", |told| told.failing_ms > 0).await;
    assert!(failing.last.contains("500"), "{failing:?}");
    assert_eq!((failing.sent, failing.refused), (0, 0));
    let heard = receiver.heard();
    assert_eq!(heard[0].header("content-encoding"), "snappy");
    assert_eq!(heard[0].header("x-prometheus-remote-write-version"), "0.1.0");
    assert!(heard.iter().all(|one| one.body == heard[0].body), "nothing else meanwhile");
    // One that says nothing hurts nobody.
    receiver.hangs(true);
    assert!(!kept(&client).await.is_empty());
    receiver.hangs(false);
    receiver.answers("400 Bad Request");
    let refused = until_told(&client, "one", "it refuses", |told| told.refused > 0).await;
    assert_eq!((refused.sent, refused.failing_ms), (0, 0), "{refused:?}");
    assert!(refused.last.contains("400"), "{refused:?}");
    receiver.answers("204 No Content");
    until_told(&client, "one", "it takes", |told| told.sent > 0 && told.failing_ms == 0).await;
}

#[tokio::test]
async fn a_target_that_cannot_prove_who_it_is_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let other = Config { api: harness::http::settings(dir.path()), ..Config::default() };
    let other = World::start_with(other).await;
    let port = other.api.unwrap().port();
    let url = format!("https://localhost:{port}/api/v1/write");
    let mut known = target(&url);
    known.ca_file = Some(dir.path().join("ca.pem"));
    let world = World::start_with(config(&[("stranger", target(&url)), ("known", known)])).await;
    let _web = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let failing = |told: &Target| told.failing_ms > 0;
    let stranger = until_told(&client, "stranger", "it fails", failing).await;
    assert!(stranger.last.to_lowercase().contains("certificate"), "{stranger:?}");
    // That one is spoken to, and is no server of this kind.
    let known = until_told(&client, "known", "it fails", failing).await;
    assert!(known.last.contains("it answered 4"), "{known:?}");
}
