//! One live connection: how it begins, its heartbeat, how it ends.
//!
//! The dialer opens the first stream, says `Hello` and gets a `Verdict`. From then on that stream
//! carries heartbeats both ways. A link that was silent for 15 s, or whose control stream breaks
//! any rule, is over; the reason is kept for people.

use crate::codec::{self, Named};
use crate::frame::Payloads;
use crate::mux::{self, Driver, Limits, OpenError, Opener, Stream};
use crate::noise::{self, Counters, HandshakeError, Suite};
use crate::{SecretKey, clock};
use bytes::Bytes;
use cmdr_protocol::PublicKey;
use cmdr_protocol::version::{
    Beat, HEARTBEAT_S, Health, Hello, Refusal, SILENCE_S, Verdict, Welcome,
};
use futures::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// Connecting, and each message before the link is up, may take so long.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

type Control = Payloads<Stream, Stream>;

/// Where to dial, and who must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// The key the hub must prove.
    pub hub: PublicKey,
}

/// Why there is no link. The text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody there.
    #[error("cannot reach the hub at {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody is there who does not prove the pinned key.
    #[error(
        "WARNING: {address} does not hold the hub key that this machine pinned when it joined. \
         Someone may be posing as the hub, or the hub was set up anew. Nothing was sent. \
         Ask the hub's administrator; if its key really changed, join again with a new token. \
         Expected key {expected}"
    )]
    Impostor {
        /// Where.
        address: String,
        /// The key that was expected.
        expected: PublicKey,
    },
    /// The handshake failed for another reason.
    #[error("link to {address}: {source}")]
    Handshake {
        /// Where.
        address: String,
        /// Why.
        source: HandshakeError,
    },
    /// The hub said no.
    #[error("the hub at {address} refused: {refusal}")]
    Refused {
        /// Where.
        address: String,
        /// Its words.
        refusal: Refusal,
    },
    /// The hub broke the protocol.
    #[error("link to {address}: {what}")]
    Protocol {
        /// Where.
        address: String,
        /// How.
        what: String,
    },
}

impl DialError {
    /// Whether the hub is there and has too many handshakes under way: a moment later it may not.
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Handshake { source: HandshakeError::Busy, .. })
    }

    /// Whether dialing again, without a person doing something, can help.
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.kind.is_lasting(),
            Self::Impostor { .. } => true,
            _ => false,
        }
    }
}

/// One live connection. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    opener: Opener,
    peer: PublicKey,
    counters: Arc<Counters>,
    beat: Mutex<BeatState>,
    down: watch::Receiver<Option<String>>,
    close: mpsc::Sender<String>,
    heard: watch::Sender<Heard>,
    say: mpsc::Sender<Beat>,
}

/// What the other end has said about the hub's key since the link began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The hub's next key.
    pub next: Option<PublicKey>,
    /// The only key that it has.
    pub only: Option<PublicKey>,
    /// The key of the hub's that the dialer has pinned.
    pub pinned: Option<PublicKey>,
}

#[derive(Debug, Default)]
struct BeatState {
    rtt_us: Option<u32>,
    skew_ms: Option<i64>,
}

impl Link {
    /// The key the other end has proved.
    pub fn peer(&self) -> PublicKey {
        self.inner.peer
    }

    /// A new stream to the other end.
    pub fn open(&self) -> Result<Stream, OpenError> {
        self.inner.opener.open()
    }

    /// How the link is doing.
    pub fn health(&self) -> Health {
        let beat = self.inner.beat.lock().unwrap_or_else(PoisonError::into_inner);
        Health {
            rtt_us: beat.rtt_us,
            skew_ms: beat.skew_ms,
            received: self.inner.counters.received.load(Ordering::Relaxed),
            sent: self.inner.counters.sent.load(Ordering::Relaxed),
        }
    }

