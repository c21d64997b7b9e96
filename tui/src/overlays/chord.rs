//! Keys that follow a first one: says which there are, takes one of them and is gone.

use super::Overlay;
use crate::action::Action;
use crate::keymap::Binding;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyEvent, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// The keys.
pub struct Chord {
    title: &'static str,
    table: &'static [Binding],
}

impl Chord {
    /// Of this table.
    pub const fn new(title: &'static str, table: &'static [Binding]) -> Self {
        Self { title, table }
    }
}

impl Overlay for Chord {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match context.keys.find(&[self.table], key) {
            Some(binding) => Action::CloseAnd(Box::new(Action::Run(binding.command))),
            // Whatever else is pressed takes it away.
            None => Action::Close,
        }
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        let pressed = matches!(mouse.kind, MouseEventKind::Down(_));
        if pressed { Action::Close } else { Action::None }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let entries: Vec<(String, &str)> =
            self.table.iter().map(|b| (context.keys.first(b), texts.get(b.text))).collect();
        let keys = entries.iter().map(|(keys, _)| keys.width()).max().unwrap_or(0);
        let words = entries.iter().map(|(_, text)| text.width()).max().unwrap_or(0);
        let width = (keys + words + 4) as u16;
        let columns = (screen.width.saturating_sub(4) / width).clamp(1, 4);
        let rows = entries.len().div_ceil(usize::from(columns)) as u16;
        let title = Line::styled(format!(" {} ", texts.get(self.title)), theme.style(Role::Title));
        let size = (width * columns + 2, rows + 2);
        // At the bottom: what one looks at stays in sight.
        let height = size.1.min(screen.height);
        let below = Rect { y: screen.bottom() - height, height, ..screen };
        let below = Rect { height: height + 2, y: below.y.saturating_sub(2), ..below };
        let inner = boxes::popup(frame.buffer_mut(), below, size, title, false, theme, glyphs);
        for (n, (shown, text)) in entries.iter().enumerate() {
            let (column, row) = (n as u16 / rows.max(1), n as u16 % rows.max(1));
            let x = inner.x + 1 + column * width;
            if row >= inner.height || x >= inner.right() {
                continue;
            }
            let pad = " ".repeat(keys - shown.width() + 2);
            let line = Line::from(vec![
                Span::styled(format!("{shown}{pad}"), theme.style(Role::Key)),
                Span::styled(*text, theme.style(Role::Text)),
            ]);
            let room = width.saturating_sub(1).min(inner.right() - x);
            table::put(frame.buffer_mut(), x, inner.y + row, room, &line, false);
        }
    }
}
