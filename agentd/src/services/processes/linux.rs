//! The process table out of `/proc`. The `stat` files of known processes stay open, which saves
//! two of three system calls; what seldom changes is read again only now and then.

use super::table::{About, Row, Table};
use crate::text::{fields, lines, lossy, number, signed, small};
use crate::users::Names;
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, openat};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Files kept open; processes beyond are opened each time.
const KEPT: usize = 256;
/// A process tells again what it is each so many samples.
const REFRESH: u32 = 20;
/// One that does nothing is asked for its traffic each so many samples.
const QUIET: u32 = 4;
/// Longer command lines are cut.
const COMMAND: usize = 2048;
/// Steps of figures, so that noise is not news.
const MEMORY_STEP: u64 = 64 * 1024;
const RATE_STEP: u64 = 1024;
const CPU_STEP: u64 = 5;
/// The kernel's flag of its own threads.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What a `stat` file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::services) struct Stat<'t> {
    pub(in crate::services) name: &'t [u8],
    pub(in crate::services) state: u8,
    pub(in crate::services) ppid: u32,
    pub(in crate::services) kernel: bool,
    pub(in crate::services) ticks: u64,
    pub(in crate::services) nice: i32,
    pub(in crate::services) threads: u32,
    pub(in crate::services) start: u64,
    pub(in crate::services) pages: u64,
}

/// Reads a `stat` file. The name may hold anything, closing brackets included.
pub(in crate::services) fn parse_stat(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let name = text.get(open + 1..close)?;
    let mut rest = fields(&text[close + 1..]);
    let state = rest.next()?.first().copied().filter(u8::is_ascii_alphabetic)?;
    let narrow = |field: &[u8]| number(field).and_then(|n| u32::try_from(n).ok());
    let ppid = rest.next().and_then(narrow)?;
    let kernel = number(rest.nth(4)?)? & KERNEL_THREAD != 0;
    let user = number(rest.nth(4)?)?;
    let system = number(rest.next()?)?;
    let nice = signed(rest.nth(3)?)?.clamp(-20, 19) as i32;
    let threads = rest.next().and_then(narrow)?;
    let start = number(rest.nth(1)?)?;
    let pages = number(rest.nth(1)?)?;
    let ticks = user.saturating_add(system);
    Some(Stat { name, state, ppid, kernel, ticks, nice, threads, start, pages })
}

/// One process as it was at the last sample.
#[derive(Debug)]
struct Known {
    start: u64,
    file: Option<File>,
    ticks: u64,
    io: Option<Traffic>,
    about: Arc<About>,
    /// The sample it was last seen in.
    seen: u32,
}

/// Disk traffic of a process.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    bytes: [u64; 2],
    rates: [u64; 2],
    at: Instant,
}

/// Takes tables.
#[derive(Debug)]
pub(super) struct Collector {
    proc: Option<OwnedFd>,
    known: HashMap<u32, Known>,
    kept: usize,
    names: Names,
    pids: Vec<u32>,
    listing: Vec<MaybeUninit<u8>>,
    text: Vec<u8>,
    samples: u32,
    last: Option<Instant>,
    booted_s: u64,
    ticks_per_s: u64,
    page: u64,
}

