//! `docker stats`: what containers of one host or more use, as it goes on.

use super::Of;
use super::containers::failed;
use crate::App;
use crate::args;
use crate::commands::interrupted;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use crate::screen::Screen;
use clap::Args;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::short;
use cmdr_protocol::containers::stats::{Figures, Stats};
use cmdr_protocol::human::duration;
use cmdr_protocol::table::Change;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Items that wait to be shown.
const WAITING: usize = 64;
/// Shares of a processor need a second look.
const SECOND: Duration = Duration::from_millis(1500);

/// Show what containers use, until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Only these, by names or ids [default: all that run].
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Show it once.
    #[arg(long)]
    no_stream: bool,

    /// Between two looks.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = duration)]
    interval: Duration,
}

/// Figures as data, in the words of `docker stats --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    #[serde(rename = "CPUPerc")]
    cpu: String,
    mem_usage: String,
    mem_perc: String,
    #[serde(rename = "NetIO")]
    net: String,
    #[serde(rename = "BlockIO")]
    block: String,
    #[serde(rename = "PIDs")]
    pids: String,
}

impl Row {
    fn new(figures: &Figures) -> Self {
        let both = |one, other| format!("{} / {}", human::bytes(one), human::bytes(other));
        Self {
            id: short(&figures.id).to_owned(),
            name: figures.name.clone(),
            cpu: format!("{}.{:02}%", figures.cpu / 100, figures.cpu % 100),
            mem_usage: both(figures.memory, figures.limit),
            mem_perc: human::percent(figures.memory_permille()),
            net: both(figures.received, figures.sent),
            block: both(figures.read, figures.written),
            pids: figures.pids.to_string(),
        }
    }
}

fn columns(many: bool) -> Vec<Column<Of<Row>>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Of<Row>| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("CONTAINER ID", |r: &Of<Row>| r.row.id.as_str().into()),
        Column::text("NAME", |r: &Of<Row>| r.row.name.as_str().into()),
        Column::figure("CPU %", |r: &Of<Row>| r.row.cpu.as_str().into()),
        Column::figure("MEM USAGE / LIMIT", |r: &Of<Row>| r.row.mem_usage.as_str().into()),
        Column::figure("MEM %", |r: &Of<Row>| r.row.mem_perc.as_str().into()),
        Column::figure("NET I/O", |r: &Of<Row>| r.row.net.as_str().into()),
        Column::figure("BLOCK I/O", |r: &Of<Row>| r.row.block.as_str().into()),
        Column::figure("PIDS", |r: &Of<Row>| r.row.pids.as_str().into()),
    ]);
    columns
}

type Told = (usize, Result<Change<Figures>, CallError>);

/// What was told of each host; none before its first word.
type Tables = Vec<Option<BTreeMap<String, Figures>>>;

pub(super) async fn stats(app: &App, args: &StatsArgs) -> Result<Exit, Failure> {
    let screen = Screen::new(app, !args.no_stream)?;
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    tokio::select! {
        biased;
        () = interrupted() => Ok(Exit::Ok),
        result = follow(app, &hub, &targets, args, screen) => result,
    }
}

async fn follow(
    app: &App,
    hub: &Hub,
    targets: &[Target],
    args: &StatsArgs,
    mut screen: Screen,
) -> Result<Exit, Failure> {
    let interval_ms = u64::try_from(args.interval.as_millis()).unwrap_or(u64::MAX);
    let (send, mut news) = mpsc::channel::<Told>(WAITING);
    for (at, target) in targets.iter().enumerate() {
        let (send, client, id) = (send.clone(), hub.client.clone(), target.id);
        // Ends with the program, or when its host does.
        tokio::spawn(async move {
            let mut feed = match client.feed(Some(id), &Stats { interval_ms }).await {
                Ok(feed) => feed,
                Err(e) => return drop(send.send((at, Err(e))).await),
            };
            while let Some(item) = feed.next().await {
                let over = item.is_err();
                if send.send((at, item)).await.is_err() || over {
                    return;
                }
            }
        });
    }
    drop(send);
    let mut tables: Tables = targets.iter().map(|_| None).collect();
    let (mut exit, mut until) = (Exit::Ok, None);
    loop {
        let first = match until {
            None => news.recv().await,
            Some(until) => timeout_at(until, news.recv()).await.unwrap_or_default(),
        };
        let over = first.is_none();
        let mut next = first;
        // All that is there, then one redraw.
        while let Some((at, told)) = next {
            let table = &mut tables[at];
            match told {
                Ok(change) => change.apply(table.get_or_insert_default()),
                Err(e) => {
                    exit = exit.worst(failed(app, &targets[at].name, e));
                    // It has said its word, and what it said before is not so any more.
                    *table = Some(BTreeMap::new());
                }
            }
            next = news.try_recv().ok();
        }
        if args.no_stream && until.is_none() && tables.iter().all(Option::is_some) {
            until = Some(Instant::now() + SECOND);
        }
        let rows = rows(args, targets, &tables);
        if !args.no_stream && !over || args.no_stream && over {
            let text =
                app.out.render(&rows, &columns(targets.len() > 1), |r| r.row.name.clone())?;
            screen.show(&text)?;
        }
        if over {
            return Ok(exit);
        }
    }
}

fn rows(args: &StatsArgs, targets: &[Target], tables: &Tables) -> Vec<Of<Row>> {
    let wanted = |figures: &&Figures| {
        let is = |text: &String| {
            *text == figures.name || text.len() >= 4 && figures.id.starts_with(text)
        };
        args.containers.is_empty() || args.containers.iter().any(is)
    };
    let mut rows = Vec::new();
    for (target, table) in targets.iter().zip(tables) {
        let mut figures: Vec<_> = table.iter().flat_map(BTreeMap::values).filter(wanted).collect();
        figures.sort_by(|a, b| a.name.cmp(&b.name));
        let of = |figures: &Figures| Of { host: target.name.clone(), row: Row::new(figures) };
        rows.extend(figures.into_iter().map(of));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_dockers_words() {
        let figures = Figures {
            id: "a".repeat(64),
            name: "web".into(),
            cpu: 15_005,
            memory: 512 << 20,
            limit: 1 << 30,
            ..Figures::default()
        };
        let row = Row::new(&figures);
        assert_eq!((row.cpu.as_str(), row.mem_perc.as_str()), ("150.05%", "50.0%"));
        assert_eq!(row.mem_usage, "512M / 1.0G");
        let json = serde_json::to_value(&row).unwrap();
        for field in ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }
}
