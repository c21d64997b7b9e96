//! What a host is: the facts that change seldom.

use crate::call::{Access, Call};
use serde::{Deserialize, Serialize};

/// Asks a host for its facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {}

impl Call for Get {
    const METHOD: &'static str = "facts.get";
    const ACCESS: Access = Access::Read;
    type Reply = Facts;
}

/// What a host is. An empty text means that the host does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Version of the agent.
    pub agent: String,
    /// The host's own name for itself.
    pub hostname: String,
    /// Addresses other than loopback, as text.
    pub addresses: Vec<String>,
    /// `linux`.
    pub os_type: String,
    /// `debian`, the `ID` of os-release.
    pub os: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os_version: String,
    /// Kernel release.
    pub kernel: String,
    /// `x86_64`.
    pub arch: String,
    /// `kvm`, `docker`, `none` …
    pub virtualization: String,
    /// Logical processors.
    pub cores: u32,
    /// Model name of the processor.
    pub cpu: String,
    /// Board or product identification.
    pub board: String,
    /// Machine id; tells clones apart.
    pub machine_id: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of swap.
    pub swap: u64,
    /// Disks and what is on them.
    pub disks: Vec<Disk>,
    /// Version of a Docker engine, when its socket answers.
    pub docker: Option<String>,
    /// When the host started, milliseconds since 1970.
    pub booted_at_ms: u64,
    /// Seconds that all processors together were idle since then.
    pub idle_s: u64,
    /// Time zone offset in seconds east of UTC.
    pub utc_offset_s: i32,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Device, such as `/dev/sda1`.
    pub device: String,
    /// Where it is mounted.
    pub mount: String,
    /// File system type.
    pub kind: String,
    /// Bytes in all.
    pub total: u64,
    /// Bytes free for ordinary users.
    pub free: u64,
}
