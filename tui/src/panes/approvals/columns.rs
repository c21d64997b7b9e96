//! The columns of the requests for rights.

use crate::overlays::help::ASK;
use crate::panes::Context;
pub(super) use crate::panes::audit::columns::time;
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use cmdr_protocol::approvals::{Approval, State};
use ratatui::text::{Line, Span};
use std::cmp::Ordering;
use std::fmt::Write as _;

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

/// From left to right.
pub(super) const COLUMNS: &[Column] = &[
    // On 80 cells all of them fit: who decides has to see where, and for how long.
    Column { right: true, descending: true, ..column("approvals.col.number", 4, 4) },
    Column { grows: true, most: 20, ..column("approvals.col.state", 16, 0) },
    Column { grows: true, most: 16, ..column("approvals.col.who", 11, 0) },
    Column { grows: true, most: 30, ..column("approvals.col.what", 15, 0) },
    Column { grows: true, most: 30, ..column("approvals.col.where", 12, 1) },
    Column { right: true, ..column("approvals.col.for", 7, 2) },
    Column { grows: true, ..column("approvals.col.why", 7, 3) },
];

/// Those that wait for us first, then ours, then what waits or holds, then the past.
pub(super) fn urgency(approval: &Approval) -> u8 {
    let live = matches!(approval.state, State::Waiting | State::Active);
    match (approval.state, live) {
        (State::Waiting, _) if approval.may_decide => 0,
        (_, true) if approval.own => 1,
        (_, true) => 2,
        _ => 3,
    }
}

/// The order of two requests by a column; by number it is the order of urgency.
pub(super) fn compare(column: usize, a: &Approval, b: &Approval) -> Ordering {
    match column {
        1 => a.state.as_str().cmp(b.state.as_str()),
        2 => a.operator.cmp(&b.operator),
        3 => a.wanted.verbs.cmp(&b.wanted.verbs),
        4 => a.wanted.hosts.cmp(&b.wanted.hosts),
        5 => a.wanted.minutes.cmp(&b.wanted.minutes),
        6 => a.reason.cmp(&b.reason),
        _ => urgency(b).cmp(&urgency(a)).then(a.id.cmp(&b.id)),
    }
}

/// The sign of a state, the key of its word, and its colour.
pub(super) fn state(approval: &Approval, now_ms: u64) -> (&'static str, &'static str, Role) {
    match approval.state {
        // The clock is ahead of the hub's word for it.
        State::Active if approval.until_ms <= now_ms => ("○", "approvals.state.lapsed", Role::Soft),
        State::Waiting if approval.may_decide => ("⚑", "approvals.state.decide", Role::Warn),
        State::Waiting => ("◔", "approvals.state.waiting", Role::Info),
        State::Active => (ASK, "approvals.state.active", Role::Ok),
        State::Denied => ("✗", "approvals.state.denied", Role::Bad),
        State::Expired => ("○", "approvals.state.expired", Role::Soft),
        State::Lapsed => ("○", "approvals.state.lapsed", Role::Soft),
        State::Ended => ("◼", "approvals.state.ended", Role::Soft),
        State::Unknown => ("?", "approvals.state.unknown", Role::Soft),
    }
}

/// Where, in the words of the request.
pub(super) fn hosts(context: &Context<'_>, approval: &Approval) -> String {
    let hosts = &approval.wanted.hosts;
    if hosts.is_empty() {
        return context.texts.get("approvals.all_hosts").to_owned();
    }
    hosts.clone()
}

/// Approvals there are, of those it takes.
pub(super) fn votes(approval: &Approval) -> String {
    let yes = approval.decisions.iter().filter(|decision| decision.approve).count();
    format!("{yes}/{}", approval.needs)
}

/// What filters and searches look through.
pub(super) fn haystack(context: &Context<'_>, approval: &Approval, text: &mut String) {
    let word = context.texts.get(state(approval, context.store.now_ms).1);
    let Approval { id, operator, reason, role, .. } = approval;
    let verbs = approval.wanted.verbs.join(" ");
    let hosts = hosts(context, approval);
    // Writing to a String cannot fail.
    write!(text, "#{id} {word} {operator} {role} {verbs} {hosts} {reason}").ok();
}

/// What stands in a cell.
pub(super) fn cell<'a>(
    context: &Context<'a>,
    approval: &'a Approval,
    title: &'static str,
) -> Cell<'a> {
    let Context { store, theme, texts, .. } = *context;
    let past = urgency(approval) == 3;
    let text = theme.style(if past { Role::Soft } else { Role::Text });
    let soft = theme.style(Role::Soft);
    Cell::Line(match title {
        "approvals.col.number" => Line::styled(format!("#{}", approval.id), soft),
        "approvals.col.state" => {
            let (sign, word, role) = state(approval, store.now_ms);
            let left = approval.until_ms.saturating_sub(store.now_ms).div_ceil(60_000);
            let more = match approval.state {
                State::Waiting if approval.needs > 1 => votes(approval),
                State::Active if left > 0 => texts.fill("approvals.minutes", &[&left.to_string()]),
                _ => String::new(),
            };
            Line::from(vec![
                Span::styled(format!("{sign} {} ", texts.get(word)), theme.style(role)),
                Span::styled(more, soft),
            ])
        }
        "approvals.col.who" => {
            let mut spans = vec![Span::styled(approval.operator.as_str(), text)];
            if approval.own {
                let own = format!(" {}", texts.get("approvals.own"));
                spans.push(Span::styled(own, theme.style(Role::Accent)));
            }
            Line::from(spans)
        }
        "approvals.col.what" => {
            let role = if past { Role::Soft } else { Role::Strong };
            let mut words = approval.wanted.verbs.join(" ");
            for resource in &approval.wanted.resources {
                words.push(' ');
                words.push_str(resource);
            }
            Line::styled(words, theme.style(role))
        }
        "approvals.col.where" => Line::styled(hosts(context, approval), text),
        "approvals.col.for" => {
            let minutes = approval.wanted.minutes.to_string();
            Line::styled(texts.fill("approvals.minutes", &[&minutes]), soft)
        }
        _ => {
            // Of a denied one why it was is what one looks for.
            let no = approval.decisions.iter().rfind(|decision| !decision.approve);
            let said = no.filter(|no| !no.reason.is_empty());
            let mut spans = vec![Span::styled(approval.reason.as_str(), text)];
            if let Some(no) = said {
                let said = format!("  ✗ {}: {}", no.by, no.reason);
                spans.push(Span::styled(said, theme.style(Role::Bad)));
            }
            Line::from(spans)
        }
    })
}
