//! A disk that is full: what goes, what stays, and what happens when there is room again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use cmdr_recorder::{Host, Process, Ring, Sample};
use std::io::Write as _;
use std::process::Command;

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

fn sample(at_s: u64) -> Sample {
    // Each is different, so that little is won by packing.
    let process = |pid: u32| Process {
        pid,
        start: at_s.wrapping_mul(6_364_136_223_846_793_005).rotate_left(pid),
        memory: at_s.wrapping_mul(1_442_695_040_888_963_407).rotate_left(pid),
        ..Process::default()
    };
    let processes = (1..30).map(process).collect();
    Sample { at_ms: at_s * 1000, host: Host::default(), processes, ..Sample::default() }
}

#[test]
fn a_full_disk_loses_the_oldest_says_so_and_goes_on_when_there_is_room() {
    let disk = Small::mount(1200);
    let dir = disk.0.path().join("recorder");
    let ring = Ring::open(&dir, 16 << 20).unwrap();
    let mut at = 0;
    while ring.health().squeezed == 0 {
        at += 1;
        assert!(at < 100_000, "the disk is never full");
        ring.append(&sample(at));
    }
    let span = ring.span();
    assert!(span.from_ms > 1000, "the oldest went");
    assert_eq!((span.to_ms, ring.at(u64::MAX).unwrap()), (at * 1000, Some(sample(at))));
    // Now nothing at all is left, not even for the newest.
    let mut filler = std::fs::File::create(disk.0.path().join("filler")).unwrap();
    for _ in 0..200 {
        while filler.write_all(&[0; 512]).is_ok() {}
        at += 1;
        ring.append(&sample(at));
        if ring.health().full {
            break;
        }
    }
    assert!(ring.health().full);
    assert_eq!(ring.at(u64::MAX).unwrap(), Some(sample(at)), "the newest can be looked at");
    std::fs::remove_file(disk.0.path().join("filler")).unwrap();
    for _ in 0..130 {
        at += 1;
        ring.append(&sample(at));
    }
    assert!(!ring.health().full);
    drop(ring);
    let ring = Ring::open(&dir, 16 << 20).unwrap();
    assert_eq!(ring.at(u64::MAX).unwrap(), Some(sample(at)));
    assert_eq!(ring.health().damaged, 0);
}
