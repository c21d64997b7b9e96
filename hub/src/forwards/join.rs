//! One connection of a forward: taken from the host that listens, dialed at the one that connects, carried between them unread,
//! or by themselves where both owners let them. It goes by the rights that its forward's operator has now, and ends when they end.

use super::{ForwardRecord, may};
use crate::audit::trail::Trail;
use crate::server::Hub;
use cmdr_link::client::{Inputs, Items};
use cmdr_link::relay::{Ended, Relayed};
use cmdr_link::{Client, codec, tunnel};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::forwards::direct::{MAX_ADDRESSES, Meet, Offer, Ticket};
use cmdr_protocol::forwards::kept::{Accept, Knock};
use cmdr_protocol::forwards::{Carries, Dial, Piece};
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::{interval, sleep, timeout};

/// How often it is looked at whether its operator may still have it.
const LOOK: Duration = Duration::from_secs(1);
/// So long after its start the hub waits for hosts that were there before, and looks so often.
const RETURNING: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);
/// The host that connects has so long to do it.
const DIALING: Duration = Duration::from_secs(25);

/// Joins a connection that waits at a host. The error is why it waits in vain, or broke.
pub(super) async fn join(
    hub: &Arc<Hub>,
    host: HostId,
    from: &Client,
    knock: Knock,
) -> Result<(), CallError> {
    let gone = || CallError::not_found("the hub has no such forward of this host");
    // Where it leads is the hub's own word, not the host's.
    let record = hub.forwards.of(host, &knock.forward).ok_or_else(gone)?;
    let (Some(via), Some(key)) = (record.via, record.key) else { return Err(gone()) };
    let who = hub.who_is(&record.by);
    may(hub, &who, via, record.kind, &record.to)?;
    let dial = Dial { to: record.to.clone(), carries: Carries::Tcp, look: false };
    let operator = record.by.clone();
    let caller =
        Caller { key, name: operator.clone(), operator, role: who.role, address: String::new() };
    let header = Header {
        to: Some(via),
        method: Dial::METHOD.to_owned(),
        kind: Kind::Feed,
        resource: dial.resource(),
        deadline_ms: None,
        trace: 0,
        caller: None,
    };
    let request = codec::encode(&dial).map_err(|e| CallError::failed(e.to_string()))?;
    let why = format!("the forward {}", record.name);
    let trail = Trail::by_clock(hub, &caller, &header, &request, &why).await?;
    let connection = Connection { hub, record: &record, host, via, from, knock: &knock };
    let (result, carried) = match connection.met(&caller).await {
        Some(Ok((far, offer))) => connection.carried(far, Some(offer)).await,
        Some(Err(e)) => (Err(e), None),
        None => match connection.dialed(&caller, &dial).await {
            Ok((far, _)) => connection.carried(far, None).await,
            Err(e) => (Err(e), None),
        },
    };
    if let Some(trail) = trail {
        let last = carried.map(|carried| Piece { carried, ..Piece::default() });
        let last = last.and_then(|last| codec::encode(&last).ok());
        drop(trail.end(Ended { result: result.clone(), last }).await);
    }
    result
}

/// Both ways of the connection to the far end.
type Far<F> = (Items<F>, Inputs<F>);

/// A connection, as the hub knows it.
struct Connection<'a> {
    hub: &'a Arc<Hub>,
    record: &'a ForwardRecord,
    host: HostId,
    via: HostId,
    from: &'a Client,
    knock: &'a Knock,
}

