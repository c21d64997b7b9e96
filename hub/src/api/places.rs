//! Places of programs, for connections and for files on their way: so many in all, and of one key no more than its
//! share, so that one that hangs or lies in wait holds up nobody else.

use super::room::{Full, Room, Share};
use cmdr_protocol::KeyId;

/// Places. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Places(Room);

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Share);

impl Places {
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self(Room::new(all.max(1), each.max(1)))
    }

    pub(super) fn take(&self, key: KeyId) -> Result<Place, Full> {
        let mut share = self.0.enter(key);
        share.grow(1)?;
        Ok(Place(share))
    }
}

impl Place {
    /// Whose it is.
    pub(super) const fn key(&self) -> KeyId {
        self.0.key()
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
        assert!(places.0.is_empty());
    }
}
