//! Programs run for an operator over a real link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use cmdr_agentd::policy::Policy;
use cmdr_protocol::exec::{Exit, Input, Item, Outcome, Script, Start};
use cmdr_protocol::{CallError, ErrorKind};
use common::{Items, World, until};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

fn argv(argv: &[&str]) -> Start {
    Start { argv: argv.iter().map(|a| (*a).to_owned()).collect(), ..Start::default() }
}

fn sh(script: &str) -> Start {
    argv(&["sh", "-c", script])
}

struct Ended {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Exit,
}

impl Ended {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

async fn finish(items: &mut Items<Start>) -> Result<Ended, CallError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut exit = None;
    while let Some(item) = items.next().await? {
        assert!(exit.is_none(), "an item after the exit");
        stdout.extend(item.stdout);
        stderr.extend(item.stderr);
        exit = item.exit;
    }
    Ok(Ended { stdout, stderr, exit: exit.expect("no exit") })
}

async fn run(world: &World, start: Start) -> Result<Ended, CallError> {
    finish(&mut world.feed(&start).await?).await
}

/// Whether a process is there and no zombie.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn first_pid(items: &mut Items<Start>) -> u32 {
    items.next().await.unwrap().unwrap().pid.unwrap()
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_come_back() {
    let world = World::new().await;
    let ended = run(&world, sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((ended.exit.outcome, ended.exit.code), (Outcome::Exited, 3));
    let ended = run(&world, sh("kill -9 $$")).await.unwrap();
    assert_eq!((ended.exit.outcome, ended.exit.code), (Outcome::Signalled, 9));
}

#[tokio::test]
async fn arguments_reach_the_program_unchanged() {
    let world = World::new().await;
    let ended =
        run(&world, argv(&["printf", "%s|", "$HOME", "a b", ";id", "*", "--"])).await.unwrap();
    assert_eq!(ended.text(), "$HOME|a b|;id|*|--|");
}

#[tokio::test]
async fn input_is_streamed_and_its_end_is_passed_on() {
    let world = World::new().await;
    let mut items = world.feed(&Start { stdin: true, ..argv(&["cat"]) }).await.unwrap();
    first_pid(&mut items).await;
    items.send(&Input { data: b"one".to_vec(), ..Input::default() }).await;
    assert_eq!(items.next().await.unwrap().unwrap().stdout, b"one");
    items.send(&Input { data: b"two".to_vec(), eof: true, ..Input::default() }).await;
    let ended = finish(&mut items).await.unwrap();
    assert_eq!((ended.text(), ended.exit.code), ("two", 0));
}

#[tokio::test]
async fn megabytes_pass_both_ways_at_once() {
    let world = World::new().await;
    let mut items = world.feed(&Start { stdin: true, ..argv(&["cat"]) }).await.unwrap();
    let sent: Vec<u8> = (0..4u32 << 20).map(|i| (i % 251) as u8).collect();
    let mut writer = cmdr_link::frame::FrameWriter::new(items.writer.get_ref().clone());
    let pieces = sent.clone();
    let sending = tokio::spawn(async move {
        for piece in pieces.chunks(16 * 1024) {
            let input = Input { data: piece.to_vec(), ..Input::default() };
            let bytes = cmdr_link::codec::encode(&input).unwrap();
            writer.send(cmdr_link::frame::Tag::Body, &bytes).await.unwrap();
        }
        let end = Input { eof: true, ..Input::default() };
        let bytes = cmdr_link::codec::encode(&end).unwrap();
        writer.send(cmdr_link::frame::Tag::Body, &bytes).await.unwrap();
        writer
    });
    let ended = finish(&mut items).await.unwrap();
    let _writer = sending.await.unwrap();
    assert!(ended.stdout == sent, "{} of {} bytes", ended.stdout.len(), sent.len());
}

#[tokio::test]
async fn without_input_the_program_reads_an_empty_one() {
    let world = World::new().await;
    assert_eq!(run(&world, argv(&["cat"])).await.unwrap().exit.code, 0);
}

#[tokio::test]
async fn a_program_that_ignores_its_timeout_is_killed_with_its_whole_group() {
    let world = World::new().await;
    let script = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600";
    let begun = Instant::now();
    let start = Start { timeout_ms: Some(200), ..sh(script) };
    let ended = run(&world, start).await.unwrap();
    assert_eq!((ended.exit.outcome, ended.exit.code), (Outcome::TimedOut, 9));
    assert!(begun.elapsed() >= Duration::from_secs(2));
    let grandchild: u32 = ended.text().trim().parse().unwrap();
    until("the grandchild is gone", || !runs(grandchild)).await;
}

#[tokio::test]
async fn leaving_the_feed_kills_the_whole_group() {
    let world = World::new().await;
    let mut items = world.feed(&sh("sleep 600 & echo $!; wait")).await.unwrap();
    let pid = first_pid(&mut items).await;
    let out = items.next().await.unwrap().unwrap().stdout;
    let grandchild: u32 = String::from_utf8(out).unwrap().trim().parse().unwrap();
    assert!(runs(pid) && runs(grandchild));
    drop(items);
    until("both are gone", || !runs(pid) && !runs(grandchild)).await;
}

#[tokio::test]
async fn a_lost_link_kills_what_it_ran() {
    let world = World::new().await;
    let mut items = world.feed(&argv(&["sleep", "600"])).await.unwrap();
    let pid = first_pid(&mut items).await;
    world.client.link().close("gone");
    until("it is gone", || !runs(pid)).await;
}

#[tokio::test]
async fn a_background_child_does_not_hold_the_end_back_and_does_not_survive() {
    let world = World::new().await;
    let begun = Instant::now();
    let ended = run(&world, sh("sleep 600 & echo $!")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(ended.exit.outcome, Outcome::Exited);
    let child: u32 = ended.text().trim().parse().unwrap();
    until("the child is gone", || !runs(child)).await;
}

/// Starts two that leave the program's group, session and parent, and prints their numbers.
const ESCAPE: &str = "setsid sh -c 'echo $$; exec sleep 600' & \
                      (setsid sh -c 'echo $$; exec sleep 600 > /dev/null 2>&1' &); ";

/// The numbers that a program prints, as they come.
async fn pids(items: &mut Items<Start>, count: usize) -> Vec<u32> {
    let mut text = String::new();
    while text.matches('\n').count() < count {
        text += std::str::from_utf8(&items.next().await.unwrap().unwrap().stdout).unwrap();
    }
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test]
async fn what_opens_a_session_of_its_own_ends_with_the_timeout_too() {
    let world = World::new().await;
    let start = Start { timeout_ms: Some(500), ..sh(&format!("{ESCAPE} sleep 600")) };
    let mut items = world.feed(&start).await.unwrap();
    let escaped = pids(&mut items, 2).await;
    assert!(escaped.iter().all(|pid| runs(*pid)));
    assert_eq!(finish(&mut items).await.unwrap().exit.outcome, Outcome::TimedOut);
    until("they are gone", || !escaped.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn what_opens_a_session_of_its_own_ends_when_the_caller_leaves_and_nobody_elses_does() {
    let world = World::new().await;
    let start = sh(&format!("{ESCAPE} sleep 600"));
    let mut other = world.feed(&start).await.unwrap();
    let others = pids(&mut other, 2).await;
    let mut items = world.feed(&start).await.unwrap();
    let escaped = pids(&mut items, 2).await;
    drop(items);
    until("they are gone", || !escaped.iter().any(|pid| runs(*pid))).await;
    assert!(others.iter().all(|pid| runs(*pid)), "those of another order are ended too");
    drop(other);
    until("the others are gone", || !others.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn what_opens_a_session_of_its_own_does_not_outlive_the_program() {
    let world = World::new().await;
    // It ends by itself when it has heard that both run.
    let start = Start { stdin: true, ..sh(&format!("{ESCAPE} read x")) };
    let mut items = world.feed(&start).await.unwrap();
    let escaped = pids(&mut items, 2).await;
    items.send(&Input { data: b"\n".to_vec(), ..Input::default() }).await;
    assert_eq!(finish(&mut items).await.unwrap().exit.outcome, Outcome::Exited);
    until("they are gone", || !escaped.iter().any(|pid| runs(*pid))).await;
}

#[test]
fn a_supervisor_started_by_hand_says_whose_it_is() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_cmdr-agentd"))
        .arg("supervise")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("for the agent itself"), "{out:?}");
}

#[tokio::test]
async fn a_program_that_ends_its_supervisor_is_ended_and_told() {
    let world = World::new().await;
    let start = Start { stdin: true, ..sh("read x; kill -9 $PPID; exec sleep 600") };
    let mut items = world.feed(&start).await.unwrap();
    let pid = first_pid(&mut items).await;
    items.send(&Input { data: b"\n".to_vec(), ..Input::default() }).await;
    let error = finish(&mut items).await.err().unwrap();
    assert!(error.message.contains("supervisor was ended"), "{error}");
    until("it is gone", || !runs(pid)).await;
}

#[tokio::test]
async fn output_written_before_the_end_is_not_cut_for_a_slow_reader() {
    let world = World::new().await;
    // More than the link's credit and the pipe hold together.
    let mut items = world.feed(&sh("sleep 600 & head -c 700000 /dev/zero")).await.unwrap();
    let pid = first_pid(&mut items).await;
    let ended = finish(&mut items).await.unwrap();
    assert_eq!(ended.stdout.len(), 700_000);
    until("the group is gone", || !runs(pid)).await;
}

#[tokio::test]
async fn a_flood_nobody_reads_is_held_back_and_a_signal_gets_through() {
    let world = World::new().await;
    let mut items = world.feed(&argv(&["yes"])).await.unwrap();
    let pid = first_pid(&mut items).await;
    // It stops writing when the link's credit and the pipe are full.
    let written = || {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        io.lines().find_map(|l| l.strip_prefix("wchar: ")).unwrap().parse::<u64>().unwrap()
    };
    let mut last = 0;
    let mut same = 0;
    until("it stopped writing", || {
        let now = written();
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same > 20
    })
    .await;
    assert!(last < 2 << 20, "{last} bytes were taken");
    items.send(&Input { signal: Some(15), ..Input::default() }).await;
    until("the signal arrived", || !runs(pid)).await;
    let ended = finish(&mut items).await.unwrap();
    assert_eq!((ended.exit.outcome, ended.exit.code), (Outcome::Signalled, 15));
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let world = World::new().await;
    let executable = |name: &str, content: &[u8]| {
        let path = world.state.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let garbage = executable("garbage", b"\x7fELF\0\0\0no program\0");
    let orphan = executable("orphan", b"#!/nonexist\ntrue\n");
    let script = |text: &str| Start {
        script: Some(Script { name: "s".into(), content: text.into() }),
        ..Start::default()
    };
    let cases: Vec<(Start, ErrorKind, &str)> = vec![
        (argv(&["no-such-program"]), ErrorKind::NotFound, "no-such-program: command not found"),
        (argv(&["/no/such"]), ErrorKind::NotFound, "command not found"),
        (argv(&["/etc/passwd"]), ErrorKind::Failed, "permission denied"),
        (argv(&["/etc"]), ErrorKind::Failed, "is a folder"),
        (argv(&[garbage.to_str().unwrap()]), ErrorKind::Failed, "cannot be executed"),
        (argv(&[orphan.to_str().unwrap()]), ErrorKind::NotFound, "interpreter"),
        (script("#!/nonexist\ntrue\n"), ErrorKind::NotFound, "/nonexist is missing"),
        (script("#!/etc/passwd\ntrue\n"), ErrorKind::Failed, "interpreter"),
        (argv(&[]), ErrorKind::Malformed, "nothing to run"),
        (argv(&[""]), ErrorKind::Malformed, "empty"),
        (argv(&["echo", "a\0b"]), ErrorKind::Malformed, "NUL"),
        (
            Start { user: Some("no-such-user".into()), ..argv(&["true"]) },
            ErrorKind::Failed,
            "no user",
        ),
        (Start { cwd: Some("/no/such".into()), ..argv(&["true"]) }, ErrorKind::Failed, "no folder"),
        (Start { cwd: Some("x".into()), ..argv(&["true"]) }, ErrorKind::Malformed, "begin with"),
        (
            Start { env: [("A=B".to_owned(), String::new())].into(), ..argv(&["true"]) },
            ErrorKind::Malformed,
            "name",
        ),
        (
            Start {
                env: (0..1000).map(|i| (format!("V{i}"), String::new())).collect(),
                ..argv(&["true"])
            },
            ErrorKind::Malformed,
            "too many variables",
        ),
        (
            Start {
                script: Some(Script { name: "s".into(), content: vec![b'x'; 512 * 1024 + 1] }),
                ..Start::default()
            },
            ErrorKind::Malformed,
            "at most 524288",
        ),
    ];
    for (start, kind, words) in cases {
        let error = run(&world, start).await.err().expect(words);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_script_runs_by_its_first_line_with_arguments_and_is_removed() {
    let world = World::new().await;
    let script = |content: &str| Start {
        script: Some(Script { name: "my job.sh".into(), content: content.into() }),
        argv: vec!["one".into(), "t w o".into()],
        ..Start::default()
    };
    let ended = run(&world, script("echo \"$0|$1|$2\"; exit 4")).await.unwrap();
    assert!(ended.text().ends_with("/myjob.sh|one|t w o\n"), "{}", ended.text());
    assert_eq!(ended.exit.code, 4);
    let ended = run(&world, script("#!/bin/sh -e\nfalse\necho no\n")).await.unwrap();
    assert_eq!((ended.text(), ended.exit.code), ("", 1));
    until("the folder is empty", || {
        std::fs::read_dir(world.state.path().join("scripts")).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn environment_and_folder_are_the_callers_and_nothing_of_the_agents_leaks() {
    let world = World::new().await;
    let start = Start {
        env: [("GREETING".to_owned(), "hi".to_owned())].into(),
        cwd: Some("/usr".into()),
        ..sh("pwd; env | cut -d= -f1 | sort | tr '\\n' ' '")
    };
    let ended = run(&world, start).await.unwrap();
    assert_eq!(ended.text(), "/usr\nGREETING HOME LANG LOGNAME PATH PWD SHELL USER ");
}

#[tokio::test]
async fn another_user_runs_with_their_own_rights_or_is_denied() {
    let world = World::new().await;
    let start = |command: &str| Start { user: Some("nobody".into()), ..sh(command) };
    let result = run(&world, start("id -u; id -G; echo $USER")).await;
    if rustix::process::geteuid().is_root() {
        let ended = result.unwrap();
        let lines: Vec<_> = ended.text().lines().collect();
        assert_eq!((lines[0], lines[2]), ("65534", "nobody"));
        assert_eq!(lines[1], "65534", "no group of the agent's is left");
        let script = Script { name: "x".into(), content: b"id -u".to_vec() };
        let start = Start { user: Some("nobody".into()), script: Some(script), ..Start::default() };
        assert_eq!(run(&world, start).await.unwrap().text(), "65534\n");
    } else {
        assert_eq!(result.err().unwrap().kind, ErrorKind::Denied);
    }
}

#[tokio::test]
async fn another_user_has_the_groups_that_the_host_gives_them() {
    let world = World::with(|config, dir| {
        config.etc_root = dir.join("etc");
        std::fs::create_dir(&config.etc_root).unwrap();
        let write = |name: &str, text: &str| std::fs::write(config.etc_root.join(name), text);
        write("passwd", "root:x:0:0::/:/bin/sh\nann:x:4321:4322::/:/bin/sh\n").unwrap();
        write("group", "adm:x:4:ann\nann:x:4322:\ndisk:x:6:bob\ntools:x:4400:bob,ann\n").unwrap();
    })
    .await;
    let start = Start { user: Some("ann".into()), ..sh("id -u; id -g; id -G") };
    let result = run(&world, start).await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(result.unwrap().text(), "4321\n4322\n4322 4 4400\n");
    } else {
        assert_eq!(result.err().unwrap().kind, ErrorKind::Denied);
    }
}

#[tokio::test]
async fn the_policy_limits_services_users_programs_time_and_number() {
    let with = async |text: &str| {
        let policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
        World::with(|config, _| config.policy = policy).await
    };
    let denied = async |text: &str, start: Start| {
        let error = run(&with(text).await, start).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        assert!(error.message.contains("/etc/cmdr/agent.toml"), "{error}");
    };
    denied("[services]\nexec = false", argv(&["true"])).await;
    denied("[exec]\nusers = [\"somebody\"]", argv(&["true"])).await;
    denied("[exec]\nprograms = [\"/bin/true\"]", argv(&["false"])).await;
    denied("[exec]\ndenied_programs = [\"/bin/sh\"]", sh("true")).await;
    let world = with("[exec]\nprograms = [\"/bin/true\"]").await;
    assert_eq!(run(&world, argv(&["true"])).await.unwrap().exit.code, 0);
    let world = with("[exec]\nmax_runtime_s = 1").await;
    assert_eq!(run(&world, argv(&["sleep", "600"])).await.unwrap().exit.outcome, Outcome::TimedOut);
    let world = with("[exec]\nmax_concurrent = 1").await;
    let mut one = world.feed(&argv(&["sleep", "600"])).await.unwrap();
    first_pid(&mut one).await;
    assert_eq!(run(&world, argv(&["true"])).await.err().unwrap().kind, ErrorKind::Busy);
}

#[tokio::test]
async fn without_a_caller_nothing_is_run() {
    let world = World::new().await;
    let mut feed = world.client.feed(None, &argv(&["true"])).await.unwrap();
    let error = feed.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn more_requests_than_are_answered_at_once_are_told_so() {
    let world = World::new().await;
    let mut held = Vec::new();
    for _ in 0..cmdr_agentd::agent::STREAMS {
        held.push(world.feed(&cmdr_protocol::ping::Echo {}).await.unwrap());
    }
    let last = held.last_mut().unwrap();
    last.send(&cmdr_protocol::ping::Sound { data: b"x".to_vec() }).await;
    assert_eq!(last.next().await.unwrap().unwrap().data, b"x");
    let error = run(&world, argv(&["true"])).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Busy);
    drop(held);
    let mut ok = false;
    for _ in 0..200 {
        ok = run(&world, argv(&["true"])).await.is_ok();
        if ok {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ok, "places become free again");
}

#[tokio::test]
async fn items_are_never_empty() {
    let world = World::new().await;
    let mut items = world.feed(&sh("echo a; exec >&- 2>&-; sleep 0.1")).await.unwrap();
    while let Some(item) = items.next().await.unwrap() {
        assert_ne!(item, Item::default());
    }
}
