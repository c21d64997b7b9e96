//! How the engine of one host, and the engines of several, are drawn.

use super::Engine;
use crate::keymap::Command;
use crate::panes::sheet::{self, shown};
use crate::panes::{Context, overview};
use crate::store::FeedState;
use crate::store::sheets::{Record, Value};
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::engine::Events;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// Rows that events need at least.
const EVENTS: u16 = 6;
/// Cells of a bar.
const BAR: usize = 20;

/// Why events of a host do not come.
fn failed<'a>(context: &Context<'a>, host: HostId) -> Option<&'a CallError> {
    match context.store.feed::<Events>(Some(host)) {
        Some(FeedState::Failed(error)) => Some(error),
        _ => None,
    }
}

impl Engine {
    pub(super) fn draw_one(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        host: HostId,
    ) {
        let Context { store, theme, texts, .. } = *context;
        let failed = failed(context, host);
        let absent = failed.is_some_and(|error| error.kind == ErrorKind::NotFound);
        let row = store.sheet(self.engines).and_then(|sheet| sheet.rows.values().next());
        let Some(row) = row.filter(|_| !absent || !store.is_up()) else {
            let mut lines = overview::nothing_yet::<Events>(
                context,
                host,
                texts.get("sheet.loading"),
                theme,
                store,
            );
            if absent && store.is_up() {
                super::super::follow::absent(context, &mut lines);
            } else if let Some(why) = self.why(context, host) {
                lines = vec![Line::styled(why.clone(), theme.style(Role::Bad))];
            }
            return crate::panes::notice(frame, area, &sheet::wrapped(lines, area.width));
        };
        let (head, mut area) = sheet::split(area);
        let line = about(context, row);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        let room = self.room(context);
        let facts = facts(context, row, usize::from(head.width));
        let left = area.height.saturating_sub(EVENTS + 1);
        let (disk, facts) = if room.len() as u16 + 1 > left {
            (&[][..], &facts[..facts.len().min(usize::from(left))])
        } else {
            let left = usize::from(left) - room.len() - 1;
            (&room[..], &facts[..facts.len().min(left)])
        };
        let gap = usize::from(!disk.is_empty());
        let lines = facts.iter().chain(disk);
        for (y, line) in (area.y..area.bottom()).zip(lines) {
            table::put(frame.buffer_mut(), head.x, y, head.width, line, false);
        }
        let used = (facts.len() + disk.len() + gap) as u16;
        area = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
        let (head, body) = sheet::split(area);
        let events = store.sheet(self.view.key);
        let count = format::count(events.map_or(0, |sheet| sheet.rows.len()));
        let mut pieces = vec![(texts.fill("engine.events", &[&count]), Role::Title)];
        if self.paused {
            pieces.push((texts.get("engine.paused").to_owned(), Role::Warn));
        } else if let Some(error) = failed.filter(|_| store.is_up()) {
            pieces.push((crate::action::reason(error), Role::Bad));
        }
        let lost: u64 = events.map_or(0, |sheet| sheet.left_out.values().sum());
        if lost > 0 {
            let lost = format::count(usize::try_from(lost).unwrap_or(usize::MAX));
            pieces.push((texts.fill("engine.lost", &[&lost]), Role::Warn));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        if events.is_some() {
            self.stay_on_top(context);
            self.view.draw(context, frame, body, ["engine.no_events"; 2]);
        } else {
            let none = Line::styled(texts.get("engine.no_events"), theme.style(Role::Soft));
            crate::panes::notice(frame, body, &[none]);
        }
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), area, theme);
        }
    }

    /// Whoever has not gone down from the newest event sees the newest.
    fn stay_on_top(&mut self, context: &Context<'_>) {
        let before = self.view.table.selected();
        self.view.order(context);
        if self.first == before {
            self.view.table.on(Command::Top, self.view.columns);
        }
        let now = self.view.table.selected();
        self.first = now.filter(|now| self.view.table.order().first() == Some(now));
        // Nothing is selected by that number: the cursor is somewhere below.
        if self.first.is_none() && now.is_some() {
            self.first = Some(u64::MAX);
        }
    }

    /// Why an engine of a host that is online says nothing of itself.
    fn why<'a>(&self, context: &Context<'a>, host: HostId) -> Option<&'a String> {
        let row = context.store.hosts.get(host)?;
        let online = row.host.state == HostState::Online && context.store.is_up();
        let sheet = context.store.sheet(self.engines).filter(|_| online)?;
        sheet.failed.get(&host)
    }

    /// The room that each kind of things takes, or why that is not known.
    fn room(&self, context: &Context<'_>) -> Vec<Line<'static>> {
        let Context { store, theme, texts, .. } = *context;
        let Some(sheet) = store.sheet(self.disk).filter(|sheet| sheet.known) else {
            let text = match store.sheet(self.disk).and_then(|sheet| sheet.error.as_ref()) {
                Some(error) => (crate::action::reason(error), Role::Bad),
                None => (texts.get("engine.counting").to_owned(), Role::Soft),
            };
            return vec![Line::styled(text.0, theme.style(text.1))];
        };
        let mut rows: Vec<&Record> = sheet.rows.values().collect();
        let size = |row: &Record| match row.values.get(3) {
            Some(Value::Figure(size, ..)) => *size,
            _ => 0,
        };
        rows.sort_by_key(|row| std::cmp::Reverse((size(row), row.id)));
        let most = rows.iter().map(|row| size(row)).max().unwrap_or(0).max(1);
        let titles = [
            "engine.col.kind",
            "engine.col.total",
            "engine.col.active",
            "engine.col.size",
            "engine.col.free",
        ];
        let titles = titles.map(|key| (texts.get(key).to_owned(), Role::Header));
        let cells = |row: &&Record| row.values.iter().map(|value| shown(context, value)).collect();
        let mut lines: Vec<Vec<(String, Role)>> = vec![titles.to_vec()];
        lines.extend(rows.iter().map(cells));
        let widths: Vec<usize> = (0..5)
            .map(|at| lines.iter().map(|l| l.get(at).map_or(0, |(t, _)| t.width())).max())
            .map(Option::unwrap_or_default)
            .collect();
        let sizes = [0].into_iter().chain(rows.iter().map(|row| size(row)));
        lines
            .into_iter()
            .zip(sizes)
            .map(|(cells, size)| {
                let mut line = Line::default();
                for (at, (text, role)) in cells.into_iter().enumerate() {
                    let pad = " ".repeat(widths[at].saturating_sub(text.width()));
                    // The name stands at the left, figures at the right.
                    let text = if at == 0 { text + &pad } else { format!("  {pad}{text}") };
                    line.push_span(Span::styled(text, theme.style(role)));
                }
                let share = u128::from(size) * BAR as u128 / u128::from(most);
                let filled = usize::try_from(share).unwrap_or(BAR).min(BAR);
                let bar = format!("  {}", "█".repeat(filled));
                line.push_span(Span::styled(bar, theme.style(Role::Accent)));
                line
            })
            .collect()
    }

    pub(super) fn draw_many(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let Some(sheet) = self.view.sheet(context).filter(|sheet| sheet.known) else {
            let none = store.is_up() && store.hosts.known && self.hosts.is_empty();
            let lines = if none {
                vec![Line::styled(texts.get("fleet.no_hosts"), theme.style(Role::Soft))]
            } else {
                sheet::missing(context, None)
            };
            return crate::panes::notice(frame, area, &lines);
        };
        let (head, body) = sheet::split(area);
        let count = format::count(sheet.rows.len());
        let role = if sheet.is_round_over() { Role::Ok } else { Role::Warn };
        let (with, of) = (sheet.rows.len(), sheet.of);
        let without = sheet.answered.len().saturating_sub(with);
        let told = texts.fill("fleet.answered", &[&with.to_string(), &of.to_string()]);
        let mut pieces = vec![(texts.fill("engine.many", &[&count]), Role::Strong), (told, role)];
        if without > 0 {
            pieces.push((texts.fill("docker.without", &[&without.to_string()]), Role::Soft));
        }
        if !sheet.failed.is_empty() {
            let failed = sheet.failed.len().to_string();
            pieces.push((texts.fill("fleet.failed", &[&failed]), Role::Bad));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["engine.none"; 2]);
    }
}

