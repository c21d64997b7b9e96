//! `docker start|stop|restart|pause|unpause|kill|rename|rm`: acts on containers of one host or more.

use super::Of;
use super::containers::failed;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use clap::Args;
use cmdr_protocol::Call;
use cmdr_protocol::containers::{
    Done, Kill, Pause, Remove, Rename, Restart, Start, State, Stop, Unpause, short,
};
use futures::StreamExt as _;
use serde::Serialize;
use std::time::Duration;

/// How long an act may take unless `--timeout` says otherwise, beside what the container gets to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Acts that go on at once.
const AT_ONCE: usize = 16;

/// Which containers of which hosts.
#[derive(Debug, Args)]
pub(super) struct OnArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Names or ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,

    #[command(flatten)]
    yes: Yes,
}

/// As [`OnArgs`], of what ends.
#[derive(Debug, Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Kill it after so many seconds [default: what the container says, or 10].
    #[arg(long, value_name = "SECONDS")]
    time: Option<u32>,

    /// Ask it with this signal [default: what the container says, or TERM].
    #[arg(short, long, value_name = "SIGNAL", default_value = "", hide_default_value = true)]
    signal: String,
}

/// As [`OnArgs`], with a signal.
#[derive(Debug, Args)]
pub(super) struct KillArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Which signal.
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
}

/// As [`OnArgs`], for good.
#[derive(Debug, Args)]
pub(super) struct RmArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Also when it runs: it is killed.
    #[arg(short, long)]
    force: bool,

    /// Its volumes without names, too.
    #[arg(long)]
    volumes: bool,
}

/// Another name for one.
#[derive(Debug, Args)]
pub(super) struct RenameArgs {
    /// Which host.
    host: String,

    /// Its name or id.
    container: String,

    /// The new name.
    name: String,
}

/// What came of an act on one container as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(rename = "ID")]
    id: String,
    names: String,
    verb: String,
    result: String,
    state: String,
    exit_code: Option<i64>,
    warnings: Vec<String>,
}

fn columns() -> Vec<Column<Of<Outcome>>> {
    vec![
        Column::text("HOST", |o: &Of<Outcome>| o.host.as_str().into()),
        Column::text("CONTAINER ID", |o: &Of<Outcome>| short(&o.row.id).into()),
        Column::text("NAMES", |o: &Of<Outcome>| o.row.names.as_str().into()),
        Column::text("RESULT", |o: &Of<Outcome>| Cell::painted(o.row.result.as_str(), Paint::Good)),
        Column::text("STATE", |o: &Of<Outcome>| {
            let paint = match State::parse(&o.row.state) {
                State::Running => Paint::Good,
                State::Exited | State::Created => Paint::Dim,
                _ => Paint::Warn,
            };
            Cell::painted(o.row.state.as_str(), paint)
        }),
        Column::text("EXIT", |o: &Of<Outcome>| {
            o.row.exit_code.map(|code| code.to_string()).unwrap_or_default().into()
        }),
    ]
}

/// What hosts said of an act.
pub(super) struct Told {
    rows: Vec<Of<Outcome>>,
    pub(super) exit: Exit,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self { rows: Vec::new(), exit: Exit::Ok }
    }

    /// Puts an answer down.
    pub(super) fn put(
        &mut self,
        app: &App,
        host: &str,
        verb: &str,
        answer: Result<Done, cmdr_protocol::CallError>,
    ) {
        match answer {
            Ok(done) => {
                for warning in &done.warnings {
                    app.out.note(&format!("{host}: {}: {warning}", done.name));
                }
                let gone = done.state == State::Unknown;
                self.rows.push(Of {
                    host: host.to_owned(),
                    row: Outcome {
                        id: done.id,
                        names: done.name,
                        verb: verb.to_owned(),
                        result: if done.already { "already" } else { "done" }.to_owned(),
                        state: if gone { "gone".to_owned() } else { done.state.to_string() },
                        exit_code: done.exit_code,
                        warnings: done.warnings,
                    },
                });
            }
            Err(error) => self.exit = self.exit.worst(failed(app, host, error)),
        }
    }

    /// Writes them.
    pub(super) fn show(&self, app: &App) -> Result<Exit, Failure> {
        if !self.rows.is_empty() || !app.out.format.is_table() {
            app.out.list(&self.rows, &columns(), |o| o.row.id.clone())?;
        }
        Ok(self.exit)
    }
}

