//! Stories of the gateway: the real program, real sockets, upstreams that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod bad;
mod change;
mod fronts;
mod harness;
mod net;
mod tcp;
mod udp;
