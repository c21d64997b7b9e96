//! Alerts: lists, what happened, acknowledging, silences, policies. Only of hosts of which the caller may ask.

use super::{HubService, nobody};
use crate::alerts::{Deed, check_policies, moment};
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::alerts::{
    Acknowledge, Alert, CheckPolicies, Dismiss, Done, EndSilence, Happened, Happening, History,
    List, Listing, MAX_LISTED, MAX_NAMED, News, Policies, PolicyText, PutSilence, Refused,
    SavePolicies, Show, Shown, Silence, SilenceListing, Silences, State, Unacknowledge, Watch,
};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::runbooks::Saved;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{Call, CallError, Feed as _, HostId, Nothing, data, methods};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a feed tells at most.
const PACE: Duration = Duration::from_millis(200);

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(list).feed(watch).on(show).on(history);
    let service = service.on(acknowledge).on(unacknowledge).on(dismiss);
    let service = service.on(silence).on(unsilence).on(silences);
    service.on(policies).on(check).on(save)
}

/// Which hosts somebody may ask this of, decided once each.
struct Seen<'a> {
    hub: &'a Hub,
    who: Arc<Who>,
    method: usize,
    hosts: Option<Selector>,
    /// Of those without a host: alerts about the hub itself.
    known: HashMap<Option<HostId>, bool>,
}

impl<'a> Seen<'a> {
    fn new(hub: &'a Hub, asked: &Asked, method: &str, hosts: &str) -> Result<Self, CallError> {
        let who = hub.who(asked.caller.as_ref().ok_or_else(nobody)?);
        let method = methods::index(method).ok_or_else(nobody)?;
        let hosts = match hosts.trim() {
            "" => None,
            text => Some(Selector::parse(text).map_err(|e| CallError::malformed(e.to_string()))?),
        };
        Ok(Self { hub, who, method, hosts, known: HashMap::new() })
    }

    fn sees(&mut self, host: Option<HostId>) -> bool {
        if let Some(known) = self.known.get(&host) {
            return *known;
        }
        let picked = |selector: &Selector| {
            let host = host.and_then(|id| self.hub.fleet.host(id));
            host.is_some_and(|host| selector.matches(&host))
        };
        let sees = self.hub.decide(&self.who, self.method, Some(""), host).is_ok()
            && self.hosts.as_ref().is_none_or(picked)
            && (host.is_some() || sees_hub(self.hub, &self.who));
        self.known.insert(host, sees);
        sees
    }
}

/// Whether somebody is told how the hub itself stands: who may ask what it keeps.
pub(crate) fn sees_hub(hub: &Hub, who: &Who) -> bool {
    let method = methods::index(data::Sizes::METHOD);
    method.is_some_and(|method| hub.decide(who, method, Some(""), None).is_ok())
}

/// With the name of the host that is down instead.
fn named(hub: &Hub, mut alert: Alert) -> Alert {
    if let Some(name) = alert.down.parse().ok().and_then(|id| hub.fleet.name(id)) {
        alert.down = name;
    }
    alert
}

async fn list(hub: Arc<Hub>, asked: Asked, list: List) -> Result<Listing, CallError> {
    let mut seen = Seen::new(&hub, &asked, List::METHOD, &list.hosts)?;
    let wanted = |alert: &Alert| {
        let state = match list.states.as_slice() {
            [] => alert.state.is_firing(),
            states => states.contains(&alert.state),
        };
        state && (list.rule.is_empty() || alert.rule == list.rule)
    };
    let mut alerts = hub.alerts.all(wanted);
    alerts.retain(|alert| seen.sees(alert.host));
    alerts.sort_by(|a, b| {
        (b.severity, b.fired_ms.unwrap_or(b.pending_ms), &a.name, &a.rule, &a.instance).cmp(&(
            a.severity,
            a.fired_ms.unwrap_or(a.pending_ms),
            &b.name,
            &b.rule,
            &b.instance,
        ))
    });
    let more = alerts.len().saturating_sub(MAX_LISTED);
    alerts.truncate(MAX_LISTED);
    let alerts = alerts.into_iter().map(|alert| named(&hub, alert)).collect();
    Ok(Listing { alerts, more: u32::try_from(more).unwrap_or(u32::MAX) })
}

