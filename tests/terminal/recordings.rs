//! Recordings with the real programs: a hub that is killed in the middle, a disk that is full.

use harness::process::{HubProcess, Running, program, run, until};
use std::path::Path;
use std::process::{Command, Output};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cmdr(home: &Path, args: &[&str]) -> Output {
    run(Command::new(program("cmdr")).env("CMDR_HOME", home).args(args))
}

/// The output of a verb that has to succeed.
fn ok(home: &Path, args: &[&str]) -> String {
    let output = cmdr(home, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Asks until the answer is the one that is waited for.
fn only(home: &Path) -> serde_json::Value {
    let all: serde_json::Value =
        serde_json::from_str(&ok(home, &["recordings", "ls", "-o", "json"])).unwrap();
    all[0].clone()
}

#[test]
fn a_killed_hub_leaves_a_recording_that_is_closed_and_read_up_to_its_last_moments() {
    let mut hub = HubProcess::start();
    let dir = tempfile::tempdir().unwrap();
    let (home, agent_home) = (dir.path().join("me"), dir.path().join("agent"));
    ok(&home, &["login", &hub.token(Some("administrator"), 1)]);
    let mut join = Command::new(program("cmdr-agentd"));
    join.args(["join", &hub.token(None, 1), "--name", "web1", "--state"]).arg(&agent_home);
    let joined = run(&mut join);
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    let mut serve = Command::new(program("cmdr-agentd"));
    serve.args(["run", "--state"]).arg(&agent_home);
    let agent = Running::start(&mut serve, &dir.path().join("agent.log"));
    until("the agent is online", || {
        text(&cmdr(&home, &["hosts", "-o", "json"]).stdout).contains("\"online\"")
    });
    ok(&home, &["recordings", "rules", "set", "all", "--keep", "30d"]);

    let line = "printf '\\033]0;owned\\007\\033[31mfirst\\033[0m\\n'; exec sleep 1000";
    let mut exec = Command::new(program("cmdr"));
    exec.env("CMDR_HOME", &home).args(["exec", "web1", "--", "sh", "-c", line]);
    let exec = Running::start(&mut exec, &dir.path().join("exec.log"));
    until("the first line is recorded", || {
        let id = only(&home)["id"].to_string();
        text(&cmdr(&home, &["recordings", "cat", &id]).stdout).contains("first")
    });
    let id = only(&home)["id"].to_string();
    // What is in the file, and not only in the hub's memory, is what a crash leaves.
    let recordings = hub.data().join("recordings");
    until("the file has more than its head", || {
        let months = std::fs::read_dir(&recordings).unwrap();
        months.flatten().any(|month| {
            let file = month.path().join(format!("{id}.rec"));
            std::fs::metadata(file).is_ok_and(|meta| meta.len() > 100)
        })
    });
    hub.kill();
    exec.kill();
    hub.start_again();
    until("the hub answers", || cmdr(&home, &["whoami"]).status.success());
    let recording = only(&home);
    assert_eq!(recording["state"], "cut", "{recording}");
    assert_eq!(recording["ended"], "the hub was killed meanwhile");
    let output = ok(&home, &["recordings", "cat", &id]);
    assert_eq!(output, "\u{1b}]0;owned\u{7}\u{1b}[31mfirst\u{1b}[0m\n");
    assert!(ok(&home, &["recordings", "verify"]).contains("as it was recorded"));
    let found = ok(&home, &["recordings", "search", "FIRST", "-o", "ndjson"]);
    assert!(found.contains("\"line\":1"), "{found}");

    let file = dir.path().join("out.cast");
    ok(&home, &["recordings", "export", &id, file.to_str().unwrap()]);
    let cast = std::fs::read_to_string(&file).unwrap();
    let mut lines = cast.lines();
    let head: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((&head["version"], &head["host"]), (&2.into(), &"web1".into()));
    assert!(cast.contains("\"o\",\"\\u001b]0;owned"), "{cast}");
    assert!(cast.trim_end().ends_with("\"m\",\"cut: the hub was killed here\"]"), "{cast}");
    let removed = ok(&home, &["recordings", "rm", &id, "--yes"]);
    assert_eq!((removed.as_str(), only(&home).is_null()), ("", true));
    agent.kill();
}

/// Recordings alone on a file system of 2 MiB.
#[test]
fn on_a_full_disk_what_must_be_recorded_ends_and_other_things_go_on_with_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(
        &script,
        r#"set -eu
bin=$1; tmp=$2; data=$tmp/hub; kept=$data/recordings
mkdir -p -m 700 "$data" "$kept"; mount -t tmpfs -o size=2m,mode=700 none "$kept"
printf '[recordings]\nfree_mb = 0\n' >"$tmp/hub.toml"
"$bin/cmdr-hub" --config "$tmp/hub.toml" --data "$data" serve --listen 127.0.0.1:0 --no-first-token --ready-file "$tmp/ready" 2>"$tmp/log" &
hub=$!; agent=; trap 'kill $hub $agent' EXIT
wait_for() { i=0; until "$@" >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 1500 ] || { echo "waited in vain: $*"; cat "$tmp/log"; exit 1; }; kill -0 $hub || { echo "the hub died"; exit 1; }; sleep 0.02; done; }
wait_for test -s "$tmp/ready"
me() { CMDR_HOME=$tmp/me "$bin/cmdr" "$@"; }
me login "$("$bin/cmdr-hub" --data "$data" token --operator administrator -q)" >/dev/null
"$bin/cmdr-agentd" join --state "$tmp/agent" --name web1 "$("$bin/cmdr-hub" --data "$data" token --host -q)" >/dev/null
"$bin/cmdr-agentd" run --state "$tmp/agent" 2>/dev/null & agent=$!
wait_for me exec web1 -- true
me recordings rules set all
# What cannot be compressed fills the disk.
me exec web1 -- head -c 6000000 /dev/urandom | wc -c
ended() { ! me recordings ls -o json | grep -q '"running"'; }
wait_for ended
echo "state: $(me recordings ls -o json | grep -o '"state": *"[a-z]*"')"
for id in $(me recordings ls -o name); do me recordings cat "$id" >/dev/null && echo "reads what is there"; me recordings rm "$id" --yes; done
me recordings rules set all --strict
me exec web1 -- sh -c 'while :; do head -c 100000 /dev/urandom; done' >/dev/null && echo "it went on" || true
dd if=/dev/zero of="$kept/fill" bs=4k status=none 2>/dev/null || true
me exec web1 -- touch "$tmp/done" || echo "exit $?"
[ -e "$tmp/done" ] || echo "was not done"
"#,
    )
    .unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let bin = program("cmdr-hub");
    let output = run(command
        .args(["--mount", "sh"])
        .arg(&script)
        .arg(bin.parent().unwrap())
        .arg(dir.path()));
    let seen = text(&output.stdout) + &text(&output.stderr);
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    for line in [
        "6000000\n",
        "\"gaps\"",
        "reads what is there",
        "it must be recorded and no longer can be, so it was ended: the hub's disk was full",
        "it has to be recorded and cannot be, so it was not done",
        "was not done",
    ] {
        assert!(seen.contains(line), "'{line}' is missing:\n{seen}\n{log}");
    }
    assert!(!seen.contains("it went on"), "{seen}");
}
