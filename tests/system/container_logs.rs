//! Logs of containers of a real engine, as a source of logs like any other.

use crate::container_sessions::host;
use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_link::Client;
use cmdr_link::client::FeedStream;
use cmdr_protocol::logs::{At, Filter, Follow, Input, Item, Kind, Line, Older, Sources};
use cmdr_protocol::role::Role;
use cmdr_protocol::{ErrorKind, HostId};
use harness::engine::{Engine, IMAGE, Name};
use harness::{World, until};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A container that does this and ends.
fn did(engine: &Engine, name: &Name, more: &[&str], script: &str) {
    let begin = ["run", "--network", "none", "--name", name.as_str()];
    engine.docker(&[&begin[..], more, &[IMAGE, "sh", "-c", script]].concat());
}

fn of(name: &Name) -> Follow {
    Follow { source: format!("container:{name}"), last: Some(1000), ..Follow::default() }
}

fn text(line: &Line) -> String {
    String::from_utf8_lossy(&line.bytes).into_owned()
}

async fn item(feed: &mut FeedStream<Follow>) -> Option<Item> {
    let item = tokio::time::timeout(PATIENCE, feed.next()).await.expect("something comes");
    item.transpose().unwrap()
}

/// All there is.
async fn all(client: &Client, host: HostId, ask: &Follow) -> Vec<Line> {
    let mut feed = client.feed(Some(host), ask).await.unwrap();
    let mut lines = Vec::new();
    while let Some(item) = item(&mut feed).await {
        lines.extend(item.lines);
    }
    lines
}

async fn texts(client: &Client, host: HostId, ask: &Follow) -> Vec<String> {
    all(client, host, ask).await.iter().map(text).collect()
}

#[tokio::test]
async fn both_outputs_come_with_their_times_sifted_on_the_host() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("l");
    did(
        &engine,
        &name,
        &[],
        "for n in 1 2 3 4 5; do echo INFO line $n; echo ERROR bad $n >&2; done",
    );
    let agent = host(&world, "web", &engine).await;
    let eve = world.client(Role::OBSERVER).await;
    let lines = all(&eve, agent.id, &of(&name)).await;
    assert_eq!(lines.len(), 10);
    // Those of the one output may be a moment before those of the other.
    let times: Vec<_> = lines.iter().map(|line| line.at_ms.unwrap()).collect();
    let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    assert!(first > 1_700_000_000_000, "{times:?}");
    assert!(lines.iter().all(|line| line.stderr == text(line).starts_with("ERROR")));
    let newest = Follow { last: Some(2), ..of(&name) };
    assert_eq!(all(&eve, agent.id, &newest).await, lines[8..]);
    // The newest that are wanted, whatever stands behind them.
    let include = vec!["INFO line [123]".to_owned()];
    let filter = Filter { include, before: 1, ..Filter::default() };
    let sifted = Follow { last: Some(2), filter, ..of(&name) };
    let hits = all(&eve, agent.id, &sifted).await;
    let hits: Vec<_> = hits.iter().filter(|line| !line.context).map(text).collect();
    assert_eq!(hits, ["INFO line 2", "INFO line 3"]);
    let level = Filter { level: Some(cmdr_protocol::logs::Level::Error), ..Filter::default() };
    assert_eq!(all(&eve, agent.id, &Follow { filter: level, ..of(&name) }).await.len(), 5);
    let after = Follow { last: None, since_ms: Some(last + 1000), ..of(&name) };
    assert_eq!(all(&eve, agent.id, &after).await, []);
    let since = Follow { last: None, since_ms: Some(first), ..of(&name) };
    assert_eq!(all(&eve, agent.id, &since).await, lines);
    let before = Follow { until_ms: Some(first - 1000), ..of(&name) };
    assert_eq!(all(&eve, agent.id, &before).await, []);
    // By its number as well.
    let id = engine.docker(&["inspect", "-f", "{{.Id}}", name.as_str()]);
    let by_id = Follow { source: format!("container:{}", &id[..12]), ..of(&name) };
    assert_eq!(all(&eve, agent.id, &by_id).await.len(), 10);
}

