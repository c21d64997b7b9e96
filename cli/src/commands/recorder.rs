//! `recorder`: what hosts' flight recorders saw: who was on top at a moment, and when it was busiest.

use super::processes::about;
use crate::App;
use crate::args::{self, When};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format};
use clap::Args;
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::recorder::{At, Group, Kind, List, Listing, Moment, Range, Steps, Top};
use serde::Serialize;
use std::time::Duration;

/// Show who used a host's processors, memory and disks at a moment that has passed.
///
/// Every agent keeps a flight recorder: at each second the heaviest processes, programs, units and containers, in 100 MB
/// on its disk. "What was it, last night at three?" is: cmdr recorder web1 --span 12h, then --at with the time of
/// the peak. Times are UTC.
#[derive(Debug, Args)]
pub struct RecorderArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// At this moment: 2h ago as 2h, or a time, which is by the host's clock [default: now].
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    at: Option<When>,

    /// Instead of one moment the course of so much time: how busy, when most so, by whom.
    #[arg(long, value_name = "DURATION", value_parser = args::duration, conflicts_with = "at")]
    span: Option<Duration>,

    /// Until when the span goes [default: now].
    #[arg(long, value_name = "WHEN", value_parser = args::when, requires = "span")]
    until: Option<When>,

    /// In so many steps.
    #[arg(long, value_name = "N", default_value_t = 30, requires = "span")]
    steps: u32,

    /// Show instead how far back it reaches, and what it takes.
    #[arg(long, conflicts_with_all = ["at", "span"])]
    info: bool,
}

#[derive(Serialize)]
struct Seen {
    host: String,
    time: String,
    at_ms: u64,
    cpu_percent: f64,
    cores: u32,
    memory_total: u64,
    memory_used: u64,
    processes: u32,
    looked_at: u32,
    unaccounted_percent: f64,
    tops: Vec<Process>,
    groups: Vec<Belonging>,
}

/// One process as data: the field names are a promise.
#[derive(Serialize)]
struct Process {
    pid: u32,
    user: String,
    state: String,
    cpu_percent: f64,
    memory: u64,
    read_bps: Option<u64>,
    written_bps: Option<u64>,
    place: String,
    name: String,
    command: String,
}

/// What belongs together, as data: the field names are a promise.
#[derive(Serialize)]
struct Belonging {
    kind: Kind,
    name: String,
    id: Option<String>,
    processes: u32,
    cpu_percent: f64,
    memory: u64,
    read_bps: Option<u64>,
    written_bps: Option<u64>,
    received_bps: Option<u64>,
    sent_bps: Option<u64>,
}

fn share(permille: u32) -> f64 {
    f64::from(permille) / 10.0
}

impl Process {
    fn new(top: Top) -> Self {
        Self {
            pid: top.pid,
            user: top.user,
            state: top.state,
            cpu_percent: share(top.cpu),
            memory: top.memory,
            read_bps: top.read,
            written_bps: top.written,
            place: top.place,
            name: top.name,
            command: top.command,
        }
    }
}

impl Belonging {
    fn new(group: Group) -> Self {
        Self {
            kind: group.kind,
            name: group.name,
            id: (!group.id.is_empty()).then_some(group.id),
            processes: group.count,
            cpu_percent: share(group.cpu),
            memory: group.memory,
            read_bps: group.read,
            written_bps: group.written,
            received_bps: group.received,
            sent_bps: group.sent,
        }
    }
}

impl Seen {
    fn new(host: String, moment: Moment) -> Self {
        Self {
            host,
            time: human::moment(moment.at_ms),
            at_ms: moment.at_ms,
            cpu_percent: share(moment.cpu),
            cores: moment.cores,
            memory_total: moment.memory_total,
            memory_used: moment.memory_used,
            processes: moment.processes,
            looked_at: moment.looked,
            unaccounted_percent: share(moment.unseen),
            tops: moment.tops.into_iter().map(Process::new).collect(),
            groups: moment.groups.into_iter().map(Belonging::new).collect(),
        }
    }

