//! Alerts as the hub tells of them while the client runs. The alerts page shows them, the top line counts those that
//! nobody has acknowledged, and what begins to fire is said once, with a bell.

pub mod lists;

use super::sheets::{Record, SheetKey, Value, id_of};
use super::{Store, Toast, Update};
use crate::config::{Alerts as Tells, Least};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::alerts::{Alert, News, Severity, State};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The sheet of alerts.
pub const ALERTS: SheetKey = (None, "alerts");

/// What begins to fire within this time is said in one sentence, and rings once.
const TOGETHER_MS: u64 = 5000;

/// The number of an alert's row.
pub fn number(id: &str) -> u64 {
    id_of(&id)
}

/// Whether it fires and nobody has said that they know.
pub const fn waits(alert: &Alert) -> bool {
    matches!(alert.state, State::Firing | State::Flapping)
}

/// How many wait for somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub all: usize,
    pub critical: usize,
    /// The worst of them.
    pub worst: Severity,
}

/// What is known.
#[derive(Default)]
pub struct Alerts {
    /// By number, those that are not over.
    pub rows: HashMap<u64, Alert>,
    /// All that there are have been told once.
    pub known: bool,
    /// Goes up with every change.
    pub version: u64,
    /// How many wait.
    pub waiting: Waiting,
    /// What is said, and rings.
    pub tells: Tells,
    /// A list that begins anew and is not whole yet.
    coming: Option<HashMap<u64, Alert>>,
    /// When something was said last that began to fire, and how many were meant.
    said: (u64, usize),
    /// The lists beside.
    pub lists: lists::Lists,
}

/// How bad, from 0; what is unknown is no worse than a warning.
pub const fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 3,
        Severity::Warning => 2,
        Severity::Info => 0,
        Severity::Unknown => 1,
    }
}

/// The word for a severity, with its sign, and its colour.
pub const fn severity(severity: Severity) -> (&'static str, Role) {
    match severity {
        Severity::Critical => ("alerts.severity.critical", Role::Bad),
        Severity::Warning => ("alerts.severity.warning", Role::Warn),
        Severity::Info => ("alerts.severity.info", Role::Info),
        Severity::Unknown => ("alerts.severity.unknown", Role::Warn),
    }
}

/// The sign of a severity.
pub const fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "▲",
        Severity::Info => "▽",
        Severity::Warning | Severity::Unknown => "△",
    }
}

/// The word for a state, with its sign, and its colour.
pub const fn state(state: State) -> (&'static str, Role) {
    match state {
        State::Pending => ("alerts.state.pending", Role::Soft),
        State::Firing => ("alerts.state.firing", Role::Bad),
        State::Acknowledged => ("alerts.state.acknowledged", Role::Info),
        State::Flapping => ("alerts.state.flapping", Role::Warn),
        State::Suppressed => ("alerts.state.suppressed", Role::Soft),
        State::Silenced => ("alerts.state.silenced", Role::Soft),
        State::Resolved => ("alerts.state.resolved", Role::Ok),
        State::Unknown => ("alerts.state.unknown", Role::Warn),
    }
}

/// Who is to look first: what waits, then what somebody knows of, then what is quiet, then what may yet fire.
const fn urgency(state: State) -> u64 {
    match state {
        State::Firing | State::Flapping | State::Unknown => 0,
        State::Acknowledged => 1,
        State::Suppressed | State::Silenced => 2,
        State::Pending => 3,
        State::Resolved => 4,
    }
}

/// When it began.
pub fn began(alert: &Alert) -> u64 {
    alert.fired_ms.unwrap_or(alert.pending_ms)
}

/// Who knows and why, in a line.
pub fn known_by(alert: &Alert) -> String {
    alert.ack.as_ref().map_or_else(String::new, |ack| match ack.why.as_str() {
        "" => ack.who.clone(),
        why => format!("{}: {why}", ack.who),
    })
}

fn record(alert: &Alert) -> Record {
    let (worded, role) = severity(alert.severity);
    let (standing, colour) = state(alert.state);
    // What waits comes first, the worst of it at the top, and of the same kind the newest.
    let worst = u64::from(3 - rank(alert.severity).min(3));
    let age = (u64::from(u32::MAX)).saturating_sub(began(alert) / 1000);
    let place = (urgency(alert.state) << 40) | (worst << 36) | age;
    let waits = waits(alert);
    let labels = alert.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let labels = labels.collect::<Vec<_>>().join(" ");
    Record {
        id: number(&alert.id),
        host: alert.host.unwrap_or(HostId([0; 16])),
        values: vec![
            Value::Ranked(place, worded, if waits { role } else { Role::Soft }),
            Value::Ranked(urgency(alert.state), standing, colour),
            Value::text(&alert.name, Role::Strong),
            Value::text(&alert.instance, Role::Text),
            Value::text(&alert.rule, Role::Text),
            Value::text(&alert.message, if waits { Role::Text } else { Role::Soft }),
            Value::text(&alert.value, Role::Text),
            Value::Moment(began(alert) / 1000),
            Value::soft(&known_by(alert)),
        ],
        more: vec![("alerts.detail.labels", labels)],
        target: super::sheets::Target::None,
    }
}

