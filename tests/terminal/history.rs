//! The history of figures with the real programs: it survives a kill of the hub, and is drawn.

use crate::local::text;
use harness::process::{HubProcess, Running, program, run, until};
use std::path::Path;
use std::process::{Command, Output};

fn cmdr(home: &Path, args: &[&str]) -> Output {
    run(Command::new(program("cmdr")).env("CMDR_HOME", home).args(args))
}

/// The points of the first line, as `cmdr chart -o json` writes them.
fn points(home: &Path) -> Vec<(u64, f64)> {
    let args = ["chart", "memory.used", "web1", "--span", "10m", "--step", "1s", "-o", "json"];
    let output = cmdr(home, &args);
    let lines: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    serde_json::from_value(lines[0]["points"].clone()).unwrap_or_default()
}

#[test]
fn figures_survive_a_kill_of_the_hub_and_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let config = dir.join("hub.toml");
    std::fs::write(&config, "[history]\nstep_s = 1\n").unwrap();
    let mut hub = HubProcess::unstarted(tempfile::tempdir().unwrap());
    hub.options = vec!["--config".into(), config.display().to_string()];
    hub.start_again();
    let home = dir.join("me");
    let login = cmdr(&home, &["login", &hub.token(Some("administrator"), 1)]);
    assert!(login.status.success(), "{}", text(&login.stderr));
    let mut join = Command::new(program("cmdr-agentd"));
    join.args(["join", &hub.token(None, 1), "--name", "web1", "--state"]).arg(dir.join("agent"));
    assert!(run(&mut join).status.success());
    let mut serve = Command::new(program("cmdr-agentd"));
    serve.args(["run", "--state"]).arg(dir.join("agent"));
    let _agent = Running::start(&mut serve, &dir.join("agent.log"));
    until("figures are kept", || points(&home).len() >= 4);
    let before = points(&home);
    hub.kill();
    hub.start_again();
    // The last second may be lost: nothing before it.
    let kept = &before[..before.len() - 2];
    until("figures go on", || points(&home).len() > before.len());
    let after = points(&home);
    assert!(kept.iter().all(|point| after.contains(point)), "{kept:?} in {after:?}");

    let drawn = cmdr(&home, &["chart", "memory.used", "--span", "1m"]);
    let words = text(&drawn.stdout);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    assert!(words.starts_with("memory.used: memory that programs cannot give back"), "{words}");
    assert!(words.contains("web1") && words.contains(" UTC"), "{words}");
    assert!(words.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{words}");
    let csv = text(&cmdr(&home, &["chart", "cpu.busy", "--over", "all", "-o", "csv"]).stdout);
    assert!(
        csv.lines().next() == Some("TIME,HOST,FIGURE,VALUE") && csv.lines().count() > 1,
        "{csv}"
    );
    let svg = text(&cmdr(&home, &["chart", "cpu.*", "--svg"]).stdout);
    assert!(svg.starts_with("<svg ") && svg.contains("web1 cpu.user"), "{svg}");
    let listed = text(&cmdr(&home, &["history", "ls", "web1"]).stdout);
    assert!(listed.contains("load.1"), "{listed}");
    let none = cmdr(&home, &["chart", "cpu.bsy"]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
    assert!(text(&none.stderr).contains("cpu.busy"), "{}", text(&none.stderr));
}