async fn watch(
    hub: Arc<Hub>,
    asked: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut news = hub.alerts.news();
    let mut change = None;
    loop {
        news.mark_unchanged();
        let Some((mut alerts, gone, newest)) = hub.alerts.since(change, |_| true) else {
            return Err(CallError::failed(
                "more alerts have changed than could be told; ask again",
            ));
        };
        // Rights may have changed meanwhile.
        let mut seen = Seen::new(&hub, &asked, Watch::METHOD, &watch.hosts)?;
        alerts.retain(|alert| seen.sees(alert.host));
        let first = change.is_none();
        change = Some(newest);
        let mut told = alerts.into_iter().map(|alert| named(&hub, alert)).peekable();
        let mut gone = Some(gone);
        while first && gone.is_some() || told.peek().is_some() {
            let alerts: Vec<_> = told.by_ref().take(MAX_LISTED / 4).collect();
            let all = told.peek().is_none();
            feeding.send(&News { alerts, gone: gone.take().unwrap_or_default(), all }).await?;
        }
        if let Some(gone) = gone.filter(|gone| !gone.is_empty()) {
            feeding.send(&News { gone, all: true, ..News::default() }).await?;
        }
        tokio::time::sleep(PACE).await;
        if news.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn show(hub: Arc<Hub>, asked: Asked, show: Show) -> Result<Shown, CallError> {
    let mut seen = Seen::new(&hub, &asked, Show::METHOD, "")?;
    let missing = || {
        let id = cmdr_protocol::display::clean_to_width(&show.id, 60);
        CallError::not_found(format!("there is no alert '{id}'; cmdr alerts ls lists them"))
    };
    if show.id.is_empty() {
        return Err(missing());
    }
    let mut found = hub.alerts.all(|alert| alert.id == show.id);
    if found.is_empty() {
        found = hub.alerts.all(|alert| alert.id.starts_with(&show.id));
    }
    found.retain(|alert| seen.sees(alert.host));
    if found.len() > 1 {
        return Err(CallError::malformed(format!(
            "{} alerts begin so; say more of its id",
            found.len()
        )));
    }
    let id = found.first().map_or(&show.id, |alert| &alert.id).clone();
    let mut happened = Vec::new();
    hub.alerts.happened(0, u64::MAX / 4, &mut |happening: Happening| {
        if happening.id == id && happened.len() < MAX_LISTED {
            happened.push(happening);
        }
    })?;
    happened.retain(|happening| seen.sees(happening.host));
    let alert = found.pop().or_else(|| happened.last().map(of)).ok_or_else(missing)?;
    let moment = moment(&hub, &alert, |method, resource| {
        hub.decide(&seen.who, method, Some(resource), alert.host).is_ok()
    })?;
    Ok(Shown { alert: named(&hub, alert), happened, moment })
}

/// An alert that is over, as far as it is known by what happened to it.
fn of(last: &Happening) -> Alert {
    Alert {
        id: last.id.clone(),
        rule: last.rule.clone(),
        host: last.host,
        name: last.name.clone(),
        instance: last.instance.clone(),
        severity: last.severity,
        state: last.state,
        message: last.message.clone(),
        resolved_ms: (last.state == State::Resolved).then_some(last.at_ms),
        ..Alert::default()
    }
}

async fn history(hub: Arc<Hub>, asked: Asked, history: History) -> Result<Happened, CallError> {
    let mut seen = Seen::new(&hub, &asked, History::METHOD, &history.hosts)?;
    let to = if history.to_ms == 0 { clock::now_ms() } else { history.to_ms };
    let mut told = std::collections::VecDeque::new();
    let mut more = false;
    hub.alerts.happened(history.from_ms, to, &mut |happening: Happening| {
        let marks = matches!(happening.state, State::Firing | State::Resolved);
        let wanted = (!history.marks || marks)
            && (history.rule.is_empty() || happening.rule == history.rule)
            && seen.sees(happening.host);
        if wanted {
            told.push_back(happening);
        }
        if told.len() > MAX_LISTED {
            told.pop_front();
            more = true;
        }
    })?;
    Ok(Happened { happened: told.into(), more })
}

/// Does something to each alert that is named; those of hosts that the caller may not are refused like those that
/// there are not.
async fn each<C: Call>(
    hub: &Arc<Hub>,
    asked: &Asked,
    ids: &[String],
    deed: &Deed,
) -> Result<Done, CallError> {
    if ids.is_empty() || ids.len() > MAX_NAMED {
        return Err(CallError::malformed(format!("1 to {MAX_NAMED} alerts are named at once")));
    }
    let who = asked.caller.as_ref().ok_or_else(nobody)?.name.clone();
    let mut seen = Seen::new(hub, asked, C::METHOD, "")?;
    let known: HashMap<String, Option<HostId>> =
        hub.alerts.all(|_| true).into_iter().map(|alert| (alert.id, alert.host)).collect();
    let mut done = Done::default();
    for id in ids {
        let did = match known.get(id) {
            Some(host) if seen.sees(*host) => hub.alerts.answer(hub, id, &who, deed).await,
            _ => Err("there is no such alert any more".to_owned()),
        };
        match did {
            Ok(()) => done.done += 1,
            Err(why) => done.refused.push(Refused { id: id.clone(), why }),
        }
    }
    Ok(done)
}

async fn acknowledge(hub: Arc<Hub>, asked: Asked, ack: Acknowledge) -> Result<Done, CallError> {
    each::<Acknowledge>(&hub, &asked, &ack.alerts, &Deed::Acknowledge(ack.why)).await
}

async fn unacknowledge(
    hub: Arc<Hub>,
    asked: Asked,
    back: Unacknowledge,
) -> Result<Done, CallError> {
    each::<Unacknowledge>(&hub, &asked, &back.alerts, &Deed::Unacknowledge).await
}

async fn dismiss(hub: Arc<Hub>, asked: Asked, dismiss: Dismiss) -> Result<Done, CallError> {
    each::<Dismiss>(&hub, &asked, &dismiss.alerts, &Deed::Dismiss(dismiss.why)).await
}

async fn silence(hub: Arc<Hub>, asked: Asked, put: PutSilence) -> Result<Silence, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.alerts.silence(&hub, &put, &caller.name).await.map_err(CallError::malformed)
}

async fn unsilence(hub: Arc<Hub>, _: Asked, end: EndSilence) -> Result<Nothing, CallError> {
    hub.alerts.unsilence(&hub, end.id).await.map_err(CallError::not_found)?;
    Ok(Nothing {})
}

async fn silences(hub: Arc<Hub>, _: Asked, _: Silences) -> Result<SilenceListing, CallError> {
    Ok(SilenceListing { silences: hub.alerts.silences() })
}

async fn policies(hub: Arc<Hub>, _: Asked, _: Policies) -> Result<PolicyText, CallError> {
    hub.alerts.policies(&hub)
}

async fn check(hub: Arc<Hub>, _: Asked, asks: CheckPolicies) -> Result<PolicyText, CallError> {
    let (_, problems) = check_policies(&hub, &asks.text);
    Ok(PolicyText { text: asks.text, version: 0, problems })
}

async fn save(hub: Arc<Hub>, asked: Asked, save: SavePolicies) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.alerts.save_policies(&hub, &save, &caller.name).await?;
    if !saved.unchanged {
        let (what, operator) = (What::PoliciesSaved, caller.operator);
        let message = format!("version {}", saved.version);
        hub.fleet.events.tell(Event { what, operator, message, ..Event::default() });
    }
    Ok(saved)
}
