//! Rights that have to be asked for: ask, decide, end, list, watch.

use super::{HubService, busy, nobody};
use crate::approvals::compile;
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::approvals::{
    Approval, Ask, Decide, Decision, End, List, Listing, MAX_REASON, State, WAITS_MINUTES, Wanted,
    Watch,
};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::hosts::Host;
use cmdr_protocol::methods::{About, METHODS, index};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::OnRequest;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{Call as _, CallError, Nothing};
use std::sync::Arc;
use std::time::Duration;

/// A resource that no pattern but `*` covers.
const ANYTHING: &str = "\u{1}";
/// Verbs of one request.
const MAX_VERBS: usize = 16;
/// However little happens, a watcher's list is looked at again after so long: time alone changes it.
const LOOK: Duration = Duration::from_secs(15);

pub(super) fn register(service: HubService) -> HubService {
    service.on(ask).on(decide).on(end).on(list).feed(watch)
}

/// What it takes to ask for these verbs: the most that any grant takes, for the shortest time. What no
/// grant of theirs has on request there is refused, and never put to others.
fn takes(hub: &Hub, who: &Who, wanted: &Wanted) -> Result<OnRequest, CallError> {
    let hosts = match wanted.hosts.trim() {
        "" | "*" => None,
        _ => Some(picked(hub, who, &wanted.hosts)?),
    };
    let resources: Vec<_> = match wanted.resources.as_slice() {
        [] => vec![None],
        named => named.iter().map(|resource| Some(resource.as_str())).collect(),
    };
    let mut all: Option<OnRequest> = None;
    for verb in &wanted.verbs {
        let shown = cmdr_protocol::display::clean_to_width(verb, 80);
        let method = index(verb).ok_or_else(|| {
            CallError::not_found(format!(
                "no method is called '{shown}'; cmdr roles verbs lists them"
            ))
        })?;
        let places: Vec<_> = match &hosts {
            Some(hosts) if METHODS[method].about == About::Host => hosts.iter().map(Some).collect(),
            _ => vec![None],
        };
        let mut most: Option<OnRequest> = None;
        for place in &places {
            for resource in &resources {
                let id = place.and_then(|host| host.id);
                let grants =
                    hub.about(method, *resource, id, |request| hub.rights.on_request(who, request));
                let missing = grants.is_empty()
                    && (id.is_none() || hub.decide(who, method, *resource, id).is_err());
                if missing {
                    return Err(not_on_request(who, &shown, *place, *resource));
                }
                most = grants.into_iter().chain(most).reduce(stricter);
            }
        }
        // Where it is allowed as it is everywhere, there is nothing to ask for.
        let Some(most) = most else { return Err(not_on_request(who, &shown, None, None)) };
        all = Some(all.map_or(most, |all| stricter(all, most)));
    }
    all.ok_or_else(|| CallError::malformed("a request names at least one verb"))
}

fn stricter(a: OnRequest, b: OnRequest) -> OnRequest {
    OnRequest {
        approvals: a.approvals.max(b.approvals),
        longest_minutes: a.longest_minutes.min(b.longest_minutes),
    }
}

/// The hosts that a request names, as far as who asks may know of them.
fn picked(hub: &Hub, who: &Who, hosts: &str) -> Result<Vec<Host>, CallError> {
    let selector = Selector::parse(hosts).map_err(|e| CallError::malformed(e.to_string()))?;
    let mut picked = hub.fleet.hosts();
    picked.retain(|host| selector.matches(host) && host.id.is_some_and(|id| hub.sees(who, id)));
    if picked.is_empty() {
        let shown = cmdr_protocol::display::clean_to_width(hosts, 80);
        return Err(CallError::not_found(format!("no host that you may see matches '{shown}'")));
    }
    Ok(picked)
}

fn not_on_request(who: &Who, verb: &str, host: Option<&Host>, resource: Option<&str>) -> CallError {
    let place = host.map_or_else(String::new, |host| format!(" {}", host.name));
    let at = host.map_or_else(String::new, |host| format!(" at {}", host.name));
    let on = resource.map_or_else(String::new, |resource| {
        format!(" on '{}'", cmdr_protocol::display::clean_to_width(resource, 80))
    });
    CallError::denied(format!(
        "{} has {verb}{at}{on} on no request: it is allowed as it is, or not at all (cmdr can-i {verb}{place})",
        who.standing()
    ))
}