/// An engine in one line.
fn about(context: &Context<'_>, row: &Record) -> Line<'static> {
    let texts = context.texts;
    let text = |at: usize| row.values.get(at).map_or_else(String::new, |v| shown(context, v).0);
    let of = |key, at: usize| texts.fill(key, &[&text(at)]);
    let pieces = [
        (text(1), Role::Strong),
        (of("engine.running", 2), Role::Ok),
        (of("engine.are_paused", 3), Role::Soft),
        (of("engine.stopped", 4), Role::Soft),
        (of("images.many", 5), Role::Text),
        (text(6), Role::Soft),
        (text(7), Role::Soft),
    ];
    sheet::dotted(context, pieces.into_iter().filter(|(text, _)| !text.is_empty()))
}

/// What else it says of itself, in as few rows as it fits.
fn facts(context: &Context<'_>, row: &Record, width: usize) -> Vec<Line<'static>> {
    let Context { theme, texts, .. } = *context;
    let mut lines = vec![Line::default()];
    for (key, text) in &row.more {
        let warns = *key == "engine.fact.warning";
        let piece = format!("{} {text}", texts.get(key));
        if warns {
            for row in crate::overlays::rows(&piece, width) {
                lines.push(Line::styled(row, theme.style(Role::Warn)));
            }
            continue;
        }
        let full = lines.last().is_some_and(|line| line.width() + piece.width() + 3 > width);
        if full {
            lines.push(Line::default());
        }
        if let Some(line) = lines.last_mut() {
            if line.width() > 0 {
                line.push_span(Span::styled(" · ", theme.style(Role::Faint)));
            }
            line.push_span(Span::styled(format!("{} ", texts.get(key)), theme.style(Role::Soft)));
            line.push_span(Span::styled(text.clone(), theme.style(Role::Text)));
        }
    }
    lines.retain(|line| line.width() > 0);
    lines
}
