//! What is done with a rule: read, write, try, switch off and on, delete; and the policies by which alerts are told.

use super::{form, tried};
use crate::action::{Action, Make, PATIENCE, reason};
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::panes::write::{Subject, WritePane, versions};
use crate::store::alerts::lists::{RULES, stale, standing};
use crate::store::alerts::severity;
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::CallError;
use cmdr_protocol::alerts::Policies;
use cmdr_protocol::display::clean;
use cmdr_protocol::rules::{Delete, Rule, Show, Shown, Switch};
use cmdr_protocol::runbooks::check_name;

/// What is wanted of a rule's text, once it came.
enum Wanted {
    Text,
    Write,
    Try,
}

struct Came(Wanted, Result<Shown, CallError>);

fn with(name: &str, wanted: Wanted) -> Action {
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, |shown| (None, Action::Make(Box::new(Came(wanted, shown)))))
}

/// A text in YAML, to read.
pub(super) fn yaml(text: &str) -> impl Iterator<Item = Vec<Piece>> {
    text.lines().map(|line| {
        let line = clean(&line.replace('\t', "    ")).into_owned();
        let role = if line.trim_start().starts_with('#') { Role::Soft } else { Role::Text };
        vec![(role, line)]
    })
}

/// Shows a rule.
pub(super) fn open(name: &str) -> Action {
    with(name, Wanted::Text)
}

/// Asks over which time a rule that is kept is tried.
pub(super) fn attempt(name: &str) -> Action {
    with(name, Wanted::Try)
}

/// Writes its text: what was written and not saved, else what the hub has.
pub(super) fn write(context: &Context<'_>, name: &str) -> Action {
    let subject = Subject::Rule(name.to_owned());
    match context.store.written.drafts.get(&subject.number()) {
        Some(draft) => WritePane::go_on(subject, draft.clone()),
        None => with(name, Wanted::Write),
    }
}

impl Make for Came {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        match (self.0, self.1) {
            (_, Err(error)) => Action::Complain(reason(&error)),
            (Wanted::Text, Ok(shown)) => pager(context, &shown),
            (Wanted::Try, Ok(shown)) => tried::ask(context, &shown.text),
            (Wanted::Write, Ok(shown)) => {
                let (subject, version) = (Subject::Rule(shown.rule.name), shown.rule.version);
                WritePane::enter(subject, shown.text, version, shown.problems)
            }
        }
    }
}

fn pager(context: &Context<'_>, shown: &Shown) -> Action {
    let Context { texts, store, .. } = *context;
    let rule = &shown.rule;
    let (_, word, role) = standing(rule);
    let (worst, colour) = severity(rule.severity);
    let counts = texts.fill(
        "rules.counts",
        &[&rule.firing.to_string(), &rule.pending.to_string(), &rule.matched.to_string()],
    );
    let mut lines = vec![vec![
        (role, format!("{}  ", texts.get(word))),
        (colour, format!("{}  ", texts.get(worst))),
        (Role::Text, counts),
    ]];
    let by = match rule.saved_by.as_str() {
        "" => texts.get("rules.from.product").to_owned(),
        by => clean(by).into_owned(),
    };
    let when = format::moment(rule.saved_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
    let version = rule.version.to_string();
    lines.push(vec![(Role::Soft, texts.fill("rules.saved_at", &[&version, &when, &by]))]);
    if !rule.problem.is_empty() {
        lines.push(vec![(Role::Bad, clean(&rule.problem).into_owned())]);
    }
    for problem in &shown.problems {
        lines.push(vec![(Role::Bad, clean(&problem.to_string()).into_owned())]);
    }
    lines.push(Vec::new());
    lines.extend(yaml(&shown.text));
    let name = quoted(&rule.name);
    let subject = Subject::Rule(rule.name.clone());
    let mut pager = Pager::new(clean(&rule.name).into_owned(), lines)
        .with_wrap()
        .copying(shown.text.clone())
        .copying_command(format!("cmdr rules show {name}"));
    let may = |verb| store.offer(verb, true, &[]) != Offer::No;
    if may(subject.save_verb()) {
        pager = pager.with_key('e', texts.get("rules.key.write"), write(context, &rule.name));
        pager = pager.with_key('F', texts.get("rules.key.form"), form_of(&rule.name));
    }
    pager = pager.with_key('t', texts.get("rules.key.try"), tried::ask(context, &shown.text));
    let all = versions(context, subject);
    Action::Open(Box::new(pager.with_key('u', texts.get("rules.key.versions"), all)))
}

/// Writes a rule, beginning with the form.
fn form_of(name: &str) -> Action {
    struct Both(Result<Shown, CallError>);
    impl Make for Both {
        fn make(self: Box<Self>, context: &Context<'_>) -> Action {
            match self.0 {
                Err(error) => Action::Complain(reason(&error)),
                Ok(shown) => {
                    let name = shown.rule.name.clone();
                    let subject = Subject::Rule(name.clone());
                    let drafts = &context.store.written.drafts;
                    let text = drafts.get(&subject.number()).map_or(&shown.text, |d| &d.text);
                    let form = form::open(context, text);
                    let came = Box::new(Came(Wanted::Write, Ok(shown)));
                    let write = match drafts.get(&subject.number()) {
                        Some(draft) => WritePane::go_on(subject, draft.clone()),
                        None => came.make(context),
                    };
                    Action::All(vec![write, form])
                }
            }
        }
    }
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, |shown| (None, Action::Make(Box::new(Both(shown)))))
}

