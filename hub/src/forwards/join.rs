//! One connection of a forward: taken from the host that listens, dialed at the one that connects, carried between them unread.
//! It goes by the rights that its forward's operator has now, and ends when they end.

use super::{ForwardRecord, may};
use crate::audit::trail::Trail;
use crate::server::Hub;
use cmdr_link::client::{Inputs, Items};
use cmdr_link::relay::{Ended, Relayed};
use cmdr_link::{Client, codec, tunnel};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::forwards::kept::{Accept, Knock};
use cmdr_protocol::forwards::{Carries, Dial, Piece};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, HostId};
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

/// Joins a connection that waits at a host. The error is why nobody has taken it from there.
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
    let (there, back) = (AtomicU64::new(0), AtomicU64::new(0));
    let far = dialed(hub, via, &dial, &caller).await;
    let mut taken = false;
    let result = match far {
        Ok((mut far_items, mut far_inputs)) => {
            let accept = Accept { connection: knock.connection };
            match from.feed_for(None, Some(host), &accept).await {
                Ok(near) => {
                    taken = true;
                    let (mut items, mut inputs) = near.split();
                    let forth = tunnel::pass(&mut items, &mut far_inputs, &there);
                    let back = tunnel::pass(&mut far_items, &mut inputs, &back);
                    tokio::select! {
                        carried = async { tokio::try_join!(forth, back) } => carried.map(drop),
                        e = ends(hub, &record, via) => Err(e),
                    }
                }
                Err(e) => Err(e),
            }
        }
        Err(e) => Err(e),
    };
    let (there, back) = (there.into_inner(), back.into_inner());
    hub.counters.carried(Relayed { forth: there, back });
    let carried = format!("{there} bytes there, {back} bytes back");
    if let Some(trail) = trail {
        let last = codec::encode(&Piece { carried, ..Piece::default() }).ok();
        drop(trail.end(Ended { result: result.clone(), last }).await);
    }
    // Once it is taken, its end is told by the connection itself.
    if taken { Ok(()) } else { result }
}

/// The far end, once the host that connects has reached it.
async fn dialed(
    hub: &Hub,
    via: HostId,
    dial: &Dial,
    caller: &Caller,
) -> Result<(Items<Dial>, Inputs<Dial>), CallError> {
    let dialed = async {
        // After the hub's own start hosts come back one after the other.
        while hub.uptime() < RETURNING && hub.fleet.link(via).is_err() {
            sleep(AGAIN).await;
        }
        let client = Client::new(hub.fleet.link(via)?);
        let (mut items, inputs) = client.feed_for(Some(caller), Some(via), dial).await?.split();
        // The address that answered.
        items.next().await.transpose()?;
        Ok((items, inputs))
    };
    timeout(DIALING, dialed).await.unwrap_or_else(|_| {
        let what = format!("the host that connects did not within {} s", DIALING.as_secs());
        Err(CallError::new(ErrorKind::TimedOut, what))
    })
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
