//! Groups and hosts of a run as rows.

use super::output::Shown;
use crate::i18n::Texts;
use crate::panes::Context;
use crate::panes::sheet::{column, figure, rest};
use crate::store::runs::{Printed, Watched};
use crate::theme::Role;
use crate::widgets::table::{Cell, Column};
use crate::widgets::{format, natural};
use cmdr_protocol::runs::{Group, Target, TargetState};
use ratatui::text::{Line, Span};
use std::cmp::Ordering;

/// Bytes of an output that a filter looks through.
const SEARCHED: usize = 16 * 1024;

/// So many hosts, in words.
pub(in crate::panes) fn hosts(texts: &Texts, count: u32) -> String {
    texts.fill(if count == 1 { "run.host" } else { "run.hosts" }, &[&format::count(count as usize)])
}

pub(super) const GROUPS: &[Column] = &[
    figure("run.col.count", 6, 0),
    column("run.col.outcome", 15, 0),
    figure("run.col.changes", 5, 2),
    rest("run.col.output", 16, 0),
];

pub(super) const HOSTS: &[Column] = &[
    Column { most: 36, ..rest("run.col.host", 14, 0) },
    column("run.col.outcome", 15, 0),
    figure("run.col.took", 6, 2),
    figure("run.col.wave", 4, 4),
    figure("run.col.tries", 5, 5),
    rest("run.col.output", 12, 1),
];

/// The sign of a state, the key of its word, and its colour.
pub(super) const fn state(state: TargetState) -> (&'static str, &'static str, Role) {
    match state {
        TargetState::Queued => ("·", "runs.target.queued", Role::Faint),
        TargetState::Sent => ("→", "runs.target.sent", Role::Info),
        TargetState::Running => ("▶", "runs.target.running", Role::Info),
        TargetState::Ok => ("✓", "runs.target.ok", Role::Ok),
        TargetState::Failed => ("✗", "runs.target.failed", Role::Bad),
        TargetState::TimedOut => ("◷", "runs.target.timed_out", Role::Bad),
        TargetState::Cancelled => ("–", "runs.target.cancelled", Role::Soft),
        TargetState::Lost => ("?", "runs.target.lost", Role::Warn),
        TargetState::Unreachable => ("○", "runs.target.unreachable", Role::Warn),
        TargetState::Refused => ("⊘", "runs.target.refused", Role::Bad),
        TargetState::Unknown => ("·", "runs.state.unknown", Role::Faint),
    }
}

/// How it stands, in words: with the code when it is not 0.
pub(super) fn outcome(context: &Context<'_>, of: TargetState, code: Option<i32>) -> (String, Role) {
    let (sign, word, role) = state(of);
    let word = context.texts.get(word);
    let text = match code {
        Some(code) if code != 0 => format!("{sign} {word} {code}"),
        _ => format!("{sign} {word}"),
    };
    (text, role)
}

pub(super) fn state_text(context: &Context<'_>, target: &Target) -> String {
    outcome(context, target.state, target.code).0
}

/// The word is searched for in English too: it is what the `cmdr` command says.
fn words(context: &Context<'_>, of: TargetState, code: Option<i32>, text: &mut String) {
    text.push_str(of.as_str());
    text.push(' ');
    text.push_str(&outcome(context, of, code).0);
    text.push(' ');
}

pub(super) fn group_text(
    context: &Context<'_>,
    watched: &Watched,
    group: &Group,
    text: &mut String,
) {
    words(context, group.state, group.code, text);
    if let Some(target) = watched.target(group.example) {
        text.push_str(&target.why);
        for line in watched.output(group.example).iter().flat_map(|output| output.lines()) {
            text.push(' ');
            text.push_str(&line.text);
            if text.len() > SEARCHED {
                break;
            }
        }
    }
}

pub(super) fn host_text(context: &Context<'_>, target: &Target, text: &mut String) {
    text.push_str(&target.name);
    text.push(' ');
    words(context, target.state, target.code, text);
    text.push_str(&target.why);
    text.push(' ');
    text.push_str(&target.step);
}

pub(super) fn compare_groups(sort: usize, a: &Group, b: &Group) -> Ordering {
    match sort {
        1 => a.state.cmp(&b.state).then(a.code.cmp(&b.code)),
        _ => tier(a.state).cmp(&tier(b.state)).then(a.count.cmp(&b.count)),
    }
}

/// What was never begun stands below what has ended, and what goes on below that.
const fn tier(state: TargetState) -> u8 {
    match state {
        TargetState::Cancelled => 1,
        state if state.is_end() => 2,
        _ => 0,
    }
}

/// What needs a look comes first.
const fn rank(state: TargetState) -> u8 {
    match state {
        TargetState::Failed | TargetState::TimedOut | TargetState::Refused => 0,
        TargetState::Lost | TargetState::Unreachable => 1,
        TargetState::Running => 2,
        TargetState::Sent => 3,
        TargetState::Cancelled => 4,
        TargetState::Queued | TargetState::Unknown => 5,
        TargetState::Ok => 6,
    }
}

