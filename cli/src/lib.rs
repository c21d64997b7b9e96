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
mod program;
pub mod screen;
pub mod secret;

use args::Cli;
use clap::Parser as _;
use cmdr_link::card;
use cmdr_link::context::Context;
use cmdr_link::link::Target;
use cmdr_protocol::display::clean;
use exit::{Exit, Failure};
use output::Output;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use zeroize::Zeroizing;

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

    /// As [`App::patience`], for what takes its time.
    pub fn patience_or(&self, usual: Duration) -> Duration {
        self.timeout.unwrap_or(usual)
    }

    /// The text of a program's key, from the environment.
    pub fn program_key(&self) -> Option<Zeroizing<String>> {
        let text = std::env::var_os("CMDR_KEY").filter(|text| !text.is_empty())?;
        Some(Zeroizing::new(text.to_string_lossy().into_owned()))
    }

    /// The hub and our key for it: a program's key from the environment, else those of this home.
    pub fn context(&self) -> Result<Context, Failure> {
        match self.program_key() {
            Some(text) => card::read_key(&text)
                .map(|context| program::with_folder(context, &self.home))
                .map_err(|e| Failure::usage(format!("CMDR_KEY: {e}"))),
            None => Ok(Context::open(&self.client_dir())?),
        }
    }

    /// The hub alone.
    pub fn target(&self) -> Result<Target, Failure> {
        if self.program_key().is_some() {
            return Ok(self.context()?.target);
        }
        Ok(Context::load_target(&self.client_dir())?)
    }

    /// The folder of the key and the hub's address.
    pub fn client_dir(&self) -> PathBuf {
        self.home.join("client")
    }
}

/// Why a command line is wrong, in words that steer no terminal. What was typed is made harmless before
/// it is read once more for the message, so that the colours in there are clap's own.
fn misread(error: &clap::Error, words: &[std::ffi::OsString], colour: bool) -> String {
    let harmless = words.iter().map(|word| clean(&word.to_string_lossy()).into_owned());
    match Cli::try_parse_from(harmless) {
        Err(same) if same.kind() == error.kind() && colour => same.render().ansi().to_string(),
        Err(same) if same.kind() == error.kind() => same.render().to_string(),
        _ => {
            let text = error.render().to_string();
            text.lines().map(|line| clean(line).into_owned() + "\n").collect()
        }
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            let out = Output::new(output::Format::Table, false, false, 0);
            let text = misread(&e, &std::env::args_os().collect::<Vec<_>>(), out.colour_err);
            // Where words cannot be written nobody reads them.
            std::io::stderr().lock().write_all(text.as_bytes()).ok();
            return ExitCode::from(Exit::Usage.code());
        }
        Err(e) => {
            let printed = e.print();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_without_what_would_steer_a_terminal() {
        let evil = "x\u{1b}]0;owned\u{7}\u{1b}[8m";
        for line in
            [&["cmdr", evil][..], &["cmdr", "-o", evil, "hosts"], &["cmdr", "-t", evil, "hosts"]]
        {
            let words: Vec<std::ffi::OsString> = line.iter().map(Into::into).collect();
            let error = Cli::try_parse_from(&words).unwrap_err();
            let plain = misread(&error, &words, false);
            assert!(!plain.contains('\u{1b}') && !plain.contains('\u{7}'), "{plain:?}");
            let coloured = misread(&error, &words, true);
            assert!(
                !coloured.contains("\u{1b}]") && !coloured.contains("\u{1b}[8m"),
                "{coloured:?}"
            );
            assert!(coloured.contains("\u{1b}["), "its own colours stay: {coloured:?}");
        }
    }
}
