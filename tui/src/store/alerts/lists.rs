//! The lists beside the alerts: what happened to alerts, silences, rules and notifiers, as rows; and what the hub said of
//! each.

use crate::store::sheets::{Record, SheetKey, Target, Value, id_of};
use crate::store::{Store, Toast, Update, alerts};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::alerts::{Happened, Happening, Silence, SilenceListing};
use cmdr_protocol::notifiers::{self, Notifier};
use cmdr_protocol::rules::{self, Rule};
use cmdr_protocol::{CallError, HostId};
use std::collections::HashMap;

/// What happened.
pub const PAST: SheetKey = (None, "past_alerts");
/// Silences.
pub const SILENCES: SheetKey = (None, "silences");
/// Rules.
pub const RULES: SheetKey = (None, "rules");
/// Notifiers.
pub const NOTIFIERS: SheetKey = (None, "notifiers");

/// What the hub said, by the number of the row.
#[derive(Default)]
pub struct Lists {
    pub past: HashMap<u64, Happening>,
    pub silences: HashMap<u64, Silence>,
    pub rules: HashMap<u64, Rule>,
    pub notifiers: HashMap<u64, Notifier>,
    /// Older ones were left out of what happened.
    pub more: bool,
    /// When notifiers were asked for last; 0 for never.
    pub asked_ms: u64,
    /// They were told once.
    heard: bool,
}

/// The number of something that goes by its name.
pub fn number(name: &str) -> u64 {
    id_of(&name)
}

fn row(id: u64, values: Vec<Value>) -> Record {
    Record { id, host: HostId([0; 16]), values, more: Vec::new(), target: Target::None }
}

/// Takes what was asked for into a sheet: each as a row.
fn taken<T>(
    store: &mut Store,
    key: SheetKey,
    said: Result<Vec<T>, CallError>,
    record: impl Fn(&T) -> Record,
) -> Option<HashMap<u64, T>> {
    let now_ms = store.now_ms;
    match said {
        Err(error) => {
            store.sheet_mut(key).fail(error, now_ms);
            None
        }
        Ok(all) => {
            let rows: Vec<Record> = all.iter().map(record).collect();
            let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
            store.sheet_mut(key).set(now_ms, rows.into_iter());
            Some(ids.into_iter().zip(all).collect())
        }
    }
}

/// What happened to alerts came, or why it did not.
pub fn past(said: Result<Happened, CallError>) -> Update {
    Update::new(move |store| {
        let more = said.as_ref().is_ok_and(|happened| happened.more);
        let said = said.map(|happened| happened.happened);
        let record = |happening: &Happening| {
            let (word, role) = alerts::state(happening.state);
            let (worded, colour) = alerts::severity(happening.severity);
            let worst = u64::from(3 - alerts::rank(happening.severity).min(3));
            let id = id_of(&(&happening.id, happening.at_ms, word));
            let values = vec![
                Value::Moment(happening.at_ms / 1000),
                Value::Word(word, role),
                Value::Ranked(worst, worded, colour),
                Value::text(&happening.name, Role::Strong),
                Value::text(&happening.instance, Role::Text),
                Value::text(&happening.rule, Role::Text),
                Value::text(&happening.message, Role::Text),
                Value::soft(&happening.why),
            ];
            Record { host: happening.host.unwrap_or(HostId([0; 16])), ..row(id, values) }
        };
        if let Some(past) = taken(store, PAST, said, record) {
            (store.alerts.lists.past, store.alerts.lists.more) = (past, more);
        }
    })
}

/// Silences came, or why none did.
pub fn silences(said: Result<SilenceListing, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let said = said.map(|listing| listing.silences);
        let record = |silence: &Silence| {
            let left = silence.until_ms.saturating_sub(now_ms) / 1000;
            let left = Value::Figure(silence.until_ms, format::age(left), Role::Text);
            row(
                silence.id,
                vec![
                    Value::Figure(silence.id, silence.id.to_string(), Role::Soft),
                    Value::text(&silence.matcher, Role::Strong),
                    left,
                    Value::Moment(silence.until_ms / 1000),
                    Value::count(u64::from(silence.quiet)),
                    Value::text(&silence.who, Role::Text),
                    Value::soft(&silence.why),
                ],
            )
        };
        if let Some(silences) = taken(store, SILENCES, said, record) {
            store.alerts.lists.silences = silences;
        }
    })
}

/// The word for how a rule stands.
pub fn standing(rule: &Rule) -> (u64, &'static str, Role) {
    if rule.off {
        (2, "rules.state.off", Role::Soft)
    } else if !rule.problem.is_empty() {
        (0, "rules.state.wrong", Role::Bad)
    } else {
        (1, "rules.state.on", Role::Ok)
    }
}

