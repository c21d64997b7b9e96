//! Figures for Prometheus and its likes to scrape: of the hub itself, and the newest of the fleet; and the history of
//! figures as JSON.

use super::bearer::Program;
use super::body::Params;
use super::problem::{Problem, Problems};
use crate::exposition;
use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use cmdr_link::clock;
use cmdr_protocol::alerts::{self, Severity, State};
use cmdr_protocol::history::{Aggregate, List, Over, Query, Sizes, Target, names};
use cmdr_protocol::hosts;
use cmdr_protocol::hub::Info;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use utoipa::{IntoParams, ToSchema};

/// The media type of what Prometheus scrapes.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Samples in the text format, each metric together with what it is.
#[derive(Default)]
struct Text {
    metrics: BTreeMap<String, (&'static str, String, String)>,
}

impl Text {
    fn add(&mut self, name: &str, kind: &'static str, help: &str, labels: &Labels, value: f64) {
        let (.., lines) = self
            .metrics
            .entry(name.to_owned())
            .or_insert_with(|| (kind, help.to_owned(), String::new()));
        // Writing to a text does not fail.
        writeln!(lines, "{name}{} {value}", labels.0).ok();
    }

    fn answer(self) -> Response {
        let mut out = String::new();
        for (name, (kind, help, lines)) in self.metrics {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}").ok();
        }
        ([(header::CONTENT_TYPE, TEXT)], out).into_response()
    }
}

/// Labels as they stand behind a name; what hosts told is made harmless there.
#[derive(Default)]
struct Labels(String);

impl Labels {
    fn of<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::new();
        for (name, value) in labels {
            text.push(if text.is_empty() { '{' } else { ',' });
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(text, "{name}=\"{value}\"").ok();
        }
        if !text.is_empty() {
            text.push('}');
        }
        Self(text)
    }
}

/// Figures of the hub itself.
///
/// In the text format of Prometheus: links, requests, alerts, what the history takes.
#[utoipa::path(
    get, path = "/v1/metrics", operation_id = "hubMetrics", tag = "metrics",
    responses((status = 200, description = "Figures", body = String, content_type = "text/plain"), Problems),
    security(("key" = []))
)]
pub(super) async fn hub(program: Program) -> Result<Response, Problem> {
    let info = program.ask(&Info {}).await?;
    let mut text = Text::default();
    let none = Labels::default();
    let version = Labels::of([("version", info.version.as_str())]);
    let mut gauge = |name: &str, help: &str, labels: &Labels, value: f64| {
        text.add(name, "gauge", help, labels, value);
    };
    gauge("cmdr_hub_info", "the hub's version", &version, 1.0);
    gauge("cmdr_hub_uptime_seconds", "since the hub started", &none, info.uptime_s as f64);
    gauge("cmdr_hub_hosts_online", "hosts whose link is up", &none, f64::from(info.agents));
    gauge("cmdr_hub_clients", "clients whose link is up", &none, f64::from(info.clients));
    let writable = f64::from(u8::from(info.writable));
    gauge("cmdr_hub_writable", "whether the disk takes what is written", &none, writable);
    // Who may not ask for alerts or the history gets the rest.
    if let Ok(listing) = program.ask(&alerts::List::default()).await {
        let mut counts: HashMap<(Severity, State), u32> = HashMap::new();
        for alert in &listing.alerts {
            *counts.entry((alert.severity, alert.state)).or_default() += 1;
        }
        let states = State::ALL.iter().filter(|state| state.is_firing());
        for (severity, state) in
            states.flat_map(|state| Severity::ALL.iter().map(move |s| (*s, *state)))
        {
            let labels = Labels::of([("severity", severity.as_str()), ("state", state.as_str())]);
            let count = counts.get(&(severity, state)).copied().unwrap_or_default();
            gauge("cmdr_alerts", "alerts that fire, by how they stand", &labels, count.into());
        }
    }
    if let Ok(sized) = program.ask(&Sizes {}).await {
        let tiers = sized.tiers.iter().map(|tier| (tier.step_ms.to_string(), tier));
        let parts = std::iter::once(("hot".to_owned(), &sized.hot)).chain(tiers);
        for (name, part) in parts {
            let labels = Labels::of([("part", name.as_str())]);
            let help = "what the history takes on disk, by the step of its parts in milliseconds";
            gauge("cmdr_history_bytes", help, &labels, part.bytes as f64);
        }
        for target in &sized.targets {
            add_target(&mut text, target);
        }
    }
    for (name, help, value) in [
        ("cmdr_hub_relayed_total", "streams relayed", info.relayed),
        ("cmdr_hub_relayed_bytes_total", "bytes relayed", info.relayed_bytes),
        ("cmdr_hub_refused_total", "requests refused", info.refused),
    ] {
        text.add(name, "counter", help, &none, value as f64);
    }
    Ok(text.answer())
}

/// How far samples have come that are sent on.
fn add_target(text: &mut Text, target: &Target) {
    let labels = Labels::of([("target", target.name.as_str())]);
    for (name, help, value) in [
        ("sent", "samples that a target of remote write took", target.sent),
        ("refused", "samples that it refused for good", target.refused),
        ("left_out", "samples that waited for too long", target.left_out),
    ] {
        let name = format!("cmdr_remote_write_{name}_samples_total");
        text.add(&name, "counter", help, &labels, value as f64);
    }
    let behind = target.behind_ms as f64 / 1000.0;
    let help = "the age of the oldest sample that waits for a target of remote write";
    text.add("cmdr_remote_write_behind_seconds", "gauge", help, &labels, behind);
    let failing = f64::from(u8::from(target.failing_ms > 0));
    let help = "whether a target of remote write takes nothing now";
    text.add("cmdr_remote_write_failing", "gauge", help, &labels, failing);
}

