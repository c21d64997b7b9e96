//! One sample out of `/proc`. Files stay open; nothing is allocated but what the sample holds.

use super::disks::{Disks, Mounts};
use super::networks::Networks;
use super::sensors::Sensors;
use crate::text::{Kept, fields, hundredths, lines, number};
use cmdr_link::clock;
use cmdr_protocol::metrics::{Cpu, Memory, Metrics, Pressure};
use std::path::Path;
use std::time::Instant;

/// Reads the host's figures; remembers the counters of the last time.
#[derive(Debug)]
pub(super) struct Collector {
    buffer: Vec<u8>,
    stat: Option<Kept>,
    meminfo: Option<Kept>,
    loadavg: Option<Kept>,
    uptime: Option<Kept>,
    sockets: [Option<Kept>; 2],
    pressure: [Option<Kept>; 3],
    /// Times of all processors together, then of each.
    times: Vec<Times>,
    disks: Disks,
    mounts: Mounts,
    networks: Networks,
    sensors: Sensors,
    last: Option<Instant>,
}

/// Ticks a processor has spent, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    user: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    steal: u64,
}

impl Collector {
    /// Opens what there is.
    pub(super) fn new(proc_root: &Path, sys_root: &Path) -> Self {
        let open = |name: &str| Kept::open(&proc_root.join(name));
        Self {
            buffer: Vec::new(),
            stat: open("stat"),
            meminfo: open("meminfo"),
            loadavg: open("loadavg"),
            uptime: open("uptime"),
            sockets: [open("net/sockstat"), open("net/sockstat6")],
            pressure: [open("pressure/cpu"), open("pressure/memory"), open("pressure/io")],
            times: Vec::new(),
            disks: Disks::new(proc_root, sys_root),
            mounts: Mounts::new(proc_root),
            networks: Networks::new(proc_root),
            sensors: Sensors::new(sys_root),
            last: None,
        }
    }

    /// A sample now; rates are since the last one.
    pub(super) fn sample(&mut self, now: Instant) -> Metrics {
        let elapsed = self.last.replace(now).map(|last| now.saturating_duration_since(last));
        let mut metrics = Metrics { at_ms: clock::now_ms(), ..Metrics::default() };
        let buffer = &mut self.buffer;
        if let Some(stat) = read(self.stat.as_ref(), buffer) {
            cpu(stat, &mut self.times, &mut metrics);
        }
        if let Some(meminfo) = read(self.meminfo.as_ref(), buffer) {
            metrics.memory = memory(meminfo);
        }
        if let Some(loadavg) = read(self.loadavg.as_ref(), buffer) {
            load(loadavg, &mut metrics);
        }
        if let Some(uptime) = read(self.uptime.as_ref(), buffer) {
            metrics.uptime_s = number(uptime).unwrap_or(0);
        }
        for kept in self.sockets.iter().flatten() {
            if let Ok(sockstat) = kept.read(buffer) {
                metrics.sockets = metrics.sockets.saturating_add(sockets(sockstat));
            }
        }
        let mut stalled = [None; 3];
        for (kept, value) in self.pressure.iter().zip(&mut stalled) {
            *value = read(kept.as_ref(), buffer).and_then(pressure);
        }
        if stalled.iter().any(Option::is_some) {
            let [cpu, memory, io] = stalled.map(Option::unwrap_or_default);
            metrics.pressure = Some(Pressure { cpu, memory, io });
        }
        metrics.disks = self.disks.sample(buffer, elapsed);
        metrics.mounts = self.mounts.sample(buffer, now);
        metrics.networks = self.networks.sample(buffer, elapsed);
        metrics.temperatures = self.sensors.sample(buffer, now);
        metrics
    }
}

fn read<'b>(kept: Option<&Kept>, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    kept?.read(buffer).ok()
}

/// What a counter grew by. One that was reset, or ran over, has grown by nothing that we know of.
pub(super) const fn growth(before: u64, now: u64) -> u64 {
    now.saturating_sub(before)
}

/// What a counter grew by each second.
pub(super) fn rate(before: u64, now: u64, elapsed: Option<std::time::Duration>) -> u64 {
    match elapsed.map(|e| e.as_micros()) {
        None | Some(0) => 0,
        Some(us) => {
            u64::try_from(u128::from(growth(before, now)) * 1_000_000 / us).unwrap_or(u64::MAX)
        }
    }
}