impl Connection<'_> {
    /// The far end at a host to which the other may come for it, and where; none when it cannot, or the hosts are of a release that
    /// does not know how.
    async fn met(&self, caller: &Caller) -> Option<Result<(Far<Meet>, Offer), CallError>> {
        if !self.knock.direct {
            return None;
        }
        let (near, far) =
            (self.hub.fleet.link(self.host).ok()?, self.hub.fleet.link(self.via).ok()?);
        let mut ticket = Ticket::default();
        getrandom::fill(&mut ticket.0).ok()?;
        let meet = Meet { to: self.record.to.clone(), ticket, key: near.peer() };
        match self.dialed(caller, &meet).await {
            Err(e) if e.kind == ErrorKind::UnknownMethod => None,
            Err(e) => Some(Err(e)),
            Ok((far_end, mut at)) => {
                at.truncate(MAX_ADDRESSES);
                Some(Ok((far_end, Offer { ticket, key: far.peer(), at })))
            }
        }
    }

    /// The far end, once the host that connects has reached it, and where that host may be dialed.
    async fn dialed<F>(
        &self,
        caller: &Caller,
        ask: &F,
    ) -> Result<(Far<F>, Vec<SocketAddr>), CallError>
    where
        F: Feed<Input = Piece, Item = Piece>,
    {
        let fleet = &self.hub.fleet;
        let dialed = async {
            // After the hub's own start hosts come back one after the other.
            while self.hub.uptime() < RETURNING && fleet.link(self.via).is_err() {
                sleep(AGAIN).await;
            }
            let client = Client::new(fleet.link(self.via)?);
            let feed = client.feed_for(Some(caller), Some(self.via), ask).await?;
            let (mut items, inputs) = feed.split();
            // The address that answered.
            let opened = items.next().await.transpose()?.unwrap_or_default();
            Ok(((items, inputs), opened.at))
        };
        timeout(DIALING, dialed).await.unwrap_or_else(|_| {
            let what = format!("the host that connects did not within {} s", DIALING.as_secs());
            Err(CallError::new(ErrorKind::TimedOut, what))
        })
    }

    /// Takes the connection at the host that listens, and carries it, or looks on while the hosts do. With the end comes what was
    /// carried, in words.
    async fn carried<F>(
        &self,
        far: Far<F>,
        direct: Option<Offer>,
    ) -> (Result<(), CallError>, Option<String>)
    where
        F: Feed<Input = Piece, Item = Piece>,
    {
        let (mut far_items, mut far_inputs) = far;
        let offered = direct.is_some();
        let accept = Accept { connection: self.knock.connection, direct };
        let near = match self.from.feed_for(None, Some(self.host), &accept).await {
            Ok(near) => near,
            Err(e) => return (Err(e), None),
        };
        let (mut items, mut inputs) = near.split();
        let (there, back) = (AtomicU64::new(0), AtomicU64::new(0));
        let forth = tunnel::pass(&mut items, &mut far_inputs, &there);
        let home = tunnel::pass(&mut far_items, &mut inputs, &back);
        let ended = tokio::select! {
            carried = async { tokio::try_join!(forth, home) } => carried.map(|(_, last)| last),
            e = ends(self.hub, self.record, self.via) => Err(e),
        };
        let (there, back) = (there.into_inner(), back.into_inner());
        self.hub.counters.carried(Relayed { forth: there, back });
        // Of what goes directly not even the word comes by here that it goes another way.
        let directly = offered && there == 0;
        let words = |(there, back): (u64, u64)| {
            let directly = if directly { ", directly" } else { "" };
            format!("{there} bytes there, {back} bytes back{directly}")
        };
        match ended {
            // The host that connects has counted what was said, whichever way it went.
            Ok(last) => {
                let told = codec::decode::<Piece>(&last).ok();
                let told = told.and_then(|last| counted(&last.carried));
                (Ok(()), Some(words(told.unwrap_or((there, back)))))
            }
            Err(e) => (Err(e), (!directly).then(|| words((there, back)))),
        }
    }
}

/// Reads what a host says that it has carried.
fn counted(text: &str) -> Option<(u64, u64)> {
    let (there, back) = text.split_once(" bytes there, ")?;
    Some((there.parse().ok()?, back.strip_suffix(" bytes back")?.parse().ok()?))
}

/// Comes when the forward's operator may not have this connection any more, or the forward is gone.
async fn ends(hub: &Hub, record: &ForwardRecord, via: HostId) -> CallError {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let now = record.host.and_then(|host| hub.forwards.of(host, &record.name));
        let Some(now) = now else { return CallError::not_found("the forward was deleted") };
        // Whoever changed it last answers for what is established, too.
        if let Err(e) = may(hub, &hub.who_is(&now.by), via, record.kind, &record.to) {
            return e;
        }
    }
}
