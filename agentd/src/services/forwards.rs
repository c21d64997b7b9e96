//! Forwards: connections that this host makes to places it can reach, for somebody whom the hub lets. Where they may lead
//! is its owner's word ([`crate::policy`]), said of the address and not of the name. `held` has those that are kept; those on one
//! host are carried by its data plane (`plane`), those over SSH by the agent (`over_ssh`); two hosts may do without the hub between them
//! (`direct`).

mod direct;
mod held;
mod over_ssh;
mod plane;
mod way;

pub(crate) use direct::{Direct, listen};
pub(crate) use held::{Held, resume};

use crate::Agent;
use cmdr_link::context::Context;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::tunnel::{self, Counted, Datagrams};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::{Carries, Dial, Piece, Place};
use cmdr_protocol::{CallError, ErrorKind};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

/// A name must be found within so long.
const RESOLVING: Duration = Duration::from_secs(10);
/// One address must answer within so long.
const CONNECTING: Duration = Duration::from_secs(10);
/// Datagrams that nobody has sent for so long have come to their end.
const QUIET: Duration = Duration::from_mins(2);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(dial).feed(direct::meet).feed(held::hold).feed(held::accept)
}

async fn dial(
    agent: Arc<Agent>,
    who: Asked,
    dial: Dial,
    feeding: Feeding<Dial>,
) -> Result<(), CallError> {
    let counted = Counted::default();
    let (mut give, mut take) = (feeding.sender(), feeding);
    let caller = who.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let (caller, to) = (clean_to_width(caller, 64), clean_to_width(&dial.to.to_string(), 300));
    tracing::debug!(caller, trace = who.trace, to, "a forward");
    if dial.look {
        let at = Box::pin(addresses(&agent, &dial.to)).await?.into_iter().next();
        let opened = at.map(|at| at.to_string()).unwrap_or_default();
        return give.send(&Piece { opened, ..Piece::default() }).await;
    }
    let done = match dial.carries {
        Carries::Tcp => {
            // Boxed, as what is large and over before the rest begins: most connections are silent most of the time.
            let (tcp, at) = Box::pin(connect(&agent, &dial.to)).await?;
            give.send(&Piece { opened: at.to_string(), ..Piece::default() }).await?;
            tunnel::carry(tcp, &mut give, &mut take, &counted).await
        }
        Carries::Udp => {
            let (socket, at) = Box::pin(aim(&agent, &dial.to)).await?;
            give.send(&Piece { opened: at.to_string(), ..Piece::default() }).await?;
            let socket = Datagrams::Socket(socket);
            let carried = tunnel::carry_datagrams(socket, &mut give, &mut take, QUIET, &counted);
            Box::pin(carried).await
        }
        Carries::Unknown => {
            return Err(CallError::malformed("this agent knows no such kind of forward"));
        }
    };
    let (back, there) = counted.get();
    let carried = format!("{there} bytes there, {back} bytes back");
    if let Err(e) = done {
        return Err(CallError::new(e.kind, format!("{} ({carried})", e.message)));
    }
    give.send(&Piece { carried, ..Piece::default() }).await
}

/// The addresses of a far end that this host's policy lets a forward lead to.
pub(crate) async fn addresses(agent: &Agent, to: &Place) -> Result<Vec<SocketAddr>, CallError> {
    to.check().map_err(CallError::malformed)?;
    let unknown = |why: &str| {
        let message = format!("this host finds no machine called '{}': {why}", to.host);
        CallError::new(ErrorKind::Unreachable, message)
    };
    let found = match to.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, to.port)],
        Err(_) => match timeout(RESOLVING, lookup_host((to.host.as_str(), to.port))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(e)) => return Err(unknown(&e.to_string())),
            Err(_) => return Err(unknown("no answer within 10 s")),
        },
    };
    if found.is_empty() {
        return Err(unknown("it has no address"));
    }
    let found = agent.policy().allows_forward(&to.to_string(), found)?;
    without_hub(agent, to.port, found).await
}

/// Leaves out the hub's own door: what this host would say there, it would say from the hub's own network.
async fn without_hub(
    agent: &Agent,
    port: u16,
    mut found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, CallError> {
    let Ok(context) = Context::load(&agent.config().state_dir) else { return Ok(found) };
    if context.target.address.rsplit(':').next().and_then(|p| p.parse().ok()) != Some(port) {
        return Ok(found);
    }
    let hub = hub_addresses(agent).await.unwrap_or_default();
    found.retain(|at| !hub.iter().any(|hub| hub.ip().to_canonical() == at.ip().to_canonical()));
    if found.is_empty() {
        return Err(CallError::denied("no forward leads to the hub itself"));
    }
    Ok(found)
}

/// Where the hub is; nothing when this host knows no hub.
async fn hub_addresses(agent: &Agent) -> Result<Vec<SocketAddr>, CallError> {
    let Ok(context) = Context::load(&agent.config().state_dir) else { return Ok(Vec::new()) };
    let address = context.target.address;
    match timeout(RESOLVING, lookup_host(&address)).await {
        Ok(Ok(hub)) => Ok(hub.collect()),
        Ok(Err(e)) => {
            Err(CallError::new(ErrorKind::Unreachable, format!("looking {address} up: {e}")))
        }
        Err(_) => {
            Err(CallError::new(ErrorKind::TimedOut, format!("looking {address} up takes too long")))
        }
    }
}

/// Connects to the first address that answers.
pub(crate) async fn connect(
    agent: &Agent,
    to: &Place,
) -> Result<(TcpStream, SocketAddr), CallError> {
    let mut last = None;
    for at in addresses(agent, to).await? {
        match timeout(CONNECTING, TcpStream::connect(at)).await {
            Ok(Ok(tcp)) => {
                tunnel::prepare(&tcp);
                return Ok((tcp, at));
            }
            Ok(Err(e)) => last = Some((at, e)),
            Err(_) => last = Some((at, io::Error::new(io::ErrorKind::TimedOut, "no answer"))),
        }
    }
    let why = last.map(|(at, e)| format!("{at}: {e}")).unwrap_or_default();
    let message = format!("this host cannot connect to {to}: {why}");
    Err(CallError::new(ErrorKind::Unreachable, message))
}

/// A socket whose datagrams go there and that takes none from elsewhere.
async fn aim(agent: &Agent, to: &Place) -> Result<(UdpSocket, SocketAddr), CallError> {
    let failed = |e: io::Error| {
        CallError::new(ErrorKind::Unreachable, format!("this host cannot send to {to}: {e}"))
    };
    let at = addresses(agent, to).await?.into_iter().next();
    let at = at.ok_or_else(|| CallError::not_found(format!("{to} has no address")))?;
    let any: IpAddr =
        if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(failed)?;
    socket.connect(at).await.map_err(failed)?;
    Ok((socket, at))
}
