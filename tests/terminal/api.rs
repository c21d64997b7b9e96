//! A hub that is killed between the end of a run and its callback, with the real programs.

use harness::directory::certificates;
use harness::process::{HubProcess, Running, program, run};
use harness::receiver::Receiver;
use harness::until;
use std::path::Path;
use std::process::Command;

const RUN: &str = r#"{"hosts": "*", "order": {"line": {"text": "echo done"}}, "callback": {"url": "URL", "id": "after the crash"}}"#;

/// What a program prints; it must succeed.
fn say(command: &mut Command) -> String {
    let output = run(command);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn settings(dir: &Path) -> String {
    certificates(dir);
    let key = std::fs::read(dir.join("server.key")).unwrap();
    cmdr_link::files::write_private(&dir.join("api.key"), &key).unwrap();
    let port = cmdr_link::port::choose();
    let at = dir.display();
    let text = format!(
        "[api]\nlisten = [\"127.0.0.1:{port}\"]\ncertificate_file = \"{at}/server.pem\"\nkey_file = \"{at}/api.key\"\n\
         [api.callbacks]\nnetworks = [\"127.0.0.0/8\"]\nallow_plain = true\n"
    );
    std::fs::write(dir.join("hub.toml"), text).unwrap();
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn a_callback_comes_although_the_hub_was_killed_before_anybody_took_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_owned();
    let url = settings(&at);
    let mut hub = HubProcess::unstarted(dir);
    hub.options = vec!["--config".to_owned(), at.join("hub.toml").display().to_string()];
    hub.start_again();
    let (agent, home) = (at.join("agent"), at.join("home"));
    say(Command::new(program("cmdr-agentd"))
        .args(["join", "--name", "web1", "--state"])
        .arg(&agent)
        .arg(hub.token(None, 1)));
    let mut daemon = Command::new(program("cmdr-agentd"));
    let running =
        Running::start(daemon.args(["run", "--state"]).arg(&agent), &at.join("agent.log"));
    let cmdr =
        |args: &[&str]| say(Command::new(program("cmdr")).env("CMDR_HOME", &home).args(args));
    cmdr(&["login", &hub.token(Some("administrator"), 1)]);
    let key = cmdr(&["keys", "create", "robot", "--http", "--verb", "*"]);
    assert!(key.starts_with("cmdrhttp1-"), "{key}");
    let api = |arguments: &[&str]| {
        say(Command::new("curl")
            .args(["-sS", "--fail-with-body", "--cacert"])
            .arg(at.join("ca.pem"))
            .args(["-H", &format!("Authorization: Bearer {key}")])
            .args(arguments))
    };
    let online = format!("{url}/v1/hosts?selector=state=online");
    until("the host is online", async || api(&[&online]).contains("web1")).await;

    let receiver = Receiver::start().await;
    receiver.answers("503 Service Unavailable");
    let body = RUN.replace("URL", &receiver.url);
    let begun =
        api(&["-H", "Content-Type: application/json", "-d", &body, &format!("{url}/v1/runs")]);
    let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
    receiver.until("it was tried in vain", |_| true).await;
    hub.kill();
    let before = receiver.heard().len();
    receiver.answers("200 OK");
    hub.start_again();
    until("it comes after all", async || receiver.heard().len() > before).await;
    let heard = receiver.heard().pop().unwrap();
    assert_eq!(heard.json()["id"], "after the crash");
    assert_eq!(heard.json()["run"]["id"], begun["run"]);
    assert_eq!(heard.json()["results"][0]["stdout"], "done\n");
    until("nothing waits", async || cmdr(&["pushes", "waiting", "-o", "json"]) == "[]").await;
    assert!(hub.command(&["check"]).contains(" 0 damaged"));
    running.kill();
}
