//! The list of what an agent offers. A feature is one file beside this and one line here.

pub(crate) mod edits;
mod environment;
pub mod exec;
pub mod facts;
pub mod files;
mod hostkeys;
pub mod metrics;
pub mod ping;
pub mod processes;

use crate::Agent;
use cmdr_link::service::Service;

/// The names by which a policy file switches features off: the part of a method before the dot.
pub const NAMES: &[&str] =
    &["edits", "environment", "exec", "facts", "files", "hostkeys", "metrics", "ping", "processes"];

/// Registers every feature.
pub fn all(service: Service<Agent>) -> Service<Agent> {
    [
        ping::register,
        facts::register,
        metrics::register,
        processes::register,
        exec::register,
        edits::register,
        environment::register,
        files::register,
        hostkeys::register,
    ]
    .into_iter()
    .fold(service, |service, register| register(service))
}