async fn ask(hub: Arc<Hub>, asked: Asked, ask: Ask) -> Result<Approval, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    let reason = ask.reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON {
        return Err(CallError::malformed(format!(
            "a request has a reason of at most {MAX_REASON} bytes: others decide by it"
        )));
    }
    if ask.wanted.verbs.len() > MAX_VERBS {
        return Err(CallError::malformed(format!("a request names at most {MAX_VERBS} verbs")));
    }
    let takes = takes(&hub, &who, &ask.wanted)?;
    if !(1..=takes.longest_minutes).contains(&ask.wanted.minutes) {
        return Err(CallError::malformed(format!(
            "this can be asked for from 1 to {} minutes",
            takes.longest_minutes
        )));
    }
    compile(&ask.wanted).map_err(CallError::malformed)?;
    let now = clock::now_ms();
    let at_once = takes.approvals == 0;
    let minutes = if at_once { ask.wanted.minutes } else { WAITS_MINUTES };
    let approval = Approval {
        id: 0,
        state: if at_once { State::Active } else { State::Waiting },
        operator: caller.name.clone(),
        key: Some(caller.key),
        role: caller.role,
        wanted: ask.wanted,
        reason: reason.to_owned(),
        asked_ms: now,
        needs: takes.approvals,
        decisions: Vec::new(),
        until_ms: now.saturating_add(u64::from(minutes) * 60_000),
        own: false,
        may_decide: false,
    };
    let approval = hub.approvals.ask(approval).await?;
    tracing::info!(
        operator = caller.name,
        id = approval.id,
        needs = takes.approvals,
        "rights were asked for"
    );
    told(&hub, &who, What::ApprovalAsked, &approval);
    Ok(seen(&hub, &who, approval))
}

/// Tells it to those who follow events: neither what was asked for nor why is in that.
fn told(hub: &Hub, who: &Who, what: What, approval: &Approval) {
    hub.fleet.events.tell(Event {
        what,
        about: format!("approval:{}", approval.id),
        operator: who.operator.clone(),
        message: approval.state.to_string(),
        ..Event::default()
    });
}

/// Whether somebody would find a request in their list.
pub(crate) fn may_know(hub: &Hub, who: &Who, id: u64) -> bool {
    let lists = index(List::METHOD).is_some_and(|m| hub.decide(who, m, Some(""), None).is_ok());
    let approval = hub.approvals.get(id).filter(|_| lists);
    approval.is_some_and(|a| a.operator == who.operator || visible(hub, who, &a))
}

/// Whether somebody may decide a request: not their own, and only what they may do themselves.
fn may_decide(hub: &Hub, who: &Who, approval: &Approval) -> bool {
    let decides = index(Decide::METHOD).is_some_and(|m| hub.decide(who, m, Some(""), None).is_ok());
    let another = who.operator != approval.operator;
    let anew = approval.decisions.iter().all(|decision| decision.by != who.operator);
    if !(decides && another && anew && approval.state == State::Waiting) {
        return false;
    }
    who.role == Role::ADMINISTRATOR || may_do(hub, who, &approval.wanted)
}

/// Whether somebody may do all of it as it is: what one has to ask for oneself does not count.
fn may_do(hub: &Hub, who: &Who, wanted: &Wanted) -> bool {
    let Ok(selector) = Selector::parse(&wanted.hosts) else { return false };
    let hosts = hub.fleet.hosts();
    let hosts: Vec<_> =
        hosts.iter().filter(|host| selector.matches(host)).filter_map(|host| host.id).collect();
    // What is not one thing by its name is only covered by a grant on everything.
    let named = |resource: &String| !resource.contains(['*', '?']);
    let resources: Vec<_> = if wanted.resources.iter().all(named) && !wanted.resources.is_empty() {
        wanted.resources.iter().map(String::as_str).collect()
    } else {
        vec![ANYTHING]
    };
    wanted.verbs.iter().filter_map(|verb| index(verb)).all(|method| {
        resources.iter().all(|resource| {
            let may = |host| hub.decide(who, method, Some(resource), host).is_ok();
            match METHODS[method].about {
                // Where there is no host yet, one may come: only a right on all of them covers that.
                About::Host if !hosts.is_empty() => hosts.iter().all(|host| may(Some(*host))),
                _ => may(None),
            }
        })
    })
}

