//! The audit log as an administrator sees it, with the real programs: listed, followed, exported, proved,
//! and found broken when somebody has been at it.

use crate::local::{Home, text};
use harness::process::{HubProcess, program, run};
use std::process::{Command, Output};

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_was_done_is_listed_exported_and_proved() {
    let home = Home::up();
    ok(&home.cmdr(&["exec", "*", "--env", "TOKEN=hunter2", "--", "sh", "-c", "exit 0"]));
    assert_eq!(home.cmdr(&["exec", "*", "--", "sh", "-c", "exit 3"]).status.code(), Some(3));
    let table = ok(&home.cmdr(&["audit", "--method", "exec.*"]));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("TIME"), "{table}");
    assert!(lines[1].contains("failed: exit 3"), "{table}");
    assert!(lines[2].contains("asked") && lines[2].contains("argv=[sh, -c, exit 3]"), "{table}");
    assert!(lines[3].contains(" ok "), "{table}");
    let failed = ok(&home.cmdr(&["audit", "--outcome", "failed", "--since", "1h", "-o", "json"]));
    let failed: serde_json::Value = serde_json::from_str(&failed).unwrap();
    assert_eq!(
        (&failed[0]["exit"], &failed[0]["method"]),
        (&"exit 3".into(), &"exec.start".into())
    );
    let csv = ok(&home.cmdr(&["audit", "-o", "csv", "--limit", "3"]));
    assert_eq!((csv.lines().count(), csv.starts_with("SEQ,TIME,WHO")), (4, true), "{csv}");
    assert!(ok(&home.cmdr(&["audit", "verify"])).contains("whole"));

    let file = home.dir.path().join("audit.jsonl");
    ok(&home.cmdr(&["audit", "export", file.to_str().unwrap()]));
    let exported = std::fs::read_to_string(&file).unwrap();
    assert!(!exported.contains("hunter2") && exported.contains("‹secret›"));
    let seqs: Vec<u64> = exported
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let wrong = home.cmdr(&["audit", "--outcome", "good"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("ok, failed, denied"), "{}", text(&wrong.stderr));
}

#[test]
fn a_changed_byte_is_found_in_a_stopped_hub_and_its_place_named() {
    let mut hub = HubProcess::start();
    hub.token(None, 1);
    assert!(hub.command(&["audit", "verify"]).contains("is whole"));
    hub.kill();
    let verify = || {
        run(Command::new(program("cmdr-hub"))
            .arg("--data")
            .arg(hub.data())
            .args(["audit", "verify"]))
    };
    assert!(ok(&verify()).contains("is whole"));
    let export = hub.dir.path().join("audit.jsonl");
    hub.command(&["audit", "export", export.to_str().unwrap()]);
    let exported = std::fs::read_to_string(&export).unwrap();
    assert!(exported.contains("tokens.create"), "{exported}");
    let segment = hub.data().join("audit/00000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(13).position(|w| w == b"tokens.create").unwrap();
    bytes[at] = b'T';
    std::fs::write(&segment, bytes).unwrap();
    let broken = verify();
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken.stderr));
    let words = text(&broken.stdout);
    assert!(words.contains("broken: segment 1, record "), "{words}");
    assert!(words.contains("hash does not match"), "{words}");
}

/// The audit log alone on a file system of 4 MiB: fill it, see that nothing is changed any more and looking
/// goes on, empty it, see it go on by itself.
#[test]
fn on_a_full_disk_nothing_unrecorded_is_done_until_there_is_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(
        &script,
        r#"set -eu
hub=$1; data=$2/hub; log=$data/audit
mkdir -p -m 700 "$data" "$log"; mount -t tmpfs -o size=4m,mode=700 none "$log"
"$hub" --data "$data" serve --listen 127.0.0.1:0 --no-first-token --ready-file "$2/ready" 2>"$2/log" &
pid=$!; trap 'kill $pid' EXIT
wait_for() { i=0; until "$@" >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 1500 ] || { echo "waited in vain: $*"; cat "$2/log"; exit 1; }; kill -0 $pid || { echo "the hub died"; exit 1; }; sleep 0.02; done; }
wait_for test -s "$2/ready"
token() { "$hub" --data "$data" token --host -q; }
token >/dev/null && echo "writes at first"
fill() { dd if=/dev/zero of="$log/fill" bs=4k oflag=append conv=notrunc status=none 2>/dev/null || true; }
fill
# The log gives back what it had reserved when it can reserve no more; and where one record did not fit, one that is
# shorter by some bytes may.
i=0; refused=0
while [ $refused -lt 3 ] && [ $i -lt 8000 ]; do i=$((i+1)); if token >/dev/null 2>"$2/first"; then refused=0; else refused=$((refused+1)); fill; fi; done
echo "refused at last: $(cat "$2/first")"
before=$("$hub" --data "$data" token list | wc -l)
token 2>"$2/err" || echo "then refuses: $(cat "$2/err")"
[ "$("$hub" --data "$data" token list | wc -l)" = "$before" ] && echo "not done, and still reads"
rm "$log/fill"
wait_for token "$2" && echo "writes again"
"$hub" --data "$data" audit verify
"#,
    )
    .unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let output =
        run(command.args(["--mount", "sh"]).arg(&script).arg(program("cmdr-hub")).arg(dir.path()));
    let seen = text(&output.stdout) + &text(&output.stderr);
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    for line in [
        "writes at first",
        "then refuses: cmdr-hub: it cannot be recorded in the audit log, so it was not done: No space",
        "not done, and still reads",
        "writes again",
        "the audit log is whole",
    ] {
        assert!(seen.contains(line), "'{line}' is missing:\n{seen}\n{log}");
    }
}
