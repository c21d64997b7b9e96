//! All about one gateway in few lines: its listeners, and how its upstreams stand. Below the list.

use crate::panes::Context;
use crate::panes::sheet::shown;
use crate::store::gateways::{self as store, One};
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::gateways::{Figures, ListenerFigures, Row, Talker, UpstreamFigures};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

pub(super) type Piece = (Role, String);

/// A text in a place of its own width.
fn fixed(text: &str, width: usize) -> String {
    let text = clean_to_width(text, width);
    let pad = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(pad))
}

/// Tenths a second.
fn a_second(tenths: u64) -> String {
    format!("{}.{}/s", tenths / 10, tenths % 10)
}

/// A listener in a line or two.
fn of_listener(
    context: &Context<'_>,
    one: &One,
    at: usize,
    of: &ListenerFigures,
) -> Vec<Vec<Piece>> {
    let texts = context.texts;
    let address = format!("{} {}", of.transport, of.address);
    let mut line = vec![
        (Role::Strong, fixed(&of.name, 12)),
        (Role::Soft, format!(" {}  ", fixed(&address, 24))),
        (Role::Text, texts.fill("gateways.open", &[&of.active.to_string()])),
    ];
    if let Some((accepted, received, sent)) = one.listener_rates(at) {
        let values = [a_second(accepted), format::rate(received), format::rate(sent)];
        line.push((Role::Text, format!("  {}  ↓{} ↑{}", values[0], values[1], values[2])));
    }
    if of.drained {
        line.push((Role::Warn, format!("  {}", texts.get("gateways.up.drained"))));
    }
    let odd = [
        ("gateways.refused", of.refused),
        ("gateways.failed", of.failed),
        ("gateways.dropped", of.dropped),
        ("gateways.starved", of.starved),
    ];
    let odd = odd.into_iter().filter(|(_, count)| *count > 0);
    let odd: Vec<String> =
        odd.map(|(key, count)| texts.fill(key, &[&format::count(count as usize)])).collect();
    let mut lines = vec![line];
    if !odd.is_empty() {
        lines.push(vec![(Role::Warn, format!("  {}", odd.join("  ")))]);
    }
    lines
}

/// All listeners.
pub(super) fn listeners(context: &Context<'_>, one: &One, figures: &Figures) -> Vec<Vec<Piece>> {
    let all = figures.listeners.iter().enumerate();
    all.flat_map(|(at, of)| of_listener(context, one, at, of)).collect()
}

/// A busy client of a listener: its bytes and new connections a second.
pub(super) fn talker(context: &Context<'_>, of: &ListenerFigures, talker: &Talker) -> Vec<Piece> {
    let seconds = of.talkers_s.max(1);
    let bytes = format::rate(talker.bytes / seconds);
    let count = a_second(talker.connections * 10 / seconds);
    vec![
        (Role::Text, format!("  {}", fixed(&talker.address, 24))),
        (Role::Text, format!(" {bytes:>6}/s  {count:>8}")),
        (
            Role::Soft,
            format!(
                "  {}  {}",
                of.name,
                context.texts.fill("gateways.over", &[&format::span(seconds)])
            ),
        ),
    ]
}

/// How long an upstream takes, whole.
pub(super) fn times(context: &Context<'_>, of: &UpstreamFigures) -> Option<Vec<Piece>> {
    let time = |us: u64| format::round_trip(u32::try_from(us).unwrap_or(u32::MAX));
    let told = [("gateways.connecting", of.connect), ("gateways.first_byte", of.first_byte)];
    let told: Vec<String> = told
        .into_iter()
        .filter_map(|(key, times)| {
            let times = times?;
            let values = [time(times.p50_us), time(times.p99_us)];
            Some(context.texts.fill(key, &[&values[0], &values[1]]))
        })
        .collect();
    (!told.is_empty())
        .then(|| vec![(Role::Strong, format!("{}  ", of.address)), (Role::Text, told.join("  "))])
}

