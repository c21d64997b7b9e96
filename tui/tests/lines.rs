//! The command lines that the client copies: the CLI takes each of them. Whatever else is copied in a test
//! of this program is looked at by [`check`], too.

use clap::Parser as _;
use cmdr::args::Cli;
use std::path::{Path, PathBuf};

/// A line as it stands in the sources, and how it looks with all that can stand in it.
const LINES: &[(&str, &[&str])] = &[
    ("cmdr alerts show {id}", &["cmdr alerts show abc"]),
    ("cmdr alerts silences", &["cmdr alerts silences"]),
    ("cmdr alerts unsilence {id}", &["cmdr alerts unsilence 7"]),
    ("cmdr rules show {rule}", &["cmdr rules show cpu-busy"]),
    ("cmdr rules show {name}", &["cmdr rules show cpu-busy"]),
    ("cmdr rules show {name} --version {version}", &["cmdr rules show cpu-busy --version 3"]),
    ("cmdr rules restore {name} {version}", &["cmdr rules restore cpu-busy 3"]),
    ("cmdr rules off {name}", &["cmdr rules off cpu-busy"]),
    ("cmdr rules rm {name} --yes", &["cmdr rules rm cpu-busy --yes"]),
    ("cmdr notifiers show {notifier}", &["cmdr notifiers show mail"]),
    ("cmdr notifiers notices {name}", &["cmdr notifiers notices mail"]),
    ("cmdr notifiers test {notifier}", &["cmdr notifiers test mail"]),
    ("cmdr notifiers rm {name} --yes", &["cmdr notifiers rm mail --yes"]),
    ("cmdr attach {}", &["cmdr attach abcdefg"]),
    (
        "cmdr audit",
        &[
            "cmdr audit --operator li --method exec.start --host web1 --since 2026-11-22T06:15:26Z",
            "cmdr audit --operator 'li@desk: x'",
        ],
    ),
    ("cmdr can-i {}{host} --as {role}", &["cmdr can-i exec.start web1 --as operator"]),
    ("cmdr cat {}", &["cmdr cat 'web1:/etc/hosts'"]),
    (
        "cmdr chart {figure} {host} --span {}s{}{}{}",
        &["cmdr chart cpu.busy web1 --span 3600s --agg max --over sum"],
    ),
    ("cmdr edit {}", &["cmdr edit 'web1:/etc/hosts.d/fleet'"]),
    (
        "cmdr edits {verb} {} {}",
        &["cmdr edits confirm 'web1:/etc/hosts' abc", "cmdr edits revert 'web1:/etc/hosts' abc"],
    ),
    ("cmdr env {host}", &["cmdr env web1"]),
    ("cmdr env {} unset {}", &["cmdr env web1 unset PATH"]),
    ("cmdr hosts-file {}", &["cmdr hosts-file web1"]),
    ("cmdr hosts show {}", &["cmdr hosts show web1"]),
    ("cmdr kill {}", &["cmdr kill web1 7 8 --signal KILL; cmdr kill web2 9 --signal KILL"]),
    (
        "cmdr logs",
        &["cmdr logs 'web1:/var/log/syslog' -i 'a b' -x c --level warning -C 3 --joined -f"],
    ),
    ("cmdr config drift {name} --all", &["cmdr config drift web --all"]),
    ("cmdr config drift {name} {host} --diff", &["cmdr config drift web web1 --diff"]),
    ("cmdr config drift {} {} --diff", &["cmdr config drift web web1 --diff"]),
    ("cmdr config restore {name} {version}", &["cmdr config restore web 3"]),
    ("cmdr config rm {}", &["cmdr config rm web"]),
    ("cmdr config show {name} --version {version}", &["cmdr config show web --version 3"]),
    ("cmdr config show {}", &["cmdr config show web"]),
    ("cmdr ps '*' --filter {}", &["cmdr ps '*' --filter 'a b'"]),
    ("cmdr recorder {host}", &["cmdr recorder web1"]),
    ("cmdr recorder {host} --at {}", &["cmdr recorder web1 --at 2026-11-22T06:15:26Z"]),
    ("cmdr data", &["cmdr data"]),
    ("cmdr data purge {kind} --before {}", &["cmdr data purge runs --before 2026-11-20"]),
    ("cmdr probes rm {}", &["cmdr probes rm shop"]),
    ("cmdr probes show {}", &["cmdr probes show shop"]),
    ("cmdr probes show {name} --version {version}", &["cmdr probes show shop --version 2"]),
    ("cmdr probes restore {name} {version}", &["cmdr probes restore shop 2"]),
    ("cmdr probes status {}", &["cmdr probes status shop"]),
    ("cmdr probes try {}", &["cmdr probes try shop"]),
    ("cmdr gateway status {}", &["cmdr gateway status web"]),
    ("cmdr gateway show {}", &["cmdr gateway show web"]),
    ("cmdr gateway show {name} --version {version}", &["cmdr gateway show web --version 2"]),
    ("cmdr gateway restore {name} {version}", &["cmdr gateway restore web 2"]),
    ("cmdr gateway rm {}", &["cmdr gateway rm web"]),
    ("cmdr gateway drain {}", &["cmdr gateway drain web main '[fd00::7]:80'"]),
    ("cmdr gateway drain {gateway} {name}", &["cmdr gateway drain web http"]),
    ("cmdr gateway undrain {gateway} {name}", &["cmdr gateway undrain web http"]),
    ("cmdr gateway switch {}", &["cmdr gateway switch web main 10.0.0.1:80"]),
    ("cmdr gateway switch {} {} back", &["cmdr gateway switch web main back"]),
    ("cmdr gateway bans {}", &["cmdr gateway bans web"]),
    ("cmdr gateway log {}", &["cmdr gateway log web"]),
    ("cmdr forward status {}", &["cmdr forward status db"]),
    ("cmdr forward stop {}", &["cmdr forward stop db"]),
    ("cmdr forward cut {}", &["cmdr forward cut db"]),
    ("cmdr forward rm {}", &["cmdr forward rm db"]),
    ("cmdr run rm {id}", &["cmdr run rm jy5nd2hhw6h7i"]),
    ("cmdr run stop --all", &["cmdr run stop --all"]),
    ("cmdr ls -l {}", &["cmdr ls -l 'web1:/a b'"]),
    ("cmdr ports '*'", &["cmdr ports '*'"]),
    ("cmdr ports {host}{more}", &["cmdr ports web1 --connected", "cmdr ports web1 --unix"]),
    ("cmdr ps '*' --limit 20", &["cmdr ps '*' --limit 20"]),
    (
        "cmdr ps {host}",
        &[
            "cmdr ps web1 --tree",
            "cmdr ps web1 --sort pid",
            "cmdr ps web1 --sort user",
            "cmdr ps web1 --sort cpu",
            "cmdr ps web1 --sort mem",
            "cmdr ps web1 --sort threads",
            "cmdr ps web1 --sort start",
            "cmdr ps web1 --sort command --filter 'a b'",
        ],
    ),
    (
        "cmdr recordings search {flag}{text}",
        &["cmdr recordings search -E 'a|b'", "cmdr recordings search -- '-rf /'"],
    ),
    ("cmdr recordings stop {} --yes", &["cmdr recordings stop 7 --yes"]),
    ("cmdr replay {}", &["cmdr replay 7"]),
    ("cmdr rm{}", &["cmdr rm -r 'web1:/a' 'web1:/b'", "cmdr rm 'web1:/a'"]),
    ("cmdr roles show {role}", &["cmdr roles show operator"]),
    ("cmdr run output {run} {name}", &["cmdr run output jy5nd2hhw6h7i web1"]),
    ("cmdr run output {run} {}", &["cmdr run output jy5nd2hhw6h7i 'edge 1'"]),
    ("cmdr run retry {id}", &["cmdr run retry jy5nd2hhw6h7i"]),
    ("cmdr run schedule delete {}", &["cmdr run schedule delete nightly"]),
    ("cmdr run schedule ls", &["cmdr run schedule ls"]),
    ("cmdr run show {run}", &["cmdr run show jy5nd2hhw6h7i"]),
    ("cmdr run show {run} --fold", &["cmdr run show jy5nd2hhw6h7i --fold"]),
    ("cmdr run show {}", &["cmdr run show jy5nd2hhw6h7i"]),
    ("cmdr run stop {id}", &["cmdr run stop jy5nd2hhw6h7i"]),
    ("cmdr runbook show {}", &["cmdr runbook show nginx"]),
    ("cmdr services show {host} {name}", &["cmdr services show web1 nginx.service"]),
    ("cmdr services show {} {}", &["cmdr services show web1 'a@b.service'"]),
    (
        "cmdr services {verb} {} {}",
        &[
            "cmdr services start web1 x",
            "cmdr services stop web1 x",
            "cmdr services restart web1 x",
            "cmdr services reload web1 x",
            "cmdr services enable web1 x",
            "cmdr services disable web1 x",
            "cmdr services mask web1 x",
            "cmdr services unmask web1 x",
            "cmdr services reset-failed web1 x",
        ],
    ),
    ("cmdr services {host}{failed}", &["cmdr services web1", "cmdr services web1 --failed"]),
    ("cmdr docker inspect {}", &["cmdr docker inspect web1 db"]),
    ("cmdr docker inspect --values {} {}", &["cmdr docker inspect --values web1 db"]),
    ("cmdr docker top {}", &["cmdr docker top web1 db"]),
    ("cmdr docker diff {}", &["cmdr docker diff web1 db"]),
    (
        "cmdr docker ps {hosts}{all}",
        &["cmdr docker ps web1", "cmdr docker ps web1,db1 -a", "cmdr docker ps '*' -a"],
    ),
    ("cmdr docker kill -s TERM {} {}", &["cmdr docker kill -s TERM web1 db"]),
    ("cmdr docker kill -s INT {} {}", &["cmdr docker kill -s INT web1 db"]),
    ("cmdr docker kill -s HUP {} {}", &["cmdr docker kill -s HUP web1 db"]),
    ("cmdr docker kill -s QUIT {} {}", &["cmdr docker kill -s QUIT web1 db"]),
    ("cmdr docker kill -s USR1 {} {}", &["cmdr docker kill -s USR1 web1 db"]),
    ("cmdr docker kill -s USR2 {} {}", &["cmdr docker kill -s USR2 web1 db"]),
    ("cmdr docker kill -s WINCH {} {}", &["cmdr docker kill -s WINCH web1 db"]),
    ("cmdr docker kill -s KILL {} {}", &["cmdr docker kill -s KILL web1 db"]),
    ("cmdr docker restart {} {}", &["cmdr docker restart web1 db"]),
    ("cmdr docker pause {} {}", &["cmdr docker pause web1 db"]),
    ("cmdr docker unpause {} {}", &["cmdr docker unpause web1 db"]),
    ("cmdr docker rm {} {}", &["cmdr docker rm web1 db"]),
    ("cmdr docker rm --force {} {}", &["cmdr docker rm --force web1 db"]),
    (
        "cmdr docker update {on} {}{words}",
        &[
            "cmdr docker update web1 db --memory=512m --pids-limit=-1 --restart=on-failure:5 --memory-swap=-1",
        ],
    ),
    (
        "cmdr docker prune {} --only {}",
        &["cmdr docker prune web1,web2 --only image,cache --all --older 7s --label 'a=b'"],
    ),
    ("cmdr docker history {on} {}", &["cmdr docker history web1 'nginx:1'"]),
    ("cmdr docker images {}", &["cmdr docker images '*'"]),
    ("cmdr docker volume inspect {on} {}", &["cmdr docker volume inspect web1 data"]),
    ("cmdr docker volume inspect {} {}", &["cmdr docker volume inspect web1 data"]),
    ("cmdr docker volume ls {}", &["cmdr docker volume ls web1"]),
    ("cmdr docker volume rm {} {}", &["cmdr docker volume rm web1 data"]),
    ("cmdr docker volume rm -f {} {}", &["cmdr docker volume rm -f web1 data"]),
    (
        "cmdr docker volume create {} {}",
        &["cmdr docker volume create web1 data --label 'a=b' --driver x --opt 'type=nfs'"],
    ),
    (
        "cmdr docker volume restore {host_word} {volume}{force} < {file}",
        &["cmdr docker volume restore web1 data --force < '/tmp/a b.tar'"],
    ),
    (
        "cmdr docker network create {} {}",
        &[
            "cmdr docker network create web1 shop --driver macvlan --subnet '10.1.0.0/16' --gateway 10.1.0.1 \
           --ip-range '10.1.2.0/24' --internal --attachable --ipv6 --label 'a=b' --opt 'c=d'",
        ],
    ),
    ("cmdr docker network inspect {} {}", &["cmdr docker network inspect web1 shop"]),
    ("cmdr docker network inspect {on} {}", &["cmdr docker network inspect web1 shop"]),
    ("cmdr docker network ls {}", &["cmdr docker network ls web1"]),
    ("cmdr docker network rm {} {}", &["cmdr docker network rm web1 shop"]),
    (
        "cmdr docker network disconnect {host} {name} {who}",
        &["cmdr docker network disconnect web1 shop db"],
    ),
    ("cmdr docker push {} {}", &["cmdr docker push web1 'reg:5000/shop:7'"]),
    ("cmdr docker image cp {from} {to} {image}", &["cmdr docker image cp web1 web2 shop"]),
    ("cmdr docker image inspect {} {}", &["cmdr docker image inspect web1 shop"]),
    ("cmdr docker rmi {} {}", &["cmdr docker rmi web1 shop"]),
    ("cmdr docker rmi -f {} {}", &["cmdr docker rmi -f web1 shop"]),
    ("cmdr docker events {}", &["cmdr docker events web1"]),
    ("cmdr docker info {}", &["cmdr docker info '*'"]),
    ("cmdr docker outdated {selector} --all", &["cmdr docker outdated web1,web2 --all"]),
    ("cmdr docker registry manifest {}", &["cmdr docker registry manifest 'reg:5000/shop:7'"]),
    ("cmdr docker registry ls", &["cmdr docker registry ls"]),
    ("cmdr docker registry catalog {}", &["cmdr docker registry catalog 'reg:5000'"]),
    ("cmdr docker registry tags {}", &["cmdr docker registry tags 'reg:5000/shop'"]),
    ("cmdr docker registry rm {}", &["cmdr docker registry rm 'reg:5000'"]),
    (
        "cmdr docker registry rmtag {}{force}",
        &["cmdr docker registry rmtag 'reg:5000/shop:7' --force"],
    ),
    ("cmdr docker compose ps {}", &["cmdr docker compose ps shop"]),
    ("cmdr docker compose ps {shell_name} {on}", &["cmdr docker compose ps shop web1,web2"]),
    (
        "cmdr docker compose diff {shell_name} {on} --version {version}",
        &["cmdr docker compose diff shop web1 --version 3"],
    ),
    (
        "cmdr docker compose up {} {on} --version {version}",
        &["cmdr docker compose up shop web1,web2 --version 3"],
    ),
    ("cmdr docker compose stop {} {on}", &["cmdr docker compose stop shop web1"]),
    (
        "cmdr docker compose down {} {on}{more}",
        &["cmdr docker compose down shop web1", "cmdr docker compose down shop web1 --volumes"],
    ),
    (
        "cmdr docker compose show {name} --version {version}",
        &["cmdr docker compose show shop --version 3"],
    ),
    (
        "cmdr docker compose show {} --version {version}",
        &["cmdr docker compose show shop --version 3"],
    ),
    ("cmdr docker compose rollback {} {version}", &["cmdr docker compose rollback shop 2"]),
    ("cmdr docker compose rm {}", &["cmdr docker compose rm shop"]),
    ("cmdr docker start {} {}", &["cmdr docker start web1 db"]),
    ("cmdr docker stop {} {}", &["cmdr docker stop web1 db"]),
    ("cmdr sessions end {}", &["cmdr sessions end abcdefg"]),
    ("cmdr shell {}", &["cmdr shell web1"]),
    (
        "cmdr system {name} {host}",
        &[
            "cmdr system mounts web1",
            "cmdr system interfaces web1",
            "cmdr system logins web1",
            "cmdr system packages web1",
            "cmdr system jobs web1",
        ],
    ),
    ("cmdr top {}", &["cmdr top web1"]),
    (
        "cmdr unpack {folder} --from {archive}",
        &["cmdr unpack 'web1:/srv/a b' --from '/srv/a b.tar.gz'"],
    ),
    (
        "cmdr mkdir -p {folder}; cmdr unpack {folder} --from {archive}",
        &["cmdr mkdir -p 'web1:/srv/a'; cmdr unpack 'web1:/srv/a' --from /srv/a.tar"],
    ),
];

