//! What the kernel counts for a container: its cgroup, of either version, and its network.

use crate::kernel::{fields, lines, named, number, read_once};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What costs more to read is read so often.
const SLOWLY: Duration = Duration::from_secs(10);

/// Where the counters of one container are, and what they said.
#[derive(Debug)]
pub(crate) struct Counters {
    cpu: Option<(PathBuf, Unit)>,
    memory: Option<PathBuf>,
    memory_stat: Option<(PathBuf, &'static [u8])>,
    /// Its processes have a network of their own; none before that is known.
    network: Option<bool>,
    used: Option<(u64, Instant)>,
    carried: Option<([u64; 2], Instant)>,
    slowly: Option<Instant>,
    inactive: u64,
    /// The rates and sizes that are known.
    pub(crate) now: Told,
    /// Nanoseconds of processor time in all, and when the last figures were given.
    pub(crate) given: Option<(u64, Instant)>,
}

/// What is known of a container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Permille of one processor since the look before.
    pub(crate) cpu: Option<u32>,
    pub(crate) memory: Option<u64>,
    pub(crate) network: Option<[u64; 2]>,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Nanoseconds,
    Microseconds,
}

/// Permille of one processor that so many nanoseconds are of a time.
pub(crate) fn permille(ns: u64, time: Duration) -> u32 {
    let share = (u128::from(ns) * 1000).checked_div(time.as_nanos()).unwrap_or(0);
    u32::try_from(share).unwrap_or(u32::MAX)
}

impl Counters {
    /// Those of the cgroup with this path, as far as the kernel shows them.
    pub(crate) fn find(sys_root: &Path, path: &str) -> Self {
        let root = sys_root.join("fs/cgroup");
        let path = path.trim_start_matches('/');
        let there = |path: PathBuf| path.exists().then_some(path);
        let unified = root.join(path);
        let micro = there(unified.join("cpu.stat")).map(|path| (path, Unit::Microseconds));
        let nano = || {
            let path = root.join("cpuacct").join(path).join("cpuacct.usage");
            there(path).map(|path| (path, Unit::Nanoseconds))
        };
        let older = root.join("memory").join(path);
        let stat = |folder: &Path, line: &'static [u8]| {
            there(folder.join("memory.stat")).map(|path| (path, line))
        };
        Self {
            cpu: micro.or_else(nano),
            memory: there(unified.join("memory.current"))
                .or_else(|| there(older.join("memory.usage_in_bytes"))),
            memory_stat: stat(&unified, b"inactive_file ")
                .or_else(|| stat(&older, b"total_inactive_file ")),
            network: None,
            used: None,
            carried: None,
            slowly: None,
            inactive: 0,
            now: Told::default(),
            given: None,
        }
    }

    /// Looks again; `pid` is one of its processes.
    pub(crate) fn look(&mut self, proc_root: &Path, pid: u32, now: Instant, buffer: &mut [u8]) {
        self.now.cpu = None;
        if let Some(used) = self.used(buffer) {
            if let Some((before, at)) = self.used {
                let time = now.saturating_duration_since(at);
                self.now.cpu = Some(permille(used.saturating_sub(before), time));
            }
            self.used = Some((used, now));
            self.given.get_or_insert((used, now));
        }
        let slow = self.slowly.is_none_or(|at| now.saturating_duration_since(at) >= SLOWLY);
        if slow {
            self.slowly = Some(now);
            if let Some((path, line)) = &self.memory_stat {
                self.inactive = read_once(path, buffer).and_then(|t| named(t, line)).unwrap_or(0);
            }
            self.network(proc_root, pid, now, buffer);
        }
        let memory = self.memory.as_ref().and_then(|path| number(read_once(path, buffer)?));
        // Cached files that nobody uses go away by themselves.
        self.now.memory = memory.map(|bytes| bytes.saturating_sub(self.inactive));
    }

    fn used(&self, buffer: &mut [u8]) -> Option<u64> {
        let (path, unit) = self.cpu.as_ref()?;
        let text = read_once(path, buffer)?;
        match unit {
            Unit::Nanoseconds => number(text),
            Unit::Microseconds => Some(named(text, b"usage_usec ")?.saturating_mul(1000)),
        }
    }

    fn network(&mut self, proc_root: &Path, pid: u32, now: Instant, buffer: &mut [u8]) {
        let space = |pid: &str| std::fs::read_link(proc_root.join(pid).join("ns/net")).ok();
        let own = *self.network.get_or_insert_with(|| {
            // The first process is in the host's network, or in that which the recorder sees.
            let (host, theirs) = (space("self"), space(&pid.to_string()));
            theirs.is_some() && theirs != host
        });
        if !own {
            return;
        }
        let path = proc_root.join(pid.to_string()).join("net/dev");
        let Some(bytes) = read_once(&path, buffer).map(carried) else { return };
        if let Some((before, at)) = self.carried {
            let us = now.saturating_duration_since(at).as_micros().max(1);
            self.now.network = Some(std::array::from_fn(|i| {
                let grown = u128::from(bytes[i].saturating_sub(before[i]));
                u64::try_from(grown * 1_000_000 / us).unwrap_or(u64::MAX)
            }));
        }
        self.carried = Some((bytes, now));
    }

    /// Permille of one processor since this was asked before; none when it is not known.
    pub(crate) fn since_given(&mut self) -> Option<u32> {
        let ((used, now), (before, at)) = (self.used?, self.given?);
        self.given = Some((used, now));
        let time = now.saturating_duration_since(at);
        (!time.is_zero()).then(|| permille(used.saturating_sub(before), time))
    }
}

