//! What there is to read: the files and units of the hosts, to choose one or several.

use super::{LogsPane, is_online};
use crate::panes::Context;
use crate::store::logs::Logs;
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::HostId;
use cmdr_protocol::logs::{Kind, Source, parts};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::cmp::Ordering;

const fn column(title: &'static str, width: u16, rank: u8) -> table::Column {
    table::Column { title, width, grows: false, most: 0, right: false, rank, descending: false }
}

/// The columns of the table.
pub(super) static COLUMNS: &[table::Column] = &[
    table::Column { grows: true, most: 200, ..column("logs.col.name", 30, 0) },
    column("logs.col.kind", 8, 3),
    table::Column { right: true, descending: true, ..column("logs.col.size", 9, 2) },
    table::Column { right: true, ..column("logs.col.rotated", 7, 4) },
    table::Column { descending: true, ..column("logs.col.changed", 17, 1) },
    table::Column { right: true, descending: true, ..column("logs.col.hosts", 6, 5) },
];

/// The table, and what its rows are made of.
#[derive(Default)]
pub(super) struct Picker {
    pub(super) table: table::State<u32>,
    sources: Vec<(Source, Vec<HostId>)>,
    /// The choices and the number of answers that the rows were made from.
    made: Option<(u64, usize)>,
}

impl Picker {
    pub(super) fn order(&mut self, logs: Option<&Logs>) {
        let from = (self.table.version, logs.map_or(0, |logs| logs.listed.len()));
        if self.made == Some(from) {
            return;
        }
        self.made = Some(from);
        self.sources = logs.map(Logs::sources).unwrap_or_default();
        let filter = &self.table.filter;
        let kept = self.sources.iter().enumerate().filter(|(_, (s, _))| filter.keeps(&s.source));
        let mut order: Vec<usize> = kept.map(|(n, _)| n).collect();
        let sort = self.table.sort;
        let descending = COLUMNS[sort].descending != self.table.reverse;
        let compare = |a: &(Source, Vec<HostId>), b: &(Source, Vec<HostId>)| -> Ordering {
            match sort {
                1 => a.0.kind.cmp(&b.0.kind),
                2 => a.0.bytes.cmp(&b.0.bytes),
                3 => a.0.rotated.cmp(&b.0.rotated),
                4 => a.0.changed_ms.cmp(&b.0.changed_ms),
                5 => a.1.len().cmp(&b.1.len()),
                _ => (a.0.kind, &a.0.source).cmp(&(b.0.kind, &b.0.source)),
            }
        };
        order.sort_by(|a, b| {
            let by = compare(&self.sources[*a], &self.sources[*b]);
            if descending { by.reverse() } else { by }
        });
        let order = order.into_iter().map(|n| n as u32).collect();
        let count = self.sources.len();
        self.table.set_order(order, |n| (n as usize) < count);
    }

    /// The marked sources, else the one under the cursor, each with its hosts.
    pub(super) fn chosen(&self) -> Vec<(HostId, String)> {
        let rows = self.table.targets().into_iter();
        let rows = rows.filter_map(|n| self.sources.get(n as usize));
        rows.flat_map(|(source, hosts)| hosts.iter().map(|host| (*host, source.source.clone())))
            .collect()
    }

    pub(super) fn under_cursor(&self) -> Option<&str> {
        let at = self.table.selected()?;
        self.sources.get(at as usize).map(|(source, _)| source.source.as_str())
    }

    pub(super) fn haystack(&self, n: u32, text: &mut String) {
        if let Some((source, _)) = self.sources.get(n as usize) {
            text.push_str(&source.source);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    pub(super) fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Self { table, sources, .. } = self;
        let crate::panes::Context { store, theme, texts, .. } = *context;
        table.draw(frame, area, COLUMNS, theme, texts, |n, column, width| {
            let Some((source, hosts)) = sources.get(n as usize) else {
                return table::Cell::Rest(Line::default());
            };
            let width = usize::from(width);
            let (text, role) = match column.title {
                "logs.col.name" => match parts(&source.source) {
                    (Kind::Journal, _) => (source.source.clone(), Role::Text),
                    (_, name) => (name.to_owned(), Role::Text),
                },
                "logs.col.kind" => (source.kind.to_string(), Role::Soft),
                "logs.col.size" => {
                    (source.bytes.map_or_else(String::new, format::size), Role::Soft)
                }
                "logs.col.rotated" if source.rotated > 0 => {
                    (source.rotated.to_string(), Role::Soft)
                }
                "logs.col.changed" => {
                    let now = store.now_ms / 1000;
                    let moment = |ms| format::moment(ms / 1000, now, store.utc_offset_s);
                    (source.changed_ms.map_or_else(String::new, moment), Role::Soft)
                }
                "logs.col.hosts" => (hosts.len().to_string(), Role::Soft),
                _ => (String::new(), Role::Soft),
            };
            let text = cmdr_protocol::display::clean_to_width(&text, width);
            table::Cell::Line(Line::styled(text, theme.style(role)))
        });
    }
}

impl LogsPane {
    pub(super) fn draw_picker(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        self.picker.order(self.logs(context));
        let head = Rect { height: 1, ..area };
        let line = self.picker_head(context);
        table::put(frame.buffer_mut(), head.x + 1, head.y, head.width - 2, &line, false);
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        self.picker.draw(context, frame, body);
        if self.picker.table.order().is_empty() {
            let waits = self.hosts.iter().any(|host| {
                self.logs(context).is_none_or(|logs| !logs.listed.contains_key(host))
                    && is_online(context, *host)
            });
            let key = match () {
                () if self.hosts.is_empty() => "logs.mark_hosts",
                () if self.picker.len() > 0 => "table.nothing_left",
                () if !context.store.is_up() => "overview.no_hub",
                () if waits => "logs.loading",
                () => "logs.nothing",
            };
            let mut lines = vec![Line::styled(texts.get(key), theme.style(Role::Soft))];
            lines.extend(self.failures(context));
            crate::panes::notice(frame, body, &lines);
        }
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    /// Why hosts could not say what they have.
    fn failures(&self, context: &Context<'_>) -> Vec<Line<'static>> {
        let Context { store, theme, .. } = *context;
        let listed = self
            .hosts
            .iter()
            .filter_map(|host| Some((host, self.logs(context)?.listed.get(host)?)));
        let failed = listed.filter_map(|(host, listing)| Some((host, listing.as_ref().err()?)));
        failed
            .take(5)
            .map(|(host, error)| {
                let text = format!("{}: {}", store.hosts.name(*host), crate::action::reason(error));
                Line::styled(text, theme.style(Role::Bad))
            })
            .collect()
    }

    fn picker_head(&self, context: &Context<'_>) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let names: Vec<_> = self.hosts.iter().take(4).map(|h| store.hosts.name(*h)).collect();
        let more = if self.hosts.len() > 4 { " …" } else { "" };
        let text = texts.fill("logs.pick", &[&format!("{}{more}", names.join(", "))]);
        Line::styled(text, theme.style(Role::Soft))
    }
}
