//! The state of one connection: its streams, their credit, and the channel they share. Pure of any
//! socket and task: the driver feeds it what comes in, streams write into it, both under one lock.

use super::header::{ACK, FIN, HEADER, Header, INITIAL_WINDOW, Kind, RST, SYN};
use super::received::Received;
use super::{Limits, Mode, OpenError};
use crate::noise::{Channel, SEAL};
use bytes::{Buf as _, Bytes};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Bytes that may wait for the socket before streams are held back.
const OUT_LIMIT: usize = 128 * 1024;
/// A write this small may go before the bytes of others that wait: a keystroke, a heartbeat.
const URGENT: usize = 1024;
/// Room beyond the limit for those.
const URGENT_LIMIT: usize = OUT_LIMIT + 64 * 1024;
/// What is answered to the peer without asking for room (resets, pongs) may grow to this. A peer that
/// provokes so many answers and reads none is cut off.
const ANSWERS_LIMIT: usize = 1 << 20;
/// The largest window of one stream: 40 MB/s over a path of 100 ms.
const LARGEST_WINDOW: u32 = 4 << 20;
/// A window of which half is used up faster than this is too small.
const BUSY: Duration = Duration::from_millis(250);
/// What the peer does not wait for may wait so long for something to leave with: a write of its own costs as much
/// as one with a request in it.
const CALM: Duration = Duration::from_millis(50);

/// Everything about one connection but its socket.
#[derive(Debug)]
pub(super) struct Core {
    channel: Channel,
    mode: Mode,
    limits: Limits,
    streams: HashMap<u32, Slot>,
    next_id: u32,
    /// The sum of all streams' windows.
    windows: usize,
    /// Streams of the peer's that the driver has not handed out yet.
    accepted: VecDeque<u32>,
    incoming: Incoming,
    /// Who waits for room before the socket.
    crowd: Vec<Waker>,
    driver: Option<Waker>,
    leaves: Leaves,
    ended: Option<String>,
}

/// When what was written is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// Nothing was.
    No,
    /// With what comes next, or at this moment.
    By(Instant),
    Now,
}

/// Where we are in what the peer sends.
#[derive(Debug)]
enum Incoming {
    /// In a header, of which so many bytes have come.
    Head([u8; HEADER], usize),
    /// In the bytes of a frame, of which so many are missing.
    Body(Header, usize),
}