/// Bytes that all interfaces but loopback have received and sent.
fn carried(text: &[u8]) -> [u64; 2] {
    let mut sum = [0u64; 2];
    for line in lines(text) {
        let Some(colon) = line.iter().rposition(|b| *b == b':') else { continue };
        if line[..colon].trim_ascii() == b"lo" {
            continue;
        }
        let mut values = fields(&line[colon + 1..]).map(|f| number(f).unwrap_or(0));
        let (received, sent) = (values.next().unwrap_or(0), values.nth(7).unwrap_or(0));
        sum = [sum[0].saturating_add(received), sum[1].saturating_add(sent)];
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn both_versions_of_cgroups_tell_use_and_memory_without_idle_caches() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join("fs/cgroup").join(path);
        put(&at("two/cpu.stat"), "usage_usec 1000000\nuser_usec 1\n");
        put(&at("two/memory.current"), "5000\n");
        put(&at("two/memory.stat"), "anon 1\ninactive_file 2000\n");
        put(&at("cpuacct/one/cpuacct.usage"), "1000000000\n");
        put(&at("memory/one/memory.usage_in_bytes"), "5000\n");
        put(&at("memory/one/memory.stat"), "inactive_file 7\ntotal_inactive_file 2000\n");
        let begin = Instant::now();
        for (path, file, later) in [
            ("/two", "two/cpu.stat", "usage_usec 1500000\n"),
            ("/one", "cpuacct/one/cpuacct.usage", "1500000000\n"),
        ] {
            let mut buffer = [0; 4096];
            let mut counters = Counters::find(dir.path(), path);
            counters.look(dir.path(), 1, begin, &mut buffer);
            assert_eq!((counters.now.cpu, counters.now.memory), (None, Some(3000)), "{path}");
            put(&at(file), later);
            counters.look(dir.path(), 1, begin + Duration::from_secs(2), &mut buffer);
            assert_eq!(counters.now.cpu, Some(250), "{path}");
            assert_eq!((counters.since_given(), counters.since_given()), (Some(250), None));
        }
    }

    #[test]
    fn loopback_is_no_network() {
        let text =
            b"Inter-|\n face |bytes\n lo: 9 0 0 0 0 0 0 0 9 0\n eth0:10 1 0 0 0 0 0 0 20 1\n";
        assert_eq!(carried(text), [10, 20]);
    }
}
