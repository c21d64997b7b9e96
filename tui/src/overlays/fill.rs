//! A form that is filled in and then turned into an action, or told what is wrong with it: for whatever needs more than
//! one line of text and nothing else of its own.

use super::Overlay;
use super::form::{Ended, Form};
use crate::action::Action;
use crate::panes::Context;
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

/// Reads what stands in the lines; else which line is wrong, and why.
type Read = Box<dyn Fn(&Form) -> Result<Action, (usize, String)> + Send>;

/// The form.
pub struct Fill {
    form: Form,
    read: Read,
}

impl Fill {
    /// The action is done, and the form gone, when it could be read.
    pub fn new(
        form: Form,
        read: impl Fn(&Form) -> Result<Action, (usize, String)> + Send + 'static,
    ) -> Self {
        Self { form, read: Box::new(read) }
    }
}

impl Overlay for Fill {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::Close,
            Ended::Sent => match (self.read)(&self.form) {
                Ok(action) => Action::CloseAnd(Box::new(action)),
                Err((at, what)) => {
                    self.form.complain(at, what);
                    Action::None
                }
            },
        }
    }

    fn paste(&mut self, text: &str) {
        self.form.paste(text);
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.form.draw(context, frame, screen);
    }
}
