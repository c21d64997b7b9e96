//! Keys that are text or moves in it; what is looked for and replaced.

use super::EditPane;
use crate::action::Action;
use crate::panes::Context;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui_textarea::{CursorMove, DataCursor};

impl EditPane {
    pub(super) fn sought(&self) -> String {
        self.text.area.search_pattern().map(|p| p.as_str().to_owned()).unwrap_or_default()
    }

    pub(super) fn find(&mut self, context: &Context<'_>, forward: bool) -> Action {
        let area = &mut self.text.area;
        if area.search_pattern().is_none() {
            return Action::Say(context.texts.get("edit.find.nothing").to_owned());
        }
        area.cancel_selection();
        let found = if forward { area.search_forward(false) } else { area.search_back(false) };
        if found {
            return Action::None;
        }
        Action::Say(context.texts.fill("edit.find.none", &[&self.sought()]))
    }

    pub(super) fn set_pattern(&mut self, text: &str) -> Result<(), String> {
        if text.len() > 500 {
            return Err("…".to_owned());
        }
        let any = if text.chars().any(char::is_uppercase) { "" } else { "(?i)" };
        let pattern = if text.is_empty() { String::new() } else { format!("{any}{text}") };
        self.text.area.set_search_pattern(pattern).map_err(|e| e.to_string())
    }

    pub(super) fn replace_all(&mut self, context: &Context<'_>, with: &str) -> Action {
        let Some(pattern) = self.text.area.search_pattern().cloned() else { return Action::None };
        let old = self.text.whole();
        let count = pattern.find_iter(&old).count();
        let new = pattern.replace_all(&old, with).into_owned();
        if new.len() > cmdr_protocol::edits::MOST {
            return Action::Complain(context.texts.get("edit.too_large").to_owned());
        }
        if count > 0 {
            self.text.replace(&new);
        }
        Action::Say(context.texts.fill("edit.replaced", &[&count.to_string()]))
    }

    /// A move of the cursor, with Shift as a selection.
    fn step(&mut self, to: CursorMove, shift: bool) {
        let area = &mut self.text.area;
        match (shift, area.is_selecting()) {
            (true, false) => area.start_selection(),
            (false, true) => area.cancel_selection(),
            _ => {}
        }
        area.move_cursor(to);
    }

    pub(super) fn type_key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        if key.modifiers.contains(KeyModifiers::ALT) {
            return Action::Pass;
        }
        let page = self.text.height().saturating_sub(1).max(1);
        let step = match (key.code, control) {
            (KeyCode::Left, false) => CursorMove::Back,
            (KeyCode::Right, false) => CursorMove::Forward,
            (KeyCode::Up, false) => CursorMove::Up,
            (KeyCode::Down, false) => CursorMove::Down,
            (KeyCode::Home, false) => CursorMove::Head,
            (KeyCode::End, false) => CursorMove::End,
            (KeyCode::Left, true) => CursorMove::WordBack,
            (KeyCode::Right, true) => CursorMove::WordForward,
            (KeyCode::Home, true) => CursorMove::Top,
            (KeyCode::End, true) => CursorMove::Bottom,
            (KeyCode::PageUp | KeyCode::PageDown, _) => {
                let to =
                    if key.code == KeyCode::PageUp { CursorMove::Up } else { CursorMove::Down };
                for _ in 0..page {
                    self.step(to, shift);
                }
                return Action::None;
            }
            (KeyCode::Char(c), false) => {
                self.text.area.insert_char(c);
                return self.typed(context);
            }
            (KeyCode::Enter, _) => {
                let DataCursor(row, column) = self.text.area.cursor();
                let line = &self.text.area.lines()[row];
                // As far in as the line before.
                let indent: String =
                    line.chars().take(column).take_while(|c| matches!(c, ' ' | '\t')).collect();
                self.text.area.insert_newline();
                self.text.area.insert_str(indent);
                return self.typed(context);
            }
            (KeyCode::Backspace, _) => {
                if control {
                    self.text.area.delete_word()
                } else {
                    self.text.area.delete_char()
                };
                return self.typed(context);
            }
            (KeyCode::Delete, _) => {
                self.text.area.delete_next_char();
                return self.typed(context);
            }
            (KeyCode::Tab, _) => {
                self.text.area.insert_tab();
                return self.typed(context);
            }
            _ => return Action::Pass,
        };
        self.step(step, shift);
        Action::None
    }
}
