//! Takes samples: one pass over what moved. `recorder` calls it once an interval.
//!
//! Processes that did something are looked at each time; the others in turn, all of them within ten seconds where the
//! budget allows. When the host used more of its processors than the known busy ones account for, the rest is looked
//! at at once. So a quiet host costs next to nothing, and one with thousands of processes no more than the budget.

mod figures;

pub use figures::Figures;

use crate::budget::Budget;
use crate::cgroup::{Counters, permille};
use crate::kernel::{self, fields, lines, named, number};
use crate::names::{Id, Table};
use crate::place::{self, Place};
use crate::process::{About, Io, Known, open, parse};
use crate::sample::{Group, Host, Kind, Process, Sample};
use crate::tops::{TOP, pick};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Processor time that nobody accounts for, in permille of one processor, above which all are looked at.
const UNEXPLAINED: u32 = 60;
/// All that sleep are looked at within so many samples.
const ROUND: usize = 10;
/// Numbers of processes are listed anew at least so often.
const LISTED: Duration = Duration::from_secs(30);
/// Containers whose counters are read each time; more of them take turns.
const CONTAINERS: usize = 10;
/// More processes are not known.
const MOST: usize = 32_768;
/// Kept files at most.
const FILES: u64 = 512;

/// Where the kernel tells.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Processes.
    pub proc: PathBuf,
    /// Devices and cgroups.
    pub sys: PathBuf,
}

/// What processes of one kind come to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u32,
    cpu: u32,
    memory: u64,
    io: Option<[u64; 2]>,
    /// Permille times milliseconds since figures were given.
    used: u64,
    /// One of its processes.
    pid: u32,
    /// It was there when figures were given before: what comes and goes within seconds is not worth a series.
    lasts: bool,
}

impl Sum {
    fn clear(&mut self) {
        *self = Self { used: self.used, lasts: self.lasts, ..Self::default() };
    }

    fn add(&mut self, known: &Known) {
        self.count += 1;
        self.cpu = self.cpu.saturating_add(known.cpu);
        self.memory = self.memory.saturating_add(known.memory);
        if let Some([read, written]) = known.io.rates() {
            let sum = self.io.get_or_insert([0; 2]);
            *sum = [sum[0].saturating_add(read), sum[1].saturating_add(written)];
        }
        self.pid = known.pid;
    }
}

#[derive(Debug)]
struct Placed {
    place: Place,
    sum: Sum,
    counters: Option<Counters>,
    /// Its counters were read for this sample.
    fresh: bool,
}

/// Takes samples.
#[derive(Debug)]
pub struct Collector {
    roots: Roots,
    proc: Option<OwnedFd>,
    stat: Option<File>,
    loadavg: Option<File>,
    meminfo: Option<File>,
    commands: bool,
    budget: Budget,
    /// All were looked at once.
    settled: bool,
    /// By pid.
    known: Vec<Known>,
    programs: Table<Sum>,
    places: Table<Placed>,
    kept: u64,
    may_keep: u64,
    /// Whose turn it is, among processes and among containers.
    turn: usize,
    container_turn: usize,
    listing: Vec<MaybeUninit<u8>>,
    buffer: Vec<u8>,
    newest_pid: u64,
    listed: Option<Instant>,
    list_cost: i64,
    last: Option<Instant>,
    /// From the sample before to this one.
    interval: Option<Duration>,
    filled: Option<Instant>,
    host_ticks: [u64; 3],
    figures_since: u64,
    ticks_per_s: u64,
    page: u64,
}

