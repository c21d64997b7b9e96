//! Several lines of text to fill in, one below the other: what the search and the request for rights
//! have in common. Belongs to an overlay that reads it.

use super::leaves;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// One line to fill in.
pub struct Field {
    /// Key of its name.
    name: &'static str,
    /// Key of what is said about it while it is filled in.
    hint: &'static str,
    input: Input,
    /// What is typed is not shown.
    secret: bool,
}

/// What a key came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It goes on.
    No,
    /// Nothing is wanted.
    Left,
    /// It is filled in.
    Sent,
}

/// The lines.
pub struct Form {
    title: String,
    /// What it is about, above the lines.
    pub about: Vec<String>,
    fields: Vec<Field>,
    at: usize,
    error: Option<String>,
}

impl Field {
    /// A line with a text in it.
    pub fn new(name: &'static str, hint: &'static str, text: String) -> Self {
        Self { name, hint, input: Input::new(text), secret: false }
    }

    /// What is typed there is not shown.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    fn shown(&self) -> Input {
        if self.secret { self.input.masked() } else { self.input.clone() }
    }
}

impl Form {
    /// With these lines; the first one is filled in first.
    pub fn new(title: String, fields: Vec<Field>) -> Self {
        Self { title, about: Vec::new(), fields, at: 0, error: None }
    }

    /// Beginning at this line.
    #[must_use]
    pub fn at(mut self, at: usize) -> Self {
        self.at = at.min(self.fields.len().saturating_sub(1));
        self
    }

    /// What stands in a line.
    pub fn text(&self, at: usize) -> &str {
        self.fields.get(at).map_or("", |field| field.input.text().trim())
    }

    /// What stands in a line, blanks around it included.
    pub fn whole(&self, at: usize) -> &str {
        self.fields.get(at).map_or("", |field| field.input.text())
    }

    /// Puts something else into a line.
    pub fn set(&mut self, at: usize, text: String) {
        if let Some(field) = self.fields.get_mut(at) {
            field.input = Input::new(text);
        }
    }

    /// Says what is wrong, and goes to the line where it is.
    pub fn complain(&mut self, at: usize, error: String) {
        self.at = at;
        self.error = Some(error);
    }

    /// Takes a key.
    pub fn key(&mut self, key: &KeyEvent) -> Ended {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let count = self.fields.len().max(1);
        match key.code {
            _ if leaves(key) => return Ended::Left,
            KeyCode::Enter => return Ended::Sent,
            KeyCode::Tab | KeyCode::Down => self.at = (self.at + 1) % count,
            KeyCode::BackTab | KeyCode::Up => self.at = (self.at + count - 1) % count,
            KeyCode::Char('n') if control => self.at = (self.at + 1) % count,
            KeyCode::Char('p') if control => self.at = (self.at + count - 1) % count,
            _ => {
                if let Some(field) = self.fields.get_mut(self.at)
                    && field.input.key(key)
                {
                    self.error = None;
                }
            }
        }
        Ended::No
    }

    /// Takes pasted text.
    pub fn paste(&mut self, text: &str) {
        if let Some(field) = self.fields.get_mut(self.at) {
            field.input.insert(text);
        }
    }

    /// Draws it in the middle of the screen.
    pub fn draw(&self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let names = self.fields.iter().map(|field| texts.get(field.name).width());
        let names = names.max().unwrap_or(0) as u16;
        let width = 76.min(screen.width.saturating_sub(4));
        let about: Vec<Vec<super::pager::Piece>> = self
            .about
            .iter()
            .flat_map(|line| {
                let line = vec![(Role::Strong, line.clone())];
                super::pager::wrap(&line, usize::from(width.saturating_sub(4)))
            })
            .collect();
        let hint = self.fields.get(self.at).map_or("", |field| texts.get(field.hint));
        let (hint, role) = match &self.error {
            Some(error) => (error.as_str(), Role::Bad),
            None => (hint, Role::Info),
        };
        let broken = |text: &str| super::rows(text, usize::from(width.saturating_sub(4)));
        let hint = broken(hint);
        // As high as the longest hint needs, so that the box does not jump from line to line.
        let hints = self.fields.iter().map(|field| broken(texts.get(field.hint)).len());
        let hint_rows = hints.chain([hint.len()]).max().unwrap_or(1) as u16;
        let fixed = self.fields.len() as u16 + 4 + hint_rows;
        let room = screen.height.saturating_sub(fixed + 2);
        let about_rows = (about.len() as u16).min(room);
        let gap = u16::from(about_rows > 0);
        let size = (width, fixed + about_rows + gap);
        let title = Line::styled(format!(" {} ", self.title), theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let mut y = inner.y;
        for row in about.iter().take(usize::from(about_rows)) {
            let spans = row.iter().map(|(role, text)| Span::styled(text, theme.style(*role)));
            table::put(frame.buffer_mut(), x, y, width, &spans.collect(), false);
            y += 1;
        }
        y += gap;
        for (at, field) in self.fields.iter().enumerate() {
            if y >= inner.bottom() {
                return;
            }
            let current = at == self.at;
            let role = if current { Role::Accent } else { Role::Soft };
            let name = Line::styled(texts.get(field.name), theme.style(role));
            table::put(frame.buffer_mut(), x, y, names, &name, false);
            let area =
                Rect { x: x + names + 1, y, width: width.saturating_sub(names + 1), height: 1 };
            if current {
                field.shown().draw(frame, area, theme);
            } else {
                let (text, _) = field.shown().view(usize::from(area.width.saturating_sub(2)));
                let text = Line::styled(text, theme.style(Role::Text));
                table::put(frame.buffer_mut(), area.x + 2, y, area.width - 2, &text, false);
            }
            y += 1;
        }
        let keys = Line::styled(texts.get("form.keys"), theme.style(Role::Faint));
        let buffer = frame.buffer_mut();
        for (y, row) in (inner.bottom().saturating_sub(1 + hint_rows)..).zip(&hint) {
            let line = Line::styled(row.as_str(), theme.style(role));
            table::put(buffer, x, y, width, &line, false);
        }
        table::put(buffer, x, inner.bottom().saturating_sub(1), width, &keys, false);
    }
}
