//! The real programs as processes, some of them on a real terminal. One file a story.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod agent_killed;
mod alerts_away;
mod alerts_burned;
mod api;
mod audit;
mod client;
mod client_alerts;
mod client_board;
mod client_configs;
mod client_docker;
mod client_runs;
mod client_sessions;
mod edits;
mod files;
mod flood;
mod forwards;
mod gateways;
mod given_back;
mod history;
mod hostkeys;
mod hub_faults;
mod hub_killed;
mod hub_power;
mod hubkey;
mod load;
mod local;
mod logs;
mod narrow;
mod operators;
mod orders;
mod ports;
mod programs;
mod recordings;
mod runs;
mod runs_cli;
mod runs_deleted;
mod sealed;
mod secrets;
mod sessions;
mod ssh;
mod thin;
mod verbs;
mod vttest;
mod watch;
