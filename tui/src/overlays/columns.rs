//! Chooses the columns of a table: which, in which order, how wide. What is chosen is seen at once
//! behind it; Enter keeps it, Esc takes it back.

use super::{Overlay, leaves, step};
use crate::action::{Action, Remember};
use crate::panes::Context;
use crate::theme::Role;
use crate::view::View;
use crate::widgets::table::{Column, Layout, WIDEST};
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// A column in the list.
#[derive(Clone)]
struct Item {
    column: Column,
    shown: bool,
    /// Chosen, instead of the column's own.
    width: Option<u16>,
}

/// The list.
pub struct Columns {
    all: Vec<Column>,
    items: Vec<Item>,
    at: usize,
    before: View,
}

impl Columns {
    /// For the table that looks so.
    pub fn new(view: View, all: Vec<Column>) -> Self {
        let layout = Layout::read(&view.columns, &all).unwrap_or_default();
        let chosen = layout.chosen(&all);
        let fixed = !view.columns.is_empty();
        let mut items: Vec<Item> = chosen
            .iter()
            .map(|(index, column)| {
                let own = all
                    .get(*index)
                    .is_some_and(|c| (c.width, c.grows) == (column.width, column.grows));
                let width = (fixed && !own).then_some(column.width);
                Item { column: all[*index], shown: true, width }
            })
            .collect();
        for (index, column) in all.iter().enumerate() {
            if !chosen.iter().any(|(at, _)| *at == index) {
                items.push(Item { column: *column, shown: false, width: None });
            }
        }
        Self { all, items, at: 0, before: view }
    }

    /// The table with the choice as it is now.
    fn view(&self) -> View {
        let word = |item: &Item| {
            let name = item.column.name();
            item.width.map_or_else(|| name.to_owned(), |width| format!("{name}:{width}"))
        };
        let columns: Vec<_> = self.items.iter().filter(|i| i.shown).map(word).collect();
        let usual = columns.iter().map(String::as_str).eq(self.all.iter().map(Column::name));
        View { columns: if usual { Vec::new() } else { columns }, ..self.before.clone() }
    }

    fn seen(&self) -> Action {
        Action::Look(self.view())
    }

    fn toggle(&mut self) -> Action {
        let shown = self.items.iter().filter(|item| item.shown).count();
        let Some(item) = self.items.get_mut(self.at) else { return Action::None };
        // A table needs a column.
        if item.shown && shown == 1 {
            return Action::None;
        }
        item.shown = !item.shown;
        self.seen()
    }

    fn carry(&mut self, by: isize) -> Action {
        let to = self.at.saturating_add_signed(by).min(self.items.len().saturating_sub(1));
        if to == self.at {
            return Action::None;
        }
        self.items.swap(self.at, to);
        self.at = to;
        self.seen()
    }

    fn widen(&mut self, by: i16) -> Action {
        let Some(item) = self.items.get_mut(self.at) else { return Action::None };
        let width = item.width.unwrap_or(item.column.width);
        item.width = Some(width.saturating_add_signed(by).clamp(2, WIDEST));
        self.seen()
    }

    fn move_by(&mut self, by: isize) -> Action {
        self.at = self.at.saturating_add_signed(by).min(self.items.len().saturating_sub(1));
        Action::None
    }

    fn reset(&mut self) -> Action {
        let usual = View { columns: Vec::new(), ..self.before.clone() };
        let (before, at) = (self.before.clone(), self.at);
        *self = Self::new(usual, std::mem::take(&mut self.all));
        (self.before, self.at) = (before, at);
        self.seen()
    }
}

impl Overlay for Columns {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) {
            return Action::CloseAnd(Box::new(Action::Look(self.before.clone())));
        }
        match key.code {
            KeyCode::Enter => {
                let view = self.view();
                let keep = Action::Remember(Remember::Columns(view.clone()));
                Action::CloseAnd(Box::new(Action::All(vec![Action::Look(view), keep])))
            }
            KeyCode::Char(' ') => self.toggle(),
            KeyCode::Char('J') => self.carry(1),
            KeyCode::Char('K') => self.carry(-1),
            KeyCode::Char('+' | '=' | 'l') | KeyCode::Right => self.widen(1),
            KeyCode::Char('-' | 'h') | KeyCode::Left => self.widen(-1),
            KeyCode::Char('r') => self.reset(),
            KeyCode::Char('j') => self.move_by(1),
            KeyCode::Char('k') => self.move_by(-1),
            _ => step(key).map_or(Action::None, |by| self.move_by(by)),
        }
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.move_by(1),
            MouseEventKind::ScrollUp => self.move_by(-1),
            _ => Action::None,
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let hints = ["columns.hint_show", "columns.hint_keep"].map(|key| texts.get(key));
        let widest = hints.iter().map(|hint| hint.width()).max().unwrap_or(0);
        let size = (widest.max(34) as u16 + 4, self.items.len() as u16 + 5);
        let title = format!(" {} ", texts.get("columns.title"));
        let title = Line::styled(title, theme.style(Role::Title));
        let buffer = frame.buffer_mut();
        let inner = boxes::popup(buffer, screen, size, title, false, theme, glyphs);
        let list = Rect { height: inner.height.saturating_sub(3), ..inner };
        let offset = (self.at + 1).saturating_sub(usize::from(list.height));
        let items = self.items.iter().enumerate().skip(offset);
        for (y, (index, item)) in (list.top()..list.bottom()).zip(items) {
            let sign = if item.shown { "✓" } else { " " };
            let title = texts.get(item.column.title);
            let name = item.column.name();
            let pad = |text: &str, to: usize| " ".repeat(to.saturating_sub(text.width()).max(1));
            let width = match item.width {
                Some(width) => width.to_string(),
                None if item.column.grows => texts.get("columns.grows").to_owned(),
                None => item.column.width.to_string(),
            };
            let role = if item.shown { Role::Strong } else { Role::Faint };
            let line = Line::from(vec![
                Span::styled(format!("{sign} "), theme.style(Role::Marked)),
                Span::styled(format!("{title}{}", pad(title, 12)), theme.style(role)),
                Span::styled(format!("{name}{}", pad(name, 12)), theme.style(Role::Soft)),
                Span::styled(
                    width,
                    theme.style(if item.width.is_some() { Role::Text } else { Role::Faint }),
                ),
            ]);
            table::put(buffer, inner.x + 1, y, inner.width.saturating_sub(2), &line, false);
            if index == self.at {
                buffer.set_style(Rect { y, height: 1, ..inner }, theme.style(Role::Selected));
                buffer.set_string(inner.x, y, "▌", theme.style(Role::Accent));
            }
        }
        for (y, hint) in (list.bottom() + 1..inner.bottom()).zip(hints) {
            let hint = Line::styled(hint, theme.style(Role::Soft));
            table::put(buffer, inner.x + 1, y, inner.width.saturating_sub(2), &hint, false);
        }
    }
}
