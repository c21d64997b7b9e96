//! The audit log as an administrator sees it, with the real programs: listed, followed, exported, proved,
//! and found broken when somebody has been at it.

use crate::local::{Home, text};
use harness::process::{HubProcess, program, run};
use std::process::{Command, Output};

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_was_done_is_listed_exported_and_proved() {
    let home = Home::up();
    ok(home.cmdr(&["exec", "*", "--env", "TOKEN=hunter2", "--", "sh", "-c", "exit 0"]));
    assert_eq!(home.cmdr(&["exec", "*", "--", "sh", "-c", "exit 3"]).status.code(), Some(3));
    let table = ok(home.cmdr(&["audit", "--method", "exec.*"]));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("TIME"), "{table}");
    assert!(lines[1].contains("failed: exit 3"), "{table}");
    assert!(lines[2].contains("asked") && lines[2].contains("argv=[sh, -c, exit 3]"), "{table}");
    assert!(lines[3].contains(" ok "), "{table}");
    let failed = ok(home.cmdr(&["audit", "--outcome", "failed", "--since", "1h", "-o", "json"]));
    let failed: serde_json::Value = serde_json::from_str(&failed).unwrap();
    assert_eq!(
        (&failed[0]["exit"], &failed[0]["method"]),
        (&"exit 3".into(), &"exec.start".into())
    );
    let csv = ok(home.cmdr(&["audit", "-o", "csv", "--limit", "3"]));
    assert_eq!((csv.lines().count(), csv.starts_with("SEQ,TIME,WHO")), (4, true), "{csv}");
    assert!(ok(home.cmdr(&["audit", "verify"])).contains("whole"));

    let file = home.dir.path().join("audit.jsonl");
    ok(home.cmdr(&["audit", "export", file.to_str().unwrap()]));
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
    assert!(ok(verify()).contains("is whole"));
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
