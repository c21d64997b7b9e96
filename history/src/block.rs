//! A block: the rows of one source in one segment, as bytes. First a directory with a checksum, then
//! each column with one of its own, so a query reads only the columns that it needs, and a flipped byte costs
//! one column and is never served.

use crate::codec::{Broken, compress, decompress, put, take, take_below, take_bytes};
use crate::names::NameId;
use crate::rows::{Rows, Series};

/// So many rows in a block at most.
pub(crate) const ROWS_MAX: usize = 1 << 22;
const SERIES_MAX: usize = 1 << 20;
const COLUMNS_MAX: usize = 8;

/// Appends a block; answers how long its directory is. `local` gives a name its number in the file.
pub(crate) fn write(rows: &Rows, mut local: impl FnMut(NameId) -> u64, out: &mut Vec<u8>) -> u32 {
    let begin = out.len();
    let mut chunks = Vec::new();
    let mut chunk = |out: &mut Vec<u8>, values: &[i64]| {
        let from = chunks.len();
        chunks.extend_from_slice(&[0; 4]);
        compress(&mut chunks, values);
        let sum = crc32fast::hash(&chunks[from + 4..]);
        chunks[from..from + 4].copy_from_slice(&sum.to_le_bytes());
        put(out, (chunks.len() - from) as u64);
    };
    put(out, rows.times.len() as u64);
    chunk(out, &rows.times);
    put(out, rows.series.len() as u64);
    for series in &rows.series {
        put(out, local(series.name));
        if series.runs[..] == [(0, rows.times.len() as u32)] {
            put(out, 0);
        } else {
            put(out, series.runs.len() as u64);
            let mut end = 0;
            for (first, n) in &series.runs {
                put(out, u64::from(first - end));
                put(out, u64::from(*n));
                end = first + n;
            }
        }
        put(out, series.columns.len() as u64);
        for column in &series.columns {
            chunk(out, column);
        }
    }
    let sum = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&sum.to_le_bytes());
    let directory = out.len() - begin;
    out.append(&mut chunks);
    directory as u32
}

/// Where in a block something is.
pub(crate) type Place = (usize, usize);

/// What a block has.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) rows: usize,
    pub(crate) times: Place,
    pub(crate) series: Vec<Listed>,
}

/// A series in a directory.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: NameId,
    pub(crate) runs: Vec<(u32, u32)>,
    pub(crate) columns: Vec<Place>,
}

impl Listed {
    pub(crate) fn values(&self) -> usize {
        self.runs.iter().map(|(_, n)| *n as usize).sum()
    }
}

/// Reads a directory; of its series those that are wanted.
pub(crate) fn directory(
    bytes: &[u8],
    len: usize,
    names: &[NameId],
    wanted: Option<&[NameId]>,
) -> Result<Directory, Broken> {
    let (mut body, sum) = bytes.split_at_checked(bytes.len().wrapping_sub(4)).ok_or(Broken)?;
    if crc32fast::hash(body).to_le_bytes() != *sum {
        return Err(Broken);
    }
    let mut at = bytes.len();
    let mut place = |bytes: &mut &[u8]| -> Result<Place, Broken> {
        let n = take_below(bytes, len + 1)?;
        let found = (at, n);
        at += n;
        if at > len { Err(Broken) } else { Ok(found) }
    };
    let rows = take_below(&mut body, ROWS_MAX + 1)?;
    let times = place(&mut body)?;
    let count = take_below(&mut body, SERIES_MAX)?;
    let mut series = Vec::new();
    for _ in 0..count {
        let name = *names.get(take_below(&mut body, SERIES_MAX)?).ok_or(Broken)?;
        let meant = wanted.is_none_or(|w| w.contains(&name));
        let mut runs = Vec::new();
        let n = take_below(&mut body, rows + 1)?;
        if n == 0 && meant {
            runs.push((0, rows as u32));
        }
        let mut end = 0u64;
        for _ in 0..n {
            let first = end + take(&mut body)?.min(ROWS_MAX as u64);
            let n = take(&mut body)?.min(ROWS_MAX as u64);
            end = first + n;
            if end > rows as u64 {
                return Err(Broken);
            }
            if meant {
                runs.push((first as u32, n as u32));
            }
        }
        let n = take_below(&mut body, COLUMNS_MAX)?;
        let mut columns = Vec::with_capacity(if meant { n } else { 0 });
        for _ in 0..n {
            let place = place(&mut body)?;
            if meant {
                columns.push(place);
            }
        }
        if meant {
            series.push(Listed { name, runs, columns });
        }
    }
    Ok(Directory { rows, times, series })
}

/// Reads a column of `n` values.
pub(crate) fn column(bytes: &[u8], n: usize) -> Result<Vec<i64>, Broken> {
    let mut body = bytes;
    let sum = take_bytes(&mut body, 4)?;
    if crc32fast::hash(body).to_le_bytes() != *sum {
        return Err(Broken);
    }
    let mut values = Vec::new();
    values.reserve_exact(n);
    decompress(body, n, &mut values)?;
    Ok(values)
}

/// A series as it is in rows, with the columns that were asked for.
pub(crate) fn series(listed: Listed, columns: Vec<Vec<i64>>) -> Series {
    Series { name: listed.name, runs: listed.runs, columns }
}
