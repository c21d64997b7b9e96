//! The machine itself: its time, its steps, what operators ask of it.

use super::model::{Ack, Alert, Core, Group, Happening, Key, Notice, Outcome, Phase, Write};
use super::policy::{Matcher, Policy, Silence};
use super::{MOST, VOUCHED_MS};
use crate::engine::{Change, Verdict};
use crate::problem::cut;
use crate::rule::Rule;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Time that a machine was not running counts, up to a day of it: the wall clock alone says how much it was.
const AWAY_MS: u64 = 24 * 3_600_000;
/// The machine's time ends here, far from where numbers do: clocks that show nonsense are no panic.
const END: u64 = u64::MAX / 4;
/// Silences at once, and the longest.
const SILENCES: usize = 1000;
const SILENT_MS: u64 = 366 * 86_400_000;
/// Characters of what an operator says.
const WORDS: usize = 500;

/// What the clocks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since 1970: shown, and asked for quiet hours; no time is measured by it.
    pub wall_ms: u64,
    /// A clock that only goes forward, in milliseconds from wherever. After a restart it may begin anew.
    pub mono_ms: u64,
}

/// What the machine asks about hosts.
pub trait World {
    /// The host's name.
    fn name(&self, host: &str) -> String;
    /// Its labels.
    fn labels(&self, host: &str) -> BTreeMap<String, String>;
    /// The hosts that it is reached through: it is out of reach when all of them are down.
    fn parents(&self, host: &str) -> Vec<String>;
    /// How many seconds a time zone is ahead of UTC at a time; 0 for zones that are not known.
    fn offset_s(&self, zone: &str, wall_ms: u64) -> i32;
}

/// All alerts.
#[derive(Debug, Default)]
pub struct Machine {
    pub(super) core: Core,
    pub(super) alerts: BTreeMap<Key, Alert>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) members: BTreeMap<String, BTreeSet<Key>>,
    pub(super) rules: BTreeMap<String, Arc<Rule>>,
    pub(super) policies: Vec<Policy>,
    pub(super) timers: BTreeSet<(u64, Key)>,
    pub(super) due: BTreeSet<(u64, String)>,
    /// Hosts that a rule says are down.
    pub(super) down: BTreeSet<String>,
    pub(super) down_changed: bool,
    mono: Option<u64>,
    touched: BTreeSet<Key>,
    touched_groups: BTreeSet<String>,
    core_touched: bool,
    /// What somebody else has seen to hold, until it is heard of: when that was said, and for how long it had held.
    pub(super) vouched: BTreeMap<Key, (u64, u64)>,
    pub(super) happened: Vec<Happening>,
    pub(super) notices: Vec<Notice>,
}

impl Machine {
    /// A machine that knows of no alerts. `name` goes in front of every id: `hub`, or the id of an agent's host.
    pub fn new(name: &str, rules: Vec<Arc<Rule>>, policies: Vec<Policy>) -> Self {
        let mut machine =
            Self { core: Core { name: name.to_owned(), ..Core::default() }, ..Self::default() };
        machine.rules = rules.into_iter().map(|rule| (rule.name.clone(), rule)).collect();
        machine.policies = policies;
        machine
    }

