//! The verbs of `cmdr` that change something, or make something, with the real programs.

use crate::local::{Home, text};
use harness::process::{pause, program, run};
use harness::tmux::Terminal;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};

/// A process that waits for input which never comes; ended when dropped.
struct Waiting(Child);

impl Waiting {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "read x"]).stdin(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn niceness(&self) -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn done(output: &Output) -> String {
    let words = text(&output.stderr);
    assert!(output.status.success(), "{words}");
    words
}

#[test]
fn a_process_is_reniced_and_killed_and_one_that_is_not_there_is_named() {
    let home = Home::up();
    let mut process = Waiting::start();
    let words = done(&home.cmdr(&["renice", "*", &process.pid(), "7"]));
    assert!(words.contains("niceness 0 to 7"), "{words}");
    assert_eq!(process.niceness(), 7);

    // Without a terminal nobody can be asked.
    let asked = home.cmdr(&["kill", "*", &process.pid()]);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked.stderr));
    assert!(process.0.try_wait().unwrap().is_none());
    let words = done(&home.cmdr(&["kill", "*", &process.pid(), "--signal", "KILL", "--yes"]));
    assert!(words.contains("SIGKILL"), "{words}");
    assert_eq!(process.0.wait().unwrap().signal(), Some(9));

    let gone = home.cmdr(&["kill", "*", &process.pid(), "--yes"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("has no process"), "{}", text(&gone.stderr));
}

#[test]
fn tokens_are_made_listed_used_and_revoked() {
    let home = Home::up();
    let arguments = ["tokens", "create", "--operator", "observer", "--uses", "2"];
    let made = home.json(&[&arguments[..], &["-o", "json"]].concat());
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let listed = || home.json(&["tokens", "list", "-o", "json"]);
    let one = |list: serde_json::Value| {
        list.as_array().unwrap().iter().find(|t| t["id"] == id).unwrap().clone()
    };
    assert_eq!(one(listed())["role"], "observer");
    // Both programs show the same.
    let data = home.dir.path().join("hub");
    let hub = |arguments: &[&str]| {
        text(
            &run(Command::new(program("cmdr-hub")).arg("--data").arg(&data).args(arguments)).stdout,
        )
    };
    let theirs: serde_json::Value =
        serde_json::from_str(&hub(&["token", "list", "-o", "json"])).unwrap();
    assert_eq!(theirs, listed());
    let table = text(&home.cmdr(&["tokens"]).stdout);
    let heads = |table: &str| table.lines().next().unwrap_or_default().to_owned();
    assert_eq!(heads(&table), heads(&hub(&["token", "list"])));

    let other = tempfile::tempdir().unwrap();
    let elsewhere = |arguments: &[&str]| {
        run(Command::new(program("cmdr")).args(arguments).env("CMDR_HOME", other.path()))
    };
    let words = done(&elsewhere(&["login", token, "--name", "ann's laptop"]));
    assert!(words.contains("as ann (observer)"), "{words}");
    assert_eq!(one(listed())["uses_left"], 1);

    let asked = home.cmdr(&["tokens", "revoke", id]);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked.stderr));
    assert!(done(&home.cmdr(&["tokens", "revoke", id, "--yes"])).contains("is revoked"));
    let words = done(&home.cmdr(&["tokens", "revoke", id, "--yes"]));
    assert!(words.contains("was revoked already"), "{words}");
    assert_eq!(one(listed())["state"], "revoked");

    // The device that came with it is listed by its name, may look, and loses its rights once.
    let devices = home.json(&["operators", "devices", "-o", "json"]);
    let device =
        devices.as_array().unwrap().iter().find(|d| d["name"] == "ann's laptop").unwrap().clone();
    assert_eq!(device["operator"], "ann");
    let operators = home.json(&["operators", "-o", "json"]);
    let ann = operators.as_array().unwrap().iter().find(|one| one["name"] == "ann").unwrap();
    assert_eq!(ann["role"], "observer");
    let denied = elsewhere(&["exec", "*", "--", "true"]);
    assert_eq!(denied.status.code(), Some(5), "{}", text(&denied.stderr));
    done(&home.cmdr(&["operators", "revoke", "ann's laptop", "--yes"]));
    let key = device["key"].as_str().unwrap();
    let words = done(&home.cmdr(&["operators", "revoke", key, "--yes"]));
    assert!(words.contains("was revoked already"), "{words}");
    let refused = elsewhere(&["hosts"]);
    let words = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(5), "{words}");
    assert_eq!(words.matches("cmdr login TOKEN").count(), 1, "{words}");
}

