//! Alerts in the full-screen client, on a real terminal: what a rule finds on two real agents is counted, seen and
//! acknowledged with why; the rule is tried on what was and switched off, which ends its alerts.

use crate::client_runs::Story;
use harness::process::{run, until};
use std::fs;

#[test]
fn what_a_rule_finds_is_seen_and_acknowledged_and_over_when_the_rule_is_off() {
    let story = Story::begin();
    let file = story.hub.dir.path().join("rule.yaml");
    let rule = "rules:\n- name: memory-any\n  when: memory.used > 1MiB\n  for: 1s\n  severity: critical\n  message: '{host}: memory is used'\n";
    fs::write(&file, rule).unwrap();
    let terminal = story.client((120, 40));
    terminal.until(&["web1", "web2", "2 online"]);
    let mut save = story.cmdr(&["rules", "save"]);
    let saved = run(save.arg(&file));
    assert!(saved.status.success(), "{saved:?}");
    // Wherever one is.
    terminal.until(&["▲ 2"]);
    terminal.keys(&["&"]);
    terminal.until(&["web1: memory is used", "web2: memory is used", "● firing"]);
    terminal.keys(&["/", "memory-any", "Enter", "g", "a"]);
    terminal.until(&["Acknowledge web"]);
    terminal.keys(&["looking into it", "Enter"]);
    terminal.until(&["✓ acknowledged", "root: loo", "▲ 1"]);
    let list = run(&mut story.cmdr(&["-o", "json", "alerts"]));
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("looking into it"), "{list}");
    terminal.keys(&["g", "Enter"]);
    terminal.until(&["What happened", "memory-any"]);
    terminal.keys(&["Escape"]);
    until("the detail is gone", || !terminal.screen().contains("What happened"));
    terminal.keys(&["4"]);
    terminal.until(&["memory-any", "own"]);
    terminal.keys(&["/", "memory-any", "Enter", "p"]);
    terminal.until(&["Switch the rule memory-any off?"]);
    terminal.keys(&["y"]);
    terminal.until(&["○ off"]);
    terminal.keys(&["1"]);
    until("its alerts are over", || !terminal.screen().contains("memory is used"));
    terminal.keys(&["C-c"]);
    terminal.ended();
}
