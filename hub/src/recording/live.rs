//! A recording that runs: what its relay, the recorder's thread and those who watch share.
//!
//! The relay puts pieces of frames into a bounded queue and never waits for a disk, unless a rule is
//! strict; the recorder's thread takes them out.

use super::workers::Worker;
use bytes::{Buf as _, Bytes};
use cmdr_link::codec;
use cmdr_link::frame::MAX_FRAME;
use cmdr_link::relay::Tap;
use cmdr_protocol::CallError;
use cmdr_protocol::exec::Item;
use cmdr_protocol::recordings::{Mark, Notice, Recording, State};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of one recording that may wait for the recorder.
const WAITING: usize = 8 << 20;
/// Bytes of all recordings that may wait for it.
const WAITING_ALL: usize = 64 << 20;
/// So much makes the recorder's thread look before its next round.
const WORTH_A_LOOK: usize = 1 << 20;

/// Which way a piece went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the host to the operator.
    Back,
    /// From the operator to the host.
    Forth,
}

/// Something for the recorder.
#[derive(Debug)]
pub(super) enum Part {
    /// A piece of whole frames; frames are dropped whole or not at all.
    Piece(Way, Bytes),
    /// So many bytes were dropped, for want of room.
    Lost(u64),
    /// Nothing follows; how it ended, in words.
    End(String),
}

#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<(Duration, Part)>,
    bytes: usize,
    ended: bool,
}

/// What the relay is to be told.
#[derive(Debug, Default)]
struct Orders {
    stop: Option<CallError>,
    notice: Option<Notice>,
    waker: Option<Waker>,
}

/// What is written and not in the file yet.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// Lines of asciicast.
    pub(super) lines: Vec<u8>,
    /// The number of the piece they will be.
    pub(super) number: u64,
    /// Where in the file that will begin.
    pub(super) offset: u64,
    /// Nothing follows them.
    pub(super) over: bool,
}

/// A recording that runs.
#[derive(Debug)]
pub struct Live {
    /// Its number.
    pub id: u64,
    pub(super) strict: bool,
    /// What is recorded ends with its caller, unlike a session.
    pub(super) is_command: bool,
    /// The session's id, as soon as it is known.
    pub(super) session: Mutex<String>,
    pub(super) began: Instant,
    worker: Arc<Worker>,
    waiting_all: Arc<AtomicUsize>,
    queue: Mutex<Queue>,
    orders: Mutex<Orders>,
    /// Something in the orders changed that the relay has not seen: looked at without the lock.
    ordered: AtomicBool,
    pub(super) fresh: Mutex<Fresh>,
    /// Counts up when something was written.
    pub(super) news: watch::Sender<u64>,
    watchers: Mutex<Vec<(u64, String)>>,
    pub(super) marks: Mutex<Vec<Mark>>,
    /// Bytes recorded.
    pub(super) bytes: AtomicU64,
    /// Bytes on disk.
    pub(super) size: AtomicU64,
    /// Bytes lost.
    pub(super) lost: AtomicU64,
    /// It has reached its limit: what still comes need not wait for the recorder.
    pub(super) is_full: AtomicBool,
    /// Its end could not be written.
    pub(super) is_cut: AtomicBool,
    /// It is written to its end.
    pub(super) done: watch::Sender<bool>,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    pub(super) fn new(
        id: u64,
        strict: bool,
        is_command: bool,
        worker: Arc<Worker>,
        waiting_all: Arc<AtomicUsize>,
    ) -> Self {
        let notice = Notice { recording: Some(id), ..Notice::default() };
        Self {
            id,
            strict,
            is_command,
            session: Mutex::default(),
            began: Instant::now(),
            worker,
            waiting_all,
            queue: Mutex::default(),
            orders: Mutex::new(Orders { notice: Some(notice), ..Orders::default() }),
            ordered: AtomicBool::new(true),
            fresh: Mutex::default(),
            news: watch::Sender::new(0),
            watchers: Mutex::default(),
            marks: Mutex::default(),
            bytes: AtomicU64::new(0),
            size: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            done: watch::Sender::new(false),
        }
    }

