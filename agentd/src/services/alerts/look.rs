//! The engine of this host's rules and the life of their alerts: told samples and states, asked what came of them.

use super::super::recorder::Recording;
use super::kept::Kept;
use cmdr_link::clock;
use cmdr_protocol::alerts::away::{Hold, Seen};
use cmdr_protocol::history::names;
use cmdr_protocol::metrics::Metrics;
use cmdr_protocol::states::States;
use cmdr_rules::alerts::{Machine, Now, Phase, World, Write};
use cmdr_rules::told::{self, Figures, Teller, Told};
use cmdr_rules::{Catalog, Compiled, Engine, Host, Rule, Verdict, text};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The host, in the engine: there is only this one.
const HERE: &str = "here";

/// All of it, once there are rules.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Absent until there are rules: a host without any pays nothing.
    running: Option<Box<Running>>,
}

#[derive(Debug)]
struct Running {
    catalog: Catalog,
    engine: Engine,
    teller: Teller,
    host: Host,
    told: Told,
    machine: Machine,
    rules: BTreeMap<String, (Arc<Rule>, Arc<Compiled>)>,
    here: Here,
    began: Instant,
    /// The newest figures of programs and containers that were taken.
    usages: u64,
}

/// What came of a look.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What happened, not numbered yet.
    pub(super) seen: Vec<Seen>,
    /// How all alerts stand, when one is another than before.
    pub(super) snapshot: Vec<Write>,
}

impl Outcome {
    pub(super) fn is_empty(&self) -> bool {
        self.snapshot.is_empty() && self.seen.is_empty()
    }
}

/// What messages say of this host.
#[derive(Debug, Default)]
struct Here {
    name: String,
    labels: BTreeMap<String, String>,
}

impl World for Here {
    fn name(&self, _: &str) -> String {
        self.name.clone()
    }

    fn labels(&self, _: &str) -> BTreeMap<String, String> {
        self.labels.clone()
    }

    fn parents(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn offset_s(&self, _: &str, _: u64) -> i32 {
        0
    }
}

impl Look {
    /// Whether there is nothing to look at.
    pub(super) fn is_idle(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.rules.is_empty())
    }

    /// Goes on from what was kept; what is wrong with rules.
    pub(super) fn resume(&mut self, kept: &Kept) -> Vec<String> {
        if kept.rules.is_empty() {
            return Vec::new();
        }
        let mut running = Running::new(kept.writes.clone());
        let problems = running.put(kept);
        self.running = Some(Box::new(running));
        problems
    }

    /// Looks at these rules from now on; what is wrong with them.
    pub(super) fn put(&mut self, kept: &Kept) -> Vec<String> {
        match &mut self.running {
            Some(running) => running.put(kept),
            None => self.resume(kept),
        }
    }

    /// The units whose states are asked for, when any states are.
    pub(super) fn wanted(&self) -> Option<Vec<String>> {
        let running = self.running.as_ref()?;
        let compiled = || running.rules.values().map(|(_, compiled)| compiled);
        if !compiled().any(|compiled| compiled.needs_states(&running.catalog)) {
            return None;
        }
        let units = compiled().flat_map(|c| c.picked("unit", &running.catalog));
        Some(units.map(str::to_owned).collect())
    }

    /// When something happens by itself.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let due = self.running.as_ref()?.machine.due_in()?;
        // Rules are looked at with each sample anyway: a little later is no harm, turning without end would be.
        Some(Duration::from_millis(due.max(100)))
    }

    /// What holds, and for how long it has.
    pub(super) fn holds(&self, now_ms: u64) -> Vec<Hold> {
        let Some(running) = &self.running else { return Vec::new() };
        // After a restart nothing else is known of what held before.
        let alerts = running.machine.alerts().filter(|alert| {
            alert.phase != Phase::Resolved
                && matches!(alert.verdict, Verdict::True | Verdict::Unknown)
        });
        let hold = |alert: &cmdr_rules::alerts::Alert| Hold {
            rule: alert.key.rule.clone(),
            instance: alert.key.instance.clone(),
            for_ms: now_ms.saturating_sub(alert.pending_ms),
        };
        alerts.map(hold).collect()
    }

    /// Takes a sample and looks.
    pub(super) fn sample(
        &mut self,
        sample: &Metrics,
        recording: &Recording,
        now_ms: u64,
    ) -> Outcome {
        let Some(running) = &mut self.running else { return Outcome::default() };
        running.sample(sample, recording);
        running.turn(now_ms)
    }

    /// Takes how things stand and looks.
    pub(super) fn states(&mut self, states: &States, now_ms: u64) -> Outcome {
        let Some(running) = &mut self.running else { return Outcome::default() };
        let now = running.mono_ms();
        let (engine, told) = (&mut running.engine, &mut running.told);
        running.teller.states(engine, running.host, told, states, now);
        running.turn(now_ms)
    }

    /// Looks.
    pub(super) fn turn(&mut self, now_ms: u64) -> Outcome {
        self.running.as_mut().map_or_else(Outcome::default, |running| running.turn(now_ms))
    }
}

