//! What the tests stand on: a hub in this process, agents and clients that reach it over real links.

pub mod process;
mod proxy;
pub mod untrusted;
mod wait;
mod world;

pub use proxy::{Fault, Proxy};
pub use wait::{until, until_some};
pub use world::{BareAgent, World};
