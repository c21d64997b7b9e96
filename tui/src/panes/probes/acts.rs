//! What can be done to a probe: look at it, run it now, switch it, write it by a form or as text, delete it.

use super::detail;
use crate::action::{Action, Make, PATIENCE};
use crate::event::Event;
use crate::overlays::confirm::Confirm;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::overlays::pager::Pager;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::panes::write::keys::{set, value, yaml};
use crate::panes::write::{Subject, WritePane};
use crate::store::probes as store;
use crate::store::written::{Draft, drafted};
use crate::theme::Role;
use cmdr_protocol::display::clean;
use cmdr_protocol::human;
use cmdr_protocol::probes::{Delete, Row, Save, Show, Shown, Status, Tried, Try, check_name};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, ErrorKind};
use std::time::Duration;

/// The longest look, and more.
const LOOK: Duration = Duration::from_secs(90);

/// Asks for all about one, then does this.
pub(super) fn fetch(number: u64, name: &str, then: Action) -> Action {
    let status = Status { name: name.to_owned() };
    let fetch = Action::fetch(None, status, PATIENCE, move |answer| {
        (Some(store::stood(number, answer)), then)
    });
    Action::All(vec![Action::Apply(store::asking()), fetch])
}

struct Open(u64);

impl Make for Open {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        match detail::known(context, self.0) {
            Some(stands) => Action::Open(Box::new(detail::pager(context, stands))),
            None => match context.store.probes.stands(self.0) {
                Some(Err(error)) => Action::Complain(crate::action::reason(error)),
                _ => Action::None,
            },
        }
    }
}

/// Shows all about one.
pub(super) fn open(number: u64, name: &str) -> Action {
    fetch(number, name, Action::Make(Box::new(Open(number))))
}

struct Looked(String, Tried);

impl Make for Looked {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        Action::Open(Box::new(detail::tried(context, &self.0, &harmless(self.1).agents)))
    }
}

fn harmless(mut tried: Tried) -> Tried {
    for seen in &mut tried.agents {
        let measured = &mut seen.measured;
        for text in [&mut seen.name, &mut measured.why, &mut measured.address] {
            *text = clean(text).into_owned();
        }
    }
    tried
}

/// Lets every host that asks look once, now.
pub(super) fn run(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    let what = texts.fill("probes.run.what", &[&row.name]);
    let attempt = Try { name: row.name.clone(), ..Try::default() };
    let name = row.name.clone();
    let call = Action::call_within(what, None, attempt, LOOK, move |tried| {
        (None, Action::Make(Box::new(Looked(name, tried))))
    });
    Action::All(vec![Action::Say(texts.fill("probes.run.asked", &[&row.name])), call])
}

/// Deletes one, after a question.
pub(super) fn delete(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    let name = row.name.clone();
    let number = store::number(&name);
    let done = texts.fill("probes.delete.done", &[&name]);
    let what = texts.fill("probes.delete.what", &[&name]);
    let call = Action::call(what, None, Delete { name: name.clone() }, move |_| {
        let gone = Action::Apply(drafted(number, None));
        (Some(store::stale()), Action::All(vec![gone, Action::Say(done)]))
    });
    let title = texts.fill("probes.delete.title", &[&name]);
    let lines = vec![texts.get("probes.delete.about").to_owned()];
    let command = format!("cmdr probes rm {}", quoted(&name));
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

/// What is wanted of a probe's text.
#[derive(Clone, Copy)]
enum Wanted {
    Text,
    Write,
    Form,
    /// On when it was off, and the other way round.
    Switch,
}

struct Came(Wanted, Result<Shown, CallError>);

fn with(name: &str, wanted: Wanted) -> Action {
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, move |shown| {
        (None, Action::Make(Box::new(Came(wanted, shown))))
    })
}

impl Make for Came {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self(wanted, shown) = *self;
        let shown = match shown {
            Err(error) => return Action::Complain(crate::action::reason(&error)),
            Ok(shown) => shown,
        };
        match wanted {
            Wanted::Text => Action::Open(Box::new(pager(context, &shown))),
            // What was struck out would be saved so.
            _ if shown.struck => Action::Complain(context.texts.get("probes.struck").to_owned()),
            Wanted::Write => {
                let Shown { probe, text, problems, .. } = shown;
                WritePane::enter(Subject::Probe(probe.name), text, probe.version, problems)
            }
            Wanted::Form => edit(context, &shown),
            Wanted::Switch => {
                let off = if shown.probe.off { "" } else { "true" };
                let text = set(&shown.text, "off", off);
                let key = if shown.probe.off { "probes.is_on" } else { "probes.is_off" };
                let name = &shown.probe.name;
                let said = context.texts.fill(key, &[&clean(name)]);
                saving(name.clone(), draft_of(&shown, text), said)
            }
        }
    }
}

fn draft_of(shown: &Shown, text: String) -> Draft {
    Draft { text, base: shown.text.clone(), was: shown.probe.version }
}

