//! `run schedule`: runs that begin by the clock.

use super::flags;
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::display::clean;
use cmdr_protocol::runs::{
    Command, DeleteSchedule, Line, ListSchedules, Order, PutSchedule, Schedule, Start, When,
};
use std::time::Duration;

/// Runs that begin by the clock, at the hub.
#[derive(Debug, Args)]
pub(super) struct ScheduleArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List your schedules; administrators see all.
    Ls,
    /// Make a schedule or replace one.
    Put(Box<Put>),
    /// Take a schedule away. Runs that it has begun go on.
    Delete {
        /// Which.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Put {
    /// Its name.
    name: String,
    /// Each so often, 10s at least.
    #[arg(long, value_name = "DURATION", value_parser = args::duration, conflicts_with = "cron")]
    every: Option<Duration>,
    /// Minute, hour, day, month and weekday, as in a crontab: '30 3 * * MON-FRI'.
    #[arg(long, value_name = "LINE", required_unless_present = "every")]
    cron: Option<String>,
    /// The time zone of --cron, as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE", default_value = "", requires = "cron")]
    zone: String,
    /// Which hosts; picked anew each time.
    #[arg(value_parser = args::selector)]
    selector: String,
    /// Begin nothing until it is put again without this.
    #[arg(long)]
    paused: bool,
    /// What it is for.
    #[arg(long, default_value = "")]
    note: String,
    /// The number of hosts, where the hub wants it confirmed.
    #[arg(long, value_name = "N")]
    confirm: Option<u32>,
    /// User to run as [default: the agent's own].
    #[arg(short, long)]
    user: Option<String>,
    /// Have the host's shell run one line.
    #[arg(long, value_name = "LINE", conflicts_with = "argv")]
    line: Option<String>,
    /// The command and its arguments, after --.
    #[arg(last = true, value_name = "ARGV", required_unless_present = "line")]
    argv: Vec<String>,
}

pub(super) async fn run(app: &App, hub: &Hub, args: &ScheduleArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => table(app, &hub.ask(&ListSchedules {}).await?.schedules)?,
        Verb::Put(put) => {
            let mut order = Order {
                user: put.user.clone(),
                timeout_ms: app.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
                ..Order::default()
            };
            match &put.line {
                Some(text) => order.line = Some(Line { text: text.clone() }),
                None => order.command = Some(Command { argv: put.argv.clone() }),
            }
            let mut start = Start {
                hosts: put.selector.clone(),
                order,
                confirm: put.confirm,
                note: put.note.clone(),
                ..Start::default()
            };
            flags::confirm(app, hub, &mut start).await?;
            let every = put.every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
            let when = When {
                every_ms: every,
                cron: put.cron.clone().unwrap_or_default(),
                zone: put.zone.clone(),
            };
            let schedule = Schedule {
                name: put.name.clone(),
                when,
                start,
                paused: put.paused,
                ..Schedule::default()
            };
            let made = hub.ask(&PutSchedule { schedule }).await?;
            let next = made.next_ms.map_or_else(|| "paused".to_owned(), human::moment);
            app.out.note(&format!("{}: next {next}", clean(&made.name)));
        }
        Verb::Delete { name } => {
            let gone = hub.ask(&DeleteSchedule { name: name.clone() }).await?;
            let words = if gone.already { "there was none; nothing changed" } else { "is gone" };
            app.out.note(&format!("the schedule {} {words}", clean(name)));
            let left = hub.ask(&ListSchedules {}).await.unwrap_or_default().schedules;
            let left = left.iter().find(|one| one.gone && one.name == *name && !gone.already);
            if let Some(left) = left {
                let hosts = human::count(u64::from(left.at_hosts), "host");
                app.out.note(&format!(
                    "it is taken back from {hosts}; those that are away may do it until they are back, and tell it then"
                ));
            }
        }
    }
    Ok(Exit::Ok)
}

fn when(schedule: &Schedule) -> String {
    match schedule.when.every_ms {
        Some(every) => format!("every {}", human::span(every / 1000)),
        None if schedule.when.zone.is_empty() => clean(&schedule.when.cron).into_owned(),
        None => clean(&format!("{} {}", schedule.when.cron, schedule.when.zone)).into_owned(),
    }
}

/// Whether hosts do it by themselves while the hub is away.
fn alone(schedule: &Schedule) -> String {
    if schedule.hub_only.is_empty() {
        format!("on {}", human::count(u64::from(schedule.at_hosts), "host"))
    } else {
        format!("no: {}", clean(&schedule.hub_only))
    }
}

fn table(app: &App, schedules: &[Schedule]) -> Result<(), Failure> {
    let columns = [
        Column::text("NAME", |r: &Schedule| clean(&r.name).into_owned().into()),
        Column::text("WHEN", |r| when(r).into()),
        Column::text("NEXT", |r| match r.next_ms {
            Some(next) => human::span(next.saturating_sub(clock::now_ms()) / 1000).into(),
            None if r.gone => Cell::painted("gone", Paint::Warn),
            None => Cell::painted("paused", Paint::Warn),
        }),
        Column::text("LAST", |r| r.last.map(|id| id.to_string()).unwrap_or_default().into()),
        Column::text("OPERATOR", |r| clean(&r.operator).into_owned().into()),
        Column::text("HOSTS", |r| clean(&r.start.hosts).into_owned().into()),
        Column::text("ORDER", |r| r.start.order.told().into()),
        Column::text("WITHOUT HUB", |r| alone(r).into()).wide(),
        Column::text("TROUBLE", |r| Cell::painted(clean(&r.trouble).into_owned(), Paint::Bad)),
    ];
    app.out.list(schedules, &columns, |r| r.name.clone())
}
