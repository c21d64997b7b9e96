//! Room that programs share, such as memory for what requests bring: so many bytes in all, and of one key no more than its share. What is counted has
//! come; what a request only claims costs nothing.

use cmdr_protocol::KeyId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The room. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Room {
    all: usize,
    each: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_key: HashMap<KeyId, usize>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All of it is taken.
    All,
    /// This key has its share.
    Key,
}

/// What one request has of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    key: KeyId,
    bytes: usize,
}

impl Room {
    /// So many bytes in all, and with one key.
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self { all, each, taken: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A share of no bytes yet.
    pub(super) fn enter(&self, key: KeyId) -> Share {
        Share { room: self.clone(), key, bytes: 0 }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let taken = self.lock();
        taken.all == 0 && taken.by_key.is_empty()
    }
}

impl Share {
    /// Whose it is.
    pub(super) const fn key(&self) -> KeyId {
        self.key
    }

    /// Takes so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let mut taken = self.room.lock();
        let own = taken.by_key.get(&self.key).copied().unwrap_or_default();
        if taken.all.saturating_add(bytes) > self.room.all {
            return Err(Full::All);
        }
        if own.saturating_add(bytes) > self.room.each {
            return Err(Full::Key);
        }
        taken.all += bytes;
        taken.by_key.insert(self.key, own + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.room.lock();
        taken.all = taken.all.saturating_sub(self.bytes);
        if let Some(own) = taken.by_key.get_mut(&self.key) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                taken.by_key.remove(&self.key);
            }
        }
    }
}
