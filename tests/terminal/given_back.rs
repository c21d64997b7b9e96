//! The terminal is given back as it was: to a shell that the client is suspended in, after it was
//! stopped by someone else, and when it falls.

use crate::local::Home;
use harness::process::{pause, program};
use harness::tmux::Terminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a shell leaves a terminal set to.
const SHELL: &str = "alternate 0 cursor 1 mouse 0";
/// What the client sets it to.
const CLIENT: &str = "alternate 1 cursor 0 mouse 1";

/// A shell with job control on a terminal of its own.
fn shell(dir: &Path) -> Terminal {
    let home = dir.to_string_lossy().into_owned();
    let config = dir.join("config").to_string_lossy().into_owned();
    let env = [
        ("CMDR_HOME", home.as_str()),
        ("XDG_CONFIG_HOME", config.as_str()),
        ("LANG", "C.UTF-8"),
        ("PS1", "shell> "),
    ];
    let argv = ["bash", "--norc", "--noprofile", "-i"];
    let terminal = Terminal::start(dir, (100, 30), &env, &argv);
    terminal.until(&["shell>"]);
    terminal
}

fn until_set(terminal: &Terminal, wanted: &str) {
    let begin = Instant::now();
    while terminal.modes() != wanted {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "the terminal stays at {}, not {wanted}:\n{}",
            terminal.modes(),
            terminal.screen()
        );
        pause();
    }
}

/// A shell echoes what is typed and takes lines.
fn check_is_a_shells(terminal: &Terminal) {
    until_set(terminal, SHELL);
    terminal.line(
        "stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(icanon|echo|isig|opost)' | xargs echo set:",
    );
    let screen = terminal.until(&["set: "]);
    let found = screen.lines().find(|line| line.starts_with("set: ")).unwrap_or_default();
    let set: Vec<_> = found.split(' ').skip(1).collect();
    assert!(set.len() == 4 && !set.iter().any(|flag| flag.starts_with('-')), "{screen}");
}

#[test]
fn suspended_it_leaves_the_shell_alone_and_comes_back_whole() {
    let home = Home::up();
    let name = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let terminal = shell(home.dir.path());
    terminal.line(&format!("{} --lang en", program("cmdr-tui").display()));
    terminal.until(&[&name, "online", "filter"]);
    for _ in 0..2 {
        terminal.keys(&["C-z"]);
        terminal.until(&["Stopped"]);
        check_is_a_shells(&terminal);
        terminal.line("clear; fg");
        terminal.until(&[&name, "online", "filter"]);
        until_set(&terminal, CLIENT);
    }
    terminal.keys(&["?"]);
    terminal.until(&["Keys"]);
    terminal.keys(&["q", "q"]);
    check_is_a_shells(&terminal);
}

#[test]
fn stopped_by_someone_else_it_draws_itself_anew_when_it_goes_on() {
    let home = Home::up();
    let name = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let terminal = shell(home.dir.path());
    let client = program("cmdr-tui");
    let start = format!("echo $$ >$CMDR_HOME/pid; exec {} --lang en", client.display());
    terminal.line(&format!("sh -c '{start}'"));
    terminal.until(&[&name, "online", "filter"]);
    let pid = std::fs::read_to_string(home.dir.path().join("pid")).unwrap();
    let pid: i32 = pid.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    terminal.until(&["Stopped"]);
    // The shell now writes over what the client drew.
    terminal.line("stty sane; clear; fg");
    terminal.until(&[&name, "online", "filter"]);
    until_set(&terminal, CLIENT);
    terminal.keys(&["?"]);
    terminal.until(&["Keys"]);
}

#[test]
fn a_fall_is_told_on_a_terminal_that_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let terminal = shell(dir.path());
    let fall = program("cmdr-fall");
    terminal.line(&format!("{} app; echo ended with $?", fall.display()));
    let screen = terminal.until(&["the app fell", "ended with 101"]);
    assert!(screen.contains("a fault of ours"), "{screen}");
    assert!(!screen.contains("the screen is up"), "{screen}");
    check_is_a_shells(&terminal);
}

#[test]
fn a_task_that_falls_does_not_take_the_screen_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let terminal = shell(dir.path());
    terminal.line(&format!("{} task; echo ended with $?", program("cmdr-fall").display()));
    let screen = terminal.until(&["the screen is up", "and stays"]);
    assert!(!screen.contains("a task fell"), "{screen}");
    assert!(terminal.modes().starts_with("alternate 1"), "{}", terminal.modes());
    terminal.keys(&["Enter"]);
    terminal.until(&["ended with 0"]);
    check_is_a_shells(&terminal);
}
