//! A rule at work in an engine: where its values come from, which rows it is for, what it said of each last.

use super::Verdict;
use crate::check::Compiled;
use crate::columns::{Cells, Column, HOSTS, NONE, Table};
use crate::glob;
use crate::program::{BLOCK, Lane, Program, Stack};
use crate::unit::Span;
use crate::window::Window;
use std::collections::HashSet;
use std::sync::Arc;

/// Instances that are asked for and not there, of one rule at most.
const WANTED: usize = 100_000;

/// Whether a metric has been told within a time.
#[derive(Debug)]
pub(super) struct Absent {
    pub metric: usize,
    pub span: Span,
    pub cells: Cells,
}

impl Absent {
    pub(super) fn new(metric: usize, span: Span) -> Self {
        Self { metric, span, cells: Cells::default() }
    }

    /// A row that is new has as much time as one that was told just then.
    pub(super) fn cycle(&mut self, column: &Column, table: &Table, now: u64) {
        for (at, row) in table.rows.iter().enumerate() {
            let at = at as u32;
            let value = match column.told(at).max(row.since) {
                _ if !row.alive => f64::NAN,
                last if now.saturating_sub(last) >= self.span.0 => 1.0,
                _ => 0.0,
            };
            self.cells.set(at, value);
        }
    }
}

/// The rows with one name, by host.
#[derive(Debug)]
pub(super) struct Named {
    pub table: usize,
    pub name: String,
    rows: Vec<u32>,
    version: u64,
}

impl Named {
    pub(super) fn new(table: usize, name: &str) -> Self {
        Self { table, name: name.to_owned(), rows: Vec::new(), version: u64::MAX }
    }

    pub(super) fn follow(&mut self, table: &Table, hosts: usize) {
        if self.version == table.version && self.rows.len() == hosts {
            return;
        }
        self.version = table.version;
        let find = |host| table.find(host, &self.name).unwrap_or(NONE);
        self.rows = (0..hosts as u32).map(find).collect();
    }
}

/// Where the values of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Column(usize),
    Window(usize),
    Absent(usize),
}

/// Which of them belong to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Row,
    Host,
    Named(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ref {
    pub from: From,
    pub pick: Pick,
}

/// Everything that values come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Board<'a> {
    pub tables: &'a [Table],
    pub columns: &'a [Column],
    pub windows: &'a [Window],
    pub absents: &'a [Absent],
    pub named: &'a [Named],
}

impl Board<'_> {
    fn cells(&self, from: From) -> &Cells {
        match from {
            From::Column(at) => &self.columns[at].cells,
            From::Window(at) => &self.windows[at].cells,
            From::Absent(at) => &self.absents[at].cells,
        }
    }

    /// The row of the source for a row of the rule's table.
    fn row(&self, pick: Pick, table: usize, row: u32) -> u32 {
        let host = match self.tables[table].rows.get(row as usize) {
            Some(row) => row.host,
            None => return NONE,
        };
        match pick {
            Pick::Row => row,
            Pick::Host => host,
            Pick::Named(at) => self.named[at].rows.get(host as usize).copied().unwrap_or(NONE),
        }
    }

    fn load(&self, of: Ref, table: usize, block: usize, lane: &mut Lane) {
        let cells = self.cells(of.from);
        if of.pick == Pick::Row || (of.pick == Pick::Host && table == HOSTS) {
            cells.load(block, lane);
            return;
        }
        for (at, value) in lane.iter_mut().enumerate() {
            *value = cells.get(self.row(of.pick, table, (block * BLOCK + at) as u32));
        }
    }
}

/// A set of small numbers.
pub(super) fn set(numbers: impl Iterator<Item = u32>) -> Vec<bool> {
    let mut set = Vec::new();
    for number in numbers.filter(|number| *number != NONE) {
        if set.len() <= number as usize {
            set.resize(number as usize + 1, false);
        }
        set[number as usize] = true;
    }
    set
}

#[derive(Debug)]
pub(super) struct Live {
    pub name: String,
    pub compiled: Arc<Compiled>,
    pub table: usize,
    /// The hosts that it is for.
    pub hosts: Vec<bool>,
    /// Of the table's rows, when `member` was made from them.
    pub version: u64,
    refs: Vec<Ref>,
    member: Vec<bool>,
    /// What came out last for each row.
    last: Vec<Verdict>,
    /// Rows that were true once, or that somebody asked for: all that changes about them is told. Of others only
    /// that they are true, so that a million rows that are well cost nothing.
    open: Vec<bool>,
    /// Hosts and instances that somebody asked for and that are not there yet.
    wanted: HashSet<(String, String)>,
    /// All rows are looked at, whatever changed.
    all: bool,
}

