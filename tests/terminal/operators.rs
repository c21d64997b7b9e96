//! Operators with the real programs: a first password, a second factor, a program's key, rights on
//! request, a group; as an administrator and the others would type them.

use crate::local::{Home, text};
use harness::process::{program, run};
use harness::totp::Codes;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Somebody's machine.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn cmdr(&self, args: &[&str]) -> Output {
        run(Command::new(program("cmdr")).args(args).env("CMDR_HOME", self.dir.path()))
    }

    /// With these lines on standard input.
    fn told(&self, args: &[&str], lines: &str) -> Output {
        let mut child = Command::new(program("cmdr"))
            .args(args)
            .env("CMDR_HOME", self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output, code: i32) -> String {
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words}");
    words
}

#[test]
fn an_operator_logs_in_with_a_password_and_a_second_factor_and_makes_a_key_for_a_script() {
    let home = Home::up();
    let card = done(&home.cmdr(&["hub", "card"]));
    let (admin, ann) = (Desk { dir: tempfile::tempdir().unwrap() }, Desk::new());
    let token = done(&home.cmdr(&["tokens", "create", "--operator", "administrator"]));
    done(&admin.cmdr(&["login", token.trim()]));
    let create = ["operators", "create", "ann", "--role", "operator", "--password"];
    done(&admin.told(&create, "a first password\n"));

    let login = ["login", card.trim(), "--user", "ann"];
    let wrong = refused(&ann.told(&login, "not the password\n"), 5);
    assert!(wrong.contains("is wrong"), "{wrong}");
    let short = refused(&ann.told(&login, "a first password\nshort\n"), 2);
    assert!(short.contains("at least 12 characters"), "{short}");
    done(&ann.told(&login, "a first password\ncorrect horse battery\n"));
    let me = text(&ann.cmdr(&["whoami"]).stdout);
    assert!(me.contains("ann") && me.contains("password"), "{me}");

    // The secret is shown between the two questions, so a person answers the second one later.
    let mut enable = Command::new(program("cmdr"))
        .args(["totp", "enable"])
        .env("CMDR_HOME", ann.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = enable.stdin.take().unwrap();
    input.write_all(b"correct horse battery\n").unwrap();
    let mut shown = std::io::BufReader::new(enable.stderr.take().unwrap());
    let secret = loop {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut shown, &mut line).unwrap();
        assert!(!line.is_empty(), "no secret was shown");
        if let Some((_, secret)) = line.trim().split_once("secret: ") {
            break secret.to_owned();
        }
    };
    let codes = Codes::of(&secret);
    input.write_all(format!("{}\n", codes.now()).as_bytes()).unwrap();
    let enabled = enable.wait_with_output().unwrap();
    assert!(enabled.status.success());
    assert_eq!(text(&enabled.stdout).lines().count(), 10, "recovery codes");
    let desk = Desk::new();
    let with_code = format!("correct horse battery\n{}\n", codes.next());
    done(&desk.told(&login, &with_code));
    done(&desk.cmdr(&["logout"]));
    refused(&desk.cmdr(&["whoami"]), 2);

    // A script of hers may run one program, and nothing else.
    let create = ["keys", "create", "deploy", "--verb", "exec.start", "--on", "command:echo"];
    let key = done(&ann.cmdr(&create));
    let script = |args: &[&str]| {
        let nowhere = tempfile::tempdir().unwrap();
        run(Command::new(program("cmdr"))
            .args(args)
            .env("CMDR_HOME", nowhere.path())
            .env("CMDR_KEY", key.trim()))
    };
    assert_eq!(done(&script(&["exec", "*", "--", "echo", "deployed"])), "deployed\n");
    refused(&script(&["exec", "*", "--", "ls"]), 5);
    refused(&script(&["tokens"]), 5);
    let keys = text(&ann.cmdr(&["keys"]).stdout);
    assert!(keys.contains("deploy") && keys.contains("exec.start on command:echo"), "{keys}");
    assert!(!keys.contains(key.trim()));
    done(&ann.cmdr(&["keys", "revoke", "deploy", "--yes"]));
    refused(&script(&["exec", "*", "--", "echo", "deployed"]), 5);

    let listed = text(&admin.cmdr(&["operators"]).stdout);
    let row = listed.lines().find(|line| line.starts_with("ann")).unwrap();
    assert!(row.contains("password and code"), "{listed}");
    done(&admin.cmdr(&["operators", "disable", "ann", "--yes"]));
    let out = refused(&ann.cmdr(&["whoami"]), 5);
    assert!(out.contains("was shut out"), "{out}");
}

