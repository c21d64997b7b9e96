//! Connecting to an upstream: choosing one, another one when that fails, waiting for a place, and
//! what the client is told when there is none.

use super::accept::is_ours;
use super::conn::{Dial, Front, Stage};
use super::{UPSTREAM, Worker, edges, of};
use crate::config::{self, Transport};
use crate::decode::{http, proxy, socks};
use crate::group::{Chooser, Chosen, State, Upstream};
use crate::sys;
use rustix::event::epoll;
use rustix::net::{SendFlags, send, sockopt};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Worker {
    /// Chooses for a connection that has none yet, and begins to connect.
    pub(super) fn dial(&mut self, token: u64, mut dial: Dial) {
        loop {
            let Some(conn) = self.conns.get(token) else { return };
            dial.since = self.now;
            dial.begun = Instant::now();
            let upstream = if let Some(group) = &dial.group {
                if !dial.tried.is_empty() && dial.tried.len() > usize::from(group.settings.retries)
                {
                    conn.stage = Stage::Connecting(Box::new(dial));
                    return self.refuse(token, "no upstream could be reached");
                }
                let name = &group.settings.name;
                if !self.choosers.contains_key(name) {
                    let seed = self.now.wrapping_mul(0x9e37) ^ (self.id as u64) << 32;
                    self.choosers.insert(name.clone(), Chooser::new(seed));
                }
                let Some(chooser) = self.choosers.get_mut(name) else { return };
                match group.choose(chooser, conn.source.ip(), &dial.tried, self.now) {
                    Chosen::One(upstream) => upstream,
                    Chosen::Full => return self.wait_for_place(token, dial),
                    Chosen::None => {
                        conn.stage = Stage::Connecting(Box::new(dial));
                        return self.refuse(token, "no upstream can be used");
                    }
                }
            } else {
                let Some(address) = dial.targets.pop() else {
                    conn.stage = Stage::Connecting(Box::new(dial));
                    return self.refuse(token, "where the client wants to go could not be reached");
                };
                lone(address)
            };
            if !upstream.enter() {
                continue;
            }
            let address = upstream.settings.address;
            conn.serving = Some((upstream, dial.group.clone()));
            let begun = sys::connect(address, Transport::Tcp).and_then(|fd| {
                let data = epoll::EventData::new_u64(of(token, UPSTREAM));
                epoll::add(&self.epoll, &fd, data, edges())?;
                Ok(fd)
            });
            match begun {
                Ok(fd) => {
                    conn.upstream = Some(fd);
                    conn.stage = Stage::Connecting(Box::new(dial));
                    let due = conn.due();
                    conn.looked_after = self.wheel.put(of(token, 0), due);
                    return;
                }
                Err(e) if is_ours(e) => {
                    conn.stage = Stage::Connecting(Box::new(dial));
                    return self.refuse(token, "no room for a connection to the upstream");
                }
                Err(_) => {
                    self.blame(token, &mut dial);
                }
            }
        }
    }

    /// Counts a failed attempt against the upstream.
    fn blame(&mut self, token: u64, dial: &mut Dial) {
        let now = self.now;
        let Some(conn) = self.conns.get(token) else { return };
        conn.upstream = None;
        conn.hung[1] = false;
        if let Some((upstream, group)) = &conn.serving {
            let passive = group.as_ref().and_then(|g| g.settings.passive.as_ref());
            upstream.state.could_not_connect(passive, now);
            dial.tried.push(upstream.settings.address);
        }
        let Some((upstream, group)) = conn.serving.take() else { return };
        upstream.state.active.fetch_sub(1, Relaxed);
        if let Some(group) = group {
            group.waiting.wake(&self.shared);
        }
    }

    /// Connecting has failed or taken too long; `told`: the upstream's kernel has said so.
    pub(super) fn not_connected(&mut self, token: u64, told: bool) {
        let Some(conn) = self.conns.get(token) else { return };
        if let (true, Some(fd)) = (told, &conn.upstream)
            && let Ok(Err(e)) = sockopt::socket_error(fd)
            && is_ours(e)
        {
            return self.refuse(token, "no room for a connection to the upstream");
        }
        match std::mem::replace(&mut conn.stage, Stage::Open) {
            Stage::Connecting(mut dial) => {
                self.blame(token, &mut dial);
                self.dial(token, *dial);
            }
            stage => conn.stage = stage,
        }
    }

    fn wait_for_place(&mut self, token: u64, dial: Dial) {
        let Some(conn) = self.conns.get(token) else { return };
        let Some(group) = dial.group.clone() else { return };
        let waiting = group.waiting.count.fetch_add(1, Relaxed);
        if waiting >= group.settings.queue {
            group.waiting.count.fetch_sub(1, Relaxed);
            conn.stage = Stage::Connecting(Box::new(dial));
            return self.refuse(token, "every upstream is full, and so is the queue");
        }
        conn.stage = Stage::Queued(Box::new(dial));
        group.waiting.loops.fetch_or(1 << self.id, Relaxed);
        self.queue.push_back(of(token, 0));
        self.look_after_at(token);
        // A place may have become free before this loop was known to wait for it.
        self.shared.letters[self.id].places.store(true, Relaxed);
    }

    /// Some upstream has a place: those that wait are served in their order.
    pub(super) fn serve_queue(&mut self) {
        for token in std::mem::take(&mut self.queue) {
            let Some(conn) = self.conns.get(token) else { continue };
            let Stage::Queued(dial) = &mut conn.stage else { continue };
            let Some(group) = dial.group.clone() else { continue };
            let chooser = self.choosers.entry(group.settings.name.clone()).or_default();
            if matches!(
                group.choose(chooser, conn.source.ip(), &dial.tried, self.now),
                Chosen::Full
            ) {
                group.waiting.loops.fetch_or(1 << self.id, Relaxed);
                self.queue.push_back(token);
                continue;
            }
            group.waiting.count.fetch_sub(1, Relaxed);
            if let Stage::Queued(dial) = std::mem::replace(&mut conn.stage, Stage::Open) {
                self.dial(token, *dial);
            }
        }
    }

    /// Something came of connecting.
    pub(super) fn connected(&mut self, token: u64, flags: epoll::EventFlags) {
        if flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
            return self.not_connected(token, true);
        }
        let Some(conn) = self.conns.get(token) else { return };
        let Stage::Connecting(dial) = std::mem::replace(&mut conn.stage, Stage::Open) else {
            return;
        };
        let Some((upstream, _)) = &conn.serving else { return };
        upstream.state.connected();
        upstream.state.total.fetch_add(1, Relaxed);
        if dial.group.is_some() {
            upstream.state.connecting_took(dial.begun.elapsed(), self.now);
            conn.connected = Some(Instant::now());
        }
        let bound = || conn.upstream.as_ref().and_then(sys::local);
        match dial.front {
            Front::Socks => {
                let bound = bound().unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
                conn.dirs[1].held = socks::answer(socks::code::OK, bound);
            }
            Front::Connect => conn.dirs[1].held = http::ESTABLISHED.to_vec(),
            Front::None | Front::Http => {}
        }
        if let Some(version) = dial.group.as_ref().and_then(|g| g.settings.send_proxy) {
            let to = conn.came_to.or_else(|| sys::local(&conn.client));
            let mut head = proxy::write(version, conn.source, to.unwrap_or(conn.source));
            head.append(&mut conn.dirs[0].held);
            conn.dirs[0].held = head;
        }
        conn.active = self.now;
        let watched = conn.entered_preface();
        let answers = conn.dirs[1].blocked() || flags.contains(epoll::EventFlags::IN);
        // What the client has sent is read at once; its socket is watched from then on.
        self.pump(token, 0);
        if !watched {
            self.watch_client(token);
        }
        if answers {
            self.pump(token, 1);
        }
        // What was waited for is over. The wheel comes round anyway, for a short silence too late.
        if self.conns.get(token).is_some_and(|c| c.due() < c.looked_after) {
            self.look_after_at(token);
        }
    }

    /// Ends a connection that gets no upstream, with an answer where the client's protocol has one.
    pub(super) fn refuse(&mut self, token: u64, reason: &'static str) {
        let Some(conn) = self.conns.get(token) else { return };
        let front = match &conn.stage {
            Stage::Connecting(dial) | Stage::Queued(dial) | Stage::Resolving(dial) => dial.front,
            _ => Front::None,
        };
        let answer = match front {
            Front::None => {
                // A reset tells a client sooner and clearer than an end that there is nobody.
                sockopt::set_socket_linger(&conn.client, Some(std::time::Duration::ZERO)).ok();
                Vec::new()
            }
            Front::Socks => {
                socks::answer(socks::code::UNREACHABLE, (Ipv4Addr::UNSPECIFIED, 0).into())
            }
            Front::Connect | Front::Http => http::refusal(502, reason),
        };
        if !answer.is_empty() {
            send(&conn.client, &answer, SendFlags::NOSIGNAL).ok();
        }
        self.end(token, reason);
    }
}

/// An upstream that is in no group: where a client of a forward front end wants to go.
fn lone(address: SocketAddr) -> Arc<Upstream> {
    let settings =
        config::Upstream { address, weight: 1, backup: false, max_connections: 0, drain: false };
    Arc::new(Upstream { settings, state: Arc::new(State::default()) })
}
