//! The way of a kept forward's connection from the host that listens to the one that connects without the hub between them.
//!
//! The hub makes a [`Ticket`] for one connection and gives it to both: with [`Meet`] to the host that connects, with [`Offer`] to
//! the one that listens, which dials the other at an address that the other's owner has named, and shows it ([`Claim`]). Each
//! knows the other's key from the hub. What the hub has of the connection stays: its end there ends it here too.

use super::{Piece, Place};
use crate::PublicKey;
use crate::call::{Access, Feed};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Addresses at which a host may be dialed, at most.
pub const MAX_ADDRESSES: usize = 4;

/// Good for one connection: random, and void once it was shown or the connection is over.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(#[serde(with = "serde_bytes")] pub [u8; 16]);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("‹ticket›")
    }
}

/// Connects to a place that the host can reach, for another host that may come for the connection. The first item says where it may
/// dial; the first input, or whoever comes, says which way the connection goes. Asked by the hub alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meet {
    /// Where to; a name is looked up at the host.
    pub to: Place,
    /// What is to be shown.
    pub ticket: Ticket,
    /// The key of whoever shows it.
    pub key: PublicKey,
}

impl Feed for Meet {
    const METHOD: &'static str = "forwards.meet";
    const ACCESS: Access = Access::Act;
    type Input = Piece;
    type Item = Piece;
}

/// To the host that listens: where the other one may be dialed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// To be shown there.
    pub ticket: Ticket,
    /// The key that has to answer.
    pub key: PublicKey,
    /// Where, the best first; nowhere when the other one's owner does not say.
    pub at: Vec<SocketAddr>,
}

/// Shows a ticket to the host that expects it. The answer begins with an item that has `opened`; an input with nothing takes the
/// connection from there on, and says that it goes this way. Asked by hosts of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// Which.
    pub ticket: Ticket,
}

impl Feed for Claim {
    const METHOD: &'static str = "forwards.claim";
    const ACCESS: Access = Access::Act;
    type Input = Piece;
    type Item = Piece;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_in_nothing_that_is_printed() {
        let claim = Claim { ticket: Ticket([7; 16]) };
        assert!(!format!("{claim:?}").contains('7'));
    }
}