/// One stream.
#[derive(Debug)]
struct Slot {
    received: Received,
    /// Bytes that we may still send.
    credit: u32,
    /// Bytes that the peer may still send.
    window: u32,
    /// What `window` is brought back to.
    full: u32,
    /// Bytes read since it was.
    taken: u32,
    refilled: Instant,
    /// Goes with our next frame: SYN when we opened the stream, ACK when the peer did.
    greeting: u16,
    /// The peer has sent its last byte.
    heard_end: bool,
    /// We have sent our last byte.
    said_end: bool,
    /// The peer has given the stream up.
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Slot {
    fn new(greeting: u16) -> Self {
        Self {
            received: Received::default(),
            credit: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            full: INITIAL_WINDOW,
            taken: 0,
            refilled: Instant::now(),
            greeting,
            heard_end: false,
            said_end: false,
            reset: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("protocol error: {what}"))
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

impl Core {
    pub(super) fn new(channel: Channel, mode: Mode, limits: Limits) -> Self {
        Self {
            channel,
            mode,
            limits,
            streams: HashMap::new(),
            next_id: match mode {
                Mode::Client => 1,
                Mode::Server => 2,
            },
            windows: 0,
            accepted: VecDeque::new(),
            incoming: Incoming::Head([0; HEADER], 0),
            crowd: Vec::new(),
            driver: None,
            leaves: Leaves::No,
            ended: None,
        }
    }

    fn send(&mut self, header: Header, body: &[u8]) -> io::Result<()> {
        self.channel.write(&header.encode())?;
        self.channel.write(body)?;
        self.leaves = Leaves::Now;
        self.wake_driver();
        Ok(())
    }

    /// Sends a frame that nobody waits for.
    fn send_calmly(&mut self, header: Header) {
        if let Err(e) = self.channel.write(&header.encode()) {
            self.end(e.to_string());
        } else if self.leaves == Leaves::No {
            self.leaves = Leaves::By(Instant::now() + CALM);
            self.wake_driver();
        }
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Sends a frame from where no error can be returned; a channel that cannot seal is over.
    fn answer(&mut self, header: Header) {
        if let Err(e) = self.send(header, &[]) {
            self.end(e.to_string());
        }
    }

    // The streams' side.

    /// A new stream; it shows at the peer with its first frame.
    pub(super) fn open(&mut self) -> Result<u32, OpenError> {
        if self.ended.is_some() {
            return Err(OpenError::Gone);
        }
        if self.streams.len() >= self.limits.streams {
            return Err(OpenError::TooMany);
        }
        let id = self.next_id;
        let Some(next) = id.checked_add(2) else {
            self.end("all stream numbers are used up".to_owned());
            return Err(OpenError::Gone);
        };
        self.next_id = next;
        self.windows += INITIAL_WINDOW as usize;
        self.streams.insert(id, Slot::new(SYN));
        Ok(id)
    }

    /// The next piece of at most `most` bytes; empty at the end.
    pub(super) fn poll_take(
        &mut self,
        id: u32,
        most: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let ended = self.ended.is_some();
        let Some(slot) = self.streams.get_mut(&id) else { return Poll::Ready(Ok(Bytes::new())) };
        let Some(piece) = slot.received.take(most) else {
            if slot.heard_end || slot.reset || ended {
                return Poll::Ready(Ok(Bytes::new()));
            }
            keep(&mut slot.reader, cx);
            return Poll::Pending;
        };
        slot.taken += piece.len() as u32;
        if slot.taken >= slot.full / 2 && !slot.heard_end && !slot.reset && !ended {
            let mut more = slot.taken;
            if slot.refilled.elapsed() < BUSY
                && slot.full < LARGEST_WINDOW
                && self.windows + slot.full as usize <= self.limits.window
            {
                self.windows += slot.full as usize;
                more += slot.full;
                slot.full *= 2;
            }
            slot.taken = 0;
            slot.window += more;
            slot.refilled = Instant::now();
            let flags = std::mem::take(&mut slot.greeting);
            self.send(Header::new(Kind::WindowUpdate, flags, id, more), &[])?;
        }
        Poll::Ready(Ok(piece))
    }

    /// Sends as much of `bytes` as the peer's credit and the room before the socket allow.
    pub(super) fn poll_write(
        &mut self,
        id: u32,
        bytes: &[u8],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let slot = match self.streams.get_mut(&id) {
            Some(slot) if self.ended.is_none() && !slot.reset && !slot.said_end => slot,
            _ => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if slot.credit == 0 {
            keep(&mut slot.writer, cx);
            return Poll::Pending;
        }
        let room = if bytes.len() <= URGENT { URGENT_LIMIT } else { OUT_LIMIT };
        if self.channel.waiting() >= room {
            if !self.crowd.iter().any(|waker| waker.will_wake(cx.waker())) {
                self.crowd.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let len = bytes.len().min(SEAL).min(slot.credit as usize);
        slot.credit -= len as u32;
        let flags = std::mem::take(&mut slot.greeting);
        self.send(Header::new(Kind::Data, flags, id, len as u32), &bytes[..len])?;
        Poll::Ready(Ok(len))
    }

    /// Ends our direction of a stream.
    pub(super) fn finish(&mut self, id: u32) -> io::Result<()> {
        let Some(slot) = self.streams.get_mut(&id) else { return Ok(()) };
        if slot.said_end || slot.reset || self.ended.is_some() {
            return Ok(());
        }
        slot.said_end = true;
        let flags = std::mem::take(&mut slot.greeting) | FIN;
        let header = Header::new(Kind::Data, flags, id, 0);
        // A peer that has said all of it, as the answer to a call, waits for nothing more.
        if slot.heard_end {
            self.send_calmly(header);
            return Ok(());
        }
        self.send(header, &[])
    }

    /// Whether neither direction of a stream can carry anything more.
    pub(super) fn is_closed(&self, id: u32) -> bool {
        self.ended.is_some()
            || self
                .streams
                .get(&id)
                .is_none_or(|slot| slot.reset || (slot.heard_end && slot.said_end))
    }

    /// Nobody holds the stream any more: what is left of it is given up.
    pub(super) fn forget(&mut self, id: u32) {
        let Some(slot) = self.streams.remove(&id) else { return };
        self.windows -= slot.full as usize;
        let over = slot.reset || (slot.heard_end && slot.said_end);
        // A stream that never showed at the peer need not be given up there.
        if !over && self.ended.is_none() && slot.greeting & SYN == 0 {
            let header = Header::new(Kind::Data, RST | slot.greeting, id, 0);
            // A peer that has said all of it has no work left that this could spare it.
            if slot.heard_end { self.send_calmly(header) } else { self.answer(header) }
        }
    }

    /// The sum of all streams' windows.
    #[cfg(test)]
    pub(super) const fn windows(&self) -> usize {
        self.windows
    }

    // The driver's side.

    /// Streams of the peer's that were not handed out yet.
    pub(super) fn next_accepted(&mut self) -> Option<u32> {
        self.accepted.pop_front()
    }

    /// Why the connection is over, if it is.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// The connection is over for this reason, unless it already was for another.
    pub(super) fn end(&mut self, why: String) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(why);
        self.streams.values_mut().for_each(Slot::wake);
        self.crowd.drain(..).for_each(Waker::wake);
        self.wake_driver();
    }

    /// Ends the connection in good order: the peer is told.
    pub(super) fn leave(&mut self, why: &str) {
        self.answer(Header::new(Kind::GoAway, 0, 0, 0));
        self.end(why.to_owned());
    }

    /// Reads from the socket once. `false` at its end.
    pub(super) fn poll_receive<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut opened = VecDeque::new();
        let received = self.channel.poll_receive(io, cx, &mut opened);
        for message in opened {
            self.receive(message)?;
        }
        received
    }

    /// Sends what was written; wakes those who waited for room.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        keep(&mut self.driver, cx);
        if self.leaves_at().is_some() {
            return Poll::Ready(Ok(()));
        }
        let sent = self.channel.poll_send(io, cx);
        if sent.is_ready() {
            self.leaves = Leaves::No;
        }
        if self.channel.waiting() < OUT_LIMIT {
            self.crowd.drain(..).for_each(Waker::wake);
        }
        sent
    }

    /// When what waits for company is to leave without it.
    pub(super) fn leaves_at(&mut self) -> Option<Instant> {
        match self.leaves {
            Leaves::By(at) if at > Instant::now() => Some(at),
            Leaves::By(_) => {
                self.leaves = Leaves::Now;
                None
            }
            Leaves::No | Leaves::Now => None,
        }
    }

    /// The channel, when nothing uses it any more.
    pub(super) fn into_channel(self) -> Channel {
        self.channel
    }

    /// Takes what the peer has sent.
    pub(super) fn receive(&mut self, mut message: Bytes) -> io::Result<()> {
        let whole = message.len();
        while !message.is_empty() {
            match &mut self.incoming {
                Incoming::Head(head, got) => {
                    let n = message.len().min(HEADER - *got);
                    head[*got..*got + n].copy_from_slice(&message[..n]);
                    message.advance(n);
                    *got += n;
                    if *got == HEADER {
                        let head =
                            Header::decode(*head).ok_or_else(|| broken("an unknown frame"))?;
                        self.incoming = Incoming::Head([0; HEADER], 0);
                        self.begin(head)?;
                    }
                }
                Incoming::Body(header, left) => {
                    let n = message.len().min(*left);
                    *left -= n;
                    let (header, over) = (*header, *left == 0);
                    let piece = message.split_to(n);
                    if let Some(slot) = self.streams.get_mut(&header.stream) {
                        slot.received.push(piece, whole);
                        if let Some(reader) = slot.reader.take() {
                            reader.wake();
                        }
                    }
                    if over {
                        self.incoming = Incoming::Head([0; HEADER], 0);
                        self.end_frame(header);
                    }
                }
            }
        }
        if self.channel.waiting() > ANSWERS_LIMIT {
            return Err(broken("answers are provoked and not read"));
        }
        Ok(())
    }

    /// A header has come.
    fn begin(&mut self, header: Header) -> io::Result<()> {
        let Header { kind, stream: id, length, .. } = header;
        match kind {
            Kind::Ping if header.has(SYN) => self.answer(Header::new(Kind::Ping, ACK, 0, length)),
            Kind::Ping => {}
            Kind::GoAway => self.end("closed by the other end".to_owned()),
            Kind::Data | Kind::WindowUpdate if id == 0 => {
                return Err(broken("a frame of no stream"));
            }
            Kind::Data | Kind::WindowUpdate => {
                if header.has(SYN) {
                    self.accept(id)?;
                }
                let slot = self.streams.get_mut(&id);
                if kind == Kind::WindowUpdate {
                    if let Some(slot) = slot {
                        slot.credit = slot.credit.saturating_add(length);
                        if let Some(writer) = slot.writer.take() {
                            writer.wake();
                        }
                    }
                    self.end_frame(header);
                } else if length == 0 {
                    self.end_frame(header);
                } else {
                    // The bytes of a stream that we have given up are still on their way.
                    let mut unknown = LARGEST_WINDOW;
                    let window = slot.map_or(&mut unknown, |slot| &mut slot.window);
                    *window = window
                        .checked_sub(length)
                        .ok_or_else(|| broken("more bytes than the stream's window allows"))?;
                    self.incoming = Incoming::Body(header, length as usize);
                }
            }
        }
        Ok(())
    }

    /// A frame is complete.
    fn end_frame(&mut self, header: Header) {
        let Some(slot) = self.streams.get_mut(&header.stream) else { return };
        slot.reset |= header.has(RST);
        slot.heard_end |= header.has(FIN);
        if header.has(RST | FIN) {
            slot.wake();
        }
    }

    /// The peer opens a stream.
    fn accept(&mut self, id: u32) -> io::Result<()> {
        let theirs = match self.mode {
            Mode::Client => 0,
            Mode::Server => 1,
        };
        if id % 2 != theirs || self.streams.contains_key(&id) {
            return Err(broken("a stream is opened with a number that is not free"));
        }
        if self.streams.len() >= self.limits.streams {
            self.answer(Header::new(Kind::Data, RST, id, 0));
            return Ok(());
        }
        self.windows += INITIAL_WINDOW as usize;
        self.streams.insert(id, Slot::new(ACK));
        self.accepted.push_back(id);
        Ok(())
    }
}
