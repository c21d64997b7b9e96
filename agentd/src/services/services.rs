//! The host's services: units of systemd over the system bus, their changes as the manager tells
//! them, and acts that wait for their job.

mod act;
mod live;
mod rows;
mod show;

pub use live::Live;

use crate::Agent;
use crate::sifted::Sifted;
use crate::systemd::Manager;
use act::Verb;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::services::{
    Disable, Done, Enable, List, Listing, Mask, Reload, ResetFailed, Restart, Show, Shown, Start,
    Stop, Unit, Unmask, Watch,
};
use cmdr_protocol::table::Row as _;
use cmdr_protocol::{CallError, ErrorKind};
use std::sync::Arc;

/// A reply must stay under the largest frame.
const REPLY: usize = 700 * 1024;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service
        .on(list)
        .feed(watch)
        .on(show)
        .on(|agent, asked, call: Start| act(agent, asked, call.unit, Verb::Start))
        .on(|agent, asked, call: Stop| act(agent, asked, call.unit, Verb::Stop))
        .on(|agent, asked, call: Restart| act(agent, asked, call.unit, Verb::Restart))
        .on(|agent, asked, call: Reload| act(agent, asked, call.unit, Verb::Reload))
        .on(|agent, asked, call: Enable| act(agent, asked, call.unit, Verb::Enable))
        .on(|agent, asked, call: Disable| act(agent, asked, call.unit, Verb::Disable))
        .on(|agent, asked, call: Mask| act(agent, asked, call.unit, Verb::Mask))
        .on(|agent, asked, call: Unmask| act(agent, asked, call.unit, Verb::Unmask))
        .on(|agent, asked, call: ResetFailed| act(agent, asked, call.unit, Verb::ResetFailed))
}

async fn list(agent: Arc<Agent>, _: Asked, list: List) -> Result<Listing, CallError> {
    let sifted = Sifted::new(&list.sift)?;
    let manager = Manager::connect(agent.config()).await?;
    let mut reader =
        rows::Reader::new(agent.config(), list.kinds).sifted(sifted, list.limit as usize);
    let (units, mut left_out) = reader.read(&manager).await?;
    let mut room = REPLY;
    let fits = |unit: &Unit| {
        room = room.saturating_sub(unit.weight());
        room > 0
    };
    let count = units.len();
    let units: Vec<Unit> = units.into_iter().take_while(fits).collect();
    left_out += (count - units.len()) as u64;
    Ok(Listing { units, left_out, sifted: true })
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    live::watch(agent.units(), agent.config()).send(feeding).await
}

async fn show(agent: Arc<Agent>, _: Asked, call: Show) -> Result<Shown, CallError> {
    check(&call.unit)?;
    let manager = Manager::connect(agent.config()).await?;
    show::show(agent.config(), &manager, &call.unit).await
}

async fn act(agent: Arc<Agent>, asked: Asked, unit: String, verb: Verb) -> Result<Done, CallError> {
    check(&unit)?;
    let result = act::act(agent.config(), &unit, verb).await;
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let caller = clean_to_width(caller, 64);
    let outcome = result.as_ref().map_or_else(ToString::to_string, |done| done.result.clone());
    tracing::info!(caller, trace = asked.trace, unit, outcome, "service {verb:?}");
    result
}

/// Whether this is the whole name of a unit. The manager would make a path of others.
fn check(unit: &str) -> Result<(), CallError> {
    const KINDS: [&str; 11] = [
        "service",
        "socket",
        "target",
        "timer",
        "path",
        "mount",
        "automount",
        "swap",
        "slice",
        "scope",
        "device",
    ];
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let kind = unit.rsplit_once('.').filter(|(name, _)| !name.is_empty()).map(|(_, kind)| kind);
    if unit.len() <= 255 && unit.chars().all(fits) && kind.is_some_and(|k| KINDS.contains(&k)) {
        return Ok(());
    }
    Err(CallError::new(
        ErrorKind::Malformed,
        format!("'{}' is not the name of a unit such as nginx.service", clean_to_width(unit, 80)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_units_are_taken() {
        for good in ["nginx.service", "getty@tty1.service", "dev-disk-by\\x2did.device"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "nginx", ".service", "../x.service", "a b.service", "x.servicex", "/etc/x"]
        {
            assert_eq!(check(bad).unwrap_err().kind, ErrorKind::Malformed, "{bad}");
        }
    }
}
