//! Datagrams over SOCKS5 (UDP ASSOCIATE): a relay for one client, for as long as the connection lasts that asked for it. Its
//! client is the address that this connection is of, and the first port from which it sends; it may send where the listener's
//! targets allow, datagram by datagram, and gets what comes back from there and from nobody else.

use super::conn::{Conn, Stage};
use super::{FAR, FAR_SIX, NEAR, Worker, of};
use crate::decode::{Target, socks};
use crate::shared::Question;
use crate::sys;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, recvfrom, send, sendto};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;

/// The largest datagram.
const LARGEST: usize = 65_536;
/// Datagrams before others have their turn.
const TURN: usize = 64;
/// Far ends that may answer; of more the one that was sent to first is forgotten.
const PEERS: usize = 256;
/// Names whose address is remembered.
const NAMES: usize = 16;
/// Datagrams that wait for the address of a name; more are lost.
const WAITING: usize = 8;

/// A relay.
#[derive(Debug)]
pub struct Associate {
    /// What its client sends to.
    near: OwnedFd,
    /// What it sends from, by IPv4 and by IPv6.
    far: [Option<OwnedFd>; 2],
    /// Where its client sends from, once it has.
    client: Option<SocketAddr>,
    /// Where it was sent to.
    peers: VecDeque<SocketAddr>,
    names: VecDeque<((String, u16), SocketAddr)>,
    /// The name that is looked up now, and what waits for that.
    looking: Option<(String, u16)>,
    waiting: Vec<Vec<u8>>,
}

impl Associate {
    fn knows(&self, name: &str, port: u16) -> Option<SocketAddr> {
        let is = |((known, of), _): &&((String, u16), SocketAddr)| known == name && *of == port;
        self.names.iter().find(is).map(|(_, at)| *at)
    }

    /// It may answer from now on.
    fn sent_to(&mut self, peer: SocketAddr) {
        if self.peers.contains(&peer) {
            return;
        }
        if self.peers.len() >= PEERS {
            self.peers.pop_front();
        }
        self.peers.push_back(peer);
    }
}

impl Worker {
    /// A client wants a relay.
    pub(super) fn associate(&mut self, token: u64) {
        let Some(conn) = self.conns.get(token) else { return };
        let made = sys::local(&conn.client)
            .ok_or(Errno::INVAL)
            .and_then(|here| sys::datagrams(SocketAddr::new(here.ip(), 0)))
            .and_then(|near| Ok((sys::local(&near).ok_or(Errno::INVAL)?, near)))
            .and_then(|(at, near)| {
                let data = epoll::EventData::new_u64(of(token, NEAR));
                epoll::add(&self.epoll, &near, data, epoll::EventFlags::IN)?;
                Ok((at, near))
            });
        let Ok((at, near)) = made else {
            let answer = socks::answer(socks::code::FAILED, (Ipv4Addr::UNSPECIFIED, 0).into());
            send(&conn.client, &answer, SendFlags::NOSIGNAL).ok();
            return self.end(token, "no room for a relay of datagrams");
        };
        // It takes as many descriptors as another connection.
        self.shared.open.fetch_add(1, Relaxed);
        conn.stage = Stage::Associated(Box::new(Associate {
            near,
            far: [None, None],
            client: None,
            peers: VecDeque::new(),
            names: VecDeque::new(),
            looking: None,
            waiting: Vec::new(),
        }));
        conn.active = self.now;
        // What came with the request is not for anybody.
        conn.dirs[0].held = Vec::new();
        send(&conn.client, &socks::answer(socks::code::OK, at), SendFlags::NOSIGNAL).ok();
        self.look_after_at(token);
        // It may have gone already.
        self.associated(token);
    }

