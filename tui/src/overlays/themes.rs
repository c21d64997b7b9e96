//! Theme choice: moving shows each theme at once, Enter keeps it, Esc goes back.

use super::menu::Menu;
use crate::action::Action;
use crate::panes::Context;
use crate::theme::{AUTO, THEMES};

/// The list of themes.
pub fn choice(context: &Context<'_>) -> Menu {
    let names: Vec<&str> = THEMES.iter().map(|(name, _)| *name).chain([AUTO]).collect();
    let note = |name| if name == AUTO { context.texts.get("themes.auto") } else { "" };
    let items = names.iter().map(|name| ((*name).to_owned(), note(*name).to_owned())).collect();
    let now = context.theme.name.clone();
    let at = names.iter().position(|name| *name == now).unwrap_or(0);
    let use_it = move |at: usize, keep: bool| {
        names.get(at).map_or(Action::None, |name| Action::Theme((*name).to_owned(), keep))
    };
    let seen = use_it.clone();
    Menu::new(context.texts.get("themes.title").to_owned(), items, at, move |at| use_it(at, true))
        .previewing(move |at| seen(at, false), move || Action::Theme(now.clone(), false))
}
