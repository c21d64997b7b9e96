//! While the hub is away a host's agent looks at its rules itself; what it saw is told, once, when the hub is back.

use crate::local::text;
use harness::process::{HubProcess, Running, program, run, until, until_within};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

struct Story {
    hub: HubProcess,
    /// Of the agent.
    state: PathBuf,
    policy: PathBuf,
}

impl Story {
    /// A hub with an agent that has joined, and an administrator; the owner's program writes to the file `told`.
    fn begin() -> Self {
        let mut hub = HubProcess::unstarted(tempfile::tempdir().unwrap());
        let config = hub.dir.path().join("hub.toml");
        // A point of the history for each second: each sample of the agent is seen.
        std::fs::write(&config, "[history]\nstep_s = 1\n").unwrap();
        hub.options = vec!["--config".into(), config.display().to_string()];
        hub.start_again();
        let dir = hub.dir.path();
        let (state, policy) = (dir.join("web1"), dir.join("agent.toml"));
        let page = dir.join("page");
        std::fs::write(&page, "#!/bin/sh\ncat >> \"$1\"\n").unwrap();
        std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = [page, dir.join("told")].map(|path| path.display().to_string());
        std::fs::write(&policy, format!("[alerts]\nprogram = {program:?}\n")).unwrap();
        std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut join = Command::new(self::program("cmdr-agentd"));
        join.args(["join", "--name", "web1", "--state"]).arg(&state).arg(hub.token(None, 1));
        let joined = run(&mut join);
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        let story = Self { hub, state, policy };
        let admin = story.hub.token(Some("administrator"), 1);
        assert!(run(&mut story.cmdr(&["login", &admin])).status.success());
        story
    }

    fn agent(&self) -> Running {
        let mut serve = Command::new(program("cmdr-agentd"));
        serve.args(["run", "--state"]).arg(&self.state).arg("--policy").arg(&self.policy);
        Running::start(&mut serve, &self.hub.dir.path().join("web1.log"))
    }

    fn cmdr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.args(arguments).env("CMDR_HOME", self.hub.dir.path().join("home"));
        command
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.cmdr(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What the agent keeps.
    fn kept(&self) -> String {
        std::fs::read_to_string(self.state.join("alerts.json")).unwrap_or_default()
    }
}

fn uptime_s() -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/uptime")).unwrap();
    text.split('.').next().unwrap().parse().unwrap()
}

#[test]
fn what_an_agent_sees_while_the_hub_is_away_is_told_once_and_counts_when_the_hub_is_back() {
    let mut story = Story::begin();
    let agent = story.agent();
    until("the host is there", || {
        run(&mut story.cmdr(&["hosts", "-o", "json"])).stdout.windows(6).any(|w| w == b"online")
    });
    // It holds from a moment on that comes while the hub is away.
    let rule = format!(
        "rules:\n- name: old\n  when: uptime > {}s\n  for: 5s\n  message: '{{host}} is old'\n  also_on_agent: true\n",
        uptime_s() + 12
    );
    let file = story.hub.dir.path().join("rule.yaml");
    std::fs::write(&file, rule).unwrap();
    story.says(&["rules", "save", file.to_str().unwrap()]);
    until("the agent has the rule", || story.kept().contains("name: old"));
    story.hub.kill();
    let away_ms = cmdr_link::clock::now_ms();
    let saw = || story.kept().contains("web1 is old");
    assert!(until_within(Duration::from_mins(1), saw), "{}", story.kept());
    let told = story.hub.dir.path().join("told");
    until("the owner's program has been told", || {
        std::fs::read_to_string(&told).unwrap_or_default().contains("web1 is old")
    });
    until("it waits for the hub", || story.kept().contains("\"message\":\"web1 is old\",\"value"));
    // The agent falls too. Nothing of it is told again.
    until("a sample is on its disk", || story.state.join("samples/new").exists());
    let fell_ms = cmdr_link::clock::now_ms();
    agent.kill();
    let _agent = story.agent();
    story.hub.start_again();
    let history = || story.says(&["alerts", "history", "-o", "json"]);
    until("what the agent saw is in the hub's history, and it fires there", || {
        let history = history();
        history.contains("saw it while the hub was away")
            && story.says(&["alerts", "-o", "json"]).contains("web1 is old")
    });
    until("the agent has forgotten it", || {
        !story.kept().contains("\"message\":\"web1 is old\",\"value")
    });
    assert_eq!(history().matches("saw it while the hub was away").count(), 1, "{}", history());
    let alerts: serde_json::Value =
        serde_json::from_str(&story.says(&["alerts", "-o", "json"])).unwrap();
    let shown = alerts.to_string();
    let alert = alerts.as_array().and_then(|all| all.iter().find(|a| a["rule"] == "old"));
    let alert = alert.unwrap_or_else(|| panic!("{shown}"));
    let ms = |field: &str| alert[field].as_u64().unwrap();
    assert!(ms("fired_ms") - ms("pending_ms") < 4000, "it had held for long enough: {shown}");
    // What was measured before the agent fell is no gap.
    let chart = || story.says(&["chart", "cpu.busy", "web1", "--span", "5m", "-o", "ndjson"]);
    let measured = || {
        let chart = chart();
        let numbers = chart.split(|c: char| !c.is_ascii_digit());
        numbers.filter_map(|n| n.parse().ok()).any(|at: u64| at > away_ms && at < fell_ms)
    };
    assert!(until_within(Duration::from_secs(20), measured), "{away_ms} {fell_ms}: {}", chart());
    let told = std::fs::read_to_string(&told).unwrap();
    assert_eq!(told.matches("web1 is old").count(), 1, "{told}");
    assert!(story.hub.command(&["check"]).contains(" 0 damaged"));
}
