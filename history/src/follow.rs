//! Reading on: what has come since one looked last, for those who send samples somewhere else. What they have read is kept
//! by source, so a host that was away goes on where it was, and what comes late although newer samples were read is noted
//! and read as well.
//!
//! A position is theirs to keep: read on from the same one twice, and the same samples come twice.

use crate::names::Name;
use crate::query::Snapshot;
use crate::store::{Shared, Store};
use crate::{Error, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So much time is read at once at most: whoever takes samples of many hosts wants none of them hours ahead.
const WINDOW_MS: i64 = 300_000;
/// So many late rows are remembered at most.
const LATE_MAX: usize = 200_000;
/// Late rows of one source that are read at once.
const LATE_AT_ONCE: usize = 256;

/// How far somebody has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Sources that are not named in `read` are read from here on, milliseconds since 1970.
    pub from_ms: i64,
    /// All of a source up to this time.
    pub read: BTreeMap<Source, i64>,
    /// But for rows of these times, which came later.
    pub late: BTreeMap<Source, BTreeSet<i64>>,
}

/// One who reads on.
#[derive(Debug)]
pub struct Follower(usize);

/// Samples that were not read before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unread {
    /// Each in order of time; no series twice.
    pub series: Vec<Part>,
    /// The newest sample of them.
    pub last_ms: i64,
    /// How many there are.
    pub samples: u64,
    /// They are older than what was read of their host before; some may be among them that were read.
    pub late: bool,
}

/// Samples of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Whose.
    pub source: Source,
    /// What they are.
    pub name: Name,
    /// Times, milliseconds since 1970, and values in the name's scale.
    pub points: Vec<(i64, i64)>,
}

/// What the store notes for one who reads on.
#[derive(Debug, Default)]
pub(crate) struct Following {
    position: Position,
    waiting: usize,
    /// Rows that came late when no more could be noted.
    lost: u64,
}

impl Following {
    /// Whether what was read goes as far as this already.
    pub(crate) fn is_late(&self, source: &Source, at_ms: i64) -> bool {
        self.position.read.get(source).is_some_and(|read| at_ms <= *read)
    }

    /// A row has come.
    pub(crate) fn note(&mut self, source: &Source, at_ms: i64) {
        if !self.is_late(source, at_ms) {
            return;
        }
        if self.waiting >= LATE_MAX {
            self.lost += 1;
        } else if self.position.late.entry(*source).or_default().insert(at_ms) {
            self.waiting += 1;
        }
    }
}

/// A source with something unread, from its first time on.
struct Waiting {
    source: Source,
    first_ms: i64,
    newest_ms: i64,
}

fn waiting(shared: &Shared, position: &Position) -> Vec<Waiting> {
    let mut found: HashMap<Source, (i64, i64)> = HashMap::new();
    let hot = shared.generations().flat_map(|g| &g.heads).filter(|(_, head)| head.rows > 0);
    let hot = hot.map(|(source, head)| (*source, head.first_ms, head.last_ms));
    let kept = shared.segments.iter().filter(|s| s.tier == 0).flat_map(|s| &s.entries);
    let kept = kept.map(|e| (e.source, e.first_ms, e.last_ms));
    for (source, first, last) in hot.chain(kept) {
        let read = position.read.get(&source).copied().unwrap_or(position.from_ms - 1);
        if last > read {
            let first = first.max(read.saturating_add(1));
            let (oldest, newest) = found.entry(source).or_insert((first, last));
            (*oldest, *newest) = (first.min(*oldest), last.max(*newest));
        }
    }
    let mut all: Vec<Waiting> = found
        .into_iter()
        .map(|(source, (first_ms, newest_ms))| Waiting { source, first_ms, newest_ms })
        .collect();
    all.sort_unstable_by_key(|w| w.source);
    all
}

impl Store {
    /// Begins to read on from a position.
    pub fn follow(&self, position: Position) -> Follower {
        let mut shared = self.shared();
        let waiting = position.late.values().map(BTreeSet::len).sum();
        shared.followers.push(Following { position, waiting, lost: 0 });
        Follower(shared.followers.len() - 1)
    }

    /// The position behind all that there is now.
    pub fn end(&self, now_ms: i64) -> Position {
        let read = self.sources().into_iter();
        let read = read.filter_map(|source| Some((source, self.newest(&source)?))).collect();
        Position { from_ms: now_ms, read, late: BTreeMap::new() }
    }

    /// How far a reader is.
    pub fn position(&self, follower: &Follower) -> Position {
        self.shared().followers.get(follower.0).map(|f| f.position.clone()).unwrap_or_default()
    }

    /// Late rows that could not be noted since one asked last.
    pub fn take_lost(&self, follower: &Follower) -> u64 {
        let mut shared = self.shared();
        shared.followers.get_mut(follower.0).map_or(0, |f| std::mem::take(&mut f.lost))
    }

