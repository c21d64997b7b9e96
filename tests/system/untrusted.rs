//! Replays what the fuzzers have found through the same entry points.

use harness::untrusted::TARGETS;
use std::path::Path;

#[test]
fn every_input_the_fuzzers_kept_is_still_read_or_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    for (name, target) in TARGETS {
        let corpus = root.join("corpus").join(name);
        let inputs: Vec<_> = std::fs::read_dir(&corpus)
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!inputs.is_empty(), "{} is empty", corpus.display());
        for input in inputs {
            target(&input);
        }
        assert!(root.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no fuzzer");
    }
}
