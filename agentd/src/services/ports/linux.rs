//! Sockets out of `/proc/net`: read line by line, so that a hundred thousand cost time and no memory;
//! what is not asked for is counted and let go.

use super::owners::Owners;
use crate::sifted::Sifted;
use crate::text::{fields, lossy, number};
use crate::users::Names;
use cmdr_protocol::ports::{List, Protocol, Socket, State, Summary};
use cmdr_protocol::table::Row as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// The most that are looked at closely; more are counted.
const MOST: usize = 100_000;
/// The most listening ones that a watcher is told of.
const WATCHED: usize = 20_000;
/// No line of the kernel's is longer; of a longer one the beginning is read.
const LINE: u64 = 1024;
/// The kernel's flag of a UNIX socket that takes connections.
const ACCEPTS: u64 = 0x0001_0000;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    connected: bool,
    unix: bool,
    port: Option<u16>,
    process: String,
    sifted: Sifted,
    most: usize,
}

impl Wanted {
    /// All that listens.
    pub(super) fn listening() -> Self {
        Self { unix: true, most: WATCHED, ..Self::default() }
    }

    /// Only those that fit these patterns.
    pub(super) fn sifted(self, sifted: Sifted) -> Self {
        Self { sifted, ..self }
    }

    fn keeps(&self, socket: &Line) -> bool {
        if !self.connected && socket.state != State::Listen {
            return false;
        }
        self.port
            .is_none_or(|port| socket.port == port || self.connected && socket.remote_port == port)
    }

    fn keeps_owner(&self, socket: &Socket) -> bool {
        let text = self.process.as_str();
        let owned = text.is_empty()
            || socket.program.contains(text)
            || socket.user == text
            || socket.pid > 0 && text.parse() == Ok(socket.pid);
        owned && self.fits(socket)
    }

    /// By what a table shows of it.
    fn fits(&self, socket: &Socket) -> bool {
        if self.sifted.is_empty() {
            return true;
        }
        let number = |n: u32| if n == 0 { String::new() } else { n.to_string() };
        self.sifted.keeps(&[
            &number(socket.port.into()),
            socket.protocol.as_str(),
            socket.state.as_str(),
            &socket.local,
            &socket.there(),
            &socket.user,
            &number(socket.pid),
            &socket.program,
            &socket.command,
        ])
    }
}

impl From<&List> for Wanted {
    fn from(list: &List) -> Self {
        let List { connected, unix, port, ref process, .. } = *list;
        let (unix, process) = (unix && port.is_none(), process.clone());
        Self { connected, unix, port, process, most: MOST, ..Self::default() }
    }
}

/// Sockets at one moment, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    pub(super) sockets: Vec<Socket>,
    pub(super) left_out: u64,
    pub(super) summary: Summary,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    local: Address,
    port: u16,
    remote: Option<IpAddr>,
    remote_port: u16,
    state: State,
    received: u32,
    sending: u32,
    uid: u32,
    inode: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Ip(IpAddr),
    Path(String),
}

/// Takes sockets.
pub(super) struct Collector {
    proc: PathBuf,
    names: Names,
    owners: Owners,
}

impl Collector {
    pub(super) fn new(proc_root: &Path, etc_root: &Path) -> Self {
        Self {
            proc: proc_root.to_owned(),
            names: Names::new(etc_root),
            owners: Owners::new(proc_root),
        }
    }

    /// Those that are wanted, and figures over all.
    pub(super) fn take(&mut self, wanted: &Wanted) -> Taken {
        self.names.refresh();
        let mut taken = Taken::default();
        let mut found: Vec<(Protocol, Line)> = Vec::new();
        for (file, protocol) in [
            ("tcp", Protocol::Tcp),
            ("tcp6", Protocol::Tcp6),
            ("udp", Protocol::Udp),
            ("udp6", Protocol::Udp6),
            ("unix", Protocol::Unix),
        ] {
            let summary = &mut taken.summary;
            // A kernel without a family has no file for it.
            let Ok(file) = File::open(self.proc.join("net").join(file)) else { continue };
            each_line(BufReader::with_capacity(64 * 1024, file), |line| {
                let Some(line) = parse(protocol, line) else {
                    summary.unread = summary.unread.saturating_add(1);
                    return;
                };
                count(summary, protocol, line.state);
                if !wanted.keeps(&line) || protocol == Protocol::Unix && !wanted.unix {
                    return;
                }
                if found.len() < wanted.most {
                    found.push((protocol, line));
                } else {
                    taken.left_out += 1;
                }
            });
        }
        self.owners.find(found.iter().map(|(_, line)| line.inode).filter(|inode| *inode > 0));
        for (protocol, line) in found {
            let socket = self.socket(protocol, line);
            if socket.pid == 0 && socket.inode > 0 && self.owners.denied {
                taken.summary.hidden += 1;
            }
            if wanted.keeps_owner(&socket) {
                taken.sockets.push(socket);
            }
        }
        taken.sockets.sort_by_cached_key(Socket::key);
        taken.sockets.dedup_by(|a, b| a.key() == b.key());
        taken
    }

