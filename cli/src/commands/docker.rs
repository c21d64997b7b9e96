//! `docker`: the list of its verbs. The engine of each host is asked through its agent; JSON has docker's own
//! field names, and the host.

mod engine;
mod exec;
mod logs;
mod proxy;

use super::processes::about;
use crate::App;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use cmdr_protocol::Call;
use serde::Serialize;
use std::time::Duration;

/// Docker on one host or more: what each engine is, the room that it takes, what happens in it.
///
/// The engine is asked by the host's agent over its socket; nothing is opened to the network.
#[derive(Debug, Args)]
pub struct DockerArgs {
    #[command(subcommand)]
    verb: Verb,
}

impl DockerArgs {
    /// Whether it sees to Ctrl-C itself.
    pub(super) const fn is_orderly(&self) -> bool {
        matches!(self.verb, Verb::Events(_) | Verb::Logs(_) | Verb::Proxy(_))
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Info(engine::InfoArgs),
    Df(engine::DfArgs),
    Events(engine::EventsArgs),
    Prune(engine::PruneArgs),
    Logs(logs::LogsArgs),
    Exec(exec::ExecArgs),
    Attach(exec::AttachArgs),
    Proxy(proxy::ProxyArgs),
}

pub(super) async fn run(app: &App, args: &DockerArgs) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Info(args) => engine::info(app, args).await,
        Verb::Df(args) => engine::df(app, args).await,
        Verb::Events(args) => engine::events(app, args).await,
        Verb::Prune(args) => engine::prune(app, args).await,
        Verb::Logs(args) => logs::logs(app, args).await,
        Verb::Exec(args) => exec::exec(app, args).await,
        Verb::Attach(args) => exec::attach(app, args).await,
        Verb::Proxy(args) => proxy::proxy(app, args).await,
    }
}

/// What stands in a table of more than one host, and in all data: whose a row is.
#[derive(Debug, Serialize)]
struct Of<T> {
    #[serde(rename = "Host")]
    host: String,
    #[serde(flatten)]
    row: T,
}

/// What hosts answered.
struct Answers<R> {
    /// Those that did, in the order of the hosts.
    answers: Vec<(Target, R)>,
    /// How bad it is that others did not.
    exit: Exit,
    /// How many were asked.
    asked: usize,
}

/// Asks each host that a selector picks; why one does not answer is said.
async fn ask_each<C: Call>(
    app: &App,
    hub: &Hub,
    selector: &str,
    call: &C,
    patience: Duration,
) -> Result<Answers<C::Reply>, Failure> {
    let targets = hub.resolve(selector).await?;
    let mut answers = Answers { answers: Vec::new(), exit: Exit::Ok, asked: targets.len() };
    for (target, answer) in hub.ask_hosts_within(&targets, call, patience).await {
        match answer {
            Ok(reply) => answers.answers.push((target.clone(), reply)),
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                answers.exit = answers.exit.worst(failure.exit);
            }
        }
    }
    Ok(answers)
}
