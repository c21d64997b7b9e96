//! A form of the Docker page: several lines to fill in, looked at before anything is sent. What is wrong is said at the
//! line where it is.

use crate::action::Action;
use crate::overlays::Overlay;
use crate::overlays::form::{Ended, Form};
use crate::panes::Context;
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use std::collections::BTreeMap;

/// What a form comes to, or which line is wrong and why.
pub(super) type Filled = Result<Action, (usize, String)>;
type Check = Box<dyn Fn(&Context<'_>, &Form) -> Filled + Send>;

/// The form.
pub(super) struct Fill {
    form: Form,
    check: Check,
}

impl Fill {
    /// Opens it.
    pub(super) fn open(
        form: Form,
        check: impl Fn(&Context<'_>, &Form) -> Filled + Send + 'static,
    ) -> Action {
        Action::Open(Box::new(Self { form, check: Box::new(check) }))
    }
}

impl Overlay for Fill {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::Close,
            Ended::Sent => match (self.check)(context, &self.form) {
                Ok(action) => Action::CloseAnd(Box::new(action)),
                Err((at, error)) => {
                    self.form.complain(at, error);
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

/// Whether a line says yes.
pub(super) fn yes(form: &Form, at: usize) -> Result<bool, (usize, String)> {
    let text = form.text(at).to_lowercase();
    match text.as_str() {
        "" | "n" | "no" | "false" | "否" => Ok(false),
        "y" | "yes" | "true" | "是" => Ok(true),
        _ => Err((at, cmdr_protocol::display::clean(&text).into_owned() + "? y / n")),
    }
}

/// `KEY=VALUE` pairs, with commas between.
pub(super) fn pairs(
    context: &Context<'_>,
    form: &Form,
    at: usize,
) -> Result<BTreeMap<String, String>, (usize, String)> {
    let pairs = form.text(at).split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        None => Ok((pair.to_owned(), String::new())),
        _ => Err((at, context.texts.fill("docker.bad_pair", &[pair]))),
    };
    pairs.map(pair).collect()
}

/// The same as words of a command line, each behind this flag.
pub(super) fn flags(flag: &str, pairs: &BTreeMap<String, String>) -> String {
    let word = |(key, value): (&String, &String)| {
        format!(" {flag} {}", crate::panes::hosts::quoted(&format!("{key}={value}")))
    };
    pairs.iter().map(word).collect()
}