/// Asks for the name of a new rule, and writes it.
pub(super) fn new(context: &Context<'_>) -> Action {
    let texts = context.texts;
    let rules = context.store.alerts.lists.rules.values();
    let known: Vec<String> = rules.map(|rule| rule.name.clone()).collect();
    let drafts = context.store.written.drafts.clone();
    let (wrong, there) = (texts.get("configs.new.wrong"), texts.get("rules.new.there"));
    let title = texts.get("rules.new.title").to_owned();
    let prompt = Prompt::new(title, String::new(), "configs.new.hint", move |name| {
        let name = name.trim();
        if check_name(name).is_err() {
            return Err(wrong.to_owned());
        }
        if known.iter().any(|known| known == name) {
            return Err(there.to_owned());
        }
        let subject = Subject::Rule(name.to_owned());
        let draft = drafts.get(&subject.number()).cloned().unwrap_or_else(|| subject.blank());
        Ok(WritePane::go_on(subject, draft))
    });
    Action::Open(Box::new(prompt))
}

/// Switches a rule off, after a question where alerts of it end by that; or on.
pub(super) fn switch(context: &Context<'_>, rule: &Rule) -> Action {
    let texts = context.texts;
    let shown = clean(&rule.name).into_owned();
    let off = !rule.off;
    let keys =
        if off { ["rules.off.what", "rules.off.done"] } else { ["rules.on.what", "rules.on.done"] };
    let what = texts.fill(keys[0], &[&shown]);
    let done = texts.fill(keys[1], &[&shown]);
    let call = Action::call(what, None, Switch { name: rule.name.clone(), off }, move |_| {
        (Some(stale(RULES)), Action::Say(done))
    });
    if !off {
        return call;
    }
    let alerts = (rule.firing + rule.pending).to_string();
    let lines = vec![texts.fill("rules.off.about", &[&alerts])];
    let name = quoted(&rule.name);
    let command = format!("cmdr rules off {name}");
    let title = texts.fill("rules.off.title", &[&shown]);
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

/// Deletes a rule, after a question.
pub(super) fn delete(context: &Context<'_>, rule: &Rule) -> Action {
    let texts = context.texts;
    let shown = clean(&rule.name).into_owned();
    let what = texts.fill("rules.delete.what", &[&shown]);
    let done = texts.fill("rules.delete.done", &[&shown]);
    let call = Action::call(what, None, Delete { name: rule.name.clone() }, move |_| {
        (Some(stale(RULES)), Action::Say(done))
    });
    let alerts = (rule.firing + rule.pending).to_string();
    let lines = vec![texts.fill("rules.off.about", &[&alerts])];
    let name = quoted(&rule.name);
    let command = format!("cmdr rules rm {name} --yes");
    let title = texts.fill("rules.delete.title", &[&shown]);
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

/// Writes the policies: what was written and not saved, else what the hub goes by.
pub(super) fn policies(context: &Context<'_>) -> Action {
    let subject = Subject::Policies;
    if let Some(draft) = context.store.written.drafts.get(&subject.number()) {
        return WritePane::go_on(subject, draft.clone());
    }
    Action::fetch(None, Policies {}, PATIENCE, |policies| match policies {
        Err(error) => (None, Action::Complain(reason(&error))),
        Ok(told) => {
            (None, WritePane::enter(Subject::Policies, told.text, told.version, told.problems))
        }
    })
}
