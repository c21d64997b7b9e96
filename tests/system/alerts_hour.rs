//! An hour of a thousand hosts, simulated, and the hub killed again and again in it: what was kept is there, and nobody
//! hears of anything twice.
//!
//! The hub of the hour is a process of its own, which is this very test again, told so by its environment.

use cmdr_hub::config::Config;
use cmdr_hub::network::Network;
use cmdr_link::{SecretKey, clock};
use cmdr_protocol::alerts::{History, SavePolicies, State};
use cmdr_protocol::history::Query;
use cmdr_protocol::hosts::Labels;
use cmdr_protocol::metrics::{Cpu, Memory, Metrics};
use cmdr_protocol::notifiers::{Fate, Notices, Save as SaveNotifier};
use cmdr_protocol::role::Role;
use cmdr_protocol::rules::{Delete, List, Save};
use cmdr_protocol::secrets::Put;
use harness::receiver::Receiver;
use harness::{World, until_some};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(30);
const HOSTS: usize = 1000;
const STEP_MS: u64 = 10_000;
const STEPS: u64 = 360;
/// The hub is killed as soon as it has seen these steps: quietly, while alerts wait, fire, are over, and after that.
const KILLS: [u64; 5] = [30, 64, 76, 128, 240];
/// What the process of the hour is told by.
const HOUR: &str = "CMDR_TEST_HOUR";

fn config() -> Config {
    let mut config = Config::default();
    config.api.callbacks.networks = vec![Network::parse("127.0.0.0/8").unwrap()];
    config.api.callbacks.allow_plain = true;
    config
}

/// Busy or not, in permille: nine of ten hosts are busy for ten minutes, one after the other from minute ten on.
fn busy(host: usize, step: u64) -> u16 {
    let from = 60 + (host % 5) as u64 * 6;
    if !host.is_multiple_of(10) && (from..from + 60).contains(&step) {
        return 950;
    }
    100 + ((host as u64 * 7 + step * 3) % 50) as u16
}

/// Lives from the step `from` of the hour on, in a hub on this folder, and says which steps it has seen and which of
/// their samples are kept. Those from `missed` on are told again first, as agents do when a hub is back.
async fn live(dir: &Path, begin_ms: u64, missed: u64, from: u64) {
    let machine_ms = clock::now_ms();
    let at = |step: u64| {
        let passed = Instant::now().duration_since(BEGAN.get().copied().unwrap());
        let now_ms = machine_ms + u64::try_from(passed.as_millis()).unwrap();
        clock::put_ahead((begin_ms + step * STEP_MS).cast_signed() - now_ms.cast_signed());
    };
    BEGAN.get_or_init(Instant::now);
    at(from);
    let world = World::start_on(dir, config()).await;
    let hub = &world.hub;
    let named = |host: usize| {
        let hosts = hub.fleet.hosts();
        let name = format!("s{host:04}");
        hosts.iter().find(|known| known.name == name).and_then(|known| known.id).unwrap()
    };
    let ids: Vec<_> = (0..HOSTS).map(named).collect();
    hub.history.work();
    let store = hub.history.store().unwrap();
    let before = store.durable();
    for step in missed..STEPS {
        at(step.max(from));
        for (host, id) in ids.iter().enumerate() {
            let cpu = Cpu { user: busy(host, step), ..Cpu::default() };
            let memory = Memory { total: 8 << 30, available: 4 << 30, ..Memory::default() };
            let at_ms = begin_ms + step * STEP_MS;
            let sample = Metrics { at_ms, cpu, memory, ..Metrics::default() };
            let means = hub.history.take(*id, &sample, Some(0));
            if let Some(means) = means.filter(|_| step >= from) {
                hub.alerts.tell(*id, &means);
            }
        }
        hub.history.work();
        if step >= from {
            hub.alerts.cycle(hub).await;
            say(&format!("step {step}"));
        }
        let kept = (store.durable() - before) / HOSTS as u64;
        say(&format!("kept {}", missed + kept));
    }
    let client = world.client(Role::ADMINISTRATOR).await;
    until_some("every notice has been taken", async || {
        let listed = client.call(None, &Notices::default(), PATIENCE).await.ok()?;
        listed.notices.iter().all(|n| n.fate == Fate::Taken).then_some(())
    })
    .await;
    say("over");
}

/// Tells the test that began this process.
fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// When the hour of this process began.
static BEGAN: OnceLock<Instant> = OnceLock::new();

