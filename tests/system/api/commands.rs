//! What a program asks for, as the hub understands it when something has changed meanwhile.

use super::Scene;
use harness::http::Answer;
use harness::until;
use serde_json::{Value, json};

fn command(cmd_line: &str) -> Value {
    json!({"id": "7", "cmd_line": cmd_line, "cmd_type": "line", "minion_ip": "127.0.0.1"})
}

async fn send(scene: &Scene, key: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    scene.program.send("POST", "/v1/commands", &headers, body.to_string().into_bytes()).await
}

#[tokio::test]
async fn a_command_that_is_sent_again_is_the_same_run_while_its_host_is_away_too() {
    let scene = Scene::new().await;
    let web = scene.world.agent("web1").await;
    let begun = send(&scene, "once", &command("true")).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    drop(web);
    until("the host is away, and its address is not its own any more", async || {
        let host = scene.program.get("/v1/hosts/web1").await.json();
        host["state"] == "away" && host["address"] == ""
    })
    .await;
    let again = send(&scene, "once", &command("true")).await;
    assert_eq!(again.status, 202, "{}", again.text());
    assert_eq!(again.json()["run"], begun.json()["run"]);
    let other = send(&scene, "once", &command("false")).await;
    assert_eq!(other.status, 409, "{}", other.text());
    let new = send(&scene, "twice", &command("true")).await;
    assert_eq!(new.status, 404, "{}", new.text());
}

#[tokio::test]
async fn an_older_version_of_a_config_group_is_pushed_to_the_hosts_that_it_names_itself() {
    let scene = Scene::new().await;
    let (_web, _db) = (scene.world.agent("web1").await, scene.world.agent("db1").await);
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("motd");
    for hosts in ["web1", "db1"] {
        let to = to.display();
        let text = format!("name: motd\nhosts: {hosts}\nfiles:\n- to: {to}\n  content: hello\n");
        let saved = scene.program.json("PUT", "/v1/configs/motd", &json!({"text": text})).await;
        assert_eq!(saved.status, 200, "{}", saved.text());
    }
    let pushed = async |body: Value| {
        let answer = scene.program.json("POST", "/v1/configs/motd/push", &body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let run = answer.header("location").unwrap().to_owned();
        let shown = scene.program.get(&run).await.json();
        (shown["run"]["hosts"].clone(), shown["targets"][0]["name"].clone())
    };
    assert_eq!(pushed(json!({"version": 1})).await, (json!("web1"), json!("web1")));
    assert_eq!(pushed(json!({})).await, (json!("db1"), json!("db1")));
}

#[tokio::test]
async fn what_is_too_large_is_said_to_be_too_large() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    let long = |bytes: usize| "x".repeat(bytes);
    let note = json!({"hosts": "*", "order": {"line": {"text": "true"}}, "note": long(1 << 20)});
    let answer = scene.program.json("POST", "/v1/runs", &note).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    // Files are for the place where files are kept, anything else has to fit into one message.
    let mut large = command("/bin/sh -c true");
    large["callback_url"] = long(2 << 20).into();
    let answer = send(&scene, "a", &large).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    let dir = tempfile::tempdir().unwrap();
    let mut file = command(&format!("{} x", dir.path().join("file").display()));
    (file["cmd_type"], file["file"]) = ("file".into(), long(2 << 20).into());
    let answer = send(&scene, "b", &file).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}
