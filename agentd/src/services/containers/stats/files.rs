//! The kernel's files about one container, of both versions of control groups. They stay open: reading one is a single call.

use crate::Config;
use crate::text::{Kept, fields, lines, number, small};
use cmdr_protocol::containers::Container;
use std::path::{Path, PathBuf};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) cpu_ns: u64,
    pub(super) memory: u64,
    pub(super) limit: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) pids: u64,
}

/// The files of one container.
#[derive(Debug)]
pub(super) struct Files {
    cpu: Kept,
    /// Processor time stands behind this word, in microseconds; otherwise it is the whole file, in nanoseconds.
    usage_usec: bool,
    memory: Option<Kept>,
    limit: Option<Kept>,
    memory_stat: Option<Kept>,
    blocks: Option<Kept>,
    pids: Option<Kept>,
    /// None of a container without networks of its own.
    network: Option<Kept>,
    /// Memory of the host.
    whole: u64,
    buffer: Vec<u8>,
}

/// Where each controller has the group of a process: by the lines of its `cgroup` file.
fn group<'t>(text: &'t str, controller: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let names = |controllers: &str| controllers.split(',').any(|name| name == controller);
        let fits = if controller.is_empty() { controllers.is_empty() } else { names(controllers) };
        // A path that leads out of what this process may see is nowhere.
        (fits && path.starts_with('/') && !path.split('/').any(|part| part == "..")).then_some(path)
    })
}

/// The folder of a group that is this container's. A process that is in none of its own would be told the figures of the
/// whole host, and one that has this number only where the engine runs, those of another program.
fn below(root: &Path, path: &str, container: &Container) -> Option<PathBuf> {
    let inner = path.trim_matches('/');
    (!inner.is_empty() && inner.contains(&container.id)).then(|| root.join(inner))
}

impl Files {
    /// Opens them; none when they are not where they are looked for.
    pub(super) fn open(config: &Config, pid: u32, container: &Container) -> Option<Self> {
        let process = config.proc_root.join(pid.to_string());
        let groups = small(&process.join("cgroup"));
        let meminfo = small(&config.proc_root.join("meminfo"));
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let whole = total.and_then(|text| number(text.as_bytes())).unwrap_or_default() * 1024;
        // Those that share the host's network, or another container's, have no figures of their own.
        let own = container.networks.iter().any(|name| !matches!(name.as_str(), "host" | "none"));
        let network = own.then(|| Kept::open(&process.join("net/dev"))).flatten();
        let root = config.sys_root.join("fs/cgroup");
        let buffer = Vec::new();
        if root.join("cgroup.controllers").exists() {
            let at = below(&root, group(&groups, "")?, container)?;
            let open = |name: &str| Kept::open(&at.join(name));
            return Some(Self {
                cpu: open("cpu.stat")?,
                usage_usec: true,
                memory: open("memory.current"),
                limit: open("memory.max"),
                memory_stat: open("memory.stat"),
                blocks: open("io.stat"),
                pids: open("pids.current"),
                network,
                whole,
                buffer,
            });
        }
        let open = |controller: &str, name: &str| {
            let at = below(&root.join(controller), group(&groups, controller)?, container)?;
            Kept::open(&at.join(name))
        };
        Some(Self {
            cpu: open("cpuacct", "cpuacct.usage")?,
            usage_usec: false,
            memory: open("memory", "memory.usage_in_bytes"),
            limit: open("memory", "memory.limit_in_bytes"),
            memory_stat: open("memory", "memory.stat"),
            blocks: open("blkio", "blkio.throttle.io_service_bytes_recursive")
                .or_else(|| open("blkio", "blkio.throttle.io_service_bytes")),
            pids: open("pids", "pids.current"),
            network,
            whole,
            buffer,
        })
    }

    /// Reads them; none when the container is gone.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let Self { buffer, .. } = self;
        let cpu = self.cpu.read(buffer).ok()?;
        let cpu_ns = if self.usage_usec {
            named(cpu, b"usage_usec")?.saturating_mul(1000)
        } else {
            number(cpu)?
        };
        let mut read = |file: &Option<Kept>, take: &mut dyn FnMut(&[u8])| {
            if let Some(bytes) = file.as_ref().and_then(|file| file.read_to_end(buffer).ok()) {
                take(bytes);
            }
        };
        let mut taken = Taken { cpu_ns, ..Taken::default() };
        read(&self.memory, &mut |bytes| taken.memory = number(bytes).unwrap_or_default());
        read(&self.memory_stat, &mut |bytes| {
            let cached =
                named(bytes, b"total_inactive_file").or_else(|| named(bytes, b"inactive_file"));
            taken.memory = taken.memory.saturating_sub(cached.unwrap_or_default());
        });
        // `max`, or a number larger than any host, is no limit.
        read(&self.limit, &mut |bytes| taken.limit = number(bytes).unwrap_or(u64::MAX));
        taken.limit = match (taken.limit, self.whole) {
            (0, whole) => whole,
            (limit, 0) => limit,
            (limit, whole) => limit.min(whole),
        };
        read(&self.blocks, &mut |bytes| (taken.read, taken.written) = blocks(bytes));
        read(&self.pids, &mut |bytes| taken.pids = number(bytes).unwrap_or_default());
        read(&self.network, &mut |bytes| (taken.received, taken.sent) = network(bytes));
        Some(taken)
    }
}