    /// A machine that goes on from what another one wrote, in the order in which it did; several writes of the same
    /// thing are as good as the last. What rules say counts as unknown until they say it again: whoever calls this
    /// has the engine follow every alert of [`Machine::alerts`].
    pub fn resume(
        name: &str,
        rules: Vec<Arc<Rule>>,
        policies: Vec<Policy>,
        writes: impl IntoIterator<Item = Write>,
    ) -> Self {
        let mut machine = Self::new(name, rules, policies);
        for write in writes {
            match write {
                Write::Alert(alert) => {
                    machine.alerts.insert(alert.key.clone(), *alert);
                }
                Write::NoAlert(key) => {
                    machine.alerts.remove(&key);
                }
                Write::Group(group) => {
                    machine.groups.insert(group.key.clone(), group);
                }
                Write::NoGroup(key) => {
                    machine.groups.remove(&key);
                }
                Write::Core(core) => machine.core = Core { name: name.to_owned(), ..core },
            }
        }
        let time = machine.core.time;
        let keys: Vec<Key> = machine.alerts.keys().cloned().collect();
        for key in keys {
            if let Some(alert) = machine.alerts.get_mut(&key) {
                (alert.verdict, alert.timer) = (Verdict::Unknown, None);
                alert.pause(time);
                let group = alert.group.clone();
                machine.members.entry(group).or_default().insert(key.clone());
                if alert.phase == Phase::Firing
                    && machine.rules.get(&key.rule).is_some_and(|r| r.down)
                {
                    machine.down.insert(key.host.clone());
                }
            }
            machine.reschedule(&key);
        }
        for group in machine.groups.values() {
            machine.due.extend(group.due.map(|due| (due, group.key.clone())));
        }
        machine
    }

    /// Everything that it knows, as writes.
    pub fn snapshot(&self) -> Vec<Write> {
        let alerts = self.alerts.values().map(|alert| Write::Alert(Box::new(alert.clone())));
        let groups = self.groups.values().map(|group| Write::Group(group.clone()));
        alerts.chain(groups).chain([Write::Core(self.core.clone())]).collect()
    }

    /// All alerts, those that are over and still remembered included.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// One of them.
    pub fn alert(&self, key: &Key) -> Option<&Alert> {
        self.alerts.get(key)
    }

