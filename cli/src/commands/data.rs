//! `data`: what the hub keeps, by kind, and purging what is old of it.

use crate::App;
use crate::args::{self, When, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::data::{Kept, Kind, Purge, Purged, Sizes};
use cmdr_protocol::display::clean;
use std::time::Duration;

/// What the hub keeps, by kind: how much it is, how far back it reaches, how long it is kept; and removing what is old.
///
/// What the flight recorder of a host keeps on that host is shown by: cmdr recorder HOST --info.
#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what is kept.
    #[command(alias = "list")]
    Ls,
    /// Remove what is old of one kind. It is counted first, and asked about.
    ///
    /// History can be purged by host and figure as well: cmdr history purge.
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
struct PurgeArgs {
    /// Of which kind: history, runs, recordings, alerts, blobs.
    #[arg(value_parser = kind)]
    kind: Kind,
    /// What is older than this: 30d, 2026-11-20.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    before: When,
    /// Only count.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    yes: Yes,
}

/// Reading much of a disk may take a while, and so does removing much.
const PATIENCE: Duration = Duration::from_mins(5);

fn kind(text: &str) -> Result<Kind, String> {
    match Kind::parse(text) {
        Kind::Unknown => {
            let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            Err(format!("there are {}", all.join(", ")))
        }
        kind => Ok(kind),
    }
}

fn since(ms: u64) -> Cell {
    if ms == 0 { Cell::default() } else { human::moment(ms).into() }
}

/// What the configuration says of how long a kind is kept.
fn bounds(kept: &Kept) -> String {
    let mut all = Vec::new();
    if kept.keep_days > 0 {
        all.push(format!("{} days", kept.keep_days));
    }
    if kept.keep_bytes > 0 {
        all.push(human::bytes(kept.keep_bytes));
    }
    if kept.keep_count > 0 {
        all.push(kept.keep_count.to_string());
    }
    all.join(", ")
}

async fn ls(app: &App) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let patience = app.patience_or(PATIENCE);
    let sized = hub.client.call(None, &Sizes {}, patience).await.map_err(Failure::from_hub)?;
    let columns = [
        Column::text("KIND", |k: &Kept| k.kind.as_str().into()),
        Column::figure("COUNT", |k: &Kept| k.count.to_string().into()),
        Column::figure("BYTES", |k: &Kept| human::bytes(k.bytes).into()),
        Column::text("SINCE", |k: &Kept| since(k.first_ms)),
        Column::text("KEPT", |k: &Kept| bounds(k).into()),
        Column::text("PURGE", |k: &Kept| if k.fixed.is_empty() { "by age" } else { "" }.into()),
    ];
    app.out.list(&sized.kinds, &columns, |k| k.kind.to_string())?;
    let mut exit = Exit::Ok;
    for kept in sized.kinds.iter().filter(|kept| !kept.trouble.is_empty()) {
        app.out.warn(&format!("{}: {}", kept.kind, clean(&kept.trouble)));
        exit = Exit::Failed;
    }
    if sized.room > 0 {
        let (free, room) = (human::bytes(sized.free), human::bytes(sized.room));
        app.out.note(&format!("{free} of {room} are free on the hub's disk"));
    }
    Ok(exit)
}

fn told(purged: &Purged, kind: Kind) -> String {
    let mut text = format!("{} of {kind}, about {}", purged.count, human::bytes(purged.bytes));
    if purged.first_ms > 0 {
        let (first, last) = (human::moment(purged.first_ms), human::moment(purged.last_ms));
        text.extend([format!(", from {first} to {last}")]);
    }
    if purged.staying > 0 {
        text.extend([format!("; {} are in use and stay", purged.staying)]);
    }
    text
}

async fn purge(app: &App, args: PurgeArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let kind = args.kind;
    let before_ms = args.before.ms(clock::now_ms());
    let patience = app.patience_or(PATIENCE);
    let ask = async |apply: bool| {
        let purge = Purge { kind, before_ms, apply };
        hub.client.call(None, &purge, patience).await.map_err(Failure::from_hub)
    };
    let counted = ask(false).await?;
    if args.plan || counted.count == 0 {
        app.out.note(&format!("would be removed: {}", told(&counted, kind)));
        return Ok(Exit::Ok);
    }
    let question = format!("Remove {}?", told(&counted, kind));
    app.out.confirm(args.yes.yes, &question, "remove").await?;
    let done = ask(true).await?;
    app.out.note(&format!("removed: {}", told(&done, kind)));
    Ok(Exit::Ok)
}

pub(super) async fn run(app: &App, args: DataArgs) -> Result<Exit, Failure> {
    match args.verb {
        None | Some(Verb::Ls) => ls(app).await,
        Some(Verb::Purge(args)) => purge(app, args).await,
    }
}
