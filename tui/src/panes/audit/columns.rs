//! The columns of the audit log, and how a record is told in a few words.

use crate::i18n::Texts;
use crate::panes::Context;
use crate::store::audit::{Log, Standing, one_line};
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use crate::widgets::{format, natural};
use cmdr_protocol::HostId;
use cmdr_protocol::audit::{Event, Outcome, Record};
use cmdr_protocol::display::clean;
use ratatui::text::Line;
use std::cmp::Ordering;
use std::fmt::Write as _;

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

/// From left to right.
pub(in crate::panes) const COLUMNS: &[Column] = &[
    Column { descending: true, ..column("audit.col.time", 11, 0) },
    column("audit.col.who", 12, 1),
    Column { grows: true, most: 22, ..column("audit.col.verb", 16, 0) },
    column("audit.col.host", 11, 3),
    column("audit.col.state", 15, 0),
    Column { right: true, descending: true, ..column("audit.col.took", 7, 4) },
    column("audit.col.resource", 18, 5),
    Column { grows: true, ..column("audit.col.details", 20, 6) },
];

/// The order of two records by a column.
pub(super) fn compare(column: usize, log: &Log, a: &Record, b: &Record) -> Ordering {
    match column {
        1 => natural::compare(&a.operator, &b.operator),
        2 => natural::compare(verb(a), verb(b)),
        3 => natural::compare(&a.host_name, &b.host_name),
        4 => rank(log.standing(a)).cmp(&rank(log.standing(b))),
        5 => took_ms(log, a).cmp(&took_ms(log, b)),
        6 => natural::compare(&a.resource, &b.resource),
        7 => details(log, a).cmp(&details(log, b)),
        _ => a.seq.cmp(&b.seq),
    }
}

/// What a record is about: the method, or what the hub noted.
pub(in crate::panes) fn verb(record: &Record) -> &str {
    if record.method.is_empty() { record.event.as_str() } else { &record.method }
}

/// What goes on stands first, then what went wrong.
fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Running => 0,
        Standing::Open => 1,
        Standing::Ended(Outcome::Ok) => 4,
        Standing::Unknown | Standing::Ended(_) => 2,
        Standing::Noted(_) => 3,
    }
}

/// How long a request took, as far as it is known.
pub(in crate::panes) fn took_ms(log: &Log, record: &Record) -> Option<u64> {
    record.took_ms.or_else(|| log.answer(record.seq)?.took_ms)
}

/// A span in milliseconds: `8ms`, `1.2s`, `3m20s`.
pub(in crate::panes) fn took(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..10_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => cmdr_protocol::human::span(ms / 1000),
    }
}

/// The sign of a standing, the key of its word, and what colour it has.
pub(in crate::panes) const fn state(standing: Standing) -> (&'static str, &'static str, Role) {
    match standing {
        Standing::Running => ("▶", "audit.state.running", Role::Info),
        Standing::Open => ("…", "audit.state.open", Role::Soft),
        Standing::Unknown => ("?", "audit.state.unknown", Role::Warn),
        Standing::Ended(outcome) => match outcome {
            Outcome::Ok => ("✓", "audit.state.ok", Role::Ok),
            Outcome::Failed => ("✗", "audit.state.failed", Role::Bad),
            Outcome::Denied => ("⊘", "audit.state.denied", Role::Bad),
            Outcome::OnRequest => ("⚐", "audit.state.on_request", Role::Warn),
            Outcome::NeedsCode => ("…", "audit.state.needs_code", Role::Info),
            Outcome::NeedsPassword => ("…", "audit.state.needs_password", Role::Info),
            Outcome::Cancelled => ("◼", "audit.state.cancelled", Role::Warn),
            Outcome::Lost => ("?", "audit.state.lost", Role::Warn),
            Outcome::Unreachable => ("○", "audit.state.unreachable", Role::Bad),
            Outcome::TimedOut => ("◔", "audit.state.timed_out", Role::Bad),
            Outcome::NotFound => ("✗", "audit.state.not_found", Role::Bad),
            Outcome::Conflict => ("✗", "audit.state.conflict", Role::Bad),
            Outcome::Elsewhere => ("✗", "audit.state.elsewhere", Role::Warn),
            Outcome::Busy => ("✗", "audit.state.busy", Role::Bad),
            Outcome::Malformed => ("✗", "audit.state.malformed", Role::Bad),
            Outcome::UnknownMethod => ("✗", "audit.state.unknown_method", Role::Bad),
            Outcome::Unknown => ("?", "audit.state.ended", Role::Warn),
        },
        Standing::Noted(event) => match event {
            Event::Started => ("•", "audit.event.started", Role::Info),
            Event::Stopped => ("•", "audit.event.stopped", Role::Info),
            Event::Cut => ("!", "audit.event.cut", Role::Warn),
            Event::Damaged => ("!", "audit.event.damaged", Role::Bad),
            Event::Checkpoint => ("•", "audit.event.checkpoint", Role::Soft),
            Event::Refused => ("⊘", "audit.event.refused", Role::Bad),
            _ => ("•", "audit.event.other", Role::Soft),
        },
    }
}

