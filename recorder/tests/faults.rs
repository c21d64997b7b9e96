//! What happens to the ring when files are torn, flipped, cut or gone, and when the clock jumps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cmdr_recorder::{Host, Process, Ring, Sample};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const KEEP: u64 = 4 << 20;

fn sample(at_s: u64, cpu: u32) -> Sample {
    let process = |pid: u32| Process {
        pid,
        start: 7,
        state: b'S',
        name: format!("program-{pid}"),
        command: format!("/usr/bin/program-{pid} --at {at_s}"),
        cpu: cpu + pid,
        memory: u64::from(pid) << 20,
        io: Some([at_s, 0]),
        ..Process::default()
    };
    Sample {
        at_ms: at_s * 1000,
        every_ms: 1000,
        host: Host { cpu, cores: 4, memory_used: at_s, ..Host::default() },
        processes: (1..8).map(process).collect(),
        groups: Vec::new(),
    }
}

fn fill(dir: &Path, seconds: std::ops::Range<u64>) -> Ring {
    let ring = Ring::open(dir, KEEP).unwrap();
    seconds.for_each(|s| ring.append(&sample(s, (s % 100) as u32)));
    ring
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|p| p.to_str().unwrap().contains("segment-")).collect();
    found.sort();
    found
}

#[test]
fn every_sample_is_found_again_by_its_time_before_and_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let ring = fill(dir.path(), 1000..1500);
    let check = |ring: &Ring| {
        for at in [1000, 1059, 1060, 1333, 1499] {
            let found = ring.at(at * 1000 + 999).unwrap();
            assert_eq!(found, Some(sample(at, (at % 100) as u32)), "{at}");
        }
        assert_eq!(ring.at(u64::MAX).unwrap().unwrap().at_ms, 1_499_000);
        assert_eq!(ring.at(999_999).unwrap(), None);
        let span = ring.span();
        assert_eq!((span.from_ms, span.to_ms, span.samples), (1_000_000, 1_499_000, 500));
    };
    check(&ring);
    // As after kill -9: nothing is put in order at the end.
    drop(ring);
    let ring = Ring::open(dir.path(), KEEP).unwrap();
    check(&ring);
    assert_eq!(ring.health(), cmdr_recorder::Health::default());
}

#[test]
fn steps_tell_the_mean_and_the_busiest_moment_and_name_who_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let ring = fill(dir.path(), 1000..1600);
    ring.append(&sample(1600, 990));
    for steps in [1, 7, 100, 700] {
        let range = ring.range(1_000_000, 1_700_000, steps).unwrap();
        assert!(range.len() <= steps as usize);
        assert_eq!(range.iter().map(|step| step.samples).sum::<u32>(), 601, "{steps}");
        let peak = range.iter().map(|step| &step.peak).max_by_key(|peak| peak.cpu).unwrap();
        assert_eq!((peak.at_ms, peak.cpu, peak.busiest.as_str()), (1_600_000, 990, "program-7"));
    }
    let whole = ring.range(1_000_000, 1_100_000, 1).unwrap();
    assert_eq!((whole[0].cpu, whole[0].peak.cpu), (49, 99));
    assert_eq!(ring.range(5, 5, 10).unwrap(), []);
    assert!(ring.range(0, u64::MAX, u32::MAX).unwrap().len() <= 2000);
}

#[test]
fn what_was_not_made_a_block_yet_is_kept_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path(), 1000..1007));
    let tail = dir.path().join("tail");
    let bytes = std::fs::read(&tail).unwrap();
    // Torn in the last record.
    std::fs::write(&tail, &bytes[..bytes.len() - 5]).unwrap();
    let ring = Ring::open(dir.path(), KEEP).unwrap();
    assert_eq!(ring.at(u64::MAX).unwrap().unwrap().at_ms, 1_005_000);
    assert_eq!(ring.span().samples, 6);
}

#[test]
fn a_process_that_ends_between_a_block_and_the_new_tail_leaves_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let ring = fill(dir.path(), 1000..1030);
    let before = std::fs::read(dir.path().join("tail")).unwrap();
    ring.flush();
    drop(ring);
    std::fs::write(dir.path().join("tail"), before).unwrap();
    assert_eq!(Ring::open(dir.path(), KEEP).unwrap().span().samples, 30);
}

#[test]
fn a_torn_block_at_the_end_is_cut_off_and_what_comes_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path(), 1000..1181));
    let last = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 9]).unwrap();
    std::fs::remove_file(dir.path().join("tail")).unwrap();
    let ring = Ring::open(dir.path(), KEEP).unwrap();
    assert_eq!((ring.span().samples, ring.health().damaged), (150, 1));
    (2000..2130).for_each(|s| ring.append(&sample(s, 1)));
    drop(ring);
    let ring = Ring::open(dir.path(), KEEP).unwrap();
    assert_eq!((ring.span().samples, ring.health().damaged), (280, 0));
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ring = fill(dir.path(), 5000..5100);
    (1000..1100).for_each(|s| ring.append(&sample(s, 500)));
    (9000..9030).for_each(|s| ring.append(&sample(s, 1)));
    assert_eq!(ring.span().samples, 230);
    assert_eq!(ring.at(1_050_000).unwrap(), Some(sample(1050, 500)));
    assert_eq!(ring.at(5_050_000).unwrap(), Some(sample(5050, 50)));
    assert_eq!(ring.at(7_000_000).unwrap(), Some(sample(5099, 99)));
    assert_eq!(ring.at(9_000_500).unwrap(), Some(sample(9000, 1)));
}

#[test]
fn the_bound_holds_at_every_moment_and_the_newest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let ring = Ring::open(dir.path(), 0).unwrap();
    let keep = ring.span().keep;
    let mut noise = 1u64;
    for s in 1000..9000 {
        let mut sample = sample(s, 1);
        for process in &mut sample.processes {
            // What cannot be packed.
            process.command.clear();
            for _ in 0..12 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                write!(process.command, "{noise:x}").unwrap();
            }
        }
        ring.append(&sample);
        if s % 50 == 0 {
            let files = std::fs::read_dir(dir.path()).unwrap();
            let bytes: u64 = files.map(|f| f.unwrap().metadata().unwrap().len()).sum();
            assert!(bytes <= keep, "{bytes} of {keep}");
            assert_eq!(bytes, ring.span().bytes);
        }
    }
    let span = ring.span();
    assert_eq!(span.to_ms, 8_999_000);
    assert!(span.from_ms > 1_000_000 && span.bytes > keep / 2, "{span:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn flipped_bytes_never_break_the_ring_and_never_make_up_a_sample(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6),
        cut in any::<prop::sample::Index>(),
        of_tail in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        drop(fill(dir.path(), 1000..1210));
        let file = if of_tail { dir.path().join("tail") } else { segments(dir.path()).pop().unwrap() };
        let mut bytes = std::fs::read(&file).unwrap();
        for (at, by) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        let keep = bytes.len() - cut.index(bytes.len() / 4);
        bytes.truncate(keep);
        std::fs::write(&file, &bytes).unwrap();
        let ring = Ring::open(dir.path(), KEEP).unwrap();
        ring.append(&sample(3000, 3));
        for at in 1000..1210u64 {
            if let Some(found) = ring.at(at * 1000).unwrap() {
                let s = found.at_ms / 1000;
                prop_assert!(s <= at);
                prop_assert_eq!(found, sample(s, (s % 100) as u32));
            }
        }
        prop_assert_eq!(ring.at(u64::MAX).unwrap(), Some(sample(3000, 3)));
    }
}
