//! An agent that is killed, as a power cut or the kernel would, leaves nothing running that it had
//! started for somebody.

use crate::local::Home;
use harness::process::{Running, pause, program};
use std::process::Command;
use std::time::{Duration, Instant};

fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn what_an_agent_runs_ends_with_it_however_it_ends() {
    let home = Home::up();
    let script = "setsid sh -c 'echo $$; exec sleep 600' & echo $$; exec sleep 600";
    let mut order = Running::start(
        Command::new(program("cmdr"))
            .args(["exec", "*", "--", "sh", "-c", script])
            .env("CMDR_HOME", home.dir.path()),
        &home.dir.path().join("order.log"),
    );
    let begin = Instant::now();
    let mut pids = Vec::new();
    while pids.len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", order.text());
        pids = order.text().lines().map(str::to_owned).collect();
        pause();
    }
    assert!(pids.iter().all(|pid| runs(pid)), "{pids:?}");
    let mark = std::fs::read(home.dir.path().join("run/agent.pid")).unwrap();
    let mark: serde_json::Value = serde_json::from_slice(&mark).unwrap();
    let agent = i32::try_from(mark["pid"].as_i64().unwrap()).unwrap();
    let agent = rustix::process::Pid::from_raw(agent).unwrap();
    rustix::process::kill_process(agent, rustix::process::Signal::KILL).unwrap();
    while pids.iter().any(|pid| runs(pid)) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{pids:?} outlive the agent");
        pause();
    }
    while order.ended().is_none() {
        pause();
    }
    assert_eq!(order.ended().and_then(|status| status.code()), Some(4), "{}", order.text());
}
