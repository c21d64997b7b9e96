//! The columns of the status board, and how a probe's state is told without colour.

use crate::panes::Context;
use crate::panes::sheet::{column, figure, rest};
use crate::theme::Role;
use crate::widgets::bar::{NOTHING, spark};
use crate::widgets::chart::Glyphs;
use crate::widgets::table::{Cell, Column};
use crate::widgets::{format, natural};
use cmdr_protocol::probes::{NOT_KNOWN, Row, State};
use ratatui::text::{Line, Span};
use std::cmp::Ordering;
use std::fmt::Write as _;

const DAY_MS: u64 = 86_400_000;
/// Parts of the bar.
pub(super) const BLOCKS: u32 = 30;

/// From left to right.
pub(super) const COLUMNS: &[Column] = &[
    column("probes.col.state", 11, 0),
    Column { most: 30, ..rest("probes.col.name", 12, 0) },
    figure("probes.col.time", 8, 1),
    column("probes.col.lately", 15, 5),
    figure("probes.col.uptime", 7, 2),
    column("probes.col.bar", BLOCKS as u16, 4),
    figure("probes.col.certificate", 6, 6),
    column("probes.col.agents", 7, 3),
    Column { descending: true, ..column("probes.col.since", 11, 7) },
    Column { most: 60, ..rest("probes.col.target", 14, 8) },
];

/// How a row stands: worst first.
pub(super) fn rank(row: &Row) -> u8 {
    match row.state {
        _ if !row.problem.is_empty() => 1,
        _ if row.off => 5,
        State::Down => 0,
        State::Degraded => 2,
        State::Unknown => 3,
        State::Up => 4,
    }
}

/// Sign, key of the word, colour.
pub(super) fn state(row: &Row) -> (&'static str, &'static str, Role) {
    match row.state {
        _ if !row.problem.is_empty() => ("!", "probes.state.broken", Role::Bad),
        _ if row.off => ("◼", "probes.state.paused", Role::Soft),
        state => told(state),
    }
}

/// The same of a state alone.
pub(super) fn told(state: State) -> (&'static str, &'static str, Role) {
    match state {
        State::Up => ("●", "probes.state.up", Role::Ok),
        State::Degraded => ("◐", "probes.state.degraded", Role::Warn),
        State::Down => ("✗", "probes.state.down", Role::Bad),
        State::Unknown => ("?", "probes.state.unknown", Role::Soft),
    }
}

/// Which share of which span the column of uptime has.
pub(super) fn uptime(row: &Row, span: usize) -> Option<u16> {
    row.uptime.get(span).copied().flatten()
}

