//! The runbooks that come with the hub, for real: each installs its software in a Debian container, changes nothing
//! the second time, and removes it again.

use cmdr_hub::runbooks::{Done, Library, Next, Outcome, Plan, Progress, Task, Walk, values};
use cmdr_hub::store::Store;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::hosts::Host as Known;
use cmdr_protocol::runbooks::StepState;
use cmdr_protocol::runs::{Action, Param};
use harness::systemd::Host;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

type Tried =
    (&'static str, &'static [(&'static str, &'static str)], &'static str, Option<&'static str>);

/// Each runbook, parameters for a container, the package that has to come and go, and a unit that runs.
/// Docker's engine and a clock cannot run in a container that may neither mount nor set the time.
const BOOKS: &[Tried] = &[
    ("nginx", &[], "nginx", Some("nginx")),
    ("redis", &[], "redis-server", Some("redis-server")),
    ("memcached", &[("port", "11311"), ("memory", "32")], "memcached", Some("memcached")),
    ("haproxy", &[], "haproxy", Some("haproxy")),
    (
        "node-exporter",
        &[("port", "9191")],
        "prometheus-node-exporter",
        Some("prometheus-node-exporter"),
    ),
    ("prometheus", &[("targets", "localhost:9191")], "prometheus", Some("prometheus")),
    ("fail2ban", &[("tries", "3")], "fail2ban", Some("fail2ban")),
    ("chrony", &[("servers", "ntp1.example,ntp2.example"), ("start", "no")], "chrony", None),
    ("postgresql", &[], "postgresql-common", Some("postgresql")),
    ("mariadb", &[], "mariadb-server", Some("mariadb")),
    ("rabbitmq", &[], "rabbitmq-server", Some("rabbitmq-server")),
    ("docker", &[("start", "no")], "docker.io", None),
];

/// Packages as they were fetched, at most once.
fn packages() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/catalogue");
    let output = Command::new(&script).arg("fetch").output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} fetch: {words}", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

