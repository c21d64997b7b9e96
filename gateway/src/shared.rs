//! What the event loops and the control side have in common: letter boxes with a bell, counts, and
//! the bounded log of connections.

use crate::group::State;
use crate::plan::{Listener, Plan};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What an event loop is told.
#[derive(Debug)]
pub enum Mail {
    /// From now on by this plan; the sockets are this loop's share of all places. Answered when done.
    Apply(Arc<Plan>, Vec<(Arc<Listener>, Arc<OwnedFd>)>, SyncSender<()>),
    /// Accept nothing any more, and first what waits when the sockets are to be closed. Answered when done.
    Quiet { close: bool, done: SyncSender<()> },
    /// Ends connections to this upstream.
    Cut(Arc<State>),
    /// Ends connections of the listener of this name, also if it listens no more.
    CutListener(Arc<str>),
    /// Addresses that a name has, for the connection with this token.
    Resolved(u64, Vec<SocketAddr>),
    /// Ends all connections and the loop.
    Stop,
}

/// A loop's letter box. Letters are few: changes, answers to look-ups (at most one a connection).
#[derive(Debug)]
pub struct Letters {
    queue: Mutex<Vec<Mail>>,
    pub bell: OwnedFd,
    /// Some upstream has got a place for those that wait.
    pub places: AtomicBool,
}

impl Letters {
    pub fn new() -> Result<Self, rustix::io::Errno> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { queue: Mutex::default(), bell, places: AtomicBool::default() })
    }

    pub fn ring(&self) {
        // Full means that it rings already.
        rustix::io::write(&self.bell, &1u64.to_ne_bytes()).ok();
    }

    pub fn send(&self, mail: Mail) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.ring();
    }

    pub fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub listener: Arc<Listener>,
    pub source: SocketAddr,
    pub upstream: Option<SocketAddr>,
    /// Milliseconds since the gateway's start, and that it lasted.
    pub at: u64,
    pub lasted: u64,
    /// Bytes from the client and to it.
    pub bytes: [u64; 2],
    pub reason: &'static str,
}

/// Connections that each loop's log holds.
const LOGGED: usize = 512;

/// What a loop has told of connections that have ended, the newest last.
#[derive(Debug, Default)]
pub struct Log(Mutex<VecDeque<Ended>>);

impl Log {
    pub fn put(&self, ended: Ended) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() >= LOGGED {
            log.pop_front();
        }
        log.push_back(ended);
    }

    pub fn all(&self) -> Vec<Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A name to be looked up for a loop's connection.
#[derive(Debug)]
pub struct Question {
    pub worker: usize,
    pub token: u64,
    pub name: String,
    pub port: u16,
}

#[derive(Debug)]
pub struct Shared {
    pub start: Instant,
    pub letters: Vec<Letters>,
    pub logs: Vec<Log>,
    /// Connections that are open, and how many may be.
    pub open: AtomicUsize,
    pub most: AtomicUsize,
    pub questions: tokio::sync::mpsc::Sender<Question>,
    /// When the want of file descriptors was last said, so that it is said once in ten seconds.
    pub said: AtomicU64,
}

impl Shared {
    /// Milliseconds since the start.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Wakes the loops (bits) that have connections waiting for a place.
    pub fn places(&self, loops: u64) {
        for (at, letters) in self.letters.iter().enumerate() {
            if loops >> at & 1 == 1 && !letters.places.swap(true, Relaxed) {
                letters.ring();
            }
        }
    }
}