/// Which hosts' figures are scraped.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Scraped {
    /// Hosts, as a selector; empty for all.
    #[serde(default)]
    #[param(example = "role=web")]
    hosts: String,
}

/// The newest figures of hosts.
///
/// In the text format of Prometheus, with the host's name and its labels. Hosts that are away have `cmdr_up` 0 and nothing else.
#[utoipa::path(
    get, path = "/v1/metrics/fleet", operation_id = "fleetMetrics", tag = "metrics", params(Scraped),
    responses((status = 200, description = "Figures", body = String, content_type = "text/plain"), Problems),
    security(("key" = []))
)]
pub(super) async fn fleet(
    program: Program,
    Params(scraped): Params<Scraped>,
) -> Result<Response, Problem> {
    let mut text = Text::default();
    let mut known = HashMap::new();
    let mut list = hosts::List { selector: scraped.hosts.clone(), ..hosts::List::default() };
    loop {
        let page = program.ask(&list).await?;
        for host in page.hosts {
            let up = f64::from(u8::from(host.state == hosts::HostState::Online));
            let labels = exposition::of_host(&host.labels);
            let shown = std::iter::once(("host", host.name.as_str()));
            let own = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let help = "whether the host's link is up";
            text.add("cmdr_up", "gauge", help, &Labels::of(shown.chain(own)), up);
            known.insert(host.name, labels);
        }
        if page.next.is_empty() {
            break;
        }
        list.after = page.next;
    }
    let now = clock::now_ms();
    let mut list = List { selector: scraped.hosts, ..List::default() };
    loop {
        let page = program.ask(&list).await?;
        for host in page.hosts {
            let labels = known.get(&host.name).map(Vec::as_slice).unwrap_or_default();
            for figure in &host.metrics {
                let Some(metric) = names::find(&figure.metric) else { continue };
                let fresh = now.saturating_sub(figure.last_ms) <= u64::from(metric.lasts_s) * 1000;
                let Some(value) = figure.last.filter(|_| fresh) else { continue };
                let (name, over) = exposition::named(metric);
                let all = exposition::labels(&host.name, metric, &figure.metric, labels);
                let all = Labels::of(all);
                text.add(&name, "gauge", metric.what, &all, value / over);
            }
        }
        if page.next.is_empty() {
            break;
        }
        list.after = page.next;
    }
    Ok(text.answer())
}

/// What of the history is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Names of figures, separated by commas; `*` is anything.
    #[param(example = "cpu.busy,mount.share{*}")]
    metric: String,
    /// Hosts, as a selector; empty for all.
    #[serde(default)]
    hosts: String,
    /// From then on, milliseconds since 1970.
    from_ms: u64,
    /// Until before then; absent for now.
    #[serde(default)]
    to_ms: u64,
    /// A point for each so many milliseconds; absent for what gives about 300.
    #[serde(default)]
    step_ms: u64,
    /// What a point says: `min`, `mean`, `max`, `p95`, `last`.
    #[serde(default)]
    aggregate: Option<String>,
    /// How hosts become lines: `each`, `mean`, `min`, `max`, `sum`.
    #[serde(default)]
    over: Option<String>,
}

/// Points of figures.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// When the first step begins, milliseconds since 1970.
    from_ms: u64,
    /// How long a step is.
    step_ms: u64,
    lines: Vec<Series>,
}

/// A figure's points.
#[derive(Serialize, ToSchema)]
struct Series {
    /// The host's id; absent for several together.
    host: Option<String>,
    /// Its name.
    name: Option<String>,
    metric: String,
    /// `percent`, `bytes`, `bytes/s`, `count`, `count/s`, `celsius`, `seconds`.
    unit: &'static str,
    /// The step of the first point, from 0.
    first: u32,
    /// Values, step by step; null where there is none.
    points: Vec<Option<f64>>,
}

/// The history of figures.
#[utoipa::path(
    get, path = "/v1/history", operation_id = "history", tag = "metrics", params(Wanted),
    responses((status = 200, description = "Points", body = History), Problems),
    security(("key" = []))
)]
pub(super) async fn history(
    program: Program,
    Params(wanted): Params<Wanted>,
) -> Result<Json<History>, Problem> {
    let query = Query {
        selector: wanted.hosts,
        metrics: wanted.metric.split(',').map(|name| name.trim().to_owned()).collect(),
        from_ms: wanted.from_ms,
        to_ms: wanted.to_ms,
        step_ms: wanted.step_ms,
        aggregate: wanted.aggregate.map(|word| Aggregate::parse(&word)),
        over: wanted.over.map(|word| Over::parse(&word)),
    };
    let answer = program.ask(&query).await?;
    let lines = answer.lines.into_iter().map(|line| Series {
        host: line.host.map(|id| id.to_string()),
        name: line.host.map(|_| line.name),
        metric: line.metric,
        unit: line.unit.as_str(),
        first: line.first,
        points: line.points,
    });
    let lines = lines.collect();
    Ok(Json(History { from_ms: answer.from_ms, step_ms: answer.step_ms, lines }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_told_cannot_break_out_of_a_label() {
        let labels = Labels::of([("host", "a\"} 1\nevil 2\\"), ("mount", "/")]);
        assert_eq!(labels.0, "{host=\"a\\\"} 1\\nevil 2\\\\\",mount=\"/\"}");
    }
}