    /// Takes out what waits; with whether it is much.
    pub(super) fn take(&self) -> (VecDeque<(Duration, Part)>, bool) {
        let (parts, bytes) = {
            let mut queue = held(&self.queue);
            (std::mem::take(&mut queue.parts), std::mem::take(&mut queue.bytes))
        };
        if bytes > 0 {
            self.waiting_all.fetch_sub(bytes, Ordering::Relaxed);
            if self.strict {
                self.wake();
            }
        }
        (parts, bytes >= WORTH_A_LOOK)
    }

    fn wake(&self) {
        let waker = held(&self.orders).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn has_room(&self, queue: &Queue) -> bool {
        queue.bytes < WAITING
            && (queue.bytes == 0 || self.waiting_all.load(Ordering::Relaxed) < WAITING_ALL)
    }

    fn put(&self, queue: &mut Queue, part: Part) {
        let bytes = if let Part::Piece(_, piece) = &part { piece.len() } else { 0 };
        queue.bytes += bytes;
        self.waiting_all.fetch_add(bytes, Ordering::Relaxed);
        queue.parts.push_back((self.began.elapsed(), part));
    }

    /// Says that nothing more comes, and how it ended.
    pub(super) fn end(&self, how: String) {
        {
            let mut queue = held(&self.queue);
            if std::mem::replace(&mut queue.ended, true) {
                return;
            }
            queue.parts.push_back((self.began.elapsed(), Part::End(how)));
        }
        self.worker.look();
    }

    /// Ends what is recorded; its caller is told why.
    pub fn stop(&self, why: CallError) {
        held(&self.orders).stop = Some(why);
        self.ordered.store(true, Ordering::Release);
        self.wake();
    }

    /// Somebody begins to watch; it ends when the guard is dropped.
    pub(crate) fn watched(self: &Arc<Self>, number: u64, name: &str) -> Watcher {
        held(&self.watchers).push((number, name.to_owned()));
        self.tell_watchers();
        Watcher { live: self.clone(), number }
    }

    /// Tells when something was written.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Fills in what only it knows.
    pub(super) fn show(&self, shown: &mut Recording) {
        shown.took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        shown.bytes = self.bytes.load(Ordering::Relaxed);
        shown.size = self.size.load(Ordering::Relaxed);
        shown.lost = self.lost.load(Ordering::Relaxed);
        shown.watchers = self.watchers();
        shown.session.clone_from(&held(&self.session));
        shown.marks.clone_from(&held(&self.marks));
        let remark = shown.remark.take();
        shown.set_remark(remark);
    }

    /// How it stands, once it has ended.
    pub(super) fn state(&self) -> State {
        if !*self.done.borrow() || self.is_cut.load(Ordering::Relaxed) {
            State::Cut
        } else if self.lost.load(Ordering::Relaxed) > 0 {
            State::Gaps
        } else {
            State::Whole
        }
    }

    /// Who watches now.
    pub fn watchers(&self) -> Vec<String> {
        held(&self.watchers).iter().map(|(_, name)| name.clone()).collect()
    }

    fn tell_watchers(&self) {
        let watchers = self.watchers();
        held(&self.orders).notice.get_or_insert_default().watchers = Some(watchers);
        self.ordered.store(true, Ordering::Release);
        self.wake();
    }
}

/// Somebody who watches.
#[derive(Debug)]
pub(crate) struct Watcher {
    live: Arc<Live>,
    number: u64,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        held(&self.live.watchers).retain(|(number, _)| *number != self.number);
        self.live.tell_watchers();
    }
}

/// The relay's end of a recording.
#[derive(Debug)]
pub(super) struct Ear {
    live: Arc<Live>,
    input: bool,
    back: Cutter,
    forth: Cutter,
}

