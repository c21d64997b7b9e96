//! The real Prometheus scrapes a hub and its fleet.

use super::Scene;
use cmdr_protocol::hosts::Label;
use harness::until_some;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A port that nothing listens on, as far as that can be known.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ask(port: u16, query: &str) -> Option<Value> {
    let url = format!("http://127.0.0.1:{port}/api/v1/query");
    let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build();
    let agent = ureq::Agent::from(agent);
    let text =
        agent.get(&url).query("query", query).call().ok()?.body_mut().read_to_string().ok()?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    answer["data"]["result"].get(0).cloned()
}

#[tokio::test]
async fn the_real_prometheus_scrapes_the_hub_and_the_newest_figures_of_its_fleet() {
    let scene = Scene::with(|config| config.history.step_s = 1.try_into().unwrap()).await;
    let web = scene.world.agent("web1").await;
    let set = [("app".to_owned(), "shop".to_owned())].into();
    let label = Label { host: web.id, set, remove: Vec::new() };
    scene.administrator.call(None, &label, super::PATIENCE).await.unwrap();
    let verbs = ["hub.info", "hosts.list", "history.list", "alerts.list", "history.sizes"];
    let key = scene.key(&verbs, "").await;
    let dir = scene.dir.path();
    std::fs::write(dir.join("scrape.key"), &key).unwrap();
    let hub = scene.world.api.unwrap().port();
    let job = |name: &str, path: &str| {
        format!(
            "- job_name: {name}\n  scheme: https\n  metrics_path: {path}\n  authorization: {{credentials_file: scrape.key}}\n  tls_config: {{ca_file: ca.pem, server_name: localhost}}\n  static_configs: [{{targets: ['127.0.0.1:{hub}']}}]\n"
        )
    };
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}{}",
        job("hub", "/v1/metrics"),
        job("fleet", "/v1/metrics/fleet")
    );
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    let port = free_port();
    let _prometheus = Command::new("prometheus")
        .current_dir(dir)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let found = async |query: &str| {
        let query = query.to_owned();
        until_some("prometheus has it", async || {
            let query = query.clone();
            tokio::task::spawn_blocking(move || ask(port, &query)).await.ok()?
        })
        .await
    };
    let busy = found("cmdr_cpu_busy_ratio").await;
    assert_eq!(busy["metric"]["host"], "web1", "{busy}");
    let up = found("cmdr_up == 1").await;
    assert_eq!(up["metric"]["label_app"], "shop", "{up}");
    let mount = found("cmdr_mount_total_bytes").await;
    assert!(mount["metric"]["mount"].as_str().is_some_and(|path| path.starts_with('/')), "{mount}");
    found("cmdr_hub_hosts_online == 1").await;
    found("cmdr_history_bytes{part=\"hot\"} > 0").await;
    found("cmdr_alerts{severity=\"critical\",state=\"firing\"}").await;
}
