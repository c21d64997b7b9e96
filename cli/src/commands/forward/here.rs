//! The end of a forward that is here: it listens, and carries each connection to the host in a feed of its own.

use super::socks;
use crate::App;
use crate::connect::Target;
use crate::exit::{Exit, Failure};
use bytes::Bytes;
use cmdr_link::FeedStream;
use cmdr_link::session::{Session, State};
use cmdr_link::tunnel::{self, Counted, Datagrams, Take as _};
use cmdr_protocol::CallError;
use cmdr_protocol::forwards::{Carries, DATAGRAM, Dial, Piece, Place};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections of one listener at once; more wait until there is room.
const MOST: usize = 2048;
/// After a fault the socket is asked again so much later.
const AGAIN: Duration = Duration::from_millis(100);
/// A link that is down is waited for so long.
const DIALING: Duration = Duration::from_secs(10);
/// What a client wants has to be said within so long.
const ASKING: Duration = Duration::from_secs(10);
/// Datagrams that wait for one far end; more are lost.
const WAITING: usize = 64;
/// Far ends of datagrams at once.
const PEERS: usize = 1024;
/// One that has said nothing for so long is forgotten.
const QUIET: Duration = Duration::from_mins(1);

/// What a listener leads to.
#[derive(Clone, Debug)]
pub(super) enum Leads {
    /// One place.
    To(Carries, Place),
    /// Wherever its clients say.
    Anywhere,
}

impl Leads {
    /// In words.
    pub(super) fn told(&self, host: &str) -> String {
        match self {
            Self::To(Carries::Udp, to) => format!("{host}: {to} (UDP)"),
            Self::To(_, to) => format!("{host}: {to}"),
            Self::Anywhere => format!("wherever its clients say, through {host} (SOCKS5)"),
        }
    }
}

/// All that the connections of a listener share.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) app: App,
    pub(super) session: Session,
    pub(super) host: Target,
    pub(super) leads: Leads,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) at: SocketAddr,
    socket: Socket,
}

impl Door {
    pub(super) async fn open(at: SocketAddr, leads: &Leads) -> Result<Self, Failure> {
        let opened = match leads {
            Leads::To(Carries::Udp, _) => UdpSocket::bind(at).await.map(Socket::Udp),
            _ => TcpListener::bind(at).await.map(Socket::Tcp),
        };
        let at = |socket: &Socket| match socket {
            Socket::Tcp(socket) => socket.local_addr(),
            Socket::Udp(socket) => socket.local_addr(),
        };
        let named = opened.and_then(|socket| Ok(Self { at: at(&socket)?, socket }));
        named.map_err(|e| {
            let failed = Failure::new(Exit::Failed, format!("cannot listen there: {e}"));
            match e.kind() {
                io::ErrorKind::AddrInUse => {
                    failed.hint("cmdr ports says who listens; or take port 0")
                }
                _ => failed,
            }
        })
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(self, way: Arc<Way>) {
        match self.socket {
            Socket::Tcp(listener) => way.connections(&listener).await,
            Socket::Udp(socket) => way.datagrams(Arc::new(socket)).await,
        }
    }
}

impl Way {
    async fn connections(self: Arc<Self>, listener: &TcpListener) {
        let free = Arc::new(Semaphore::new(MOST));
        let mut all = JoinSet::new();
        loop {
            let Ok(permit) = free.clone().acquire_owned().await else { return };
            let (tcp, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    self.app.out.warn(&format!("accepting a connection: {e}"));
                    sleep(AGAIN).await;
                    continue;
                }
            };
            tunnel::prepare(&tcp);
            let way = self.clone();
            all.spawn(async move {
                if let Err(e) = way.connection(tcp, from).await {
                    way.tell(&e);
                }
                drop(permit);
            });
            while all.try_join_next().is_some() {}
        }
    }

    fn tell(&self, error: &CallError) {
        self.app.out.warn(&format!("{}: {}", self.host.name, error.message));
    }