#[tokio::test]
async fn a_log_is_followed_and_gone_on_from_a_place_without_a_line_twice_or_lost() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("f");
    let script = "n=0; while [ ! -e /tmp/end ]; do n=$((n+1)); echo $n; [ $((n % 100)) = 0 ] && sleep 0.02; done";
    let run =
        ["run", "-d", "--network", "none", "--name", name.as_str(), IMAGE, "sh", "-c", script];
    engine.docker(&run);
    let agent = host(&world, "web", &engine).await;
    let eve = world.client(Role::OBSERVER).await;
    let ask = Follow { follow: true, last: None, since_ms: Some(0), ..of(&name) };
    let (mut lines, mut place): (Vec<String>, Option<At>) = (Vec::new(), None);
    for round in 1..=4 {
        let ask = Follow { from: place.clone(), ..ask.clone() };
        let mut feed = eve.feed(Some(agent.id), &ask).await.unwrap();
        let mut ahead = Vec::new();
        while lines.len() + ahead.len() < round * 500 || place.is_none() || !ahead.is_empty() {
            let item = item(&mut feed).await.expect("it goes on");
            ahead.extend(item.lines.iter().map(text));
            if item.place.is_some() {
                place = item.place;
                lines.append(&mut ahead);
            }
        }
    }
    let wanted: Vec<String> = (1..=lines.len()).map(|n| n.to_string()).collect();
    assert!(lines == wanted, "{:?}", lines.iter().zip(&wanted).find(|(a, b)| a != b));
    // It ends with its container.
    let mut feed = eve.feed(Some(agent.id), &Follow { last: Some(0), ..ask }).await.unwrap();
    item(&mut feed).await.expect("it begins");
    engine.docker(&["exec", name.as_str(), "touch", "/tmp/end"]);
    while item(&mut feed).await.is_some() {}
}

#[tokio::test]
async fn what_stands_before_is_fetched_and_another_filter_begins_anew() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("o");
    did(&engine, &name, &[], "for n in $(seq 1 50); do echo line $n; done");
    let agent = host(&world, "web", &engine).await;
    let eve = world.client(Role::OBSERVER).await;
    // One that stays although its container has ended: nothing is read while it stands still.
    let mut feed = eve.feed(Some(agent.id), &Follow { last: Some(10), ..of(&name) }).await.unwrap();
    let mut first = None;
    let mut lines = Vec::new();
    while let Some(item) = item(&mut feed).await {
        first = first.or(item.first);
        lines.extend(item.lines.iter().map(text));
    }
    assert_eq!((lines.len(), lines[0].as_str()), (10, "line 41"));
    let run = ["start", name.as_str()];
    engine.docker(&run);
    until("it has written again", async || texts(&eve, agent.id, &of(&name)).await.len() == 100)
        .await;
    let before = first.unwrap();
    let sleeper = engine.name("z");
    let script = "for n in $(seq 1 50); do echo line $n; done; sleep 86400";
    let run = [
        "run",
        "-d",
        "--init",
        "--network",
        "none",
        "--name",
        sleeper.as_str(),
        IMAGE,
        "sh",
        "-c",
        script,
    ];
    engine.docker(&run);
    until("it has written", async || texts(&eve, agent.id, &of(&sleeper)).await.len() == 50).await;
    let ask = Follow { last: Some(10), follow: true, ..of(&sleeper) };
    let mut feed = eve.feed(Some(agent.id), &ask).await.unwrap();
    let (mut first, mut caught_up) = (None, false);
    while !caught_up {
        let item = item(&mut feed).await.unwrap();
        first = first.or(item.first);
        caught_up = item.caught_up;
    }
    // A place of another container is none of this one's.
    assert_ne!(first, Some(before));
    let older = Older { before: first.unwrap(), lines: 5 };
    feed.send(&Input { older: Some(older.clone()), ..Input::default() }).await.unwrap();
    let (mut lines, mut end) = (Vec::new(), None);
    while end.is_none() {
        let item = item(&mut feed).await.unwrap();
        assert!(item.older);
        lines.extend(item.lines.iter().map(text));
        end = item.older_end.then_some(item.beginning);
    }
    assert_eq!(lines, ["line 36", "line 37", "line 38", "line 39", "line 40"]);
    assert_eq!(end, Some(false));
    let filter = Filter { include: vec!["line 1$".into()], ..Filter::default() };
    let sift = cmdr_protocol::logs::Sift { filter, number: 7, last: Some(5) };
    feed.send(&Input { sift: Some(sift), ..Input::default() }).await.unwrap();
    let mut lines = Vec::new();
    let mut sifted = false;
    while lines.is_empty() {
        let item = item(&mut feed).await.unwrap();
        sifted |= item.sifted == Some(7);
        lines.extend(item.lines.iter().map(text));
    }
    assert!(sifted && lines == ["line 1"], "{lines:?}");
}

