//! The entries of a hosts file as rows, in the order of the file unless somebody sorts them.

use crate::panes::Context;
use crate::panes::sheet::{column, dotted, number, rest};
use crate::theme::Role;
use crate::widgets::natural;
use crate::widgets::table::{self, Cell, Column, Seek};
use cmdr_protocol::display::clean;
use cmdr_protocol::hosts_file::Entry;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

pub(super) const COLUMNS: &[Column] = &[
    number("hosts_file.col.line", 6, 3),
    column("hosts_file.col.state", 5, 0),
    Column { most: 40, ..rest("hosts_file.col.address", 16, 0) },
    rest("hosts_file.col.names", 20, 0),
    Column { most: 50, ..rest("hosts_file.col.comment", 12, 2) },
];

/// Rows that the finder is given at most.
const OFFERED: usize = 20_000;

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// An entry, its texts made harmless.
struct Row {
    /// Which line it is, from 0 on.
    line: u64,
    off: bool,
    address: String,
    names: String,
    comment: String,
}

impl Row {
    fn haystack(&self, text: &mut String) {
        let state = if self.off { "off" } else { "on" };
        for part in [&self.address, &self.names, &self.comment, state] {
            text.push_str(part);
            text.push(' ');
        }
    }
}

/// The rows.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) table: table::State<u64>,
    /// In the order of the file.
    entries: Vec<Row>,
    /// Lines that are neither entries nor remarks nor empty.
    odd: usize,
    /// Of the lines that they were made of.
    hash: u64,
    /// What the order was made from.
    made: Option<(u64, u64)>,
}

impl Rows {
    /// Shows these lines; says whether they are others than before.
    pub(super) fn show(&mut self, lines: &[String]) -> bool {
        let mut hasher = DefaultHasher::new();
        lines.hash(&mut hasher);
        let hash = hasher.finish();
        if hash == self.hash {
            return false;
        }
        (self.hash, self.odd) = (hash, 0);
        self.entries.clear();
        for (at, line) in lines.iter().enumerate() {
            let Some(entry) = Entry::of(line) else {
                let text = line.trim_start();
                self.odd += usize::from(!text.is_empty() && !text.starts_with('#'));
                continue;
            };
            let names: Vec<&str> = entry.names.split_whitespace().collect();
            self.entries.push(Row {
                line: at as u64,
                off: entry.off,
                address: clean(entry.address).into_owned(),
                names: names.join(" "),
                comment: clean(entry.comment).into_owned(),
            });
        }
        self.order();
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn at(rows: &[Row], id: u64) -> Option<&Row> {
        rows.get(rows.binary_search_by_key(&id, |row| row.line).ok()?)
    }

    /// Orders and filters them anew when something changed.
    pub(super) fn order(&mut self) {
        let made = Some((self.table.version, self.hash));
        if self.made == made {
            return;
        }
        self.made = made;
        let sort = self.table.sort;
        let mut text = String::new();
        let filter = &self.table.filter;
        let mut kept: Vec<&Row> = self
            .entries
            .iter()
            .filter(|row| {
                text.clear();
                row.haystack(&mut text);
                filter.keeps(&text)
            })
            .collect();
        kept.sort_by(|a, b| {
            let order = match sort {
                1 => a.off.cmp(&b.off),
                2 => natural::compare(&a.address, &b.address),
                3 => natural::compare(&a.names, &b.names),
                4 => natural::compare(&a.comment, &b.comment),
                _ => a.line.cmp(&b.line),
            };
            let order = if self.table.reverse { order.reverse() } else { order };
            order.then(a.line.cmp(&b.line))
        });
        let order = kept.iter().map(|row| row.line).collect();
        let rows = &self.entries;
        self.table.set_order(order, |id| Self::at(rows, id).is_some());
    }

    pub(super) fn seek(&mut self, forward: bool) -> Seek {
        let rows = &self.entries;
        self.table.seek(forward, |id, text| {
            if let Some(row) = Self::at(rows, id) {
                row.haystack(text);
            }
        })
    }

    /// All of them, for the finder.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, String)> {
        self.entries.iter().take(OFFERED).map(|row| {
            let mut text = String::new();
            row.haystack(&mut text);
            (row.line, text)
        })
    }

    /// How many there are.
    pub(super) fn counted(&self, context: &Context<'_>) -> Line<'static> {
        let off = self.entries.iter().filter(|row| row.off).count();
        let counts = [
            ("hosts_file.entries", self.entries.len(), Role::Soft),
            ("hosts_file.off_count", off, Role::Soft),
            ("hosts_file.odd", self.odd, Role::Warn),
        ];
        let told = counts.into_iter().filter(|(key, n, _)| *n > 0 || *key == "hosts_file.entries");
        let fill = |key, n: usize| context.texts.fill(key, &[&n.to_string()]);
        dotted(context, told.map(|(key, n, role)| (fill(key, n), role)))
    }

    pub(super) fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        let rows = &self.entries;
        self.table.draw(frame, area, COLUMNS, theme, texts, |id, column, _| {
            let Some(row) = Self::at(rows, id) else { return Cell::Rest(Line::default()) };
            let dim = |role| if row.off { Role::Faint } else { role };
            let (text, role) = match column.name() {
                "line" => ((row.line + 1).to_string(), Role::Faint),
                "state" if row.off => (texts.get("hosts_file.off").to_owned(), Role::Warn),
                "state" => (texts.get("hosts_file.on").to_owned(), Role::Ok),
                "address" => (row.address.clone(), dim(Role::Strong)),
                "names" => (row.names.clone(), dim(Role::Text)),
                _ => (row.comment.clone(), Role::Soft),
            };
            Cell::Line(Line::styled(text, theme.style(role)))
        });
    }
}
