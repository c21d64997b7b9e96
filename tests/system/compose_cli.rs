//! `cmdr docker compose` with the real program: a project on two hosts from its file to its end.

use crate::compose::{file, service};
use crate::container_sessions::host;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use harness::World;
use harness::engine::Engine;
use harness::process::{program, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Scene {
    dir: tempfile::TempDir,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Scene {
    async fn new(world: &World, role: Role) -> Self {
        let token = world.token(TokenKind::Operator, role, 1).await;
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        scene.done(&["login", &token]);
        scene
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(program("cmdr"));
        command.env("CMDR_HOME", self.dir.path().join("me")).args(args);
        tokio::task::block_in_place(|| run(&mut command))
    }

    fn compose(&self, args: &[&str]) -> Output {
        self.run(&[&["docker", "compose"], args].concat())
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn composed(&self, args: &[&str]) -> String {
        self.done(&[&["docker", "compose"], args].concat())
    }

    fn rows(&self, args: &[&str]) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.composed(&[args, &["-o", "json"]].concat())).unwrap()
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_from_a_file_to_two_hosts_and_away_again() {
    let (world, one, two) = (World::start().await, engine_of("one"), engine_of("two"));
    let _hosts = (host(&world, "one", &one.0).await, host(&world, "two", &two.0).await);
    let scene = Scene::new(&world, Role::ADMINISTRATOR).await;
    let name = one.0.name("shop");
    let second = Second { engine: two.0.clone(), project: name.to_string() };
    let words = "    command: [sh, -c, 'echo hello from $$NAME; exec sleep 86400']\n    environment: {NAME: \"${NAME}\"}\n";
    let whole = file(&[service("web", words).replacen("    command: [sleep, '86400']\n", "", 1)]);
    let (compose, env) = (scene.write("compose.yaml", &whole), scene.write(".env", "NAME=ann\n"));
    let name = name.as_str();

    let put = ["put", name, shown(&compose), "--env", shown(&env), "--hosts", "one,two"];
    scene.composed(&put);
    assert_eq!(scene.composed(&["show", name]), whole);
    let listed = scene.rows(&["ls"]);
    assert!(listed.iter().any(|p| p["name"] == name && p["version"] == 1), "{listed:?}");
    let checked = scene.rows(&["check", name]);
    assert_eq!(checked.len(), 2, "{checked:?}");

    let diff = scene.compose(&["diff", name]);
    assert_eq!(diff.status.code(), Some(1), "{}", text(&diff.stderr));
    assert!(text(&diff.stdout).contains("create"), "{}", text(&diff.stdout));
    let up = scene.rows(&["up", name, "--pull", "never"]);
    assert!(up.iter().all(|h| h["Version"] == 1 && h["Drifted"] == 0) && up.len() == 2, "{up:?}");
    assert_eq!(scene.compose(&["diff", name]).status.code(), Some(0));

    // What somebody does by hand on one host is seen there.
    let filter = format!("label=com.docker.compose.project={name}");
    let container = two.0.docker(&["ps", "-q", "--filter", &filter]);
    two.0.docker(&["rm", "-f", &container]);
    let drift: Vec<_> = scene
        .rows(&["ps", name])
        .into_iter()
        .map(|row| (row["Host"].as_str().unwrap().to_owned(), row["Drift"].as_bool().unwrap()))
        .collect();
    assert_eq!(drift, [("one".to_owned(), false), ("two".to_owned(), true)]);
    let ps = scene.compose(&["ps", name]);
    assert!(text(&ps.stdout).contains("there is no container of it"), "{}", text(&ps.stdout));
    scene.composed(&["up", name, "two", "--pull", "never"]);

    let logs = scene.composed(&["logs", name]);
    assert_eq!(logs.matches("hello from ann").count(), 2, "{logs}");

    scene.composed(&[
        "put",
        name,
        shown(&scene.write("other.yaml", &whole.replace("hello", "bye"))),
    ]);
    let versions = scene.composed(&["versions", name, "-o", "name"]);
    assert_eq!(versions.split_whitespace().collect::<Vec<_>>(), ["2", "1"]);
    scene.composed(&["rollback", name, "1"]);
    assert_eq!(scene.composed(&["show", name]), whole);

    let asked = scene.compose(&["down", name]);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked.stderr));
    let stopped = scene.composed(&["stop", name, "--wait", "1", "--yes"]);
    assert!(stopped.contains("0 of 1"), "{stopped}");
    scene.composed(&["down", name, "--wait", "1", "--volumes", "--yes"]);
    for engine in [&one.0, &two.0] {
        assert_eq!(engine.docker(&["ps", "-aq", "--filter", &filter]), "");
    }
    let none = scene.compose(&["logs", name]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
    scene.composed(&["rm", name, "--yes"]);
    let gone = scene.compose(&["up", name, "one"]);
    assert!(text(&gone.stderr).contains("there is no compose project"), "{}", text(&gone.stderr));
    let bad = scene.compose(&["up", "../x", "one"]);
    assert_eq!(bad.status.code(), Some(2), "{}", text(&bad.stderr));
    drop(second);
}

/// One more engine for the second host: of one engine both would see the same containers.
fn engine_of(which: &str) -> (Engine, Option<tempfile::TempDir>) {
    if which == "one" {
        return (Engine::up(), None);
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::another(dir.path());
    let image = tempfile::tempdir().unwrap();
    let archive = image.path().join("image.tar");
    Engine::up().docker(&["save", "-o", archive.to_str().unwrap(), harness::engine::IMAGE]);
    engine.docker(&["load", "-i", archive.to_str().unwrap()]);
    (engine, Some(dir))
}

/// What is left of a project on the other engine.
struct Second {
    engine: Engine,
    project: String,
}

impl Drop for Second {
    fn drop(&mut self) {
        let filter = format!("label=com.docker.compose.project={}", self.project);
        let listed = self.engine.try_docker(&["ps", "-aq", "--filter", &filter]);
        for id in text(&listed.stdout).split_whitespace() {
            self.engine.try_docker(&["rm", "-f", id]);
        }
    }
}
