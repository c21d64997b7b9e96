//! The list of what an agent offers. A feature is one file beside this and one line here.

pub mod alerts;
pub(crate) mod blobs;
pub(crate) mod compose;
pub mod containers;
pub(crate) mod edits;
mod engine;
mod environment;
pub mod exec;
pub mod facts;
pub mod files;
pub(crate) mod forwards;
pub(crate) mod gateways;
mod hostkeys;
pub(crate) mod images;
mod inside;
pub mod logs;
pub mod metrics;
mod networks;
pub(crate) mod orders;
pub mod ping;
pub mod ports;
pub(crate) mod probes;
pub mod processes;
mod proxy;
pub mod recorder;
#[expect(clippy::module_inception, reason = "a feature has the same name in every crate")]
pub mod services;
pub mod sessions;
pub mod ssh;
mod states;
pub mod system;
mod volumes;

use crate::Agent;
use cmdr_link::service::Service;

/// The names by which a policy file switches features off: the part of a method before the dot.
pub const NAMES: &[&str] = &[
    "alerts",
    "blobs",
    "compose",
    "containers",
    "edits",
    "engine",
    "environment",
    "exec",
    "facts",
    "files",
    "forwards",
    "gateways",
    "hostkeys",
    "inside",
    "images",
    "logs",
    "metrics",
    "networks",
    "orders",
    "ping",
    "ports",
    "probes",
    "processes",
    "proxy",
    "recorder",
    "services",
    "sessions",
    "ssh",
    "states",
    "system",
    "volumes",
];

/// Registers every feature.
pub fn all(service: Service<Agent>) -> Service<Agent> {
    [
        ping::register,
        alerts::register,
        facts::register,
        metrics::register,
        processes::register,
        recorder::register,
        ports::register,
        probes::register,
        services::register,
        containers::register,
        compose::register,
        states::register,
        system::register,
        engine::register,
        exec::register,
        edits::register,
        environment::register,
        files::register,
        forwards::register,
        gateways::register,
        hostkeys::register,
        logs::register,
        sessions::register,
        blobs::register,
        orders::register,
        ssh::register,
        inside::register,
        proxy::register,
        images::register,
        volumes::register,
        networks::register,
    ]
    .into_iter()
    .fold(service, |service, register| register(service))
}
