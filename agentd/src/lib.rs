//! Commander's agent: runs on every server, dials the hub, answers what it is asked.
//!
//! [`agent`] ties it together, [`services`] lists what it offers, [`policy`] is the host's last
//! word. The library is what the binary, the system tests and the fleet simulator share.

pub mod agent;
mod dataplane;
pub mod dialer;
mod engine;
pub mod holder;
pub mod inside;
mod items;
pub mod join;
mod launch;
mod live;
pub mod policy;
mod program;
pub mod run;
pub mod sampler;
pub mod services;
mod sifted;
mod signals;
pub mod state;
pub mod supervise;
mod systemd;
mod text;
mod users;
mod watched;

pub use agent::{Agent, Config, serve};

/// What all processes of the agent are called, though they are started by a path that says nothing.
const PROGRAM: &str = "cmdr-agentd";

/// Takes the program's name on, for those who list processes.
pub fn take_name() {
    // A process without its name works as well.
    rustix::thread::set_name(c"cmdr-agentd").ok();
}

/// The program's version, as the hub and operators see it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
