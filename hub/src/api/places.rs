//! Places of programs, for connections and for files on their way: so many in all, and of one key no more than its
//! share, so that one that hangs or lies in wait holds up nobody else.

use cmdr_protocol::KeyId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Places {
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
    /// All are taken.
    All,
    /// This key has its share.
    Key,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    key: KeyId,
}

impl Places {
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self { all: all.max(1), each: each.max(1), taken: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, key: KeyId) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.all >= self.all {
            return Err(Full::All);
        }
        let of_key = taken.by_key.entry(key).or_default();
        if *of_key >= self.each {
            return Err(Full::Key);
        }
        *of_key += 1;
        taken.all += 1;
        Ok(Place { places: self.clone(), key })
    }
}

impl Place {
    /// Whose it is.
    pub(super) const fn key(&self) -> KeyId {
        self.key
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_key) = taken.by_key.get_mut(&self.key) {
            *of_key -= 1;
            if *of_key == 0 {
                taken.by_key.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_has_its_share_and_leaves_the_rest_to_others() {
        let places = Places::new(5, 2);
        let [one, other, third] = [1, 2, 3].map(|n| KeyId([n; 16]));
        let mut taken = vec![places.take(one).unwrap(), places.take(one).unwrap()];
        assert_eq!(places.take(one).err(), Some(Full::Key));
        taken.extend([places.take(other).unwrap(), places.take(other).unwrap()]);
        taken.push(places.take(third).unwrap());
        assert_eq!(places.take(third).err(), Some(Full::All));
        taken.remove(0);
        assert!(places.take(one).is_ok());
        drop(taken);
        assert!(places.lock().by_key.is_empty());
    }
}
