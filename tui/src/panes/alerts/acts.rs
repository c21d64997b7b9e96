//! What is done with alerts: say that one knows, take that back, end by hand, look at the figures of the moment.

use super::keys::{ANSWERED, SPAN};
use crate::action::{Action, Make, PATIENCE};
use crate::overlays::prompt::Prompt;
use crate::panes::{Context, history};
use crate::store::alerts::{self as store, lists};
use crate::widgets::format;
use cmdr_protocol::alerts::{
    Acknowledge, Alert, Dismiss, Done, Happening, MAX_NAMED, State, Unacknowledge,
};
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::rules::{Show, Shown};
use cmdr_protocol::{Call, CallError, HostId};
use std::sync::Arc;

/// What an alert is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) id: String,
    pub(super) rule: String,
    pub(super) host: Option<HostId>,
    pub(super) name: String,
    pub(super) instance: String,
    /// When it fired, or when something happened to it.
    pub(super) at_ms: u64,
}

impl About {
    pub(super) fn of(alert: &Alert) -> Self {
        Self {
            id: alert.id.clone(),
            rule: alert.rule.clone(),
            host: alert.host,
            name: alert.name.clone(),
            instance: alert.instance.clone(),
            at_ms: store::began(alert),
        }
    }

    pub(super) fn happened(happening: &Happening) -> Self {
        Self {
            id: happening.id.clone(),
            rule: happening.rule.clone(),
            host: happening.host,
            name: happening.name.clone(),
            instance: happening.instance.clone(),
            at_ms: happening.at_ms,
        }
    }
}

/// Asks for the words with which alerts are acknowledged, or ended, and does it.
pub(super) fn ask(context: &Context<'_>, alerts: &[&Alert], ends: bool) -> Action {
    let texts = context.texts;
    let title = match alerts {
        [] => return Action::None,
        [alert] => {
            let name = clean_to_width(&format!("{} {}", alert.name, alert.rule), 40);
            texts.fill(if ends { "alerts.dismiss.one" } else { "alerts.ack.one" }, &[&name])
        }
        alerts => {
            let count = format::count(alerts.len());
            texts.fill(if ends { "alerts.dismiss.many" } else { "alerts.ack.many" }, &[&count])
        }
    };
    let already = |alert: &&&Alert| alert.state == State::Acknowledged;
    let known = alerts.iter().find(already).filter(|_| !ends).map(|alert| store::known_by(alert));
    let hint = if ends { "alerts.dismiss.hint" } else { "alerts.ack.hint" };
    let needed = texts.get("alerts.dismiss.needed");
    let ids: Vec<String> = alerts.iter().map(|alert| alert.id.clone()).collect();
    let keys = if ends {
        ["alerts.dismiss.what", "alerts.dismiss.done"]
    } else {
        ["alerts.ack.what", "alerts.ack.done"]
    };
    let words = words(context, keys);
    let prompt = Prompt::new(title, String::new(), hint, move |why| {
        let (why, ids) = (why.trim().to_owned(), ids.clone());
        match (ends, why.is_empty()) {
            (true, true) => Err(needed.to_owned()),
            (true, false) => {
                Ok(deed(words, ids, move |alerts| Dismiss { alerts, why: why.clone() }))
            }
            (false, _) => {
                Ok(deed(words, ids, move |alerts| Acknowledge { alerts, why: why.clone() }))
            }
        }
    });
    let prompt = match known {
        Some(known) => prompt.about(texts.fill("alerts.ack.already", &[&clean(&known)])),
        None => prompt,
    };
    Action::Open(Box::new(prompt))
}

/// What is being done, what is said when it was done to all, and when it was done to some.
type Words = [&'static str; 3];

fn words(context: &Context<'_>, [what, done]: [&'static str; 2]) -> Words {
    [what, done, "alerts.done.some"].map(|key| context.texts.get(key))
}

/// What is asked of so many alerts at once.
type Asked<C> = Arc<dyn Fn(Vec<String>) -> C + Send + Sync>;

/// Does it, as many at once as the hub takes; says in the end to how many it was done, and why not to the others.
fn each<C>(words: Words, call: Asked<C>, mut ids: Vec<String>, so_far: Done) -> Action
where
    C: Call<Reply = Done> + Clone,
{
    let rest = ids.split_off(ids.len().min(MAX_NAMED));
    let [what, all, some] = words;
    Action::call(what.to_owned(), None, call(ids), move |mut done: Done| {
        done.done += so_far.done;
        done.refused.splice(0..0, so_far.refused);
        if !rest.is_empty() {
            return (None, each(words, call, rest, done));
        }
        let answered = Action::Give(ANSWERED, String::new());
        let count = format::count(done.done as usize);
        let Some(first) = done.refused.first() else {
            let said = Action::Say(all.replacen("{}", &count, 1));
            return (None, Action::All(vec![answered, said]));
        };
        let refused = format::count(done.refused.len());
        let said = some.replacen("{}", &count, 1).replacen("{}", &refused, 1);
        let said = Action::Complain(said.replacen("{}", &clean(&first.why), 1));
        (None, Action::All(vec![answered, said]))
    })
}