#[test]
fn rights_are_asked_for_and_given_by_somebody_else_and_a_group_gives_a_role() {
    let home = Home::up();
    let (boss, ann) = (Desk::new(), Desk::new());
    let token = done(&home.cmdr(&["tokens", "create", "--operator", "administrator"]));
    done(&boss.cmdr(&["login", token.trim()]));
    let role = boss.dir.path().join("role.toml");
    std::fs::write(
        &role,
        "[[grant]]\nverbs = [\"@read\"]\n[[grant]]\nverbs = [\"exec.start\"]\n\
         resources = [\"command:echo\"]\non_request = { approvals = 1, longest_minutes = 30 }\n",
    )
    .unwrap();
    done(&boss.cmdr(&["roles", "set", "careful", "--file", &role.to_string_lossy()]));
    let token = done(&boss.cmdr(&["operators", "create", "ann", "--role", "careful"]));
    done(&ann.cmdr(&["login", token.trim()]));
    let exec = ["exec", "*", "--", "echo", "allowed"];
    let words = refused(&ann.cmdr(&exec), 5);
    assert!(words.contains("cmdr approvals ask exec.start"), "{words}");
    let nobody = refused(&ann.cmdr(&["exec", "", "--", "echo", "allowed"]), 2);
    assert!(nobody.contains("no host is named"), "{nobody}");
    let words = refused(&ann.cmdr(&["can-i", "exec.strat"]), 2);
    assert!(words.contains("did you mean: exec.start"), "{words}");
    let can = ann.cmdr(&["can-i", "exec.start", "--on", "command:echo"]);
    assert!(text(&can.stdout).contains("on request"), "{}", text(&can.stdout));
    let ask = [
        "approvals",
        "ask",
        "exec.start",
        "--on",
        "command:echo",
        "--reason",
        "to see",
        "--for",
        "5m",
    ];
    let id = done(&ann.cmdr(&ask));
    let own = refused(&ann.cmdr(&["approvals", "approve", id.trim()]), 5);
    assert!(own.contains("approvals.decide"), "{own}");
    let waiting = text(&boss.cmdr(&["approvals"]).stdout);
    assert!(waiting.contains("waiting") && waiting.contains("to see"), "{waiting}");
    done(&boss.cmdr(&["approvals", "approve", id.trim()]));
    assert_eq!(done(&ann.cmdr(&exec)), "allowed\n");
    done(&boss.cmdr(&["approvals", "end", id.trim()]));
    refused(&ann.cmdr(&exec), 5);

    let group = boss.dir.path().join("group.toml");
    std::fs::write(
        &group,
        "kind = \"department\"\nhosts = \"*\"\nmembers = [{ operator = \"ann\", role = \"operator\" }]\n",
    )
    .unwrap();
    done(&boss.cmdr(&["groups", "set", "web", "--file", &group.to_string_lossy()]));
    assert_eq!(done(&ann.cmdr(&exec)), "allowed\n");
    let shown = done(&boss.cmdr(&["groups", "show", "web"]));
    std::fs::write(&group, &shown).unwrap();
    done(&boss.cmdr(&["groups", "set", "web", "--file", &group.to_string_lossy()]));
    // Who may not is told so and not asked; who may is asked, and here nobody can be.
    let remove = ["groups", "remove", "web", "ann"];
    let words = refused(&ann.cmdr(&remove), 5);
    assert!(words.contains("groups.put is not allowed") && !words.contains("--yes"), "{words}");
    let words = refused(&boss.cmdr(&remove), 2);
    assert!(words.contains("--yes"), "{words}");
    let words = refused(&boss.cmdr(&["groups", "remove", "web", "eve"]), 3);
    assert!(words.contains("eve is not in web"), "{words}");
    done(&boss.cmdr(&["groups", "remove", "web", "ann", "--yes"]));
    refused(&ann.cmdr(&exec), 5);
    assert!(done(&boss.cmdr(&["roles", "matrix"])).contains("CAREFUL"));
    let audit = done(&boss.cmdr(&["audit", "--limit", "200"]));
    for method in ["approvals.ask", "approvals.decide", "groups.put", "operators.create"] {
        assert!(audit.contains(method), "{method}\n{audit}");
    }
}
