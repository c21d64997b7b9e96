//! The examples of docs/api.md, as they stand there, in a shell with curl; and the check of a signature, in
//! Python.

use super::Scene;
use cmdr_hub::network::Network;
use harness::receiver::{Heard, Receiver};
use std::collections::BTreeMap;
use std::path::Path;
use tokio::process::Command;

/// The code of the examples by their names.
fn examples() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut examples = BTreeMap::new();
    for block in text.split("```").skip(1).step_by(2) {
        let code = block.split_once('\n').map_or("", |(_, code)| code);
        let Some(rest) = code.strip_prefix("# test: ") else { continue };
        let (name, code) = rest.split_once('\n').unwrap();
        examples.insert(name.to_owned(), code.to_owned());
    }
    examples
}

struct Shell<'a> {
    scene: &'a Scene,
    run: String,
}

impl Shell<'_> {
    async fn say(&self, code: &str) -> String {
        let api = "api() { curl -sS --fail-with-body --cacert ca.pem -H \"Authorization: Bearer $KEY\" \"$@\"; }";
        let output = Command::new("bash")
            .current_dir(self.scene.dir.path())
            .args(["-c", &format!("set -euo pipefail\n{api}\n{code}")])
            .env("HUB", format!("https://localhost:{}", self.scene.world.api.unwrap().port()))
            .env("KEY", &self.scene.key)
            .env("RUN", &self.run)
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{code}\n{said}\n{words}");
        said
    }
}

/// Runs the function of the documentation on what was posted.
async fn verified(code: &str, key: &str, heard: &Heard) -> bool {
    let request = serde_json::json!({
        "timestamp": heard.header("cmdr-timestamp"), "signature": heard.header("cmdr-signature"),
        "body": String::from_utf8(heard.body.clone()).unwrap(), "key": key,
    });
    let script = format!(
        "{code}\nimport json, sys\nr = json.loads(sys.argv[1])\nheaders = {{'Cmdr-Timestamp': r['timestamp'], 'Cmdr-Signature': r['signature']}}\nsys.exit(0 if is_from_hub(r['key'], headers, r['body'].encode()) else 3)"
    );
    let output = Command::new("python3")
        .args(["-c", &script, &request.to_string()])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{words}");
    output.status.success()
}