    /// What is true of all of the host.
    fn head(&self) -> String {
        let mut head = format!(
            "{}  {}  CPU {:.1}% of {}  memory {} of {}  {} processes\n",
            clean_to_width(&self.host, 60),
            self.time,
            self.cpu_percent,
            self.cores,
            human::bytes(self.memory_used),
            human::bytes(self.memory_total),
            self.processes,
        );
        if self.unaccounted_percent >= 10.0 {
            let share = format!("{:.0}% of one processor", self.unaccounted_percent);
            head += &share;
            head += " was used by processes that were not seen\n";
        }
        head
    }
}

fn rate(bytes: Option<u64>) -> Cell {
    bytes.map(|n| if n == 0 { "-".to_owned() } else { human::bytes(n) }.into()).unwrap_or_default()
}

fn processes() -> [Column<Process>; 9] {
    [
        Column::figure("PID", |p: &Process| p.pid.to_string().into()),
        Column::text("USER", |p: &Process| p.user.as_str().into()),
        Column::figure("CPU", |p: &Process| format!("{:.1}%", p.cpu_percent).into()),
        Column::figure("MEM", |p: &Process| human::bytes(p.memory).into()),
        Column::figure("READ/S", |p: &Process| rate(p.read_bps)),
        Column::figure("WRITE/S", |p: &Process| rate(p.written_bps)),
        Column::text("PROGRAM", |p: &Process| p.name.as_str().into()),
        Column::text("IN", |p: &Process| p.place.as_str().into()),
        Column::text("COMMAND", |p: &Process| p.command.as_str().into()).wide(),
    ]
}

fn belongings() -> [Column<Belonging>; 9] {
    [
        Column::text("KIND", |g: &Belonging| g.kind.to_string().into()),
        Column::text("NAME", |g: &Belonging| g.name.as_str().into()),
        Column::figure("PROCS", |g: &Belonging| g.processes.to_string().into()),
        Column::figure("CPU", |g: &Belonging| format!("{:.1}%", g.cpu_percent).into()),
        Column::figure("MEM", |g: &Belonging| human::bytes(g.memory).into()),
        Column::figure("READ/S", |g: &Belonging| rate(g.read_bps)),
        Column::figure("WRITE/S", |g: &Belonging| rate(g.written_bps)),
        Column::figure("RX/S", |g: &Belonging| rate(g.received_bps)),
        Column::figure("TX/S", |g: &Belonging| rate(g.sent_bps)),
    ]
}

/// One step as data: the field names are a promise.
#[derive(Serialize)]
struct Step {
    host: String,
    time: String,
    at_ms: u64,
    samples: u32,
    cpu_percent: f64,
    memory_used: u64,
    peak_time: String,
    peak_ms: u64,
    peak_percent: f64,
    busiest: String,
}

fn steps(host: &str, found: Steps) -> impl Iterator<Item = Step> {
    found.steps.into_iter().enumerate().filter(|(_, step)| step.samples > 0).map(
        move |(i, step)| {
            let at_ms = found.from_ms.saturating_add(found.step_ms.saturating_mul(i as u64));
            Step {
                host: host.to_owned(),
                time: human::moment(at_ms),
                at_ms,
                samples: step.samples,
                cpu_percent: share(step.cpu),
                memory_used: step.memory,
                peak_time: human::moment(step.peak_ms),
                peak_ms: step.peak_ms,
                peak_percent: share(step.peak_cpu),
                busiest: step.busiest,
            }
        },
    )
}

fn step_columns(many: bool) -> Vec<Column<Step>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |s: &Step| s.host.as_str().into()));
    }
    columns.extend([
        Column::text("FROM", |s: &Step| s.time.as_str().into()),
        Column::figure("CPU", |s: &Step| format!("{:.1}%", s.cpu_percent).into()),
        Column::figure("MEM", |s: &Step| human::bytes(s.memory_used).into()),
        Column::figure("PEAK", |s: &Step| format!("{:.1}%", s.peak_percent).into()),
        Column::text("AT", |s: &Step| s.peak_time.as_str().into()),
        Column::text("BUSIEST", |s: &Step| s.busiest.as_str().into()),
        Column::figure("SAMPLES", |s: &Step| s.samples.to_string().into()).wide(),
    ]);
    columns
}

/// How a recorder is, as data: the field names are a promise.
#[derive(Serialize)]
struct Info {
    host: String,
    #[serde(flatten)]
    listing: Listing,
}