impl Collector {
    /// Looks there, with at most so many millionths of a processor; keeps command lines or not.
    pub fn new(roots: Roots, share_ppm: u64, commands: bool) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = |name: &str| File::open(roots.proc.join(name)).ok();
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self {
            proc: rustix::fs::open(&roots.proc, flags, Mode::empty()).ok(),
            stat: file("stat"),
            loadavg: file("loadavg"),
            meminfo: file("meminfo"),
            commands,
            budget: Budget::new(share_ppm),
            settled: false,
            known: Vec::new(),
            programs: Table::default(),
            places: Table::default(),
            kept: 0,
            // The agent needs files for other things as well.
            may_keep: files.map_or(FILES, |most| (most / 4).min(FILES)),
            turn: 0,
            container_turn: 0,
            listing: vec![MaybeUninit::uninit(); 32 * 1024],
            buffer: vec![0; 16 * 1024],
            newest_pid: 0,
            listed: None,
            list_cost: 0,
            last: None,
            interval: None,
            filled: None,
            host_ticks: [0; 3],
            figures_since: 0,
            ticks_per_s: rustix::param::clock_ticks_per_second().max(1),
            page: rustix::param::page_size() as u64,
            roots,
        }
    }

    /// Who is on top now; none while what earlier samples have cost is not paid.
    pub fn sample(&mut self, now: Instant, at_ms: u64, interval: Duration) -> Option<Sample> {
        let idle = self.filled.replace(now).map_or(Duration::ZERO, |at| now.duration_since(at));
        self.budget.fill(idle);
        let begin = self.budget.left();
        let allowance = self.budget.allowance(interval);
        if begin < 0 {
            return None;
        }
        let elapsed = self.last.replace(now).map(|last| now.saturating_duration_since(last));
        self.interval = elapsed;
        let mut host = self.host(elapsed);
        let mut looked = 0;
        let busy: Vec<usize> = self.in_order_of_use();
        for place in busy {
            if looked % 8 == 7 && self.budget.left() < -allowance {
                break;
            }
            looked += self.visit(place, now);
        }
        if self.list_is_due(now) && (self.listed.is_none() || self.budget.left() > self.list_cost) {
            self.list(now);
        }
        looked += self.look_around(now, begin, allowance, host.unseen);
        self.bury();
        if !self.settled && self.known.iter().all(|known| known.state != NEW) {
            self.settled = true;
            self.budget.settle();
        }
        self.sum(elapsed);
        self.containers(now, begin, allowance);
        let explained = self.known.iter().fold(0u32, |sum, k| sum.saturating_add(k.cpu));
        host.unseen = host.unseen.saturating_sub(explained);
        host.processes = self.known.len() as u32;
        host.looked = looked as u32;
        let every_ms = elapsed.map_or(0, |e| u32::try_from(e.as_millis()).unwrap_or(u32::MAX));
        let processes = self.top_processes();
        let groups = self.top_groups();
        Some(Sample { at_ms, every_ms, host, processes, groups })
    }

    /// All of the host; `unseen` is all that programs used, in permille of one processor.
    fn host(&mut self, elapsed: Option<Duration>) -> Host {
        let mut host = Host::default();
        let buffer = &mut self.buffer;
        if let Some(text) = self.stat.as_ref().and_then(|file| kernel::read(file, buffer)) {
            host.cores =
                lines(text).skip(1).take_while(|line| line.starts_with(b"cpu")).count().max(1)
                    as u32;
            let mut ticks = lines(text).next().map(fields).into_iter().flatten().skip(1);
            let ticks: [u64; 8] =
                std::array::from_fn(|_| ticks.next().and_then(number).unwrap_or(0));
            let all = ticks.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
            let idle = ticks[3].saturating_add(ticks[4]);
            let programs = ticks[0].saturating_add(ticks[1]).saturating_add(ticks[2]);
            let before = std::mem::replace(&mut self.host_ticks, [all, idle, programs]);
            let grown = |i: usize, n: u64| n.saturating_sub(before[i]);
            if let Some(elapsed) = elapsed {
                let (all, idle) = (grown(0, all), grown(1, idle));
                let busy = u128::from(all.saturating_sub(idle)) * 1000;
                host.cpu = busy.checked_div(u128::from(all)).unwrap_or(0) as u32;
                host.unseen = rate(grown(2, programs), self.ticks_per_s, elapsed);
            }
        }
        if let Some(text) =
            self.meminfo.as_ref().and_then(|file| kernel::read(file, &mut self.buffer))
        {
            let kib = |name: &[u8]| named(text, name).unwrap_or(0).saturating_mul(1024);
            host.memory_total = kib(b"MemTotal:");
            host.memory_used = host.memory_total.saturating_sub(kib(b"MemAvailable:"));
        }
        host
    }

    fn in_order_of_use(&self) -> Vec<usize> {
        let busy = self.known.iter().enumerate().filter(|(_, known)| known.is_busy());
        let mut busy: Vec<usize> = busy.map(|(place, _)| place).collect();
        busy.sort_unstable_by_key(|place| std::cmp::Reverse(self.known[*place].cpu));
        busy
    }

    /// Looks at those whose turn it is; at all of them when too much is unexplained.
    fn look_around(&mut self, now: Instant, begin: i64, allowance: i64, used: u32) -> usize {
        let count = self.known.len();
        let explained = self.known.iter().fold(0u32, |sum, k| sum.saturating_add(k.cpu));
        let urgent = used.saturating_sub(explained) > UNEXPLAINED;
        let most = if urgent { count } else { count.div_ceil(ROUND) };
        // What is saved is for moments at which much happens.
        let least = if urgent { 0 } else { (begin - allowance * 3 / 4).max(0) };
        let (mut looked, mut passed) = (0, 0);
        // Those that have come go first: nothing is known of them yet.
        for place in 0..count {
            if self.known[place].state == NEW {
                if looked % 8 == 0 && self.budget.left() <= 0 {
                    break;
                }
                looked += self.visit(place, now);
            }
        }
        let most = most + looked;
        while passed < count && looked < most {
            if looked % 8 == 0 && self.budget.left() <= least {
                break;
            }
            self.turn = if self.turn + 1 < count { self.turn + 1 } else { 0 };
            passed += 1;
            if self.known[self.turn].at != now || self.known[self.turn].state == NEW {
                looked += self.visit(self.turn, now);
            }
        }
        looked
    }

    /// Looks at one process; 1 when that cost something.
    fn visit(&mut self, place: usize, now: Instant) -> usize {
        let Some(proc) = &self.proc else { return 0 };
        let known = &mut self.known[place];
        let mut buffer = [0; 1024];
        // A file kept from a process that has ended fails to read, also when its number is used again.
        let kept =
            known.file.as_ref().and_then(|file| kernel::read(file, &mut buffer)).map(<[u8]>::len);
        let length = match kept {
            Some(length) if length > 0 => length,
            _ => {
                if known.file.take().is_some() {
                    self.kept -= 1;
                }
                let Some(file) = open(proc, known.pid, "stat") else {
                    known.state = 0;
                    return 1;
                };
                let length = kernel::read(&file, &mut buffer).map_or(0, <[u8]>::len);
                if self.kept < self.may_keep {
                    known.file = Some(file);
                    self.kept += 1;
                }
                length
            }
        };
        let Some(stat) = parse(&buffer[..length]) else {
            known.state = 0;
            return 1;
        };
        let first = known.state == NEW || known.start != stat.start;
        let renamed = first || self.programs.get(known.program).is_none_or(|(n, _)| n != stat.name);
        if renamed {
            self.programs.give(known.program);
            known.program = self.programs.take(stat.name, Sum::default);
            known.about = None;
        }
        if first {
            let text = open(proc, known.pid, "cgroup");
            let text = text.and_then(|file| kernel::read(&file, &mut self.buffer));
            let place = place::place(place::path(text.unwrap_or_default()));
            let sys = &self.roots.sys;
            self.places.give(known.place);
            known.place = self.places.take(place.path.clone().as_bytes(), || Placed {
                counters: (place.kind == Some(Kind::Container))
                    .then(|| Counters::find(sys, &place.path)),
                place,
                sum: Sum::default(),
                fresh: false,
            });
            // One that began since the sample before has used all of it since.
            let began = Duration::from_millis(stat.start.saturating_mul(1000) / self.ticks_per_s);
            let age = since_boot().saturating_sub(began);
            known.cpu = match self.interval {
                Some(interval) if age <= interval => rate(stat.ticks, self.ticks_per_s, interval),
                _ => 0,
            };
            (known.start, known.ticks) = (stat.start, stat.ticks);
            known.io = Io::Unknown;
        }
        let time = now.saturating_duration_since(known.at);
        let grown = stat.ticks.saturating_sub(known.ticks);
        if !first && !time.is_zero() {
            known.cpu = rate(grown, self.ticks_per_s, time);
        }
        // One that did not run has moved nothing.
        if !stat.kernel && (first || grown > 0 || known.io.sum() > 0) {
            known.io = known.io.look(proc, known.pid, now, &mut self.buffer);
        }
        known.memory = stat.pages.saturating_mul(self.page);
        (known.ticks, known.state, known.kernel, known.at) =
            (stat.ticks, stat.state, stat.kernel, now);
        1
    }

    /// Takes those away that have ended.
    fn bury(&mut self) {
        let (programs, places, kept) = (&mut self.programs, &mut self.places, &mut self.kept);
        self.known.retain(|known| {
            let lives = known.state != 0;
            if !lives {
                programs.give(known.program);
                places.give(known.place);
                *kept -= u64::from(known.file.is_some());
            }
            lives
        });
    }

    /// Whether processes may have come since they were listed.
    fn list_is_due(&mut self, now: Instant) -> bool {
        let Some(listed) = self.listed else { return true };
        let text = self.loadavg.as_ref().and_then(|file| kernel::read(file, &mut self.buffer));
        let newest = text.and_then(|text| number(fields(text).nth(4)?));
        newest != Some(self.newest_pid) || now.saturating_duration_since(listed) >= LISTED
    }

    fn list(&mut self, now: Instant) {
        let begin = self.budget.left();
        let text = self.loadavg.as_ref().and_then(|file| kernel::read(file, &mut self.buffer));
        self.newest_pid = text.and_then(|text| number(fields(text).nth(4)?)).unwrap_or(0);
        self.listed = Some(now);
        let Some(proc) = &self.proc else { return };
        if rustix::fs::seek(proc, SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut pids = Vec::with_capacity(self.known.len() + 32);
        let mut entries = RawDir::new(proc, &mut self.listing);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name().to_bytes();
            if pids.len() < MOST && name.first().is_some_and(u8::is_ascii_digit) {
                pids.extend(number(name).and_then(|pid| u32::try_from(pid).ok()));
            }
        }
        pids.sort_unstable();
        pids.dedup();
        let mut known = std::mem::take(&mut self.known).into_iter().peekable();
        let mut all = Vec::with_capacity(pids.len());
        for pid in pids {
            while known.peek().is_some_and(|known| known.pid < pid) {
                // Gone; what it held is given back with the others that have ended.
                all.extend(known.next().map(|known| Known { state: 0, ..known }));
            }
            all.push(match known.next_if(|known| known.pid == pid) {
                Some(known) => known,
                None => new(pid, now),
            });
        }
        all.extend(known.map(|known| Known { state: 0, ..known }));
        self.known = all;
        self.bury();
        self.list_cost = begin - self.budget.left();
    }

    /// Adds up what belongs together.
    fn sum(&mut self, elapsed: Option<Duration>) {
        self.programs.iter_mut().for_each(|(_, sum)| sum.clear());
        self.places.iter_mut().for_each(|(_, placed)| placed.sum.clear());
        for known in &self.known {
            if let Some(sum) = self.programs.get_mut(known.program) {
                sum.add(known);
            }
            if let Some(placed) = self.places.get_mut(known.place) {
                placed.sum.add(known);
            }
        }
        let ms = elapsed.map_or(0, |e| e.as_millis() as u64);
        self.figures_since = self.figures_since.saturating_add(ms);
        let use_of = |sum: &mut Sum| {
            sum.used = sum.used.saturating_add(u64::from(sum.cpu).saturating_mul(ms));
        };
        self.programs.iter_mut().for_each(|(_, sum)| use_of(sum));
        self.places.iter_mut().for_each(|(_, placed)| use_of(&mut placed.sum));
    }

    /// Reads the counters of the containers whose turn it is.
    fn containers(&mut self, now: Instant, begin: i64, allowance: i64) {
        let with = |(id, placed): (Id, &mut Placed)| {
            placed.fresh = false;
            placed.counters.is_some().then_some(id)
        };
        let ids: Vec<Id> = self.places.iter_mut().filter_map(with).collect();
        for _ in 0..ids.len().min(CONTAINERS) {
            if self.budget.left() <= (begin - allowance).max(0) {
                break;
            }
            self.container_turn =
                if self.container_turn + 1 < ids.len() { self.container_turn + 1 } else { 0 };
            let placed = self.places.get_mut(ids[self.container_turn]);
            if let Some(Placed { counters: Some(counters), sum, fresh, .. }) = placed {
                counters.look(&self.roots.proc, sum.pid, now, &mut self.buffer);
                *fresh = true;
            }
        }
    }

    fn top_processes(&mut self) -> Vec<Process> {
        let figures = |k: &Known| [k.cpu.into(), if k.kernel { 0 } else { k.memory }, k.io.sum()];
        let picked = pick(&self.known, TOP, figures);
        let mut tops = Vec::with_capacity(picked.len());
        for place in picked {
            let known = &mut self.known[place];
            let Some(proc) = &self.proc else { continue };
            let about = known.about.get_or_insert_with(|| {
                let command = self.commands && !known.kernel;
                Arc::new(About::look(proc, known.pid, command, &mut self.buffer))
            });
            let name = self.programs.get(known.program).map(|(name, _)| name).unwrap_or_default();
            let place = self.places.get(known.place).map(|(_, placed)| &placed.place);
            tops.push(Process {
                pid: known.pid,
                start: known.start,
                uid: about.uid,
                state: known.state,
                name: String::from_utf8_lossy(name).into_owned(),
                command: about.command.clone(),
                place: place.map(|place| place.name.clone()).unwrap_or_default(),
                cpu: known.cpu,
                memory: known.memory,
                io: known.io.rates(),
            });
        }
        tops
    }

    /// The programs, in the order of their numbers.
    fn programs(&self) -> Vec<Group> {
        let all = (0..self.programs.len()).filter_map(|id| self.programs.get(id as Id));
        all.filter(|(_, sum)| sum.count > 0)
            .map(|(name, sum)| Group {
                kind: Kind::Program,
                name: String::from_utf8_lossy(name).into_owned(),
                title: String::new(),
                count: sum.count,
                cpu: sum.cpu,
                memory: sum.memory,
                io: sum.io,
                network: None,
            })
            .collect()
    }

    /// Units and containers.
    fn placed(&self) -> Vec<Group> {
        let all = (0..self.places.len()).filter_map(|id| Some(self.places.get(id as Id)?.1));
        all.filter(|placed| placed.sum.count > 0)
            .filter_map(|placed| {
                let told = placed.counters.as_ref().map(|c| c.now).unwrap_or_default();
                let sum = placed.sum;
                Some(Group {
                    kind: placed.place.kind?,
                    name: placed.place.name.clone(),
                    title: String::new(),
                    count: sum.count,
                    cpu: told.cpu.filter(|_| placed.fresh).unwrap_or(sum.cpu),
                    memory: told.memory.unwrap_or(sum.memory),
                    io: sum.io,
                    network: told.network,
                })
            })
            .collect()
    }

    fn top_groups(&self) -> Vec<Group> {
        let figures = |group: &Group| {
            let pair = |pair: Option<[u64; 2]>| pair.map_or(0, |[a, b]| a.saturating_add(b));
            [group.cpu.into(), group.memory, pair(group.io), pair(group.network)]
        };
        let mut tops = Vec::new();
        let placed = self.placed();
        let (units, containers): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|group| group.kind == Kind::Unit);
        for all in [self.programs(), units, containers] {
            let picked = pick(&all, TOP, figures);
            tops.extend(picked.into_iter().map(|place| all[place].clone()));
        }
        tops
    }
}

/// Permille of one processor that so many ticks are of a time.
fn rate(ticks: u64, per_s: u64, time: Duration) -> u32 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(per_s);
    permille(u64::try_from(ns).unwrap_or(u64::MAX), time)
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The state of one that was not looked at yet.
const NEW: u8 = b'?';
/// The number of no name.
const NONE: Id = Id::MAX;

fn new(pid: u32, now: Instant) -> Known {
    Known {
        pid,
        start: 0,
        program: NONE,
        place: NONE,
        file: None,
        state: NEW,
        kernel: false,
        ticks: 0,
        cpu: 0,
        memory: 0,
        io: Io::Unknown,
        at: now,
        about: None,
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