    /// Since when there may be samples that a reader has not read: never later than the oldest of them; `None` when there is
    /// none.
    pub fn oldest_unread(&self, follower: &Follower) -> Option<i64> {
        let shared = self.shared();
        let following = shared.followers.get(follower.0)?;
        let late = following.position.late.values().filter_map(|times| times.first().copied());
        let new = waiting(&shared, &following.position).into_iter().map(|w| w.first_ms);
        new.chain(late).min()
    }

    /// What a reader has not read, of times up to and with `to_ms`: the oldest first, a few minutes of all sources, and
    /// about `most` samples. Nothing when it has read all of it.
    pub fn read_on(
        &self,
        follower: &Follower,
        to_ms: i64,
        most: u64,
    ) -> Result<Option<Unread>, Error> {
        if let Some(late) = self.read_late(follower, to_ms) {
            return Ok(Some(late));
        }
        let (waiting, mut snapshot, mut sequence) = {
            let shared = self.shared();
            let Some(following) = shared.followers.get(follower.0) else { return Ok(None) };
            let waiting = waiting(&shared, &following.position);
            (waiting, Snapshot::of(&shared), shared.live.sequence)
        };
        let Some(oldest) = waiting.iter().map(|w| w.first_ms).min().filter(|t| *t <= to_ms) else {
            return Ok(None);
        };
        let until = to_ms.min(oldest.saturating_add(WINDOW_MS));
        let mut unread = Unread { last_ms: i64::MIN, ..Unread::default() };
        for one in waiting.iter().filter(|w| w.first_ms <= until) {
            let read = until.min(one.newest_ms);
            {
                let mut shared = self.shared();
                if shared.live.sequence != sequence {
                    // What was hot has gone on its way into a segment meanwhile.
                    snapshot = Snapshot::of(&shared);
                    sequence = shared.live.sequence;
                }
                let head = shared.live.head(&one.source);
                let head = head.filter(|h| h.rows > 0 && h.last_ms >= one.first_ms);
                snapshot.live.clear();
                if let Some(head) = head {
                    snapshot.live.insert(one.source, head.copied(None));
                }
                // What comes from now on and is not newer is late.
                if let Some(following) = shared.followers.get_mut(follower.0) {
                    following.position.read.insert(one.source, read);
                }
            }
            self.take(&snapshot, &mut unread, &one.source, one.first_ms, read, |_| true);
            if unread.samples >= most {
                break;
            }
        }
        Ok(Some(unread))
    }

    /// Late rows of one source.
    fn read_late(&self, follower: &Follower, to_ms: i64) -> Option<Unread> {
        let (source, times, snapshot) = {
            let mut shared = self.shared();
            let following = shared.followers.get_mut(follower.0)?;
            let late = &mut following.position.late;
            let due = |times: &BTreeSet<i64>| times.first().is_some_and(|first| *first <= to_ms);
            let source = *late.iter().find(|(_, times)| due(times))?.0;
            let rest = late.get_mut(&source)?;
            let mut times = BTreeSet::new();
            while times.len() < LATE_AT_ONCE
                && let Some(time) = rest.first().copied().filter(|t| *t <= to_ms)
            {
                rest.remove(&time);
                times.insert(time);
            }
            if rest.is_empty() {
                late.remove(&source);
            }
            following.waiting -= times.len();
            let mut snapshot = Snapshot::of(&shared);
            if let Some(head) = shared.live.head(&source).filter(|h| h.rows > 0) {
                snapshot.live.insert(source, head.copied(None));
            }
            (source, times, snapshot)
        };
        let (first, last) = (*times.first()?, *times.last()?);
        let mut unread = Unread { late: true, last_ms: i64::MIN, ..Unread::default() };
        self.take(&snapshot, &mut unread, &source, first, last, |t| times.contains(&t));
        Some(unread)
    }

