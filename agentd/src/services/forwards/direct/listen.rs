//! The host that connects: it waits for the one that listens to come for a connection, or for the hub to carry it.

use super::{Awaited, is_up};
use crate::services::forwards::connect;
use crate::{Agent, VERSION};
use cmdr_link::link::{self, Incoming, Link};
use cmdr_link::mux::{Limits, Stream};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::tunnel::{self, Counted};
use cmdr_link::{SecretKey, clock};
use cmdr_protocol::forwards::Piece;
use cmdr_protocol::forwards::direct::{Claim, Meet, Ticket};
use cmdr_protocol::role::Role;
use cmdr_protocol::version::{PROTOCOL, PeerKind, Refusal, RefusalKind, Welcome};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, PublicKey};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Handshakes on their way at once. Who needs more takes the hub's way.
const HANDSHAKES: usize = 64;
/// Links at once.
const LINKS: usize = 256;
/// A handshake may take so long, up to the welcome.
const GREETING: Duration = Duration::from_secs(5);
/// So long after the hub has announced a host that host may dial.
const ANNOUNCED: Duration = Duration::from_secs(10);
/// Hosts that are remembered for that.
const REMEMBERED: usize = 1024;
/// A link on which nothing was carried for so long is closed.
const IDLE: Duration = Duration::from_mins(1);
/// Who has shown a ticket takes the connection within so long.
const TAKING: Duration = Duration::from_secs(5);
/// A port that is taken is tried again so often; after a fault the socket is asked again as much later.
const AGAIN: Duration = Duration::from_secs(2);

/// A connection that another host has come for.
#[derive(Debug)]
pub(super) struct Claimed {
    feeding: Feeding<Claim>,
    /// Closed when that host has gone.
    done: oneshot::Sender<Result<(), CallError>>,
}

/// Forgets a ticket with the connection.
struct Expected<'a> {
    agent: &'a Agent,
    ticket: Ticket,
    claimed: oneshot::Receiver<Claimed>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.agent.direct().lock().awaited.remove(&self.ticket);
    }
}

impl Expected<'_> {
    /// Comes when somebody has taken the connection; never when nobody does any more.
    async fn claimed(&mut self) -> Claimed {
        match (&mut self.claimed).await {
            Ok(claimed) => claimed,
            Err(_) => pending().await,
        }
    }
}

fn expect(agent: &Agent, ticket: Ticket, key: PublicKey) -> Expected<'_> {
    let (give, claimed) = oneshot::channel();
    let mut inner = agent.direct().lock();
    inner.awaited.insert(ticket, Awaited { key, give });
    inner.announced.retain(|_, since| since.elapsed() < ANNOUNCED);
    if inner.announced.len() < REMEMBERED {
        inner.announced.insert(key, Instant::now());
    }
    Expected { agent, ticket, claimed }
}

/// Connects for a host that comes for the connection, or has the hub carry it.
pub(in crate::services::forwards) async fn meet(
    agent: Arc<Agent>,
    _: Asked,
    meet: Meet,
    feeding: Feeding<Meet>,
) -> Result<(), CallError> {
    let counted = Counted::default();
    let (mut give, mut take) = (feeding.sender(), feeding);
    let (tcp, at) = Box::pin(connect(&agent, &meet.to)).await?;
    let mut expected = expect(&agent, meet.ticket, meet.key);
    let (opened, at) = (at.to_string(), agent.policy().forwards.dialed_at());
    give.send(&Piece { opened, at, ..Piece::default() }).await?;
    let done = tokio::select! {
        // The hub's way was taken.
        first = take.input() => {
            go(&first?)?;
            drop(expected);
            tunnel::carry(tcp, &mut give, &mut take, &counted).await
        }
        Claimed { feeding, mut done } = expected.claimed() => {
            let (mut there, mut here) = (feeding.sender(), feeding);
            let carried = tokio::select! {
                carried = tunnel::carry(tcp, &mut there, &mut here, &counted) => carried,
                () = done.closed() => Err(CallError::lost("the host that listens has ended the connection, or its link broke")),
            };
            // It may have gone.
            drop(done.send(carried.clone()));
            carried
        }
    };
    let (back, there) = counted.get();
    let carried = format!("{there} bytes there, {back} bytes back");
    if let Err(e) = done {
        return Err(CallError::new(e.kind, format!("{} ({carried})", e.message)));
    }
    give.send(&Piece { carried, ..Piece::default() }).await
}

/// The word by which a connection takes its way: a piece with nothing.
fn go(piece: &Piece) -> Result<(), CallError> {
    if *piece == Piece::default() {
        return Ok(());
    }
    Err(CallError::malformed("bytes came before the way of the connection was said"))
}

/// Whoever has dialed this host.
struct Visitor {
    agent: Agent,
    key: PublicKey,
}

