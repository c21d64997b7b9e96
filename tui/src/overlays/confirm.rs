//! Asks before something that harms: one key for one thing, the count typed for many.

use super::{Overlay, leaves, rows};
use crate::action::Action;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// How many names are listed before the rest is counted.
const LISTED: usize = 8;

/// The question.
pub struct Confirm {
    title: String,
    names: Vec<String>,
    /// How many there are, when not all are listed.
    count: usize,
    /// Typed so far, when the count must be.
    typed: Option<Input>,
    /// What has to be typed instead of the count.
    word: Option<String>,
    act: Option<Action>,
    /// The `cmdr` command that does the same.
    command: Option<String>,
}

impl Confirm {
    /// For one thing: `y` does it.
    pub fn one(title: String, act: Action) -> Self {
        Self {
            title,
            names: Vec::new(),
            count: 1,
            typed: None,
            word: None,
            act: Some(act),
            command: None,
        }
    }

    /// For many: they are listed, and their count has to be typed.
    pub fn many(title: String, names: Vec<String>, act: Action) -> Self {
        let (count, typed) = (names.len(), Some(Input::default()));
        Self { title, names, count, typed, word: None, act: Some(act), command: None }
    }

    /// For what may shut out whoever does it: the lines are shown, and the word has to be typed.
    pub fn word(title: String, lines: Vec<String>, word: String, act: Action) -> Self {
        Self { word: Some(word), ..Self::many(title, lines, act) }
    }

    /// Of more than are listed.
    #[must_use]
    pub fn counting(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// With more to read before deciding.
    #[must_use]
    pub fn about(mut self, lines: Vec<String>) -> Self {
        self.names = lines;
        self
    }

    /// With the `cmdr` command that does the same, for `Y`.
    #[must_use]
    pub fn copying(mut self, command: String) -> Self {
        self.command = Some(command);
        self
    }

    fn agreed(&mut self) -> Action {
        Action::CloseAnd(Box::new(self.act.take().unwrap_or_default()))
    }
}

impl Overlay for Confirm {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) {
            return Action::Close;
        }
        if let (KeyCode::Char('Y'), Some(command), None) = (key.code, &self.command, &self.word) {
            return Action::Copy(command.clone());
        }
        let wanted = self.word.clone().unwrap_or_else(|| self.count.to_string());
        match &mut self.typed {
            None => match key.code {
                KeyCode::Char('y') => self.agreed(),
                KeyCode::Char('n' | 'N' | 'q') => Action::Close,
                _ => Action::None,
            },
            Some(input) => {
                if key.code == KeyCode::Enter {
                    if input.text().trim() == wanted {
                        return self.agreed();
                    }
                } else {
                    input.key(key);
                }
                Action::None
            }
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let room = usize::from(screen.width.saturating_sub(6)).min(84);
        let mut lines: Vec<String> = match &self.typed {
            // Whoever decides about one thing sees all that is told of it.
            None => self.names.iter().flat_map(|line| rows(line, room)).collect(),
            Some(_) if self.word.is_some() => {
                self.names.iter().flat_map(|line| rows(line, room)).collect()
            }
            Some(_) => self.names.iter().take(LISTED).cloned().collect(),
        };
        if self.typed.is_some() && self.word.is_none() && self.count > LISTED {
            lines.push(texts.fill("confirm.more", &[&(self.count - LISTED).to_string()]));
        }
        let ask = match &self.typed {
            None if self.command.is_some() => texts.get("confirm.one_copy").to_owned(),
            None => texts.get("confirm.one").to_owned(),
            Some(_) => match &self.word {
                Some(word) => texts.fill("confirm.word", &[word]),
                None => texts.fill("confirm.many", &[&self.count.to_string()]),
            },
        };
        let widest = lines.iter().chain([&self.title, &ask]).map(|l| l.width()).max();
        let width = (widest.unwrap_or(0) as u16 + 12).clamp(40, 90);
        // A question that the border has no room for is asked inside: its end must not be missed.
        let within = usize::from(width.min(screen.width.saturating_sub(2)));
        let fits = self.title.width() + 4 <= within;
        let question = if fits { Vec::new() } else { rows(&self.title, within.saturating_sub(4)) };
        let height = (question.len() + lines.len()) as u16 + 3 + u16::from(!lines.is_empty());
        let title = if fits { format!(" {} ", self.title) } else { String::new() };
        let title = Line::styled(title, theme.style(Role::Danger));
        let size = (width, height);
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, true, theme, glyphs);
        let question = question.into_iter().map(|row| (Role::Danger, row));
        let lines = question.chain(lines.into_iter().map(|line| (Role::Strong, line)));
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let room = inner.top()..inner.bottom().saturating_sub(1);
        for (y, (role, line)) in room.zip(lines) {
            let line = Line::styled(line, theme.style(role));
            table::put(frame.buffer_mut(), x, y, width, &line, false);
        }
        let y = inner.bottom().saturating_sub(1);
        let mut spans = vec![Span::styled(ask.clone(), theme.style(Role::Soft))];
        if let Some(input) = &self.typed {
            let (text, caret) = input.view(if self.word.is_some() { 24 } else { 12 });
            spans.push(Span::raw(" "));
            spans.push(Span::styled(text, theme.style(Role::Input)));
            frame.set_cursor_position((x + ask.width() as u16 + 1 + caret, y));
        }
        table::put(frame.buffer_mut(), x, y, width, &Line::from(spans), false);
    }
}
