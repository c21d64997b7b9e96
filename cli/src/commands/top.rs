//! `top`: the live figures of the fleet.

use crate::App;
use crate::args::{self, Watch};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::fleet::{Row, Shown, Watching};
use crate::human;
use crate::output::{Cell, Column, Paint};
use crate::screen::Screen;
use clap::{Args, ValueEnum};
use cmdr_link::clock;
use cmdr_protocol::hosts::HostState;
use std::time::Duration;

/// Show the live figures of hosts, busiest first.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Which hosts [default: all].
    #[arg(value_parser = args::selector)]
    selector: Option<String>,

    /// What comes first: cpu, mem, load, disk, net or name.
    #[arg(long, value_enum, default_value_t, value_name = "KEY", hide_possible_values = true)]
    sort: Sort,

    #[command(flatten)]
    watch: Watch,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Cpu,
    Mem,
    Load,
    Disk,
    Net,
    Name,
}

/// A first sample takes a second.
const FIRST_SAMPLE: Duration = Duration::from_millis(1500);

fn figure(row: &Row, cell: impl Fn(&Shown) -> Cell) -> Cell {
    row.figures.as_ref().map(cell).unwrap_or_default()
}

/// A share that colours itself when it is high.
fn share(text: String, percent: f64) -> Cell {
    let paint = match percent {
        p if p >= 90.0 => Paint::Bad,
        p if p >= 70.0 => Paint::Warn,
        _ => Paint::Plain,
    };
    Cell::painted(text, paint)
}

pub(super) fn cpu(row: &Row) -> Cell {
    figure(row, |f| share(format!("{:.1}%", f.cpu_percent), f.cpu_percent))
}

fn memory_share(f: &Shown) -> f64 {
    if f.memory_total == 0 { 0.0 } else { f.memory_used as f64 * 100.0 / f.memory_total as f64 }
}

pub(super) fn memory(row: &Row) -> Cell {
    figure(row, |f| share(format!("{:.0}%", memory_share(f)), memory_share(f)))
}

pub(super) fn load(row: &Row) -> Cell {
    figure(row, |f| format!("{:.2}", f.load1).into())
}

pub(super) fn disk(row: &Row) -> Cell {
    figure(row, |f| share(format!("{:.0}%", f.disk_percent), f.disk_percent))
}

pub(super) fn rtt(row: &Row) -> Cell {
    let text = |ms: f64| human::round_trip(Duration::from_secs_f64(ms.max(0.0) / 1000.0)).into();
    row.rtt_ms.map(text).unwrap_or_default()
}

fn columns() -> [Column<Row>; 10] {
    [
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::figure("CPU", cpu),
        Column::figure("MEM", memory),
        Column::figure("USED", |r: &Row| figure(r, |f| human::bytes(f.memory_used).into())),
        Column::figure("TOTAL", |r: &Row| figure(r, |f| human::bytes(f.memory_total).into())),
        Column::figure("LOAD", load),
        Column::figure("DISK", disk),
        Column::figure("RX/S", |r: &Row| figure(r, |f| human::bytes(f.rx_bps).into())),
        Column::figure("TX/S", |r: &Row| figure(r, |f| human::bytes(f.tx_bps).into())),
        Column::figure("RTT", rtt),
    ]
}

/// Why a host has no live figures, if that is its state.
fn absent(row: &Row) -> Option<String> {
    if row.state == HostState::Online {
        return None;
    }
    let why = match row.last_drop.as_str() {
        "" => String::new(),
        drop => format!(", {drop}"),
    };
    Some(format!("{} is {}: last seen {} ago{why}", row.name, row.state, row.seen))
}

fn sort(rows: &mut [Row], by: Sort) {
    let key = |row: &Row| {
        row.figures.as_ref().map_or(-1.0, |f| match by {
            Sort::Cpu => f.cpu_percent,
            Sort::Mem => memory_share(f),
            Sort::Load => f.load1,
            Sort::Disk => f.disk_percent,
            Sort::Net => (f.rx_bps + f.tx_bps) as f64,
            Sort::Name => 0.0,
        })
    };
    rows.sort_by(|a, b| key(b).total_cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
}

pub(super) async fn run(app: &App, args: &TopArgs) -> Result<Exit, Failure> {
    let mut screen = Screen::new(app, args.watch.watch.is_some())?;
    let hub = Hub::connect(app).await?;
    let selector = args.selector.as_deref().unwrap_or("*");
    let interval = args.watch.watch.unwrap_or(Duration::from_millis(250));
    hub.check(selector, args.watch.watch.is_some()).await?;
    let mut watching = Watching::start(&hub, selector, interval).await?;
    watching.settle(FIRST_SAMPLE).await?;
    let mut rows = watching.fleet.rows(clock::now_ms());
    if args.selector.is_some() && args.watch.watch.is_none() {
        let absent: Vec<_> = rows.iter().filter_map(absent).collect();
        for words in &absent {
            app.out.warn(words);
        }
        if !absent.is_empty() {
            // Heads and dashes alone would look like an idle fleet.
            if absent.len() < rows.len() || !app.out.format.is_table() {
                sort(&mut rows, args.sort);
                app.out.list(&rows, &columns(), |r| r.name.clone())?;
            }
            return Ok(Exit::Unreachable);
        }
    }
    loop {
        sort(&mut rows, args.sort);
        let text = app.out.render(&rows, &columns(), |r| r.name.clone())?;
        if args.watch.watch.is_none() {
            app.out.data(&text)?;
            return Ok(Exit::Ok);
        }
        screen.show(&text)?;
        rows = watching.next_rows(app.out.format).await?;
    }
}
