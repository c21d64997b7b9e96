//! Alert rules: list, show, check, save, switch, delete, and trying them on the history.

use super::{HubService, nobody};
use crate::alerts::{Trial, checked};
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::rules::{
    Check, Checked, Delete, List, Listing, Save, Show, Shown, Switch, Tried, Try, Versions,
};
use cmdr_protocol::runbooks::{Saved, VersionListing};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{Call as _, CallError, Nothing, methods};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(list).on(show).on(check).on(save).on(switch);
    service.on(versions).on(delete).on(attempt)
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { rules: hub.alerts.rules() })
}

async fn show(hub: Arc<Hub>, _: Asked, show: Show) -> Result<Shown, CallError> {
    hub.alerts.rule(&show.name, show.version)
}

async fn check(hub: Arc<Hub>, _: Asked, check: Check) -> Result<Checked, CallError> {
    Ok(match checked(&check.text, hub.alerts.catalog()) {
        Ok(rules) => Checked {
            problems: Vec::new(),
            names: rules.into_iter().map(|rule| rule.name).collect(),
        },
        Err(problems) => Checked { problems, names: Vec::new() },
    })
}

fn told(hub: &Hub, caller: &Caller, what: What, name: &str, message: &str) {
    let (about, operator) = (format!("rule:{name}"), caller.operator.clone());
    let message = message.to_owned();
    hub.fleet.events.tell(Event { what, about, operator, message, ..Event::default() });
}

async fn save(hub: Arc<Hub>, asked: Asked, save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.alerts.save_rule(&hub, &save, &caller.name).await?;
    if !saved.unchanged {
        told(&hub, &caller, What::RuleSaved, &save.name, &format!("version {}", saved.version));
    }
    Ok(saved)
}

async fn switch(hub: Arc<Hub>, asked: Asked, switch: Switch) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.alerts.switch_rule(&hub, &switch.name, switch.off, &caller.name).await?;
    if !saved.unchanged {
        let message = if switch.off { "off" } else { "on" };
        told(&hub, &caller, What::RuleSaved, &switch.name, message);
    }
    Ok(saved)
}

async fn versions(hub: Arc<Hub>, _: Asked, asks: Versions) -> Result<VersionListing, CallError> {
    Ok(VersionListing { versions: hub.alerts.rule_versions(&asks.name)? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.alerts.delete_rule(&hub, &delete.name).await?;
    told(&hub, &caller, What::RuleDeleted, &delete.name, "");
    Ok(Nothing {})
}

/// Only hosts of which the caller may ask this are looked at.
async fn attempt(hub: Arc<Hub>, asked: Asked, attempt: Try) -> Result<Tried, CallError> {
    let who = hub.who(&asked.caller.ok_or_else(nobody)?);
    let (rule, metrics) = hub.alerts.meant(&attempt.text)?;
    let to = if attempt.to_ms == 0 { clock::now_ms() } else { attempt.to_ms };
    if attempt.from_ms >= to {
        return Err(CallError::malformed("the time that is looked at ends before it begins"));
    }
    let meant = if attempt.hosts.trim().is_empty() { &rule.hosts } else { &attempt.hosts };
    let selector = match meant.trim() {
        "" => None,
        hosts => Some(Selector::parse(hosts).map_err(|e| CallError::malformed(e.to_string()))?),
    };
    let method = methods::index(Try::METHOD).ok_or_else(nobody)?;
    let hosts = hub.fleet.hosts().into_iter();
    let hosts = hosts.filter(|host| selector.as_ref().is_none_or(|s| s.matches(host)));
    let hosts = hosts.filter_map(|host| Some((host.id?, host.name)));
    let hosts = hosts.filter(|(id, _)| hub.decide(&who, method, Some(""), Some(*id)).is_ok());
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX / 4);
    let (from_ms, to_ms) = (signed(attempt.from_ms), signed(to));
    let trial = Trial { rule, metrics, hosts: hosts.collect(), from_ms, to_ms };
    if trial.hosts.is_empty() {
        return Err(CallError::not_found("the rule is for no host that you may see"));
    }
    let store = hub.history.store()?;
    let tried = tokio::task::spawn_blocking(move || trial.run(&hub, &store)).await;
    tried.map_err(|e| CallError::failed(format!("trying the rule: {e}")))?
}
