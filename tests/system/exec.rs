//! Commands on a real host through the hub: output, input, ends, limits, and what must not remain.

use cmdr_agentd::agent;
use cmdr_link::Client;
use cmdr_protocol::exec::{Exit, Input, Outcome, Script, Start};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use harness::{World, until};
use std::time::{Duration, Instant};

fn command(argv: &[&str]) -> Start {
    Start { argv: argv.iter().map(|&a| a.to_owned()).collect(), ..Start::default() }
}

fn shell(line: &str) -> Start {
    command(&["sh", "-c", line])
}

struct Ended {
    stdout: String,
    stderr: String,
    exit: Exit,
}

async fn run(client: &Client, host: HostId, start: Start) -> Result<Ended, CallError> {
    let mut feed = client.feed(Some(host), &start).await?;
    let (mut stdout, mut stderr, mut exit) = (Vec::new(), Vec::new(), None);
    while let Some(item) = feed.next().await {
        let item = item?;
        stdout.extend(item.stdout);
        stderr.extend(item.stderr);
        exit = item.exit.or(exit);
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ended {
        stdout: text(stdout),
        stderr: text(stderr),
        exit: exit.expect("every program has an end"),
    })
}

/// Whether a process of this number still runs.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_come_back() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let ended = run(&client, agent.id, shell("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!((ended.exit.outcome, ended.exit.code), (Outcome::Exited, 3));
    let ended = run(&client, agent.id, shell("kill -9 $$")).await.unwrap();
    assert_eq!((ended.exit.outcome, ended.exit.code), (Outcome::Signalled, 9));
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let nasty = ["a b", "$(id)", "`id`", ";id", "'\"", "-n", "*", "节点", ""];
    let mut argv = vec!["printf", "[%s]"];
    argv.extend(nasty);
    let ended = run(&client, agent.id, command(&argv)).await.unwrap();
    let expected = format!("[{}]", nasty.join("]["));
    assert_eq!(ended.stdout, expected);
}

#[tokio::test]
async fn input_is_streamed_and_its_end_is_told() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let start = Start { stdin: true, ..command(&["cat"]) };
    let (mut items, mut inputs) = client.feed(Some(agent.id), &start).await.unwrap().split();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        for chunk in sent.chunks(16_000) {
            inputs.send(&Input { data: chunk.to_vec(), ..Input::default() }).await.unwrap();
        }
        inputs.send(&Input { eof: true, ..Input::default() }).await.unwrap();
        inputs
    });
    let mut got = Vec::new();
    while let Some(item) = items.next().await {
        got.extend(item.unwrap().stdout);
    }
    sending.await.unwrap();
    assert!(got == expected, "{} bytes came back of {}", got.len(), expected.len());
}

#[tokio::test]
async fn a_script_runs_by_its_first_line_with_its_arguments_environment_and_folder() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let start = Start {
        argv: vec!["one".into(), "two words".into()],
        script: Some(Script {
            name: "hello".into(),
            content: b"#!/bin/sh\npwd\necho $COLOUR $1 $2 $#\n".to_vec(),
        }),
        env: [("COLOUR".to_owned(), "blue".to_owned())].into(),
        cwd: Some("/usr".into()),
        ..Start::default()
    };
    let ended = run(&client, agent.id, start).await.unwrap();
    assert_eq!(
        (ended.stdout.as_str(), ended.exit.code),
        ("/usr\nblue one two words 2\n", 0),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_program_that_outlives_its_time_is_ended_with_everything_it_started() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let start = Start { timeout_ms: Some(300), ..shell("sleep 1000 & echo $!; wait") };
    let begin = Instant::now();
    let ended = run(&client, agent.id, start).await.unwrap();
    assert_eq!(ended.exit.outcome, Outcome::TimedOut);
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    until("the grandchild is gone", async || !lives(&ended.stdout)).await;
}

#[tokio::test]
async fn giving_up_ends_the_program_and_everything_it_started() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let mut feed = client.feed(Some(agent.id), &shell("sleep 1000 & echo $!; wait")).await.unwrap();
    let mut pid = String::new();
    while !pid.ends_with('\n') {
        pid += &String::from_utf8_lossy(&feed.next().await.unwrap().unwrap().stdout);
    }
    assert!(lives(&pid));
    drop(feed);
    until("the grandchild is gone", async || !lives(&pid)).await;
}

#[tokio::test]
async fn each_order_that_cannot_be_carried_out_says_why() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let cases = [
        (command(&["/no/such/program"]), ErrorKind::NotFound),
        (command(&[]), ErrorKind::Malformed),
        (command(&["a\0b"]), ErrorKind::Malformed),
        (Start { cwd: Some("/no/such/folder".into()), ..command(&["true"]) }, ErrorKind::Failed),
        (Start { user: Some("no-such-user".into()), ..command(&["true"]) }, ErrorKind::Failed),
        (command(&["/etc/hostname"]), ErrorKind::Failed),
        (command(&["/etc"]), ErrorKind::Failed),
    ];
    for (start, kind) in cases {
        let shown = format!("{start:?}");
        let error = run(&client, agent.id, start).await.err().expect("it cannot be carried out");
        assert_eq!(error.kind, kind, "{shown}: {error}");
        assert!(!error.message.is_empty());
    }
    // Not the script is missing.
    let script = Script { name: "up".into(), content: b"#!/nonexist\n".to_vec() };
    let start = Start { script: Some(script), ..Start::default() };
    let error = run(&client, agent.id, start).await.err().expect("nothing interprets it");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(
        error.message.contains("interpreter") && error.message.contains("/nonexist"),
        "{error}"
    );
}

#[tokio::test]
async fn a_flood_of_output_is_held_back_at_its_source() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let start = shell("echo $$; exec head -c 300000000 /dev/zero");
    let mut feed = client.feed(Some(agent.id), &start).await.unwrap();
    let first = feed.next().await.unwrap().unwrap();
    drop(first);
    // Nobody reads on; the other streams of this link and the agent itself are not held up.
    for _ in 0..20 {
        let begin = Instant::now();
        let ended = run(&client, agent.id, command(&["true"])).await.unwrap();
        assert_eq!(ended.exit.code, 0);
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
    let mut bytes = 0;
    while let Some(item) = feed.next().await {
        bytes += item.unwrap().stdout.len();
    }
    assert!(bytes >= 299_000_000, "{bytes} bytes of the flood came through in the end");
}

#[tokio::test]
async fn a_service_switched_off_by_the_hosts_own_policy_stays_off() {
    let world = World::start().await;
    let policy = world.path("agent.toml");
    std::fs::write(&policy, "[services]\nexec = false\n").unwrap();
    let mut config = agent::Config::new(world.path("state"));
    config.policy = cmdr_agentd::policy::Policy::load(&policy).unwrap();
    let agent = world.agent_with("here", config).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let error = run(&client, agent.id, command(&["true"])).await.err().expect("exec is off");
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("agent.toml"), "{error}");
}
