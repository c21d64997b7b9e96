//! The names of figures that are kept, with their units: the one table of them. The hub takes samples
//! apart by it, clients show units by it.

use super::Unit;
use crate::metrics::Metrics;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Such as `cpu.busy`; those of which a host has several are followed by which, in braces: `mount.used{/var}`.
    pub name: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// It is kept as a whole number: a value times this.
    pub scale: u32,
    /// What a host has several of, such as `mount`; empty where there is one a host.
    pub per: &'static str,
    /// How long a value is good for, in seconds; after that it is not known any more.
    pub lasts_s: u32,
    /// Who tells it.
    pub by: By,
    /// What it says.
    pub what: &'static str,
}

/// Who tells a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The agent, in its samples.
    Sample,
    /// The agent, with the states of what runs on its host.
    States,
    /// The hub, which sees it itself or has probes made.
    Hub,
}

/// Samples come each second; a link that stutters shall not make them unknown.
const LASTS_S: u32 = 150;

const fn metric(
    name: &'static str,
    per: &'static str,
    unit: Unit,
    scale: u32,
    what: &'static str,
) -> Metric {
    Metric { name, unit, scale, per, lasts_s: LASTS_S, by: By::Sample, what }
}

impl Metric {
    /// Whether it is one of those that [`usages`] takes out of a sample.
    pub fn is_usage(&self) -> bool {
        matches!(self.by, By::Sample) && matches!(self.per, "group" | "container")
    }

    const fn told(self, by: By, lasts_s: u32) -> Self {
        Self { lasts_s, by, ..self }
    }
}

/// All of them.
pub const ALL: &[Metric] = &[
    metric("cpu.busy", "", Unit::Percent, 10, "processor time not idle"),
    metric("cpu.user", "", Unit::Percent, 10, "processor time of programs"),
    metric("cpu.system", "", Unit::Percent, 10, "processor time of the kernel"),
    metric("cpu.iowait", "", Unit::Percent, 10, "idle, but waiting for a disk"),
    metric("cpu.steal", "", Unit::Percent, 10, "taken by the hypervisor for others"),
    metric("cpu.core.max", "", Unit::Percent, 10, "the busiest processor"),
    metric("cpu.cores", "", Unit::Count, 1, "processors"),
    metric("load.1", "", Unit::Count, 100, "load average over 1 minute"),
    metric("load.5", "", Unit::Count, 100, "load average over 5 minutes"),
    metric("load.15", "", Unit::Count, 100, "load average over 15 minutes"),
    metric("memory.total", "", Unit::Bytes, 1, "memory in all"),
    metric("memory.used", "", Unit::Bytes, 1, "memory that programs cannot give back"),
    metric("memory.available", "", Unit::Bytes, 1, "memory that programs could still get"),
    metric("memory.share", "", Unit::Percent, 10, "the same as a share of all"),
    metric("memory.cached", "", Unit::Bytes, 1, "cached files and reclaimable slabs"),
    metric("swap.total", "", Unit::Bytes, 1, "swap in all"),
    metric("swap.used", "", Unit::Bytes, 1, "swap in use"),
    metric("disk.read", "disk", Unit::BytesPerSecond, 1, "read from a block device"),
    metric("disk.written", "disk", Unit::BytesPerSecond, 1, "written to a block device"),
    metric("disk.busy", "disk", Unit::Percent, 10, "time with something in flight"),
    metric("mount.total", "mount", Unit::Bytes, 1, "size of a file system"),
    metric("mount.used", "mount", Unit::Bytes, 1, "not free for ordinary users"),
    metric("mount.free", "mount", Unit::Bytes, 1, "free for ordinary users"),
    metric("mount.share", "mount", Unit::Percent, 10, "the same as a share of all"),
    metric("net.received", "interface", Unit::BytesPerSecond, 1, "received by an interface"),
    metric("net.sent", "interface", Unit::BytesPerSecond, 1, "sent by an interface"),
    metric("net.errors", "interface", Unit::PerSecond, 1, "errors and drops, both ways"),
    metric("sockets", "", Unit::Count, 1, "TCP and UDP sockets in use"),
    metric("processes", "", Unit::Count, 1, "processes"),
    metric("processes.running", "", Unit::Count, 1, "processes able to run"),
    metric("temperature", "sensor", Unit::Celsius, 10, "a sensor"),
    metric(
        "pressure.cpu",
        "",
        Unit::Percent,
        100,
        "time in which something waited for a processor",
    ),
    metric("pressure.memory", "", Unit::Percent, 100, "time in which something waited for memory"),
    metric("pressure.io", "", Unit::Percent, 100, "time in which something waited for a disk"),
    metric("uptime", "", Unit::Seconds, 1, "since the host started"),
    metric("clock.skew", "", Unit::Seconds, 1000, "the host's clock less the hub's")
        .told(By::Hub, 600),
    metric("link.rtt", "", Unit::Seconds, 100_000, "from the hub to the agent and back")
        .told(By::Hub, 600),
    metric("probe.time", "probe", Unit::Seconds, 10_000, "how long a probe took")
        .told(By::Hub, 900),
    metric("probe.up", "probe", Unit::Percent, 10, "whether a probe succeeded: 0 or 100")
        .told(By::Hub, 900),
    metric("certificate.left", "certificate", Unit::Seconds, 1, "until a certificate ends")
        .told(By::Hub, 26 * 3600),
    metric("gateway.connections", "listener", Unit::Count, 1, "open connections of a gateway")
        .told(By::Hub, 60),
    metric("gateway.accepted", "listener", Unit::PerSecond, 10, "new connections of a gateway")
        .told(By::Hub, 60),
    metric("gateway.errors", "listener", Unit::PerSecond, 10, "refused, or without an upstream")
        .told(By::Hub, 60),
    metric("gateway.received", "listener", Unit::BytesPerSecond, 1, "from clients of a gateway")
        .told(By::Hub, 60),
    metric("gateway.sent", "listener", Unit::BytesPerSecond, 1, "to clients of a gateway")
        .told(By::Hub, 60),
    metric("upstream.connections", "upstream", Unit::Count, 1, "open connections to an upstream")
        .told(By::Hub, 60),
    metric("upstream.up", "upstream", Unit::Percent, 10, "whether an upstream is up: 0 or 100")
        .told(By::Hub, 60),
    metric("upstream.connect", "upstream", Unit::Seconds, 1_000_000, "median of connecting to it")
        .told(By::Hub, 60),
    metric(
        "upstream.first_byte",
        "upstream",
        Unit::Seconds,
        1_000_000,
        "median until its first byte",
    )
    .told(By::Hub, 60),
    metric("forward.connections", "forward", Unit::Count, 1, "open connections of a forward")
        .told(By::Hub, 60),
    metric("forward.accepted", "forward", Unit::PerSecond, 10, "new connections of a forward")
        .told(By::Hub, 60),
    metric("forward.errors", "forward", Unit::PerSecond, 10, "that came to nothing, or broke")
        .told(By::Hub, 60),
    metric("forward.received", "forward", Unit::BytesPerSecond, 1, "from clients of a forward")
        .told(By::Hub, 60),
    metric("forward.sent", "forward", Unit::BytesPerSecond, 1, "to clients of a forward")
        .told(By::Hub, 60),
    metric("group.cpu", "group", Unit::Percent, 10, "of one processor, by programs of one name"),
    metric("group.memory", "group", Unit::Bytes, 1, "memory of programs of one name"),
    metric("container.cpu", "container", Unit::Percent, 10, "of one processor, by a container"),
    metric("container.memory", "container", Unit::Bytes, 1, "memory of a container"),
    metric("unit.memory", "unit", Unit::Bytes, 1, "memory of a unit").told(By::States, LASTS_S),
    metric("container.restarts", "container", Unit::Count, 1, "how often the engine restarted it")
        .told(By::States, LASTS_S),
    metric("unit.restarts", "unit", Unit::Count, 1, "how often systemd restarted it")
        .told(By::States, LASTS_S),
];

