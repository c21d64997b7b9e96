//! A relay that somebody watches: the last word to the caller waits until the witness has put down how
//! the request ended. Only the heads of frames are followed; bodies pass as they are, uncopied but for
//! the last small one, which the witness is shown.

use super::{Half, Relayed};
use crate::codec;
use crate::frame::{FrameWriter, MAX_FRAME, Tag};
use crate::mux::{Source as _, Stream};
use bytes::{Buf as _, Bytes, BytesMut};
use cmdr_protocol::CallError;
use cmdr_protocol::envelope::Kind;
use futures::io::AsyncWrite as _;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// A body of at most so many bytes is kept for the witness.
const SMALL: usize = 512;

/// So long is waited for the caller to hang up.
const LINGER: Duration = Duration::from_secs(5);

/// So long is waited for the end of a frame that is on its way when a request is stopped.
const GRACE: Duration = Duration::from_secs(2);

/// What is told of a request whose caller went away.
pub const GIVEN_UP: &str = "given up by the caller";

/// How a request ended, as those see it who stand between the caller and the one who answers.
#[derive(Debug)]
pub struct Ended {
    /// Well, or with this error: also one of ours when the caller gave up or the answer broke off.
    pub result: Result<(), CallError>,
    /// The body of the last item, when it was a small one.
    pub last: Option<Bytes>,
}

impl Ended {
    /// With this and nothing to show.
    pub const fn with(result: Result<(), CallError>) -> Self {
        Self { result, last: None }
    }
}

/// Is shown what passes, uncopied, and may have a word in it. Asked from the task of the relay, which it
/// has to wake when any of its answers changes.
pub trait Tap: Send {
    /// Pending while nothing more may pass from the one who answers.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Ready when the request is to be ended, with what its caller is told.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<CallError>;
    /// The body of an item of our own for the caller.
    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<Bytes>;
    /// A piece of the answer is about to pass.
    fn back(&mut self, piece: &Bytes);
    /// A piece of what the caller sends is about to pass.
    fn forth(&mut self, piece: &Bytes);
}

/// What taps a relay, if anything does.
pub type Tapped = Option<Box<dyn Tap>>;

/// As [`super::relay`] from the caller `a` to the answerer `b`, whose request is on its way. The last
/// frame, and of a call the whole answer, reaches the caller only after `witness` has returned; when it
/// returns an error the caller gets that instead.
pub async fn relay_witnessed<F, Fut>(
    a: Stream,
    b: Stream,
    kind: Kind,
    mut tap: Tapped,
    witness: F,
) -> Relayed
where
    F: FnOnce(Ended) -> Fut + Send,
    Fut: Future<Output = Result<(), CallError>> + Send,
{
    let mut forth = Half::new(a.clone(), b.clone());
    let mut back = Follow::new(b.clone(), a.clone(), kind);
    let mut stop: Option<(CallError, Pin<Box<Sleep>>)> = None;
    let result = poll_fn(|cx| {
        if stop.is_none()
            && let Some(tap) = &mut tap
            && let Poll::Ready(e) = tap.poll_stop(cx)
        {
            stop = Some((e, Box::pin(tokio::time::sleep(GRACE))));
        }
        if let Some((e, grace)) = &mut stop {
            if back.is_between_frames() {
                return Poll::Ready(Err(End::Stopped(e.clone())));
            }
            if grace.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(End::Cut(e.clone())));
            }
        }
        if let Poll::Ready(result) = back.poll(cx, &mut tap) {
            return Poll::Ready(result);
        }
        match forth.poll_tapped(cx, false, &mut tap) {
            Poll::Ready(Err(_)) => Poll::Ready(Err(End::GivenUp)),
            _ => Poll::Pending,
        }
    })
    .await;
    // What it was shown is all there is: the witness may wait for what it made of it.
    drop(tap);
    let mut relayed = Relayed { forth: forth.bytes, back: back.bytes };
    let last = back.follower.last.take();
    let (result, cut) = match result {
        Ok(result) => (result, false),
        Err(End::Stopped(e)) => {
            // The host hears of it at once, by the reset: nothing else holds its stream.
            drop((forth, back, b));
            drop(witness(Ended { result: Err(e.clone()), last }).await);
            tell(a, &e).await;
            return relayed;
        }
        Err(End::Cut(e)) => (Err(e), true),
        Err(End::GivenUp) => {
            (Err(CallError::new(cmdr_protocol::ErrorKind::Cancelled, GIVEN_UP)), true)
        }
        Err(End::Lost) => (Err(CallError::lost("the answer broke off before its end")), true),
    };
    if cut {
        // Dropping both streams resets what is left of them.
        drop((forth, back, a, b));
        drop(witness(Ended { result, last }).await);
        return relayed;
    }
    match witness(Ended { result, last }).await {
        Ok(()) => {
            let mut rest = Half::new(b, a);
            rest.piece = std::mem::take(&mut back.follower.held).freeze();
            super::join(&mut forth, &mut rest).await;
            relayed.back += rest.bytes;
            relayed.forth = forth.bytes;
        }
        Err(e) => tell(a, &e).await,
    }
    relayed
}

