//! What must not cost more than it has to: bytes that flip, a torn end. And what is removed by order.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use cmdr_history::{Aggregate, Appended, Kind, NameId, Options, Over, Purge, Query, Source, Store};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BEGIN: i64 = 1_700_000_000_000;

fn source(n: u8) -> Source {
    [n + 1; 16]
}

/// What every sample of these tests is, so that a wrong one is seen.
fn value(source: u8, series: usize, row: i64) -> i64 {
    row * 1000 + i64::from(source) * 10 + series as i64
}

fn names(store: &Store, n: usize) -> Vec<NameId> {
    (0..n).map(|i| store.name(&format!("m{i}"), Kind::Gauge, 1).unwrap()).collect()
}

fn append(store: &Store, ids: &[NameId], s: u8, row: i64) -> Result<Appended, cmdr_history::Error> {
    let values: Vec<i64> = (0..ids.len()).map(|i| value(s, i, row)).collect();
    let at = BEGIN + row * 1000;
    store.append(&source(s), at, ids, &values, at)
}

/// Every sample there is of a source: row and series; checks that none is wrong.
fn rows(store: &Store, s: u8, upto: i64) -> Vec<(usize, i64)> {
    let answer = store
        .query(&Query {
            sources: vec![source(s)],
            names: vec!["m*".into()],
            from_ms: BEGIN,
            to_ms: BEGIN + upto * 1000 + 1,
            step_ms: 1000,
            aggregate: Aggregate::Last,
            over: Over::Each,
        })
        .unwrap();
    let mut found = Vec::new();
    for line in answer.lines {
        let series: usize = line.name[1..].parse().unwrap();
        for (t, v) in line.points {
            let row = (t - BEGIN) / 1000;
            assert_eq!(v as i64, value(s, series, row), "a wrong sample at row {row}");
            found.push((series, row));
        }
    }
    found
}

fn files(dir: &Path, begin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let named = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with(begin);
    let mut files: Vec<PathBuf> = entries.filter(named).collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) -> u8 {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, &bytes).unwrap();
    bytes[at]
}

#[test]
fn a_flipped_byte_in_a_segment_is_never_served_and_said() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let ids = names(&store, 4);
    for row in 0..200 {
        for s in 0..2 {
            append(&store, &ids, s, row).unwrap();
        }
    }
    store.checkpoint(BEGIN).unwrap();
    drop(store);
    let path = files(dir.path(), "tier0").remove(0);
    let len = std::fs::metadata(&path).unwrap().len() as usize;
    let mut said = 0;
    for at in (0..len).step_by(3) {
        flip(&path, at);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        // `rows` looks at every value that is served.
        let found = rows(&store, 0, 300).len() + rows(&store, 1, 300).len();
        let damaged = store.health().damaged;
        // The eight bytes before the first block are looked at by nobody.
        if found < 1600 {
            assert!(damaged > 0, "byte {at}: {found} of 1600 and nothing is said");
            said += 1;
        }
        drop(store);
        let aside = path.with_extension("damaged");
        if aside.exists() {
            std::fs::rename(&aside, &path).unwrap();
        }
        flip(&path, at);
    }
    assert!(said > len / 3 / 2, "{said} of {len}");
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!(rows(&store, 0, 300).len(), 800);
}

