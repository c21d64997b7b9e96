//! A host's key is replaced while its agent or its hub is killed, again and again: it always comes back.

use harness::process::{HubProcess, Running, pause, program, run};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Scene {
    pub(crate) hub: HubProcess,
    pub(crate) agent: Option<Running>,
    pub(crate) home: PathBuf,
    pub(crate) state: PathBuf,
}

impl Scene {
    pub(crate) fn start() -> Self {
        let hub = HubProcess::start();
        let (home, state) = (hub.dir.path().join("home"), hub.dir.path().join("agent"));
        let mut scene = Self { hub, agent: None, home, state };
        let token = scene.hub.token(Some("administrator"), 1);
        assert!(run(&mut scene.cmdr(&["login", &token])).status.success());
        let token = scene.hub.token(None, 1);
        let mut join = Command::new(program("cmdr-agentd"));
        let joined =
            run(join.args(["join", &token, "--name", "web1", "--state"]).arg(&scene.state));
        assert!(joined.status.success());
        scene.start_agent();
        scene.until_online();
        scene
    }

    pub(crate) fn start_agent(&mut self) {
        let mut command = Command::new(program("cmdr-agentd"));
        command.args(["run", "--state"]).arg(&self.state);
        self.agent = Some(Running::start(&mut command, &self.hub.dir.path().join("agent.log")));
    }

    pub(crate) fn cmdr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.arg("--home").arg(&self.home).args(arguments);
        command
    }

    pub(crate) fn done(&self, arguments: &[&str]) -> Output {
        run(&mut self.cmdr(arguments))
    }

    pub(crate) fn until_online(&self) {
        let begin = Instant::now();
        while !self.done(&["ping", "web1", "-q"]).status.success() {
            let log = std::fs::read_to_string(self.hub.dir.path().join("agent.log"));
            assert!(begin.elapsed() < Duration::from_secs(40), "{}", log.unwrap_or_default());
            pause();
        }
    }

    fn id(&self) -> String {
        let shown = self.done(&["hosts", "-o", "json"]).stdout;
        let hosts: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(hosts.as_array().unwrap().len(), 1, "{hosts}");
        hosts[0]["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_host_comes_back_whoever_is_killed_while_its_key_is_replaced() {
    let mut scene = Scene::start();
    let id = scene.id();
    for round in 0..8 {
        let mut rotating = scene.cmdr(&["hosts", "rotate-key", "web1", "--yes", "-q"]);
        let mut rotating = rotating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..(round / 2) * 3 {
            pause();
        }
        if round % 2 == 0 {
            scene.agent.take().unwrap().kill();
            scene.start_agent();
        } else {
            scene.hub.kill();
            scene.hub.start_again();
        }
        rotating.wait().unwrap();
        scene.until_online();
        assert_eq!(scene.id(), id, "round {round}");
    }
    let before = std::fs::read(scene.state.join("key")).unwrap();
    let done = scene.done(&["hosts", "rotate-key", "web1", "--yes"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_ne!(std::fs::read(scene.state.join("key")).unwrap(), before);
    assert_eq!(scene.id(), id);
    // The local check tells the host's own id, not the new key's.
    let mut check = Command::new(program("cmdr-agentd"));
    let told = run(check.args(["check", "--state"]).arg(&scene.state));
    assert!(String::from_utf8_lossy(&told.stdout).contains(&id));
}