async fn claim(
    visitor: Arc<Visitor>,
    _: Asked,
    claim: Claim,
    mut feeding: Feeding<Claim>,
) -> Result<(), CallError> {
    let over = || CallError::not_found("this ticket is none, or its connection is over");
    let give = {
        let mut inner = visitor.agent.direct().lock();
        // Another host's ticket stays that host's.
        let own = inner.awaited.get(&claim.ticket).is_some_and(|one| one.key == visitor.key);
        let awaited = if own { inner.awaited.remove(&claim.ticket) } else { None };
        awaited.ok_or_else(over)?.give
    };
    feeding.send(&Piece { opened: "here".to_owned(), ..Piece::default() }).await?;
    let first = timeout(TAKING, feeding.input()).await;
    go(&first.map_err(|_| CallError::new(ErrorKind::TimedOut, "nobody took the connection"))??)?;
    let (done, ended) = oneshot::channel();
    give.send(Claimed { feeding, done }).map_err(|_| over())?;
    let gone = || Err(CallError::new(ErrorKind::Cancelled, "the hub has ended the connection"));
    ended.await.unwrap_or_else(|_| gone())
}

/// Listens for hosts that the hub announces, for good, where the owner says so.
pub(crate) async fn listen(agent: Agent) {
    let Some(at) = agent.policy().forwards.direct else { return };
    if agent.policy().allows_method(Meet::METHOD).is_err() {
        return;
    }
    if agent.policy().forwards.dialed_at().is_empty() {
        tracing::error!(
            "no host can come for connections of forwards: where others dial {at} has to be said (direct_as under [forwards])"
        );
        return;
    }
    let mut key = agent.direct().key.subscribe();
    if key.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let mut told = String::new();
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => {
                tracing::info!(%at, "other hosts may come for connections of forwards without the hub");
                accept_all(&agent, &listener).await;
            }
            Err(e) => {
                let why = format!(
                    "no host can come for connections of forwards: listening at {at} (direct under [forwards]): {e}"
                );
                if why != told {
                    tracing::error!("{why}");
                    told = why;
                }
            }
        }
        sleep(AGAIN).await;
    }
}

async fn accept_all(agent: &Agent, listener: &TcpListener) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let links = Arc::new(Semaphore::new(LINKS));
    loop {
        let (tcp, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of files, most likely: wait for some to be given back.
                tracing::warn!("accepting a host: {e}");
                sleep(AGAIN).await;
                continue;
            }
        };
        let places = (handshakes.clone().try_acquire_owned(), links.clone().try_acquire_owned());
        let (Ok(handshake), Ok(place), Some(key)) = (places.0, places.1, agent.direct().key())
        else {
            continue;
        };
        let agent = agent.clone();
        tokio::spawn(async move {
            let greeted = timeout(GREETING, greet(&agent, tcp, address, &key)).await;
            drop(handshake);
            if let Ok(Some((link, streams))) = greeted {
                answer(agent, link, streams, place).await;
            }
        });
    }
}

/// Takes in a host that the hub has announced a moment ago, and nobody else.
async fn greet(
    agent: &Agent,
    tcp: TcpStream,
    address: SocketAddr,
    key: &SecretKey,
) -> Option<(Link, mpsc::Receiver<Stream>)> {
    let limits =
        Limits { streams: agent.policy().forwards.max.saturating_add(16), ..Limits::default() };
    let incoming = match link::accept(tcp, key, limits).await {
        Ok(incoming) => incoming,
        Err(e) => {
            tracing::debug!(%address, "no link of another host: {e}");
            return None;
        }
    };
    if !is_announced(agent, &incoming) {
        tracing::warn!(%address, key = %incoming.peer, "refused a host that the hub has not announced");
        let message = "this host expects no other one now".to_owned();
        incoming.refuse(Refusal { kind: RefusalKind::UnknownKey, message }).await;
        return None;
    }
    let peer = incoming.peer;
    match incoming.welcome(welcome()).await {
        Ok((link, streams)) => {
            tracing::info!(%address, key = %peer, "another host is linked directly");
            Some((link, streams))
        }
        Err(e) => {
            tracing::debug!(%address, "no link of another host: {e}");
            None
        }
    }
}

fn is_announced(agent: &Agent, incoming: &Incoming) -> bool {
    let inner = agent.direct().lock();
    let since = inner.announced.get(&incoming.peer);
    incoming.hello.kind == PeerKind::Agent && since.is_some_and(|since| since.elapsed() < ANNOUNCED)
}

fn welcome() -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        capabilities: Vec::new(),
        name: String::new(),
        host: None,
        key: None,
        role: Role::NONE,
        verbs: Vec::new(),
        expires_ms: None,
        renew_ms: None,
        at_ms: clock::now_ms(),
        next_hub_key: None,
    }
}

/// Answers a link until it is over, or nothing was carried on it for a while.
async fn answer(
    agent: Agent,
    link: Link,
    mut streams: mpsc::Receiver<Stream>,
    _place: OwnedSemaphorePermit,
) {
    let most = agent.policy().forwards.max;
    let visitor = Visitor { agent, key: link.peer() };
    let service = Arc::new(Service::new(visitor).feed(claim));
    let mut answering = JoinSet::new();
    while is_up(&link) {
        tokio::select! {
            stream = streams.recv() => {
                let Some(stream) = stream else { break };
                // What is more than may be is reset.
                if answering.len() < most {
                    let service = service.clone();
                    answering.spawn(async move { service.serve(stream).await });
                }
            }
            Some(_) = answering.join_next() => {}
            _ = link.down() => break,
            () = sleep(IDLE), if answering.is_empty() => link.close("nothing is carried"),
        }
    }
    answering.shutdown().await;
}
