//! A shell in the client, on a real terminal: vim in it keeps its screen when the window changes its size,
//! when it is left, and when the client is killed.

use crate::local::{Home, text};
use harness::process::{program, run, until};
use harness::tmux::Terminal;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The client on a terminal; its number stands in a file.
pub(crate) fn open(home: &Home, run: &str, size: (u16, u16)) -> Terminal {
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let config = home.dir.path().join("config").to_string_lossy().into_owned();
    let client = program("cmdr-tui").to_string_lossy().into_owned();
    let env = [
        ("CMDR_HOME", home_dir.as_str()),
        ("XDG_CONFIG_HOME", config.as_str()),
        ("LANG", "C.UTF-8"),
    ];
    let folder = home.dir.path().join(run);
    std::fs::create_dir(&folder).unwrap();
    // Fresh: whether the place was kept before the kill would be a matter of luck.
    let line = format!("echo $$ > {}/pid; exec {client} --fresh --lang en", folder.display());
    Terminal::start(&folder, size, &env, &["sh", "-c", &line])
}

fn kill(home: &Home, terminal: &Terminal, run_name: &str) {
    let pid = std::fs::read_to_string(home.dir.path().join(run_name).join("pid")).unwrap();
    assert!(run(Command::new("kill").args(["-KILL", pid.trim()])).status.success());
    terminal.ended();
}

/// What the process that holds a session is called.
fn holder(id: &str) -> String {
    let line = format!("cmdr-agentd\0hold\0{id}\0");
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let mut held = all.filter(|path| {
        std::fs::read(path.join("cmdline")).is_ok_and(|text| text == line.as_bytes())
    });
    let path = held.next().expect("somebody holds it");
    std::fs::read_to_string(path.join("comm")).unwrap().trim().to_owned()
}

/// Whether vim says that it has so many columns. Waits for its answer, so that nothing is typed ahead of what comes
/// next; a new size that comes behind the answer has vim draw everything anew without it, and it is asked again.
fn vim_columns(terminal: &Terminal, columns: &str) -> bool {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let n = ASKED.fetch_add(1, Ordering::Relaxed);
    terminal.line(&format!(":echo 'question {n} of' &columns"));
    let answer = terminal.within(Duration::from_secs(3), &[&format!("question {n} of ")]);
    answer.is_ok_and(|screen| screen.contains(&format!("question {n} of {columns}")))
}

#[test]
fn a_session_with_vim_outlives_its_client_and_is_found_as_it_was() {
    let home = Home::up();
    let name = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let terminal = open(&home, "first", (120, 40));
    terminal.until(&[&name, "online"]);
    terminal.keys(&["s"]);
    terminal.until(&["you drive"]);
    terminal.line("PS1='ready> '; stty size");
    terminal.until(&["37 120", "ready> "]);
    terminal.line("echo colours: $COLORTERM");
    terminal.until(&["colours: truecolor"]);
    let file = home.dir.path().join("notes.txt");
    terminal.line(&format!("vim -u NONE -N {}", file.display()));
    terminal.until(&["~"]);
    terminal.line("ihello from 节点");
    terminal.keys(&["Escape"]);
    terminal.resize(100, 30);
    terminal.until(&["hello from 节点"]);
    // The new size is on its way while vim is asked.
    until("vim has the new size", || {
        vim_columns(&terminal, "100") && terminal.screen().contains("hello from 节点")
    });
    // Left, it is in the list; then the client is killed.
    terminal.keys(&["C-\\", "d"]);
    terminal.until(&["WHAT", "yours", "nobody"]);
    let sessions = home.json(&["sessions", "-o", "json"]);
    let id = sessions[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(holder(&id), "cmdr-agentd", "it is listed by the name of its program");
    kill(&home, &terminal, "first");
    drop(terminal);

    let terminal = open(&home, "second", (90, 28));
    terminal.until(&[&name, "online"]);
    terminal.keys(&["S"]);
    terminal.until(&[&id]);
    terminal.keys(&["Enter"]);
    terminal.until(&["hello from 节点", "you drive"]);
    until("vim has the second client's size", || vim_columns(&terminal, "90"));
    // Killed while it is attached, it is found again all the same.
    kill(&home, &terminal, "second");
    drop(terminal);

    let terminal = open(&home, "third", (80, 24));
    terminal.until(&[&name, "online"]);
    terminal.keys(&["C-p"]);
    terminal.until(&["╭ Find"]);
    terminal.keys(&["Escape"]);
    // Gone before the next key: the two together would be another one.
    terminal.until(&["NAME"]);
    terminal.keys(&["S"]);
    terminal.until(&[&id]);
    terminal.keys(&["Enter"]);
    terminal.until(&["hello from 节点", "you drive"]);
    terminal.line(":wq");
    terminal.until(&["ready> "]);
    assert!(text(&std::fs::read(&file).unwrap()).starts_with("hello from 节点"));
    terminal.line("exit 7");
    terminal.until(&["it has ended with exit code 7"]);
    terminal.keys(&["Escape"]);
    terminal.until(&["No session is open here"]);
    terminal.keys(&["C-c"]);
    terminal.ended();
}
