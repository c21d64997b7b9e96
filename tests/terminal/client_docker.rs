//! Containers of a real engine in the client, on a real terminal: one is run as `docker run` says it, gone into, read and
//! taken away.

use crate::local::{Home, text};
use crate::client_sessions::open;
use harness::engine::{Engine, IMAGE};
use harness::process::{Running, program, run, until};
use std::process::Command;

/// A home whose agent knows where the engine of the tests listens.
fn home(engine: &Engine) -> (Home, Running) {
    let home = Home::up();
    let at = |name: &str| home.dir.path().join(name);
    let policy = format!("[containers]\nsocket = \"{}\"\n", engine.socket().display());
    std::fs::write(at("agent.toml"), policy).unwrap();
    // The agent that came up with the home asks elsewhere; another one of the same name takes its place.
    let mut join = Command::new(program("cmdr-agentd"));
    let token = text(&home.cmdr(&["tokens", "create", "--host"]).stdout);
    join.args(["join", token.trim(), "--name", "engine1", "--state"]);
    let joined = run(join.arg(at("engine1")));
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    let mut serve = Command::new(program("cmdr-agentd"));
    serve.args(["run", "--state"]).arg(at("engine1")).arg("--policy").arg(at("agent.toml"));
    let agent = Running::start(&mut serve, &at("engine1.log"));
    until("the engine is asked", || home.cmdr(&["docker", "ps", "engine1"]).status.success());
    (home, agent)
}

#[test]
fn a_container_is_run_gone_into_read_and_taken_away_in_the_client() {
    let engine = Engine::up();
    let name = engine.name("client");
    let (home, _agent) = home(&engine);
    let terminal = open(&home, "run", (120, 40));
    terminal.until(&["engine1", "online"]);
    terminal.line("/engine1");
    terminal.keys(&["Enter", "6"]);
    terminal.until(&["containers"]);
    terminal.keys(&["+"]);
    terminal.until(&["Run a container on engine1"]);
    terminal.keys(&["F3", "F3"]);
    terminal.until(&["Paste or type docker run"]);
    let said =
        format!("docker run --name {name} --network none {IMAGE} sh -c 'echo begun $((6*7)); cat'");
    terminal.keys(&["-l", &said]);
    terminal.keys(&["C-s"]);
    // It has ended at once: nobody types anything into it.
    terminal.until(&[&format!("run {name}: done")]);
    terminal.line(&format!("/{name}"));
    terminal.until(&[name.as_str(), "Exited (0)"]);
    terminal.keys(&["l"]);
    terminal.until(&["begun 42"]);
    terminal.keys(&["Escape"]);
    terminal.until(&["STATE"]);

    // Another one in its place stays.
    terminal.keys(&["C-e"]);
    terminal.until(&[&format!("In the place of {name} on engine1")]);
    terminal.keys(&["Down", "Down", "C-u"]);
    terminal.keys(&["-l", "sh -c 'trap exit TERM; while :; do sleep 1; done'"]);
    terminal.keys(&["C-s"]);
    terminal.until(&["The old one is kept until the new one runs"]);
    terminal.keys(&["y"]);
    terminal.until(&[&format!("replace {name}: done"), "Up "]);
    terminal.keys(&["e"]);
    terminal.until(&["you drive"]);
    terminal.line("echo $((6*8)) within");
    terminal.until(&["48 within"]);
    terminal.line("exit");
    terminal.until(&["ended"]);
    terminal.keys(&["Enter"]);
    terminal.keys(&["6"]);
    terminal.until(&["STATE", name.as_str()]);

    terminal.line(&format!("/{name}"));
    terminal.keys(&["D"]);
    terminal.until(&["It runs: it is killed"]);
    terminal.line(name.as_str());
    terminal.until(&[&format!("remove {name}: done")]);
    until("it is gone", || {
        !engine.docker(&["ps", "-a", "--format", "{{.Names}}"]).contains(name.as_str())
    });
}
