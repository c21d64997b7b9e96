//! Does something to what is marked, on each one's own host: asks first, as much as the harm it can do deserves, and
//! says what came of it. Chapters use it for every act that is one call a row.

use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::Update;
use cmdr_protocol::display::clean;
use cmdr_protocol::{Call, HostId};
use std::collections::BTreeSet;
use std::time::Duration;

/// An engine takes its time for some acts; a stop waits for the program to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Something that is acted on.
pub(super) struct Target {
    /// Its host.
    pub(super) host: HostId,
    /// What the engine knows it by.
    pub(super) id: String,
    /// What people call it, as it came.
    pub(super) name: String,
}

/// What is done.
pub(super) struct Act {
    /// Key of the word for it: `stop`.
    pub(super) word: &'static str,
    /// The `cmdr` command that does it to one, with places for host and name.
    pub(super) command: &'static str,
    /// Key of what several of them are called: `{} containers`.
    pub(super) many: &'static str,
    /// More to read before deciding.
    pub(super) about: Vec<String>,
}

/// Asks, then makes the call of each. `said` makes of the answer what changes and what is said beside `done`.
pub(super) fn act<C: Call + Clone>(
    context: &Context<'_>,
    targets: &[Target],
    act: Act,
    make: impl Fn(&Target) -> C,
    said: impl Fn(C::Reply) -> (Option<Update>, Option<Action>) + Clone + Send + 'static,
) -> Action {
    let texts = context.texts;
    let Some(first) = targets.first() else { return Action::None };
    let word = texts.get(act.word);
    let done = texts.get("docker.done");
    let calls = targets.iter().map(|target| {
        let what = format!("{word} {}", clean(&target.name));
        let (told, said) = (done.replacen("{}", &what, 1), said.clone());
        Action::call_within(what, Some(target.host), make(target), PATIENCE, move |reply| {
            let (update, action) = said(reply);
            (update, action.unwrap_or(Action::Say(told)))
        })
    });
    let calls = Action::All(calls.collect());
    let hosts: BTreeSet<HostId> = targets.iter().map(|target| target.host).collect();
    let on = |host| context.store.hosts.name(host);
    let place = match hosts.len() {
        1 => on(first.host),
        many => texts.fill("processes.hosts", &[&many.to_string()]),
    };
    let of = match targets.len() {
        1 => clean(&first.name).into_owned(),
        many => texts.fill(act.many, &[&many.to_string()]),
    };
    let title = texts.fill("docker.ask", &[word, &of, &place]);
    let several = hosts.len() > 1;
    let line = |target: &Target| {
        let name = clean(&target.name).into_owned();
        if several { format!("{}  {name}", on(target.host)) } else { name }
    };
    let command = |target: &Target| {
        let (on, name) = (quoted(&on(target.host)), quoted(&target.name));
        act.command.replacen("{}", &on, 1).replacen("{}", &name, 1)
    };
    let command = targets.iter().map(command).collect::<Vec<_>>().join("; ");
    let confirm = match targets.len() {
        1 => Confirm::one(title, calls).about(act.about),
        count => {
            let lines = act.about.into_iter().chain(targets.iter().map(line)).collect();
            Confirm::many(title, lines, calls).counting(count)
        }
    };
    Action::Open(Box::new(confirm.copying(command)))
}