impl Collector {
    pub(super) fn new(proc_root: &Path, etc_root: &Path) -> Self {
        let stat = small(&proc_root.join("stat"));
        let booted = lines(stat.as_bytes()).find_map(|line| number(line.strip_prefix(b"btime ")?));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            proc: rustix::fs::open(proc_root, flags, Mode::empty()).ok(),
            known: HashMap::new(),
            kept: 0,
            names: Names::new(etc_root),
            pids: Vec::new(),
            listing: vec![MaybeUninit::uninit(); 32 * 1024],
            text: vec![0; COMMAND],
            samples: 0,
            last: None,
            booted_s: booted.unwrap_or(0),
            ticks_per_s: rustix::param::clock_ticks_per_second().max(1),
            page: rustix::param::page_size() as u64,
        }
    }

    /// The table now; figures are since the last one.
    pub(super) fn sample(&mut self, now: Instant) -> Table {
        let elapsed = self.last.replace(now).map(|last| now.saturating_duration_since(last));
        let elapsed_us = elapsed.map_or(0, |e| e.as_micros() as u64);
        self.samples = self.samples.wrapping_add(1);
        let renamed = self.names.refresh();
        self.list();
        let pids = std::mem::take(&mut self.pids);
        let mut rows = Vec::with_capacity(pids.len());
        rows.extend(pids.iter().filter_map(|&pid| self.row(pid, now, elapsed_us, renamed)));
        self.pids = pids;
        let samples = self.samples;
        self.known.retain(|_, known| known.seen == samples);
        self.kept = self.known.values().filter(|known| known.file.is_some()).count();
        Table { rows }
    }

    /// All numbers there are, in order.
    fn list(&mut self) {
        self.pids.clear();
        let Some(proc) = &self.proc else { return };
        if rustix::fs::seek(proc, SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut entries = RawDir::new(proc, &mut self.listing);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name().to_bytes();
            if name.iter().all(u8::is_ascii_digit) {
                self.pids.extend(number(name).and_then(|pid| u32::try_from(pid).ok()));
            }
        }
        self.pids.sort_unstable();
        self.pids.dedup();
    }

    fn row(&mut self, pid: u32, now: Instant, elapsed_us: u64, renamed: bool) -> Option<Row> {
        let proc = self.proc.as_ref()?;
        let mut buffer = [0; 1024];
        let known = self.known.get(&pid);
        let mut file = None;
        // A file kept from a process that has ended fails to read, also when its number is used
        // again.
        let len = match known.and_then(|k| k.file.as_ref()).map(|f| f.read_at(&mut buffer, 0)) {
            Some(Ok(n)) if n > 0 => n,
            _ => {
                let opened = open(proc, pid, "stat")?;
                let n = opened.read_at(&mut buffer, 0).ok()?;
                file = Some(opened);
                n
            }
        };
        let stat = parse_stat(&buffer[..len])?;
        let known = known.filter(|known| known.start == stat.start);
        let turn = self.samples.wrapping_add(pid);
        let stale = known.is_none_or(|known| {
            known.about.name.as_bytes() != stat.name && known.about.name != lossy(stat.name)
                || renamed
                || !stat.kernel && turn.is_multiple_of(REFRESH)
        });
        let ticks = known.map_or(0, |known| stat.ticks.saturating_sub(known.ticks));
        let traffic = known.and_then(|known| known.io);
        let busy = ticks > 0 || traffic.is_some_and(|t| t.rates != [0, 0]);
        let asks = !stat.kernel && (busy || known.is_none() || turn.is_multiple_of(QUIET));
        let io = if asks { look(proc, pid, &mut self.text, traffic, now) } else { traffic };
        let about = match known {
            Some(known) if !stale => known.about.clone(),
            _ => {
                let user = owner(proc, pid, &mut self.text)?;
                let about = About {
                    user: self.names.name(user),
                    name: lossy(stat.name),
                    command: if stat.kernel {
                        String::new()
                    } else {
                        command(proc, pid, &mut self.text)
                    },
                    started_s: self.booted_s.saturating_add(stat.start / self.ticks_per_s),
                };
                known
                    .map(|k| &k.about)
                    .filter(|k| ***k == about)
                    .cloned()
                    .unwrap_or_else(|| Arc::new(about))
            }
        };
        let cpu = (u128::from(ticks) * 1_000_000_000)
            .checked_div(u128::from(self.ticks_per_s) * u128::from(elapsed_us))
            .map_or(0, |permille| u64::try_from(permille).unwrap_or(u64::MAX));
        let row = Row {
            pid,
            ppid: stat.ppid,
            start: stat.start,
            state: stat.state,
            threads: stat.threads,
            nice: stat.nice,
            cpu: u32::try_from(step(cpu, CPU_STEP)).unwrap_or(u32::MAX),
            memory: step(stat.pages.saturating_mul(self.page), MEMORY_STEP),
            io: io.map(|io| io.rates),
            about: about.clone(),
        };
        let (start, ticks) = (stat.start, stat.ticks);
        let known = self.known.entry(pid).or_insert_with(|| Known {
            start,
            file: None,
            ticks,
            io,
            about: about.clone(),
            seen: 0,
        });
        if file.is_some() {
            let had = known.file.take().is_some();
            if had || self.kept < KEPT {
                known.file = file;
                self.kept += usize::from(!had);
            }
        }
        (known.start, known.ticks, known.io, known.about) = (start, ticks, io, about);
        known.seen = self.samples;
        Some(row)
    }
}

/// To the nearest multiple.
const fn step(value: u64, step: u64) -> u64 {
    value.saturating_add(step / 2) / step * step
}

fn open(proc: &OwnedFd, pid: u32, name: &str) -> Option<File> {
    use std::io::Write as _;
    let mut path = [0u8; 32];
    let mut rest = path.as_mut_slice();
    write!(rest, "{pid}/{name}").ok()?;
    let unused = rest.len();
    let path = &path[..32 - unused];
    openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok().map(File::from)
}

/// As much of a file as `text` holds.
fn read<'t>(proc: &OwnedFd, pid: u32, name: &str, text: &'t mut [u8]) -> Option<&'t [u8]> {
    let mut file = open(proc, pid, name)?;
    let mut filled = 0;
    while filled < text.len() {
        match file.read(&mut text[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        // These files come whole.
        if filled < text.len() / 2 {
            break;
        }
    }
    Some(&text[..filled])
}

/// The effective user; none when the process is gone.
fn owner(proc: &OwnedFd, pid: u32, text: &mut [u8]) -> Option<u32> {
    let status = read(proc, pid, "status", text)?;
    let line = lines(status).find_map(|line| line.strip_prefix(b"Uid:"));
    Some(line.and_then(|line| number(fields(line).nth(1)?)).map_or(0, |uid| uid as u32))
}

fn command(proc: &OwnedFd, pid: u32, text: &mut [u8]) -> String {
    let Some(bytes) = read(proc, pid, "cmdline", text) else { return String::new() };
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let mut command = lossy(&bytes[..end]);
    if command.contains('\0') {
        command = command.replace('\0', " ");
    }
    command
}

/// Disk traffic since the last look; none when the agent may not see it.
fn look(
    proc: &OwnedFd,
    pid: u32,
    text: &mut [u8],
    last: Option<Traffic>,
    now: Instant,
) -> Option<Traffic> {
    let bytes = parse_io(read(proc, pid, "io", text)?)?;
    let rates = last.map_or([0; 2], |last| {
        let us = now.saturating_duration_since(last.at).as_micros().max(1);
        std::array::from_fn(|i| {
            let grown = u128::from(bytes[i].saturating_sub(last.bytes[i]));
            step(u64::try_from(grown * 1_000_000 / us).unwrap_or(u64::MAX), RATE_STEP)
        })
    });
    Some(Traffic { bytes, rates, at: now })
}

fn parse_io(text: &[u8]) -> Option<[u64; 2]> {
    let field = |name: &[u8]| lines(text).find_map(|line| number(line.strip_prefix(name)?));
    Some([field(b"read_bytes:")?, field(b"write_bytes:")?])
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
