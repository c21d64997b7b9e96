//! What the tests stand on: a hub in this process, agents and clients that reach it over real links.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on panics"
)]

pub mod administrator;
pub mod disk;
pub mod engine;
pub mod fleet;
pub mod http;
pub mod mail;
pub mod net;
pub mod orders;
pub mod process;
pub mod receiver;
pub mod registry;
pub mod totp;

pub mod directory;
pub mod provider;

mod lone;
mod proxy;
pub mod sshd;
pub mod systemd;
pub mod thin;
pub mod tmux;
pub mod untrusted;
mod wait;
mod world;

pub use lone::{Lone, Up};
pub use proxy::{Fault, Proxy};
pub use wait::{until, until_some};
pub use world::{BareAgent, World};