#[test]
fn completions_and_man_pages_are_what_shells_and_readers_take() {
    let home = Home { dir: tempfile::tempdir().unwrap() };
    let path = home.dir.path().join("cmdr.bash");
    std::fs::write(&path, home.cmdr(&["completions", "bash"]).stdout).unwrap();
    let script = format!(
        ". '{}'; COMP_WORDS=(cmdr hosts app); COMP_CWORD=2; _cmdr cmdr app hosts; echo \"${{COMPREPLY[*]}}\"",
        path.display()
    );
    let completed = run(Command::new("bash").args(["--norc", "-c", &script]));
    assert_eq!(text(&completed.stdout).trim(), "approve", "{}", text(&completed.stderr));

    let dir = home.dir.path().join("man");
    let words = done(&home.cmdr(&["man", &dir.to_string_lossy()]));
    assert!(words.contains("man pages to"), "{words}");
    let pages: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(words.contains(&pages.len().to_string()), "{words}");
    for page in pages {
        let read = run(Command::new("man").args(["--warnings", "-l"]).arg(&page));
        let (shown, wrong) = (text(&read.stdout), text(&read.stderr));
        assert!(read.status.success() && wrong.is_empty(), "{}: {wrong}", page.display());
        assert!(shown.contains("SYNOPSIS"), "{}: {shown}", page.display());
    }
}

#[test]
fn up_is_safe_to_repeat_and_down_with_purge_leaves_nothing_of_ours() {
    let home = Home::up();
    let other = home.dir.path().join("notes.txt");
    std::fs::write(&other, "mine").unwrap();
    let words = done(&home.cmdr(&["up", "--detach"]));
    assert!(words.contains("runs already"), "{words}");

    let asked = home.cmdr(&["down", "--purge"]);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked.stderr));
    assert!(home.cmdr(&["hosts"]).status.success(), "nothing was done without a yes");
    done(&home.cmdr(&["down", "--purge", "--yes"]));
    let left: Vec<_> =
        std::fs::read_dir(home.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [other]);
    assert_eq!(home.cmdr(&["hosts"]).status.code(), Some(2), "there is no hub to reach");
}

#[test]
fn up_makes_no_administrator_again_unasked_whom_another_one_removed() {
    let home = Home::up();
    let me = home.json(&["whoami", "-o", "json"]);
    let token = home.cmdr(&["tokens", "create", "--operator", "administrator"]);
    let other = tempfile::tempdir().unwrap();
    let elsewhere = |arguments: &[&str]| {
        run(Command::new(program("cmdr")).args(arguments).env("CMDR_HOME", other.path()))
    };
    done(&elsewhere(&["login", text(&token.stdout).trim()]));
    done(&elsewhere(&["operators", "delete", me["name"].as_str().unwrap(), "--yes"]));
    let names = || {
        let listed = elsewhere(&["operators", "-o", "name"]);
        text(&listed.stdout).lines().count()
    };
    assert_eq!(names(), 1);
    let refused = home.cmdr(&["up", "--detach"]);
    let words = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(words.contains("does not let this home in") && words.contains("--yes"), "{words}");
    assert_eq!(names(), 1);
    let words = done(&home.cmdr(&["up", "--detach", "--yes"]));
    assert!(words.contains("this home is logged in as"), "{words}");
    assert_eq!(names(), 2);
}

#[test]
fn a_context_of_another_hub_outlives_the_purge_of_the_private_one() {
    let (mine, other) = (Home::up(), Home::up());
    let client = mine.dir.path().join("client");
    for file in ["hub.toml", "key"] {
        std::fs::copy(other.dir.path().join("client").join(file), client.join(file)).unwrap();
    }
    let words = done(&mine.cmdr(&["down", "--purge", "--yes"]));
    assert!(words.contains("the context of another hub stays"), "{words}");
    done(&mine.cmdr(&["hosts"]));
    assert!(!mine.dir.path().join("hub").exists());
}

#[test]
fn what_is_watched_is_drawn_over_in_its_place_on_a_terminal() {
    let home = Home::up();
    let name = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let cmdr = program("cmdr").to_string_lossy().into_owned();
    let line = format!("trap : INT; {cmdr} hosts --watch=250ms; echo left with $?; exec sleep 600");
    let env = [("CMDR_HOME", home_dir.as_str()), ("LANG", "C.UTF-8")];
    let terminal = Terminal::start(home.dir.path(), (100, 24), &env, &["sh", "-c", &line]);
    terminal.until(&["NAME", "online", &name]);
    done(&home.cmdr(&["hosts", "rename", &name, "renamed-1"]));
    let screen = terminal.until(&["renamed-1"]);
    assert_eq!(screen.matches("NAME").count(), 1, "{screen}");
    assert!(!screen.contains(&format!("\n{name} ")), "the old row stays:\n{screen}");
    // A shorter table leaves nothing of a longer one.
    done(&home.cmdr(&["hosts", "label", "renamed-1", "role=web"]));
    terminal.until(&["role=web"]);
    done(&home.cmdr(&["hosts", "label", "renamed-1", "role-"]));
    while terminal.screen().contains("role=web") {
        pause();
    }
    terminal.keys(&["C-c"]);
    let screen = terminal.until(&["left with"]);
    assert!(screen.contains("left with 6") && screen.contains("renamed-1"), "{screen}");
}
