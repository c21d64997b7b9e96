//! The table of sessions: of one host, or of all of them.

use super::columns;
use crate::action::Action;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::widgets::table::{self, Cell, Column};
use cmdr_protocol::HostId;
use cmdr_protocol::sessions::Session;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// What a row is known by: its host and the beginning of its id.
pub(super) type Key = (HostId, [u8; 16]);

fn key(host: HostId, id: &str) -> Key {
    let mut bytes = [0; 16];
    let len = id.len().min(bytes.len());
    bytes[..len].copy_from_slice(&id.as_bytes()[..len]);
    (host, bytes)
}

/// The table.
pub(super) struct Sessions {
    host: Option<HostId>,
    pub(super) table: table::State<Key>,
    /// What the rows were made from: choices, and what is known.
    made: Option<(u64, u64)>,
}

impl Sessions {
    pub(super) fn new(host: Option<HostId>) -> Self {
        let mut table = table::State::default();
        table.sort = if host.is_some() { 4 } else { 0 };
        Self { host, table, made: None }
    }

    const fn columns(&self) -> &'static [Column] {
        if self.host.is_some() { columns::HOST } else { columns::FLEET }
    }

    fn rows<'a>(&self, context: &Context<'a>) -> Vec<(HostId, &'a Session)> {
        let all = context.store.sessions.all();
        all.filter(|(host, _)| self.host.is_none_or(|only| only == *host)).collect()
    }

    /// Orders and filters the rows anew when something changed.
    pub(super) fn order(&mut self, context: &Context<'_>) {
        let made = Some((self.table.version, context.store.sessions.version));
        if self.made == made {
            return;
        }
        self.made = made;
        let store = context.store;
        let mut rows = self.rows(context);
        let filter = &self.table.filter;
        rows.retain(|(host, one)| filter.keeps(&columns::haystack(store, *host, one)));
        let column = self.columns().get(self.table.sort).copied();
        let title = column.map_or("", |column| column.title);
        let reverse = column.is_some_and(|column| column.descending) != self.table.reverse;
        rows.sort_by(|a, b| {
            let order = columns::compare(store, title, *a, *b);
            if reverse { order.reverse() } else { order }
        });
        let order: Vec<Key> = rows.iter().map(|(host, one)| key(*host, &one.id)).collect();
        let known: std::collections::HashSet<Key> =
            self.rows(context).iter().map(|(host, one)| key(*host, &one.id)).collect();
        self.table.set_order(order, |key| known.contains(&key));
    }

    fn find<'a>(context: &Context<'a>, wanted: Key) -> Option<(HostId, &'a Session)> {
        let list = context.store.sessions.list(wanted.0)?;
        let found = list.sessions.iter().find(|one| key(wanted.0, &one.id) == wanted)?;
        Some((wanted.0, found))
    }

    /// The one under the cursor.
    pub(super) fn selected<'a>(&self, context: &Context<'a>) -> Option<(HostId, &'a Session)> {
        Self::find(context, self.table.selected()?)
    }

    /// The marked ones, else the one under the cursor.
    pub(super) fn targets<'a>(&self, context: &Context<'a>) -> Vec<(HostId, &'a Session)> {
        let targets = self.table.targets().into_iter();
        targets.filter_map(|key| Self::find(context, key)).collect()
    }

    pub(super) fn hosts_at_hand(&self) -> Vec<HostId> {
        let mut hosts: Vec<HostId> = self.table.targets().into_iter().map(|key| key.0).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// The next session in the order of the table, or the one before.
    pub(super) fn beside(&self, context: &Context<'_>, id: &str, forward: bool) -> Option<String> {
        let order = self.table.order();
        let host = self.host?;
        let at = order.iter().position(|one| *one == key(host, id));
        let len = order.len();
        let next = match (at, forward) {
            (None, _) => 0,
            (Some(at), true) => (at + 1) % len,
            (Some(at), false) => (at + len - 1) % len,
        };
        let (_, session) = Self::find(context, *order.get(next)?)?;
        (session.id != id).then(|| session.id.clone())
    }

    pub(super) fn copy_id(&self, context: &Context<'_>) -> Action {
        let selected = self.selected(context);
        selected.map_or(Action::None, |(_, session)| Action::Copy(session.id.clone()))
    }

    /// The `cmdr` command that attaches to it.
    pub(super) fn copy_command(&self, context: &Context<'_>) -> Action {
        match (self.selected(context), self.host) {
            (Some((_, session)), _) => Action::Copy(format!("cmdr attach {}", quoted(&session.id))),
            (None, Some(host)) => {
                Action::Copy(format!("cmdr shell {}", quoted(&context.store.hosts.name(host))))
            }
            (None, None) => Action::None,
        }
    }

    pub(super) fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        let columns = self.columns();
        self.table.draw(frame, area, columns, context.theme, context.texts, |key, column, _| {
            match Self::find(context, key) {
                Some(row) => columns::cell(context, row, column.title),
                None => Cell::Rest(Line::default()),
            }
        });
    }
}
