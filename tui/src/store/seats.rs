//! What each pane has for itself, while it is seen: its lines of logs, the recording that it plays. As many
//! are kept as there can be parts of a screen, so that two of them never take it from each other.

/// Parts of a screen at most.
pub const SEATS: usize = 4;

/// Something that is one pane's.
pub trait Owned {
    /// The pane's number.
    fn owner(&self) -> u64;
}

/// Those that there are, the one that was taken last at the end.
pub struct Seats<T>(Vec<T>);

impl<T> Default for Seats<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Owned> Seats<T> {
    /// What this pane has.
    pub fn get(&self, owner: u64) -> Option<&T> {
        self.0.iter().find(|one| one.owner() == owner)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, owner: u64) -> Option<&mut T> {
        self.0.iter_mut().find(|one| one.owner() == owner)
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// Takes away what this pane has.
    pub fn take(&mut self, owner: u64) -> Option<T> {
        let at = self.0.iter().position(|one| one.owner() == owner)?;
        Some(self.0.remove(at))
    }

    /// Its pane has this from now on; when there is no room the one that was put here first goes.
    pub fn put(&mut self, one: T) {
        self.take(one.owner());
        if self.0.len() >= SEATS {
            self.0.remove(0);
        }
        self.0.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Owned for (u64, char) {
        fn owner(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn as_many_as_can_be_seen_keep_what_they_have_and_the_first_one_makes_room() {
        let mut seats = Seats::default();
        (1..=4).for_each(|owner| seats.put((owner, 'a')));
        seats.put((1, 'b'));
        assert_eq!(seats.get(1), Some(&(1, 'b')));
        assert_eq!(seats.get(2), Some(&(2, 'a')));
        seats.put((5, 'a'));
        assert_eq!((seats.get(2), seats.0.len()), (None, SEATS));
    }
}