/// Ends the stream to the caller with an error instead of the last word.
async fn tell(mut caller: Stream, error: &CallError) {
    let mut writer = FrameWriter::new(caller.clone());
    if let Ok(bytes) = codec::encode(error)
        && writer.send(Tag::Error, &bytes).await.is_ok()
    {
        // The caller hangs up when it has read; a moment for that keeps the words from being cut.
        drop(writer.close().await);
        let hung_up = poll_fn(|cx| {
            loop {
                match ready!(caller.poll_take(cx, usize::MAX)) {
                    Ok(piece) if !piece.is_empty() => {}
                    _ => return Poll::Ready(()),
                }
            }
        });
        drop(tokio::time::timeout(LINGER, hung_up).await);
    }
}

/// Why there is no proper end.
#[derive(Clone, Debug)]
enum End {
    GivenUp,
    Lost,
    /// The tap ends it, between two frames.
    Stopped(CallError),
    /// The tap ends it, and the frame on its way does not come to its end.
    Cut(CallError),
}

/// The way back: passes on what is not the last word.
struct Follow {
    from: Stream,
    to: Stream,
    out: VecDeque<Bytes>,
    follower: Follower,
    bytes: u64,
}

impl Follow {
    fn new(from: Stream, to: Stream, kind: Kind) -> Self {
        Self { from, to, out: VecDeque::new(), follower: Follower::new(kind), bytes: 0 }
    }

    /// Whether the caller has been sent whole frames only, and not the last word yet.
    fn is_between_frames(&self) -> bool {
        self.out.iter().all(Bytes::is_empty) && self.follower.is_between_frames()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        tap: &mut Tapped,
    ) -> Poll<Result<Result<(), CallError>, End>> {
        loop {
            if let Some(tap) = tap
                && self.is_between_frames()
                && let Poll::Ready(body) = tap.poll_say(cx)
            {
                let mut head = BytesMut::with_capacity(5);
                head.extend_from_slice(&(body.len() as u32 + 1).to_be_bytes());
                head.extend_from_slice(&[Tag::Body as u8]);
                self.out.extend([head.freeze(), body]);
            }
            while let Some(piece) = self.out.front_mut() {
                if piece.is_empty() {
                    self.out.pop_front();
                    continue;
                }
                let written = ready!(Pin::new(&mut self.to).poll_write(cx, piece));
                let Ok(n) = written else { return Poll::Ready(Err(End::GivenUp)) };
                piece.advance(n);
                self.bytes += n as u64;
            }
            if let Some(result) = self.follower.ended() {
                return Poll::Ready(Ok(result));
            }
            if let Some(tap) = tap {
                ready!(tap.poll_room(cx));
            }
            let Ok(piece) = ready!(self.from.poll_take(cx, usize::MAX)) else {
                return Poll::Ready(Err(End::Lost));
            };
            if let Some(tap) = tap {
                tap.back(&piece);
            }
            if piece.is_empty() || self.follower.push(piece, &mut self.out).is_err() {
                return Poll::Ready(Err(End::Lost));
            }
        }
    }
}

/// Where in the frames we are.
struct Follower {
    kind: Kind,
    head: [u8; 5],
    /// Bytes of `head` that have come.
    got: usize,
    /// Bytes of the frame that are still to come.
    left: usize,
    /// A small body that is being kept.
    keeping: Option<BytesMut>,
    last: Option<Bytes>,
    /// What must not pass yet: from the first byte of the last word on.
    held: BytesMut,
    holding: bool,
    /// Where in `held` the last frame's payload begins, once its head has come.
    payload: Option<(Tag, usize)>,
}

