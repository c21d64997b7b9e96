//! Samples out of made-up `/proc` trees: several kernels, containers, and nonsense.

use super::*;
use crate::services::metrics::{disks, networks};
use cmdr_protocol::metrics::{DiskIo, Network};
use proptest::prelude::*;
use std::time::Duration;

struct Host {
    dir: tempfile::TempDir,
    collector: Option<Collector>,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), collector: None, now: Instant::now() }
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A sample one second after the last one.
    fn sample(&mut self) -> Metrics {
        let (proc_root, sys_root) = (self.dir.path().join("proc"), self.dir.path().join("sys"));
        self.now += Duration::from_secs(1);
        self.collector.get_or_insert_with(|| Collector::new(&proc_root, &sys_root)).sample(self.now)
    }
}

#[test]
fn shares_of_time_are_since_the_last_sample() {
    let mut host = Host::new();
    host.put(
        "proc/stat",
        "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 100 0 50 800 50 0 0 0 0 0\nintr 5\n",
    );
    let first = host.sample();
    assert_eq!((first.cpu, first.cores.as_slice()), (Cpu::default(), [0].as_slice()));
    host.put(
        "proc/stat",
        "cpu  140 10 60 810 60 5 5 10 0 0\ncpu0 140 10 60 810 60 5 5 10 0 0\nintr 5\n",
    );
    let second = host.sample();
    assert_eq!(second.cpu, Cpu { user: 500, system: 200, iowait: 100, steal: 100 });
    assert_eq!(second.cores, [800]);
}

#[test]
fn a_container_without_most_files_leaves_their_fields_out() {
    let mut host = Host::new();
    host.put(
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 250 kB\n",
    );
    let metrics = host.sample();
    assert_eq!(metrics.memory.total, 1_024_000);
    assert_eq!(metrics.memory.available, 400 * 1024, "guessed as old kernels need it");
    assert_eq!(
        (metrics.pressure, metrics.disks.len(), metrics.networks.len(), metrics.temperatures.len()),
        (None, 0, 0, 0)
    );
}

#[test]
fn rates_are_per_second_and_a_reset_counter_is_no_rate() {
    let mut host = Host::new();
    let dev = |received: u64, sent: u64| {
        format!(
            "Inter-|\n face |bytes\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  eth0: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
        )
    };
    let disk = |read: u64, ms: u64| {
        format!(
            "   8 0 sda 10 0 {read} 5 0 0 8 0 0 {ms} 0\n   8 1 sda1 10 0 {read} 5 0 0 8 0 0 {ms} 0\n   7 0 loop0 1 0 9 0 0 0 0 0 0 0 0\n"
        )
    };
    host.put("proc/net/dev", &dev(1000, 2000));
    host.put("proc/diskstats", &disk(100, 1000));
    host.sample();
    host.put("proc/net/dev", &dev(3000, 7000));
    host.put("proc/diskstats", &disk(300, 1250));
    let metrics = host.sample();
    assert_eq!(
        metrics.networks,
        [Network { name: "eth0".into(), received: 2000, sent: 5000, errors: 0 }]
    );
    assert_eq!(
        metrics.disks,
        [DiskIo { name: "sda".into(), read: 102_400, written: 0, busy: 250 }]
    );
    host.put("proc/net/dev", &dev(10, 20));
    host.put("proc/diskstats", &disk(1, 1));
    let metrics = host.sample();
    assert_eq!(
        (metrics.networks[0].received, metrics.networks[0].sent, metrics.disks[0].read),
        (0, 0, 0)
    );
}