/// A request as the one sees it who looks.
fn seen(hub: &Hub, who: &Who, approval: Approval) -> Approval {
    Approval {
        own: approval.operator == who.operator,
        may_decide: may_decide(hub, who, &approval),
        ..approval
    }
}

async fn decide(hub: Arc<Hub>, asked: Asked, decide: Decide) -> Result<Approval, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    let approval = hub.approvals.get(decide.id);
    let approval = approval.filter(|a| a.operator == who.operator || visible(&hub, &who, a));
    let Some(approval) = approval else {
        return Err(CallError::not_found(format!("there is no request {}", decide.id)));
    };
    if approval.operator == who.operator {
        return Err(CallError::denied("nobody decides about their own request"));
    }
    let reason = decide.reason.trim();
    if reason.len() > MAX_REASON || !decide.approve && reason.is_empty() {
        return Err(CallError::malformed(format!(
            "a no has a reason, of at most {MAX_REASON} bytes: who asked wants to know"
        )));
    }
    if approval.state == State::Waiting
        && approval.decisions.iter().all(|decision| decision.by != who.operator)
        && !may_decide(&hub, &who, &approval)
    {
        return Err(CallError::denied("only who may do it themselves decides whether others may"));
    }
    let decision = Decision {
        by: caller.name.clone(),
        approve: decide.approve,
        reason: reason.to_owned(),
        at_ms: clock::now_ms(),
    };
    let approval = hub.approvals.decide(decide.id, decision).await?;
    tracing::info!(id = decide.id, by = caller.name, approve = decide.approve, state = %approval.state, "a request was decided about");
    told(&hub, &who, What::ApprovalAnswered, &approval);
    Ok(seen(&hub, &who, approval))
}

async fn end(hub: Arc<Hub>, asked: Asked, end: End) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let approval = hub.approvals.get(end.id);
    let own = approval.as_ref().is_some_and(|approval| approval.operator == caller.name);
    if !own && caller.role != Role::ADMINISTRATOR {
        return Err(CallError::not_found(format!("you have no request {}", end.id)));
    }
    let ended = hub.approvals.end(end.id).await?;
    told(&hub, &hub.who(&caller), What::ApprovalEnded, &ended);
    if !own {
        hub.cut_operator(&ended.operator, "an administrator has ended what was approved for you");
    }
    tracing::info!(id = end.id, by = caller.name, "a request was ended");
    Ok(Nothing {})
}

/// Whether somebody may know of another's request.
fn visible(hub: &Hub, who: &Who, approval: &Approval) -> bool {
    who.role == Role::ADMINISTRATOR
        || may_decide(hub, who, approval)
        || approval.decisions.iter().any(|decision| decision.by == who.operator)
}

fn listing(hub: &Hub, who: &Who) -> Listing {
    let mut approvals: Vec<_> = hub
        .approvals
        .all()
        .into_iter()
        .filter(|a| a.operator == who.operator || visible(hub, who, a))
        .map(|a| seen(hub, who, a))
        .collect();
    let open = |a: &Approval| matches!(a.state, State::Waiting | State::Active);
    approvals.sort_by_key(|a| (!open(a), std::cmp::Reverse(a.id)));
    // Enough to look back; each item is whole.
    approvals.truncate(200);
    Listing { approvals, may_ask: Some(hub.rights.may_ask(who)) }
}

async fn list(hub: Arc<Hub>, asked: Asked, _: List) -> Result<Listing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    Ok(listing(&hub, &hub.who(&caller)))
}

async fn watch(
    hub: Arc<Hub>,
    asked: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let mut changes = hub.approvals.watch();
    let mut sent = None;
    loop {
        changes.mark_unchanged();
        let now = listing(&hub, &hub.who(&caller));
        if sent.as_ref() != Some(&now) {
            feeding.send(&now).await?;
            sent = Some(now);
        }
        let left = hub.approvals.next_end().map(|end| end.saturating_sub(clock::now_ms()));
        let wait = left.map_or(LOOK, |ms| LOOK.min(Duration::from_millis(ms + 1)));
        if let Ok(Err(_)) = tokio::time::timeout(wait, changes.changed()).await {
            return Err(busy("the hub is stopping"));
        }
    }
}
