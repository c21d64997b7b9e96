//! The interface against its own description: schemathesis (PyPI) makes requests of every kind from the
//! document that is served, and looks at the answers.

use super::Scene;
use std::num::NonZeroU32;
use std::path::PathBuf;
use tokio::process::Command;

/// As scripts/install-tools has it.
const VERSION: &str = "4.32.5";

fn schemathesis() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let folder =
        cache.expect("there is a home").join(format!("commander-tools/schemathesis-{VERSION}"));
    assert!(
        folder.join("complete").exists(),
        "{} is missing; run scripts/install-tools",
        folder.display()
    );
    folder.join("bin/schemathesis")
}

/// Feeds that would last for an hour are of no use here.
const SETTINGS: &str = r#"
[parameters]
"query.follow_s" = 1
"#;

#[tokio::test]
async fn schemathesis_finds_no_fault_of_the_server_and_no_answer_that_is_not_described() {
    let scene = Scene::with(|config| {
        config.api.limits.requests_per_key = NonZeroU32::new(100_000).unwrap();
        config.api.limits.requests_per_address = NonZeroU32::new(100_000).unwrap();
        // Requests without a key are part of the trial.
        config.login.wrong.tries = 1_000_000;
        config.api.limits.strangers_per_address = 100;
    })
    .await;
    let _web = scene.world.agent("web1").await;
    let dir = scene.dir.path();
    let settings = dir.join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let url = format!("https://{}/v1/openapi.json", scene.world.api.unwrap());
    let output = Command::new(schemathesis())
        .current_dir(dir)
        .arg("--config-file")
        .arg(&settings)
        .args(["run", &url, "--max-time", "60", "--max-examples", "15", "--seed", "7"])
        // What a selector or an order may say is more than a schema can.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--request-timeout", "20", "--generation-database", "none", "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {}", scene.key)])
        .arg("--tls-verify")
        .arg(dir.join("ca.pem"))
        .env_remove("PYTHONPATH")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scene.program.get("/v1/health").await.status, 200, "and it still stands");
}
