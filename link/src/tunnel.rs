//! Connections and datagrams carried as the pieces of a feed, uncopied between the socket and the seal. On the wire they are
//! the same as any [`Piece`]. Both ends use it: agents (`agentd/src/services/forwards.rs`) and clients (`cmdr forward`).
//!
//! Nothing is held for a connection on which nothing is said. Flow control is the stream's own: who does not take is sent no
//! more, and its far end is read no further.

use crate::client::{Inputs, Items};
use crate::codec::{self, DecodeError};
use crate::frame::Tag;
use crate::noise::SEAL;
use crate::service::Feeding;
use bytes::{BufMut as _, Bytes, BytesMut};
use cmdr_protocol::forwards::{DATAGRAM, Piece};
use cmdr_protocol::{CallError, Feed};
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes before the data of a piece: the frame's length and tag, a map of one, its length.
const HEAD: usize = 13;
/// Bytes that the multiplexer puts before a frame.
const MUX: usize = 12;
/// The most bytes of one piece: with all that goes before them they are one sealed message, which nobody has to put
/// together.
pub const CHUNK: usize = SEAL - MUX - HEAD;
/// The longest piece that is taken for words.
const WORDS: usize = 256;
/// A far end that says nothing is asked after so long whether it is there, and then so often.
const ALIVE: (Duration, Duration, u32) = (Duration::from_mins(1), Duration::from_secs(15), 4);

/// A [`Piece`] that came, its bytes still those of the frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// As [`Piece::data`].
    pub data: Bytes,
    /// As [`Piece::eof`].
    pub eof: bool,
    /// As [`Piece::opened`].
    pub opened: String,
    /// As [`Piece::carried`].
    pub carried: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Borrowed<'a> {
    #[serde(rename = "d", borrow, with = "serde_bytes")]
    data: &'a [u8],
    #[serde(rename = "e")]
    eof: bool,
    #[serde(rename = "o")]
    opened: String,
    #[serde(rename = "x")]
    carried: String,
}

impl Seen {
    /// Reads the payload of a frame.
    pub fn read(payload: &Bytes) -> Result<Self, DecodeError> {
        let Borrowed { data, eof, opened, carried } = codec::decode_borrowed(payload)?;
        let data = if data.is_empty() { Bytes::new() } else { payload.slice_ref(data) };
        Ok(Self { data, eof, opened, carried })
    }

    /// Whether it is one of bytes, which may be none of a datagram.
    const fn is_data(&self) -> bool {
        !self.eof && self.opened.is_empty() && self.carried.is_empty()
    }
}

/// What goes before so many bytes to make a frame of them.
fn head(len: usize) -> [u8; HEAD] {
    let len = len as u32;
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&((HEAD - 4) as u32).saturating_add(len).to_be_bytes());
    head[4] = Tag::Body as u8;
    // MessagePack: a map of one, "d" and bytes with a length of 32 bits.
    head[5..9].copy_from_slice(&[0x81, 0xa1, b'd', 0xc6]);
    head[9..].copy_from_slice(&len.to_be_bytes());
    head
}

