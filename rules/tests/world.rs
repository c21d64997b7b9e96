//! A small fleet for the machine, with a clock that the test moves.

use cmdr_rules::alerts::{
    Item, Key, Machine, Notice, Now, Outcome, Policy, Said, State, World, Write,
};
use cmdr_rules::{Change, Rule, Severity, Span, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Fleet;

impl World for Fleet {
    fn name(&self, host: &str) -> String {
        host.to_uppercase()
    }

    fn labels(&self, host: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("env".to_owned(), if host < "m" { "prod" } else { "test" }.to_owned())])
    }

    /// `child` is behind `gate`, `twin` behind both `gate` and `door`.
    fn parents(&self, host: &str) -> Vec<String> {
        match host {
            "child" => vec!["gate".to_owned()],
            "twin" => vec!["gate".to_owned(), "door".to_owned()],
            _ => Vec::new(),
        }
    }

    fn offset_s(&self, zone: &str, _: u64) -> i32 {
        if zone == "Asia/Shanghai" { 8 * 3600 } else { 0 }
    }
}

/// Wall clock when a trial begins: 2026-11-22 12:00 UTC, a Sunday.
pub(crate) const NOON: u64 = 1_795_348_800_000;

pub(crate) struct Trial {
    pub machine: Machine,
    pub now: Now,
    pub notices: Vec<Notice>,
    /// As a store would have them: written one after the other.
    pub stored: Vec<Write>,
}

pub(crate) fn rule(name: &str, hold_s: u64, clear_s: u64) -> Rule {
    Rule {
        name: name.to_owned(),
        when: "cpu.busy > 90%".to_owned(),
        hold: Span::seconds(hold_s),
        clear_for: Span::seconds(clear_s),
        severity: Severity::Warning,
        message: "{host} {instance}".to_owned(),
        ..Rule::default()
    }
}

pub(crate) fn rules() -> Vec<Arc<Rule>> {
    let down = Rule { down: true, severity: Severity::Critical, ..rule("down", 0, 0) };
    [rule("busy", 60, 30), rule("full", 0, 0), down].into_iter().map(Arc::new).collect()
}

pub(crate) fn policy() -> Policy {
    Policy { name: "all".to_owned(), to: vec!["ops".to_owned()], ..Policy::default() }
}

pub(crate) fn key(host: &str, rule: &str, instance: &str) -> Key {
    Key { host: host.to_owned(), rule: rule.to_owned(), instance: instance.to_owned() }
}

pub(crate) fn change(key: &Key, verdict: Verdict) -> Change {
    let (rule, host, instance) = (key.rule.clone(), key.host.clone(), key.instance.clone());
    Change { rule, host, instance, verdict, reading: None }
}

impl Trial {
    pub(crate) fn new(policies: Vec<Policy>) -> Self {
        let machine = Machine::new("t", rules(), policies);
        let now = Now { wall_ms: NOON, mono_ms: 5_000 };
        Self { machine, now, notices: Vec::new(), stored: Vec::new() }
    }

    pub(crate) fn take(&mut self, outcome: Outcome) -> Vec<Notice> {
        self.stored.extend(outcome.writes);
        self.notices.extend(outcome.notices.clone());
        outcome.notices
    }

    pub(crate) fn say(&mut self, host: &str, rule: &str, verdict: Verdict) -> Vec<Notice> {
        let change = change(&key(host, rule, ""), verdict);
        let outcome = self.machine.step(&[change], self.now, &Fleet);
        self.take(outcome)
    }

    /// Lets both clocks go on, waking up when the machine asks for it.
    pub(crate) fn wait(&mut self, seconds: u64) -> Vec<Notice> {
        let (mut left, mut notices) = (seconds * 1000, Vec::new());
        loop {
            let step = self.machine.due_in().map_or(left, |due| due.min(left));
            left -= step;
            self.now.wall_ms += step;
            self.now.mono_ms += step;
            let outcome = self.machine.step(&[], self.now, &Fleet);
            notices.extend(self.take(outcome));
            if left == 0 {
                return notices;
            }
        }
    }

    pub(crate) fn state(&self, host: &str, rule: &str) -> Option<State> {
        self.machine.alert(&key(host, rule, "")).map(cmdr_rules::alerts::Alert::state)
    }
}

/// What notices say: the level, what is said, the host and the rule.
pub(crate) fn said(notices: &[Notice]) -> Vec<(usize, Said, String)> {
    let of = |notice: &Notice, item: &Item| {
        (notice.level, item.said, format!("{}/{}", item.key.host, item.key.rule))
    };
    notices.iter().flat_map(|n| n.items.iter().map(move |item| of(n, item))).collect()
}