/// A probe's text, to read.
fn pager(context: &Context<'_>, shown: &Shown) -> Pager {
    let mut lines = Vec::new();
    if shown.struck {
        lines.push(vec![(Role::Warn, context.texts.get("probes.is_struck").to_owned())]);
        lines.push(Vec::new());
    }
    for problem in &shown.problems {
        lines.push(vec![(Role::Bad, clean(&problem.to_string()).into_owned())]);
    }
    lines.extend(shown.text.lines().map(|line| {
        let line = clean(&line.replace('\t', "    ")).into_owned();
        let role = if line.trim_start().starts_with('#') { Role::Soft } else { Role::Text };
        vec![(role, line)]
    }));
    let name = clean(&shown.probe.name).into_owned();
    let command = format!("cmdr probes show {}", quoted(&name));
    Pager::new(name, lines).with_wrap().copying(shown.text.clone()).copying_command(command)
}

/// Shows the text.
pub(super) fn text(row: &Row) -> Action {
    with(&row.name, Wanted::Text)
}

/// What was written of it and not saved.
fn drafted_of<'a>(context: &Context<'a>, row: &Row) -> Option<&'a Draft> {
    context.store.written.drafts.get(&store::number(&row.name))
}

/// Writes the text: what was written and not saved, else what the hub has.
pub(super) fn write(context: &Context<'_>, row: &Row) -> Action {
    match drafted_of(context, row) {
        Some(draft) => WritePane::go_on(Subject::Probe(row.name.clone()), draft.clone()),
        None => with(&row.name, Wanted::Write),
    }
}

/// Changes the usual fields.
pub(super) fn form(context: &Context<'_>, row: &Row) -> Action {
    // What was written and not saved is not passed over.
    if drafted_of(context, row).is_some() {
        return write(context, row);
    }
    with(&row.name, Wanted::Form)
}

/// Switches it on or off.
pub(super) fn switch(context: &Context<'_>, row: &Row) -> Action {
    if drafted_of(context, row).is_some() {
        return Action::Complain(context.texts.fill("probes.has_draft", &[&row.name]));
    }
    with(&row.name, Wanted::Switch)
}

/// Saves a text; where that fails it is written on, so that nothing of it is lost.
fn saving(name: String, draft: Draft, said: String) -> Action {
    use cmdr_protocol::Call as _;
    Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            let text = draft.text.clone();
            let save = Save { name: name.clone(), text, note: String::new(), was: Some(draft.was) };
            match link.call(None, save.clone(), PATIENCE).await {
                Ok(_) => Event::Done(Some(store::stale()), Action::Say(said)),
                Err(error) if error.kind == ErrorKind::OnRequest => {
                    let refused = crate::action::Refused {
                        verb: Save::METHOD,
                        resource: save.resource(),
                        host: None,
                        what: name.clone(),
                        why: crate::action::reason(&error),
                        again: saving(name, draft, said),
                    };
                    Event::Done(None, Action::Refused(Box::new(refused)))
                }
                Err(error) => {
                    let why = format!("{}: {}", clean(&name), crate::action::reason(&error));
                    let go_on = WritePane::go_on(Subject::Probe(name), draft);
                    Event::Done(None, Action::All(vec![go_on, Action::Complain(why)]))
                }
            }
        })
    }))
}

/// The fields that a form has of any probe, with the key that each stands under.
const USUAL: [(&str, &str, &str); 7] = [
    ("description", "probes.form.description", "probes.form.description_hint"),
    ("every", "probes.form.every", "probes.form.every_hint"),
    ("timeout", "probes.form.timeout", "probes.form.timeout_hint"),
    ("from", "probes.form.from", "probes.form.from_hint"),
    ("at_least", "probes.form.at_least", "probes.form.at_least_hint"),
    ("quorum", "probes.form.quorum", "probes.form.quorum_hint"),
    ("retries", "probes.form.retries", "probes.form.retries_hint"),
];

fn usual_fields(text: &str) -> Vec<Field> {
    USUAL.iter().map(|(key, name, hint)| Field::new(name, hint, value(text, key))).collect()
}

/// Takes the usual fields of a form over into a text.
fn filled(
    form: &Form,
    first: usize,
    mut text: String,
    wrong: &dyn Fn(&str) -> String,
) -> Result<String, (usize, String)> {
    for (n, (key, ..)) in USUAL.iter().enumerate() {
        let (at, typed) = (first + n, form.text(first + n));
        if typed == value(&text, key) {
            continue;
        }
        let fine = match *key {
            _ if typed.is_empty() => Ok(()),
            "every" | "timeout" => human::duration(typed).map(drop),
            "from" => Selector::parse(typed).map(drop).map_err(|e| e.to_string()),
            "at_least" | "quorum" | "retries" => {
                typed.parse::<u32>().map(drop).map_err(|_| wrong("probes.form.number"))
            }
            _ => Ok(()),
        };
        fine.map_err(|why| (at, why))?;
        let number = ["at_least", "quorum", "retries"].contains(key);
        let written = if typed.is_empty() || number { typed.to_owned() } else { yaml(typed) };
        text = set(&text, key, &written);
    }
    Ok(text)
}

