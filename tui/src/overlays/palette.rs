//! Finds anything by a few letters: commands, hosts, rows of the pane.

use super::{Overlay, leaves, step};
use crate::action::Action;
use crate::panes::{Context, Entry};
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{format, frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

/// The palette.
pub struct Palette {
    entries: Vec<Entry>,
    input: Input,
    /// Indices into `entries`, best first.
    found: Vec<usize>,
    at: usize,
    offset: usize,
    area: Rect,
    matcher: Matcher,
}

impl Palette {
    /// Everything that can be found.
    pub fn new(entries: Vec<Entry>) -> Self {
        let found = (0..entries.len()).collect();
        let matcher = Matcher::new(Config::DEFAULT);
        let (input, area) = (Input::default(), Rect::default());
        Self { entries, input, found, at: 0, offset: 0, area, matcher }
    }

    fn search(&mut self) {
        let text = self.input.text();
        let pattern = Pattern::parse(text, CaseMatching::Smart, Normalization::Smart);
        let mut buffer = Vec::new();
        let mut scored: Vec<(u32, usize)> = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let haystack = Utf32Str::new(&entry.text, &mut buffer);
            if let Some(score) = pattern.score(haystack, &mut self.matcher) {
                scored.push((score, index));
            }
        }
        scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        self.found = scored.into_iter().map(|(_, index)| index).collect();
        self.at = 0;
    }

    fn choose(&self) -> Action {
        let entry = self.found.get(self.at).and_then(|index| self.entries.get(*index));
        match entry.map(|entry| entry.choice.clone()) {
            None => Action::None,
            Some(choice) => Action::CloseAnd(Box::new(choice.action())),
        }
    }

    fn move_to(&mut self, to: usize) {
        self.at = to.min(self.found.len().saturating_sub(1));
    }
}

impl Overlay for Palette {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) {
            return Action::Close;
        }
        if let Some(by) = step(key) {
            self.move_to(self.at.saturating_add_signed(by));
        } else if key.code == KeyCode::Enter {
            return self.choose();
        } else if key.code == KeyCode::Backspace && self.input.text().is_empty() {
            return Action::Close;
        } else if self.input.key(key) {
            self.search();
        }
        Action::None
    }

    fn paste(&mut self, text: &str) {
        self.input.insert(text);
        self.search();
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.move_to(self.at + 1),
            MouseEventKind::ScrollUp => self.move_to(self.at.saturating_sub(1)),
            MouseEventKind::Down(MouseButton::Left)
                if self.area.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let to = self.offset + usize::from(mouse.row - self.area.y);
                if to < self.found.len() {
                    self.at = to;
                    return self.choose();
                }
            }
            _ => {}
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let size = (72, 20.min(screen.height.saturating_sub(4)));
        let title =
            Line::styled(format!(" {} ", texts.get("palette.title")), theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        if inner.height < 3 {
            return;
        }
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        self.input.draw(frame, Rect { x, width, ..inner }, theme);
        let buffer = frame.buffer_mut();
        let of = format!(
            " {} ",
            texts.fill(
                "palette.of",
                &[&format::count(self.found.len()), &format::count(self.entries.len())],
            )
        );
        buffer.set_string(x, inner.bottom(), of, theme.style(Role::Soft));
        self.area = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
        let rows = usize::from(self.area.height);
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(rows));
        let pattern = Pattern::parse(self.input.text(), CaseMatching::Smart, Normalization::Smart);
        let shown = self.found.iter().enumerate().skip(self.offset);
        for (y, (row, index)) in (self.area.top()..self.area.bottom()).zip(shown) {
            let Some(entry) = self.entries.get(*index) else { continue };
            let mut hits = Vec::new();
            let mut chars = Vec::new();
            let haystack = Utf32Str::new(&entry.text, &mut chars);
            pattern.indices(haystack, &mut self.matcher, &mut hits);
            let kind = texts.get(entry.kind);
            let pad = 10usize.saturating_sub(unicode_width::UnicodeWidthStr::width(kind)).max(1);
            let mut spans =
                vec![Span::styled(kind, theme.style(Role::Soft)), Span::raw(" ".repeat(pad))];
            // Utf32Str counts graphemes, and so do we.
            let graphemes =
                unicode_segmentation::UnicodeSegmentation::graphemes(entry.text.as_str(), true);
            for (n, grapheme) in graphemes.enumerate() {
                let role = if hits.contains(&(n as u32)) { Role::Match } else { Role::Strong };
                spans.push(Span::styled(grapheme, theme.style(role)));
            }
            spans.push(Span::styled(format!("  {}", entry.note), theme.style(Role::Soft)));
            table::put(buffer, x, y, width, &Line::from(spans), false);
            if row == self.at {
                buffer.set_style(Rect { y, height: 1, ..inner }, theme.style(Role::Selected));
                buffer.set_string(inner.x, y, "▌", theme.style(Role::Accent));
            }
        }
    }
}
