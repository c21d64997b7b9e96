//! The history of figures, as operators ask for it: only of hosts of which they may.

use super::{HubService, nobody};
use crate::history::source;
use crate::server::Hub;
use cmdr_history::{Error, Source, Store, TierSize};
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_protocol::history::{
    Aggregate, Answer, Line, List, Listed, Listing, METRICS, OfHost, Over, POINTS, Part, Purge,
    Purged, Query, Sized, Sizes, Unit, names,
};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{Call, CallError, HostId, methods};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// About so many points when no step is asked for.
const USUAL: u64 = 300;
/// Figures in one page of a list, of all its hosts together.
const PAGE: usize = 4000;

pub(super) fn register(service: HubService) -> HubService {
    service.on(query).on(list).on(sizes).on(purge)
}

/// The hosts that are meant and of which the caller may ask this, by name.
fn hosts<C: Call>(
    hub: &Hub,
    asked: &Asked,
    selector: &str,
    after: &str,
) -> Result<Vec<(HostId, String)>, CallError> {
    let who = asked.caller.as_ref().map(|caller| hub.who(caller)).ok_or_else(nobody)?;
    let selector = parse(selector)?;
    let method = methods::index(C::METHOD).ok_or_else(nobody)?;
    let mut picked = Vec::new();
    hub.fleet.by_name(after, |id, entry| {
        let host = entry.host(id);
        if selector.as_ref().is_none_or(|s| s.matches(&host)) {
            picked.push((id, host.name));
        }
        ControlFlow::Continue(())
    });
    // Decided outside: it looks hosts up itself.
    picked.retain(|(id, _)| hub.decide(&who, method, Some(""), Some(*id)).is_ok());
    Ok(picked)
}

fn parse(text: &str) -> Result<Option<Selector>, CallError> {
    match text.trim() {
        "" => Ok(None),
        text => Selector::parse(text).map(Some).map_err(|e| CallError::malformed(e.to_string())),
    }
}

fn told(error: &Error) -> CallError {
    let why = std::error::Error::source(error).map(|s| format!(": {s}")).unwrap_or_default();
    let message = format!("{error}{why}");
    match error {
        Error::Invalid(_) | Error::TooMuch { .. } => CallError::malformed(message),
        _ => CallError::failed(message),
    }
}

/// Does something that may wait for a disk.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| CallError::failed(e.to_string()))?.map_err(|e| told(&e))
}

