//! Commander's gateway: forwards and balances TCP and UDP. The program `cmdr-gateway` runs it from a
//! TOML file, whoever supervises that talks to it over a private socket (`control`). Knows nothing of
//! hubs and links. `plan` judges a configuration, `gateway` makes event loops (`worker`) go by it.

pub mod config;
pub mod control;
pub mod decode;
pub mod gateway;
pub mod group;
pub mod health;
pub mod plan;
pub mod policy;
pub mod seen;
pub mod shared;
pub mod sys;
pub mod worker;

/// Tells whoever runs the gateway, on standard error, as one line.
#[expect(clippy::print_stderr, reason = "standard error is where a service's log begins")]
pub fn say(what: std::fmt::Arguments<'_>) {
    eprintln!("cmdr-gateway: {what}");
}
