//! Every verb of `cmdr`, out of its own description of itself, by somebody who may do next to nothing: each is
//! done, or refused in a sentence that names the right that is missing.

use crate::local::{Home, text};
use clap::CommandFactory as _;
use harness::process::program;
use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

/// What would be typed. HOST is the host, ROLE and GROUP are files, DIR is a folder.
const LINES: &[&str] = &[
    "whoami",
    "hosts",
    "hosts list",
    "hosts show HOST",
    "hosts rename HOST other",
    "hosts label HOST a=b",
    "hosts rotate-key HOST --yes",
    "hosts forget HOST --yes",
    "hosts approve HOST",
    "hosts reject HOST --yes",
    "exec HOST -- true",
    "exec HOST -- false",
    "config",
    "config ls",
    "config check ROLE",
    "config drift none",
    "config push none",
    "config restore none 1",
    "config rm none --yes",
    "config save ROLE",
    "config show none",
    "config versions none",
    "packages install curl --on HOST",
    "packages remove curl --on HOST",
    "packages upgrade curl --on HOST",
    "push ROLE HOST --to /tmp/cmdr-narrow",
    "chart cpu.busy",
    "history",
    "history ls",
    "history sizes",
    "history purge --yes",
    "data",
    "data ls",
    "data purge runs --before 400d --yes",
    "recorder HOST",
    "recorder HOST --span 1h",
    "recorder HOST --info",
    "rules",
    "rules ls",
    "rules show cpu-busy",
    "rules check ROLE",
    "rules save ROLE",
    "rules try cpu-busy",
    "rules on cpu-busy",
    "rules off cpu-busy",
    "rules versions cpu-busy",
    "rules restore cpu-busy 1",
    "rules rm cpu-busy --yes",
    "alerts",
    "alerts ls",
    "alerts watch",
    "alerts show none",
    "alerts history",
    "alerts ack none",
    "alerts unack none",
    "alerts dismiss none --why gone",
    "alerts silence rule=none --for 1h",
    "alerts silences",
    "alerts unsilence 1",
    "alerts policies",
    "alerts policies show",
    "alerts policies check ROLE",
    "alerts policies save ROLE",
    "notifiers",
    "notifiers ls",
    "notifiers show none",
    "notifiers check ROLE",
    "notifiers save none ROLE",
    "notifiers test none",
    "notifiers notices",
    "notifiers rm none --yes",
    "pushes",
    "pushes ls",
    "pushes put none --slack none",
    "pushes rm none --yes",
    "pushes test none",
    "pushes waiting",
    "run",
    "run ls",
    "run output 0000000000000000",
    "run pause 0000000000000000",
    "run resume 0000000000000000",
    "run retry 0000000000000000",
    "run rm 0000000000000000 --yes",
    "run schedule",
    "run schedule delete none",
    "run schedule ls",
    "run schedule pause none",
    "run schedule put none HOST --every 1h -- uptime",
    "run schedule resume none",
    "run show 0000000000000000",
    "run stop 0000000000000000",
    "run watch 0000000000000000",
    "runbook",
    "runbook check ROLE",
    "runbook ls",
    "runbook restore nginx 1",
    "runbook rm nginx --yes",
    "runbook run nginx HOST",
    "runbook save ROLE",
    "runbook show nginx",
    "runbook sign nginx",
    "runbook verify nginx",
    "runbook steps 0000000000000000",
    "runbook versions nginx",
    "logs HOST",
    "shell HOST",
    "attach 00000000000000000000000000000000",
    "sessions",
    "sessions ls",
    "sessions end 00000000000000000000000000000000 --yes",
    "ls HOST:/tmp",
    "cat HOST:/etc/hostname",
    "cp HOST:/etc/hostname DIR/x",
    "stat HOST:/tmp",
    "mkdir HOST:/tmp/cmdr-narrow",
    "mv HOST:/tmp/cmdr-narrow /tmp/cmdr-narrow2",
    "rm HOST:/tmp/cmdr-narrow --yes",
    "chmod 600 HOST:/tmp/cmdr-narrow",
    "archive HOST:/tmp/cmdr-narrow",
    "unpack HOST:/tmp/cmdr-narrow",
    "edit HOST:/tmp/cmdr-narrow --from ROLE",
    "edits HOST",
    "edits diff HOST:/tmp/cmdr-narrow",
    "edits show HOST:/tmp/cmdr-narrow 1",
    "edits restore HOST:/tmp/cmdr-narrow 1",
    "edits confirm HOST:/tmp/cmdr-narrow",
    "edits revert HOST:/tmp/cmdr-narrow",
    "hosts-file HOST --from ROLE",
    "env HOST",
    "env HOST ls",
    "env HOST set A=b",
    "env HOST unset A",
    "top",
    "ps HOST",
    "kill HOST 1 --yes",
    "renice HOST 1 5",
    "ports HOST",
    "docker info HOST",
    "docker df HOST",
    "docker events HOST",
    "docker prune HOST --yes",
    "docker ps HOST",
    "docker inspect HOST none",
    "docker top HOST none",
    "docker diff HOST none",
    "docker port HOST none",
    "docker start HOST none --yes",
    "docker stop HOST none --yes",
    "docker restart HOST none --yes",
    "docker pause HOST none --yes",
    "docker unpause HOST none --yes",
    "docker kill HOST none --yes",
    "docker rename HOST none other",
    "docker rm HOST none --yes",
    "docker run HOST -d none",
    "docker create HOST none",
    "docker stats HOST",
    "docker update HOST none --memory 64m",
    "docker recreate HOST none --yes",
    "docker commit HOST none",
    "docker export HOST none",
    "docker cp HOST none:/x -",
    "docker logs HOST none",
    "docker exec HOST none true",
    "docker attach HOST none",
    "docker proxy HOST --socket DIR/docker.sock",
    "docker images HOST",
    "docker history HOST none",
    "docker tag HOST none other",
    "docker rmi HOST none --yes",
    "docker image inspect HOST none",
    "docker image cp HOST HOST none",
    "docker save HOST none",
    "docker load HOST",
    "docker pull HOST none",
    "docker push HOST none",
    "docker outdated HOST",
    "docker registry ls",
    "docker registry add r.example.org",
    "docker registry rm r.example.org --yes",
    "docker registry catalog r.example.org",
    "docker registry tags r.example.org/none",
    "docker registry manifest r.example.org/none",
    "docker registry rmtag r.example.org/none:1 --yes",
    "docker volume ls HOST",
    "docker volume inspect HOST none",
    "docker volume create HOST none",
    "docker volume rm HOST none --yes",
    "docker volume files HOST none",
    "docker volume backup HOST none",
    "docker volume restore HOST none",
    "docker network ls HOST",
    "docker network inspect HOST none",
    "docker network create HOST none",
    "docker network rm HOST none --yes",
    "docker network connect HOST none none",
    "docker network disconnect HOST none none",
    "docker compose ls",
    "docker compose put none ROLE",
    "docker compose show none",
    "docker compose versions none",
    "docker compose rollback none 1",
    "docker compose rm none --yes",
    "docker compose check none HOST",
    "docker compose diff none HOST",
    "docker compose up none HOST",
    "docker compose stop none HOST --yes",
    "docker compose down none HOST --yes",
    "docker compose ps none HOST",
    "docker compose logs none HOST",
    "services HOST",
    "services start HOST x.service --yes",
    "services stop HOST x.service --yes",
    "services restart HOST x.service --yes",
    "services reload HOST x.service --yes",
    "services enable HOST x.service --yes",
    "services disable HOST x.service --yes",
    "services mask HOST x.service --yes",
    "services unmask HOST x.service --yes",
    "services reset-failed HOST x.service --yes",
    "services show HOST x.service",
    "system mounts HOST",
    "system interfaces HOST",
    "system logins HOST",
    "system packages HOST",
    "system jobs HOST",
    "ssh --detach --no-key --via HOST ann@127.0.0.1",
    "ssh-hosts",
    "ssh-hosts ls",
    "ssh-hosts forget 127.0.0.1 --via HOST --yes",
    "ping HOST",
    "ping",
    "tokens",
    "tokens list",
    "tokens create --operator observer",
    "tokens revoke aaaaaaaaaaaaa --yes",
    "operators",
    "operators list",
    "operators create eve",
    "operators password ann --none",
    "operators reset-totp ann --yes",
    "operators disable ann --yes",
    "operators enable ann",
    "operators delete ann --yes",
    "operators devices",
    "operators locks",
    "operators unlock ann",
    "operators revoke abcd --yes",
    "roles",
    "roles list",
    "roles show narrow",
    "roles set other --file ROLE",
    "roles delete narrow --yes",
    "roles assign ann administrator",
    "roles matrix",
    "roles verbs",
    "groups",
    "groups list",
    "groups show web",
    "groups set web --file GROUP",
    "groups add web ann --role observer",
    "groups remove web ann --yes",
    "groups delete web --yes",
    "keys",
    "keys list",
    "keys create k --verb exec.start",
    "keys revoke k --yes",
    "approvals",
    "approvals list",
    "approvals ask exec.start --reason x",
    "approvals approve 1",
    "approvals deny 1 --reason x",
    "approvals end 1",
    "can-i exec.start",
    "who-can exec.start",
    "secrets",
    "secrets ls",
    "secrets put x",
    "secrets rm x --yes",
    "secrets rotate",
    "watch --once",
    "audit",
    "audit list",
    "audit verify",
    "audit export DIR/out",
    "recordings",
    "recordings ls",
    "recordings show 1",
    "recordings cat 1",
    "recordings play 1",
    "recordings search x",
    "recordings export 1 DIR/o1",
    "recordings mark 1 danger",
    "recordings rm 1 --yes",
    "recordings verify",
    "recordings watch 1",
    "recordings stop 1 --yes",
    "recordings rules",
    "recordings rules ls",
    "recordings rules set x",
    "recordings rules rm x --yes",
    "probes",
    "probes ls",
    "probes status x",
    "probes show x",
    "probes check DIR/p",
    "probes save DIR/p",
    "probes try x",
    "probes versions x",
    "probes restore x 1",
    "probes rm x --yes",
    "gateway",
    "gateway ls",
    "gateway status x",
    "gateway show x",
    "gateway plan DIR/p",
    "gateway apply DIR/p",
    "gateway versions x",
    "gateway restore x 1",
    "gateway rm x --yes",
    "gateway drain x web",
    "gateway undrain x web",
    "gateway weight x web 127.0.0.1:1",
    "gateway switch x web back",
    "gateway ban x edge 192.0.2.1",
    "gateway bans x",
    "gateway log x",
    "gateway config x --for nginx",
    "forward 0 HOST:1",
    "forward -D 0 --via HOST",
    "forward ls",
    "forward show x",
    "forward status",
    "forward add x HOST:1 HOST:1",
    "forward plan DIR/f",
    "forward apply DIR/f",
    "forward stop x",
    "forward resume x",
    "forward switch x 1",
    "forward cut x --yes",
    "forward rm x --yes",
    "hub",
    "hub info",
    "hub backup DIR/bk",
    "hub check",
    "hub rotate-key",
    "hub rotate-key status",
    "hub rotate-key begin",
    "hub rotate-key switch --yes",
    "hub rotate-key finish --yes",
    "hub rotate-key abort",
    "hub card",
    "keys renew",
];

