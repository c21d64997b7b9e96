//! `system`: mounts, interfaces, logins, packages, and scheduled jobs of hosts.

use super::processes::about;
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::Call;
use cmdr_protocol::system::{
    Found, Interface, Interfaces, Job, Jobs, Login, Logins, Mount, Mounts, Package, Packages,
};
use serde::Serialize;
use std::time::Duration;

/// Show what else there is on a host or more: mounts, interfaces, logins, packages, jobs.
#[derive(Debug, Args)]
pub struct SystemArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Mounted file systems, with how full they are.
    Mounts {
        #[command(flatten)]
        on: On,
        /// Also those that hold no data of anybody's, such as proc.
        #[arg(long)]
        all: bool,
    },
    /// Network interfaces, with addresses and errors.
    Interfaces(On),
    /// Users who are logged in.
    Logins(On),
    /// Packages that are installed.
    Packages {
        #[command(flatten)]
        on: On,
        /// Only those whose name contains this.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        name: String,
        /// Only those for which the host knows a newer version.
        #[arg(long)]
        upgradable: bool,
    },
    /// Scheduled jobs: cron and timers.
    Jobs(On),
}

#[derive(Debug, Args)]
struct On {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,
}

/// A row with its host.
#[derive(Debug, Serialize)]
pub(super) struct Of<T> {
    host: String,
    #[serde(flatten)]
    pub(super) row: T,
}

/// How long a page of packages may take unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_mins(1);
/// The most pages of packages of one host that are asked for.
const PAGES: usize = 50;

pub(super) async fn run(app: &App, args: &SystemArgs) -> Result<Exit, Failure> {
    match &args.what {
        What::Mounts { on, all } => show(app, &on.selector, Mounts { all: *all }, mounts()).await,
        What::Interfaces(on) => show(app, &on.selector, Interfaces {}, interfaces()).await,
        What::Logins(on) => show(app, &on.selector, Logins {}, logins()).await,
        What::Jobs(on) => show(app, &on.selector, Jobs {}, jobs()).await,
        What::Packages { on, name, upgradable } => {
            let call =
                Packages { name: name.clone(), upgradable: *upgradable, ..Packages::default() };
            packages(app, on, call).await
        }
    }
}

/// Asks each host and shows all rows.
pub(super) async fn show<T, C>(
    app: &App,
    selector: &str,
    call: C,
    columns: Vec<Column<Of<T>>>,
) -> Result<Exit, Failure>
where
    T: Serialize + serde::de::DeserializeOwned,
    C: Call<Reply = Found<T>>,
{
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(selector).await?;
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for (target, answer) in hub.ask_hosts(&targets, &call).await {
        match answer {
            Ok(found) => {
                for note in &found.notes {
                    app.out.note(&about(&target.name, note));
                }
                let host = &target.name;
                rows.extend(found.rows.into_iter().map(|row| Of { host: host.clone(), row }));
            }
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    told(app, exit, &rows, &with_host(columns, targets.len()))
}

fn told<T: Serialize>(
    app: &App,
    exit: Exit,
    rows: &[Of<T>],
    columns: &[Column<Of<T>>],
) -> Result<Exit, Failure> {
    if exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(rows, columns, |row| row.host.clone())?;
    }
    Ok(exit)
}

fn with_host<T>(columns: Vec<Column<Of<T>>>, hosts: usize) -> Vec<Column<Of<T>>> {
    let host = (hosts > 1).then(|| Column::text("HOST", |r: &Of<T>| r.host.as_str().into()));
    host.into_iter().chain(columns).collect()
}

/// Packages come in pages; all of one host are asked for one after the other.
async fn packages(app: &App, on: &On, call: Packages) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&on.selector).await?;
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    // What an upgrade would bring takes a package manager a while to find out.
    let patience = app.patience_or(PATIENCE);
    for (target, first) in hub.ask_hosts_within(&targets, &call, patience).await {
        let mut answer = first;
        let mut got = 0;
        for page in 0..PAGES {
            match answer {
                Ok(found) => {
                    if page == 0 {
                        for note in &found.notes {
                            app.out.note(&about(&target.name, note));
                        }
                    }
                    got += found.packages.len();
                    let more = !found.packages.is_empty() && got < found.total as usize;
                    let host = &target.name;
                    let page = found.packages.into_iter();
                    rows.extend(page.map(|row| Of { host: host.clone(), row }));
                    if !more {
                        break;
                    }
                    let skip = u32::try_from(got).unwrap_or(u32::MAX);
                    answer = hub.ask_host(target.id, &Packages { skip, ..call.clone() }).await;
                }
                Err(failure) => {
                    app.out.warn(&about(&target.name, &failure.message));
                    exit = exit.worst(failure.exit);
                    break;
                }
            }
        }
    }
    let columns: Vec<Column<Of<Package>>> = vec![
        Column::text("PACKAGE", |r: &Of<Package>| r.row.name.as_str().into()),
        Column::text("VERSION", |r: &Of<Package>| r.row.version.as_str().into()),
        Column::text("NEWER", |r: &Of<Package>| Cell::painted(r.row.newer.as_str(), Paint::Warn)),
        Column::text("ARCH", |r: &Of<Package>| r.row.arch.as_str().into()).wide(),
        Column::text("SUMMARY", |r: &Of<Package>| r.row.summary.as_str().into()),
    ];
    told(app, exit, &rows, &with_host(columns, targets.len()))
}

