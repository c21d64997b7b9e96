//! Into containers: sessions in them and at them, and the logs of any of them, over hosts.

use super::One;
use crate::action::Action;
use crate::panes::logs::LogsPane;
use crate::panes::sessions::inside;
use crate::panes::{Context, Place, TABS};
use cmdr_protocol::HostId;
use cmdr_protocol::containers::is_name;
use cmdr_protocol::inside::{CONTAINER, Open};

/// What is run in a container unless one says something else.
const SHELL: &str = "sh";

/// By what the engine is asked: by name, where it has one, because rights and records say names.
fn called(one: &One) -> String {
    if is_name(&one.name) { one.name.clone() } else { one.id.clone() }
}

/// A session in it, at once.
pub(super) fn exec(context: &Context<'_>, one: &One) -> Action {
    if !one.runs {
        return Action::Say(context.texts.get("containers.not_running").to_owned());
    }
    let open = Open { container: called(one), argv: vec![SHELL.to_owned()], ..Open::default() };
    inside::begin(one.host, &open)
}

/// The same, asking which program and as whom.
pub(super) fn exec_as(context: &Context<'_>, one: &One) -> Action {
    if !one.runs {
        return Action::Say(context.texts.get("containers.not_running").to_owned());
    }
    let open = Open { container: called(one), argv: vec![SHELL.to_owned()], ..Open::default() };
    inside::ask(context, one.host, &open, None)
}

/// At what it runs itself.
pub(super) fn attach(context: &Context<'_>, one: &One) -> Action {
    if !one.runs {
        return Action::Say(context.texts.get("containers.not_running").to_owned());
    }
    inside::begin(one.host, &Open { container: called(one), ..Open::default() })
}

/// Their logs, in the order of their times.
pub(super) fn logs(rows: &[One]) -> Action {
    let Some(first) = rows.first() else { return Action::None };
    let sources: Vec<(HostId, String)> =
        rows.iter().map(|one| (one.host, format!("{CONTAINER}{}", called(one)))).collect();
    let place = if rows.iter().all(|one| one.host == first.host) {
        let tab = TABS.iter().position(|tab| tab.title == "logs.title").unwrap_or(0);
        Place::Host(first.host, tab)
    } else {
        Place::Logs
    };
    Action::Enter(place, Box::new(LogsPane::reading_all(sources)))
}
