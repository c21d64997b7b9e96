//! A home whose key is sealed: by a passphrase that is typed at a terminal, and by a real ssh-agent.

use harness::process::{HubProcess, Running, pause, program, run};
use harness::tmux::Terminal;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PASSPHRASE: &str = "open sesame";

/// The real `cmdr` without any terminal, with these variables.
fn cmdr(home: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(program("cmdr")).args(arguments).env("CMDR_HOME", home);
    command.env_remove("SSH_AUTH_SOCK").env_remove("CMDR_PASSPHRASE_COMMAND");
    run(command.envs(env.iter().copied()))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn check_done(output: &Output) -> String {
    assert!(output.status.success(), "{}", words(output));
    words(output)
}

fn shell(dir: &Path, home: &Path) -> Terminal {
    let (home, config) =
        (home.to_string_lossy(), dir.join("config").to_string_lossy().into_owned());
    let env = [
        ("CMDR_HOME", home.as_ref()),
        ("XDG_CONFIG_HOME", config.as_str()),
        ("LANG", "C.UTF-8"),
        ("PS1", "shell> "),
    ];
    let terminal = Terminal::start(dir, (120, 40), &env, &["bash", "--norc", "--noprofile", "-i"]);
    terminal.until(&["shell>"]);
    terminal
}

/// An empty screen, so that nothing older is taken for an answer.
fn fresh(terminal: &Terminal, number: u32) {
    terminal.line(&format!("clear; echo fresh $(({number}*1000))"));
    terminal.until(&[&format!("fresh {number}000")]);
}

/// Waits until a question stands there so many times.
fn until_asked(terminal: &Terminal, question: &str, times: usize) {
    let begin = Instant::now();
    while terminal.screen().matches(question).count() < times {
        assert!(begin.elapsed() < Duration::from_secs(30), "{}", terminal.screen());
        pause();
    }
}

#[test]
fn a_passphrase_is_typed_unseen_and_without_it_nothing_opens() {
    let hub = HubProcess::start();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let terminal = shell(dir.path(), &home);
    let cmdr_path = program("cmdr").display().to_string();
    let token = hub.token(Some("administrator"), 1);
    terminal.line(&format!("{cmdr_path} login --seal passphrase {token}"));
    terminal.until(&["new passphrase:"]);
    terminal.line(PASSPHRASE);
    terminal.until(&["once more:"]);
    terminal.line(PASSPHRASE);
    let screen = terminal.until(&["logged in to"]);
    assert!(!screen.contains(PASSPHRASE), "{screen}");
    let file = std::fs::read_to_string(home.join("client/key")).unwrap();
    assert!(file.contains("passphrase") && !file.contains(PASSPHRASE), "{file}");

    // A wrong one is said to be, and asked for again.
    fresh(&terminal, 1);
    terminal.line(&format!("{cmdr_path} whoami"));
    terminal.until(&["passphrase of"]);
    terminal.line("open barley");
    terminal.until(&["wrong; passphrase of"]);
    terminal.line(PASSPHRASE);
    terminal.until(&["administrator"]);
    fresh(&terminal, 2);
    terminal.line(&format!("{cmdr_path} whoami"));
    for times in 1..=3 {
        until_asked(&terminal, "passphrase of", times);
        terminal.line("open barley");
    }
    terminal.until(&["the passphrase is wrong"]);

    // Ctrl-C leaves the terminal as it was.
    fresh(&terminal, 3);
    terminal.line(&format!("{cmdr_path} whoami"));
    terminal.until(&["passphrase of"]);
    terminal.keys(&["C-c"]);
    terminal.until(&["no passphrase was given"]);
    terminal.line("clear; echo seen $((40+2))");
    terminal.until(&["seen 42"]);

    // The screen comes up once the key is open.
    let tui = program("cmdr-tui").display().to_string();
    fresh(&terminal, 4);
    terminal.line(&tui);
    terminal.until(&["passphrase of"]);
    assert!(terminal.modes().starts_with("alternate 0"));
    terminal.line(PASSPHRASE);
    let begin = Instant::now();
    while !terminal.modes().starts_with("alternate 1") {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", terminal.screen());
        pause();
    }
    terminal.keys(&["q"]);
    terminal.until(&["shell>"]);

    // Without a terminal it says what to do; a program may know the passphrase.
    let asked = cmdr(&home, &[], &["whoami"]);
    assert_eq!(asked.status.code(), Some(1), "{}", words(&asked));
    assert!(words(&asked).contains("no terminal to ask on"), "{}", words(&asked));
    let kept = dir.path().join("kept");
    cmdr_link::files::write_private(&kept, format!("{PASSPHRASE}\n").as_bytes()).unwrap();
    let command = format!("cat {}", kept.display());
    let by_program = [("CMDR_PASSPHRASE_COMMAND", command.as_str())];
    assert!(check_done(&cmdr(&home, &by_program, &["whoami"])).contains("administrator"));
    assert!(check_done(&cmdr(&home, &[], &["device-key", "show"])).contains("a passphrase"));

    // The seal is changed, and taken off.
    check_done(&cmdr(&home, &by_program, &["device-key", "unseal"]));
    assert!(check_done(&cmdr(&home, &[], &["whoami"])).contains("administrator"));
    fresh(&terminal, 5);
    terminal.line(&format!("{cmdr_path} device-key seal"));
    terminal.until(&["new passphrase:"]);
    terminal.line("one");
    terminal.until(&["once more:"]);
    terminal.line("two");
    terminal.until(&["not the same"]);
    assert!(check_done(&cmdr(&home, &[], &["whoami"])).contains("administrator"));
}

#[test]
fn a_home_sealed_by_ssh_agent_opens_while_the_agent_holds_the_key() {
    let hub = HubProcess::start();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let socket = dir.path().join("agent");
    let mut start = Command::new("ssh-agent");
    let _agent = Running::start(start.args(["-D", "-a"]).arg(&socket), &dir.path().join("log"));
    let begin = Instant::now();
    while !socket.exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "ssh-agent is not up");
        pause();
    }
    let file = dir.path().join("id");
    let mut keygen = Command::new("ssh-keygen");
    check_done(&run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file)));
    let ssh_add = |arguments: &[&str]| {
        let mut add = Command::new("ssh-add");
        check_done(&run(add.args(arguments).arg(&file).env("SSH_AUTH_SOCK", &socket)));
    };
    ssh_add(&[]);
    let agent = [("SSH_AUTH_SOCK", socket.to_str().unwrap())];
    let token = hub.token(Some("operator"), 1);
    check_done(&cmdr(&home, &agent, &["login", "--seal", "ssh-agent", &token]));
    assert!(check_done(&cmdr(&home, &agent, &["whoami"])).contains("operator"));
    assert!(check_done(&cmdr(&home, &[], &["device-key", "show"])).contains("ssh-agent, SHA256:"));
    let without = words(&cmdr(&home, &[], &["whoami"]));
    assert!(without.contains("SSH_AUTH_SOCK is not set"), "{without}");
    ssh_add(&["-d"]);
    let without = words(&cmdr(&home, &agent, &["whoami"]));
    assert!(without.contains("does not hold the key SHA256:"), "{without}");
    ssh_add(&[]);
    check_done(&cmdr(&home, &agent, &["device-key", "unseal"]));
    assert!(check_done(&cmdr(&home, &[], &["whoami"])).contains("operator"));
}
