//! What people are told. Each alert knows what was told of it; a notice is the difference between that and how things
//! stand. So nothing is told twice, nothing is lost while something holds it back (a silence, quiet hours, a host that
//! is down), and what came and went meanwhile is not told at all.

use super::LISTED;
use super::machine::{Machine, World};
use super::model::{Alert, Group, Item, Key, Notice, Phase, Said, Spoken};
use super::policy::Policy;
use std::collections::BTreeMap;

/// What an alert without a policy is told by: nobody.
static NOBODY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(Policy::default);

fn label<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
    match name {
        "host" => Some(&alert.host_name),
        "rule" => Some(&alert.key.rule),
        "instance" => Some(&alert.key.instance),
        "severity" => Some(alert.severity.word()),
        name => alert.labels.get(name).map(String::as_str),
    }
}

impl Machine {
    fn policy(&self, alert: &Alert) -> &Policy {
        self.policies.iter().find(|policy| policy.name == alert.policy).unwrap_or(&NOBODY)
    }

    /// Finds out anew what an alert is called, and which policy and group it belongs to; `anew` when policies are others.
    pub(super) fn relabel(&mut self, key: &Key, anew: bool, world: &dyn World) {
        let Some(rule) = self.rules.get(&key.rule).cloned() else { return };
        let mut labels = world.labels(&key.host);
        labels.extend(rule.labels.clone());
        let host_name = world.name(&key.host);
        let Some(alert) = self.alerts.get_mut(key) else { return };
        (alert.labels, alert.host_name, alert.severity) = (labels, host_name, rule.severity);
        let alert = &*alert;
        let picks = |policy: &&Policy| policy.matcher.picks(|name| label(alert, name));
        let own = |policy: &&Policy| alert.phase != Phase::Pending && policy.name == alert.policy;
        let counts = |policy: &&Policy| policy.counts(self.core.wall, world);
        let matching = || self.policies.iter().filter(picks);
        // Who was told that it fires is told that it is over, whatever the hour, unless policies are others now.
        let policy = if anew {
            matching().find(counts).or_else(|| matching().find(own))
        } else {
            matching().find(own).or_else(|| matching().find(counts))
        };
        let mut group = policy.map_or_else(String::new, |policy| policy.name.clone());
        for name in policy.map_or(&[][..], |policy| &policy.group_by) {
            // Names and values come from hosts: what separates them is made visible in them.
            let value = label(alert, name).unwrap_or_default().replace([',', '='], "_");
            for piece in [",", name, "=", &value] {
                group.push_str(piece);
            }
        }
        let name = policy.map_or_else(String::new, |policy| policy.name.clone());
        let old = alert.group.clone();
        if old != group {
            self.leave(&old, key);
        }
        self.members.entry(group.clone()).or_default().insert(key.clone());
        if !self.groups.contains_key(&group) {
            let made = Group { key: group.clone(), ..Group::default() };
            self.groups.insert(group.clone(), made);
            self.touch_group(&group);
        }
        if let Some(alert) = self.alerts.get_mut(key) {
            (alert.policy, alert.group) = (name, group);
        }
        self.touch(key);
    }

    /// Looks at what keeps an alert quiet, whether there is something to tell, and when there will be.
    pub(super) fn look(&mut self, key: &Key, world: &dyn World) {
        let Some(alert) = self.alerts.get(key) else { return };
        let silenced = self
            .core
            .silences
            .values()
            .find(|silence| silence.matcher.picks(|name| label(alert, name)))
            .map(|silence| silence.id);
        let suppressed = self.suppressed(alert, world);
        let changed = (alert.silenced, &alert.suppressed) != (silenced, &suppressed);
        if changed {
            let shown = alert.state();
            if let Some(alert) = self.alerts.get_mut(key) {
                (alert.silenced, alert.suppressed) = (silenced, suppressed);
                if alert.state() == shown {
                    self.touch(key);
                } else {
                    self.note(key, String::new());
                }
            }
        }
        self.speak(key);
        self.reschedule(key);
    }

