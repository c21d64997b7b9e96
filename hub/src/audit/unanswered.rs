//! Finds what a crash has left without an end: requests that were asked and never answered. Called by
//! [`super::Audit::tell_unanswered`], which then says of each that it is not known, and keeps until where that
//! was done.

use super::chain::{self, ChainKey, Point, Records};
use cmdr_protocol::audit::{Event, Outcome, Record};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

/// The most that are told of: more cannot have been under way.
const MOST: usize = 100_000;

/// The records that say so, in the order in which they were asked. Looks back from `end` to the record
/// `after`, until which all were told of. A start of the hub is no such place: it may have been killed
/// before it had told of all.
pub(super) fn find(dir: &Path, key: &ChainKey, after: u64, end: Point) -> io::Result<Vec<Record>> {
    let mut answered = HashSet::new();
    let mut open = BTreeMap::new();
    for number in chain::segments(dir)?.into_iter().rev().filter(|n| *n <= end.segment) {
        let mut bytes = match std::fs::read(chain::path(dir, number)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            Err(e) => return Err(e),
        };
        if number == end.segment {
            bytes.truncate(end.len as usize);
        }
        // What is damaged is told of elsewhere; nothing is made up about it here.
        let Ok((_, records)) = Records::of(key, &bytes) else { break };
        let Ok(records) =
            records.map(|found| found.map(|f| f.record)).collect::<Result<Vec<_>, _>>()
        else {
            break;
        };
        for record in records.into_iter().rev() {
            if record.seq <= after {
                return Ok(told(open));
            }
            match (record.event, record.asked) {
                (Event::Answered, Some(asked)) => {
                    answered.insert(asked);
                }
                (Event::Asked, _) if !answered.remove(&record.seq) && open.len() < MOST => {
                    open.insert(record.seq, record);
                }
                _ => {}
            }
        }
    }
    Ok(told(open))
}

fn told(open: BTreeMap<u64, Record>) -> Vec<Record> {
    let lost = |(seq, asked): (u64, Record)| Record {
        seq: 0,
        at_ms: 0,
        event: Event::Answered,
        asked: Some(seq),
        outcome: Some(Outcome::Lost),
        message: "the hub ended before this did; how it ended is not known".to_owned(),
        body: None,
        ..asked
    };
    open.into_iter().map(lost).collect()
}
