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

/// The most addresses, and the most disks, that are kept of a host.
pub const MOST: usize = 64;
/// The most bytes of each text that is kept of a host.
pub const MOST_TEXT: usize = 256;

impl Facts {
    /// Cut to what is kept of a host: what it says of itself is no larger than that, whatever it says.
    pub fn bound(&mut self) {
        self.addresses.truncate(MOST);
        self.disks.truncate(MOST);
        let own = [
            &mut self.agent,
            &mut self.hostname,
            &mut self.os_type,
            &mut self.os,
            &mut self.os_version,
            &mut self.kernel,
            &mut self.arch,
            &mut self.virtualization,
            &mut self.cpu,
            &mut self.board,
            &mut self.machine_id,
        ];
        let disks = self.disks.iter_mut();
        let disks = disks.flat_map(|disk| [&mut disk.device, &mut disk.mount, &mut disk.kind]);
        for text in own.into_iter().chain(&mut self.addresses).chain(&mut self.docker).chain(disks)
        {
            text.truncate(text.floor_char_boundary(MOST_TEXT));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_of_itself_is_kept_within_bounds() {
        let long = || "\u{8282}".repeat(400);
        let disk = Disk { device: long(), mount: long(), kind: long(), ..Disk::default() };
        let mut facts = Facts {
            hostname: long(),
            cpu: "4 x none".into(),
            docker: Some(long()),
            addresses: vec![long(); 1000],
            disks: vec![disk; 1000],
            ..Facts::default()
        };
        facts.bound();
        assert_eq!((facts.addresses.len(), facts.disks.len()), (MOST, MOST));
        // Characters of three bytes: none is cut in two.
        assert_eq!((facts.hostname.len(), facts.cpu.as_str()), (255, "4 x none"));
        assert_eq!((facts.docker.unwrap().len(), facts.addresses[63].len()), (255, 255));
        let Disk { device, mount, kind, .. } = &facts.disks[63];
        assert_eq!([device.len(), mount.len(), kind.len()], [255; 3]);
    }
}