    /// The host that is down instead: its own, or all that it is reached through.
    fn suppressed(&self, alert: &Alert, world: &dyn World) -> Option<String> {
        if self.down.is_empty() {
            return None;
        }
        let host = &alert.key.host;
        let itself = self.rules.get(&alert.key.rule).is_some_and(|rule| rule.down);
        if !itself && self.down.contains(host) {
            return Some(host.clone());
        }
        let parents = world.parents(host);
        let dead = |parent: &String| parent != host && self.down.contains(parent);
        if parents.iter().all(dead) { parents.into_iter().next() } else { None }
    }

    /// What is to be said of an alert, but for quiet hours.
    fn said(&self, alert: &Alert) -> Option<Said> {
        let time = self.core.time;
        if alert.silenced.is_some() || alert.suppressed.is_some() {
            return None;
        }
        let policy = self.policy(alert);
        let (told, firing) = (&alert.told, alert.phase == Phase::Firing);
        match told.what {
            Spoken::Nothing if !firing || time < told.cooled || alert.ack.is_some() => None,
            Spoken::Nothing | Spoken::Firing if alert.flapping => Some(Said::Flapping),
            Spoken::Nothing => Some(Said::Fired),
            Spoken::Flapping if alert.flapping || (firing && alert.ack.is_some()) => None,
            Spoken::Flapping if firing => Some(Said::Fired),
            Spoken::Flapping => Some(Said::Resolved),
            Spoken::Firing if alert.phase == Phase::Resolved => Some(Said::Resolved),
            Spoken::Firing if !firing || alert.ack.is_some() => None,
            Spoken::Firing => {
                let next = policy.escalate.get(told.level);
                if next.is_some_and(|level| time >= told.first + level.after.0) {
                    return Some(Said::Escalated);
                }
                let repeats = policy.repeat.0 > 0 && time >= told.last + policy.repeat.0;
                repeats.then_some(Said::Repeated)
            }
        }
    }

