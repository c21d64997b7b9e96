//! A table over a [`Sheet`] of the store: order, filter, search, drawing and details, for panes whose
//! rows need nothing of their own. The panes say which columns there are and what can be done.

use super::{Choice, Context, Entry, Place, sought};
use crate::action::Action;
use crate::keymap::Command;
use crate::overlays::pager::Pager;
use crate::store::sheets::{Record, Sheet, SheetKey, Value, id_of};
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::containers::status;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::cmp::Ordering;
use unicode_width::UnicodeWidthStr as _;

/// A column of texts.
pub(super) const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

/// A column of figures.
pub(super) const fn figure(title: &'static str, width: u16, rank: u8) -> Column {
    Column { right: true, descending: true, ..column(title, width, rank) }
}

/// A column of numbers that are names, such as ports.
pub(super) const fn number(title: &'static str, width: u16, rank: u8) -> Column {
    Column { right: true, ..column(title, width, rank) }
}

/// A column that takes what is left over.
pub(super) const fn rest(title: &'static str, width: u16, rank: u8) -> Column {
    Column { grows: true, ..column(title, width, rank) }
}

/// The table.
pub(super) struct View {
    pub(super) key: SheetKey,
    pub(super) columns: &'static [Column],
    pub(super) table: table::State<u64>,
    /// Only rows that this keeps, beside the filter.
    pub(super) only: Option<fn(&Record) -> bool>,
    /// Only rows with this text in this column.
    pub(super) of: Option<(usize, String)>,
    shown: Option<(SheetKey, u64, u64, bool, u64)>,
}

impl View {
    pub(super) fn new(key: SheetKey, columns: &'static [Column], sort: usize) -> Self {
        let mut table = table::State::default();
        table.sort = sort;
        Self { key, columns, table, only: None, of: None, shown: None }
    }

