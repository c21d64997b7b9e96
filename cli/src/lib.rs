//! `cmdr`, Commander on the command line.
//!
//! [`args`] reads the command line, [`connect`] finds the hub, [`commands`] has one file per feature,
//! [`output`] writes data and words, [`exit`] says how it ended. Nothing is done before the command
//! line is known to be right.

pub mod args;
pub mod commands;
pub mod connect;
pub mod exit;
pub mod fleet;
pub mod human;
pub mod output;
pub mod screen;
pub mod secret;

use args::Cli;
use clap::Parser as _;
use cmdr_link::card;
use cmdr_link::context::Context;
use cmdr_link::link::Target;
use exit::{Exit, Failure};
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What every verb gets: where things are, how to speak, how long to wait.
#[derive(Clone, Debug)]
pub struct App {
    /// Folder of the context and of a local hub.
    pub home: PathBuf,
    /// Where data and words go.
    pub out: Output,
    /// `--timeout`, when given.
    pub timeout: Option<Duration>,
}

impl App {
    /// How long one question may take.
    pub fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(10))
    }

    /// The hub and our key for it: a program's key from the environment, else those of this home.
    pub fn context(&self) -> Result<Context, Failure> {
        match std::env::var_os("CMDR_KEY").filter(|text| !text.is_empty()) {
            Some(text) => card::read_key(&text.to_string_lossy())
                .map_err(|e| Failure::usage(format!("CMDR_KEY: {e}"))),
            None => Ok(Context::open(&self.client_dir())?),
        }
    }

    /// The hub alone.
    pub fn target(&self) -> Result<Target, Failure> {
        if std::env::var_os("CMDR_KEY").is_some_and(|text| !text.is_empty()) {
            return Ok(self.context()?.target);
        }
        Ok(Context::load_target(&self.client_dir())?)
    }

    /// The folder of the key and the hub's address.
    pub fn client_dir(&self) -> PathBuf {
        self.home.join("client")
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let printed = e.print();
            if e.use_stderr() {
                return ExitCode::from(Exit::Usage.code());
            }
            // Help and version are data.
            let failure = printed.err().map(|e| output::unwritable(&e));
            let out = Output::new(output::Format::Table, false, false, 0);
            let Some(failure) = failure else { return ExitCode::SUCCESS };
            out.failure(&failure);
            return ExitCode::from(failure.exit.code());
        }
    };
    let app = App {
        home: cli.home.unwrap_or_else(cmdr_link::files::home),
        out: Output::new(cli.output, cli.no_color, cli.quiet, cli.verbose),
        timeout: cli.timeout,
    };
    if cli.verbose > 1 {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(tracing::Level::DEBUG)
            .init();
    }
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(commands::run(&app, cli.command));
            // A thread that still waits for input would hold the program back.
            runtime.shutdown_background();
            result
        }
        Err(e) => Err(Failure::new(Exit::Fault, format!("starting: {e}"))),
    };
    match result {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            app.out.failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}
