//! An event loop: one thread, one epoll, its own sockets on every listener's place, and every
//! connection that it accepted, both halves of each. `gateway` starts them and writes them letters.

mod accept;
mod associate;
pub mod conn;
mod dial;
mod preface;
mod udp;
mod wheel;

use crate::group::Chooser;
use crate::plan::{Listener, Plan};
use crate::shared::{Ended, Mail, Shared};
use crate::sys::Pipes;
use conn::{BUFFER, Conn, Pumped, Stage};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What an event is about, in the lowest bits of its token.
const BELL: u64 = 0;
const ACCEPTOR: u64 = 1;
const CLIENT: u64 = 2;
const UPSTREAM: u64 = 3;
const DATAGRAMS: u64 = 4;
const FLOW: u64 = 5;
/// Sockets of a relay of datagrams: its client's, and those to far ends by IPv4 and by IPv6.
const NEAR: u64 = 6;
const FAR: u64 = 7;
const FAR_SIX: u64 = 8;

fn token(kind: u64, at: u32, generation: u32) -> u64 {
    u64::from(generation & 0x0fff_ffff) << 36 | u64::from(at) << 4 | kind
}

fn edges() -> epoll::EventFlags {
    epoll::EventFlags::IN
        | epoll::EventFlags::OUT
        | epoll::EventFlags::RDHUP
        | epoll::EventFlags::ET
}

/// Things by number, each number with a generation, so that an event for one that has gone is known.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<(u32, Option<Box<T>>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Its number and generation.
    fn put(&mut self, thing: T) -> (u32, u32) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[at as usize];
        place.1 = Some(Box::new(thing));
        (at, place.0)
    }

    fn get(&mut self, token: u64) -> Option<&mut T> {
        let (generation, thing) = self.places.get_mut((token >> 4 & 0xffff_ffff) as usize)?;
        thing.as_deref_mut().filter(|_| u64::from(*generation) == token >> 36)
    }

    fn take(&mut self, token: u64) -> Option<Box<T>> {
        self.get(token)?;
        let at = (token >> 4 & 0xffff_ffff) as u32;
        let place = self.places.get_mut(at as usize)?;
        place.0 = place.0.wrapping_add(1) & 0x0fff_ffff;
        self.free.push(at);
        place.1.take()
    }

    fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The tokens, of no kind, of all that fit.
    fn all(&self, fits: impl Fn(&T) -> bool) -> Vec<u64> {
        let places = self.places.iter().enumerate();
        let fit = places.filter(|(_, (_, thing))| thing.as_deref().is_some_and(&fits));
        fit.map(|(at, (generation, _))| token(0, at as u32, *generation)).collect()
    }
}

/// The same thing, another event of it.
fn of(token: u64, kind: u64) -> u64 {
    token & !0xf | kind
}

#[derive(Debug)]
struct Acceptor {
    listener: Arc<Listener>,
    socket: Arc<OwnedFd>,
    watched: bool,
}

pub struct Worker {
    id: usize,
    shared: Arc<Shared>,
    epoll: OwnedFd,
    plan: Arc<Plan>,
    acceptors: Vec<Acceptor>,
    /// Counts the plans, so that an event for an acceptor of an earlier one is known.
    era: u32,
    conns: Slab<Conn>,
    wheel: wheel::Wheel,
    pipes: Pipes,
    buffer: Vec<u8>,
    choosers: HashMap<String, Chooser>,
    /// Those that wait for a place, in order.
    queue: VecDeque<u64>,
    /// Those that had their turn and have more, and the direction.
    again: Vec<(u64, usize)>,
    udp: udp::Udp,
    /// Room for a datagram of a relay; there once there was one.
    relayed: Vec<u8>,
    now: u64,
    /// When accepting goes on; 0: it does.
    starved_until: u64,
    stopping: bool,
}

