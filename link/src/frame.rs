//! Cuts a stream into frames: a 32-bit length, a tag, a payload.
//!
//! Reading never allocates what a peer merely claims: memory grows with the bytes that have really
//! come. Neither side owns a buffer while it is idle, and dropping a half-done read loses nothing.

use crate::codec;
use crate::mux::Source;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::io::AsyncWrite;
use serde::Serialize;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The largest frame, tag included.
pub const MAX_FRAME: usize = 1 << 20;

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A `Header`, always the first frame.
    Header = 1,
    /// A request, reply, input or item.
    Body = 2,
    /// The stream has come to its proper end. Without one, something was lost.
    End = 3,
    /// A `CallError`; nothing follows.
    Error = 4,
}

impl Tag {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Header),
            2 => Some(Self::Body),
            3 => Some(Self::End),
            4 => Some(Self::Error),
            _ => None,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub tag: Tag,
    /// Its content.
    pub payload: Bytes,
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether a frame of so many bytes may be sent.
fn within(len: usize) -> io::Result<()> {
    if len > MAX_FRAME {
        return Err(invalid(format!(
            "a message of {len} bytes; at most {MAX_FRAME} are sent at once"
        )));
    }
    Ok(())
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    io: R,
    head: [u8; 5],
    /// Bytes of `head` that have come.
    got: usize,
    /// What has come of a body that did not come in one piece.
    body: BytesMut,
}

impl<R: Source> FrameReader<R> {
    /// Bytes of a frame's body made room for at once.
    const STEP: usize = 64 * 1024;

    /// A reader at a frame's beginning.
    pub fn new(io: R) -> Self {
        Self { io, head: [0; 5], got: 0, body: BytesMut::new() }
    }

    /// The stream beneath. Nothing is lost between frames: reading takes no byte too many.
    pub fn into_inner(self) -> R {
        self.io
    }

    /// The stream beneath.
    pub const fn get_ref(&self) -> &R {
        &self.io
    }