    pub(super) fn sheet<'a>(&self, context: &Context<'a>) -> Option<&'a Sheet> {
        context.store.sheet(self.key)
    }

    /// Orders and filters the rows anew when something they depend on changed.
    pub(super) fn order(&mut self, context: &Context<'_>) {
        let Some(sheet) = self.sheet(context) else { return };
        let only = (self.only.is_some(), id_of(&self.of));
        let made_from = Some((self.key, self.table.version, sheet.version, only.0, only.1));
        if self.shown == made_from {
            return;
        }
        self.shown = made_from;
        let sort = self.table.sort.min(self.columns.len().saturating_sub(1));
        let descending = self.columns[sort].descending != self.table.reverse;
        let mut text = String::new();
        let filter = &self.table.filter;
        let mut kept: Vec<&Record> = sheet
            .rows
            .values()
            .filter(|row| self.only.is_none_or(|only| only(row)))
            .filter(|row| match &self.of {
                Some((at, text)) => row.values.get(*at).is_some_and(|v| v.plain() == text),
                None => true,
            })
            .filter(|row| {
                text.clear();
                row.haystack(&mut text);
                filter.keeps(&text)
            })
            .collect();
        let compare = |a: &Record, b: &Record, at: usize| match (a.values.get(at), b.values.get(at))
        {
            (Some(a), Some(b)) => a.compare(b),
            _ => Ordering::Equal,
        };
        kept.sort_by(|a, b| {
            let order = compare(a, b, sort);
            let order = if descending { order.reverse() } else { order };
            // Lists that begin with how something stands have its name next.
            let order = order.then_with(|| compare(a, b, 0)).then_with(|| compare(a, b, 1));
            order.then_with(|| a.id.cmp(&b.id))
        });
        let order = kept.iter().map(|row| row.id).collect();
        self.table.set_order(order, |id| sheet.rows.contains_key(&id));
    }

    pub(super) fn selected<'a>(&self, context: &Context<'a>) -> Option<&'a Record> {
        self.sheet(context)?.rows.get(&self.table.selected()?)
    }

    /// The marked rows, else the one under the cursor.
    pub(super) fn targets<'a>(&self, context: &Context<'a>) -> Vec<&'a Record> {
        let Some(sheet) = self.sheet(context) else { return Vec::new() };
        self.table.targets().iter().filter_map(|id| sheet.rows.get(id)).collect()
    }

    /// Does what every table can do.
    pub(super) fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        if self.table.on(command, self.columns) {
            return Action::None;
        }
        match command {
            Command::Back if self.only.is_some() => {
                self.only = None;
                Action::None
            }
            Command::CopyValue => {
                let Some(row) = self.selected(context) else { return Action::None };
                let texts = row.values.iter().map(|value| shown(context, value).0);
                Action::Copy(texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("  "))
            }
            Command::NextMatch | Command::PreviousMatch => {
                let Some(sheet) = self.sheet(context) else { return Action::None };
                let text = |id, text: &mut String| {
                    if let Some(row) = sheet.rows.get(&id) {
                        row.haystack(text);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    /// All about the row under the cursor.
    pub(super) fn detail(&self, context: &Context<'_>) -> Option<Pager> {
        let row = self.selected(context)?;
        let texts = context.texts;
        let cells = self.columns.iter().zip(&row.values);
        let cells = cells.map(|(column, value)| (column.title, shown(context, value)));
        let more = row.more.iter().map(|(key, text)| (*key, (text.clone(), Role::Text)));
        let lines = cells
            .chain(more)
            .filter(|(_, (text, _))| !text.is_empty())
            .map(|(key, (text, role))| {
                let word = texts.get(key);
                let pad = 14usize.saturating_sub(word.width()).max(1);
                vec![(Role::Soft, format!("{word}{}", " ".repeat(pad))), (role, text)]
            })
            .collect();
        let name = row.values.iter().find(|value| matches!(value, Value::Text(..)));
        let title = name.map_or_else(String::new, |value| value.plain().to_owned());
        Some(Pager::new(title, lines))
    }

    /// The line above, the table, and what is said when there is nothing in it, and when only some rows
    /// are wanted and there are none such.
    pub(super) fn draw(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        [none, none_such]: [&'static str; 2],
    ) {
        self.order(context);
        let Context { store, theme, texts, .. } = *context;
        let Some(sheet) = self.sheet(context) else { return };
        self.table.draw(frame, area, self.columns, theme, texts, |id, column, _| {
            let at = self.columns.iter().position(|c| c.title == column.title);
            match sheet.rows.get(&id).zip(at) {
                Some((row, at)) => {
                    let (text, role) = row
                        .values
                        .get(at)
                        .map_or((String::new(), Role::Text), |v| shown(context, v));
                    Cell::Line(Line::styled(text, theme.style(role)))
                }
                None => Cell::Rest(Line::default()),
            }
        });
        if self.table.order().is_empty() && sheet.known {
            let text = match (sheet.rows.is_empty(), self.only) {
                (true, _) => none,
                (false, Some(_)) if !self.table.filter.is_on() => none_such,
                (false, _) => "table.nothing_left",
            };
            super::notice(frame, area, &[Line::styled(texts.get(text), theme.style(Role::Soft))]);
        }
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), area, theme);
        }
    }

    pub(super) fn entries(&self, context: &Context<'_>, kind: &'static str) -> Vec<Entry> {
        let Some(sheet) = self.sheet(context) else { return Vec::new() };
        let rows = self.table.order().iter().filter_map(|id| sheet.rows.get(id)).take(20_000);
        rows.map(|row| {
            let mut text = String::new();
            row.haystack(&mut text);
            let note = context.store.hosts.name(row.host);
            Entry { kind, text, note, choice: Choice::Pick(row.id) }
        })
        .collect()
    }
}

/// What stands in a cell, and its colour.
pub(super) fn shown(context: &Context<'_>, value: &Value) -> (String, Role) {
    match value {
        Value::Text(text, role) | Value::Figure(_, text, role) => (text.clone(), *role),
        Value::Word(key, role) | Value::Ranked(_, key, role) => {
            (context.texts.get(key).to_owned(), *role)
        }
        Value::Status(container) => {
            let words = status::words(container, context.store.now_ms / 1000);
            (words, if container.state.runs() { Role::Text } else { Role::Soft })
        }
        Value::Moment(0) => ("-".to_owned(), Role::Faint),
        Value::Moment(at_s) => {
            let store = context.store;
            (format::moment(*at_s, store.now_ms / 1000, store.utc_offset_s), Role::Soft)
        }
    }
}

/// A line of pieces with dots between.
pub(super) fn dotted(
    context: &Context<'_>,
    pieces: impl IntoIterator<Item = (String, Role)>,
) -> Line<'static> {
    let theme = context.theme;
    let mut line = Line::default();
    for (text, role) in pieces {
        if line.width() > 0 {
            line.push_span(Span::styled(" · ", theme.style(Role::Faint)));
        }
        line.push_span(Span::styled(text, theme.style(role)));
    }
    line
}

