//! A line of text being typed. The real cursor stands at the caret, where input methods need it.

use crate::theme::{Role, Theme};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::Rect;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};
use unicode_width::UnicodeWidthStr as _;

/// The longest text, in bytes: nobody types more, and a paste must not fill the memory.
const LONGEST: usize = 4096;

/// The text and where the caret is.
#[derive(Clone, Debug, Default)]
pub struct Input {
    text: String,
    /// In bytes, always between two graphemes.
    caret: usize,
}

impl Input {
    /// Starts with this text, the caret behind it.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { caret: text.len(), text }
    }

    /// What stands there.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same with a mark in place of each letter.
    #[must_use]
    pub fn masked(&self) -> Self {
        let marks = |text: &str| "•".repeat(text.graphemes(true).count());
        let before = marks(&self.text[..self.caret]);
        Self { caret: before.len(), text: before + &marks(&self.text[self.caret..]) }
    }

    /// Puts text in at the caret, without control characters.
    pub fn insert(&mut self, text: &str) {
        let text: String =
            text.chars().filter(|c| !cmdr_protocol::display::is_harmful(*c)).collect();
        if self.text.len() + text.len() <= LONGEST {
            self.text.insert_str(self.caret, &text);
            self.caret += text.len();
        }
    }

    /// Takes a key. False when it means nothing to a line of text.
    pub fn key(&mut self, key: &KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if control => self.caret = 0,
            KeyCode::Char('e') if control => self.caret = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.caret);
                self.caret = 0;
            }
            KeyCode::Char('k') if control => self.text.truncate(self.caret),
            KeyCode::Char('w') if control => {
                let kept = self.text[..self.caret].trim_end();
                let from = kept
                    .rfind(char::is_whitespace)
                    .map_or(0, |at| at + kept[at..].chars().next().map_or(1, char::len_utf8));
                self.text.drain(from..self.caret);
                self.caret = from;
            }
            KeyCode::Char(c) if !control && !key.modifiers.contains(KeyModifiers::ALT) => {
                self.insert(c.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Backspace => {
                let to = self.caret;
                self.left();
                self.text.drain(self.caret..to);
            }
            KeyCode::Delete => {
                let from = self.caret;
                self.right();
                self.text.drain(from..self.caret);
                self.caret = from;
            }
            KeyCode::Left => self.left(),
            KeyCode::Right => self.right(),
            KeyCode::Home => self.caret = 0,
            KeyCode::End => self.caret = self.text.len(),
            _ => return false,
        }
        true
    }

    fn left(&mut self) {
        let mut cursor = GraphemeCursor::new(self.caret, self.text.len(), true);
        self.caret = cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0);
    }

    fn right(&mut self) {
        let mut cursor = GraphemeCursor::new(self.caret, self.text.len(), true);
        let next = cursor.next_boundary(&self.text, 0).ok().flatten();
        self.caret = next.unwrap_or(self.text.len());
    }

    /// Draws it behind a mark at the beginning of an area, and puts the cursor there.
    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) {
        let caret = self.draw_still(frame, area, theme);
        frame.set_cursor_position((area.x + 2 + caret, area.y));
    }

    /// The same while something else has the keys; the caret's cell.
    pub fn draw_still(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) -> u16 {
        let (text, caret) = self.view(usize::from(area.width.saturating_sub(2)));
        let buffer = frame.buffer_mut();
        buffer.set_string(area.x, area.y, "› ", theme.style(Role::Key));
        buffer.set_string(area.x + 2, area.y, text, theme.style(Role::Input));
        caret
    }

    /// The part to show in `width` cells, and the caret's cell in it.
    pub fn view(&self, width: usize) -> (String, u16) {
        let room = width.saturating_sub(1);
        let mut before = &self.text[..self.caret];
        while before.width() > room {
            let first = before.graphemes(true).next().map_or(before.len(), str::len);
            before = &before[first..];
        }
        let caret = before.width();
        let mut shown = before.to_owned();
        let mut used = caret;
        for grapheme in self.text[self.caret..].graphemes(true) {
            used += grapheme.width();
            if used > width {
                break;
            }
            shown.push_str(grapheme);
        }
        (shown, caret as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, keys: &str) {
        for key in crate::keymap::parse_keys(keys).expect("keys") {
            input.key(&key);
        }
    }

    #[test]
    fn the_caret_moves_by_what_people_see_as_one_character() {
        let mut input = Input::default();
        input.insert("节点e\u{301}");
        press(&mut input, "<left><backspace>");
        assert_eq!(input.text(), "节e\u{301}");
        assert_eq!(input.view(10).1, 2);
    }

    #[test]
    fn words_and_ends_are_reached_as_in_a_shell() {
        let mut input = Input::new("role=web env=prod");
        press(&mut input, "C-wx");
        assert_eq!(input.text(), "role=web x");
        press(&mut input, "C-aC-k");
        assert_eq!(input.text(), "");
    }

    #[test]
    fn a_long_text_shows_the_part_around_the_caret() {
        let input = Input::new("0123456789");
        assert_eq!(input.view(5), ("6789".to_owned(), 4));
    }

    #[test]
    fn pasted_control_characters_do_not_get_in() {
        let mut input = Input::default();
        input.insert("a\u{1b}[31mb\n");
        assert_eq!(input.text(), "a[31mb");
    }
}