/// The order of two rows by a column.
pub(super) fn compare(column: usize, span: usize, a: &Row, b: &Row) -> Ordering {
    match column {
        1 => natural::compare(&a.name, &b.name),
        2 | 3 => a.took_us.cmp(&b.took_us),
        // Who had least comes first when it is turned round.
        4 | 5 => uptime(a, span).cmp(&uptime(b, span)),
        6 => a.certificate_ends_ms.cmp(&b.certificate_ends_ms),
        7 => (a.against, a.agents).cmp(&(b.against, b.agents)),
        8 => a.since_ms.cmp(&b.since_ms),
        9 => natural::compare(&a.target, &b.target),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// What filters and searches look through.
pub(super) fn haystack(context: &Context<'_>, row: &Row, text: &mut String) {
    let Row { name, description, kind, target, from, why, .. } = row;
    let word = context.texts.get(state(row).1);
    // Writing to a String cannot fail.
    write!(text, "{word} {name} {kind} {target} {description} {from} {why}").ok();
}

/// `99.9%`; whole only where it never was down.
pub(super) fn share(tenths: u16) -> String {
    format!("{}.{}%", tenths / 10, tenths % 10)
}

fn share_role(tenths: u16) -> Role {
    match tenths {
        995.. => Role::Ok,
        950..995 => Role::Warn,
        _ => Role::Bad,
    }
}

/// Microseconds as people read them.
pub(super) fn time(us: u64) -> String {
    format::round_trip(u32::try_from(us).unwrap_or(u32::MAX))
}

/// A block for each part of a stretch of time: its height tells what its colour does.
pub(super) fn bar(context: &Context<'_>, blocks: &[u16], width: usize) -> Vec<Span<'static>> {
    let ascii = context.glyphs == Glyphs::Ascii;
    let skip = blocks.len().saturating_sub(width);
    let block = |tenths: &u16| {
        let (sign, plain, role) = match *tenths {
            NOT_KNOWN => ("·", ".", Role::Faint),
            1000.. => ("▇", "#", Role::Ok),
            900..1000 => ("▅", "=", Role::Warn),
            1..900 => ("▃", "-", Role::Bad),
            0 => ("▁", "_", Role::Bad),
        };
        Span::styled(if ascii { plain } else { sign }, context.theme.style(role))
    };
    blocks.iter().skip(skip).map(block).collect()
}

/// The times of the last hour, against the longest of them.
pub(super) fn lately(context: &Context<'_>, number: u64, width: usize) -> String {
    let Some((points, _)) = context.store.probes.took.get(&number) else { return String::new() };
    let most = points.iter().flatten().copied().fold(0.0, f64::max);
    let place = |point: &Option<f64>| match point {
        Some(value) if most > 0.0 => (value / most * 1000.0).round().clamp(0.0, 1000.0) as u16,
        _ => NOTHING,
    };
    let skip = points.len().saturating_sub(width * 2);
    let values: Vec<u16> = points.iter().skip(skip).map(place).collect();
    spark(&values, width, context.glyphs)
}

/// Days that are left of a certificate.
pub(super) fn certificate(context: &Context<'_>, row: &Row) -> Option<(String, Role)> {
    let ends = row.certificate_ends_ms?;
    let left = ends.saturating_sub(context.store.now_ms) / DAY_MS;
    let role = match left {
        0..7 => Role::Bad,
        7..21 => Role::Warn,
        _ => Role::Text,
    };
    Some((format!("{left}d"), role))
}

/// What stands in a cell.
pub(super) fn cell<'a>(
    context: &Context<'a>,
    number: u64,
    row: &'a Row,
    span: usize,
    title: &'static str,
    width: u16,
) -> Cell<'a> {
    let Context { store, theme, texts, .. } = *context;
    let soft = theme.style(Role::Soft);
    let faint = theme.style(Role::Faint);
    let none = || Line::styled("-", faint);
    Cell::Line(match title {
        "probes.col.state" => {
            let (sign, word, role) = state(row);
            let flaps = if row.flapping { " ~" } else { "" };
            Line::styled(format!("{sign} {}{flaps}", texts.get(word)), theme.style(role))
        }
        "probes.col.name" => Line::styled(row.name.as_str(), theme.style(Role::Strong)),
        "probes.col.time" => row.took_us.map_or_else(none, |us| Line::from(time(us))),
        "probes.col.lately" => {
            Line::styled(lately(context, number, usize::from(width)), theme.style(Role::LineA))
        }
        "probes.col.uptime" => uptime(row, span).map_or_else(none, |tenths| {
            Line::styled(share(tenths), theme.style(share_role(tenths)))
        }),
        "probes.col.bar" => Line::from(bar(context, &row.blocks, usize::from(width))),
        "probes.col.certificate" => certificate(context, row)
            .map_or_else(none, |(text, role)| Line::styled(text, theme.style(role))),
        "probes.col.agents" => {
            let well = row.answering.saturating_sub(row.against);
            let role = if row.against > 0 { Role::Warn } else { Role::Soft };
            Line::styled(format!("{well}/{}", row.agents), theme.style(role))
        }
        "probes.col.since" => match row.since_ms {
            0 => none(),
            since => {
                let now_s = store.now_ms / 1000;
                Line::styled(format::moment(since / 1000, now_s, store.utc_offset_s), soft)
            }
        },
        _ => {
            let kind = format!("{} ", row.kind);
            let target = Span::styled(row.target.as_str(), theme.style(Role::Text));
            Line::from(vec![Span::styled(kind, faint), target])
        }
    })
}