    /// The stream beneath, to add to what it will give.
    pub const fn get_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// The next frame; `None` when the stream ends between frames.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// As [`FrameReader::next`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame>>> {
        while self.got < self.head.len() {
            let piece = ready!(self.io.poll_take(cx, self.head.len() - self.got))?;
            if piece.is_empty() {
                return Poll::Ready(match self.got {
                    0 => Ok(None),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
            self.head[self.got..self.got + piece.len()].copy_from_slice(&piece);
            self.got += piece.len();
        }
        let [len @ .., tag] = self.head;
        let len = u32::from_be_bytes(len) as usize;
        if !(1..=MAX_FRAME).contains(&len) {
            return Poll::Ready(Err(invalid(format!(
                "a frame of {len} bytes; 1 to {MAX_FRAME} are allowed"
            ))));
        }
        let Some(tag) = Tag::from_byte(tag) else {
            return Poll::Ready(Err(invalid(format!("a frame with tag {tag}"))));
        };
        let len = len - 1;
        let mut payload = Bytes::new();
        while self.body.len() < len {
            let missing = len - self.body.len();
            let piece = ready!(self.io.poll_take(cx, missing))?;
            if piece.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if piece.len() == len {
                payload = piece;
                break;
            }
            if self.body.capacity() - self.body.len() < piece.len() {
                self.body.reserve(missing.min(Self::STEP.max(piece.len())));
            }
            self.body.extend_from_slice(&piece);
        }
        self.got = 0;
        if !self.body.is_empty() {
            payload = std::mem::take(&mut self.body).freeze();
        }
        Poll::Ready(Ok(Some(Frame { tag, payload })))
    }
}

/// Writes frames.
#[derive(Debug)]
pub struct FrameWriter<W> {
    io: W,
    out: BytesMut,
    /// Goes after `out`, from where it is.
    rest: Bytes,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// A writer with nothing to write.
    pub fn new(io: W) -> Self {
        Self { io, out: BytesMut::new(), rest: Bytes::new() }
    }

    /// The stream beneath.
    pub fn into_inner(self) -> W {
        self.io
    }

    /// The stream beneath.
    pub const fn get_ref(&self) -> &W {
        &self.io
    }

    /// Queues a frame; [`FrameWriter::flush`] sends it. At most one or two are queued at a time.
    pub fn queue(&mut self, tag: Tag, payload: &[u8]) -> io::Result<()> {
        let len = payload.len() + 1;
        within(len)?;
        self.join();
        self.out.reserve(5 + payload.len());
        self.out.extend_from_slice(&(len as u32).to_be_bytes());
        self.out.extend_from_slice(&[tag as u8]);
        self.out.extend_from_slice(payload);
        Ok(())
    }

    /// As [`FrameWriter::queue`], with a payload that is sent from where it is.
    pub fn queue_bytes(&mut self, tag: Tag, payload: Bytes) -> io::Result<()> {
        let len = payload.len() + 1;
        within(len)?;
        self.join();
        self.out.extend_from_slice(&(len as u32).to_be_bytes());
        self.out.extend_from_slice(&[tag as u8]);
        self.rest = payload;
        Ok(())
    }

    /// Queues what is a whole frame already, to be sent from where it is.
    pub(crate) fn queue_framed(&mut self, frame: Bytes) {
        self.join();
        self.rest = frame;
    }

    /// What waits to go last has something behind it now.
    fn join(&mut self) {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.out.extend_from_slice(&rest);
        }
    }

    /// As [`FrameWriter::queue`], with a value that is encoded in place.
    pub fn queue_value<T: Serialize + ?Sized>(&mut self, tag: Tag, value: &T) -> io::Result<()> {
        self.join();
        let begin = self.out.len();
        self.out.extend_from_slice(&[0, 0, 0, 0, tag as u8]);
        let written = codec::encode_to(&mut self.out, value).map_err(invalid);
        let len = self.out.len() - begin - 4;
        let written = written.and_then(|()| within(len));
        match written {
            Ok(()) => {
                self.out[begin..begin + 4].copy_from_slice(&(len as u32).to_be_bytes());
            }
            Err(_) => self.out.truncate(begin),
        }
        written
    }

    /// Forgets what is queued and of which nothing was sent.
    pub fn discard(&mut self) {
        self.out = BytesMut::new();
        self.rest = Bytes::new();
    }

    /// Sends what is queued, waiting for the reader's credit where needed.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`FrameWriter::flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(n);
        }
        self.out = BytesMut::new();
        while !self.rest.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(n);
        }
        self.rest = Bytes::new();
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Queues and sends one frame.
    pub async fn send(&mut self, tag: Tag, payload: &[u8]) -> io::Result<()> {
        self.queue(tag, payload)?;
        self.flush().await
    }

    /// As [`FrameWriter::send`], from where the payload is.
    pub async fn send_bytes(&mut self, tag: Tag, payload: Bytes) -> io::Result<()> {
        self.queue_bytes(tag, payload)?;
        self.flush().await
    }

    /// Ends our direction of the stream.
    pub async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        poll_fn(|cx| Pin::new(&mut self.io).poll_close(cx)).await
    }
}

/// Bytes that are all there.
impl Source for &[u8] {
    fn poll_take(&mut self, _: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        let (piece, rest) = self.split_at(most.min(self.len()));
        *self = rest;
        Poll::Ready(Ok(Bytes::copy_from_slice(piece)))
    }
}

/// Frames as a `Stream` and `Sink` of payloads, which is what `tokio_serde::Framed` wraps. Only body
/// frames may come.
#[derive(Debug)]
pub struct Payloads<R, W> {
    reader: FrameReader<R>,
    writer: FrameWriter<W>,
}

impl<R: Source, W: AsyncWrite + Unpin> Payloads<R, W> {
    /// Over the two halves of a stream.
    pub fn new(read: R, write: W) -> Self {
        Self { reader: FrameReader::new(read), writer: FrameWriter::new(write) }
    }
}

