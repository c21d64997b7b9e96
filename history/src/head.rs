//! What is hot: the samples of one stretch of time, in memory, column by column, in the same few bytes
//! each that the log has. The store appends; queries and the checkpoint read.

use crate::Source;
use crate::codec::{put_after, take_after};
use crate::names::NameId;
use crate::rows::{Rows, Series};
use std::collections::HashMap;

/// One series of one source.
#[derive(Debug)]
struct Column {
    name: NameId,
    /// The last run of rows in which it has a value: its first row and how many.
    run: (u32, u32),
    /// The runs before it; most series have none.
    before: Vec<(u32, u32)>,
    bytes: Vec<u8>,
    last: i64,
}

/// The samples of one source.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) rows: u32,
    pub(crate) samples: u64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// The time of the row that came last, which is not the newest when a host fills in what it had.
    newest_row_ms: i64,
    times: Vec<u8>,
    columns: Vec<Column>,
    places: HashMap<NameId, u32>,
    /// The names of the row that came last, and where their columns are.
    schema: Vec<NameId>,
    at: Vec<u32>,
    /// Rows since one that can be read without those before; `u32::MAX` when there is none.
    pub(crate) since_whole: u32,
}

impl Head {
    pub(crate) fn has_schema(&self, names: &[NameId]) -> bool {
        self.schema == names
    }

    /// Says which series the next rows have.
    pub(crate) fn set_schema(&mut self, names: &[NameId]) {
        self.schema.clear();
        self.schema.extend_from_slice(names);
        self.at.clear();
        for name in names {
            let next = self.columns.len() as u32;
            let place = *self.places.entry(*name).or_insert(next);
            if place == next {
                self.columns.push(Column {
                    name: *name,
                    run: (self.rows, 0),
                    before: Vec::new(),
                    bytes: Vec::new(),
                    last: 0,
                });
            }
            self.at.push(place);
        }
    }

    /// Bytes of its samples.
    pub(crate) fn bytes(&self) -> u64 {
        (self.times.len() + self.columns.iter().map(|c| c.bytes.len()).sum::<usize>()) as u64
    }

    pub(crate) fn newest_row_ms(&self) -> i64 {
        self.newest_row_ms
    }

    /// Appends a row of the schema. `log` gets its bytes: differences to the row before, or, if
    /// `whole`, what can be read without any row before.
    pub(crate) fn push(&mut self, at_ms: i64, values: &[i64], whole: bool, log: &mut Vec<u8>) {
        let before = if whole { 0 } else { self.newest_row_ms };
        put_after(log, before, at_ms);
        put_after(&mut self.times, self.newest_row_ms, at_ms);
        self.newest_row_ms = at_ms;
        if self.rows == 0 {
            (self.first_ms, self.last_ms) = (at_ms, at_ms);
        }
        self.first_ms = self.first_ms.min(at_ms);
        self.last_ms = self.last_ms.max(at_ms);
        for (place, v) in self.at.iter().zip(values) {
            let column = &mut self.columns[*place as usize];
            if column.run.0 + column.run.1 != self.rows {
                if column.run.1 > 0 {
                    column.before.push(column.run);
                }
                column.run = (self.rows, 0);
            }
            column.run.1 += 1;
            let from = column.bytes.len();
            if column.bytes.capacity() - from < 10 {
                // A third more at a time: doubling would leave a quarter of the memory unused.
                column.bytes.reserve_exact(32.max(from / 3));
            }
            put_after(&mut column.bytes, column.last, *v);
            if whole {
                put_after(log, 0, *v);
            } else {
                log.extend_from_slice(&column.bytes[from..]);
            }
            column.last = *v;
        }
        self.since_whole = if whole { 0 } else { self.since_whole.saturating_add(1) };
        self.rows += 1;
        self.samples += values.len() as u64;
    }