impl Ear {
    pub(super) fn new(live: Arc<Live>, input: bool) -> Self {
        Self { live, input, back: Cutter::default(), forth: Cutter::default() }
    }

    fn heard(&mut self, way: Way, piece: &Bytes) {
        let live = self.live.clone();
        let cutter = if way == Way::Back { &mut self.back } else { &mut self.forth };
        let look = {
            let mut queue = held(&live.queue);
            // A strict recording waits for room before; input is little and has to be there.
            let room = live.strict
                || way == Way::Forth
                || (live.has_room(&queue) && !live.is_full.load(Ordering::Relaxed));
            let mut lost = 0;
            let before = queue.bytes;
            cutter.cut(piece, room, |kept| match kept {
                Ok(kept) => live.put(&mut queue, Part::Piece(way, kept)),
                Err(dropped) => lost += dropped,
            });
            if lost > 0 {
                match queue.parts.back_mut() {
                    Some((_, Part::Lost(n))) => *n += lost,
                    _ => live.put(&mut queue, Part::Lost(lost)),
                }
            }
            before < WORTH_A_LOOK && queue.bytes >= WORTH_A_LOOK
        };
        if look {
            live.worker.look();
        }
    }
}

impl Tap for Ear {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.live.strict {
            return Poll::Ready(());
        }
        // First, so that room which is made meanwhile is not missed.
        held(&self.live.orders).waker = Some(cx.waker().clone());
        if self.live.has_room(&held(&self.live.queue)) {
            return Poll::Ready(());
        }
        self.live.worker.look();
        Poll::Pending
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        let mut orders = held(&self.live.orders);
        if orders.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            orders.waker = Some(cx.waker().clone());
        }
        match orders.stop.take() {
            Some(why) => Poll::Ready(why),
            None => Poll::Pending,
        }
    }

    fn poll_say(&mut self, _: &mut Context<'_>) -> Poll<Bytes> {
        if !self.live.ordered.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let Some(notice) = held(&self.live.orders).notice.take() else { return Poll::Pending };
        match codec::encode(&Item { notice: Some(notice), ..Item::default() }) {
            Ok(body) => Poll::Ready(body),
            Err(_) => Poll::Pending,
        }
    }

    fn back(&mut self, piece: &Bytes) {
        self.heard(Way::Back, piece);
    }

    fn forth(&mut self, piece: &Bytes) {
        if self.input {
            self.heard(Way::Forth, piece);
        }
    }
}

/// Follows the frames of one direction, so that they are kept or dropped whole.
#[derive(Debug, Default)]
struct Cutter {
    head: [u8; 4],
    got: usize,
    /// Bytes of the frame that are still to come.
    left: usize,
    dropping: bool,
}

impl Cutter {
    /// Gives out what is kept of a piece, in order, and the length of what is not. With `room` frames
    /// that begin in it are kept.
    fn cut(&mut self, piece: &Bytes, room: bool, mut out: impl FnMut(Result<Bytes, u64>)) {
        let mut rest = piece.clone();
        // From here on all is kept, or all is dropped.
        let mut begin = 0;
        let mut at = 0;
        let mut keeps = !self.dropping;
        let mut give = |from: usize, to: usize, keeps: bool| {
            if to > from {
                out(if keeps { Ok(piece.slice(from..to)) } else { Err((to - from) as u64) });
            }
        };
        while !rest.is_empty() {
            if self.left > 0 {
                let n = self.left.min(rest.len());
                rest.advance(n);
                (self.left, at) = (self.left - n, at + n);
                continue;
            }
            if self.got == 0 && self.dropping == room {
                give(begin, at, keeps);
                (begin, keeps) = (at, room);
                self.dropping = !room;
            }
            let n = (self.head.len() - self.got).min(rest.len());
            self.head[self.got..self.got + n].copy_from_slice(&rest[..n]);
            rest.advance(n);
            (self.got, at) = (self.got + n, at + n);
            if self.got == self.head.len() {
                self.got = 0;
                // A length that is not allowed ends the relay; what is counted here matters no more.
                self.left = (u32::from_be_bytes(self.head) as usize).min(MAX_FRAME);
            }
        }
        give(begin, at, keeps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32 + 1).to_be_bytes().to_vec();
        bytes.push(2);
        bytes.extend(body);
        bytes
    }

