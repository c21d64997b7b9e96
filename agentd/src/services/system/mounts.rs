//! Mounted file systems, with how full they are. A file system whose server is away keeps whoever asks
//! it waiting, so each is asked on a thread of its own and given up after a while.

use crate::Config;
use crate::text::{fields, lines, lossy};
use cmdr_protocol::CallError;
use cmdr_protocol::system::{Found, Mount};
use std::collections::HashSet;
use std::io::Read as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long all of them together may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most mounts that are told of.
const MOST: usize = 2000;
/// The most of the kernel's file that is read.
const FILE: u64 = 4 << 20;
/// Kinds that hold no data of anybody's.
const VIRTUAL: [&str; 22] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "pstore",
    "bpf",
    "tracefs",
    "debugfs",
    "securityfs",
    "configfs",
    "fusectl",
    "mqueue",
    "hugetlbfs",
    "autofs",
    "nsfs",
    "binfmt_misc",
    "rpc_pipefs",
    "efivarfs",
    "ramfs",
    "selinuxfs",
];

pub(super) async fn read(config: &Config, all: bool) -> Result<Found<Mount>, CallError> {
    let path = config.proc_root.join("self/mountinfo");
    let mut bytes = Vec::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(FILE).read_to_end(&mut bytes))
        .map_err(|e| CallError::failed(format!("reading {}: {e}", path.display())))?;
    let mut found = Found { rows: parse(&bytes, all), notes: Vec::new() };
    if found.rows.len() > MOST {
        found.notes.push(format!("{} more mounts are not shown", found.rows.len() - MOST));
        found.rows.truncate(MOST);
    }
    let asked: Vec<_> = found
        .rows
        .iter()
        .map(|mount| {
            let path = mount.mount.clone();
            tokio::task::spawn_blocking(move || rustix::fs::statvfs(path.as_str()).ok())
        })
        .collect();
    let until = Instant::now() + PATIENCE;
    for (mount, asked) in found.rows.iter_mut().zip(asked) {
        match timeout_at(until, asked).await {
            Ok(Ok(Some(is))) => {
                mount.total = Some(is.f_blocks.saturating_mul(is.f_frsize));
                mount.free = Some(is.f_bavail.saturating_mul(is.f_frsize));
                (mount.inodes, mount.inodes_free) = (is.f_files, is.f_favail);
            }
            Ok(_) => {}
            Err(_) => found.notes.push(format!("{} does not answer", mount.mount)),
        }
    }
    Ok(found)
}

/// Reads the kernel's list; a line that makes no sense is left out.
pub(super) fn parse(bytes: &[u8], all: bool) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = lines(bytes).filter_map(line).collect();
    if !all {
        mounts.retain(|m| !VIRTUAL.contains(&m.kind.as_str()));
        // One that is mounted over is seen by nobody.
        let mut seen = HashSet::new();
        mounts.reverse();
        mounts.retain(|m| seen.insert(m.mount.clone()));
        mounts.reverse();
    }
    mounts
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut parts = fields(line).skip(4);
    let (mount, options) = (parts.next()?, lossy(parts.next()?));
    let mut rest = parts.skip_while(|part| *part != b"-").skip(1);
    let kind = lossy(rest.next()?);
    let device = rest.next().map(unescape).unwrap_or_default();
    let of_device = rest.next().map(lossy).unwrap_or_default();
    let read_only = |text: &str| text.split(',').any(|option| option == "ro");
    let read_only = read_only(&options) || read_only(&of_device);
    let options = if of_device.is_empty() { options } else { format!("{options} {of_device}") };
    Some(Mount { mount: unescape(mount), device, kind, options, read_only, ..Mount::default() })
}

/// The kernel writes blanks and the like as `\040`.
fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let octal = more
            .get(..3)
            .filter(|d| *first == b'\\' && d.iter().all(|d| (b'0'..=b'7').contains(d)));
        if let Some(digits) = octal {
            let value = digits.iter().fold(0u32, |n, d| n * 8 + u32::from(d - b'0'));
            out.push((value & 0xff) as u8);
            rest = &more[3..];
        } else {
            out.push(*first);
            rest = more;
        }
    }
    lossy(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts_are_read_with_odd_names_and_those_without_data_left_out() {
        let text = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
            23 22 0:5 / /proc rw - proc proc rw\n\
            garbage\n\
            24 22 8:2 / /mnt/my\\040disk ro,noatime - xfs /dev/sdb1 rw\n\
            25 22 8:3 / /mnt/my\\040disk rw - ext4 /dev/sdc1 ro\n";
        let mounts = parse(text, false);
        let shown: Vec<_> = mounts
            .iter()
            .map(|m| (m.mount.as_str(), m.device.as_str(), m.kind.as_str(), m.read_only))
            .collect();
        assert_eq!(
            shown,
            [("/", "/dev/sda1", "ext4", false), ("/mnt/my disk", "/dev/sdc1", "ext4", true)]
        );
        assert_eq!(parse(text, true).len(), 4);
    }

    #[tokio::test]
    async fn this_machines_root_has_a_size() {
        let config = Config::new("/nonexistent".into());
        let found = read(&config, true).await.unwrap();
        let root = found.rows.iter().find(|m| m.mount == "/").unwrap();
        assert!(root.total > Some(0) && root.free < root.total, "{root:?}");
    }

    proptest! {
        #[test]
        fn any_list_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (parse(&bytes, true), unescape(&bytes));
        }
    }
}
