//! What can be done to units. Those that others hang on are asked about by name.

use crate::action::{Action, reason};
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::Update;
use crate::store::services::put;
use crate::store::sheets::{Record, Target};
use crate::theme::Role;
use cmdr_protocol::display::clean;
use cmdr_protocol::services::{Done, Show};
use cmdr_protocol::{Call, HostId};
use std::time::Duration;

/// An act waits for its job; the host gives up a little earlier.
const PATIENCE: Duration = Duration::from_mins(2);

struct Wanted {
    host: HostId,
    on: String,
    unit: String,
    protected: String,
}

pub(super) fn act<C: Call<Reply = Done> + Clone>(
    context: &Context<'_>,
    rows: &[&Record],
    verb: &'static str,
    make: impl Fn(String) -> C,
) -> Action {
    let texts = context.texts;
    let wanted: Vec<Wanted> = rows
        .iter()
        .filter_map(|row| match &row.target {
            Target::Unit { name, protected, .. } => Some(Wanted {
                host: row.host,
                on: context.store.hosts.name(row.host),
                unit: name.clone(),
                protected: protected.clone(),
            }),
            _ => None,
        })
        .collect();
    let Some(first) = wanted.first() else { return Action::None };
    let (done, already) = (texts.get("services.done"), texts.get("services.already"));
    let failed = texts.get("services.ended");
    let word = texts.get(verb_word(verb));
    let calls = wanted.iter().map(|one| {
        let unit = clean(&one.unit).into_owned();
        let what = format!("{word} {unit}");
        let host = one.host;
        let said = what.clone();
        Action::call_within(what, Some(host), make(one.unit.clone()), PATIENCE, move |reply| {
            let action = told(&said, &unit, &reply, done, already, failed);
            (Some(Update::new(move |store| put(store, host, &reply.unit))), action)
        })
    });
    let act = Action::All(calls.collect());
    let lines: Vec<String> = wanted.iter().map(|one| clean(&one.unit).into_owned()).collect();
    let of = match wanted.len() {
        1 => lines[0].clone(),
        many => texts.fill("services.many", &[&many.to_string()]),
    };
    let title = texts.fill("services.ask", &[word, &of, &first.on]);
    let command = wanted
        .iter()
        .map(|one| format!("cmdr services {verb} {} {}", quoted(&one.on), quoted(&one.unit)))
        .collect::<Vec<_>>()
        .join("; ");
    let harms = ["stop", "restart", "disable", "mask"].contains(&verb);
    let hangs = wanted.iter().find(|one| harms && !one.protected.is_empty());
    let confirm = match hangs {
        Some(one) => {
            let unit = clean(&one.unit).into_owned();
            let mut lines = lines;
            lines.push(texts.fill("services.hangs", &[&one.protected, &unit]));
            Confirm::word(title, lines, unit, act)
        }
        None if wanted.len() == 1 => Confirm::one(title, act),
        None => Confirm::many(title, lines, act),
    };
    Action::Open(Box::new(confirm.copying(command)))
}

/// The key of the word for what is done.
fn verb_word(verb: &str) -> &'static str {
    match verb {
        "start" => "services.verb.start",
        "stop" => "services.verb.stop",
        "restart" => "services.verb.restart",
        "reload" => "services.verb.reload",
        "enable" => "services.verb.enable",
        "disable" => "services.verb.disable",
        "mask" => "services.verb.mask",
        "unmask" => "services.verb.unmask",
        _ => "services.verb.reset_failed",
    }
}

/// What came of it: a word when it worked, all that is known when not.
fn told(what: &str, unit: &str, reply: &Done, done: &str, already: &str, failed: &str) -> Action {
    let now = clean(&reply.unit.active).into_owned();
    if reply.already {
        return Action::Say(already.replacen("{}", what, 1));
    }
    if reply.is_ok() {
        return Action::Say(done.replacen("{}", what, 1).replacen("{}", &now, 1));
    }
    let head = failed.replacen("{}", what, 1).replacen("{}", &clean(&reply.result), 1);
    let mut lines: Vec<Vec<Piece>> = vec![vec![(Role::Bad, head.clone())], Vec::new()];
    lines.extend(reply.lines.iter().map(|line| vec![(Role::Text, clean(line).into_owned())]));
    let pager = Pager::new(unit.to_owned(), lines);
    Action::All(vec![Action::Complain(head), Action::Open(Box::new(pager))])
}

/// Fetches a unit's files and shows them.
pub(super) fn show(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some((host, Target::Unit { name, .. })) = row.map(|row| (row.host, &row.target)) else {
        return Action::None;
    };
    let (title, unit) = (clean(name).into_owned(), name.clone());
    let on = context.store.hosts.name(host);
    let command = format!("cmdr services show {} {}", quoted(&on), quoted(name));
    let none = context.texts.get("services.no_files");
    Action::fetch(Some(host), Show { unit }, PATIENCE, move |answer| {
        let shown = match answer {
            Ok(shown) => shown,
            Err(error) => {
                return (None, Action::Complain(format!("{title}: {}", reason(&error))));
            }
        };
        let unit = &shown.unit;
        let state = format!("{} ({})  {}", unit.active, unit.sub, unit.enabled);
        let mut lines: Vec<Vec<Piece>> = vec![
            vec![(Role::Strong, clean(&unit.description).into_owned())],
            vec![(Role::Text, clean(&state).into_owned())],
        ];
        if shown.files.is_empty() {
            lines.push(vec![(Role::Soft, none.to_owned())]);
        }
        for file in &shown.files {
            lines.push(Vec::new());
            lines.push(vec![(Role::Accent, clean(&file.path).into_owned())]);
            if !file.note.is_empty() {
                lines.push(vec![(Role::Warn, clean(&file.note).into_owned())]);
            }
            lines.extend(file.text.lines().map(line));
        }
        let pager = Pager::new(title, lines).copying_command(command);
        (None, Action::Open(Box::new(pager)))
    })
}

/// A line of a unit's file.
fn line(text: &str) -> Vec<Piece> {
    let text = clean(text).into_owned();
    if text.starts_with('[') {
        return vec![(Role::Title, text)];
    }
    if text.starts_with(['#', ';']) {
        return vec![(Role::Faint, text)];
    }
    match text.split_once('=') {
        Some((name, value)) => {
            vec![(Role::Soft, format!("{name}=")), (Role::Text, value.to_owned())]
        }
        None => vec![(Role::Text, text)],
    }
}