#[test]
fn a_flipped_byte_in_a_log_costs_a_few_rows_and_the_rest_is_right() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let sync_every = Duration::ZERO;
    let store = Store::open(dir.path(), Options { sync_every, ..Options::default() }).unwrap();
    let ids = names(&store, 4);
    for row in 0..1000 {
        append(&store, &ids, 0, row).unwrap();
        store.tick(BEGIN + row * 1000).unwrap();
    }
    drop(store);
    let log = files(dir.path(), "log").remove(0);
    let whole = std::fs::read(&log).unwrap();
    for part in 1..10 {
        let at = whole.len() * part / 10;
        let copy = tempfile::tempdir_in("/dev/shm").unwrap();
        let place = copy.path().join(log.file_name().unwrap());
        std::fs::write(&place, &whole).unwrap();
        flip(&place, at);
        let store = Store::open(copy.path(), Options::default()).unwrap();
        assert_eq!(store.health().damaged, 1, "at byte {at}");
        let found = rows(&store, 0, 2000).len();
        assert!(found >= 4 * (1000 - 70), "at byte {at}: {found}");
        // What is left becomes a segment, and the store goes on.
        store.finish(BEGIN).unwrap();
        assert_eq!(rows(&store, 0, 2000).len(), found);
        append(&store, &names(&store, 4), 0, 1001).unwrap();
        assert_eq!(rows(&store, 0, 2000).len(), found + 4);
    }
}

#[test]
fn a_torn_end_of_a_log_is_cut_and_what_was_before_is_there() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let sync_every = Duration::ZERO;
    let store = Store::open(dir.path(), Options { sync_every, ..Options::default() }).unwrap();
    let ids = names(&store, 4);
    for row in 0..50 {
        append(&store, &ids, 0, row).unwrap();
        store.tick(BEGIN).unwrap();
    }
    drop(store);
    let log = files(dir.path(), "log").remove(0);
    let whole = std::fs::read(&log).unwrap();
    for cut in (0..whole.len()).step_by(11) {
        std::fs::write(&log, &whole[..cut]).unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert_eq!(store.health().damaged, 0);
        let found = rows(&store, 0, 100);
        let kept = found.len() as i64 / 4;
        assert!(kept as usize >= (cut / 48).saturating_sub(4), "{cut} {kept}");
        append(&store, &names(&store, 4), 0, 60).unwrap();
        store.finish(BEGIN).unwrap();
        drop(store);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert_eq!(rows(&store, 0, 100).len(), found.len() + 4);
    }
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let _store = Store::open(dir.path(), Options::default()).unwrap();
    let second = Store::open(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(second.contains("in use"), "{second}");
}

#[test]
fn a_purge_removes_what_it_counted_and_nothing_else() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let ids = names(&store, 4);
    for row in 0..300 {
        for s in 0..3 {
            append(&store, &ids, s, row).unwrap();
        }
        if row == 150 {
            store.checkpoint(BEGIN).unwrap();
        }
    }
    let purge = Purge {
        sources: Some(vec![source(0), source(1)]),
        names: Some("m[0-9]".into()),
        before_ms: None,
    };
    assert_eq!(store.purge_preview(&purge).values, 0, "a pattern has stars alone");
    let some = Purge { names: Some("m1*".into()), before_ms: Some(BEGIN + 200_000), ..purge };
    let counted = store.purge_preview(&some);
    assert_eq!(counted.values, 2 * 200);
    assert!(counted.bytes > 0);
    assert_eq!(store.purge(&some, BEGIN).unwrap().values, 400);
    assert_eq!(store.purge_preview(&some).values, 0);
    assert_eq!(rows(&store, 2, 400).len(), 1200);
    let left = rows(&store, 0, 400);
    assert_eq!(left.len(), 1000);
    assert!(left.iter().all(|(series, row)| *series != 1 || *row >= 200));
    let whole = Purge { sources: Some(vec![source(2)]), ..Purge::default() };
    let before: u64 = store.sizes().tiers.iter().map(|t| t.bytes).sum();
    assert_eq!(store.purge(&whole, BEGIN).unwrap().values, 1200);
    assert!(store.sizes().tiers.iter().map(|t| t.bytes).sum::<u64>() < before);
    drop(store);
    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!(store.sources(), [source(0), source(1)]);
    assert_eq!(rows(&store, 0, 400), left);
    assert_eq!(store.purge(&Purge::default(), BEGIN).unwrap().values, 2000);
    assert!(store.sources().is_empty());
    assert_eq!(store.list(&source(0)), []);
}
