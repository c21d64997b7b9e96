//! Accepting: new connections up to the limits, the policy's word, and what happens when file
//! descriptors run out. Also the change from one plan's sockets to another's.

use super::conn::{Conn, Dial, Dir, Front, Read, Stage};
use super::{ACCEPTOR, Acceptor, CLIENT, Worker, edges, of, token};
use crate::config::{Mode, Transport};
use crate::decode::socks;
use crate::plan::{Listener, Plan};
use crate::shared::Ended;
use crate::sys;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Connections that are accepted before others have their turn.
const TURN: usize = 64;
/// Milliseconds without accepting when there is no room.
const PAUSE: u64 = 50;

impl Worker {
    /// Goes by a plan and these sockets from now on; `closes`: those that it had and has no more are closed. Connections stay with what they were accepted by.
    pub(super) fn apply(
        &mut self,
        plan: Arc<Plan>,
        sockets: Vec<(Arc<Listener>, Arc<OwnedFd>)>,
        closes: bool,
    ) {
        // Sockets that go may still hold connections that nobody has accepted.
        let gone = |a: &Acceptor| !sockets.iter().any(|(_, s)| Arc::ptr_eq(s, &a.socket));
        for at in 0..self.acceptors.len() {
            if closes
                && gone(&self.acceptors[at])
                && self.acceptors[at].listener.settings.transport == Transport::Tcp
            {
                self.accept(token(ACCEPTOR, at as u32, self.era));
            }
        }
        for acceptor in std::mem::take(&mut self.acceptors) {
            if acceptor.watched {
                epoll::delete(&self.epoll, &acceptor.socket).ok();
            }
        }
        self.era = self.era.wrapping_add(1) & 0x0fff_ffff;
        self.choosers.retain(|name, _| plan.groups.iter().any(|g| g.settings.name == *name));
        for token in &self.queue {
            let Some(Stage::Queued(dial)) = self.conns.get(*token).map(|c| &mut c.stage) else {
                continue;
            };
            // What waits for a place goes by the new plan when its group is still there.
            let name = dial.group.as_ref().map(|g| g.settings.name.clone());
            if let Some(group) =
                plan.groups.iter().find(|g| Some(&g.settings.name) == name.as_ref())
            {
                dial.group = Some(group.clone());
            }
        }
        self.shared.letters[self.id].places.store(true, Relaxed);
        self.plan = plan;
        let (udp, tcp) =
            sockets.into_iter().partition(|(l, _)| l.settings.transport == Transport::Udp);
        self.apply_udp(udp);
        let tcp: Vec<(Arc<Listener>, Arc<OwnedFd>)> = tcp;
        for (listener, socket) in tcp {
            self.acceptors.push(Acceptor { listener, socket, watched: false });
        }
        self.starved_until = 0;
        self.feed();
    }

    /// Begins to accept (again).
    pub(super) fn feed(&mut self) {
        self.starved_until = 0;
        for (at, acceptor) in self.acceptors.iter_mut().enumerate() {
            if acceptor.watched || acceptor.listener.counters.drained.load(Relaxed) {
                continue;
            }
            let data = epoll::EventData::new_u64(token(ACCEPTOR, at as u32, self.era));
            acceptor.watched =
                epoll::add(&self.epoll, &acceptor.socket, data, epoll::EventFlags::IN).is_ok();
            if !acceptor.watched {
                self.starved_until = self.now + PAUSE;
            }
        }
    }

    /// Stops accepting for a while: new clients wait in the kernel's queue instead of being cut off.
    fn starve(&mut self) {
        for acceptor in &mut self.acceptors {
            if acceptor.watched {
                epoll::delete(&self.epoll, &acceptor.socket).ok();
                acceptor.watched = false;
            }
        }
        self.starved_until = self.now + PAUSE;
    }

    /// Says once in ten seconds that there is no room.
    fn say_starved(&self, why: std::fmt::Arguments<'_>) {
        let said = self.shared.said.load(Relaxed);
        let again = said == 0 || self.now > said + 10_000;
        if again
            && self.shared.said.compare_exchange(said, self.now.max(1), Relaxed, Relaxed).is_ok()
        {
            let open = self.shared.open.load(Relaxed);
            crate::say(format_args!(
                "accepting pauses: {why}; {open} connections are open; raise LimitNOFILE= or max_connections, or add a policy"
            ));
        }
    }

