//! `completions` and `man`: made from the command line's own description, so never out of date.

use crate::App;
use crate::args::Cli;
use crate::exit::{Exit, Failure};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::path::PathBuf;

/// Print completions for a shell.
///
/// For bash: cmdr completions bash > ~/.local/share/bash-completion/completions/cmdr
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell.
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

/// Print the man page, or write a page for each verb into a folder.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder.
    dir: Option<PathBuf>,
}

pub(super) fn completions(app: &App, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cmdr", &mut text);
    app.out.bytes(&text)?;
    Ok(Exit::Ok)
}

pub(super) fn man(app: &App, args: &ManArgs) -> Result<Exit, Failure> {
    let command = Cli::command();
    if let Some(dir) = &args.dir {
        let wrong = |e| Failure::failed(format!("writing to {}: {e}", dir.display()));
        std::fs::create_dir_all(dir).map_err(wrong)?;
        clap_mangen::generate_to(command, dir).map_err(wrong)?;
    } else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        app.out.bytes(&text)?;
    }
    Ok(Exit::Ok)
}
