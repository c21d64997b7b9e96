//! One TCP connection: its two sockets, what is under way between them, and the moving of bytes. The
//! event loop owns it; both halves live on the loop's one thread.

use super::associate::Associate;
use crate::decode::socks;
use crate::group::{Group, Upstream};
use crate::plan::Listener;
use crate::sys::{PIPE, Pipe, Pipes};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{SpliceFlags, splice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that are read at once: what fits in a cache.
pub const BUFFER: usize = 16 * 1024;
/// Full reads in a row after which a direction is spliced.
const BULK: u8 = 4;
/// Small rounds in a row after which it is copied again.
const SMALL: u8 = 16;
/// Bytes that one connection moves before the others have their turn.
const TURN: usize = 1 << 20;

/// One direction.
#[derive(Debug, Default)]
pub struct Dir {
    /// What was read and could not be written, from `sent` on.
    pub held: Vec<u8>,
    sent: usize,
    pipe: Option<Pipe>,
    in_pipe: usize,
    /// Full reads in a row, or small rounds when it is spliced.
    row: u8,
    spliced: bool,
    /// Splicing does not go for these sockets.
    never: bool,
    pub eof: bool,
    pub bytes: u64,
    /// Part of `bytes` that the counters have.
    pub counted: u64,
}

impl Dir {
    /// Waits until its bytes can be written.
    pub fn blocked(&self) -> bool {
        self.sent < self.held.len() || self.in_pipe > 0
    }
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// Nothing more can be moved now.
    Idle,
    /// Others have their turn; there is more.
    More,
    /// Both directions have ended.
    Ended,
    /// A socket failed: reading the source of the direction, or writing.
    Failed,
}

/// What connecting needs.
#[derive(Debug)]
pub struct Dial {
    pub group: Option<Arc<Group>>,
    /// Where a client wants to be led, those that were not tried yet.
    pub targets: Vec<SocketAddr>,
    pub tried: Vec<SocketAddr>,
    pub front: Front,
    pub since: u64,
    /// When connecting to the present one began.
    pub begun: Instant,
}

impl Dial {
    /// Of a connection that came, or said where to, now.
    pub fn new(group: Option<Arc<Group>>, front: Front, now: u64) -> Self {
        let (targets, tried) = (Vec::new(), Vec::new());
        Self { group, targets, tried, front, since: now, begun: Instant::now() }
    }
}

/// Whom an answer is owed to when the upstream is there or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    None,
    Socks,
    Connect,
    Http,
}

/// What is read before it is known where to.
#[derive(Debug)]
pub enum Read {
    Proxy,
    Sni,
    Socks(socks::Stage),
    Http,
}

#[derive(Debug)]
pub enum Stage {
    Preface(Read),
    /// A name is looked up, by somebody else.
    Resolving(Box<Dial>),
    /// Waits for a place at an upstream.
    Queued(Box<Dial>),
    Connecting(Box<Dial>),
    Open,
    /// Datagrams are relayed for the client as long as it stays.
    Associated(Box<Associate>),
}

#[derive(Debug)]
pub struct Conn {
    pub listener: Arc<Listener>,
    pub client: OwnedFd,
    pub upstream: Option<OwnedFd>,
    /// Who it is, by the socket or by a PROXY header.
    pub source: SocketAddr,
    /// Where it came to by a PROXY header.
    pub came_to: Option<SocketAddr>,
    pub serving: Option<(Arc<Upstream>, Option<Arc<Group>>)>,
    pub stage: Stage,
    /// From the client, from the upstream.
    pub dirs: [Dir; 2],
    /// The other end has closed or failed: read until the end.
    pub hung: [bool; 2],
    /// Whether the policy counts it.
    pub entered: bool,
    pub since: u64,
    /// When its upstream was connected, until that has said something.
    pub connected: Option<Instant>,
    pub active: u64,
    /// Moves nothing before, for its rate of bytes.
    pub paused_until: u64,
    /// When the wheel looks after it next.
    pub looked_after: u64,
}

impl Conn {
    /// When it has to be looked after at the latest.
    pub fn due(&self) -> u64 {
        let settings = &self.listener.settings;
        let milliseconds = |d: std::time::Duration| d.as_millis() as u64;
        match &self.stage {
            Stage::Preface(_) => self.since + milliseconds(settings.preface_timeout),
            Stage::Resolving(dial) => dial.since + milliseconds(settings.preface_timeout),
            Stage::Queued(dial) | Stage::Connecting(dial) => {
                let wait = match (&dial.group, &self.stage) {
                    (Some(group), Stage::Queued(_)) => group.settings.queue_timeout,
                    (Some(group), _) => group.settings.connect_timeout,
                    (None, _) => std::time::Duration::from_secs(10),
                };
                dial.since + milliseconds(wait)
            }
            Stage::Open if self.paused_until > 0 => self.paused_until,
            Stage::Associated(_) => self.active + settings.idle(),
            Stage::Open => {
                let half = self.dirs[0].eof != self.dirs[1].eof;
                let idle = settings.idle();
                let wait =
                    if half { milliseconds(settings.half_close_timeout).min(idle) } else { idle };
                self.active + wait
            }
        }
    }

