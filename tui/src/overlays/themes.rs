//! Theme choice: moving shows each theme at once, Enter keeps it, Esc goes back.

use super::menu::Menu;
use crate::action::Action;
use crate::panes::Context;
use crate::theme::THEMES;

/// The list of themes.
pub fn choice(context: &Context<'_>) -> Menu {
    let items = THEMES.iter().map(|(name, _)| ((*name).to_owned(), String::new())).collect();
    let now = context.theme.name.clone();
    let at = THEMES.iter().position(|(name, _)| *name == now).unwrap_or(0);
    let use_it = |at: usize, keep: bool| {
        THEMES.get(at).map_or(Action::None, |(name, _)| Action::Theme((*name).to_owned(), keep))
    };
    Menu::new(context.texts.get("themes.title").to_owned(), items, at, move |at| use_it(at, true))
        .previewing(move |at| use_it(at, false), move || Action::Theme(now.clone(), false))
}
