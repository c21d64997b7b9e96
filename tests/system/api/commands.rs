//! What a program asks for, as the hub understands it when something has changed meanwhile.

use super::Scene;
use harness::http::Answer;
use serde_json::{Value, json};

fn command(cmd_line: &str) -> Value {
    json!({"id": "7", "cmd_line": cmd_line, "cmd_type": "line", "minion_ip": "127.0.0.1"})
}

async fn send(scene: &Scene, key: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    scene.program.send("POST", "/v1/commands", &headers, body.to_string().into_bytes()).await
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
