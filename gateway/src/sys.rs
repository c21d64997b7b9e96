//! Sockets: listening with words for what goes wrong, connecting, the limit of open files, and the
//! pool of pipes that splice(2) goes through.

use crate::config::Transport;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
/// Datagrams wait in the kernel while an event loop is busy: room for about 80,000 small ones of all
/// clients of a listener, and a tenth of that for each flow's answers.
const LISTENER_BUFFER: usize = 32 << 20;
const FLOW_BUFFER: usize = 4 << 20;
/// The same for each socket of a relay.
const RELAY_BUFFER: usize = 1 << 20;

fn socket(address: SocketAddr, transport: Transport) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if transport == Transport::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    net::socket_with(family, kind, FLAGS, None)
}

/// As many sockets on one place as there are event loops, or what is wrong and what to do about it.
pub fn listen(
    address: SocketAddr,
    transport: Transport,
    backlog: u16,
    count: usize,
) -> Result<Vec<Arc<OwnedFd>>, String> {
    let attempt = || -> Result<Vec<Arc<OwnedFd>>, Errno> {
        // SO_REUSEPORT would share the port with another process of the same user without a word.
        let probe = socket(address, transport)?;
        if transport == Transport::Tcp {
            sockopt::set_socket_reuseaddr(&probe, true)?;
        }
        net::bind(&probe, &address)?;
        drop(probe);
        let mut all = Vec::with_capacity(count);
        let mut place = address;
        for _ in 0..count {
            let fd = socket(address, transport)?;
            sockopt::set_socket_reuseaddr(&fd, true)?;
            sockopt::set_socket_reuseport(&fd, true)?;
            net::bind(&fd, &place)?;
            if place.port() == 0 {
                place = local(&fd).ok_or(Errno::INVAL)?;
            }
            if transport == Transport::Tcp {
                // Connections that are accepted inherit it.
                sockopt::set_tcp_nodelay(&fd, true)?;
                keep_alive(&fd)?;
                net::listen(&fd, i32::from(backlog))?;
            } else {
                buffers(&fd, LISTENER_BUFFER);
            }
            all.push(Arc::new(fd));
        }
        Ok(all)
    };
    attempt().map_err(|e| words(e, address, transport))
}

/// Clients that are gone without a word are found out within two minutes, however long a silence may be.
fn keep_alive(fd: &OwnedFd) -> Result<(), Errno> {
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, std::time::Duration::from_mins(1))?;
    sockopt::set_tcp_keepintvl(fd, std::time::Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(fd, 4)
}

fn buffers(fd: &OwnedFd, size: usize) {
    // Past the system's limit where that is allowed, up to it where not.
    if sockopt::set_socket_recv_buffer_size_force(fd, size).is_err() {
        sockopt::set_socket_recv_buffer_size(fd, size).ok();
    }
    sockopt::set_socket_send_buffer_size(fd, size).ok();
}

fn words(e: Errno, address: SocketAddr, transport: Transport) -> String {
    let kind = if transport == Transport::Tcp { "TCP" } else { "UDP" };
    let what = format!("listening on {address} ({kind})");
    match e {
        Errno::ADDRINUSE => {
            let who = owner(address, transport)
                .unwrap_or_else(|| "a process that cannot be seen from here".into());
            format!("{what}: the port is in use by {who}; stop that or choose another port")
        }
        Errno::ADDRNOTAVAIL => {
            format!(
                "{what}: this host does not have the address; `ip address` shows those that it has"
            )
        }
        Errno::ACCESS | Errno::PERM => format!(
            "{what}: ports below {} need the capability CAP_NET_BIND_SERVICE; grant it or choose another port",
            std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
                .map_or_else(|_| "1024".into(), |t| t.trim().to_owned())
        ),
        e => format!("{what}: {e}"),
    }
}

/// Process that has the port, as "name (pid 12)", from /proc.
fn owner(address: SocketAddr, transport: Transport) -> Option<String> {
    let tables = if transport == Transport::Tcp { ["tcp", "tcp6"] } else { ["udp", "udp6"] };
    let state = if transport == Transport::Tcp { "0A" } else { "07" };
    let port = format!(":{:04X}", address.port());
    let inode = tables.iter().find_map(|table| {
        let text = std::fs::read_to_string(format!("/proc/net/{table}")).ok()?;
        text.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.get(1)?.ends_with(&port) && *words.get(3)? == state)
                .then(|| (*words.get(9).unwrap_or(&"")).to_owned())
        })
    })?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            if std::fs::read_link(file.path()).is_ok_and(|link| link.to_string_lossy() == wanted) {
                let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} (pid {pid})", name.trim().escape_debug()));
            }
        }
    }
    None
}

/// Where a socket is bound.
pub fn local(fd: &OwnedFd) -> Option<SocketAddr> {
    net::getsockname(fd).ok()?.try_into().ok()
}

/// Begins to connect; [`Errno::INPROGRESS`] is what becomes of most.
pub fn connect(address: SocketAddr, transport: Transport) -> Result<OwnedFd, Errno> {
    let fd = socket(address, transport)?;
    if transport == Transport::Tcp {
        sockopt::set_tcp_nodelay(&fd, true)?;
    }
    match net::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(e) => Err(e),
    }
}

/// A socket for the datagrams of one flow.
pub fn flow(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let fd = connect(address, Transport::Udp)?;
    buffers(&fd, FLOW_BUFFER);
    Ok(fd)
}

/// A socket for the datagrams of many, at a free port of this address.
pub fn datagrams(at: SocketAddr) -> Result<OwnedFd, Errno> {
    let fd = socket(at, Transport::Udp)?;
    net::bind(&fd, &at)?;
    buffers(&fd, RELAY_BUFFER);
    Ok(fd)
}

/// Whether an error says that file descriptors or memory ran out, here or in the whole system.
pub fn is_exhausted(e: Errno) -> bool {
    matches!(e, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
}

/// Raises the limit of open files as far as this process may, and tells it.
pub fn open_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let wanted = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    limit.current.map_or(1 << 20, |n| n.min(1 << 20) as usize)
}

/// Both ends of a pipe: reading, writing.
#[derive(Debug)]
pub struct Pipe {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

/// Pipes of one event loop that are empty and wait for use.
#[derive(Debug)]
pub struct Pipes {
    idle: Vec<Pipe>,
    /// How many more may be made.
    left: usize,
}

/// Bytes that a pipe holds when the system lets us.
pub const PIPE: usize = 1 << 20;

impl Pipes {
    pub fn new(most: usize) -> Self {
        Self { idle: Vec::new(), left: most }
    }

    /// None when there are enough or the system gives no more: the bytes are copied then.
    pub fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        self.left = self.left.checked_sub(1)?;
        let Ok((reader, writer)) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC) else {
            self.left += 1;
            return None;
        };
        // A smaller one serves as well.
        fcntl_setpipe_size(&writer, PIPE).ok();
        Some(Pipe { reader, writer })
    }

    /// Takes back an empty one.
    pub fn give(&mut self, pipe: Pipe) {
        if self.idle.len() < 32 {
            self.idle.push(pipe);
        } else {
            self.left += 1;
        }
    }

    /// One was dropped with bytes in it.
    pub fn lost(&mut self) {
        self.left += 1;
    }
}
