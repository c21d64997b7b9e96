//! What the finder and the palette share: a line that is typed in, and below it the entries that fit, one
//! of which is chosen by key or mouse. What fits is theirs.

use super::{leaves, step};
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{format, frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// What a key or the mouse came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// Nothing, or the cursor moved.
    Moved,
    /// Another text is looked for.
    Typed,
    /// The entry under the cursor is meant.
    Chose,
    /// Nothing is.
    Left,
}

/// How the box looks.
pub(super) struct Looks {
    /// Key of its title.
    pub(super) title: &'static str,
    pub(super) size: (u16, u16),
    /// Cells for the word before each entry.
    pub(super) kind: usize,
    /// How many entries fit, and how many there are.
    pub(super) counts: [usize; 2],
    /// Rows below those that fit.
    pub(super) more: usize,
    /// What else is said below.
    pub(super) said: String,
    /// Key of what is said when none fits.
    pub(super) nothing: &'static str,
}

/// An entry as it is drawn.
pub(super) struct Row<'a> {
    /// The word before it.
    pub(super) kind: String,
    pub(super) text: &'a str,
    /// What stands behind it.
    pub(super) note: &'a str,
    /// Which characters of it were looked for.
    pub(super) hits: Vec<u32>,
}

/// The line and the cursor.
#[derive(Default)]
pub(super) struct Chooser {
    input: Input,
    /// The entry under the cursor, counted among those that fit.
    pub(super) at: usize,
    offset: usize,
    area: Rect,
}

impl Chooser {
    /// What is looked for.
    pub(super) fn text(&self) -> &str {
        self.input.text()
    }

    /// Puts the cursor there, among so many.
    pub(super) fn move_to(&mut self, to: usize, count: usize) {
        self.at = to.min(count.saturating_sub(1));
    }

    /// A key, where so many entries fit.
    pub(super) fn key(&mut self, key: &KeyEvent, count: usize) -> Did {
        if leaves(key) {
            return Did::Left;
        }
        if let Some(by) = step(key) {
            self.move_to(self.at.saturating_add_signed(by), count);
            return Did::Moved;
        }
        match key.code {
            KeyCode::Enter => Did::Chose,
            KeyCode::Backspace if self.text().is_empty() => Did::Left,
            _ if self.input.key(key) => {
                self.at = 0;
                Did::Typed
            }
            _ => Did::Moved,
        }
    }

    /// Text that was pasted.
    pub(super) fn paste(&mut self, text: &str) {
        self.input.insert(text);
        self.at = 0;
    }

    /// The mouse, where so many entries fit.
    pub(super) fn mouse(&mut self, mouse: MouseEvent, count: usize) -> Did {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.move_to(self.at + 1, count),
            MouseEventKind::ScrollUp => self.move_to(self.at.saturating_sub(1), count),
            MouseEventKind::Down(MouseButton::Left)
                if self.area.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let to = self.offset + usize::from(mouse.row - self.area.y);
                if to < count {
                    self.at = to;
                    return Did::Chose;
                }
            }
            _ => {}
        }
        Did::Moved
    }

    /// Draws the box, the line and those entries that there is room for; `row` gives the one of a number. Says where
    /// they stand.
    pub(super) fn draw<'a>(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        screen: Rect,
        looks: &Looks,
        mut row: impl FnMut(usize) -> Option<Row<'a>>,
    ) {
        let Context { theme, texts, glyphs, .. } = *context;
        let (width, height) = looks.size;
        let size = (width, height.min(screen.height.saturating_sub(4)));
        let title = format!(" {} ", texts.get(looks.title));
        let title = Line::styled(title, theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        if inner.height < 3 {
            return;
        }
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        self.input.draw(frame, Rect { x, width, ..inner }, theme);
        let buffer = frame.buffer_mut();
        let counts = looks.counts.map(format::count);
        let of = texts.fill("palette.of", &[&counts[0], &counts[1]]);
        let said = if looks.said.is_empty() { of } else { format!("{of} · {}", looks.said) };
        let said =
            cmdr_protocol::display::clean_to_width(&said, usize::from(width.saturating_sub(2)));
        buffer.set_string(x, inner.bottom(), format!(" {said} "), theme.style(Role::Soft));
        self.area = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
        let rows = usize::from(self.area.height);
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(rows));
        if looks.counts[0] + looks.more == 0 && rows > 0 {
            let line = Line::styled(texts.get(looks.nothing), theme.style(Role::Soft));
            table::put(buffer, x, self.area.y, width, &line, false);
        }
        for (y, at) in
            (self.area.top()..self.area.bottom()).zip(self.offset..looks.counts[0] + looks.more)
        {
            let Some(Row { kind, text, note, hits }) = row(at) else { continue };
            let pad = " ".repeat(looks.kind.saturating_sub(kind.width()).max(1));
            let mut spans = vec![Span::styled(kind, theme.style(Role::Soft)), Span::raw(pad)];
            // What matches is counted in graphemes.
            for (n, grapheme) in text.graphemes(true).enumerate() {
                let role = if hits.contains(&(n as u32)) { Role::Match } else { Role::Strong };
                spans.push(Span::styled(grapheme, theme.style(role)));
            }
            spans.push(Span::styled(format!("  {note}"), theme.style(Role::Soft)));
            table::put(buffer, x, y, width, &Line::from(spans), false);
            if at == self.at {
                buffer.set_style(Rect { y, height: 1, ..inner }, theme.style(Role::Selected));
                buffer.set_string(inner.x, y, "▌", theme.style(Role::Accent));
            }
        }
    }
}
