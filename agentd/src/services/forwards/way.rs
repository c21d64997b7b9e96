//! The way of a connection through the hub, to where another host connects.

use super::held::Guest;
use cmdr_link::service::Feeding;
use cmdr_link::tunnel;
use cmdr_protocol::forwards::kept::Accept;
use cmdr_protocol::{CallError, ErrorKind};

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