pub(super) fn compare_hosts(sort: usize, a: &Target, b: &Target) -> Ordering {
    let by_name = || natural::compare(&a.name, &b.name);
    match sort {
        1 => rank(a.state).cmp(&rank(b.state)).then(a.code.cmp(&b.code)).then_with(by_name),
        2 => a.took_ms.cmp(&b.took_ms),
        3 => a.wave.cmp(&b.wave).then_with(by_name),
        4 => a.attempt.cmp(&b.attempt),
        _ => by_name(),
    }
}

/// Why it stands so; else the last line of what it printed, when that is here.
fn summary(texts: &Texts, watched: &Watched, target: &Target) -> Option<String> {
    if !target.why.is_empty() {
        return Some(texts.reason(&target.why));
    }
    watched.output(target.index).and_then(Printed::last)
}

pub(super) fn group_cell<'a>(
    context: &Context<'a>,
    watched: &'a Watched,
    shown: &Shown,
    group: &Group,
    column: &str,
) -> Cell<'a> {
    let theme = context.theme;
    let line = match column {
        "run.col.count" => {
            Line::styled(format::count(group.count as usize), theme.style(Role::Strong))
        }
        "run.col.outcome" => {
            let (text, role) = outcome(context, group.state, group.code);
            Line::styled(text, theme.style(role))
        }
        "run.col.changes" => match shown.changes(group) {
            Some(0) | None => Line::default(),
            Some(n) => Line::styled(format!("±{n}"), theme.style(Role::Accent)),
        },
        _ => {
            let target = watched.target(group.example);
            let differs = shown.differs(group).map(str::to_owned);
            let text = differs
                .or_else(|| target.and_then(|target| summary(context.texts, watched, target)));
            let silent = group.state.is_end() && group.sum.is_empty();
            match text {
                Some(text) => Line::styled(text, theme.style(Role::Text)),
                None if silent => {
                    Line::styled(context.texts.get("run.silent"), theme.style(Role::Faint))
                }
                None => Line::default(),
            }
        }
    };
    Cell::Line(line)
}

/// How long it has run, or ran.
fn took(context: &Context<'_>, target: &Target) -> Option<u64> {
    match (target.took_ms, target.sent_ms) {
        (Some(ms), _) => Some(ms),
        (None, Some(sent)) if !target.state.is_end() => {
            Some(context.store.now_ms.saturating_sub(sent))
        }
        _ => None,
    }
}

/// A span in tenths of a second while it is short.
pub(super) fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{}s", ms / 1000, ms / 100 % 10),
        _ => cmdr_protocol::human::span(ms / 1000),
    }
}

pub(super) fn host_cell<'a>(
    context: &Context<'a>,
    watched: &Watched,
    target: &'a Target,
    column: &str,
) -> Cell<'a> {
    let Context { theme, texts, .. } = *context;
    let line = match column {
        "run.col.host" => Line::styled(target.name.as_str(), theme.style(Role::Strong)),
        "run.col.outcome" => {
            let (text, role) = outcome(context, target.state, target.code);
            let mut line = Line::styled(text, theme.style(role));
            if target.away && !target.state.is_end() {
                line.push_span(Span::styled(" ○", theme.style(Role::Warn)));
            }
            line
        }
        "run.col.took" => {
            let role = if target.state.is_end() { Role::Soft } else { Role::Info };
            let text = took(context, target).map_or(String::new(), seconds);
            Line::styled(text, theme.style(role))
        }
        "run.col.wave" => Line::styled((target.wave + 1).to_string(), theme.style(Role::Soft)),
        "run.col.tries" => {
            let role = if target.attempt > 0 { Role::Warn } else { Role::Faint };
            Line::styled((target.attempt + 1).to_string(), theme.style(role))
        }
        _ => {
            let mut line = Line::default();
            if !target.step.is_empty() {
                let text = format!("{}  ", target.step);
                line.push_span(Span::styled(text, theme.style(Role::Accent)));
            }
            if target.away && !target.state.is_end() {
                let text = format!("{}  ", texts.get("run.away"));
                line.push_span(Span::styled(text, theme.style(Role::Warn)));
            }
            if let Some(late) = target.late {
                let word = texts.get(state(late).1);
                let text = format!("{}  ", texts.fill("run.late", &[word]));
                line.push_span(Span::styled(text, theme.style(Role::Warn)));
            }
            let role = if target.why.is_empty() { Role::Soft } else { Role::Text };
            let text = summary(texts, watched, target).unwrap_or_default();
            line.push_span(Span::styled(text, theme.style(role)));
            line
        }
    };
    Cell::Line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_look_comes_first_and_names_go_as_people_count() {
        let target = |name: &str, state| Target { name: name.into(), state, ..Target::default() };
        let mut targets = [
            target("web10", TargetState::Ok),
            target("db1", TargetState::Queued),
            target("web9", TargetState::Ok),
            target("db2", TargetState::Failed),
        ];
        targets.sort_by(|a, b| compare_hosts(1, a, b));
        assert_eq!(targets.map(|target| target.name), ["db2", "db1", "web9", "web10"]);
    }

    #[test]
    fn short_spans_have_tenths() {
        assert_eq!([40, 9_960, 12_000, 75_000].map(seconds), ["0.0s", "9.9s", "12s", "1m15s"]);
    }
}
