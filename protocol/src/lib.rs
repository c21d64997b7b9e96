//! What Commander's parts say to each other.
//!
//! Types only: no transport, no clock, no I/O. Every crate of the workspace uses this one; it uses
//! none of them. Fields are only ever added, always with a default, so that a peer one release
//! older or newer still understands. The list of all methods is in [`methods`].
#![warn(missing_docs)]

pub mod address;
pub mod call;
pub mod configs;
pub mod data;
pub mod display;
pub mod envelope;
pub mod hosts_file;
pub mod human;
pub mod ids;
pub mod methods;
mod open_enum;
pub mod role;
pub mod selector;
pub mod sift;
pub mod table;
pub mod version;

// One line per feature.
pub mod alerts;
pub mod approvals;
pub mod audit;
pub mod blobs;
pub mod compose;
pub mod containers;
pub mod edits;
pub mod engine;
pub mod environment;
pub mod events;
pub mod exec;
pub mod facts;
pub mod files;
pub mod forwards;
pub mod gateways;
pub mod groups;
pub mod history;
pub mod hostkeys;
pub mod hosts;
pub mod hub;
pub mod hubkey;
pub mod images;
pub mod inside;
pub mod keys;
pub mod login;
pub mod logs;
pub mod metrics;
pub mod networks;
pub mod notifiers;
pub mod operators;
pub mod orders;
pub mod pages;
pub mod ping;
pub mod ports;
pub mod probes;
pub mod processes;
pub mod proxy;
pub mod pushes;
pub mod recorder;
pub mod recordings;
pub mod registries;
pub mod roles;
pub mod rules;
pub mod runbooks;
pub mod runs;
pub mod secrets;
pub mod services;
pub mod sessions;
pub mod ssh;
pub mod states;
pub mod system;
pub mod tokens;
pub mod totp;
pub mod volumes;

pub use call::{Access, Call, CallError, ErrorKind, Feed, Nothing, Revoked};
pub use ids::{HostId, KeyId, PublicKey, RunId, SigningKey};
pub use role::Role;
