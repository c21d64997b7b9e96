//! A real Docker engine for tests, shared by all of them: whatever a test makes has a name of the test's own
//! and is removed when that is dropped. `scripts/docker` sees to the engine.

use crate::process::{Running, run, until};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// What containers of tests are made of: busybox and nothing else.
pub const IMAGE: &str = "commander-busybox:1";

/// The engine.
#[derive(Clone, Debug)]
pub struct Engine {
    host: String,
    _other: Option<Arc<Other>>,
}

/// An engine of a test's own, asked to end when it is dropped, so that it unmounts what it has mounted.
#[derive(Debug)]
struct Other(Option<Running>);

impl Drop for Other {
    fn drop(&mut self) {
        let Some(mut running) = self.0.take() else { return };
        running.terminate();
        until("another engine ends", || running.ended().is_some());
    }
}

/// A name of a test's own. What has it, or begins with it, is removed when this is dropped.
#[derive(Debug)]
pub struct Name {
    engine: Engine,
    name: String,
}

impl Engine {
    /// The engine, started if none answers, with [`IMAGE`] in it.
    pub fn up() -> Self {
        static UP: OnceLock<Engine> = OnceLock::new();
        UP.get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/docker");
            let output = Command::new(&script).arg("up").output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{} up: {words}", script.display());
            Self { host: String::from_utf8_lossy(&output.stdout).trim().to_owned(), _other: None }
        })
        .clone()
    }

    /// One more engine, with all that it keeps in `dir` and nothing in it; ended when the last that knows it is
    /// dropped.
    pub fn another(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let at = |name: &str| dir.join(name).display().to_string();
        let host = format!("unix://{}", at("docker.sock"));
        let mut command = Command::new("dockerd");
        command
            .args(["--host", &host, "--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid"), "--bridge=none", "--iptables=false"])
            .arg("--ip6tables=false");
        let running = Other(Some(Running::start(&mut command, &dir.join("log"))));
        let engine = Self { host, _other: Some(Arc::new(running)) };
        until("another engine answers", || engine.try_docker(&["info"]).status.success());
        engine
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.host.strip_prefix("unix://").unwrap_or(&self.host).into()
    }

    /// The real `docker` program, told which engine.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host]).args(args);
        command
    }

    /// What the real `docker` program answers.
    pub fn try_docker(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    /// What it says; it must succeed.
    pub fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {words}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A name that nothing else has.
    pub fn name(&self, what: &str) -> Name {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Name { engine: self.clone(), name: format!("t{}-{n}-{what}", std::process::id()) }
    }

    /// Runs a container of this name that does nothing until it is ended; its id.
    pub fn sleeper(&self, name: &Name) -> String {
        let run = ["run", "-d", "--init", "--network", "none", "--name", name.as_str(), IMAGE];
        self.docker(&[&run[..], &["sleep", "86400"]].concat())
    }
}

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Those of other tests that run now have other numbers, and so no name that begins like this one.
        let listed = |args: &[&str]| {
            let output = self.engine.command(args).output();
            let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
            let text = text.unwrap_or_default();
            let begins = |line: &&str| line.starts_with(&self.name);
            text.lines().filter(begins).map(str::to_owned).collect::<Vec<_>>()
        };
        let remove = |how: &[&str], names: Vec<String>| {
            if !names.is_empty() {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                drop(self.engine.command(&[how, &names].concat()).output());
            }
        };
        let containers = listed(&["ps", "-a", "--format", "{{.Names}}"]);
        remove(&["rm", "--force", "--volumes"], containers);
        remove(&["network", "rm"], listed(&["network", "ls", "--format", "{{.Name}}"]));
        remove(&["volume", "rm", "--force"], listed(&["volume", "ls", "--format", "{{.Name}}"]));
        let images = listed(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        remove(&["rmi", "--force"], images);
    }
}
