//! `docker update|recreate|commit|export`: what is made of a container.

use super::acts::Told;
use super::cp::{pour, refuse_terminal};
use super::run::merged;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_protocol::Feed;
use cmdr_protocol::containers::change::{Commit, Export, Recreate, Update};
use cmdr_protocol::containers::{Like, short};
use cmdr_protocol::files::Chunk;
use futures::StreamExt as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an engine may take unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_mins(2);
/// Another container in the place of one waits for a health check, too.
const REPLACING: Duration = Duration::from_mins(10);
/// Hosts that are at it at once.
const AT_ONCE: usize = 16;

/// Give a container other limits, or another policy of when it is started again, while it goes on.
#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Its name or id.
    container: String,

    /// Processors, such as 1.5.
    #[arg(long, default_value = "", hide_default_value = true)]
    cpus: String,

    /// Its weight beside others; 1024 is the usual one.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    cpu_shares: i64,

    /// Which processors, such as 0-3.
    #[arg(long, default_value = "", hide_default_value = true)]
    cpuset_cpus: String,

    /// The most memory, such as 512m.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    memory: String,

    /// The most of memory and swap; -1 for any.
    #[arg(long, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    memory_swap: String,

    /// Memory that it is brought down to when the host has little.
    #[arg(long, default_value = "", hide_default_value = true)]
    memory_reservation: String,

    /// The most processes; -1 for any.
    #[arg(long, default_value_t = 0, hide_default_value = true, allow_hyphen_values = true)]
    pids_limit: i64,

    /// When it is started again: no, always, unless-stopped, on-failure:5.
    #[arg(long, default_value = "", hide_default_value = true)]
    restart: String,
}

pub(super) async fn update(app: &App, args: &UpdateArgs) -> Result<Exit, Failure> {
    let call = Update {
        container: args.container.clone(),
        cpus: args.cpus.clone(),
        cpu_shares: args.cpu_shares,
        cpuset: args.cpuset_cpus.clone(),
        mem_limit: args.memory.clone(),
        memswap_limit: args.memory_swap.clone(),
        mem_reservation: args.memory_reservation.clone(),
        pids_limit: args.pids_limit,
        restart: args.restart.clone(),
    };
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let patience = app.patience_or(PATIENCE);
    let ask = async |target: &crate::connect::Target| {
        (target.name.clone(), hub.client.call(Some(target.id), &call, patience).await)
    };
    let answers: Vec<_> =
        futures::stream::iter(&targets).map(ask).buffered(AT_ONCE).collect().await;
    let mut told = Told::new();
    for (host, answer) in answers {
        told.put(app, &host, "update", answer);
    }
    told.show(app)
}

/// Put another container in the place of one, with what is said behind it changed.
///
/// The old one is kept until the new one runs (and is healthy, where it has a health check), and put back if it does not.
/// Variables and labels are added to those that are there; any other setting that is said stands instead of the old one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cmdr docker recreate web1 web -e LEVEL=debug     another variable
  cmdr docker recreate web1 web nginx:1.29         another image, which is there already
  cmdr docker recreate --yes web1 web -m 1g        options of cmdr itself stand before the host")]
pub(super) struct RecreateArgs {
    #[command(flatten)]
    yes: Yes,

    /// Which host, and a container's name or id; then, as behind 'docker run': options, and another image and arguments.
    #[arg(value_names = ["HOST", "CONTAINER", "WORDS"], required = true, num_args = 2.., trailing_var_arg = true)]
    rest: Vec<String>,
}

pub(super) async fn recreate(app: &App, args: &RecreateArgs) -> Result<Exit, Failure> {
    let [host, container, words @ ..] = args.rest.as_slice() else {
        return Err(Failure::usage("a host and a container are named first"));
    };
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(host).await?;
    let likeness = hub.ask_host(host.id, &Like { container: container.clone() }).await?;
    let lost: Vec<_> =
        likeness.beyond.iter().filter(|what| !what.starts_with("the network ")).cloned().collect();
    let name = likeness.spec.name.clone();
    if !lost.is_empty() {
        return Err(Failure::failed(format!(
            "{name} has {}, which would be lost; nothing was done",
            lost.join(", ")
        )));
    }
    let spec = merged(likeness.spec, words)?;
    if spec.name != name {
        return Err(Failure::usage(format!("the new one is called {name}, as the old one is")));
    }
    let question = format!("Put another container in the place of {name} on {}?", host.name);
    app.out.confirm(args.yes.yes, &question, "yes").await?;
    let call = Recreate { container: container.clone(), spec };
    let answer = hub.client.call(Some(host.id), &call, app.patience_or(REPLACING)).await;
    let mut told = Told::new();
    told.put(app, &host.name, "recreate", answer);
    told.show(app)
}

/// Make an image of what a container has become.
#[derive(Debug, Args)]
pub(super) struct CommitArgs {
    /// Which host.
    host: String,

    /// Its name or id.
    container: String,

    /// What the image is called, such as shop/web:2.
    #[arg(default_value = "", hide_default_value = true)]
    image: String,

    /// Who made it.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,

    /// Why.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,

    /// Do not pause it meanwhile.
    #[arg(long)]
    running: bool,
}

pub(super) async fn commit(app: &App, args: &CommitArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let call = Commit {
        container: args.container.clone(),
        image: args.image.clone(),
        author: args.author.clone(),
        message: args.message.clone(),
        running: args.running,
    };
    let made = hub.client.call(Some(host.id), &call, app.patience_or(PATIENCE)).await?;
    let value = serde_json::json!({"Host": host.name, "ID": made.id, "Image": args.image});
    let fields = [("image", made.id.clone()), ("name", args.image.clone())];
    app.out.one(&value, &fields, short(&made.id))?;
    Ok(Exit::Ok)
}

/// Write all files of a container as an archive (tar).
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Which host.
    host: String,

    /// Its name or id.
    container: String,

    /// Where [default: standard output].
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) async fn export(app: &App, args: &ExportArgs) -> Result<Exit, Failure> {
    let to = args.to.as_deref().unwrap_or(Path::new("-"));
    refuse_terminal(app, to)?;
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let call = Export { container: args.container.clone() };
    fetch(app, &hub, &host, &call, to).await
}

/// Writes an archive as it comes. What is not whole is not left in a file.
async fn fetch<F: Feed<Item = Chunk>>(
    app: &App,
    hub: &Hub,
    host: &Target,
    call: &F,
    to: &Path,
) -> Result<Exit, Failure> {
    let Some(name) = to.file_name().filter(|_| to != Path::new("-")) else {
        return pour(app, hub, host, call, |data| app.out.bytes(data)).await;
    };
    let mut part = name.to_owned();
    part.push(".part");
    let part = to.with_file_name(part);
    let mut file = std::fs::File::create(&part)?;
    let result = pour(app, hub, host, call, |data| Ok(file.write_all(data)?)).await;
    match &result {
        Ok(Exit::Ok) => std::fs::rename(&part, to)?,
        _ => drop(std::fs::remove_file(&part)),
    }
    result
}
