//! The kept views of a table: recall one, keep the present one, forget one.

use super::menu::Menu;
use super::prompt::Prompt;
use crate::action::{Action, Remember};
use crate::keymap::{self, label, no_key};
use crate::panes::Context;
use crate::view::View;

/// The list for a table that looks like `now`.
pub fn choice(context: &Context<'_>, now: &View, views: &[View]) -> Menu {
    let texts = context.texts;
    let own: Vec<View> = views.iter().filter(|view| view.table == now.table).cloned().collect();
    let mut items: Vec<(String, String)> =
        own.iter().map(|view| (view.name.clone(), summary(view))).collect();
    items.push((texts.get("views.keep").to_owned(), String::new()));
    let removals =
        own.iter().map(|view| (texts.fill("views.forget", &[&view.name]), String::new()));
    items.extend(removals);
    let title = texts.get("views.title").to_owned();
    let (ask, empty) = (texts.get("views.keep_title").to_owned(), texts.get("views.empty"));
    let now = now.clone();
    Menu::new(title, items, 0, move |at| {
        if let Some(view) = own.get(at) {
            return Action::Look(view.clone());
        }
        match (at - own.len()).checked_sub(1).map(|gone| own.get(gone)) {
            None => Action::Open(Box::new(keep(ask.clone(), empty, now.clone()))),
            Some(Some(view)) => Action::Remember(Remember::Forget(view.clone())),
            Some(None) => Action::None,
        }
    })
}

/// Asks for the name to keep a view by.
fn keep(title: String, empty: &'static str, view: View) -> Prompt {
    Prompt::new(title, String::new(), "views.keep_hint", move |text| {
        let (name, key) = match text.trim().rsplit_once(" key ") {
            Some((name, key)) => (name.trim(), Some(key.trim().to_owned())),
            None => (text.trim(), None),
        };
        if name.is_empty() {
            return Err(empty.to_owned());
        }
        if let Some(wrong) = key.as_deref().filter(|key| keymap::parse(key).is_none()) {
            return Err(no_key(wrong));
        }
        let view = View { name: name.to_owned(), key, ..view.clone() };
        Ok(Action::Remember(Remember::View(view)))
    })
}

/// What a view shows, in a few words; its key first.
pub fn summary(view: &View) -> String {
    let mut words: Vec<String> = view.key.iter().map(|key| label(key)).collect();
    if !view.filter.is_empty() {
        words.push(format!("/{}", view.filter));
    }
    if !view.sort.is_empty() {
        words.push(format!("{}{}", view.sort, if view.reverse { "↕" } else { "" }));
    }
    if !view.columns.is_empty() {
        words.push(view.columns.join(" "));
    }
    cmdr_protocol::display::clean_to_width(&words.join("  "), 40)
}
