//! Traffic of block devices, and how full the file systems on them are.

use super::linux::rate;
use crate::text::{Kept, fields, lines, lossy, number};
use cmdr_protocol::metrics::{DiskIo, Mount};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// More of one kind than this are not shown; hosts with more use them for containers.
const MOST: usize = 64;
/// How full a file system is changes slowly.
const MOUNTS_EVERY: Duration = Duration::from_secs(10);
/// What is mounted changes seldom.
const MOUNTINFO_EVERY: Duration = Duration::from_secs(30);

/// Counters of whole disks.
#[derive(Debug)]
pub(super) struct Disks {
    diskstats: Option<Kept>,
    block: PathBuf,
    known: Vec<Disk>,
}

#[derive(Debug)]
struct Disk {
    name: Vec<u8>,
    shown: bool,
    read: u64,
    written: u64,
    busy_ms: u64,
}

impl Disks {
    pub(super) fn new(proc_root: &Path, sys_root: &Path) -> Self {
        Self {
            diskstats: Kept::open(&proc_root.join("diskstats")),
            block: sys_root.join("block"),
            known: Vec::new(),
        }
    }

    pub(super) fn sample(
        &mut self,
        buffer: &mut Vec<u8>,
        elapsed: Option<Duration>,
    ) -> Vec<DiskIo> {
        let Some(Ok(text)) = self.diskstats.as_ref().map(|kept| kept.read(buffer)) else {
            return Vec::new();
        };
        let mut shown = Vec::new();
        let mut place = 0;
        for line in lines(text) {
            let mut parts = fields(line).skip(2);
            let Some(name) = parts.next() else { continue };
            let mut values = parts.map(|f| number(f).unwrap_or(0));
            let mut nth = |n| values.nth(n).unwrap_or(0);
            // Reads, merged, *sectors*, ms, writes, merged, *sectors*, ms, in flight, *busy ms*.
            let (read, written, busy_ms) = (nth(2), nth(3), nth(2));
            let (read, written) = (read.saturating_mul(512), written.saturating_mul(512));
            // Lines come in the same order each time, unless a device comes or goes.
            if self.known.get(place).is_none_or(|disk| disk.name != name) {
                let rest = self.known[place..].iter();
                let found = rest.enumerate().find(|(_, disk)| disk.name == name);
                let found = found.map(|(at, _)| place + at);
                let disk = if let Some(at) = found {
                    self.known.remove(at)
                } else {
                    let shown = is_disk(name) && is_whole(&self.block, name);
                    Disk { name: name.to_vec(), shown, read, written, busy_ms }
                };
                self.known.insert(place, disk);
            }
            let disk = &mut self.known[place];
            place += 1;
            if disk.shown && (read > 0 || written > 0) && shown.len() < MOST {
                let busy = rate(disk.busy_ms, busy_ms, elapsed).min(1000) as u16;
                shown.push(DiskIo {
                    name: lossy(name),
                    read: rate(disk.read, read, elapsed),
                    written: rate(disk.written, written, elapsed),
                    busy,
                });
            }
            (disk.read, disk.written, disk.busy_ms) = (read, written, busy_ms);
        }
        self.known.truncate(place);
        shown
    }
}

