//! The full-screen client on a real terminal: starts, shows this machine, survives its hub, leaves
//! the terminal as it was.

use crate::local::{Home, text};
use harness::process::program;
use harness::tmux::Terminal;

fn open(home: &Home, size: (u16, u16)) -> Terminal {
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let config = home.dir.path().join("config").to_string_lossy().into_owned();
    let client = program("cmdr-tui").to_string_lossy().into_owned();
    let env = [
        ("CMDR_HOME", home_dir.as_str()),
        ("XDG_CONFIG_HOME", config.as_str()),
        ("LANG", "C.UTF-8"),
    ];
    Terminal::start(
        home.dir.path(),
        size,
        &env,
        &["sh", "-c", &format!("{client} --lang en; echo left with $?; exec sleep 600")],
    )
}

#[test]
fn it_shows_this_machine_its_charts_and_its_processes_and_leaves_quietly() {
    let home = Home::up();
    let name = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let terminal = open(&home, (120, 40));
    terminal.until(&[&name, "online"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["CPU", "Memory", "%"]);
    terminal.keys(&["2"]);
    terminal.until(&["PID", "COMMAND", " processes · ", " running"]);
    terminal.keys(&["?"]);
    terminal.until(&["filter"]);
    terminal.keys(&["Escape"]);
    terminal.resize(80, 24);
    terminal.until(&["PID"]);
    terminal.resize(60, 18);
    terminal.until(&["PID"]);
    terminal.keys(&["C-c"]);
    let screen = terminal.until(&["left with"]);
    assert!(screen.contains("left with 0"), "{screen}");
    assert!(!screen.contains("PID"), "the terminal was not given back as it was:\n{screen}");
}

#[test]
fn a_lost_hub_shows_at_once_and_everything_resumes_by_itself() {
    let home = Home::up();
    let name = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let terminal = open(&home, (120, 40));
    terminal.until(&[&name, "online"]);
    assert!(home.cmdr(&["down"]).status.success());
    terminal.until(&["hub lost"]);
    let again = home.cmdr(&["up", "--detach"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    terminal.until(&[&name, "online"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["CPU", "Memory"]);
}
