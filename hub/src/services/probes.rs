//! Probes: list, show, check, save, delete, try, and how they stand.

use super::{HubService, nobody};
use crate::probes::{Probes, lately};
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::Client;
use cmdr_link::service::Asked;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::exec::Start;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::probes::{
    Check, Checked, Delete, List, Listing, MAX_AGENTS, Measured, Probe, Run, Save, Seen, Show,
    Shown, Stands, Status, Tried, Try, Verdict, Versions,
};
use cmdr_protocol::runbooks::{Saved, VersionListing};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{Call as _, CallError, Feed as _, HostId, Nothing, methods};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// An agent may take so much longer than the look itself.
const BEYOND: Duration = Duration::from_secs(10);

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(list).on(show).on(check).on(save);
    service.on(versions).on(delete).on(attempt).on(status)
}

async fn list(hub: Arc<Hub>, _: Asked, list: List) -> Result<Listing, CallError> {
    Ok(Listing { probes: hub.probes.all(&list) })
}

/// The text as it is for those who could save another one: they could have any far end told what is in it.
async fn show(hub: Arc<Hub>, asked: Asked, show: Show) -> Result<Shown, CallError> {
    let who = hub.who(&asked.caller.ok_or_else(nobody)?);
    let method = methods::index(Save::METHOD).ok_or_else(nobody)?;
    let may_save = hub.decide(&who, method, Some(&show.resource()), None).is_ok();
    hub.probes.show(&show.name, show.version, may_save)
}

async fn check(hub: Arc<Hub>, _: Asked, check: Check) -> Result<Checked, CallError> {
    Ok(Probes::check(&hub, &check.text))
}

fn told(hub: &Hub, caller: &Caller, what: What, name: &str, message: &str) {
    let (about, operator) = (format!("probe:{name}"), caller.operator.clone());
    let message = message.to_owned();
    hub.fleet.events.tell(Event { what, about, operator, message, ..Event::default() });
}

/// Hosts that a selector means, with their ids, by name.
fn meant(hub: &Hub, from: &str) -> Result<Vec<(HostId, Host)>, CallError> {
    let selector = match from.trim() {
        "" => None,
        from => Some(Selector::parse(from).map_err(|e| CallError::malformed(e.to_string()))?),
    };
    let hosts = hub.fleet.hosts().into_iter();
    let hosts = hosts.filter(|host| selector.as_ref().is_none_or(|s| s.matches(host)));
    let mut hosts: Vec<_> = hosts.filter_map(|host| Some((host.id?, host))).collect();
    hosts.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    Ok(hosts)
}

/// Whether somebody may have a probe's program run: on each host that it is for they could run it themselves.
fn may_run(hub: &Hub, who: &Who, probe: &Probe, from: &str) -> Result<(), CallError> {
    let Some(script) = &probe.script else { return Ok(()) };
    let (argv, user) = (script.command.clone(), script.user.clone());
    let start = Start { argv, user, ..Start::default() };
    let method = methods::index(Start::METHOD).ok_or_else(nobody)?;
    let resource = start.resource();
    for (id, host) in meant(hub, from)? {
        if hub.decide(who, method, Some(&resource), Some(id)).is_err() {
            return Err(CallError::denied(format!(
                "a probe with a program runs it on every host of `from`, and you may not run {resource} on {}; \
                 ask for the right to {}, or probe without a program",
                host.name,
                Start::METHOD
            )));
        }
    }
    Ok(())
}

async fn save(hub: Arc<Hub>, asked: Asked, save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let written = hub.probes.meant(&save.name, &save.text)?;
    may_run(&hub, &hub.who(&caller), &written.probe, &written.from)?;
    let saved = hub.probes.save(&save, &caller.name).await?;
    if !saved.unchanged {
        let (probe, version) = (&save.name, saved.version);
        tracing::info!(probe, version, by = caller.name, "a probe was saved");
        told(&hub, &caller, What::ProbeSaved, probe, &format!("version {version}"));
    }
    Ok(saved)
}

async fn versions(hub: Arc<Hub>, _: Asked, asks: Versions) -> Result<VersionListing, CallError> {
    Ok(VersionListing { versions: hub.probes.versions(&asks.name)? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.probes.delete(&hub, &delete.name).await?;
    tracing::info!(probe = delete.name, by = caller.name, "a probe was deleted");
    told(&hub, &caller, What::ProbeDeleted, &delete.name, "");
    Ok(Nothing {})
}

async fn attempt(hub: Arc<Hub>, asked: Asked, attempt: Try) -> Result<Tried, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let written = hub.probes.meant(&attempt.name, &attempt.text)?;
    let from = if attempt.from.trim().is_empty() { &written.from } else { &attempt.from };
    may_run(&hub, &hub.who(&caller), &written.probe, from)?;
    let mut hosts = meant(&hub, from)?;
    if hosts.is_empty() {
        return Err(CallError::not_found("no host is meant by `from`"));
    }
    if hosts.len() > MAX_AGENTS {
        // Those that are here first.
        hosts.sort_by_key(|(id, _)| hub.fleet.link(*id).is_err());
        hosts.truncate(MAX_AGENTS);
    }
    let patience = Duration::from_millis(written.probe.timeout_ms) + BEYOND;
    let run = Run { probe: written.probe };
    let looks = hosts.into_iter().map(|(id, host)| one(&hub, id, host.name, &run, patience));
    let mut agents = join_all(looks).await;
    agents.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Tried { agents })
}

/// What one host sees now.
async fn one(hub: &Hub, id: HostId, name: String, run: &Run, patience: Duration) -> Seen {
    let link = hub.fleet.link(id);
    let online = link.is_ok();
    let asked = match link {
        Ok(link) => Client::new(link).call(Some(id), run, patience).await,
        Err(e) => Err(e),
    };
    let unsaid = |e: CallError| Measured {
        verdict: Verdict::Unknown,
        why: cmdr_protocol::display::clean_to_width(&e.message, 400),
        ..Measured::default()
    };
    let at_ms = cmdr_link::clock::now_ms();
    let measured = asked.unwrap_or_else(unsaid);
    Seen { host: Some(id), name, online, at_ms, failures: 0, measured }
}

/// Of hosts that the caller may not see nothing is said but how they vote.
async fn status(hub: Arc<Hub>, asked: Asked, status: Status) -> Result<Stands, CallError> {
    let who = hub.who(&asked.caller.ok_or_else(nobody)?);
    let (mut stands, agents) = hub.probes.stands(&hub, &status.name, |id| hub.sees(&who, id))?;
    let name = status.name;
    let minutes = tokio::task::spawn_blocking(move || lately(&hub, &name, &agents)).await;
    stands.lately = minutes.map_err(|e| CallError::failed(format!("reading the history: {e}")))?;
    Ok(stands)
}