/// The form of a probe that there is.
fn edit(context: &Context<'_>, shown: &Shown) -> Action {
    let texts = context.texts.clone();
    let name = clean(&shown.probe.name).into_owned();
    let title = texts.fill("probes.form.title", &[&name]);
    let mut form = Form::new(title, usual_fields(&shown.text));
    form.about = vec![format!("{} {}", shown.probe.kind, clean(&shown.probe.target))];
    let said = texts.fill("probes.saved", &[&name]);
    let (shown, number) = (shown.clone(), texts.get("probes.form.number"));
    Action::Open(Box::new(Fill::new(form, move |form| {
        let text = filled(form, 0, shown.text.clone(), &|_| number.to_owned())?;
        Ok(saving(shown.probe.name.clone(), draft_of(&shown, text), said.clone()))
    })))
}

/// What is asked, as it stands in the text; else the key of what is wrong.
fn asked(what: &str) -> Result<String, &'static str> {
    let what = what.trim();
    if what.starts_with("http://") || what.starts_with("https://") {
        return Ok(format!("http:\n  url: {}", yaml(what)));
    }
    if what.starts_with('/') {
        let words = what.split_whitespace().map(yaml).collect::<Vec<_>>().join(", ");
        return Ok(format!("script:\n  command: [{words}]"));
    }
    let (kind, rest) = what.split_once(char::is_whitespace).unwrap_or(("tcp", what));
    let rest = rest.trim();
    let port = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| (yaml(host), port))
    };
    match kind {
        _ if rest.is_empty() => Err("probes.form.what_wrong"),
        "tcp" => {
            let (host, port) = port(rest).ok_or("probes.form.what_wrong")?;
            Ok(format!("tcp:\n  host: {host}\n  port: {port}"))
        }
        "tls" => {
            let (host, port) = port(rest).unwrap_or_else(|| (yaml(rest), 443));
            Ok(format!("tls:\n  host: {host}\n  port: {port}"))
        }
        "ping" | "icmp" => Ok(format!("icmp:\n  host: {}", yaml(rest))),
        "dns" => {
            let mut text = String::from("dns:");
            for (n, word) in rest.split_whitespace().enumerate() {
                let key = match (n, word.strip_prefix('@')) {
                    (0, _) => "name",
                    (_, Some(_)) => "server",
                    _ => "record",
                };
                for part in ["\n  ", key, ": ", &yaml(word.trim_start_matches('@'))] {
                    text.push_str(part);
                }
            }
            Ok(text)
        }
        _ => Err("probes.form.what_wrong"),
    }
}

/// The form of a new probe.
pub(super) fn new(context: &Context<'_>) -> Action {
    let texts = context.texts.clone();
    let usual = "every: 60s\n";
    let mut fields = vec![
        Field::new("probes.form.name", "probes.form.name_hint", String::new()),
        Field::new("probes.form.what", "probes.form.what_hint", String::new()),
    ];
    fields.extend(usual_fields(usual));
    let form = Form::new(texts.get("probes.form.new").to_owned(), fields);
    let known: Vec<String> = context.store.probes.rows.values().map(|r| r.name.clone()).collect();
    Action::Open(Box::new(Fill::new(form, move |form| {
        let name = form.text(0).to_owned();
        check_name(&name).map_err(|_| (0, texts.get("probes.form.name_wrong").to_owned()))?;
        if known.contains(&name) {
            return Err((0, texts.get("probes.form.there").to_owned()));
        }
        let asked = asked(form.text(1)).map_err(|key| (1, texts.get(key).to_owned()))?;
        let text = format!("name: {name}\n{asked}\n{usual}");
        let text = filled(form, 2, text, &|_| texts.get("probes.form.number").to_owned())?;
        let draft = Draft { text, ..Draft::default() };
        let said = texts.fill("probes.saved", &[&name]);
        Ok(saving(name, draft, said))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_as_people_write_it() {
        let all = [
            ("https://shop.example/x?a=1", "http:\n  url: \"https://shop.example/x?a=1\""),
            ("db1:5432", "tcp:\n  host: db1\n  port: 5432"),
            ("tcp [::1]:22", "tcp:\n  host: \"::1\"\n  port: 22"),
            ("ping 10.0.0.1", "icmp:\n  host: \"10.0.0.1\""),
            ("tls shop.example", "tls:\n  host: shop.example\n  port: 443"),
            (
                "dns shop.example MX @192.0.2.1",
                "dns:\n  name: shop.example\n  record: MX\n  server: \"192.0.2.1\"",
            ),
            ("/bin/check -w 5", "script:\n  command: [\"/bin/check\", \"-w\", \"5\"]"),
        ];
        for (typed, expected) in all {
            assert_eq!(asked(typed).as_deref(), Ok(expected), "{typed}");
        }
        for wrong in ["", "shop", "tcp shop", "gopher x", "db1:99999", "dns "] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