    /// The connection of a relay has said something, which means nothing, or ended, which ends the relay.
    pub(super) fn associated(&mut self, token: u64) {
        loop {
            let Some(conn) = self.conns.get(token) else { return };
            match recv(&conn.client, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, 0)) => return self.end(token, "done"),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.end(token, "a side was reset"),
            }
        }
    }

    /// Datagrams have come to a relay.
    pub(super) fn relay(&mut self, token: u64, kind: u64) {
        let mut room = std::mem::take(&mut self.relayed);
        room.resize(LARGEST, 0);
        for _ in 0..TURN {
            let more = if kind == NEAR {
                self.take_near(token, &mut room)
            } else {
                self.take_far(token, usize::from(kind == FAR_SIX), &mut room)
            };
            if !more {
                break;
            }
        }
        self.relayed = room;
    }

    /// One of the client's; whether there may be more.
    fn take_near(&mut self, token: u64, room: &mut [u8]) -> bool {
        let now = self.now;
        let Some(conn) = self.conns.get(token) else { return false };
        let source = conn.source.ip().to_canonical();
        let Stage::Associated(relay) = &mut conn.stage else { return false };
        let (n, from) = match receive(&relay.near, room) {
            Ok(got) => got,
            Err(Errno::INTR) => return true,
            Err(_) => return false,
        };
        let fits = from.ip().to_canonical() == source && relay.client.is_none_or(|c| c == from);
        let parts = if fits { socks::datagram(&room[..n]) } else { None };
        let Some((target, content)) = parts else {
            conn.listener.counters.dropped.fetch_add(1, Relaxed);
            return true;
        };
        relay.client = Some(from);
        conn.active = now;
        let rates = conn.listener.policy.as_ref();
        if rates.is_some_and(|policy| policy.spent(conn.source.ip(), now, n as u64) > 0) {
            conn.listener.counters.dropped.fetch_add(1, Relaxed);
            return true;
        }
        match target {
            Target::Address(at) => self.relay_to(token, at, content),
            Target::Name(name, port) => match relay.knows(&name, port) {
                Some(at) => self.relay_to(token, at, content),
                None => self.look_up(token, name, port, content),
            },
        }
        true
    }

    /// Has a name looked up, one at a time; what is for others meanwhile is lost, as datagrams may be.
    fn look_up(&mut self, token: u64, name: String, port: u16, content: &[u8]) {
        let id = self.id;
        let Some(conn) = self.conns.get(token) else { return };
        let Stage::Associated(relay) = &mut conn.stage else { return };
        let wanted = (name, port);
        let asked = relay.looking.as_ref();
        if asked.is_some_and(|asked| *asked != wanted) || relay.waiting.len() >= WAITING {
            conn.listener.counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        if asked.is_none() {
            let question = Question { worker: id, token, name: wanted.0.clone(), port };
            if self.shared.questions.try_send(question).is_err() {
                conn.listener.counters.dropped.fetch_add(1, Relaxed);
                return;
            }
            relay.looking = Some(wanted);
        }
        relay.waiting.push(content.to_vec());
    }

    /// The addresses of the name that a relay looks up are there.
    pub(super) fn relay_resolved(&mut self, token: u64, addresses: &[SocketAddr]) {
        let Some(conn) = self.conns.get(token) else { return };
        let listener = conn.listener.clone();
        let Stage::Associated(relay) = &mut conn.stage else { return };
        let waiting = std::mem::take(&mut relay.waiting);
        let Some(name) = relay.looking.take() else { return };
        let Some(at) = addresses.iter().copied().find(|at| listener.targets.allow(*at)) else {
            listener.counters.refused.fetch_add(waiting.len() as u64, Relaxed);
            return;
        };
        if relay.names.len() >= NAMES {
            relay.names.pop_front();
        }
        relay.names.push_back((name, at));
        for content in waiting {
            self.relay_to(token, at, &content);
        }
    }

    /// Sends what a client wants sent there, if it may.
    fn relay_to(&mut self, token: u64, at: SocketAddr, content: &[u8]) {
        let Some(conn) = self.conns.get(token) else { return };
        let counters = &conn.listener.counters;
        let at = SocketAddr::new(at.ip().to_canonical(), at.port());
        if at.port() == 0 || !conn.listener.targets.allow(at) {
            counters.refused.fetch_add(1, Relaxed);
            return;
        }
        let Stage::Associated(relay) = &mut conn.stage else { return };
        let six = usize::from(at.is_ipv6());
        if relay.far[six].is_none() {
            let any: IpAddr =
                if six == 1 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
            let made = sys::datagrams(SocketAddr::new(any, 0)).and_then(|far| {
                let kind = if six == 1 { FAR_SIX } else { FAR };
                let data = epoll::EventData::new_u64(of(token, kind));
                epoll::add(&self.epoll, &far, data, epoll::EventFlags::IN)?;
                Ok(far)
            });
            relay.far[six] = made.ok();
        }
        let went = relay.far[six]
            .as_ref()
            .is_some_and(|far| sendto(far, content, SendFlags::NOSIGNAL, &at).is_ok());
        if !went {
            counters.dropped.fetch_add(1, Relaxed);
            return;
        }
        relay.sent_to(at);
        conn.dirs[0].bytes += content.len() as u64;
    }

    /// One of a far end's; whether there may be more.
    fn take_far(&mut self, token: u64, six: usize, room: &mut [u8]) -> bool {
        let now = self.now;
        let Some(conn) = self.conns.get(token) else { return false };
        let Stage::Associated(relay) = &mut conn.stage else { return false };
        let Some(far) = &relay.far[six] else { return false };
        let (n, from) = match receive(far, room) {
            Ok(got) => got,
            // Somebody to whom was sent is not there: told once, and nobody here can be told.
            Err(Errno::INTR | Errno::CONNREFUSED) => return true,
            Err(_) => return false,
        };
        let Some(client) = relay.client.filter(|_| relay.peers.contains(&from)) else {
            conn.listener.counters.dropped.fetch_add(1, Relaxed);
            return true;
        };
        conn.active = now;
        let mut whole = socks::datagram_head(from);
        whole.extend_from_slice(&room[..n]);
        if sendto(&relay.near, &whole, SendFlags::NOSIGNAL, &client).is_ok() {
            conn.dirs[1].bytes += n as u64;
        } else {
            conn.listener.counters.dropped.fetch_add(1, Relaxed);
        }
        true
    }
}

fn receive(fd: &OwnedFd, room: &mut [u8]) -> Result<(usize, SocketAddr), Errno> {
    let (_, n, from) = recvfrom(fd, room, RecvFlags::DONTWAIT)?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(Errno::INVAL)?;
    Ok((n, from))
}

/// Whether a connection counts twice: it has the sockets of a relay.
pub(super) const fn is_relay(conn: &Conn) -> bool {
    matches!(conn.stage, Stage::Associated(_))
}