/// A hub in this folder with its hosts, one rule, and one place that is told.
async fn prepare(dir: &Path, url: &str) {
    let world = World::start_on(dir, config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    until_some("the rules of the product are there", async || {
        let rules = admin.call(None, &List {}, PATIENCE).await.ok()?.rules;
        rules.iter().any(|rule| rule.name == "host-offline").then_some(())
    })
    .await;
    for rule in admin.call(None, &List {}, PATIENCE).await.unwrap().rules {
        admin.call(None, &Delete { name: rule.name }, PATIENCE).await.unwrap();
    }
    let text = "rules:\n- name: busy\n  when: cpu.busy > 90%\n  for: 1m\n  clear_for: 30s\n";
    let save = Save { name: "busy".into(), text: text.into(), ..Save::default() };
    admin.call(None, &save, PATIENCE).await.unwrap();
    let secret = Put { name: "hook.address".into(), value: url.as_bytes().to_vec() };
    admin.call(None, &secret, PATIENCE).await.unwrap();
    let text = "to:\n  kind: webhook\n  address: hook.address\n".to_owned();
    let save = SaveNotifier { name: "hook".into(), text, ..SaveNotifier::default() };
    admin.call(None, &save, PATIENCE).await.unwrap();
    let text = "policies:\n- name: all\n  to: [hook]\n  group_by: [host]\n  group_wait: 0s\n  group_interval: 0s\n  repeat: 7d\n";
    let save = SavePolicies { text: text.into(), ..SavePolicies::default() };
    admin.call(None, &save, PATIENCE).await.unwrap();
    let fleet = &world.hub.fleet;
    for host in 0..HOSTS {
        let key = SecretKey::generate().unwrap().public();
        fleet.enlist(key, &format!("s{host:04}"), "test", "").await.unwrap();
        let waiting = fleet.hosts().into_iter().find(|h| h.name == format!("s{host:04}"));
        fleet.approve(waiting.unwrap().id.unwrap(), &Labels::new()).await.unwrap();
    }
    world.restart_with(config()).await;
}

#[tokio::test]
async fn in_an_hour_of_a_thousand_hosts_no_kept_sample_is_lost_and_nobody_is_told_twice() {
    if let Ok(told) = std::env::var(HOUR) {
        let mut words = told.splitn(4, ' ');
        let mut number = || words.next().unwrap().parse().unwrap();
        let (begin_ms, missed, from) = (number(), number(), number());
        return live(Path::new(words.next().unwrap()), begin_ms, missed, from).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    prepare(dir.path(), &receiver.url).await;
    let begin_ms = (clock::now_ms() / STEP_MS - STEPS) * STEP_MS;
    let mut kills = KILLS.iter().copied();
    let (mut missed, mut from, mut over) = (0, 0, false);
    while !over {
        let kill = kills.next();
        let name = "alerts_hour::in_an_hour_of_a_thousand_hosts_no_kept_sample_is_lost_and_nobody_is_told_twice";
        let mut hour = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(HOUR, format!("{begin_ms} {missed} {from} {}", dir.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(hour.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            over |= line == "over";
            let number = |word: &str| line.strip_prefix(word).and_then(|n| n.parse::<u64>().ok());
            missed = number("kept ").unwrap_or(missed);
            from = number("step ").map_or(from, |step| step + 1);
            if kill.is_some_and(|kill| from > kill) {
                break;
            }
        }
        if !over {
            assert!(kill.is_some(), "the hub ended by itself after step {from}");
            hour.kill().await.unwrap();
        }
    }

    let world = World::start_on(dir.path(), config()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    for host in 0..HOSTS {
        let query = Query {
            metrics: vec!["cpu.busy".into()],
            selector: format!("s{host:04}"),
            from_ms: begin_ms,
            to_ms: begin_ms + (STEPS - 1) * STEP_MS,
            step_ms: STEP_MS,
            ..Query::default()
        };
        let answer = until_some("the history is open", async || {
            admin.call(None, &query, PATIENCE).await.ok()
        })
        .await;
        let line = &answer.lines[0];
        assert_eq!((answer.lines.len(), line.first), (1, 0), "s{host:04}");
        for step in 0..STEPS - 1 {
            let point = line.points[usize::try_from(step).unwrap()];
            let expected = f64::from(busy(host, step)) / 10.0;
            let is = point.is_some_and(|point| (point - expected).abs() < 0.051);
            assert!(is, "s{host:04}, step {step}: {point:?} and not {expected}");
        }
    }
    let history = History { from_ms: begin_ms, ..History::default() };
    let happened = admin.call(None, &history, PATIENCE).await.unwrap();
    assert!(!happened.more);
    let mut states: BTreeMap<String, Vec<State>> = BTreeMap::new();
    for happening in happened.happened {
        states.entry(happening.name).or_default().push(happening.state);
    }
    assert_eq!(states.len(), HOSTS - HOSTS / 10);
    let once = [State::Firing, State::Resolved];
    let other = states.iter().find(|(_, states)| **states != once);
    assert_eq!(other, None, "each fires once and is over once");
    // A notice that was on its way when the hub fell may come again: by its id it is known to be the same.
    let mut notices = BTreeSet::new();
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    for heard in receiver.heard() {
        if notices.insert(heard.header("cmdr-delivery").to_owned()) {
            let notice = heard.json()["notice"].clone();
            for item in notice["entries"].as_array().unwrap() {
                let of = format!("{} {}", item["host"].as_str().unwrap(), item["said"]);
                *told.entry(of).or_default() += 1;
            }
        }
    }
    assert_eq!(told.len(), 2 * states.len(), "of each that it fires and that it is over");
    assert_eq!(told.iter().find(|(_, times)| **times != 1), None);
    assert!(notices.len() <= 2 * states.len());
    assert_eq!(world.hub.check().await.unwrap().damage, Vec::<String>::new());
}
