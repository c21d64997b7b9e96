//! `history` and `chart`: what hosts' figures were, as the hub keeps them.

pub(super) mod chart;
mod plot;

use crate::App;
use crate::args::{self, When, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column};
use clap::{Args, Subcommand};
use cmdr_chart::shown;
use cmdr_link::clock;
use cmdr_protocol::display::clean;
use cmdr_protocol::history::{List, Part, Purge, Sizes, Target, Unit};
use serde::Serialize;
use std::time::Duration;

/// What is kept of hosts' figures: which there are, what they take, removing them.
///
/// Their course is drawn by: cmdr chart.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the figures that are kept of hosts, with their last values.
    #[command(alias = "list")]
    Ls {
        /// Which hosts [default: all].
        #[arg(value_parser = args::selector)]
        selector: Option<String>,
    },
    /// Show what the history takes, step by step of its age.
    Sizes,
    /// Remove history. What is to go meets all that is said; it is counted first, and asked about.
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
struct PurgeArgs {
    /// Of which hosts [default: all, those included that have left the fleet].
    #[arg(value_parser = args::selector)]
    selector: Option<String>,
    /// Figures of this name, * being anything [default: all].
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// What is older than this: 30d, 2026-11-20 [default: all].
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    before: Option<When>,
    /// Only count.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    yes: Yes,
}

/// Reading many hosts' files may take a while.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Serialize)]
struct Row {
    host: String,
    metric: String,
    unit: Unit,
    last: Option<f64>,
    first_ms: u64,
    last_ms: u64,
}

async fn ls(app: &App, selector: Option<String>) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut list = List { selector: selector.unwrap_or_default(), ..List::default() };
    let mut rows = Vec::new();
    loop {
        let page = hub.ask(&list).await?;
        for host in page.hosts {
            let name = host.name;
            rows.extend(host.metrics.into_iter().map(|m| Row {
                host: name.clone(),
                metric: m.metric,
                unit: m.unit,
                last: m.last,
                first_ms: m.first_ms,
                last_ms: m.last_ms,
            }));
        }
        if page.next.is_empty() {
            break;
        }
        list.after = page.next;
    }
    let columns = [
        Column::text("HOST", |r: &Row| r.host.as_str().into()),
        Column::text("FIGURE", |r: &Row| r.metric.as_str().into()),
        Column::figure("LAST", |r: &Row| {
            r.last.map(|v| shown(v, r.unit)).unwrap_or_default().into()
        }),
        Column::text("SINCE", |r: &Row| human::moment(r.first_ms).into()),
        Column::text("UNTIL", |r: &Row| human::moment(r.last_ms).into()),
    ];
    app.out.list(&rows, &columns, |r| r.metric.clone())?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Size {
    what: String,
    #[serde(flatten)]
    part: Part,
}

fn since(ms: u64) -> Cell {
    if ms == 0 { Cell::default() } else { human::moment(ms).into() }
}

async fn sizes(app: &App) -> Result<Exit, Failure> {
    let sized = Hub::connect(app).await?.ask(&Sizes {}).await?;
    let age = |ms: u64| match ms {
        0 => "for good".to_owned(),
        ms => format!("to {}", human::span(ms / 1000)),
    };
    let step = |part: &Part| match part.step_ms {
        0 => format!("as it came, {}", age(part.until_ms)),
        ms => format!("one in {}, {}", human::span(ms / 1000), age(part.until_ms)),
    };
    let mut rows = vec![Size { what: "not packed yet".into(), part: sized.hot }];
    rows.extend(sized.tiers.iter().map(|part| Size { what: step(part), part: *part }));
    let columns = [
        Column::text("WHAT", |r: &Size| r.what.as_str().into()),
        Column::figure("FILES", |r: &Size| r.part.files.to_string().into()),
        Column::figure("BYTES", |r: &Size| human::bytes(r.part.bytes).into()),
        Column::figure("POINTS", |r: &Size| r.part.values.to_string().into()),
        Column::text("SINCE", |r: &Size| since(r.part.first_ms)),
    ];
    app.out.list(&rows, &columns, |r| r.what.clone())?;
    let told = [
        (sized.damaged, "places on disk are damaged and left out"),
        (sized.late, "samples came too late"),
        (sized.ahead, "samples were from the future: a clock is wrong"),
        (sized.full, "samples had no room"),
        (sized.dropped, "files were removed before their time to make room"),
    ];
    for (n, what) in told.iter().filter(|(n, _)| *n > 0) {
        app.out.warn(&format!("{n} {what}"));
    }
    for target in &sized.targets {
        app.out.note(&sent(target));
        if target.failing_ms > 0 {
            let since = human::moment(target.failing_ms);
            let why = clean(&target.last);
            app.out.warn(&format!("{} takes nothing since {since}: {why}", clean(&target.name)));
        }
    }
    if !sized.trouble.is_empty() {
        app.out.warn(&format!("the history is not written: {}", clean(&sized.trouble)));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

/// How a target of remote write does.
fn sent(target: &Target) -> String {
    let mut text = format!(
        "sent on to {} ({}) since the hub started: {}",
        clean(&target.name),
        clean(&target.server),
        human::count(target.sent, "sample")
    );
    for (n, what) in [(target.refused, "refused"), (target.left_out, "left out")] {
        if n > 0 {
            text.extend([format!(", {n} {what}")]);
        }
    }
    if target.behind_ms > 0 {
        text.extend([format!(", {} behind", human::span(target.behind_ms / 1000))]);
    }
    if target.refused > 0 && target.failing_ms == 0 && !target.last.is_empty() {
        text.extend([format!(" ({})", clean(&target.last))]);
    }
    text
}

async fn purge(app: &App, args: PurgeArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut purge = Purge {
        selector: args.selector.unwrap_or_default(),
        metrics: args.metric.unwrap_or_default(),
        before_ms: args.before.map_or(0, |when| when.ms(clock::now_ms())),
        apply: false,
    };
    let patience = app.patience_or(PATIENCE);
    let ask = async |purge: &Purge| {
        hub.client.call(None, purge, patience).await.map_err(Failure::from_hub)
    };
    let counted = ask(&purge).await?;
    let what = format!(
        "{} of about {} bytes",
        human::count(counted.values, "sample"),
        human::bytes(counted.bytes)
    );
    if args.plan || counted.values == 0 {
        app.out.note(&format!("would be removed: {what}"));
        return Ok(Exit::Ok);
    }
    app.out.confirm(args.yes.yes, &format!("Remove {what}?"), "remove").await?;
    purge.apply = true;
    let done = ask(&purge).await?;
    app.out.note(&format!("removed: {}", human::count(done.values, "sample")));
    Ok(Exit::Ok)
}

pub(super) async fn run(app: &App, args: HistoryArgs) -> Result<Exit, Failure> {
    match args.verb {
        None => ls(app, None).await,
        Some(Verb::Ls { selector }) => ls(app, selector).await,
        Some(Verb::Sizes) => sizes(app).await,
        Some(Verb::Purge(args)) => purge(app, args).await,
    }
}