    pub(super) fn accept(&mut self, event: u64) {
        let at = (event >> 4 & 0xffff_ffff) as usize;
        if event >> 36 != u64::from(self.era) {
            return;
        }
        for _ in 0..TURN {
            let Some(Acceptor { listener, socket, .. }) = self.acceptors.get(at) else { return };
            let (most, own) = (self.shared.most.load(Relaxed), listener.settings.max_connections);
            if listener.counters.drained.load(Relaxed) {
                let acceptor = &mut self.acceptors[at];
                epoll::delete(&self.epoll, &acceptor.socket).ok();
                acceptor.watched = false;
                return;
            }
            if self.shared.open.load(Relaxed) >= most
                || own > 0 && listener.counters.active.load(Relaxed) >= own
            {
                listener.counters.starved.fetch_add(1, Relaxed);
                self.starve();
                return self.say_starved(format_args!("as many connections as may be"));
            }
            let accepted = acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
            match accepted {
                Ok((client, peer)) => {
                    let peer = peer.and_then(|p| SocketAddr::try_from(p).ok());
                    let listener = listener.clone();
                    if let Some(peer) = peer {
                        self.welcome(listener, client, peer);
                    }
                }
                Err(Errno::AGAIN) => return,
                // It went before it was accepted.
                Err(
                    Errno::CONNABORTED
                    | Errno::INTR
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NETUNREACH,
                ) => {}
                Err(e) => {
                    listener.counters.starved.fetch_add(1, Relaxed);
                    self.starve();
                    return self.say_starved(format_args!("{e}"));
                }
            }
        }
    }

    fn welcome(&mut self, listener: Arc<Listener>, client: OwnedFd, peer: SocketAddr) {
        let settings = &listener.settings;
        listener.counters.accepted.fetch_add(1, Relaxed);
        // Behind a proxy it is not known yet who that is, nor whose word the policy wants.
        if !settings.accept_proxy {
            listener.counters.talkers.came(peer, self.now);
        }
        let mut entered = false;
        if let (Some(policy), false) = (&listener.policy, settings.accept_proxy) {
            if let Err(refused) = policy.enter(peer.ip(), self.now) {
                listener.counters.refused.fetch_add(1, Relaxed);
                let reason = refused.reason();
                let ended = Ended {
                    listener,
                    source: peer,
                    upstream: None,
                    at: self.now,
                    lasted: 0,
                    bytes: [0; 2],
                    reason,
                };
                return self.shared.logs[self.id].put(ended);
            }
            entered = policy.counts();
        }
        listener.counters.active.fetch_add(1, Relaxed);
        self.shared.open.fetch_add(1, Relaxed);
        let stage = match (settings.accept_proxy, first(settings.mode)) {
            (true, _) => Stage::Preface(Read::Proxy),
            (false, Some(read)) => Stage::Preface(read),
            (false, None) => Stage::Open,
        };
        let now = self.now;
        let reads = matches!(stage, Stage::Preface(_));
        let conn = Conn {
            client,
            upstream: None,
            source: peer,
            came_to: None,
            serving: None,
            stage,
            dirs: [Dir::default(), Dir::default()],
            hung: [false; 2],
            entered,
            since: now,
            connected: None,
            active: now,
            paused_until: 0,
            looked_after: 0,
            listener: listener.clone(),
        };
        let (at, generation) = self.conns.put(conn);
        let token = token(0, at, generation);
        if reads {
            if self.watch_client(token) {
                self.look_after_at(token);
            }
        } else if let Some(group) = listener.group.clone() {
            self.dial(token, Dial::new(Some(group), Front::None, now));
        }
    }

    /// Events of the client come from now on; false when there was no room and it is gone.
    pub(super) fn watch_client(&mut self, token: u64) -> bool {
        let Some(conn) = self.conns.get(token) else { return false };
        let data = epoll::EventData::new_u64(of(token, CLIENT));
        if epoll::add(&self.epoll, &conn.client, data, edges()).is_err() {
            self.end(token, "no room for another connection");
            return false;
        }
        true
    }
}

/// What is read first with a mode; nothing where the upstream may be the one that speaks first.
pub(super) fn first(mode: Mode) -> Option<Read> {
    match mode {
        Mode::Forward => None,
        Mode::Sni => Some(Read::Sni),
        Mode::Socks5 => Some(Read::Socks(socks::Stage::default())),
        Mode::HttpProxy => Some(Read::Http),
    }
}

/// Whether an error is for want of room here rather than a fault of an upstream.
pub(super) fn is_ours(e: Errno) -> bool {
    sys::is_exhausted(e) || matches!(e, Errno::ADDRNOTAVAIL)
}
