//! Asks for a line of text and turns it into an action, or says what is wrong with it.

use super::{Overlay, leaves, rows};
use crate::action::Action;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr as _;

/// How wide the box is, where there is room.
const WIDTH: u16 = 64;

type Check = Box<dyn Fn(&str) -> Result<Action, String> + Send>;

/// The question.
pub struct Prompt {
    title: String,
    /// What to know before one types.
    about: Option<String>,
    hint: &'static str,
    input: Input,
    error: Option<String>,
    check: Check,
}

impl Prompt {
    /// `hint` is the key of the text below the line.
    pub fn new(
        title: String,
        text: String,
        hint: &'static str,
        check: impl Fn(&str) -> Result<Action, String> + Send + 'static,
    ) -> Self {
        let input = Input::new(text);
        Self { title, about: None, hint, input, error: None, check: Box::new(check) }
    }

    /// With what to know before one types.
    #[must_use]
    pub fn about(mut self, about: String) -> Self {
        self.about = Some(about);
        self
    }
}

impl Overlay for Prompt {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) {
            return Action::Close;
        }
        if key.code == KeyCode::Enter {
            match (self.check)(self.input.text()) {
                Ok(action) => return Action::CloseAnd(Box::new(action)),
                Err(error) => self.error = Some(error),
            }
        } else if self.input.key(key) {
            self.error = None;
        }
        Action::None
    }

    fn paste(&mut self, text: &str) {
        self.input.insert(text);
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let width = WIDTH.min(screen.width.saturating_sub(2));
        let room = usize::from(width.saturating_sub(4));
        // A title that the border has no room for stands inside, whole.
        let fits = self.title.width() + 4 <= usize::from(width);
        let title = if fits { format!(" {} ", self.title) } else { String::new() };
        let head = if fits { Vec::new() } else { rows(&self.title, room) };
        let about = self.about.as_ref().map_or_else(Vec::new, |about| rows(about, room));
        let (below, role) = match &self.error {
            Some(error) => (error.as_str(), Role::Bad),
            None => (texts.get(self.hint), Role::Soft),
        };
        let below = rows(below, room);
        let above: Vec<_> = head
            .into_iter()
            .map(|row| (Role::Title, row))
            .chain(about.into_iter().map(|row| (Role::Text, row)))
            .collect();
        let size = (width, (above.len() + below.len()) as u16 + 4);
        let title = Line::styled(title, theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        if inner.height < 3 {
            return;
        }
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let mut y = inner.y;
        for (role, row) in above.iter().take(usize::from(inner.height - 3)) {
            let line = Line::styled(row.as_str(), theme.style(*role));
            table::put(frame.buffer_mut(), x, y, width, &line, false);
            y += 1;
        }
        self.input.draw(frame, Rect { x, y, width, height: 1 }, theme);
        for (y, row) in (y + 2..inner.bottom()).zip(&below) {
            let line = Line::styled(row.as_str(), theme.style(role));
            table::put(frame.buffer_mut(), x, y, width, &line, false);
        }
    }
}