impl Running {
    fn new(writes: Vec<Write>) -> Self {
        let catalog = Catalog::standard();
        let mut engine = Engine::new(catalog.clone());
        let teller = Teller::new(&engine);
        let host = engine.host(HERE, 0);
        told::state(&mut engine, host, ("host", ""), "online", 0);
        Self {
            catalog,
            engine,
            teller,
            host,
            told: Told::default(),
            machine: Machine::resume(HERE, Vec::new(), Vec::new(), writes),
            rules: BTreeMap::new(),
            here: Here::default(),
            began: Instant::now(),
            usages: 0,
        }
    }

    fn mono_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn put(&mut self, kept: &Kept) -> Vec<String> {
        let mut problems = Vec::new();
        let mut rules = BTreeMap::new();
        for text in &kept.rules {
            match text::read(text, &self.catalog) {
                Ok(read) => rules.extend(read.into_iter().map(|(rule, compiled)| {
                    let name = rule.name.clone();
                    let same = self.rules.get(&name).filter(|(known, _)| **known == rule);
                    let rule = same.cloned().unwrap_or((Arc::new(rule), Arc::new(compiled)));
                    (name, rule)
                })),
                Err(wrong) => problems.extend(wrong.first().map(ToString::to_string)),
            }
        }
        for name in self.rules.keys().filter(|name| !rules.contains_key(*name)) {
            self.engine.remove_rule(name);
        }
        for (name, (_, compiled)) in &rules {
            self.engine.put_rule(name, compiled, &[self.host]);
        }
        self.rules = rules;
        self.here = Here { name: kept.name.clone(), labels: kept.labels.clone() };
        let known = self.rules.values().map(|(rule, _)| rule.clone()).collect();
        let now = Now { wall_ms: clock::now_ms(), mono_ms: self.mono_ms() };
        // What ends because its rule has gone is no news: the hub took the rule away.
        drop(self.machine.set_rules(known, now, &self.here));
        for alert in self.machine.alerts() {
            self.engine.follow(&alert.key.rule, &alert.key.host, &alert.key.instance);
        }
        problems
    }

    fn sample(&mut self, sample: &Metrics, recording: &Recording) {
        let mut figures: Vec<(usize, Box<str>, f64)> = Vec::new();
        let mut take = |at: usize, of: &str, value: i64| {
            let scale = names::ALL.get(at).map_or(1.0, |metric| f64::from(metric.scale));
            figures.push((at, of.into(), value as f64 / scale));
        };
        names::steady(sample, &mut take);
        let news = recording.newest(self.usages);
        let usages = news.is_some();
        if let Some(news) = news {
            self.usages = news.number;
            let (groups, containers) = (news.groups, news.containers);
            names::usages(&Metrics { groups, containers, ..Metrics::default() }, &mut take);
        }
        let of = Figures { figures: &figures, steady: true, usages };
        let now = self.mono_ms();
        self.teller.figures(&mut self.engine, self.host, &mut self.told, of, now);
    }

    fn turn(&mut self, wall_ms: u64) -> Outcome {
        let now = Now { wall_ms, mono_ms: self.mono_ms() };
        let changes = self.engine.cycle(now.mono_ms);
        let outcome = self.machine.step(&changes, now, &self.here);
        let seen = outcome.happened.iter().filter_map(|happening| {
            let alert = self.machine.alert(&happening.key);
            let rule = self.rules.get(&happening.key.rule);
            let reading = alert.and_then(|alert| alert.reading.as_ref());
            Some(Seen {
                number: 0,
                alert: happening.alert.clone(),
                rule: happening.key.rule.clone(),
                instance: happening.key.instance.clone(),
                severity: rule?.0.severity.into(),
                state: happening.state.into(),
                message: alert.map(|alert| alert.message.clone()).unwrap_or_default(),
                value: reading.map(|reading| reading.shown.clone()).unwrap_or_default(),
                at_ms: happening.at_ms,
            })
        });
        let seen = seen.collect();
        let other =
            outcome.writes.iter().any(|write| matches!(write, Write::Alert(_) | Write::NoAlert(_)));
        let snapshot = if other { self.machine.snapshot() } else { Vec::new() };
        Outcome { seen, snapshot }
    }
}