#[tokio::test]
async fn long_lines_terminals_and_hostile_bytes_come_as_lines() {
    let (engine, world) = (Engine::up(), World::start().await);
    let (long, tty) = (engine.name("long"), engine.name("tty"));
    let script = "head -c 100000 /dev/zero | tr '\\0' y; echo; printf '\\001\\002 \\033[2J\\n'; printf 'no end'";
    did(&engine, &long, &[], script);
    did(&engine, &tty, &["-t"], "printf '\\001one\\n2026-01-01T00:00:00Z two\\n'");
    let agent = host(&world, "web", &engine).await;
    let eve = world.client(Role::OBSERVER).await;
    let lines = all(&eve, agent.id, &of(&long)).await;
    assert_eq!(lines[0].whole, Some(100_000));
    assert!(lines[0].bytes.iter().all(|b| *b == b'y') && lines[0].bytes.len() == 16 * 1024);
    assert_eq!(lines[1].bytes, b"\x01\x02 \x1b[2J");
    assert_eq!((lines[2].bytes.as_slice(), lines.len()), (&b"no end"[..], 3));
    assert_eq!(texts(&eve, agent.id, &of(&tty)).await, ["\u{1}one", "2026-01-01T00:00:00Z two"]);
}

#[tokio::test]
async fn containers_are_listed_as_sources_and_their_owner_says_whose_logs_are_read() {
    let (engine, world) = (Engine::up(), World::start().await);
    let (open, shut) = (engine.name("open"), engine.name("shut"));
    did(&engine, &open, &[], "echo hello");
    did(&engine, &shut, &[], "echo secret");
    let mut config = Config::new(world.path("web"));
    config.docker_socket = engine.socket();
    let text = format!("[logs]\npaths = [\"/nonexistent/\"]\ncontainers = [\"{open}\"]\n");
    config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), &text).unwrap();
    let agent = world.agent_with("web", config).await;
    let eve = world.client(Role::OBSERVER).await;
    for paths in [vec![], vec![format!("container:{open}*")]] {
        let listing = eve.call(Some(agent.id), &Sources { paths }, PATIENCE).await.unwrap();
        let own: Vec<_> = listing.sources.iter().filter(|s| s.kind == Kind::Container).collect();
        assert_eq!(own.len(), 1, "{own:?}");
        assert_eq!(own[0].source, format!("container:{open}"));
    }
    assert_eq!(texts(&eve, agent.id, &of(&open)).await, ["hello"]);
    let id = engine.docker(&["inspect", "-f", "{{.Id}}", shut.as_str()]);
    for source in [format!("container:{shut}"), format!("container:{id}")] {
        let ask = Follow { source, ..of(&shut) };
        let mut feed = eve.feed(Some(agent.id), &ask).await.unwrap();
        let refused = feed.next().await.unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    }
    let gone = Follow { source: "container:no-such-one".into(), ..of(&open) };
    let mut feed = eve.feed(Some(agent.id), &gone).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap_err().kind, ErrorKind::NotFound);
}
