//! Variables of a host that are set and taken away: lines of its file, changed by the agent as edits.

use super::fetch;
use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::sheets::{Record, SheetKey, Value};
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::edits::{SaveEnd, Saving};
use cmdr_protocol::environment::{List, Set, Unset, Values};

/// The variable of a row, and its value if that is shown; none for a file that is only named.
fn variable(row: Option<&Record>) -> Option<(String, String)> {
    let [name, value, ..] = &row?.values[..] else { return None };
    let value = match value {
        Value::Text(text, _) => text.clone(),
        _ => String::new(),
    };
    Some((name.plain().to_owned(), value)).filter(|(name, _)| !name.is_empty())
}

/// Asks for `NAME=VALUE`, beginning with the variable of the row.
pub(super) fn set(
    context: &Context<'_>,
    host: HostId,
    key: SheetKey,
    row: Option<&Record>,
) -> Action {
    let texts = context.texts;
    let title = texts.fill("system.set.title", &[&context.store.hosts.name(host)]);
    let (bad, done) = (texts.get("system.set.bad"), texts.get("system.set.done"));
    let text = variable(row).map_or_else(String::new, |(name, value)| format!("{name}={value}"));
    Action::Open(Box::new(Prompt::new(title, text, "system.set.hint", move |text| {
        let (name, value) = text.trim().split_once('=').ok_or_else(|| bad.to_owned())?;
        let (name, value) = (name.trim().to_owned(), value.to_owned());
        let what = format!("{name}=");
        let said = done.replacen("{}", &clean(&name), 1);
        let call = Set { name, value, ..Set::default() };
        Ok(Action::call(what, Some(host), call, move |saving| {
            (None, told(host, key, said, &saving))
        }))
    })))
}

/// Shows what was struck out, after a question: others may see the screen.
pub(super) fn reveal(context: &Context<'_>, host: HostId, key: SheetKey) -> Action {
    let texts = context.texts;
    let title = texts.fill("system.reveal.ask", &[&context.store.hosts.name(host)]);
    let about = vec![texts.get("system.reveal.about").to_owned()];
    Action::Open(Box::new(Confirm::one(title, fetch(host, key, Values {})).about(about)))
}

/// Takes the variable of the row away, after a question.
pub(super) fn unset(
    context: &Context<'_>,
    host: HostId,
    key: SheetKey,
    row: Option<&Record>,
) -> Action {
    let Some((name, _)) = variable(row) else { return Action::None };
    let on = context.store.hosts.name(host);
    let title = context.texts.fill("system.unset.ask", &[&name, &on]);
    let said = context.texts.fill("system.unset.done", &[&name]);
    let command = format!("cmdr env {} unset {}", quoted(&on), quoted(&name));
    let call = Unset { name: name.clone(), ..Unset::default() };
    let act =
        Action::call(name, Some(host), call, move |saving| (None, told(host, key, said, &saving)));
    Action::Open(Box::new(Confirm::one(title, act).copying(command)))
}

/// Says how it ended, and asks for the list again.
fn told(host: HostId, key: SheetKey, said: String, saving: &Saving) -> Action {
    match saving.result.how {
        SaveEnd::Saved | SaveEnd::Same => {
            Action::All(vec![Action::Say(said), fetch(host, key, List {})])
        }
        how => {
            let problem = |p: &cmdr_protocol::edits::Problem| format!("{}: {}", p.line, p.what);
            let problems: Vec<String> = saving.problems.iter().map(problem).collect();
            let why = if problems.is_empty() { how.to_string() } else { problems.join("; ") };
            Action::Complain(clean(&why).into_owned())
        }
    }
}
