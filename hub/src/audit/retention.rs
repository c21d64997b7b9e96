//! Removes old segments, and proves afterwards that nothing else is missing: before anything goes, a
//! checkpoint record is on disk that vouches for it with its hash, its count and its times. Run by the
//! hub now and then.

use super::Audit;
use super::chain::{self, ChainKey, Head, Records};
use cmdr_link::clock;
use cmdr_protocol::audit::{Event, Record, Removed};
use cmdr_protocol::human::{count, moment};
use std::fs::File;
use std::io;
use std::path::Path;

/// How long records are kept. Whatever is reached first removes the oldest segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many days; 0 for ever.
    pub days: u64,
    /// So many bytes; 0 for any number.
    pub bytes: u64,
}

impl Audit {
    /// Removes what is beyond the limits; says how many segments that was.
    pub async fn retain(&self, keep: Keep) -> io::Result<u64> {
        let (dir, key, end) = (self.shared.dir.clone(), self.shared.key.clone(), self.point());
        let look = move || old(&dir, &key, end.segment, keep, clock::now_ms());
        let found = tokio::task::spawn_blocking(look).await.map_err(io::Error::other)??;
        let Some((numbers, removed)) = found else { return Ok(0) };
        let record = Record {
            event: Event::Checkpoint,
            message: format!(
                "removes {} from {} to {}",
                count(removed.records, "record"),
                moment(removed.first_ms),
                moment(removed.last_ms)
            ),
            removed: Some(removed),
            ..Record::default()
        };
        self.append(record).await.map_err(io::Error::other)?;
        let dir = self.shared.dir.clone();
        let remove = move || {
            // Oldest first: what a crash leaves is still without a gap.
            for number in &numbers {
                std::fs::remove_file(chain::path(&dir, *number))?;
            }
            File::open(&dir)?.sync_all()?;
            Ok(numbers.len() as u64)
        };
        tokio::task::spawn_blocking(remove).await.map_err(io::Error::other)?
    }
}

/// The segments that are beyond the limits, and what a checkpoint has to say about them.
fn old(
    dir: &Path,
    key: &ChainKey,
    active: u64,
    keep: Keep,
    now_ms: u64,
) -> io::Result<Option<(Vec<u64>, Removed)>> {
    let numbers: Vec<_> = chain::segments(dir)?.into_iter().filter(|n| *n < active).collect();
    let mut total = std::fs::metadata(chain::path(dir, active))?.len();
    let mut sizes = Vec::new();
    for number in &numbers {
        let size = std::fs::metadata(chain::path(dir, *number))?.len();
        total += size;
        sizes.push(size);
    }
    let oldest = now_ms.saturating_sub(keep.days.saturating_mul(24 * 3600 * 1000));
    let mut gone: Option<(Vec<u64>, Removed)> = None;
    for (number, size) in numbers.into_iter().zip(sizes) {
        let too_much = keep.bytes > 0 && total > keep.bytes;
        if !too_much && keep.days == 0 {
            break;
        }
        let bytes = std::fs::read(chain::path(dir, number))?;
        let segment = whole(key, &bytes, number, gone.as_ref().map(|(_, removed)| removed))?;
        if !too_much && segment.last_ms >= oldest {
            break;
        }
        total -= size;
        gone = Some(match gone {
            None => (vec![number], segment),
            Some((mut numbers, before)) => {
                numbers.push(number);
                let records = before.records + segment.records;
                (numbers, Removed { records, first_ms: before.first_ms, ..segment })
            }
        });
    }
    Ok(gone)
}

/// What is in a segment, which must be whole: damage is evidence, and stays.
fn whole(
    key: &ChainKey,
    bytes: &[u8],
    number: u64,
    before: Option<&Removed>,
) -> io::Result<Removed> {
    let damaged = |what: &str| {
        let what = format!("segment {number} is not removed, because it is damaged: {what}");
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    let (head, records): (Head, _) = Records::of(key, bytes).map_err(|what| damaged(&what))?;
    let fits = before.is_none_or(|before| {
        head.first_seq == before.seq + 1 && head.before.as_slice() == before.hash
    });
    if !fits || head.number != number {
        return Err(damaged("it does not continue the one before it"));
    }
    let (_, hash) = head.encode(key);
    let mut removed = Removed {
        segment: number,
        seq: head.first_seq.saturating_sub(1),
        hash: hash.to_vec(),
        records: 0,
        first_ms: head.at_ms,
        last_ms: head.at_ms,
    };
    for found in records {
        let found = found.map_err(|flaw| damaged(&flaw.what))?;
        if removed.records == 0 {
            removed.first_ms = found.record.at_ms;
        }
        removed.records += 1;
        removed.seq = found.record.seq;
        removed.last_ms = found.record.at_ms;
        removed.hash = found.hash.to_vec();
    }
    Ok(removed)
}