/// Sends pieces.
pub trait Give: Send {
    /// Sends a frame that is whole already.
    fn frame(&mut self, frame: Bytes) -> impl Future<Output = Result<(), CallError>> + Send;
    /// Sends any piece.
    fn piece(&mut self, piece: &Piece) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// Gets pieces.
pub trait Take: Send {
    /// Whether the end of the feed comes here too, after the end of the bytes.
    const HEARS_END: bool;
    /// The next; none at the proper end of the feed.
    fn take(&mut self) -> impl Future<Output = Result<Option<Seen>, CallError>> + Send;
}

impl<F: Feed<Item = Piece>> Give for Feeding<F> {
    async fn frame(&mut self, frame: Bytes) -> Result<(), CallError> {
        self.send_framed(frame).await
    }
    async fn piece(&mut self, piece: &Piece) -> Result<(), CallError> {
        self.send(piece).await
    }
}

impl<F: Feed<Input = Piece>> Take for Feeding<F> {
    // A caller that goes away ends the handler from outside.
    const HEARS_END: bool = false;
    async fn take(&mut self) -> Result<Option<Seen>, CallError> {
        self.input_as(Seen::read).await.map(Some)
    }
}

impl<F: Feed<Input = Piece>> Give for Inputs<F> {
    async fn frame(&mut self, frame: Bytes) -> Result<(), CallError> {
        self.send_framed(frame).await
    }
    async fn piece(&mut self, piece: &Piece) -> Result<(), CallError> {
        self.send(piece).await
    }
}

impl<F: Feed<Item = Piece>> Take for Items<F> {
    const HEARS_END: bool = true;
    async fn take(&mut self) -> Result<Option<Seen>, CallError> {
        self.next_as(Seen::read).await.transpose()
    }
}

/// Bytes carried, while they are.
#[derive(Debug, Default)]
pub struct Counted {
    /// From the socket into the feed.
    pub sent: AtomicU64,
    /// From the feed to the socket.
    pub received: AtomicU64,
}

impl Counted {
    /// Sent and received.
    pub fn get(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

/// Sets a connection up to be carried: whoever drops it before its end resets it, as its other half was.
pub fn prepare(tcp: &TcpStream) {
    // All of these only make things better; a socket without them still works.
    tcp.set_nodelay(true).ok();
    rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO)).ok();
    let (after, every, times) = ALIVE;
    rustix::net::sockopt::set_socket_keepalive(tcp, true).ok();
    rustix::net::sockopt::set_tcp_keepidle(tcp, after).ok();
    rustix::net::sockopt::set_tcp_keepintvl(tcp, every).ok();
    rustix::net::sockopt::set_tcp_keepcnt(tcp, times).ok();
}

/// Lets what is on its way in a [`prepare`]d connection come to its end after it is dropped.
pub fn release(tcp: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(tcp, None).ok();
}

/// What a socket's fault is to the other end.
fn broke(e: &io::Error) -> CallError {
    CallError::lost(match e.kind() {
        io::ErrorKind::ConnectionReset => "the far end has reset the connection".to_owned(),
        io::ErrorKind::BrokenPipe => "the far end takes no more".to_owned(),
        _ => format!("the connection to the far end broke: {e}"),
    })
}

/// Carries a [`prepare`]d connection until both ways have ended. An end is passed on as one, and an error leaves the connection
/// to be reset.
pub async fn carry<G: Give, T: Take>(
    mut tcp: TcpStream,
    give: &mut G,
    take: &mut T,
    counted: &Counted,
) -> Result<(), CallError> {
    let (from, mut to) = tcp.split();
    let forth = async {
        loop {
            from.readable().await.map_err(|e| broke(&e))?;
            // Only now is there something to have room for.
            let mut frame = BytesMut::with_capacity(HEAD + CHUNK);
            frame.put_bytes(0, HEAD);
            match from.try_read_buf(&mut frame) {
                Ok(0) => return give.piece(&Piece { eof: true, ..Piece::default() }).await,
                Ok(n) => {
                    frame[..HEAD].copy_from_slice(&head(n));
                    give.frame(frame.freeze()).await?;
                    counted.sent.fetch_add(n as u64, Ordering::Relaxed);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(broke(&e)),
            }
        }
    };
    let back = async {
        while let Some(piece) = take.take().await? {
            if !piece.data.is_empty() {
                to.write_all(&piece.data).await.map_err(|e| broke(&e))?;
                counted.received.fetch_add(piece.data.len() as u64, Ordering::Relaxed);
            }
            if piece.eof {
                to.shutdown().await.map_err(|e| broke(&e))?;
                if !T::HEARS_END {
                    break;
                }
            }
        }
        Ok(())
    };
    if T::HEARS_END {
        let mut forth = pin!(forth);
        let mut sending = true;
        let mut back = pin!(back);
        loop {
            tokio::select! {
                done = &mut back => break done?,
                said = &mut forth, if sending => {
                    said?;
                    sending = false;
                }
            }
        }
    } else {
        tokio::try_join!(forth, back)?;
    }
    release(&tcp);
    Ok(())
}

/// Passes the pieces of one feed on as those of another, unread, until its end. Returns the last one, which may say what was carried.
pub async fn pass<F, G>(
    from: &mut Items<F>,
    to: &mut Inputs<G>,
    bytes: &AtomicU64,
) -> Result<Bytes, CallError>
where
    F: Feed<Item = Piece>,
    G: Feed<Input = Piece>,
{
    let mut last = Bytes::new();
    while let Some(payload) = from.next_as(|payload| Ok(payload.clone())).await {
        let payload = payload?;
        bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        // Of bytes nothing is held: most connections are silent most of the time.
        last = if payload.len() <= WORDS { payload.clone() } else { Bytes::new() };
        to.send_payload(payload).await?;
    }
    Ok(last)
}

/// Gets the datagrams of one far end.
#[derive(Debug)]
pub enum Datagrams {
    /// From a socket that is connected to it.
    Socket(UdpSocket),
    /// From one that has many, told apart by whoever holds it, and back through it.
    Shared {
        /// Those that came.
        from: mpsc::Receiver<Bytes>,
        /// The socket.
        socket: Arc<UdpSocket>,
        /// The far end.
        peer: SocketAddr,
    },
}

async fn send(to: &To, bytes: &[u8]) -> io::Result<()> {
    match to {
        To::Connected(socket) => socket.send(bytes).await.map(drop),
        To::Peer(socket, peer) => socket.send_to(bytes, peer).await.map(drop),
    }
}

enum To {
    Connected(UdpSocket),
    Peer(Arc<UdpSocket>, SocketAddr),
}

/// Carries datagrams both ways until nothing was said for `idle`. One that the far end refuses is lost, as datagrams are.
pub async fn carry_datagrams<G: Give, T: Take>(
    datagrams: Datagrams,
    give: &mut G,
    take: &mut T,
    idle: Duration,
    counted: &Counted,
) -> Result<(), CallError> {
    let (mut from, to) = match datagrams {
        Datagrams::Socket(socket) => (None, To::Connected(socket)),
        Datagrams::Shared { from, socket, peer } => (Some(from), To::Peer(socket, peer)),
    };
    let said = Mutex::new(Instant::now());
    let last = || said.lock().unwrap_or_else(PoisonError::into_inner);
    let mark = || *last() = Instant::now();
    let forth = async {
        loop {
            let bytes = match (&mut from, &to) {
                (Some(from), _) => match from.recv().await {
                    Some(bytes) => bytes,
                    None => return Ok(()),
                },
                (None, To::Connected(socket)) => match next(socket).await {
                    Ok(bytes) => bytes,
                    // A port at which nobody listens says so; the next datagram may find somebody.
                    Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
                    Err(e) => return Err(broke(&e)),
                },
                (None, To::Peer(..)) => return Ok(()),
            };
            mark();
            let mut frame = BytesMut::with_capacity(HEAD + bytes.len());
            frame.put_slice(&head(bytes.len()));
            frame.put_slice(&bytes);
            give.frame(frame.freeze()).await?;
            counted.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    };
    let back = async {
        while let Some(piece) = take.take().await? {
            if piece.eof {
                break;
            }
            if piece.is_data() {
                mark();
                // A full queue, or nobody there: lost, as on any way.
                send(&to, &piece.data).await.ok();
                counted.received.fetch_add(piece.data.len() as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let quiet = async {
        loop {
            let until = *last() + idle;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    };
    tokio::select! {
        done = forth => done,
        done = back => done,
        () = quiet => Ok(()),
    }
}

/// The next datagram of a connected socket.
async fn next(socket: &UdpSocket) -> io::Result<Bytes> {
    loop {
        socket.readable().await?;
        let mut room = BytesMut::with_capacity(DATAGRAM);
        match socket.try_recv_buf(&mut room) {
            Ok(_) => return Ok(room.freeze()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameReader;
    use futures::executor::block_on;
    use proptest::prelude::*;

    #[test]
    fn a_full_piece_is_one_sealed_message() {
        assert_eq!(MUX + HEAD + CHUNK, SEAL);
    }

    proptest! {
        #[test]
        fn bytes_are_a_piece_to_whoever_does_not_know_how_they_were_sent(
            data in proptest::collection::vec(any::<u8>(), 0..2000)
        ) {
            let framed = [&head(data.len())[..], &data].concat();
            let frame = block_on(FrameReader::new(&framed[..]).next()).unwrap().unwrap();
            let piece: Piece = codec::decode(&frame.payload).unwrap();
            prop_assert_eq!(&piece, &Piece { data: data.clone(), ..Piece::default() });
            let seen = Seen::read(&frame.payload).unwrap();
            prop_assert!(seen.is_data());
            prop_assert_eq!(&seen.data[..], &data[..]);
        }

        #[test]
        fn any_bytes_are_a_piece_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (bytes, piece) = (Bytes::from(bytes.clone()), codec::decode::<Piece>(&bytes));
            if let (Ok(seen), Ok(piece)) = (Seen::read(&bytes), piece) {
                prop_assert_eq!(&seen.data[..], &piece.data[..]);
                prop_assert_eq!((seen.eof, seen.opened, seen.carried), (piece.eof, piece.opened, piece.carried));
            }
        }
    }
}