    /// Waits until the link is over and says why.
    pub async fn down(&self) -> String {
        let mut down = self.inner.down.clone();
        let reason = down.wait_for(Option::is_some).await.ok().and_then(|r| r.clone());
        reason.unwrap_or_else(|| "closed".to_owned())
    }

    /// Why the link is over; `None` while it is up.
    pub fn ended(&self) -> Option<String> {
        self.inner.down.borrow().clone()
    }

    /// Ends the link; the other end is told the reason.
    pub fn close(&self, reason: &str) {
        // A full queue means that a close is on its way already.
        drop(self.inner.close.try_send(reason.to_owned()));
    }

    /// What the other end says about the hub's key, and every change of that.
    pub fn heard(&self) -> watch::Receiver<Heard> {
        self.inner.heard.subscribe()
    }

    /// Sends something with the heartbeats. False when too much waits to be sent already.
    pub fn say(&self, beat: Beat) -> bool {
        self.inner.say.try_send(beat).is_ok()
    }

    /// Whether two handles are the same link.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// Dials the hub, says hello, and returns the link with what the hub answered and its streams.
pub async fn dial(
    target: &Target,
    from: Option<IpAddr>,
    key: &SecretKey,
    hello: &Hello,
    limits: Limits,
) -> Result<(Link, Welcome, mpsc::Receiver<Stream>), DialError> {
    let address = || target.address.clone();
    let refused = |source| DialError::Connect { address: address(), source };
    let tcp = timeout(SETUP_TIMEOUT, connect(&target.address, from))
        .await
        .map_err(|_| refused(io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s")))?
        .map_err(refused)?;
    tune(&tcp);
    let (tcp, channel) = noise::initiate(tcp, key, &target.hub, Suite::best()).await.map_err(
        |source| match source {
            HandshakeError::WrongKey => {
                DialError::Impostor { address: address(), expected: target.hub }
            }
            source => DialError::Handshake { address: address(), source },
        },
    )?;
    let protocol = |what: String| DialError::Protocol { address: address(), what };
    let (peer, counters) = (channel.peer(), channel.counters());
    let (opener, streams, driver) = mux::start(tcp, channel, mux::Mode::Client, limits);
    let stream = opener.open().map_err(|e| protocol(e.to_string()))?;
    let mut control = Payloads::new(stream.clone(), stream);
    say(&mut control, hello).await.map_err(|e| protocol(format!("saying hello: {e}")))?;
    let verdict: Verdict =
        hear(&mut control).await.map_err(|e| protocol(format!("waiting for its answer: {e}")))?;
    match verdict {
        Verdict { refused: Some(refusal), .. } => {
            Err(DialError::Refused { address: address(), refusal })
        }
        Verdict { welcome: Some(welcome), .. } => {
            Ok((begin(control, opener, driver, peer, counters), welcome, streams))
        }
        Verdict { .. } => Err(protocol("its answer to hello was empty".to_owned())),
    }
}

/// A peer that has proved its key and said hello, not taken in yet.
#[derive(Debug)]
pub struct Incoming {
    /// The key it has proved.
    pub peer: PublicKey,
    /// What it said.
    pub hello: Hello,
    /// Which of our keys it wanted to see proved.
    pub proved: PublicKey,
    control: Control,
    opener: Opener,
    streams: mpsc::Receiver<Stream>,
    driver: Driver,
    counters: Arc<Counters>,
}

/// Accepts a connection up to the hello.
pub async fn accept(
    tcp: TcpStream,
    key: &SecretKey,
    limits: Limits,
) -> Result<Incoming, HandshakeError> {
    accept_as(tcp, std::slice::from_ref(key), limits).await
}

/// As [`accept`], with whichever of our keys the dialer expects.
pub async fn accept_as(
    tcp: TcpStream,
    keys: &[SecretKey],
    limits: Limits,
) -> Result<Incoming, HandshakeError> {
    tune(&tcp);
    let (tcp, channel, proved) = noise::respond_as(tcp, keys).await?;
    let (peer, counters) = (channel.peer(), channel.counters());
    let (opener, mut streams, driver) = mux::start(tcp, channel, mux::Mode::Server, limits);
    let first =
        timeout(SETUP_TIMEOUT, streams.recv()).await.map_err(|_| HandshakeError::Timeout)?;
    let stream = first.ok_or(HandshakeError::Garbage)?;
    let mut control = Payloads::new(stream.clone(), stream);
    let hello = hear(&mut control).await?;
    Ok(Incoming { peer, hello, proved, control, opener, streams, driver, counters })
}

impl Incoming {
    /// Takes the peer in.
    pub async fn welcome(mut self, welcome: Welcome) -> io::Result<(Link, mpsc::Receiver<Stream>)> {
        say(&mut self.control, &Verdict { welcome: Some(welcome), refused: None }).await?;
        Ok((begin(self.control, self.opener, self.driver, self.peer, self.counters), self.streams))
    }

    /// Sends the peer away.
    pub async fn refuse(mut self, refusal: Refusal) {
        let verdict = Verdict { welcome: None, refused: Some(refusal) };
        if say(&mut self.control, &verdict).await.is_ok() && self.control.close().await.is_ok() {
            // The peer hangs up when it has read; waiting for that keeps the words from being cut.
            drop(timeout(Duration::from_secs(2), self.control.next()).await);
        }
    }
}

async fn connect(address: &str, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(address).await };
    let mut error =
        io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address of that kind");
    for to in tokio::net::lookup_host(address).await?.filter(|to| to.is_ipv4() == from.is_ipv4()) {
        let socket = if from.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(from, 0))?;
        match socket.connect(to).await {
            Ok(tcp) => return Ok(tcp),
            Err(e) => error = e,
        }
    }
    Err(error)
}

fn tune(tcp: &TcpStream) {
    // Both only make things better; a socket without them still works.
    tcp.set_nodelay(true).ok();
    let silence = u32::try_from(SILENCE_S * 1000).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(tcp, silence).ok();
}

async fn say<T: Serialize>(control: &mut Control, value: &T) -> io::Result<()> {
    let bytes: Bytes = codec::encode(value).map_err(io::Error::other)?;
    timeout(SETUP_TIMEOUT, control.send(bytes)).await?
}

async fn hear<T: DeserializeOwned>(control: &mut Control) -> io::Result<T> {
    match timeout(SETUP_TIMEOUT, control.next()).await? {
        Some(bytes) => {
            codec::decode(&bytes?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
        }
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end hung up")),
    }
}

fn begin(
    control: Control,
    opener: Opener,
    driver: Driver,
    peer: PublicKey,
    counters: Arc<Counters>,
) -> Link {
    let (set_down, down) = watch::channel(None);
    let (close, closing) = mpsc::channel(1);
    let (say, saying) = mpsc::channel(4);
    let (heard, beat) = (watch::Sender::default(), Mutex::default());
    let inner = Arc::new(Inner { opener, peer, counters, beat, down, close, heard, say });
    let heart = Heart { inner: inner.clone(), saying, waiting: None, number: 0 };
    tokio::spawn(async move {
        let reason = heart.run(control, driver, closing).await;
        // Nobody may be listening any more.
        drop(set_down.send(Some(reason)));
    });
    Link { inner }
}

/// Sends and answers heartbeats until the link is over.
struct Heart {
    inner: Arc<Inner>,
    saying: mpsc::Receiver<Beat>,
    /// The ping that is not answered yet, and when it went out.
    waiting: Option<(u64, Instant)>,
    number: u64,
}

impl Heart {
    async fn run(
        mut self,
        control: Control,
        mut driver: Driver,
        mut closing: mpsc::Receiver<String>,
    ) -> String {
        let mut control =
            tokio_serde::Framed::<_, Beat, Beat, _>::new(control, Named::<Beat, Beat>::default());
        let mut tick = tokio::time::interval(Duration::from_secs(HEARTBEAT_S));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let silence = Duration::from_secs(SILENCE_S);
        let (mut heard, mut heard_at) = (0, Instant::now());
        let reason = loop {
            let mut answer = Beat::default();
            tokio::select! {
                reason = driver.finished() => break reason,
                reason = closing.recv() => {
                    let reason = reason.unwrap_or_else(|| "closed".to_owned());
                    let beat = Beat { goodbye: Some(reason.clone()), ..Beat::default() };
                    // The peer may be gone; then it needs no goodbye.
                    drop(timeout(Duration::from_secs(1), control.send(beat)).await);
                    break reason;
                }
                beat = control.next() => match beat {
                    Some(Ok(beat)) => {
                        if let Some(reason) = beat.goodbye {
                            break cmdr_protocol::display::clean_to_width(&reason, 200);
                        }
                        self.answered(&beat);
                        self.listen(&beat);
                        answer.pong = beat.ping;
                        answer.at_ms = beat.ping.map(|_| clock::now_ms());
                    }
                    Some(Err(e)) => break format!("bad heartbeat: {e}"),
                    None => break "closed by the other end".to_owned(),
                },
                Some(beat) = self.saying.recv() => answer = beat,
                _ = tick.tick() => {
                    let now_heard = self.inner.counters.received.load(Ordering::Relaxed);
                    if now_heard != heard {
                        (heard, heard_at) = (now_heard, Instant::now());
                    } else if heard_at.elapsed() >= silence {
                        break format!("silent for {SILENCE_S} s");
                    }
                    if self.waiting.is_none_or(|(_, at)| at.elapsed() >= silence) {
                        self.number += 1;
                        self.waiting = Some((self.number, Instant::now()));
                        answer.ping = Some(self.number);
                    }
                }
            }
            if answer != Beat::default() {
                // A heartbeat that cannot leave within the silence is the same as none.
                match timeout(silence, control.send(answer)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => break e.to_string(),
                    Err(_) => break format!("nothing could be sent for {SILENCE_S} s"),
                }
            }
        };
        // The link may have broken right behind a goodbye that is still unread; that is the reason then.
        let mut told = None;
        while let Ok(Some(Ok(beat))) = timeout(Duration::ZERO, control.next()).await {
            told = told.or(beat.goodbye);
        }
        let reason = told.map_or(reason, |told| cmdr_protocol::display::clean_to_width(&told, 200));
        driver.close();
        // Give the goodbye a moment to leave before the socket goes.
        drop(timeout(Duration::from_secs(2), driver.finished()).await);
        reason
    }

    fn listen(&self, beat: &Beat) {
        self.inner.heard.send_if_modified(|heard| {
            let before = *heard;
            heard.next = beat.next_hub_key.or(heard.next);
            heard.only = beat.only_hub_key.or(heard.only);
            heard.pinned = beat.pinned_hub_key.or(heard.pinned);
            *heard != before
        });
    }

    fn answered(&mut self, beat: &Beat) {
        let (Some(number), Some((waiting, sent))) = (beat.pong, self.waiting) else { return };
        if number != waiting {
            return;
        }
        self.waiting = None;
        let rtt = sent.elapsed();
        let sample = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        let mut state = self.inner.beat.lock().unwrap_or_else(PoisonError::into_inner);
        // Smoothed as TCP does it: an eighth of the way to each new sample.
        state.rtt_us = Some(state.rtt_us.map_or(sample, |old| old - old / 8 + sample / 8));
        if let Some(theirs) = beat.at_ms {
            let ours = clock::now_ms().saturating_sub(rtt.as_millis() as u64 / 2);
            state.skew_ms = Some(theirs.cast_signed().wrapping_sub(ours.cast_signed()));
        }
    }
}