impl<R: Source + Unpin, W: Unpin> futures::Stream for Payloads<R, W> {
    type Item = io::Result<BytesMut>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.reader.poll_frame(cx)) {
            Ok(Some(Frame { tag: Tag::Body, payload })) => Some(Ok(payload.into())),
            Ok(Some(frame)) => Some(Err(invalid(format!("an unexpected {:?} frame", frame.tag)))),
            Ok(None) => None,
            Err(e) => Some(Err(e)),
        })
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> futures::Sink<Bytes> for Payloads<R, W> {
    type Error = io::Error;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }
    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> io::Result<()> {
        self.writer.queue(Tag::Body, &item)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writer.poll_flush(cx))?;
        Pin::new(&mut self.writer.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> io::Result<Vec<Frame>> {
        let mut reader = FrameReader::new(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = block_on(reader.next())? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn written(frames: &[Frame]) -> Vec<u8> {
        let mut writer = FrameWriter::new(Cursor::new(Vec::new()));
        for frame in frames {
            block_on(writer.send(frame.tag, &frame.payload)).unwrap();
        }
        writer.into_inner().into_inner()
    }

    #[test]
    fn a_claimed_length_that_never_comes_costs_one_step_of_memory() {
        let mut reader = FrameReader::new(&[0x00, 0x0f, 0xff, 0xff, 2, 1, 2, 3][..]);
        assert_eq!(block_on(reader.next()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(reader.body.capacity() <= FrameReader::<&[u8]>::STEP);
    }

    #[test]
    fn wrong_lengths_and_tags_are_refused() {
        for head in
            [[0, 0, 0, 0, 2], [0xff, 0xff, 0xff, 0xff, 2], [0, 0x10, 0, 1, 2], [0, 0, 0, 1, 9]]
        {
            assert_eq!(read_all(&head).unwrap_err().kind(), io::ErrorKind::InvalidData, "{head:?}");
        }
    }

    #[test]
    fn a_message_too_large_is_refused_before_anything_is_sent() {
        let mut writer = FrameWriter::new(Cursor::new(Vec::new()));
        assert!(block_on(writer.send(Tag::Body, &vec![0; MAX_FRAME])).is_err());
        assert!(writer.into_inner().into_inner().is_empty());
    }

    #[test]
    fn frames_keep_their_order_however_they_are_queued() {
        let mut writer = FrameWriter::new(Cursor::new(Vec::new()));
        writer.queue_bytes(Tag::Body, Bytes::from_static(b"one")).unwrap();
        writer.queue(Tag::Body, b"two").unwrap();
        writer.queue_bytes(Tag::Body, Bytes::from_static(b"three")).unwrap();
        writer.queue_framed(Bytes::from_static(&[0, 0, 0, 2, Tag::Body as u8, b'4']));
        writer.queue_value(Tag::End, &5u8).unwrap();
        block_on(writer.send_bytes(Tag::Body, Bytes::new())).unwrap();
        let written = writer.into_inner().into_inner();
        let read: Vec<_> = read_all(&written).unwrap().into_iter().map(|f| f.payload).collect();
        assert_eq!(read, [&b"one"[..], b"two", b"three", b"4", &[5], b""]);
    }

    proptest! {
        #[test]
        fn frames_read_back_as_written(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8)
        ) {
            let frames: Vec<_> =
                payloads.into_iter().map(|p| Frame { tag: Tag::Body, payload: p.into() }).collect();
            prop_assert_eq!(read_all(&written(&frames)).unwrap(), frames);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(read_all(&bytes));
        }

        #[test]
        fn a_cut_inside_a_frame_is_an_error_between_frames_an_end(cut in 0usize..24) {
            let frame = Frame { tag: Tag::Body, payload: Bytes::from_static(b"1234567") };
            let bytes = written(&[frame.clone(), frame]);
            let read = read_all(&bytes[..cut]);
            prop_assert_eq!(read.is_ok(), cut % 12 == 0);
        }
    }
}