fn bytes(n: Option<u64>) -> Cell {
    n.map(|n| human::bytes(n).into()).unwrap_or_default()
}

fn moment(at_s: Option<u64>) -> Cell {
    at_s.filter(|s| *s > 0).map(|s| human::moment(s * 1000).into()).unwrap_or_default()
}

fn mounts() -> Vec<Column<Of<Mount>>> {
    vec![
        Column::text("MOUNT", |r: &Of<Mount>| r.row.mount.as_str().into()),
        Column::text("DEVICE", |r: &Of<Mount>| r.row.device.as_str().into()),
        Column::text("KIND", |r: &Of<Mount>| r.row.kind.as_str().into()),
        Column::figure("SIZE", |r: &Of<Mount>| bytes(r.row.total)),
        Column::figure("FREE", |r: &Of<Mount>| bytes(r.row.free)),
        Column::figure("USED", |r: &Of<Mount>| match (r.row.total, r.row.free) {
            (Some(total), Some(free)) if total > 0 => {
                let used = total.saturating_sub(free) * 100 / total;
                let paint = if used >= 90 { Paint::Bad } else { Paint::Plain };
                Cell::painted(format!("{used}%"), paint)
            }
            _ => Cell::default(),
        }),
        Column::figure("INODES", |r: &Of<Mount>| match r.row.inodes {
            0 => Cell::default(),
            all => {
                let used = all.saturating_sub(r.row.inodes_free).saturating_mul(100) / all;
                format!("{used}%").into()
            }
        }),
        Column::text("MODE", |r: &Of<Mount>| if r.row.read_only { "ro" } else { "rw" }.into()),
        Column::text("OPTIONS", |r: &Of<Mount>| r.row.options.as_str().into()).wide(),
    ]
}

fn interfaces() -> Vec<Column<Of<Interface>>> {
    vec![
        Column::text("INTERFACE", |r: &Of<Interface>| r.row.name.as_str().into()),
        Column::text("STATE", |r: &Of<Interface>| {
            let paint = if r.row.state == "up" { Paint::Good } else { Paint::Dim };
            Cell::painted(r.row.state.as_str(), paint)
        }),
        Column::figure("MBIT/S", |r: &Of<Interface>| {
            r.row.speed.map(|n| n.to_string().into()).unwrap_or_default()
        }),
        Column::figure("MTU", |r: &Of<Interface>| r.row.mtu.to_string().into()),
        Column::text("MAC", |r: &Of<Interface>| r.row.mac.as_str().into()),
        Column::figure("RECEIVED", |r: &Of<Interface>| bytes(Some(r.row.received))),
        Column::figure("SENT", |r: &Of<Interface>| bytes(Some(r.row.sent))),
        Column::figure("ERRORS", |r: &Of<Interface>| r.row.errors.to_string().into()),
        Column::figure("DROPS", |r: &Of<Interface>| r.row.drops.to_string().into()),
        Column::text("ADDRESSES", |r: &Of<Interface>| r.row.addresses.join(" ").into()),
    ]
}

fn logins() -> Vec<Column<Of<Login>>> {
    vec![
        Column::text("USER", |r: &Of<Login>| r.row.user.as_str().into()),
        Column::text("TERMINAL", |r: &Of<Login>| r.row.terminal.as_str().into()),
        Column::text("FROM", |r: &Of<Login>| r.row.from.as_str().into()),
        Column::text("SINCE", |r: &Of<Login>| moment(Some(r.row.since_s))),
        Column::figure("IDLE", |r: &Of<Login>| {
            r.row.idle_s.map(|s| format!("{s}s").into()).unwrap_or_default()
        }),
        Column::figure("PID", |r: &Of<Login>| r.row.pid.to_string().into()).wide(),
    ]
}

fn jobs() -> Vec<Column<Of<Job>>> {
    vec![
        Column::text("KIND", |r: &Of<Job>| r.row.kind.as_str().into()),
        Column::text("WHEN", |r: &Of<Job>| r.row.when.as_str().into()),
        Column::text("USER", |r: &Of<Job>| r.row.user.as_str().into()),
        Column::text("NEXT", |r: &Of<Job>| moment(r.row.next_s)),
        Column::text("LAST", |r: &Of<Job>| moment(r.row.last_s)),
        Column::text("SOURCE", |r: &Of<Job>| r.row.source.as_str().into()).wide(),
        Column::text("COMMAND", |r: &Of<Job>| r.row.command.as_str().into()),
    ]
}
