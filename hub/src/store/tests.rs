use super::*;
use proptest::prelude::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn all(store: &Store) -> Vec<(String, u32)> {
    store.scan::<u32>("").unwrap().into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_batch_is_there_after_the_store_was_opened_anew() {
    let (dir, store) = store();
    block_on(store.apply(Batch::new().put("a/1", &1u32).put("a/2", &2u32))).unwrap();
    block_on(store.apply(Batch::new().delete("a/1").put("b/1", &3u32))).unwrap();
    drop(store);
    let store = reopened(dir.path());
    assert_eq!(all(&store), [("a/2".to_owned(), 2), ("b/1".to_owned(), 3)]);
    assert_eq!(store.get::<u32>("a/1").unwrap(), None);
    assert_eq!(store.scan::<u32>("a/").unwrap().len(), 1);
}

/// The writer thread lets go of the files a moment after the last handle is dropped.
fn reopened(dir: &Path) -> Store {
    for _ in 0..10_000 {
        if let Ok(store) = Store::open(dir) {
            return store;
        }
        std::thread::yield_now();
    }
    Store::open(dir).unwrap()
}

#[test]
fn of_many_who_want_to_make_one_record_exactly_one_succeeds() {
    let (_dir, store) = store();
    let won = block_on(async {
        let tries: Vec<_> = (0..100u32)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    store.apply(Batch::new().if_absent("one").put("one", &n)).await.is_ok()
                })
            })
            .collect();
        let mut won = 0;
        for try_ in tries {
            won += usize::from(try_.await.unwrap());
        }
        won
    });
    assert_eq!(won, 1);
}

#[test]
fn a_refused_batch_changes_nothing() {
    let (_dir, store) = store();
    block_on(store.apply(Batch::new().put("one", &1u32))).unwrap();
    let refused = block_on(store.apply(Batch::new().put("two", &2u32).if_absent("one")));
    assert!(matches!(refused, Err(StoreError::Conflict(key)) if key == "one"));
    assert_eq!(all(&store), [("one".to_owned(), 1)]);
}

#[test]
fn a_record_too_large_is_refused_and_the_rest_of_its_batch_with_it() {
    let (_dir, store) = store();
    let large = "x".repeat(MAX_VALUE);
    let refused = block_on(store.apply(Batch::new().put("small", &1u32).put("large", &large)));
    assert!(matches!(refused, Err(StoreError::TooLarge(key)) if key == "large"));
    assert_eq!(all(&store), []);
}

#[test]
fn a_damaged_record_is_named_and_hides_no_other() {
    let (_dir, store) = store();
    block_on(store.apply(Batch::new().put("a", &1u32).put("b", &2u32))).unwrap();
    {
        let engine = store.shared.engine.read().unwrap();
        engine
            .as_ref()
            .unwrap()
            .write(&[Op::Put("a".to_owned(), b"\x01rubbish".to_vec())])
            .unwrap();
    }
    assert!(matches!(store.get::<u32>("a"), Err(StoreError::Damaged { key, .. }) if key == "a"));
    let scanned = store.scan::<u32>("").unwrap();
    assert!(scanned[0].is_err());
    assert_eq!(scanned[1].as_ref().unwrap().1, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_store_does_what_a_map_does(
        steps in proptest::collection::vec((0u8..6, any::<Option<u32>>(), any::<bool>()), 1..40)
    ) {
        let (dir, mut store) = store();
        let mut model = BTreeMap::new();
        for (key, value, reopen) in steps {
            let key = format!("k{key}");
            let batch = if let Some(value) = value { model.insert(key.clone(), value); Batch::new().put(key, &value) } else { model.remove(&key); Batch::new().delete(key) };
            block_on(store.apply(batch)).unwrap();
            if reopen {
                drop(store);
                store = reopened(dir.path());
            }
            prop_assert_eq!(all(&store), model.clone().into_iter().collect::<Vec<_>>());
        }
    }
}
