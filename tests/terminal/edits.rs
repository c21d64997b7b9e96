//! Edits with the real programs: from scripts, in an editor on a terminal, with the dead-man switch.

use harness::process::{HubProcess, Running, program, run, until};
use harness::tmux::Terminal;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A hub, an agent that takes one file for a hosts file, and an operator.
struct Desk {
    hub: HubProcess,
    dir: PathBuf,
    agent: Option<Running>,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let hub = HubProcess::start();
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        let mut desk = Self { hub, dir, agent: None, _folder: folder };
        std::fs::create_dir(desk.dir.join("srv")).unwrap();
        std::fs::write(desk.file(), "127.0.0.1 localhost\n10.0.0.1 web1\n").unwrap();
        let policy = format!("[edits]\nhosts_files = [\"{}\"]\n", desk.file().display());
        std::fs::write(desk.dir.join("agent.toml"), policy).unwrap();
        desk.ok(&["login", &desk.hub.token(Some("administrator"), 1)]);
        let mut join = Command::new(program("cmdr-agentd"));
        join.args(["join", &desk.hub.token(None, 1), "--name", "web1", "--state"]);
        assert!(run(join.arg(desk.dir.join("agent"))).status.success());
        desk.start_agent();
        desk
    }

    fn start_agent(&mut self) {
        let mut serve = Command::new(program("cmdr-agentd"));
        serve.args(["run", "--state"]).arg(self.dir.join("agent"));
        serve.arg("--policy").arg(self.dir.join("agent.toml"));
        self.agent = Some(Running::start(&mut serve, &self.dir.join("agent.log")));
        until("the agent answers", || self.cmdr(&["edits", "web1"]).status.success());
    }

    fn file(&self) -> PathBuf {
        self.dir.join("srv/hosts")
    }

    /// The file as `cmdr` names it.
    fn what(&self) -> String {
        format!("web1:{}", self.file().display())
    }

    fn now(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn cmdr(&self, args: &[&str]) -> Output {
        run(Command::new(program("cmdr")).env("CMDR_HOME", self.dir.join("me")).args(args))
    }

    /// The output of a verb that has to succeed.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.cmdr(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A verb that gets this on its standard input.
    fn fed(&self, args: &[&str], input: &str) -> (Option<i32>, String, String) {
        use std::io::Write as _;
        let mut command = Command::new(program("cmdr"));
        command.env("CMDR_HOME", self.dir.join("me")).args(args).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// A terminal on which `cmdr edit` runs with an editor that does this to the file.
    fn terminal(&self, args: &str, editor: &str) -> Terminal {
        let script = self.dir.join("editor");
        std::fs::write(&script, format!("#!/bin/sh\n{editor}\n")).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
        let line = format!(
            "{} edit {} {args}; echo left with $?; exec sleep 600",
            program("cmdr").display(),
            self.what()
        );
        let home = self.dir.join("me").to_string_lossy().into_owned();
        let editor = script.to_string_lossy().into_owned();
        let env = [("CMDR_HOME", home.as_str()), ("EDITOR", &editor), ("LANG", "C.UTF-8")];
        Terminal::start(&self.dir, (100, 40), &env, &["sh", "-c", &line])
    }
}

/// Asks until it is so.
#[test]
fn scripts_save_look_at_versions_and_put_them_back() {
    let desk = Desk::new();
    let what = desk.what();
    let new = "127.0.0.1 localhost\n10.0.0.2 web1\n10.0.0.3 db1\n";
    let (code, out, err) =
        desk.fed(&["edit", &what, "--from", "-", "--note", "db1 is new", "-o", "json"], new);
    assert_eq!(code, Some(0), "{err}");
    let saved: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&saved["outcome"], &saved["added"]), (&"saved".into(), &2.into()));
    assert_eq!(desk.now(), new);
    // In the place of another text than the one that is there.
    let hash = blake3::hash(b"something else").to_hex().to_string();
    let (code, _, err) =
        desk.fed(&["edit", &what, "--from", "-", "--if-hash", &hash], "127.0.0.1 localhost\n");
    assert_eq!(code, Some(1));
    assert!(err.contains("not as it was seen"), "{err}");
    // A line that is wrong, and one that is odd.
    let (code, _, err) =
        desk.fed(&["edit", &what, "--from", "-"], "127.0.0.1 localhost\n10.0.0 x\n");
    assert!(code == Some(1) && err.contains("line 2: error"), "{err}");
    let twice = "127.0.0.1 localhost\n10.0.0.1 a\n10.0.0.2 a\n";
    let (code, _, err) = desk.fed(&["edit", &what, "--from", "-"], twice);
    assert!(code == Some(1) && err.contains("line 3: warning") && err.contains("--force"), "{err}");
    assert_eq!(desk.fed(&["edit", &what, "--from", "-", "--force"], twice).0, Some(0));
    let versions: serde_json::Value =
        serde_json::from_str(&desk.ok(&["edits", &what, "-o", "json"])).unwrap();
    let numbers: Vec<_> =
        versions.as_array().unwrap().iter().map(|v| v["number"].as_u64().unwrap()).collect();
    assert_eq!((numbers, &versions[1]["note"]), (vec![3, 2, 1], &"db1 is new".into()));
    let diff = desk.ok(&["edits", "diff", &what, "1", "2"]);
    assert!(diff.contains("-10.0.0.1 web1\n+10.0.0.2 web1\n+10.0.0.3 db1\n"), "{diff}");
    assert!(desk.ok(&["edits", "diff", &what]).contains("+10.0.0.1 a\n"));
    assert_eq!(desk.ok(&["edits", "show", &what, "2"]), new);
    desk.ok(&["edits", "restore", &what, "2", "--confirm", "10m"]);
    assert_eq!(desk.now(), new);
    assert!(desk.ok(&["edits", "web1"]).contains("waits"));
    desk.ok(&["edits", "revert", &what]);
    assert_eq!(desk.now(), twice);
    let none = desk.cmdr(&["edits", "confirm", &what]);
    assert!(text(&none.stderr).contains("no edit of"), "{}", text(&none.stderr));
}