async fn query(hub: Arc<Hub>, asked: Asked, query: Query) -> Result<Answer, CallError> {
    if query.metrics.is_empty() || query.metrics.len() > METRICS {
        return Err(CallError::malformed(format!(
            "1 to {METRICS} names of figures are asked for at once; cmdr chart --list shows them"
        )));
    }
    let to = if query.to_ms == 0 { clock::now_ms() } else { query.to_ms };
    let span = to
        .checked_sub(query.from_ms)
        .filter(|span| *span > 0)
        .ok_or_else(|| CallError::malformed("the time that is asked for ends before it begins"))?;
    let own = hub.history.step_ms().unsigned_abs();
    let step = match query.step_ms {
        0 => nice(span / USUAL, own),
        step => step.max(own).div_ceil(own) * own,
    };
    let store = hub.history.store()?;
    let hosts = hosts::<Query>(&hub, &asked, &query.selector, "")?;
    let over = query.over.unwrap_or(Over::Each);
    let each = over == Over::Each;
    let lines = if each { hosts.len() as u64 } else { 1 } * query.metrics.len() as u64;
    let points = (span / step).saturating_mul(lines);
    if points > POINTS * 64 {
        return Err(too_many(points));
    }
    let ask = cmdr_history::Query {
        sources: hosts.iter().map(|(id, _)| source(*id)).collect(),
        names: query.metrics,
        from_ms: signed(query.from_ms),
        to_ms: signed(to),
        step_ms: signed(step),
        aggregate: match query.aggregate.unwrap_or(Aggregate::Mean) {
            Aggregate::Min => cmdr_history::Aggregate::Min,
            Aggregate::Mean => cmdr_history::Aggregate::Mean,
            Aggregate::Max => cmdr_history::Aggregate::Max,
            Aggregate::P95 => cmdr_history::Aggregate::P95,
            Aggregate::Last => cmdr_history::Aggregate::Last,
            Aggregate::Unknown => {
                return Err(CallError::malformed("a point is a min, mean, max, p95 or last"));
            }
        },
        over: match over {
            Over::Each => cmdr_history::Over::Each,
            Over::Mean => cmdr_history::Over::Mean,
            Over::Min => cmdr_history::Over::Min,
            Over::Max => cmdr_history::Over::Max,
            Over::Sum => cmdr_history::Over::Sum,
            Over::Unknown => {
                return Err(CallError::malformed(
                    "hosts become lines each, or as their mean, min, max or sum",
                ));
            }
        },
    };
    let from = ask.from_ms;
    let answer = aside(move || store.query(&ask)).await?;
    let step = answer.step_ms.max(1);
    let from = from.div_euclid(step) * step;
    let steps = (signed(to) - from + step - 1).div_euclid(step);
    let points: u64 = answer.lines.iter().map(|l| l.points.len() as u64).sum();
    if points > POINTS {
        return Err(too_many(points));
    }
    let known: HashMap<Source, (HostId, String)> =
        hosts.into_iter().map(|(id, name)| (source(id), (id, name))).collect();
    let mut lines: Vec<Line> =
        answer.lines.iter().map(|line| shown(line, &known, from, step)).collect();
    lines.sort_by(|a, b| (&a.metric, &a.name).cmp(&(&b.metric, &b.name)));
    // Gaps are told one by one: a line that is mostly gaps costs as if it were full.
    let spread: u64 = lines.iter().map(|l| l.points.len() as u64).sum();
    if spread > POINTS * 2 {
        return Err(too_many(spread));
    }
    let (from_ms, step_ms) = (from.unsigned_abs(), step.unsigned_abs());
    Ok(Answer { from_ms, step_ms, steps: steps as u32, exact: answer.exact, lines })
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}

fn too_many(points: u64) -> CallError {
    CallError::malformed(format!(
        "{points} points are more than the {POINTS} of one answer; ask for a coarser step, less time, fewer hosts or figures, or hosts together"
    ))
}

/// A step of at least `least` that people read off a chart.
fn nice(least: u64, own: u64) -> u64 {
    const STEPS: [u64; 14] =
        [10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400];
    let steps = STEPS.iter().map(|s| s * 1000);
    steps
        .filter(|step| step.is_multiple_of(own))
        .find(|step| *step >= least)
        .unwrap_or_else(|| least.div_ceil(own).max(1) * own)
}

fn unit(metric: &str) -> Unit {
    names::find(metric).map_or(Unit::Unknown, |m| m.unit)
}

fn shown(
    line: &cmdr_history::Line,
    known: &HashMap<Source, (HostId, String)>,
    from: i64,
    step: i64,
) -> Line {
    let place = |at: i64| ((at - from) / step) as usize;
    let first = line.points.first().map_or(0, |(at, _)| place(*at));
    let mut points = Vec::new();
    for (at, v) in &line.points {
        points.resize(place(*at) - first, None);
        points.push(Some(*v));
    }
    let host = line.source.and_then(|source| known.get(&source));
    Line {
        host: host.map(|(id, _)| *id),
        name: host.map(|(_, name)| name.clone()).unwrap_or_default(),
        unit: unit(&line.name),
        metric: line.name.to_string(),
        first: first as u32,
        points,
    }
}

