//! Tries a rule on what was: when it would have fired, and for how long.

use crate::alerts::{Machine, Now, Phase, World};
use crate::catalog::Catalog;
use crate::check::Compiled;
use crate::engine::{Cell, Engine};
use crate::rule::Rule;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is told of a host in one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The host's id.
    pub host: String,
    /// Milliseconds; samples come in the order of their times.
    pub at_ms: u64,
    /// Metric, instance (empty where a host has one), value.
    pub values: Vec<(String, String, f64)>,
    /// Thing, instance, state.
    pub states: Vec<(String, String, String)>,
}

/// A time in which the rule would have fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The host's id.
    pub host: String,
    /// The instance, or empty.
    pub instance: String,
    /// When it would have fired.
    pub from_ms: u64,
    /// When it would have been over; nothing where the samples end before.
    pub until_ms: Option<u64>,
}

/// What would have been.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How often, at most the first 10,000, in order.
    pub fired: Vec<Fired>,
    /// How often in all.
    pub times: u64,
    /// Milliseconds in which it would have fired, of all hosts and instances together.
    pub firing_ms: u64,
    /// Of the first and the last sample.
    pub span_ms: (u64, u64),
}

/// Times that a report lists.
const LISTED: usize = 10_000;
/// The steps of time: verdicts are looked at this often.
const STEP_MS: u64 = 1000;
/// The same where no samples come, for a day and a bit.
const MISSING_MS: u64 = 30_000;
const MISSING: u64 = 3600;

struct Nobody;

impl World for Nobody {
    fn name(&self, host: &str) -> String {
        host.to_owned()
    }

    fn labels(&self, _: &str) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn parents(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn offset_s(&self, _: &str, _: u64) -> i32 {
        0
    }
}

/// Feeds samples to a rule. Hosts are those that samples are of: the caller picks them. A sample that is older than
/// the one before counts as of the same time.
pub fn run(
    rule: &Rule,
    catalog: &Catalog,
    samples: impl IntoIterator<Item = Sample>,
) -> Result<Report, String> {
    let compiled: Arc<Compiled> = Arc::new(rule.compile(catalog)?);
    let mut engine = Engine::new(catalog.clone());
    let rule = Arc::new(Rule { off: false, ..rule.clone() });
    let mut machine = Machine::new("trial", vec![rule.clone()], Vec::new());
    let (mut hosts, mut known) = (HashMap::new(), Vec::new());
    let mut report = Report::default();
    let mut open: HashMap<(String, String), u64> = HashMap::new();
    let (mut now, mut first, mut next) = (0, None, 0);
    let mut step = |engine: &mut Engine, now: u64, report: &mut Report| {
        let changes = engine.cycle(now);
        let outcome = machine.step(&changes, Now { wall_ms: now, mono_ms: now }, &Nobody);
        for happening in outcome.happened {
            let firing = machine.alert(&happening.key).is_some_and(|a| a.phase == Phase::Firing);
            let of = (happening.key.host, happening.key.instance);
            if firing {
                open.entry(of).or_insert(now);
            } else if let Some(from) = open.remove(&of) {
                report.add(of, from, Some(now));
            }
        }
    };
    for sample in samples {
        let at = now.max(sample.at_ms);
        if at > now && first.is_some() {
            if now >= next {
                step(&mut engine, now, &mut report);
                next = now + STEP_MS;
            }
            // Where samples are missing the time goes on in steps: what they told is known no more after a while.
            for passed in (1..MISSING).map(|n| now + n * MISSING_MS).take_while(|p| *p < at) {
                step(&mut engine, passed, &mut report);
            }
        }
        now = at;
        first.get_or_insert(now);
        let host = if let Some(host) = hosts.get(&sample.host) {
            *host
        } else {
            let host = engine.host(&sample.host, now);
            hosts.insert(sample.host.clone(), host);
            known.push(host);
            engine.put_rule(&rule.name, &compiled, &known);
            host
        };
        let missing =
            |name: &str| format!("a sample has `{name}`, which the catalogue does not have");
        for (metric, instance, value) in &sample.values {
            let cell: Cell = engine.metric(metric).ok_or_else(|| missing(metric))?;
            engine.tell(host, cell, instance, *value, now);
        }
        for (thing, instance, state) in &sample.states {
            let cell: Cell = engine.thing(thing).ok_or_else(|| missing(thing))?;
            engine.tell_state(host, cell, instance, state, now);
        }
    }
    step(&mut engine, now, &mut report);
    let rest: Vec<_> = open.into_iter().collect();
    for (of, from) in rest {
        report.firing_ms += now - from;
        report.add(of, from, None);
    }
    report
        .fired
        .sort_by(|a, b| (a.from_ms, &a.host, &a.instance).cmp(&(b.from_ms, &b.host, &b.instance)));
    report.span_ms = (first.unwrap_or_default(), now);
    Ok(report)
}

impl Report {
    fn add(&mut self, (host, instance): (String, String), from_ms: u64, until_ms: Option<u64>) {
        self.times += 1;
        self.firing_ms += until_ms.map_or(0, |until| until - from_ms);
        if self.fired.len() < LISTED {
            self.fired.push(Fired { host, instance, from_ms, until_ms });
        }
    }
}
