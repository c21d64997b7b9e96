//! One command brings up a hub and this machine's agent; everything works; one command takes it down.

use harness::process::{program, run};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A home of its own; whatever runs in it is taken down when dropped.
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
}

impl Home {
    pub(crate) fn up() -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        let output = home.cmdr(&["up", "--detach"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        home
    }

    pub(crate) fn cmdr(&self, args: &[&str]) -> Output {
        run(Command::new(program("cmdr")).args(args).env("CMDR_HOME", self.dir.path()))
    }

    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.cmdr(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Pids of programs that run with this home.
    fn running(&self) -> Vec<String> {
        let needle = self.dir.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if command.contains(&needle) && command.contains("cmdr-") {
                found.push(command.replace('\0', " "));
            }
        }
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.cmdr(&["down"]);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_command_brings_everything_up_and_one_takes_it_down() {
    let home = Home::up();
    let hosts = home.json(&["hosts", "-o", "json"]);
    let host = &hosts.as_array().unwrap()[0];
    assert_eq!(hosts.as_array().unwrap().len(), 1);
    assert_eq!(host["state"], "online");
    assert!(
        host["id"].is_string() && host["name"].is_string() && host["labels"].is_object(),
        "{host}"
    );
    assert!(host["facts"]["memory"].as_u64().unwrap() > 0, "{host}");
    assert!(home.running().len() >= 2);
    let output = home.cmdr(&["down"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(home.running(), Vec::<String>::new());
    let output = home.cmdr(&["hosts"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
}

#[test]
fn exec_streams_both_outputs_and_ends_as_the_command_did() {
    let home = Home::up();
    let output = home.cmdr(&["exec", "*", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"out\n"[..], Some(3)));
    assert!(text(&output.stderr).lines().any(|line| line == "err"), "{}", text(&output.stderr));

    let output = home.cmdr(&["exec", "nothing-like-that", "--", "true"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("no host matches 'nothing-like-that'"),
        "{}",
        text(&output.stderr)
    );
    let output = home.cmdr(&["exec", "a,,b", "--", "true"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));

    let script = home.dir.path().join("script.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"$1 and $2\"\n").unwrap();
    let output =
        home.cmdr(&["exec", "*", "--script", &script.to_string_lossy(), "--", "one", "two"]);
    assert_eq!(text(&output.stdout), "one and two\n", "{}", text(&output.stderr));
}

#[test]
fn output_that_would_steer_a_terminal_passes_unchanged_into_a_pipe_and_harmless_into_tables() {
    let home = Home::up();
    let output = home.cmdr(&["exec", "*", "--", "printf", "\\033[2Jx\\033]52;c;aGk=\\007"]);
    assert_eq!(output.stdout, b"\x1b[2Jx\x1b]52;c;aGk=\x07");
    // A process whose title would clear the screen.
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}";
    // It waits for input that never comes, and has no children that could outlive it.
    let mut sleeper =
        Command::new("sh").args(["-c", "read x", evil]).stdin(Stdio::piped()).spawn().unwrap();
    let listed = text(&home.cmdr(&["ps", "*", "-o", "wide"]).stdout);
    let raw = text(&home.cmdr(&["ps", "*", "-o", "json"]).stdout);
    sleeper.kill().ok();
    sleeper.wait().ok();
    assert!(listed.contains("␛[2J") && !listed.contains('\u{1b}'), "{listed}");
    assert!(raw.contains("\\u001b[2J") && !raw.contains('\u{1b}'));
}

#[test]
fn a_second_server_joins_with_one_token_and_orders_reach_both() {
    let home = Home::up();
    let first = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let ready: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.dir.path().join("run/hub.json")).unwrap())
            .unwrap();
    let data = home.dir.path().join("hub");
    let output = run(Command::new(program("cmdr-hub"))
        .args([
            "token",
            "-q",
            "--host",
            "--label",
            "role=second",
            "--address",
            ready["address"].as_str().unwrap(),
            "--data",
        ])
        .arg(&data));
    let token = text(&output.stdout).trim().to_owned();
    let state = home.dir.path().join("second");
    let join = |state: &Path| {
        run(Command::new(program("cmdr-agentd"))
            .args(["join", "--name", "second", "--state"])
            .arg(state)
            .arg(&token))
    };
    let joined = join(&state);
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    let again = join(&home.dir.path().join("third"));
    assert!(
        !again.status.success() && text(&again.stderr).contains("used up"),
        "{}",
        text(&again.stderr)
    );
    let log = home.dir.path().join("second.log");
    let agent = harness::process::Running::start(
        Command::new(program("cmdr-agentd")).args(["run", "--state"]).arg(&state),
        &log,
    );
    while home.json(&["hosts", "role=second", "-o", "json"])[0]["state"] != "online" {
        harness::process::pause();
    }
    let output = home.cmdr(&["exec", "*", "--", "echo", "here"]);
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected = vec![format!("{first} | here"), "second | here".to_owned()];
    expected.sort();
    assert_eq!((lines, output.status.code()), (expected, Some(0)), "{}", text(&output.stderr));
    let log = agent.text();
    for fact in ["host", "os", "arch", "cores", "cpu"] {
        assert!(log.contains(fact), "the agent's log does not tell '{fact}':\n{log}");
    }
    // One that is away is named unreachable, the other still answers.
    agent.kill();
    while home.json(&["hosts", "role=second", "-o", "json"])[0]["state"] != "away" {
        harness::process::pause();
    }
    let output = home.cmdr(&["exec", "*", "-o", "json", "--", "true"]);
    assert_eq!(output.status.code(), Some(4));
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let state = |name: &str| {
        results.as_array().unwrap().iter().find(|r| r["host"] == name).unwrap()["state"].clone()
    };
    assert_eq!((state("second"), state(&first)), ("unreachable".into(), "ok".into()));
}
