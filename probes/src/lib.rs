//! Probes: asks a far end whether it is well, and judges what several places say of it together. Agents run them, the hub
//! reads their texts and judges.
//!
//! - [`text`] reads a probe from YAML; what is wrong has a place and a hint.
//! - [`Prober::run`] takes one look and says what it saw. All that it reads is bounded, all of it has one time limit, and
//!   texts of the far end come out without control characters. Where it may go and how programs are run is lent by the
//!   caller ([`Means`]).
//! - [`Quorum`] is told looks of several agents, and says up, down, degraded or unknown. It has no clock and does no I/O.

mod certificate;
mod dns;
mod http;
mod icmp;
mod look;
mod quorum;
mod reach;
mod script;
mod tcp;
pub mod text;
mod tls;

pub use look::{Means, Prober, Ran};
pub use quorum::{Quorum, Standing, Votes};
