//! Tables out of made-up `/proc` trees and the real one.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

struct Host {
    dir: tempfile::TempDir,
    collector: Collector,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stat"), "btime 1700000000\n").unwrap();
        std::fs::write(dir.path().join("passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let collector = Collector::new(dir.path(), dir.path());
        Self { dir, collector, now: Instant::now() }
    }

    fn put(&self, pid: u32, file: &str, content: &[u8]) {
        let folder = self.dir.path().join(pid.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), content).unwrap();
    }

    fn process(&self, pid: u32, name: &str, ticks: u64, start: u64) {
        let stat = format!(
            "{pid} ({name}) S 1 1 1 0 -1 4194560 9 0 0 0 {ticks} 0 0 0 20 -5 3 0 {start} 999 100 0\n"
        );
        self.put(pid, "stat", stat.as_bytes());
        self.put(pid, "status", b"Name:\tx\nUid:\t0\t0\t0\t0\n");
    }

    fn sample(&mut self) -> Vec<Row> {
        self.now += Duration::from_secs(1);
        self.collector.sample(self.now).rows
    }
}

#[test]
fn names_with_blanks_brackets_and_escapes_are_read_whole() {
    for name in ["a b", ") S 1 1 (", "\u{1b}[2J", "((", "", "名前"] {
        let text =
            format!("7 ({name}) R 3 1 1 0 -1 2097152 9 0 0 0 5 6 0 0 20 -5 3 0 77 999 100 0\n");
        let stat = parse_stat(text.as_bytes()).unwrap();
        let wanted = Stat {
            name: name.as_bytes(),
            state: b'R',
            ppid: 3,
            kernel: true,
            ticks: 11,
            nice: -5,
            threads: 3,
            start: 77,
            pages: 100,
        };
        assert_eq!(stat, wanted);
    }
}

#[test]
fn figures_are_since_the_last_sample() {
    let mut host = Host::new();
    host.process(10, "worker", 100, 500);
    host.put(10, "cmdline", b"/bin/worker\0--fast\0\0");
    host.put(10, "io", b"rchar: 1\nread_bytes: 0\nwrite_bytes: 4096\n");
    assert_eq!(host.sample()[0].cpu, 0);
    host.process(10, "worker", 150, 500);
    host.put(10, "io", b"rchar: 1\nread_bytes: 10240\nwrite_bytes: 4096\n");
    let rows = host.sample();
    let wanted_cpu = 50 * 1000 / host.collector.ticks_per_s as u32;
    assert_eq!((rows[0].cpu, rows[0].io), (wanted_cpu, Some([10_240, 0])));
    assert_eq!(rows[0].about.command, "/bin/worker --fast");
    assert_eq!((&*rows[0].about.user, rows[0].nice, rows[0].threads), ("root", -5, 3));
}

#[test]
fn a_number_used_again_is_another_process() {
    let mut host = Host::new();
    host.process(10, "old", 1000, 500);
    host.sample();
    host.process(10, "new", 5, 900);
    let rows = host.sample();
    assert_eq!((rows[0].start, rows[0].cpu, rows[0].about.name.as_str()), (900, 0, "new"));
}

#[test]
fn a_program_that_renames_itself_is_read_again() {
    let mut host = Host::new();
    host.process(10, "sh", 1, 500);
    host.put(10, "cmdline", b"sh");
    host.sample();
    host.process(10, "app", 1, 500);
    host.put(10, "cmdline", b"app\0-x");
    assert_eq!(host.sample()[0].about.command, "app -x");
}

#[test]
fn processes_that_vanish_or_make_no_sense_are_left_out() {
    let mut host = Host::new();
    host.process(10, "good", 1, 500);
    host.put(11, "stat", b"");
    host.put(12, "stat", b"12 (half) S 1 1");
    std::fs::create_dir(host.dir.path().join("13")).unwrap();
    host.process(14, "ends", 1, 500);
    let pids = |rows: Vec<Row>| rows.iter().map(|row| row.pid).collect::<Vec<_>>();
    assert_eq!(pids(host.sample()), [10, 14]);
    std::fs::remove_dir_all(host.dir.path().join("14")).unwrap();
    assert_eq!(pids(host.sample()), [10]);
    assert_eq!(host.collector.known.len(), 1);
}

#[test]
fn without_permission_there_is_no_traffic_and_the_rest_is_there() {
    let mut host = Host::new();
    host.process(10, "other", 1, 500);
    let rows = host.sample();
    assert_eq!((rows[0].io, rows[0].about.command.as_str()), (None, ""));
}

#[test]
fn this_machines_own_table_has_this_process() {
    let mut collector = Collector::new(Path::new("/proc"), Path::new("/etc"));
    let table = collector.sample(Instant::now());
    let own = table.rows.iter().find(|row| row.pid == std::process::id()).unwrap();
    assert!(own.memory > 0 && own.threads > 0 && !own.about.command.is_empty(), "{own:?}");
    assert!(table.rows.is_sorted_by_key(|row| row.pid));
}

#[test]
fn processes_beyond_the_files_kept_open_are_still_seen() {
    let mut host = Host::new();
    for pid in 1..=(KEPT as u32 + 50) {
        host.process(pid, "many", 1, 500);
    }
    for _ in 0..3 {
        assert_eq!(host.sample().len(), KEPT + 50);
        assert_eq!(host.collector.kept, KEPT);
    }
}

proptest! {
    #[test]
    fn any_stat_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (parse_stat(&bytes), parse_io(&bytes));
        let text = [b"1 (x) S ".as_slice(), &bytes].concat();
        let _ = parse_stat(&text);
    }
}
