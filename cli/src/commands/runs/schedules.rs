//! `run schedule`: runs that begin by the clock.

use crate::App;
use crate::commands::exec::{self, ExecArgs};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::display::clean;
use cmdr_protocol::runs::{DeleteSchedule, ListSchedules, PauseSchedule, PutSchedule, Schedule};

/// Runs that begin by the clock, at the hub.
///
/// Any order can: cmdr exec, cmdr push, cmdr packages, cmdr runbook run and cmdr config push take
/// --schedule NAME with --every or --cron, beside their other options.
#[derive(Debug, Args)]
pub(super) struct ScheduleArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List your schedules; administrators see all.
    #[command(alias = "list")]
    Ls,
    /// Make a schedule of a command, or replace one: short for cmdr exec --schedule NAME.
    ///
    /// Other orders have the same option: cmdr push, cmdr packages, cmdr runbook run and cmdr config push
    /// --schedule NAME --every 1h.
    #[command(override_usage = USAGE)]
    Put(Box<Put>),
    /// Begin no runs by a schedule until it is resumed; those that it has begun go on.
    Pause {
        /// Which.
        name: String,
    },
    /// Begin runs by a schedule again.
    Resume {
        /// Which.
        name: String,
    },
    /// Take a schedule away. Runs that it has begun go on.
    #[command(alias = "rm")]
    Delete {
        /// Which.
        name: String,
    },
}

const USAGE: &str = "cmdr run schedule put [OPTIONS] <--every <DURATION>|--cron <LINE>> <NAME> <SELECTOR> [--] <ARGV>...";

#[derive(Debug, Args)]
struct Put {
    /// Its name.
    name: String,
    #[command(flatten)]
    exec: ExecArgs,
}

pub(super) async fn run(app: &App, hub: &Hub, args: &ScheduleArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => table(app, &hub.ask(&ListSchedules {}).await?.schedules)?,
        Verb::Put(put) => {
            let mut exec = put.exec.clone();
            if exec.run.clock.schedule.replace(put.name.clone()).is_some() {
                return Err(Failure::usage("the schedule's name is given twice"));
            }
            return exec::run(app, exec).await;
        }
        Verb::Pause { name } => pause(app, hub, name, true).await?,
        Verb::Resume { name } => pause(app, hub, name, false).await?,
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

/// Makes a schedule or replaces one.
pub(super) async fn put(app: &App, hub: &Hub, schedule: Schedule) -> Result<Exit, Failure> {
    told(app, &hub.ask(&PutSchedule { schedule }).await?)?;
    Ok(Exit::Ok)
}

async fn pause(app: &App, hub: &Hub, name: &str, paused: bool) -> Result<(), Failure> {
    let schedule = hub.ask(&PauseSchedule { name: name.to_owned(), paused }).await?;
    told(app, &schedule)?;
    if paused && schedule.at_hosts > 0 {
        let hosts = human::count(u64::from(schedule.at_hosts), "host");
        app.out.note(&format!(
            "it is taken back from {hosts}; those that are away may do it until they are back, and tell it then"
        ));
    }
    Ok(())
}

fn told(app: &App, schedule: &Schedule) -> Result<(), Failure> {
    if !app.out.format.is_table() {
        return app.out.one(schedule, &[], &schedule.name);
    }
    let next = schedule
        .next_ms
        .map_or_else(|| "paused".to_owned(), |next| format!("next {}", human::moment(next)));
    app.out.note(&format!("{}: {next}", clean(&schedule.name)));
    Ok(())
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
