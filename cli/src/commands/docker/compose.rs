//! `docker compose`: projects that the hub keeps in versions, and what hosts have of them.

mod act;
mod kept;
mod logs;
mod look;

use super::told;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand, ValueEnum};
use cmdr_protocol::compose::kept::Show;
use cmdr_protocol::compose::{MAX_STOP_S, Pull, check_project};
use std::path::PathBuf;

const FILE: &str = "\
A project is a compose file with a name, kept by the hub in versions, with the hosts that it is for and variables as in \
an .env file, which are kept sealed:

  cmdr docker compose put shop compose.yaml --env .env --hosts role=web
  cmdr docker compose diff shop
  cmdr docker compose up shop

The file is read by the compose program of each host, the plugin 'docker compose' or 'docker-compose'. What its \
containers may do to their host takes the same rights as with 'cmdr docker run'.";

/// Compose projects: kept in versions, brought up on hosts, compared with what is there.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub(super) struct ComposeArgs {
    #[command(subcommand)]
    act: Act,
}

impl ComposeArgs {
    /// Whether it sees to Ctrl-C itself.
    pub(super) const fn is_orderly(&self) -> bool {
        matches!(self.act, Act::Logs(_))
    }
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List the projects that the hub keeps.
    Ls,
    /// Keep a compose file as the newest version of a project. No host is changed by that.
    Put(PutArgs),
    /// Print a compose file as it was put.
    Show(ShowArgs),
    /// List the versions of a project.
    Versions(NameArgs),
    /// Keep an older version once more, as the newest, with its variables and hosts.
    Rollback(RollbackArgs),
    /// Delete a project with all its versions from the hub. No host is changed by that.
    Rm(RmArgs),
    /// See what the compose program of hosts makes of a file, and what its containers may do to their hosts.
    Check(CheckArgs),
    /// Show what 'up' would do, service by service; ends with 1 when that is anything.
    Diff(DiffArgs),
    /// Bring a project up: what is missing or another is made anew, what is as it shall be is left.
    Up(UpArgs),
    /// Stop the containers of a project.
    Stop(StopArgs),
    /// Take the containers and networks of a project away.
    Down(DownArgs),
    /// Show the containers of a project, and where they are not as they shall be.
    Ps(OnArgs),
    Logs(logs::LogsArgs),
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Which project.
    #[arg(value_parser = project)]
    name: String,
}

#[derive(Debug, Args)]
struct PutArgs {
    /// The name of the project: small letters, digits, '-' and '_'.
    #[arg(value_parser = project)]
    name: String,

    /// The compose file; - reads standard input.
    file: PathBuf,

    /// A file of variables, as .env [default: those of the version before].
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,

    /// No variables any more.
    #[arg(long, conflicts_with = "env")]
    no_env: bool,

    /// The hosts that it is for, as a selector [default: those of the version before].
    #[arg(long, value_name = "SELECTOR", value_parser = args::selector)]
    hosts: Option<String>,

    /// What changed.
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,

    /// Keep it only if this is the newest version now.
    #[arg(long, value_name = "N")]
    was: Option<u64>,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Which project.
    #[arg(value_parser = project)]
    name: String,

    /// Which version [default: the newest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

#[derive(Debug, Args)]
struct RollbackArgs {
    /// Which project.
    #[arg(value_parser = project)]
    name: String,

    /// Which version.
    version: u64,
}

#[derive(Debug, Args)]
struct RmArgs {
    /// Which project.
    #[arg(value_parser = project)]
    name: String,

    #[command(flatten)]
    yes: Yes,
}

/// A project and hosts.
#[derive(Debug, Args)]
struct OnArgs {
    /// Which project.
    #[arg(value_parser = project)]
    name: String,

    /// Which hosts [default: those that the project is for].
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: Option<String>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    on: OnArgs,

    /// A file that was not put; - reads standard input.
    #[arg(short, long, conflicts_with = "version")]
    file: Option<PathBuf>,

    /// Variables for that file.
    #[arg(long, value_name = "FILE", requires = "file")]
    env: Option<PathBuf>,

    /// Which version [default: the newest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

#[derive(Debug, Args)]
struct DiffArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Which version [default: the newest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Bring {
    /// Those that a host does not have.
    #[default]
    Missing,
    /// All.
    Always,
    /// None: one that a host does not have is an error.
    Never,
}

impl From<Bring> for Pull {
    fn from(bring: Bring) -> Self {
        match bring {
            Bring::Missing => Self::Missing,
            Bring::Always => Self::Always,
            Bring::Never => Self::Never,
        }
    }
}

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Which version [default: the newest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,

    /// Which images are brought from their registries before.
    #[arg(long, value_enum, default_value_t)]
    pull: Bring,

    /// Make containers anew that are as they shall be, too.
    #[arg(long)]
    recreate: bool,

    /// Leave containers of services that the file does not have any more.
    #[arg(long)]
    keep_orphans: bool,
}

#[derive(Debug, Args)]
struct StopArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Seconds until containers are killed [default: what the file says, or 10].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_STOP_S)))]
    wait: Option<u32>,

    #[command(flatten)]
    yes: Yes,
}

#[derive(Debug, Args)]
struct DownArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Its volumes too, with all that is in them.
    #[arg(long)]
    volumes: bool,

    /// Seconds until containers are killed [default: what the file says, or 10].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_STOP_S)))]
    wait: Option<u32>,

    #[command(flatten)]
    yes: Yes,
}

fn project(text: &str) -> Result<String, String> {
    check_project(text).map(|()| text.to_owned())
}

impl OnArgs {
    /// The hosts that are meant.
    async fn targets(&self, hub: &Hub) -> Result<Vec<Target>, Failure> {
        if let Some(selector) = &self.selector {
            return hub.resolve(selector).await;
        }
        let hosts = hub.ask(&Show { name: self.name.clone(), version: None }).await?.project.hosts;
        if hosts.is_empty() {
            return Err(Failure::usage(format!(
                "the project {} does not say which hosts it is for: name them, or put it with --hosts",
                self.name
            )));
        }
        hub.resolve(&hosts).await
    }
}

pub(super) async fn run(app: &App, args: &ComposeArgs) -> Result<Exit, Failure> {
    match &args.act {
        Act::Ls => kept::list(app).await,
        Act::Put(args) => kept::put(app, args).await,
        Act::Show(args) => kept::show(app, args).await,
        Act::Versions(args) => kept::versions(app, args).await,
        Act::Rollback(args) => kept::rollback(app, args).await,
        Act::Rm(args) => kept::remove(app, args).await,
        Act::Check(args) => look::check(app, args).await,
        Act::Diff(args) => look::diff(app, args).await,
        Act::Ps(args) => look::ps(app, args).await,
        Act::Up(args) => act::up(app, args).await,
        Act::Stop(args) => act::stop(app, args).await,
        Act::Down(args) => act::down(app, args).await,
        Act::Logs(args) => logs::logs(app, args).await,
    }
}
