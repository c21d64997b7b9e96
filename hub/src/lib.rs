//! Commander's hub.
//!
//! [`server`] accepts links and lets peers in ([`admission`], [`gate`]); [`router`] authorises each
//! request on its header by the caller's [`rights`] and either answers it here ([`services`]) or joins it,
//! unread, to the host it names. What changes something leaves a trail in [`audit`]. What is durable
//! lives behind [`store`], what must stay secret there is sealed by the [`vault`]; [`fleet`] and [`keyring`] hold it in memory and
//! change it only through the store.

pub mod acts;
pub mod admission;
pub mod alerts;
pub mod api;
pub mod approvals;
pub mod audit;
pub mod backup;
pub mod blobs;
pub mod commands;
pub mod compose;
pub mod config;
pub mod configs;
pub mod data;
pub mod events;
mod exposition;
pub mod fleet;
pub mod forwards;
pub mod gate;
pub mod gateways;
pub mod groups;
pub mod history;
pub mod hubkey;
pub mod keyring;
pub mod local;
pub mod lockout;
pub mod login;
pub mod network;
pub mod notifiers;
pub mod outbox;
pub mod outward;
pub mod playbooks;
pub mod probes;
pub mod recording;
pub mod records;
pub mod registries;
pub mod remote_write;
pub mod rights;
pub mod router;
pub mod runbooks;
pub mod runs;
pub mod server;
pub mod services;
mod shelf;
pub mod ssh;
pub mod store;
pub mod vault;
pub mod watcher;
pub mod who;