async fn list(hub: Arc<Hub>, asked: Asked, list: List) -> Result<Listing, CallError> {
    let store = hub.history.store()?;
    let hosts = hosts::<List>(&hub, &asked, &list.selector, &list.after)?;
    aside(move || {
        let (mut listing, mut count) = (Listing::default(), 0);
        for (id, name) in hosts {
            if count >= PAGE {
                listing.next = listing.hosts.last().map(|h| h.name.clone()).unwrap_or_default();
                break;
            }
            let metrics: Vec<Listed> = store.list(&source(id)).iter().map(listed).collect();
            count += metrics.len() + 1;
            listing.hosts.push(OfHost { host: Some(id), name, metrics });
        }
        Ok(listing)
    })
    .await
}

fn listed(series: &cmdr_history::Listed) -> Listed {
    let scale = f64::from(series.name.scale);
    Listed {
        unit: unit(&series.name.text),
        metric: series.name.text.to_string(),
        first_ms: series.first_ms.unsigned_abs(),
        last_ms: series.last_ms.unsigned_abs(),
        last: series.last.map(|(_, v)| v as f64 / scale),
    }
}

async fn sizes(hub: Arc<Hub>, _: Asked, _: Sizes) -> Result<Sized, CallError> {
    let store = hub.history.store()?;
    let targets = hub.remote_write.told();
    aside(move || Ok(Sized { targets, ..sized(&store) })).await
}

fn sized(store: &Store) -> Sized {
    let (sizes, health) = (store.sizes(), store.health());
    let part = |size: TierSize| Part {
        files: size.files,
        bytes: size.bytes,
        values: size.values,
        first_ms: size.first_ms.unwrap_or_default().unsigned_abs(),
        last_ms: size.last_ms.unwrap_or_default().unsigned_abs(),
        ..Part::default()
    };
    let tiers = sizes.tiers.into_iter().zip(store.ladder().tiers()).map(|(size, tier)| Part {
        step_ms: tier.step.as_millis() as u64,
        until_ms: tier.until.map_or(0, |until| until.as_millis() as u64),
        ..part(size)
    });
    Sized {
        hot: part(sizes.hot),
        tiers: tiers.collect(),
        damaged: health.damaged,
        late: health.late,
        ahead: health.ahead,
        full: health.full,
        dropped: health.dropped,
        trouble: health.trouble.unwrap_or_default(),
        targets: Vec::new(),
    }
}

async fn purge(hub: Arc<Hub>, asked: Asked, purge: Purge) -> Result<Purged, CallError> {
    hub.history.store()?;
    // Without a selector those too that have left the fleet.
    let sources = if parse(&purge.selector)?.is_some() {
        let hosts = hosts::<Purge>(&hub, &asked, &purge.selector, "")?;
        if hosts.is_empty() {
            return Err(CallError::not_found(format!("no host is meant by '{}'", purge.selector)));
        }
        Some(hosts.into_iter().map(|(id, _)| source(id)).collect())
    } else {
        None
    };
    let gone = cmdr_history::Purge {
        sources,
        names: (!purge.metrics.is_empty()).then_some(purge.metrics),
        before_ms: (purge.before_ms > 0).then(|| signed(purge.before_ms)),
    };
    let applied = purge.apply;
    let (counted, _) = purged(&hub, gone, applied).await?;
    if applied {
        let by = asked.caller.map(|caller| caller.name).unwrap_or_default();
        tracing::info!(by, samples = counted.values, "history was removed");
    }
    Ok(Purged { values: counted.values, bytes: counted.bytes, applied })
}

/// Removes history, or counts what that would remove; and the oldest that there was.
pub(super) async fn purged(
    hub: &Hub,
    gone: cmdr_history::Purge,
    apply: bool,
) -> Result<(cmdr_history::Purged, Option<u64>), CallError> {
    let store = hub.history.store()?;
    aside(move || {
        let sizes = store.sizes();
        let first = sizes.tiers.iter().chain([&sizes.hot]).filter_map(|part| part.first_ms).min();
        let counted = if apply {
            store.purge(&gone, signed(clock::now_ms()))?
        } else {
            store.purge_preview(&gone)
        };
        Ok((counted, first.map(i64::unsigned_abs)))
    })
    .await
}