impl Follower {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            head: [0; 5],
            got: 0,
            left: 0,
            keeping: None,
            last: None,
            held: BytesMut::new(),
            holding: false,
            payload: None,
        }
    }

    /// Takes what has come; what may pass goes to `out`.
    fn push(&mut self, mut piece: Bytes, out: &mut VecDeque<Bytes>) -> io::Result<()> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        while !piece.is_empty() {
            if self.left > 0 {
                let n = piece.len().min(self.left);
                self.left -= n;
                let body = piece.split_to(n);
                if let Some(kept) = &mut self.keeping {
                    kept.extend_from_slice(&body);
                }
                if self.holding {
                    self.held.extend_from_slice(&body);
                } else {
                    out.push_back(body);
                }
                if self.left == 0 {
                    self.frame_over();
                }
                continue;
            }
            if self.ended_frame() {
                // Nothing follows the last word.
                return Ok(());
            }
            let n = piece.len().min(self.head.len() - self.got);
            self.head[self.got..self.got + n].copy_from_slice(&piece[..n]);
            self.got += n;
            piece.advance(n);
            if self.got < self.head.len() {
                return Ok(());
            }
            self.got = 0;
            let [len @ .., tag] = self.head;
            let len = u32::from_be_bytes(len) as usize;
            if !(1..=MAX_FRAME).contains(&len) {
                return Err(broken());
            }
            self.left = len - 1;
            let tag = match tag {
                2 => Tag::Body,
                3 => Tag::End,
                4 => Tag::Error,
                _ => return Err(broken()),
            };
            // A call's caller takes the body for the whole answer.
            let last = tag != Tag::Body || self.kind != Kind::Feed;
            if self.holding && tag == Tag::Body {
                // A call has one reply; whoever sends more is up to something.
                return Err(broken());
            }
            self.keeping = (tag == Tag::Body && self.left <= SMALL).then(BytesMut::new);
            if tag == Tag::Body {
                self.last = None;
            }
            if last {
                self.holding = true;
                self.held.extend_from_slice(&self.head);
                if tag != Tag::Body {
                    self.payload = Some((tag, self.held.len()));
                }
            } else {
                out.push_back(Bytes::copy_from_slice(&self.head));
            }
            if self.left == 0 {
                self.frame_over();
            }
        }
        Ok(())
    }

    const fn is_between_frames(&self) -> bool {
        self.left == 0 && self.got == 0 && !self.holding
    }

    fn frame_over(&mut self) {
        if let Some(kept) = self.keeping.take() {
            self.last = Some(kept.freeze());
        }
    }

    const fn ended_frame(&self) -> bool {
        self.payload.is_some() && self.left == 0
    }

    /// How it ended, once the last frame has come whole.
    fn ended(&self) -> Option<Result<(), CallError>> {
        let (tag, begin) = self.payload?;
        if self.left > 0 {
            return None;
        }
        Some(match tag {
            Tag::Error => Err(codec::decode(&self.held[begin..]).unwrap_or_else(|e| {
                CallError::malformed(format!("its error cannot be read: {e}"))
            })),
            _ => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(tag: Tag, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32 + 1).to_be_bytes().to_vec();
        bytes.push(tag as u8);
        bytes.extend(payload);
        bytes
    }

    fn flat(out: &VecDeque<Bytes>) -> Vec<u8> {
        out.iter().flatten().copied().collect()
    }

    /// Feeds the bytes in pieces of these sizes; what passed, what is held, how it ended.
    fn follow(kind: Kind, bytes: &[u8], sizes: &[usize]) -> (Vec<u8>, Follower, io::Result<()>) {
        let (mut follower, mut out) = (Follower::new(kind), VecDeque::new());
        let (mut rest, mut sizes) = (Bytes::copy_from_slice(bytes), sizes.iter().cycle());
        while !rest.is_empty() {
            let n = rest.len().min(*sizes.next().unwrap());
            if let Err(e) = follower.push(rest.split_to(n), &mut out) {
                return (flat(&out), follower, Err(e));
            }
        }
        (flat(&out), follower, Ok(()))
    }

    #[test]
    fn a_body_passes_uncopied() {
        let bytes = Bytes::from(frame(Tag::Body, &[7; 10_000]));
        let (mut follower, mut out) = (Follower::new(Kind::Feed), VecDeque::new());
        follower.push(bytes.clone(), &mut out).unwrap();
        assert_eq!(out[1].as_ptr(), bytes[5..].as_ptr());
    }

    #[test]
    fn the_whole_answer_of_a_call_is_held_and_a_second_one_is_refused() {
        let bytes = [frame(Tag::Body, b"reply"), frame(Tag::End, b"")].concat();
        let (passed, follower, _) = follow(Kind::Call, &bytes, &[3]);
        assert!(passed.is_empty());
        assert_eq!(&follower.held[..], &bytes[..]);
        assert!(matches!(follower.ended(), Some(Ok(()))));
        let twice = [frame(Tag::Body, b"reply"), frame(Tag::Body, b"reply")].concat();
        assert!(follow(Kind::Call, &twice, &[100]).2.is_err());
    }

    #[test]
    fn an_error_is_held_and_read() {
        let error = codec::encode(&CallError::denied("no")).unwrap();
        let (passed, follower, _) = follow(Kind::Feed, &frame(Tag::Error, &error), &[2]);
        assert!(passed.is_empty());
        assert_eq!(follower.ended(), Some(Err(CallError::denied("no"))));
    }

    proptest! {
        #[test]
        fn of_a_feed_all_but_its_last_frame_passes_as_it_came(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..6),
            sizes in proptest::collection::vec(1usize..700, 1..5),
        ) {
            let items: Vec<u8> = bodies.iter().flat_map(|b| frame(Tag::Body, b)).collect();
            let end = frame(Tag::End, b"");
            let (passed, follower, result) = follow(Kind::Feed, &[items.clone(), end.clone()].concat(), &sizes);
            prop_assert!(result.is_ok());
            prop_assert_eq!(passed, items);
            prop_assert_eq!(&follower.held[..], &end[..]);
            prop_assert!(matches!(follower.ended(), Some(Ok(()))));
            let small = bodies.last().filter(|b| b.len() <= SMALL);
            prop_assert_eq!(follower.last.as_deref(), small.map(Vec::as_slice));
        }

        #[test]
        fn any_bytes_are_followed_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), sizes in proptest::collection::vec(1usize..50, 1..5)
        ) {
            drop(follow(Kind::Call, &bytes, &sizes));
            drop(follow(Kind::Feed, &bytes, &sizes));
        }
    }
}