    /// Asks the host for a connection; waits a while for a link that is being dialed anew.
    async fn dial(&self, to: &Place, carries: Carries) -> Result<FeedStream<Dial>, CallError> {
        let mut state = self.session.state();
        let up = state.wait_for(|state| matches!(state, State::Up { .. }));
        // What is wrong is told by the asking.
        timeout(DIALING, up).await.ok();
        let dial = Dial { to: to.clone(), carries, look: false };
        self.session.feed(Some(self.host.id), dial).await
    }

    async fn connection(&self, mut tcp: TcpStream, from: SocketAddr) -> Result<(), CallError> {
        let (feed, early) = match &self.leads {
            Leads::To(carries, to) => (self.dial(to, *carries).await?.split(), Vec::new()),
            Leads::Anywhere => {
                let (to, early) = match timeout(ASKING, socks::asked(&mut tcp)).await {
                    Ok(Ok(asked)) => asked,
                    Ok(Err(e)) => {
                        self.app.out.detail(&format!("{from}: {e}"));
                        return Ok(());
                    }
                    Err(_) => return Ok(()),
                };
                let opened = async {
                    let (mut items, inputs) = self.dial(&to, Carries::Tcp).await?.split();
                    let first = items.take().await?;
                    Ok((first.map(|piece| piece.opened).unwrap_or_default(), (items, inputs)))
                };
                let (opened, feed) = match opened.await {
                    Ok((opened, feed)) => (Ok(opened), Some(feed)),
                    Err(e) => (Err(e), None),
                };
                let told = tcp.write_all(&socks::told(&opened)).await;
                let Some(feed) = feed else {
                    // It has been told; a reset could outrun the words.
                    tcp.shutdown().await.ok();
                    tunnel::release(&tcp);
                    opened?;
                    return Ok(());
                };
                told.map_err(|e| CallError::lost(e.to_string()))?;
                (feed, early)
            }
        };
        let (mut items, mut inputs) = feed;
        if !early.is_empty() {
            inputs.send(&Piece { data: early, ..Piece::default() }).await?;
        }
        tunnel::carry(tcp, &mut inputs, &mut items, &Counted::default()).await
    }

    async fn datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let Leads::To(carries, to) = self.leads.clone() else { return };
        let mut peers: HashMap<SocketAddr, mpsc::Sender<Bytes>> = HashMap::new();
        let mut all = JoinSet::new();
        let mut room = vec![0; DATAGRAM];
        loop {
            let (n, peer) = tokio::select! {
                got = socket.recv_from(&mut room) => match got {
                    Ok(got) => got,
                    // Somebody to whom we have sent is not there any more.
                    Err(_) => continue,
                },
                Some(_) = all.join_next(), if !all.is_empty() => {
                    peers.retain(|_, peer| !peer.is_closed());
                    continue;
                }
            };
            if !peers.contains_key(&peer) {
                if peers.len() >= PEERS {
                    continue;
                }
                let (give, from) = mpsc::channel(WAITING);
                peers.insert(peer, give);
                let (way, socket, to) = (self.clone(), socket.clone(), to.clone());
                all.spawn(async move {
                    let carried = async {
                        let (mut items, mut inputs) = way.dial(&to, carries).await?.split();
                        let datagrams = Datagrams::Shared { from, socket, peer };
                        let counted = Counted::default();
                        let (give, take) = (&mut inputs, &mut items);
                        tunnel::carry_datagrams(datagrams, give, take, QUIET, &counted).await
                    };
                    if let Err(e) = carried.await {
                        way.tell(&e);
                    }
                });
            }
            if let Some(peer) = peers.get(&peer) {
                // A full queue loses one, as any way does.
                peer.try_send(Bytes::copy_from_slice(&room[..n])).ok();
            }
        }
    }
}

/// Says when the link to the hub is lost and when it is back, until somebody else leaves.
pub(super) async fn tell_links(app: &App, session: &Session) {
    let mut state = session.state();
    let mut down = false;
    loop {
        match &*state.borrow_and_update() {
            State::Up { .. } if std::mem::take(&mut down) => {
                app.out.note("the link to the hub is back");
            }
            State::Connecting { last_error: Some(why), .. } if !down => {
                down = true;
                app.out.warn(&format!("{why}; new connections wait for the hub"));
            }
            State::Refused { refusal } if !down => {
                down = true;
                app.out.warn(refusal);
            }
            _ => {}
        }
        if state.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
