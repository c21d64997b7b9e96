//! A short card at the very first start, and later a line when something could help that was not used
//! yet. Each comes once.

use super::App;
use crate::keymap::{Command, EVERYWHERE, LIST};
use crate::memory::Memory;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::collections::BTreeSet;
use unicode_width::UnicodeWidthStr as _;

/// Between two hints.
const PAUSE_MS: u64 = 60_000;
/// So many rows are worth a filter.
const MANY: usize = 40;
/// A screen this wide has room for two parts.
const WIDE: u16 = 150;

/// What was given.
#[derive(Default)]
pub(super) struct Hints {
    given: BTreeSet<String>,
    /// The card is shown.
    pub(super) card: bool,
    last_ms: u64,
    width: u16,
}

impl App {
    pub(super) fn begin_hints(&mut self, memory: &Memory) {
        self.hints.given.extend(memory.hints.iter().cloned());
        self.hints.card = self.options.hints && self.hints.given.insert("card".to_owned());
        self.hints.last_ms = (self.options.now_ms)();
    }

    pub(super) fn hints_given(&self) -> Vec<String> {
        self.hints.given.iter().cloned().collect()
    }

    /// Gives a hint when one could help, and nothing else is said.
    pub(super) fn hint(&mut self) {
        let idle = self.note.is_none() && self.overlays.is_empty() && !self.hints.card;
        let now_ms = (self.options.now_ms)();
        let rested = now_ms.saturating_sub(self.hints.last_ms) >= PAUSE_MS;
        if !self.options.hints || !idle || !rested || !self.store.is_up() || self.pane.is_typing() {
            return;
        }
        let Some((name, text, command)) = self.helpful() else { return };
        let key = self.face.keys.of(&[LIST, EVERYWHERE], command);
        self.hints.given.insert(name.to_owned());
        self.hints.last_ms = now_ms;
        self.say(&self.face.texts.fill(text, &[&key]), false);
    }

    fn helpful(&self) -> Option<(&'static str, &'static str, Command)> {
        let rows = self.pane.list().map_or(0, |(_, list)| list.rows());
        let slow = self.flow.as_ref().is_some_and(crate::terminal::flow::Flow::is_slow);
        let hints = [
            ("thin", "hint.thin", Command::Meter, slow && !self.options.thin),
            ("filter", "hint.filter", Command::Filter, rows >= MANY),
            ("find", "hint.find", Command::Find, self.history.len() >= 2),
            (
                "desks",
                "hint.desks",
                Command::Desks,
                self.hints.width >= WIDE && self.history.len() >= 3,
            ),
            ("print", "hint.print", Command::Print, rows >= 4 * MANY),
        ];
        let new = |name: &str| !self.hints.given.contains(name);
        let hit = hints.into_iter().find(|(name, _, _, helps)| *helps && new(name));
        hit.map(|(name, text, command, _)| (name, text, command))
    }

    /// The card, in a corner; the next key takes it away and does what it does.
    pub(super) fn draw_card(&mut self, frame: &mut Frame<'_>, screen: Rect) {
        self.hints.width = screen.width;
        if !self.hints.card || !self.overlays.is_empty() || self.store.hosts.me.is_none() {
            return;
        }
        let (texts, theme) = (&self.face.texts, &self.face.theme);
        let rows = [Command::Palette, Command::Help, Command::Filter].map(|command| {
            let key = self.face.keys.of(&[EVERYWHERE, LIST], command);
            let text = match command {
                Command::Palette => "hint.card.palette",
                Command::Help => "hint.card.help",
                _ => "hint.card.filter",
            };
            (key, texts.get(text))
        });
        let width = rows.iter().map(|(_, text)| text.width()).max().unwrap_or(0) as u16 + 10;
        let (width, height) = (width.min(screen.width), 5);
        let area = Rect {
            x: screen.right() - width,
            y: screen.bottom().saturating_sub(height + 3),
            width,
            height: height + 2,
        };
        let title =
            Line::styled(format!(" {} ", texts.get("hint.card.title")), theme.style(Role::Title));
        let size = (width - 2, height);
        let glyphs = self.face.glyphs;
        let inner = boxes::popup(frame.buffer_mut(), area, size, title, false, theme, glyphs);
        for (y, (key, text)) in (inner.top()..inner.bottom()).zip(rows) {
            let pad = " ".repeat(4usize.saturating_sub(key.width()));
            let line = Line::from(vec![
                Span::styled(format!("{key}{pad}"), theme.style(Role::Key)),
                Span::styled(text, theme.style(Role::Text)),
            ]);
            table::put(
                frame.buffer_mut(),
                inner.x + 1,
                y,
                inner.width.saturating_sub(1),
                &line,
                false,
            );
        }
    }
}