    /// Reads a row as `push` wrote it to a log, with the schema that is set.
    pub(crate) fn read_row(
        &self,
        bytes: &mut &[u8],
        whole: bool,
        values: &mut Vec<i64>,
    ) -> Result<i64, crate::codec::Broken> {
        values.clear();
        let at_ms = take_after(bytes, if whole { 0 } else { self.newest_row_ms })?;
        for place in &self.at {
            let before = if whole { 0 } else { self.columns[*place as usize].last };
            values.push(take_after(bytes, before)?);
        }
        Ok(at_ms)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = NameId> {
        self.columns.iter().map(|c| c.name)
    }

    /// The value that came last, and when.
    pub(crate) fn last(&self, name: NameId) -> Option<i64> {
        let column = &self.columns[*self.places.get(&name)? as usize];
        (column.run.0 + column.run.1 == self.rows).then_some(column.last)
    }

    /// Whether it has values of all of these at a time.
    pub(crate) fn has(&self, at_ms: i64, names: &[NameId]) -> bool {
        let rows = self.times().into_iter().zip(0u32..).filter(|(t, _)| *t == at_ms);
        let rows: Vec<u32> = rows.map(|(_, row)| row).collect();
        let covers =
            |(first, n): (u32, u32)| rows.iter().any(|row| (first..first + n).contains(row));
        names.iter().all(|name| {
            let column = self.places.get(name).map(|place| &self.columns[*place as usize]);
            column.is_some_and(|c| covers(c.run) || c.before.iter().any(|run| covers(*run)))
        })
    }

    fn times(&self) -> Vec<i64> {
        decoded(&self.times, self.rows as usize)
    }

    /// The rows of the series that are asked for (all when `None`), in the order in which they came.
    pub(crate) fn rows(&self, wanted: Option<&[NameId]>) -> Rows {
        let series = self.meant(wanted).map(|column| {
            let runs = column.runs();
            Series { name: column.name, columns: vec![decoded(&column.bytes, count(&runs))], runs }
        });
        Rows { times: self.times(), series: series.collect() }
    }

    /// The same, still as bytes: what is read can be decoded when nobody waits for it.
    pub(crate) fn copied(&self, wanted: Option<&[NameId]>) -> Copied {
        let columns = self.meant(wanted);
        let columns = columns.map(|c| (c.name, c.runs(), c.bytes.clone().into_boxed_slice()));
        Copied { rows: self.rows, times: self.times.clone(), columns: columns.collect() }
    }

    fn meant(&self, wanted: Option<&[NameId]>) -> impl Iterator<Item = &Column> {
        let meant = move |column: &&Column| wanted.is_none_or(|w| w.contains(&column.name));
        self.columns.iter().filter(meant).filter(|c| c.run.1 > 0 || !c.before.is_empty())
    }
}

impl Column {
    fn runs(&self) -> Vec<(u32, u32)> {
        let last = (self.run.1 > 0).then_some(self.run);
        self.before.iter().copied().chain(last).collect()
    }
}

fn count(runs: &[(u32, u32)]) -> usize {
    runs.iter().map(|(_, n)| *n as usize).sum()
}

/// Differences in a row, as numbers.
fn decoded(mut bytes: &[u8], n: usize) -> Vec<i64> {
    let (mut values, mut v) = (Vec::new(), 0);
    values.reserve_exact(n);
    while let Ok(next) = take_after(&mut bytes, v) {
        v = next;
        values.push(v);
    }
    values
}

/// A series: its name, its runs of rows, its values as they are kept.
type CopiedColumn = (NameId, Vec<(u32, u32)>, Box<[u8]>);

/// Samples of one source as a head has them.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    rows: u32,
    times: Vec<u8>,
    columns: Vec<CopiedColumn>,
}

impl Copied {
    pub(crate) fn rows(&self) -> Rows {
        let series = self.columns.iter().map(|(name, runs, bytes)| {
            let columns = vec![decoded(bytes, count(runs))];
            Series { name: *name, runs: runs.clone(), columns }
        });
        Rows { times: decoded(&self.times, self.rows as usize), series: series.collect() }
    }
}

/// Everything since the last checkpoint; what one log file has.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    /// Of the log file.
    pub(crate) sequence: u64,
    pub(crate) heads: Vec<(Source, Head)>,
    pub(crate) places: HashMap<Source, u32>,
    /// The numbers that the log file has for names.
    pub(crate) wire: HashMap<NameId, u32>,
}

impl Generation {
    pub(crate) fn new(sequence: u64) -> Self {
        Self { sequence, ..Self::default() }
    }

    pub(crate) fn head(&self, source: &Source) -> Option<&Head> {
        self.places.get(source).map(|place| &self.heads[*place as usize].1)
    }

    /// The place of a source, new or known.
    pub(crate) fn place(&mut self, source: Source) -> u32 {
        let next = self.heads.len() as u32;
        let place = *self.places.entry(source).or_insert(next);
        if place == next {
            self.heads.push((source, Head::default()));
        }
        place
    }

    pub(crate) fn samples(&self) -> u64 {
        self.heads.iter().map(|(_, head)| head.samples).sum()
    }
}

/// The words of the log's entries. What follows each:
pub(crate) mod entry {
    /// The number that the log has for a name; the name.
    pub(crate) const NAME: u8 = 1;
    /// The place of a source; its sixteen bytes; how many series its next rows have; their names.
    pub(crate) const SCHEMA: u8 = 2;
    /// The place of a source; a row of differences.
    pub(crate) const ROW: u8 = 3;
    /// The place of a source; a row that can be read without those before.
    pub(crate) const WHOLE: u8 = 4;
}