    /// Times at which there may be something to tell that there is not now.
    pub(super) fn tells_at(&self, alert: &Alert) -> Vec<u64> {
        let policy = self.policy(alert);
        let told = &alert.told;
        match told.what {
            Spoken::Nothing if alert.phase == Phase::Firing => vec![told.cooled],
            Spoken::Firing if alert.phase == Phase::Firing && alert.ack.is_none() => {
                let next = policy.escalate.get(told.level).map(|level| told.first + level.after.0);
                let repeat = (policy.repeat.0 > 0).then(|| told.last + policy.repeat.0);
                next.into_iter().chain(repeat).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Milliseconds for which quiet hours hold an alert back.
    fn quiet(&self, alert: &Alert, world: &dyn World) -> Option<u64> {
        let policy = self.policy(alert);
        if alert.severity >= policy.quiet_spares.0 {
            return None;
        }
        let wall = self.core.wall;
        let left = policy.quiet.iter().filter_map(|q| q.left(wall, world.offset_s(&q.zone, wall)));
        left.max()
    }

    /// Makes sure that an alert's group is told, if there is something to say of it.
    pub(super) fn speak(&mut self, key: &Key) {
        let Some(alert) = self.alerts.get(key) else { return };
        let Some(said) = self.said(alert) else { return };
        let time = self.core.time;
        let policy = self.policy(alert);
        let (wait, interval) = (policy.group_wait.0, policy.group_interval.0);
        let at = |told: Option<u64>| match said {
            Said::Escalated | Said::Repeated => time,
            _ => (time + wait).max(told.map_or(0, |told| told + interval)),
        };
        let key = alert.group.clone();
        let Some(group) = self.groups.get(&key) else { return };
        self.due_at(&key, at(group.told));
    }

    /// A group is told then, or earlier.
    fn due_at(&mut self, key: &str, at: u64) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let old = group.due;
        if old.is_some_and(|old| old <= at) {
            return;
        }
        group.due = Some(at);
        if let Some(old) = old {
            self.due.remove(&(old, key.to_owned()));
        }
        self.due.insert((at, key.to_owned()));
        self.touch_group(key);
    }

    /// Gives the notices of a group: one for those who are told first, one for each step of an escalation.
    pub(super) fn tell(&mut self, key: &str, world: &dyn World) {
        let time = self.core.time;
        let Some(group) = self.groups.get_mut(key) else { return };
        group.due = None;
        self.touch_group(key);
        let mut levels: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
        let (mut said_of, mut held): (Vec<(Key, Said)>, Option<u64>) = (Vec::new(), None);
        for member in self.members.get(key).into_iter().flatten() {
            let Some(alert) = self.alerts.get(member) else { continue };
            let Some(said) = self.said(alert) else { continue };
            if let Some(left) = self.quiet(alert, world) {
                held = Some(held.map_or(left, |held| held.min(left)));
                continue;
            }
            let level = alert.told.level;
            let to = match said {
                Said::Escalated => level + 1..=level + 1,
                // Whoever was told anything of it; at first those are the ones on level 0.
                _ => 0..=level,
            };
            for level in to {
                levels.entry(level).or_default().push(item(alert, said));
            }
            said_of.push((member.clone(), said));
        }
        if let Some(left) = held {
            self.due_at(key, time + left.max(1));
        }
        let Some(policy) =
            said_of.first().and_then(|(k, _)| self.alerts.get(k)).map(|a| self.policy(a).clone())
        else {
            return;
        };
        for (level, mut items) in levels {
            items.sort_by_key(|item| {
                (item.said == Said::Resolved, std::cmp::Reverse(item.severity))
            });
            let more = items.len().saturating_sub(LISTED);
            items.truncate(LISTED);
            let to = match level.checked_sub(1) {
                None => policy.to.clone(),
                Some(step) => policy.escalate.get(step).map(|l| l.to.clone()).unwrap_or_default(),
            };
            let number = self.next();
            let id = format!("{}-n{number}", self.core.name);
            let (policy, group, made_ms) = (policy.name.clone(), key.to_owned(), self.core.wall);
            self.notices.push(Notice { id, policy, group, level, to, items, more, made_ms });
        }
        if let Some(group) = self.groups.get_mut(key) {
            group.told = Some(time);
        }
        for (key, said) in said_of {
            self.told(&key, said, policy.cooldown.0);
        }
    }

    fn told(&mut self, key: &Key, said: Said, cooldown: u64) {
        let time = self.core.time;
        let Some(alert) = self.alerts.get_mut(key) else { return };
        let told = &mut alert.told;
        match said {
            Said::Fired if told.what == Spoken::Flapping => {
                (told.what, told.last) = (Spoken::Firing, time);
            }
            Said::Fired => {
                (told.what, told.level, told.first, told.last) = (Spoken::Firing, 0, time, time);
            }
            Said::Flapping => {
                if told.what == Spoken::Nothing {
                    told.first = time;
                }
                (told.what, told.last) = (Spoken::Flapping, time);
            }
            Said::Resolved => {
                (told.what, told.level, told.cooled) = (Spoken::Nothing, 0, time + cooldown);
            }
            Said::Repeated => told.last = time,
            Said::Escalated => (told.level, told.last) = (told.level + 1, time),
        }
        self.touch(key);
        self.speak(key);
        self.reschedule(key);
    }
}

fn item(alert: &Alert, said: Said) -> Item {
    Item {
        said,
        alert: alert.id.clone(),
        key: alert.key.clone(),
        severity: alert.severity,
        host_name: alert.host_name.clone(),
        message: alert.message.clone(),
        shown: alert.reading.as_ref().map_or_else(String::new, |reading| reading.shown.clone()),
        labels: alert.labels.clone(),
        fired_ms: alert.fired_ms.unwrap_or(alert.pending_ms),
        resolved_ms: alert.resolved_ms,
    }
}
