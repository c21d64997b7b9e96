//! Keys, pastes and the mouse where they go to a session as they are: all but a prefix, behind which one
//! key means a command.

use super::{App, Dirty, Wish};
use crate::action::Action;
use crate::keymap::{self, label};
use crate::panes::Raw;
use crate::widgets::terminal::Caret;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, MouseEvent};

impl App {
    /// Whether keys go to the pane as they are.
    pub(super) fn is_raw(&self) -> bool {
        self.overlays.is_empty() && self.pane.is_raw(&self.context())
    }

    /// The prefix, for people.
    pub(super) fn prefix(&self) -> String {
        label(&self.face.terminal.prefix)
    }

    pub(super) fn raw_key(&mut self, key: &KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        if self.note.take().is_some() {
            self.soil(Dirty::Quick);
        }
        let is_prefix = keymap::is(&self.face.terminal.prefix, key);
        if !self.prefixed && is_prefix {
            self.prefixed = true;
            self.soil(Dirty::Quick);
            return Action::None;
        }
        if !std::mem::take(&mut self.prefixed) || is_prefix {
            if is_prefix {
                self.soil(Dirty::Quick);
            }
            return self.give(&Raw::Key(key));
        }
        self.soil(Dirty::Quick);
        if key.code == KeyCode::Esc {
            return Action::None;
        }
        self.commanded(key)
    }

    fn give(&mut self, input: &Raw<'_>) -> Action {
        let context = self.face.context(&self.store);
        self.pane.raw(&context, input)
    }

    /// The mouse where the pane wants it as it is.
    pub(super) fn raw_mouse(&mut self, mouse: MouseEvent, double: bool) -> Option<Action> {
        if !self.is_raw() {
            return None;
        }
        match self.give(&Raw::Mouse(&mouse, double)) {
            Action::Pass => None,
            action => Some(action),
        }
    }

    pub(super) fn paste(&mut self, text: &str) {
        if let Some(overlay) = self.overlays.last_mut() {
            overlay.paste(text);
        } else if self.is_raw() {
            let action = self.give(&Raw::Paste(text));
            self.perform(action);
        } else if self.pane.is_writing() {
            let action = self.pane.paste(&self.face.context(&self.store), text);
            self.perform(action);
        } else if let Some(list) = self.pane.list_mut() {
            list.paste(text);
        }
    }

    pub(super) fn gazed(&mut self, on: bool) {
        if self.is_raw() {
            let action = self.give(&Raw::Focus(on));
            self.perform(action);
        }
    }

    /// What changed in the store is drawn without delay when it asks for that.
    pub(super) fn hurry(&mut self) {
        if std::mem::take(&mut self.store.hurried) {
            self.soil(Dirty::Quick);
        }
    }

    /// The cursor looks as the pane wants it.
    pub(super) fn shape_caret(&mut self) {
        let own = !self.overlays.is_empty();
        let caret = if own { Caret::Own } else { self.pane.caret(&self.context()) };
        if caret != self.caret {
            self.caret = caret;
            self.wishes.push(Wish::Caret(caret));
        }
    }
}