pub(super) async fn start(app: &App, args: &OnArgs) -> Result<Exit, Failure> {
    let make = |container| Start { container };
    act(app, args, "start", false, PATIENCE, make).await
}

pub(super) async fn stop(app: &App, args: &StopArgs) -> Result<Exit, Failure> {
    let StopArgs { on, time, signal } = args;
    let make = |container| Stop { container, timeout_s: *time, signal: signal.clone() };
    act(app, on, "stop", true, patience(*time), make).await
}

pub(super) async fn restart(app: &App, args: &StopArgs) -> Result<Exit, Failure> {
    let StopArgs { on, time, signal } = args;
    let make = |container| Restart { container, timeout_s: *time, signal: signal.clone() };
    act(app, on, "restart", true, patience(*time), make).await
}

pub(super) async fn pause(app: &App, args: &OnArgs) -> Result<Exit, Failure> {
    let make = |container| Pause { container };
    act(app, args, "pause", true, PATIENCE, make).await
}

pub(super) async fn unpause(app: &App, args: &OnArgs) -> Result<Exit, Failure> {
    let make = |container| Unpause { container };
    act(app, args, "unpause", false, PATIENCE, make).await
}

pub(super) async fn kill(app: &App, args: &KillArgs) -> Result<Exit, Failure> {
    let make = |container| Kill { container, signal: args.signal.clone() };
    act(app, &args.on, "kill", true, PATIENCE, make).await
}

pub(super) async fn rm(app: &App, args: &RmArgs) -> Result<Exit, Failure> {
    let RmArgs { on, force, volumes } = args;
    let make = |container| Remove { container, force: *force, volumes: *volumes };
    act(app, on, "rm", true, PATIENCE, make).await
}

/// What a container gets to stop, and some more.
fn patience(time: Option<u32>) -> Duration {
    PATIENCE + Duration::from_secs(time.unwrap_or(10).into())
}

/// Does the same to each container on each host.
async fn act<C: Call<Reply = Done>>(
    app: &App,
    args: &OnArgs,
    verb: &str,
    asks: bool,
    patience: Duration,
    make: impl Fn(String) -> C,
) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    if asks {
        confirm(app, args, verb, &targets).await?;
    }
    let patience = app.patience_or(patience);
    let each: Vec<(&Target, C)> = targets
        .iter()
        .flat_map(|target| {
            args.containers.iter().map(|c| (target, make(c.clone()))).collect::<Vec<_>>()
        })
        .collect();
    let ask = async |(target, call): &(&Target, C)| {
        (target.name.clone(), hub.client.call(Some(target.id), call, patience).await)
    };
    let answers: Vec<_> = futures::stream::iter(&each).map(ask).buffered(AT_ONCE).collect().await;
    let mut told = Told::new();
    for (host, answer) in answers {
        told.put(app, &host, verb, answer);
    }
    told.show(app)
}

async fn confirm(app: &App, args: &OnArgs, verb: &str, targets: &[Target]) -> Result<(), Failure> {
    let containers = args.containers.join(", ");
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    let (question, word) = match targets.len() {
        1 => (format!("{verb} {containers} on {}?", names[0]), "yes".to_owned()),
        many => (
            format!("{verb} {containers} on {many} hosts: {}?", names.join(", ")),
            many.to_string(),
        ),
    };
    app.out.confirm(args.yes.yes, &question, &word).await
}

pub(super) async fn rename(app: &App, args: &RenameArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let call = Rename { container: args.container.clone(), name: args.name.clone() };
    let mut told = Told::new();
    let answer = hub.client.call(Some(host.id), &call, app.patience_or(PATIENCE)).await;
    told.put(app, &host.name, "rename", answer);
    told.show(app)
}
