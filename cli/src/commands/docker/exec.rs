//! `docker exec` and `docker attach`: commands in containers, with their outputs apart, and sessions in them and at them.

use crate::App;
use crate::args;
use crate::commands::exec::{input, pipe};
use crate::commands::shell::{self, Seat, terminal};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output;
use clap::Args;
use cmdr_protocol::exec::{self, Outcome};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::inside::{Exec, Open};
use cmdr_protocol::{CallError, Feed as _};
use std::collections::BTreeMap;
use std::time::Duration;

/// Run a command in a container.
///
/// With -t it is a session of the host's: it outlives this program, the link and the agent, cmdr sessions lists
/// it, cmdr attach finds it again, and Ctrl-\ d leaves it running. Without, its two outputs come apart, and it
/// ends with this program. The exit code is that of the command.
#[derive(Debug, Args)]
#[command(override_usage = "cmdr docker exec [OPTIONS] <HOST> <CONTAINER> <COMMAND> [ARG]...")]
pub(super) struct ExecArgs {
    /// Pass standard input on.
    #[arg(short, long)]
    interactive: bool,

    /// In a terminal.
    #[arg(short = 't', long)]
    tty: bool,

    /// Begin it in a terminal, print the session's id, and leave it running.
    #[arg(short, long)]
    detach: bool,

    /// The container's user to run as.
    #[arg(short, long)]
    user: Option<String>,

    /// Working directory in the container.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// Add to the environment.
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = args::variable)]
    env: Vec<(String, String)>,

    #[command(flatten)]
    session: SessionArgs,

    /// Which host.
    host: String,

    /// Its name or id.
    container: String,

    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    #[arg(value_name = "COMMAND")]
    argv: Vec<String>,
}

/// Attach to what a container itself runs.
///
/// It is a session of the host's: Ctrl-\ d leaves it, cmdr attach finds it again. The container goes on when the
/// session ends.
#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    #[command(flatten)]
    session: SessionArgs,

    /// Which host.
    host: String,

    /// Its name or id.
    container: String,
}

#[derive(Debug, Args)]
struct SessionArgs {
    /// What lists show the session by.
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,

    /// End the session when nobody is attached and nobody has typed for so long [default: as the host says].
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    idle: Option<Duration>,

    /// Let programs in the container write to the clipboard of this terminal (OSC 52).
    #[arg(long)]
    clipboard: bool,

    // The short name that all verbs have is that of a terminal here.
    /// Give up each question after this long [default: 10s].
    #[arg(id = "timeout", long = "timeout", value_name = "DURATION", value_parser = args::duration)]
    _timeout: Option<Duration>,
}

async fn host(hub: &Hub, name: &str) -> Result<Target, Failure> {
    let target = hub.one_host(name).await?;
    if target.state != HostState::Online {
        let what = format!("{} has no link to the hub now", target.name);
        return Err(Failure::new(Exit::Unreachable, what));
    }
    Ok(target)
}

pub(super) async fn exec(app: &App, args: &ExecArgs) -> Result<Exit, Failure> {
    let env: BTreeMap<String, String> = args.env.iter().cloned().collect();
    if args.tty || args.detach {
        let open = Open {
            container: args.container.clone(),
            argv: args.argv.clone(),
            user: args.user.clone(),
            cwd: args.workdir.clone(),
            env,
            detached: args.detach,
            ..of(&args.session)
        };
        return session(app, &args.host, open, args.session.clipboard).await;
    }
    let hub = Hub::connect(app).await?;
    let target = host(&hub, &args.host).await?;
    let exec = Exec {
        container: args.container.clone(),
        argv: args.argv.clone(),
        stdin: args.interactive,
        env,
        user: args.user.clone(),
        cwd: args.workdir.clone(),
    };
    plain(&hub, &target, &exec).await
}

pub(super) async fn attach(app: &App, args: &AttachArgs) -> Result<Exit, Failure> {
    let open = Open { container: args.container.clone(), ..of(&args.session) };
    session(app, &args.host, open, args.session.clipboard).await
}

fn of(args: &SessionArgs) -> Open {
    Open {
        term: std::env::var("TERM").unwrap_or_default(),
        size: terminal::size(),
        name: args.name.clone(),
        idle_s: args.idle.map(|idle| idle.as_secs().max(1)),
        ..Open::default()
    }
}

async fn session(app: &App, host: &str, open: Open, clipboard: bool) -> Result<Exit, Failure> {
    if !open.detached {
        shell::terminal_needed("for a command without one: cmdr docker exec without -t")?;
    }
    let hub = Hub::connect(app).await?;
    let target = self::host(&hub, host).await?;
    let mut feed = hub.client.feed(Some(target.id), &open).await?;
    let mut notice = None;
    let mut first = loop {
        let Some(item) = feed.next().await.transpose()? else {
            return Err(Failure::failed("the host did not say which session it has begun"));
        };
        if item.begun.is_some() {
            break item;
        }
        // Of the hub: that this is recorded.
        notice = item.notice.or(notice);
    };
    first.notice = first.notice.or(notice);
    if open.detached {
        let id = first.begun.map(|begun| begun.id).unwrap_or_default();
        while let Some(item) = feed.next().await {
            item?;
        }
        app.out.data(&format!("{id}\n"))?;
        app.out.note(&format!("it runs; attach to it with: cmdr attach {id}"));
        return Ok(Exit::Ok);
    }
    let seat = Seat { host: target.id, name: target.name, opened: open.resource(), clipboard };
    shell::go_on(app, hub, seat, feed, first).await
}

/// Carries a command without a terminal to its end.
async fn plain(hub: &Hub, target: &Target, exec: &Exec) -> Result<Exit, Failure> {
    let feed = hub.client.feed(Some(target.id), exec).await?;
    let (mut items, mut inputs) = feed.split();
    let (pipe, written) = pipe::start()?;
    let stdin = exec.stdin.then(|| input::share(1).pop()).flatten();
    let forth = async {
        let Some(mut stdin) = stdin else { return std::future::pending().await };
        while let Some(data) = stdin.recv().await {
            if inputs.send(&exec::Input { data, ..exec::Input::default() }).await.is_err() {
                // What comes back says why.
                return std::future::pending().await;
            }
        }
        inputs.send(&exec::Input { eof: true, ..exec::Input::default() }).await.ok();
        std::future::pending().await
    };
    let back = async {
        while let Some(item) = items.next().await {
            let exec::Item { stdout, stderr, exit, .. } = item?;
            let read = pipe.send(pipe::Piece { to: pipe::To::Stdout, bytes: stdout }).await
                && pipe.send(pipe::Piece { to: pipe::To::Stderr, bytes: stderr }).await;
            if !read {
                return Ok(Exit::Unread);
            }
            if let Some(exit) = exit {
                return Ok(ended(exit));
            }
        }
        Err(Failure::from(CallError::lost("the host did not say how the command ended")))
    };
    let exit = tokio::select! {
        exit = back => exit,
        never = forth => never,
    };
    drop(pipe);
    if let Ok(Err(e)) = written.await {
        return Err(output::unwritable(&e));
    }
    exit
}

/// How the command ended, for the shell.
fn ended(exit: exec::Exit) -> Exit {
    let code = if exit.outcome == Outcome::Exited { exit.code } else { 128 + exit.code };
    Exit::Remote(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
