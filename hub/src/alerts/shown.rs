//! Alerts in the shapes that clients get.

use super::host_of;
use crate::fleet::Fleet;
use cmdr_protocol::alerts::{Ack, Alert, Happening, Silence, State};
use cmdr_protocol::display;
use cmdr_rules::Verdict;
use cmdr_rules::alerts;

/// An alert; the host that is down instead is named by its id.
pub(super) fn alert(of: &alerts::Alert) -> Alert {
    let reading = of.reading.as_ref();
    Alert {
        id: of.id.clone(),
        rule: of.key.rule.clone(),
        host: host_of(&of.key.host),
        name: of.host_name.clone(),
        instance: of.key.instance.clone(),
        severity: of.severity.into(),
        state: of.state().into(),
        message: of.message.clone(),
        value: reading.map(|reading| reading.shown.clone()).unwrap_or_default(),
        limit: reading.map(|reading| reading.limit.clone()).unwrap_or_default(),
        unknown: of.verdict == Verdict::Unknown,
        labels: of.labels.clone(),
        pending_ms: of.pending_ms,
        fired_ms: of.fired_ms,
        resolved_ms: of.resolved_ms,
        ack: of.ack.as_ref().map(|ack| Ack {
            who: ack.who.clone(),
            why: ack.why.clone(),
            at_ms: ack.at_ms,
        }),
        silence: of.silenced,
        down: of.suppressed.clone().unwrap_or_default(),
        policy: of.policy.clone(),
    }
}

/// What happened in one step, with what is known of the alerts.
pub(super) fn happenings(
    happened: &[alerts::Happening],
    known: &[Alert],
    fleet: &Fleet,
) -> Vec<Happening> {
    let shown = |of: &alerts::Happening| {
        let known = known.iter().find(|alert| alert.id == of.alert);
        let host = host_of(&of.key.host);
        let name = known.map(|alert| alert.name.clone()).filter(|name| !name.is_empty());
        Happening {
            at_ms: of.at_ms,
            id: of.alert.clone(),
            rule: of.key.rule.clone(),
            host,
            name: name.or_else(|| fleet.name(host?)).unwrap_or_default(),
            instance: of.key.instance.clone(),
            severity: known.map(|alert| alert.severity).unwrap_or_default(),
            state: of.state.into(),
            message: known.map(|alert| alert.message.clone()).unwrap_or_default(),
            why: display::clean(&of.why).into_owned(),
        }
    };
    // That something waits for its time is of no interest once it is over: only what fires is remembered.
    happened.iter().map(shown).filter(|h| h.state != State::Pending).collect()
}

/// A silence that keeps so many alerts quiet now.
pub(super) fn silence(of: &alerts::Silence, quiet: usize) -> Silence {
    Silence {
        id: of.id,
        matcher: of.matcher.to_string(),
        who: of.who.clone(),
        why: of.why.clone(),
        made_ms: of.made_ms,
        until_ms: of.until_ms,
        quiet: u32::try_from(quiet).unwrap_or(u32::MAX),
    }
}
