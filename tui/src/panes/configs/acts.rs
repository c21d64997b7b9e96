//! What can be done to a group: push it, read and write its text, look at its versions, delete it.

use super::{COMPOSE, ConfigPane, PUSH, TEXT, VERSIONS, WRITE};
use crate::action::{Action, Make, PATIENCE};
use crate::keymap::Command;
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::Pager;
use crate::overlays::prompt::Prompt;
use crate::panes::compose::{self, ComposePane};
use crate::panes::hosts::quoted;
use crate::panes::write::{Subject, WritePane, versions};
use crate::panes::{Context, Place};
use crate::store::configs as store;
use crate::store::rights::Offer;
use crate::store::runs::Draft;
use crate::theme::Role;
use cmdr_protocol::configs::{Config, Delete, ORDER, Save, Show, Shown};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::check_name;
use cmdr_protocol::runs::{Order, Runbook, Start};
use cmdr_protocol::{Call as _, CallError, HostId};

/// Whether a command is about a group as a whole.
pub(in crate::panes) fn is_one(command: Command) -> bool {
    [PUSH, COMPOSE, TEXT, WRITE, VERSIONS].contains(&command)
}

/// Does it; `marked` are hosts that were chosen, none for all.
pub(in crate::panes) fn on(
    context: &Context<'_>,
    command: Command,
    name: &str,
    marked: &[HostId],
) -> Action {
    match command {
        PUSH | COMPOSE => push(context, name, marked, command == COMPOSE),
        TEXT => with(name, Wanted::Text),
        WRITE => write(context, name),
        VERSIONS => versions(context, Subject::Config(name.to_owned())),
        _ => Action::Pass,
    }
}

/// Goes to the page of a group.
pub(in crate::panes) fn open(name: &str) -> Action {
    let place = Place::Config(store::number(name));
    Action::Enter(place, Box::new(ConfigPane::of(name)))
}

/// Asks for a group with its text.
pub(super) fn fetch(name: &str) -> Action {
    let number = store::number(name);
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, move |shown| {
        (Some(store::came(number, shown)), Action::None)
    })
}

/// The run that puts a group's files on its hosts.
fn start(config: &Config, only: &[HostId]) -> Start {
    let name = format!("{ORDER}{}", config.name);
    let order = Order { runbook: Some(Runbook { name, ..Runbook::default() }), ..Order::default() };
    Start { hosts: config.hosts.clone(), only: only.to_vec(), order, ..Start::default() }
}

/// Shows what would go where, and begins it from there; or composes it.
fn push(context: &Context<'_>, name: &str, only: &[HostId], composed: bool) -> Action {
    let texts = context.texts;
    let Some(config) = context.store.configs.get(store::number(name)) else {
        return Action::Say(texts.get("sheet.loading").to_owned());
    };
    if config.hosts.is_empty() {
        return Action::Complain(texts.fill("configs.no_selector", &[&clean(name)]));
    }
    let start = start(config, only);
    if composed {
        let pane = ComposePane::of(Draft::of_run(&start));
        return Action::Enter(Place::Compose, Box::new(pane));
    }
    compose::plan_to_begin(start)
}

/// What is wanted of a group's text, once it came.
enum Wanted {
    Text,
    Write,
}

struct Came(Wanted, Result<Shown, CallError>);

fn with(name: &str, wanted: Wanted) -> Action {
    let number = store::number(name);
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, move |shown| {
        let then = Action::Make(Box::new(Came(wanted, shown.clone())));
        (Some(store::came(number, shown)), then)
    })
}

impl Make for Came {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        match (self.0, self.1) {
            (_, Err(error)) => Action::Complain(crate::action::reason(&error)),
            (Wanted::Text, Ok(shown)) => {
                Action::Open(Box::new(pager(context, &shown, &shown.config.name)))
            }
            (Wanted::Write, Ok(shown)) => {
                let subject = Subject::Config(shown.config.name);
                WritePane::enter(subject, shown.text, shown.config.version, shown.problems)
            }
        }
    }
}

