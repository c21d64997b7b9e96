//! The flight recorder of a real host through the hub: who was on top, what there is to scroll over, and the figures
//! that the history has from it.

use cmdr_agentd::agent::{Agent, Config as AgentConfig};
use cmdr_agentd::services::recorder as recording;
use cmdr_hub::config::Config;
use cmdr_link::SecretKey;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::history::Query;
use cmdr_protocol::recorder::{At, Kind, List, Range};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use harness::engine::{Engine, IMAGE};
use harness::{World, until_some};
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A program that keeps a processor busy until its standard input ends.
fn busy() -> std::process::Child {
    let code = "import threading,sys,os\n\
                threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()\n\
                while True: pass";
    let mut command = Command::new("python3");
    command.args(["-c", code, "the-busy-one"]).stdin(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
async fn who_was_busy_is_seen_later_by_those_who_may_look_and_is_in_the_history() {
    let mut config = Config::default();
    config.history.step_s = 1.try_into().unwrap();
    let world = World::start_with(config).await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let dialer = world.dialer(PeerKind::Agent, SecretKey::generate().unwrap(), Some(&token));
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::new(AgentConfig::new(dir.path().to_owned()));
    recording::begin(&agent);
    let served = world.serve_agent(&dialer, agent.clone().into_service()).await.unwrap();
    let client = world.client(Role::OBSERVER).await;
    let mut program = busy();
    let pid = program.id();
    let moment = until_some("the busy program is on top", async || {
        let moment = client.call(Some(served.id), &At::default(), PATIENCE).await.ok()?;
        moment.tops.iter().any(|top| top.pid == pid && top.cpu > 100).then_some(moment)
    })
    .await;
    drop(program.stdin.take());
    program.wait().unwrap();
    let top = moment.tops.iter().find(|top| top.pid == pid).unwrap();
    assert!(top.command.ends_with("the-busy-one") && !top.user.is_empty(), "{top:?}");
    assert!(moment.groups.iter().any(|g| g.kind == Kind::Program && g.name == top.name));

    // It has ended, and is there all the same for whoever looks back.
    until_some("a sample without it", async || {
        let newest = client.call(Some(served.id), &At::default(), PATIENCE).await.ok()?;
        newest.tops.iter().all(|top| top.pid != pid).then_some(())
    })
    .await;
    let back = At { at_ms: moment.at_ms };
    assert_eq!(client.call(Some(served.id), &back, PATIENCE).await.unwrap(), moment);
    let steps = client.call(Some(served.id), &Range::default(), PATIENCE).await.unwrap();
    assert!(steps.steps[0].samples >= 3 && steps.from_ms > 0, "{steps:?}");
    let before = At { at_ms: steps.from_ms - 1 };
    let none = client.call(Some(served.id), &before, PATIENCE).await.unwrap_err();
    assert_eq!(none.kind, ErrorKind::NotFound);
    let listing = client.call(Some(served.id), &List {}, PATIENCE).await.unwrap();
    assert!(listing.bytes > 0 && listing.bytes < listing.keep_bytes, "{listing:?}");

    let name = "group.memory{*}".to_owned();
    let from_ms = cmdr_link::clock::now_ms() - 60_000;
    let query = Query { metrics: vec![name], from_ms, step_ms: 1000, ..Query::default() };
    // The recorder pays for each look; on a slow machine it looks seldom.
    let mut seconds = agent.metrics().watch(Duration::from_secs(1));
    let mut kept = false;
    for _ in 0..120 {
        seconds.next().await;
        let answer = client.call(None, &query, PATIENCE).await.unwrap();
        kept = !answer.lines.is_empty();
        if kept {
            break;
        }
    }
    assert!(kept, "programs are in the history");
}

#[tokio::test]
async fn a_container_of_a_real_engine_is_seen_by_its_name_and_is_in_the_history() {
    let engine = Engine::up();
    let name = engine.name("busy");
    let run = ["run", "-d", "--network", "none", "--cpus", "0.5", "--name", name.as_str(), IMAGE];
    engine.docker(&[&run[..], &["sh", "-c", "while :; do :; done"]].concat());
    let mut config = Config::default();
    config.history.step_s = 1.try_into().unwrap();
    let world = World::start_with(config).await;
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let dialer = world.dialer(PeerKind::Agent, SecretKey::generate().unwrap(), Some(&token));
    let dir = tempfile::tempdir().unwrap();
    let mut own = AgentConfig::new(dir.path().to_owned());
    own.docker_socket = engine.socket();
    let agent = Agent::new(own);
    recording::begin(&agent);
    let served = world.serve_agent(&dialer, agent.clone().into_service()).await.unwrap();
    let client = world.client(Role::OBSERVER).await;
    let group = until_some("the container is known by its name", async || {
        let moment = client.call(Some(served.id), &At::default(), PATIENCE).await.ok()?;
        let mut groups = moment.groups.into_iter();
        groups.find(|g| g.kind == Kind::Container && g.name == name.as_str() && g.cpu > 50)
    })
    .await;
    assert!(group.memory > 0 && group.count >= 1, "{group:?}");
    let query = Query {
        metrics: vec![format!("container.cpu{{{name}}}")],
        from_ms: cmdr_link::clock::now_ms() - 60_000,
        step_ms: 1000,
        ..Query::default()
    };
    let mut seconds = agent.metrics().watch(Duration::from_secs(1));
    let mut most = 0.0_f64;
    for _ in 0..120 {
        seconds.next().await;
        let answer = client.call(None, &query, PATIENCE).await.unwrap();
        let points = answer.lines.iter().flat_map(|line| line.points.iter().flatten());
        most = points.copied().fold(most, f64::max);
        if most > 5.0 {
            break;
        }
    }
    assert!(most > 5.0, "the container's processor time is in the history: {most} %");
}