/// The number behind a word at the beginning of a line.
fn named(bytes: &[u8], name: &[u8]) -> Option<u64> {
    lines(bytes).find_map(|line| {
        let mut fields = fields(line);
        (fields.next()? == name).then(|| fields.next().and_then(number))?
    })
}

/// Bytes read and written: `8:0 rbytes=1 wbytes=2 …`, or `8:0 Read 1` and `8:0 Write 2`.
fn blocks(bytes: &[u8]) -> (u64, u64) {
    let (mut read, mut written) = (0u64, 0u64);
    for line in lines(bytes) {
        let mut fields = fields(line).skip(1);
        while let Some(field) = fields.next() {
            if let Some(n) = field.strip_prefix(b"rbytes=").and_then(number) {
                read = read.saturating_add(n);
            } else if let Some(n) = field.strip_prefix(b"wbytes=").and_then(number) {
                written = written.saturating_add(n);
            } else if field == b"Read" {
                read = read.saturating_add(fields.next().and_then(number).unwrap_or_default());
            } else if field == b"Write" {
                written =
                    written.saturating_add(fields.next().and_then(number).unwrap_or_default());
            }
        }
    }
    (read, written)
}

/// Bytes that came and went over all interfaces but the one within.
fn network(bytes: &[u8]) -> (u64, u64) {
    let (mut received, mut sent) = (0u64, 0u64);
    for line in lines(bytes) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        if line[..colon].trim_ascii() == b"lo" {
            continue;
        }
        let mut figures = fields(&line[colon + 1..]).map(|field| number(field).unwrap_or_default());
        received = received.saturating_add(figures.next().unwrap_or_default());
        sent = sent.saturating_add(figures.nth(7).unwrap_or_default());
    }
    (received, sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut config = Config::new("/nonexistent".into());
        (config.proc_root, config.sys_root) = (dir.path().join("proc"), dir.path().join("sys"));
        (dir, config)
    }

    const DEV: &str = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 200 2 0\n";

    fn bridged() -> Container {
        Container { networks: vec!["bridge".into()], ..Container::default() }
    }

    #[test]
    fn figures_come_from_groups_of_the_second_version() {
        let group = "sys/fs/cgroup/system.slice/docker-x.scope";
        let file = |name: &str| format!("{group}/{name}");
        let (_dir, config) = host(&[
            ("proc/7/cgroup", "0::/system.slice/docker-x.scope\n"),
            ("proc/7/net/dev", DEV),
            ("proc/meminfo", "MemTotal:       1000 kB\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu"),
            (&file("cpu.stat"), "usage_usec 5\nuser_usec 3\n"),
            (&file("memory.current"), "1000\n"),
            (&file("memory.max"), "max\n"),
            (&file("memory.stat"), "anon 1\ninactive_file 400\n"),
            (&file("io.stat"), "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n"),
            (&file("pids.current"), "3\n"),
        ]);
        let taken = Files::open(&config, 7, &bridged()).unwrap().take().unwrap();
        let expected = Taken {
            cpu_ns: 5000,
            memory: 600,
            limit: 1_024_000,
            received: 100,
            sent: 200,
            read: 11,
            written: 22,
            pids: 3,
        };
        assert_eq!(taken, expected);
        let other = Container { id: "other".into(), ..bridged() };
        assert!(Files::open(&config, 7, &other).is_none());
        let alone = Container { networks: vec!["host".into()], ..Container::default() };
        assert_eq!(Files::open(&config, 7, &alone).unwrap().take().unwrap().received, 0);
        assert!(Files::open(&config, 8, &alone).is_none());
    }

    #[test]
    fn figures_come_from_groups_of_the_first_version() {
        let (_dir, config) = host(&[
            (
                "proc/7/cgroup",
                "3:cpuacct,cpu:/docker/x\n4:memory:/deep/docker/x\n5:blkio:/docker/x\n0::/\n",
            ),
            ("sys/fs/cgroup/cpuacct/docker/x/cpuacct.usage", "77\n"),
            ("sys/fs/cgroup/memory/deep/docker/x/memory.usage_in_bytes", "500\n"),
            ("sys/fs/cgroup/memory/deep/docker/x/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "sys/fs/cgroup/memory/deep/docker/x/memory.stat",
                "inactive_file 1\ntotal_inactive_file 100\n",
            ),
            (
                "sys/fs/cgroup/blkio/docker/x/blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 5\n8:0 Write 6\nTotal 11\n",
            ),
            ("proc/meminfo", "MemTotal: 2 kB\n"),
        ]);
        let taken = Files::open(&config, 7, &bridged()).unwrap().take().unwrap();
        assert_eq!((taken.cpu_ns, taken.memory, taken.limit), (77, 400, 2048));
        assert_eq!((taken.read, taken.written, taken.pids), (5, 6, 0));
    }

    #[test]
    fn a_process_outside_of_any_group_is_not_told_the_figures_of_the_host() {
        let (_dir, config) = host(&[
            ("proc/7/cgroup", "0::/\n"),
            ("proc/8/cgroup", "0::/../other\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu"),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 5\n"),
        ]);
        assert!(Files::open(&config, 7, &bridged()).is_none());
        assert!(Files::open(&config, 8, &bridged()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (blocks(&bytes), network(&bytes), named(&bytes, b"x"));
        }
    }
}
