//! Hub, agents and clients in one process, over real links on free ports. One file a feature.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod admission;
mod audit;
mod audit_forward;
mod exec;
mod hosts;
mod link;
mod lockout;
mod metrics;
mod processes;
mod recordings;
mod releases;
mod roles;
mod secrets;
mod untrusted;
