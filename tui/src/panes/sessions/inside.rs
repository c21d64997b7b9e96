//! Sessions in containers: how one is asked for, from the list of containers, and asked about when it could not be.

use super::{INSIDE, words};
use crate::action::Action;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::panes::hosts::quoted;
use crate::panes::{Context, Place, SHELL};
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::inside::{Open, check_user};

const COMMAND: usize = 0;
const USER: usize = 1;
const FOLDER: usize = 2;

/// Goes to the sessions of the host and begins this one there.
pub(in crate::panes) fn begin(host: HostId, open: &Open) -> Action {
    let give = Action::Give(INSIDE, written(open));
    Action::All(vec![Action::Go(Place::Host(host, SHELL)), give])
}

/// What the pane is told so that it begins it.
pub(super) fn written(open: &Open) -> String {
    // Nothing in it cannot be written.
    serde_json::to_string(open).unwrap_or_default()
}

/// Reads that.
pub(super) fn read(text: &str) -> Option<Open> {
    serde_json::from_str(text).ok()
}

/// Asks which program, as whom and where; with why that was not to be, when it was tried.
pub(in crate::panes) fn ask(
    context: &Context<'_>,
    host: HostId,
    wanted: &Open,
    why: Option<String>,
) -> Action {
    let texts = context.texts;
    let command = wanted.argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let fields = vec![
        Field::new("shell.command", "inside.command_hint", command),
        Field::new("shell.user", "inside.user_hint", wanted.user.clone().unwrap_or_default()),
        Field::new("shell.folder", "inside.folder_hint", wanted.cwd.clone().unwrap_or_default()),
    ];
    let title = texts.fill("inside.title", &[&clean(&wanted.container)]);
    let mut form = Form::new(title, fields);
    form.about = why.into_iter().collect();
    let wanted = wanted.clone();
    let (quote, none) = (texts.get("shell.open_quote"), texts.get("inside.no_command"));
    Action::Open(Box::new(Fill::new(form, move |form| {
        let argv = words(form.text(COMMAND)).ok_or((COMMAND, quote.to_owned()))?;
        if argv.is_empty() {
            return Err((COMMAND, none.to_owned()));
        }
        let some = |at: usize| Some(form.text(at).to_owned()).filter(|text| !text.is_empty());
        let user = some(USER);
        if let Some(user) = &user {
            check_user(user).map_err(|why| (USER, why))?;
        }
        Ok(begin(host, &Open { argv, user, cwd: some(FOLDER), ..wanted.clone() }))
    })))
}
