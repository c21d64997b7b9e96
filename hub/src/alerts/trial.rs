//! Tries a rule on the history: when it would have fired.

use super::Alerts;
use crate::history::source;
use crate::server::Hub;
use cmdr_history::{Aggregate, Over, Query, Store};
use cmdr_protocol::history::names;
use cmdr_protocol::rules::{Fired, Tried};
use cmdr_protocol::{CallError, HostId};
use cmdr_rules::backtest::{Sample, run};
use cmdr_rules::{Rule, text};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Values of the history that one try looks at.
const VALUES: u64 = 4_000_000;
/// Times that are told of at most.
const FIRED: usize = 1000;
/// How far apart figures are read, in steps of the history. Farther, and they would be too old between.
const STEPS: [u64; 4] = [1, 3, 6, 12];

impl Alerts {
    /// The one rule of a text, and the figures that it speaks of.
    pub(crate) fn meant(&self, text: &str) -> Result<(Rule, Vec<String>), CallError> {
        let mut rules = text::read(text, &self.catalog).map_err(|problems| {
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            CallError::malformed(all.join("\n"))
        })?;
        if rules.len() != 1 {
            return Err(CallError::malformed(format!(
                "one rule is tried at a time, and the text has {}",
                rules.len()
            )));
        }
        let (rule, compiled) = rules.remove(0);
        let metrics: Vec<String> = compiled.metrics(&self.catalog).map(str::to_owned).collect();
        if metrics.is_empty() {
            return Err(CallError::malformed(
                "this rule is about states alone, of which no history is kept: it cannot be tried",
            ));
        }
        Ok((rule, metrics))
    }
}

/// What is tried on what.
pub(crate) struct Trial {
    pub rule: Rule,
    pub metrics: Vec<String>,
    pub hosts: Vec<(HostId, String)>,
    pub from_ms: i64,
    pub to_ms: i64,
}

impl Trial {
    /// Reads the history and tries the rule, host by host. Takes its time.
    pub(crate) fn run(&self, hub: &Hub, store: &Arc<Store>) -> Result<Tried, CallError> {
        let failed = |e: cmdr_history::Error| CallError::failed(e.to_string());
        let own = hub.history.step_ms().unsigned_abs();
        let span = self.to_ms.abs_diff(self.from_ms);
        // How many series there are shows with the first host; a host has a handful of each.
        let series = (self.hosts.len() * self.metrics.len()).max(1) as u64 * 4;
        let fits = |times: &u64| (span / (own * times)).saturating_mul(series) <= VALUES;
        let times = STEPS.into_iter().find(fits).ok_or_else(|| {
            CallError::malformed(
                "that is too much history for one try; take a shorter time or fewer hosts",
            )
        })?;
        let step = own * times;
        let names: Vec<String> =
            self.metrics.iter().flat_map(|name| [name.clone(), format!("{name}{{*}}")]).collect();
        let mut tried = Tried { step_ms: step, ..Tried::default() };
        for (id, name) in &self.hosts {
            let query = Query {
                sources: vec![source(*id)],
                names: names.clone(),
                from_ms: self.from_ms,
                to_ms: self.to_ms,
                step_ms: i64::try_from(step).unwrap_or(i64::MAX),
                aggregate: Aggregate::Mean,
                over: Over::Each,
            };
            let answer = store.query(&query).map_err(failed)?;
            if answer.lines.is_empty() {
                continue;
            }
            let report = run(&self.rule, hub.alerts.catalog(), samples(*id, &answer))
                .map_err(CallError::failed)?;
            tried.hosts += 1;
            tried.times += report.times;
            tried.firing_ms += report.firing_ms;
            let (first, last) = report.span_ms;
            tried.from_ms = if tried.from_ms == 0 { first } else { tried.from_ms.min(first) };
            tried.to_ms = tried.to_ms.max(last);
            let room = FIRED.saturating_sub(tried.fired.len());
            tried.fired.extend(report.fired.into_iter().take(room).map(|fired| Fired {
                host: Some(*id),
                name: name.clone(),
                instance: fired.instance,
                from_ms: fired.from_ms,
                until_ms: fired.until_ms,
            }));
        }
        tried.fired.sort_by_key(|fired| fired.from_ms);
        Ok(tried)
    }
}

/// One host's history as samples, in the order of their times.
fn samples(id: HostId, answer: &cmdr_history::Answer) -> Vec<Sample> {
    let mut at: BTreeMap<i64, Vec<(String, String, f64)>> = BTreeMap::new();
    let mut known: HashMap<&str, (&'static names::Metric, String)> = HashMap::new();
    for line in &answer.lines {
        let Some(metric) = names::find(&line.name) else { continue };
        let of = line.name.split_once('{').map_or("", |(_, of)| of.trim_end_matches('}'));
        known.insert(&line.name, (metric, of.to_owned()));
    }
    for line in &answer.lines {
        let Some((metric, of)) = known.get(&*line.name) else { continue };
        for (ms, value) in &line.points {
            let value = cmdr_rules::base(metric, *value);
            at.entry(*ms).or_default().push((metric.name.to_owned(), of.clone(), value));
        }
    }
    at.into_iter()
        .map(|(ms, values)| Sample {
            host: id.to_string(),
            at_ms: ms.unsigned_abs(),
            values,
            states: Vec::new(),
        })
        .collect()
}