/// The figure that a full name (`mount.used{/var}`) is of.
pub fn find(name: &str) -> Option<&'static Metric> {
    let base = name.split_once('{').map_or(name, |(base, _)| base);
    ALL.iter().find(|m| m.name == base)
}

/// The place of a name in [`ALL`], found when this is compiled.
const fn place(name: &str) -> usize {
    let mut at = 0;
    while at < ALL.len() {
        if same(ALL[at].name.as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("no figure has this name");
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

fn share(part: u64, all: u64) -> i64 {
    (u128::from(part) * 1000).checked_div(u128::from(all)).unwrap_or(0) as i64
}

fn big(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Takes a sample apart: the place of each figure in [`ALL`], which of several it is (empty where there is
/// one), its value times its scale.
pub fn each<'a>(sample: &'a Metrics, mut take: impl FnMut(usize, &'a str, i64)) {
    steady(sample, &mut take);
    usages(sample, take);
}

/// Of a sample what is only in some: the heaviest programs and the containers, which come and go.
pub fn usages<'a>(sample: &'a Metrics, mut take: impl FnMut(usize, &'a str, i64)) {
    const GROUP: [usize; 2] = [place("group.cpu"), place("group.memory")];
    const CONTAINER: [usize; 2] = [place("container.cpu"), place("container.memory")];
    for (of, [cpu, memory]) in [(&sample.groups, GROUP), (&sample.containers, CONTAINER)] {
        for usage in of {
            take(cpu, &usage.name, usage.cpu.into());
            take(memory, &usage.name, big(usage.memory));
        }
    }
}

/// Of a sample what is in every one.
pub fn steady<'a>(sample: &'a Metrics, mut take: impl FnMut(usize, &'a str, i64)) {
    macro_rules! take {
        ($name:literal, $of:expr, $value:expr) => {{
            const AT: usize = place($name);
            take(AT, $of, $value);
        }};
    }
    take!("cpu.busy", "", sample.cpu.busy().into());
    take!("cpu.user", "", sample.cpu.user.into());
    take!("cpu.system", "", sample.cpu.system.into());
    take!("cpu.iowait", "", sample.cpu.iowait.into());
    take!("cpu.steal", "", sample.cpu.steal.into());
    if let Some(most) = sample.cores.iter().max() {
        take!("cpu.core.max", "", (*most).into());
        take!("cpu.cores", "", sample.cores.len() as i64);
    }
    take!("load.1", "", sample.load[0].into());
    take!("load.5", "", sample.load[1].into());
    take!("load.15", "", sample.load[2].into());
    take!("memory.total", "", big(sample.memory.total));
    take!("memory.used", "", big(sample.memory.used()));
    take!("memory.available", "", big(sample.memory.available));
    take!("memory.share", "", share(sample.memory.used(), sample.memory.total));
    take!("memory.cached", "", big(sample.memory.cached));
    if sample.memory.swap_total > 0 {
        take!("swap.total", "", big(sample.memory.swap_total));
        take!("swap.used", "", big(sample.memory.swap_used));
    }
    for disk in &sample.disks {
        take!("disk.read", &disk.name, big(disk.read));
        take!("disk.written", &disk.name, big(disk.written));
        take!("disk.busy", &disk.name, disk.busy.into());
    }
    for mount in &sample.mounts {
        let used = mount.total.saturating_sub(mount.free);
        take!("mount.total", &mount.mount, big(mount.total));
        take!("mount.used", &mount.mount, big(used));
        take!("mount.free", &mount.mount, big(mount.free));
        take!("mount.share", &mount.mount, share(used, mount.total));
    }
    // What the engine makes for each container comes and goes with it, under a name that says nothing.
    for network in sample.networks.iter().filter(|n| !n.name.starts_with("veth")) {
        take!("net.received", &network.name, big(network.received));
        take!("net.sent", &network.name, big(network.sent));
        take!("net.errors", &network.name, big(network.errors));
    }
    take!("sockets", "", sample.sockets.into());
    take!("processes", "", sample.processes[0].into());
    take!("processes.running", "", sample.processes[1].into());
    for sensor in &sample.temperatures {
        take!("temperature", &sensor.name, sensor.tenths.into());
    }
    if let Some(pressure) = sample.pressure {
        take!("pressure.cpu", "", pressure.cpu.into());
        take!("pressure.memory", "", pressure.memory.into());
        take!("pressure.io", "", pressure.io.into());
    }
    take!("uptime", "", big(sample.uptime_s));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Cpu, DiskIo, Memory, Mount, Network, Pressure, Temperature, Usage};
    use std::collections::BTreeSet;

    #[test]
    fn a_full_sample_has_every_figure_of_the_table_and_each_under_its_name() {
        let sample = Metrics {
            cpu: Cpu { user: 100, system: 50, iowait: 7, steal: 3 },
            cores: vec![10, 900],
            memory: Memory { total: 1000, available: 250, swap_total: 9, ..Memory::default() },
            disks: vec![DiskIo { name: "sda".into(), read: 5, ..DiskIo::default() }],
            mounts: vec![Mount { mount: "/var".into(), total: 400, free: 100 }],
            networks: vec![
                Network { name: "eth0".into(), sent: 8, ..Network::default() },
                Network { name: "veth12ab".into(), sent: 9, ..Network::default() },
            ],
            temperatures: vec![Temperature { name: "cpu".into(), tenths: 415 }],
            pressure: Some(Pressure::default()),
            groups: vec![Usage { name: "nginx".into(), cpu: 1500, memory: 7 }],
            containers: vec![Usage { name: "web".into(), cpu: 20, memory: 9 }],
            ..Metrics::default()
        };
        let mut found = Vec::new();
        each(&sample, |at, of, value| found.push((ALL[at].name, of, value)));
        let names: BTreeSet<_> = found.iter().map(|(name, ..)| *name).collect();
        let sampled = ALL.iter().filter(|m| m.by == By::Sample);
        assert_eq!(names, sampled.map(|m| m.name).collect());
        for expected in [
            ("cpu.busy", "", 153),
            ("cpu.core.max", "", 900),
            ("memory.used", "", 750),
            ("memory.share", "", 750),
            ("disk.read", "sda", 5),
            ("mount.share", "/var", 750),
            ("net.sent", "eth0", 8),
            ("temperature", "cpu", 415),
            ("group.cpu", "nginx", 1500),
            ("container.memory", "web", 9),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert!(!found.iter().any(|(_, of, _)| of.starts_with("veth")));
        let mut of_usages = BTreeSet::new();
        usages(&sample, |at, _, _| {
            of_usages.insert(ALL[at].name);
        });
        let said: BTreeSet<_> = ALL.iter().filter(|m| m.is_usage()).map(|m| m.name).collect();
        assert_eq!(of_usages, said);
    }

    #[test]
    fn a_full_name_leads_to_its_figure() {
        assert_eq!(find("mount.used{/var}").unwrap().unit, Unit::Bytes);
        assert_eq!(find("cpu.busy").unwrap().scale, 10);
        assert_eq!(find("cpu"), None);
    }
}
