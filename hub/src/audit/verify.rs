//! Proves the log whole, or names the first thing that is wrong. Asked by `audit.verify`, by the
//! hub's check and by `cmdr-hub audit verify`; reads only.

use super::chain::{self, ChainKey, HEAD, Head, Point, Records};
use super::{Audit, head};
use crate::store::Store;
use cmdr_link::SecretKey;
use cmdr_protocol::audit::{Broken, Removed, Verified};
use std::io;
use std::path::Path;

impl Audit {
    /// Walks the whole log up to its present end.
    pub async fn verify(&self) -> io::Result<Verified> {
        let (dir, key) = (self.shared.dir.clone(), self.shared.key.clone());
        // What is behind this point is being written at this moment.
        let point = self.point();
        let walk = move || walk(&dir, &key, Some(point), Some(point));
        tokio::task::spawn_blocking(walk).await.map_err(io::Error::other)?
    }
}

/// Walks the log of a hub that does not run.
pub fn verify_stopped(dir: &Path, key: &SecretKey, store: &Store) -> io::Result<Verified> {
    let key = ChainKey::new(key);
    let head = head(store, &key);
    walk(dir, &key, head, None)
}

/// Where a log may begin: at its very beginning, or where a checkpoint vouches for what is gone.
struct Start {
    segment: u64,
    seq: u64,
    hash: chain::Hash,
}

/// `kept`: the log must have reached this point. `end`: it is looked at up to here and no further.
fn walk(
    dir: &Path,
    key: &ChainKey,
    kept: Option<Point>,
    end: Option<Point>,
) -> io::Result<Verified> {
    let mut told = Verified::default();
    let kept = kept.unwrap_or_default();
    let mut numbers = match chain::segments(dir) {
        Ok(numbers) => numbers,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    if let Some(end) = end {
        numbers.retain(|number| *number <= end.segment);
    }
    let broken = |segment, seq, offset, what: String| {
        Some(Broken {
            segment,
            seq,
            offset,
            what: cmdr_protocol::display::clean_to_width(&what, 300),
        })
    };
    let mut starts = vec![Start { segment: 1, seq: 1, hash: [0; 32] }];
    let mut first: Option<Head> = None;
    let mut at = Point::default();
    let last = numbers.last().copied().unwrap_or(0);
    for number in numbers {
        let mut bytes = match std::fs::read(chain::path(dir, number)) {
            Ok(bytes) => bytes,
            // Retention took it meanwhile; a checkpoint must vouch for it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && first.is_none() => continue,
            Err(e) => return Err(e),
        };
        if let Some(end) = end.filter(|end| end.segment == number) {
            bytes.truncate(end.len as usize);
        }
        let expected = at.seq + 1;
        let (head, records) = match Records::of(key, &bytes) {
            Ok(begun) => begun,
            Err(what) => {
                told.broken = broken(number, expected, 0, what);
                return Ok(told);
            }
        };
        let (_, hash) = head.encode(key);
        let wrong = if head.number != number {
            Some(format!("the file holds segment {}", head.number))
        } else if first.is_none() {
            None
        } else if number != at.segment + 1 {
            Some(format!("the segments {} to {} are missing", at.segment + 1, number - 1))
        } else if head.first_seq != expected {
            Some(format!(
                "the segment continues record {}, but the one before ends with record {}",
                head.first_seq.saturating_sub(1),
                at.seq
            ))
        } else if head.before != at.hash {
            Some("the segment continues another record than the one before it".to_owned())
        } else {
            None
        };
        if let Some(what) = wrong {
            told.broken = broken(number, expected.max(1), 0, what);
            return Ok(told);
        }
        if first.is_none() {
            first = Some(head);
            told.first_seq = head.first_seq;
            told.first_ms = head.at_ms;
        }
        told.segments += 1;
        at = Point {
            segment: number,
            len: HEAD as u64,
            seq: head.first_seq.saturating_sub(1),
            hash,
        };
        for found in records {
            let found = match found {
                Ok(found) => found,
                Err(flaw) if flaw.torn && number == last && flaw.seq > kept.seq => {
                    told.torn = bytes.len() as u64 - flaw.offset;
                    break;
                }
                Err(flaw) => {
                    told.broken = broken(number, flaw.seq, flaw.offset, flaw.what);
                    return Ok(told);
                }
            };
            let record = &found.record;
            if told.records == 0 {
                told.first_ms = record.at_ms;
            }
            told.records += 1;
            told.last_seq = record.seq;
            told.last_ms = record.at_ms;
            starts.extend(record.removed.as_ref().and_then(start));
            at = Point { segment: number, len: found.end, seq: record.seq, hash: found.hash };
            if at.seq == kept.seq && at.hash != kept.hash {
                let what = "the record is not the one that the hub's store knows of";
                told.broken = broken(number, at.seq, found.offset, what.to_owned());
                return Ok(told);
            }
        }
    }
    if at.seq < kept.seq {
        let missing = format!(
            "the log ends with record {}, but record {} was written: its end is cut off",
            at.seq, kept.seq
        );
        told.broken = broken(at.segment, at.seq + 1, at.len, missing);
        return Ok(told);
    }
    if let Some(head) = first {
        let begins = |s: &Start| {
            s.segment == head.number && s.seq == head.first_seq && s.hash == head.before
        };
        if !starts.iter().any(begins) {
            let what = "the segments before it are missing, and no checkpoint vouches for them";
            told.broken = broken(head.number, head.first_seq, 0, what.to_owned());
        }
    }
    Ok(told)
}

fn start(removed: &Removed) -> Option<Start> {
    let hash = removed.hash.as_slice().try_into().ok()?;
    Some(Start { segment: removed.segment + 1, seq: removed.seq + 1, hash })
}
