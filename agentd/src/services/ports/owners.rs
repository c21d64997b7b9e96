//! Who holds which socket: the links in `/proc/*/fd`. They are gone through when a socket is new or
//! its process has ended, and now and then; what was found is kept in between.

use crate::services::processes::parse_stat;
use crate::text::{fields, lines, lossy, number, small};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// All are gone through again each so many samples: a socket may pass to another process.
const REFRESH: u32 = 15;
/// Longer command lines are cut.
const COMMAND: usize = 512;

/// Who holds a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) start: u64,
    pub(super) uid: u32,
    pub(super) program: String,
    pub(super) command: String,
    /// How many processes do; this one has the lowest number.
    pub(super) holders: u32,
}

/// Finds owners.
pub(super) struct Owners {
    proc: PathBuf,
    /// By the number of the socket; none for those that nobody was found for.
    by_inode: HashMap<u64, Option<Owner>>,
    samples: u32,
    /// The agent may not look into every process.
    pub(super) denied: bool,
}

impl Owners {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self { proc: proc_root.to_owned(), by_inode: HashMap::new(), samples: 0, denied: false }
    }

    /// Finds the owners of these sockets.
    pub(super) fn find(&mut self, inodes: impl Iterator<Item = u64>) {
        let wanted: HashSet<u64> = inodes.collect();
        self.by_inode.retain(|inode, _| wanted.contains(inode));
        let due = self.samples.is_multiple_of(REFRESH);
        self.samples = self.samples.wrapping_add(1);
        let known = wanted.iter().all(|inode| self.by_inode.contains_key(inode));
        if !wanted.is_empty() && (due || !known || self.has_ended()) {
            self.look(&wanted);
        }
    }

    pub(super) fn of(&self, inode: u64) -> Option<&Owner> {
        self.by_inode.get(&inode)?.as_ref()
    }

    /// Whether a process that held one is not there any more.
    fn has_ended(&self) -> bool {
        let owners = self.by_inode.values().flatten();
        let processes: HashSet<(u32, u64)> = owners.map(|owner| (owner.pid, owner.start)).collect();
        processes.into_iter().any(|(pid, start)| self.start(pid).map(|(s, _)| s) != Some(start))
    }

    fn start(&self, pid: u32) -> Option<(u64, String)> {
        let text = std::fs::read(self.proc.join(pid.to_string()).join("stat")).ok()?;
        let stat = parse_stat(&text)?;
        Some((stat.start, lossy(stat.name)))
    }

    fn look(&mut self, wanted: &HashSet<u64>) {
        self.denied = false;
        let mut holders: HashMap<u64, (u32, u32)> = HashMap::new();
        let processes = std::fs::read_dir(&self.proc).into_iter().flatten().flatten();
        for process in processes {
            let name = process.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let links = match std::fs::read_dir(process.path().join("fd")) {
                Ok(links) => links,
                Err(e) => {
                    self.denied |= e.kind() == std::io::ErrorKind::PermissionDenied;
                    continue;
                }
            };
            let mut mine = HashSet::new();
            for link in links.flatten() {
                let Ok(to) = std::fs::read_link(link.path()) else { continue };
                let to = to.as_os_str().as_encoded_bytes();
                let inode = to.strip_prefix(b"socket:[").and_then(number);
                if let Some(inode) = inode.filter(|i| wanted.contains(i) && mine.insert(*i)) {
                    let (lowest, count) = holders.entry(inode).or_insert((pid, 0));
                    *lowest = pid.min(*lowest);
                    *count += 1;
                }
            }
        }
        let mut processes: HashMap<u32, Option<Owner>> = HashMap::new();
        self.by_inode = wanted
            .iter()
            .map(|inode| {
                let owner = holders.get(inode).and_then(|(pid, count)| {
                    let about = processes.entry(*pid).or_insert_with(|| self.about(*pid));
                    about.clone().map(|owner| Owner { holders: *count, ..owner })
                });
                (*inode, owner)
            })
            .collect();
    }

    fn about(&self, pid: u32) -> Option<Owner> {
        let (start, program) = self.start(pid)?;
        let folder = self.proc.join(pid.to_string());
        let status = small(&folder.join("status"));
        let uid = lines(status.as_bytes()).find_map(|line| line.strip_prefix(b"Uid:"));
        let uid = uid.and_then(|line| number(fields(line).nth(1)?)).unwrap_or(0);
        let mut command = small(&folder.join("cmdline")).trim_end_matches('\0').replace('\0', " ");
        command.truncate(command.floor_char_boundary(COMMAND));
        let uid = u32::try_from(uid).unwrap_or(u32::MAX);
        Some(Owner { pid, start, uid, program, command, holders: 1 })
    }
}
