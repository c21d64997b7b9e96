//! A part of a list, as much of it as one answer may be: a frame is no larger than [`MAX_FRAME`], whatever is in it.

use cmdr_link::codec::{self, MAX_ARRAY};
use cmdr_link::frame::MAX_FRAME;
use cmdr_protocol::CallError;
use serde::Serialize;
use std::ops::ControlFlow;

/// Bytes of what is in one page, or in one item of a feed.
pub(super) const BYTES: usize = MAX_FRAME / 2;
/// Bytes of an answer that is a whole list; the rest is for what stands around it.
const WHOLE: usize = MAX_FRAME - 4096;

/// A page that is being filled.
pub(super) struct Page<T> {
    items: Vec<T>,
    /// How many at most.
    limit: usize,
    /// Bytes that may still come.
    room: usize,
    /// All of the list was asked for at once.
    whole: bool,
    more: bool,
}

impl<T: Serialize> Page<T> {
    /// A page of so many; 0 means the whole list.
    pub(super) const fn new(limit: u32, most: u32) -> Self {
        let (limit, room, whole) = match limit {
            0 => (MAX_ARRAY, WHOLE, true),
            some if some > most => (most as usize, BYTES, false),
            some => (some as usize, BYTES, false),
        };
        Self { items: Vec::new(), limit, room, whole, more: false }
    }

    /// Takes what comes next in the list, until there is no room.
    pub(super) fn take(&mut self, item: T) -> ControlFlow<()> {
        let size = codec::size(&item);
        let fits = self.items.len() < self.limit && size <= self.room;
        // One that is too large for any page must not hold up those behind it.
        if !fits && (self.whole || !self.items.is_empty()) {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.room = self.room.saturating_sub(size);
        self.items.push(item);
        ControlFlow::Continue(())
    }

    /// The page, and whether more follows.
    pub(super) fn done(self) -> Result<(Vec<T>, bool), CallError> {
        if self.whole && self.more {
            return Err(CallError::malformed(
                "these are more than fit into one answer: ask for pages (limit, after), or for fewer by a selector; programs older than pages have to be renewed",
            ));
        }
        Ok((self.items, self.more))
    }
}