#[test]
fn an_edit_on_a_terminal_shows_what_changes_and_stays_when_it_is_kept() {
    let desk = Desk::new();
    let terminal = desk.terminal("--confirm 60", "echo '10.0.0.9 cache1' >> \"$1\"");
    terminal.until(&["+10.0.0.9 cache1", "Save it to web1:"]);
    terminal.line("y");
    terminal.until(&["is saved: version 2, +1 -0", "keep? [y/N]"]);
    assert!(desk.now().ends_with("10.0.0.9 cache1\n"));
    terminal.line("y");
    terminal.until(&["stays as you saved it", "left with 0"]);
    assert!(desk.ok(&["edits", "web1"]).contains("confirmed"));
    let kept = std::fs::read_dir(desk.dir.join("me/edits")).unwrap().count();
    assert_eq!(kept, 0, "the private copy is gone");
}

#[test]
fn an_edit_that_nobody_keeps_is_undone_while_one_looks_on() {
    let desk = Desk::new();
    let before = desk.now();
    let terminal = desk.terminal("--confirm 5", "echo '10.0.0.9 cache1' >> \"$1\"");
    terminal.until(&["Save it to web1:"]);
    terminal.line("y");
    terminal.until(&["keep? [y/N]"]);
    assert_ne!(desk.now(), before);
    terminal.until(&["as it was before: nobody confirmed it", "left with 6"]);
    until("it is undone", || desk.now() == before);
    assert!(desk.ok(&["edits", "web1"]).contains("undone"));
}

#[test]
fn what_others_did_meanwhile_is_merged_and_a_host_that_is_gone_costs_nothing_that_was_written() {
    let mut desk = Desk::new();
    // Somebody else saves while the editor is open, once.
    let other = format!(
        "[ -e {0}.once ] || {{ touch {0}.once; printf '127.0.0.1 localhost\\n10.0.0.1 web1\\n10.0.0.7 theirs\\n' > {0}; }}\n\
         [ -e {0}.mine ] || {{ touch {0}.mine; sed -i 's/localhost/localhost me/' \"$1\"; }}",
        desk.file().display()
    );
    let terminal = desk.terminal("", &other);
    terminal.until(&["Save it to"]);
    terminal.line("y");
    terminal.until(&["was changed meanwhile", "+10.0.0.7 theirs", "[m]erge"]);
    terminal.line("m");
    terminal.until(&["+127.0.0.1 localhost me"]);
    // The host goes before the second try.
    desk.agent.take().unwrap().kill();
    until("the hub knows", || text(&desk.cmdr(&["hosts", "-o", "json"]).stdout).contains("away"));
    terminal.line("y");
    terminal.until(&["your text is kept in", "[r]etry"]);
    desk.start_agent();
    terminal.line("r");
    terminal.until(&["is saved: version", "left with 0"]);
    assert_eq!(desk.now(), "127.0.0.1 localhost me\n10.0.0.1 web1\n10.0.0.7 theirs\n");
}

