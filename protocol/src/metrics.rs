//! Live figures of a host: the base set that every agent samples while its link is up.
//!
//! Field names are short on the wire, because one of these goes out each second from every host.
//! Every item is complete in itself: a receiver that falls behind may drop all but the newest.

use crate::call::{Access, Call, Feed, Nothing};
use serde::{Deserialize, Serialize};

/// One sample now. Rates are over the last sampling interval, or over a short one taken for this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {}

impl Call for Get {
    const METHOD: &'static str = "metrics.get";
    const ACCESS: Access = Access::Read;
    type Reply = Metrics;
}

/// A sample each `interval_ms`, for as long as the feed lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Milliseconds between samples, 1000 to 60000; others are brought into that range.
    #[serde(default)]
    pub interval_ms: u64,
    /// Begin with what the agent still remembers, oldest first, up to this many samples.
    #[serde(default)]
    pub history: u32,
    /// Of what it remembers only one sample in so many milliseconds; 0 for all of them.
    #[serde(default)]
    pub step_ms: u64,
}

impl Feed for Watch {
    const METHOD: &'static str = "metrics.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Metrics;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(n: &u32) -> bool {
    *n == 0
}

/// One sample. Shares of time are permille (0 to 1000), sizes bytes, rates per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Wall clock of the host, milliseconds since 1970.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// All processors together.
    #[serde(rename = "c")]
    pub cpu: Cpu,
    /// Each processor's busy share in permille.
    #[serde(rename = "k", skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<u16>,
    /// Load averages over 1, 5 and 15 minutes, in hundredths.
    #[serde(rename = "l")]
    pub load: [u32; 3],
    /// Memory and swap.
    #[serde(rename = "m")]
    pub memory: Memory,
    /// Block devices.
    #[serde(rename = "d", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskIo>,
    /// Mounted file systems with a device behind them.
    #[serde(rename = "f", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Network interfaces other than loopback.
    #[serde(rename = "n", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// TCP and UDP sockets in use.
    #[serde(rename = "s")]
    pub sockets: u32,
    /// Processes, and those able to run now.
    #[serde(rename = "p")]
    pub processes: [u32; 2],
    /// Degrees Celsius per sensor.
    #[serde(rename = "h", skip_serializing_if = "Vec::is_empty")]
    pub temperatures: Vec<Temperature>,
    /// Share of the last 10 s in which something waited, in hundredths of a percent; absent on
    /// kernels that do not measure it.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
    /// Seconds since the host started.
    #[serde(rename = "u")]
    pub uptime_s: u64,
    /// The heaviest programs by processor time and memory, each name once, on average over the last ten seconds; at most 30.
    /// In one sample of ten or so: empty in the others, and where the agent keeps no flight recorder.
    #[serde(rename = "g", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Usage>,
    /// The containers, likewise; at most 100.
    #[serde(rename = "ct", skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Usage>,
}

/// What a program or a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The program's short name; the container's, or the beginning of its id where the engine tells none.
    #[serde(rename = "n")]
    pub name: String,
    /// Permille of one processor; may be over 1000.
    #[serde(rename = "c", skip_serializing_if = "is_none")]
    pub cpu: u32,
    /// Bytes: resident ones of a program's processes, what the kernel charges a container.
    #[serde(rename = "m")]
    pub memory: u64,
}

/// Where processor time went, permille of all processors together. What is missing to 1000 is idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Programs, niced ones included.
    #[serde(rename = "u")]
    pub user: u16,
    /// The kernel, interrupts included.
    #[serde(rename = "s")]
    pub system: u16,
    /// Idle, but waiting for a disk.
    #[serde(rename = "w")]
    pub iowait: u16,
    /// Taken by the hypervisor for other guests.
    #[serde(rename = "t")]
    pub steal: u16,
}

impl Cpu {
    /// Permille of time not idle: user, system and steal. Waiting for a disk counts as idle.
    pub const fn busy(self) -> u16 {
        let sum = self.user + self.system + self.steal;
        if sum > 1000 { 1000 } else { sum }
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// All of it.
    #[serde(rename = "t")]
    pub total: u64,
    /// What programs could still get.
    #[serde(rename = "a")]
    pub available: u64,
    /// Not used for anything.
    #[serde(rename = "f")]
    pub free: u64,
    /// Raw block device buffers.
    #[serde(rename = "b")]
    pub buffers: u64,
    /// Cached files and reclaimable slabs.
    #[serde(rename = "c")]
    pub cached: u64,
    /// Swap in all.
    #[serde(rename = "st", skip_serializing_if = "is_zero")]
    pub swap_total: u64,
    /// Swap in use.
    #[serde(rename = "su", skip_serializing_if = "is_zero")]
    pub swap_used: u64,
}

impl Memory {
    /// Bytes that programs hold and cannot give back.
    pub const fn used(self) -> u64 {
        self.total.saturating_sub(self.available)
    }
}

/// Traffic of one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskIo {
    /// Such as `sda`.
    #[serde(rename = "n")]
    pub name: String,
    /// Bytes read a second.
    #[serde(rename = "r", skip_serializing_if = "is_zero")]
    pub read: u64,
    /// Bytes written a second.
    #[serde(rename = "w", skip_serializing_if = "is_zero")]
    pub written: u64,
    /// Permille of the time with something in flight.
    #[serde(rename = "b")]
    pub busy: u16,
}

/// How full a file system is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Where it is mounted.
    #[serde(rename = "n")]
    pub mount: String,
    /// Bytes in all.
    #[serde(rename = "t")]
    pub total: u64,
    /// Bytes free for ordinary users.
    #[serde(rename = "f")]
    pub free: u64,
}

/// Traffic of one network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Such as `eth0`.
    #[serde(rename = "n")]
    pub name: String,
    /// Bytes received a second.
    #[serde(rename = "r", skip_serializing_if = "is_zero")]
    pub received: u64,
    /// Bytes sent a second.
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    pub sent: u64,
    /// Errors and drops a second, both ways.
    #[serde(rename = "e", skip_serializing_if = "is_zero")]
    pub errors: u64,
}

/// One sensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Temperature {
    /// What is measured.
    #[serde(rename = "n")]
    pub name: String,
    /// Tenths of a degree Celsius.
    #[serde(rename = "v")]
    pub tenths: i32,
}

/// Pressure stall, "some" line over 10 s, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// Something waited for a processor.
    #[serde(rename = "c")]
    pub cpu: u16,
    /// Something waited for memory.
    #[serde(rename = "m")]
    pub memory: u16,
    /// Something waited for a disk.
    #[serde(rename = "i")]
    pub io: u16,
}
