//! `run stop --all`: ends everything that goes on.

use super::table;
use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use cmdr_protocol::RunId;
use cmdr_protocol::display::clean;
use cmdr_protocol::runs::{List, ListSchedules, Run, RunState, Stop};
use futures::StreamExt as _;
use std::collections::{BTreeMap, BTreeSet};

/// Runs that are stopped at once.
const AT_ONCE: usize = 16;
/// So often it is looked whether others have begun meanwhile.
const ROUNDS: usize = 3;

pub(super) async fn run(app: &App, hub: &Hub, reason: &str) -> Result<Exit, Failure> {
    let mut stopped = Vec::new();
    let mut refused: BTreeMap<RunId, Failure> = BTreeMap::new();
    let mut tried = BTreeSet::new();
    let mut left = open(hub).await?;
    for _ in 0..ROUNDS {
        let some: Vec<_> = left.iter().copied().filter(|run| tried.insert(*run)).collect();
        if some.is_empty() {
            break;
        }
        let stop = async |run| (run, hub.ask(&Stop { run, why: reason.to_owned() }).await);
        let mut stopping = futures::stream::iter(some).map(stop).buffer_unordered(AT_ONCE);
        while let Some((run, answer)) = stopping.next().await {
            match answer {
                Ok(run) => stopped.push(run),
                Err(failure) => drop(refused.insert(run, failure)),
            }
        }
        left = open(hub).await?;
    }
    // What has ended by itself meanwhile could not be stopped either.
    refused.retain(|run, _| left.contains(run));
    stopped.sort_by_key(|run: &Run| std::cmp::Reverse(run.created_ms));
    if !(stopped.is_empty() && app.out.format.is_table()) {
        table(app, &stopped)?;
    }
    app.out.note(&match (stopped.len(), refused.len()) {
        (0, 0) => "no run goes on".to_owned(),
        (some, _) => format!("stopped {}", human::count(some as u64, "run")),
    });
    let mut worst = Exit::Ok;
    for (run, failure) in refused {
        app.out.warn(&format!("run {run} goes on: {}", failure.message));
        worst = worst.worst(failure.exit);
    }
    again(app, hub).await;
    Ok(worst)
}

/// Those that go on and are not being stopped already.
async fn open(hub: &Hub) -> Result<Vec<RunId>, Failure> {
    let mut list = List { open: true, ..List::default() };
    let mut open = Vec::new();
    loop {
        let listing = hub.ask(&list).await?;
        let runs = listing.runs.iter().filter(|run| run.state != RunState::Stopping);
        open.extend(runs.filter_map(|run| run.id));
        if !listing.more || listing.next.is_empty() {
            return Ok(open);
        }
        list.after = listing.next;
    }
}

/// What begins others by itself is said.
async fn again(app: &App, hub: &Hub) {
    let schedules = hub.ask(&ListSchedules {}).await.unwrap_or_default().schedules;
    let on = schedules.iter().filter(|one| !one.paused && !one.gone);
    let on: Vec<_> = on.map(|one| clean(&one.name).into_owned()).collect();
    if !on.is_empty() {
        let names: Vec<_> = on.iter().take(10).map(String::as_str).collect();
        app.out.hint(&format!(
            "{} begin runs again: {}; cmdr run schedule pause NAME stops that",
            human::count(on.len() as u64, "schedule"),
            names.join(", ")
        ));
    }
}