/// The client at the host's tab with this title.
fn at_tab(desk: &Desk, title: &str) -> Terminal {
    let home = desk.dir.join("me").to_string_lossy().into_owned();
    let config = desk.dir.join("config").to_string_lossy().into_owned();
    let env = [("CMDR_HOME", home.as_str()), ("XDG_CONFIG_HOME", &config), ("LANG", "C.UTF-8")];
    let line = format!("{} --lang en; exec sleep 600", program("cmdr-tui").display());
    let terminal = Terminal::start(&desk.dir, (120, 40), &env, &["sh", "-c", &line]);
    terminal.until(&["web1", "online"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["CPU", "Memory"]);
    let tabs = cmdr_tui::panes::TABS;
    let tab = tabs.iter().position(|tab| tab.title == title).unwrap() + 1;
    terminal.keys(&[&tab.to_string()]);
    terminal
}

#[test]
fn an_armed_edit_in_the_client_counts_down_and_reverts_before_ones_eyes() {
    let desk = Desk::new();
    let before = desk.now();
    let terminal = at_tab(&desk, "files.title");
    terminal.until(&["usr", "etc"]);
    terminal.keys(&["o"]);
    terminal.until(&["Go to"]);
    terminal.keys(&["C-u"]);
    terminal.line(&desk.dir.join("srv").to_string_lossy());
    // The word alone also stands at the top of the screen.
    terminal.until(&["srv  1 name"]);
    terminal.keys(&["e"]);
    terminal.until(&["10.0.0.1 web1", "localhost"]);
    terminal.keys(&["C-End"]);
    terminal.keys(&["-l", "10.0.0.9 cache1"]);
    terminal.until(&["10.0.0.9 cache1", "not saved"]);
    terminal.keys(&["C-s"]);
    terminal.until(&["+10.0.0.9 cache1"]);
    terminal.keys(&["o"]);
    terminal.until(&["how many seconds"]);
    terminal.keys(&["C-u", "5", "Enter"]);
    terminal.until(&["undone in", "F9 keep"]);
    assert!(desk.now().contains("cache1"));
    terminal.until(&["was undone: nobody kept it", "not saved"]);
    assert_eq!(desk.now(), before);
    // What was written is still there, also after the client has left.
    terminal.keys(&["Escape"]);
    terminal.until(&["is kept on this machine"]);
    terminal.keys(&["!"]);
    terminal.until(&["go on with web1:"]);
}

#[test]
fn entries_of_a_hosts_file_are_changed_as_a_table_in_the_client() {
    const BEGIN: &str = "127.0.0.1\tlocalhost\n\n# the shop\n10.0.0.1   web1  web1.example  # first\r\n\
                         #10.0.0.5 old1\n";
    let mut desk = Desk::new();
    std::fs::write(desk.file(), BEGIN).unwrap();
    // That of this machine is none of this test's business: the agent does not even read it.
    let srv = desk.dir.join("srv");
    let policy = format!(
        "[files]\nread = [\"{0}/\"]\nwrite = [\"{0}/\"]\n[edits]\nhosts_files = [\"{0}/hosts\"]\n",
        srv.display()
    );
    desk.agent.take().unwrap().kill();
    std::fs::write(desk.dir.join("agent.toml"), policy).unwrap();
    desk.start_agent();
    let terminal = at_tab(&desk, "system.title");
    terminal.until(&["MOUNT"]);
    terminal.keys(&["["]);
    terminal.until(&["this host's policy", "/etc/hosts"]);
    terminal.keys(&["o"]);
    terminal.until(&["with addresses and names"]);
    terminal.keys(&["C-u"]);
    terminal.line(&desk.file().to_string_lossy());
    terminal.until(&["srv/hosts", "entries: 3", "off: 1", "10.0.0.5"]);

    // What is no entry is not taken, and what is one is shown before it is sent.
    terminal.keys(&["j", "Enter"]);
    terminal.until(&["10.0.0.1 web1 web1.example # first"]);
    terminal.keys(&["C-u"]);
    terminal.line("10.0.0 web1");
    terminal.until(&["'10.0.0' is no address"]);
    terminal.keys(&["C-u"]);
    terminal.line("10.0.0.2 web1 web1.example # first");
    terminal.until(&["not saved", "10.0.0.2"]);
    assert_eq!(desk.now(), BEGIN);
    terminal.keys(&["s"]);
    terminal.until(&["+10.0.0.2   web1  web1.example  # first"]);
    terminal.keys(&["s"]);
    terminal.until(&["is saved"]);
    let first = BEGIN.replace("10.0.0.1 ", "10.0.0.2 ");
    assert_eq!(desk.now(), first);

    // Armed and not kept, it comes back; what was done stays to be saved once more.
    terminal.keys(&["t"]);
    terminal.until(&["off: 2", "not saved"]);
    terminal.keys(&["s"]);
    terminal.until(&["+# 10.0.0.2"]);
    terminal.keys(&["o"]);
    terminal.until(&["how many seconds"]);
    terminal.keys(&["C-u", "5", "Enter"]);
    terminal.until(&["undone in", "F9 keep"]);
    assert_eq!(desk.now(), first.replace("10.0.0.2 ", "# 10.0.0.2 "));
    terminal.until(&["was undone: nobody kept it", "not saved"]);
    assert_eq!(desk.now(), first);

    // Somebody else was quicker: both changes come together.
    std::fs::write(desk.file(), format!("{first}10.0.0.7 theirs\n")).unwrap();
    terminal.keys(&["s"]);
    terminal.until(&["Save web1:"]);
    terminal.keys(&["s"]);
    terminal.until(&["was changed meanwhile", "+10.0.0.7 theirs"]);
    terminal.keys(&["m"]);
    terminal.until(&["10.0.0.7", "not saved"]);
    terminal.keys(&["s"]);
    terminal.until(&["Save web1:"]);
    terminal.keys(&["s"]);
    terminal.until(&["is saved"]);
    let both = first.replace("10.0.0.2 ", "# 10.0.0.2 ") + "10.0.0.7 theirs\n";
    assert_eq!(desk.now(), both);
    // The host's own look at it: without localhost it would not find itself.
    terminal.keys(&["g", "x", "s"]);
    terminal.until(&["-127.0.0.1"]);
    terminal.keys(&["s"]);
    terminal.until(&["localhost would not be found any more"]);
    assert_eq!(desk.now(), both);
    terminal.keys(&["q", "u", "F6"]);
    terminal.until(&["Versions of web1:", "found", "saved"]);
}

/// What agents did on their own, as the audit log has it.
fn acts(desk: &Desk) -> Vec<serde_json::Value> {
    let list = desk.cmdr(&["audit", "--event", "acted", "-o", "json"]);
    serde_json::from_slice(&list.stdout).unwrap_or_default()
}

#[test]
fn what_an_agent_undid_alone_is_in_the_audit_log_once_also_when_the_hub_was_away() {
    let mut desk = Desk::new();
    let before = desk.now();
    let arm = |desk: &Desk, line: &str| {
        let what = desk.what();
        let args = ["edit", &what, "--from", "-", "--confirm", "5s"];
        let (code, _, err) = desk.fed(&args, &format!("{before}{line}\n"));
        assert_eq!(code, Some(0), "{err}");
        assert_ne!(desk.now(), before);
    };
    let undone = |desk: &Desk| until("it is undone", || desk.now() == before);
    arm(&desk, "10.0.0.7 here");
    undone(&desk);
    until("the hub has it", || acts(&desk).len() == 1);

    arm(&desk, "10.0.0.8 away");
    desk.hub.kill();
    undone(&desk);
    desk.hub.start_again();
    until("the hub hears of it later", || acts(&desk).len() == 2);

    // And when the agent is gone as well, and comes back too late.
    arm(&desk, "10.0.0.9 dead");
    desk.agent.take().unwrap().kill();
    desk.hub.kill();
    desk.hub.start_again();
    desk.start_agent();
    undone(&desk);
    until("the hub hears of that", || acts(&desk).len() == 3);

    // Killed again and again, nobody tells or writes it twice.
    for round in 0..3 {
        if round % 2 == 0 {
            desk.hub.kill();
            desk.hub.start_again();
        } else {
            desk.agent.take().unwrap().kill();
            desk.start_agent();
        }
        until("the agent answers", || desk.cmdr(&["edits", "web1"]).status.success());
    }
    // An act that follows is told behind all that was before.
    arm(&desk, "10.0.0.10 last");
    undone(&desk);
    until("the hub has the last", || acts(&desk).len() >= 4);
    let all = acts(&desk);
    assert_eq!(all.len(), 4, "{all:?}");
    for act in &all {
        assert_eq!((&act["method"], &act["host_name"]), (&"edits.revert".into(), &"web1".into()));
        assert_eq!((&act["outcome"], act.get("operator")), (&"ok".into(), None));
        assert!(act["resource"].as_str().unwrap().ends_with("/srv/hosts"), "{act}");
    }
    desk.ok(&["audit", "verify"]);
}
