//! The master key from each of its sources, a canary through the real programs, and a hub that is killed in
//! the middle of a rotation.

use harness::process::{HubProcess, pause, program, run};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CANARY: &str = "canary-51c09e-battery-staple";
const MASTER: &str = "master-0123456789abcdef0123456789abcdef";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Scene {
    hub: HubProcess,
    home: PathBuf,
}

impl Scene {
    /// A hub with this configuration and environment, and an administrator.
    fn start(settings: &str, environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (home, config) = (dir.path().join("home"), dir.path().join("hub.toml"));
        let settings = settings.replace("DIR", &dir.path().display().to_string());
        std::fs::write(&config, settings).unwrap();
        let key = dir.path().join("master");
        cmdr_link::files::write_private(&key, MASTER.as_bytes()).unwrap();
        let mut hub = HubProcess::unstarted(dir);
        hub.options = vec!["--config".to_owned(), config.display().to_string()];
        hub.environment = environment.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        hub.start_again();
        let scene = Self { hub, home };
        let token = scene.hub.token(Some("administrator"), 1);
        assert!(scene.cmdr(&["login", &token]).status.success());
        scene
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.arg("--home").arg(&self.home).args(arguments);
        command
    }

    fn cmdr(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }

    fn put(&self, name: &str, value: &str) -> Output {
        let mut command = self.command(&["secrets", "put", name]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn hub_command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("cmdr-hub"));
        run(command.args(&self.hub.options).arg("--data").arg(self.hub.data()).args(arguments))
    }
}

/// Files below `dir` in which the text stands.
fn holding(dir: &Path, wanted: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, wanted));
        } else if text(&std::fs::read(&path).unwrap()).contains(wanted) {
            found.push(path);
        }
    }
    found
}

#[test]
fn each_source_of_the_master_key_starts_a_hub_and_another_key_is_refused_with_words() {
    for (settings, wrong) in [
        ("[secrets]\nkey_file = \"DIR/master\"\n", ""),
        ("[secrets]\nkey_command = [\"/bin/cat\", \"DIR/master\"]\n", ""),
        ("[secrets]\nkey_env = \"CMDR_TEST_MASTER\"\n", "another-0123456789abcdef0123456789abcdef"),
    ] {
        let mut scene = Scene::start(settings, &[("CMDR_TEST_MASTER", MASTER)]);
        assert!(scene.put("a", CANARY).status.success());
        scene.hub.kill();
        scene.hub.start_again();
        assert!(!scene.hub.data().join("secrets.key").exists());
        assert!(text(&scene.hub_command(&["check"]).stdout).contains("0 damaged"));
        scene.hub.kill();
        let master = scene.hub.dir.path().join("master");
        cmdr_link::files::write_private(&master, b"another-0123456789abcdef0123456789abcdef")
            .unwrap();
        let mut command = Command::new(program("cmdr-hub"));
        command.args(&scene.hub.options).arg("--data").arg(scene.hub.data());
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("CMDR_TEST_MASTER", wrong);
        let output = run(&mut command);
        let words = text(&output.stderr);
        let lines: Vec<_> = words.lines().filter(|l| l.starts_with("cmdr-hub: ")).collect();
        assert!(!output.status.success() && lines.len() == 1, "{words}");
        assert!(
            lines[0].contains("is not the one") && lines[0].contains("put the right one"),
            "{words}"
        );
    }
}

