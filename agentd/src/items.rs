//! Cuts what changed in a table into items of bounded size; every watched table uses it.

use cmdr_protocol::table::{Change, Row};

/// The most rows described in one item, and about so many bytes.
const CHUNK: (usize, usize) = (500, 192 * 1024);

/// Items that are being filled. They are applied in order, so what is gone comes first and figures
/// last, across items as within one.
#[derive(Default)]
pub(crate) struct Items<C> {
    full: Vec<C>,
    open: C,
    rows: usize,
    bytes: usize,
}

impl<C: Default + PartialEq> Items<C> {
    /// The item that has room for so much more.
    pub(crate) fn room(&mut self, rows: usize, bytes: usize) -> &mut C {
        if self.rows + rows > CHUNK.0 || self.bytes + bytes > CHUNK.1 {
            self.full.push(std::mem::take(&mut self.open));
            (self.rows, self.bytes) = (0, 0);
        }
        self.rows += rows;
        self.bytes += bytes;
        &mut self.open
    }

    /// All of them.
    pub(crate) fn finish(mut self, even_empty: bool) -> Vec<C> {
        if even_empty || self.open != C::default() {
            self.full.push(self.open);
        }
        self.full
    }
}

/// Items that turn the rows `before` into `now`, both in the order of their keys; with none before,
/// the table anew.
pub(crate) fn changes<R: Row>(before: Option<&[R]>, now: &[R]) -> Vec<Change<R>> {
    let mut items = Items::<Change<R>>::default();
    items.room(0, 0).reset = before.is_none();
    let old = before.unwrap_or_default();
    let find = |rows: &[R], key: &R::Key| rows.binary_search_by(|row| row.key().cmp(key)).ok();
    for row in old {
        let key = row.key();
        if find(now, &key).is_none() {
            items.room(0, 64).gone.push(key);
        }
    }
    for row in now {
        if find(old, &row.key()).is_none_or(|at| old[at] != *row) {
            items.room(1, row.weight()).put.push(row.clone());
        }
    }
    items.finish(before.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::services::Unit;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn units(of: &BTreeMap<u8, u64>) -> Vec<Unit> {
        let unit = |(n, since_s): (&u8, &u64)| Unit {
            name: format!("{n:03}.service"),
            since_s: *since_s,
            ..Unit::default()
        };
        of.iter().map(unit).collect()
    }

    #[test]
    fn a_table_that_did_not_change_sends_nothing_and_an_empty_one_still_begins() {
        let rows = units(&[(1, 2), (3, 4)].into());
        assert!(changes(Some(&rows), &rows).is_empty());
        assert_eq!(changes::<Unit>(None, &[]), [Change { reset: true, ..Change::default() }]);
    }

    #[test]
    fn a_large_table_comes_in_pieces_and_only_the_first_resets() {
        let rows: Vec<Unit> = (0..1200)
            .map(|n| Unit { name: format!("{n:05}.service"), ..Unit::default() })
            .collect();
        let items = changes(None, &rows);
        let shape: Vec<_> = items.iter().map(|item| (item.reset, item.put.len())).collect();
        assert_eq!(shape, [(true, 500), (false, 500), (false, 200)]);
    }

    proptest! {
        #[test]
        fn applying_the_changes_gives_the_new_table(
            before in proptest::collection::btree_map(0u8..30, 0u64..4, 0..20),
            now in proptest::collection::btree_map(0u8..30, 0u64..4, 0..20),
        ) {
            let (before, now) = (units(&before), units(&now));
            let mut held = BTreeMap::new();
            changes(None, &before).into_iter().for_each(|change| change.apply(&mut held));
            changes(Some(&before), &now).into_iter().for_each(|change| change.apply(&mut held));
            prop_assert_eq!(held.into_values().collect::<Vec<_>>(), now);
        }
    }
}
