//! All that an engine says about one thing, to read: its JSON, laid out. Chapters use it.

use super::act::Target;
use crate::action::{Action, PATIENCE, reason};
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::theme::Role;
use cmdr_protocol::display::clean;
use cmdr_protocol::images::Inspected;
use cmdr_protocol::{Call, HostId};

/// Asks for it and shows it; `command` is the `cmdr` command with places for host and name.
pub(super) fn inspect<C: Call<Reply = Inspected>>(
    context: &Context<'_>,
    target: Option<&Target>,
    command: &str,
    make: impl FnOnce(&Target) -> C,
) -> Action {
    let Some(target) = target else { return Action::None };
    let on = context.store.hosts.name(target.host);
    let command = command.replacen("{}", &quoted(&on), 1).replacen("{}", &quoted(&target.name), 1);
    let title = clean(&target.name).into_owned();
    let call = make(target);
    Action::fetch(Some(target.host), call, PATIENCE, move |answer| match answer {
        Ok(told) => {
            let text = laid_out(&told.json);
            let pager = Pager::new(title, lines(&text)).with_wrap();
            let pager = pager.copying(text).copying_command(command);
            (None, Action::Open(Box::new(pager)))
        }
        Err(error) => (None, Action::Complain(format!("{title}: {}", reason(&error)))),
    })
}

/// JSON as people read it; as it is when it is none.
pub(super) fn laid_out(json: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(json);
    value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| json.to_owned())
}

/// Its lines, names and values told apart.
pub(super) fn lines(text: &str) -> Vec<Vec<Piece>> {
    text.lines().map(line).collect()
}

fn line(text: &str) -> Vec<Piece> {
    let text = clean(text).into_owned();
    match text.split_once("\": ") {
        Some((name, value)) if name.trim_start().starts_with('"') => {
            vec![(Role::Soft, format!("{name}\": ")), (Role::Text, value.to_owned())]
        }
        _ => vec![(Role::Text, text)],
    }
}

/// Asks a host for something, and makes of the answer what is to be done; why it could not answer is said.
pub(super) fn ask<C: Call>(
    host: Option<HostId>,
    what: String,
    call: C,
    patience: std::time::Duration,
    then: impl FnOnce(C::Reply) -> Action + Send + 'static,
) -> Action {
    Action::fetch(host, call, patience, move |answer| match answer {
        Ok(reply) => (None, then(reply)),
        Err(error) => (None, Action::Complain(format!("{what}: {}", reason(&error)))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thing_says_of_itself_is_laid_out_and_harms_no_screen() {
        let text = laid_out("{\"Id\":\"a\\u001b]0;x\\u0007\",\"Size\":1}");
        assert_eq!(text.lines().count(), 4);
        let shown: String = lines(&text).into_iter().flatten().map(|(_, text)| text).collect();
        assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
        assert_eq!(laid_out("no JSON"), "no JSON");
    }
}
