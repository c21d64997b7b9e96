//! `shell` and `attach`: sessions in this terminal.
//!
//! [`terminal`] makes the terminal raw and always gives it back, [`keys`] knows the prefix, [`passage`] is
//! what output goes through, [`attached`] carries keys and output and comes back when the link was cut.

mod attached;
mod keys;
pub(super) mod passage;
pub(super) mod terminal;

use crate::App;
use crate::args;
use crate::commands::sessions;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use attached::{Attached, What};
use clap::Args;
use cmdr_link::FeedStream;
use cmdr_protocol::exec::{self, Outcome};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::sessions::{Input, Item, Mode, Open};
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId};
use std::io::IsTerminal as _;

/// Open a shell on a host, or a program in a terminal.
///
/// The session belongs to the host: it outlives this program, the link, the hub and a restart of the
/// agent. Ctrl-\ d leaves it running, and cmdr attach finds it again. When the link is cut, this comes
/// back by itself. The exit code is that of the shell, as with ssh.
#[derive(Debug, Args)]
#[command(override_usage = "cmdr shell [OPTIONS] <HOST> [-- <ARGV>...]")]
pub struct ShellArgs {
    /// Which host.
    host: String,

    /// User to run as [default: the agent's own].
    #[arg(short, long)]
    user: Option<String>,

    /// Working directory [default: the user's home].
    #[arg(short = 'C', long, value_name = "DIR")]
    cwd: Option<String>,

    /// Add to the environment.
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = args::variable)]
    env: Vec<(String, String)>,

    /// What lists show it by.
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,

    /// End it when nobody is attached and nobody has typed for so long [default: as the host says].
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    idle: Option<std::time::Duration>,

    /// Begin it, print its id, and leave it running.
    #[arg(short, long)]
    detach: bool,

    /// Let programs on the host write to the clipboard of this terminal (OSC 52).
    #[arg(long)]
    clipboard: bool,

    /// A program and its arguments instead of the user's login shell.
    #[arg(last = true, value_name = "ARGV")]
    argv: Vec<String>,
}

/// Attach to a session that runs.
///
/// One's own is driven, and the client that drove it until now watches. That of somebody else is watched,
/// or taken over with --take; all who are attached are told, and both need the right sessions.join.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The session's id, or the beginning of it.
    id: String,

    /// On which hosts to look for it.
    #[arg(long, value_name = "SELECTOR", value_parser = args::selector)]
    #[arg(default_value = "", hide_default_value = true)]
    host: String,

    /// Look, and type nothing.
    #[arg(short, long, conflicts_with = "take")]
    watch: bool,

    /// Drive a session of somebody else.
    #[arg(long)]
    take: bool,

    /// Let programs on the host write to the clipboard of this terminal (OSC 52).
    #[arg(long)]
    clipboard: bool,
}

pub(super) fn terminal_needed(hint: &str) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage("a session needs a terminal, and this is none").hint(hint))
}

/// What programs are told of the colours of the terminal here, beside its name.
fn colours() -> impl Iterator<Item = (String, String)> {
    let told = std::env::var("COLORTERM").ok().filter(|told| !told.is_empty());
    told.map(|told| ("COLORTERM".to_owned(), told)).into_iter()
}

/// Opens a session.
pub(super) async fn shell(app: &App, args: ShellArgs) -> Result<Exit, Failure> {
    if !args.detach {
        terminal_needed(
            "for a command without one: cmdr exec HOST -- COMMAND; to begin a session all the same: --detach",
        )?;
    }
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(&args.host).await?;
    if target.state != HostState::Online {
        return Err(Failure::new(
            Exit::Unreachable,
            format!("{} has no link to the hub now", target.name),
        ));
    }
    let open = Open {
        argv: args.argv,
        user: args.user,
        cwd: args.cwd,
        env: colours().chain(args.env).collect(),
        term: std::env::var("TERM").unwrap_or_default(),
        size: terminal::size(),
        name: args.name,
        idle_s: args.idle.map(|idle| idle.as_secs().max(1)),
        detached: args.detach,
    };
    if args.detach {
        return detached(app, &hub, target.id, &open).await;
    }
    let attached = Attached {
        app: app.clone(),
        host: target.id,
        host_name: target.name,
        clipboard: args.clipboard,
        mine: true,
        opened: open.resource(),
        mode: Mode::Drive,
    };
    attached.run(hub, What::Open(open)).await
}

async fn detached(app: &App, hub: &Hub, host: HostId, open: &Open) -> Result<Exit, Failure> {
    let mut feed = hub.client.feed(Some(host), open).await.map_err(refused)?;
    let mut id = None;
    while let Some(item) = feed.next().await {
        id = item.map_err(refused)?.begun.map(|begun| begun.id).or(id);
    }
    let id =
        id.ok_or_else(|| Failure::failed("the host did not say which session it has begun"))?;
    app.out.data(&format!("{id}\n"))?;
    app.out.note(&format!("it runs; attach to it with: cmdr attach {id}"));
    Ok(Exit::Ok)
}

/// Attaches to one that runs.
pub(super) async fn attach(app: &App, args: &AttachArgs) -> Result<Exit, Failure> {
    terminal_needed(
        "what it shows can be watched where there is a terminal; cmdr sessions lists them",
    )?;
    let hub = Hub::connect(app).await?;
    let found = sessions::find(app, &hub, &args.host, &args.id).await?;
    let mine = found.session.operator == hub.ask(&WhoAmI {}).await?.name;
    let mode = if args.watch || (!mine && !args.take) { Mode::Watch } else { Mode::Drive };
    let attached = Attached {
        app: app.clone(),
        host: found.host.id,
        host_name: found.host.name.clone(),
        clipboard: args.clipboard,
        mine,
        opened: found.session.opened.clone(),
        mode,
    };
    attached.run(hub, What::Attach(found.session.id)).await
}

/// Whose session it is that others have begun, and how.
pub(super) struct Seat {
    pub(super) host: HostId,
    pub(super) name: String,
    /// What it was opened as.
    pub(super) opened: String,
    pub(super) clipboard: bool,
}

/// Goes on with a session that was just begun, from its first item on.
pub(super) async fn go_on<F>(
    app: &App,
    hub: Hub,
    seat: Seat,
    feed: FeedStream<F>,
    first: Item,
) -> Result<Exit, Failure>
where
    F: Feed<Item = Item, Input = Input>,
{
    let attached = Attached {
        app: app.clone(),
        host: seat.host,
        host_name: seat.name,
        clipboard: seat.clipboard,
        opened: seat.opened,
        mine: true,
        mode: Mode::Drive,
    };
    attached.go_on(hub, feed, first).await
}

/// Why a session could not be opened, with the code that a shell would give.
fn refused(error: CallError) -> Failure {
    let exit = match error.kind {
        ErrorKind::NotFound => Some(Exit::Remote(127)),
        ErrorKind::Failed => Some(Exit::Remote(126)),
        _ => None,
    };
    let failure = Failure::from(error);
    Failure { exit: exit.unwrap_or(failure.exit), ..failure }
}

/// How the session's program ended, for the shell.
fn remote(exit: exec::Exit) -> Exit {
    let code = match exit.outcome {
        Outcome::Signalled | Outcome::Closed | Outcome::TimedOut => 128 + exit.code,
        _ => exit.code,
    };
    Exit::Remote(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
