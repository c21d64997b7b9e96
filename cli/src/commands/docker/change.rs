//! `docker update|recreate|commit|export|cp`: what is made of a container, and into it.

use super::acts::Told;
use super::containers::failed;
use super::run::merged;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_protocol::Feed;
use cmdr_protocol::containers::change::{Commit, CopyIn, CopyOut, Export, Recreate, Update};
use cmdr_protocol::containers::{Like, short};
use cmdr_protocol::files::{CHUNK, Chunk, Sum};
use futures::StreamExt as _;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

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

/// Copy files out of a container, or into it, as an archive (tar).
///
/// One side is CONTAINER:PATH, the other a file with an archive, or '-' for standard output or input. Into a container
/// the path is the folder that the archive is laid out in.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cmdr docker cp web1 db:/etc - | tar x            a folder, here
  tar c site | cmdr docker cp web1 - web:/srv      and into one
  cmdr docker cp web1 db:/var/lib/x x.tar          kept as it is")]
pub(super) struct CpArgs {
    /// Which host.
    host: String,

    /// From where.
    from: String,

    /// Where to.
    to: String,
}

/// The container and the path in it; none for what is on this machine.
fn inside(text: &str) -> Option<(String, String)> {
    let (container, path) = text.split_once(':')?;
    let here = container.is_empty() || container.contains('/') || container.starts_with('.');
    (!here && !path.is_empty()).then(|| (container.to_owned(), path.to_owned()))
}

pub(super) async fn cp(app: &App, args: &CpArgs) -> Result<Exit, Failure> {
    match (inside(&args.from), inside(&args.to)) {
        (Some((container, path)), None) => {
            let to = Path::new(&args.to);
            refuse_terminal(app, to)?;
            if to.is_dir() {
                return Err(Failure::usage(format!("{} is a folder", args.to))
                    .hint("what is written is an archive: cmdr docker cp … - | tar x -C FOLDER"));
            }
            let hub = Hub::connect(app).await?;
            let host = hub.one_host(&args.host).await?;
            fetch(app, &hub, &host, &CopyOut { container, path }, to).await
        }
        (None, Some((container, path))) => send(app, args, CopyIn { container, path }).await,
        _ => Err(Failure::usage("one side is CONTAINER:PATH, the other a file or '-'")),
    }
}

fn refuse_terminal(app: &App, to: &Path) -> Result<(), Failure> {
    if to == Path::new("-") && app.out.tty_out {
        return Err(Failure::usage("an archive is not for a terminal")
            .hint("name a file, or pass it on: … - | tar t"));
    }
    Ok(())
}

/// Writes an archive as it comes. What is not whole is not left in a file.
async fn fetch<F: Feed<Item = Chunk>>(
    app: &App,
    hub: &Hub,
    host: &crate::connect::Target,
    call: &F,
    to: &Path,
) -> Result<Exit, Failure> {
    let mut feed = match hub.client.feed(Some(host.id), call).await {
        Ok(feed) => feed,
        Err(e) => return Ok(failed(app, &host.name, e)),
    };
    let part = match to.file_name() {
        Some(name) if to != Path::new("-") => {
            let mut name = name.to_owned();
            name.push(".part");
            Some(to.with_file_name(name))
        }
        _ => None,
    };
    let mut file = match &part {
        Some(part) => Some(std::fs::File::create(part)?),
        None => None,
    };
    let (mut length, mut whole) = (0, None);
    let result = loop {
        match feed.next().await {
            Some(Ok(Chunk { data, sum, .. })) => {
                length += data.len() as u64;
                let wrote = match &mut file {
                    Some(file) => file.write_all(&data).map_err(Failure::from),
                    None => app.out.bytes(&data),
                };
                if let Err(failure) = wrote {
                    break Err(failure);
                }
                whole = sum.map(|sum| sum.size).or(whole);
            }
            Some(Err(e)) => break Ok(failed(app, &host.name, e)),
            None if whole == Some(length) => break Ok(Exit::Ok),
            None => {
                break Err(Failure::new(
                    Exit::Unreachable,
                    "the archive was cut off; it is not whole",
                ));
            }
        }
    };
    if let Some(part) = part {
        match &result {
            Ok(Exit::Ok) => std::fs::rename(&part, to)?,
            _ => drop(std::fs::remove_file(&part)),
        }
    }
    result
}

/// Sends an archive as it is read.
async fn send(app: &App, args: &CpArgs, call: CopyIn) -> Result<Exit, Failure> {
    let from = PathBuf::from(&args.from);
    if from == Path::new("-") && std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("an archive is not typed").hint("as in: tar c site | cmdr docker cp …")
        );
    }
    let mut source: Box<dyn std::io::Read + Send> = if from == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(
            std::fs::File::open(&from)
                .map_err(|e| Failure::usage(format!("{}: {e}", args.from)))?,
        )
    };
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let feed = match hub.client.feed(Some(host.id), &call).await {
        Ok(feed) => feed,
        Err(e) => return Ok(failed(app, &host.name, e)),
    };
    let (pieces, mut read) = mpsc::channel::<std::io::Result<Vec<u8>>>(4);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::new();
            let got = source.by_ref().take(CHUNK as u64 / 2).read_to_end(&mut piece);
            let piece = got.map(|_| piece);
            let over = !matches!(&piece, Ok(piece) if !piece.is_empty());
            if pieces.blocking_send(piece).is_err() || over {
                return;
            }
        }
    });
    let (mut items, mut inputs) = feed.split();
    let sending = async {
        let mut at = 0;
        while let Some(piece) = read.recv().await {
            let data = piece?;
            let length = data.len() as u64;
            let sum = data.is_empty().then(|| Sum { size: at, ..Sum::default() });
            // The host has said why when it takes no more.
            if inputs.send(&Chunk { at, data, sum, ..Chunk::default() }).await.is_err() {
                break;
            }
            at += length;
        }
        // Held open: the end of what is sent is not the end of what is asked.
        std::future::pending::<std::io::Result<Exit>>().await
    };
    let ending = async {
        loop {
            match items.next().await {
                Some(Ok(_)) => {}
                Some(Err(e)) => return failed(app, &host.name, e),
                None => return Exit::Ok,
            }
        }
    };
    tokio::select! {
        exit = ending => Ok(exit),
        broken = sending => broken.map_err(Failure::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_container_is_told_from_what_is_here() {
        assert_eq!(inside("db:/etc"), Some(("db".into(), "/etc".into())));
        for here in ["-", "x.tar", "./db:/etc", "/tmp/a:b", "db:", ":x"] {
            assert_eq!(inside(here), None, "{here}");
        }
    }
}