/// These are about this machine and this home, or need a terminal first of all.
const ELSEWHERE: &[&str] = &[
    "login",
    "logout",
    "passwd",
    "totp enable",
    "totp disable",
    "device-key show",
    "device-key seal",
    "device-key unseal",
    "up",
    "down",
    "replay",
    "completions",
    "man",
];

/// How lines end otherwise than done (0) or refused (5), and why.
const OTHERWISE: &[(&str, i32, &str)] = &[
    ("shell HOST", 2, "needs a terminal"),
    ("docker attach HOST none", 2, "needs a terminal"),
    ("attach 00000000000000000000000000000000", 2, "needs a terminal"),
    // Nothing of any host is told, only that there is no such name.
    ("approvals end 1", 3, "you have no request 1"),
    ("keys renew", 2, "CMDR_KEY is not set"),
];

/// Who may next to nothing: run one program.
struct Ann {
    home: Home,
    dir: tempfile::TempDir,
    host: String,
}

impl Ann {
    fn new() -> Self {
        let home = Home::up();
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        std::fs::write(
            at("role.toml"),
            "[[grant]]\nverbs = [\"exec.start\"]\nresources = [\"command:true\"]\n",
        )
        .unwrap();
        std::fs::write(at("p"), "name: x\nicmp: { host: 127.0.0.1 }\n").unwrap();
        let forward = "name: x\nhost: h\nlisten: 127.0.0.1:1\nto: 127.0.0.1:2\n";
        std::fs::write(at("f"), forward).unwrap();
        std::fs::write(at("group.toml"), "kind = \"department\"\nhosts = \"*\"\n").unwrap();
        let boss = |args: &[&str]| {
            let made = run(&at("boss"), args);
            assert!(made.status.success(), "{args:?}: {}", text(&made.stderr));
            text(&made.stdout).trim().to_owned()
        };
        let token = home.cmdr(&["tokens", "create", "--operator", "administrator"]);
        boss(&["login", text(&token.stdout).trim()]);
        boss(&["roles", "set", "narrow", "--file", &at("role.toml")]);
        let token = boss(&["operators", "create", "ann", "--role", "narrow"]);
        let logged_in = run(&at("ann"), &["login", &token]);
        assert!(logged_in.status.success(), "{}", text(&logged_in.stderr));
        let host = boss(&["hosts", "-o", "name"]);
        Self { home, dir, host }
    }