/// The commands of a line, each as its words: what a shell makes of blanks, quotes and `;`.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quoted, mut chars) = (false, line.chars());
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if !quoted => word.get_or_insert_default().extend(chars.next()),
            ' ' if !quoted => words.extend(word.take()),
            ';' if !quoted => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "a quote is left open: {line}");
    words.extend(word);
    all.push(words);
    all
}

/// Fails unless the CLI takes the line.
pub(crate) fn check(line: &str) {
    for mut words in commands(line) {
        // What a shell reads from a file is no word of the program's.
        if let Some(at) = words.iter().position(|word| word == "<") {
            words.drain(at..(at + 2).min(words.len()));
        }
        if let Err(error) = Cli::try_parse_from(&words) {
            panic!("{line}: {error}");
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_line_that_is_copied_is_one_that_the_cli_takes() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let literal = regex::Regex::new(r#""(cmdr [^"]+)""#).unwrap();
    let mut used = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for found in literal.captures_iter(code) {
            let line = found[1].to_owned();
            let known = LINES.iter().any(|(known, _)| *known == line);
            assert!(known, "{}: say here how '{line}' looks when it is filled in", file.display());
            used.push(line);
        }
    }
    for (line, filled) in LINES {
        assert!(used.iter().any(|one| one == line), "nobody copies '{line}' any more");
        filled.iter().for_each(|line| check(line));
    }
}

#[test]
#[should_panic(expected = "unrecognized subcommand")]
fn a_line_with_a_wrong_verb_is_noticed() {
    check("cmdr recordings replay 7");
}