#[test]
fn a_canary_and_the_master_key_are_in_no_file_no_environment_and_no_process_list() {
    let settings = "[secrets]\nkey_env = \"CMDR_TEST_MASTER\"\n";
    let mut scene = Scene::start(settings, &[("CMDR_TEST_MASTER", MASTER)]);
    std::fs::remove_file(scene.hub.dir.path().join("master")).unwrap();
    let told = [
        scene.put("registry", &format!("{CANARY}\n")),
        scene.cmdr(&["secrets", "ls", "-o", "json"]),
        scene.cmdr(&["secrets", "rotate"]),
        scene.cmdr(&["secrets", "put", "registry", CANARY]),
        scene.cmdr(&["secrets", "put", CANARY, "x"]),
        scene.cmdr(&["audit", "list", "-o", "json"]),
    ];
    assert!(text(&told[1].stdout).contains("registry"), "{}", text(&told[1].stderr));
    assert!(told[2].status.success());
    assert_eq!(told[3].status.code(), Some(2), "a value in the arguments");
    for output in &told[..4] {
        for said in [&output.stdout, &output.stderr] {
            assert!(!text(said).contains(CANARY), "{}", text(said));
        }
    }
    let pid = scene.hub.running.as_ref().unwrap().pid();
    for what in ["environ", "cmdline"] {
        let shown = text(&std::fs::read(format!("/proc/{pid}/{what}")).unwrap());
        assert!(!shown.contains(MASTER) && !shown.contains(CANARY), "{what}: {shown}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "no dump of its memory: {core}");
    for descriptor in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let path = descriptor.unwrap().path();
        let is_memory = std::fs::read_link(&path)
            .is_ok_and(|p| text(p.as_os_str().as_encoded_bytes()).contains("memfd"));
        assert!(
            !is_memory || std::fs::read(&path).unwrap().is_empty(),
            "what was handed over is emptied"
        );
    }
    scene.hub.kill();
    // The home, the store, the audit log, the hub's own log.
    for secret in [CANARY, MASTER] {
        assert_eq!(holding(scene.hub.dir.path(), secret), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_hub_that_is_killed_while_it_rotates_has_lost_nothing() {
    let mut scene = Scene::start("", &[]);
    for n in 0..20 {
        assert!(scene.put(&format!("s{n}"), CANARY).status.success());
    }
    for round in 0..6 {
        let mut rotating = scene.command(&["secrets", "rotate", "-q"]);
        let mut rotating = rotating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..round * 2 {
            pause();
        }
        scene.hub.kill();
        rotating.wait().unwrap();
        scene.hub.start_again();
        let checked = scene.hub_command(&["check"]);
        assert!(checked.status.success(), "round {round}: {}", text(&checked.stdout));
    }
    assert!(scene.cmdr(&["secrets", "rotate"]).status.success());
    let shown = text(&scene.cmdr(&["secrets", "ls", "-o", "name"]).stdout);
    assert_eq!(shown.lines().count(), 20);
}

#[test]
fn the_master_key_of_a_stopped_hub_is_changed_and_a_lost_one_given_up() {
    let mut scene = Scene::start("", &[]);
    assert!(scene.put("a", CANARY).status.success());
    let refused = scene.hub_command(&["secrets", "rewrap"]);
    assert!(text(&refused.stderr).contains("in use by another cmdr-hub"));
    scene.hub.kill();
    let own = scene.hub.data().join("secrets.key");
    let before = std::fs::read(&own).unwrap();
    let done = scene.hub_command(&["secrets", "rewrap"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_ne!(std::fs::read(&own).unwrap(), before);
    scene.hub.start_again();
    assert!(text(&scene.hub_command(&["check"]).stdout).contains(" 0 damaged"));
    scene.hub.kill();

    let master = scene.hub.dir.path().join("master");
    let done = scene.hub_command(&["secrets", "rewrap", "--key-file", master.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    std::fs::remove_file(&own).unwrap();
    let config = scene.hub.dir.path().join("hub.toml");
    std::fs::write(&config, format!("[secrets]\nkey_file = \"{}\"\n", master.display())).unwrap();
    scene.hub.start_again();
    assert!(text(&scene.hub_command(&["check"]).stdout).contains(" 0 damaged"));

    // A backup restored elsewhere says what is missing, and starts once it was given up.
    let (file, copy) =
        (scene.hub.dir.path().join("copy.backup"), scene.hub.dir.path().join("copy"));
    assert!(scene.hub_command(&["backup", file.to_str().unwrap()]).status.success());
    let key = scene.hub.data().join("hub.key");
    let elsewhere = |arguments: &[&str]| {
        run(Command::new(program("cmdr-hub")).arg("--data").arg(&copy).args(arguments))
    };
    let restored = elsewhere(&["restore", file.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    let words = text(&restored.stderr);
    assert!(restored.status.success() && words.contains("will not start yet"), "{words}");
    let refused = elsewhere(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(text(&refused.stderr).contains("if it is lost for good: cmdr-hub secrets forget"));
    assert!(!elsewhere(&["secrets", "forget"]).status.success());
    assert!(elsewhere(&["secrets", "forget", "--yes"]).status.success());
    assert!(elsewhere(&["check"]).status.success());
}