    /// Runs a line as it is typed.
    fn types(&self, line: &str) -> Output {
        let dir = self.dir.path().to_string_lossy();
        let words = line.split(' ').map(|word| {
            let word = word.replace("HOST", &self.host).replace("DIR", &dir);
            word.replace("ROLE", &format!("{dir}/role.toml"))
                .replace("GROUP", &format!("{dir}/group.toml"))
        });
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(&format!("{dir}/ann"), &words)
    }
}

fn run(home: &str, args: &[&str]) -> Output {
    // One that does not end is told with its line, and keeps no other waiting.
    let mut command = Command::new("timeout");
    command.arg("60").arg(program("cmdr")).args(args);
    command.env("CMDR_HOME", home).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // What reads a value gets one.
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a value\n").ok();
    child.wait_with_output().unwrap()
}

/// All verbs that do something themselves, as they are typed.
fn verbs(command: &clap::Command, path: &str, out: &mut BTreeSet<String>) {
    let parts: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
    if !path.is_empty() && (!command.is_subcommand_required_set() || parts.is_empty()) {
        out.insert(path.to_owned());
    }
    for part in parts {
        verbs(part, format!("{path} {}", part.get_name()).trim(), out);
    }
}

/// Whether a line is of a verb: its words come in this order, at the beginning.
fn is_of(line: &str, verb: &str) -> bool {
    // The host stands before the verbs of its environment.
    let line = line.replacen("env HOST ", "env ", 1);
    line == verb || line.starts_with(&format!("{verb} "))
}

