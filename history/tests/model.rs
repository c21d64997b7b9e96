//! The store beside a plain map: whatever is appended, in whatever order, with whatever happening in
//! between, an answer is what the map says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

use cmdr_history::{Aggregate, Appended, Kind, Options, Over, Query, Source, Store};
use proptest::prelude::*;
use std::collections::BTreeMap;

const BEGIN: i64 = 1_700_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// A row of a source, some time after `BEGIN`, of some series.
    Row {
        source: u8,
        at: i64,
        series: Vec<u8>,
        value: i64,
    },
    Tick,
    Checkpoint,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0u8..3, 0i64..400, prop::collection::btree_set(0u8..6, 1..6), any::<i32>());
    let step = prop_oneof![
        20 => row.prop_map(|(source, at, series, value)| Step::Row {
            source,
            at: at * 1000,
            series: series.into_iter().collect(),
            value: i64::from(value),
        }),
        3 => Just(Step::Tick),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..120)
}

fn source(n: u8) -> Source {
    [n + 1; 16]
}

type Model = BTreeMap<(String, Source), BTreeMap<i64, i64>>;

fn query(sources: Vec<Source>, step_ms: i64, aggregate: Aggregate, over: Over) -> Query {
    let names = vec!["*".to_owned()];
    Query { sources, names, from_ms: BEGIN, to_ms: BEGIN + 400_000, step_ms, aggregate, over }
}

fn sources() -> Vec<Source> {
    (0..3).map(source).collect()
}

/// Everything, sample by sample.
fn everything(store: &Store) -> Model {
    let answer = store.query(&query(sources(), 1000, Aggregate::Last, Over::Each)).unwrap();
    let lines = answer.lines.into_iter().map(|line| {
        let points = line.points.into_iter().map(|(t, v)| (t, v as i64));
        ((line.name.to_string(), line.source.unwrap()), points.collect())
    });
    lines.collect()
}

/// Steps of `step_ms` of every series, made by `f` from the samples in each.
fn stepped(model: &Model, step_ms: i64, f: impl Fn(&[i64]) -> f64) -> Vec<Vec<(i64, f64)>> {
    let lines = model.values().map(|samples| {
        let mut steps: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (t, v) in samples {
            steps.entry(t.div_euclid(step_ms) * step_ms).or_default().push(*v);
        }
        steps.into_iter().map(|(t, values)| (t, f(&values))).collect()
    });
    lines.collect()
}

fn p95(values: &[i64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[(values.len() * 95).div_ceil(100) - 1] as f64
}

/// How the samples of one step become its value.
type Made = fn(&[i64]) -> f64;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_answer_is_what_a_plain_map_says(steps in steps()) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let now = BEGIN + 400_000;
        let mut store = Store::open(dir.path(), Options::default()).unwrap();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Row { source: s, at, series, value } => {
                    let names: Vec<String> = series.iter().map(|n| format!("m{n}")).collect();
                    let ids: Vec<_> = names
                        .iter()
                        .map(|n| store.name(n, Kind::Gauge, 1).unwrap())
                        .collect();
                    let values: Vec<i64> =
                        series.iter().map(|n| value.wrapping_mul(i64::from(*n) + 1)).collect();
                    let done = store.append(&source(s), BEGIN + at, &ids, &values, now).unwrap();
                    for (name, v) in names.into_iter().zip(values) {
                        let samples = model.entry((name, source(s))).or_default();
                        // What is there first stays.
                        let known = samples.contains_key(&(BEGIN + at));
                        prop_assert!(known || matches!(done, Appended::Kept(_)));
                        samples.entry(BEGIN + at).or_insert(v);
                    }
                }
                Step::Tick => store.tick(now).unwrap(),
                Step::Checkpoint => store.checkpoint(now).unwrap(),
                Step::Reopen => {
                    store.finish(now).unwrap();
                    drop(store);
                    store = Store::open(dir.path(), Options::default()).unwrap();
                }
            }
        }
        prop_assert_eq!(&everything(&store), &model);
        let ways: [(Aggregate, Made); 5] = [
            (Aggregate::Min, |v| *v.iter().min().unwrap() as f64),
            (Aggregate::Max, |v| *v.iter().max().unwrap() as f64),
            (Aggregate::Mean, |v| v.iter().sum::<i64>() as f64 / v.len() as f64),
            (Aggregate::Last, |v| *v.last().unwrap() as f64),
            (Aggregate::P95, p95),
        ];
        for (aggregate, made) in ways {
            let answer = store.query(&query(sources(), 50_000, aggregate, Over::Each)).unwrap();
            let found: Vec<_> = answer.lines.into_iter().map(|l| l.points).collect();
            prop_assert_eq!(found, stepped(&model, 50_000, made), "{:?}", aggregate);
        }
        // All sources together.
        let answer = store.query(&query(sources(), 50_000, Aggregate::Max, Over::Max)).unwrap();
        for line in answer.lines {
            let all = model.iter().filter(|((name, _), _)| **name == *line.name);
            let mut most: BTreeMap<i64, i64> = BTreeMap::new();
            for (t, v) in all.flat_map(|(_, samples)| samples) {
                let step = most.entry(t.div_euclid(50_000) * 50_000).or_insert(*v);
                *step = (*step).max(*v);
            }
            let most: Vec<_> = most.into_iter().map(|(t, v)| (t, v as f64)).collect();
            prop_assert_eq!(line.points, most);
        }
    }
}
