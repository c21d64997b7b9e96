//! What rules ask of a host: whether it is there, and how far away.

use super::Entry;

impl Entry {
    /// Whether it waits for an administrator.
    pub(crate) const fn is_pending(&self) -> bool {
        self.record.pending
    }

    /// Whether its link is up.
    pub(crate) const fn is_online(&self) -> bool {
        self.link.is_some()
    }

    /// Its link's round trip.
    pub(crate) fn rtt_us(&self) -> Option<u32> {
        self.link.as_ref()?.health().rtt_us
    }
}
