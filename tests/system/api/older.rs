//! The request of an older system (`POST /v1/commands`), done by a real agent and posted back by the hub.

use super::Scene;
use cmdr_hub::network::Network;
use data_encoding::BASE64;
use harness::receiver::Receiver;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

async fn scene() -> (Scene, Receiver) {
    let scene = Scene::with(|config| {
        config.api.callbacks.networks = vec![Network::parse("127.0.0.0/8").unwrap()];
        config.api.callbacks.allow_plain = true;
    })
    .await;
    (scene, Receiver::start().await)
}

/// The address that the only host dials from.
async fn address(scene: &Scene) -> String {
    let hosts = scene.program.get("/v1/hosts").await.json();
    hosts["hosts"][0]["address"].as_str().unwrap().to_owned()
}

/// Sends a command and waits for what is posted.
async fn posted(scene: &Scene, receiver: &Receiver, id: &str, command: Value) -> Value {
    let mut command = command;
    command["id"] = id.into();
    command["callback_url"] = receiver.url.as_str().into();
    command["minion_ip"] = address(scene).await.into();
    let begun = scene.program.json("POST", "/v1/commands", &command).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let run = begun.json()["run"].clone();
    let heard = receiver.until("it is posted back", |heard| heard.json()["id"] == id).await;
    let told = heard.json();
    assert_eq!(told["run"]["id"], run, "{told}");
    assert_eq!(told["results"].as_array().unwrap().len(), 1, "{told}");
    told["results"][0].clone()
}

#[tokio::test]
async fn a_script_is_run_with_its_arguments_and_what_came_of_it_is_posted() {
    let (scene, receiver) = scene().await;
    let _web = scene.world.agent("web1").await;
    let script = "#!/bin/sh\necho \"$1|$2\"\necho wrong >&2\nexit 7\n";
    let told = posted(
        &scene,
        &receiver,
        "order ä 1",
        json!({"cmd_type": "script", "cmd_line": "check.sh 'one word' $HOME", "file": script}),
    )
    .await;
    assert_eq!(
        (&told["host"], &told["state"], &told["code"], &told["stdout"], &told["stderr"]),
        (
            &json!("web1"),
            &json!("failed"),
            &json!(7),
            &json!("one word|$HOME\n"),
            &json!("wrong\n")
        ),
        "the words are a shell's, and nothing is put in their place"
    );
    let packed = BASE64.encode(script.as_bytes());
    let told = posted(
        &scene,
        &receiver,
        "2",
        json!({"cmd_type": "script", "cmd_line": "check.sh a b", "file": packed, "file_encoding": "base64"}),
    )
    .await;
    assert_eq!((&told["stdout"], &told["code"]), (&json!("a|b\n"), &json!(7)));
}

#[tokio::test]
async fn a_file_is_put_where_it_is_wanted_byte_for_byte_and_then_run() {
    let (scene, receiver) = scene().await;
    let _web = scene.world.agent("web1").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("tool");
    // What is no text: bytes that are no UTF-8 stand behind the program.
    let mut content = b"#!/bin/sh\nprintf 'put %s\\n' \"$1\"\nexit 0\n".to_vec();
    content.extend([0xff, 0xfe, 0x80, 0]);
    let line = format!("{} 'and run'", path.display());
    let told = posted(
        &scene,
        &receiver,
        "3",
        json!({
            "cmd_type": "file", "cmd_line": line, "file": BASE64.encode(&content),
            "file_encoding": "base64"
        }),
    )
    .await;
    assert_eq!(
        (&told["state"], &told["code"], &told["stdout"]),
        (&json!("ok"), &json!(0), &json!("put and run\n")),
        "{told}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
    let told = posted(
        &scene,
        &receiver,
        "4",
        json!({"cmd_type": "file", "cmd_line": path.to_str().unwrap(), "file": "#!/bin/sh\nexit 5\n"}),
    )
    .await;
    assert_eq!(
        (&told["state"], &told["code"]),
        (&json!("failed"), &json!(5)),
        "as text too: {told}"
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_begins_nothing() {
    let (scene, receiver) = scene().await;
    let _web = scene.world.agent("web1").await;
    let ip = address(&scene).await;
    let with = |more: Value| {
        let mut body =
            json!({"id": "x", "cmd_line": "a", "minion_ip": ip, "callback_url": receiver.url});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, status, words) in [
        (with(json!({"cmd_type": "script"})), 400, "file is missing"),
        (with(json!({"cmd_type": "file", "file": "x"})), 400, "absolute path"),
        (
            with(json!({"cmd_type": "script", "file": "no base64!", "file_encoding": "base64"})),
            400,
            "file",
        ),
        (with(json!({"cmd_type": "script", "file": "x", "cmd_line": "'a"})), 400, "quotation mark"),
        (with(json!({"cmd_type": "line", "minion_ip": "192.0.2.1"})), 404, "label"),
        (with(json!({"cmd_type": "line", "minion_ip": "web1"})), 400, "no address"),
    ] {
        let answer = scene.program.json("POST", "/v1/commands", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.problem().contains(words), "{body}: {}", answer.text());
    }
    assert_eq!(scene.program.get("/v1/runs").await.json()["runs"], json!([]));
}

#[tokio::test]
async fn an_address_that_several_hosts_share_means_none_until_one_has_the_label() {
    let (scene, receiver) = scene().await;
    let _agents = (scene.world.agent("web1").await, scene.world.agent("web2").await);
    let ip = address(&scene).await;
    let body = json!({
        "id": "5", "cmd_line": "uname -n >/dev/null; echo done", "cmd_type": "line",
        "minion_ip": ip, "callback_url": receiver.url
    });
    let shared = scene.program.json("POST", "/v1/commands", &body).await;
    assert_eq!(shared.status, 409, "{}", shared.text());
    let why = shared.problem();
    assert!(why.contains("web1") && why.contains("web2") && why.contains("label"), "{why}");
    assert_eq!(scene.program.get("/v1/runs").await.json()["runs"], json!([]));
    let label = json!({"labels": {"address": ip}});
    let labelled = scene.program.json("PATCH", "/v1/hosts/web2", &label).await;
    assert_eq!(labelled.status, 200, "{}", labelled.text());
    let begun = scene.program.json("POST", "/v1/commands", &body).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let heard = receiver.until("it is posted back", |heard| heard.json()["id"] == "5").await;
    assert_eq!(heard.json()["results"][0]["host"], "web2", "{}", heard.json());
}
