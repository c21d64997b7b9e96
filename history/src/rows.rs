//! Samples of one source as columns, as they go from what is hot to blocks and from blocks to answers.

use crate::names::NameId;

/// Rows of one source: a time each, and for each series the rows in which it has a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Milliseconds since 1970.
    pub(crate) times: Vec<i64>,
    pub(crate) series: Vec<Series>,
}

/// One series: in raw rows one column, in thinned ones several (see `thin`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) name: NameId,
    /// First row and number of rows, ascending, not touching.
    pub(crate) runs: Vec<(u32, u32)>,
    pub(crate) columns: Vec<Vec<i64>>,
}

/// One series with the times of its own values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Points {
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<Vec<i64>>,
}

impl Points {
    pub(crate) fn is_ascending(&self) -> bool {
        self.times.windows(2).all(|w| w[0] < w[1])
    }

    /// Puts points in order of time. Of several of one time the one that came first stays.
    pub(crate) fn sort(&mut self) {
        if self.is_ascending() {
            return;
        }
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|i| self.times[*i]);
        order.dedup_by_key(|i| self.times[*i]);
        self.times = order.iter().map(|i| self.times[*i]).collect();
        for column in &mut self.columns {
            // A column that was not asked for is empty.
            if !column.is_empty() {
                *column = order.iter().map(|i| column[*i]).collect();
            }
        }
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.times.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.times.append(&mut other.times);
        for (column, more) in self.columns.iter_mut().zip(&mut other.columns) {
            column.append(more);
        }
    }

    /// Leaves only points of `from..to`.
    pub(crate) fn clip(&mut self, from: i64, to: i64) {
        if self.times.first().is_some_and(|t| *t >= from)
            && self.times.last().is_some_and(|t| *t < to)
            && self.is_ascending()
        {
            return;
        }
        let keep: Vec<bool> = self.times.iter().map(|t| (from..to).contains(t)).collect();
        let retain = |column: &mut Vec<i64>| {
            let mut flags = keep.iter();
            column.retain(|_| flags.next().copied().unwrap_or_default());
        };
        retain(&mut self.times);
        self.columns.iter_mut().for_each(retain);
    }
}

impl Rows {
    /// The times of a series, with its columns taken out of it.
    pub(crate) fn points(&self, series: Series) -> Points {
        let part = |(first, n): (u32, u32)| &self.times[first as usize..(first + n) as usize];
        let times = if let [run] = series.runs[..] {
            part(run).to_vec()
        } else {
            series.runs.iter().flat_map(|run| part(*run)).copied().collect()
        };
        Points { times, columns: series.columns }
    }

    /// Rows of series that may have different times; each in order, no time twice.
    pub(crate) fn gather(series: Vec<(NameId, Points)>) -> Self {
        let mut times: Vec<i64> = match series.first() {
            Some((_, first)) if series.iter().all(|(_, p)| p.times == first.times) => {
                first.times.clone()
            }
            _ => series.iter().flat_map(|(_, p)| p.times.iter().copied()).collect(),
        };
        times.sort_unstable();
        times.dedup();
        let series = series.into_iter().filter(|(_, p)| !p.times.is_empty());
        let series = series
            .map(|(name, points)| {
                let mut runs: Vec<(u32, u32)> = Vec::new();
                let mut row = 0;
                for t in &points.times {
                    while times[row] != *t {
                        row += 1;
                    }
                    match runs.last_mut() {
                        Some((first, n)) if (*first + *n) as usize == row => *n += 1,
                        _ => runs.push((row as u32, 1)),
                    }
                    row += 1;
                }
                Series { name, runs, columns: points.columns }
            })
            .collect();
        Self { times, series }
    }

    /// The same samples in order of time, none twice.
    pub(crate) fn sorted(mut self) -> Self {
        if self.times.windows(2).all(|w| w[0] < w[1]) {
            return self;
        }
        let series = std::mem::take(&mut self.series);
        let series = series.into_iter().map(|one| {
            let name = one.name;
            let mut points = self.points(one);
            points.sort();
            (name, points)
        });
        Self::gather(series.collect())
    }

    /// Samples in all series; of thinned rows the values that stand for many.
    pub(crate) fn values(&self) -> u64 {
        self.series.iter().flat_map(|s| &s.runs).map(|(_, n)| u64::from(*n)).sum()
    }
}
