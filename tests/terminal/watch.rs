//! `cmdr watch` as somebody has it running: what happens is written as it happens, also when the hub is started anew
//! meanwhile.

use crate::local::{Home, text};
use harness::process::{program, until};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// What a program writes, as it comes.
struct Watching {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    words: Arc<Mutex<Vec<String>>>,
}

fn follow(from: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let into = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

impl Watching {
    fn start(home: &Home, args: &[&str]) -> Self {
        let mut child = Command::new(program("cmdr"))
            .arg("watch")
            .args(args)
            .env("CMDR_HOME", home.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = follow(child.stdout.take().unwrap());
        let words = follow(child.stderr.take().unwrap());
        Self { child, lines, words }
    }

    fn has(&self, text: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(text))
    }

    fn says(&self, text: &str) -> bool {
        self.words.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn what_happens_is_written_as_it_happens_and_gone_on_with_when_the_hub_was_away() {
    let home = Home::up();
    // What is known already is where it begins: nothing is lost between two commands.
    let known = text(&home.cmdr(&["watch", "--once", "-o", "ndjson"]).stdout);
    let last: serde_json::Value = serde_json::from_str(known.lines().last().unwrap()).unwrap();
    let cursor = last["cursor"].as_str().unwrap().to_owned();
    let host = last["host_name"].as_str().unwrap().to_owned();
    let mut watching = Watching::start(&home, &["--since", &cursor, "-o", "ndjson"]);
    let runs = Watching::start(&home, &["--since", "all", "--kind", "run"]);
    let begun = home.cmdr(&["exec", &host, "--detach", "--", "echo", "hunter2"]);
    assert!(begun.status.success(), "{}", text(&begun.stderr));
    until("the end of the run is written", || {
        watching.has("\"what\":\"run.ended\"") && runs.has("run.ended")
    });
    assert!(!watching.has("hunter2") && !watching.has(&cursor));
    assert!(runs.has("1 ok") && !runs.has("host."), "{:?}", runs.lines);

    let down = home.cmdr(&["down"]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    until("it is said that the hub is gone", || watching.says("the hub is gone"));
    let up = home.cmdr(&["up", "--detach"]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    until("it goes on by itself, and says what it cannot know", || {
        watching.says("the hub is there again") && watching.has("\"what\":\"missed\"")
    });
    assert!(watching.says("events are missing here"));
    let label = home.cmdr(&["hosts", "label", &host, "a=b"]);
    assert!(label.status.success(), "{}", text(&label.stderr));
    until("what happens then is written", || watching.has("it has other labels"));
    let pid = rustix::process::Pid::from_raw(watching.child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = watching.child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "Ctrl-C is how one leaves: {:?}", watching.words);
}

#[test]
fn what_is_no_kind_or_cursor_is_refused_in_words() {
    let home = Home::up();
    let wrong = home.cmdr(&["watch", "--kind", "rum"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("run.ended"), "{}", text(&wrong.stderr));
    let wrong = home.cmdr(&["watch", "--once", "--since", "yesterday"]);
    assert!(!wrong.status.success());
    assert!(text(&wrong.stderr).contains("cursor"), "{}", text(&wrong.stderr));
    let table = home.cmdr(&["watch", "--once", "-o", "csv"]);
    assert!(text(&table.stdout).starts_with("TIME,EVENT,HOST,"), "{}", text(&table.stdout));
}
