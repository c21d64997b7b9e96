//! The newest values of all hosts, a column for each metric and state, so that an expression is evaluated over many
//! hosts at once. What a host has several of (mounts, containers) has a table of its own: a row is one of them on one
//! host. Only the engine uses this.

use crate::program::{BLOCK, Lane};
use std::collections::HashMap;

/// The table of the hosts themselves.
pub(crate) const HOSTS: usize = 0;
/// Rows of one table that one host may have; what comes beyond is not looked at.
pub(crate) const MOST: u32 = 4096;
/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// Rows: the hosts, or what they have several of.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub rows: Vec<Row>,
    index: HashMap<(u32, String), u32>,
    free: Vec<u32>,
    /// Changes with each row that comes or goes.
    pub version: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The row of its host; of a host its own.
    pub host: u32,
    /// Of the instance; of a host its id.
    pub name: String,
    /// Since when it is known, in milliseconds of the clock that only goes forward.
    pub since: u64,
    pub alive: bool,
}

impl Table {
    pub(crate) fn find(&self, host: u32, name: &str) -> Option<u32> {
        // A tuple cannot be looked up in halves; names are short.
        self.index.get(&(host, name.to_owned())).copied()
    }

    /// The row, a new one where there was none; nothing where the host has too many.
    pub(crate) fn row(&mut self, host: u32, name: &str, now: u64, counts: &mut u32) -> Option<u32> {
        if let Some(row) = self.find(host, name) {
            return Some(row);
        }
        if *counts >= MOST {
            return None;
        }
        *counts += 1;
        let at = self.free.pop().unwrap_or(self.rows.len() as u32);
        let row = Row { host, name: name.to_owned(), since: now, alive: true };
        match self.rows.get_mut(at as usize) {
            Some(place) => *place = row,
            None => self.rows.push(row),
        }
        self.index.insert((host, name.to_owned()), at);
        self.version += 1;
        Some(at)
    }

    /// Adds a host, whose row is its own host.
    pub(crate) fn host(&mut self, id: &str, now: u64) -> u32 {
        if let Some(row) = self.find(NONE, id) {
            return row;
        }
        let at = self.row(NONE, id, now, &mut 0).unwrap_or(NONE);
        if let Some(row) = self.rows.get_mut(at as usize) {
            row.host = at;
        }
        at
    }

    pub(crate) fn remove(&mut self, at: u32, key: u32) {
        if let Some(row) = self.rows.get_mut(at as usize).filter(|row| row.alive) {
            row.alive = false;
            self.index.remove(&(key, std::mem::take(&mut row.name)));
            self.free.push(at);
            self.version += 1;
        }
    }

    /// Rows in whole blocks.
    pub(crate) fn room(&self) -> usize {
        self.rows.len().div_ceil(BLOCK) * BLOCK
    }
}

/// Values of the rows of one table, with which blocks of them changed.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    values: Vec<f64>,
    dirty: Vec<bool>,
    /// Whether any block changed.
    pub changed: bool,
}

impl Cells {
    pub(crate) fn get(&self, row: u32) -> f64 {
        self.values.get(row as usize).copied().unwrap_or(f64::NAN)
    }

    /// Writes a value and notes the block when it is another one.
    pub(crate) fn set(&mut self, row: u32, value: f64) {
        let at = row as usize;
        if at >= self.values.len() {
            let room = (at + 1).div_ceil(BLOCK) * BLOCK;
            self.values.resize(room, f64::NAN);
            self.dirty.resize(room / BLOCK, false);
        }
        let old = &mut self.values[at];
        if old.to_bits() != value.to_bits() && !(old.is_nan() && value.is_nan()) {
            *old = value;
            self.dirty[at / BLOCK] = true;
            self.changed = true;
        }
    }

    pub(crate) fn is_dirty(&self, block: usize) -> bool {
        self.dirty.get(block).copied().unwrap_or(false)
    }

    pub(crate) fn clean(&mut self) {
        if self.changed {
            self.dirty.fill(false);
            self.changed = false;
        }
    }

    pub(crate) fn load(&self, block: usize, lane: &mut Lane) {
        match self.values.get(block * BLOCK..(block + 1) * BLOCK) {
            Some(values) => lane.copy_from_slice(values),
            None => lane.fill(f64::NAN),
        }
    }
}

/// The newest values of a metric, or the states of a thing.
#[derive(Debug, Default)]
pub(crate) struct Column {
    pub table: usize,
    pub cells: Cells,
    /// When each row was told last.
    at: Vec<u64>,
    /// How long a value is good for; a state until another is told.
    lasts: Option<u64>,
}

impl Column {
    pub(crate) fn new(table: usize, lasts: Option<u64>) -> Self {
        Self { table, lasts, ..Self::default() }
    }

    /// When a row was told last; 0 where it never was.
    pub(crate) fn told(&self, row: u32) -> u64 {
        self.at.get(row as usize).copied().unwrap_or_default()
    }

    /// A value as of `at`. One that is older than what is known changes nothing.
    pub(crate) fn tell(&mut self, row: u32, value: f64, at: u64) -> bool {
        let index = row as usize;
        if index >= self.at.len() {
            self.at.resize(index + 1, 0);
        }
        if at < self.at[index] {
            return false;
        }
        self.at[index] = at;
        self.cells.set(row, value);
        true
    }

    /// What is known of a row is known no more.
    pub(crate) fn lose(&mut self, row: u32) {
        self.cells.set(row, f64::NAN);
        if let Some(at) = self.at.get_mut(row as usize) {
            *at = 0;
        }
    }

    /// Loses what is too old.
    pub(crate) fn age(&mut self, now: u64) {
        let Some(lasts) = self.lasts else { return };
        let Some(oldest) = now.checked_sub(lasts) else { return };
        for row in 0..self.at.len() {
            if self.at[row] < oldest && !self.cells.values[row].is_nan() {
                self.cells.set(row as u32, f64::NAN);
            }
        }
    }
}
