//! The way between two hosts without the hub: one listens for those whom the hub has announced (`direct/listen.rs`), the other
//! dials it (`direct/dial.rs`). Both owners have named where, and each proves the key that the hub has told the other.
//!
//! One link for each pair of hosts carries all connections between them. It is no right to anything: each connection is taken with
//! a ticket of its own, which the hub has made, and ends with what the hub has of it.

mod dial;
mod listen;

pub(super) use dial::claim;
pub(crate) use listen::listen;
pub(super) use listen::meet;

use cmdr_link::{Link, SecretKey};
use cmdr_protocol::PublicKey;
use cmdr_protocol::forwards::direct::Ticket;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// What a host knows of others that it meets.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    /// The key by which the hub knows this host, once it is known.
    key: watch::Sender<Option<SecretKey>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Connections that another host may come for.
    awaited: HashMap<Ticket, Awaited>,
    /// Hosts that were announced, and when last.
    announced: HashMap<PublicKey, Instant>,
    /// Hosts that this one dials.
    peers: HashMap<PublicKey, dial::Peer>,
}

#[derive(Debug)]
struct Awaited {
    key: PublicKey,
    give: oneshot::Sender<listen::Claimed>,
}

impl Direct {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the key by which the hub knows this host now.
    pub(crate) fn prove(&self, key: SecretKey) {
        self.key.send_replace(Some(key));
    }

    fn key(&self) -> Option<SecretKey> {
        self.key.borrow().clone()
    }
}

/// Whether a link is there still.
fn is_up(link: &Link) -> bool {
    link.ended().is_none()
}
