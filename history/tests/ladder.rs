//! Two years of samples: what is old is thinner, says the same, and takes little.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use cmdr_history::{Aggregate, Appended, Kind, Ladder, NameId, Options, Over, Query, Store, Tier};
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: i64 = 86_400_000;
const BEGIN: i64 = 19_000 * DAY;
const SOURCE: [u8; 16] = [7; 16];

fn open(dir: &std::path::Path) -> Store {
    let hot_for = Duration::from_hours(12);
    Store::open(dir, Options { hot_for, ..Options::default() }).unwrap()
}

fn ask(
    store: &Store,
    name: &str,
    from: i64,
    to: i64,
    step: i64,
    aggregate: Aggregate,
) -> cmdr_history::Answer {
    store
        .query(&Query {
            sources: vec![SOURCE],
            names: vec![name.to_owned()],
            from_ms: from,
            to_ms: to,
            step_ms: step,
            aggregate,
            over: Over::Each,
        })
        .unwrap()
}

fn names(store: &Store) -> [NameId; 2] {
    [
        store.name("gauge", Kind::Gauge, 10).unwrap(),
        store.name("counter", Kind::Counter, 1).unwrap(),
    ]
}

#[test]
fn two_years_are_kept_in_ever_longer_steps_that_say_the_same() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut store = open(dir.path());
    let mut ids = names(&store);
    let every = 20 * 60_000;
    let days = 730;
    let mut counter = 0;
    let mut gauge: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut grown: BTreeMap<i64, i64> = BTreeMap::new();
    for i in 0..days * DAY / every {
        let t = BEGIN + i * every;
        let v = (i * 7919) % 1000 + i % 13;
        let more = i * 31 % 977;
        // Every 50 days what is counted begins anew.
        counter = if i % (50 * DAY / every) == 0 { more } else { counter + more };
        gauge.entry(t / DAY * DAY).or_default().push(v);
        *grown.entry(t / DAY * DAY).or_default() += if i == 0 { 0 } else { more };
        assert!(matches!(
            store.append(&SOURCE, t, &ids, &[v, counter], t).unwrap(),
            Appended::Kept(_)
        ));
        if i % 36 == 0 {
            store.tick(t).unwrap();
        }
        if i % 20_000 == 0 {
            store.finish(t).unwrap();
            drop(store);
            store = open(dir.path());
            ids = names(&store);
        }
    }
    let now = BEGIN + days * DAY;
    store.finish(now).unwrap();

    let sizes = store.sizes();
    let spans: Vec<_> =
        sizes.tiers.iter().map(|t| (t.first_ms.unwrap(), t.last_ms.unwrap())).collect();
    for pair in spans.windows(2) {
        let (finer, coarser) = (pair[0], pair[1]);
        assert!(coarser.0 < finer.0 && coarser.1 < finer.1, "one behind the other: {spans:?}");
    }
    assert_eq!(spans[5].0, BEGIN / DAY * DAY);
    // One point a day and series beyond a year, with no more than one window of more.
    let day = sizes.tiers[5].values;
    assert!((2 * 330..2 * 400).contains(&day), "{sizes:?}");
    let bytes: u64 = sizes.tiers.iter().map(|t| t.bytes).sum();
    assert!(bytes < 900_000, "{bytes} {sizes:?}");

    let whole =
        |aggregate, name| ask(&store, name, BEGIN, now, DAY, aggregate).lines.remove(0).points;
    let expected = |f: fn(&[i64]) -> f64| -> Vec<(i64, f64)> {
        gauge.iter().map(|(t, v)| (*t, f(v) / 10.0)).collect()
    };
    assert_eq!(whole(Aggregate::Min, "gauge"), expected(|v| *v.iter().min().unwrap() as f64));
    assert_eq!(whole(Aggregate::Max, "gauge"), expected(|v| *v.iter().max().unwrap() as f64));
    assert_eq!(whole(Aggregate::Last, "gauge"), expected(|v| *v.last().unwrap() as f64));
    assert_eq!(
        whole(Aggregate::Mean, "gauge"),
        expected(|v| v.iter().sum::<i64>() as f64 / v.len() as f64)
    );
    let ranks = whole(Aggregate::P95, "gauge");
    let most = whole(Aggregate::Max, "gauge");
    let mean = whole(Aggregate::Mean, "gauge");
    assert_eq!(ranks.len(), most.len());
    for ((rank, most), mean) in ranks.iter().zip(&most).zip(&mean) {
        assert!(mean.1 <= rank.1 && rank.1 <= most.1, "{rank:?} {mean:?} {most:?}");
    }
    let sums: Vec<(i64, f64)> = grown.iter().map(|(t, v)| (*t, *v as f64)).collect();
    assert_eq!(whole(Aggregate::Sum, "counter"), sums);

    // An answer has the step that its oldest part is kept at, and says so.
    let fine = ask(&store, "gauge", now - DAY / 2, now, 60_000, Aggregate::Last);
    assert_eq!((fine.step_ms, fine.exact, fine.lines[0].points.len()), (60_000, true, 36));
    let coarse = ask(&store, "gauge", BEGIN, now, 60_000, Aggregate::Last);
    assert_eq!((coarse.step_ms, coarse.exact), (DAY, false));
    let bad = store.query(&Query {
        sources: vec![SOURCE],
        names: vec!["counter".into()],
        from_ms: BEGIN,
        to_ms: now,
        step_ms: DAY,
        aggregate: Aggregate::P95,
        over: Over::Each,
    });
    assert!(bad.unwrap_err().to_string().contains("is a counter"));
}

