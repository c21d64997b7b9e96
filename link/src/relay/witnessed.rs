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

/// A body of at most so many bytes is kept for the witness.
const SMALL: usize = 512;

/// So long is waited for the caller to hang up.
const LINGER: Duration = Duration::from_secs(5);

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

/// As [`super::relay`] from the caller `a` to the answerer `b`, whose request is on its way. The last
/// frame, and of a call the whole answer, reaches the caller only after `witness` has returned; when it
/// returns an error the caller gets that instead.
pub async fn relay_witnessed<F, Fut>(a: Stream, b: Stream, kind: Kind, witness: F) -> Relayed
where
    F: FnOnce(Ended) -> Fut + Send,
    Fut: Future<Output = Result<(), CallError>> + Send,
{
    let mut forth = Half::new(a.clone(), b.clone());
    let mut back = Follow::new(b.clone(), a.clone(), kind);
    let result = poll_fn(|cx| {
        if let Poll::Ready(result) = back.poll(cx) {
            return Poll::Ready(result);
        }
        match forth.poll(cx, false) {
            Poll::Ready(Err(_)) => Poll::Ready(Err(End::GivenUp)),
            _ => Poll::Pending,
        }
    })
    .await;
    let gone = result.as_ref().err().copied();
    let result = match (result, gone) {
        (Ok(result), _) => result,
        (Err(_), Some(End::GivenUp)) => {
            Err(CallError::new(cmdr_protocol::ErrorKind::Cancelled, "given up by the caller"))
        }
        (Err(_), _) => Err(CallError::lost("the answer broke off before its end")),
    };
    let said = witness(Ended { result, last: back.follower.last.take() }).await;
    let mut relayed = Relayed { forth: forth.bytes, back: back.bytes };
    if gone.is_some() {
        // Dropping both streams resets what is left of them.
        return relayed;
    }
    let held = std::mem::take(&mut back.follower.held).freeze();
    match said {
        Ok(()) => {
            let mut rest = Half::new(b, a);
            rest.piece = held;
            super::join(&mut forth, &mut rest).await;
            relayed.back += rest.bytes;
        }
        Err(e) => {
            let mut writer = FrameWriter::new(a);
            if let Ok(bytes) = codec::encode(&e)
                && writer.send(Tag::Error, &bytes).await.is_ok()
            {
                // The caller hangs up when it has read; a moment for that keeps the words from being cut.
                drop(writer.close().await);
                let hung_up = poll_fn(|cx| forth.poll(cx, true));
                drop(tokio::time::timeout(LINGER, hung_up).await);
            }
        }
    }
    relayed.forth = forth.bytes;
    relayed
}

/// Why there is no proper end.
#[derive(Clone, Copy, Debug)]
enum End {
    GivenUp,
    Lost,
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

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Result<(), CallError>, End>> {
        loop {
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
            let Ok(piece) = ready!(self.from.poll_take(cx, usize::MAX)) else {
                return Poll::Ready(Err(End::Lost));
            };
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
