//! Hub, agents and clients in one process, over real links on free ports. One file a feature.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod admission;
mod api;
mod approvals;
mod audit;
mod audit_forward;
mod catalogue;
mod edits;
mod events;
mod exec;
mod files;
mod files_copy;
mod forged;
mod hostkeys;
mod hosts;
mod hubkey;
mod link;
mod lockout;
mod login;
mod login_hub;
mod login_ldap;
mod login_oidc;
mod logs;
mod metrics;
mod orders;
mod playbooks;
mod ports;
mod processes;
mod recordings;
mod releases;
mod roles;
mod runbooks;
mod runbooks_run;
mod runs;
mod runs_deleted;
mod runs_edges;
mod runs_faults;
mod schedules;
mod secrets;
mod services;
mod sessions;
mod sim;
mod ssh;
mod system;
mod untrusted;
