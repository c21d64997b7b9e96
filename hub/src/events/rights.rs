//! Who may know of an event: whoever would find what it is about in a list. What is not named here nobody does.

use super::Kept;
use crate::server::Hub;
use crate::services::alerts::sees_hub;
use crate::services::approvals;
use crate::who::Who;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::hosts::Host;
use cmdr_protocol::role::Role;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{
    Call, Feed as _, HostId, alerts, configs, data, edits, gateways, methods, notifiers, probes,
    rules, runbooks, runs, sessions,
};

/// Whether somebody may use a method, as the router decides it.
fn may(hub: &Hub, who: &Who, method: &str, resource: Option<&str>, host: Option<HostId>) -> bool {
    methods::index(method).is_some_and(|index| hub.decide(who, index, resource, host).is_ok())
}

fn may_list<C: Call>(hub: &Hub, who: &Who, host: Option<HostId>) -> bool {
    may(hub, who, C::METHOD, Some(""), host)
}

/// An event as somebody may know of it; nothing when they may not.
pub(crate) fn shown(hub: &Hub, who: &Who, kept: &Kept) -> Option<Event> {
    let event = &kept.event;
    let shows = match event.what {
        What::HostOnline
        | What::HostAway
        | What::HostJoined
        | What::HostWaits
        | What::HostChanged
        | What::HostGone => event.host.is_some_and(|host| hub.sees(who, host)),
        What::RunBegun
        | What::RunPaused
        | What::RunResumed
        | What::RunStopped
        | What::RunHalted
        | What::RunRetried
        | What::RunEnded => return of_run(hub, who, event),
        What::RunDeleted => {
            let all = who.role == Role::ADMINISTRATOR && !who.owes_factor;
            let own = kept.owner.as_ref().is_some_and(|(name, since_ms)| {
                !name.is_empty() && (name, *since_ms) == (&who.operator, who.since_ms)
            });
            // What a program's scope would show of it is not known any more.
            who.program.is_none() && (all || own) && may(hub, who, runs::List::METHOD, None, None)
        }
        What::SessionBegun | What::SessionEnded => {
            event.host.is_some() && may_list::<sessions::List>(hub, who, event.host)
        }
        What::EditSaved | What::EditConfirmed | What::EditReverted => {
            let about = Some(event.about.as_str());
            event.host.is_some() && may(hub, who, edits::Pending::METHOD, about, event.host)
        }
        What::RunbookSaved | What::RunbookDeleted => may_list::<runbooks::List>(hub, who, None),
        What::ConfigSaved | What::ConfigDeleted => may_list::<configs::List>(hub, who, None),
        What::AlertFired | What::AlertAcknowledged | What::AlertResolved => {
            may_list::<alerts::List>(hub, who, event.host)
                && (event.host.is_some() || sees_hub(hub, who))
        }
        What::GatewaySaved | What::GatewayDeleted | What::UpstreamDown | What::UpstreamUp => {
            event.host.is_some() && may_list::<gateways::List>(hub, who, event.host)
        }
        What::ProbeSaved | What::ProbeDeleted | What::ProbeDown | What::ProbeUp => {
            may_list::<probes::List>(hub, who, None)
        }
        What::RuleSaved | What::RuleDeleted => may_list::<rules::List>(hub, who, None),
        What::PoliciesSaved => may_list::<alerts::Policies>(hub, who, None),
        What::TargetFailed | What::TargetTakes | What::DataPurged | What::HistoryFailed => {
            may_list::<data::Sizes>(hub, who, None)
        }
        What::NotifierSaved | What::NotifierDeleted | What::NotifierFailed => {
            may_list::<notifiers::List>(hub, who, None)
        }
        What::ApprovalAsked | What::ApprovalAnswered | What::ApprovalEnded => {
            let id = event.about.strip_prefix("approval:").and_then(|id| id.parse().ok());
            id.is_some_and(|id| approvals::may_know(hub, who, id))
        }
        What::Missed | What::Alive | What::Unknown => false,
    };
    shows.then(|| event.clone())
}

/// The run as lists show it to them: how its targets stand is said of those that they may know of.
fn of_run(hub: &Hub, who: &Who, event: &Event) -> Option<Event> {
    if !may(hub, who, runs::List::METHOD, None, None) {
        return None;
    }
    let run = hub.runs.in_lists(hub, who, event.run?)?;
    let counts = event.counts.and_then(|counts| {
        let all = counts.targets == run.counts.targets;
        if all { Some(counts) } else { run.ended_ms.map(|_| run.counts) }
    });
    Some(Event { counts, ..event.clone() })
}

/// Whether an event is about a host that matches, as far as its reader may know.
pub(crate) fn is_about(hub: &Hub, who: &Who, event: &Event, selector: &Selector) -> bool {
    let matches = |id: HostId, name: &str| {
        let known = hub.fleet.host(id);
        let gone = || Host { id: Some(id), name: name.to_owned(), ..Host::default() };
        selector.matches(&known.unwrap_or_else(gone))
    };
    match (event.host, event.run) {
        (Some(host), _) => matches(host, &event.host_name),
        (None, Some(run)) => {
            hub.runs.is_for(hub, who, run, |host| hub.sees(who, host) && matches(host, ""))
        }
        (None, None) => false,
    }
}