/// Devices with something real behind them that is not counted elsewhere already.
fn is_disk(name: &[u8]) -> bool {
    const NOT: [&[u8]; 9] =
        [b"loop", b"ram", b"zram", b"sr", b"fd", b"dm-", b"md", b"nbd", b"drbd"];
    !NOT.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it is a disk and not a part of one.
fn is_whole(block: &Path, name: &[u8]) -> bool {
    let name = lossy(name);
    if block.is_dir() {
        return block.join(&name).exists();
    }
    // Without device files the name must do: sda1, vda2, nvme0n1p3, mmcblk0p1 are parts.
    let head = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = head.len() < name.len();
    let by_letter = ["sd", "vd", "hd", "xvd"].iter().any(|prefix| name.starts_with(prefix));
    let part =
        head.ends_with('p') && head[..head.len() - 1].ends_with(|c: char| c.is_ascii_digit());
    !(numbered && (by_letter || part))
}

/// Mounted file systems that have a device.
#[derive(Debug)]
pub(super) struct Mounts {
    mountinfo: Option<Kept>,
    known: Vec<PathBuf>,
    full: Vec<Mount>,
    looked: Option<Instant>,
    listed: Option<Instant>,
}

impl Mounts {
    pub(super) fn new(proc_root: &Path) -> Self {
        let mountinfo = Kept::open(&proc_root.join("self/mountinfo"));
        Self { mountinfo, known: Vec::new(), full: Vec::new(), looked: None, listed: None }
    }

    pub(super) fn sample(&mut self, buffer: &mut Vec<u8>, now: Instant) -> Vec<Mount> {
        let is_due = |last: Option<Instant>, every| {
            last.is_none_or(|last| now.saturating_duration_since(last) >= every)
        };
        if is_due(self.listed, MOUNTINFO_EVERY) {
            self.listed = Some(now);
            let text = self.mountinfo.as_ref().and_then(|kept| kept.read_to_end(buffer).ok());
            self.known = text.map(mount_points).unwrap_or_default();
            self.looked = None;
        }
        if is_due(self.looked, MOUNTS_EVERY) {
            self.looked = Some(now);
            self.full = self.known.iter().filter_map(|path| how_full(path)).collect();
        }
        self.full.clone()
    }
}

/// Devices only: a server's or a program's file system could keep us waiting for good.
fn how_full(path: &Path) -> Option<Mount> {
    let stat = rustix::fs::statvfs(path).ok().filter(|stat| stat.f_blocks > 0)?;
    Some(Mount {
        mount: path.to_string_lossy().into_owned(),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

fn mount_points(mountinfo: &[u8]) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u8>, PathBuf)> = Vec::new();
    for line in lines(mountinfo) {
        let mut parts = fields(line);
        let (Some(device), Some(point)) = (parts.nth(2), parts.nth(1)) else { continue };
        let mut rest = parts.skip_while(|field| *field != b"-").skip(1);
        let (Some(kind), Some(source)) = (rest.next(), rest.next()) else { continue };
        let on_device = source.starts_with(b"/dev/") || kind == b"zfs" || kind == b"btrfs";
        let read_only_image = kind == b"squashfs" || kind == b"iso9660";
        // The root of a container has no device; it is what its programs can fill all the same.
        let container_root = point == b"/" && kind == b"overlay";
        if !(on_device && !read_only_image || container_root) || kind.starts_with(b"fuse.") {
            continue;
        }
        let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(point)));
        let count = found.len();
        match found.iter_mut().find(|(known, _)| known == device) {
            // One device in several places counts once, where its path is shortest.
            Some((_, known)) if path.as_os_str().len() < known.as_os_str().len() => *known = path,
            None if count < MOST => found.push((device.to_vec(), path)),
            _ => {}
        }
    }
    // Files that a container runtime mounts one by one are no file systems of their own.
    found.into_iter().map(|(_, path)| path).filter(|path| path.is_dir()).collect()
}

/// `\040` is a blank: the kernel writes four characters so.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits =
            tail.get(..3).filter(|d| first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        if let Some(digits) = digits {
            let code = digits.iter().fold(0u32, |n, d| n * 8 + u32::from(d - b'0'));
            out.push(code as u8);
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_disks_are_told_from_disks_without_device_files() {
        let none = Path::new("/nonexistent");
        for disk in ["sda", "vdb", "nvme0n1", "mmcblk0", "xvda"] {
            assert!(is_whole(none, disk.as_bytes()), "{disk}");
        }
        for part in ["sda1", "vdb15", "nvme0n1p2", "mmcblk0p1", "xvda1"] {
            assert!(!is_whole(none, part.as_bytes()), "{part}");
        }
    }

    #[test]
    fn a_device_counts_once_and_network_file_systems_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a b"), dir.path().join("long"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        let at = |p: &Path| p.to_str().unwrap().replace(' ', "\\040");
        let text = format!(
            "1 0 8:1 / {} rw - ext4 /dev/sda1 rw\n2 0 8:1 /x {} rw shared:1 - ext4 /dev/sda1 rw\n\
             3 0 0:9 / /mnt rw - nfs4 server:/x rw\n4 0 7:0 / /snap ro - squashfs /dev/loop0 ro\n",
            at(&a),
            at(&b)
        );
        assert_eq!(mount_points(text.as_bytes()), [a]);
    }

    proptest! {
        #[test]
        fn any_mountinfo_is_read_or_ignored(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (mount_points(&bytes), unescape(&bytes));
        }
    }
}
