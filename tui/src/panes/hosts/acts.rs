//! What can be done to hosts: rename, label, forget, approve, reject. Each asks first, as much as
//! the harm it can do deserves.

use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::hosts::{Approve, Forget, HostState, Label, Labels, Reject, Rename};

fn name_of(context: &Context<'_>, id: HostId) -> String {
    context.store.hosts.name(id)
}

/// Those targets whose state fits.
fn in_state(
    context: &Context<'_>,
    targets: &[HostId],
    fits: impl Fn(HostState) -> bool,
) -> Vec<HostId> {
    let state = |id: &HostId| context.store.hosts.get(*id).map(|row| row.host.state);
    targets.iter().copied().filter(|id| state(id).is_some_and(&fits)).collect()
}

pub(super) fn rename(context: &Context<'_>, target: Option<HostId>) -> Action {
    let Some(id) = target else { return Action::None };
    let old = name_of(context, id);
    let texts = context.texts;
    let title = texts.fill("hosts.rename.title", &[&old]);
    let (done, what) = (texts.get("hosts.rename.done"), texts.fill("hosts.rename.what", &[&old]));
    let empty = texts.get("hosts.rename.empty");
    Action::Open(Box::new(Prompt::new(title, old.clone(), "hosts.rename.hint", move |text| {
        let name = text.trim().to_owned();
        if name.is_empty() {
            return Err(empty.to_owned());
        }
        let said = done.replacen("{}", &old, 1).replacen("{}", &clean(&name), 1);
        Ok(Action::call(what.clone(), None, Rename { host: id, name }, |_| {
            (None, Action::Say(said))
        }))
    })))
}

/// Reads `k=v other- …`: labels to set and labels to remove.
fn parse_labels(text: &str) -> Result<(Labels, Vec<String>), String> {
    let (mut set, mut remove) = (Labels::new(), Vec::new());
    for word in text.split_whitespace() {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) if !key.is_empty() => {
                set.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) if !key.is_empty() => remove.push(key.to_owned()),
            _ => return Err(word.to_owned()),
        }
    }
    Ok((set, remove))
}

pub(super) fn label(context: &Context<'_>, targets: &[HostId]) -> Action {
    if targets.is_empty() {
        return Action::None;
    }
    let texts = context.texts;
    let names: Vec<(HostId, String)> =
        targets.iter().map(|id| (*id, name_of(context, *id))).collect();
    let of = match names.as_slice() {
        [(_, name)] => name.clone(),
        many => texts.fill("hosts.many", &[&many.len().to_string()]),
    };
    let title = texts.fill("hosts.label.title", &[&of]);
    let about = labelled(context, targets);
    let (bad, done) = (texts.get("hosts.label.bad"), texts.get("hosts.label.done"));
    let what = texts.get("hosts.label.what");
    let prompt = Prompt::new(title, String::new(), "hosts.label.hint", move |text| {
        let (set, remove) = parse_labels(text).map_err(|word| bad.replacen("{}", &word, 1))?;
        if set.is_empty() && remove.is_empty() {
            return Ok(Action::None);
        }
        let calls = names.iter().map(|(id, name)| {
            let call = Label { host: *id, set: set.clone(), remove: remove.clone() };
            let said = done.replacen("{}", name, 1);
            Action::call(what.replacen("{}", name, 1), None, call, |_| (None, Action::Say(said)))
        });
        Ok(Action::All(calls.collect()))
    });
    Action::Open(Box::new(prompt.about(about)))
}

/// The labels that all of these hosts have.
fn labelled(context: &Context<'_>, targets: &[HostId]) -> String {
    let hosts = targets.iter().filter_map(|id| context.store.hosts.get(*id));
    let mut all = hosts.map(|row| row.host.labels.clone());
    let mut common = all.next().unwrap_or_default();
    for labels in all {
        common.retain(|key, value| labels.get(key) == Some(value));
    }
    if common.is_empty() {
        let key = if targets.len() == 1 { "hosts.label.none" } else { "hosts.label.none_common" };
        return context.texts.get(key).to_owned();
    }
    let pairs = common.iter().map(|(key, value)| format!("{}={}", clean(key), clean(value)));
    let key = if targets.len() == 1 { "hosts.label.now" } else { "hosts.label.all" };
    context.texts.fill(key, &[&pairs.collect::<Vec<_>>().join(" ")])
}

/// Asks, then makes the same call for each target.
fn ask(
    context: &Context<'_>,
    targets: &[HostId],
    keys: [&'static str; 4],
    call: impl Fn(HostId, String, String) -> Action,
) -> Action {
    let [title_one, title_many, what, done] = keys;
    let texts = context.texts;
    let names: Vec<String> = targets.iter().map(|id| name_of(context, *id)).collect();
    let calls = targets
        .iter()
        .zip(&names)
        .map(|(id, name)| call(*id, texts.fill(what, &[name]), texts.fill(done, &[name])));
    let act = Action::All(calls.collect());
    match names.as_slice() {
        [] => Action::Say(texts.get("hosts.nothing_to_do").to_owned()),
        [name] => Action::Open(Box::new(Confirm::one(texts.fill(title_one, &[name]), act))),
        many => {
            let title = texts.fill(title_many, &[&many.len().to_string()]);
            Action::Open(Box::new(Confirm::many(title, names, act)))
        }
    }
}

pub(super) fn forget(context: &Context<'_>, targets: &[HostId]) -> Action {
    if targets.is_empty() {
        return Action::None;
    }
    let keys = ["hosts.forget.one", "hosts.forget.many", "hosts.forget.what", "hosts.forget.done"];
    ask(context, targets, keys, |host, what, done| {
        Action::call(what, None, Forget { host }, |_| (None, Action::Say(done)))
    })
}

pub(super) fn approve(context: &Context<'_>, targets: &[HostId]) -> Action {
    let targets = in_state(context, targets, |state| state == HostState::Pending);
    let keys =
        ["hosts.approve.one", "hosts.approve.many", "hosts.approve.what", "hosts.approve.done"];
    ask(context, &targets, keys, |host, what, done| {
        let call = Approve { host, labels: Labels::new() };
        Action::call(what, None, call, |_| (None, Action::Say(done)))
    })
}

pub(super) fn reject(context: &Context<'_>, targets: &[HostId]) -> Action {
    let targets = in_state(context, targets, |state| state == HostState::Pending);
    let keys = ["hosts.reject.one", "hosts.reject.many", "hosts.reject.what", "hosts.reject.done"];
    ask(context, &targets, keys, |host, what, done| {
        Action::call(what, None, Reject { host }, |_| (None, Action::Say(done)))
    })
}

/// A name as one word of a shell's command line.
pub(in crate::panes) fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_to_set_and_to_remove_are_told_apart() {
        let (set, remove) = parse_labels("role=web env=prod=1 old-").expect("reads");
        let expected = [("env", "prod=1"), ("role", "web")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(set, Labels::from(expected));
        assert_eq!(remove, ["old"]);
        assert_eq!(parse_labels("role"), Err("role".to_owned()));
        assert_eq!(parse_labels("=x"), Err("=x".to_owned()));
    }

    #[test]
    fn names_with_odd_characters_are_one_word_for_a_shell() {
        assert_eq!(quoted("web-1.example"), "web-1.example");
        assert_eq!(quoted("a b'; rm"), "'a b'\\''; rm'");
    }
}
