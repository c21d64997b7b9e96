//! The list of what an agent offers. A feature is one file beside this and one line here.

pub mod exec;
pub mod facts;
mod hostkeys;
pub mod metrics;
pub mod ping;
pub mod processes;
pub mod sessions;

use crate::Agent;
use cmdr_link::service::Service;

/// The names by which a policy file switches features off: the part of a method before the dot.
pub const NAMES: &[&str] =
    &["exec", "facts", "hostkeys", "metrics", "ping", "processes", "sessions"];

/// Registers every feature.
pub fn all(service: Service<Agent>) -> Service<Agent> {
    [
        ping::register,
        facts::register,
        metrics::register,
        processes::register,
        exec::register,
        hostkeys::register,
        sessions::register,
    ]
    .into_iter()
    .fold(service, |service, register| register(service))
}
