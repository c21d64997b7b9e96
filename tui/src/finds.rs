//! What the finder finds: a list of those who offer something, and the search itself.

pub mod everywhere;
pub mod search;

use crate::panes::{
    Context, Entry, alerts, configs, docker, files, forwards, gateways, hosts, ports, probes,
    processes, runs, services, sessions,
};

/// Offers what it knows.
pub type Finds = fn(&Context<'_>) -> Vec<Entry>;

/// Everybody who offers something wherever one is, one line per feature. Commands, tabs, views and what
/// the pane at hand has come from the app.
pub const FINDS: &[Finds] = &[
    hosts::entries,
    processes::everywhere,
    services::everywhere,
    ports::everywhere,
    docker::containers::everywhere,
    sessions::entries,
    runs::entries,
    runs::book_entries,
    configs::entries,
    probes::entries,
    gateways::entries,
    forwards::entries,
    alerts::entries,
    alerts::rule_entries,
    docker::images::everywhere,
    docker::volumes::everywhere,
    docker::networks::everywhere,
    files::finds::recent,
];

/// Kinds that are found everywhere: the pane at hand need not offer them again.
pub const EVERYWHERE: &[&str] = &[
    "palette.process",
    "palette.service",
    "palette.port",
    "palette.container",
    "palette.run",
    "palette.runbook",
    "palette.config",
    "palette.probe",
    "palette.gateway",
    "palette.forward",
    "palette.alert",
    "palette.rule",
    "palette.image",
    "palette.volume",
    "palette.network",
];

/// The sign of a kind of entry.
pub fn sign(kind: &str) -> &'static str {
    match kind {
        "palette.host" => "●",
        "palette.process" => "◆",
        "palette.service" => "⚙",
        "palette.port" => "⇄",
        "palette.container" => "▣",
        "palette.file" => "≡",
        "palette.session" => "❯",
        "palette.run" => "▷",
        "palette.runbook" => "☰",
        "palette.config" => "▧",
        "palette.probe" => "◎",
        "palette.gateway" => "⇶",
        "palette.forward" => "↦",
        "palette.alert" => "△",
        "palette.rule" => "⚖",
        "palette.image" => "◰",
        "palette.volume" => "◍",
        "palette.network" => "⌗",
        "palette.page" => "▤",
        "palette.view" => "◫",
        "palette.desk" => "▦",
        "palette.command" => "›",
        _ => "·",
    }
}
