//! What happens in the fleet, one event after the other, for programs that follow it. Answered by the hub.
//!
//! The newest events are kept in the hub's memory, so that a reader that was away for a while goes on
//! where it was. One that was away for longer, or meets a hub that was started anew, gets
//! [`What::Missed`] first and has to look at everything again.

use crate::call::{Access, Feed, Nothing};
use crate::ids::HostId;
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

open_enum! {
    /// What happened.
    pub enum What {
        /// A host's link is up.
        HostOnline = "host.online",
        /// A host's link is down.
        HostAway = "host.away",
        /// A host was taken in.
        HostJoined = "host.joined",
        /// A key waits for an administrator.
        HostWaits = "host.waits",
        /// A host has another name or other labels.
        HostChanged = "host.changed",
        /// A host was removed, or its key was rejected.
        HostGone = "host.gone",
        /// Events between the reader's cursor and the next event are not known any more.
        Missed = "missed",
        /// Nothing happened for a while.
        Alive = "alive",
    }
}

/// Events after a cursor, then those that come. The caller sees those of hosts that it may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// The last event's [`Event::cursor`]; empty for everything that is kept.
    pub after: String,
    /// Ends the feed when all that is kept was sent.
    pub once: bool,
}

impl Feed for Watch {
    const METHOD: &'static str = "events.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Event;
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// To go on after it.
    pub cursor: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub what: What,
    /// To which host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The host's name then.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_name: String,
    /// More about it: why a link ended, what the name was before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