/// Rules came, or why none did.
pub fn rules(said: Result<rules::Listing, CallError>) -> Update {
    Update::new(move |store| {
        let said = said.map(|listing| listing.rules);
        let record = |rule: &Rule| {
            let (worded, colour) = alerts::severity(rule.severity);
            let worst = u64::from(3 - alerts::rank(rule.severity).min(3));
            let (rank, word, role) = standing(rule);
            let firing = if rule.firing > 0 { Role::Bad } else { Role::Faint };
            let from =
                if rule.saved_by.is_empty() { "rules.from.product" } else { "rules.from.own" };
            let hold = Value::Figure(rule.hold_ms, format::span(rule.hold_ms / 1000), Role::Text);
            let mut record = row(
                number(&rule.name),
                vec![
                    Value::text(&rule.name, Role::Strong),
                    Value::Ranked(worst, worded, colour),
                    Value::Ranked(rank, word, role),
                    Value::Figure(u64::from(rule.firing), rule.firing.to_string(), firing),
                    Value::count(u64::from(rule.pending)),
                    Value::count(u64::from(rule.matched)),
                    hold,
                    Value::text(&rule.when, Role::Text),
                    Value::text(&rule.hosts, Role::Text),
                    Value::Figure(rule.version, rule.version.to_string(), Role::Soft),
                    Value::Word(from, Role::Soft),
                    Value::Moment(rule.saved_ms / 1000),
                    Value::soft(&rule.description),
                ],
            );
            record.more.push(("rules.problem", rule.problem.clone()));
            record
        };
        if let Some(rules) = taken(store, RULES, said, record) {
            store.alerts.lists.rules = rules;
        }
    })
}

/// The word for how a notifier does.
pub fn doing(notifier: &Notifier) -> (u64, &'static str, Role) {
    match (notifier.failing_ms, notifier.taken_ms, notifier.policies.is_empty()) {
        (Some(_), ..) => (0, "notifiers.state.failing", Role::Bad),
        (None, Some(_), _) => (2, "notifiers.state.works", Role::Ok),
        (None, None, true) => (3, "notifiers.state.unused", Role::Soft),
        (None, None, false) => (1, "notifiers.state.untried", Role::Warn),
    }
}

/// Notifiers came, or why none did. Those that begin to fail are said, and ring.
pub fn notifiers(said: Result<notifiers::Listing, CallError>) -> Update {
    Update::new(move |store| {
        let said = said.map(|listing| listing.notifiers);
        let record = |notifier: &Notifier| {
            let (rank, word, role) = doing(notifier);
            let moment = |ms: Option<u64>| Value::Moment(ms.unwrap_or(0) / 1000);
            row(
                number(&notifier.name),
                vec![
                    Value::text(&notifier.name, Role::Strong),
                    Value::text(&notifier.kind, Role::Text),
                    Value::Ranked(rank, word, role),
                    Value::count(u64::from(notifier.waiting)),
                    Value::text(&notifier.to, Role::Text),
                    moment(notifier.taken_ms),
                    moment(notifier.failing_ms),
                    Value::text(&notifier.last, if rank == 0 { Role::Bad } else { Role::Soft }),
                    Value::text(&notifier.policies.join(" "), Role::Text),
                    Value::Figure(notifier.version, notifier.version.to_string(), Role::Soft),
                ],
            )
        };
        let Some(told) = taken(store, NOTIFIERS, said, record) else { return };
        let lists = &mut store.alerts.lists;
        let heard = std::mem::replace(&mut lists.heard, true);
        let before = std::mem::replace(&mut lists.notifiers, told);
        let fails = |number: &u64| before.get(number).is_some_and(|n| n.failing_ms.is_some());
        let begun = lists
            .notifiers
            .iter()
            .filter(|(number, notifier)| heard && notifier.failing_ms.is_some() && !fails(number));
        let mut names: Vec<(&str, &str)> =
            begun.map(|(_, n)| (n.name.as_str(), n.last.as_str())).collect();
        names.sort_unstable();
        let tells = store.alerts.tells;
        let worst = cmdr_protocol::alerts::Severity::Critical;
        let Some((name, why)) = names.first().filter(|_| tells.toast.takes(worst)) else { return };
        let values = vec![(*name).to_owned(), (*why).to_owned()];
        let toast = match names.len() {
            1 => Toast { text: "notifiers.toast.one", values, bad: true },
            count => {
                let values = vec![count.to_string(), (*name).to_owned()];
                Toast { text: "notifiers.toast.many", values, bad: true }
            }
        };
        store.toasts.push_back(toast);
        store.rings |= tells.bell.takes(worst);
    })
}

/// A list is asked for at once.
pub fn stale(key: SheetKey) -> Update {
    Update::new(move |store| {
        let sheet = store.sheet_mut(key);
        (sheet.came_ms, sheet.asked_ms) = (0, 0);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notifier_that_begins_to_fail_is_said_once_and_one_that_failed_before_is_not() {
        let mut store = Store::new(0, 0, false);
        let list = |failing: &[&str]| {
            let notifiers = ["mail", "chat"].map(|name| Notifier {
                name: name.into(),
                failing_ms: failing.contains(&name).then_some(1),
                last: "refused \u{1b}[2J".into(),
                ..Notifier::default()
            });
            super::notifiers(Ok(notifiers::Listing { notifiers: notifiers.to_vec() }))
        };
        store.apply(list(&["mail"]));
        assert_eq!((store.toasts.len(), store.rings), (0, false));
        store.apply(list(&["mail", "chat"]));
        assert_eq!((store.toasts.len(), store.rings), (1, true));
        assert_eq!(store.toasts[0].values[0], "chat");
        store.apply(list(&["mail", "chat"]));
        assert_eq!(store.toasts.len(), 1);
        let row = &store.sheet(NOTIFIERS).expect("a list").rows[&number("mail")];
        assert_eq!(row.values[7].plain(), "refused ␛[2J");
    }
}
