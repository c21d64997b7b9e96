//! One process as the kernel tells of it: its `stat`, `io`, `cgroup`, `status` and `cmdline` files. `collector` says
//! when each is looked at.

use crate::kernel::{fields, lines, named, number, read};
use crate::names::Id;
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// Longer command lines are cut.
pub(crate) const COMMAND: usize = 300;
/// The kernel's flag of its own threads.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What a `stat` file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat<'t> {
    pub(crate) name: &'t [u8],
    pub(crate) state: u8,
    pub(crate) kernel: bool,
    pub(crate) ticks: u64,
    pub(crate) start: u64,
    pub(crate) pages: u64,
}

/// Reads a `stat` file. The name may hold anything, closing brackets included.
pub(crate) fn parse(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let name = text.get(open + 1..close)?;
    let mut rest = fields(&text[close + 1..]);
    let state = rest.next()?.first().copied().filter(u8::is_ascii_alphabetic)?;
    let kernel = number(rest.nth(5)?)? & KERNEL_THREAD != 0;
    let user = number(rest.nth(4)?)?;
    let system = number(rest.next()?)?;
    let start = number(rest.nth(6)?)?;
    let pages = number(rest.nth(1)?)?;
    Some(Stat { name, state, kernel, ticks: user.saturating_add(system), start, pages })
}

/// What is known of one process.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) pid: u32,
    pub(crate) start: u64,
    pub(crate) program: Id,
    pub(crate) place: Id,
    pub(crate) file: Option<File>,
    pub(crate) state: u8,
    pub(crate) kernel: bool,
    pub(crate) ticks: u64,
    /// Permille of one processor.
    pub(crate) cpu: u32,
    pub(crate) memory: u64,
    pub(crate) io: Io,
    /// When it was looked at last.
    pub(crate) at: Instant,
    pub(crate) about: Option<Arc<About>>,
}

/// Who it is, read when it first is on top.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) uid: u32,
    pub(crate) command: String,
}

/// Disk traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    /// Not looked at yet.
    Unknown,
    /// The recorder may not see it.
    Hidden,
    /// Bytes in all, and a second.
    Seen { bytes: [u64; 2], rates: [u64; 2], at: Instant },
}

impl Io {
    pub(crate) const fn rates(self) -> Option<[u64; 2]> {
        match self {
            Self::Seen { rates, .. } => Some(rates),
            _ => None,
        }
    }

    pub(crate) fn sum(self) -> u64 {
        self.rates().map_or(0, |[read, written]| read.saturating_add(written))
    }

    /// Looks again.
    pub(crate) fn look(self, proc: &OwnedFd, pid: u32, now: Instant, buffer: &mut [u8]) -> Self {
        if self == Self::Hidden {
            return self;
        }
        let text = open(proc, pid, "io").and_then(|file| read(&file, buffer));
        let Some(bytes) = text.and_then(traffic) else { return Self::Hidden };
        let rates = match self {
            Self::Seen { bytes: before, at, .. } => {
                let us = now.saturating_duration_since(at).as_micros().max(1);
                std::array::from_fn(|i| {
                    let grown = u128::from(bytes[i].saturating_sub(before[i]));
                    u64::try_from(grown * 1_000_000 / us).unwrap_or(u64::MAX)
                })
            }
            _ => [0; 2],
        };
        Self::Seen { bytes, rates, at: now }
    }
}

fn traffic(text: &[u8]) -> Option<[u64; 2]> {
    Some([named(text, b"read_bytes:")?, named(text, b"write_bytes:")?])
}

impl Known {
    /// Whether it did something when it was looked at last.
    pub(crate) fn is_busy(&self) -> bool {
        self.cpu > 0 || self.io.sum() > 0
    }
}

/// Opens a file of a process.
pub(crate) fn open(proc: &OwnedFd, pid: u32, name: &str) -> Option<File> {
    use std::io::Write as _;
    let mut path = [0u8; 32];
    let mut rest = path.as_mut_slice();
    write!(rest, "{pid}/{name}").ok()?;
    let unused = rest.len();
    let path = &path[..32 - unused];
    openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok().map(File::from)
}

impl About {
    pub(crate) fn look(proc: &OwnedFd, pid: u32, command: bool, buffer: &mut [u8]) -> Self {
        let status = open(proc, pid, "status").and_then(|file| read(&file, buffer));
        let uid = status
            .and_then(|text| lines(text).find_map(|line| line.strip_prefix(b"Uid:")))
            .and_then(|line| number(fields(line).nth(1)?))
            .map_or(0, |uid| uid as u32);
        let mut text = String::new();
        let most = buffer.len().min(COMMAND);
        if command
            && let Some(file) = open(proc, pid, "cmdline")
            && let Some(bytes) = read(&file, &mut buffer[..most])
        {
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            text = String::from_utf8_lossy(&bytes[..end]).replace('\0', " ");
        }
        Self { uid, command: text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stat_file_is_read_whatever_the_name_is() {
        let text =
            b"17 (a) (b c) R 1 17 17 0 -1 4194304 9 0 0 0 30 12 0 0 20 0 3 0 4711 900 250 1 2";
        let stat = parse(text).unwrap();
        let wanted = Stat {
            name: b"a) (b c",
            state: b'R',
            kernel: false,
            ticks: 42,
            start: 4711,
            pages: 250,
        };
        assert_eq!(stat, wanted);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&bytes), traffic(&bytes));
            let _ = parse(&[b"1 (x) R ".as_slice(), &bytes].concat());
        }
    }
}