    fn take(
        &self,
        snapshot: &Snapshot,
        unread: &mut Unread,
        source: &Source,
        from: i64,
        last: i64,
        meant: impl Fn(i64) -> bool,
    ) {
        let found = snapshot.tier_points(source, 0, from, last.saturating_add(1));
        let shared = self.shared();
        for (id, points) in found {
            let Some(name) = shared.names.get(id) else { continue };
            let Some(values) = points.columns.first() else { continue };
            let points = points.times.iter().copied().zip(values.iter().copied());
            let points: Vec<(i64, i64)> = points.filter(|(t, _)| meant(*t)).collect();
            let Some((newest, _)) = points.last() else { continue };
            unread.last_ms = unread.last_ms.max(*newest);
            unread.samples += points.len() as u64;
            unread.series.push(Part { source: *source, name: name.clone(), points });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Kind, NameId};
    use crate::store::Options;

    const A: Source = [1; 16];
    const B: Source = [2; 16];
    const NOW: i64 = 1_800_000_000_000;

    struct Scene {
        _dir: tempfile::TempDir,
        store: Store,
        cpu: NameId,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), Options::default()).unwrap();
            let cpu = store.name("cpu", Kind::Gauge, 10).unwrap();
            Self { _dir: dir, store, cpu }
        }

        fn row(&self, source: Source, at: i64, value: i64) {
            self.store.append(&source, NOW + at, &[self.cpu], &[value], NOW + at).unwrap();
        }

        /// All that is unread up to a time: whose, when, what.
        fn read(&self, follower: &Follower, to: i64) -> Vec<(u8, i64, i64)> {
            let mut all = Vec::new();
            while let Some(unread) = self.store.read_on(follower, NOW + to, 1000).unwrap() {
                for part in unread.series {
                    all.extend(part.points.iter().map(|(t, v)| (part.source[0], *t - NOW, *v)));
                }
            }
            all
        }
    }

    fn start() -> Position {
        Position { from_ms: NOW, ..Position::default() }
    }

    #[test]
    fn every_sample_is_read_once_whether_it_is_hot_or_in_a_segment() {
        let scene = Scene::new();
        let follower = scene.store.follow(start());
        scene.row(A, 0, 5);
        scene.row(B, 0, 6);
        scene.row(A, 10_000, 7);
        assert_eq!(scene.store.oldest_unread(&follower), Some(NOW));
        assert_eq!(scene.read(&follower, 5000), [(1, 0, 5), (2, 0, 6)]);
        let oldest = scene.store.oldest_unread(&follower).unwrap() - NOW;
        assert!((5001..=10_000).contains(&oldest), "{oldest}");
        scene.store.checkpoint(NOW + 10_000).unwrap();
        scene.row(A, 20_000, 8);
        assert_eq!(scene.read(&follower, 30_000), [(1, 10_000, 7), (1, 20_000, 8)]);
        assert_eq!(scene.read(&follower, 30_000), []);
        assert_eq!(scene.store.oldest_unread(&follower), None);
    }

    #[test]
    fn a_host_that_was_away_goes_on_where_it_was_and_what_is_older_than_that_is_late() {
        let scene = Scene::new();
        let follower = scene.store.follow(start());
        for at in [0, 10_000, 600_000] {
            scene.row(A, at, at / 1000);
        }
        scene.row(B, 10_000, 1);
        let read = scene.read(&follower, 600_000);
        assert_eq!(read, [(1, 0, 0), (1, 10_000, 10), (2, 10_000, 1), (1, 600_000, 600)]);
        // B was away, and tells what it remembers: nothing of that is late.
        for at in [20_000, 30_000, 600_000] {
            scene.row(B, at, 2);
        }
        // A row of A from before what was read of it.
        scene.row(A, 300_000, 300);
        let late = scene.store.read_on(&follower, NOW + 600_000, 1000).unwrap().unwrap();
        assert!(late.late);
        assert_eq!((late.samples, late.series[0].points[0]), (1, (NOW + 300_000, 300)));
        // What is told again is not late.
        scene.row(A, 300_000, 300);
        scene.row(A, 10_000, 10);
        let read = scene.read(&follower, 600_000);
        assert_eq!(read, [(2, 20_000, 2), (2, 30_000, 2), (2, 600_000, 2)]);
    }

    #[test]
    fn a_position_is_gone_on_from_by_another_reader() {
        let scene = Scene::new();
        let first = scene.store.follow(start());
        scene.row(A, 0, 1);
        scene.row(A, 20_000, 2);
        scene.read(&first, 20_000);
        scene.row(A, 10_000, 3);
        let kept = scene.store.position(&first);
        let second = scene.store.follow(kept);
        scene.row(A, 30_000, 4);
        assert_eq!(scene.read(&second, 60_000), [(1, 10_000, 3), (1, 30_000, 4)]);
        // One that begins now has none of what was.
        let third = scene.store.follow(scene.store.end(NOW + 40_000));
        scene.row(A, 40_000, 5);
        scene.row(B, 40_000, 6);
        assert_eq!(scene.read(&third, 60_000), [(1, 40_000, 5), (2, 40_000, 6)]);
    }

    #[test]
    fn much_is_read_in_pieces_that_go_on_in_time() {
        let scene = Scene::new();
        let follower = scene.store.follow(start());
        for at in 0..200 {
            scene.row(A, at * 10_000, at);
            scene.row(B, at * 10_000, at);
        }
        let (mut pieces, mut seen) = (0, 0);
        let mut reached = NOW;
        while let Some(unread) = scene.store.read_on(&follower, NOW + 2_000_000, 20).unwrap() {
            pieces += 1;
            seen += unread.samples;
            let first = unread.series.iter().map(|p| p.points[0].0).min().unwrap();
            assert!(first >= reached - WINDOW_MS, "{first} after {reached}");
            reached = reached.max(unread.last_ms);
        }
        assert_eq!(seen, 400);
        assert!(pieces > 10, "{pieces}");
    }
}