impl Alerts {
    /// The alert of a row.
    pub fn get(&self, number: u64) -> Option<&Alert> {
        self.rows.get(&number)
    }

    fn count(&mut self) {
        let mut waiting = Waiting { worst: Severity::Info, ..Waiting::default() };
        for alert in self.rows.values().filter(|alert| waits(alert)) {
            waiting.all += 1;
            waiting.critical += usize::from(alert.severity == Severity::Critical);
            if rank(alert.severity) > rank(waiting.worst) {
                waiting.worst = alert.severity;
            }
        }
        self.waiting = waiting;
        self.version += 1;
    }

    /// Whether it begins to wait for somebody now.
    fn begins(&self, alert: &Alert) -> bool {
        let before = self.rows.get(&number(&alert.id));
        waits(alert) && before.is_none_or(|was| !waits(was) && was.state != State::Acknowledged)
    }

    /// Takes news in, and gives those that begin to fire. `anew` with the first item of a feed: what it tells until it
    /// has told all replaces what is known.
    fn take(&mut self, anew: bool, news: News) -> Vec<Alert> {
        if anew {
            self.coming = Some(HashMap::new());
        }
        let keyed = news.alerts.into_iter().map(|alert| (number(&alert.id), alert));
        let mut begun = Vec::new();
        if let Some(coming) = &mut self.coming {
            coming.extend(keyed.filter(|(_, alert)| alert.state != State::Resolved));
            if !news.all {
                return begun;
            }
            let all = self.coming.take().unwrap_or_default();
            // What fired when the client came up is nothing new.
            if self.known {
                begun.extend(all.values().filter(|alert| self.begins(alert)).cloned());
            }
            self.rows = all;
            self.known = true;
        } else {
            for (number, alert) in keyed {
                if self.begins(&alert) {
                    begun.push(alert.clone());
                }
                if alert.state == State::Resolved {
                    self.rows.remove(&number);
                } else {
                    self.rows.insert(number, alert);
                }
            }
            for id in &news.gone {
                self.rows.remove(&number(id));
            }
        }
        self.count();
        begun
    }

    /// What is said about those that begin to fire, if anything, and whether it rings.
    fn tell(&mut self, now_ms: u64, begun: &[Alert]) -> (Option<Toast>, bool) {
        let said = |least: Least| begun.iter().filter(move |alert| least.takes(alert.severity));
        let toasts = said(self.tells.toast).count();
        let (at_ms, before) = self.said;
        let together = now_ms.saturating_sub(at_ms) < TOGETHER_MS;
        let rings = said(self.tells.bell).next().is_some() && !together;
        let Some(worst) = said(self.tells.toast).max_by_key(|alert| rank(alert.severity)) else {
            return (None, rings);
        };
        let count = toasts + if together { before } else { 0 };
        self.said = (if together { at_ms } else { now_ms }, count);
        let bad = rank(worst.severity) >= rank(Severity::Warning);
        let sign = sign(worst.severity).to_owned();
        let about = if worst.message.is_empty() {
            format!("{} {} {}", worst.name, worst.rule, worst.instance)
        } else {
            worst.message.clone()
        };
        let toast = if count == 1 {
            Toast { text: "alerts.toast.one", values: vec![sign, about], bad }
        } else {
            let values = vec![sign, count.to_string(), about];
            Toast { text: "alerts.toast.many", values, bad }
        };
        (Some(toast), rings)
    }
}

/// What takes in the items of one feed, from its first one on.
pub fn taking() -> impl Fn(&mut Store, News) + Clone + Send + 'static {
    let begun = Arc::new(AtomicBool::new(false));
    move |store, news| {
        let anew = !begun.swap(true, Ordering::Relaxed);
        came(store, anew, news);
    }
}