    fn socket(&mut self, protocol: Protocol, line: Line) -> Socket {
        let owner = self.owners.of(line.inode);
        let user = match (protocol, owner) {
            // The file of this family does not tell who made a socket.
            (Protocol::Unix, None) => String::new(),
            (Protocol::Unix, Some(owner)) => self.names.name(owner.uid).to_string(),
            _ => self.names.name(line.uid).to_string(),
        };
        let mut socket = Socket {
            inode: line.inode,
            protocol,
            state: line.state,
            local: match line.local {
                Address::Ip(ip) => ip.to_string(),
                Address::Path(path) => path,
            },
            port: line.port,
            remote: line.remote.map(|ip| ip.to_string()).unwrap_or_default(),
            remote_port: line.remote_port,
            received: line.received,
            sending: line.sending,
            user,
            ..Socket::default()
        };
        if let Some(owner) = owner {
            (socket.pid, socket.start, socket.holders) = (owner.pid, owner.start, owner.holders);
            socket.program.clone_from(&owner.program);
            socket.command.clone_from(&owner.command);
        }
        socket
    }
}

fn count(summary: &mut Summary, protocol: Protocol, state: State) {
    let figure = match (protocol, state) {
        (Protocol::Unix, State::Listen) => &mut summary.unix,
        (Protocol::Unix, _) => return,
        (Protocol::Udp | Protocol::Udp6, State::Listen) => &mut summary.bound,
        (Protocol::Udp | Protocol::Udp6, _) => &mut summary.udp_connected,
        (_, State::Listen) => &mut summary.listening,
        (_, State::Established) => &mut summary.established,
        (_, State::TimeWait) => &mut summary.time_wait,
        (_, State::CloseWait) => &mut summary.close_wait,
        _ => &mut summary.other,
    };
    *figure = figure.saturating_add(1);
}

/// Each line but the first, which names the columns.
fn each_line(mut file: impl BufRead, mut each: impl FnMut(&[u8])) {
    let mut line = Vec::with_capacity(256);
    let mut first = true;
    loop {
        line.clear();
        match file.by_ref().take(LINE).read_until(b'\n', &mut line) {
            // What could be read is shown.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') && line.len() as u64 == LINE && !skip_line(&mut file) {
            return;
        }
        if !std::mem::take(&mut first) {
            each(line.trim_ascii_end());
        }
    }
}

/// Reads to the end of the line; false when there is no more.
fn skip_line(file: &mut impl BufRead) -> bool {
    loop {
        let Ok(piece) = file.fill_buf() else { return false };
        if piece.is_empty() {
            return false;
        }
        let end = piece.iter().position(|b| *b == b'\n');
        let len = piece.len();
        file.consume(end.map_or(len, |end| end + 1));
        if end.is_some() {
            return true;
        }
    }
}

/// Reads a line of this family; whether it makes sense. For the fuzzer.
#[doc(hidden)]
pub fn read_line(unix: bool, line: &[u8]) -> bool {
    let protocol = if unix { Protocol::Unix } else { Protocol::Tcp6 };
    parse(protocol, line).is_some()
}

fn parse(protocol: Protocol, line: &[u8]) -> Option<Line> {
    if protocol == Protocol::Unix { parse_unix(line) } else { parse_inet(protocol, line) }
}

fn parse_inet(protocol: Protocol, line: &[u8]) -> Option<Line> {
    let mut fields = fields(line);
    let (local, port) = address(fields.nth(1)?)?;
    let (remote, remote_port) = address(fields.next()?)?;
    let number_of_state = hex(fields.next()?)?;
    let (sending, received) = pair(fields.next()?)?;
    let uid = u32::try_from(number(fields.nth(2)?)?).ok()?;
    let inode = number(fields.nth(1)?)?;
    let udp = matches!(protocol, Protocol::Udp | Protocol::Udp6);
    let state = match number_of_state {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynRecv,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        // A bound UDP socket is "closed" to the kernel, and takes from anybody.
        7 if udp => State::Listen,
        7 => State::Close,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => State::Unknown,
    };
    let remote = (remote_port != 0 || !remote.is_unspecified()).then_some(remote);
    let local = Address::Ip(local);
    Some(Line { local, port, remote, remote_port, state, received, sending, uid, inode })
}

fn parse_unix(line: &[u8]) -> Option<Line> {
    let mut parts = fields(line);
    let flags = hex(parts.nth(3)?)?;
    let inode_text = parts.nth(2)?;
    let inode = number(inode_text)?;
    // The rest of the line is the path, blanks and all.
    let after = inode_text.as_ptr() as usize - line.as_ptr() as usize + inode_text.len();
    let path = line.get(after..).map_or(&b""[..], <[u8]>::trim_ascii_start);
    let state = if flags & ACCEPTS != 0 { State::Listen } else { State::Established };
    Some(Line {
        local: Address::Path(lossy(path)),
        port: 0,
        remote: None,
        remote_port: 0,
        state,
        received: 0,
        sending: 0,
        uid: 0,
        inode,
    })
}

fn hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().position(|b| *b == b':')?;
    Some((&text[..colon], &text[colon + 1..]))
}

fn pair(text: &[u8]) -> Option<(u32, u32)> {
    let (a, b) = split(text)?;
    let narrow = |text| u32::try_from(hex(text)?).ok();
    Some((narrow(a)?, narrow(b)?))
}

/// `0100007F:1F90`: words of an address as this machine has them in memory, then the port.
fn address(text: &[u8]) -> Option<(IpAddr, u16)> {
    let (address, port) = split(text)?;
    let port = u16::try_from(hex(port)?).ok()?;
    let word = |at: usize| u32::try_from(hex(address.get(at * 8..at * 8 + 8)?)?).ok();
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((ip, port))
}

#[cfg(test)]
#[path = "linux_tests.rs"]
mod tests;
