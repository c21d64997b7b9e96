//! Names that many processes share, each kept once and counted: of programs, and of places.

use std::collections::HashMap;
use std::sync::Arc;

/// The number of a name in its table.
pub(crate) type Id = u32;

/// A table of names, each with something known of it.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Option<Slot<T>>>,
    free: Vec<Id>,
    ids: HashMap<Arc<[u8]>, Id>,
}

#[derive(Debug)]
struct Slot<T> {
    key: Arc<[u8]>,
    uses: u32,
    value: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), ids: HashMap::new() }
    }
}

impl<T> Table<T> {
    /// The number of a name, of which there is one use more from now on.
    pub(crate) fn take(&mut self, key: &[u8], make: impl FnOnce() -> T) -> Id {
        if let Some(id) = self.ids.get(key) {
            if let Some(slot) = &mut self.slots[*id as usize] {
                slot.uses += 1;
            }
            return *id;
        }
        let key: Arc<[u8]> = key.into();
        let slot = Slot { key: key.clone(), uses: 1, value: make() };
        let id = if let Some(id) = self.free.pop() {
            self.slots[id as usize] = Some(slot);
            id
        } else {
            self.slots.push(Some(slot));
            self.slots.len() as Id - 1
        };
        self.ids.insert(key, id);
        id
    }

    /// One use less.
    pub(crate) fn give(&mut self, id: Id) {
        let Some(place) = self.slots.get_mut(id as usize) else { return };
        let Some(slot) = place else { return };
        slot.uses -= 1;
        if slot.uses == 0 {
            self.ids.remove(&slot.key);
            *place = None;
            self.free.push(id);
        }
    }

    pub(crate) fn get(&self, id: Id) -> Option<(&[u8], &T)> {
        let slot = self.slots.get(id as usize)?.as_ref()?;
        Some((&slot.key, &slot.value))
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.get_mut(id as usize)?.as_mut().map(|slot| &mut slot.value)
    }

    /// All numbers are below this.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Those in use.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(id, slot)| Some((id as Id, &mut slot.as_mut()?.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_long_as_it_is_used_and_its_number_is_used_again() {
        let mut table = Table::default();
        let (a, b) = (table.take(b"a", || 1), table.take(b"b", || 2));
        assert_eq!(table.take(b"a", || 3), a);
        table.give(a);
        assert_eq!(table.get(a), Some((b"a".as_slice(), &1)));
        table.give(a);
        assert_eq!((table.get(a), table.get(b)), (None, Some((b"b".as_slice(), &2))));
        assert_eq!(table.take(b"c", || 4), a);
        assert_eq!(table.len(), 2);
    }
}
