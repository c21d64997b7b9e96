//! `cmdr shell` on a real terminal: a shell and vim in it, left and found again, whatever is killed
//! meanwhile.

use crate::local::{Home, text};
use harness::process::{program, until};
use harness::tmux::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;

/// A terminal in which `cmdr` runs with these words.
fn open(home: &Home, name: &str, words: &str) -> Terminal {
    let dir = home.dir.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    let cmdr = program("cmdr").to_string_lossy().into_owned();
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let env = [("CMDR_HOME", home_dir.as_str()), ("LANG", "C.UTF-8"), ("PS1", "local> ")];
    let line = format!("{cmdr} {words}; echo left with $?; exec sleep 600");
    Terminal::start(&dir, (80, 24), &env, &["sh", "-c", &line])
}

/// A shell that says `$ ` and nothing else, in whatever state the machine's own shell would be.
const SHELL: &str = "shell '*' -e 'PS1=remote> ' -e HISTFILE= -- /bin/sh";

fn one_session(home: &Home) -> serde_json::Value {
    let sessions = home.json(&["sessions", "-o", "json"]);
    assert_eq!(sessions.as_array().unwrap().len(), 1, "{sessions}");
    sessions[0].clone()
}

/// Kills, as a power cut would, the one process whose command line holds all of these.
fn kill(words: &[&str]) {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let command = command.replace('\0', " ");
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let is_it =
            command.starts_with(words[0]) && words.iter().all(|word| command.contains(word));
        found.extend(pid.filter(|_| is_it));
    }
    let [pid] = found[..] else { panic!("{words:?} are {found:?}") };
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn agent_pid(home: &Path) -> Pid {
    let mark = std::fs::read(home.join("run/agent.pid")).unwrap();
    let mark: serde_json::Value = serde_json::from_slice(&mark).unwrap();
    Pid::from_raw(i32::try_from(mark["pid"].as_i64().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_shell_with_vim_is_resized_left_killed_and_found_again() {
    let home = Home::up();
    let terminal = open(&home, "first", SHELL);
    terminal.until(&["leaves it running", "remote>"]);
    terminal.line("echo $((40 + 2)) $TERM; stty size");
    terminal.until(&["42 ", "24 80", "remote>"]);
    terminal.resize(100, 30);
    terminal.line("stty size");
    terminal.until(&["30 100"]);
    terminal.resize(80, 24);
    terminal.line("vim -n -u NONE -N");
    terminal.until(&["~\n~\n~"]);
    terminal.keys(&["i"]);
    terminal.keys(&["-l", "written in vim 容器"]);
    terminal.until(&["written in vim 容器"]);
    let id = one_session(&home)["id"].as_str().unwrap().to_owned();
    // Left, and the terminal is as it was.
    terminal.keys(&["C-\\"]);
    terminal.keys(&["d"]);
    let screen = terminal.until(&["left with 0", "cmdr attach"]);
    assert!(!screen.contains("written in vim"), "{screen}");
    assert!(terminal.modes().starts_with("alternate 0 cursor 1"), "{}", terminal.modes());
    assert!(one_session(&home)["clients"].as_array().unwrap().is_empty());
    // Found again, with vim as it was; then our client is killed.
    let second = open(&home, "second", &format!("attach {id}"));
    second.until(&["written in vim 容器", "~"]);
    assert!(second.modes().starts_with("alternate 1"), "{}", second.modes());
    second.keys(&["-l", " and more"]);
    second.until(&["written in vim 容器 and more"]);
    let cmdr = program("cmdr").to_string_lossy().into_owned();
    kill(&[&cmdr, "attach", &id]);
    second.until(&["left with 137"]);
    // And the agent, as a power cut would: the session does not notice.
    kill_process(agent_pid(home.dir.path()), Signal::KILL).unwrap();
    until("another agent has found it", || {
        home.cmdr(&["up", "--detach"]);
        let output = home.cmdr(&["sessions", "-o", "json"]);
        text(&output.stdout).contains(&id)
    });
    let third = open(&home, "third", &format!("attach {id}"));
    third.until(&["written in vim 容器 and more"]);
    third.keys(&["Escape"]);
    third.line(":q!");
    third.until(&["remote>"]);
    third.line("exit 7");
    third.until(&["left with 7"]);
    assert!(home.json(&["sessions", "-o", "json"]).as_array().unwrap().is_empty());
}

#[test]
fn a_session_comes_back_by_itself_when_the_hub_does() {
    let home = Home::up();
    let terminal = open(&home, "one", SHELL);
    terminal.until(&["remote>"]);
    terminal.line("echo before");
    terminal.until(&["before\nremote>"]);
    assert!(home.cmdr(&["down"]).status.success());
    terminal.until(&["cut off"]);
    let again = home.cmdr(&["up", "--detach"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let screen = terminal.until(&["before", "remote>"]);
    assert!(!screen.contains("left with"), "{screen}");
    until("it is back", || {
        terminal.line("echo after");
        terminal.screen().contains("\nafter")
    });
    terminal.line("exit");
    terminal.until(&["left with 0"]);
}

#[test]
fn without_a_terminal_exec_is_named_and_a_session_can_be_begun_all_the_same() {
    let home = Home::up();
    let output = home.cmdr(&["shell", "*"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cmdr exec"), "{}", text(&output.stderr));
    let output = home.cmdr(&["shell", "*", "--detach", "--name", "job", "--", "sleep", "600"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let session = one_session(&home);
    assert_eq!(text(&output.stdout).trim(), session["id"].as_str().unwrap());
    assert_eq!((&session["name"], &session["command"][0]), (&"job".into(), &"sleep".into()));
    let output = home.cmdr(&["sessions", "end", "--yes", session["id"].as_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    until("it has ended", || home.json(&["sessions", "-o", "json"]).as_array().unwrap().is_empty());
    let output = home.cmdr(&["shell", "*", "--detach", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(127), "{}", text(&output.stderr));
}
