//! Datagrams: each client address on a listener is a flow with an upstream socket of its own, in a
//! bounded table. Many datagrams are read and written by one call of the kernel's.

use super::{DATAGRAMS, FLOW, Slab, Worker, of, token};
use crate::group::{Chooser, Chosen, Group, State, Upstream};
use crate::plan::{Listener, Place};
use crate::shared::Ended;
use crate::sys;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, recvmmsg};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Datagrams in one call, and the room for each: the largest there are.
const BATCH: usize = 64;
const LARGEST: usize = 65_536;
/// Calls before others have their turn.
const TURN: usize = 16;
/// Flows that one event loop holds when the listener sets no limit.
const MOST_FLOWS: usize = 16_384;

#[derive(Debug)]
pub(super) struct Flow {
    listener: Arc<Listener>,
    socket: Arc<OwnedFd>,
    client: SocketAddr,
    fd: OwnedFd,
    upstream: Arc<Upstream>,
    since: u64,
    active: u64,
    bytes: [u64; 2],
    /// Part of both that the listener's talkers have.
    told: u64,
    entered: bool,
}

/// Room for datagrams; there when there is a UDP listener. Untouched pages of it take no memory.
struct Room {
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    /// Length and sender of each that was read.
    read: Vec<(usize, Option<SocketAddr>)>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Udp {
    listeners: Vec<(Arc<Listener>, Arc<OwnedFd>)>,
    table: HashMap<(Place, SocketAddr), u64>,
    flows: Slab<Flow>,
    room: Option<Room>,
}

impl Default for Udp {
    fn default() -> Self {
        Self { listeners: Vec::new(), table: HashMap::new(), flows: Slab::new(), room: None }
    }
}

fn plain(address: Option<SockaddrStorage>) -> Option<SocketAddr> {
    let address = address?;
    address.family()?;
    if let Some(four) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::new(four.ip(), four.port()).into());
    }
    address
        .as_sockaddr_in6()
        .map(|six| SocketAddrV6::new(six.ip(), six.port(), 0, six.scope_id()).into())
}

/// Reads what is there, at most a batch; true when there may be more.
fn read(room: &mut Room, fd: &OwnedFd) -> Result<bool, Errno> {
    room.read.clear();
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        room.bytes.chunks_mut(LARGEST).map(|c| [IoSliceMut::new(c)]).collect();
    match recvmmsg(
        fd.as_raw_fd(),
        &mut room.headers,
        slices.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    ) {
        Ok(all) => room.read.extend(all.map(|m| (m.bytes, plain(m.address)))),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
        Err(e) => return Err(Errno::from_raw_os_error(e as i32)),
    }
    Ok(room.read.len() == BATCH)
}

