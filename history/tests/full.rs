//! A disk that is full: what goes, what stays, and what happens when there is room again. Alone in its file,
//! because a store is locked for as long as a child of another test is between fork and exec.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use cmdr_history::{
    Aggregate, Appended, Kind, Ladder, NameId, Options, Over, Query, Source, Store, Tier,
};
use std::io::Write as _;
use std::process::Command;
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

/// A disk of so many KiB; gone with its value.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(kib: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={kib}k,mode=0777");
        let done =
            as_root("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(dir.path()).status();
        assert!(done.unwrap().success());
        Self(dir)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        as_root("umount").arg("-l").arg(self.0.path()).status().unwrap();
    }
}

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

#[test]
fn a_full_disk_loses_the_oldest_stays_readable_and_goes_on_when_there_is_room() {
    let disk = Small::mount(600);
    let store = Store::open(&disk.0.path().join("history"), options()).unwrap();
    let ids = names(&store, 5);
    // Another's file takes most of the disk.
    let other = disk.0.path().join("other");
    std::fs::write(&other, vec![1u8; 400 << 10]).unwrap();
    let (mut row, mut refused, mut troubles) = (0, 0, 0);
    while store.health().dropped < 5 {
        row += 1;
        assert!(row < 200_000, "the disk is never full");
        if append(&store, &ids, 0, row).is_err() {
            refused += 1;
        }
        if row % 20 == 0 && store.tick(BEGIN + row * 1000).is_err() {
            troubles += 1;
        }
    }
    assert!(troubles > 0 && refused == 0, "{troubles} {refused}");
    let newest = rows(&store, 0, row);
    assert!(newest.iter().any(|(_, r)| *r == row), "the newest are there");
    assert!(newest.iter().all(|(_, r)| *r > 1), "the oldest are not");
    // Now nothing at all is left.
    let mut filler = std::fs::File::create(disk.0.path().join("filler")).unwrap();
    while filler.write_all(&[0; 512]).is_ok() {}
    let mut last = row;
    while append(&store, &ids, 0, last + 1).is_ok() {
        last += 1;
        if last % 50 == 0 {
            let full = store.tick(BEGIN + last * 1000).is_err();
            while full && filler.write_all(&[0; 512]).is_ok() {}
        }
        assert!(last < row + 2_000_000, "what waits for a disk is bounded");
    }
    let said = store.health();
    assert!(said.trouble.as_ref().is_some_and(|t| t.contains("space")), "{said:?}");
    assert!(said.full > 0);
    assert!(rows(&store, 0, last).iter().any(|(_, r)| *r == last), "it stays readable");
    // Room again.
    std::fs::remove_file(disk.0.path().join("filler")).unwrap();
    std::fs::remove_file(&other).unwrap();
    store.finish(BEGIN + last * 1000).unwrap();
    assert_eq!(store.health().trouble, None);
    append(&store, &ids, 0, last + 1).unwrap();
    store.finish(BEGIN + last * 1000).unwrap();
    let found = rows(&store, 0, last + 1);
    drop(store);
    let store = Store::open(&disk.0.path().join("history"), options()).unwrap();
    assert_eq!(rows(&store, 0, last + 1), found);
    assert!(found.iter().any(|(_, r)| *r == last + 1));
}