impl Live {
    pub(super) fn new(
        name: &str,
        compiled: Arc<Compiled>,
        table: usize,
        refs: Vec<Ref>,
        hosts: Vec<bool>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            compiled,
            table,
            hosts,
            version: u64::MAX,
            refs,
            member: Vec::new(),
            last: Vec::new(),
            open: Vec::new(),
            wanted: HashSet::new(),
            all: true,
        }
    }

    /// All that changes about this instance is told from now on, also when it is not there yet.
    pub(super) fn want(&mut self, host: &str, instance: &str) {
        if self.wanted.len() < WANTED {
            self.wanted.insert((host.to_owned(), instance.to_owned()));
            self.version = u64::MAX;
        }
    }

    /// Takes what another version of the rule said as said.
    pub(super) fn follow(&mut self, old: &Self) {
        self.last.clone_from(&old.last);
        self.open.clone_from(&old.open);
        self.wanted.clone_from(&old.wanted);
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = usize> {
        self.refs.iter().filter_map(|of| match of.from {
            From::Window(at) => Some(at),
            _ => None,
        })
    }

    pub(super) fn renumber(&mut self, moved: &[usize]) {
        for of in &mut self.refs {
            if let From::Window(at) = &mut of.from {
                *at = moved[*at];
            }
        }
    }

    /// Rows that something was said of.
    pub(super) fn known(&self) -> impl Iterator<Item = u32> {
        self.open.iter().enumerate().filter(|(_, open)| **open).map(|(row, _)| row as u32)
    }

    pub(super) fn verdict(&self, row: u32) -> Verdict {
        self.last.get(row as usize).copied().unwrap_or_default()
    }

    /// A row that is not there any more; whether something had been said of it.
    pub(super) fn forget(&mut self, row: u32) -> bool {
        let Some(last) = self.last.get_mut(row as usize) else { return false };
        *last = Verdict::Unknown;
        std::mem::take(&mut self.open[row as usize])
    }

    /// It is for this host no more.
    pub(super) fn leave(&mut self, host: u32) {
        if let Some(is) = self.hosts.get_mut(host as usize) {
            *is = false;
        }
    }

    /// Which rows it is for, where that may have changed.
    fn members(&mut self, tables: &[Table]) {
        let table = &tables[self.table];
        if self.version == table.version {
            return;
        }
        self.version = table.version;
        self.all = true;
        let glob = self.compiled.each.as_ref().map_or("*", |each| each.glob.as_str());
        let all = glob == "*";
        self.member.clear();
        self.member.extend(table.rows.iter().map(|row| {
            row.alive
                && self.hosts.get(row.host as usize).copied().unwrap_or(false)
                && (self.table == HOSTS || all || glob::matches(glob, &row.name))
        }));
        self.last.resize(table.rows.len(), Verdict::Unknown);
        self.open.resize(table.rows.len(), false);
        if self.wanted.is_empty() {
            return;
        }
        for (at, row) in table.rows.iter().enumerate().filter(|(_, row)| row.alive) {
            let Some(host) = tables[HOSTS].rows.get(row.host as usize) else { continue };
            let instance = if self.table == HOSTS { "" } else { row.name.as_str() };
            let asked = self.wanted.remove(&(host.name.clone(), instance.to_owned()));
            if asked && !self.open[at] {
                // Nothing was said of it, whatever it was: that is told now.
                (self.open[at], self.last[at]) = (true, Verdict::Unknown);
            }
        }
    }

    /// Whether a block has to be looked at.
    fn stale(&self, board: &Board<'_>, block: usize) -> bool {
        self.all
            || self.refs.iter().any(|of| {
                let cells = board.cells(of.from);
                let direct = of.pick == Pick::Row || (of.pick == Pick::Host && self.table == HOSTS);
                if direct { cells.is_dirty(block) } else { cells.changed }
            })
    }

    /// Evaluates what may have changed and tells each row of which something else is to be said.
    #[expect(clippy::float_cmp, reason = "truth is exactly 1")]
    pub(super) fn cycle(
        &mut self,
        board: &Board<'_>,
        stack: &mut Stack,
        mut told: impl FnMut(u32, Verdict),
    ) {
        self.members(board.tables);
        if !self.all && !self.refs.iter().any(|of| board.cells(of.from).changed) {
            return;
        }
        let blocks = board.tables[self.table].room() / BLOCK;
        for block in 0..blocks {
            if !self.stale(board, block) {
                continue;
            }
            let load = |of: u16, lane: &mut Lane| {
                board.load(self.refs[of as usize], self.table, block, lane);
            };
            let when = *self.compiled.when.run(stack, load);
            let clear = self.compiled.clear.as_ref().map(|clear| *clear.run(stack, load));
            let from = block * BLOCK;
            let until = (from + BLOCK).min(self.last.len());
            for row in from..until {
                let value = when[row - from];
                let verdict = match clear.as_ref().map(|clear| clear[row - from]) {
                    _ if !self.member[row] => Verdict::Gone,
                    _ if value == 1.0 => Verdict::True,
                    _ if value.is_nan() => Verdict::Unknown,
                    None | Some(1.0) => Verdict::Clear,
                    Some(clear) if clear.is_nan() => Verdict::Unknown,
                    Some(_) => Verdict::Between,
                };
                if verdict != self.last[row] {
                    self.last[row] = verdict;
                    if self.open[row] || verdict == Verdict::True {
                        told(row as u32, verdict);
                    }
                    self.open[row] = match verdict {
                        Verdict::True => true,
                        Verdict::Gone => false,
                        _ => self.open[row],
                    };
                }
            }
        }
        self.all = false;
    }

    /// What a program comes to for one row.
    pub(super) fn one(
        &self,
        program: &Program,
        board: &Board<'_>,
        stack: &mut Stack,
        row: u32,
    ) -> f64 {
        let load = |of: u16, lane: &mut Lane| {
            let of = self.refs[of as usize];
            lane[0] = board.cells(of.from).get(board.row(of.pick, self.table, row));
        };
        program.run(stack, load)[0]
    }
}
