//! Text to read: details, help, the log. Scrolls; long lines are wrapped by cells.

use super::{Overlay, leaves};
use crate::action::Action;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar as _;

/// A piece of a line: what it is for, and its text.
pub type Piece = (Role, String);

/// The text.
pub struct Pager {
    title: String,
    lines: Vec<Vec<Piece>>,
    /// First row shown.
    top: usize,
    /// Rows that could be shown last time, and how many there were.
    seen: (usize, usize),
    /// What `y` copies.
    copy: Option<String>,
}

impl Pager {
    /// Lines of pieces.
    pub fn new(title: String, lines: Vec<Vec<Piece>>) -> Self {
        Self { title, lines, top: 0, seen: (1, 0), copy: None }
    }

    /// With something that `y` copies.
    #[must_use]
    pub fn copying(mut self, text: String) -> Self {
        self.copy = Some(text);
        self
    }

    /// Beginning at the end.
    #[must_use]
    pub fn from_end(mut self) -> Self {
        self.top = usize::MAX;
        self
    }

    fn scroll(&mut self, by: isize) {
        let (room, rows) = self.seen;
        self.top = self.top.saturating_add_signed(by).min(rows.saturating_sub(room));
    }
}

/// Breaks a line into rows of at most `width` cells.
fn wrap(line: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    let mut rows = vec![Vec::new()];
    let mut used = 0;
    for (role, text) in line {
        let mut piece = String::new();
        for c in text.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > width && used > 0 {
                if let Some(row) = rows.last_mut() {
                    row.push((*role, std::mem::take(&mut piece)));
                }
                rows.push(Vec::new());
                used = 0;
            }
            piece.push(c);
            used += w;
        }
        if let Some(row) = rows.last_mut() {
            row.push((*role, piece));
        }
    }
    rows
}

impl Overlay for Pager {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) {
            return Action::Close;
        }
        let page = self.seen.0 as isize;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q' | '?') | KeyCode::Enter => return Action::Close,
            KeyCode::Char('y') => {
                if let Some(text) = self.copy.clone() {
                    return Action::Copy(text);
                }
            }
            KeyCode::Char('d') if control => self.scroll(page / 2),
            KeyCode::Char('u') if control => self.scroll(-page / 2),
            KeyCode::Char('j') | KeyCode::Down => self.scroll(1),
            KeyCode::Char('k') | KeyCode::Up => self.scroll(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll(page),
            KeyCode::PageUp => self.scroll(-page),
            KeyCode::Char('g') | KeyCode::Home => self.top = 0,
            KeyCode::Char('G') | KeyCode::End => self.scroll(isize::MAX),
            _ => {}
        }
        Action::None
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.scroll(3),
            MouseEventKind::ScrollUp => self.scroll(-3),
            _ => {}
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, glyphs, .. } = *context;
        let widest = self.lines.iter().map(|line| {
            line.iter().map(|(_, t)| unicode_width::UnicodeWidthStr::width(t.as_str())).sum()
        });
        let widest: usize = widest.max().unwrap_or(0);
        let most = usize::from(screen.width.saturating_sub(8)).clamp(20, 110);
        let width = widest.clamp(40, most);
        let rows: Vec<Vec<Piece>> = self.lines.iter().flat_map(|line| wrap(line, width)).collect();
        let title = Line::styled(format!(" {} ", self.title), theme.style(Role::Title));
        let height = (rows.len() as u16 + 2).min(screen.height.saturating_sub(2));
        let size = (width as u16 + 4, height);
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        self.seen = (usize::from(inner.height), rows.len());
        self.scroll(0);
        let buffer = frame.buffer_mut();
        for (y, row) in (inner.top()..inner.bottom()).zip(rows.iter().skip(self.top)) {
            let spans =
                row.iter().map(|(role, text)| Span::styled(text.as_str(), theme.style(*role)));
            let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
            table::put(buffer, x, y, width, &spans.collect(), false);
        }
        let (room, total) = self.seen;
        if total > room {
            // How far one is, in the border.
            let text = format!(" {}% ", (self.top + room).min(total) * 100 / total);
            let x = inner.right().saturating_sub(text.len() as u16);
            buffer.set_string(x, inner.bottom(), text, theme.style(Role::Soft));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_by_cells() {
        let line = vec![(Role::Text, "节点".to_owned()), (Role::Soft, "abc".to_owned())];
        let rows = wrap(&line, 5);
        let text: Vec<String> =
            rows.iter().map(|row| row.iter().map(|(_, t)| t.as_str()).collect()).collect();
        assert_eq!(text, ["节点a", "bc"]);
    }
}
