//! Who listens on a port, anywhere, is found and signalled: by command and on the screen, with the
//! real programs.

use crate::local::{Home, text};
use harness::process::program;
use harness::tmux::Terminal;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A program that listens on a port of its own; ended when dropped.
struct Listening {
    child: Child,
    /// Kept: to wait for the program closes what it reads, which would end it too.
    _stdin: Option<ChildStdin>,
    port: String,
}

impl Listening {
    fn start() -> Self {
        let code = "import socket,sys;s=socket.socket();s.bind(('127.0.0.1',0));s.listen(9);\
                    print(s.getsockname()[1],flush=True);sys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stdin = child.stdin.take();
        Self { child, _stdin: stdin, port: line.trim().to_owned() }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn who_listens_anywhere_is_found_and_signalled_by_command() {
    let home = Home::up();
    let mut program = Listening::start();
    let found = home.json(&["ports", "*", "--port", &program.port, "-o", "json"]);
    let [socket] = &found.as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!(socket["pid"], program.child.id());
    assert_eq!(
        (socket["state"].as_str(), socket["protocol"].as_str()),
        (Some("listen"), Some("tcp"))
    );
    assert!(socket["program"].as_str().unwrap().starts_with("python3"), "{socket}");

    // Without a terminal nobody can be asked.
    let asked = home.cmdr(&["ports", "*", "--port", &program.port, "--signal", "TERM"]);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked.stderr));
    assert!(text(&asked.stderr).contains("python3"), "{}", text(&asked.stderr));
    assert!(program.child.try_wait().unwrap().is_none());
    let done = home.cmdr(&["ports", "*", "--port", &program.port, "--signal", "TERM", "--yes"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(program.child.wait().unwrap().signal(), Some(15));
    let gone = home.cmdr(&["ports", "*", "--port", &program.port]);
    assert!(gone.status.success() && text(&gone.stderr).contains("no such socket"));
}

#[test]
fn who_listens_anywhere_is_found_and_signalled_on_the_screen() {
    let home = Home::up();
    let mut listening = Listening::start();
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let client = program("cmdr-tui").to_string_lossy().into_owned();
    let env = [("CMDR_HOME", home_dir.as_str()), ("LANG", "C.UTF-8")];
    let terminal = Terminal::start(home.dir.path(), (120, 40), &env, &[&client, "--lang", "en"]);
    terminal.until(&["online"]);
    terminal.keys(&["W"]);
    terminal.until(&["1 of 1 hosts have answered", "python3"]);
    let filter = format!("/ {} ", listening.port);
    terminal.keys(&["-l", &filter]);
    terminal.keys(&["Enter"]);
    terminal.until(&[&listening.port, "python3", "1 shown"]);
    terminal.keys(&["x"]);
    terminal.until(&["ask it to end"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["Send TERM to python3", "y goes on"]);
    terminal.keys(&["y"]);
    assert_eq!(listening.child.wait().unwrap().signal(), Some(15));
}
