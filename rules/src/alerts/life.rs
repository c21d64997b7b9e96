//! How an alert goes from pending to firing to over.

use super::machine::{Machine, World};
use super::model::{Alert, Key, Phase, Spoken, Told};
use super::{FLAP_WITHIN_MS, FLAPS, FORGOTTEN_MS, MOST, SETTLED_MS, VOUCHED_MS};
use crate::engine::{Change, Verdict};
use crate::message;
use crate::rule::Rule;
use std::sync::Arc;

/// Changes that are remembered to know what flaps.
const FLIPS: usize = 16;

impl Alert {
    /// Time goes on without being counted.
    pub(super) fn pause(&mut self, time: u64) {
        if let Some(since) = self.since.take() {
            self.held += time.saturating_sub(since);
        }
        self.unknown.get_or_insert(time);
    }

    /// What is counted is counted from nothing.
    fn restart(&mut self, since: Option<u64>) {
        (self.held, self.since, self.unknown) = (0, since, None);
    }

    fn count(&mut self, time: u64) {
        self.since.get_or_insert(time);
        self.unknown = None;
    }

    /// It has held for so long at least, up to now.
    pub(super) fn vouch(&mut self, held_ms: u64, time: u64) {
        let since = self.since.map_or(0, |since| time.saturating_sub(since));
        self.held = self.held.max(held_ms.saturating_sub(since));
    }

    /// How long it has to be counted until it changes.
    fn target(&self, rule: &Rule) -> u64 {
        match self.phase {
            Phase::Pending => rule.hold.0,
            _ => rule.clear_for.0,
        }
    }

    /// When that will be so, if nothing happens.
    fn matures(&self, rule: &Rule) -> Option<u64> {
        let since = self.since.filter(|_| self.phase != Phase::Resolved)?;
        Some(since + self.target(rule).saturating_sub(self.held))
    }

    fn flip(&mut self, time: u64) {
        self.flips.retain(|at| time - at < FLAP_WITHIN_MS);
        if self.flips.len() == FLIPS {
            self.flips.remove(0);
        }
        self.flips.push(time);
        self.flapping |= self.flips.len() >= FLAPS;
    }
}

impl Machine {
    /// What a rule says of a host or an instance.
    pub(super) fn hear(&mut self, change: &Change, world: &dyn World) {
        let key = Key {
            host: change.host.clone(),
            rule: change.rule.clone(),
            instance: change.instance.clone(),
        };
        let time = self.core.time;
        let Some(alert) = self.alerts.get_mut(&key) else {
            match change.verdict {
                Verdict::True => self.begin(&key, change, world),
                Verdict::Unknown => {}
                // What somebody else saw to hold does not any more.
                _ => drop(self.vouched.remove(&key)),
            }
            return;
        };
        if change.reading.is_some() {
            alert.reading.clone_from(&change.reading);
        }
        if alert.verdict == change.verdict {
            return;
        }
        alert.verdict = change.verdict;
        match (alert.phase, change.verdict) {
            (_, Verdict::Gone) => return self.end(&key, "it has gone"),
            (Phase::Resolved, Verdict::True) => {
                alert.phase = Phase::Pending;
                alert.pending_ms = self.core.wall;
                (alert.fired_ms, alert.resolved_ms) = (None, None);
                alert.restart(Some(time));
                self.recall(&key);
            }
            (Phase::Resolved, _) => {}
            (Phase::Pending | Phase::Firing, Verdict::Unknown) => alert.pause(time),
            (Phase::Pending, Verdict::True) | (Phase::Firing, Verdict::Clear) => alert.count(time),
            (Phase::Firing, Verdict::True | Verdict::Between) => alert.restart(None),
            (Phase::Pending, Verdict::Between | Verdict::Clear) => return self.cancel(&key),
        }
        self.touch(&key);
        self.act(&key, world);
    }

    fn begin(&mut self, key: &Key, change: &Change, world: &dyn World) {
        let Some(rule) = self.rules.get(&key.rule).filter(|rule| !rule.off).cloned() else {
            return;
        };
        if self.alerts.len() >= MOST {
            return self.refuse();
        }
        let alert = Alert {
            id: String::new(),
            key: key.clone(),
            phase: Phase::Pending,
            verdict: Verdict::True,
            severity: rule.severity,
            labels: std::collections::BTreeMap::new(),
            host_name: String::new(),
            message: String::new(),
            reading: change.reading.clone(),
            pending_ms: self.core.wall,
            fired_ms: None,
            resolved_ms: None,
            ack: None,
            silenced: None,
            suppressed: None,
            flapping: false,
            policy: String::new(),
            group: String::new(),
            held: 0,
            since: Some(self.core.time),
            unknown: None,
            flips: Vec::new(),
            told: Told::default(),
            timer: None,
        };
        self.alerts.insert(key.clone(), alert);
        self.recall(key);
        self.relabel(key, false, world);
        self.touch(key);
        self.act(key, world);
    }

    /// What somebody else has seen counts towards the time that a condition has to hold.
    fn recall(&mut self, key: &Key) {
        let time = self.core.time;
        let vouched = self.vouched.remove(key).filter(|(at, _)| time - at <= VOUCHED_MS);
        if let (Some((at, held)), Some(alert)) = (vouched, self.alerts.get_mut(key)) {
            alert.vouch(held + (time - at), time);
        }
    }

    /// A condition that no longer holds before its time was over: as if nothing had been, but for what is still
    /// to be told of an earlier firing.
    fn cancel(&mut self, key: &Key) {
        let Some(alert) = self.alerts.get_mut(key) else { return };
        if alert.told == Told::default() && alert.flips.is_empty() {
            return self.forget(key);
        }
        alert.phase = Phase::Resolved;
        alert.resolved_ms = Some(self.core.wall);
        alert.restart(None);
        self.touch(key);
        self.speak(key);
        self.reschedule(key);
    }