impl Worker {
    /// An epoll that knows the loop's bell, for [`Worker::new`].
    pub fn epoll(shared: &Shared, id: usize) -> Result<OwnedFd, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = &shared.letters[id].bell;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(epoll)
    }

    pub fn new(id: usize, shared: Arc<Shared>, pipes: usize, epoll: OwnedFd) -> Self {
        Self {
            id,
            epoll,
            plan: Arc::default(),
            acceptors: Vec::new(),
            era: 0,
            conns: Slab::new(),
            wheel: wheel::Wheel::new(),
            pipes: Pipes::new(pipes),
            buffer: vec![0; BUFFER],
            choosers: HashMap::new(),
            queue: VecDeque::new(),
            again: Vec::new(),
            udp: udp::Udp::default(),
            relayed: Vec::new(),
            now: shared.now(),
            starved_until: 0,
            stopping: false,
            shared,
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        let mut due = Vec::new();
        while !self.stopping {
            events.clear();
            let wait = if self.again.is_empty() { self.wait() } else { Some(0) };
            let wait = wait.map(|ms| Timespec {
                tv_sec: (ms / 1000) as i64,
                tv_nsec: (ms % 1000 * 1_000_000) as i64,
            });
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                wait.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => {
                    crate::say(format_args!("event loop {}: waiting for events: {e}", self.id));
                    return;
                }
            }
            self.now = self.shared.now();
            for event in &events {
                self.event(event.data.u64(), event.flags);
            }
            for (token, d) in std::mem::take(&mut self.again) {
                self.pump(token, d);
            }
            self.wheel.take(self.now, &mut due);
            for token in due.drain(..) {
                self.look_after(token);
            }
            if self.starved_until > 0 && self.now >= self.starved_until {
                self.feed();
            }
            if self.shared.letters[self.id].places.swap(false, Relaxed) {
                self.serve_queue();
            }
        }
    }

    fn wait(&self) -> Option<u64> {
        let starved = (self.starved_until > 0).then(|| self.starved_until.saturating_sub(self.now));
        match (self.wheel.wait(self.now), starved) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn event(&mut self, token: u64, flags: epoll::EventFlags) {
        match token & 0xf {
            BELL => {
                let mut count = [0u8; 8];
                rustix::io::read(&self.shared.letters[self.id].bell, &mut count).ok();
                for mail in self.shared.letters[self.id].take() {
                    self.letter(mail);
                }
            }
            ACCEPTOR => self.accept(token),
            DATAGRAMS => self.datagrams(token),
            FLOW => self.flow(token),
            kind @ (NEAR | FAR | FAR_SIX) => self.relay(token, kind),
            kind => self.stir(token, usize::from(kind == UPSTREAM), flags),
        }
    }

    fn letter(&mut self, mail: Mail) {
        match mail {
            Mail::Apply(plan, sockets, done) => {
                self.apply(plan, sockets, true);
                done.send(()).ok();
            }
            Mail::Quiet { close, done } => {
                self.apply(self.plan.clone(), Vec::new(), close);
                done.send(()).ok();
            }
            Mail::Cut(state) => {
                let cut = |c: &Conn| {
                    c.serving.as_ref().is_some_and(|(u, _)| Arc::ptr_eq(&u.state, &state))
                };
                for token in self.conns.all(cut) {
                    self.end(token, "the upstream's time to drain ran out");
                }
                self.cut_flows(&state);
            }
            Mail::CutListener(name) => {
                for token in self.conns.all(|c| c.listener.settings.name == *name) {
                    self.end(token, "the listener's connections were cut");
                }
                self.cut_flows_of(&name);
            }
            Mail::Resolved(token, addresses) => {
                self.relay_resolved(token, &addresses);
                self.resolved(token, addresses);
            }
            Mail::Stop => {
                for token in self.conns.all(|_| true) {
                    self.end(token, "the gateway stops");
                }
                self.stopping = true;
            }
        }
    }

    /// Something has happened at side `side` of a connection.
    fn stir(&mut self, token: u64, side: usize, flags: epoll::EventFlags) {
        let Some(conn) = self.conns.get(token) else { return };
        if flags
            .intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            conn.hung[side] = true;
        }
        match (&conn.stage, side) {
            (Stage::Preface(_), 0) => self.preface(token),
            (Stage::Connecting(_), 1) => self.connected(token, flags),
            (Stage::Associated(_), _) => self.associated(token),
            (Stage::Open, side) => {
                let input = epoll::EventFlags::IN
                    | epoll::EventFlags::RDHUP
                    | epoll::EventFlags::HUP
                    | epoll::EventFlags::ERR;
                if flags.intersects(input) {
                    self.pump(token, side);
                }
                let Some(conn) = self.conns.get(token) else { return };
                if flags.contains(epoll::EventFlags::OUT) && conn.dirs[1 - side].blocked() {
                    self.pump(token, 1 - side);
                }
            }
            (_, 0) if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) => {
                self.end(token, "the client went before an upstream was there");
            }
            _ => {}
        }
    }

    fn pump(&mut self, token: u64, d: usize) {
        let Some(conn) = self.conns.get(token) else { return };
        if conn.paused_until > self.now {
            return;
        }
        conn.active = self.now;
        let rate = conn.listener.policy.as_ref().map_or(0, |p| p.settings.bytes_per_second);
        let most = if rate > 0 { (rate / 8).clamp(1024, 1 << 20) as usize } else { usize::MAX };
        let before = conn.dirs[d].bytes;
        let pumped = conn.pump(d, &mut self.buffer, &mut self.pipes, most);
        if d == 1
            && conn.dirs[1].bytes > 0
            && let (Some(connected), Some((upstream, _))) = (conn.connected.take(), &conn.serving)
        {
            upstream.state.first_byte_took(connected.elapsed(), self.now);
        }
        if rate > 0
            && let Some(policy) = &conn.listener.policy
        {
            let wait = policy.spent(conn.source.ip(), self.now, conn.dirs[d].bytes - before);
            if wait > 0 && matches!(pumped, Pumped::Idle | Pumped::More) {
                conn.paused_until = self.now + wait;
                let due = conn.paused_until;
                conn.looked_after = self.wheel.put(of(token, 0), due);
                return;
            }
        }
        match pumped {
            Pumped::Idle => {
                // Half closed: the wait is another one from now on.
                if conn.dirs[d].eof && conn.due() + 1000 < conn.looked_after {
                    let due = conn.due();
                    conn.looked_after = self.wheel.put(of(token, 0), due);
                }
            }
            Pumped::More => self.again.push((of(token, 0), d)),
            Pumped::Ended => self.end(token, "done"),
            Pumped::Failed => self.fail(token),
        }
    }

    /// One side was reset or cannot be written to: the other one is told so by a reset, because an
    /// orderly end would make what is cut off look whole.
    fn fail(&mut self, token: u64) {
        if let Some(conn) = self.conns.get(token) {
            for socket in [Some(&conn.client), conn.upstream.as_ref()].into_iter().flatten() {
                sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO)).ok();
            }
        }
        self.end(token, "a side was reset");
    }

    /// Ends a connection and tells everyone who counts it.
    fn end(&mut self, token: u64, reason: &'static str) {
        let Some(mut conn) = self.conns.take(token) else { return };
        conn.give_back(&mut self.pipes);
        count(&mut conn, self.now);
        if let Stage::Queued(dial) = &conn.stage
            && let Some(group) = &dial.group
        {
            group.waiting.count.fetch_sub(1, Relaxed);
        }
        let counters = &conn.listener.counters;
        counters.active.fetch_sub(1, Relaxed);
        if !matches!(conn.stage, Stage::Open | Stage::Associated(_)) {
            counters.failed.fetch_add(1, Relaxed);
        }
        if associate::is_relay(&conn) {
            self.shared.open.fetch_sub(1, Relaxed);
        }
        if let (Some(policy), true) = (&conn.listener.policy, conn.entered) {
            policy.left(conn.source.ip());
        }
        let upstream = self.leave(&mut conn);
        self.shared.open.fetch_sub(1, Relaxed);
        self.shared.logs[self.id].put(Ended {
            source: conn.source,
            upstream,
            at: self.now,
            lasted: self.now - conn.since,
            bytes: [conn.dirs[0].bytes, conn.dirs[1].bytes],
            reason,
            listener: conn.listener,
        });
    }

    /// Gives the place at an upstream back, which may be somebody's who waits for it.
    fn leave(&mut self, conn: &mut Conn) -> Option<std::net::SocketAddr> {
        let (upstream, group) = conn.serving.take()?;
        upstream.state.active.fetch_sub(1, Relaxed);
        if let Some(group) = group {
            group.waiting.wake(&self.shared);
        }
        Some(upstream.settings.address)
    }

    /// Its time has come, or the wheel has only brought it round.
    fn look_after(&mut self, token: u64) {
        if token & 0xf == FLOW {
            return self.look_after_flow(token);
        }
        let now = self.now;
        let Some(conn) = self.conns.get(token) else { return };
        count(conn, now);
        let due = conn.due();
        if now < due {
            if now >= conn.looked_after {
                conn.looked_after = self.wheel.put(token, due);
            }
            return;
        }
        match &conn.stage {
            Stage::Preface(_) => self.end(token, "the client was too slow to say what it wants"),
            Stage::Resolving(_) => self.refuse(token, "the name was not found in time"),
            Stage::Queued(_) => self.refuse(token, "no place at an upstream in time"),
            Stage::Connecting(_) => self.not_connected(token, false),
            Stage::Open if conn.paused_until > 0 => {
                conn.paused_until = 0;
                let due = conn.due();
                conn.looked_after = self.wheel.put(token, due);
                self.pump(token, 0);
                self.pump(token, 1);
            }
            Stage::Open | Stage::Associated(_) => self.end(token, "idle for too long"),
        }
    }

    fn look_after_at(&mut self, token: u64) {
        if let Some(conn) = self.conns.get(token) {
            let due = conn.due();
            conn.looked_after = self.wheel.put(of(token, 0), due);
        }
    }
}

/// Adds what has moved since the last time to the counters.
fn count(conn: &mut Conn, now: u64) {
    let mut moved = 0;
    for (d, dir) in conn.dirs.iter_mut().enumerate() {
        let more = dir.bytes - dir.counted;
        if more > 0 {
            dir.counted = dir.bytes;
            moved += more;
            conn.listener.counters.bytes[d].fetch_add(more, Relaxed);
            if let Some((upstream, _)) = &conn.serving {
                upstream.state.bytes[d].fetch_add(more, Relaxed);
            }
        }
    }
    if moved > 0 {
        conn.listener.counters.talkers.moved(conn.source, now, moved);
    }
}
