//! Samples out of made-up `/proc` trees.

use super::*;
use std::path::Path;

struct Made {
    dir: tempfile::TempDir,
    collector: Collector,
    now: Instant,
}

const SECOND: Duration = Duration::from_secs(1);

impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(made("proc")).unwrap();
        write(&made("proc/stat"), "cpu 0 0 0 0 0 0 0 0\ncpu0 0\ncpu1 0\nintr 1\n");
        write(&made("proc/loadavg"), "0 0 0 1/1 1\n");
        write(&made("proc/meminfo"), "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
        let roots = Roots { proc: made("proc"), sys: made("sys") };
        let collector = Collector::new(roots, 1_000_000, true);
        Self { dir, collector, now: Instant::now() }
    }

    fn put(&self, name: &str, text: &str) {
        write(&self.dir.path().join("proc").join(name), text);
    }

    fn process(&self, pid: u32, name: &str, ticks: u64, pages: u64) {
        let stat =
            format!("{pid} ({name}) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 0 {pages}\n");
        self.put(&format!("{pid}/stat"), &stat);
        self.put(&format!("{pid}/io"), &format!("read_bytes: {}\nwrite_bytes: 0\n", ticks * 1000));
        self.put(&format!("{pid}/cgroup"), "0::/system.slice/a.service\n");
        self.put(&format!("{pid}/status"), "Uid:\t7\t8\t7\t7\n");
        self.put(&format!("{pid}/cmdline"), &format!("{name}\0-x\0"));
    }

    fn sample(&mut self) -> Sample {
        self.now += SECOND;
        // Making up the files took this thread's time.
        self.collector.budget.forgive();
        self.collector.sample(self.now, 1000, SECOND).unwrap()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Kept files are read again: they must stay the same file.
    std::fs::write(path, text).unwrap();
}

#[test]
fn the_busy_are_told_with_what_they_used_and_where_they_belong() {
    let mut made = Made::new();
    made.process(10, "idle", 0, 1);
    made.process(11, "busy", 100, 50);
    made.sample();
    made.process(11, "busy", 150, 50);
    made.put("stat", "cpu 50 0 0 150 0 0 0 0\ncpu0 0\ncpu1 0\nintr 1\n");
    let sample = made.sample();
    let busy = sample.busiest().unwrap();
    let ticks = rustix::param::clock_ticks_per_second();
    assert_eq!((busy.pid, u64::from(busy.cpu)), (11, 50_000 / ticks));
    assert_eq!((busy.uid, busy.command.as_str(), busy.place.as_str()), (8, "busy -x", "a.service"));
    assert_eq!(busy.io, Some([50_000, 0]));
    assert_eq!((sample.host.cpu, sample.host.cores, sample.host.unseen), (250, 2, 0));
    assert_eq!(sample.host.memory_used, 600 * 1024);
    let unit = sample.groups.iter().find(|g| g.kind == Kind::Unit).unwrap();
    assert_eq!((unit.name.as_str(), unit.count, unit.cpu), ("a.service", 2, busy.cpu));
}

#[test]
fn one_that_comes_is_found_and_one_that_ends_is_forgotten() {
    let mut made = Made::new();
    made.process(10, "one", 0, 1);
    made.sample();
    made.process(12, "two", 0, 9);
    made.put("loadavg", "0 0 0 1/1 12\n");
    assert_eq!(made.sample().host.processes, 2);
    std::fs::remove_dir_all(made.dir.path().join("proc/10")).unwrap();
    made.put("loadavg", "0 0 0 1/1 13\n");
    let sample = made.sample();
    assert_eq!(sample.host.processes, 1);
    assert!(sample.processes.iter().all(|process| process.name == "two"));
}

#[test]
fn those_that_sleep_are_looked_at_when_more_was_used_than_the_known_account_for() {
    let mut made = Made::new();
    for pid in 100..200 {
        made.process(pid, "sleeper", 0, 1);
    }
    made.sample();
    let quiet = made.sample();
    assert!(quiet.host.looked <= 10, "{}", quiet.host.looked);
    made.process(150, "sleeper", 90, 1);
    made.put("stat", "cpu 90 0 0 110 0 0 0 0\ncpu0 0\ncpu1 0\nintr 1\n");
    let sample = made.sample();
    assert_eq!(sample.busiest().map(|p| p.pid), Some(150));
    assert!(sample.host.looked >= 100, "{}", sample.host.looked);
}

#[test]
fn what_nobody_accounts_for_is_said() {
    let mut made = Made::new();
    made.process(10, "one", 0, 1);
    made.sample();
    made.put("stat", "cpu 70 0 0 30 0 0 0 0\ncpu0 0\nintr 1\n");
    let ticks = rustix::param::clock_ticks_per_second();
    assert_eq!(u64::from(made.sample().host.unseen), 70_000 / ticks);
}

#[test]
fn nothing_is_sampled_until_what_was_used_is_paid() {
    let mut made = Made::new();
    made.collector.budget = Budget::new(0);
    made.process(10, "one", 0, 1);
    made.sample();
    let from = crate::budget::clock();
    while crate::budget::clock() - from < 70_000_000 {
        std::hint::black_box(from);
    }
    assert_eq!(made.collector.sample(made.now + SECOND, 1, SECOND), None);
}

#[test]
fn figures_are_means_since_they_were_asked_for() {
    let mut made = Made::new();
    made.process(11, "busy", 0, 3);
    made.sample();
    assert_eq!(made.collector.figures().groups, [], "it has just come");
    made.process(11, "busy", 40, 3);
    made.sample();
    made.sample();
    let figures = made.collector.figures();
    let ticks = rustix::param::clock_ticks_per_second();
    let memory = 3 * rustix::param::page_size() as u64;
    let mean = u32::try_from(20_000 / ticks).unwrap();
    assert_eq!(figures.groups, [("busy".to_owned(), mean, memory)]);
}