/// How a record stands, with sign, word and the command's code when it has one.
pub(in crate::panes) fn state_line(
    context: &Context<'_>,
    log: &Log,
    record: &Record,
) -> Line<'static> {
    let (sign, word, role) = state(log.standing(record));
    let exit = record.exit().or_else(|| log.answer(record.seq)?.exit());
    let word = context.texts.get(word);
    let text = match exit {
        Some(exit) if exit != "exit 0" => {
            format!("{sign} {word} {}", ended(context.texts, &exit))
        }
        _ => format!("{sign} {word}"),
    };
    Line::styled(text, context.theme.style(role))
}

/// How a command or a session ended, as the hub says it, in the operator's language.
pub(in crate::panes) fn ended(texts: &Texts, how: &str) -> String {
    match how.split_once(' ') {
        Some(("exit", code)) => texts.fill("ended.exit", &[&clean(code)]),
        Some(("signal", number)) => texts.fill("ended.signal", &[&clean(number)]),
        Some(("timed", "out")) => texts.get("ended.timed_out").to_owned(),
        _ if how == "closed" => texts.get("ended.closed").to_owned(),
        _ if how == "detached" => texts.get("ended.detached").to_owned(),
        _ => clean(how).into_owned(),
    }
}

/// What was asked for, or what was said about it.
pub(in crate::panes) fn details(log: &Log, record: &Record) -> String {
    let answer = log.answer(record.seq);
    let said = answer.map_or("", |answer| answer.message.as_str());
    match (&record.body, record.message.as_str(), said) {
        (_, message, _) if !message.is_empty() => message.to_owned(),
        (Some(body), _, "") => one_line(body),
        (_, _, said) => said.to_owned(),
    }
}

/// When something was, to the second when it was today.
pub(in crate::panes) fn time(context: &Context<'_>, at_ms: u64) -> String {
    let store = context.store;
    let text = format::moment(at_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
    if text.len() == 5 { store.clock(at_ms, true) } else { text }
}

/// The host that a record is about: where it went, or what it names.
pub(in crate::panes) fn host(record: &Record) -> Option<HostId> {
    record.host.or_else(|| record.resource.strip_prefix("host:")?.parse().ok())
}

/// That host's name, at that time or now.
pub(in crate::panes) fn host_name(context: &Context<'_>, record: &Record) -> String {
    if !record.host_name.is_empty() {
        return record.host_name.clone();
    }
    host(record).map_or_else(String::new, |id| context.store.hosts.name(id))
}

/// What filters and searches look through.
pub(in crate::panes) fn haystack(
    context: &Context<'_>,
    log: &Log,
    record: &Record,
    text: &mut String,
) {
    let Record { operator, address, method, resource, .. } = record;
    let word = context.texts.get(state(log.standing(record)).1);
    let host = host_name(context, record);
    let details = details(log, record);
    // Writing to a String cannot fail.
    write!(text, "{operator} {address} {method} {resource} {host} {word} {details}").ok();
}

/// What stands in a cell.
pub(super) fn cell<'a>(
    context: &Context<'a>,
    log: &'a Log,
    record: &'a Record,
    title: &'static str,
    folded: bool,
) -> Cell<'a> {
    let theme = context.theme;
    let (text, soft) = (theme.style(Role::Text), theme.style(Role::Soft));
    Cell::Line(match title {
        "audit.col.time" => Line::styled(time(context, record.at_ms), soft),
        "audit.col.who" if record.event == Event::Acted => {
            Line::styled(context.texts.get("audit.event.acted"), soft)
        }
        "audit.col.who" => Line::styled(record.operator.as_str(), text),
        "audit.col.verb" => {
            let role = if record.method.is_empty() { Role::Soft } else { Role::Strong };
            Line::styled(verb(record), theme.style(role))
        }
        "audit.col.host" => Line::styled(host_name(context, record), text),
        "audit.col.state" if !folded && record.event == Event::Asked => {
            let text = format!("→ {}", context.texts.get("audit.event.asked"));
            Line::styled(text, theme.style(Role::Info))
        }
        "audit.col.state" => state_line(context, log, record),
        "audit.col.took" if !folded => {
            Line::styled(record.took_ms.map_or_else(String::new, took), soft)
        }
        "audit.col.took" => Line::styled(took_ms(log, record).map_or_else(String::new, took), soft),
        "audit.col.resource" => Line::styled(record.resource.as_str(), soft),
        _ => Line::styled(context.texts.reason(&details(log, record)), soft),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_requests_are_short() {
        let cases = [(0, "0ms"), (999, "999ms"), (1234, "1.2s"), (61_000, "1m1s")];
        for (ms, text) in cases {
            assert_eq!(took(ms), text);
        }
    }
}