struct Lab {
    host: Host,
    known: Known,
    library: Library,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::load(Store::open(dir.path()).unwrap()).unwrap();
        let facts = Facts { os: "debian".into(), ..Facts::default() };
        let known = Known { name: "lab".into(), facts: Some(facts), ..Known::default() };
        let host = Host::boot_apart(&packages());
        // A container may have no user namespaces of its own; some units want one.
        let script = "mkdir -p /etc/systemd/system/service.d && \
                      printf '[Service]\\nPrivateUsers=no\\n' > /etc/systemd/system/service.d/container.conf && \
                      systemctl daemon-reload";
        host.run(&["sh", "-c", script]);
        Self { host, known, library, _dir: dir }
    }

    /// Goes through a runbook to its end, and tells what came of each step.
    fn go(&self, name: &str, params: &[(&str, &str)], state: &str) -> Vec<(String, Done)> {
        let (plan, _) = self.library.plan(name, None).unwrap();
        let text = |value: &str| Param::Text(value.to_owned());
        let mut given: BTreeMap<_, _> =
            params.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
        given.insert("state".to_owned(), text(state));
        let values = values(plan.book(), &given).unwrap();
        let secrets = |name: &str| Err(format!("no {name}"));
        let walk = Walk { plan: &plan, values: &values, host: &self.known, secrets: &secrets };
        let mut progress = Progress::default();
        loop {
            match walk.next(&mut progress) {
                Next::Do { pause_ms, task, .. } => {
                    let (begun, pause) = (Instant::now(), Duration::from_millis(pause_ms));
                    while begun.elapsed() < pause {
                        harness::process::pause();
                    }
                    let outcome = self.perform(&task);
                    progress.took(&plan, &outcome);
                }
                Next::Over => return told(&plan, progress),
                other => panic!("{name} {state}: {other:?}\n{progress:#?}"),
            }
        }
    }

    fn sh(&self, script: &str, args: &[&str], input: &[u8]) -> (i32, String) {
        let argv: Vec<String> =
            ["sh", "-c", script, "sh"].iter().chain(args).map(|&arg| arg.to_owned()).collect();
        let env = [("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())].into();
        self.host.exec(&argv, &env, input)
    }

    fn perform(&self, task: &Task) -> Outcome {
        let order = &task.order;
        let (mut already, mut env) = (false, order.env.clone());
        env.insert("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned());
        let (code, said) = if let Some(command) = &order.command {
            self.host.exec(&command.argv, &env, b"")
        } else if let Some(line) = &order.line {
            self.host.exec(&["/bin/sh".into(), "-c".into(), line.text.clone()], &env, b"")
        } else if let Some(script) = &order.script {
            self.host.exec(&["/bin/sh".into(), "-s".into()], &env, &script.content)
        } else if let Some(push) = &order.push {
            let content = task.content.as_deref().unwrap();
            let (code, _) = self.sh("cmp -s - \"$1\"", &[&push.path], content);
            already = code == 0;
            let mode = format!("{:o}", push.mode.unwrap_or(0o644));
            self.sh("cat > \"$1\" && chmod \"$2\" \"$1\"", &[&push.path, &mode], content)
        } else if let Some(packages) = &order.packages {
            let names: Vec<_> = packages.names.iter().map(String::as_str).collect();
            let here = names.iter().filter(|name| self.is_here(name)).count();
            let (verb, done) = match packages.action {
                Action::Install => ("install", here == names.len()),
                _ => ("remove", here == 0),
            };
            already = done;
            let script = format!("exec apt-get {verb} -y -q \"$@\"");
            if done { (0, String::new()) } else { self.sh(&script, &names, b"") }
        } else {
            panic!("{order:?}")
        };
        let output = said.into_bytes();
        Outcome { ok: code == 0, code: Some(code), already, output, ..Outcome::default() }
    }

    /// Whether a package is installed.
    fn is_here(&self, name: &str) -> bool {
        let (_, said) = self.sh("dpkg-query -W -f '${db:Status-Status}' \"$1\"", &[name], b"");
        said.trim() == "installed"
    }

    fn runs(&self, unit: &str) -> bool {
        self.host.try_run(&["systemctl", "is-active", "--quiet", unit]).0
    }
}

fn told(plan: &Plan, progress: Progress) -> Vec<(String, Done)> {
    let name = |(at, done)| (plan.name(at).to_owned(), done);
    progress.done.into_iter().enumerate().map(name).collect()
}

#[test]
fn every_runbook_of_the_catalogue_installs_and_removes_its_software_in_a_container() {
    let lab = Lab::new();
    for (name, params, package, unit) in BOOKS {
        let begin = Instant::now();
        assert!(!lab.is_here(package), "{package}");
        lab.go(name, params, "present");
        assert!(lab.is_here(package), "{package} was not installed");
        assert!(unit.is_none_or(|unit| lab.runs(unit)), "{name} does not run");
        let installed = begin.elapsed();
        let again = lab.go(name, params, "present");
        let pushes = |step: &str| step.ends_with("settings") || step.ends_with("listen");
        for (step, done) in &again {
            let changes = step.ends_with("/install") || pushes(step);
            assert!(!(changes && done.changed), "{name}: {step} changed something again");
            assert!(done.state != StepState::Failed, "{name}: {step}");
        }
        lab.go(name, params, "absent");
        assert!(!lab.is_here(package), "{package} was not removed");
        assert!(unit.is_none_or(|unit| !lab.runs(unit)), "{name} still runs");
        let again = lab.go(name, params, "absent");
        assert!(
            again.iter().all(|(_, done)| !done.changed
                || done.state == StepState::Skipped
                || done.code.is_none()),
            "{again:#?}"
        );
        println!("{name}: installed in {installed:.1?}, all in {:.1?}", begin.elapsed());
    }
}