    fn live(strict: bool) -> (Arc<Live>, Ear) {
        let live = Arc::new(Live::new(1, strict, true, Arc::default(), Arc::default()));
        (live.clone(), Ear::new(live, false))
    }

    /// Frames of a mebibyte, more than may wait.
    fn flood(ear: &mut Ear) {
        for _ in 0..12 {
            ear.back(&Bytes::from(frame(&vec![7; (1 << 20) - 5])));
        }
    }

    #[test]
    fn while_the_disk_is_slow_frames_are_lost_counted_and_nothing_waits() {
        let (live, mut ear) = live(false);
        let mut cx = Context::from_waker(Waker::noop());
        flood(&mut ear);
        assert!(ear.poll_room(&mut cx).is_ready());
        let parts = live.take().0;
        let kept: usize = parts
            .iter()
            .filter_map(|(_, part)| if let Part::Piece(_, p) = part { Some(p.len()) } else { None })
            .sum();
        let Some((_, Part::Lost(lost))) = parts.back() else { panic!("nothing was lost") };
        assert_eq!((kept, *lost), (8 << 20, 4 << 20));
        ear.back(&Bytes::from(frame(b"room again")));
        assert!(matches!(live.take().0.back(), Some((_, Part::Piece(Way::Back, _)))));
    }

    #[test]
    fn what_is_strict_waits_for_a_slow_disk_and_goes_on_when_there_is_room() {
        let (live, mut ear) = live(true);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(ear.poll_room(&mut cx).is_ready());
        flood(&mut ear);
        assert!(ear.poll_room(&mut cx).is_pending());
        assert!(live.take().0.iter().all(|(_, part)| matches!(part, Part::Piece(..))));
        assert!(ear.poll_room(&mut cx).is_ready());
    }

    #[test]
    fn all_recordings_together_wait_only_so_much() {
        let waiting = Arc::new(AtomicUsize::new(WAITING_ALL));
        let live = Arc::new(Live::new(1, false, true, Arc::default(), waiting));
        let mut ear = Ear::new(live.clone(), false);
        // One frame is taken, so that nobody starves.
        flood(&mut ear);
        assert_eq!(live.take().0.iter().filter(|(_, p)| matches!(p, Part::Piece(..))).count(), 1);
    }

    proptest! {
        #[test]
        fn frames_are_kept_or_dropped_whole_and_nothing_is_counted_twice(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..10),
            steps in proptest::collection::vec((1usize..30, any::<bool>()), 1..20),
        ) {
            let frames: Vec<_> = bodies.iter().map(|body| frame(body)).collect();
            let mut rest = Bytes::from(frames.concat());
            let (mut cutter, mut kept, mut dropped) = (Cutter::default(), Vec::new(), 0);
            let all = rest.len();
            for (n, room) in steps.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let piece = rest.split_to((*n).min(rest.len()));
                cutter.cut(&piece, *room, |out| match out {
                    Ok(bytes) => kept.extend_from_slice(&bytes),
                    Err(n) => dropped += n as usize,
                });
            }
            prop_assert_eq!(kept.len() + dropped, all);
            // What was kept is some of the frames, in order.
            let (mut at, mut kept) = (frames.iter(), &kept[..]);
            while !kept.is_empty() {
                let next = at.find(|frame| kept.starts_with(frame));
                prop_assert!(next.is_some());
                kept = &kept[next.map_or(0, Vec::len)..];
            }
        }
    }
}