    /// Moves what can be moved in direction `d`; `most` bytes at once.
    pub fn pump(&mut self, d: usize, buffer: &mut [u8], pipes: &mut Pipes, most: usize) -> Pumped {
        let Some(upstream) = &self.upstream else { return Pumped::Failed };
        let (from, to) = if d == 0 { (&self.client, upstream) } else { (upstream, &self.client) };
        let dir = &mut self.dirs[d];
        let before = dir.bytes;
        let most = most.min(TURN) as u64;
        loop {
            match flush(dir, to, pipes) {
                Ok(true) => {}
                Ok(false) => return Pumped::Idle,
                Err(_) => return Pumped::Failed,
            }
            if dir.eof {
                return self.ended(d);
            }
            let left = most.saturating_sub(dir.bytes - before) as usize;
            if left == 0 {
                return Pumped::More;
            }
            if dir.spliced {
                if dir.pipe.is_none() {
                    dir.pipe = pipes.take();
                }
                let Some(pipe) = &dir.pipe else {
                    (dir.spliced, dir.row) = (false, 0);
                    continue;
                };
                match splice(
                    from,
                    None,
                    &pipe.writer,
                    None,
                    left.min(PIPE),
                    SpliceFlags::NONBLOCK | SpliceFlags::MOVE,
                ) {
                    Ok(0) => dir.eof = true,
                    Ok(n) => {
                        dir.in_pipe = n;
                        dir.bytes += n as u64;
                        dir.row = if n < BUFFER { dir.row + 1 } else { 0 };
                    }
                    Err(Errno::AGAIN) => {
                        if dir.row >= SMALL {
                            (dir.spliced, dir.row) = (false, 0);
                        }
                        give(dir, pipes);
                        return Pumped::Idle;
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::INVAL) => {
                        give(dir, pipes);
                        (dir.spliced, dir.never, dir.row) = (false, true, 0);
                    }
                    Err(_) => return Pumped::Failed,
                }
                continue;
            }
            let room = left.min(buffer.len());
            let read = match recv(from, &mut buffer[..room], RecvFlags::empty()) {
                Ok((_, 0)) => {
                    dir.eof = true;
                    continue;
                }
                Ok((_, read)) => read,
                Err(Errno::AGAIN) => return Pumped::Idle,
                Err(Errno::INTR) => continue,
                Err(_) => return Pumped::Failed,
            };
            dir.bytes += read as u64;
            let written = match send(to, &buffer[..read], SendFlags::NOSIGNAL) {
                Ok(written) => written,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => return Pumped::Failed,
            };
            if written < read {
                dir.held.extend_from_slice(&buffer[written..read]);
                dir.sent = 0;
            }
            if read < room {
                dir.row = 0;
                // A short read has emptied the socket: the next edge tells when there is more.
                if !self.hung[d] {
                    return Pumped::Idle;
                }
            } else {
                dir.row += 1;
                if dir.row >= BULK && !dir.never {
                    (dir.spliced, dir.row) = (true, 0);
                }
            }
        }
    }

    fn ended(&mut self, d: usize) -> Pumped {
        if self.dirs[1 - d].eof && !self.dirs[1 - d].blocked() {
            return Pumped::Ended;
        }
        let to = if d == 0 { self.upstream.as_ref() } else { Some(&self.client) };
        // Gone altogether is found by reading from it.
        to.map(|to| shutdown(to, Shutdown::Write).ok());
        Pumped::Idle
    }

    /// Gives back pipes that are empty; those with bytes in them are closed with the connection.
    pub fn give_back(&mut self, pipes: &mut Pipes) {
        for dir in &mut self.dirs {
            if dir.in_pipe == 0 {
                give(dir, pipes);
            } else if dir.pipe.take().is_some() {
                pipes.lost();
            }
        }
    }
}

fn give(dir: &mut Dir, pipes: &mut Pipes) {
    if let Some(pipe) = dir.pipe.take() {
        pipes.give(pipe);
    }
}

/// Writes what is held or in the pipe; false when it does not all go.
fn flush(dir: &mut Dir, to: &OwnedFd, pipes: &mut Pipes) -> Result<bool, Errno> {
    while dir.sent < dir.held.len() {
        match send(to, &dir.held[dir.sent..], SendFlags::NOSIGNAL) {
            Ok(n) => dir.sent += n,
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    if !dir.held.is_empty() {
        (dir.held, dir.sent) = (Vec::new(), 0);
    }
    while let (Some(pipe), 1..) = (&dir.pipe, dir.in_pipe) {
        match splice(
            &pipe.reader,
            None,
            to,
            None,
            dir.in_pipe,
            SpliceFlags::NONBLOCK | SpliceFlags::MOVE,
        ) {
            Ok(n) => dir.in_pipe -= n.min(dir.in_pipe),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    if dir.eof {
        give(dir, pipes);
    }
    Ok(true)
}
