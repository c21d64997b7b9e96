//! The order of all hosts, kept from one drawing to the next: with ten thousand of them, a letter
//! typed into the filter must not sort them all again.

use super::columns::Sort;
use crate::store::hosts::Hosts;
use crate::widgets::natural;
use cmdr_protocol::HostId;
use unicode_width::UnicodeWidthStr as _;

/// What an order was made from: the column, the way, the rows' shape and their figures.
type From = (Sort, bool, u64, u64);

/// All hosts in order.
#[derive(Default)]
pub(super) struct Order {
    /// By name, and the shape of the fleet it was made from.
    names: (Option<u64>, Vec<HostId>),
    longest: usize,
    made_from: Option<From>,
    rows: Vec<HostId>,
    version: u64,
}

impl Order {
    /// All rows.
    pub(super) fn rows(&self) -> &[HostId] {
        &self.rows
    }

    /// Cells that the longest name needs, and one more for the sign of the sorted column.
    pub(super) fn longest_name(&self) -> u16 {
        self.longest.clamp(12, 60) as u16 + 1
    }

    /// Brings the order up to date; the number returned changes when the order may have.
    pub(super) fn renew(&mut self, hosts: &Hosts, sort: Sort, descending: bool) -> u64 {
        let figures = if sort.is_live() { hosts.version } else { 0 };
        let made_from = Some((sort, descending, hosts.shape, figures));
        if self.made_from == made_from {
            return self.version;
        }
        self.made_from = made_from;
        self.version += 1;
        if self.names.0 != Some(hosts.shape) {
            let mut names: Vec<_> =
                hosts.rows.iter().map(|(id, row)| (&row.host.name, *id)).collect();
            self.longest = names.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
            names.sort_unstable_by(|a, b| natural::compare(a.0, b.0).then(a.1.cmp(&b.1)));
            self.names = (Some(hosts.shape), names.into_iter().map(|(_, id)| id).collect());
        }
        // The sorts below are stable: rows that are equal stay in the order of their names.
        let rows = self.names.1.iter().filter_map(|id| hosts.get(*id).map(|row| (row, *id)));
        self.rows = if let Some(number) = sort.number() {
            let mut rows: Vec<_> = rows.map(|(row, id)| (number(row), id)).collect();
            // Hosts without a figure stand at the end, whichever way the others go.
            rows.sort_by(|a, b| match (a.0, b.0) {
                (Some(x), Some(y)) if descending => y.cmp(&x),
                (Some(x), Some(y)) => x.cmp(&y),
                (x, y) => y.is_some().cmp(&x.is_some()),
            });
            rows.into_iter().map(|(_, id)| id).collect()
        } else if sort == Sort::Name {
            let names = self.names.1.iter().copied();
            if descending { names.rev().collect() } else { names.collect() }
        } else {
            let mut rows: Vec<_> = rows.map(|(row, id)| (sort.text(row), id)).collect();
            rows.sort_by(|a, b| {
                let order = natural::compare(a.0, b.0);
                if descending { order.reverse() } else { order }
            });
            rows.into_iter().map(|(_, id)| id).collect()
        };
        self.version
    }
}
