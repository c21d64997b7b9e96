//! `ping`: round trips to the hub, and through it to hosts.

use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::Args;
use cmdr_link::Client;
use cmdr_protocol::ping::Ping;
use cmdr_protocol::{CallError, HostId};
use futures::StreamExt as _;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Measure round trips to the hub and, through it, to hosts.
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Which hosts [default: none, the hub alone].
    #[arg(value_parser = args::selector)]
    selector: Option<String>,

    /// How often.
    #[arg(short, long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,

    /// Pause between two round trips [default: none].
    #[arg(short, long, value_name = "DURATION", value_parser = args::duration)]
    interval: Option<Duration>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    id: Option<String>,
    sent: u32,
    received: u32,
    min_ms: Option<f64>,
    avg_ms: Option<f64>,
    max_ms: Option<f64>,
    version: Option<String>,
    error: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// Asked at once; one stream each.
const AT_ONCE: usize = 64;

async fn measure(
    client: Client,
    to: Option<HostId>,
    name: String,
    args: &PingArgs,
    patience: Duration,
) -> Row {
    let mut took = Vec::new();
    let mut version = None;
    let mut error: Option<CallError> = None;
    let mut sent = 0;
    while sent < args.count {
        if let Some(pause) = args.interval.filter(|_| sent > 0) {
            tokio::time::sleep(pause).await;
        }
        sent += 1;
        let begun = Instant::now();
        match client.call(to, &Ping { payload: vec![0; 32] }, patience).await {
            Ok(pong) => {
                took.push(begun.elapsed());
                version = Some(pong.version);
            }
            Err(e) => {
                error = Some(e);
                break;
            }
        }
    }
    let sum: Duration = took.iter().sum();
    let average = u32::try_from(took.len()).ok().filter(|n| *n > 0).map(|n| sum / n);
    let exit = match &error {
        None => Exit::Ok,
        Some(e) if to.is_none() => Failure::from_hub(e.clone()).exit,
        Some(e) => Exit::of(e.kind),
    };
    Row {
        name,
        id: to.map(|id| id.to_string()),
        sent,
        received: took.len() as u32,
        min_ms: took.iter().min().copied().map(human::ms),
        avg_ms: average.map(human::ms),
        max_ms: took.iter().max().copied().map(human::ms),
        version,
        error: error.map(|e| e.message),
        exit,
    }
}

pub(super) async fn run(app: &App, args: &PingArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = match &args.selector {
        Some(selector) => hub.resolve(selector).await?,
        None => Vec::new(),
    };
    let patience = hub.patience();
    // The hub first and alone: hosts measured meanwhile would slow it down.
    let mut rows = vec![measure(hub.client.clone(), None, "(hub)".into(), args, patience).await];
    let mut hosts: Vec<Row> = futures::stream::iter(targets)
        .map(|t| measure(hub.client.clone(), Some(t.id), t.name, args, patience))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    rows.extend(hosts);
    let columns = [
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::figure("OK", |r: &Row| format!("{}/{}", r.received, r.sent).into()),
        Column::figure("MIN", |r: &Row| shown(r.min_ms)),
        Column::figure("AVG", |r: &Row| shown(r.avg_ms)),
        Column::figure("MAX", |r: &Row| shown(r.max_ms)),
        Column::text("VERSION", |r: &Row| r.version.as_deref().unwrap_or_default().into()),
        Column::text("ERROR", |r: &Row| {
            Cell::painted(r.error.as_deref().unwrap_or_default(), Paint::Bad)
        }),
    ];
    app.out.list(&rows, &columns, |r| r.name.clone())?;
    Ok(rows.iter().map(|r| r.exit).fold(Exit::Ok, Exit::worst))
}

fn shown(ms: Option<f64>) -> Cell {
    ms.map(|ms| human::round_trip(Duration::from_secs_f64(ms / 1000.0)).into()).unwrap_or_default()
}