/// A text of a group, to read.
pub(super) fn pager(context: &Context<'_>, shown: &Shown, title: &str) -> Pager {
    let texts = context.texts;
    let mut lines = Vec::new();
    for problem in &shown.problems {
        lines.push(vec![(Role::Bad, clean(&problem.to_string()).into_owned())]);
    }
    if !shown.problems.is_empty() {
        lines.push(Vec::new());
    }
    lines.extend(shown.text.lines().map(|line| {
        let line = clean(&line.replace('\t', "    ")).into_owned();
        let role = if line.trim_start().starts_with('#') { Role::Soft } else { Role::Text };
        vec![(role, line)]
    }));
    let name = shown.config.name.clone();
    let command = format!("cmdr config show {}", quoted(&name));
    let mut pager = Pager::new(clean(title).into_owned(), lines)
        .with_wrap()
        .copying(shown.text.clone())
        .copying_command(command);
    if may_save(context) {
        pager = pager.with_key('e', texts.get("configs.key.write"), write(context, &name));
    }
    pager
}

/// Whether groups may be saved.
pub(super) fn may_save(context: &Context<'_>) -> bool {
    context.store.offer(Save::METHOD, true, &[]) != Offer::No
}

/// Writes the text: what was written and not saved, else what the hub has.
fn write(context: &Context<'_>, name: &str) -> Action {
    let number = store::number(name);
    if let Some(draft) = context.store.written.drafts.get(&number) {
        return WritePane::go_on(Subject::Config(name.to_owned()), draft.clone());
    }
    with(name, Wanted::Write)
}

/// Asks for the name of a new group, and writes it.
pub(in crate::panes) fn new(context: &Context<'_>) -> Action {
    let texts = context.texts;
    let known: Vec<String> = context.store.configs.known.values().map(|c| c.name.clone()).collect();
    let drafts = context.store.written.drafts.clone();
    let (wrong, there) = (texts.get("configs.new.wrong"), texts.get("configs.new.there"));
    let title = texts.get("configs.new.title").to_owned();
    let prompt = Prompt::new(title, String::new(), "configs.new.hint", move |name| {
        let name = name.trim();
        if check_name(name).is_err() {
            return Err(wrong.to_owned());
        }
        if known.iter().any(|known| known == name) {
            return Err(there.to_owned());
        }
        let draft = drafts.get(&store::number(name)).cloned();
        let subject = Subject::Config(name.to_owned());
        let draft = draft.unwrap_or_else(|| subject.blank());
        Ok(WritePane::go_on(subject, draft))
    });
    Action::Open(Box::new(prompt))
}

/// Deletes a group, after a question.
pub(in crate::panes) fn delete(context: &Context<'_>, name: &str) -> Action {
    let texts = context.texts;
    let shown = clean(name).into_owned();
    let number = store::number(name);
    let done = texts.fill("configs.delete.done", &[&shown]);
    let what = texts.fill("configs.delete.what", &[&shown]);
    let call = Action::call(what, None, Delete { name: name.to_owned() }, move |_| {
        (Some(store::forget(number)), Action::Say(done))
    });
    let title = texts.fill("configs.delete.title", &[&shown]);
    let lines = vec![texts.get("configs.delete.hosts").to_owned()];
    let command = format!("cmdr config rm {}", quoted(name));
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_a_run_over_the_selector_of_the_group() {
        let config = Config { name: "web".into(), hosts: "role=web".into(), ..Config::default() };
        let host = HostId([7; 16]);
        let start = start(&config, &[host]);
        assert_eq!((start.hosts.as_str(), start.only.as_slice()), ("role=web", &[host][..]));
        assert_eq!(start.order.runbook.as_ref().map(|book| book.name.as_str()), Some("config.web"));
        assert!(start.order.check().is_ok());
    }
}
