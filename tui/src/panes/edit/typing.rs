//! Keys that are typed; what is looked for and replaced.

use super::EditPane;
use crate::action::Action;
use crate::panes::Context;
use crossterm::event::KeyEvent;

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

    pub(super) fn type_key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.text.key(key) {
            Some(true) => self.typed(context),
            Some(false) => Action::None,
            None => Action::Pass,
        }
    }
}
