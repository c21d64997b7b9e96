//! `cmdr exec`, the real program, against a hub in this process: the real link, a canned fleet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

mod hub;

use hub::{FakeHub, text};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(hub: &FakeHub, arguments: &[&str]) -> Ran {
    let out = hub.cmdr(arguments).stdin(Stdio::null()).output().unwrap();
    Ran { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text:?}"))
}

#[test]
fn one_host_streams_both_outputs_and_gives_its_exit_code() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web1", "--", "exit", "3"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "out\n", "err\n"));
}

#[test]
fn a_command_ended_by_a_signal_or_its_timeout_gives_the_code_of_a_shell() {
    let hub = FakeHub::start();
    assert_eq!(run(&hub, &["exec", "web1", "--", "signal", "9"]).code, Some(137));
    let ran = run(&hub, &["exec", "web1", "-t", "5s", "--", "overrun"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(124), "cmdr: web1: timed_out\n"));
    assert_eq!(run(&hub, &["exec", "web1", "--", "missing"]).code, Some(127));
    assert_eq!(run(&hub, &["exec", "web1", "--", "unfit"]).code, Some(126));
}

#[test]
fn a_selector_without_a_match_says_so_and_names_what_is_near() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "wbe1", "--", "exit", "0"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.stderr, "cmdr: no host matches 'wbe1'\n  did you mean: web1\n");
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_name_that_is_no_hosts_among_others_stops_it_before_anything_runs() {
    let hub = FakeHub::start();
    for verb in [
        &["exec", "web1,wbe2", "--", "exit", "0"][..],
        &["hosts", "web1 | wbe2"],
        &["top", "web*,wbe2"],
    ] {
        let ran = run(&hub, verb);
        assert_eq!(ran.code, Some(3), "{verb:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("no host matches 'wbe2'"), "{}", ran.stderr);
        assert!(ran.stderr.contains("did you mean: web2"), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(hub.started(), 0);
    // A pattern may pick nothing beside others, and a host that is taken out again is there.
    for selector in ["web1,nosuch*", "web1,web2,!web2", "web1,away1,role=web", "web1 | role=nosuch"]
    {
        let ran = run(&hub, &["exec", selector, "--", "exit", "0"]);
        assert_eq!(ran.code, Some(0), "{selector}: {}", ran.stderr);
    }
}

#[test]
fn where_nobody_can_be_asked_it_is_usage() {
    let ran = run(&FakeHub::start(), &["passwd"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("standard input is empty"), "{}", ran.stderr);
}

#[test]
fn wrong_usage_is_told_before_anything_is_asked() {
    let hub = FakeHub::start();
    for wrong in [
        &["exec", "a,,b", "--", "true"][..],
        &["exec", "web1"],
        &["exec", "web1", "--script", "/does/not/exist"],
        &["exec", "web1", "--parallel", "0", "--", "true"],
        &["exec", "web1", "--", ""],
        &["exec", "web1", "--script", "/dev/null"],
        &["exec", "web1", "--cwd", "here", "--", "true"],
        &["exec", "web1", "--user", "", "--", "true"],
        &["nonsense"],
    ] {
        assert_eq!(run(&hub, wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(hub.started(), 0);
}

#[test]
fn many_hosts_get_marked_lines_and_a_summary() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "--direct", "web*", "--", "exit", "0"]);
    let mut lines: Vec<_> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["web1 | out", "web2 | out"]);
    assert!(ran.stderr.contains("web1 | err\n"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("2 hosts: 2 ok\n"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(0));
}

#[test]
fn a_host_that_is_away_is_unreachable_and_stops_no_other() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "--direct", "web1,away1", "-o", "json", "--", "exit", "0"]);
    let all = json(&ran.stdout);
    let states: Vec<_> =
        all.as_array().unwrap().iter().map(|r| (r["host"].as_str(), r["state"].as_str())).collect();
    assert_eq!(states, [(Some("away1"), Some("unreachable")), (Some("web1"), Some("ok"))]);
    assert_eq!(all[1]["stdout"], "out\n");
    assert_eq!(ran.code, Some(4));
    assert_eq!(run(&hub, &["exec", "away1", "--", "exit", "0"]).code, Some(4));
}

#[test]
fn a_refused_host_is_denied() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web1", "--", "forbidden"]);
    assert_eq!(ran.code, Some(5));
    assert_eq!(ran.stderr, "cmdr: web1: refused: the policy of this host forbids it\n");
}

#[test]
fn a_link_cut_half_way_is_lost_and_what_came_before_is_shown() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web1", "--", "cut"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), "out\n"));
    assert!(ran.stderr.starts_with("cmdr: web1: lost: "), "{}", ran.stderr);
}

