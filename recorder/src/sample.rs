//! A sample: who was on top at a moment. `tops` makes them, `ring` keeps them as the bytes that are written here.

use crate::codec::{Broken, put, put_text, take, take_count, take_text, take_u32};

/// More entries of one kind than this no sample has.
pub(crate) const ENTRIES: usize = 256;
/// Longer texts no sample has.
pub(crate) const TEXT: usize = 512;
/// The first byte of each: the form it is written in.
const FORM: u8 = 1;

/// Who was on top at a moment. Rates are over the time since each was looked at before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
    /// Milliseconds since the sample before; 0 for the first.
    pub every_ms: u32,
    /// All of the host.
    pub host: Host,
    /// The heaviest processes by processor time, memory, or disk traffic, each once.
    pub processes: Vec<Process>,
    /// The heaviest programs and units, and the containers.
    pub groups: Vec<Group>,
}

/// All of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Processor time not idle, permille of all processors together.
    pub cpu: u32,
    /// Processors.
    pub cores: u32,
    /// Bytes of memory.
    pub memory_total: u64,
    /// Bytes that programs cannot give back.
    pub memory_used: u64,
    /// Processes that are known.
    pub processes: u32,
    /// So many of them were looked at for this sample; the others are as they were last.
    pub looked: u32,
    /// Processor time that no process accounts for, in permille of one processor: of processes that came and went
    /// between two looks, or that were not looked at.
    pub unseen: u32,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its start in clock ticks since the host started: with the pid it names one process for good.
    pub start: u64,
    /// The number of its user.
    pub uid: u32,
    /// State letter as `ps` shows it.
    pub state: u8,
    /// Short name as the kernel has it.
    pub name: String,
    /// Its command line, cut; empty for threads of the kernel, or when none are to be kept.
    pub command: String,
    /// The unit it belongs to, or the container's id; empty for neither.
    pub place: String,
    /// Permille of one processor.
    pub cpu: u32,
    /// Resident bytes.
    pub memory: u64,
    /// Bytes read from and written to disks a second; absent when the recorder may not see it.
    pub io: Option<[u64; 2]>,
}

/// What a group is made by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The name of a program.
    #[default]
    Program,
    /// A unit of systemd.
    Unit,
    /// A container.
    Container,
}

/// Processes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What it is made by.
    pub kind: Kind,
    /// The program's name, the unit's, or the container's id.
    pub name: String,
    /// The container's name, where it is known.
    pub title: String,
    /// Processes.
    pub count: u32,
    /// Permille of one processor.
    pub cpu: u32,
    /// Bytes: resident ones of its processes; what the kernel charges it where that can be read of a container.
    pub memory: u64,
    /// Bytes read from and written to disks a second.
    pub io: Option<[u64; 2]>,
    /// Bytes received and sent a second: of containers with a network of their own. The kernel does not tell it of
    /// processes.
    pub network: Option<[u64; 2]>,
}

fn put_pair(out: &mut Vec<u8>, pair: Option<[u64; 2]>) {
    put(out, u64::from(pair.is_some()));
    for n in pair.into_iter().flatten() {
        put(out, n);
    }
}

fn take_pair(bytes: &mut &[u8]) -> Result<Option<[u64; 2]>, Broken> {
    match take(bytes)? {
        0 => Ok(None),
        1 => Ok(Some([take(bytes)?, take(bytes)?])),
        _ => Err(Broken),
    }
}

impl Sample {
    /// Appends it as bytes. More entries than a sample has, and longer texts, are left out.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(FORM);
        put(out, self.at_ms);
        put(out, self.every_ms.into());
        let host = &self.host;
        let narrow = [host.cpu, host.cores, host.processes, host.looked, host.unseen];
        for n in narrow {
            put(out, n.into());
        }
        put(out, host.memory_total);
        put(out, host.memory_used);
        put(out, self.processes.len().min(ENTRIES) as u64);
        for process in self.processes.iter().take(ENTRIES) {
            put(out, process.pid.into());
            put(out, process.start);
            put(out, process.uid.into());
            out.push(process.state);
            for text in [&process.name, &process.command, &process.place] {
                put_text(out, cut(text));
            }
            put(out, process.cpu.into());
            put(out, process.memory);
            put_pair(out, process.io);
        }
        put(out, self.groups.len().min(ENTRIES) as u64);
        for group in self.groups.iter().take(ENTRIES) {
            out.push(group.kind as u8);
            put_text(out, cut(&group.name));
            put_text(out, cut(&group.title));
            put(out, group.count.into());
            put(out, group.cpu.into());
            put(out, group.memory);
            put_pair(out, group.io);
            put_pair(out, group.network);
        }
    }

    /// Reads one that is all of `bytes`.
    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, Broken> {
        let from = &mut bytes;
        if take(from)? != u64::from(FORM) {
            return Err(Broken);
        }
        let (at_ms, every_ms) = (take(from)?, take_u32(from)?);
        let host = Host {
            cpu: take_u32(from)?,
            cores: take_u32(from)?,
            processes: take_u32(from)?,
            looked: take_u32(from)?,
            unseen: take_u32(from)?,
            memory_total: take(from)?,
            memory_used: take(from)?,
        };
        let mut processes = Vec::new();
        for _ in 0..take_count(from, ENTRIES)? {
            processes.push(Process {
                pid: take_u32(from)?,
                start: take(from)?,
                uid: take_u32(from)?,
                state: byte(from)?,
                name: take_text(from, TEXT)?,
                command: take_text(from, TEXT)?,
                place: take_text(from, TEXT)?,
                cpu: take_u32(from)?,
                memory: take(from)?,
                io: take_pair(from)?,
            });
        }
        let mut groups = Vec::new();
        for _ in 0..take_count(from, ENTRIES)? {
            let kind = match byte(from)? {
                0 => Kind::Program,
                1 => Kind::Unit,
                2 => Kind::Container,
                _ => return Err(Broken),
            };
            groups.push(Group {
                kind,
                name: take_text(from, TEXT)?,
                title: take_text(from, TEXT)?,
                count: take_u32(from)?,
                cpu: take_u32(from)?,
                memory: take(from)?,
                io: take_pair(from)?,
                network: take_pair(from)?,
            });
        }
        if !from.is_empty() {
            return Err(Broken);
        }
        Ok(Self { at_ms, every_ms, host, processes, groups })
    }

    /// The process that used most of the processor.
    pub fn busiest(&self) -> Option<&Process> {
        self.processes.iter().max_by_key(|p| p.cpu).filter(|p| p.cpu > 0)
    }
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Broken> {
    let (first, rest) = bytes.split_first().ok_or(Broken)?;
    *bytes = rest;
    Ok(*first)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}
