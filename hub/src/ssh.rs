//! Sessions over SSH from the hub's own machine, where the owner wants them (`[ssh]` in the settings).
//!
//! Neither SSH nor a terminal is in this process, which holds everybody's keys: the hub starts an agent
//! program of its own, lets it join as a host and keeps it running. A policy that the hub writes leaves it
//! nothing but those sessions. For the rest of the hub it is a host like any other; only a selector does not
//! mean it by accident (`means`). Started by `commands/serve.rs`.

use crate::config::Config;
use crate::server::Hub;
use crate::services;
use anyhow::Context as _;
use cmdr_link::files;
use cmdr_protocol::hosts::{Host, Labels};
use cmdr_protocol::methods::{INNER, METHODS, Place};
use cmdr_protocol::role::Role;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::tokens::{Create, TokenKind};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The name that it would like in the fleet.
const NAME: &str = "hub";
/// The label by which it is known.
const LABEL: (&str, &str) = ("gate", "ssh");
/// Where it is looked for when only its name is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Between one run and the next, when it ends.
const AGAIN: Duration = Duration::from_secs(5);
/// What its agent offers: sessions over SSH, and what every host does to be seen.
const ON: [&str; 3] = ["ping", "sessions", "ssh"];

/// What it does not: everything else that hosts answer.
pub fn off() -> BTreeSet<&'static str> {
    let of_hosts = METHODS.iter().chain(INNER).filter(|method| method.place != Place::Hub);
    let features = of_hosts.filter_map(|method| method.name.split_once('.'));
    features.map(|(feature, _)| feature).filter(|feature| !ON.contains(feature)).collect()
}

/// Sessions over SSH from the hub's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The agent's program, `cmdr-agentd` or a path; without it there are no such sessions.
    pub program: Option<PathBuf>,
    /// Networks that sessions may go to; absent for any.
    pub networks: Option<Vec<Text>>,
    /// Networks that they may not.
    pub denied_networks: Vec<Text>,
}

/// A network, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        crate::network::Network::parse(&text).map_err(D::Error::custom)?;
        Ok(Self(text))
    }
}

/// Whether a selector that picks this host also means it: the hub's own only when its name, its id or its
/// label is said, so that a command for all hosts does not fail there. Programs that want everything say nothing.
pub(crate) fn means(selector: &Selector, text: &str, host: &Host) -> bool {
    let is_gate = host.labels.get(LABEL.0).is_some_and(|value| value == LABEL.1);
    let is_it = |name: &str| name == host.name || host.id.is_some_and(|id| name == id.to_string());
    !is_gate || text.trim().is_empty() || text.contains(LABEL.0) || selector.names().any(is_it)
}

/// The policy of its agent.
fn policy(settings: &Settings) -> String {
    let list = |networks: &[Text]| {
        let quoted: Vec<_> = networks.iter().map(|network| format!("{:?}", network.0)).collect();
        format!("[{}]", quoted.join(", "))
    };
    let off: Vec<_> = off().iter().map(|feature| format!("{feature} = false\n")).collect();
    let off = off.concat();
    let mut text = format!(
        "# Written by the hub at each start; its own settings say what is to be here.\n[services]\n{off}\
         [sessions]\nusers = []\n[ssh]\ndenied_networks = {}\n",
        list(&settings.denied_networks)
    );
    if let Some(networks) = &settings.networks {
        text.extend(["networks = ", &list(networks), "\n"]);
    }
    text
}

/// Keeps the agent running, for as long as this is polled; it ends with it. Returns at once when the settings
/// want none.
pub async fn keep(hub: &Hub, config: &Config, data: &Path, address: &str) {
    let Some(program) = &config.ssh.program else { return };
    loop {
        match once(hub, &config.ssh, program, data, address).await {
            Ok(()) => {
                tracing::warn!("the agent for sessions over SSH has ended; it is started anew");
            }
            Err(e) => tracing::error!("sessions over SSH from the hub: {e:#}"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn once(
    hub: &Hub,
    settings: &Settings,
    program: &Path,
    data: &Path,
    address: &str,
) -> anyhow::Result<()> {
    let dir = data.join("ssh");
    let (state, rules) = (dir.join("agent"), dir.join("policy.toml"));
    files::private_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
    files::write_private(&rules, policy(settings).as_bytes())
        .with_context(|| format!("writing {}", rules.display()))?;
    let start = |verb: &str| {
        let mut command = Command::new(program);
        // What is in the hub's environment is not for it.
        command.arg(verb).arg("--state").arg(&state).env_clear().env("PATH", PATH);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let what = || format!("starting {}", program.display());
    if !state.join("hub.toml").exists() {
        let create = Create {
            kind: TokenKind::Host,
            role: Role::NONE,
            ttl_s: 60,
            uses: 1,
            labels: Labels::from([(LABEL.0.to_owned(), LABEL.1.to_owned())]),
            address: address.to_owned(),
            ..Create::default()
        };
        let token = services::make_token(hub, &create, "sessions over SSH from the hub").await?;
        let file = dir.join("token");
        files::write_private(&file, token.text.as_bytes()).context("handing over its token")?;
        let mut join = start("join");
        let status = join
            .args(["--name", NAME, "--token-file"])
            .arg(&file)
            .status()
            .await
            .with_context(what);
        // It is used up, or is soon.
        std::fs::remove_file(&file).ok();
        anyhow::ensure!(status?.success(), "its agent could not join");
    }
    let mut running = start("run");
    running.arg("--policy").arg(&rules);
    // Not even `kill -9` of the hub leaves it behind, where it would keep the next hub's from its folder.
    running.arg("--while-stdin").stdin(Stdio::piped());
    let mut child = running.spawn().with_context(what)?;
    // Else waiting for the agent would close it.
    let _held = child.stdin.take();
    tracing::info!(pid = child.id(), "the agent for sessions over SSH runs");
    let status = child.wait().await.context("waiting for its agent")?;
    anyhow::ensure!(status.success(), "its agent ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_means_the_hubs_own_host_only_when_it_says_so() {
        let labels = Labels::from([("gate".to_owned(), "ssh".to_owned())]);
        let hub = Host { name: "hub".into(), labels, ..Host::default() };
        let web = Host { name: "web1".into(), ..Host::default() };
        let means = |text: &str, host| means(&Selector::parse(text).unwrap(), text, host);
        for selector in ["*", "env!=prod", "h*"] {
            assert!(!means(selector, &hub) && means(selector, &web), "{selector}");
        }
        for selector in ["", " hub ", "web1,hub", "gate=ssh"] {
            assert!(means(selector, &hub), "{selector}");
        }
    }

    #[test]
    fn settings_are_read_and_what_is_no_network_is_refused() {
        let read = |text: &str| cmdr_link::settings::parse::<Settings>(Path::new("hub.toml"), text);
        let settings = read("program = 'cmdr-agentd'\nnetworks = ['10.0.0.0/8']\n").unwrap();
        let text = policy(&settings);
        assert!(text.contains("exec = false") && text.contains("networks = [\"10.0.0.0/8\"]"));
        assert!(read("networks = ['ten']").is_err() && read("programme = 'x'").is_err());
        assert_eq!(read("").unwrap().program, None);
    }
}