#[test]
fn events_tell_start_output_and_end_of_each_host() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web1", "-o", "ndjson", "--", "exit", "3"]);
    let events: Vec<_> = ran.stdout.lines().map(json).collect();
    let kinds: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "output", "output", "end"]);
    assert_eq!(events[1]["stdout"], "out\n");
    assert_eq!(events[2]["stderr"], "err\n");
    assert_eq!(events[3]["code"], 3);
    assert_eq!(ran.code, Some(3));
}

#[test]
fn a_plan_names_the_hosts_and_runs_nothing() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web*", "--plan", "-o", "name", "--", "exit", "3"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "web1\nweb2\n"));
    assert_eq!(hub.started(), 0);
}

#[test]
fn our_input_reaches_one_host_and_all_when_asked() {
    let hub = FakeHub::start();
    let feed = |arguments: &[&str], input: &[u8]| {
        let mut child = hub
            .cmdr(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let out = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        out.stdout
    };
    let input: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(feed(&["exec", "web1", "--", "cat"], &input), input);
    let both = text(feed(&["exec", "web*", "--stdin=all", "--", "cat"], b"hello\n"));
    let mut lines: Vec<_> = both.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["web1 | hello", "web2 | hello"]);
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let hub = FakeHub::start();
    let mut child = hub
        .cmdr(&["exec", "web1", "--", "flood"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let out = child.wait_with_output().unwrap();
    // As of a program that SIGPIPE has ended, and without a word.
    assert_eq!((out.status.code(), text(out.stderr).as_str()), (Some(141), ""));
    hub.wait_for_no_commands();
}

#[test]
fn an_output_that_cannot_be_written_is_told_in_one_line() {
    let hub = FakeHub::start();
    for arguments in [
        &["hosts"][..],
        &["exec", "web1", "--", "flood"],
        &["exec", "web1", "-o", "json", "--", "exit", "0"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let out = hub.cmdr(arguments).stdin(Stdio::null()).stdout(full).output().unwrap();
        let words = text(out.stderr);
        assert_eq!(
            words, "cmdr: cannot write the output: No space left on device\n",
            "{arguments:?}"
        );
        assert_eq!(out.status.code(), Some(1), "{arguments:?}");
    }
    hub.wait_for_no_commands();
}

#[test]
fn a_damaged_home_is_a_usage_error_that_names_the_file_and_the_line() {
    let hub = FakeHub::start();
    let file = hub.home().join("client/hub.toml");
    std::fs::write(&file, "address = \"hub:7700\"\nkey = \"abc\"\n").unwrap();
    let ran = run(&hub, &["hosts"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("hub.toml:2: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("cmdr login --replace TOKEN"), "{}", ran.stderr);
    for verb in ["hosts", "up"] {
        let ran = run(&hub, &["--home", "/dev/null", verb]);
        assert_eq!(ran.code, Some(2), "{verb}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("/dev/null") && ran.stderr.contains("--home DIR"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn an_empty_home_variable_is_as_none() {
    let state = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_cmdr"))
        .arg("hosts")
        .env("CMDR_HOME", "")
        .env("XDG_STATE_HOME", state.path())
        .output()
        .unwrap();
    let words = text(out.stderr);
    assert_eq!(out.status.code(), Some(2), "{words}");
    assert!(words.contains(&state.path().join("cmdr/client").display().to_string()), "{words}");
}

#[test]
fn usage_shows_no_option_that_was_not_given() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web1"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("ARGV") && !ran.stderr.contains("--home"), "{}", ran.stderr);
}

#[test]
fn a_command_needs_no_mark_unless_its_options_could_be_ours() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["exec", "web1", "exit", "3"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "out\n"), "{}", ran.stderr);
    let ran = run(&hub, &["exec", "web1", "exit", "-t", "3"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("cmdr exec web1 -- exit -t 3"), "{}", ran.stderr);
    assert_eq!(hub.started(), 1);
}

#[test]
fn a_token_without_a_kind_is_asked_for_one() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["tokens", "create"]);
    assert_eq!(ran.code, Some(2));
    let said = ["--host", "--operator ROLE"].iter().all(|kind| ran.stderr.contains(kind));
    assert!(said, "{}", ran.stderr);
}

#[test]
fn a_host_that_is_away_has_no_table_but_a_reason() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["top", "away1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("cmdr: away1 is away: "), "{}", ran.stderr);
    let ran = run(&hub, &["top", "away1,web1"]);
    assert_eq!(ran.code, Some(4));
    assert!(ran.stdout.contains("web1") && ran.stderr.contains("away1"), "{}", ran.stdout);
    assert_eq!(run(&hub, &["top"]).code, Some(0));
    let ran = run(&hub, &["ps", "web1"]);
    assert_ne!(ran.code, Some(0), "this hub knows no processes");
    assert_eq!(ran.stdout, "");
}

#[test]
fn man_pages_go_into_a_folder_that_was_meant() {
    let hub = FakeHub::start();
    let dir = hub.home().join("man");
    let ran = run(&hub, &["man", dir.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let pages = std::fs::read_dir(&dir).unwrap().count();
    assert!(ran.stderr.starts_with(&format!("wrote {pages} man pages to ")), "{}", ran.stderr);
    assert!(dir.join("cmdr.1").exists() && dir.join("cmdr-hosts-approve.1").exists());
    for wrong in ["missing/man", "client/key"] {
        let ran = run(&hub, &["man", hub.home().join(wrong).to_str().unwrap()]);
        assert_eq!(ran.code, Some(2), "{wrong}: {}", ran.stderr);
    }
    assert!(!hub.home().join("missing").exists());
}

#[test]
fn completions_know_every_verb_and_bash_takes_them() {
    let hub = FakeHub::start();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&hub, &["completions", shell]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        for verb in ["hosts", "exec", "tokens", "approve"] {
            assert!(ran.stdout.contains(verb), "{shell} does not know {verb}");
        }
    }
    let path = hub.home().join("cmdr.bash");
    std::fs::write(&path, run(&hub, &["completions", "bash"]).stdout).unwrap();
    let read = Command::new("bash").arg("-n").arg(&path).output().unwrap();
    assert!(read.status.success(), "{}", text(read.stderr));
}

fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn ctrl_c_cancels_at_the_hosts_and_says_so() {
    let hub = FakeHub::start();
    let mut child = hub
        .cmdr(&["exec", "--direct", "web*", "--", "wait"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        lines.next().unwrap().unwrap();
    }
    interrupt(&child);
    let begun = Instant::now();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(6));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let words = text(out.stderr);
    assert!(words.contains("2 hosts: 2 cancelled\n"), "{words}");
    hub.wait_for_no_commands();
}

#[test]
fn without_a_hub_every_verb_says_what_to_do_and_one_that_is_down_is_not_reachable() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["hosts"][..], &["exec", "*", "--", "true"], &["ping"], &["whoami"]] {
        let out = Command::new(env!("CARGO_BIN_EXE_cmdr"))
            .args(arguments)
            .env("CMDR_HOME", home.path())
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        assert!(text(out.stderr).contains("cmdr login TOKEN"), "{arguments:?}");
    }
    let gone = FakeHub::start();
    gone.stop();
    assert_eq!(run(&gone, &["hosts"]).code, Some(7));
}

#[test]
fn an_impostor_is_named_as_such() {
    let hub = FakeHub::start();
    hub.pin_another_key();
    let ran = run(&hub, &["hosts"]);
    // As cmdr-agentd join has it: asking again does not help, a person has to look.
    assert_eq!(ran.code, Some(5));
    assert!(ran.stderr.contains("WARNING"), "{}", ran.stderr);
}

#[test]
fn hosts_have_their_promised_fields_and_hostile_names_are_harmless() {
    let hub = FakeHub::start();
    let ran = run(&hub, &["hosts", "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let all = json(&ran.stdout);
    let web1 = all.as_array().unwrap().iter().find(|h| h["name"] == "web1").unwrap();
    assert_eq!(web1["state"], "online");
    assert_eq!(web1["labels"]["role"], "web");
    assert_eq!(web1["figures"]["cpu_percent"], 12.5);
    assert!(web1["id"].as_str().is_some_and(|id| id.len() == 26));
    let table = run(&hub, &["hosts"]).stdout;
    assert!(table.contains("␛]0;owned"), "{table}");
    assert!(!table.contains('\u{1b}'), "{table:?}");
}
