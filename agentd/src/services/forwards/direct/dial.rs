//! The host that listens: it dials the one that connects, and keeps that link for the connections that follow. What does not go at
//! once takes the hub's way, and is tried again in the background.

use super::is_up;
use crate::{Agent, VERSION};
use cmdr_link::client::{Inputs, Items};
use cmdr_link::link::{self, DialError, Link, Target};
use cmdr_link::mux::Limits;
use cmdr_link::{Client, clock};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::Piece;
use cmdr_protocol::forwards::direct::{Claim, MAX_ADDRESSES, Offer};
use cmdr_protocol::version::{Hello, PROTOCOL, PeerKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// A connection waits so long for the direct way before it takes the hub's.
const WAIT: Duration = Duration::from_millis(800);
/// Dialing one address may take so long: those who come later find the link.
const DIALING: Duration = Duration::from_secs(4);
/// After a failure nobody waits for that host again for so long.
const PAUSE: Duration = Duration::from_secs(30);
/// A link on which a ticket was not answered in time is left alone for so long.
const SLOW: Duration = Duration::from_secs(5);
/// Hosts that are dialed at once.
const PEERS: usize = 128;
/// Letters of what is wrong.
const WHY: usize = 300;

type Dialed = Option<Result<Link, String>>;

/// Another host, as it stands.
#[derive(Debug)]
pub(super) enum Peer {
    /// There is a link, which may be avoided for a while.
    Up { link: Link, avoid: Option<(Instant, String)> },
    /// It is dialed; after a failure nobody waits for that.
    Dialing { since: Instant, comes: watch::Receiver<Dialed>, failed: Option<String> },
    /// It could not be reached.
    Away { until: Instant, why: String },
}

/// Comes for a connection at the host that has made it; the error says why it takes the hub's way.
pub(in crate::services::forwards) async fn claim(
    agent: &Agent,
    offer: &Offer,
) -> Result<(Items<Claim>, Inputs<Claim>), String> {
    if offer.at.is_empty() {
        return Err(
            "the other host's owner names no place to dial it (direct under [forwards])".to_owned()
        );
    }
    let deadline = Instant::now() + WAIT;
    let link = reach(agent, offer).await?;
    let claimed = async {
        let claim = Claim { ticket: offer.ticket };
        let feed = Client::new(link.clone()).feed_for(None, None, &claim).await?;
        let (mut items, mut inputs) = feed.split();
        items.next().await.transpose()?;
        // From here on it goes this way.
        inputs.send(&Piece::default()).await?;
        Ok((items, inputs))
    };
    if let Ok(claimed) = timeout_at(deadline, claimed).await {
        // What is wrong with one connection says nothing of the link.
        return claimed.map_err(|e: CallError| clean_to_width(&e.message, WHY));
    }
    let why = format!("the other host did not answer within {} ms", WAIT.as_millis());
    if let Some(Peer::Up { link: known, avoid }) = agent.direct().lock().peers.get_mut(&offer.key)
        && known.same(&link)
    {
        *avoid = Some((Instant::now() + SLOW, why.clone()));
    }
    Err(why)
}

/// What there is of a link.
enum Step {
    There(Link),
    Comes(Instant, watch::Receiver<Dialed>),
}

/// The link to a host: the one that is there, or a new one.
async fn reach(agent: &Agent, offer: &Offer) -> Result<Link, String> {
    match step(agent, offer)? {
        Step::There(link) => Ok(link),
        // However many come meanwhile: what does not go at once makes none of them wait again.
        Step::Comes(since, mut comes) => {
            let dialed = timeout_at(since + WAIT, comes.wait_for(Option::is_some)).await;
            let dialed = dialed
                .map_err(|_| format!("no link to the other host within {} ms", WAIT.as_millis()))?;
            let dialed = dialed.ok().and_then(|dialed| dialed.clone());
            dialed.unwrap_or_else(|| Err("dialing the other host was given up".to_owned()))
        }
    }
}

fn step(agent: &Agent, offer: &Offer) -> Result<Step, String> {
    let mut inner = agent.direct().lock();
    let now = Instant::now();
    // What has failed before is tried again, and nobody waits for it.
    let failed = match inner.peers.get(&offer.key) {
        Some(Peer::Up { link, avoid }) if is_up(link) => {
            return match avoid {
                Some((until, why)) if now < *until => Err(why.clone()),
                _ => Ok(Step::There(link.clone())),
            };
        }
        Some(Peer::Dialing { failed: Some(why), .. }) => return Err(why.clone()),
        Some(Peer::Dialing { since, comes, failed: None }) => {
            return Ok(Step::Comes(*since, comes.clone()));
        }
        Some(Peer::Away { until, why }) if now < *until => return Err(why.clone()),
        Some(Peer::Away { why, .. }) => Some(why.clone()),
        Some(Peer::Up { .. }) | None => None,
    };
    if inner.peers.len() >= PEERS && !inner.peers.contains_key(&offer.key) {
        inner.peers.retain(|_, peer| match peer {
            Peer::Up { link, .. } => is_up(link),
            Peer::Dialing { .. } => true,
            Peer::Away { until, .. } => now < *until,
        });
        if inner.peers.len() >= PEERS {
            return Err(format!("{PEERS} other hosts are dialed already, as many as may be"));
        }
    }
    let (give, comes) = watch::channel(None);
    let peer = Peer::Dialing { since: now, comes: comes.clone(), failed: failed.clone() };
    inner.peers.insert(offer.key, peer);
    tokio::spawn(dial(agent.clone(), offer.clone(), give));
    failed.map_or(Ok(Step::Comes(now, comes)), Err)
}

/// Dials a host at each of its addresses, and keeps what came of it.
async fn dial(agent: Agent, offer: Offer, give: watch::Sender<Dialed>) {
    let mut tried = Vec::new();
    let mut up = None;
    for at in offer.at.iter().take(MAX_ADDRESSES) {
        match dial_one(&agent, &offer, *at).await {
            Ok(link) => {
                tracing::info!(%at, key = %offer.key, "another host is linked directly");
                up = Some(link);
                break;
            }
            Err(why) => tried.push(why),
        }
    }
    let why = clean_to_width(&tried.join("; "), WHY);
    let (peer, dialed) = match up {
        Some(link) => (Peer::Up { link: link.clone(), avoid: None }, Ok(link)),
        None => (Peer::Away { until: Instant::now() + PAUSE, why: why.clone() }, Err(why)),
    };
    agent.direct().lock().peers.insert(offer.key, peer);
    give.send_replace(Some(dialed));
}

async fn dial_one(agent: &Agent, offer: &Offer, at: SocketAddr) -> Result<Link, String> {
    if !agent.policy().forwards.dials(at) {
        return Err(format!(
            "this host's policy does not let it dial {at} (direct_to under [forwards])"
        ));
    }
    let key = agent.direct().key().ok_or("this host does not know its own key yet")?;
    let target = Target { address: at.to_string(), hub: offer.key };
    let hello = Hello {
        protocol: PROTOCOL,
        kind: PeerKind::Agent,
        version: VERSION.to_owned(),
        name: String::new(),
        capabilities: Vec::new(),
        at_ms: clock::now_ms(),
        join: None,
    };
    let most = agent.policy().forwards.max.saturating_add(16);
    let limits = Limits { streams: most, ..Limits::default() };
    let dialed = timeout(DIALING, link::dial(&target, None, &key, &hello, limits)).await;
    let (link, _, mut streams) = match dialed {
        Ok(Ok(dialed)) => dialed,
        Ok(Err(e)) => return Err(wrong(at, &e)),
        Err(_) => return Err(format!("{at}: no answer within {} s", DIALING.as_secs())),
    };
    // The other host is asked and never asks: what it opens is reset.
    tokio::spawn(async move { while streams.recv().await.is_some() {} });
    Ok(link)
}

/// Why a host is not reached, in words that do not speak of a hub.
fn wrong(at: SocketAddr, e: &DialError) -> String {
    match e {
        DialError::Connect { source, .. } => format!("{at}: {source}"),
        DialError::Impostor { .. } => {
            format!("{at} does not hold the key of that host: somebody else listens there")
        }
        DialError::Handshake { source, .. } => format!("{at}: {source}"),
        DialError::Refused { refusal, .. } => format!("{at} refused: {}", refusal.message),
        DialError::Protocol { what, .. } => format!("{at}: {what}"),
    }
}
