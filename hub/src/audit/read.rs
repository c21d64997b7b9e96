//! Finds records, newest first, and follows the log as it grows. Reads segment files, each hash
//! checked on the way; never in the way of the writer.

use super::Audit;
use super::chain::{self, ChainKey, HEAD, Point, Records};
use cmdr_protocol::audit::{Filter, PAGE, Page, Record};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// Segments looked through for one page, and no more: 64 MiB with the usual segments.
const SEGMENTS_A_PAGE: usize = 8;
/// Bytes of records in one page or item: far below the largest frame.
const PAGE_BYTES: u64 = 512 * 1024;

impl Audit {
    /// A page of the log, newest first.
    pub async fn page(&self, filter: Filter, before: Option<u64>, limit: u32) -> io::Result<Page> {
        let (shared, point) = (self.shared.clone(), self.point());
        let find = move || page(&shared.dir, &shared.key, point, &filter, before, limit);
        tokio::task::spawn_blocking(find).await.map_err(io::Error::other)?
    }

    /// How much of it there is.
    pub async fn extent(&self) -> io::Result<Extent> {
        let (dir, key, end) = (self.shared.dir.clone(), self.shared.key.clone(), self.point());
        let look = move || extent(&dir, &key, end);
        tokio::task::spawn_blocking(look).await.map_err(io::Error::other)?
    }

    /// Follows the log from behind this record; from its present end when none is named.
    pub fn follow(&self, after: Option<u64>) -> Tail {
        let now = self.point();
        let at = match after {
            // The segment is found with the first read.
            Some(seq) if seq < now.seq => Point { seq, ..Point::default() },
            _ => now,
        };
        Tail {
            dir: self.shared.dir.clone(),
            key: self.shared.key.clone(),
            seen: self.shared.point.subscribe(),
            at,
            missed: 0,
        }
    }
}

fn page(
    dir: &Path,
    key: &ChainKey,
    end: Point,
    filter: &Filter,
    before: Option<u64>,
    limit: u32,
) -> io::Result<Page> {
    let limit = if limit == 0 { PAGE } else { limit.min(PAGE) } as usize;
    let before = before.unwrap_or(u64::MAX);
    let mut page = Page::default();
    let (mut looked, mut size) = (0, 0);
    // Where the segment looked at before begins: the next page goes on there.
    let mut oldest = before;
    for number in chain::segments(dir)?.into_iter().rev().filter(|n| *n <= end.segment) {
        let damage = |what: String| format!("segment {number}: {what}; see: cmdr audit verify");
        let head = match read_head(dir, key, number) {
            Ok(Ok(head)) => head,
            Ok(Err(what)) => {
                page.damage = damage(what);
                continue;
            }
            // Retention took it meanwhile, and with it all that is older.
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            Err(e) => return Err(e),
        };
        if head.first_seq >= before || filter.until_ms.is_some_and(|until| head.at_ms >= until) {
            continue;
        }
        if looked == SEGMENTS_A_PAGE {
            page.next = Some(oldest);
            return Ok(page);
        }
        looked += 1;
        oldest = head.first_seq;
        let bytes = read_up_to(dir, number, end)?;
        let records = match Records::of(key, &bytes) {
            Ok((_, records)) => records,
            Err(what) => {
                page.damage = damage(what);
                continue;
            }
        };
        let mut wanted = VecDeque::new();
        let mut newest_ms = 0;
        for found in records {
            match found {
                Ok(found) if found.record.seq >= before => break,
                Ok(found) => {
                    newest_ms = found.record.at_ms;
                    if filter.matches(&found.record) {
                        if wanted.len() > limit {
                            wanted.pop_front();
                        }
                        wanted.push_back((found.end - found.offset, found.record));
                    }
                }
                Err(flaw) => {
                    page.damage = format!(
                        "segment {number}, record {}: {}; see: cmdr audit verify",
                        flaw.seq, flaw.what
                    );
                    break;
                }
            }
        }
        while let Some((bytes, record)) = wanted.pop_back() {
            if page.records.len() == limit || size + bytes > PAGE_BYTES {
                page.next = Some(record.seq + 1);
                return Ok(page);
            }
            size += bytes;
            page.records.push(record);
        }
        if filter.from_ms.is_some_and(|from| newest_ms < from) {
            // The log's clock never goes back: all that is older is out of range as well.
            return Ok(page);
        }
    }
    Ok(page)
}

/// What the log is as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When its oldest segment was begun, milliseconds since 1970; 0 when that cannot be read.
    pub first_ms: u64,
}

/// How much of a log there is up to a place.
fn extent(dir: &Path, key: &ChainKey, end: Point) -> io::Result<Extent> {
    let mut found = Extent::default();
    let numbers: Vec<u64> =
        chain::segments(dir)?.into_iter().filter(|n| *n <= end.segment).collect();
    for number in &numbers {
        match std::fs::metadata(chain::path(dir, *number)) {
            Ok(meta) => found.bytes += meta.len(),
            // Retention took it meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    if let Some(oldest) = numbers.first()
        && let Ok(head) = read_head(dir, key, *oldest)?
    {
        found.first_ms = head.at_ms;
        found.records = (end.seq + 1).saturating_sub(head.first_seq);
    }
    Ok(found)
}

/// The head of a segment; the inner error says what is wrong with it.
fn read_head(dir: &Path, key: &ChainKey, number: u64) -> io::Result<Result<chain::Head, String>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(chain::path(dir, number))?.take(HEAD as u64).read_to_end(&mut bytes)?;
    Ok(chain::Head::decode(key, &bytes).map(|(head, _)| head))
}

fn read_up_to(dir: &Path, number: u64, end: Point) -> io::Result<Vec<u8>> {
    let mut bytes = std::fs::read(chain::path(dir, number))?;
    if number == end.segment {
        bytes.truncate(end.len as usize);
    }
    Ok(bytes)
}

/// Follows the log. Nothing is lost while it is slow: it reads the files, not a queue.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    key: ChainKey,
    seen: watch::Receiver<Point>,
    /// Behind the last record given out. Segment 0: where this is has still to be found.
    at: Point,
    missed: u64,
}