/// Writes datagrams of the room, by number; how many went. To `to`, or where the socket leads.
fn write(room: &Room, from: std::ops::Range<usize>, fd: &OwnedFd, to: Option<SocketAddr>) -> usize {
    let to: Option<SocketAddrAny> = to.map(Into::into);
    let slices: Vec<[IoSlice<'_>; 1]> = from
        .clone()
        .map(|n| [IoSlice::new(&room.bytes[n * LARGEST..n * LARGEST + room.read[n].0])])
        .collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        from.map(|_| SendAncillaryBuffer::default()).collect();
    let headers = slices.iter().zip(controls.iter_mut()).map(|(slice, control)| match &to {
        Some(to) => MMsgHdr::new_with_addr(to, slice, control),
        None => MMsgHdr::new(slice, control),
    });
    let mut headers: Vec<MMsgHdr<'_>> = headers.collect();
    let (mut done, mut went) = (0, 0);
    while done < headers.len() {
        match sendmmsg(fd, &mut headers[done..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => {
                went += sent;
                done += sent.max(1);
            }
            Err(Errno::INTR) => {}
            // An error that an earlier datagram met (refused) is told once; this one is tried again.
            Err(Errno::CONNREFUSED) if done == 0 && went == 0 => {
                went += sendmmsg(fd, &mut headers, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
                    .unwrap_or(0);
                break;
            }
            Err(_) => break,
        }
    }
    went
}

impl Worker {
    pub(super) fn apply_udp(&mut self, sockets: Vec<(Arc<Listener>, Arc<OwnedFd>)>) {
        for (_, socket) in std::mem::take(&mut self.udp.listeners) {
            epoll::delete(&self.epoll, &socket).ok();
        }
        for (at, (listener, socket)) in sockets.into_iter().enumerate() {
            let data = epoll::EventData::new_u64(token(DATAGRAMS, at as u32, self.era));
            if let Err(e) = epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN) {
                crate::say(format_args!(
                    "listener {}: watching its socket: {e}",
                    listener.settings.name
                ));
            }
            self.udp.listeners.push((listener, socket));
        }
        if !self.udp.listeners.is_empty() && self.udp.room.is_none() {
            let headers = MultiHeaders::preallocate(BATCH, None);
            self.udp.room =
                Some(Room { bytes: vec![0; BATCH * LARGEST], headers, read: Vec::new() });
        }
    }

    /// Datagrams of clients.
    pub(super) fn datagrams(&mut self, event: u64) {
        let at = (event >> 4 & 0xffff_ffff) as usize;
        if event >> 36 != u64::from(self.era) {
            return;
        }
        let Some((listener, socket)) = self.udp.listeners.get(at).cloned() else { return };
        let Some(mut room) = self.udp.room.take() else { return };
        for _ in 0..TURN {
            let more = read(&mut room, &socket).unwrap_or(true);
            let mut n = 0;
            while n < room.read.len() {
                let client = room.read[n].1;
                let same = room.read[n..].iter().take_while(|(_, from)| *from == client).count();
                let range = n..n + same;
                n += same;
                let Some(client) = client else { continue };
                let drop =
                    |count: usize| listener.counters.dropped.fetch_add(count as u64, Relaxed);
                let Some(token) = self.flow_of(&listener, &socket, client) else {
                    drop(same);
                    continue;
                };
                let now = self.now;
                let Some(flow) = self.udp.flows.get(token) else { continue };
                let bytes: u64 =
                    room.read[range.clone()].iter().map(|(length, _)| *length as u64).sum();
                if let Some(policy) = &listener.policy
                    && policy.spent(client.ip(), now, bytes) > 0
                {
                    drop(same);
                    continue;
                }
                flow.active = now;
                let went = write(&room, range, &flow.fd, None);
                flow.bytes[0] += bytes;
                flow.upstream.state.bytes[0].fetch_add(bytes, Relaxed);
                listener.counters.bytes[0].fetch_add(bytes, Relaxed);
                if went < same {
                    drop(same - went);
                }
            }
            if !more {
                break;
            }
        }
        self.udp.room = Some(room);
    }

    /// The flow of a client, a new one when it has none; none when it may not have one.
    fn flow_of(
        &mut self,
        listener: &Arc<Listener>,
        socket: &Arc<OwnedFd>,
        client: SocketAddr,
    ) -> Option<u64> {
        let key = (listener.place(), client);
        if let Some(token) = self.udp.table.get(&key) {
            return Some(*token);
        }
        let counters = &listener.counters;
        let most = listener.settings.max_connections;
        let room = self.udp.flows.len() < MOST_FLOWS
            && (most == 0 || counters.active.load(Relaxed) < most);
        if !room
            || counters.drained.load(Relaxed)
            || self.shared.open.load(Relaxed) >= self.shared.most.load(Relaxed)
        {
            return None;
        }
        let group: &Arc<Group> = listener.group.as_ref()?;
        let mut entered = false;
        if let Some(policy) = &listener.policy {
            if policy.enter(client.ip(), self.now).is_err() {
                counters.refused.fetch_add(1, Relaxed);
                return None;
            }
            entered = policy.counts();
        }
        let seed = self.now ^ (self.id as u64) << 32;
        let chooser =
            self.choosers.entry(group.settings.name.clone()).or_insert_with(|| Chooser::new(seed));
        let made = match group.choose(chooser, client.ip(), &[], self.now) {
            Chosen::One(upstream) if upstream.enter() => {
                let fd = sys::flow(upstream.settings.address).ok();
                if fd.is_none() {
                    upstream.state.active.fetch_sub(1, Relaxed);
                }
                fd.map(|fd| (upstream, fd))
            }
            _ => None,
        };
        let Some((upstream, fd)) = made else {
            if let (Some(policy), true) = (&listener.policy, entered) {
                policy.left(client.ip());
            }
            counters.failed.fetch_add(1, Relaxed);
            return None;
        };
        upstream.state.total.fetch_add(1, Relaxed);
        counters.accepted.fetch_add(1, Relaxed);
        counters.talkers.came(client, self.now);
        counters.active.fetch_add(1, Relaxed);
        self.shared.open.fetch_add(1, Relaxed);
        let (listener, socket) = (listener.clone(), socket.clone());
        let due = self.now + listener.settings.idle();
        let flow = Flow {
            listener,
            socket,
            client,
            fd,
            upstream,
            since: self.now,
            active: self.now,
            bytes: [0; 2],
            told: 0,
            entered,
        };
        let (at, generation) = self.udp.flows.put(flow);
        let token = token(FLOW, at, generation);
        self.udp.table.insert(key, token);
        let flow = self.udp.flows.get(token)?;
        let watched = epoll::add(
            &self.epoll,
            &flow.fd,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN,
        );
        if watched.is_err() {
            self.end_flow(token, "no room for another flow");
            return None;
        }
        self.wheel.put(token, due);
        Some(token)
    }

    /// Datagrams of an upstream.
    pub(super) fn flow(&mut self, token: u64) {
        let Some(mut room) = self.udp.room.take() else { return };
        for _ in 0..TURN {
            let Some(flow) = self.udp.flows.get(token) else { break };
            let Ok(more) = read(&mut room, &flow.fd) else {
                // Nobody listens there: the next datagram of this client goes by a new choice.
                let passive = flow.listener.group.as_ref().and_then(|g| g.settings.passive.clone());
                flow.upstream.state.could_not_connect(passive.as_ref(), self.now);
                self.end_flow(token, "the upstream refused");
                break;
            };
            let count = room.read.len();
            let bytes: u64 = room.read.iter().map(|(length, _)| *length as u64).sum();
            flow.active = self.now;
            flow.bytes[1] += bytes;
            flow.upstream.state.bytes[1].fetch_add(bytes, Relaxed);
            flow.listener.counters.bytes[1].fetch_add(bytes, Relaxed);
            let went = write(&room, 0..count, &flow.socket, Some(flow.client));
            if went < count {
                flow.listener.counters.dropped.fetch_add((count - went) as u64, Relaxed);
            }
            if !more {
                break;
            }
        }
        self.udp.room = Some(room);
    }

    pub(super) fn look_after_flow(&mut self, token: u64) {
        let now = self.now;
        let Some(flow) = self.udp.flows.get(token) else { return };
        let moved = flow.bytes[0] + flow.bytes[1];
        flow.listener.counters.talkers.moved(flow.client, now, moved - flow.told);
        flow.told = moved;
        let due = flow.active + flow.listener.settings.idle();
        if now >= due {
            return self.end_flow(token, "idle for too long");
        }
        self.wheel.put(token, due);
    }

    pub(super) fn cut_flows(&mut self, state: &Arc<State>) {
        for token in self.udp.flows.all(|f| Arc::ptr_eq(&f.upstream.state, state)) {
            self.end_flow(of(token, FLOW), "the upstream's time to drain ran out");
        }
    }

    pub(super) fn cut_flows_of(&mut self, listener: &str) {
        for token in self.udp.flows.all(|f| f.listener.settings.name == listener) {
            self.end_flow(of(token, FLOW), "the listener's connections were cut");
        }
    }

    fn end_flow(&mut self, token: u64, reason: &'static str) {
        let Some(flow) = self.udp.flows.take(token) else { return };
        let key = (flow.listener.place(), flow.client);
        if self.udp.table.get(&key) == Some(&token) {
            self.udp.table.remove(&key);
        }
        let state = &flow.upstream.state;
        state.active.fetch_sub(1, Relaxed);
        let moved = flow.bytes[0] + flow.bytes[1] - flow.told;
        flow.listener.counters.talkers.moved(flow.client, self.now, moved);
        flow.listener.counters.active.fetch_sub(1, Relaxed);
        self.shared.open.fetch_sub(1, Relaxed);
        if let (Some(policy), true) = (&flow.listener.policy, flow.entered) {
            policy.left(flow.client.ip());
        }
        self.shared.logs[self.id].put(Ended {
            source: flow.client,
            upstream: Some(flow.upstream.settings.address),
            at: self.now,
            lasted: self.now - flow.since,
            bytes: flow.bytes,
            reason,
            listener: flow.listener,
        });
    }
}
