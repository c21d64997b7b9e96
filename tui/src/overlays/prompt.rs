//! Asks for a line of text and turns it into an action, or says what is wrong with it.

use super::{Overlay, leaves};
use crate::action::Action;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

type Check = Box<dyn Fn(&str) -> Result<Action, String> + Send>;

/// The question.
pub struct Prompt {
    title: String,
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
        Self { title, hint, input: Input::new(text), error: None, check: Box::new(check) }
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
        let title = Line::styled(format!(" {} ", self.title), theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, (64, 5), title, false, theme, glyphs);
        if inner.height < 3 {
            return;
        }
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        self.input.draw(frame, Rect { x, width, ..inner }, theme);
        let buffer = frame.buffer_mut();
        let below = match &self.error {
            Some(error) => Line::styled(error.as_str(), theme.style(Role::Bad)),
            None => Line::styled(texts.get(self.hint), theme.style(Role::Soft)),
        };
        table::put(buffer, x, inner.y + 2, width, &below, false);
    }
}
