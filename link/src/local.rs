//! Frames over a UNIX socket: what programs of one host say to each other, in the same form in which it
//! goes over links. Used between an agent and the holders of its sessions.

use crate::frame::{FrameReader, FrameWriter, Tag};
use crate::mux::Source;
use crate::{client, codec};
use bytes::{Bytes, BytesMut};
use cmdr_protocol::CallError;
use futures::io::AsyncWrite;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes taken from the socket at once.
const STEP: usize = 32 * 1024;

/// The bytes that come.
#[derive(Debug)]
pub struct Incoming {
    socket: OwnedReadHalf,
    got: BytesMut,
}

impl Source for Incoming {
    fn poll_take(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        if self.got.is_empty() {
            self.got.resize(STEP, 0);
            let mut into = ReadBuf::new(&mut self.got);
            let read = Pin::new(&mut self.socket).poll_read(cx, &mut into);
            let n = into.filled().len();
            // Nothing is kept while nothing comes.
            if n == 0 {
                self.got = BytesMut::new();
            } else {
                self.got.truncate(n);
            }
            ready!(read)?;
        }
        Poll::Ready(Ok(self.got.split_to(most.min(self.got.len())).freeze()))
    }
}

/// The bytes that go.
#[derive(Debug)]
pub struct Outgoing(OwnedWriteHalf);

impl AsyncWrite for Outgoing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Both directions of a socket.
pub fn split(socket: UnixStream) -> (Reader, Writer) {
    let (read, write) = socket.into_split();
    let reader = FrameReader::new(Incoming { socket: read, got: BytesMut::new() });
    (Reader(reader), Writer(FrameWriter::new(Outgoing(write))))
}

/// Reads messages.
#[derive(Debug)]
pub struct Reader(FrameReader<Incoming>);

impl Reader {
    /// The next message; `None` at the proper end. Giving up half way loses nothing.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        let frame = match self.0.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(CallError::lost("the other end has gone")),
            Err(e) => return Err(CallError::lost(format!("what came is no frame: {e}"))),
        };
        read(frame.tag, &frame.payload)
    }
}

/// What a frame says; `None` at the proper end.
pub fn read<T: DeserializeOwned>(tag: Tag, payload: &[u8]) -> Result<Option<T>, CallError> {
    let bad =
        |e: codec::DecodeError| CallError::malformed(format!("what came cannot be read: {e}"));
    match tag {
        Tag::Body => codec::decode(payload).map(Some).map_err(bad),
        Tag::End => Ok(None),
        Tag::Error => Err(codec::decode(payload).unwrap_or_else(bad)),
        Tag::Header => Err(CallError::malformed("a header came, which only links have")),
    }
}

/// Writes messages.
#[derive(Debug)]
pub struct Writer(FrameWriter<Outgoing>);

impl Writer {
    /// Sends a message, waiting for room.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), CallError> {
        self.put(Tag::Body, message).await
    }

    /// Says how it ended; nothing follows.
    pub async fn end(&mut self, result: &Result<(), CallError>) -> Result<(), CallError> {
        match result {
            Ok(()) => self.put(Tag::End, &()).await,
            Err(e) => self.put(Tag::Error, e).await,
        }
    }

    async fn put<T: Serialize>(&mut self, tag: Tag, message: &T) -> Result<(), CallError> {
        let gone = |e: io::Error| CallError::lost(format!("the other end has gone: {e}"));
        self.0.flush().await.map_err(gone)?;
        client::put(&mut self.0, tag, message)?;
        self.0.flush().await.map_err(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;

    #[tokio::test]
    async fn messages_come_as_they_were_sent_and_then_the_end() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, _keep) = split(ours);
        let (_other, mut writer) = split(theirs);
        let big = "x".repeat(200_000);
        let sent = tokio::spawn(async move {
            writer.send(&"one").await.unwrap();
            writer.send(&big).await.unwrap();
            writer.end(&Ok(())).await.unwrap();
        });
        assert_eq!(reader.next::<String>().await.unwrap().unwrap(), "one");
        assert_eq!(reader.next::<String>().await.unwrap().unwrap().len(), 200_000);
        assert_eq!(reader.next::<String>().await.unwrap(), None);
        sent.await.unwrap();
        // Gone without an end is no end.
        assert_eq!(reader.next::<String>().await.unwrap_err().kind, ErrorKind::Lost);
    }

    #[tokio::test]
    async fn an_error_comes_as_one() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, _keep) = split(ours);
        let (_other, mut writer) = split(theirs);
        writer.end(&Err(CallError::denied("not yours"))).await.unwrap();
        let error = reader.next::<String>().await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Denied, "not yours"));
    }
}