#[test]
fn an_interface_that_comes_or_goes_does_not_mix_up_the_others() {
    let mut host = Host::new();
    let dev = |lines: &[(&str, u64)]| {
        let line = |(n, v): &(&str, u64)| format!("  {n}: {v} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        lines.iter().map(line).collect::<Vec<_>>().concat()
    };
    host.put("proc/net/dev", &dev(&[("eth0", 1000), ("eth1", 5000)]));
    host.sample();
    host.put("proc/net/dev", &dev(&[("br0", 900_000), ("eth0", 1100), ("eth1", 5200)]));
    let received =
        |m: Metrics| m.networks.into_iter().map(|n| (n.name, n.received)).collect::<Vec<_>>();
    let wanted = [("br0".to_owned(), 0), ("eth0".to_owned(), 100), ("eth1".to_owned(), 200)];
    assert_eq!(received(host.sample()), wanted);
    host.put("proc/net/dev", &dev(&[("eth1", 5300)]));
    assert_eq!(received(host.sample()), [("eth1".to_owned(), 100)]);
}

#[test]
fn huge_values_stay_in_their_ranges() {
    let mut host = Host::new();
    let max = u64::MAX;
    host.put("proc/stat", "cpu 0 0 0 0 0 0 0 0\n");
    host.put("proc/loadavg", "99999999999.99 1.5 0 4294967295999/99999999999999 1\n");
    host.put("proc/net/sockstat", &format!("TCP: inuse {max} orphan 0\nUDP: inuse {max}\n"));
    host.sample();
    host.put("proc/stat", &format!("cpu {max} {max} {max} {max} {max} {max} {max} {max}\n"));
    let metrics = host.sample();
    assert!(metrics.cpu.busy() <= 1000);
    assert_eq!((metrics.load, metrics.sockets), ([u32::MAX, 150, 0], u32::MAX));
}

#[test]
fn sockets_pressure_and_temperatures_are_read() {
    let mut host = Host::new();
    host.put(
        "proc/net/sockstat",
        "sockets: used 290\nTCP: inuse 5 orphan 0\nUDP: inuse 2 mem 0\nRAW: inuse 9\n",
    );
    host.put("proc/net/sockstat6", "TCP6: inuse 4\nUDP6: inuse 1\n");
    host.put("proc/pressure/cpu", "some avg10=1.53 avg60=0.87 avg300=0.73 total=1\n");
    host.put("sys/class/hwmon/hwmon0/name", "k10temp\n");
    host.put("sys/class/hwmon/hwmon0/temp1_label", "Tctl\n");
    host.put("sys/class/hwmon/hwmon0/temp1_input", "45250\n");
    host.put("sys/class/hwmon/hwmon0/temp2_input", "-5000\n");
    let metrics = host.sample();
    assert_eq!(metrics.sockets, 12);
    assert_eq!(metrics.pressure, Some(Pressure { cpu: 153, memory: 0, io: 0 }));
    let read: Vec<_> = metrics.temperatures.iter().map(|t| (t.name.as_str(), t.tenths)).collect();
    assert_eq!(read, [("k10temp Tctl", 452), ("k10temp temp2", -50)]);
}

#[test]
fn a_small_hosts_sample_stays_under_its_budget_on_the_wire() {
    let mut collector = Collector::new(Path::new("/proc"), Path::new("/sys"));
    collector.sample(Instant::now());
    let mut metrics = collector.sample(Instant::now() + Duration::from_secs(1));
    // As on a host with four cores, two disks and two interfaces, all busy.
    metrics.cores = vec![999; 4];
    metrics.disks = ["nvme0n1", "sda"]
        .map(|name| DiskIo { name: name.into(), read: 1 << 33, written: 1 << 33, busy: 900 })
        .into();
    metrics.networks = ["eth0", "wg0"]
        .map(|name| Network { name: name.into(), received: 1 << 30, sent: 1 << 30, errors: 0 })
        .into();
    metrics.mounts.truncate(3);
    let bytes = cmdr_link::codec::encode(&metrics).unwrap().len();
    assert!(bytes <= 400, "{bytes} bytes: {metrics:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_ignored(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut metrics = Metrics::default();
        let mut times = Vec::new();
        let stat = [b"cpu ".as_slice(), &bytes].concat();
        cpu(&stat, &mut times, &mut metrics);
        cpu(&bytes, &mut times, &mut metrics);
        load(&bytes, &mut metrics);
        let _ = (memory(&bytes), sockets(&bytes), pressure(&bytes));
    }

    #[test]
    fn any_counters_file_is_read_or_ignored(text in "[a-z0-9: \n]{0,200}") {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("net")).unwrap();
        std::fs::write(dir.path().join("net/dev"), &text).unwrap();
        std::fs::write(dir.path().join("diskstats"), &text).unwrap();
        let mut buffer = Vec::new();
        let mut network = networks::Networks::new(dir.path());
        let mut disk = disks::Disks::new(dir.path(), dir.path());
        for _ in 0..2 {
            let _ = network.sample(&mut buffer, Some(Duration::from_secs(1)));
            let _ = disk.sample(&mut buffer, Some(Duration::from_secs(1)));
        }
    }
}