#[test]
fn what_comes_for_a_time_that_is_thinned_already_is_refused_by_name() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = open(dir.path());
    let ids = names(&store);
    let append = |t: i64, now: i64| store.append(&SOURCE, t, &ids, &[1, t], now).unwrap();
    for i in 0..200 {
        assert!(matches!(append(BEGIN + i * 900_000, BEGIN + i * 900_000), Appended::Kept(_)));
    }
    let now = BEGIN + 200 * 900_000;
    store.finish(now).unwrap();
    assert_eq!(append(BEGIN + 1, now), Appended::TooLate);
    assert_eq!(append(now + 3_600_000, now), Appended::Ahead);
    // What was away for less than a day fills in.
    assert!(matches!(append(now - 20 * 3_600_000 + 1, now), Appended::Kept(_)));
    let health = store.health();
    assert_eq!((health.late, health.ahead), (1, 1));
}

#[test]
fn a_clock_of_ours_that_leaps_ahead_ages_nothing() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = open(dir.path());
    let ids = names(&store);
    for i in 0..100 {
        let t = BEGIN + i * 60_000;
        store.append(&SOURCE, t, &ids, &[1, i], t).unwrap();
    }
    store.checkpoint(BEGIN).unwrap();
    store.finish(BEGIN + 4000 * DAY).unwrap();
    let sizes = store.sizes();
    assert_eq!(sizes.tiers[0].values, 200);
    assert_eq!(sizes.tiers[1].values, 0);
}

#[test]
fn above_its_bound_the_oldest_goes_first() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let ladder = Ladder::new(vec![
        Tier { step: Duration::ZERO, until: Some(Duration::from_hours(2)) },
        Tier { step: Duration::from_mins(1), until: None },
    ])
    .unwrap();
    let hot_for = Duration::from_mins(30);
    let options = Options { ladder, hot_for, bytes_max: Some(60_000), ..Options::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let ids = names(&store);
    let mut state = 1u64;
    let mut t = BEGIN;
    for _ in 0..30_000 {
        t += 10_000;
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        store.append(&SOURCE, t, &ids, &[(state >> 44) as i64, t], t).unwrap();
        if t % 600_000 == 0 {
            store.finish(t).unwrap();
        }
    }
    let sizes = store.sizes();
    let bytes: u64 = sizes.tiers.iter().map(|s| s.bytes).sum();
    assert!(bytes <= 60_000, "{sizes:?}");
    assert!(store.health().dropped > 0);
    assert!(sizes.tiers[1].first_ms.unwrap() > BEGIN + DAY / 2, "{sizes:?}");
    assert!(sizes.tiers[0].values > 0, "what is newest is there");
}
