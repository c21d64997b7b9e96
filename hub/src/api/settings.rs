//! `[api]` in the hub's configuration.

use crate::network::Network;
use serde::Deserialize;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

/// The HTTP interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where to listen, `address:port`; nowhere by default.
    pub listen: Vec<String>,
    /// A file with the certificate and those that vouch for it, in PEM form.
    pub certificate_file: PathBuf,
    /// A file with its key, for its owner alone.
    pub key_file: PathBuf,
    /// From where programs may come; empty for anywhere.
    pub networks: Vec<Network>,
    /// Limits.
    pub limits: Limits,
    /// Where callbacks may go.
    pub callbacks: Callbacks,
}

/// How much programs may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of programs that have shown their key.
    pub connections: usize,
    /// Those with one key.
    pub connections_per_key: usize,
    /// Connections on which no key was shown yet.
    pub strangers: usize,
    /// Those from one address.
    pub strangers_per_address: usize,
    /// Requests a second with one key; twice as many may come at once.
    pub requests_per_key: NonZeroU32,
    /// Requests a second from one address; twice as many may come at once.
    pub requests_per_address: NonZeroU32,
    /// The largest file, in MiB.
    pub largest_file_mb: NonZeroU64,
}

impl Default for Limits {
    fn default() -> Self {
        const PER_KEY: NonZeroU32 = NonZeroU32::new(100).unwrap();
        const PER_ADDRESS: NonZeroU32 = NonZeroU32::new(200).unwrap();
        const LARGEST: NonZeroU64 = NonZeroU64::new(1024).unwrap();
        Self {
            connections: 512,
            connections_per_key: 128,
            strangers: 100,
            strangers_per_address: 10,
            requests_per_key: PER_KEY,
            requests_per_address: PER_ADDRESS,
            largest_file_mb: LARGEST,
        }
    }
}

/// Where callbacks and pushes may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callbacks {
    /// Private networks to which they may go as well; addresses of the public Internet are always allowed.
    pub networks: Vec<Network>,
    /// Allows `http://` too: then everybody on the way reads the results.
    pub allow_plain: bool,
    /// Servers may prove themselves with certificates of this file instead of those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// Whether it says anything.
    pub const fn is_on(&self) -> bool {
        !self.listen.is_empty()
    }
}