#[test]
fn every_verb_has_a_line_here() {
    let mut all = BTreeSet::new();
    verbs(&cmdr::args::Cli::command(), "", &mut all);
    let known = |verb: &String| {
        ELSEWHERE.contains(&verb.as_str()) || LINES.iter().any(|line| is_of(line, verb))
    };
    let forgotten: Vec<_> = all.iter().filter(|verb| !known(verb)).collect();
    assert!(all.len() > 100 && forgotten.is_empty(), "no line for: {forgotten:?}");
}

#[test]
fn who_may_next_to_nothing_is_served_or_told_which_right_is_missing_whatever_is_typed() {
    let ann = Ann::new();
    let mut wrong = Vec::new();
    let mut refused = 0;
    for line in LINES {
        let output = ann.types(line);
        let (words, code) = (text(&output.stderr), output.status.code());
        let all = format!("{}{words}", text(&output.stdout));
        let otherwise = OTHERWISE.iter().find(|(odd, ..)| odd == line);
        let right = match (code, otherwise) {
            (Some(code), Some((_, expected, why))) => code == *expected && words.contains(why),
            (Some(0), None) => true,
            // The right that is missing is named: a method, or the role that does not have it.
            (Some(5), None) => {
                refused += 1;
                (all.contains("is not allowed for ann: ") || all.contains("the role narrow"))
                    && !all.contains("panicked")
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{line}: {code:?}: {all}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 80, "{refused}");
    // Nothing was changed by any of it, and she is still there.
    assert!(ann.types("whoami").status.success());
    let hosts = ann.home.json(&["hosts", "-o", "json"]);
    assert_eq!(hosts[0]["name"], ann.host.as_str());
}
