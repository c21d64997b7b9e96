//! The way of a connection to where another host connects: to that host, or by the hub.

use super::direct;
use super::held::{Counts, Guest};
use crate::Agent;
use cmdr_link::service::Feeding;
use cmdr_link::tunnel;
use cmdr_protocol::forwards::Piece;
use cmdr_protocol::forwards::kept::Accept;
use cmdr_protocol::{CallError, ErrorKind};

/// Counts a connection whose end comes from outside: the hub gives up what is not there any more at the other host.
struct Dropped<'a>(Option<&'a Counts>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if let Some(counts) = self.0 {
            counts.failed(
                "the far end broke, or the hub has ended the connection; the audit log says why",
            );
        }
    }
}

/// Carries a connection whose far end the hub has found: directly, where the hub says how and that goes at once.
pub(super) async fn lead(
    agent: &Agent,
    guest: Guest,
    accept: &Accept,
    feeding: Feeding<Accept>,
) -> Result<(), CallError> {
    let Guest { tcp, seat } = guest;
    let counts = &seat.0;
    let mut dropped = Dropped(Some(counts));
    let (mut give, mut take) = (feeding.sender(), feeding);
    let done = async {
        if let Some(offer) = &accept.direct {
            match Box::pin(direct::claim(agent, offer)).await {
                Ok((mut items, mut inputs)) => {
                    counts.went(Ok(()));
                    return tunnel::carry(tcp, &mut inputs, &mut items, &counts.carried).await;
                }
                Err(why) => counts.went(Err(why)),
            }
            // The other host waits for this word.
            give.send(&Piece::default()).await?;
        }
        tunnel::carry(tcp, &mut give, &mut take, &counts.carried).await
    };
    let done = tokio::select! {
        done = done => Some(done),
        () = counts.is_cut() => None,
    };
    dropped.0 = None;
    let cut = || CallError::new(ErrorKind::Cancelled, "the connection was cut");
    let done = done.ok_or_else(cut)?;
    if let Err(e) = &done {
        counts.failed(&e.message);
    }
    done
}