/// The names of lists of which one is shown; where there is no room for all, without the first ones.
pub(super) fn titles(
    context: &Context<'_>,
    frame: &mut Frame<'_>,
    area: Rect,
    titles: &[&'static str],
    at: usize,
) {
    let Context { theme, texts, .. } = *context;
    let titles: Vec<String> = titles.iter().map(|key| format!(" {} ", texts.get(key))).collect();
    let width = |from: usize| titles[from..=at].iter().map(|t| t.width()).sum::<usize>();
    let room = usize::from(area.width);
    let first = (0..at).find(|from| width(*from) <= room).unwrap_or(at);
    let mut line = Line::default();
    for (n, title) in titles.into_iter().enumerate().skip(first) {
        let role = if n == at { Role::TabActive } else { Role::Tab };
        line.push_span(Span::styled(title, theme.style(role)));
    }
    table::put(frame.buffer_mut(), area.x, area.y, area.width, &line, false);
}

/// Splits the line above off.
pub(super) fn split(area: Rect) -> (Rect, Rect) {
    let head = Rect { x: area.x + 1, width: area.width.saturating_sub(2), height: 1, ..area };
    (head, Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area })
}

/// Lines that say why a list that was asked for brought nothing yet.
pub(super) fn missing(context: &Context<'_>, sheet: Option<&Sheet>) -> Vec<Line<'static>> {
    let Context { store, theme, texts, .. } = *context;
    match sheet.and_then(|sheet| sheet.error.as_ref()) {
        Some(error) if store.is_up() => {
            vec![Line::styled(crate::action::reason(error), theme.style(Role::Bad))]
        }
        _ if !store.is_up() => {
            vec![Line::styled(texts.get("overview.no_hub"), theme.style(Role::Soft))]
        }
        _ => vec![Line::styled(texts.get("sheet.loading"), theme.style(Role::Soft))],
    }
}

/// Lines broken so that they fit into a width: why something is not there may take a sentence or two.
pub(super) fn wrapped(lines: Vec<Line<'static>>, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width.saturating_sub(4)).max(20);
    let broken = lines.into_iter().flat_map(|line| {
        let style = line.style;
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        let rows = crate::overlays::wrap(&[(Role::Text, text)], width);
        rows.into_iter().map(move |row| {
            Line::styled(row.into_iter().map(|(_, text)| text).collect::<String>(), style)
        })
    });
    broken.collect()
}

/// The rows of every sheet of this name that is known, for the finder: each is gone to on its host's page.
pub(super) fn everywhere(
    context: &Context<'_>,
    names: &[&str],
    kind: &'static str,
    title: &str,
) -> Vec<Entry> {
    let tab = super::TABS.iter().position(|tab| tab.title == title).unwrap_or(0);
    let sheets = context.store.sheets.iter().filter(|((_, name), _)| names.contains(name));
    let mut seen = std::collections::HashSet::new();
    let rows = sheets.flat_map(|(_, sheet)| sheet.rows.values());
    let new = rows.filter(|row| seen.insert((row.host, row.id)));
    new.map(|row| {
        let name = context.store.hosts.name(row.host);
        let mut text = String::new();
        row.haystack(&mut text);
        // Rows of the whole fleet begin with it.
        if !text.starts_with(&name) {
            text = format!("{name} {text}");
        }
        let choice = Choice::At(Place::Host(row.host, tab), row.id);
        Entry { kind, text, note: String::new(), choice }
    })
    .collect()
}
