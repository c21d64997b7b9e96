//! Logs with the real programs: two hosts tailed with a filter, by `cmdr logs` and in the client; and
//! what reads a journal ends with its agent.

use harness::process::{HubProcess, Running, program, run, until};
use harness::tmux::Terminal;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A hub, an operator and hosts whose owners let some folder of theirs be read.
struct Scene {
    hub: HubProcess,
    dir: tempfile::TempDir,
    agents: Vec<Running>,
}

impl Scene {
    fn new(hosts: &[&str], more: &str) -> Self {
        let (hub, dir) = (HubProcess::start(), tempfile::tempdir().unwrap());
        let mut scene = Self { hub, dir, agents: Vec::new() };
        let token = scene.hub.token(Some("operator"), 1);
        assert!(scene.cmdr(&["login", &token]).status.success());
        for name in hosts {
            let (state, logs) = (scene.path(name), scene.logs(name));
            std::fs::create_dir_all(&logs).unwrap();
            let policy = scene.path(&format!("{name}.toml"));
            let words = format!("[logs]\npaths = [\"{}/\"]\n{more}", logs.display());
            std::fs::write(&policy, words).unwrap();
            let mut join = Command::new(program("cmdr-agentd"));
            join.args(["join", &scene.hub.token(None, 1), "--name", name, "--state"]).arg(&state);
            assert!(run(&mut join).status.success());
            let mut serve = Command::new(program("cmdr-agentd"));
            serve.args(["run", "--policy"]).arg(&policy).arg("--state").arg(&state);
            let log = scene.path(&format!("{name}.out"));
            scene.agents.push(Running::start(&mut serve, &log));
        }
        until("all agents are online", || {
            let listed = text(&scene.cmdr(&["hosts", "-o", "json"]).stdout);
            listed.matches("\"online\"").count() == hosts.len()
        });
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn logs(&self, host: &str) -> PathBuf {
        self.path(&format!("{host}-logs"))
    }

    fn write(&self, host: &str, line: &str) {
        let path = self.logs(host).join("app.log");
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.env("CMDR_HOME", self.path("me")).args(args);
        command
    }

    fn cmdr(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }
}

#[test]
fn two_hosts_logs_are_tailed_with_a_filter_by_the_command_and_in_the_client() {
    let scene = Scene::new(&["web1", "web2"], "");
    scene.write("web1", "2026-11-20T10:00:00Z ERROR one");
    scene.write("web2", "2026-11-20T10:00:01Z ERROR two");
    scene.write("web1", "2026-11-20T10:00:02Z INFO quiet");
    scene.write("web2", "2026-11-20T10:00:03Z \u{1b}[31mERROR\u{1b}[0m \u{1b}]0;owned\u{7}three");
    let one = format!("web1:{}/app.log", scene.logs("web1").display());
    let two = format!("web2:{}/*.log", scene.logs("web2").display());

    // Once: in the order of the times, bytes as they are.
    let output = scene.cmdr(&["logs", &one, &two, "-i", "ERROR"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let wanted = "web1 | 2026-11-20T10:00:00Z ERROR one\n\
                  web2 | 2026-11-20T10:00:01Z ERROR two\n\
                  web2 | 2026-11-20T10:00:03Z \u{1b}[31mERROR\u{1b}[0m \u{1b}]0;owned\u{7}three\n";
    assert_eq!(text(&output.stdout), wanted);
    let output = scene.cmdr(&["logs", &one, "-o", "json", "-n", "1"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&rows[0]["level"], &rows[0]["time"]),
        (&"info".into(), &"2026-11-20T10:00:02.000Z".into())
    );
    let output = scene.cmdr(&["logs", "web1:/etc/shadow"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let output = scene.cmdr(&["logs", "web*", "--sources", "-o", "name"]);
    assert_eq!(text(&output.stdout).matches("app.log").count(), 2);

    // Followed, and ended by Ctrl-C.
    let (log, words) = (scene.path("follow.log"), scene.path("follow.err"));
    let mut follow = scene.command(&["logs", "-f", &one, &two, "-i", "ERROR", "-n", "0"]);
    let mut follow = follow
        .stdout(std::fs::File::create(&log).unwrap())
        .stderr(std::fs::File::create(&words).unwrap())
        .spawn()
        .unwrap();
    until("both hosts' new lines are there", || {
        scene.write("web1", "ERROR live one");
        scene.write("web2", "INFO live");
        scene.write("web2", "ERROR live two");
        let text = std::fs::read_to_string(&log).unwrap();
        text.contains("web1 | ERROR live one") && text.contains("web2 | ERROR live two")
    });
    assert!(!std::fs::read_to_string(&log).unwrap().contains("INFO"));
    let pid = rustix::process::Pid::from_child(&follow);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = follow.wait().unwrap();
    assert!(ended.success(), "{ended}: {}", std::fs::read_to_string(&words).unwrap());

    // In the client: both hosts are marked, one source picked, then sifted.
    let home = scene.path("me").to_string_lossy().into_owned();
    let config = scene.path("config").to_string_lossy().into_owned();
    let client = program("cmdr-tui").to_string_lossy().into_owned();
    let env =
        [("CMDR_HOME", home.as_str()), ("XDG_CONFIG_HOME", config.as_str()), ("LANG", "C.UTF-8")];
    let terminal = Terminal::start(scene.dir.path(), (120, 40), &env, &[&client, "--lang", "en"]);
    terminal.until(&["web1", "web2", "online"]);
    terminal.keys(&["*", "l"]);
    // Of both hosts: what is marked is what has come.
    terminal.until(&["what to read on", "web1-logs", "web2-logs"]);
    terminal.keys(&["*", "Enter"]);
    terminal.until(&["following", "INFO live", "ERROR live"]);
    terminal.keys(&["/"]);
    terminal.until(&["Only lines that match"]);
    terminal.line("ERROR (one|two)");
    // A picture that is taken while the screen is drawn has lines of before.
    until("only what fits is on the screen", || {
        let screen = terminal.screen();
        let fits = ["only ERROR", "ERROR one", "ERROR two"].iter().all(|one| screen.contains(one));
        fits && !screen.contains("owned") && !screen.contains("INFO")
    });
    until("what is written now is shown", || {
        scene.write("web2", "ERROR one now");
        terminal.screen().contains("ERROR one now")
    });
}

fn reading(journal: &Path) -> bool {
    let wanted = journal.to_string_lossy().into_owned();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = text(&words);
        words.contains("journalctl") && words.contains(&wanted)
    })
}

#[test]
fn what_reads_a_journal_ends_with_the_feed_and_with_an_agent_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let entry = "__CURSOR=s=1;i=1\n__REALTIME_TIMESTAMP=1795183320000000\n\
                 __MONOTONIC_TIMESTAMP=1\n_BOOT_ID=11111111111111111111111111111111\n\
                 _TRANSPORT=stdout\n_SYSTEMD_UNIT=a.service\nPRIORITY=6\nMESSAGE=a starts\n\n";
    let mut remote = Command::new("/lib/systemd/systemd-journal-remote")
        .arg(format!("--output={}", dir.path().join("test.journal").display()))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote; scripts/install-tools installs it");
    remote.stdin.take().unwrap().write_all(entry.as_bytes()).unwrap();
    assert!(remote.wait().unwrap().success());
    let more = format!("journal = \"{}\"\n", dir.path().display());
    let mut scene = Scene::new(&["web1"], &more);
    let follow = |scene: &Scene, name: &str| {
        let mut command = scene.command(&["logs", "-f", "web1:a"]);
        Running::start(&mut command, &scene.path(name))
    };
    let first = follow(&scene, "first.log");
    until("the journal is read", || first.text().contains("a starts") && reading(dir.path()));
    first.kill();
    until("nothing reads it for nobody", || !reading(dir.path()));
    let second = follow(&scene, "second.log");
    until("the journal is read again", || reading(dir.path()));
    scene.agents.remove(0).kill();
    until("nothing reads it without its agent", || !reading(dir.path()));
    until("the loss is told", || second.text().contains("taken up again"));
    second.kill();
}
