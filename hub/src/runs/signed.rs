//! Rights to run what somebody has signed, and nothing else: `exec.start` on `signed-runbook:NAME`. Such a right is
//! looked at where there is none on `runbook:NAME`, and then the signatures that were pinned with the run have to hold.

use super::live::Live;
use crate::rights::{Allowed, Missing, SIGNED};
use crate::runbooks::signed;
use crate::server::Hub;
use crate::who::Who;
use cmdr_protocol::runs::Order;
use cmdr_protocol::{CallError, HostId};

/// By what an order is allowed.
pub(super) struct By {
    /// The grant.
    pub(super) allowed: Allowed,
    /// It is one for signed runbooks alone.
    pub(super) signature: bool,
}

/// Decides about an order with this resource. What is allowed by signature is allowed only when that holds.
pub(super) fn decide(
    hub: &Hub,
    who: &Who,
    method: usize,
    resource: &str,
    host: HostId,
) -> Result<By, Missing> {
    let plain = hub.decide(who, method, Some(resource), Some(host));
    let missing = match plain {
        Ok(allowed) => return Ok(By { allowed, signature: false }),
        Err(missing) if !resource.starts_with("runbook:") => return Err(missing),
        Err(missing) => missing,
    };
    let by_signature = hub.decide(who, method, Some(&format!("{SIGNED}{resource}")), Some(host));
    match by_signature {
        Ok(allowed) => Ok(By { allowed, signature: true }),
        // Whoever can ask for one of them is told so.
        Err(signed) => Err(missing.max(signed)),
    }
}

/// Whether the signatures hold that an order has to have.
pub(super) fn check(hub: &Hub, who: &Who, order: &Order) -> Result<(), CallError> {
    let Some(runbook) = &order.runbook else {
        return Err(CallError::denied("this is no runbook, so nobody has signed it"));
    };
    signed::check(hub, runbook).map_err(|why| {
        CallError::denied(format!(
            "nothing was begun: {} allows signed runbooks alone, and {why}",
            who.standing()
        ))
    })
}

/// The same of a run that goes on.
pub(super) fn still(hub: &Hub, live: &Live) -> Result<(), String> {
    let runbook = live.lock().record.start.order.runbook.clone();
    let runbook = runbook.ok_or("this is no runbook, so nobody has signed it")?;
    signed::check(hub, &runbook)
}
