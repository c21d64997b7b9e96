//! The two ways of a connection of a forward that is kept: to a place that this host reaches itself, and through the hub.

use super::connect;
use super::held::Guest;
use crate::Agent;
use cmdr_link::service::Feeding;
use cmdr_link::tunnel;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::Accept;
use cmdr_protocol::{CallError, ErrorKind};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// Bytes taken from a socket at once.
const CHUNK: usize = 64 * 1024;

/// Connects to a place that this host reaches, and carries what is said both ways.
pub(super) async fn here(agent: &Agent, guest: Guest, to: &Place) {
    let Guest { mut tcp, seat } = guest;
    let counts = seat.0.clone();
    let Ok(_place) = agent.tunnels().clone().try_acquire_owned() else {
        return counts
            .failed("this host carries as many connections as it may (max under [forwards])");
    };
    let mut far = match connect(agent, to).await {
        Ok((far, _)) => far,
        Err(e) => return counts.failed(&e.message),
    };
    let carried = async {
        let (from, to) = tcp.split();
        let (far_from, far_to) = far.split();
        let counted = &counts.carried;
        tokio::try_join!(copy(from, far_to, &counted.sent), copy(far_from, to, &counted.received))
    };
    let done = tokio::select! {
        done = carried => done,
        () = counts.is_cut() => return,
    };
    match done {
        // Both have said all: what is on its way shall come there.
        Ok(_) => [&tcp, &far].into_iter().for_each(tunnel::release),
        Err(e) => counts.failed(&e.to_string()),
    }
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, bytes: &AtomicU64) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut room = Vec::with_capacity(CHUNK);
        match from.read_buf(&mut room).await? {
            0 => return to.shutdown().await,
            n => {
                to.write_all(&room).await?;
                bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
        }
    }
}

/// Carries a connection through the hub, which has found the far end.
pub(super) async fn through(guest: Guest, feeding: Feeding<Accept>) -> Result<(), CallError> {
    let Guest { tcp, seat } = guest;
    let counts = &seat.0;
    let (mut give, mut take) = (feeding.sender(), feeding);
    let done = tokio::select! {
        done = tunnel::carry(tcp, &mut give, &mut take, &counts.carried) => done,
        () = counts.is_cut() => Err(CallError::new(ErrorKind::Cancelled, "the connection was cut")),
    };
    if let Err(e) = &done
        && e.kind != ErrorKind::Cancelled
    {
        counts.failed(&e.message);
    }
    done
}
