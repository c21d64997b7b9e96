//! The program `cmdr-hub`: starts the hub, and looks after its data folder.

mod audit;
mod keep;
mod restore;
mod secrets;
mod serve;
mod token;

use crate::config::Config;
use crate::data;
use crate::local::Local;
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use cmdr_link::settings::SettingsError;
use cmdr_protocol::{Call, CallError, ErrorKind};
use rustix::process::{Resource, Rlimit, setrlimit};
use serve::Serve;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Commander's hub: accepts links from agents and operators, authorises, relays, keeps the fleet's state.
#[derive(Debug, Parser)]
#[command(name = "cmdr-hub", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Cli {
    /// Data folder [default: $CMDR_HOME/hub, /var/lib/cmdr-hub for root]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all well; 1 it was tried and failed, or check or audit verify found damage; 2 usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub (what it does without a command)
    Serve(Serve),
    /// Make a join token, list tokens, withdraw one
    Token(token::Token),
    /// Prove the audit log, export it
    Audit(audit::Audit),
    /// Change the master key of the sealed secrets
    Secrets(secrets::Secrets),
    /// Read every record and check it
    Check {
        /// Read every recording as well; takes its time where there are many. A hub that does not run knows
        /// only whether their files are there and as long as they should be
        #[arg(long)]
        recordings: bool,
        /// Check this folder instead, which backup --recordings or backup --history has written
        #[arg(long, value_name = "DIR", conflicts_with = "recordings")]
        copies: Option<PathBuf>,
    },
    /// Write everything durable into a file; recordings and the history go into folders of their own, or stay out
    Backup {
        /// The file; must not exist yet
        file: PathBuf,
        /// Copy recordings into this folder: those that it lacks, so that many backups share it. What the hub
        /// has removed meanwhile stays there
        #[arg(long, value_name = "DIR")]
        recordings: Option<PathBuf>,
        /// Make this folder have the history of figures as it is now: what it lacks is copied, what is gone is removed
        #[arg(long, value_name = "DIR")]
        history: Option<PathBuf>,
    },
    /// Read a backup into an empty data folder
    Restore {
        /// The backup
        file: PathBuf,
        /// The hub's key file to put in place, when this data folder is new
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Bring back the recordings that the backup names out of this folder, which backup --recordings has written
        #[arg(long, value_name = "DIR")]
        recordings: Option<PathBuf>,
        /// Bring back the history of figures out of this folder, which backup --history has written
        #[arg(long, value_name = "DIR")]
        history: Option<PathBuf>,
    },
}

/// How a command ended that did what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Well,
    /// `check` or `audit verify` has found something.
    Damaged,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    cmdr_link::memory::keep(1 << 20);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // A dump of its memory would hold every key; where that cannot be said, the limit is what it was.
    setrlimit(Resource::Core, none).ok();
    if let Some(code) = crate::playbooks::main() {
        return code;
    }
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CMDR_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sled=warn")),
        )
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    // One thread carries all links: a relayed byte then never waits for another processor to wake up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("starting the runtime").and_then(|rt| rt.block_on(run(cli)));
    match result {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Damaged) => ExitCode::FAILURE,
        Err(e) => {
            let code = code(&e);
            if code != UNREAD {
                say_error(&format!("{e:#}"));
            }
            ExitCode::from(code)
        }
    }
}

/// The code that a shell gives to a program ended by SIGPIPE: whoever read our output has left.
const UNREAD: u8 = 141;

/// The exit code of an error: what was typed or configured wrongly is told apart from what failed.
fn code(error: &anyhow::Error) -> u8 {
    let unread = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<Unwritable>().is_some_and(|e| unread(&e.0)) {
        return UNREAD;
    }
    let malformed = |e: &CallError| e.kind == ErrorKind::Malformed;
    let typed = error.is::<SettingsError>()
        || error.is::<Misconfigured>()
        || error.downcast_ref().is_some_and(malformed);
    if typed { 2 } else { 1 }
}

/// The configuration can be read, and makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misconfigured(String);

/// Standard output does not take what we have to say.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output: {}", cmdr_link::files::reason(.0))]
struct Unwritable(io::Error);

/// One line, whatever the causes are.
fn say_error(text: &str) {
    let line = text.replace('\n', " ");
    drop(writeln!(io::stderr(), "cmdr-hub: {line}"));
}

fn print(text: &str) -> Result<(), Unwritable> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Unwritable)
}

fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// What only serving knows is not dropped when it stands before a command: a hub that was told to listen on one
/// address must not listen on all.
fn misplaced(cli: &Cli) -> Result<(), Misconfigured> {
    if cli.command.is_none() || cli.serve == Serve::default() {
        return Ok(());
    }
    Err(Misconfigured(
        "--listen, --address, --ready-file and --no-first-token stand behind the command: \
         cmdr-hub serve --listen ADDR:PORT; nothing was begun"
            .to_owned(),
    ))
}

async fn run(cli: Cli) -> anyhow::Result<Done> {
    misplaced(&cli)?;
    let config = match &cli.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    if let (Some(path), false) = (&cli.config, config.address.is_empty()) {
        let wrong = |e| Misconfigured(format!("{}: address: {e}", path.display()));
        cmdr_protocol::address::check(&config.address).map_err(wrong)?;
    }
    let dir = cli.data.or_else(|| config.data.clone()).unwrap_or_else(data::default_dir);
    match cli.command {
        None => serve::serve(&dir, config, cli.serve).await,
        Some(Command::Serve(args)) => serve::serve(&dir, config, args).await,
        Some(Command::Token(args)) => token::run(&dir, &config, args).await,
        Some(Command::Audit(args)) => audit::run(&dir, args).await,
        Some(Command::Secrets(args)) => secrets::run(&dir, &config, args).await,
        Some(Command::Check { copies: Some(copies), .. }) => keep::check_copies(&dir, &copies),
        Some(Command::Check { recordings, .. }) => keep::check(&dir, recordings).await,
        Some(Command::Backup { file, recordings, history }) => {
            keep::backup_to(&dir, &file, recordings.as_deref(), history.as_deref()).await
        }
        Some(Command::Restore { file, key, recordings, history }) => {
            let from = restore::From {
                file: &file,
                key: key.as_deref(),
                recordings: recordings.as_deref(),
                history: history.as_deref(),
            };
            restore::run(&dir, &config, from).await
        }
    }
}

/// Asks the running hub; nothing when it is stopped and its data is at hand.
async fn ask<C: Call>(local: &Local, call: &C) -> Option<Result<C::Reply, CallError>> {
    match local {
        Local::Running(client) => Some(client.call(None, call, Duration::from_secs(10)).await),
        Local::Stopped(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_wrongly_is_told_apart_from_what_failed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        assert_eq!(code(&CallError::malformed("no").into()), 2);
        assert_eq!(code(&CallError::failed("no").into()), 1);
        assert_eq!(code(&anyhow::anyhow!("no")), 1);
        let pipe = || Unwritable(io::ErrorKind::BrokenPipe.into());
        assert_eq!(code(&pipe().into()), UNREAD);
        let full = Unwritable(io::Error::from_raw_os_error(28));
        assert_eq!(full.to_string(), "cannot write the output: No space left on device");
        assert_eq!(code(&full.into()), 1);
    }

    #[test]
    fn what_only_serving_knows_is_refused_before_a_command() {
        let told = |arguments: &[&str]| {
            let all = ["cmdr-hub"].iter().chain(arguments);
            misplaced(&Cli::try_parse_from(all).unwrap()).map_err(|e| code(&e.into()))
        };
        let listen = ["--listen", "127.0.0.1:1"];
        assert_eq!(told(&[&listen[..], &["serve"]].concat()), Err(2));
        assert_eq!(told(&["--no-first-token", "check"]), Err(2));
        assert_eq!(told(&[&["serve"], &listen[..]].concat()), Ok(()));
        assert_eq!(told(&listen), Ok(()));
        assert_eq!(told(&["--data", "d", "--config", "c", "serve"]), Ok(()));
    }

    #[test]
    fn a_token_that_could_not_be_made_is_a_usage_error() {
        let refused = |arguments: &[&str]| {
            let all = ["cmdr-hub", "token"].iter().chain(arguments);
            Cli::try_parse_from(all).unwrap_err().exit_code()
        };
        for wrong in [
            &["--ttl", "0"][..],
            &["--ttl", "5x"],
            &["--ttl", "31d"],
            &["--uses", "0"],
            &["--label", "a b=c"],
            &["--label", "novalue"],
            &["--operator", "King"],
            &["--operator", "observer", "--label", "a=b"],
            &["--address", "hub"],
            &["revoke", "no-id"],
        ] {
            assert_eq!(refused(wrong), 2, "{wrong:?}");
        }
    }
}
