//! `ports`: who listens, and who is connected, on one host or on all of them.

use super::processes::about;
use crate::App;
use crate::args::{self, Yes, signal_name};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use clap::Args;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::ports::{List, Socket};
use cmdr_protocol::processes::Signal;
use serde::Serialize;
use std::collections::BTreeSet;

/// Show who listens on which port of one host or more.
///
/// "Who listens on 8080, anywhere?" is: cmdr ports '*' --port 8080
#[derive(Debug, Args)]
pub struct PortsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Only sockets that listen, as without --connected.
    #[arg(long, conflicts_with = "connected")]
    listening: bool,

    /// Also sockets that are connected; with --port also those with that port at the far side.
    #[arg(long)]
    connected: bool,

    /// Also listening sockets of the UNIX family.
    #[arg(long)]
    unix: bool,

    /// Only this port.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Only those whose program contains this, or whose process number or user is this.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    process: String,

    /// Only the first N of each host.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: u32,

    /// Send this signal, by name or number, to the processes that are found. All of them are shown
    /// first.
    #[arg(long, value_name = "SIGNAL", value_parser = args::signal)]
    signal: Option<i32>,

    #[command(flatten)]
    yes: Yes,
}

/// One socket as data: the field names are a promise.
#[derive(Debug, Serialize)]
struct Row {
    host: String,
    protocol: String,
    state: String,
    local_address: String,
    port: u16,
    remote_address: String,
    remote_port: u16,
    pid: Option<u32>,
    program: String,
    command: String,
    user: String,
    receive_queue: u32,
    send_queue: u32,
    #[serde(skip)]
    here: String,
    #[serde(skip)]
    there: String,
    #[serde(skip)]
    process: Option<(HostId, u64)>,
}

impl Row {
    fn new(target: &Target, socket: Socket) -> Self {
        Self {
            here: socket.here(),
            there: socket.there(),
            process: (socket.pid > 0).then_some((target.id, socket.start)),
            host: target.name.clone(),
            protocol: socket.protocol.to_string(),
            state: socket.state.to_string(),
            local_address: socket.local,
            port: socket.port,
            remote_address: socket.remote,
            remote_port: socket.remote_port,
            pid: (socket.pid > 0).then_some(socket.pid),
            program: socket.program,
            command: socket.command,
            user: socket.user,
            receive_queue: socket.received,
            send_queue: socket.sending,
        }
    }

    fn name(&self) -> String {
        self.here.clone()
    }
}

fn columns(many: bool, connected: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("PROTO", |r: &Row| r.protocol.as_str().into()),
        Column::text("STATE", |r: &Row| {
            let paint = match r.state.as_str() {
                "listen" => Paint::Good,
                "close-wait" => Paint::Warn,
                _ => Paint::Plain,
            };
            Cell::painted(r.state.as_str(), paint)
        }),
        Column::text("LOCAL", |r: &Row| r.here.as_str().into()),
    ]);
    if connected {
        columns.push(Column::text("REMOTE", |r: &Row| r.there.as_str().into()));
    }
    columns.extend([
        Column::figure("RECV-Q", |r: &Row| r.receive_queue.to_string().into()).wide(),
        Column::figure("SEND-Q", |r: &Row| r.send_queue.to_string().into()).wide(),
        Column::text("USER", |r: &Row| r.user.as_str().into()),
        Column::figure("PID", |r: &Row| r.pid.map(|p| p.to_string().into()).unwrap_or_default()),
        Column::text("PROGRAM", |r: &Row| r.program.as_str().into()),
        Column::text("COMMAND", |r: &Row| r.command.as_str().into()).wide(),
    ]);
    columns
}

pub(super) async fn run(app: &App, args: &PortsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let list = List {
        connected: args.connected && !args.listening,
        unix: args.unix,
        port: args.port,
        process: args.process.clone(),
        limit: args.limit,
        ..List::default()
    };
    let (mut rows, mut exit, mut answered) = (Vec::new(), Exit::Ok, 0);
    for (target, answer) in hub.ask_hosts(&targets, &list).await {
        match answer {
            Ok(listing) => {
                answered += 1;
                if listing.left_out > 0 {
                    let what = format!(
                        "{}: {} more sockets are left out; ask for a --port or a --process",
                        target.name, listing.left_out
                    );
                    app.out.note(&what);
                }
                if listing.summary.hidden > 0 {
                    let what = format!(
                        "{}: the agent does not see who holds {} of them; it does not run as root",
                        target.name, listing.summary.hidden
                    );
                    app.out.note(&what);
                }
                rows.extend(listing.sockets.into_iter().map(|socket| Row::new(target, socket)));
            }
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    let columns = columns(targets.len() > 1, list.connected);
    if exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, Row::name)?;
    }
    if rows.is_empty() && answered > 0 {
        app.out.note(&format!("no such socket on {answered} of {} hosts", targets.len()));
    }
    match args.signal {
        Some(signal) => Ok(exit.worst(send(app, &hub, args, &rows, signal).await?)),
        None => Ok(exit),
    }
}

/// Sends a signal to each process once, however many sockets it holds.
async fn send(
    app: &App,
    hub: &Hub,
    args: &PortsArgs,
    rows: &[Row],
    signal: i32,
) -> Result<Exit, Failure> {
    let name = signal_name(signal);
    let mut seen = BTreeSet::new();
    let mut targets = Vec::new();
    for row in rows {
        let (Some(pid), Some((host, start))) = (row.pid, row.process) else { continue };
        if seen.insert((host, pid)) {
            let command = if row.command.is_empty() { &row.program } else { &row.command };
            let shown =
                format!("{}: {pid} of {}: {}", row.host, row.user, clean_to_width(command, 60));
            targets.push((host, Signal { pid, start, signal }, shown));
        }
    }
    if targets.is_empty() {
        return Err(Failure::new(Exit::NoMatch, "there is no process to send a signal to"));
    }
    let list: Vec<_> = targets.iter().map(|(.., shown)| shown.as_str()).collect();
    let (question, word) = match targets.len() {
        1 => (format!("Send {name} to {}?", list[0]), "yes".to_owned()),
        many => {
            let list = list.join("\n  ");
            app.out.note(&format!("Send {name} to {many} processes:\n  {list}"));
            (format!("Send {name} to {many} processes?"), many.to_string())
        }
    };
    app.out.confirm(args.yes.yes, &question, &word).await?;
    let mut exit = Exit::Ok;
    for (host, call, shown) in &targets {
        match hub.ask_host(*host, call).await {
            Ok(_) => app.out.note(&format!("{name} to {shown}")),
            Err(failure) => {
                app.out.warn(&format!("{shown}: {}", failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    Ok(exit)
}
