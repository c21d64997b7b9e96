//! From end to end, against real parts: a program burns a host's processor, a rule holds, somebody gets a mail,
//! acknowledges it in the client, the program ends, and that is told too; the flight recorder knows who it was.

use crate::client_runs::agent;
use crate::local::text;
use cmdr_protocol::human;
use harness::mail::MailServer;
use harness::process::{HubProcess, Running, program, run, until};
use harness::tmux::Terminal;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Far more than the recorder takes to look often enough on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(2);
/// The program's name: as the kernel tells it, so that nothing else has it.
const BURNER: &str = "burner-of-cpu";

const RULE: &str = "rules:\n- name: burned\n  when: group.cpu{burner-of-*} > 10%\n  severity: critical\n  message: '{host} burns'\n";
/// A machine that does much else may break other rules: nobody is told of those.
const POLICIES: &str = "policies:\n- name: mine\n  match: rule=burned\n  to: [ops]\n  group_wait: 0s\n  group_interval: 0s\n- name: others\n  to: []\n";

struct Story {
    hub: HubProcess,
}

impl Story {
    fn begin() -> Self {
        let mut hub = HubProcess::unstarted(tempfile::tempdir().unwrap());
        let config = hub.dir.path().join("hub.toml");
        let settings = "[history]\nstep_s = 1\n[api.callbacks]\nnetworks = [\"127.0.0.0/8\"]\n";
        std::fs::write(&config, settings).unwrap();
        hub.options = vec!["--config".into(), config.display().to_string()];
        hub.start_again();
        let mut join = Command::new(program("cmdr-agentd"));
        join.args(["join", "--name", "web1", "--state"]).arg(hub.dir.path().join("web1"));
        let joined = run(join.arg(hub.token(None, 1)));
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        let story = Self { hub };
        let admin = story.hub.token(Some("administrator"), 1);
        story.says(&["login", &admin]);
        story
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

    fn save(&self, what: &[&str], content: &str) {
        let file = self.hub.dir.path().join("saved.yaml");
        std::fs::write(&file, content).unwrap();
        self.says(&[what, &[file.to_str().unwrap()]].concat());
    }

    fn client(&self) -> Terminal {
        let home = self.hub.dir.path().join("home").to_string_lossy().into_owned();
        let client = program("cmdr-tui").to_string_lossy().into_owned();
        let env = [("CMDR_HOME", home.as_str()), ("LANG", "C.UTF-8")];
        Terminal::start(self.hub.dir.path(), (120, 40), &env, &[&client, "--lang", "en"])
    }
}

/// Keeps a processor busy until it is dropped.
fn burn(dir: &Path) -> Running {
    let path = dir.join(BURNER);
    std::fs::copy("/bin/sh", &path).unwrap();
    let mut command = Command::new(path);
    Running::start(command.args(["-c", "while :; do :; done"]), &dir.join("burner.log"))
}

#[test]
fn burned_cpu_is_told_once_acknowledged_over_and_who_it_was_is_known() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut mails = runtime.block_on(MailServer::start());
    let place = mails.notifier("ops@example.com");
    let mut mail = || {
        let next = async { tokio::time::timeout(PATIENCE, mails.mail()).await };
        runtime.block_on(next).expect("a mail comes")
    };
    let story = Story::begin();
    let _agent = agent(&story.hub, "web1");
    story.save(&["notifiers", "save", "ops"], &place);
    story.save(&["alerts", "policies", "save"], POLICIES);
    story.save(&["rules", "save"], RULE);

    let burner = burn(story.hub.dir.path());
    let told = mail();
    assert!(told.contains("CRITICAL") && told.contains("web1 burns"), "{told}");
    let terminal = story.client();
    terminal.until(&["web1", "1 online"]);
    terminal.keys(&["&"]);
    terminal.until(&["burned", "web1 burns", "firing"]);
    terminal.keys(&["a"]);
    terminal.until(&["Acknowledge"]);
    terminal.keys(&["-l", "it is me"]);
    terminal.keys(&["Enter"]);
    until("it is acknowledged", || story.says(&["alerts", "-o", "json"]).contains("it is me"));
    terminal.until(&["✓ acknowledged", "root: it"]);

    drop(burner);
    let over = mail();
    assert!(over.contains("[RESOLVED]") && over.contains("web1 burns"), "{over}");
    let happened = story.says(&["alerts", "history", "-o", "json"]);
    let happened: serde_json::Value = serde_json::from_str(&happened).unwrap();
    let happened = happened.as_array().unwrap();
    let of_rule = happened.iter().filter(|h| h["rule"] == "burned");
    let states: Vec<_> = of_rule.clone().map(|h| h["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["firing", "acknowledged", "resolved"], "{happened:?}");
    let fired = of_rule.clone().next().unwrap();
    // It is known who it was: with the alert, and by the recorder at that moment.
    let shown = story.says(&["alerts", "show", fired["id"].as_str().unwrap()]);
    assert!(shown.contains(BURNER), "{shown}");
    let at = human::moment(fired["at_ms"].as_u64().unwrap());
    let recorded = story.says(&["recorder", "web1", "--at", &at]);
    assert!(recorded.contains(BURNER), "{recorded}");
    terminal.keys(&["C-c"]);
    terminal.ended();
}