/// The upstreams of each group, a line each.
fn groups(context: &Context<'_>, figures: &Figures) -> Vec<Vec<Piece>> {
    let texts = context.texts;
    let mut lines = Vec::new();
    for group in &figures.groups {
        let up = group.upstreams.iter().filter(|upstream| upstream.state == "up").count();
        let count = format!("{up}/{}", group.upstreams.len());
        let role = if up == group.upstreams.len() { Role::Ok } else { Role::Warn };
        let mut line = vec![
            (Role::Header, format!("{} ", group.name)),
            (role, texts.fill("gateways.group_up", &[&count])),
        ];
        if group.waiting > 0 {
            let waiting = texts.fill("gateways.waiting", &[&group.waiting.to_string()]);
            line.push((Role::Warn, format!("  {waiting}")));
        }
        lines.push(line);
        for upstream in &group.upstreams {
            let (word, role) = shown(context, &store::upstream_state(&upstream.state));
            let open = texts.fill("gateways.open", &[&upstream.active.to_string()]);
            let mut line = vec![
                (role, format!("  {} ", fixed(&word, 9))),
                (Role::Text, fixed(&upstream.address, 24)),
                (Role::Soft, format!(" {:>4}  {open}", format!("×{}", upstream.weight))),
            ];
            if upstream.failed > 0 {
                let failed = format::count(upstream.failed as usize);
                line.push((Role::Bad, format!("  {}", texts.fill("gateways.failed", &[&failed]))));
            }
            lines.push(line);
        }
    }
    lines
}

/// Puts lines of pieces below each other.
pub(super) fn put(context: &Context<'_>, frame: &mut Frame<'_>, area: Rect, lines: &[Vec<Piece>]) {
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        let spans =
            line.iter().map(|(role, text)| Span::styled(text.clone(), context.theme.style(*role)));
        let line = Line::from(spans.collect::<Vec<_>>());
        table::put(frame.buffer_mut(), area.x, y, area.width, &line, false);
    }
}

/// Why a text or its host is not as it should be, in lines of this width.
pub(super) fn broken(context: &Context<'_>, role: Role, why: &str, width: u16) -> Vec<Vec<Piece>> {
    let why = context.texts.reason(&why.replace('\n', "  "));
    crate::overlays::wrap(&[(role, why)], usize::from(width.max(20)))
}

/// Below the list.
pub(super) fn draw(
    context: &Context<'_>,
    frame: &mut Frame<'_>,
    area: Rect,
    number: u64,
    row: &Row,
) {
    let Context { theme, texts, glyphs, .. } = *context;
    let (word, role, _) = store::state(row.state);
    let name = clean_to_width(&row.name, usize::from(area.width / 2));
    let title = Line::from(vec![
        Span::styled(format!(" {name} "), theme.style(Role::Title)),
        Span::styled(format!("{} ", texts.get(word)), theme.style(role)),
    ]);
    let buffer = frame.buffer_mut();
    let inner = boxes::panel(buffer, area, title, Line::default(), theme, glyphs);
    let mut inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    if !row.why.is_empty() {
        let lines = broken(context, role, &row.why, inner.width);
        put(context, frame, inner, &lines);
        let used = (lines.len() as u16).min(inner.height);
        inner = Rect { y: inner.y + used, height: inner.height - used, ..inner };
    }
    let one = context.store.gateways.one(number);
    let (left, right) = match one.map(|one| (one, &one.figures)) {
        _ if row.host.is_none() => return,
        None => (vec![vec![(Role::Soft, texts.get("sheet.loading").to_owned())]], Vec::new()),
        Some((_, Err(error))) => {
            let why = crate::action::reason(error);
            (broken(context, Role::Bad, &why, inner.width), Vec::new())
        }
        Some((one, Ok(figures))) => (listeners(context, one, figures), groups(context, figures)),
    };
    if inner.width >= 120 && !right.is_empty() {
        let halves =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(2), Constraint::Fill(1)]);
        let [of_left, _, of_right] = inner.layout(&halves);
        put(context, frame, of_left, &left);
        put(context, frame, of_right, &right);
    } else {
        put(context, frame, inner, &[left, right].concat());
    }
}
