//! Runs in the full-screen client, on a real terminal: an order is written over two real agents, planned,
//! begun, looked at live, read, and found again in the history.

use crate::local::text;
use harness::process::{HubProcess, Running, program, run, until};
use harness::tmux::Terminal;
use std::process::Command;

/// Starts the agent of a host that has joined.
pub(crate) fn agent(hub: &HubProcess, name: &str) -> Running {
    let mut serve = Command::new(program("cmdr-agentd"));
    serve.args(["run", "--state"]).arg(hub.dir.path().join(name));
    Running::start(&mut serve, &hub.dir.path().join(format!("{name}.log")))
}

/// A hub with two real agents, and an administrator.
pub(crate) struct Story {
    pub(crate) hub: HubProcess,
    pub(crate) agents: Vec<Running>,
}

impl Story {
    pub(crate) fn begin() -> Self {
        let hub = HubProcess::start();
        let token = hub.token(None, 2);
        let agents = ["web1", "web2"].map(|name| {
            let state = hub.dir.path().join(name);
            let mut join = Command::new(program("cmdr-agentd"));
            join.args(["join", "--name", name, "--state"]).arg(&state).arg(&token);
            let joined = run(&mut join);
            assert!(joined.status.success(), "{}", text(&joined.stderr));
            agent(&hub, name)
        });
        let story = Self { agents: agents.into(), hub };
        let admin = story.hub.token(Some("administrator"), 1);
        let mut login = story.cmdr(&["login", &admin]);
        assert!(run(&mut login).status.success());
        story
    }

    pub(crate) fn cmdr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.args(arguments).env("CMDR_HOME", self.hub.dir.path().join("home"));
        command
    }

    pub(crate) fn client(&self, size: (u16, u16)) -> Terminal {
        let home = self.hub.dir.path().join("home").to_string_lossy().into_owned();
        let config = self.hub.dir.path().join("config").to_string_lossy().into_owned();
        let client = program("cmdr-tui").to_string_lossy().into_owned();
        let env = [
            ("CMDR_HOME", home.as_str()),
            ("XDG_CONFIG_HOME", config.as_str()),
            ("LANG", "C.UTF-8"),
        ];
        Terminal::start(self.hub.dir.path(), size, &env, &[&client, "--lang", "en"])
    }
}

#[test]
fn an_order_is_composed_over_two_agents_and_what_they_printed_is_read() {
    let story = Story::begin();
    let terminal = story.client((120, 40));
    terminal.until(&["web1", "web2", "2 online"]);
    // Both are marked, and composed over.
    terminal.keys(&["*", "e"]);
    terminal.until(&["web1,web2", "How it goes"]);
    // What it prints could clear the screen.
    terminal.keys(&["-l", "echo begun; sleep 1; printf '\\033[2Jbad\\n' >&2; exit 3"]);
    terminal.until(&["2 hosts", "● web1", "● web2"]);
    terminal.keys(&["F5"]);
    terminal.until(&["What goes where", "● web2"]);
    terminal.keys(&["Escape"]);
    // Gone before the next key: the two together would be another one.
    until("the plan is gone", || !terminal.screen().contains("What goes where"));
    terminal.keys(&["C-s"]);
    terminal.until(&["on 2 hosts", "y goes on"]);
    terminal.keys(&["y"]);
    // Both end alike: one group.
    terminal.until(&["done", "failed 2", "✗ failed 3", "bad"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["those of the group 2", "web1", "web2"]);
    terminal.keys(&["Enter"]);
    // Not only beside the list, where it stands already.
    let screen = terminal.until(&["╭ web1", "begun", "bad", "do not wrap"]);
    assert!(screen.contains("␛"), "{screen}");
    terminal.keys(&["Escape"]);
    until("the output is gone", || !terminal.screen().contains("do not wrap"));
    // Tried again from here, and in the history afterwards.
    terminal.keys(&["R"]);
    terminal.until(&["Type 2"]);
    terminal.keys(&["2", "Enter"]);
    terminal.until(&["Trying again on 2 hosts"]);
    terminal.keys(&["J"]);
    terminal.until(&["BEGUN", "echo begun"]);
    let mut list = story.cmdr(&["-o", "json", "run", "ls"]);
    let runs: serde_json::Value = serde_json::from_slice(&run(&mut list).stdout).unwrap();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs}");
    terminal.keys(&["C-c"]);
    terminal.ended();
}