    /// Does what an alert's time has come for.
    pub(super) fn act(&mut self, key: &Key, world: &dyn World) {
        let time = self.core.time;
        let rule = self.rules.get(&key.rule).cloned();
        let Some(alert) = self.alerts.get_mut(key) else { return };
        match rule.as_ref() {
            None if alert.phase != Phase::Resolved => return self.end(key, "the rule has gone"),
            Some(rule) if alert.matures(rule).is_some_and(|at| at <= time) => {
                return match alert.phase {
                    Phase::Pending => self.fire(key, rule, world),
                    _ => self.end(key, ""),
                };
            }
            _ => {}
        }
        if alert.flapping && alert.flips.last().is_none_or(|last| time - last >= SETTLED_MS) {
            alert.flapping = false;
            alert.flips.clear();
            self.note(key, "settled".to_owned());
        }
        let Some(alert) = self.alerts.get_mut(key) else { return };
        let patience = rule.map_or(0, |rule| rule.hold.0).max(FORGOTTEN_MS);
        if alert.phase == Phase::Pending && alert.unknown.is_some_and(|u| time - u >= patience) {
            return self.cancel(key);
        }
        let quiet =
            time >= alert.told.cooled && alert.flips.iter().all(|at| time - at >= FLAP_WITHIN_MS);
        if alert.phase == Phase::Resolved && alert.told.what == Spoken::Nothing && quiet {
            return self.forget(key);
        }
        self.look(key, world);
    }

    fn fire(&mut self, key: &Key, rule: &Arc<Rule>, world: &dyn World) {
        let (time, wall) = (self.core.time, self.core.wall);
        let fresh =
            self.alerts.get(key).is_some_and(|a| a.told.what == Spoken::Nothing || a.id.is_empty());
        let id = fresh.then(|| self.next()).map(|n| format!("{}-a{n}", self.core.name));
        self.relabel(key, false, world);
        let Some(alert) = self.alerts.get_mut(key) else { return };
        if let Some(id) = id {
            alert.id = id;
        }
        alert.phase = Phase::Firing;
        (alert.fired_ms, alert.resolved_ms, alert.ack) = (Some(wall), None, None);
        alert.restart(None);
        alert.flip(time);
        alert.message = message::render(rule.told(), |name| filled(alert, rule, name));
        if rule.down && self.down.insert(key.host.clone()) {
            self.down_changed = true;
        }
        self.note(key, String::new());
        self.look(key, world);
    }

    /// An alert is over: it cleared, or there is nothing left that it is about.
    pub(super) fn end(&mut self, key: &Key, why: &str) {
        let (time, wall) = (self.core.time, self.core.wall);
        let Some(alert) = self.alerts.get_mut(key) else { return };
        match alert.phase {
            Phase::Pending => return self.cancel(key),
            Phase::Resolved => {}
            Phase::Firing => {
                alert.phase = Phase::Resolved;
                alert.resolved_ms = Some(wall);
                alert.restart(None);
                alert.flip(time);
                self.note(key, why.to_owned());
                let still = |a: &Alert| {
                    a.phase == Phase::Firing && self.rules.get(&a.key.rule).is_some_and(|r| r.down)
                };
                let from =
                    Key { host: key.host.clone(), rule: String::new(), instance: String::new() };
                let others = self.alerts.range(from..).take_while(|(k, _)| k.host == key.host);
                if self.down.contains(&key.host) && !others.map(|(_, a)| a).any(still) {
                    self.down.remove(&key.host);
                    self.down_changed = true;
                }
            }
        }
        self.speak(key);
        self.reschedule(key);
    }

    /// When something happens to an alert by itself.
    pub(super) fn reschedule(&mut self, key: &Key) {
        let time = self.core.time;
        let Some(alert) = self.alerts.get(key) else { return };
        let mut at: Vec<u64> = self.tells_at(alert).into_iter().filter(|at| *at > time).collect();
        match self.rules.get(&key.rule) {
            Some(rule) => {
                at.extend(alert.matures(rule));
                let patience = rule.hold.0.max(FORGOTTEN_MS);
                let waits = alert.unknown.filter(|_| alert.phase == Phase::Pending);
                at.extend(waits.map(|unknown| unknown + patience));
            }
            None if alert.phase != Phase::Resolved => at.push(time),
            None => {}
        }
        let last = alert.flips.last();
        if alert.flapping {
            at.extend(last.map(|last| last + SETTLED_MS));
        }
        if alert.phase == Phase::Resolved && alert.told.what == Spoken::Nothing {
            let flips = last.map_or(0, |last| last + FLAP_WITHIN_MS);
            at.push(flips.max(alert.told.cooled).max(time + 1));
        }
        let next = at.into_iter().min();
        if next == alert.timer {
            return;
        }
        if let Some(old) = alert.timer {
            self.timers.remove(&(old, key.clone()));
        }
        self.timers.extend(next.map(|next| (next, key.clone())));
        if let Some(alert) = self.alerts.get_mut(key) {
            alert.timer = next;
        }
    }
}

/// What a name in a rule's message stands for.
fn filled(alert: &Alert, rule: &Rule, name: &str) -> Option<String> {
    let reading = alert.reading.as_ref();
    Some(match name {
        "rule" => rule.name.clone(),
        "description" => rule.description.clone(),
        "severity" => rule.severity.word().to_owned(),
        "for" => rule.hold.to_string(),
        "host" => alert.host_name.clone(),
        "instance" => alert.key.instance.clone(),
        "value" => reading?.shown.clone(),
        "limit" => reading?.limit.clone(),
        label => alert.labels.get(label.strip_prefix("label.")?)?.clone(),
    })
}