    /// All silences.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.core.silences.values()
    }

    /// Alerts that there was no room for.
    pub fn refused(&self) -> u64 {
        self.core.refused
    }

    /// In how many milliseconds from its last step something happens by itself; nothing where that is never.
    pub fn due_in(&self) -> Option<u64> {
        let timers = self.timers.first().map(|(at, _)| *at);
        let groups = self.due.first().map(|(at, _)| *at);
        let silences = self.core.silences.values().map(|silence| silence.ends).min();
        let first = [timers, groups, silences].into_iter().flatten().min()?;
        Some(first.saturating_sub(self.core.time))
    }

    /// Takes what rules say now (a verdict that is the same as before changes nothing), lets the time come to `now`
    /// and does what is due.
    pub fn step(&mut self, changes: &[Change], now: Now, world: &dyn World) -> Outcome {
        self.advance(now);
        for change in changes {
            self.hear(change, world);
        }
        self.settle(world)
    }

    /// Somebody else, such as the host's agent while this one was away, knows that a condition has held for so many
    /// milliseconds already: that counts, also where it is not known here before some time, at most [`VOUCHED_MS`].
    pub fn vouch(&mut self, key: &Key, held_ms: u64, now: Now, world: &dyn World) -> Outcome {
        self.advance(now);
        let time = self.core.time;
        match self.alerts.get_mut(key) {
            Some(alert) if alert.phase == Phase::Pending => {
                alert.vouch(held_ms, time);
                self.touch(key);
                self.act(key, world);
            }
            Some(alert) if alert.phase == Phase::Firing => {}
            _ => {
                self.vouched.retain(|_, (at, _)| time - *at <= VOUCHED_MS);
                if self.vouched.len() < MOST {
                    self.vouched.insert(key.clone(), (time, held_ms));
                }
            }
        }
        self.settle(world)
    }

    /// Puts other rules in place. Alerts of rules that are not there any more, or off, are over.
    pub fn set_rules(&mut self, rules: Vec<Arc<Rule>>, now: Now, world: &dyn World) -> Outcome {
        self.advance(now);
        self.rules = rules.into_iter().map(|rule| (rule.name.clone(), rule)).collect();
        let keys: Vec<Key> = self.alerts.keys().cloned().collect();
        for key in keys {
            match self.rules.get(&key.rule) {
                Some(rule) if !rule.off => {
                    self.relabel(&key, false, world);
                    self.reschedule(&key);
                }
                _ => self.end(&key, "the rule has gone"),
            }
        }
        self.settle(world)
    }

    /// Puts other policies in place.
    pub fn set_policies(&mut self, policies: Vec<Policy>, now: Now, world: &dyn World) -> Outcome {
        self.advance(now);
        self.policies = policies;
        let keys: Vec<Key> = self.alerts.keys().cloned().collect();
        for key in keys {
            self.relabel(&key, true, world);
            self.look(&key, world);
        }
        self.settle(world)
    }

    /// Somebody says that they know of an alert: it is not repeated and not escalated any more.
    pub fn acknowledge(
        &mut self,
        key: &Key,
        who: &str,
        why: &str,
        now: Now,
        world: &dyn World,
    ) -> Result<Outcome, String> {
        self.advance(now);
        let alert = self.firing(key)?;
        if let Some(ack) = &alert.ack {
            return Err(format!("{} has acknowledged it already", ack.who));
        }
        let (who, why) = (cut(who, WORDS), cut(why, WORDS));
        let said = format!("{who}: {why}");
        alert.ack = Some(Ack { who, why, at_ms: now.wall_ms });
        self.note(key, said);
        self.look(key, world);
        Ok(self.settle(world))
    }

    /// Takes that back.
    pub fn unacknowledge(
        &mut self,
        key: &Key,
        who: &str,
        now: Now,
        world: &dyn World,
    ) -> Result<Outcome, String> {
        self.advance(now);
        let alert = self.firing(key)?;
        if alert.ack.take().is_none() {
            return Err("nobody has acknowledged it".to_owned());
        }
        self.note(key, cut(who, WORDS));
        self.look(key, world);
        Ok(self.settle(world))
    }

    /// Somebody ends an alert by hand: nothing is known of what it is about any more, and never will be. If its
    /// condition still holds it begins anew with its next verdict.
    pub fn dismiss(
        &mut self,
        key: &Key,
        who: &str,
        why: &str,
        now: Now,
        world: &dyn World,
    ) -> Result<Outcome, String> {
        self.advance(now);
        self.firing(key)?;
        self.end(key, &format!("{}: {}", cut(who, WORDS), cut(why, WORDS)));
        Ok(self.settle(world))
    }

    fn firing(&mut self, key: &Key) -> Result<&mut Alert, String> {
        self.alerts
            .get_mut(key)
            .filter(|alert| alert.phase == Phase::Firing)
            .ok_or_else(|| "this alert does not fire".to_owned())
    }

    /// Keeps alerts quiet for so many milliseconds, a year at most. The silence's number with what follows.
    pub fn silence(
        &mut self,
        matcher: Matcher,
        for_ms: u64,
        who: &str,
        why: &str,
        now: Now,
        world: &dyn World,
    ) -> Result<(u64, Outcome), String> {
        self.advance(now);
        if for_ms == 0 || for_ms > SILENT_MS {
            return Err("a silence lasts between a moment and 366 days".to_owned());
        }
        if self.core.silences.len() >= SILENCES {
            return Err(format!("there are {SILENCES} silences; end some that are not needed"));
        }
        let id = self.next();
        let silence = Silence {
            id,
            matcher,
            who: cut(who, WORDS),
            why: cut(why, WORDS),
            made_ms: now.wall_ms,
            until_ms: now.wall_ms.saturating_add(for_ms),
            ends: self.core.time + for_ms,
        };
        self.core.silences.insert(id, silence);
        self.core_touched = true;
        self.look_at_all(world);
        Ok((id, self.settle(world)))
    }

    /// Ends a silence before its time.
    pub fn unsilence(&mut self, id: u64, now: Now, world: &dyn World) -> Result<Outcome, String> {
        self.advance(now);
        if self.core.silences.remove(&id).is_none() {
            return Err(format!("there is no silence {id}"));
        }
        self.core_touched = true;
        self.look_at_all(world);
        Ok(self.settle(world))
    }

    /// The machine's time goes as the clock that only goes forward. Where that began anew the wall clock says
    /// how long nobody looked.
    fn advance(&mut self, now: Now) {
        let passed = match self.mono {
            Some(mono) => now.mono_ms.saturating_sub(mono),
            None if self.core.wall == 0 => 0,
            None => now.wall_ms.saturating_sub(self.core.wall).min(AWAY_MS),
        };
        self.mono = Some(now.mono_ms);
        self.core.time = self.core.time.max(1).saturating_add(passed).min(END);
        self.core.wall = now.wall_ms;
    }

    pub(super) fn next(&mut self) -> u64 {
        self.core.next += 1;
        self.core_touched = true;
        self.core.next
    }

    /// Does all that is due, and says what came of everything since the last time.
    fn settle(&mut self, world: &dyn World) -> Outcome {
        let time = self.core.time;
        let before = self.core.silences.len();
        self.core.silences.retain(|_, silence| silence.ends > time);
        if self.core.silences.len() < before {
            self.core_touched = true;
            self.look_at_all(world);
        }
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > time {
                break;
            }
            self.timers.pop_first();
            if let Some(alert) = self.alerts.get_mut(&key) {
                alert.timer = None;
            }
            self.act(&key, world);
        }
        if std::mem::take(&mut self.down_changed) {
            self.look_at_all(world);
        }
        while let Some((at, group)) = self.due.first().cloned() {
            if at > time {
                break;
            }
            self.due.pop_first();
            self.tell(&group, world);
        }
        self.outcome()
    }

    fn outcome(&mut self) -> Outcome {
        let mut writes = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            writes.push(match self.alerts.get(&key) {
                Some(alert) => Write::Alert(Box::new(alert.clone())),
                None => Write::NoAlert(key),
            });
        }
        for key in std::mem::take(&mut self.touched_groups) {
            writes.push(match self.groups.get(&key) {
                Some(group) => Write::Group(group.clone()),
                None => Write::NoGroup(key),
            });
        }
        if std::mem::take(&mut self.core_touched) || !writes.is_empty() {
            writes.push(Write::Core(self.core.clone()));
        }
        Outcome {
            writes,
            notices: std::mem::take(&mut self.notices),
            happened: std::mem::take(&mut self.happened),
        }
    }

    pub(super) fn touch(&mut self, key: &Key) {
        self.touched.insert(key.clone());
    }

    pub(super) fn touch_group(&mut self, key: &str) {
        self.touched_groups.insert(key.to_owned());
    }

    pub(super) fn refuse(&mut self) {
        self.core.refused += 1;
        self.core_touched = true;
    }

    /// Remembers for the history what an alert is now.
    pub(super) fn note(&mut self, key: &Key, why: String) {
        self.touch(key);
        if let Some(alert) = self.alerts.get(key) {
            let (alert, state) = (alert.id.clone(), alert.state());
            let at_ms = self.core.wall;
            self.happened.push(Happening { alert, key: key.clone(), state, why, at_ms });
        }
    }

    /// Forgets an alert that nothing more is to be told of.
    pub(super) fn forget(&mut self, key: &Key) {
        let Some(alert) = self.alerts.remove(key) else { return };
        self.touch(key);
        if let Some(at) = alert.timer {
            self.timers.remove(&(at, key.clone()));
        }
        self.leave(&alert.group, key);
    }

    pub(super) fn leave(&mut self, group: &str, key: &Key) {
        let Some(members) = self.members.get_mut(group) else { return };
        members.remove(key);
        if members.is_empty() {
            self.members.remove(group);
            if let Some(at) = self.groups.remove(group).and_then(|group| group.due) {
                self.due.remove(&(at, group.to_owned()));
            }
            self.touch_group(group);
        }
    }

    fn look_at_all(&mut self, world: &dyn World) {
        let keys: Vec<Key> = self.alerts.keys().cloned().collect();
        for key in keys {
            self.look(&key, world);
        }
    }
}