fn deed<C>(
    words: Words,
    ids: Vec<String>,
    call: impl Fn(Vec<String>) -> C + Send + Sync + 'static,
) -> Action
where
    C: Call<Reply = Done> + Clone,
{
    each(words, Arc::new(call), ids, Done::default())
}

/// Takes back that one knows of these.
pub(super) fn unacknowledge(context: &Context<'_>, ids: Vec<String>) -> Action {
    let words = words(context, ["alerts.unack.what", "alerts.unack.done"]);
    deed(words, ids, |alerts| Unacknowledge { alerts })
}

/// Asks how far back one looks.
pub(super) fn ask_span(context: &Context<'_>, span_ms: u64) -> Action {
    let title = context.texts.get("alerts.span.title").to_owned();
    let text = format::span(span_ms / 1000);
    Action::Open(Box::new(Prompt::new(title, text, "alerts.span.hint", |text| {
        Ok(Action::Give(SPAN, text.to_owned()))
    })))
}

/// The charts of what the rule looks at, at the moment in which it fired.
pub(super) fn chart(context: &Context<'_>, about: About) -> Action {
    if let Some(rule) = context.store.alerts.lists.rules.get(&lists::number(&about.rule)) {
        return Charted(about, Some(rule.when.clone())).make_at(context);
    }
    let show = Show { name: about.rule.clone(), version: None };
    Action::fetch(None, show, PATIENCE, move |shown: Result<Shown, CallError>| {
        // Without the rule the usual figures are shown.
        let when = shown.ok().map(|shown| shown.rule.when);
        (None, Action::Make(Box::new(Charted(about, when))))
    })
}

struct Charted(About, Option<String>);

impl Charted {
    fn make_at(&self, context: &Context<'_>) -> Action {
        let Self(about, when) = self;
        let Some(host) = about.host.filter(|host| context.store.hosts.get(*host).is_some()) else {
            return Action::Say(context.texts.get("alerts.no_host").to_owned());
        };
        let figures =
            when.as_deref().map(|when| figures(when, &about.instance)).unwrap_or_default();
        history::open_at(context, host, figures, about.at_ms)
    }
}

impl Make for Charted {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        self.make_at(context)
    }
}

/// The figures that an expression speaks of, of this instance where it is about one.
fn figures(when: &str, instance: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = when;
    // A word behind these is a state, no figure.
    let mut compared = false;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if first.is_ascii_digit() {
            rest = rest.trim_start_matches(is_word);
            // As in `5MB/s`.
            rest = rest.strip_prefix("/s").unwrap_or(rest);
            continue;
        }
        if !first.is_ascii_alphabetic() {
            if !first.is_whitespace() {
                compared = rest.starts_with("==") || rest.starts_with("!=") || first == '=';
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "state" && rest.starts_with('(') {
            rest = &rest[rest.find(')').unwrap_or(rest.len())..];
            continue;
        }
        let is_function = rest.trim_start().starts_with('(');
        let is_state = std::mem::take(&mut compared);
        if is_function || is_state || ["and", "or", "not"].contains(&word) {
            continue;
        }
        let mut name = word.to_owned();
        if rest.starts_with('{') {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            let (picked, after) = rest.split_at(end);
            rest = after;
            if instance.is_empty() {
                name.push_str(picked);
            } else {
                name = format!("{name}{{{instance}}}");
            }
        }
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_an_expression_are_found_and_nothing_else() {
        for (when, instance, wanted) in [
            ("avg(cpu.busy, 5m) > 60%", "", &["cpu.busy"][..]),
            (
                "mount.used{*} / mount.total{*} > 60%",
                "/home",
                &["mount.used{/home}", "mount.total{/home}"],
            ),
            ("sockets > 1000 and not absent(load.1, 2m)", "", &["sockets", "load.1"]),
            ("forecast(mount.free{/}, 4h, 1h) < 10GiB", "", &["mount.free{/}"]),
            ("state(host) == offline", "", &[]),
            (
                "state(unit{*}) == failed or unit.memory{\"a b\"} > 5MB/s",
                "a b",
                &["unit.memory{a b}"],
            ),
            ("x{", "", &["x{"]),
            ("", "", &[]),
        ] {
            assert_eq!(figures(when, instance), wanted, "{when}");
        }
    }
}