fn info_columns() -> [Column<Info>; 8] {
    [
        Column::text("HOST", |i: &Info| i.host.as_str().into()),
        Column::text("SINCE", |i: &Info| human::moment(i.listing.from_ms).into()),
        Column::text("UNTIL", |i: &Info| human::moment(i.listing.to_ms).into()),
        Column::figure("SAMPLES", |i: &Info| i.listing.samples.to_string().into()),
        Column::figure("SIZE", |i: &Info| human::bytes(i.listing.bytes).into()),
        Column::figure("OF", |i: &Info| human::bytes(i.listing.keep_bytes).into()),
        Column::figure("COST", |i: &Info| {
            format!("{:.2}%", i.listing.cost_ppm as f64 / 10_000.0).into()
        }),
        Column::figure("SKIPPED", |i: &Info| i.listing.skipped.to_string().into()),
    ]
}

/// What is wrong with a recorder, if anything.
fn troubles(listing: &Listing) -> Vec<String> {
    let mut said = Vec::new();
    if listing.full {
        said.push("the disk of its flight recorder is full".to_owned());
    }
    if listing.squeezed > 0 {
        let what = "old pieces of the recording went before their time: the disk was full";
        said.push(format!("{} {what}", listing.squeezed));
    }
    if listing.damaged > 0 {
        said.push(format!("{} damaged places of the recording are passed over", listing.damaged));
    }
    if listing.lost > 0 {
        said.push(format!("{} samples could not be written", listing.lost));
    }
    said
}

pub(super) async fn run(app: &App, args: &RecorderArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let now_ms = clock::now_ms();
    let mut exit = Exit::Ok;
    let mut fail = |name: &str, failure: Failure| {
        app.out.warn(&about(name, &failure.message));
        exit = exit.worst(failure.exit);
    };
    if args.info {
        let mut rows = Vec::new();
        for (target, answer) in hub.ask_hosts(&targets, &List {}).await {
            match answer {
                Ok(listing) => {
                    for trouble in troubles(&listing) {
                        app.out.warn(&about(&target.name, &trouble));
                    }
                    rows.push(Info { host: target.name.clone(), listing });
                }
                Err(failure) => fail(&target.name, failure),
            }
        }
        app.out.list(&rows, &info_columns(), |r| r.host.clone())?;
    } else if let Some(span) = args.span {
        let to_ms = args.until.map_or(now_ms, |when| when.ms(now_ms));
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let range =
            Range { from_ms: to_ms.saturating_sub(span_ms).max(1), to_ms, steps: args.steps };
        let mut rows = Vec::new();
        for (target, answer) in hub.ask_hosts(&targets, &range).await {
            match answer {
                Ok(found) => rows.extend(steps(&target.name, found)),
                Err(failure) => fail(&target.name, failure),
            }
        }
        app.out.list(&rows, &step_columns(targets.len() > 1), |r| r.host.clone())?;
    } else {
        let at_ms = args.at.map_or(0, |when| when.ms(now_ms));
        let mut seen = Vec::new();
        for (target, answer) in hub.ask_hosts(&targets, &At { at_ms }).await {
            match answer {
                Ok(moment) => seen.push(Seen::new(target.name.clone(), moment)),
                Err(failure) => fail(&target.name, failure),
            }
        }
        show(app, seen)?;
    }
    Ok(exit)
}

fn show(app: &App, seen: Vec<Seen>) -> Result<(), Failure> {
    if app.out.format == Format::Csv {
        let rows: Vec<Process> = seen.into_iter().flat_map(|seen| seen.tops).collect();
        return app.out.list(&rows, &processes(), |p| p.pid.to_string());
    }
    if !app.out.format.is_table() {
        return app.out.list::<Seen>(&seen, &[], |s| s.host.clone());
    }
    for (i, seen) in seen.iter().enumerate() {
        let before = if i > 0 { "\n" } else { "" };
        let tops = app.out.render(&seen.tops, &processes(), |p| p.pid.to_string())?;
        let groups = app.out.render(&seen.groups, &belongings(), |g| g.name.clone())?;
        app.out.data(&format!("{before}{}\n{tops}\n{groups}", seen.head()))?;
    }
    Ok(())
}