fn came(store: &mut Store, anew: bool, news: News) {
    let now_ms = store.now_ms;
    let whole = anew || store.alerts.coming.is_some();
    let changed: Vec<u64> = news.alerts.iter().map(|alert| number(&alert.id)).collect();
    let gone: Vec<u64> = news.gone.iter().map(|id| number(id)).collect();
    let begun = store.alerts.take(anew, news);
    if store.alerts.coming.is_some() {
        return;
    }
    if whole || !store.sheet(ALERTS).is_some_and(|sheet| sheet.known) {
        spread(store);
    } else {
        let rows: Vec<(u64, Option<Record>)> = changed
            .into_iter()
            .chain(gone)
            .map(|number| (number, store.alerts.get(number).map(record)))
            .collect();
        let sheet = store.sheet_mut(ALERTS);
        for (number, row) in rows {
            match row {
                Some(row) => drop(sheet.rows.insert(number, row)),
                None => drop(sheet.rows.remove(&number)),
            }
        }
        sheet.came(now_ms);
    }
    let (toast, rings) = store.alerts.tell(now_ms, &begun);
    store.rings |= rings;
    store.toasts.extend(toast);
}

/// Writes the rows of the list anew: lists that were not looked at for long are forgotten.
fn spread(store: &mut Store) {
    let rows: Vec<Record> = store.alerts.rows.values().map(record).collect();
    let now_ms = store.now_ms;
    store.sheet_mut(ALERTS).set(now_ms, rows.into_iter());
}

/// The list is written from what is known, where it is not there any more.
pub fn renewed() -> Update {
    Update::new(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: &str, state: State, severity: Severity) -> Alert {
        Alert { id: id.into(), state, severity, message: format!("m {id}"), ..Alert::default() }
    }

    fn news(alerts: Vec<Alert>, all: bool) -> News {
        News { alerts, all, ..News::default() }
    }

    #[test]
    fn what_fired_when_the_client_came_up_is_not_said_and_what_begins_later_is_said_once() {
        let mut store = Store::new(10_000, 0, false);
        let take = taking();
        let firing = |id| alert(id, State::Firing, Severity::Critical);
        take(&mut store, news(vec![firing("a")], false));
        assert!(!store.alerts.known);
        take(&mut store, news(vec![firing("b")], true));
        assert_eq!((store.alerts.waiting.all, store.toasts.len(), store.rings), (2, 0, false));
        take(&mut store, news(vec![firing("c")], true));
        assert_eq!((store.toasts.len(), store.rings), (1, true));
        // The same alert with another value.
        take(&mut store, news(vec![firing("c")], true));
        assert_eq!(store.toasts.len(), 1);
        // The link was lost, and one more fires by now.
        store.rings = false;
        store.now_ms += 60_000;
        let again = taking();
        again(&mut store, news(vec![firing("b"), firing("c"), firing("d")], true));
        assert_eq!((store.alerts.rows.len(), store.toasts.len(), store.rings), (3, 2, true));
    }

    #[test]
    fn a_storm_is_one_sentence_and_one_bell() {
        let mut store = Store::new(10_000, 0, false);
        let take = taking();
        take(&mut store, news(Vec::new(), true));
        let all =
            |n: usize| (0..n).map(|n| alert(&n.to_string(), State::Firing, Severity::Warning));
        take(&mut store, news(all(2000).collect(), true));
        assert_eq!((store.toasts.len(), store.rings), (1, true));
        assert_eq!(store.toasts[0].values[1], "2000");
        store.rings = false;
        take(&mut store, news(vec![alert("x", State::Firing, Severity::Critical)], true));
        assert_eq!((store.toasts[1].values[1].as_str(), store.rings), ("2001", false));
    }

    #[test]
    fn what_somebody_knows_of_or_keeps_quiet_does_not_wait_and_does_not_ring() {
        let mut store = Store::new(10_000, 0, false);
        let take = taking();
        take(&mut store, news(vec![alert("a", State::Firing, Severity::Info)], true));
        for state in [State::Acknowledged, State::Firing, State::Pending, State::Suppressed] {
            take(&mut store, news(vec![alert("a", state, Severity::Info)], true));
            assert_eq!(store.toasts.len(), 0, "{state:?}");
        }
        assert_eq!(store.alerts.waiting.all, 0);
        take(&mut store, news(vec![alert("a", State::Firing, Severity::Info)], true));
        assert_eq!((store.toasts.len(), store.rings), (1, false), "a bell is for worse");
        take(&mut store, News { gone: vec!["a".into()], all: true, ..News::default() });
        assert!(store.alerts.rows.is_empty());
        assert!(store.sheet(ALERTS).is_some_and(|sheet| sheet.rows.is_empty()));
    }

    #[test]
    fn nothing_is_said_where_the_settings_say_so() {
        let mut store = Store::new(10_000, 0, false);
        store.alerts.tells = Tells { toast: Least::Critical, bell: Least::Never };
        let take = taking();
        take(&mut store, news(Vec::new(), true));
        take(&mut store, news(vec![alert("a", State::Firing, Severity::Warning)], true));
        assert_eq!(store.toasts.len(), 0);
        take(&mut store, news(vec![alert("b", State::Firing, Severity::Critical)], true));
        assert_eq!((store.toasts.len(), store.rings), (1, false));
    }
}
