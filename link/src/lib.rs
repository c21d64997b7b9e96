//! How Commander's parts reach each other.
//!
//! The only crate that knows Noise, MessagePack and the multiplexer. From the wire upwards:
//! [`noise`] makes a TCP connection secret and proves both keys; [`mux`] carries many streams over
//! it; [`frame`] cuts a stream into bounded frames and [`codec`] gives them meaning; [`link`] is one
//! live connection with its heartbeat. [`client`] asks over a link, [`service`] answers,
//! [`relay`] joins two streams unread, and [`session`] keeps a link up for good. A device's key may be
//! sealed ([`seal`], by a passphrase or by [`ssh_agent`]); [`unlock`] opens it.
#![warn(missing_docs)]

pub mod backoff;
pub mod bearer;
pub mod blobs;
pub mod card;
pub mod client;
pub mod clock;
pub mod codec;
pub mod context;
pub mod files;
pub mod frame;
pub mod hubkeys;
pub mod keys;
pub mod laid;
pub mod link;
pub mod local;
pub mod memory;
pub mod mux;
pub mod noise;
pub mod packed;
pub mod piece;
pub mod pins;
pub mod port;
pub mod prompt;
pub mod relay;
pub mod seal;
pub mod service;
pub mod session;
pub mod settings;
pub mod signing;
pub mod ssh_agent;
pub mod ssh_keys;
pub mod ssh_places;
pub mod token;
pub mod transfer;
pub mod tunnel;
pub mod unlock;
pub mod zone;

pub use client::{Client, FeedStream};
pub use keys::SecretKey;
pub use link::Link;
