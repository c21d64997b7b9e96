//! What clients say before anything is forwarded: PROXY headers, TLS hellos, SOCKS5 and HTTP proxy
//! requests. Bounded in bytes by the decoders and in time by the listener's `preface_timeout`.

use super::accept::first;
use super::conn::{Conn, Dial, Front, Read, Stage};
use super::{BUFFER, Worker};
use crate::decode::{self, Target, http, proxy, sni, socks};
use crate::group::Group;
use crate::plan::Listener;
use crate::shared::Question;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Conn {
    /// Whether its client is watched since it was accepted.
    pub(super) fn entered_preface(&self) -> bool {
        self.listener.settings.accept_proxy || first(self.listener.settings.mode).is_some()
    }
}

/// What the bytes so far lead to.
enum Next {
    More,
    Again,
    To(Option<Arc<Group>>),
    /// Where the client wants to go.
    Target(Target, Front),
    /// It wants datagrams relayed.
    Associate,
    Bad(Vec<u8>, &'static str),
}

fn may(listener: &Listener, user: &[u8], password: &[u8]) -> bool {
    let known = std::str::from_utf8(user).ok().and_then(|user| listener.settings.users.get(user));
    // As long for a wrong password as for a right one of that length.
    known.is_some_and(|known| {
        known.len() == password.len()
            && known.bytes().zip(password).fold(0, |n, (a, b)| n | (a ^ b)) == 0
    })
}

impl Worker {
    pub(super) fn preface(&mut self, token: u64) {
        let Some(conn) = self.conns.get(token) else { return };
        loop {
            let room = BUFFER * 2 - conn.dirs[0].held.len().min(BUFFER * 2);
            let most = room.min(self.buffer.len());
            match recv(&conn.client, &mut self.buffer[..most], RecvFlags::empty()) {
                Ok((_, 0)) if room > 0 => {
                    return self.end(token, "the client went before it said what it wants");
                }
                Ok((_, read)) => {
                    conn.dirs[0].held.extend_from_slice(&self.buffer[..read]);
                    conn.dirs[0].bytes += read as u64;
                    if read < most || room <= read {
                        break;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(_) => return self.end(token, "the client went before it said what it wants"),
            }
        }
        loop {
            let now = self.now;
            let Some(conn) = self.conns.get(token) else { return };
            match next(conn, now) {
                Next::More => return,
                Next::Again => {}
                Next::To(Some(group)) => {
                    return self.dial(token, Dial::new(Some(group), Front::None, now));
                }
                Next::To(None) => {
                    return self.end(token, "no group for the name that was asked for");
                }
                Next::Target(target, front) => return self.lead(token, target, front),
                Next::Associate => return self.associate(token),
                Next::Bad(answer, reason) => {
                    if !answer.is_empty() {
                        send(&conn.client, &answer, SendFlags::NOSIGNAL).ok();
                    }
                    return self.end(token, reason);
                }
            }
        }
    }

    /// Leads a client where it wants to go, as far as the listener's targets go.
    fn lead(&mut self, token: u64, target: Target, front: Front) {
        let (now, id) = (self.now, self.id);
        let Some(conn) = self.conns.get(token) else { return };
        let mut dial = Dial::new(None, front, now);
        match target {
            Target::Address(address) => {
                dial.targets.push(address);
                conn.stage = Stage::Resolving(Box::new(dial));
                self.resolved(token, vec![address]);
            }
            Target::Name(name, port) => {
                conn.stage = Stage::Resolving(Box::new(dial));
                let question = Question { worker: id, token, name, port };
                if self.shared.questions.try_send(question).is_err() {
                    return self.refuse(token, "too many names are looked up");
                }
                self.look_after_at(token);
            }
        }
    }

    /// A name's addresses are there.
    pub(super) fn resolved(&mut self, token: u64, addresses: Vec<SocketAddr>) {
        let Some(conn) = self.conns.get(token) else { return };
        if !matches!(conn.stage, Stage::Resolving(_)) {
            return;
        }
        let found = !addresses.is_empty();
        let allowed = |a: &SocketAddr| conn.listener.targets.allow(*a);
        let mut targets: Vec<SocketAddr> = addresses.into_iter().filter(allowed).collect();
        if targets.is_empty() {
            let reason =
                if found { "the client may not go there" } else { "the name was not found" };
            if let (true, Stage::Resolving(dial)) = (found, &conn.stage) {
                let answer = match dial.front {
                    Front::Socks => {
                        socks::answer(socks::code::DENIED, (Ipv4Addr::UNSPECIFIED, 0).into())
                    }
                    _ => http::refusal(403, reason),
                };
                send(&conn.client, &answer, SendFlags::NOSIGNAL).ok();
                conn.listener.counters.refused.fetch_add(1, Relaxed);
                return self.end(token, reason);
            }
            return self.refuse(token, reason);
        }
        // They are tried from the last one on.
        targets.truncate(4);
        targets.reverse();
        if let Stage::Resolving(dial) = std::mem::replace(&mut conn.stage, Stage::Open) {
            self.dial(token, Dial { targets, ..*dial });
        }
    }
}

fn next(conn: &mut Conn, now: u64) -> Next {
    let listener = conn.listener.clone();
    let bytes = &mut conn.dirs[0].held;
    let Stage::Preface(read) = &mut conn.stage else { return Next::More };
    let users = !listener.settings.users.is_empty();
    match read {
        Read::Proxy => match proxy::read(bytes) {
            decode::Read::More => Next::More,
            decode::Read::Bad(why) => Next::Bad(Vec::new(), why),
            decode::Read::Whole(header) => {
                bytes.drain(..header.length);
                if let Some((from, to)) = header.from_to {
                    (conn.source, conn.came_to) = (from, Some(to));
                }
                listener.counters.talkers.came(conn.source, now);
                if let Some(policy) = &listener.policy {
                    if let Err(refused) = policy.enter(conn.source.ip(), now) {
                        listener.counters.refused.fetch_add(1, Relaxed);
                        return Next::Bad(Vec::new(), refused.reason());
                    }
                    conn.entered = policy.counts();
                }
                match first(listener.settings.mode) {
                    Some(read) => {
                        conn.stage = Stage::Preface(read);
                        Next::Again
                    }
                    None => Next::To(listener.group.clone()),
                }
            }
        },
        Read::Sni => match sni::read(bytes) {
            decode::Read::More => Next::More,
            decode::Read::Bad(why) => Next::Bad(Vec::new(), why),
            decode::Read::Whole(name) => Next::To(listener.group_for(name.as_deref()).cloned()),
        },
        Read::Socks(stage) => {
            let check = |user: &[u8], password: &[u8]| may(&listener, user, password);
            match socks::step(*stage, bytes, users.then_some(&check)) {
                socks::Step::More => Next::More,
                socks::Step::Next { consumed, answer, stage: next } => {
                    bytes.drain(..consumed);
                    *stage = next;
                    // A few bytes into an empty buffer of the kernel's always go.
                    send(&conn.client, &answer, SendFlags::NOSIGNAL).ok();
                    Next::Again
                }
                socks::Step::Whole { consumed, request: socks::Request::Connect(target) } => {
                    bytes.drain(..consumed);
                    Next::Target(target, Front::Socks)
                }
                socks::Step::Whole { request: socks::Request::Associate, .. }
                    if listener.settings.udp =>
                {
                    Next::Associate
                }
                socks::Step::Whole { request: socks::Request::Associate, .. } => {
                    let answer =
                        socks::answer(socks::code::COMMAND, (Ipv4Addr::UNSPECIFIED, 0).into());
                    Next::Bad(answer, "datagrams over SOCKS are not relayed")
                }
                socks::Step::Bad { answer, reason } => Next::Bad(answer, reason),
            }
        }
        Read::Http => match http::read(bytes) {
            decode::Read::More => Next::More,
            decode::Read::Bad(why) => Next::Bad(http::refusal(400, why), why),
            decode::Read::Whole(request) => {
                let check = |user: &[u8], password: &[u8]| may(&listener, user, password);
                if users && !http::allowed(request.login.as_deref(), &check) {
                    let why = "a user and password are needed";
                    return Next::Bad(http::refusal(407, why), why);
                }
                bytes.drain(..request.consumed);
                let front = if request.head.is_some() { Front::Http } else { Front::Connect };
                if let Some(mut head) = request.head {
                    head.append(bytes);
                    *bytes = head;
                }
                Next::Target(request.target, front)
            }
        },
    }
}