#[tokio::test]
async fn every_example_of_the_documentation_does_what_it_says() {
    let receiver = Receiver::start().await;
    let scene = Scene::with(|config| {
        config.api.callbacks.networks = vec![Network::parse("127.0.0.0/8").unwrap()];
        config.api.callbacks.allow_plain = true;
    })
    .await;
    let _web = scene.world.agent("web1").await;
    std::fs::write(scene.dir.path().join("motd"), "hello\n").unwrap();
    let examples = examples();
    let json = |said: &str| serde_json::from_str::<serde_json::Value>(said).unwrap();
    let mut shell = Shell { scene: &scene, run: String::new() };
    for (name, words) in [
        ("hosts", "\"web1\""),
        ("one host", "\"online\""),
        ("labels", "\"prod\""),
        ("plan", "\"count\":1"),
        ("upload", "\"size\":6"),
        ("schedule", "\"zone\":\"Europe/Berlin\""),
        ("events", "host.online"),
    ] {
        let said = shell.say(&examples[name]).await;
        assert!(said.contains(words), "{name}: {said}");
    }
    let begun = json(&shell.say(&examples["run"]).await);
    let again = json(&shell.say(&examples["run"]).await);
    assert_eq!((&begun["run"], &again["already"]), (&again["run"], &true.into()));
    begun["run"].as_str().unwrap().clone_into(&mut shell.run);
    let followed = shell.say(&examples["follow"]).await;
    assert_eq!(json(followed.lines().last().unwrap())["over"], true, "{followed}");
    let shown = json(&shell.say(&examples["show"]).await);
    assert_eq!(shown["run"]["counts"]["ok"], 1, "{shown}");
    let output = shell.say(&examples["output"]).await;
    assert!(output.contains("Linux\\n"), "{output}");

    let saved = shell.say(&examples["save a runbook"]).await;
    assert_eq!(json(&saved)["version"], 1, "{saved}");
    let shown = json(&shell.say(&examples["a runbook"]).await);
    assert_eq!(
        (&shown["params"][0]["name"], &shown["steps"][0]["name"]),
        (&"whom".into(), &"say".into())
    );
    let begun = json(&shell.say(&examples["run a runbook"]).await);
    begun["run"].as_str().unwrap().clone_into(&mut shell.run);
    shell.say(&examples["follow"]).await;
    let output = shell.say(&examples["output"]).await;
    assert!(output.contains("hello everybody\\n"), "{output}");
    let steps = json(&shell.say(&examples["steps"]).await);
    let step = &steps["steps"][0];
    assert_eq!(
        (&step["name"], &step["state"], &step["tries"]),
        (&"say".into(), &"ok".into(), &1.into())
    );

    let file = std::path::Path::new("/tmp/cmdr-greeting");
    std::fs::remove_file(file).ok();
    let saved = shell.say(&examples["save a config group"]).await;
    assert_eq!(json(&saved)["version"], 1, "{saved}");
    let drift = async |state: &str| {
        let drift = json(&shell.say(&examples["drift"]).await);
        let found = &drift["hosts"][0]["files"][0];
        assert_eq!(found["state"], state, "{drift}");
        found["diff"].as_str().unwrap().to_owned()
    };
    drift("missing").await;
    std::fs::write(file, "welcome to nowhere\n").unwrap();
    let diff = drift("differs").await;
    assert!(diff.contains("-welcome to nowhere\n+welcome to web1\n"), "{diff}");
    let begun = json(&shell.say(&examples["push a config group"]).await);
    begun["run"].as_str().unwrap().clone_into(&mut shell.run);
    shell.say(&examples["follow"]).await;
    let shown = json(&shell.say(&examples["show"]).await);
    assert_eq!(shown["run"]["counts"]["ok"], 1, "{shown}");
    let drift = json(&shell.say(&examples["drift"]).await);
    assert_eq!(drift["hosts"][0]["files"][0]["state"], "equal", "{drift}");
    let restore = serde_json::json!({"version": 1, "was": 1});
    let restored =
        scene.program.json("POST", "/v1/configs/greeting/restore", &restore).await.json();
    assert_eq!(restored["unchanged"], true, "{restored}");
    let versions = scene.program.get("/v1/configs/greeting/versions").await.json();
    assert_eq!(versions["versions"][0]["version"], 1, "{versions}");
    std::fs::remove_file(file).unwrap();

    let figures = shell.say(&examples["metrics"]).await;
    assert!(figures.contains("\ncmdr_hub_hosts_online 1\n"), "{figures}");
    let figures = shell.say(&examples["fleet metrics"]).await;
    assert!(figures.contains("\ncmdr_up{host=\"web1\""), "{figures}");
    let history = json(&shell.say(&examples["history"]).await);
    assert_eq!(history["step_ms"], 20_000, "{history}");

    let hosts = scene.program.get("/v1/hosts").await.json();
    let address = hosts["hosts"][0]["address"].as_str().unwrap();
    let command = examples["command"]
        .replace("MINION_IP", address)
        .replace("https://example.com/results", &receiver.url);
    let begun = json(&shell.say(&command).await);
    let heard = receiver.until("the result is posted", |heard| heard.path == "/hook").await;
    let told = heard.json();
    assert_eq!((&told["id"], &told["run"]["id"]), (&"order-4711".into(), &begun["run"]), "{told}");
    assert_eq!(told["results"][0]["stdout"], "Linux\n", "{told}");
    assert!(verified(&examples["verify"], &scene.key, &heard).await);
    let mut other = heard.clone();
    other.body[10] ^= 1;
    assert!(!verified(&examples["verify"], &scene.key, &other).await, "a changed body");
    let mut named: Vec<_> = examples.keys().map(String::as_str).collect();
    named.retain(|name| !TESTED.contains(name));
    assert!(named.is_empty(), "nobody has tried {named:?}");
}

const TESTED: [&str; 23] = [
    "metrics",
    "fleet metrics",
    "history",
    "schedule",
    "steps",
    "save a config group",
    "drift",
    "push a config group",
    "hosts",
    "one host",
    "labels",
    "run",
    "plan",
    "show",
    "follow",
    "output",
    "upload",
    "events",
    "command",
    "verify",
    "save a runbook",
    "a runbook",
    "run a runbook",
];
