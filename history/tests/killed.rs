//! A writer that is killed at any moment. Alone in its file, because a store is locked for as long as a
//! child of another test is between fork and exec.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use cmdr_history::{
    Aggregate, Appended, Kind, Ladder, NameId, Options, Over, Query, Source, Store, Tier,
};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const WRITER: &str = "CMDR_HISTORY_TEST_WRITER";
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

fn options() -> Options {
    // Little room, so that much happens: a segment every few hundred rows, and thinning.
    let tiers = vec![
        Tier { step: Duration::ZERO, until: Some(Duration::from_hours(2000)) },
        Tier { step: Duration::from_mins(1), until: None },
    ];
    Options {
        ladder: Ladder::new(tiers).unwrap(),
        hot_bytes: 20_000,
        sync_every: Duration::ZERO,
        ..Options::default()
    }
}

/// Appends for ever, and says which row is durable.
fn write_until_killed(dir: &Path) {
    let store = Store::open(dir, options()).unwrap();
    let ids = names(&store, 5);
    let sources = store.sources();
    let first = sources.first().map_or(0, |_| rows(&store, 0, 3_000_000).len() as i64 / 5);
    let out = std::io::stdout();
    for row in first.. {
        for s in 0..3 {
            if append(&store, &ids, s, row).is_err() {
                store.tick(BEGIN + row * 1000).unwrap();
            }
        }
        if row % 7 == 0 {
            store.tick(BEGIN + row * 1000).unwrap();
            if store.durable() > 0 {
                writeln!(out.lock(), "durable {row}").unwrap();
            }
        }
    }
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing_durable_and_leaves_nothing_wrong() {
    if let Some(dir) = std::env::var_os(WRITER) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut durable = -1;
    let mut state = 12345u64;
    for _ in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_writer_killed_at_any_moment_loses_nothing_durable_and_leaves_nothing_wrong",
            ])
            .arg("--nocapture")
            .env(WRITER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after some number of rows, that is at some point of whatever it does then.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1442);
        let many = 3 + (state >> 33) % 150;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < many {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, row)) = line.split_once("durable ") {
                durable = row.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(dir.path(), options()).unwrap();
        assert_eq!(store.health().damaged, 0);
        for s in 0..3 {
            let found = rows(&store, s, 3_000_000);
            for series in 0..5 {
                let mut here: Vec<i64> =
                    found.iter().filter(|(n, _)| *n == series).map(|(_, r)| *r).collect();
                here.dedup();
                let whole: Vec<i64> = (0..here.len() as i64).collect();
                assert_eq!(here, whole, "no row is missing in between");
                assert!(here.len() as i64 > durable, "{} of {durable}", here.len());
            }
        }
    }
    let sizes = Store::open(dir.path(), options()).unwrap().sizes();
    assert!(sizes.tiers[0].files > 3, "checkpoints happened: {sizes:?}");
}