impl Tail {
    /// The number of the last record given out.
    pub const fn seq(&self) -> u64 {
        self.at.seq
    }

    /// Records that retention removed before they could be read.
    pub const fn take_missed(&mut self) -> u64 {
        std::mem::replace(&mut self.missed, 0)
    }

    /// Whether nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.seen.has_changed().is_err()
    }

    /// Waits until there is something to read; false when the log is closed.
    pub async fn wait(&mut self) -> bool {
        let seq = self.at.seq;
        self.seen.wait_for(|point| point.seq > seq).await.is_ok()
    }

    /// The next records that are on disk, at most about half a megabyte of them; empty when there
    /// are none yet.
    pub async fn read(&mut self) -> io::Result<Vec<Record>> {
        let (at, end) = (self.at, *self.seen.borrow_and_update());
        if end.seq <= at.seq {
            return Ok(Vec::new());
        }
        let (dir, key) = (self.dir.clone(), self.key.clone());
        let read = move || next(&dir, &key, at, end);
        let (records, at, missed) =
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        self.at = at;
        self.missed += missed;
        Ok(records)
    }
}

/// Records behind `at`, where that leads to, and how many are gone.
fn next(
    dir: &Path,
    key: &ChainKey,
    mut at: Point,
    end: Point,
) -> io::Result<(Vec<Record>, Point, u64)> {
    let (mut records, mut size) = (Vec::new(), 0);
    let mut missed = 0;
    while at.seq < end.seq && records.is_empty() {
        if at.segment == 0 || !chain::path(dir, at.segment).exists() {
            (at, missed) = find(dir, key, at, end, missed)?;
        }
        let (bytes, whole) = read_from(&chain::path(dir, at.segment), at, end)?;
        for found in Records::after(key, &bytes, &at) {
            let found = match found {
                Ok(found) => found,
                // The rest of it comes with the next piece.
                Err(flaw) if flaw.torn && !whole => break,
                Err(flaw) => return Err(damaged(at.segment, flaw.seq, &flaw.what)),
            };
            size += found.end - found.offset;
            if !records.is_empty() && size > PAGE_BYTES {
                break;
            }
            at = Point {
                segment: at.segment,
                len: found.end,
                seq: found.record.seq,
                hash: found.hash,
            };
            records.push(found.record);
            if records.len() == PAGE as usize {
                break;
            }
        }
        if records.is_empty() && at.seq < end.seq {
            // This segment is at its end: the next one goes on.
            at.segment = 0;
        }
    }
    Ok((records, at, missed))
}

fn damaged(segment: u64, seq: u64, what: &str) -> io::Error {
    let what = format!("segment {segment}, record {seq}: {what}; see: cmdr audit verify");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The place behind record `at.seq`, or before the first that is left.
fn find(
    dir: &Path,
    key: &ChainKey,
    at: Point,
    end: Point,
    missed: u64,
) -> io::Result<(Point, u64)> {
    let mut begin = None;
    for number in chain::segments(dir)?.into_iter().rev().filter(|n| *n <= end.segment) {
        let bytes = read_up_to(dir, number, end)?;
        let (head, records) =
            Records::of(key, &bytes).map_err(|what| damaged(number, at.seq + 1, &what))?;
        let (_, hash) = head.encode(key);
        let first = head.first_seq.saturating_sub(1);
        let mut point = Point { segment: number, len: HEAD as u64, seq: first, hash };
        if first > at.seq {
            begin = Some(point);
            continue;
        }
        for found in records.map_while(Result::ok) {
            if found.record.seq > at.seq {
                break;
            }
            point.len = found.end;
            point.seq = found.record.seq;
            point.hash = found.hash;
        }
        if point.seq == at.seq && (begin.is_none() || bytes.len() as u64 > point.len) {
            return Ok((point, missed));
        }
        break;
    }
    let begin = begin.ok_or_else(|| damaged(end.segment, at.seq + 1, "it cannot be found"))?;
    Ok((begin, missed + (begin.seq - at.seq)))
}

/// The bytes of a segment behind `at`, a piece of them when there are many; whether these are all.
fn read_from(path: &Path, at: Point, end: Point) -> io::Result<(Vec<u8>, bool)> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let len = if at.segment == end.segment { end.len } else { file.metadata()?.len() };
    file.seek(SeekFrom::Start(at.len))?;
    let rest = len.saturating_sub(at.len);
    let mut bytes = Vec::new();
    file.take(rest.min(2 * PAGE_BYTES)).read_to_end(&mut bytes)?;
    Ok((bytes, rest <= 2 * PAGE_BYTES))
}