impl Times {
    fn parse(line: &[u8]) -> Self {
        let mut values = fields(line).skip(1).map(|f| number(f).unwrap_or(0));
        let mut next = || values.next().unwrap_or(0);
        let [user, nice, system, idle, iowait, irq, softirq, steal] =
            std::array::from_fn(|_| next());
        Self {
            user: user.saturating_add(nice),
            system: system.saturating_add(irq).saturating_add(softirq),
            idle,
            iowait,
            steal,
        }
    }

    /// Shares in permille since `before`.
    fn shares(self, before: Self) -> Cpu {
        let grown = [
            growth(before.user, self.user),
            growth(before.system, self.system),
            growth(before.iowait, self.iowait),
            growth(before.steal, self.steal),
        ];
        let total = grown.iter().fold(growth(before.idle, self.idle), |n, g| n.saturating_add(*g));
        let [user, system, iowait, steal] = grown.map(|part| {
            let share = u128::from(part) * 1000 / u128::from(total.max(1));
            u16::try_from(share).unwrap_or(1000)
        });
        Cpu { user, system, iowait, steal }
    }
}

fn cpu(stat: &[u8], times: &mut Vec<Times>, metrics: &mut Metrics) {
    let first = times.is_empty();
    let mut count = 0;
    for line in lines(stat).take_while(|line| line.starts_with(b"cpu")) {
        let now = Times::parse(line);
        if count == times.len() {
            times.push(now);
        }
        let shares = if first { Cpu::default() } else { now.shares(times[count]) };
        times[count] = now;
        if count == 0 {
            metrics.cpu = shares;
        } else {
            metrics.cores.push(shares.busy());
        }
        count += 1;
    }
    // A processor was taken away: the others' places have moved.
    times.truncate(count);
}

fn memory(meminfo: &[u8]) -> Memory {
    let mut memory = Memory::default();
    let (mut reclaimable, mut swap_free, mut available) = (0, 0, None);
    for line in lines(meminfo) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let value = || number(&line[colon + 1..]).unwrap_or(0).saturating_mul(1024);
        match &line[..colon] {
            b"MemTotal" => memory.total = value(),
            b"MemFree" => memory.free = value(),
            b"MemAvailable" => available = Some(value()),
            b"Buffers" => memory.buffers = value(),
            b"Cached" => memory.cached = value(),
            b"SReclaimable" => reclaimable = value(),
            b"SwapTotal" => memory.swap_total = value(),
            b"SwapFree" => swap_free = value(),
            _ => {}
        }
    }
    memory.cached = memory.cached.saturating_add(reclaimable);
    // Kernels before 3.14 do not say what is available.
    let guess = memory.free.saturating_add(memory.buffers).saturating_add(memory.cached);
    memory.available = available.unwrap_or(guess).min(memory.total);
    memory.swap_used = memory.swap_total.saturating_sub(swap_free);
    memory
}

fn load(loadavg: &[u8], metrics: &mut Metrics) {
    let mut parts = fields(loadavg);
    for slot in &mut metrics.load {
        let value = parts.next().and_then(hundredths).unwrap_or(0);
        *slot = u32::try_from(value).unwrap_or(u32::MAX);
    }
    let Some(counts) = parts.next() else { return };
    let narrow = |bytes| u32::try_from(number(bytes).unwrap_or(0)).unwrap_or(u32::MAX);
    if let Some(slash) = counts.iter().position(|b| *b == b'/') {
        // The one that runs now is the agent, looking.
        let running = narrow(&counts[..slash]).saturating_sub(1);
        metrics.processes = [narrow(&counts[slash + 1..]), running];
    }
}

fn sockets(sockstat: &[u8]) -> u32 {
    let in_use = lines(sockstat).filter_map(|line| {
        let mut parts = fields(line);
        let kind = parts.next()?;
        let counted = matches!(kind, b"TCP:" | b"UDP:" | b"TCP6:" | b"UDP6:");
        (counted && parts.next() == Some(b"inuse")).then(|| number(parts.next()?))?
    });
    in_use.fold(0u32, |sum, n| sum.saturating_add(u32::try_from(n).unwrap_or(u32::MAX)))
}

fn pressure(text: &[u8]) -> Option<u16> {
    let some = lines(text).find(|line| line.starts_with(b"some "))?;
    let value = fields(some).find_map(|field| field.strip_prefix(b"avg10="))?;
    Some(hundredths(value)?.min(10_000) as u16)
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
