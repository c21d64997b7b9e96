//! Logs of real hosts through the hub: two at once, rights by path, a slow reader, a cut in a flood.

use cmdr_agentd::agent::Config;
use cmdr_link::Client;
use cmdr_link::client::FeedStream;
use cmdr_protocol::logs::{At, Filter, Follow, Sources};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::{ErrorKind, HostId};
use harness::{BareAgent, World};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A host whose logs are in a folder of its own.
async fn host(world: &World, name: &str) -> (BareAgent, PathBuf) {
    let dir = world.data().canonicalize().unwrap().join(format!("{name}-logs"));
    std::fs::create_dir_all(&dir).unwrap();
    let mut config = Config::new(world.path(name));
    config.policy.logs.paths = vec![format!("{}/", dir.display()).into()];
    (world.agent_with(name, config).await, dir)
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn ask(path: &Path) -> Follow {
    let source = format!("file:{}", path.display());
    Follow { source, last: Some(1000), follow: true, ..Follow::default() }
}

async fn open(client: &Client, host: HostId, ask: &Follow) -> FeedStream<Follow> {
    client.feed(Some(host), ask).await.unwrap()
}

/// Reads until so many lines came; where the last of them ends.
async fn read(feed: &mut FeedStream<Follow>, lines: &mut Vec<String>, until: usize) -> Option<At> {
    let mut place = None;
    while lines.len() < until {
        let item = tokio::time::timeout(PATIENCE, feed.next()).await.expect("no item for 20 s");
        let item = item.expect("it ended").unwrap();
        let text = item.lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned());
        lines.extend(text);
        place = item.place.or(place);
    }
    place
}

#[tokio::test]
async fn lines_of_two_hosts_come_as_they_are_written_and_only_those_that_are_wanted() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let mut feeds = Vec::new();
    let mut paths = Vec::new();
    for name in ["web1", "web2"] {
        let (agent, dir) = host(&world, name).await;
        let path = dir.join("app.log");
        append(&path, &format!("{name} before\n{name} ERROR before\n"));
        let filter = Filter { include: vec!["ERROR".into()], ..Filter::default() };
        let feed = open(&client, agent.id, &Follow { filter, ..ask(&path) }).await;
        feeds.push((agent, feed));
        paths.push(path);
    }
    for ((_, feed), path) in feeds.iter_mut().zip(&paths) {
        let mut lines = Vec::new();
        read(feed, &mut lines, 1).await;
        append(path, "quiet\nERROR now\nquiet\n");
        read(feed, &mut lines, 2).await;
        assert_eq!(lines[1], "ERROR now");
        assert!(lines[0].ends_with("ERROR before"));
    }
}

#[tokio::test]
async fn a_role_may_name_the_files_that_it_reads() {
    let world = World::start().await;
    let (agent, dir) = host(&world, "web1").await;
    for name in ["web.log", "auth.log"] {
        append(&dir.join(name), "line\n");
    }
    let admin = world.client(Role::ADMINISTRATOR).await;
    let role = Role::parse("web-logs").unwrap();
    let grant = Grant {
        verbs: vec!["logs.follow".into()],
        resources: vec![format!("file:{}/web*.log", dir.display())],
        ..Grant::default()
    };
    let put = Put { name: role, description: String::new(), grants: vec![grant] };
    admin.call(None, &put, PATIENCE).await.unwrap();
    let client = world.client(role).await;
    read(&mut open(&client, agent.id, &ask(&dir.join("web.log"))).await, &mut Vec::new(), 1).await;
    for path in [dir.join("auth.log"), dir.join("web/../auth.log")].iter().map(PathBuf::as_path) {
        let refused = open(&client, agent.id, &ask(path)).await.next().await.unwrap();
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Denied, "{}", path.display());
    }
    let listed = client.call(Some(agent.id), &Sources::default(), PATIENCE).await;
    assert_eq!(listed.unwrap_err().kind, ErrorKind::Denied);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_flood_waits_in_the_file_for_a_reader_that_stands_still() {
    let world = World::start().await;
    let (agent, dir) = host(&world, "web1").await;
    let path = dir.join("app.log");
    append(&path, "first\n");
    let client = world.client(Role::OBSERVER).await;
    let mut feed = open(&client, agent.id, &ask(&path)).await;
    let mut lines = Vec::new();
    read(&mut feed, &mut lines, 1).await;
    let before = resident_kib();
    let mut number = 0;
    for _ in 0..64 {
        let mut block = String::with_capacity(1 << 20);
        while block.len() < 1 << 20 {
            writeln!(block, "{number} {}", "x".repeat(200)).unwrap();
            number += 1;
        }
        append(&path, &block);
        tokio::task::yield_now().await;
    }
    // As long as anything might still be taken in.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 24 * 1024, "{grown} KiB are held for a reader that takes nothing");
    }
    lines.clear();
    let mut next = 0u64;
    while next < number {
        read(&mut feed, &mut lines, 1).await;
        for line in lines.drain(..) {
            assert_eq!(line.split(' ').next(), Some(next.to_string().as_str()));
            next += 1;
        }
    }
}

#[tokio::test]
async fn after_cuts_in_a_flood_every_line_came_once() {
    let world = World::start().await;
    let (agent, dir) = host(&world, "web1").await;
    let path = dir.join("app.log");
    let text: String = (0..50_000).fold(String::new(), |mut text, n| {
        writeln!(text, "{n}").unwrap();
        text
    });
    append(&path, &text);
    let client = world.client(Role::OBSERVER).await;
    let mut lines = Vec::new();
    let mut place: Option<At> = None;
    let mut cuts = 0;
    while lines.len() < 50_000 {
        let from = place.clone();
        let last = Some(60_000);
        let mut feed = open(&client, agent.id, &Follow { from, last, ..ask(&path) }).await;
        let mut part = Vec::new();
        let until = 9_000.min(50_000 - lines.len());
        // Cut where an item said where it ends; what came after that comes again.
        let mut kept = 0;
        while kept < until {
            let item = tokio::time::timeout(PATIENCE, feed.next()).await.expect("no item for 20 s");
            let item = item.expect("it ended").unwrap();
            part.extend(item.lines.iter().map(|l| String::from_utf8(l.bytes.clone()).unwrap()));
            if item.place.is_some() {
                (place, kept) = (item.place, part.len());
            }
        }
        part.truncate(kept);
        lines.append(&mut part);
        cuts += 1;
    }
    assert!(cuts > 1, "it was not cut");
    assert!(lines.iter().enumerate().all(|(n, line)| *line == n.to_string()));
    assert_eq!(lines.len(), 50_000);
}
